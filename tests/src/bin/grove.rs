//! A root with two actors, one of which has an actor of its own: prints `PID PID PID` and
//! `ready`, then waits for ever. The subject of tests that end whole trees.
#![allow(clippy::print_stdout, reason = "what it prints is its result")]

use std::future::pending;

use hatchery::{Context, Receives, Result, Sends, Starts, open_nursery};

/// Starts an actor, says which process that is, and waits.
#[hatchery::context]
async fn parent(cx: Context<Starts<u32>, Sends<()>, Receives<()>>) -> Result<()> {
    open_nursery(async |nursery| {
        let leaf = nursery.start_actor("leaf").await?;
        let _started = cx.started(leaf.id().pid).await?;
        pending().await
    })
    .await
}

#[hatchery::main]
async fn main() -> Result<()> {
    open_nursery(async |nursery| {
        let idle = nursery.start_actor("idle").await?;
        let branch = nursery.start_actor("branch").await?;
        branch
            .with_context(parent(), async |_cx, leaf| {
                println!("{} {} {leaf}", idle.id().pid, branch.id().pid);
                println!("ready");
                pending().await
            })
            .await
    })
    .await
}
