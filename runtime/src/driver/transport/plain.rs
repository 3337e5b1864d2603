//! A carrier as a stream that waits by itself, for what is put on top of it: TLS. Adds nothing but that
//! closing it shows the peer an end, where async-io's own types only flush.
//!
//! It is waited for by async-io, in whatever way the thread's links are: what stands on it polls.

use std::fs::File;
use std::io::{self, IoSlice};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_io::Async;
use futures_lite::{AsyncRead, AsyncWrite};

use super::carrier::Carrier;
use super::duplex::Duplex;

impl Carrier {
    /// As a stream, for a layer above it, which is then what a link goes over.
    ///
    /// # Errors
    ///
    /// Fails where the system does not wait for it.
    pub(crate) fn into_stream(self) -> io::Result<Box<dyn Duplex>> {
        Ok(match self {
            Self::Unix(socket) => Box::new(Plain(Async::new(socket)?)),
            Self::Tcp(socket) => {
                socket.set_nodelay(true)?;
                Box::new(Plain(Async::new(socket)?))
            }
            Self::Pipes { read, write } => Box::new(Files {
                read: Async::new(File::from(read))?,
                write: Some(Async::new(File::from(write))?),
            }),
            Self::Stream(stream) => stream,
        })
    }
}

/// A socket that can end one of its directions.
trait HalfClose {
    fn end_writing(&self) -> io::Result<()>;
}

impl HalfClose for UnixStream {
    fn end_writing(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl HalfClose for TcpStream {
    fn end_writing(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

struct Plain<T>(Async<T>);

impl<T> AsyncRead for Plain<T>
where
    Async<T>: AsyncRead + Unpin,
{
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<T: HalfClose> AsyncWrite for Plain<T>
where
    Async<T>: AsyncWrite + Unpin,
{
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, slices)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.0).poll_flush(cx))?;
        Poll::Ready(self.0.get_ref().end_writing())
    }
}

/// A descriptor for each direction.
struct Files {
    read: Async<File>,
    /// Nothing once its end was shown.
    write: Option<Async<File>>,
}

impl AsyncRead for Files {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.read).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Files {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.write {
            Some(write) => Pin::new(write).poll_write(cx, bytes),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Nothing is kept here.
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(write) = self.write.take() {
            // Where both directions are one socket, closing a number of it shows nothing.
            let _ = rustix::net::shutdown(&write, rustix::net::Shutdown::Write);
        }
        Poll::Ready(Ok(()))
    }
}
