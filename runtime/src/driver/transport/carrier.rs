//! What a link reads from and writes to. Moves bytes and waits for room, and knows nothing of what they
//! mean.
//!
//! One case for each kind, so that what most links go through, a Unix socket, costs no indirection and
//! no allocation.

use std::future::Future;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use event_listener::{Event as Signal, listener};
use futures_lite::{FutureExt, future};
use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};

use super::duplex::{Duplex, RESTS, Shared};
use crate::driver::link::lock;
use crate::driver::readiness::{self, Ready};
use crate::driver::way::Way;

/// What a link may be opened with.
pub(crate) enum Carrier {
    /// A Unix socket, which an inherited pair is too.
    Unix(UnixStream),
    /// A connection of TCP as it is, which tells nobody who is at its other end.
    Tcp(TcpStream),
    /// A pipe or a socket for each direction, as a launcher's standard input and output are.
    Pipes {
        /// Where the peer's bytes come from.
        read: OwnedFd,
        /// Where our own go.
        write: OwnedFd,
    },
    /// Any stream that waits by itself: one with TLS on it, or one of QUIC.
    Stream(Box<dyn Duplex>),
}

impl Carrier {
    /// A stream that waits by itself.
    pub(crate) fn stream(stream: impl Duplex + 'static) -> Self {
        Self::Stream(Box::new(stream))
    }
}

impl From<UnixStream> for Carrier {
    fn from(socket: UnixStream) -> Self {
        Self::Unix(socket)
    }
}

impl From<Way> for Carrier {
    fn from(way: Way) -> Self {
        match way {
            Way::Pair(socket) => Self::Unix(socket),
            Way::Pipes { read, write } => Self::Pipes { read, write },
        }
    }
}

impl From<TcpStream> for Carrier {
    fn from(socket: TcpStream) -> Self {
        Self::Tcp(socket)
    }
}

/// One read into these buffers, one behind the other.
pub(crate) type Reads<'a> = dyn FnMut(&mut [IoSliceMut<'_>]) -> io::Result<usize> + 'a;

/// A carrier that is waited for, shared by those who read, write and close it.
///
/// One reads and one writes at a time. Whoever closes it wakes both.
#[derive(Debug)]
pub(crate) enum Line {
    Unix(Ready<UnixStream>),
    Tcp(Ready<TcpStream>),
    Pipes(Pipes),
    Stream(Shared),
}

impl Line {
    /// Has it waited for by whatever this thread waits with.
    ///
    /// # Errors
    ///
    /// Fails where the system does not wait for a descriptor, as for a file.
    pub(crate) fn new(carrier: Carrier) -> io::Result<Self> {
        Ok(match carrier {
            Carrier::Unix(socket) => Self::Unix(Ready::new(socket)?),
            Carrier::Tcp(socket) => {
                // What is written leaves when it is: frames are gathered before.
                socket.set_nodelay(true)?;
                Self::Tcp(Ready::new(socket)?)
            }
            Carrier::Pipes { read, write } => Self::Pipes(Pipes::new(read, write)?),
            Carrier::Stream(stream) => Self::Stream(Shared::new(stream)),
        })
    }

    /// Ends when there is something to read, or nothing more will come; to be waited for behind a read
    /// that was short. What is wrong, if anything is, the next read says.
    pub(crate) async fn readable(&self) {
        let _ = match self {
            Self::Unix(socket) => socket.readable().await,
            Self::Tcp(socket) => socket.readable().await,
            Self::Pipes(pipes) => pipes.unless_closed(pipes.read.readable()).await,
            Self::Stream(_) => {
                // The read waits. One that finds more each time lets others run in between.
                future::yield_now().await;
                Ok(())
            }
        };
    }

    /// Reads what there is, as soon as there is something; nothing at the end. Cancel safe: what was
    /// not returned was not read.
    pub(crate) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(socket) => socket.read_with(|socket| recv(socket, buffer)).await,
            Self::Tcp(socket) => socket.read_with(|socket| recv(socket, buffer)).await,
            Self::Pipes(pipes) => {
                let read = |fd: &OwnedFd| Ok(rustix::io::read(fd, &mut *buffer)?);
                pipes.unless_closed(pipes.read.read_with(read)).await
            }
            Self::Stream(shared) => shared.read(buffer).await,
        }
    }

    /// Whether it can be read into several buffers at once.
    pub(crate) fn scatters(&self) -> bool {
        !matches!(self, Self::Stream(_))
    }

    /// Has `f` read what there is into buffers of its choice, as soon as there is something. Cancel safe,
    /// where `f` loses nothing; not for a line that does not [scatter](Self::scatters).
    pub(crate) async fn read_by(
        &self,
        mut f: impl FnMut(&mut Reads<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        match self {
            Self::Unix(socket) => {
                socket.read_with(|socket| f(&mut |to| scattered(socket, to))).await
            }
            Self::Tcp(socket) => {
                socket.read_with(|socket| f(&mut |to| scattered(socket, to))).await
            }
            Self::Pipes(pipes) => {
                let read = |fd: &OwnedFd| f(&mut |to| Ok(rustix::io::readv(fd, to)?));
                pipes.unless_closed(pipes.read.read_with(read)).await
            }
            Self::Stream(_) => Err(ErrorKind::Unsupported.into()),
        }
    }

    /// Writes as much as is taken at once; a peer that is gone raises no signal.
    ///
    /// # Errors
    ///
    /// `WouldBlock` where nothing was taken: there may be room behind [`writable`](Self::writable).
    pub(crate) fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        readiness::stir();
        match self {
            Self::Unix(socket) => send(socket.get_ref(), slices),
            Self::Tcp(socket) => send(socket.get_ref(), slices),
            Self::Pipes(pipes) => pipes.write(slices),
            Self::Stream(shared) => shared.write(slices),
        }
    }

    /// Whether something that was taken is still on its way through this process: then there is
    /// something to wait for even where nothing is to be written.
    pub(crate) fn is_behind(&self) -> bool {
        match self {
            Self::Stream(shared) => shared.is_behind(),
            Self::Unix(_) | Self::Tcp(_) | Self::Pipes(_) => false,
        }
    }

    /// Whether what was said last may need a while to leave. A socket has taken it, or never will.
    pub(crate) fn takes_time(&self) -> bool {
        matches!(self, Self::Stream(_))
    }

    /// Ends when a write that there was no room for may be tried again, and what was taken has left.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Unix(socket) => socket.writable().await,
            Self::Tcp(socket) => socket.writable().await,
            Self::Pipes(pipes) => pipes.writable().await,
            Self::Stream(shared) => shared.writable().await,
        }
    }

    /// Shows the peer an end; reading goes on.
    pub(crate) fn close_writing(&self) {
        match self {
            Self::Unix(socket) => drop(socket.get_ref().shutdown(Shutdown::Write)),
            Self::Tcp(socket) => drop(socket.get_ref().shutdown(Shutdown::Write)),
            Self::Pipes(pipes) => pipes.close_writing(),
            Self::Stream(shared) => shared.close_writing(),
        }
    }

    /// Ends it both ways, and wakes whoever reads or waits for room.
    pub(crate) fn close(&self) {
        match self {
            Self::Unix(socket) => drop(socket.get_ref().shutdown(Shutdown::Both)),
            Self::Tcp(socket) => drop(socket.get_ref().shutdown(Shutdown::Both)),
            Self::Pipes(pipes) => pipes.close(),
            Self::Stream(shared) => shared.close(),
        }
    }

    /// Ends once what has to be said at the end of a line that was closed is said, or cannot be soon.
    pub(crate) async fn gone(&self) {
        match self {
            // Apart: it has room for what is read, and every link would have that room otherwise.
            Self::Stream(shared) => Box::pin(shared.gone()).await,
            // What is not read when it is closed has TCP take back what is still on its way there.
            Self::Tcp(socket) => {
                let mut rest = [0; 4096];
                let mut more = || matches!(recv(socket.get_ref(), &mut rest), Ok(1..));
                // A peer that goes on for ever is not listened to for ever.
                (0..RESTS).any(|_| !more());
            }
            Self::Unix(_) | Self::Pipes(_) => {}
        }
    }
}

// By `rustix`, whose calls go to the kernel: those of `std` are points for cancelling a thread by the way,
// which are entered and left each time.

/// Reads from a socket.
#[inline]
fn recv(socket: impl AsFd, to: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::net::recv(socket, to, RecvFlags::empty())?.1)
}

/// The same into several buffers.
#[inline]
fn scattered(socket: impl AsFd, to: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    match to {
        [one] => recv(socket, one),
        all => Ok(rustix::io::readv(socket, all)?),
    }
}

/// Writes to a socket; one that nobody reads any more raises no signal.
#[inline]
fn send(socket: impl AsFd, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    if let [one] = slices {
        return Ok(rustix::net::send(socket, one, SendFlags::NOSIGNAL)?);
    }
    let mut none = SendAncillaryBuffer::default();
    Ok(rustix::net::sendmsg(socket, slices, &mut none, SendFlags::NOSIGNAL)?)
}

/// A descriptor for each direction. They stay nonblocking when they are given up: nobody else has the
/// ends of a launcher's pipes.
#[derive(Debug)]
pub(crate) struct Pipes {
    read: Ready<OwnedFd>,
    /// Closing it is how a pipe shows an end, so that it has to go before what waits for it.
    write: Mutex<Option<Arc<Ready<OwnedFd>>>>,
    /// What is written to is a socket. A pipe whose reader is gone raises a signal, which every process
    /// that this library or the standard library has started ignores.
    sends: bool,
    closed: AtomicBool,
    closing: Signal,
}

impl Pipes {
    fn new(read: OwnedFd, write: OwnedFd) -> io::Result<Self> {
        let sends = FileType::from_raw_mode(rustix::fs::fstat(&write)?.st_mode).is_socket();
        Ok(Self {
            read: waited_for(read, "read from")?,
            write: Mutex::new(Some(Arc::new(waited_for(write, "written to")?))),
            sends,
            closed: AtomicBool::new(false),
            closing: Signal::new(),
        })
    }

    /// Ends early when both directions are closed.
    async fn unless_closed<T>(&self, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        work.or(self.until(|| self.closed.load(Ordering::Acquire))).await
    }

    /// Ends with an error once so much is closed.
    async fn until<T>(&self, is_closed: impl Fn() -> bool) -> io::Result<T> {
        loop {
            listener!(self.closing => closing);
            if is_closed() {
                return Err(closed());
            }
            closing.await;
        }
    }

    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let write = lock(&self.write);
        let write = write.as_ref().ok_or_else(closed)?.get_ref();
        if self.sends { send(write, slices) } else { Ok(rustix::io::writev(write, slices)?) }
    }

    async fn writable(&self) -> io::Result<()> {
        let write = lock(&self.write).clone().ok_or_else(closed)?;
        write.writable().or(self.until(|| lock(&self.write).is_none())).await
    }

    fn close_writing(&self) {
        let write = lock(&self.write).take();
        if let (Some(write), true) = (write, self.sends) {
            // It may be the one that is read from, under another number.
            let _ = rustix::net::shutdown(write.get_ref(), rustix::net::Shutdown::Write);
        }
        self.closing.notify(usize::MAX);
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.close_writing();
    }
}

fn closed() -> io::Error {
    ErrorKind::NotConnected.into()
}

fn waited_for(descriptor: OwnedFd, how: &'static str) -> io::Result<Ready<OwnedFd>> {
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&descriptor)?.st_mode);
    Ready::new(descriptor).map_err(|error| {
        if Errno::from_io_error(&error) != Some(Errno::PERM) {
            return error;
        }
        let why = format!(
            "a link cannot be {how} through {}, which the system does not wait for: a pipe or a \
             socket is needed",
            described(kind)
        );
        io::Error::new(ErrorKind::InvalidInput, why)
    })
}

/// What a descriptor leads to, in words.
pub(super) fn described(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "a regular file",
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a pipe",
        FileType::Socket => "a socket",
        FileType::CharacterDevice => "a character device",
        FileType::BlockDevice => "a block device",
        FileType::Unknown => "something unknown",
    }
}
