//! The limits: blocking reads and writes on a Unix socket, and processes started by `std`.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::place::Peer;
use crate::rows::{Scale, WARM_UP};

/// What is copied at a time.
pub(crate) const CHUNK: usize = 64 * 1024;

/// A peer that is up and does nothing else.
pub(crate) fn ready(mut link: UnixStream) -> io::Result<()> {
    link.write_all(&[1])?;
    until_end(link.read(&mut [0])).map(drop)
}

/// A peer that sends back 32 bytes each time.
pub(crate) fn answer(mut link: UnixStream) -> io::Result<()> {
    let mut bytes = [0; 32];
    link.write_all(&[1])?;
    while until_end(link.read_exact(&mut bytes))?.is_some() {
        link.write_all(&bytes)?;
    }
    Ok(())
}

/// A peer that reads to the end and says how much that was.
pub(crate) fn count(mut link: UnixStream) -> io::Result<()> {
    let (mut bytes, mut total) = (vec![0; CHUNK], 0_u64);
    link.write_all(&[1])?;
    while let Some(read @ 1..) = until_end(link.read(&mut bytes))? {
        total += read as u64;
    }
    link.write_all(&total.to_le_bytes())
}

/// Round trips of 32 bytes: how long each takes.
pub(crate) fn round_trip(scale: Scale) -> io::Result<Duration> {
    let mut peer = Peer::start("answer", scale.other_core)?;
    let mut bytes = [7; 32];
    let mut once = || {
        peer.link.write_all(&bytes)?;
        peer.link.read_exact(&mut bytes)
    };
    (0..WARM_UP).try_for_each(|_| once())?;
    let began = Instant::now();
    (0..scale.times).try_for_each(|_| once())?;
    Ok(began.elapsed() / scale.times)
}

/// How long `bytes` in chunks take, until the peer has counted them.
pub(crate) fn copy(scale: Scale, bytes: u64) -> io::Result<Duration> {
    let mut peer = Peer::start("count", scale.other_core)?;
    let chunk = vec![7; CHUNK];
    let began = Instant::now();
    for _ in 0..bytes / CHUNK as u64 {
        peer.link.write_all(&chunk)?;
    }
    peer.link.shutdown(Shutdown::Write)?;
    let mut total = [0; 8];
    peer.link.read_exact(&mut total)?;
    let took = began.elapsed();
    check_total(u64::from_le_bytes(total), bytes / CHUNK as u64 * CHUNK as u64)?;
    Ok(took)
}

/// How long a tiny program takes from being started to having been waited for.
pub(crate) fn run_true(scale: Scale) -> io::Result<Duration> {
    let once = || Command::new("true").status().map(drop);
    once()?;
    let began = Instant::now();
    (0..scale.times).try_for_each(|_| once())?;
    Ok(began.elapsed() / scale.times)
}

/// How long this very program takes from being started to its first byte.
pub(crate) fn spawn(scale: Scale) -> io::Result<Duration> {
    let mut took = Duration::ZERO;
    for _ in 0..scale.times {
        let began = Instant::now();
        let _peer = Peer::start("ready", scale.other_core)?;
        took += began.elapsed();
    }
    Ok(took / scale.times)
}

/// An error where not all has arrived.
pub(crate) fn check_total(counted: u64, sent: u64) -> io::Result<()> {
    let lost = || io::Error::other(format!("{sent} were sent and {counted} arrived"));
    if counted == sent { Ok(()) } else { Err(lost()) }
}

/// `None` at the end of the link.
pub(crate) fn until_end<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(None),
        other => other.map(Some),
    }
}
