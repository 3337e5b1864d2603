//! What the link of a parent and its child goes through, before anything drives it: the pair that the
//! child has inherited, or the standard input and output of a launcher's process (P-L8).

use std::io::{self, Read, Write};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::fs::OFlags;

/// One end of it.
#[derive(Debug)]
pub(crate) enum Way {
    /// Of a pair of sockets.
    Pair(UnixStream),
    /// Of a descriptor for each direction.
    Pipes {
        /// Where the peer's bytes come from.
        read: OwnedFd,
        /// Where our own go. Nobody else may hold it: closing it is what shows an end.
        write: OwnedFd,
    },
}

impl Way {
    /// What is read from.
    pub(crate) fn reads(&self) -> BorrowedFd<'_> {
        match self {
            Self::Pair(socket) => socket.as_fd(),
            Self::Pipes { read, .. } => read.as_fd(),
        }
    }

    /// What is written to.
    pub(crate) fn writes(&self) -> BorrowedFd<'_> {
        match self {
            Self::Pair(socket) => socket.as_fd(),
            Self::Pipes { write, .. } => write.as_fd(),
        }
    }

    /// Whether it came by a launcher.
    pub(crate) fn is_apart(&self) -> bool {
        matches!(self, Self::Pipes { .. })
    }

    /// Whether a read or a write waits.
    pub(crate) fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        for descriptor in [self.reads(), self.writes()] {
            let flags = rustix::fs::fcntl_getfl(descriptor)?;
            let flags = if on { flags | OFlags::NONBLOCK } else { flags - OFlags::NONBLOCK };
            rustix::fs::fcntl_setfl(descriptor, flags)?;
        }
        Ok(())
    }
}

impl Read for &Way {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Way::Pair(socket) => (&*socket).read(buffer),
            Way::Pipes { read, .. } => Ok(rustix::io::read(read, buffer)?),
        }
    }
}

impl Write for &Way {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Way::Pair(socket) => (&*socket).write(bytes),
            Way::Pipes { write, .. } => Ok(rustix::io::write(write, bytes)?),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
