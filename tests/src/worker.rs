//! One actor under a root, for tests of what two actors say to each other.

use hatchery::{Nursery, Portal, Result, open_nursery};

/// Says that it serves.
#[hatchery::endpoint]
pub async fn alive() -> bool {
    true
}

/// Runs `body` with one daemon, and checks that the daemon serves on afterwards.
///
/// # Errors
/// `body`'s own.
///
/// # Panics
/// Where the daemon serves no longer.
pub async fn with_worker<T>(body: impl AsyncFnOnce(&Portal) -> Result<T>) -> Result<T> {
    with_mortal(async |worker| {
        let value = body(worker).await?;
        assert!(worker.run(alive()).await?);
        Ok(value)
    })
    .await
}

/// The same with one that `body` may end.
///
/// # Errors
/// `body`'s own.
pub async fn with_mortal<T>(body: impl AsyncFnOnce(&Portal) -> Result<T>) -> Result<T> {
    open_nursery(async |nursery: Nursery| {
        let worker = nursery.start_actor("worker").await?;
        let value = body(&worker).await?;
        worker.cancel().await?;
        Ok(value)
    })
    .await
}
