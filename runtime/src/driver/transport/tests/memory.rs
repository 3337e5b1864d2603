//! Streams in memory, some of them as trying as a stream may be.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};

use futures_lite::{AsyncRead, AsyncWrite};

use crate::driver::link::lock;

/// Bytes on their way from one end to the other.
struct Way {
    bytes: VecDeque<u8>,
    room: usize,
    ended: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// One end of a pair.
pub(super) struct Memory {
    from: Arc<Mutex<Way>>,
    to: Arc<Mutex<Way>>,
}

/// Two ends with so many bytes of room in each direction.
pub(super) fn pair(room: usize) -> [Memory; 2] {
    let way = || {
        let bytes = VecDeque::new();
        Arc::new(Mutex::new(Way { bytes, room, ended: false, reader: None, writer: None }))
    };
    let (one, other) = (way(), way());
    [Memory { from: one.clone(), to: other.clone() }, Memory { from: other, to: one }]
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl AsyncRead for Memory {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut way = lock(&self.from);
        if way.bytes.is_empty() && !way.ended {
            way.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let count = buffer.len().min(way.bytes.len());
        for (place, byte) in buffer.iter_mut().zip(way.bytes.drain(..count)) {
            *place = byte;
        }
        let writer = way.writer.take();
        drop(way);
        wake(writer);
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for Memory {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut way = lock(&self.to);
        if way.ended {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        let count = bytes.len().min(way.room - way.bytes.len());
        if count == 0 {
            way.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        way.bytes.extend(bytes.iter().take(count));
        let reader = way.reader.take();
        drop(way);
        wake(reader);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        end(&self.to);
        Poll::Ready(Ok(()))
    }
}

fn end(way: &Mutex<Way>) {
    let mut way = lock(way);
    way.ended = true;
    let wakers = [way.reader.take(), way.writer.take()];
    drop(way);
    wakers.into_iter().for_each(wake);
}

impl Drop for Memory {
    fn drop(&mut self) {
        end(&self.to);
        end(&self.from);
    }
}

/// A stream that moves a few bytes at a time, is pending whenever it likes, and keeps what it has taken
/// until it is flushed, as one with TLS does. What waits in one direction may only go on by a poll of
/// the other, and it remembers the last waker alone.
pub(super) struct Trying<S> {
    inner: S,
    held: VecDeque<u8>,
    holds: bool,
    most: usize,
    random: fastrand::Rng,
}

/// So much is held before a write waits.
const HELD: usize = 100;

impl<S> Trying<S> {
    pub(super) fn new(inner: S, most: usize, seed: u64) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        Self { inner, held: VecDeque::new(), holds: true, most, random }
    }

    /// One that keeps nothing, as a socket: futures-rustls forgets that it wanted to flush where that
    /// waits while it shakes hands.
    #[cfg(feature = "tls")]
    pub(super) fn unbuffered(inner: S, most: usize, seed: u64) -> Self {
        Self { holds: false, ..Self::new(inner, most, seed) }
    }

    /// Is pending now and then, and goes on at once.
    fn hesitates(&mut self, cx: &Context<'_>) -> bool {
        let hesitates = self.random.u8(0..4) == 0;
        if hesitates {
            cx.waker().wake_by_ref();
        }
        hesitates
    }

    fn some(&mut self, of: usize) -> usize {
        of.min(self.random.usize(1..=self.most))
    }
}

impl<S: AsyncWrite + Unpin> Trying<S> {
    fn poll_send(&mut self, cx: &mut Context<'_>, down_to: usize) -> Poll<io::Result<()>> {
        while self.held.len() > down_to {
            if self.hesitates(cx) {
                return Poll::Pending;
            }
            let count = self.some(self.held.len());
            let bytes: Vec<u8> = self.held.iter().take(count).copied().collect();
            let sent = ready!(Pin::new(&mut self.inner).poll_write(cx, &bytes))?;
            self.held.drain(..sent);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Trying<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        // As where an answer of the session's own has to leave: its end is seen by who writes.
        let _ = self.poll_send(cx, HELD / 2);
        if self.hesitates(cx) {
            return Poll::Pending;
        }
        let count = self.some(buffer.len());
        let buffer = buffer.get_mut(..count).unwrap_or_default();
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Trying<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_send(cx, HELD - 1))?;
        if self.hesitates(cx) {
            return Poll::Pending;
        }
        if !self.holds {
            let count = self.some(bytes.len());
            let bytes = bytes.get(..count).unwrap_or_default();
            return Pin::new(&mut self.inner).poll_write(cx, bytes);
        }
        let room = HELD - self.held.len();
        let count = self.some(bytes.len().min(room));
        self.held.extend(bytes.iter().take(count));
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send(cx, 0)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx, 0))?;
        Pin::new(&mut self.inner).poll_close(cx)
    }
}
