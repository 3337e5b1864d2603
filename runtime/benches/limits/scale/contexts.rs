//! Contexts on one link. The child opens them at its parent, whose own limits hold there.

use std::io;

use hatchery::{Limits, Options, ParentPortal, open_nursery};
use rustix::process::getppid;

use super::Took;
use crate::counted;
use crate::measure::WARM_UP;
use crate::tree::talk::answers;

/// Round trips at each point.
const TIMES: u32 = 10_000;

/// Runs in the parent: what it holds.
#[hatchery::endpoint]
async fn held() -> i64 {
    counted::allocated().1
}

/// Runs in the child: opens so many contexts, and lets values go round on one after the other.
#[hatchery::endpoint]
async fn open_many(count: u32) -> hatchery::Result<((f64, f64), i64, i64)> {
    let parent = ParentPortal::new()?;
    let mut all = Vec::with_capacity(count as usize);
    drop(parent.open_context(answers()).await?);
    let before = (counted::allocated().1, parent.run(held()).await?);
    for _ in 0..count {
        all.push(parent.open_context(answers()).await?.0);
    }
    let after = (counted::allocated().1, parent.run(held()).await?);
    let mut streams = Vec::with_capacity(count as usize);
    for context in &mut all {
        streams.push(context.open_stream()?);
    }
    let parents = getppid().map(|pid| pid.as_raw_pid().unsigned_abs());
    let begin = || Took::begin(parents.into_iter().collect()).map_err(hatchery::Error::new);
    let (mut took, mut value) = (begin()?, [7; 32]);
    for time in 0..WARM_UP.max(count) + TIMES {
        if time == WARM_UP.max(count) {
            took = begin()?;
        }
        let stream = &mut streams[(time % count) as usize];
        stream.send(value).await?;
        value = stream.recv().await?.unwrap_or_default();
    }
    let took = took.each(TIMES).map_err(hatchery::Error::new)?;
    Ok((took, after.0 - before.0, after.1 - before.1))
}

/// A round trip in µs of the processor and of the clock, and what an idle context holds in bytes, where it was opened and where not.
pub(super) fn sample(n: u32) -> io::Result<Vec<f64>> {
    let limits = Limits { max_dialogs: n.max(4_096) + 16, ..Limits::default() };
    let options = Options::new().limits(limits).expose::<answers>().expose::<held>();
    let done: hatchery::Result<_> = hatchery::run_with(options, async {
        open_nursery(async |nursery: hatchery::Nursery| {
            let child = nursery.start_actor("child").await?;
            let done = child.run(open_many(n)).await?;
            child.cancel().await?;
            Ok(done)
        })
        .await
    });
    let ((processor, clock), opener, callee) = done.map_err(io::Error::other)?;
    let each = |held: i64| held as f64 / f64::from(n);
    Ok(vec![processor, clock, each(opener), each(callee)])
}
