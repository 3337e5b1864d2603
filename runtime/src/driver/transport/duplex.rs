//! A stream that waits by itself, as a line: read by one task and written by whoever has something to
//! say. Knows nothing of what is in it, and of TLS only that both directions share a state.
//!
//! - One mutex, held for a poll and never across an await.
//! - Whatever is polled is given one waker, which wakes the reader and the writer: a write may wait for
//!   something to be read and the other way round, and a stream remembers the last waker only.
//! - What was taken may stay inside until it is flushed, so a write flushes; where that waits, the
//!   writer goes on with it, and nothing more is taken before.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Duration;

use futures_lite::{AsyncRead, AsyncWrite, FutureExt};

use crate::driver::link::lock;
use crate::driver::{clock, readiness};

/// How long the last words of a line that was closed may take: they are no more than an alert.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// So often something is read of it before others have their turn.
pub(super) const RESTS: usize = 16;

/// What bytes go through both ways.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + ?Sized> Duplex for T {}

/// A stream that is shared by its reader and its writers.
pub(crate) struct Shared {
    state: Mutex<State>,
    both: Arc<Both>,
    /// The same, as what is polled wants it.
    waker: Waker,
}

struct State {
    /// Nothing once it is gone for good.
    stream: Option<Box<dyn Duplex>>,
    end: End,
    /// The end of the writing direction was said.
    said: bool,
    /// Something was taken and not flushed.
    behind: bool,
    /// What went wrong behind a write that was taken: the next one is told.
    failure: Option<io::Error>,
}

/// What becomes of the writing direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It is open.
    None,
    /// It is closed, and reading goes on.
    Writing,
    /// All is to be closed.
    Both,
}

/// Who waits for the stream.
#[derive(Default)]
struct Both {
    reader: Mutex<Option<Waker>>,
    writer: Mutex<Option<Waker>>,
    /// The stream has called since the last write.
    called: AtomicBool,
}

impl Wake for Both {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Before the writer looks, whom it may find absent.
        self.called.store(true, Ordering::SeqCst);
        for place in [&self.reader, &self.writer] {
            let waker = lock(place).take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

/// Remembers whom to wake. Has to be done before the poll.
fn wait(place: &Mutex<Option<Waker>>, cx: &Context<'_>) {
    match &mut *lock(place) {
        Some(known) if known.will_wake(cx.waker()) => {}
        place => *place = Some(cx.waker().clone()),
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(stream: Box<dyn Duplex>) -> Self {
        let both = Arc::new(Both::default());
        let waker = Waker::from(both.clone());
        let state = State {
            stream: Some(stream),
            end: End::None,
            said: false,
            behind: false,
            failure: None,
        };
        Self { state: Mutex::new(state), both, waker }
    }

    pub(super) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| {
            wait(&self.both.reader, cx);
            let State { stream, end, .. } = &mut *lock(&self.state);
            match stream {
                Some(stream) if *end != End::Both => {
                    Pin::new(stream).poll_read(&mut self.cx(), buffer)
                }
                _ => Poll::Ready(Ok(0)),
            }
        })
        .await
    }

    /// Has some of it taken, and as much of that as goes at once sent. Not to be tried again behind one
    /// that would block until [`writable`](Self::writable) has ended.
    pub(super) fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = lock(&self.state);
        if let Some(failure) = state.failure.take() {
            return Err(failure);
        }
        if state.end != End::None {
            return Err(ErrorKind::NotConnected.into());
        }
        let cx = &mut self.cx();
        if state.behind && state.poll_flush(cx)?.is_pending() {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.both.called.store(false, Ordering::SeqCst);
        let written = state.poll_write(cx, slices);
        // One that has taken nothing may have something to send nevertheless.
        state.behind = true;
        match (written, state.poll_flush(cx)) {
            (Poll::Ready(written), Poll::Ready(Err(failure))) => {
                state.failure = Some(failure);
                written
            }
            (Poll::Ready(written), _) => written,
            (Poll::Pending, Poll::Ready(Err(failure))) => Err(failure),
            (Poll::Pending, _) => Err(ErrorKind::WouldBlock.into()),
        }
    }

    pub(super) fn is_behind(&self) -> bool {
        let state = lock(&self.state);
        state.behind || state.failure.is_some() || (state.end == End::Writing && !state.said)
    }

    /// Ends when nothing of what was taken is left inside and a write may be tried.
    pub(super) async fn writable(&self) -> io::Result<()> {
        poll_fn(|cx| {
            wait(&self.both.writer, cx);
            let mut state = lock(&self.state);
            if let Some(failure) = state.failure.take() {
                return Poll::Ready(Err(failure));
            }
            match state.end {
                End::Both => Poll::Ready(Err(ErrorKind::NotConnected.into())),
                End::Writing => state.poll_end(&mut self.cx()).map(Ok),
                End::None if state.behind => state.poll_flush(&mut self.cx()),
                End::None if self.both.called.load(Ordering::SeqCst) => Poll::Ready(Ok(())),
                End::None => Poll::Pending,
            }
        })
        .await
    }

    pub(super) fn close_writing(&self) {
        let mut state = lock(&self.state);
        if state.end == End::None {
            state.end = End::Writing;
            // Where it waits the writer goes on with it.
            let _ = state.poll_end(&mut self.cx());
        }
        drop(state);
        self.both.wake_by_ref();
    }

    pub(super) fn close(&self) {
        let mut state = lock(&self.state);
        let _ = state.poll_end(&mut self.cx());
        state.end = End::Both;
        drop(state);
        self.both.wake_by_ref();
    }

    /// Ends once a stream that was closed is gone, which takes no longer than [`LAST_WORDS`].
    ///
    /// What still comes is read until the peer has seen the end, and has closed it too: TCP takes back
    /// what has not arrived there where something was not read here.
    pub(super) async fn gone(&self) {
        let mut rest = [0; 4096];
        let over = poll_fn(|cx| {
            wait(&self.both.writer, cx);
            let mut state = lock(&self.state);
            if state.poll_end(&mut self.cx()).is_pending() {
                return Poll::Pending;
            }
            state.poll_rest(&mut self.cx(), &mut rest)
        });
        over.or(readiness::until(clock::now() + LAST_WORDS)).await;
        let stream = lock(&self.state).stream.take();
        drop(stream);
    }

    fn cx(&self) -> Context<'_> {
        Context::from_waker(&self.waker)
    }
}

impl State {
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Err(ErrorKind::NotConnected.into()));
        };
        match Pin::new(stream).poll_write_vectored(cx, slices) {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(ErrorKind::WriteZero.into())),
            // A stream waits by itself: for one that does not, nobody would.
            Poll::Ready(Err(error)) if error.kind() == ErrorKind::WouldBlock => {
                Poll::Ready(Err(io::Error::other("a stream blocks and waits for nothing")))
            }
            polled => polled,
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = match &mut self.stream {
            Some(stream) => Pin::new(stream).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        };
        self.behind = flushed.is_pending();
        flushed
    }

    /// Closes the writing direction. That it failed is no news: the peer sees an end either way.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(stream) = self.stream.as_mut().filter(|_| !self.said) {
            if let Err(error) = ready!(Pin::new(stream).poll_close(cx)) {
                tracing::debug!(
                    target: "hatchery::transport",
                    %error,
                    "the end of a link could not be said"
                );
            }
            (self.said, self.behind) = (true, false);
        }
        Poll::Ready(())
    }

    /// Reads to the end what nobody wants any more.
    fn poll_rest(&mut self, cx: &mut Context<'_>, rest: &mut [u8]) -> Poll<()> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(()) };
        // A peer that goes on for ever is bounded by the clock, and by this for the others here.
        for _ in 0..RESTS {
            match ready!(Pin::new(&mut *stream).poll_read(cx, rest)) {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Poll::Ready(()),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
