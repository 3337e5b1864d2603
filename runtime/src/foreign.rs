//! Work on another executor, linked for life with the task that asks for it.
//!
//! The work is a scope of that task like any other: cancelled before what is around it, and waited
//! for (P-C2). Only who polls it differs. Nothing here knows which executor that is.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use event_listener::Event as Signal;
use hatchery_proto::Cause;
use hatchery_proto::actor::scopes::ScopeId;

use crate::actor::Actor;
use crate::context::by_us;
use crate::driver::clock;
use crate::driver::link::lock;
use crate::error::{Error, Result};
use crate::inspect::What;
use crate::root;
use crate::task::{self, Ended, Scope};
use crate::wait;

/// What another executor is given to run.
pub type ForeignTask = Pin<Box<dyn Future<Output = ()> + Send + 'static>>;

/// The other executor has dropped a [`foreign`] task before its end, which nobody here has asked for:
/// it was aborted over there, or its executor was shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForeignGone;

impl fmt::Display for ForeignGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the other executor dropped this task before its end: it was aborted there, or the \
             executor was shut down",
        )
    }
}

impl std::error::Error for ForeignGone {}

/// Runs `body` on another executor, as part of this task: for libraries that need an executor of their
/// own, such as tokio's, inside an actor.
///
/// `spawn` is given the task to run there. What `body` comes to is what this comes to, and neither
/// outlives the other: a cancel from around reaches `body` first, which is dropped over there at its
/// next await, and is waited for. `body` may use portals and open nurseries, which are ended with it,
/// and talk with this side by any channel that belongs to no executor, as those of `async-channel`.
///
/// ```no_run
/// # // With tokio, of which this crate knows nothing:
/// # struct Handle; impl Handle { fn spawn(&self, task: hatchery::ForeignTask) { drop(task) } }
/// # async fn sleep() {}
/// # async fn example(tokio: Handle) -> hatchery::Result<()> {
/// let answer: hatchery::Result<u32> = hatchery::foreign(
///     |task| drop(tokio.spawn(task)), // a `tokio::runtime::Handle`
///     async {
///         sleep().await; // tokio's
///         Ok(42)
///     },
/// )
/// .await;
/// assert_eq!(answer?, 42);
/// # Ok(())
/// # }
/// ```
///
/// Opens a root actor with default options first where this process is no actor yet.
///
/// # Errors
/// `body`'s own; `Panicked` where it panicked; [`ForeignGone`] where the other executor dropped it;
/// `Cancelled` where a cancel from around was applied first.
///
/// # Cancel safety
/// In a task that is cancelled, `body` is dropped first and waited for. That takes the other executor:
/// one that is blocked holds this task up, as a thread that blocks the actor's own does. Dropping the
/// future from outside has `body` dropped without waiting.
pub async fn foreign<T, E, F>(spawn: impl FnOnce(ForeignTask), body: F) -> Result<T, E>
where
    T: Send + 'static,
    E: From<Error> + Send + 'static,
    F: Future<Output = Result<T, E>> + Send + 'static,
{
    root::in_actor(async |actor| {
        let scope = Arc::new(Scope::open(&actor, Some(actor.current_scope()), What::Foreign));
        let _end = EndWhenDropped { actor, scope: scope.id() };
        let shared = Arc::new(Shared { answer: Mutex::new(None), changed: Signal::new() });
        // Each holds the scope: a task around it that is cancelled is not dropped before the answer
        // has come to it.
        let speaker = Speaker { shared: shared.clone(), scope: Some(scope.clone()) };
        spawn(Box::pin(speaker.run(body)));
        shared.wait().await
    })
    .await
}

/// What both sides have of the work.
struct Shared<T, E> {
    answer: Mutex<Option<Result<T, E>>>,
    changed: Signal,
}

impl<T, E> Shared<T, E> {
    fn answer(&self, answer: Result<T, E>) {
        lock(&self.answer).get_or_insert(answer);
        self.changed.notify(usize::MAX);
    }

    async fn wait(&self) -> Result<T, E> {
        wait::until(&self.changed, || lock(&self.answer).take()).await
    }
}

/// The other side. Answers once, also where it is dropped.
struct Speaker<T, E: From<Error>> {
    shared: Arc<Shared<T, E>>,
    scope: Option<Arc<Scope>>,
}

impl<T, E: From<Error>> Speaker<T, E> {
    async fn run(mut self, body: impl Future<Output = Result<T, E>>) {
        let Some(scope) = &self.scope else { return };
        let ended = task::run_in(scope, task::catch_panic(body)).await;
        let answer = match (ended, scope.cancelled()) {
            (Ended::Returned(Ok(Ok(value))), None) => Ok(value),
            // An error is never hidden by a cancel; a value that came after it is (P-C2).
            (Ended::Returned(Ok(Err(error))), _) => Err(error),
            (Ended::Returned(Err(panic)), _) => Err(panic.into()),
            (Ended::Returned(Ok(Ok(_))) | Ended::Dropped, by) => {
                let by = by.unwrap_or_else(|| by_us(Cause::ScopeEnding));
                Err(Error::cancelled_by(by).into())
            }
        };
        self.close(answer);
    }

    fn close(&mut self, answer: Result<T, E>) {
        drop(self.scope.take());
        self.shared.answer(answer);
    }
}

impl<T, E: From<Error>> Drop for Speaker<T, E> {
    fn drop(&mut self) {
        let Some(scope) = &self.scope else { return };
        let gone = match scope.cancelled() {
            Some(by) => Error::cancelled_by(by),
            None => Error::new(ForeignGone),
        };
        self.close(Err(gone.into()));
    }
}

/// Ends the work where nobody waits for it any more.
struct EndWhenDropped {
    actor: Arc<Actor>,
    scope: ScopeId,
}

impl Drop for EndWhenDropped {
    fn drop(&mut self) {
        let grace = self.actor.settings().grace();
        let by = by_us(Cause::ScopeEnding);
        self.actor.scopes(|scopes| scopes.cancel(self.scope, clock::now(), by, grace));
    }
}
