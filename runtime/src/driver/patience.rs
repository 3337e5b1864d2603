//! Waiting for a lock no longer than a while, for whoever looks into a process that hangs: one of its
//! threads may hold it for good. Nothing that a lock guards is known here.

use std::sync::{Mutex, MutexGuard, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

/// How long who waits for a lock rests between two tries; the system has no wait with a bound.
const REST: Duration = Duration::from_millis(1);

/// Until when somebody is willing to wait, for all that is looked at together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience(Option<Instant>);

impl Patience {
    /// For one try of each lock.
    pub(crate) const AT_ONCE: Self = Self(None);

    /// From now on for so long.
    pub(crate) fn of(long: Duration) -> Self {
        Self(Instant::now().checked_add(long))
    }

    /// The lock, where it is to be had in time; it is tried once though the time is over. A lock whose
    /// holder panicked still guards sound data.
    pub(crate) fn lock<T: ?Sized>(self, mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
        loop {
            match mutex.try_lock() {
                Ok(guard) => return Some(guard),
                Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) if self.is_over() => return None,
                Err(TryLockError::WouldBlock) => thread::sleep(REST),
            }
        }
    }

    fn is_over(self) -> bool {
        self.0.is_none_or(|end| Instant::now() >= end)
    }
}
