//! The links of one actor, by number: those with its parent and its children too. What a link's coming
//! and going means for whom, and who may come at all, the core says; here is which link is meant.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_channel::Sender;
use event_listener::Event as Signal;
use hatchery_proto::actor::peers::{Bounds, Gone, Origin, Peers, Proof, WaiterId, Woken};
use hatchery_proto::{ActorId, ExitStatus, GoodbyeReason, LinkId};

use super::{Held, Peer, TurnedAway};
use crate::actor::Actor;
use crate::driver::identity;
use crate::driver::link::{Link, lock};
use crate::portal::Portal;
use crate::supervisor::Child;
use crate::wait;

/// An actor's links.
pub(crate) struct Table {
    core: Mutex<Peers>,
    next: AtomicU64,
    /// The actor takes no more of them.
    refuses: AtomicBool,
    known: Mutex<BTreeMap<LinkId, With>>,
    waiters: Mutex<BTreeMap<WaiterId, Sender<Woken>>>,
    changed: Signal,
}

/// Whom a link leads to, as portals have it.
#[derive(Clone)]
enum With {
    Child(Arc<Child>),
    /// The parent too.
    Peer(Arc<Peer>),
}

impl Table {
    pub(crate) fn new(me: &ActorId) -> Self {
        Self {
            core: Mutex::new(Peers::new(me, Bounds::default())),
            next: AtomicU64::new(1),
            refuses: AtomicBool::new(false),
            known: Mutex::default(),
            waiters: Mutex::default(),
            changed: Signal::new(),
        }
    }

    /// Tells the core something, then everybody whom that concerns.
    fn with<R>(&self, f: impl FnOnce(&mut Peers) -> R) -> R {
        let value = {
            let mut core = lock(&self.core);
            let value = f(&mut core);
            while let Some((id, woken)) = core.poll_woken() {
                if let Some(waiter) = lock(&self.waiters).remove(&id) {
                    let _ = waiter.try_send(woken);
                }
            }
            value
        };
        self.changed.notify(usize::MAX);
        value
    }

    fn number(&self) -> LinkId {
        LinkId::new(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// The number of somebody who has connected here and is to be heard (P-R10); nothing where there
    /// are too many of them already.
    pub(crate) fn arrives(&self) -> Option<LinkId> {
        let number = self.number();
        let roll = identity::roll();
        self.with(|core| core.handle_accepted(number, roll)).then_some(number)
    }

    /// The number of a link that this actor is about to dial.
    pub(crate) fn dials(&self) -> LinkId {
        self.number()
    }

    /// A peer has greeted; why it is turned away, where it is (P-R8, P-R12).
    pub(super) fn came(
        &self,
        peer: &Arc<Peer>,
        origin: Origin,
        proof: Proof,
    ) -> Result<(), TurnedAway> {
        if self.refuses.load(Ordering::Acquire) {
            let why = "the actor is ending and takes no new link (P-C7)";
            return Err(TurnedAway::because(why));
        }
        lock(&self.known).insert(peer.number, With::Peer(peer.clone()));
        let up = self.with(|core| core.handle_link_up(peer.number, &peer.id, origin, proof));
        up.map_err(|stranger| {
            lock(&self.known).remove(&peer.number);
            TurnedAway { why: stranger.to_string(), told: stranger.told() }
        })
    }

    /// `Goodbye` was said or heard on a link.
    pub(super) fn leaving(&self, number: LinkId) {
        self.with(|core| core.handle_goodbye(number));
    }

    /// Whoever came has not proven to be anybody.
    pub(crate) fn unmet(&self, number: LinkId) {
        self.gone(number, Gone::Unlinked);
    }

    /// A link is gone, whether it was up or not.
    pub(super) fn gone(&self, number: LinkId, how: Gone) {
        lock(&self.known).remove(&number);
        self.with(|core| core.handle_link_gone(number, how));
    }

    /// The parent is known, and which process it is.
    pub(crate) fn parent_up(&self, actor: &Arc<Actor>, link: &Arc<Link>, id: &ActorId, pid: u32) {
        let number = self.number();
        let peer = Peer::inherited(actor, link, number, id);
        let proof = Proof::Inherited(pid);
        if let Err(TurnedAway { why, .. }) = self.came(&peer, Origin::Parent, proof) {
            tracing::error!(
                target: "hatchery::transport",
                parent = %id, why,
                "the parent is not known as a peer"
            );
        }
    }

    /// A child is up, as the process that this one has started.
    pub(crate) fn child_up(&self, child: &Arc<Child>, pid: u32) {
        let (number, id) = (self.number(), child.id());
        lock(&self.known).insert(number, With::Child(child.clone()));
        let proof = Proof::Inherited(pid);
        let up = self.with(|core| core.handle_link_up(number, &id, Origin::Child, proof));
        if let Err(stranger) = up {
            lock(&self.known).remove(&number);
            tracing::error!(
                target: "hatchery::transport",
                child = %id, %stranger,
                "a child is not known as a peer"
            );
        }
    }

    /// A child's process has ended, or its link has.
    pub(crate) fn child_gone(&self, child: &Arc<Child>, status: Option<ExitStatus>) {
        let uuid = child.id().uuid;
        let number = {
            let known = lock(&self.known);
            let is_it = |with: &With| matches!(with, With::Child(one) if Arc::ptr_eq(one, child));
            known.iter().find(|(_, with)| is_it(with)).map(|(number, _)| *number)
        };
        self.with(|core| core.handle_dead(uuid, status));
        if let Some(number) = number {
            self.gone(number, Gone::Died(status));
        }
    }

    /// A portal uses a link; says whether it may.
    pub(super) fn hold(&self, number: LinkId) -> bool {
        self.with(|core| core.hold(number))
    }

    /// A portal uses it no longer.
    pub(super) fn release(&self, peer: &Peer) {
        if self.with(|core| core.release(peer.number)) {
            peer.link.with(|connection, now| connection.goodbye(now, GoodbyeReason::LinkOnly));
        }
    }

    /// Waits until the last link with a peer is gone.
    pub(super) async fn left(&self, uuid: u128) -> Gone {
        let (sender, receiver) = async_channel::bounded(1);
        let id = self.with(|core| {
            let id = core.wait_gone(uuid);
            lock(&self.waiters).insert(id, sender);
            id
        });
        let _waiting = Waiting { table: self, id };
        match receiver.recv().await {
            Ok(Woken::Gone(how)) => how,
            Ok(Woken::Up) | Err(_) => Gone::Unlinked,
        }
    }

    /// A portal to the newest actor of this name that is linked.
    pub(crate) fn portal_named(&self, name: &str) -> Option<Portal> {
        let links: Vec<_> = {
            let core = lock(&self.core);
            core.named(name).flat_map(|id| core.links(id.uuid)).collect()
        };
        self.portal(links)
    }

    /// The same, once there is one. Cancel safe.
    pub(crate) async fn portal_comes(&self, name: &str) -> Portal {
        wait::until(&self.changed, || self.portal_named(name)).await
    }

    /// A portal to an actor that is linked.
    pub(crate) fn portal_to(&self, uuid: u128) -> Option<Portal> {
        let links: Vec<_> = lock(&self.core).links(uuid).collect();
        self.portal(links)
    }

    /// A link with a peer that takes dialogs, held for whoever gets it.
    pub(super) fn held_link(&self, uuid: u128) -> Option<Arc<Peer>> {
        let links: Vec<_> = lock(&self.core).links(uuid).collect();
        links.into_iter().find_map(|number| {
            let with = lock(&self.known).get(&number).cloned()?;
            match with {
                With::Peer(peer) if self.hold(number) => Some(peer),
                _ => None,
            }
        })
    }

    /// A portal on the first of these links that takes one.
    fn portal(&self, links: Vec<LinkId>) -> Option<Portal> {
        links.into_iter().find_map(|number| {
            let with = lock(&self.known).get(&number).cloned()?;
            match with {
                With::Child(child) => Some(Portal::to_child(child)),
                With::Peer(peer) => Held::on(peer).map(Portal::to_peer),
            }
        })
    }

    /// Does it for each link with a peer that is no parent.
    pub(crate) fn each(&self, mut tell: impl FnMut(&Arc<Link>)) {
        let known: Vec<_> = lock(&self.known).values().cloned().collect();
        for with in known {
            if let With::Peer(peer) = with
                && !peer.is_parent
            {
                tell(&peer.link);
            }
        }
    }

    /// Takes no more links from here on.
    pub(crate) fn refuse(&self) {
        self.refuses.store(true, Ordering::Release);
    }

    /// Says to every peer that the actor leaves, and waits until none is linked but the parent (P-C7).
    pub(crate) async fn part(&self) {
        let known: Vec<_> = lock(&self.known).values().cloned().collect();
        for with in known {
            if let With::Peer(peer) = with
                && !peer.is_parent
            {
                peer.link.with(|connection, now| connection.goodbye(now, GoodbyeReason::Leaving));
            }
        }
        wait::until(&self.changed, || lock(&self.core).is_alone().then_some(())).await;
    }

    /// Cuts what is left.
    pub(crate) fn forget(&self) {
        let known = std::mem::take(&mut *lock(&self.known));
        for with in known.into_values() {
            if let With::Peer(peer) = with
                && !peer.is_parent
            {
                peer.link.cut();
            }
        }
    }
}

/// Is forgotten where nobody waits any more.
struct Waiting<'a> {
    table: &'a Table,
    id: WaiterId,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        lock(&self.table.waiters).remove(&self.id);
        self.table.with(|core| core.cancel(self.id));
    }
}
