//! The lives of actors: started, idle, cancelled, killed.

use std::future::{Future, pending};
use std::hint::black_box;
use std::io;
use std::time::{Duration, Instant};

use hatchery::{Nursery, open_cluster, open_nursery};
use rustix::process::{Signal, kill_process};
use smol::Timer;

use super::with_child;
use crate::bars::Scale;
use crate::measure::SETTLE;
use crate::{place, starts};

/// What the parent has in its memory in B12.
const LARGE: usize = 512 * 1024 * 1024;

fn run<T>(work: impl Future<Output = hatchery::Result<T>>) -> io::Result<T> {
    hatchery::run(work).map_err(io::Error::other)
}

/// How long an actor takes from being started to being up.
pub(crate) fn spawn(scale: Scale) -> io::Result<Duration> {
    run(open_nursery(async |nursery: Nursery| {
        let mut took = Duration::ZERO;
        for _ in 0..scale.times {
            let began = Instant::now();
            let child = nursery.start_actor("child").await?;
            took += began.elapsed();
            child.cancel().await?;
        }
        Ok(took / scale.times)
    }))
}

/// The same where a process waits for it.
pub(crate) fn spawn_warm(scale: Scale) -> io::Result<Duration> {
    run(open_nursery(async |nursery: Nursery| {
        nursery.warm(1)?;
        let mut took = Duration::ZERO;
        for _ in 0..scale.times {
            nursery.warmed().await?;
            let began = Instant::now();
            let child = nursery.start_actor("child").await?;
            took += began.elapsed();
            child.cancel().await?;
        }
        Ok(took / scale.times)
    }))
}

/// The same with a large parent.
pub(crate) fn spawn_from_large(scale: Scale) -> io::Result<Duration> {
    let memory = black_box(vec![7_u8; LARGE]);
    let took = spawn(scale);
    drop(black_box(memory));
    took
}

/// How long so many actors take, all up before any is cancelled, until all have been reaped.
pub(crate) fn hundred(scale: Scale) -> io::Result<Duration> {
    run(async {
        let began = Instant::now();
        open_cluster(scale.times as usize, async |_cluster| Ok::<_, hatchery::Error>(())).await?;
        Ok(began.elapsed())
    })
}

/// How long it takes from the kill of an actor until its nursery has ended with that error.
pub(crate) fn kill(scale: Scale) -> io::Result<Duration> {
    run(async {
        let mut took = Duration::ZERO;
        for _ in 0..scale.times {
            let mut began = None;
            let died = open_nursery(async |nursery: Nursery| {
                let child = nursery.start_actor("child").await?;
                let pid = starts::pid_of(child.id().pid).map_err(hatchery::Error::new)?;
                began = Some(Instant::now());
                kill_process(pid, Signal::KILL)
                    .map_err(|error| hatchery::Error::new(io::Error::from(error)))?;
                pending::<hatchery::Result<()>>().await
            })
            .await;
            match (died, began) {
                (Err(error), Some(began)) if error.exit().is_some() => took += began.elapsed(),
                other => {
                    let told = format!("no death was told: {other:?}");
                    return Err(hatchery::Error::new(io::Error::other(told)));
                }
            }
        }
        Ok(took / scale.times)
    })
}

/// What an idle child has to itself, in KiB.
pub(crate) fn memory(scale: Scale) -> io::Result<f64> {
    of_idle(scale, place::private_dirty)
}

/// How many threads an idle child has.
pub(crate) fn threads(scale: Scale) -> io::Result<f64> {
    of_idle(scale, place::threads)
}

fn of_idle(scale: Scale, look: fn(u32) -> io::Result<f64>) -> io::Result<f64> {
    with_child(scale, async |child| {
        Timer::after(SETTLE).await;
        look(child.id().pid).map_err(hatchery::Error::new)
    })
}
