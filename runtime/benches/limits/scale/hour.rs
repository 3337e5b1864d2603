//! A stream of an hour's worth of messages, a thousand a second, as fast as it goes: what both ends
//! hold on the way.

use std::io;

use hatchery::{Context, Receives, Sends, Starts, open_nursery};

use super::Took;
use crate::counted;

/// Messages before the clock starts.
const FIRST: u32 = 10_000;

/// Runs in the child: takes messages; where it has taken so many more, says what it holds.
#[hatchery::context]
async fn takes_for_an_hour(
    cx: Context<Starts<()>, Sends<i64>, Receives<[u8; 32]>>,
    marks: Vec<u32>,
) -> hatchery::Result<()> {
    let mut stream = cx.started(()).await?.open_stream();
    for mark in marks {
        for _ in 0..mark {
            stream.recv().await?;
        }
        stream.send(counted::allocated().1).await?;
    }
    Ok(())
}

/// A message in µs of the processor and of the clock, what the sender and the receiver hold in KiB more than before the first, and
/// how long all took in seconds.
pub(super) fn sample(n: u32) -> io::Result<Vec<f64>> {
    let done: hatchery::Result<_> = hatchery::run(async {
        open_nursery(async |nursery: hatchery::Nursery| {
            let before = counted::allocated().1;
            let child = nursery.actor("child").env(counted::TOLD, "1").start().await?;
            let pid = child.id().pid;
            let done = child
                .with_context(takes_for_an_hour(vec![FIRST, n]), async |mut cx, ()| {
                    let mut stream = cx.open_stream()?;
                    for _ in 0..FIRST {
                        stream.send([7; 32]).await?;
                    }
                    stream.recv().await?;
                    let took = Took::begin(vec![pid]).map_err(hatchery::Error::new)?;
                    for _ in 0..n {
                        stream.send([7; 32]).await?;
                    }
                    let here = counted::allocated().1 - before;
                    let there = stream.recv().await?.unwrap_or_default();
                    let took = took.each(n).map_err(hatchery::Error::new)?;
                    stream.close().await?;
                    cx.result().await?;
                    Ok::<_, hatchery::Error>((took, (here, there)))
                })
                .await?;
            child.cancel().await?;
            Ok(done)
        })
        .await
    });
    let ((processor, clock), (here, there)) = done.map_err(io::Error::other)?;
    let kib = |bytes: i64| bytes as f64 / 1024.0;
    Ok(vec![processor, clock, kib(here), kib(there), clock * f64::from(n) / 1e6])
}
