//! How the core's word that a scope is due reaches the task that polls it. Decides nothing.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use crate::driver::link::lock;

/// One scope's.
#[derive(Default)]
pub(crate) struct Bell {
    rung: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Bell {
    pub(crate) fn ring(&self) {
        self.rung.store(true, Ordering::Release);
        if let Some(waker) = lock(&self.waker).take() {
            waker.wake();
        }
    }

    /// Whether it was rung, by whatever thread.
    pub(super) fn is_rung(&self) -> bool {
        self.rung.load(Ordering::Acquire)
    }

    /// Makes a new one of it: its scope is closed.
    pub(crate) fn reset(&self) {
        self.rung.store(false, Ordering::Release);
        *lock(&self.waker) = None;
    }

    pub(super) fn listen(&self, waker: &Waker) {
        let mut slot = lock(&self.waker);
        match &*slot {
            Some(known) if known.will_wake(waker) => {}
            _ => *slot = Some(waker.clone()),
        }
    }
}
