//! The book of a registrar: who is registered under which name and at which addresses, who waits for
//! a name, and who watches. It opens no link and reaches nobody; whom a link speaks for it is told.
//!
//! An entry lives as long as the link that registered it, so that one whose process was killed is
//! not found any more. That somebody could not reach an actor is hearsay: it moves an address behind
//! the others of its entry and asks for a look, and only what the look shows takes it away.

mod book;
mod bounds;
mod several;
mod tries;
mod waits;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::address::Address;
use crate::id::{ActorId, LinkId};
use book::{Book, Touched};
pub use bounds::{Bounds, Refused};
pub use several::merge;
pub use tries::{Backoff, Election, Found, NoRegistrar, Step, Terms};
use waits::{Next, Waits, Watches};

/// Names one that waits. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[must_use]
pub struct WaiterId(u64);

/// Names a watch. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[must_use]
pub struct WatchId(u64);

/// Names a registration, by which whoever made it holds the entry. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HolderId {
    uuid: u128,
    number: u64,
}

/// A registered actor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// Who it is.
    pub id: ActorId,
    /// Where it listens: nearest first, and within a class what was registered last; those that
    /// somebody could not reach behind all others (P-R3, P-R4).
    pub addresses: Vec<Address>,
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// By name, and within a name what was registered first.
    pub entries: Vec<Registered>,
    /// Where the next part begins; nothing where this was the last.
    pub more: Option<Cursor>,
}

/// Where a part of a list ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    name: String,
    number: u64,
}

/// What is watched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Watched {
    /// Every actor.
    All,
    /// Those of one name.
    Name(String),
}

/// What a watcher is told. It says how things are when it is polled, so that only the last of
/// several changes to one entry is told (P-R6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// This actor is registered: newly, again, or with other addresses.
    Came(Registered),
    /// The actor with this uuid is not registered under what is watched, or not any more.
    Went(#[serde(with = "crate::id::uuid")] u128),
    /// Too much has changed since the last poll: list anew, and go on watching.
    Missed,
}

/// An address that somebody could not reach: connect to it, and say by
/// [`Registrar::handle_checked`] what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Doubt {
    /// Whose it is.
    pub uuid: u128,
    /// Where nobody is said to be.
    pub address: Address,
    /// The registration that it is about.
    number: u64,
}

/// The book of one registrar.
///
/// - Looks: [`find`](Self::find), [`actor`](Self::actor), [`list`](Self::list), [`len`](Self::len),
///   [`waiters`](Self::waiters), [`watches`](Self::watches), [`links`](Self::links).
/// - Facts: `handle_*`. Spurious ones do nothing.
/// - Wishes: [`register`](Self::register), [`release`](Self::release),
///   [`unregister`](Self::unregister), [`wait`](Self::wait), [`cancel_wait`](Self::cancel_wait),
///   [`watch`](Self::watch), [`cancel_watch`](Self::cancel_watch). Those of links are bounded, and
///   refused by name (P-R1).
/// - Out: [`poll_answer`](Self::poll_answer), [`poll_watch`](Self::poll_watch),
///   [`poll_change`](Self::poll_change), [`poll_gone`](Self::poll_gone),
///   [`poll_doubt`](Self::poll_doubt).
#[derive(Clone, Debug)]
pub struct Registrar {
    bounds: Bounds,
    /// Which actor each link speaks for.
    links: BTreeMap<LinkId, u128>,
    book: Book,
    waits: Waits,
    watches: Watches,
    /// Whose entries were taken out by what others said or did, until they are told.
    evicted: VecDeque<u128>,
}

impl Registrar {
    /// An empty book of the actor `me`, which asks it by [`LinkId::OWN`] like any other.
    #[must_use]
    pub fn new(me: &ActorId, bounds: Bounds) -> Self {
        Self {
            bounds,
            links: BTreeMap::from([(LinkId::OWN, me.uuid)]),
            book: Book::default(),
            waits: Waits::default(),
            watches: Watches::default(),
            evicted: VecDeque::new(),
        }
    }

    /// The actors of a name, newest first, at most [`Bounds::answer`] of them (P-R3).
    #[must_use]
    pub fn find(&self, name: &str) -> Vec<Registered> {
        self.book.named(name).take(self.bounds.answer.max(1)).collect()
    }

    /// The actor with this uuid.
    #[must_use]
    pub fn actor(&self, uuid: u128) -> Option<Registered> {
        self.book.get(uuid)
    }

    /// The actors whose names begin with `prefix`, behind `after`, at most [`Bounds::answer`] at a
    /// time. What is registered once and stays is listed once; what is registered again under its
    /// name meanwhile is listed once or twice.
    #[must_use]
    pub fn list(&self, prefix: &str, after: Option<&Cursor>) -> Page {
        self.book.page(prefix, after, self.bounds.answer)
    }

    /// Entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.book.len()
    }

    /// Whether nobody is registered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many wait.
    #[must_use]
    pub fn waiters(&self) -> usize {
        self.waits.len()
    }

    /// How many watch.
    #[must_use]
    pub fn watches(&self) -> usize {
        self.watches.len()
    }

    /// Links that may ask, beside [`LinkId::OWN`].
    #[must_use]
    pub fn links(&self) -> usize {
        self.links.len().saturating_sub(1)
    }

    /// A link is up, and has proven that it speaks for the actor with this uuid. From here on it may
    /// ask.
    pub fn handle_link_up(&mut self, link: LinkId, uuid: u128) {
        self.links.entry(link).or_insert(uuid);
    }

    /// A link is gone, and all that it has registered and asked for with it (P-R2, P-R5).
    pub fn handle_link_gone(&mut self, link: LinkId) {
        if link != LinkId::OWN {
            self.links.remove(&link);
        }
        self.waits.remove_of(link);
        self.watches.remove_of(link);
        let touched = self.book.remove_of(link);
        self.tell(touched);
    }

    /// Who is behind a link could not reach an actor at this address (P-R4). Of itself, or of an
    /// actor that it has registered, it is believed at once.
    pub fn handle_unreachable(&mut self, link: LinkId, uuid: u128, address: &Address) {
        let Some(by) = self.links.get(&link).copied() else { return };
        // Whoever is asked is there.
        if self.book.link_of(uuid) == Some(LinkId::OWN) {
            return;
        }
        if self.book.is_open_to(by, uuid) {
            let touched = self.book.drop_address(uuid, address);
            self.tell(touched);
        } else {
            self.book.doubt(uuid, address, self.bounds.checks);
        }
    }

    /// A look into a doubt has shown whether somebody is there. It says nothing of an actor that has
    /// registered again since.
    pub fn handle_checked(&mut self, doubt: &Doubt, is_reachable: bool) {
        let touched = self.book.settle(doubt, is_reachable);
        self.tell(touched);
    }

    /// Enters an actor with its addresses, or in the place of its entry a new one, which is then held
    /// by this link, and by what is given. An address that another actor has is taken over (P-R2).
    ///
    /// # Errors
    /// [`Refused`] past a bound, without a name or an address, and for an entry of another actor.
    pub fn register(
        &mut self,
        link: LinkId,
        id: &ActorId,
        addresses: &[Address],
    ) -> Result<HolderId, Refused> {
        let by = self.speaker(link)?;
        self.bounds.name(&id.name)?;
        self.bounds.addresses(addresses)?;
        if !self.book.is_open_to(by, id.uuid) {
            return Err(Refused::NotYours);
        }
        let holder = self.book.link_of(id.uuid);
        if holder.is_none() && self.book.len() >= self.bounds.entries {
            return Err(Refused::TooManyEntries { max: self.bounds.entries });
        }
        if holder != Some(link) && self.book.count_of(link) >= self.bounds.entries_per_link {
            return Err(Refused::TooManyOfLink { max: self.bounds.entries_per_link });
        }
        let (holder, touched) = self.book.put(link, by, id, addresses);
        self.tell(touched);
        self.waits.wake(&id.name);
        Ok(holder)
    }

    /// Holds an entry no longer, which goes, unless it was registered again since; says whether it
    /// did (P-R2).
    pub fn release(&mut self, holder: HolderId) -> bool {
        let touched = self.book.release(holder);
        let was_there = touched.is_some();
        self.tell(touched);
        was_there
    }

    /// Takes an actor out, by whichever link of it or of who has registered it; says whether it was
    /// there (P-R2).
    ///
    /// # Errors
    /// [`Refused::NotYours`] for the entry of another actor, [`Refused::NotLinked`].
    pub fn unregister(&mut self, link: LinkId, uuid: u128) -> Result<bool, Refused> {
        let by = self.speaker(link)?;
        if !self.book.is_open_to(by, uuid) {
            return Err(Refused::NotYours);
        }
        let touched = self.book.remove(uuid);
        let was_there = touched.is_some();
        self.tell(touched);
        Ok(was_there)
    }

    /// Waits until an actor of this name is registered; at once where one is (P-R5).
    ///
    /// # Errors
    /// [`Refused`] past a bound, and for what is no name.
    pub fn wait(&mut self, link: LinkId, name: &str) -> Result<WaiterId, Refused> {
        self.speaker(link)?;
        self.bounds.name(name)?;
        let Bounds { waiters, waiters_per_link, .. } = self.bounds;
        if self.waits.len() >= waiters {
            return Err(Refused::TooManyWaiters { max: waiters });
        }
        if self.waits.count_of(link) >= waiters_per_link {
            return Err(Refused::TooManyWaiters { max: waiters_per_link });
        }
        Ok(self.waits.add(link, name))
    }

    /// Waits no longer; says whether it did.
    pub fn cancel_wait(&mut self, id: WaiterId) -> bool {
        self.waits.remove(id)
    }

    /// Watches from here on who comes and goes (P-R6). What is registered already is listed by
    /// [`list`](Self::list) or [`find`](Self::find) right after.
    ///
    /// # Errors
    /// [`Refused`] past a bound, and for what is no name.
    pub fn watch(&mut self, link: LinkId, of: Watched) -> Result<WatchId, Refused> {
        self.speaker(link)?;
        if let Watched::Name(name) = &of {
            self.bounds.name(name)?;
        }
        let Bounds { watches, watches_per_link, .. } = self.bounds;
        if self.watches.len() >= watches {
            return Err(Refused::TooManyWatches { max: watches });
        }
        if self.watches.count_of(link) >= watches_per_link {
            return Err(Refused::TooManyWatches { max: watches_per_link });
        }
        Ok(self.watches.add(link, of))
    }

    /// Watches no longer; says whether it did.
    pub fn cancel_watch(&mut self, id: WatchId) -> bool {
        self.watches.remove(id)
    }

    /// A waiter whose wait is over, with the newest actor of its name. One that has gone again before
    /// this is polled is no answer: the waiter goes on waiting.
    #[must_use]
    pub fn poll_answer(&mut self) -> Option<(WaiterId, Registered)> {
        loop {
            let (id, name) = self.waits.next_due()?;
            let newest = self.book.named(name).next();
            if let Some(entry) = newest {
                self.waits.remove(id);
                return Some((id, entry));
            }
        }
    }

    /// A watch that has something since it last had nothing, once each time.
    #[must_use]
    pub fn poll_watch(&mut self) -> Option<WatchId> {
        self.watches.next_ready()
    }

    /// The next that a watch has. To leave it there costs the registrar no more than
    /// [`Bounds::changes`] numbers.
    #[must_use]
    pub fn poll_change(&mut self, id: WatchId) -> Option<Change> {
        let (of, next) = self.watches.next_of(id)?;
        let uuid = match next {
            Next::Missed => return Some(Change::Missed),
            Next::Touched(uuid) => uuid,
        };
        let is_watched = self.book.name_of(uuid).is_some_and(|name| match of {
            Watched::All => true,
            Watched::Name(watched) => watched == name,
        });
        let entry = self.book.get(uuid).filter(|_| is_watched);
        Some(entry.map_or(Change::Went(uuid), Change::Came))
    }

    /// An actor that has no entry any more, by whatever way that came: whoever holds it is to know, and
    /// may register it again (P-R2, P-R4).
    #[must_use]
    pub fn poll_gone(&mut self) -> Option<u128> {
        self.evicted.pop_front()
    }

    /// An address to be looked into, once for each doubt.
    #[must_use]
    pub fn poll_doubt(&mut self) -> Option<Doubt> {
        self.book.next_doubt()
    }

    fn speaker(&self, link: LinkId) -> Result<u128, Refused> {
        self.links.get(&link).copied().ok_or(Refused::NotLinked)
    }

    fn tell(&mut self, touched: impl IntoIterator<Item = Touched>) {
        for (name, uuid) in touched {
            if self.book.link_of(uuid).is_none() {
                self.evicted.push_back(uuid);
            }
            self.watches.touch(name, uuid, self.bounds.changes);
        }
    }
}
