//! Links in one actor: to as many children, all on one core. Beside it the same with as many blocking
//! programs, since to go round among so many processes costs the machine itself.

use std::fs;
use std::io::{self, Read, Write};

use hatchery::{Portal, open_nursery};

use super::Took;
use crate::counted;
use crate::measure::WARM_UP;
use crate::place::Peer;

/// Calls at each point.
const TIMES: u32 = 4_000;

/// Runs in a child: gives back what it got.
#[hatchery::endpoint]
async fn echo(value: [u8; 32]) -> [u8; 32] {
    value
}

/// Runs in a child: what it holds since its beginning.
#[hatchery::endpoint]
async fn held_from_the_beginning() -> i64 {
    counted::allocated().1
}

fn descriptors() -> hatchery::Result<usize> {
    Ok(fs::read_dir("/proc/self/fd").map_err(hatchery::Error::new)?.count())
}

/// A round trip with each of so many blocking programs in turn, in µs of the processor.
fn blocking(n: u32) -> io::Result<f64> {
    let mut all = (0..n).map(|_| Peer::start("answer", None)).collect::<io::Result<Vec<_>>>()?;
    let pids: Vec<_> = all.iter().map(Peer::pid).collect();
    let (mut took, mut bytes) = (Took::begin(pids.clone())?, [7; 32]);
    for time in 0..WARM_UP.max(n) + TIMES {
        if time == WARM_UP.max(n) {
            took = Took::begin(pids.clone())?;
        }
        let peer = &mut all[(time % n) as usize];
        peer.link.write_all(&bytes)?;
        peer.link.read_exact(&mut bytes)?;
    }
    Ok(took.each(TIMES)?.0)
}

/// A call of each of these in turn, in µs of the processor and of the clock.
pub(super) async fn calls(all: &[Portal]) -> hatchery::Result<(f64, f64)> {
    let n = all.len() as u32;
    let pids: Vec<_> = all.iter().map(|child| child.id().pid).collect();
    let begin = || Took::begin(pids.clone()).map_err(hatchery::Error::new);
    let (mut took, mut value) = (begin()?, [7; 32]);
    for time in 0..WARM_UP.max(n) + TIMES {
        if time == WARM_UP.max(n) {
            took = begin()?;
        }
        value = all[(time % n) as usize].run(echo(value)).await?;
    }
    took.each(TIMES).map_err(hatchery::Error::new)
}

/// A call in µs of the processor, the same by blocking programs, a call in µs of the clock, what a link holds here and the actor there in KiB,
/// and descriptors.
pub(super) fn sample(n: u32) -> io::Result<Vec<f64>> {
    let block = blocking(n)?;
    let done: hatchery::Result<_> = hatchery::run(open_nursery(async |nursery| {
        // What the first child of all costs is not a link's.
        nursery.start_actor("first").await?.cancel().await?;
        let before = (counted::allocated().1, descriptors()?);
        let mut all = Vec::with_capacity(n as usize);
        for _ in 0..n {
            all.push(nursery.actor("child").env(counted::TOLD, "1").start().await?);
        }
        let after = (counted::allocated().1, descriptors()?);
        let there = all[0].run(held_from_the_beginning()).await?;
        let call = calls(&all).await?;
        for child in &all {
            child.cancel().await?;
        }
        Ok((call, after.0 - before.0, there, after.1 - before.1))
    }));
    let ((call, clock), here, there, descriptors) = done.map_err(io::Error::other)?;
    let each = |all: f64| all / f64::from(n);
    let kib = |bytes: i64| bytes as f64 / 1024.0;
    Ok(vec![call, block, clock, each(kib(here)), kib(there), each(descriptors as f64)])
}
