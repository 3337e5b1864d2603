//! How actors that were not born together find each other: where this one listens, which registrars it
//! is known to, and what it is, where it is one itself.
//!
//! What a registrar knows and tells is the core's ([`Registrar`](hatchery_proto::registrar)); here it is
//! asked, by calls like any other.

mod block;
mod book;
mod election;
mod keeping;
mod listening;
mod lookup;
mod registry;
mod served;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use async_executor::Task;
use hatchery_proto::Address;
use serde::{Deserialize, Serialize};

pub use block::with_actor;
pub(crate) use book::Book;
pub(crate) use hatchery_proto::registrar::Terms;
pub use listening::local_address;
pub(crate) use lookup::dial_again;
pub use lookup::{connect, find_actor, query_actor, unregister, wait_for_actor};
pub use registry::{Registry, Watching, get_registry};
pub(crate) use served::ENTRIES;

use crate::actor::Actor;
use crate::driver::link::lock;
use crate::error::Result;
use registry::Known;

/// Where an actor is to be found, and by whom: what its options or its parent say.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Places {
    /// Where it listens; somewhere, where it has registrars and nothing is said.
    pub(crate) listen: Vec<Address>,
    /// The registrars that it registers with.
    pub(crate) registrars: Vec<Registrar>,
}

/// A registrar, as far as it is known.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Registrar {
    pub(crate) address: Address,
    /// Who it is, where that was found out already.
    pub(crate) uuid: Option<u128>,
    /// What a root makes of it.
    #[serde(skip)]
    pub(crate) terms: Terms,
}

impl Places {
    /// Whether there is nothing to be done.
    pub(crate) const fn is_empty(&self) -> bool {
        self.listen.is_empty() && self.registrars.is_empty()
    }
}

/// What this actor listens on, whom it is known to, and what it knows as a registrar.
#[derive(Default)]
pub(crate) struct Discovery {
    book: OnceLock<Arc<Book>>,
    state: Mutex<State>,
    /// Somebody is about to look for what processes have left that were killed.
    sweeps: AtomicBool,
    /// It has taken its name back, or is ending.
    hides: AtomicBool,
}

#[derive(Default)]
struct State {
    addresses: Vec<Address>,
    known: Vec<Arc<Known>>,
    /// Accept peers, and keep this actor registered.
    listening: Vec<Task<()>>,
    kept: Vec<Task<()>>,
}

impl Discovery {
    /// What this actor knows, where it is a registrar.
    pub(crate) fn book(&self) -> Option<Arc<Book>> {
        self.book.get().cloned()
    }

    /// Where this actor listens.
    pub(crate) fn addresses(&self) -> Vec<Address> {
        lock(&self.state).addresses.clone()
    }

    /// The registrars that this actor asks.
    fn known(&self) -> Vec<Arc<Known>> {
        lock(&self.state).known.clone()
    }

    /// Those that its children are told of.
    pub(crate) fn registrars(&self) -> Vec<Registrar> {
        self.known().iter().map(|known| known.as_told()).collect()
    }

    /// Listens no more: sockets close, and their files go.
    pub(crate) fn close(&self) {
        drop(std::mem::take(&mut lock(&self.state).listening));
    }

    /// Whether this actor was ever to be found.
    fn is_used(&self) -> bool {
        let state = lock(&self.state);
        !state.addresses.is_empty() || !state.known.is_empty()
    }

    /// Looks for what processes of a tree have left that were killed, at its root's end.
    pub(crate) fn sweep(&self) {
        if self.is_used() {
            listening::sweep();
        }
    }

    /// Forgets everything: each part holds the actor, and the actor these.
    pub(crate) fn forget(&self) {
        drop(std::mem::take(&mut *lock(&self.state)));
    }
}

impl Actor {
    /// Takes up what `places` say: listens, and is known to every registrar before this returns
    /// (DISC-03). A root joins each registrar, or becomes it where there is none.
    pub(crate) async fn take_place(self: &Arc<Self>, places: &Places, is_root: bool) -> Result<()> {
        for registrar in &places.registrars {
            let known = match is_root {
                true => election::come_to(self, registrar).await?,
                false => Known::told(self, registrar),
            };
            lock(&self.discovery().state).known.push(Arc::new(known));
        }
        for address in &places.listen {
            listening::listen(self, address).await?;
        }
        let known = self.discovery().known();
        if !known.is_empty() && self.discovery().addresses().is_empty() {
            listening::listen_somewhere(self).await?;
            // Where this tree's own root is found over a network, its actors are, too.
            for place in known.iter().filter_map(|known| known.beside(self.tree())) {
                listening::listen(self, &place).await?;
            }
        }
        for known in known {
            let kept = keeping::register(self, &known, is_root).await?;
            lock(&self.discovery().state).kept.extend(kept);
        }
        Ok(())
    }

    /// A child has ended that may not have been able to clean up: what it has left is looked for soon.
    pub(crate) fn sweep_soon(self: &Arc<Self>) {
        let is_found = self.discovery().is_used();
        if !is_found || self.discovery().sweeps.swap(true, Ordering::AcqRel) {
            return;
        }
        let actor = self.clone();
        let sweep = async move {
            // Whoever dies from here on has another.
            actor.discovery().sweeps.store(false, Ordering::Release);
            listening::sweep();
        };
        self.spawn(sweep).detach();
    }

    /// Takes its name back at every registrar (P-C7).
    pub(crate) async fn deregister(&self) {
        keeping::unregister(self).await;
    }
}
