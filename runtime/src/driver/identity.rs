//! Numbers that nobody else has: the kernel's randomness.

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use std::io;

/// Sixteen random bytes as a number.
pub(crate) fn fresh() -> io::Result<u128> {
    let mut bytes = [0; 16];
    loop {
        // Up to 256 bytes come whole or not at all.
        match getrandom(&mut bytes, GetRandomFlags::empty()) {
            Ok(_) => return Ok(u128::from_le_bytes(bytes)),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Two of them; 0 where the system has none.
pub(crate) fn roll() -> u16 {
    fresh().map_or(0, |number| {
        number.to_le_bytes().first_chunk().map_or(0, |b| u16::from_le_bytes(*b))
    })
}

/// This process's number, as it sees it itself.
pub(crate) fn pid() -> u32 {
    std::process::id()
}

/// That of the process that has started it, while that lives; 0 where it is in another container.
pub(crate) fn parent() -> u32 {
    rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get().unsigned_abs())
}
