//! The turns of the futures that run an actor: who looks for its tasks, and who is polled again when
//! it is woken. Knows neither the actor nor what its tasks are.

mod direct;

use std::fmt;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};

use async_executor::Executor;

use crate::driver::link::lock;
use direct::Direct;

/// All futures that run an actor, on any thread.
///
/// On a cache line that begins with it: beside whatever the allocator put next to it, streams of small
/// values were a tenth slower.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Runners {
    /// How many the turns in `direct` are, to be looked at without its lock.
    count: AtomicUsize,
    direct: Mutex<Direct>,
}

impl Runners {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Whether there is no other beside whoever asks from in one.
    pub(crate) fn is_one(&self) -> bool {
        self.count.load(Ordering::SeqCst) <= 1
    }
}

/// That a future runs an actor, until this is dropped.
pub(crate) struct Running {
    runners: Arc<Runners>,
    turn: Arc<Turn>,
    executor: Arc<Executor<'static>>,
    tick: Waker,
}

impl Running {
    pub(crate) fn begin(
        runners: &Arc<Runners>,
        turn: &Arc<Turn>,
        executor: &Arc<Executor<'static>>,
    ) -> Self {
        // Its future may have been polled elsewhere before, and knows another waker then.
        turn.asked.store(true, Ordering::SeqCst);
        let all = runners.enter(turn, executor);
        // They may have been told while they were alone, and block.
        all.iter().filter(|other| other.is_told()).for_each(|other| other.pass_on());
        let tick = Waker::from(Arc::new(Tick { turn: turn.clone(), runners: runners.clone() }));
        Self { runners: runners.clone(), turn: turn.clone(), executor: executor.clone(), tick }
    }

    /// Goes before what may block this thread.
    pub(crate) fn may_block(&self) {
        if self.turn.is_told() && !self.runners.is_one() {
            self.turn.pass_on();
        }
    }

    /// Polls the direct tasks that are ready.
    pub(crate) fn serve(&self) {
        if self.turn.called.swap(false, Ordering::SeqCst) {
            self.runners.run_ready();
        }
    }

    /// Runs tasks that are ready, where there may be some.
    pub(crate) fn look(&self) {
        let told = self.turn.told.swap(false, Ordering::SeqCst);
        let mut ticker = lock(&self.turn.ticker);
        if ticker.is_some() && !told {
            return;
        }
        let ticker = ticker.get_or_insert_with(|| {
            let executor = self.executor.clone();
            Box::pin(async move { executor.run(pending()).await })
        });
        let _ = ticker.as_mut().poll(&mut Context::from_waker(&self.tick));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.runners.leave(&self.turn);
        // A wake-up that was meant for it goes to whoever else runs the executor.
        let ticker = lock(&self.turn.ticker).take();
        drop(ticker);
    }
}

type Ticker = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Has wake-ups that come while the actor is being polled poll it again at once: an executor that
/// hears of each would look for what the system has to tell in between.
#[derive(Default)]
pub(crate) struct Turn {
    state: AtomicU8,
    outside: Mutex<Option<Waker>>,
    /// Its future was woken, and not polled since.
    asked: AtomicBool,
    /// The executor has told it of a task, and it has not looked since.
    told: AtomicBool,
    /// There are direct tasks that are ready, and it has not looked since.
    called: AtomicBool,
    /// What looks for tasks. Locked only while it does.
    ticker: Mutex<Option<Ticker>>,
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Turn {
    const RESTS: u8 = 0;
    const POLLED: u8 = 1;
    const WOKEN: u8 = 2;

    pub(crate) fn listen(&self, waker: &Waker) {
        let mut outside = lock(&self.outside);
        match &*outside {
            Some(known) if known.will_wake(waker) => {}
            _ => *outside = Some(waker.clone()),
        }
    }

    /// Says whether the future is to be polled.
    pub(crate) fn begin(&self) -> bool {
        self.state.store(Self::POLLED, Ordering::SeqCst);
        self.asked.swap(false, Ordering::SeqCst)
    }

    pub(crate) fn rest(&self) {
        self.state.store(Self::RESTS, Ordering::SeqCst);
    }

    /// Ends the turn, unless it was woken in it.
    pub(crate) fn rests(&self) -> bool {
        let (polled, rests) = (Self::POLLED, Self::RESTS);
        self.state.compare_exchange(polled, rests, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// Has it poll the direct tasks.
    fn call(&self) {
        self.called.store(true, Ordering::SeqCst);
        self.woken();
    }

    fn is_told(&self) -> bool {
        self.told.load(Ordering::SeqCst)
    }

    /// Has the executor tell somebody else, unless this one is looking itself; it is told of nothing
    /// more before it looks again, which it does in its next turn.
    fn pass_on(&self) {
        let ticker = match self.ticker.try_lock() {
            Ok(mut ticker) => ticker.take(),
            Err(_) => None,
        };
        if ticker.is_some() {
            // What it was told, and had not looked for, is told on by that.
            drop(ticker);
            // It may have been through its turn meanwhile, and rest without anything that is told.
            self.told.store(true, Ordering::SeqCst);
            self.woken();
        }
    }

    /// Says whether it was being polled: then it will be again.
    fn woken(&self) -> bool {
        let (polled, woken) = (Self::POLLED, Self::WOKEN);
        let state = self.state.compare_exchange(polled, woken, Ordering::SeqCst, Ordering::SeqCst);
        if state == Err(Self::RESTS) {
            // A copy: nobody knows what that does.
            let outside = lock(&self.outside).clone();
            if let Some(outside) = outside {
                outside.wake();
            }
        }
        state != Err(Self::RESTS)
    }
}

impl Wake for Turn {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.asked.store(true, Ordering::SeqCst);
        self.woken();
    }
}

/// How the executor tells one that runs it of a task. It tells nobody else of this or any other before
/// that one has looked, which may be blocking its thread.
struct Tick {
    turn: Arc<Turn>,
    runners: Arc<Runners>,
}

impl Wake for Tick {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.turn.told.store(true, Ordering::SeqCst);
        if self.turn.woken() && !self.runners.is_one() {
            self.turn.pass_on();
        }
    }
}
