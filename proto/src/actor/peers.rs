//! The links of one actor by peer, who may come up as which peer, and who waits for one. It opens and
//! closes nothing: the driver tells it what has come up and gone, and is told what may go.
//!
//! Links, waiters and the dead are three tables. To wait for a peer makes no entry among its links.

mod crowd;
mod deaths;
mod proof;
mod waits;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::id::by_name::ByName;
use crate::id::{ActorId, LinkId};
use crate::report::{ExitStatus, LostCause};
use crowd::Crowd;
use deaths::Deaths;
use proof::Known;
pub use proof::{Origin, Proof, Stranger};
use waits::{For, Waits};

/// The bounds of what strangers may make an actor hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Accepted links that may be about to greet before any is dropped: more than honest peers are
    /// in the same instant.
    pub greeting: usize,
    /// From so many on every one is dropped: each holds a descriptor for `handshake_timeout`.
    pub most_greeting: usize,
    /// Of 65,536 how many are dropped where `greeting` is just reached; all of them at
    /// `most_greeting`, and in between in proportion.
    pub drop_rate: u16,
    /// Accepted links of one peer, until they are gone: more than portals share.
    pub links: usize,
    /// Actors whose death is remembered, so that who asks a moment later is told. Those that died
    /// first are forgotten first.
    pub dead: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { greeting: 64, most_greeting: 256, drop_rate: 19_661, links: 32, dead: 1024 }
    }
}

/// Names one that waits for a peer. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[must_use]
pub struct WaiterId(u64);

/// How a peer went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gone {
    /// It was not linked when that was asked.
    Unlinked,
    /// Its last link ended with a `Goodbye`.
    Left,
    /// Its last link ended otherwise.
    Lost(LostCause),
    /// Its process has ended, with this status where that is known.
    Died(Option<ExitStatus>),
}

/// What a wait came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Woken {
    /// A link to it takes dialogs.
    Up,
    /// It has no link any more; or it has died, and never will have one.
    Gone(Gone),
}

#[derive(Clone, Debug)]
struct Link {
    uuid: u128,
    origin: Origin,
    /// Portals that use it.
    portals: usize,
    /// A `Goodbye` was said on it: it takes no more dialogs.
    is_leaving: bool,
}

#[derive(Clone, Debug)]
struct Peer {
    id: ActorId,
    known: Known,
    /// The number of its coming.
    number: u64,
    /// In the order in which they came up.
    links: Vec<LinkId>,
}

/// The links of one actor.
///
/// - Looks: [`admits`](Self::admits), [`links`](Self::links), [`named`](Self::named),
///   [`peer`](Self::peer), [`is_alone`](Self::is_alone), and the counts.
/// - Facts: `handle_*`. Spurious ones do nothing.
/// - Wishes: [`wait_up`](Self::wait_up), [`wait_gone`](Self::wait_gone), [`cancel`](Self::cancel),
///   [`hold`](Self::hold), [`release`](Self::release).
/// - Out: [`poll_woken`](Self::poll_woken).
#[derive(Clone, Debug)]
pub struct Peers {
    me: u128,
    bounds: Bounds,
    links: BTreeMap<LinkId, Link>,
    peers: BTreeMap<u128, Peer>,
    names: ByName,
    /// The parent, and children until they have ended, whether they are linked or not.
    family: BTreeMap<u128, Known>,
    crowd: Crowd,
    deaths: Deaths,
    waits: Waits,
    strangers: u64,
    next: u64,
}

impl Peers {
    /// The links of the actor `me`, of which there are none yet.
    #[must_use]
    pub fn new(me: &ActorId, bounds: Bounds) -> Self {
        Self {
            me: me.uuid,
            bounds,
            links: BTreeMap::new(),
            peers: BTreeMap::new(),
            names: ByName::default(),
            family: BTreeMap::new(),
            crowd: Crowd::default(),
            deaths: Deaths::default(),
            waits: Waits::default(),
            strangers: 0,
            next: 0,
        }
    }

    /// Whether a link may come up as the actor that its `Hello` says it is (P-R8), and beside those
    /// that this one has already (P-R12).
    ///
    /// # Errors
    /// Why not. Those whose place it claims are untouched.
    pub fn admits(&self, id: &ActorId, origin: Origin, proof: Proof) -> Result<(), Stranger> {
        proof::judge(id, origin, proof)?;
        if id.uuid == self.me {
            return Err(Stranger::Oneself);
        }
        if self.deaths.of(id.uuid).is_some() {
            return Err(Stranger::Dead);
        }
        let linked = self.peers.get(&id.uuid).map(|peer| peer.known);
        let known = linked.into_iter().chain(self.family.get(&id.uuid).copied());
        if known.into_iter().any(|known| !known.is_proven_by(proof)) {
            return Err(Stranger::Unproven);
        }
        let max = self.bounds.links;
        if origin == Origin::Accepted && self.accepted(id.uuid) >= max {
            return Err(Stranger::TooMany { max });
        }
        Ok(())
    }

    /// The links to a peer that take dialogs, the preferred one first: what was inherited, since the
    /// kernel tells its end, then what came up last (P-R7).
    pub fn links(&self, uuid: u128) -> impl Iterator<Item = LinkId> {
        let all = self.peers.get(&uuid).map_or(&[][..], |peer| &peer.links);
        let open = move |is_family| {
            let is_wanted =
                move |link: &Link| !link.is_leaving && link.origin.is_family() == is_family;
            let newest = all.iter().rev().copied();
            newest.filter(move |id| self.links.get(id).is_some_and(is_wanted))
        };
        open(true).chain(open(false))
    }

    /// The peers of a name, the one that came last first.
    pub fn named(&self, name: &str) -> impl Iterator<Item = &ActorId> {
        self.names.newest(name).filter_map(|uuid| self.peer(uuid))
    }

    /// Who is linked under this uuid.
    #[must_use]
    pub fn peer(&self, uuid: u128) -> Option<&ActorId> {
        self.peers.get(&uuid).map(|peer| &peer.id)
    }

    /// Whether nobody but the parent is linked (P-C7).
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.links.values().all(|link| link.origin == Origin::Parent)
    }

    /// Links that are up.
    #[must_use]
    pub fn len(&self) -> usize {
        self.links.len()
    }

    /// Whether no link is up.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// Accepted links that have not come up and are not gone.
    #[must_use]
    pub fn greeting(&self) -> usize {
        self.crowd.len()
    }

    /// Waits that have not been told of their end.
    #[must_use]
    pub fn waiters(&self) -> usize {
        self.waits.len()
    }

    /// Children, and the parent, that have been linked and are not known to have ended.
    #[must_use]
    pub fn family(&self) -> usize {
        self.family.len()
    }

    /// How many were refused since they did not prove who they are (P-A7).
    #[must_use]
    pub const fn strangers(&self) -> u64 {
        self.strangers
    }

    /// How many were dropped since too many were about to greet (P-R10).
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.crowd.dropped()
    }

    /// A link has been accepted; says whether it is to be greeted, or else closed at once (P-R10).
    /// `roll` is a number that the peer cannot foresee, any of them as likely.
    #[must_use]
    pub fn handle_accepted(&mut self, link: LinkId, roll: u16) -> bool {
        self.links.contains_key(&link) || self.crowd.take(link, roll, &self.bounds)
    }

    /// A link has greeted: it is up, held by one portal where this actor has dialed it (P-R9).
    ///
    /// # Errors
    /// As of [`admits`](Self::admits): it is to be closed, and is not up.
    pub fn handle_link_up(
        &mut self,
        link: LinkId,
        id: &ActorId,
        origin: Origin,
        proof: Proof,
    ) -> Result<(), Stranger> {
        if self.links.contains_key(&link) {
            return Ok(());
        }
        self.admits(id, origin, proof)
            .inspect_err(|_| self.strangers = self.strangers.saturating_add(1))?;
        self.crowd.remove(link);
        let number = self.next;
        let peer = self.peers.entry(id.uuid).or_insert_with(|| Peer {
            id: id.clone(),
            known: Known::default(),
            number,
            links: Vec::new(),
        });
        if peer.links.is_empty() {
            self.next = self.next.saturating_add(1);
        } else {
            self.names.remove(&peer.id.name, peer.number);
            // What it was called when it first greeted may not have been its name yet (P-L7).
            peer.id = id.clone();
        }
        self.names.insert(&peer.id.name, peer.number, id.uuid);
        peer.known = peer.known.with(proof);
        peer.links.push(link);
        if origin.is_family() {
            self.family.insert(id.uuid, peer.known);
        }
        let portals = usize::from(origin == Origin::Dialed);
        self.links.insert(link, Link { uuid: id.uuid, origin, portals, is_leaving: false });
        self.waits.wake(id.uuid, For::Up, &Woken::Up);
        Ok(())
    }

    /// `Goodbye` was said or heard on a link: it takes no more dialogs, and no portal (P-L3).
    pub fn handle_goodbye(&mut self, link: LinkId) {
        if let Some(link) = self.links.get_mut(&link) {
            link.is_leaving = true;
        }
    }

    /// A link is gone, up or not, and with the last one of a peer that peer (P-R7).
    pub fn handle_link_gone(&mut self, id: LinkId, how: Gone) {
        self.crowd.remove(id);
        let Some(Link { uuid, .. }) = self.links.remove(&id) else { return };
        let Some(peer) = self.peers.get_mut(&uuid) else { return };
        peer.links.retain(|link| *link != id);
        if !peer.links.is_empty() {
            return;
        }
        self.names.remove(&peer.id.name, peer.number);
        self.peers.remove(&uuid);
        let how = self.death(uuid).unwrap_or(how);
        self.waits.wake(uuid, For::Gone, &Woken::Gone(how));
    }

    /// The process of an actor has ended, linked or not: no link to it will come up (P-R11). Those
    /// that are up go by themselves, once what is left in them is read.
    pub fn handle_dead(&mut self, uuid: u128, status: Option<ExitStatus>) {
        self.family.remove(&uuid);
        self.deaths.add(uuid, status, self.bounds.dead);
        let how = self.death(uuid).unwrap_or(Gone::Died(status));
        self.waits.wake(uuid, For::Up, &Woken::Gone(how));
    }

    /// Waits until a link to the peer takes dialogs, or it has died; at once where that is so.
    pub fn wait_up(&mut self, uuid: u128) -> WaiterId {
        let is_up = self.links(uuid).next().is_some();
        let answer = self.death(uuid).map(Woken::Gone).or(is_up.then_some(Woken::Up));
        self.waits.add(uuid, For::Up, answer)
    }

    /// Waits until the last link to the peer is gone; not at all where none is up.
    pub fn wait_gone(&mut self, uuid: u128) -> WaiterId {
        let is_linked = self.peers.contains_key(&uuid);
        let how = || self.death(uuid).unwrap_or(Gone::Unlinked);
        let answer = (!is_linked).then(|| Woken::Gone(how()));
        self.waits.add(uuid, For::Gone, answer)
    }

    /// Waits no longer; says whether there was still something to be told.
    pub fn cancel(&mut self, id: WaiterId) -> bool {
        self.waits.cancel(id)
    }

    /// A portal uses the link from here on; says whether it may. One on which `Goodbye` was said
    /// takes none: dial another (P-R9).
    #[must_use]
    pub fn hold(&mut self, link: LinkId) -> bool {
        let Some(link) = self.links.get_mut(&link).filter(|link| !link.is_leaving) else {
            return false;
        };
        link.portals = link.portals.saturating_add(1);
        true
    }

    /// A portal uses the link no longer; says whether `Goodbye` is to be said on it: it was dialed
    /// here, and this was the last (P-R9).
    #[must_use]
    pub fn release(&mut self, link: LinkId) -> bool {
        let Some(link) = self.links.get_mut(&link).filter(|link| link.portals > 0) else {
            return false;
        };
        link.portals = link.portals.saturating_sub(1);
        let is_last = link.portals == 0 && link.origin == Origin::Dialed && !link.is_leaving;
        link.is_leaving |= is_last;
        is_last
    }

    /// A wait that is over, each once.
    #[must_use]
    pub fn poll_woken(&mut self) -> Option<(WaiterId, Woken)> {
        self.waits.next()
    }

    /// Links that this peer has dialed.
    fn accepted(&self, uuid: u128) -> usize {
        let all = self.peers.get(&uuid).map_or(&[][..], |peer| &peer.links);
        let is_accepted = |link: &Link| link.origin == Origin::Accepted;
        all.iter().filter(|id| self.links.get(id).is_some_and(is_accepted)).count()
    }

    fn death(&self, uuid: u128) -> Option<Gone> {
        self.deaths.of(uuid).map(Gone::Died)
    }
}
