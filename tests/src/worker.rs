//! One actor under a root, for tests of what two actors say to each other.

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};

use hatchery::{
    Context, Error, Nursery, Portal, Receives, Result, Sends, Starts, cancel_scope, open_nursery,
};

use crate::sign::{Last, raised};

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

/// What numbers go over both ways.
pub type Talk = Context<Starts<()>, Sends<u64>, Receives<u64>>;

/// Waits for a cancel; gives what the scope around the wait came to.
///
/// # Panics
/// Where that is no error.
pub async fn wait_for_cancel() -> Error {
    let waited = cancel_scope(async |_scope| pending::<Result<()>>().await).await;
    waited.expect_err("only a cancel ends it")
}

/// Is ended where it waits, and says so.
#[hatchery::context]
pub async fn waits(cx: Talk, ended: String) -> Result<u64> {
    let _last = Last(ended);
    let _stream = cx.started(()).await?.open_stream();
    pending().await
}

/// Fails once it is told to.
#[hatchery::context]
pub async fn fails_when_told(cx: Talk, when: String) -> Result<u64> {
    let _started = cx.started(()).await?;
    raised(&when).await;
    Err(Error::message("as it was told"))
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
