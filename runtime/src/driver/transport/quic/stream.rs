//! The stream of one link, as a socket's. Knows nothing of what goes through.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_lite::{AsyncRead, AsyncWrite};

use super::Shared;

/// The stream of one link.
///
/// What is written may stay inside until it is flushed. Closing it waits until the other end has all of
/// it, for [`LINGER`](super::LINGER) after its last sign of life, and 20 s at most; then it is an error of the
/// kind `TimedOut`, and reading goes on. A stream that is dropped says the same in the background. A
/// read at the end gives 0 where the other end has closed it or let it go, and an error where it is lost.
pub(crate) struct QuicStream {
    shared: Arc<Shared>,
    id: u64,
}

impl std::fmt::Debug for QuicStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QuicStream").field("id", &self.id).finish_non_exhaustive()
    }
}

impl QuicStream {
    pub(super) fn new(shared: Arc<Shared>, id: u64) -> Self {
        Self { shared, id }
    }
}

impl Drop for QuicStream {
    fn drop(&mut self) {
        self.shared.with(|state, socket| {
            state.abandon(self.id);
            state.settle(self.id, socket);
        });
    }
}

fn gone<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(ErrorKind::NotConnected.into()))
}

impl AsyncRead for QuicStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = self.shared.with(|state, socket| {
            let read = state.quietly(self.id, |link| link.poll_read(context.waker(), buffer));
            // The other end may go on.
            if matches!(read, Some(Poll::Ready(Ok(1..)))) {
                state.settle(self.id, socket);
            }
            read
        });
        read.unwrap_or_else(gone)
    }
}

impl AsyncWrite for QuicStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = self.shared.with(|state, socket| {
            let written = state.quietly(self.id, |link| link.poll_write(context.waker(), bytes));
            if matches!(written, Some(Poll::Pending)) {
                state.settle(self.id, socket);
            }
            written
        });
        written.unwrap_or_else(gone)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.with(|state, socket| state.settle(self.id, socket));
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = self.shared.with(|state, socket| {
            state.on(self.id, socket, |link, now| link.poll_close(now, context.waker()))
        });
        closed.unwrap_or_else(gone)
    }
}
