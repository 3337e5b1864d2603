//! What one stalled stream costs the others of its link: 999 live streams, with a thousandth that
//! nobody reads while its window is full, and without.
//!
//! `stalled [--rounds N] [--values N]` interleaves rounds with and without it, in each of which every
//! live stream brings that many values, and prints the medians and
//! `live=999 stalled=1 ratio=R`: what is left of their throughput. The same executable is the root and
//! the actor that sends.
#![allow(clippy::print_stdout, reason = "what it prints is its result")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hatchery::{
    Context, Error, MsgStream, Nursery, OpenContext, Portal, Receives, Result, Sends, Starts,
    open_nursery,
};
use lexopt::prelude::*;
use smol::channel::{self, Receiver, Sender};

/// Streams beside the one that stalls.
const LIVE: usize = 999;
/// Bytes of a value.
const SIZE: usize = 64;

/// Sends as many values as it is asked for, again and again.
#[hatchery::context]
async fn brings(cx: Context<Starts<()>, Sends<Vec<u8>>, Receives<u64>>) -> Result<()> {
    let mut stream = cx.started(()).await?.open_stream();
    while let Some(count) = stream.recv().await? {
        for _ in 0..count {
            stream.send(vec![7; SIZE]).await?;
        }
    }
    Ok(())
}

/// How many values the flood has been taken of.
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// Sends for ever.
#[hatchery::context]
async fn floods(cx: Context<Starts<()>, Sends<Vec<u8>>, Receives<()>>) -> Result<()> {
    let stream = cx.started(()).await?.open_stream();
    loop {
        stream.send(vec![7; SIZE]).await?;
        TAKEN.fetch_add(1, Ordering::AcqRel);
    }
}

#[hatchery::endpoint]
async fn taken() -> u64 {
    TAKEN.load(Ordering::Acquire)
}

/// Brings `count` values whenever it is told to, and says when they are in.
async fn live(worker: Portal, go: Receiver<u64>, done: Sender<()>) -> Result<()> {
    worker
        .with_context(brings(), async |mut cx, ()| {
            let mut stream = cx.open_stream()?;
            while let Ok(count) = go.recv().await {
                stream.send(count).await?;
                for _ in 0..count {
                    stream.recv().await?;
                }
                done.send(()).await.map_err(Error::new)?;
            }
            stream.close().await
        })
        .await
}

/// How long it takes every live stream to bring so many.
async fn round(goes: &[Sender<u64>], done: &Receiver<()>, values: u64) -> Result<Duration> {
    let begin = Instant::now();
    for go in goes {
        go.send(values).await.map_err(Error::new)?;
    }
    for _ in goes {
        done.recv().await.map_err(Error::new)?;
    }
    Ok(begin.elapsed())
}

type Stalled = (OpenContext<floods>, MsgStream<(), Vec<u8>>);

/// A stream whose window is full.
async fn stall(worker: &Portal) -> Result<Stalled> {
    let before = worker.run(taken()).await?;
    let (mut cx, ()) = worker.open_context(floods()).await?;
    let stream = cx.open_stream()?;
    let mut last = before;
    loop {
        // A call and its answer are behind whatever credit there was.
        let now = worker.run(taken()).await?;
        if now == last && now > before {
            return Ok((cx, stream));
        }
        last = now;
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

async fn measure(rounds: u32, values: u64) -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let worker = nursery.start_actor("worker").await?;
        let (done, all_done) = channel::bounded(LIVE);
        let mut goes = Vec::new();
        for _ in 0..LIVE {
            let (go, goes_on) = channel::bounded(1);
            goes.push(go);
            nursery.spawn(live(worker.clone(), goes_on, done.clone()));
        }
        round(&goes, &all_done, values).await?;
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for n in 0..2 * rounds {
            // Each goes first as often as the other.
            let is_stalled = matches!(n % 4, 1 | 2);
            let stalled = if is_stalled { Some(stall(&worker).await?) } else { None };
            let took = round(&goes, &all_done, values).await?;
            if let Some((cx, stream)) = stalled {
                let _ = cx.cancel().await;
                drop(stream);
                with.push(took);
            } else {
                without.push(took);
            }
        }
        drop(goes);
        let (with, without) = (median(with), median(without));
        let rate = |took: Duration| (LIVE as f64 * values as f64 / took.as_secs_f64()) as u64;
        let ratio = without.as_secs_f64() / with.as_secs_f64();
        println!("with it {} values a second, without {}", rate(with), rate(without));
        println!("live={LIVE} stalled=1 ratio={ratio:.3}");
        nursery.cancel();
        Ok(())
    })
    .await
}

#[hatchery::main]
async fn main() -> Result<()> {
    let (mut rounds, mut values) = (21, 200);
    let mut parser = lexopt::Parser::from_env();
    while let Some(arg) = parser.next().map_err(Error::new)? {
        let of = |parser: &mut lexopt::Parser| parser.value()?.parse();
        match arg {
            Long("rounds") => rounds = of(&mut parser).map_err(Error::new)? as u32,
            Long("values") => values = of(&mut parser).map_err(Error::new)?,
            _ => return Err(Error::new(arg.unexpected())),
        }
    }
    measure(rounds.max(5), values.max(1)).await
}
