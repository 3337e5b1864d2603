//! A process that is a root twice, one after the other, and says which threads it has: before, while
//! there is a root without actors, while there are actors, and after each root. The actor says so too.
//! A line is `WHEN: NAME#ID …`, in the order of the names.
#![allow(clippy::print_stdout, reason = "what it prints is its result")]

use std::time::Duration;

use hatchery::{Context, Portal, Receives, Result, Sends, Starts, open_nursery, timeout};
use hatchery_tests::procfs::threads;

/// The threads of this process, by name. One that has only just begun still has the name of who
/// started it.
fn told() -> String {
    let (mut all, mut looks) = (threads(), 0);
    while looks < 1000 && has_namesakes(&all) {
        std::thread::sleep(Duration::from_millis(1));
        (all, looks) = (threads(), looks + 1);
    }
    let mut all: Vec<_> = all.into_iter().map(|(id, name)| format!("{name}#{id}")).collect();
    all.sort();
    all.join(" ")
}

fn has_namesakes(all: &[(i32, String)]) -> bool {
    all.iter().any(|(id, name)| all.iter().any(|(other, same)| other != id && same == name))
}

#[hatchery::endpoint]
async fn has_threads() -> String {
    told()
}

/// Has an actor of its own, and says which threads it has itself.
#[hatchery::endpoint]
async fn has_threads_as_a_parent() -> Result<String> {
    open_nursery(async |nursery| {
        let leaf = nursery.start_actor("leaf").await?;
        leaf.run(has_threads()).await?;
        let told = told();
        leaf.cancel().await?;
        Ok(told)
    })
    .await
}

#[hatchery::context]
async fn echo(cx: Context<Starts<()>, Sends<u64>, Receives<u64>>) -> Result<()> {
    let mut stream = cx.started(()).await?.open_stream();
    while let Some(value) = stream.recv().await? {
        stream.send(value).await?;
    }
    Ok(())
}

/// Something of everything that needs anybody else: sockets, clocks, children that end and are ended.
async fn works(worker: &Portal) -> Result<()> {
    let (mut cx, ()) = worker.open_context(echo()).await?;
    let mut stream = cx.open_stream()?;
    stream.send(1).await?;
    stream.recv().await?;
    stream.close().await?;
    cx.result().await?;
    let _ = timeout(Duration::from_millis(1), std::future::pending::<Result<()>>()).await;
    open_nursery(async |nursery| {
        let _ = nursery.start_actor("killed").await?.kill().await;
        Ok(())
    })
    .await
}

async fn root(turn: &str) -> Result<()> {
    timeout(Duration::from_secs(30), async {
        println!("{turn} root: {}", told());
        open_nursery(async |nursery| {
            let worker = nursery.start_actor("worker").await?;
            works(&worker).await?;
            println!("{turn} root with actors: {}", told());
            println!("{turn} actor: {}", worker.run(has_threads()).await?);
            println!("{turn} parent: {}", worker.run(has_threads_as_a_parent()).await?);
            worker.cancel().await
        })
        .await
    })
    .await
}

fn main() -> Result<()> {
    hatchery::init();
    println!("before: {}", told());
    for turn in ["first", "second"] {
        hatchery::run(root(turn))?;
        println!("after {turn}: {}", told());
    }
    Ok(())
}
