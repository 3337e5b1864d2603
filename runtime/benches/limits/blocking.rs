//! The limits of single messages and of bulk: blocking reads and writes on a Unix socket.

use std::hint::black_box;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};

use crate::bars::Scale;
use crate::measure::WARM_UP;
use crate::place::Peer;

/// What is copied at a time.
pub(crate) const CHUNK: usize = 64 * 1024;
/// How long whoever spins looks for an answer before it sleeps.
pub(crate) const SPIN: Duration = Duration::from_micros(50);

/// A peer that sends back 32 bytes each time.
pub(crate) fn answer(mut link: UnixStream) -> io::Result<()> {
    let mut bytes = [0; 32];
    link.write_all(&[1])?;
    while until_end(link.read_exact(&mut bytes))?.is_some() {
        link.write_all(&bytes)?;
    }
    Ok(())
}

/// The same by one that looks for a while before it sleeps.
pub(crate) fn answer_spinning(mut link: UnixStream) -> io::Result<()> {
    let mut bytes = [0; 32];
    link.write_all(&[1])?;
    link.set_nonblocking(true)?;
    while until_end(read_spinning(&mut link, &mut bytes))?.is_some() {
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

/// A peer that takes values whole, each behind its size, and says how much they were.
pub(crate) fn take(mut link: UnixStream) -> io::Result<()> {
    let (mut size, mut total) = ([0; 8], 0);
    link.write_all(&[1])?;
    while until_end(link.read_exact(&mut size))?.is_some() {
        let size = u64::from_le_bytes(size);
        let mut value = Vec::with_capacity(usize::try_from(size).map_err(io::Error::other)?);
        (&mut link).take(size).read_to_end(&mut value)?;
        total += black_box(value).len() as u64;
    }
    link.write_all(&total.to_le_bytes())
}

/// Round trips of 32 bytes: how long each takes.
pub(crate) fn round_trip(scale: Scale) -> io::Result<Duration> {
    let mut peer = Peer::start("answer", scale.other_core)?;
    let mut bytes = [7; 32];
    timed(scale.times, || {
        peer.link.write_all(&bytes)?;
        peer.link.read_exact(&mut bytes)
    })
}

/// The same where both ends look for the answer for a while before they sleep.
pub(crate) fn round_trip_spinning(scale: Scale) -> io::Result<Duration> {
    let mut peer = Peer::start("answer-spinning", scale.other_core)?;
    let mut bytes = [7; 32];
    peer.link.set_nonblocking(true)?;
    timed(scale.times, || {
        peer.link.write_all(&bytes)?;
        read_spinning(&mut peer.link, &mut bytes)
    })
}

fn timed(times: u32, mut once: impl FnMut() -> io::Result<()>) -> io::Result<Duration> {
    (0..WARM_UP).try_for_each(|_| once())?;
    let began = Instant::now();
    (0..times).try_for_each(|_| once())?;
    Ok(began.elapsed() / times)
}

/// Reads all of `bytes` from a link that does not block.
fn read_spinning(link: &mut UnixStream, bytes: &mut [u8]) -> io::Result<()> {
    let (mut began, mut filled) = (Instant::now(), 0);
    while filled < bytes.len() {
        match link.read(&mut bytes[filled..]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if began.elapsed() > SPIN {
                    poll(&mut [PollFd::new(&*link, PollFlags::IN)], None)?;
                    began = Instant::now();
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// How long so many chunks take, until the peer has counted their bytes.
pub(crate) fn copy(scale: Scale) -> io::Result<Duration> {
    let mut peer = Peer::start("count", scale.other_core)?;
    let chunk = vec![7; CHUNK];
    let began = Instant::now();
    for _ in 0..scale.times {
        peer.link.write_all(&chunk)?;
    }
    peer.link.shutdown(Shutdown::Write)?;
    let total = read_number(&mut peer.link)?;
    let took = began.elapsed();
    check_total(total, u64::from(scale.times) * CHUNK as u64)?;
    Ok(took)
}

/// How long so many values take, until the peer has had each whole in its memory.
pub(crate) fn values(scale: Scale, size: usize) -> io::Result<Duration> {
    let mut peer = Peer::start("take", scale.other_core)?;
    let value = vec![7; size];
    let began = Instant::now();
    for _ in 0..scale.times {
        peer.link.write_all(&(size as u64).to_le_bytes())?;
        peer.link.write_all(&value)?;
    }
    peer.link.shutdown(Shutdown::Write)?;
    let total = read_number(&mut peer.link)?;
    let took = began.elapsed();
    check_total(total, u64::from(scale.times) * size as u64)?;
    Ok(took)
}

pub(crate) fn read_number(link: &mut UnixStream) -> io::Result<u64> {
    let mut bytes = [0; 8];
    link.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
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
