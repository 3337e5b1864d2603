//! The limits of many small messages: blocking programs that write and read as many at a time as
//! there are, each message in a frame of its own that is filled and taken apart.

use std::hint::black_box;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::bars::Scale;
use crate::blocking::{CHUNK, check_total, read_number, until_end};
use crate::place::Peer;

/// A call: its number, and 32 bytes.
const CALL: usize = 8 + 32;

/// Bytes that have been read, and those of them that are not whole messages yet.
struct Input {
    bytes: Vec<u8>,
    begin: usize,
    end: usize,
}

impl Input {
    fn new() -> Self {
        Self { bytes: vec![0; 2 * CHUNK], begin: 0, end: 0 }
    }

    /// Reads what there is, behind what is left; `false` at the end of the link.
    fn fill(&mut self, link: &mut UnixStream) -> io::Result<bool> {
        self.bytes.copy_within(self.begin..self.end, 0);
        (self.begin, self.end) = (0, self.end - self.begin);
        let read = until_end(link.read(&mut self.bytes[self.end..]))?.unwrap_or(0);
        self.end += read;
        Ok(read > 0)
    }

    /// The next `N` bytes, if they are there.
    fn next<const N: usize>(&mut self) -> Option<&[u8; N]> {
        let bytes = self.bytes[self.begin..self.end].first_chunk()?;
        self.begin += N;
        Some(bytes)
    }
}

/// A peer that answers all calls that have come, in one write.
pub(crate) fn answer_all(mut link: UnixStream) -> io::Result<()> {
    let (mut input, mut output) = (Input::new(), Vec::with_capacity(2 * CHUNK));
    link.write_all(&[1])?;
    while input.fill(&mut link)? {
        output.clear();
        while let Some(call) = input.next::<CALL>() {
            output.extend_from_slice(call);
        }
        link.write_all(&output)?;
    }
    Ok(())
}

/// A peer that takes items of `N` bytes, each behind its size, and says how many there were.
pub(crate) fn count<const N: usize>(mut link: UnixStream) -> io::Result<()> {
    let (mut input, mut total) = (Input::new(), 0_u64);
    let mut item = [0; N];
    link.write_all(&[1])?;
    while input.fill(&mut link)? {
        while input.end - input.begin >= 4 + N {
            let size = input.next().map_or(0, |size| u32::from_le_bytes(*size));
            check_total(size.into(), N as u64)?;
            if let Some(bytes) = input.next() {
                item = *bytes;
                black_box(&item);
                total += 1;
            }
        }
    }
    black_box(item);
    link.write_all(&total.to_le_bytes())
}

/// How long so many calls take, with `in_flight` of them asked for at any time.
pub(crate) fn calls(scale: Scale, in_flight: u64) -> io::Result<Duration> {
    let mut peer = Peer::start("answer-all", scale.other_core)?;
    let (mut input, mut output) = (Input::new(), Vec::with_capacity(2 * CHUNK));
    let (mut asked, mut answered) = (0_u64, 0_u64);
    let (all, bytes) = (u64::from(scale.times), [7; 32]);
    let began = Instant::now();
    while answered < all {
        output.clear();
        while asked < all && asked - answered < in_flight {
            output.extend_from_slice(&asked.to_le_bytes());
            output.extend_from_slice(black_box(&bytes));
            asked += 1;
        }
        peer.link.write_all(&output)?;
        input.fill(&mut peer.link)?;
        while let Some(answer) = input.next::<CALL>() {
            let number = answer.first_chunk().map_or(0, |number| u64::from_le_bytes(*number));
            check_total(number, answered)?;
            black_box(answer);
            answered += 1;
        }
    }
    Ok(began.elapsed())
}

/// How long so many items of `N` bytes take, until the peer has counted them.
pub(crate) fn items<const N: usize>(scale: Scale, peer: &str) -> io::Result<Duration> {
    let mut peer = Peer::start(peer, scale.other_core)?;
    let (item, size) = ([7; N], u32::try_from(N).unwrap_or(u32::MAX));
    let mut output = Vec::with_capacity(CHUNK + 4 + N);
    let began = Instant::now();
    for _ in 0..scale.times {
        output.extend_from_slice(&size.to_le_bytes());
        output.extend_from_slice(black_box(&item));
        if output.len() >= CHUNK {
            peer.link.write_all(&output)?;
            output.clear();
        }
    }
    peer.link.write_all(&output)?;
    peer.link.shutdown(Shutdown::Write)?;
    let total = read_number(&mut peer.link)?;
    let took = began.elapsed();
    check_total(total, scale.times.into())?;
    Ok(took)
}
