//! The limit of a control message among bulk: a blocking program that writes frames of 64 KiB, now
//! and then a small one between two of them, and takes the time until that one is acknowledged.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::bars::Scale;
use crate::blocking::{CHUNK, read_number, until_end};
use crate::measure::percentile;
use crate::place::Peer;

/// So many frames of bulk are between two control messages.
const APART: u32 = 20;
/// Of bulk; a control message has its time instead.
const BULK: u64 = u64::MAX;

/// A peer that reads bulk, and sends the time in each control message back.
pub(crate) fn acknowledge(mut link: UnixStream) -> io::Result<()> {
    let (mut kind, mut chunk) = ([0; 8], vec![0; CHUNK]);
    link.write_all(&[1])?;
    while until_end(link.read_exact(&mut kind))?.is_some() {
        match u64::from_le_bytes(kind) {
            BULK => link.read_exact(&mut chunk)?,
            _ => link.write_all(&kind)?,
        }
    }
    Ok(())
}

/// How long 99 of 100 acknowledgements take at most.
pub(crate) fn under_load(scale: Scale) -> io::Result<Duration> {
    let mut peer = Peer::start("acknowledge", scale.other_core)?;
    let mut answers = peer.link.try_clone()?;
    let began = Instant::now();
    let nanos = move || u64::try_from(began.elapsed().as_nanos()).unwrap_or(BULK - 1);
    let reader = thread::spawn(move || {
        let once = |_| read_number(&mut answers).map(|sent| nanos() - sent);
        (0..scale.times).map(once).collect::<io::Result<Vec<u64>>>()
    });
    let mut bulk = vec![7; 8 + CHUNK];
    bulk[..8].copy_from_slice(&BULK.to_le_bytes());
    for _ in 0..scale.times {
        for _ in 0..APART {
            peer.link.write_all(&bulk)?;
        }
        peer.link.write_all(&nanos().to_le_bytes())?;
    }
    let took = reader.join().map_err(|_| io::Error::other("the reader panicked"))??;
    Ok(percentile(took.into_iter().map(Duration::from_nanos).collect(), 99))
}
