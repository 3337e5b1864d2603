//! A root and an actor of it, each with work on a tokio of its own, which takes its time to clean up:
//! says `ready` when all of that is under way, and waits. The argument says how many threads tokio
//! has. The subject of tests that interrupt it; here and not among the programs beside it, since those
//! have nothing of tokio.
#![allow(clippy::print_stdout, reason = "what it prints is its result")]

use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use hatchery::{
    Context, Error, Result, Starts, cancel_scope, foreign, on_exit, open_nursery, shield,
};
use smol::channel;
use tokio::runtime::{Builder, Handle};

/// A tokio of this process that runs on threads of its own until the process ends.
fn tokio(threads: usize) -> Result<Handle> {
    let mut builder = match threads {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    let runtime = builder.enable_all().build().map_err(Error::new)?;
    let handle = runtime.handle().clone();
    thread::spawn(move || runtime.block_on(pending::<()>()));
    Ok(handle)
}

/// Waits on tokio for ever; says when it has cleaned up, for which it takes tokio's time.
async fn works(who: &'static str, threads: usize, up: channel::Sender<()>) -> Result<()> {
    static CLEANED_UP: AtomicBool = AtomicBool::new(false);
    on_exit(move || println!("hook of {who}: {}", CLEANED_UP.load(Ordering::SeqCst)));
    let tokio = tokio(threads)?;
    let work = async move {
        tokio::time::sleep(Duration::from_millis(1)).await;
        up.send(()).await.map_err(Error::new)?;
        let ended = cancel_scope(async |_scope| pending::<Result<()>>().await).await;
        shield(async {
            for _ in 0..10 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            println!("{who} has cleaned up on tokio");
            CLEANED_UP.store(true, Ordering::SeqCst);
        })
        .await;
        ended.map(drop)
    };
    foreign(|task| drop(tokio.spawn(task)), work).await
}

/// The same in an actor.
#[hatchery::context]
async fn guest(cx: Context<Starts<()>>, threads: usize) -> Result<()> {
    let (up, is_up) = channel::bounded(1);
    open_nursery(async |nursery| {
        nursery.spawn(works("actor", threads, up));
        is_up.recv().await.map_err(Error::new)?;
        let _started = cx.started(()).await?;
        pending().await
    })
    .await
}

#[hatchery::main]
async fn main() -> Result<()> {
    let threads = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(1);
    let (up, is_up) = channel::bounded(1);
    open_nursery(async |nursery| {
        nursery.spawn(works("root", threads, up));
        is_up.recv().await.map_err(Error::new)?;
        let actor = nursery.start_actor("actor").await?;
        actor
            .with_context(guest(threads), async |_cx, ()| {
                println!("ready");
                pending().await
            })
            .await
    })
    .await
}
