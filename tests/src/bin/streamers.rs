//! A root with two actors that have two actors each, and between every parent and child a stream each
//! way and one that goes one way, on which something is always under way. Prints `N actors` and
//! `ready`, then waits for ever. Each actor that ends by itself leaves a file in the folder that is
//! the argument.
#![allow(clippy::print_stdout, reason = "what it prints is its result")]

use std::fs;
use std::future::pending;
use std::path::PathBuf;
use std::time::Duration;

use async_io::Timer;
use futures_lite::{Stream, StreamExt as _};
use hatchery::{
    Context, Error, Nursery, Portal, Receives, Result, Sends, Starts, on_exit, open_nursery,
};
use smol::channel::{self, Sender};

/// Between two values: they keep coming, and nobody has to work hard for it.
const PAUSE: Duration = Duration::from_millis(1);

/// Values that have come before a stream counts as flowing.
const FLOWING: usize = 3;

/// Yields for ever.
#[hatchery::endpoint]
fn ticks() -> impl Stream<Item = u64> {
    Timer::interval(PAUSE).enumerate().map(|(n, _)| n as u64)
}

/// Starts once everything below it flows, with how many actors that are; sends back what it gets.
#[hatchery::context]
async fn branch(
    cx: Context<Starts<u64>, Sends<u64>, Receives<u64>>,
    depth: u32,
    folder: PathBuf,
) -> Result<()> {
    let file = folder.join(std::process::id().to_string());
    on_exit(move || fs::write(file, b"").map_err(Error::new));
    grows(depth, folder, async |below| {
        let mut stream = cx.started(below).await?.open_stream();
        while let Some(value) = stream.recv().await? {
            stream.send(value).await?;
        }
        Ok(())
    })
    .await
}

/// Both ways, for ever.
async fn talks(child: Portal, depth: u32, folder: PathBuf, flows: Sender<u64>) -> Result<()> {
    child
        .with_context(branch(depth, folder), async |mut cx, below| {
            let mut stream = cx.open_stream()?;
            for n in 0.. {
                stream.send(n).await?;
                assert_eq!(stream.recv().await?, Some(n));
                if n == FLOWING as u64 {
                    flows.send(below + 1).await.map_err(Error::new)?;
                }
                Timer::after(PAUSE).await;
            }
            Ok(())
        })
        .await
}

/// One way, for ever.
async fn listens(child: Portal, flows: Sender<u64>) -> Result<()> {
    child
        .with_stream_from(ticks(), async |mut source| {
            for n in 0.. {
                assert_eq!(source.recv().await?, Some(n));
                if n == FLOWING as u64 {
                    flows.send(0).await.map_err(Error::new)?;
                }
            }
            Ok(())
        })
        .await
}

/// Has so many levels below it; runs `body` with how many actors that are, once all of it flows.
async fn grows(
    depth: u32,
    folder: PathBuf,
    body: impl AsyncFnOnce(u64) -> Result<()>,
) -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let names: &[_] = if depth == 0 { &[] } else { &["left", "right"] };
        let (flows, flowing) = channel::bounded(2 * names.len().max(1));
        for name in names {
            let child = nursery.start_actor(name).await?;
            nursery.spawn(talks(child.clone(), depth - 1, folder.clone(), flows.clone()));
            nursery.spawn(listens(child, flows.clone()));
        }
        let mut actors = 0;
        for _ in 0..2 * names.len() {
            actors += flowing.recv().await.map_err(Error::new)?;
        }
        body(actors).await
    })
    .await
}

#[hatchery::main]
async fn main() -> Result<()> {
    let folder = std::env::args().nth(1).map(PathBuf::from);
    let folder = folder.ok_or_else(|| Error::message("the argument is a folder"))?;
    grows(2, folder, async |actors| {
        println!("{actors} actors");
        println!("ready");
        pending().await
    })
    .await
}
