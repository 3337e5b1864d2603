//! One idea: an actor whose work is done on tokio, linked both ways. An error or a panic over there is
//! the error of the call; a cancel of the call ends the work over there before it is answered.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::sync::LazyLock;
use std::time::Duration;

use hatchery::{Error, ErrorKind, Result, foreign, open_nursery, timeout};
use tokio::runtime::{Builder, Runtime};

/// Made where it is first used: in the actor.
static TOKIO: LazyLock<std::io::Result<Runtime>> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(1).enable_all().build());

/// Runs `work` on this process's tokio, as part of the task that calls.
async fn on_tokio<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let tokio = TOKIO.as_ref().map_err(|error| Error::message(error.to_string()))?;
    foreign(|task| drop(tokio.spawn(task)), work).await
}

/// Waits with tokio's timer.
#[hatchery::endpoint]
async fn sleeps(millis: u64) -> Result<u64> {
    on_tokio(async move {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        match millis {
            0 => Err(Error::message("that is no sleep")),
            millis => Ok(millis),
        }
    })
    .await
}

#[hatchery::main]
async fn main() -> Result<()> {
    open_nursery(async |nursery| {
        let worker = nursery.start_actor("worker").await?;
        println!("slept {} ms on tokio", worker.run(sleeps(5)).await?);
        if let Err(error) = worker.run(sleeps(0)).await {
            println!("{}: {}", error.origin().name, error.report().message);
        }
        let bounded = timeout(Duration::from_millis(20), worker.run(sleeps(1_000_000)));
        let cut = bounded.await.expect_err("it would take a quarter of an hour");
        println!("cancelled: {}", matches!(cut.kind(), ErrorKind::Cancelled(_)));
        worker.cancel().await
    })
    .await
}
