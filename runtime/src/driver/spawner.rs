//! The one thread that starts children, and waits for those that nobody holds any more.
//! What a start consists of is the process module's matter.
//!
//! A child asks the kernel to be killed when its parent dies, and the kernel takes the *thread*
//! that started it for the parent. So that thread lives as long as the process.

use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use async_channel::{Receiver, Sender};
use async_executor::Executor;
use event_listener::Event;
use futures_lite::future;

use super::process::{SpawnError, SpawnRequest, Spawned};

/// Its requests, oldest first; `None` until the first one.
static REQUESTS: Mutex<Option<Sender<Job>>> = Mutex::new(None);
/// What it does between requests.
static BACKGROUND: Executor<'static> = Executor::new();
/// How much of that is under way.
static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);
/// Notified when nothing of it is.
static SETTLED: Event = Event::new();

const WAITING: u8 = 0;
const BEGUN: u8 = 1;
const WITHDRAWN: u8 = 2;

type Answer = Result<Spawned, SpawnError>;

struct Job {
    request: SpawnRequest,
    state: Arc<AtomicU8>,
    answer: Sender<Answer>,
}

/// A start that was asked for. Dropping it withdraws it, or kills the child that came of it.
#[derive(Debug)]
#[must_use = "dropping a start withdraws it"]
pub(crate) struct Pending {
    state: Arc<AtomicU8>,
    answer: Receiver<Answer>,
}

impl Pending {
    /// Takes the request back if it was not begun, and says whether it was.
    ///
    /// After `true` there is no process and there will be none, and [`spawned`](Self::spawned)
    /// says [`SpawnError::Withdrawn`]. After `false` it goes its way.
    pub(crate) fn withdraw(&self) -> bool {
        let exchange =
            self.state.compare_exchange(WAITING, WITHDRAWN, Ordering::AcqRel, Ordering::Acquire);
        matches!(exchange, Ok(_) | Err(WITHDRAWN))
    }

    /// Waits for the child. Cancel safe; has one answer only, later ones are `Withdrawn`.
    pub(crate) async fn spawned(&self) -> Result<Spawned, SpawnError> {
        if self.state.load(Ordering::Acquire) == WITHDRAWN {
            return Err(SpawnError::Withdrawn);
        }
        self.answer.recv().await.unwrap_or(Err(SpawnError::Withdrawn))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.withdraw();
    }
}

/// Asks for a child.
pub(crate) fn spawn(request: SpawnRequest) -> Pending {
    let state = Arc::new(AtomicU8::new(WAITING));
    let (sender, answer) = async_channel::bounded(1);
    let job = Job { request, state: state.clone(), answer: sender };
    match requests() {
        Ok(requests) => drop(requests.try_send(job)),
        Err(source) => job.refuse(source),
    }
    Pending { state, answer }
}

/// Has the spawner's thread run this to its end, whoever goes away meanwhile.
///
/// It shares that thread with the starting of children, so it must not block.
pub(crate) fn background(future: impl Future<Output = ()> + Send + 'static) {
    /// Counts down, whether the future ends, panics or is dropped.
    struct Counted;
    impl Drop for Counted {
        fn drop(&mut self) {
            if UNDER_WAY.fetch_sub(1, Ordering::AcqRel) == 1 {
                SETTLED.notify(usize::MAX);
            }
        }
    }
    UNDER_WAY.fetch_add(1, Ordering::AcqRel);
    let counted = Counted;
    watch(async move {
        let _counted = counted;
        future.await;
    });
}

/// As [`background`], but nobody waits for its end: what it waits for may never come, such as the
/// end of a process that outlives SIGKILL.
pub(crate) fn watch(future: impl Future<Output = ()> + Send + 'static) {
    BACKGROUND.spawn(future).detach();
    if let Err(error) = requests() {
        tracing::warn!(
            target: "hatchery::runtime",
            %error,
            "the thread that waits for children could not be started"
        );
    }
}

/// Waits until nothing that was given to [`background`] is under way; processes that were dropped
/// have been waited for then. Cancel safe.
pub(crate) async fn settled() {
    loop {
        let listener = SETTLED.listen();
        if UNDER_WAY.load(Ordering::Acquire) == 0 {
            return;
        }
        listener.await;
    }
}

/// The way to the thread, which is started where it does not run yet.
fn requests() -> io::Result<Sender<Job>> {
    let mut requests = REQUESTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(requests) = &*requests {
        return Ok(requests.clone());
    }
    let (sender, receiver) = async_channel::unbounded();
    thread::Builder::new()
        .name("hatchery-spawner".to_owned())
        .spawn(move || future::block_on(BACKGROUND.run(serve(receiver))))?;
    Ok(requests.insert(sender).clone())
}

/// Answers requests for ever, and reaps for `async_process`, which then needs no thread of its own.
async fn serve(requests: Receiver<Job>) {
    let reap = async { match async_process::driver().await {} };
    let start = async {
        while let Ok(job) = requests.recv().await {
            job.run();
            // A long row of starts must not keep the rest waiting.
            future::yield_now().await;
        }
    };
    future::or(pin!(reap), pin!(start)).await;
}

impl Job {
    fn run(self) {
        let Self { request, state, answer } = self;
        let begin = state.compare_exchange(WAITING, BEGUN, Ordering::AcqRel, Ordering::Acquire);
        if begin.is_err() {
            return;
        }
        // Were this thread to end, the kernel would kill every child.
        match std::panic::catch_unwind(AssertUnwindSafe(|| request.start())) {
            // Where nobody waits any more, the child is dropped here: killed and reaped.
            Ok(result) => drop(answer.try_send(result)),
            Err(_) => tracing::error!(target: "hatchery::runtime", "a start panicked"),
        }
    }

    fn refuse(self, source: io::Error) {
        self.state.store(BEGUN, Ordering::Release);
        let program = self.request.shown();
        let step = "start the thread that starts processes";
        drop(self.answer.try_send(Err(SpawnError::Os { step, program, source })));
    }
}
