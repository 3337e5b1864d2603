//! Cancels: until the outcome is in, and until the ack is where bulk fills the link.

use std::future::{pending, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hatchery::{Context, Nursery, Portal, Receives, Sends, Starts, open_nursery};

use super::with_child;
use crate::bars::Scale;
use crate::blocking::CHUNK;
use crate::measure::{WARM_UP, percentile};

/// Streams that are full while a cancel has to get through.
const BULK: usize = 4;

/// Runs in the child: is up, and waits for ever.
#[hatchery::context]
async fn waits(cx: Context<Starts<()>, Sends<()>, Receives<()>>) -> hatchery::Result<()> {
    let _context = cx.started(()).await?;
    pending().await
}

/// Runs in the child: reads all that comes.
#[hatchery::context]
async fn reads(cx: Context<Starts<()>, Sends<()>, Receives<Bytes>>) -> hatchery::Result<()> {
    let mut stream = cx.started(()).await?.open_stream();
    while stream.recv().await?.is_some() {}
    Ok(())
}

/// Fills a stream for ever.
async fn fills(child: Portal, chunk: Bytes) -> hatchery::Result<()> {
    let (mut context, ()) = child.open_context(reads()).await?;
    let stream = context.open_stream()?;
    loop {
        stream.send(chunk.clone()).await?;
    }
}

/// How long it takes from a cancel until it is acknowledged, and until the outcome is in.
async fn cancelled(child: &Portal) -> hatchery::Result<(Duration, Duration)> {
    let (context, ()) = child.open_context(waits()).await?;
    let began = Instant::now();
    let mut cancel = pin!(context.cancel());
    let mut acked = None;
    // Polled at every event of the dialog, of which the ack is one.
    poll_fn(|cx| {
        let ended = cancel.as_mut().poll(cx).is_ready();
        if context.cancel_acked() || ended {
            acked.get_or_insert_with(|| began.elapsed());
        }
        if ended { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    let took = began.elapsed();
    Ok((acked.unwrap_or(took), took))
}

/// How long each cancel takes until the outcome is in.
pub(crate) fn outcome(scale: Scale) -> io::Result<Duration> {
    with_child(scale, async |child| {
        let mut took = Duration::ZERO;
        for time in 0..WARM_UP + scale.times {
            let (_, ended) = cancelled(child).await?;
            if time >= WARM_UP {
                took += ended;
            }
        }
        Ok(took / scale.times)
    })
}

/// How long 99 of 100 cancels take at most until they are acknowledged, while streams are full.
pub(crate) fn under_load(scale: Scale) -> io::Result<Duration> {
    with_child(scale, async |child| {
        open_nursery(async |nursery: Nursery| {
            let chunk = Bytes::from(vec![7; CHUNK]);
            for _ in 0..BULK {
                nursery.spawn(fills(child.clone(), chunk.clone()));
            }
            let mut took = Vec::new();
            for _ in 0..scale.times {
                took.push(cancelled(child).await?.0);
            }
            nursery.cancel();
            hatchery::Result::Ok(percentile(took, 99))
        })
        .await
    })
}
