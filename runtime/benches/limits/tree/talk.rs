//! Round trips and calls.

use std::io;
use std::time::{Duration, Instant};

use hatchery::{Context, Portal, Receives, Sends, Starts, open_nursery};

use super::with_child;
use crate::bars::Scale;
use crate::measure::WARM_UP;

/// Runs in the child: gives back what it got.
#[hatchery::endpoint]
async fn answer(value: [u8; 32]) -> [u8; 32] {
    value
}

/// Runs at the other end: gives back each value that it gets.
#[hatchery::context]
pub(crate) async fn answers(
    cx: Context<Starts<()>, Sends<[u8; 32]>, Receives<[u8; 32]>>,
) -> hatchery::Result<()> {
    let mut stream = cx.started(()).await?.open_stream();
    while let Some(value) = stream.recv().await? {
        stream.send(value).await?;
    }
    Ok(())
}

/// Calls of 32 bytes each way: how long each takes.
pub(crate) fn call_round_trip(scale: Scale) -> io::Result<Duration> {
    with_child(scale, async |child| round_trips(child, scale).await)
}

/// Of an open tree.
pub(super) async fn round_trips(child: &Portal, scale: Scale) -> hatchery::Result<Duration> {
    let mut value = [7; 32];
    let mut began = Instant::now();
    for time in 0..WARM_UP + scale.times {
        if time == WARM_UP {
            began = Instant::now();
        }
        value = child.run(answer(value)).await?;
    }
    Ok(began.elapsed() / scale.times)
}

/// Values of 32 bytes to and fro on a stream: how long each takes.
pub(crate) fn stream_round_trip(scale: Scale) -> io::Result<Duration> {
    with_child(scale, async |child| {
        child
            .with_context(answers(), async |mut cx, ()| {
                let mut stream = cx.open_stream()?;
                let mut value = [7; 32];
                let mut began = Instant::now();
                for time in 0..WARM_UP + scale.times {
                    if time == WARM_UP {
                        began = Instant::now();
                    }
                    stream.send(value).await?;
                    value = stream.recv().await?.unwrap_or_default();
                }
                let took = began.elapsed() / scale.times;
                stream.close().await?;
                cx.result().await?;
                hatchery::Result::Ok(took)
            })
            .await
    })
}

/// How long so many calls take that so many tasks make.
pub(crate) fn calls(scale: Scale, tasks: u32) -> io::Result<Duration> {
    with_child(scale, async |child| {
        let mut began = Instant::now();
        for round in 0..2 {
            // The first round is a call each, to warm up.
            let each = |task| match round {
                0 => 1,
                _ => scale.times / tasks + u32::from(task < scale.times % tasks),
            };
            began = Instant::now();
            open_nursery(async |nursery: hatchery::Nursery| {
                for task in 0..tasks {
                    let (child, calls) = (child.clone(), each(task));
                    nursery.spawn(async move {
                        for _ in 0..calls {
                            child.run(answer([7; 32])).await?;
                        }
                        Ok::<_, hatchery::Error>(())
                    });
                }
                Ok::<_, hatchery::Error>(())
            })
            .await?;
        }
        Ok(began.elapsed())
    })
}
