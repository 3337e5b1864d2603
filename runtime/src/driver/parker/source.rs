//! A descriptor that a thread waits for, and whether there is something to be done with it.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::mem;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use async_io::Async;
use rustix::event::epoll::{self, EventData, EventFlags};

use super::{Parker, here};
use crate::driver::link::lock;

/// A descriptor to wait for, by whatever way its thread had when it was made. Has what of
/// [`Async`] the library uses, and means the same, but for one reader and one writer at a time.
#[derive(Debug)]
pub(crate) enum Ready<T: AsFd> {
    Stock(Async<T>),
    Parked(Parked<T>),
}

impl<T: AsFd> Ready<T> {
    /// Makes it nonblocking, and has it waited for.
    pub(crate) fn new(io: T) -> io::Result<Self> {
        match here() {
            Some(parker) => Ok(Self::Parked(Parked::new(io, parker)?)),
            None => Ok(Self::Stock(Async::new(io)?)),
        }
    }

    pub(crate) fn get_ref(&self) -> &T {
        match self {
            Self::Stock(stock) => stock.get_ref(),
            Self::Parked(parked) => &parked.io,
        }
    }

    /// Ends when there is something to read, or nothing more will come.
    ///
    /// To be waited for behind a read that has emptied it, and only then: one that was short, unless a
    /// descriptor came with it, where more may be behind that.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Stock(stock) => stock.readable().await,
            Self::Parked(parked) => poll_fn(|cx| parked.source.poll_readable(cx)).await,
        }
    }

    /// Ends when a write that it had no room for may be tried again.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Stock(stock) => stock.writable().await,
            Self::Parked(parked) => {
                parked.ask_for_room()?;
                let room = poll_fn(|cx| parked.source.poll_writable(cx)).await;
                parked.hear(READS)?;
                room
            }
        }
    }

    /// Reads by `op` as soon as that does not say that it would block.
    pub(crate) async fn read_with<R>(
        &self,
        mut op: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        let parked = match self {
            Self::Stock(stock) => return stock.read_with(op).await,
            Self::Parked(parked) => parked,
        };
        loop {
            // What happens from here on is to be seen by the wait that follows.
            parked.source.forget_readable();
            match op(&parked.io) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
            poll_fn(|cx| parked.source.poll_readable(cx)).await?;
        }
    }
}

/// One that a [`Parker`] waits for.
pub(crate) struct Parked<T: AsFd> {
    pub(super) io: T,
    pub(super) source: Arc<Source>,
    parker: Arc<Parker>,
}

impl<T: AsFd> fmt::Debug for Parked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parked").finish_non_exhaustive()
    }
}

impl<T: AsFd> Parked<T> {
    pub(super) fn new(io: T, parker: Arc<Parker>) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&io, true)?;
        let source = {
            let mut waits = lock(&parker.waits);
            let number = waits.number();
            let source = Arc::new(Source { number, state: Mutex::default() });
            waits.sources.insert(number, source.clone());
            source
        };
        // Dropped where it cannot be added, and taken out again by that.
        let parked = Self { io, source, parker };
        let data = EventData::new_u64(parked.source.number);
        epoll::add(&parked.parker.epoll, &parked.io, data, READS)?;
        Ok(parked)
    }

    fn ask_for_room(&self) -> io::Result<()> {
        lock(&self.source.state).writable = false;
        // The kernel looks at once: room that there is by now is an event.
        self.hear(READS | EventFlags::OUT)
    }

    fn hear(&self, flags: EventFlags) -> io::Result<()> {
        let data = EventData::new_u64(self.source.number);
        Ok(epoll::modify(&self.parker.epoll, &self.io, data, flags)?)
    }
}

impl<T: AsFd> Drop for Parked<T> {
    fn drop(&mut self) {
        let _ = epoll::delete(&self.parker.epoll, &self.io);
        lock(&self.parker.waits).sources.remove(&self.source.number);
    }
}

/// What is waited for always. Room is asked for where there was none: who reads at the other end would
/// wake us each time.
const READS: EventFlags = EventFlags::IN.union(EventFlags::RDHUP).union(EventFlags::ET);

/// What has happened to a descriptor since somebody has looked.
pub(super) struct Source {
    number: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    readable: bool,
    writable: bool,
    /// Nothing comes any more behind what there is: for good.
    ended: bool,
    /// Nobody waits for it any more.
    over: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Source {
    /// Adds whom to wake for it.
    pub(super) fn happened(&self, flags: EventFlags, wakers: &mut Vec<Waker>) {
        let end = EventFlags::HUP | EventFlags::ERR;
        let mut state = lock(&self.state);
        // Not of an error, behind which a socket of datagrams goes on.
        state.ended |= flags.intersects(EventFlags::HUP | EventFlags::RDHUP);
        if flags.intersects(EventFlags::IN | EventFlags::RDHUP | end) {
            state.readable = true;
            wakers.extend(state.reader.take());
        }
        if flags.intersects(EventFlags::OUT | end) {
            state.writable = true;
            wakers.extend(state.writer.take());
        }
    }

    pub(super) fn end(&self, wakers: &mut Vec<Waker>) {
        let mut state = lock(&self.state);
        state.over = true;
        wakers.extend(state.reader.take());
        wakers.extend(state.writer.take());
    }

    fn forget_readable(&self) {
        lock(&self.state).readable = false;
    }

    /// What it says it says once: whoever hears it reads until there is nothing more.
    pub(super) fn poll_readable(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let mut state = lock(&self.state);
        let ready = mem::take(&mut state.readable) || state.ended;
        state.poll(ready, cx, |state| &mut state.reader)
    }

    fn poll_writable(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let mut state = lock(&self.state);
        let ready = state.writable;
        state.poll(ready, cx, |state| &mut state.writer)
    }
}

impl State {
    fn poll(
        &mut self,
        ready: bool,
        cx: &Context<'_>,
        slot: impl Fn(&mut Self) -> &mut Option<Waker>,
    ) -> Poll<io::Result<()>> {
        if ready {
            return Poll::Ready(Ok(()));
        }
        if self.over {
            let gone = "the thread that has waited for this descriptor has gone on";
            return Poll::Ready(Err(io::Error::other(gone)));
        }
        match slot(self) {
            Some(known) if known.will_wake(cx.waker()) => {}
            slot => *slot = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}
