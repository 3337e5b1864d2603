//! One actor under a root, for tests of what two actors say to each other.

use std::sync::atomic::{AtomicUsize, Ordering};

use hatchery::{Context, Nursery, Portal, Receives, Result, Sends, Starts, open_nursery};

/// Says that it serves.
#[hatchery::endpoint]
pub async fn alive() -> bool {
    true
}

/// How many [`Held`] there are in this process.
pub static HELD: AtomicUsize = AtomicUsize::new(0);

/// What a test sees come and go.
#[derive(Debug)]
pub struct Held(());

impl Held {
    /// One more.
    #[must_use]
    pub fn new() -> Self {
        HELD.fetch_add(1, Ordering::AcqRel);
        Self(())
    }
}

impl Default for Held {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        HELD.fetch_sub(1, Ordering::AcqRel);
    }
}

/// How many there are.
#[hatchery::endpoint]
pub async fn held() -> usize {
    HELD.load(Ordering::Acquire)
}

/// Sends each value back, until its opener sends no more; returns how many came.
#[hatchery::context]
pub async fn echo(cx: Context<Starts<()>, Sends<u64>, Receives<u64>>) -> Result<u64> {
    let mut stream = cx.started(()).await?.open_stream();
    let mut count = 0;
    while let Some(value) = stream.recv().await? {
        stream.send(value).await?;
        count += 1;
    }
    Ok(count)
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
