//! Actors under one root, on all cores: how long they take to come and to go, and what each has to
//! itself.

use std::io;
use std::process;
use std::time::Instant;

use hatchery::open_cluster;
use smol::Timer;

use super::links;
use crate::measure::SETTLE;
use crate::place;

/// A call in µs of processors and of the clock; what an actor has to itself and what it adds to its root, in KiB; how long each
/// takes to come and to go, in ms; its threads.
pub(super) fn sample(n: u32) -> io::Result<Vec<f64>> {
    let each = |all: f64| all / f64::from(n);
    let done: hatchery::Result<_> = hatchery::run(async {
        open_cluster(1, async |_| Ok::<_, hatchery::Error>(())).await?;
        let root = || place::resident(process::id()).map_err(hatchery::Error::new);
        let (before, began) = (root()?, Instant::now());
        let (mut values, ended) = open_cluster(n as usize, async |cluster| {
            let up = began.elapsed().as_secs_f64() * 1e3;
            let all: Vec<_> = cluster.portals().cloned().collect();
            let (call, clock) = links::calls(&all).await?;
            Timer::after(SETTLE).await;
            let grown = (root()? - before).max(0.0);
            let (mut dirty, mut threads) = (0.0, 0.0);
            for child in &all {
                let pid = child.id().pid;
                dirty += place::private_dirty(pid).map_err(hatchery::Error::new)?;
                threads += place::threads(pid).map_err(hatchery::Error::new)?;
            }
            let values = vec![call, clock, each(dirty), each(grown), each(up), 0.0, each(threads)];
            Ok::<_, hatchery::Error>((values, Instant::now()))
        })
        .await?;
        values[5] = each(ended.elapsed().as_secs_f64() * 1e3);
        Ok::<_, hatchery::Error>(values)
    });
    done.map_err(io::Error::other)
}
