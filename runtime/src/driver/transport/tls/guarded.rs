//! A stream of which only so much may be read until the other end has proven who it is, and of which the
//! first bytes are remembered, to say what kind of stranger it was. Changes nothing that goes through.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_lite::{AsyncRead, AsyncWrite};

/// How much a peer may send before it has proven who it is. A handshake between members takes some 1.5 KB
/// each way, and 2 KB with the longest names.
pub(super) const MOST: usize = 16 * 1024;
/// How much of the beginning is remembered.
const FIRST: usize = 16;

/// The stream below TLS.
#[derive(Debug)]
pub(super) struct Guarded<S> {
    stream: S,
    /// How much more may be read; nothing once who is there is known.
    left: Option<usize>,
    first: Vec<u8>,
    /// More was sent.
    pub(super) is_too_long: bool,
}

impl<S> Guarded<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, left: Some(MOST), first: Vec::new(), is_too_long: false }
    }

    /// The other end has proven who it is.
    pub(super) fn open(&mut self) {
        self.left = None;
        self.first = Vec::new();
    }

    /// What the other end began with.
    pub(super) fn first(&self) -> &[u8] {
        &self.first
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let Some(left) = this.left else {
            return Pin::new(&mut this.stream).poll_read(context, buffer);
        };
        let room = left.min(buffer.len());
        if room == 0 && !buffer.is_empty() {
            this.is_too_long = true;
            return Poll::Ready(Err(ErrorKind::InvalidData.into()));
        }
        let buffer = buffer.get_mut(..room).unwrap_or_default();
        let count = ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        this.left = Some(left.saturating_sub(count));
        let wanted = FIRST.saturating_sub(this.first.len()).min(count);
        this.first.extend_from_slice(buffer.get(..wanted).unwrap_or_default());
        Poll::Ready(Ok(count))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
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
        let this = &mut *self;
        if this.left.is_none() {
            return Pin::new(&mut this.stream).poll_write_vectored(context, bytes);
        }
        // All that it takes now: an alert that stands behind other bytes has one chance to leave.
        let mut count = 0;
        for mut part in bytes.iter().map(|part| &**part) {
            while !part.is_empty() {
                match Pin::new(&mut this.stream).poll_write(context, part) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Ok(count)),
                    Poll::Ready(Ok(written)) => {
                        part = part.get(written..).unwrap_or_default();
                        count += written;
                    }
                    // It will be found again by the next one.
                    Poll::Ready(Err(_)) | Poll::Pending if count > 0 => {
                        return Poll::Ready(Ok(count));
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return Poll::Pending,
                }
            }
        }
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(context)
    }
}
