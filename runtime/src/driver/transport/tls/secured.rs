//! A stream whose other end is known, and that nobody between can read, change, repeat or cut unseen.
//! Knows nothing of what goes through.

use std::fmt;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_lite::{AsyncRead, AsyncWrite};
use futures_rustls::TlsStream;

use super::guarded::Guarded;

/// A secured stream.
///
/// What is written may stay inside until it is flushed. Closing it says so to the other end, and closes
/// the stream below for writing. A read at the end gives 0 only where the other end has closed it so; a
/// stream that was cut is an error of the kind `UnexpectedEof`, and what was changed on its way one of the
/// kind `InvalidData`, then and ever after.
pub(crate) struct Secured<S> {
    stream: TlsStream<Guarded<S>>,
    /// What ended it, for every read after.
    ended: Option<ErrorKind>,
}

impl<S> Secured<S> {
    pub(super) fn new(stream: TlsStream<Guarded<S>>) -> Self {
        Self { stream, ended: None }
    }

    pub(super) fn inner(&mut self) -> &mut TlsStream<Guarded<S>> {
        &mut self.stream
    }
}

impl<S> fmt::Debug for Secured<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secured").finish_non_exhaustive()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Secured<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(kind) = self.ended {
            return Poll::Ready(Err(kind.into()));
        }
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        if let Err(error) = &read
            && !matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock)
        {
            self.ended = Some(error.kind());
        }
        Poll::Ready(read)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Secured<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(context)
    }
}
