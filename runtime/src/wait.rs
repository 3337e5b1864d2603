//! Waiting until shared state is as somebody needs it. Knows nothing of what that state is.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use event_listener::{Event as Signal, listener};

/// Waits until `ready` finds what it looks for: it looks at once, and again whenever `signal` says that
/// something has changed. Who changes it changes it first, and then notifies.
#[expect(clippy::manual_async_fn, reason = "an `async fn` has room for its arguments twice")]
pub(crate) fn until<T>(
    signal: &Signal,
    mut ready: impl FnMut() -> Option<T>,
) -> impl Future<Output = T> {
    async move {
        loop {
            // Without a listener, which is more than a look costs.
            if let Some(value) = ready() {
                return value;
            }
            listener!(signal => changed);
            if let Some(value) = ready() {
                return value;
            }
            changed.await;
        }
    }
}

/// Waits for the first of several that is done, and says which it was.
pub(crate) async fn first<F: Future + Unpin>(all: &mut [F]) -> (F::Output, usize) {
    poll_fn(|cx| {
        for (place, one) in all.iter_mut().enumerate() {
            if let Poll::Ready(value) = Pin::new(one).poll(cx) {
                return Poll::Ready((value, place));
            }
        }
        Poll::Pending
    })
    .await
}
