//! The same in the smallest programs that smol allows: one thread, `block_on`, no tasks.

use std::io;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use smol::Async;
use smol::future::pending;
use smol::io::{AsyncReadExt, AsyncWriteExt};

use crate::bars::Scale;
use crate::blocking::{CHUNK, check_total, until_end};
use crate::measure::{SETTLE, WARM_UP};
use crate::place::{self, Peer};

/// A peer that sends back 32 bytes each time.
pub(crate) fn answer(link: UnixStream) -> io::Result<()> {
    smol::block_on(async {
        let mut link = Async::new(link)?;
        let mut bytes = [0; 32];
        link.write_all(&[1]).await?;
        while until_end(link.read_exact(&mut bytes).await)?.is_some() {
            link.write_all(&bytes).await?;
        }
        Ok(())
    })
}

/// A peer that reads to the end and says how much that was.
pub(crate) fn count(link: UnixStream) -> io::Result<()> {
    smol::block_on(async {
        let mut link = Async::new(link)?;
        let (mut bytes, mut total) = (vec![0; CHUNK], 0_u64);
        link.write_all(&[1]).await?;
        while let Some(read @ 1..) = until_end(link.read(&mut bytes).await)? {
            total += read as u64;
        }
        link.write_all(&total.to_le_bytes()).await
    })
}

/// A peer that is up and waits for ever.
pub(crate) fn idle(link: UnixStream) -> io::Result<()> {
    smol::block_on(async {
        Async::new(link)?.write_all(&[1]).await?;
        pending().await
    })
}

/// Round trips of 32 bytes: how long each takes.
pub(crate) fn round_trip(scale: Scale) -> io::Result<Duration> {
    let peer = Peer::start("smol-answer", scale.other_core)?;
    smol::block_on(async {
        let mut link = Async::new(peer.link.try_clone()?)?;
        let mut bytes = [7; 32];
        let mut began = Instant::now();
        for time in 0..WARM_UP + scale.times {
            if time == WARM_UP {
                began = Instant::now();
            }
            link.write_all(&bytes).await?;
            link.read_exact(&mut bytes).await?;
        }
        Ok(began.elapsed() / scale.times)
    })
}

/// How long so many chunks take, until the peer has counted their bytes.
pub(crate) fn copy(scale: Scale) -> io::Result<Duration> {
    let peer = Peer::start("smol-count", scale.other_core)?;
    smol::block_on(async {
        let mut link = Async::new(peer.link.try_clone()?)?;
        let chunk = vec![7; CHUNK];
        let began = Instant::now();
        for _ in 0..scale.times {
            link.write_all(&chunk).await?;
        }
        link.get_ref().shutdown(std::net::Shutdown::Write)?;
        let mut total = [0; 8];
        link.read_exact(&mut total).await?;
        let took = began.elapsed();
        check_total(u64::from_le_bytes(total), u64::from(scale.times) * CHUNK as u64)?;
        Ok(took)
    })
}

/// What an idle program of this image has to itself, in KiB.
pub(crate) fn memory(scale: Scale) -> io::Result<f64> {
    of_idle(scale, place::private_dirty)
}

/// How many threads an idle program has.
pub(crate) fn threads(scale: Scale) -> io::Result<f64> {
    of_idle(scale, place::threads)
}

fn of_idle(scale: Scale, look: fn(u32) -> io::Result<f64>) -> io::Result<f64> {
    let peer = Peer::start("smol-idle", scale.other_core)?;
    std::thread::sleep(SETTLE);
    look(peer.pid())
}
