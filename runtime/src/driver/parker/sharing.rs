//! Where several threads run an actor, one of them may block while another could go on: then what the
//! blocked one waits for is waited for by a task as well, whichever thread polls that.

use std::collections::BTreeMap;
use std::mem;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::Waker;

use async_executor::Executor;
use async_io::Async;
use event_listener::listener;
use futures_lite::FutureExt;

use super::{Parker, Room};
use crate::driver::link::lock;

static PARKERS: Mutex<Vec<Weak<Parker>>> = Mutex::new(Vec::new());
/// How many futures run an actor.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

pub(super) fn remember(parker: &Arc<Parker>) {
    let mut parkers = lock(&PARKERS);
    parkers.retain(|parker| parker.strong_count() > 0);
    parkers.push(Arc::downgrade(parker));
}

/// That one future more runs an actor.
#[derive(Debug)]
pub(crate) struct Sharing(());

impl Sharing {
    /// From the second on, what the threads of them wait for is waited for on `executor` too.
    pub(crate) fn begin(executor: &Arc<Executor<'static>>) -> Self {
        if RUNNING.fetch_add(1, Ordering::SeqCst) == 1 {
            settle(Some(executor));
        }
        Self(())
    }
}

impl Drop for Sharing {
    fn drop(&mut self) {
        if RUNNING.fetch_sub(1, Ordering::SeqCst) == 2 {
            settle(None);
        }
    }
}

fn settle(executor: Option<&Arc<Executor<'static>>>) {
    let parkers: Vec<_> = lock(&PARKERS).iter().filter_map(Weak::upgrade).collect();
    parkers.iter().for_each(|parker| parker.settle(executor));
}

impl Parker {
    /// Follows how many run the actor. Whoever changes that asks for it, so the last has the last word.
    fn settle(self: &Arc<Self>, executor: Option<&Arc<Executor<'static>>>) {
        let deadlines = {
            let mut waits = lock(&self.waits);
            waits.shared = RUNNING.load(Ordering::SeqCst) > 1;
            if waits.shared { mem::take(&mut waits.deadlines) } else { BTreeMap::new() }
        };
        // They wait by async-io from here on.
        deadlines.into_values().for_each(Waker::wake);
        match executor {
            Some(executor) if !self.proxied.swap(true, Ordering::SeqCst) => {
                executor.spawn(Proxy(self.clone()).run()).detach();
            }
            _ => {
                self.unshared.notify(usize::MAX);
            }
        }
    }
}

/// Waits for what a thread waits for.
struct Proxy(Arc<Parker>);

impl Proxy {
    async fn run(self) {
        let parker = &self.0;
        let epoll = parker.epoll.as_fd().try_clone_to_owned();
        let Ok(epoll) = epoll.and_then(Async::new_nonblocking) else {
            tracing::warn!(
                target: "hatchery::runtime",
                "no room to wait for the links of a thread that blocks"
            );
            return;
        };
        loop {
            listener!(parker.unshared => unshared);
            if self.leaves() {
                return;
            }
            let shared = async {
                unshared.await;
                Ok(())
            };
            if let Err(error) = epoll.readable().or(shared).await {
                tracing::warn!(
                    target: "hatchery::runtime",
                    %error,
                    "nobody waits for the links of a thread that blocks"
                );
                return;
            }
            parker.look(&mut Room::default());
        }
    }

    /// Whether nobody needs it any more: then there may be another one from now on.
    fn leaves(&self) -> bool {
        let waits = lock(&self.0.waits);
        let leaves = !waits.shared || waits.over;
        if leaves {
            self.0.proxied.store(false, Ordering::SeqCst);
        }
        leaves
    }
}
