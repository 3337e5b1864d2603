//! A signal that is given far more often than anybody waits for it. Knows nothing of what it tells of.

use std::sync::atomic::{AtomicUsize, Ordering};

use event_listener::{Event as Signal, listener};

/// Such a signal: where nobody waits, giving it takes a look, and no lock.
#[derive(Debug, Default)]
pub(crate) struct Seldom {
    signal: Signal,
    /// So many wait, or are about to look whether they have to.
    waiting: AtomicUsize,
}

impl Seldom {
    /// Wakes so many of those who wait. What they wait for was changed before, under a lock that they
    /// look at it under: one who came too late to be seen here has seen that.
    pub(crate) fn notify(&self, count: usize) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.signal.notify(count);
        }
    }

    /// Waits until `ready` finds what it looks for: it looks at once, and again at every signal.
    #[expect(clippy::manual_async_fn, reason = "an `async fn` has room for its arguments twice")]
    pub(crate) fn until<T>(&self, mut ready: impl FnMut() -> Option<T>) -> impl Future<Output = T> {
        async move {
            if let Some(value) = ready() {
                return value;
            }
            let _waiting = Waiting::begin(&self.waiting);
            loop {
                listener!(self.signal => changed);
                if let Some(value) = ready() {
                    return value;
                }
                changed.await;
            }
        }
    }
}

/// That one more waits.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
