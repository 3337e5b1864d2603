//! Tasks and the scopes they are made of: what "current" means, and how a cancel reaches a body.
//!
//! The tree of scopes and the rule of who is dropped when (P-C2) are the core's; here a body is
//! polled, dropped when the core says that it is due, and its panics become errors.

mod bell;
mod caught;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::panic::{self, AssertUnwindSafe};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use hatchery_proto::actor::scopes::ScopeId;
use hatchery_proto::{ActorId, Cancelled, Instant, Location};

use crate::actor::Actor;
use crate::current::Within;
use crate::driver::link::Gathering;
use crate::driver::readiness::Sharing;
use crate::driver::{clock, entry, identity, reactor};
use crate::error::Error;
use crate::inspect::What;
use crate::span::TaskSpan;
use crate::trace::{self, Trace};
use crate::turn::{Running, Turn};
pub(crate) use bell::Bell;
pub(crate) use caught::{catch_panic, caught};

/// Where the code that is running right now belongs.
#[derive(Clone)]
pub(crate) struct Current {
    pub(crate) actor: Arc<Actor>,
    pub(crate) scope: ScopeId,
    pub(crate) within: Option<Arc<Within>>,
    /// What the remote task is called that it is part of.
    pub(crate) task: Option<&'static str>,
}

thread_local! {
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
    /// Whether someone further out on this stack runs the actor's executor.
    static DRIVEN: Cell<bool> = const { Cell::new(false) };
    /// Whether a panic here becomes an error, so that the usual message would only repeat it.
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
    static PANIC: RefCell<Option<PanicNote>> = const { RefCell::new(None) };
}

struct PanicNote {
    location: Option<Location>,
    backtrace: Option<String>,
}

/// The scope that is being polled on this thread, if it is one of ours.
pub(crate) fn current() -> Option<Current> {
    CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
}

/// The same, where nothing else of it is wanted.
pub(crate) fn current_scope() -> Option<ScopeId> {
    let scope = CURRENT.try_with(|current| current.borrow().as_ref().map(|current| current.scope));
    scope.ok().flatten()
}

/// The context that it is part of, and what the remote task is called.
fn around() -> (Option<Arc<Within>>, Option<&'static str>) {
    let around = CURRENT.try_with(|current| {
        current.borrow().as_ref().map(|current| (current.within.clone(), current.task))
    });
    around.ok().flatten().unwrap_or_default()
}

/// What is said of a task that nobody has named.
const NAMELESS: &str = "a task without a name";

/// What the remote task is called that the running code is part of.
pub(crate) fn current_task() -> Option<&'static str> {
    let task = CURRENT.try_with(|current| {
        // Whoever asks may do so from anywhere.
        current.try_borrow().ok().and_then(|current| current.as_ref().and_then(|now| now.task))
    });
    task.ok().flatten()
}

/// The same, to be shown.
pub(crate) fn current_name() -> &'static str {
    current_task().unwrap_or(NAMELESS)
}

/// Whether this thread is the one that runs the actor's executor, right now.
pub(crate) fn is_driven() -> bool {
    DRIVEN.try_with(Cell::get).unwrap_or(false)
}

/// Whether the code that is running right now was asked to end.
pub(crate) fn is_cancelled() -> bool {
    let asked = |now: Current| now.actor.scopes(|scopes| scopes.cancelled(now.scope).is_some());
    current().is_some_and(asked)
}

/// The actor that the running code belongs to; a nameless one where there is none.
pub(crate) fn current_actor_id() -> ActorId {
    match current().map(|current| current.actor).or_else(Actor::running) {
        Some(actor) => actor.id().clone(),
        None => ActorId { name: "no actor".to_owned(), uuid: 0, pid: identity::pid() },
    }
}

/// Restores what was current when it was made.
struct Restore(Option<Current>);

impl Restore {
    fn set(current: Current) -> Self {
        Self(CURRENT.with(|slot| slot.borrow_mut().replace(current)))
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        let before = self.0.take();
        let _ = CURRENT.try_with(|slot| std::mem::replace(&mut *slot.borrow_mut(), before));
    }
}

/// An open scope. Closing it (by dropping it) lets the scope around it become due.
pub(crate) struct Scope {
    actor: Arc<Actor>,
    id: ScopeId,
    bell: Arc<Bell>,
    trace: Option<Trace>,
    within: Option<Arc<Within>>,
    task: Option<&'static str>,
    span: Option<Box<TaskSpan>>,
    closed: bool,
}

impl Scope {
    pub(crate) fn open(actor: &Arc<Actor>, parent: Option<ScopeId>, what: What) -> Self {
        let (id, bell) = actor.open_scope(parent, what);
        let (within, task) = around();
        let trace = Trace::carried();
        Self { actor: actor.clone(), id, bell, trace, within, task, span: None, closed: false }
    }

    /// Closes it, and says who had asked it to end by then, if anyone had. What is called in its span
    /// still may be.
    pub(crate) fn close(&mut self) -> Option<Cancelled> {
        self.closed = true;
        self.actor.close_scope(self.id)
    }

    /// Has what is in this scope be a task of that name, asked for by `caller` as part of the trace that
    /// came with it and of no other, in a span of its own where that is wanted.
    pub(crate) fn of_task(
        mut self,
        name: Option<&'static str>,
        caller: impl FnOnce() -> String,
        came: Option<Trace>,
    ) -> Self {
        self.task = name;
        self.trace = came;
        if let Some(endpoint) = name {
            let (actor, came) = (&self.actor, self.trace.take());
            (self.span, self.trace) =
                TaskSpan::begin(actor.id(), actor.tree(), endpoint, caller, came);
            self.in_span(|| {
                tracing::debug!(target: "hatchery::runtime", endpoint, "a task begins");
            });
        }
        self
    }

    /// Has what is in this scope belong to this trace, and to no other.
    pub(crate) fn of_trace(mut self, trace: Option<Trace>) -> Self {
        self.trace = trace;
        self
    }

    /// Has what is in this scope run in the span that it is begun in, whoever polls it.
    pub(crate) fn in_current_span(mut self) -> Self {
        self.span = TaskSpan::current();
        self
    }

    /// Calls `f` in its span.
    pub(crate) fn in_span<T>(&self, f: impl FnOnce() -> T) -> T {
        let _entered = self.span.as_ref().map(|span| span.enter());
        f()
    }

    /// Has what is in this scope be part of a context.
    pub(crate) fn of_context(mut self, within: Option<Arc<Within>>) -> Self {
        self.within = within;
        self
    }

    /// What is in it is called that.
    pub(crate) fn name(&self) -> &'static str {
        self.task.unwrap_or(NAMELESS)
    }

    pub(crate) fn actor(&self) -> &Arc<Actor> {
        &self.actor
    }

    pub(crate) fn id(&self) -> ScopeId {
        self.id
    }

    /// What the remote task is called that it is part of.
    pub(crate) fn task(&self) -> Option<&'static str> {
        self.task
    }

    /// Has everything in this scope asked to end at `at` (P-C8).
    pub(crate) fn bound(&self, at: Instant, by: Cancelled, grace: Duration) {
        self.actor.keep_time();
        self.actor.scopes(|scopes| scopes.bound(self.id, clock::now(), at, by, grace));
    }

    /// Whether it was that which ended it.
    pub(crate) fn expired(&self) -> bool {
        self.actor.scopes(|scopes| scopes.expired(self.id))
    }

    /// Asks what is in this scope to end, innermost first.
    pub(crate) fn cancel(&self, by: Cancelled, grace: Duration) {
        self.actor.scopes(|scopes| scopes.cancel(self.id, clock::now(), by, grace));
    }

    /// Who asked this scope to end, if anyone has.
    pub(crate) fn cancelled(&self) -> Option<Cancelled> {
        self.actor.look(|scopes| scopes.cancelled(self.id).map(|state| state.by.clone()))
    }

    /// The part of the grace that is this scope's own.
    pub(crate) fn share(&self) -> Duration {
        self.actor.scopes(|scopes| scopes.share(self.id, clock::now()))
    }

    /// Says whether anything below this scope has to be ended before it can close.
    pub(crate) fn set_holding(&self, holding: bool) {
        self.actor.scopes(|scopes| scopes.set_holding(self.id, holding));
    }

    /// Ends once the scope is due, for blocks whose body has ended and that wait for what is below.
    pub(crate) async fn until_due(&self) {
        poll_fn(|cx| {
            self.bell.listen(cx.waker());
            if self.due() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Ends when the deadline of a cancel that is already known has come forward.
    pub(crate) async fn until_hurried(&self) {
        let deadline =
            || self.actor.scopes(|scopes| scopes.cancelled(self.id).map(|state| state.deadline));
        let known = deadline();
        poll_fn(|cx| {
            self.bell.listen(cx.waker());
            if deadline() == known { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }

    /// Whether the body has to be dropped now.
    fn due(&self) -> bool {
        // The bell is rung from any thread; only the tree knows whether a scope was opened since.
        self.bell.is_rung() && self.actor.look(|scopes| scopes.due(self.id))
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        if !self.closed {
            self.actor.close_scope(self.id);
        }
    }
}

/// How a body came to its end.
pub(crate) enum Ended<T> {
    /// It ran to its end.
    Returned(T),
    /// A cancel was due and it was dropped.
    Dropped,
}

/// Polls `body` once as the content of `scope`; drops it if the scope is due, and calls `before`
/// first.
pub(crate) fn poll_in<B, T>(
    scope: &Scope,
    body: &mut Option<B>,
    poll: impl FnOnce(&mut B, &mut Context<'_>) -> Poll<T>,
    before: impl Fn(),
    cx: &mut Context<'_>,
) -> Poll<Ended<T>> {
    scope.bell.listen(cx.waker());
    let (actor, within) = (scope.actor.clone(), scope.within.clone());
    let _restore = Restore::set(Current { actor, scope: scope.id, within, task: scope.task });
    let _trace = trace::Restore::set(scope.trace.clone());
    let _entered = scope.span.as_ref().map(|span| span.enter());
    let end = |body: &mut Option<B>| {
        if body.is_some() {
            before();
        }
        *body = None;
        Poll::Ready(Ended::Dropped)
    };
    if scope.due() {
        return end(body);
    }
    let Some(future) = body else { return Poll::Ready(Ended::Dropped) };
    if let Poll::Ready(value) = poll(future, cx) {
        *body = None;
        return Poll::Ready(Ended::Returned(value));
    }
    if scope.due() { end(body) } else { Poll::Pending }
}

/// Polls a body that is a future.
pub(crate) fn poll<F: Future + Unpin>(body: &mut F, cx: &mut Context<'_>) -> Poll<F::Output> {
    Pin::new(body).poll(cx)
}

/// Runs `body` as the content of `scope` until it ends or is due.
///
/// Boxed by the caller, as early as can be: a block inside a block inside a block would otherwise
/// be stored, and moved, once for every function around it.
pub(crate) async fn run_in<F: Future + Unpin>(scope: &Scope, body: F) -> Ended<F::Output> {
    let mut body = Some(body);
    poll_fn(|cx| poll_in(scope, &mut body, poll, || (), cx)).await
}

/// Runs the actor's executor for as long as `future` runs, unless someone further out does.
///
/// It is stored where it is pinned, and there alone: blocks are nested.
pub(crate) async fn drive<F: Future>(actor: &Arc<Actor>, mut future: Pin<&mut F>) -> F::Output {
    struct Undrive(bool);
    impl Drop for Undrive {
        fn drop(&mut self) {
            let _ = DRIVEN.try_with(|driven| driven.set(self.0));
        }
    }

    let executor = actor.executor();
    let mut running = None;
    let turn = Arc::new(Turn::default());
    let waker = Waker::from(turn.clone());
    poll_fn(|outside| {
        let outer = DRIVEN.with(|driven| driven.replace(true));
        let _undrive = Undrive(outer);
        if outer {
            // Dropped, so that a wake-up meant for it goes to whoever does run the executor.
            running = None;
            return future.as_mut().poll(outside);
        }
        let (running, _) = running.get_or_insert_with(|| {
            (Running::begin(actor.runners(), &turn, &executor), Sharing::begin(&executor))
        });
        turn.listen(outside.waker());
        let cx = &mut Context::from_waker(&waker);
        for _ in 0..TURNS {
            let _gathering = Gathering::begin();
            if turn.begin() {
                running.may_block();
                if let Poll::Ready(value) = future.as_mut().poll(cx) {
                    return Poll::Ready(value);
                }
            }
            running.serve();
            running.look();
            if turn.rests() {
                return Poll::Pending;
            }
        }
        // Others on this thread are to have their turn, and the reactor.
        turn.rest();
        outside.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

/// So often an actor that wakes itself is polled again before anybody else on its thread is.
const TURNS: usize = 4;

/// Calls `f` and turns a panic in it into an error that says where it was.
pub(crate) fn catch_panic_in<T>(f: impl FnOnce() -> T) -> Result<T, Error> {
    struct Uncatch(bool);
    impl Drop for Uncatch {
        fn drop(&mut self) {
            let _ = CAUGHT.try_with(|caught| caught.set(self.0));
        }
    }

    hook_panics();
    let uncatch = Uncatch(CAUGHT.with(|caught| caught.replace(true)));
    let called = panic::catch_unwind(AssertUnwindSafe(f));
    drop(uncatch);
    called.map_err(|payload| {
        entry::take_back_note();
        panic_error(payload.as_ref())
    })
}

/// Starts the reactor while its refusal can still be an error: where it is first used, that is a
/// panic of its own.
pub(crate) fn start_reactor() -> Result<(), Error> {
    catch_panic_in(reactor::start).map_err(|panic| {
        let refused = std::io::Error::other(panic.report().message.clone());
        Error::os("starting the reactor", refused)
    })
}

/// The error that a panic is, with its place where the hook has noted that.
pub(crate) fn panic_error(payload: &(dyn Any + Send)) -> Error {
    let message = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "(a panic whose payload is no text)".to_owned(),
    };
    let note = PANIC.with(|note| note.borrow_mut().take());
    let (location, backtrace) = note.map_or((None, None), |note| (note.location, note.backtrace));
    Error::panicked(message, location, backtrace)
}

/// Has caught panics carry a backtrace whatever `RUST_BACKTRACE` says.
pub(crate) fn set_backtraces(on: bool) {
    BACKTRACES.store(on, Ordering::Release);
}

static BACKTRACES: AtomicBool = AtomicBool::new(false);

/// Notes where a caught panic was. Panics that are not ours keep the hook that was there before.
pub(crate) fn hook_panics() {
    static HOOKED: Once = Once::new();
    HOOKED.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // Also where it is caught: it may be one that aborts.
            entry::leave_note(info);
            let caught = CAUGHT.try_with(Cell::get).unwrap_or(false);
            if !caught {
                before(info);
            }
            // A prompt may show it where it ends a root, whatever becomes of it then.
            if !caught && !BACKTRACES.load(Ordering::Acquire) {
                return;
            }
            let location = info.location().map(|at| Location {
                file: at.file().to_owned(),
                line: at.line(),
                column: at.column(),
            });
            let backtrace = match BACKTRACES.load(Ordering::Acquire) {
                true => std::backtrace::Backtrace::force_capture(),
                false => std::backtrace::Backtrace::capture(),
            };
            let backtrace = (backtrace.status() == std::backtrace::BacktraceStatus::Captured)
                .then(|| backtrace.to_string());
            let _ =
                PANIC.try_with(|note| *note.borrow_mut() = Some(PanicNote { location, backtrace }));
        }));
    });
}
