//! What this actor knows as a registrar, and those who ask it, each over a link. What one of them has
//! registered and waits for goes when it does, and with the last of a link that link; what that means for
//! others, and what is refused, the core says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_channel::{Receiver, Sender};
use event_listener::Event as Signal;
use hatchery_proto::registrar::{
    Bounds, Change, Cursor, Doubt, HolderId, Page, Refused, Registered, Registrar, WaiterId,
    WatchId, Watched,
};
use hatchery_proto::{ActorId, Address, LinkId};

use crate::actor::Actor;
use crate::driver::link::lock;
use crate::error::{Error, Result};
use crate::wait;

/// A registrar's book, and those whom it owes an answer.
pub(crate) struct Book {
    id: ActorId,
    core: Mutex<Registrar>,
    /// How many ask over each link just now.
    askers: Mutex<BTreeMap<LinkId, usize>>,
    waiters: Mutex<BTreeMap<WaiterId, Sender<()>>>,
    watches: Mutex<BTreeMap<WatchId, Arc<Signal>>>,
    /// Those who hold an entry, to be told when it is gone.
    holders: Mutex<BTreeMap<u128, Vec<Sender<()>>>>,
}

/// Over which link somebody asks, and the actor that it speaks for.
#[derive(Clone, Copy)]
pub(super) struct Over {
    pub(super) link: LinkId,
    pub(super) uuid: u128,
}

/// Somebody who asks, until it is dropped.
struct Asker {
    book: Arc<Book>,
    link: LinkId,
}

/// Somebody who is registered, until it is dropped.
pub(super) struct Entered {
    asker: Asker,
    id: HolderId,
}

/// Somebody who watches.
pub(super) struct Watcher {
    asker: Asker,
    id: WatchId,
    news: Arc<Signal>,
}

impl Book {
    pub(super) fn new(id: ActorId) -> Self {
        Self {
            core: Mutex::new(Registrar::new(&id, Bounds::default())),
            id,
            askers: Mutex::default(),
            waiters: Mutex::default(),
            watches: Mutex::default(),
            holders: Mutex::default(),
        }
    }

    /// Whose it is.
    pub(super) fn id(&self) -> &ActorId {
        &self.id
    }

    /// This actor itself, which asks without a link.
    pub(super) fn own(&self) -> Over {
        Over { link: LinkId::OWN, uuid: self.id.uuid }
    }

    /// Does something to the book, then tells everybody whom that concerns.
    fn with<R>(self: &Arc<Self>, f: impl FnOnce(&mut Registrar) -> R) -> R {
        let (value, doubts) = {
            let mut core = lock(&self.core);
            let value = f(&mut core);
            while let Some((id, _)) = core.poll_answer() {
                if let Some(waiter) = lock(&self.waiters).remove(&id) {
                    let _ = waiter.try_send(());
                }
            }
            while let Some(id) = core.poll_watch() {
                if let Some(news) = lock(&self.watches).get(&id) {
                    news.notify(usize::MAX);
                }
            }
            while let Some(uuid) = core.poll_gone() {
                for holder in lock(&self.holders).remove(&uuid).into_iter().flatten() {
                    let _ = holder.try_send(());
                }
            }
            let doubts: Vec<_> = std::iter::from_fn(|| core.poll_doubt()).collect();
            (value, doubts)
        };
        for doubt in doubts {
            self.look_into(doubt);
        }
        value
    }

    /// Finds out whether an actor can be reached where somebody could not (P-R4).
    fn look_into(self: &Arc<Self>, doubt: Doubt) {
        let Some(actor) = Actor::running() else { return };
        let book = self.clone();
        let look = {
            let actor = actor.clone();
            async move {
                let reached = actor.reach(&doubt.address, Some(doubt.uuid)).await;
                book.with(|core| core.handle_checked(&doubt, reached.is_ok()));
            }
        };
        actor.spawn(look).detach();
    }

    fn asker(self: &Arc<Self>, over: Over) -> Asker {
        let Over { link, uuid } = over;
        // Held meanwhile, so that the last of a link that leaves does not take it from the next.
        let mut askers = lock(&self.askers);
        *askers.entry(link).or_default() += 1;
        self.with(|core| core.handle_link_up(link, uuid));
        drop(askers);
        Asker { book: self.clone(), link }
    }

    /// Registers an actor for as long as what is given is held; the other hears when the entry is gone
    /// before that.
    pub(super) fn register(
        self: &Arc<Self>,
        over: Over,
        id: &ActorId,
        addresses: &[Address],
    ) -> Result<(Entered, Receiver<()>)> {
        let asker = self.asker(over);
        let (sender, gone) = async_channel::bounded(1);
        let holder = self.with(|core| {
            let holder = core.register(asker.link, id, addresses)?;
            let mut holders = lock(&self.holders);
            let known = holders.entry(id.uuid).or_default();
            known.retain(|holder| !holder.is_closed());
            known.push(sender);
            Ok(holder)
        });
        let what = || format!("registering actor {id}");
        let id = holder.map_err(|refused| self.refused(&what(), &refused))?;
        Ok((Entered { asker, id }, gone))
    }

    /// Registers this actor itself.
    pub(super) fn register_itself(self: &Arc<Self>, addresses: &[Address]) -> Result<()> {
        let id = self.id.clone();
        self.with(|core| core.register(LinkId::OWN, &id, addresses))
            .map(drop)
            .map_err(|refused| self.refused(&format!("registering actor {id}"), &refused))
    }

    /// Takes an actor's entry out; says whether there was one.
    pub(super) fn unregister(self: &Arc<Self>, over: Over, id: &ActorId) -> bool {
        let asker = self.asker(over);
        // It asks for its own.
        self.with(|core| core.unregister(asker.link, id.uuid)).unwrap_or(false)
    }

    pub(super) fn find(&self, name: &str) -> Vec<Registered> {
        lock(&self.core).find(name)
    }

    pub(super) fn list(&self, prefix: &str, after: Option<&Cursor>) -> Page {
        lock(&self.core).list(prefix, after)
    }

    /// Somebody could not reach an actor.
    pub(super) fn unreachable(self: &Arc<Self>, over: Over, uuid: u128, address: &Address) {
        let asker = self.asker(over);
        self.with(|core| core.handle_unreachable(asker.link, uuid, address));
    }

    /// The actors of a name, once there are any. Cancel safe.
    pub(super) async fn wait(self: &Arc<Self>, over: Over, name: &str) -> Result<Vec<Registered>> {
        let asker = self.asker(over);
        loop {
            let (sender, receiver) = async_channel::bounded(1);
            let id = self
                .with(|core| {
                    let id = core.wait(asker.link, name)?;
                    lock(&self.waiters).insert(id, sender);
                    Ok(id)
                })
                .map_err(|refused| self.refused(&format!("waiting for `{name}`"), &refused))?;
            let _waiting = Waiting { book: self, id };
            let _ = receiver.recv().await;
            let found = self.find(name);
            // Gone again before it could be read: waits on.
            if !found.is_empty() {
                return Ok(found);
            }
        }
    }

    /// What comes and goes from here on.
    pub(super) fn watch(self: &Arc<Self>, over: Over, name: Option<&str>) -> Result<Watcher> {
        let asker = self.asker(over);
        let of = name.map_or(Watched::All, |name| Watched::Name(name.to_owned()));
        let news = Arc::new(Signal::new());
        let id = self
            .with(|core| {
                let id = core.watch(asker.link, of)?;
                lock(&self.watches).insert(id, news.clone());
                Ok(id)
            })
            .map_err(|refused| self.refused("watching a registrar", &refused))?;
        Ok(Watcher { asker, id, news })
    }

    fn refused(&self, what: &str, refused: &Refused) -> Error {
        Error::misuse(format!("{what} at registrar {}: {refused}", self.id))
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        let mut askers = lock(&self.book.askers);
        let Some(count) = askers.get_mut(&self.link) else { return };
        *count -= 1;
        if *count == 0 {
            askers.remove(&self.link);
            // This actor itself may always ask, and has its entry until it ends.
            if self.link != LinkId::OWN {
                self.book.with(|core| core.handle_link_gone(self.link));
            }
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.asker.book.with(|core| core.release(self.id));
    }
}

/// Is forgotten where nobody waits any more.
struct Waiting<'a> {
    book: &'a Arc<Book>,
    id: WaiterId,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        lock(&self.book.waiters).remove(&self.id);
        self.book.with(|core| core.cancel_wait(self.id));
    }
}

impl Watcher {
    /// The next change. Cancel safe.
    pub(super) async fn next(&mut self) -> Change {
        let book = &self.asker.book;
        wait::until(&self.news, || book.with(|core| core.poll_change(self.id))).await
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        lock(&self.asker.book.watches).remove(&self.id);
        self.asker.book.with(|core| core.cancel_watch(self.id));
    }
}
