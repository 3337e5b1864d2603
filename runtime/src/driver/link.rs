//! One link: a line, a `Connection`, and the three loops that move bytes and time between them; or
//! in `inner` two of them, each other's peer, and none.
//!
//! Decides nothing. What an event means is the business of the handler that the link was opened
//! with. No lock is held across an await, and the handler is called with none held.

use std::fmt;
use std::future::Future;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_executor::Task;
use event_listener::{Event as Signal, listener};
use futures_lite::{FutureExt, future};
use hatchery_proto::{Connection, Event, Instant, LinkId};

use super::patience::Patience;
use super::transport::carrier::{Carrier, Line};
use super::{clock, readiness};
use dialogs::{Dialogs, News, Waiting};
use gathered::Marks;
use reading::Taken;
use roll::ServedTask;
use seldom::Seldom;
use writing::Outgoing;

pub(crate) use dialogs::{Name, Named};
pub(crate) use gathered::{Gathering, Leaves};
pub(crate) use numbered::Numbered;
pub(crate) use passing::taking_descriptors;

mod dialogs;
mod frames;
mod gathered;
mod inner;
mod numbered;
mod passing;
mod reading;
pub(crate) mod roll;
mod seldom;
mod writing;

/// How much is encoded for writing at a time.
const BATCH: usize = 64 * 1024;
/// How much a link reads at first: an idle actor should cost next to nothing.
const FIRST_READ: usize = 4 * 1024;
/// And in the end: what a socket holds, so that frames are seldom cut in two.
const MOST_READ: usize = 256 * 1024;

/// Receives what a link has to tell, with no lock held.
pub(crate) trait Handler: Send + Sync {
    /// Called once for each event of the core, in order for each dialog.
    fn handle(&self, link: &Arc<Link>, event: Event);

    /// Called once when nothing more will be read, before what follows from it.
    fn handle_eof(&self, link: &Arc<Link>);

    /// What it runs for the peer, for whoever looks into this process; nothing where that cannot be told
    /// in time.
    fn serves(&self, _patience: Patience) -> Option<Vec<ServedTask>> {
        Some(Vec::new())
    }
}

/// What runs the loops of links.
pub(crate) trait Runs {
    /// Starts a task like any other.
    fn run(&self, task: impl Future<Output = ()> + Send + 'static) -> Task<()>;

    /// Starts one that is polled for nearly every message that comes, by the shortest way there is.
    fn run_direct(&self, task: impl Future<Output = ()> + Send + 'static) -> Task<()>;
}

/// The number of the link that is opened next.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// A link that is being driven.
pub(crate) struct Link {
    number: LinkId,
    connection: Mutex<Connection>,
    outgoing: Mutex<Outgoing>,
    /// When the clock loop will wake by itself, in microseconds.
    armed: AtomicU64,
    /// The socket took less than it was given: the writer waits for room.
    blocked: Signal,
    /// The earliest deadline may have changed.
    rearm: Signal,
    dialogs: Mutex<Dialogs>,
    /// A dialog of ours ended, so that another may be opened.
    slots: Seldom,
    /// The same, for whoever waits for certain ones.
    ended: Seldom,
    /// All is written, for now.
    written: Seldom,
    /// The core has closed the link.
    closed: Signal,
    handler: Box<dyn Handler>,
    /// Where the other end is in this process too: tells who carries the bytes that there are some.
    inner: Option<Arc<Signal>>,
    turns: Marks,
    /// Something is kept until the events at hand are handled.
    prompt: AtomicBool,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

/// The loops of a link. Dropping it closes the socket; `ended` waits for them.
pub(crate) struct Loops {
    link: Arc<Link>,
    reader: Task<()>,
    writer: Task<()>,
    clock: Task<()>,
}

impl Loops {
    /// Ends once the core has closed the link and the socket is gone.
    pub(crate) async fn ended(&mut self) {
        (&mut self.reader).await;
        (&mut self.writer).await;
        (&mut self.clock).await;
    }

    /// Ends the loops wherever they are; returns once none of them runs any more.
    pub(crate) async fn stop(self) {
        self.link.cut();
        self.reader.cancel().await;
        self.writer.cancel().await;
        self.clock.cancel().await;
    }
}

impl Link {
    /// Starts driving `connection` over `carrier`, with its loops as tasks of `on`.
    ///
    /// # Errors
    ///
    /// Fails where the system does not wait for the carrier.
    pub(crate) fn open(
        connection: Connection,
        carrier: impl Into<Carrier>,
        on: &impl Runs,
        handler: Box<dyn Handler>,
    ) -> std::io::Result<(Arc<Self>, Loops)> {
        let carrier = carrier.into();
        let connection = passing::over(connection, &carrier);
        let line = Arc::new(Line::new(carrier)?);
        let link = Self::over(connection, Some(line.clone()), None, handler);
        let reader = on.run_direct(link.clone().read(line.clone()));
        let writer = on.run(link.clone().write(line));
        let clock = on.run(link.clone().keep_time());
        let loops = Loops { link: link.clone(), reader, writer, clock };
        link.flush();
        Ok((link, loops))
    }

    fn over(
        connection: Connection,
        line: Option<Arc<Line>>,
        inner: Option<Arc<Signal>>,
        handler: Box<dyn Handler>,
    ) -> Arc<Self> {
        let outgoing = Outgoing::to(line);
        let link = Arc::new(Self {
            number: LinkId::new(NEXT.fetch_add(1, Ordering::Relaxed)),
            connection: Mutex::new(connection),
            outgoing: Mutex::new(outgoing),
            armed: AtomicU64::new(u64::MAX),
            blocked: Signal::new(),
            rearm: Signal::new(),
            dialogs: Mutex::default(),
            slots: Seldom::default(),
            ended: Seldom::default(),
            written: Seldom::default(),
            closed: Signal::new(),
            handler,
            inner,
            turns: Marks::default(),
            prompt: AtomicBool::new(false),
        });
        roll::enter(&link);
        link
    }

    /// Its number among all links of this process.
    pub(crate) const fn number(&self) -> LinkId {
        self.number
    }

    /// Runs `f` on the core, then does everything that follows from it: events are handled, frames
    /// written as far as the socket takes them, the clock set.
    pub(crate) fn with<R>(self: &Arc<Self>, f: impl FnOnce(&mut Connection, Instant) -> R) -> R {
        self.tell(|connection| f(connection, clock::now()))
    }

    /// As [`with`](Self::with), for what does not depend on the time.
    pub(crate) fn tell<R>(self: &Arc<Self>, f: impl FnOnce(&mut Connection) -> R) -> R {
        let mut news = News::default();
        let (value, deadline, transmit) = {
            let mut connection = lock(&self.connection);
            let value = f(&mut connection);
            if let Some(first) = connection.poll_event() {
                // Who waits is found under the lock of the core: whoever has the core say how a call came
                // out knows that nobody looks for its waiter any more.
                let mut dialogs = lock(&self.dialogs);
                let rest = std::iter::from_fn(|| connection.poll_event());
                std::iter::once(first).chain(rest).for_each(|event| news.add(event, &mut dialogs));
            }
            let deadline = connection.poll_timeout().map(|(at, _)| at);
            (value, deadline, connection.wants_transmit())
        };
        if !news.is_empty() {
            let mut finished = 0;
            for (event, waiting) in news.drain() {
                finished += usize::from(matches!(event, Event::Finished(_)));
                self.dispatch(event, waiting);
            }
            if finished > 0 {
                self.slots.notify(finished);
                self.ended.notify(usize::MAX);
            }
            if self.prompt.swap(false, Ordering::Relaxed) {
                self.flush();
            }
        }
        if transmit {
            self.flush();
        }
        if deadline.is_some_and(|at| at.as_micros() < self.armed.load(Ordering::Acquire)) {
            self.rearm.notify(1);
        }
        value
    }

    /// Takes something out of the core of which nothing follows that could not wait for whatever is done
    /// next.
    pub(crate) fn draw<R>(&self, f: impl FnOnce(&mut Connection) -> R) -> R {
        f(&mut lock(&self.connection))
    }

    /// Looks at the core without changing it.
    pub(crate) fn look<R>(&self, f: impl FnOnce(&Connection) -> R) -> R {
        f(&lock(&self.connection))
    }

    /// Ends once the core has closed the link.
    pub(crate) async fn closed(&self) {
        loop {
            listener!(self.closed => closed);
            if self.look(Connection::is_closed) {
                return;
            }
            closed.await;
        }
    }

    /// Fires when a dialog that this side opened has ended.
    pub(crate) fn slots(&self) -> &Seldom {
        &self.slots
    }

    /// Fires for everybody when one has.
    pub(crate) fn ended(&self) -> &Seldom {
        &self.ended
    }

    /// Ends the link at once: what the socket has not taken is lost, every dialog ends.
    pub(crate) fn cut(self: &Arc<Self>) {
        self.flush();
        self.with(|connection, now| {
            connection.handle_write_closed();
            connection.handle_eof(now);
        });
        self.drop_socket();
    }

    fn dispatch(self: &Arc<Self>, event: Event, waiting: Option<Waiting>) {
        if let Some(waiting) = waiting {
            waiting.wake();
        }
        match event {
            // The clock need not wake for a greeting that has come.
            Event::Up => {
                self.rearm.notify(1);
            }
            Event::Closed => {
                self.closed.notify(usize::MAX);
                self.slots.notify(usize::MAX);
                self.ended.notify(usize::MAX);
                self.rearm.notify(usize::MAX);
                self.blocked.notify(usize::MAX);
            }
            _ => {}
        }
        self.show_event(&event);
        self.handler.handle(self, event);
    }

    async fn read(self: Arc<Self>, line: Arc<Line>) {
        let (mut buffer, mut drained, mut row) = (vec![0; FIRST_READ], false, 0);
        let mut reads = passing::Reads::of(&self);
        loop {
            if drained {
                line.readable().await;
            }
            match reads.take_from(&self, &line, &mut buffer).await {
                Ok(Taken { placed: 0, count: 0, .. }) => {}
                Ok(Taken { placed, count, full, more }) => {
                    // Less than there was room for: the next read would find nothing.
                    drained = !full && !more;
                    row = if full { row + placed + count } else { 0 };
                    let bytes = buffer.get(..count).unwrap_or_default();
                    self.hear(bytes);
                    if !self.look(Connection::is_closed) {
                        if full && placed == 0 {
                            // More is coming than fits: the reader of a busy link is worth its memory,
                            buffer.resize((2 * count).min(MOST_READ), 0);
                        }
                        if full && (placed == 0 || row >= MOST_READ) {
                            // and not all of the time.
                            row = 0;
                            future::yield_now().await;
                        }
                        continue;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => tracing::debug!(
                    target: "hatchery::transport",
                    %error,
                    "a link ended with an error"
                ),
            }
            self.handler.handle_eof(&self);
            self.with(|connection, now| connection.handle_eof(now));
            return;
        }
    }

    /// Tells the core the time when it asked to be told.
    async fn keep_time(self: Arc<Self>) {
        loop {
            listener!(self.rearm => rearm);
            let (deadline, closed) = self.look(|connection| {
                (connection.poll_timeout().map(|(at, _)| at), connection.is_closed())
            });
            if closed {
                // The last words of this turn.
                self.flush();
                self.last_words().await;
                self.drop_socket();
                return;
            }
            let armed = deadline.map_or(u64::MAX, Instant::as_micros);
            self.armed.store(armed, Ordering::Release);
            // A deadline that came up in between has to be seen either here or by `with`.
            if self.look(|connection| connection.poll_timeout().map(|(at, _)| at)) != deadline {
                continue;
            }
            match deadline {
                None => rearm.await,
                Some(at) => {
                    let due = async {
                        readiness::until(at).await;
                        true
                    };
                    let changed = async {
                        rearm.await;
                        false
                    };
                    if due.or(changed).await {
                        self.with(|connection, now| connection.handle_timeout(now));
                    }
                }
            }
        }
    }
}

/// A lock whose holder panicked still guards sound data: the core is total.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
