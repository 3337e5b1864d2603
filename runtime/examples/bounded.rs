//! One idea: bounding what owns actors. `timeout` and `cancel_scope` cancel it in its order, innermost
//! first, and wait for it; dropping its future would end it by force. A `shield` is for clean-up that
//! has to wait for something.
//!
//! A worker is given too little time for its work. It is asked to end, puts its tools away, and is
//! gone when `timeout` returns.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use futures_lite::future;
use hatchery::{ErrorKind, Result, cancel_scope, open_nursery, shield, timeout};

/// Works for ever; when it is asked to end, it takes a moment to do so.
#[hatchery::endpoint]
async fn work() -> Result<()> {
    let worked = cancel_scope(async |_scope| future::pending::<Result<()>>().await).await;
    shield(async {
        async_io::Timer::after(Duration::from_millis(10)).await;
        println!("the worker has put its tools away");
    })
    .await;
    worked.map(drop)
}

#[hatchery::main]
async fn main() -> Result<()> {
    let bounded: Result<()> = timeout(Duration::from_millis(200), async {
        open_nursery(async |nursery| nursery.run_in_actor("worker", work()).await.map(drop)).await
    })
    .await;
    match bounded {
        Err(error) if matches!(error.kind(), ErrorKind::Cancelled(_)) => println!("{error}"),
        other => return other,
    }

    // The same by hand, and from anywhere that has the handle.
    let ended = cancel_scope(async |scope| {
        open_nursery(async |nursery| {
            let worker = nursery.start_actor("worker").await?;
            println!("{} is up", worker.id().name);
            scope.cancel();
            future::pending::<Result<()>>().await
        })
        .await
    });
    println!("cancelled by its handle: {}", ended.await?.is_none());
    Ok(())
}
