//! Nurseries: blocks that end only when everything started in them has ended.
//!
//! Who is cancelled when, and what the block comes to, is the core's verdict; here its members are
//! started, ended and waited for.

mod builder;
mod looks;
mod waiting;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_executor::Task;
use event_listener::Event as Signal;
use futures_lite::FutureExt;
use hatchery_proto::actor::scopes::ScopeId;
use hatchery_proto::nursery::{self as core, MemberEnd, MemberId, MemberKind, NurseryStep};
use hatchery_proto::{Cancelled, Cause};

use crate::actor::Actor;
use crate::context::by_us;
use crate::debug;
use crate::driver::clock;
use crate::driver::link::lock;
pub use builder::ActorBuilder;

use crate::endpoint::{Call, CallEndpoint};
use crate::error::{self, Error, Result};
use crate::inspect::What;
use crate::portal::Portal;
use crate::root;
use crate::supervisor::Child;
use crate::task::{self, Ended, Scope};
use crate::wait;
use looks::Reach;
use waiting::Queue;

/// A handle to an open nursery: starts actors and tasks in it.
///
/// Cheap to clone and free to be moved into tasks; it owns nothing. Once the block of its
/// [`open_nursery`] has ended, starting anything is an error.
#[derive(Clone)]
pub struct Nursery {
    inner: Arc<Inner>,
}

struct Inner {
    actor: Arc<Actor>,
    scope: ScopeId,
    state: Mutex<State>,
    changed: Signal,
}

struct State {
    core: core::Nursery,
    members: BTreeMap<MemberId, Member>,
    errors: BTreeMap<(u128, u64), Error>,
    waiting: Queue,
}

enum Member {
    Task {
        scope: ScopeId,
        task: Option<Task<()>>,
    },
    Actor(Arc<Child>),
    /// It is no actor yet.
    Waiting(Arc<Child>),
}

/// What a local task may return: nothing, or a `Result` whose error is one.
pub trait TaskReturn: Send + 'static {
    #[doc(hidden)]
    fn into_error(self) -> Option<Error>;
}

impl TaskReturn for () {
    fn into_error(self) -> Option<Error> {
        None
    }
}

/// Names the type of what never returns, which has no stable name yet.
#[doc(hidden)]
pub trait Returns {
    /// What is returned.
    type Value;
}

impl<T> Returns for fn() -> T {
    type Value = T;
}

impl TaskReturn for <fn() -> ! as Returns>::Value {
    fn into_error(self) -> Option<Error> {
        match self {}
    }
}

impl<E> TaskReturn for std::result::Result<(), E>
where
    E: std::error::Error + Send + Sync + 'static,
{
    fn into_error(self) -> Option<Error> {
        self.err().map(Error::new)
    }
}

/// Opens a nursery, runs `body` with it, and ends it: when this returns, every actor and task that
/// was started in it has ended and been reaped.
///
/// A clean end of `body` joins: tasks, one-shot actors and daemons are waited for without limit, so
/// daemons have to be cancelled in the block. The first failure, of the body or of a member,
/// cancels all the others; it is returned as the root cause, the others' own failures are listed
/// with it ([`Error::also`]), and those that were merely cancelled are not errors.
///
/// Opens a root actor with default options first where this process is no actor yet.
///
/// # Errors
/// The body's error as it is, or a member's failure. Where the body's error is the cause and is not
/// an [`Error`], failures of members are logged, since it has no place for them.
///
/// # Cancel safety
/// In a task that is cancelled, `body` is dropped, then the members are cancelled and waited for
/// within this scope's share of the grace (P-C2). Dropping the future from outside is the one way
/// out that is not graceful: its actors are ended by force, in the background, and the root's end
/// waits for them.
///
/// # When nobody polls it
/// A block whose future is leaked holds its actors for as long as the actor around it lives: that one's
/// end waits for the grace, then ends them by force and says so. Where the executor of the root itself
/// has stopped, nothing is cancelled any more, and the actors go with the process, whose end the kernel
/// tells them.
pub async fn open_nursery<F, Fut, T, E>(body: F) -> Result<T, E>
where
    F: FnOnce(Nursery) -> Fut,
    Fut: Future<Output = Result<T, E>>,
    E: From<Error> + fmt::Display + 'static,
{
    root::in_actor(async |actor| {
        let parent = actor.current_scope();
        // Declared before the inner half, so that an unwinding or dropped block closes its scope
        // after its members were told.
        let scope = Scope::open(&actor, Some(parent), What::Nursery);
        let _busy = actor.busy();
        let inner = Arc::new(Inner {
            actor: actor.clone(),
            scope: scope.id(),
            state: Mutex::new(State {
                core: core::Nursery::new(),
                members: BTreeMap::new(),
                errors: BTreeMap::new(),
                waiting: Queue::default(),
            }),
            changed: Signal::new(),
        });
        let mut abandon = Abandon(Some(inner.clone()));
        actor.add_nursery(scope.id(), Arc::new(Reach(Arc::downgrade(&inner))));
        let nursery = Nursery { inner: inner.clone() };
        let ended = task::run_in(&scope, Box::pin(body(nursery))).await;
        let result = inner.body_ended(&scope, ended);
        inner.done(&scope).await;
        abandon.0 = None;
        actor.remove_nursery(scope.id());
        inner.verdict(&scope, result)
    })
    .await
}

/// Ends the members by force where a nursery's block goes away without having ended.
struct Abandon(Option<Arc<Inner>>);

impl Drop for Abandon {
    fn drop(&mut self) {
        let Some(inner) = self.0.take() else { return };
        inner.actor.remove_nursery(inner.scope);
        inner.abandon();
    }
}

impl Inner {
    /// Ends the members by force: nobody waits for them any more.
    fn abandon(&self) {
        let members = std::mem::take(&mut lock(&self.state).members);
        lock(&self.state).core.cancel();
        for member in members.into_values() {
            match member {
                Member::Task { task, .. } => drop(task),
                Member::Actor(child) | Member::Waiting(child) => child.abandon(),
            }
        }
    }

    /// Tells the core how the body ended, and keeps its error.
    fn body_ended<T, E>(&self, scope: &Scope, ended: Ended<Result<T, E>>) -> Option<Result<T, E>>
    where
        E: fmt::Display + 'static,
    {
        let (end, result) = match ended {
            Ended::Dropped => (MemberEnd::Cancelled, None),
            Ended::Returned(Ok(value)) => (MemberEnd::Fine, Some(Ok(value))),
            Ended::Returned(Err(error)) => {
                let known = error::of_block(&error);
                let end = if known.cancelled().is_some() && scope.cancelled().is_some() {
                    MemberEnd::Cancelled
                } else {
                    MemberEnd::Failed(known.report().id)
                };
                lock(&self.state).errors.insert(known.report().id, known);
                (end, Some(Err(error)))
            }
        };
        lock(&self.state).core.handle_body_ended(end);
        if scope.cancelled().is_some() {
            lock(&self.state).core.cancel();
        }
        self.pump();
        result
    }

    /// Does what the core says.
    fn pump(&self) {
        loop {
            let step = lock(&self.state).core.poll_step();
            match step {
                None => break,
                Some(NurseryStep::DropBody) => {
                    let by = by_us(Cause::SiblingFailed);
                    let grace = self.actor.settings().grace();
                    self.actor.scopes(|scopes| scopes.cancel(self.scope, clock::now(), by, grace));
                }
                Some(NurseryStep::CancelMembers) => self.cancel_members(),
                Some(NurseryStep::EndWaiting) => self.end_waiting(),
                Some(NurseryStep::Done) => {}
            }
        }
        self.changed.notify(usize::MAX);
    }

    /// Why the members are to end, and how long they may take.
    fn orders(&self) -> (Cancelled, Duration) {
        self.actor.scopes(|scopes| match scopes.cancelled(self.scope) {
            Some(state) => (state.by.clone(), scopes.share(self.scope, clock::now())),
            None => (by_us(Cause::ScopeEnding), self.actor.settings().teardown),
        })
    }

    fn cancel_members(&self) {
        let (by, budget) = self.orders();
        for child in self.cancel_tasks(&by, budget) {
            child.cancel(by.clone(), budget);
        }
    }

    fn kill_members(&self) {
        for child in self.cancel_tasks(&by_us(Cause::Asked), Duration::ZERO) {
            child.kill();
        }
    }

    /// Cancels the tasks among the members, and gives the children among them.
    fn cancel_tasks(&self, by: &Cancelled, budget: Duration) -> Vec<Arc<Child>> {
        let (mut tasks, mut children) = (Vec::new(), Vec::new());
        for member in lock(&self.state).members.values() {
            match member {
                Member::Task { scope, .. } => tasks.push(*scope),
                Member::Actor(child) => children.push(child.clone()),
                // Nobody has started it: nobody ends it but the block's end.
                Member::Waiting(_) => {}
            }
        }
        for scope in tasks {
            let by = by.clone();
            self.actor.scopes(|scopes| scopes.cancel(scope, clock::now(), by, budget));
        }
        children
    }

    fn add(&self, kind: MemberKind, what: &str) -> Result<MemberId> {
        // The core hears of a cancel from around when the body has ended, which may clean up until then.
        // That is its cancel, and no misuse of a body that has not heard of it yet.
        let by = self
            .actor
            .scopes(|scopes| scopes.cancelled(self.scope).map(|cancelled| cancelled.by.clone()));
        if let Some(by) = by {
            return Err(Error::cancelled_by(by));
        }
        let added = lock(&self.state).core.add(kind);
        // From here on, scopes further in leave this one its part of a grace (P-C2).
        self.actor.scopes(|scopes| scopes.set_holding(self.scope, true));
        added.map_err(|_closed| {
            Error::misuse(format!("starting {what}: its nursery has ended or is being cancelled"))
        })
    }

    fn member_ended(&self, id: MemberId, failure: Option<Error>, cancelled: bool) {
        {
            let mut state = lock(&self.state);
            let end = match failure {
                Some(error) => {
                    let key = error.report().id;
                    state.errors.insert(key, error);
                    MemberEnd::Failed(key)
                }
                None if cancelled => MemberEnd::Cancelled,
                None => MemberEnd::Fine,
            };
            state.core.handle_member_ended(id, end);
            state.members.remove(&id);
        }
        self.pump();
    }

    /// Waits until nothing is left. A cancel that comes while the block joins is handed down.
    async fn done(&self, scope: &Scope) {
        let done = wait::until(&self.changed, || lock(&self.state).core.is_done().then_some(()));
        let cancelled = async {
            scope.until_due().await;
            lock(&self.state).core.cancel();
            self.pump();
            // A repeat with less grace is handed down too.
            loop {
                scope.until_hurried().await;
                self.cancel_members();
            }
        };
        done.or(cancelled).await;
    }

    /// Tells how the block has ended, where it was not in peace. A cancel is never an error.
    fn show_verdict(&self, scope: &Scope, cause: Option<&Error>) {
        let actor = self.actor.id();
        match (cause, scope.cancelled()) {
            // Of a context that was cancelled from here: that is what was wanted (P-C4).
            (Some(error), _) if error.is_absorbed() => {}
            (Some(error), _) if error.cancelled().is_none() => {
                tracing::error!(target: "hatchery::cancel", %actor, %error, "a nursery has failed");
            }
            (Some(error), _) => {
                tracing::warn!(target: "hatchery::cancel", %actor, %error, "a nursery was cancelled");
            }
            (None, Some(by)) => {
                tracing::warn!(target: "hatchery::cancel", %actor, %by, "a nursery was cancelled");
            }
            (None, None) => {}
        }
    }

    /// What the block comes to.
    fn verdict<T, E>(&self, scope: &Scope, result: Option<Result<T, E>>) -> Result<T, E>
    where
        E: From<Error> + 'static,
    {
        let state = lock(&self.state);
        let verdict = state.core.verdict();
        let others = verdict.also.iter().filter_map(|key| state.errors.get(key));
        let others: Vec<Error> = others.cloned().collect();
        let cause = verdict.cause.as_ref().and_then(|key| state.errors.get(key)).cloned();
        drop(state);
        self.show_verdict(scope, cause.as_ref());
        match (result, cause) {
            (Some(Err(error)), cause) if verdict.by_body || cause.is_none() => {
                Err(error::in_company(error, others))
            }
            (_, Some(cause)) => Err(E::from(cause.with_others(others))),
            (Some(Ok(value)), None) if scope.cancelled().is_none() => Ok(value),
            (_, None) => {
                let by = scope.cancelled().unwrap_or_else(|| by_us(Cause::ScopeEnding));
                Err(E::from(Error::cancelled_by(by)))
            }
        }
    }
}

impl Nursery {
    /// Starts an actor that serves until it is cancelled, and waits until it is up.
    ///
    /// # Errors
    /// `Spawn`, with the exit status and the end of its standard error, where the process did not
    /// come up; `Cancelled` where the block was cancelled from around; `Misuse` where the nursery has
    /// ended or is being cancelled itself, or this program's `main` did not go through
    /// [`init`](crate::init).
    ///
    /// # Cancel safety
    /// Dropping the future ends the child that is being started.
    pub async fn start_actor(&self, name: &str) -> Result<Portal> {
        self.actor(name).start().await
    }

    /// Starts an actor whose life is one call; [`Portal::result`] is its value.
    ///
    /// The actor ends when the call does. Its failure is a failure of this nursery.
    ///
    /// # Errors
    /// As for [`start_actor`](Self::start_actor).
    ///
    /// # Cancel safety
    /// As there.
    pub async fn run_in_actor<E: CallEndpoint>(&self, name: &str, call: Call<E>) -> Result<Portal> {
        self.actor(name).run(call).await
    }

    /// An actor to be started, with settings of its own.
    pub fn actor(&self, name: &str) -> ActorBuilder {
        ActorBuilder::new(self.clone(), name)
    }

    /// Starts a task in this actor. Its error, or its panic, is a failure of this nursery.
    ///
    /// In a nursery that has ended, or whose block was cancelled or has failed, the future is dropped
    /// unpolled, and that is logged.
    #[track_caller]
    pub fn spawn<F>(&self, future: F)
    where
        F: Future + Send + 'static,
        F::Output: TaskReturn,
    {
        if let Err(error) = self.try_spawn(future) {
            tracing::warn!(target: "hatchery::runtime", %error, "a task was dropped");
        }
    }

    /// The same, and says why where the future was dropped.
    #[track_caller]
    pub(crate) fn try_spawn<F>(&self, future: F) -> Result<()>
    where
        F: Future + Send + 'static,
        F::Output: TaskReturn,
    {
        let inner = self.inner.clone();
        let id = inner.add(MemberKind::Task, "a task")?;
        let task = What::Task(Location::caller());
        let scope = Scope::open(&inner.actor, None, task).in_current_span();
        let body = task::catch_panic(future);
        let member = Member::Task { scope: scope.id(), task: None };
        lock(&inner.state).members.insert(id, member);
        let of_task = inner.clone();
        let task = inner.actor.spawn(async move {
            let ended = task::run_in(&scope, body).await;
            let asked = scope.cancelled();
            let failure = match ended {
                Ended::Dropped => None,
                Ended::Returned(Err(panic)) => Some(panic),
                Ended::Returned(Ok(value)) => value.into_error(),
            };
            // The echo of its own cancel, handed on by a scope inside it, is no failure; nor is the end
            // of a block whose context was cancelled from here (P-C4).
            let echo = |error: &Error| {
                error.is_absorbed() || (asked.is_some() && error.cancelled().is_some())
            };
            let failure = failure.filter(|error| !echo(error));
            if let Some(error) = &failure {
                debug::fails_in(&scope, error).await;
            }
            drop(scope);
            of_task.member_ended(id, failure, asked.is_some());
        });
        // The task may have ended already; then it is not a member any more.
        match lock(&inner.state).members.get_mut(&id) {
            Some(Member::Task { task: slot, .. }) => *slot = Some(task),
            _ => task.detach(),
        }
        Ok(())
    }

    /// Asks every actor and task that is in this nursery now to end. Returns at once; the block's end
    /// waits.
    ///
    /// Of this actor's children 64 are asked at a time, the next when one of these has answered, since a
    /// crowd that shares few cores could not answer in time; none waits longer for that than half of
    /// what its end may take.
    ///
    /// The body goes on, and may start others. What ends because of this is no error.
    pub fn cancel(&self) {
        lock(&self.inner.state).core.cancel_members();
        self.inner.pump();
    }

    /// Ends every actor that is in this nursery now by force, and cancels its tasks with no grace.
    /// Returns at once; the block's end waits.
    ///
    /// For actors that are known not to need an end of their own: nothing in them is asked, see
    /// [`Portal::kill`]. What ends because of this is no error.
    pub fn kill(&self) {
        self.inner.kill_members();
        self.cancel();
    }
}

impl fmt::Debug for Nursery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nursery").field("actor", self.inner.actor.id()).finish_non_exhaustive()
    }
}
