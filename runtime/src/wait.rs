//! Waiting until shared state is as somebody needs it. Knows nothing of what that state is.

use event_listener::{Event as Signal, listener};

/// Waits until `ready` finds what it looks for: it looks at once, and again whenever `signal` says that
/// something has changed. Who changes it changes it first, and then notifies.
pub(crate) async fn until<T>(signal: &Signal, mut ready: impl FnMut() -> Option<T>) -> T {
    // Without a listener, which is more than a look costs.
    if let Some(value) = ready() {
        return value;
    }
    loop {
        listener!(signal => changed);
        if let Some(value) = ready() {
            return value;
        }
        changed.await;
    }
}
