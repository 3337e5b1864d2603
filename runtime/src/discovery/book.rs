//! What this actor knows as a registrar, and those who ask it. Whoever asks has a number of its own here,
//! so that all it has registered and waits for goes when it does; what that means for others, and what
//! is refused, the core says.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_channel::{Receiver, Sender};
use event_listener::Event as Signal;
use hatchery_proto::registrar::{
    Bounds, Change, Cursor, Doubt, Page, Refused, Registered, Registrar, WaiterId, WatchId, Watched,
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
    /// The number of whoever asks next.
    next: AtomicU64,
    waiters: Mutex<BTreeMap<WaiterId, Sender<()>>>,
    watches: Mutex<BTreeMap<WatchId, Arc<Signal>>>,
    /// Those who hold an entry, to be told when it is gone.
    holders: Mutex<BTreeMap<u128, Vec<Sender<()>>>>,
}

/// Somebody who asks, until it is dropped.
pub(super) struct Asker {
    book: Arc<Book>,
    link: LinkId,
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
            next: AtomicU64::new(1),
            waiters: Mutex::default(),
            watches: Mutex::default(),
            holders: Mutex::default(),
        }
    }

    /// Whose it is.
    pub(super) fn id(&self) -> &ActorId {
        &self.id
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

    fn asker(self: &Arc<Self>, uuid: u128) -> Asker {
        let link = LinkId::new(self.next.fetch_add(1, Ordering::Relaxed));
        self.with(|core| core.handle_link_up(link, uuid));
        Asker { book: self.clone(), link }
    }

    /// Registers an actor for as long as what is given is held; the other hears when the entry is gone
    /// before that.
    pub(super) fn register(
        self: &Arc<Self>,
        id: &ActorId,
        addresses: &[Address],
    ) -> Result<(Asker, Receiver<()>)> {
        let asker = self.asker(id.uuid);
        let (sender, gone) = async_channel::bounded(1);
        self.with(|core| {
            core.register(asker.link, id, addresses)?;
            let mut holders = lock(&self.holders);
            let known = holders.entry(id.uuid).or_default();
            known.retain(|holder| !holder.is_closed());
            known.push(sender);
            Ok(())
        })
        .map_err(|refused| self.refused(&format!("registering actor {id}"), &refused))?;
        Ok((asker, gone))
    }

    /// Registers this actor itself.
    pub(super) fn register_itself(self: &Arc<Self>, addresses: &[Address]) -> Result<()> {
        let id = self.id.clone();
        self.with(|core| core.register(LinkId::OWN, &id, addresses))
            .map_err(|refused| self.refused(&format!("registering actor {id}"), &refused))
    }

    /// Takes an actor's entry out; says whether there was one.
    pub(super) fn unregister(self: &Arc<Self>, id: &ActorId) -> bool {
        let asker = self.asker(id.uuid);
        // It asks for its own.
        self.with(|core| core.unregister(asker.link, id.uuid)).unwrap_or(false)
    }

    pub(super) fn find(&self, name: &str) -> Vec<Registered> {
        lock(&self.core).find(name)
    }

    pub(super) fn list(&self, prefix: &str, after: Option<&Cursor>) -> Page {
        lock(&self.core).list(prefix, after)
    }

    /// Somebody could not reach an actor; without a name, it is believed by nobody but a look.
    pub(super) fn unreachable(self: &Arc<Self>, uuid: u128, address: &Address) {
        let asker = self.asker(0);
        self.with(|core| core.handle_unreachable(asker.link, uuid, address));
    }

    /// The actors of a name, once there are any. Cancel safe.
    pub(super) async fn wait(self: &Arc<Self>, name: &str) -> Result<Vec<Registered>> {
        loop {
            let asker = self.asker(0);
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
    pub(super) fn watch(self: &Arc<Self>, name: Option<&str>) -> Result<Watcher> {
        let asker = self.asker(0);
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
        self.book.with(|core| core.handle_link_gone(self.link));
    }
}

/// Is forgotten where nobody waits any more.
struct Waiting<'a> {
    book: &'a Book,
    id: WaiterId,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        lock(&self.book.waiters).remove(&self.id);
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
    }
}
