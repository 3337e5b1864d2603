//! One idea: every actor of this program lives on tokio. What runs in it uses tokio as any code there
//! does, and is called, streamed and cancelled as in any other actor.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use futures_lite::Stream;
use hatchery::{ErrorKind, Result, open_nursery, timeout};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

fn tokio() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime for this process")
}

/// Waits with tokio's timer for a task of tokio's.
#[hatchery::endpoint]
async fn sleeps(millis: u64) -> u64 {
    let (done, is_done) = oneshot::channel();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        let _ = done.send(millis);
    });
    is_done.await.unwrap_or_default()
}

/// Counts at the pace of tokio's interval.
#[hatchery::endpoint]
fn ticks(below: u64) -> impl Stream<Item = u64> {
    let pace = tokio::time::interval(Duration::from_millis(1));
    futures_lite::stream::unfold((0, pace), move |(count, mut pace)| async move {
        pace.tick().await;
        (count < below).then_some((count, (count + 1, pace)))
    })
}

fn main() -> Result<()> {
    hatchery::init_on(|life| tokio().block_on(life));
    // The root may live there too, or anywhere else.
    tokio().block_on(hatchery::open_root_actor(Default::default(), async |_root| {
        open_nursery(async |nursery| {
            let worker = nursery.start_actor("worker").await?;
            println!("slept {} ms", worker.run(sleeps(5)).await?);
            let mut source = worker.open_stream_from(ticks(3)).await?;
            while let Some(tick) = source.recv().await? {
                println!("tick {tick}");
            }
            let bounded = timeout(Duration::from_millis(20), worker.run(sleeps(1_000_000)));
            let cut = bounded.await.expect_err("it would take a quarter of an hour");
            println!("cancelled: {}", matches!(cut.kind(), ErrorKind::Cancelled(_)));
            worker.cancel().await
        })
        .await
    }))
}
