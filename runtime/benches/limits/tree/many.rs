//! Thousands of contexts on one link: what a message costs among them, and what each holds.

use std::io;
use std::time::{Duration, Instant};

use hatchery::Portal;

use super::talk::answers;
use super::{allocated, with_child};
use crate::bars::Scale;
use crate::counted;
use crate::measure::WARM_UP;

/// How long a round trip takes, each on the next of so many contexts.
pub(crate) fn round_trip(scale: Scale, open: u32) -> io::Result<Duration> {
    with_child(scale, async |child| {
        let mut all = opened(child, open).await?;
        let mut streams = Vec::new();
        for context in &mut all {
            streams.push(context.open_stream()?);
        }
        let (mut began, mut value) = (Instant::now(), [7; 32]);
        for time in 0..WARM_UP + scale.times {
            if time == WARM_UP {
                began = Instant::now();
            }
            let stream = &mut streams[(time % open) as usize];
            stream.send(value).await?;
            value = stream.recv().await?.unwrap_or_default();
        }
        Ok(began.elapsed() / scale.times)
    })
}

/// What an idle context holds on the side that holds more, in KiB.
pub(crate) fn memory(scale: Scale) -> io::Result<f64> {
    with_child(scale, async |child| {
        drop(opened(child, 1).await?);
        let before = (counted::allocated().1, child.run(allocated()).await?.1);
        let all = opened(child, scale.times).await?;
        let after = (counted::allocated().1, child.run(allocated()).await?.1);
        drop(all);
        let held = (after.0 - before.0).max(after.1 - before.1);
        Ok(held as f64 / f64::from(scale.times) / 1024.0)
    })
}

async fn opened(
    child: &Portal,
    count: u32,
) -> hatchery::Result<Vec<hatchery::OpenContext<answers>>> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(child.open_context(answers()).await?.0);
    }
    Ok(all)
}
