//! A registrar as those who ask it hold it, wherever it is: here, above, or behind a link.

use std::fmt;
use std::sync::{Arc, Mutex};

use hatchery_proto::registrar::{Change, Registered};
use hatchery_proto::{ActorId, Address};

use super::book::Watcher;
use super::{Book, Registrar, Terms, served};
use crate::actor::Actor;
use crate::driver::link::lock;
use crate::error::{Error, Result};
use crate::portal::Portal;
use crate::source::Source;

/// A registrar that this actor asks, and the link to it while there is one.
pub(crate) struct Known {
    actor: Arc<Actor>,
    address: Address,
    state: Mutex<State>,
}

struct State {
    uuid: Option<u128>,
    book: Option<Arc<Book>>,
    portal: Option<Portal>,
}

/// How a registrar is asked.
pub(super) enum Way {
    /// It is this actor itself.
    Own(Arc<Book>),
    Portal(Portal),
}

impl Known {
    fn new(actor: &Arc<Actor>, address: &Address, state: State) -> Self {
        Self { actor: actor.clone(), address: address.clone(), state: Mutex::new(state) }
    }

    /// One that the parent has told of.
    pub(super) fn told(actor: &Arc<Actor>, registrar: &Registrar) -> Self {
        let state = State { uuid: registrar.uuid, book: None, portal: None };
        Self::new(actor, &registrar.address, state)
    }

    /// One that has answered.
    pub(super) fn joined(
        actor: &Arc<Actor>,
        address: &Address,
        portal: Portal,
        id: &ActorId,
    ) -> Self {
        let state = State { uuid: Some(id.uuid), book: None, portal: Some(portal) };
        Self::new(actor, address, state)
    }

    /// This actor.
    pub(super) fn own(actor: &Arc<Actor>, address: &Address, book: &Arc<Book>) -> Self {
        let uuid = Some(actor.id().uuid);
        Self::new(actor, address, State { uuid, book: Some(book.clone()), portal: None })
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// An address of this machine's beside it, with any port, where it is a network's and the root of this
    /// tree listens there.
    pub(super) fn beside(&self, root: u128) -> Option<Address> {
        lock(&self.state).uuid.filter(|uuid| *uuid == root)?;
        match self.address.clone() {
            Address::Tcp { host, .. } => Some(Address::Tcp { host, port: 0 }),
            Address::Quic { host, .. } => Some(Address::Quic { host, port: 0 }),
            _ => None,
        }
    }

    pub(super) fn as_told(&self) -> Registrar {
        let (address, uuid) = (self.address.clone(), lock(&self.state).uuid);
        Registrar { address, uuid, terms: Terms::Either }
    }

    /// How to ask it: over the link to the parent where that is it, or one that is there, or a new one.
    pub(super) async fn way(&self) -> Result<Way> {
        let mut old = None;
        let uuid = {
            let mut state = lock(&self.state);
            if let Some(book) = &state.book {
                return Ok(Way::Own(book.clone()));
            }
            if let Some(portal) = &state.portal {
                if portal.serves() {
                    return Ok(Way::Portal(portal.clone()));
                }
                // Whoever answers there next may be another.
                old = state.portal.take();
                state.uuid = None;
            }
            state.uuid
        };
        drop(old);
        let linked = uuid.and_then(|uuid| self.actor.peers().portal_to(uuid));
        let portal = match linked {
            Some(portal) => portal,
            None => self.actor.reach(&self.address, None).await.map_err(|error| {
                let what = format!("asking the registrar at `{}`", self.address);
                error.of(&what, self.actor.id())
            })?,
        };
        let mut state = lock(&self.state);
        state.uuid = Some(portal.id().uuid);
        state.portal = Some(portal.clone());
        Ok(Way::Portal(portal))
    }
}

/// A registrar that this actor knows: a book of names, and where whoever has them can be reached.
#[derive(Clone)]
pub struct Registry {
    known: Arc<Known>,
}

/// The registrars of the running actor, in the order of its options; none where it was given none.
///
/// # Errors
/// `Misuse` where no actor runs in this process.
pub fn get_registry() -> Result<Vec<Registry>> {
    let actor = Actor::running().ok_or_else(|| {
        Error::misuse("asking for the registrars of this actor, and no actor runs here")
    })?;
    Ok(actor.discovery().known().into_iter().map(Registry::of).collect())
}

impl Registry {
    pub(super) fn of(known: Arc<Known>) -> Self {
        Self { known }
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        self.known.address()
    }

    /// Everybody who is registered, by name, and within a name who came first. What is registered
    /// again meanwhile may be listed twice.
    ///
    /// # Errors
    /// Where the registrar cannot be reached, or is lost.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn list(&self) -> Result<Vec<Registered>> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = match self.known.way().await? {
                Way::Own(book) => book.list("", after.as_ref()),
                Way::Portal(portal) => portal.run(served::list(String::new(), after)).await?,
            };
            all.extend(page.entries);
            match page.more {
                Some(more) => after = Some(more),
                None => return Ok(all),
            }
        }
    }

    /// The actors of a name, the newest first.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    ///
    /// # Cancel safety
    /// As there.
    pub async fn query(&self, name: &str) -> Result<Vec<Registered>> {
        Ok(match self.known.way().await? {
            Way::Own(book) => book.find(name),
            Way::Portal(portal) => portal.run(served::find(name.to_owned())).await?,
        })
    }

    /// The same, once there are any.
    pub(super) async fn wait(&self, name: &str) -> Result<Vec<Registered>> {
        match self.known.way().await? {
            Way::Own(book) => book.wait(book.own(), name).await,
            Way::Portal(portal) => Ok(portal.run(served::wait(name.to_owned())).await?),
        }
    }

    /// Watches who comes and goes, under one name or at all, from here on: what was there before is
    /// [listed](Self::list) right after.
    ///
    /// # Errors
    /// As [`list`](Self::list); that too many watch already is what is received first.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn watch(&self, name: Option<&str>) -> Result<Watching> {
        Ok(Watching(match self.known.way().await? {
            Way::Own(book) => From::Own(book.watch(book.own(), name)?),
            Way::Portal(portal) => {
                let call = served::watch(name.map(str::to_owned));
                From::Source(portal.open_stream_from(call).await?)
            }
        }))
    }

    pub(super) async fn unreachable(&self, uuid: u128, address: &Address) -> Result<()> {
        match self.known.way().await? {
            Way::Own(book) => book.unreachable(book.own(), uuid, address),
            Way::Portal(portal) => {
                portal.run(served::unreachable(uuid, address.clone())).await?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("address", self.address()).finish()
    }
}

/// What comes and goes at a registrar, from [`Registry::watch`]. Of several changes to one actor only
/// the last is told, and to one that falls far behind [`Missed`](Change::Missed) is.
#[must_use = "dropping it ends the watch"]
pub struct Watching(From);

enum From {
    Own(Watcher),
    Source(Source<served::watch>),
}

impl Watching {
    /// Waits for the next change.
    ///
    /// # Errors
    /// Where the registrar was lost, or takes no more watches.
    ///
    /// # Cancel safety
    /// Dropped before it is done, it has taken nothing.
    pub async fn recv(&mut self) -> Result<Change> {
        match &mut self.0 {
            From::Own(watcher) => Ok(watcher.next().await),
            From::Source(source) => match source.recv().await? {
                Some(change) => Ok(change),
                None => Err(Error::gone(source.peer())),
            },
        }
    }
}

impl fmt::Debug for Watching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watching").finish_non_exhaustive()
    }
}
