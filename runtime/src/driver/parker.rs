//! A wait of the library's own, for a thread that it runs an actor on: the feature `parker`.
//!
//! One epoll instance a thread, to which a descriptor is added once, edge-triggered: a round trip asks
//! the kernel for a wait, a read and a write, and for nothing else. Deadlines are the wait's timeout.
//! Only tasks of the actor's executor and the future that runs it wait here. All that users wait for
//! goes on being async-io's, whose own thread waits for it, and which is not started before that.
//!
//! Decides nothing but who waits for what where. What may not happen here: a wait with a lock held,
//! or a wake-up with one.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::mem;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use event_listener::Event as Signal;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec};
use rustix::io::Errno;

use super::link::lock;
use source::Source;
use spin::Spin;

pub(crate) use deadline::{Due, due};
pub(crate) use sharing::Sharing;
pub(crate) use source::Ready;

mod deadline;
mod sharing;
mod source;
pub(crate) mod spin;
#[cfg(test)]
mod tests;

/// What the bell is called among the sources, whose numbers begin above.
const BELL: u64 = 0;
/// So many events are taken at a time.
const EVENTS: usize = 256;

thread_local! {
    /// What this thread waits with, while it runs a future with it.
    static HERE: RefCell<Option<Arc<Parker>>> = const { RefCell::new(None) };
}

/// What one thread waits with.
pub(crate) struct Parker {
    epoll: OwnedFd,
    /// Written to where the thread sleeps, and read by it alone.
    bell: OwnedFd,
    state: AtomicU8,
    /// Something came or went by what is waited for here, since this thread has last begun to wait.
    stirred: AtomicBool,
    waits: Mutex<Waits>,
    /// A task waits for what is here as well: see [`sharing`].
    proxied: AtomicBool,
    unshared: Signal,
}

/// Its future is being polled, or was and nobody has woken it.
const AWAKE: u8 = 0;
const WOKEN: u8 = 1;
/// It waits: whoever wakes it has to ring.
const ASLEEP: u8 = 2;

#[derive(Default)]
struct Waits {
    sources: BTreeMap<u64, Arc<Source>>,
    deadlines: BTreeMap<(Instant, u64), Waker>,
    last: u64,
    /// Others run the actor too.
    shared: bool,
    /// The thread has gone on to something else.
    over: bool,
}

impl Waits {
    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}

/// Whether this thread waits in a way of its own.
pub(crate) fn is_here() -> bool {
    here().is_some()
}

fn here() -> Option<Arc<Parker>> {
    HERE.try_with(|here| here.borrow().clone()).ok().flatten()
}

/// Something has left by what this thread waits for: an answer may come.
pub(crate) fn stir() {
    let _ = HERE.try_with(|here| here.borrow().as_deref().map(Parker::stir));
}

/// Runs a future on this thread. By async-io where the system refuses what a wait of our own needs, and
/// within a future that is run so already: this would not see what that waits for.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    match if is_here() { None } else { Stay::begin().ok() } {
        Some(stay) => stay.run(future),
        None => async_io::block_on(future),
    }
}

/// That a thread has a [`Parker`].
struct Stay(Arc<Parker>);

impl Stay {
    fn begin() -> io::Result<Self> {
        let parker = Arc::new(Parker::new()?);
        sharing::remember(&parker);
        HERE.with(|here| *here.borrow_mut() = Some(parker.clone()));
        Ok(Self(parker))
    }

    fn run<F: Future>(self, future: F) -> F::Output {
        let mut future = pin!(future);
        let waker = Waker::from(self.0.clone());
        let cx = &mut Context::from_waker(&waker);
        let (mut room, mut spin) = (Room::default(), Spin::default());
        loop {
            if let Poll::Ready(value) = future.as_mut().poll(cx) {
                return value;
            }
            if let Some(bound) = spin::bound()
                && self.0.stirred.swap(false, Ordering::Relaxed)
            {
                spin.begin(bound);
            }
            self.0.sleep(&mut room, &mut spin);
        }
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        let _ = HERE.try_with(|here| here.borrow_mut().take());
        self.0.end();
    }
}

/// What a look at the system fills, kept for the next.
#[derive(Default)]
struct Room {
    events: Vec<epoll::Event>,
    wakers: Vec<Waker>,
}

impl Parker {
    fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let bell = rustix::event::eventfd(0, flags)?;
        // No edges: one that somebody else takes, who looks as well, would not wake this thread.
        epoll::add(&epoll, &bell, EventData::new_u64(BELL), EventFlags::IN)?;
        Ok(Self {
            epoll,
            bell,
            state: AtomicU8::new(AWAKE),
            stirred: AtomicBool::new(false),
            waits: Mutex::default(),
            proxied: AtomicBool::new(false),
            unshared: Signal::new(),
        })
    }

    /// Waits until the future is woken. Looks at the system once even where it was before: one that
    /// wakes itself for ever must not keep the others from hearing. For the parker's own thread, which
    /// is awake to whoever wakes it while it spins.
    fn sleep(&self, room: &mut Room, spin: &mut Spin) {
        loop {
            if !spin.goes_on() && self.moved(AWAKE, ASLEEP) {
                self.wait(self.next().map(rest).as_ref(), room);
                // Nobody has to ring for what is woken from here on.
                self.moved(ASLEEP, AWAKE);
            } else {
                self.wait(Some(&NOW), room);
            }
            if room.events.iter().any(|event| event.data.u64() == BELL) {
                let _ = rustix::io::read(&self.bell, &mut [0; 8]);
            }
            self.wake(room);
            if self.state.swap(AWAKE, Ordering::SeqCst) == WOKEN {
                return;
            }
        }
    }

    /// Something has come or gone: more is likely to come.
    fn stir(&self) {
        self.stirred.store(true, Ordering::Relaxed);
    }

    fn moved(&self, from: u8, to: u8) -> bool {
        self.state.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// The first deadline.
    fn next(&self) -> Option<Instant> {
        lock(&self.waits).deadlines.keys().next().map(|&(at, _)| at)
    }

    /// Takes what has happened by now, on any thread.
    fn look(&self, room: &mut Room) {
        self.wait(Some(&NOW), room);
        self.wake(room);
    }

    /// Takes what has happened, or happens in that time.
    fn wait(&self, time: Option<&Timespec>, Room { events, .. }: &mut Room) {
        events.clear();
        events.reserve(EVENTS);
        // An interrupted one is one without events.
        let _ = epoll::wait(&self.epoll, spare_capacity(events), time);
    }

    /// Wakes those who wait for it, and those whose time has come.
    fn wake(&self, Room { events, wakers }: &mut Room) {
        let mut waits = lock(&self.waits);
        for event in events.iter() {
            let (number, flags) = (event.data.u64(), event.flags);
            if let Some(source) = waits.sources.get(&number) {
                source.happened(flags, wakers);
                self.stir();
            }
        }
        if waits.deadlines.first_key_value().is_some() {
            let now = Instant::now();
            while let Some(first) =
                waits.deadlines.first_entry().filter(|first| first.key().0 <= now)
            {
                wakers.push(first.remove());
            }
        }
        drop(waits);
        wakers.drain(..).for_each(Waker::wake);
    }

    /// Wakes whoever still waits: they have to wait elsewhere, or hear of an error.
    fn end(&self) {
        let waits = {
            let mut waits = lock(&self.waits);
            waits.over = true;
            let (sources, deadlines) =
                (mem::take(&mut waits.sources), mem::take(&mut waits.deadlines));
            (sources, deadlines)
        };
        let (sources, deadlines) = waits;
        let mut wakers: Vec<_> = deadlines.into_values().collect();
        sources.values().for_each(|source| source.end(&mut wakers));
        wakers.into_iter().for_each(Waker::wake);
        self.unshared.notify(usize::MAX);
    }
}

/// A wait that is a look.
const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// How long a wait until then is; at most a day, which is as good as for ever for one that looks again.
fn rest(until: Instant) -> Timespec {
    const DAY: i64 = 24 * 60 * 60;
    let rest = Timespec::try_from(until.saturating_duration_since(Instant::now()));
    rest.ok().filter(|rest| rest.tv_sec < DAY).unwrap_or(Timespec { tv_sec: DAY, tv_nsec: 0 })
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.swap(WOKEN, Ordering::SeqCst) == ASLEEP {
            let one = 1_u64.to_ne_bytes();
            while rustix::io::write(&self.bell, &one) == Err(Errno::INTR) {}
        }
    }
}

impl AsFd for Parker {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

impl fmt::Debug for Parker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parker").finish_non_exhaustive()
    }
}
