//! A point in time that a thread waits for by the timeout of its wait.

use std::future::{Future as _, poll_fn};
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use async_io::Timer;

use super::{Parker, here};
use crate::driver::link::lock;

/// Ends at a point in time, seen by whatever way of waiting the thread has that polls it.
pub(crate) fn due(at: Instant) -> Due {
    Due { at, held: Held::Nowhere }
}

/// Such a wait.
#[derive(Debug)]
pub(crate) struct Due {
    at: Instant,
    held: Held,
}

#[derive(Debug)]
enum Held {
    Nowhere,
    /// Under this number.
    Parked(Arc<Parker>, u64),
    Stock(Timer),
}

impl Due {
    fn release(&mut self) {
        if let Held::Parked(parker, number) = mem::replace(&mut self.held, Held::Nowhere) {
            lock(&parker.waits).deadlines.remove(&(self.at, number));
        }
    }

    /// Has this thread wait for it; not where that is shared, since it may block while another waits.
    fn park(&mut self, waker: &Waker) -> bool {
        let Some(parker) = here() else { return false };
        let number = match &self.held {
            Held::Parked(known, number) if Arc::ptr_eq(known, &parker) => Some(*number),
            _ => None,
        };
        if number.is_none() {
            self.release();
        }
        let mut waits = lock(&parker.waits);
        if waits.over || waits.shared {
            drop(waits);
            self.release();
            return false;
        }
        let number = number.unwrap_or_else(|| waits.number());
        waits.deadlines.insert((self.at, number), waker.clone());
        drop(waits);
        self.held = Held::Parked(parker, number);
        true
    }
}

impl Due {
    /// Ends then. Cancel safe.
    pub(crate) async fn comes(&mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Held::Stock(timer) = &mut self.held {
            return Pin::new(timer).poll(cx).map(drop);
        }
        if Instant::now() >= self.at {
            self.release();
            return Poll::Ready(());
        }
        if self.park(cx.waker()) {
            return Poll::Pending;
        }
        let mut timer = Timer::at(self.at);
        let due = Pin::new(&mut timer).poll(cx).map(drop);
        self.held = Held::Stock(timer);
        due
    }
}

impl Drop for Due {
    fn drop(&mut self) {
        self.release();
    }
}
