//! A root whose executor stops: its future is polled until its tree is up, and then never again. Prints
//! `ready`; returns from `main` when its input ends.
#![allow(clippy::print_stdout, reason = "what it prints is its result")]

use std::io::Read as _;

use futures_lite::future;
use hatchery::{Context, Options, Result, Starts, open_nursery, open_root_actor};

/// Has an actor of its own.
#[hatchery::context]
async fn branch(cx: Context<Starts<()>>) -> Result<()> {
    open_nursery(async |nursery| {
        nursery.start_actor("leaf").await?;
        let _started = cx.started(()).await?;
        future::pending().await
    })
    .await
}

fn main() {
    hatchery::init();
    let (tell, up) = smol::channel::bounded::<()>(1);
    let mut root = Box::pin(open_root_actor(Options::new(), async |_root| {
        open_nursery(async |nursery| {
            let worker = nursery.start_actor("branch").await?;
            let (_open, ()) = worker.open_context(branch()).await?;
            let _ = tell.send(()).await;
            future::pending::<Result<()>>().await
        })
        .await
    }));
    async_io::block_on(future::or(async { drop(root.as_mut().await) }, async {
        let _ = up.recv().await;
    }));
    println!("ready");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    // Not dropped either.
    std::mem::forget(root);
}
