//! A root whose main task leaks a nursery with an actor in it, then waits for ever. With the argument
//! `in-a-child`, an actor does that and is cancelled. Prints `ready`.
#![allow(clippy::print_stdout, reason = "what it prints is its result")]

use std::future::{Future, pending, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use hatchery::{Context, Nursery, Options, Receives, Result, Sends, Starts, open_nursery};

/// Polls a nursery until its child is up, then never again.
async fn leak() {
    let up = Arc::new(AtomicBool::new(false));
    let is_up = up.clone();
    let mut block = Box::pin(open_nursery(async move |nursery: Nursery| {
        nursery.start_actor("leaked").await?;
        up.store(true, Ordering::Release);
        pending::<Result<()>>().await
    }));
    poll_fn(|cx| match block.as_mut().poll(cx) {
        Poll::Pending if !is_up.load(Ordering::Acquire) => Poll::Pending,
        _ => Poll::Ready(()),
    })
    .await;
    std::mem::forget(block);
}

#[hatchery::context]
async fn leaks(cx: Context<Starts<()>, Sends<()>, Receives<()>>) -> Result<()> {
    leak().await;
    let _started = cx.started(()).await?;
    pending().await
}

#[hatchery::main(options = Options::new().teardown(Duration::from_secs(2)))]
async fn main() -> Result<()> {
    if std::env::args().nth(1).is_some() {
        return open_nursery(async |nursery| {
            let worker = nursery.start_actor("worker").await?;
            let (_cx, ()) = worker.open_context(leaks()).await?;
            println!("ready");
            worker.cancel().await
        })
        .await;
    }
    leak().await;
    println!("ready");
    pending().await
}
