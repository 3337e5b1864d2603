//! Scopes that users open: shields, bounds in time, and blocks that can be cancelled by a handle.
//!
//! Each is an entry in the actor's tree of scopes, and who is dropped when is decided there (P-C2).

use std::fmt;
use std::future::{Future, pending};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hatchery_proto::actor::scopes::ScopeId;
use hatchery_proto::{Cancelled, Cause};

use crate::actor::Actor;
use crate::context::by_us;
use crate::driver::clock;
use crate::error::{self, Error, Result};
use crate::inspect::What;
use crate::root;
use crate::task::{self, Ended, Scope};

/// Runs `body` out of reach of the cancels around it: what is in it goes on until it is done, or
/// until its share of the grace has ended, whichever is first (P-C2).
///
/// For clean-up that has to wait for something. A block that was cancelled goes on to its next
/// await; where that is a shield, the shield runs before the block is dropped:
///
/// ```
/// # async fn serve() {}
/// # async fn say_goodbye() {}
/// # async fn example() -> hatchery::Result<()> {
/// let served: hatchery::Result<_> = hatchery::cancel_scope(async |_scope| {
///     serve().await;
///     Ok(())
/// })
/// .await;
/// hatchery::shield(say_goodbye()).await; // also where the task was cancelled in `serve`
/// served?;
/// # Ok(())
/// # }
/// ```
///
/// Outside of any actor it is `body` and nothing more.
///
/// # Cancel safety
/// A shield holds off cancels, not drops: a future that is dropped from outside takes it along.
pub async fn shield<F: Future>(body: F) -> F::Output {
    let Some(actor) = Actor::running() else { return body.await };
    let ended = {
        let scope = Scope::open(&actor, Some(actor.current_scope()), What::Shield);
        actor.keep_time();
        task::run_in(&scope, Box::pin(body)).await
    };
    match ended {
        Ended::Returned(value) => value,
        // The grace is over: the block around it is dropped here.
        Ended::Dropped => pending().await,
    }
}

/// Runs `body` and cancels what is in it after `limit`: gracefully, innermost scope first, so that
/// actors and tasks in it end in order and are waited for. The way to bound anything that owns
/// actors; dropping its future would end them by force.
///
/// What is cancelled gets the teardown budget of this actor to end in. What `body` asks of other
/// actors carries what is left of the time with it (P-C8). Opens a root actor with
/// default options first where this process is no actor yet.
///
/// ```
/// # use std::time::Duration;
/// # async fn example() {
/// let bounded = hatchery::timeout(Duration::from_secs(5), async {
///     hatchery::open_nursery(async |nursery| {
///         let worker = nursery.start_actor("worker").await?;
///         worker.cancel().await
///     })
///     .await
/// });
/// let ended: hatchery::Result<()> = bounded.await;
/// # }
/// ```
///
/// # Errors
/// `Cancelled` with [`Cause::Deadline`] where the time was over before `body` had ended, even if a
/// value came after that. An error of `body` stays what it is.
///
/// # Cancel safety
/// As [`open_nursery`](crate::open_nursery).
pub async fn timeout<T, E>(
    limit: Duration,
    body: impl Future<Output = Result<T, E>>,
) -> Result<T, E>
where
    E: From<Error> + fmt::Display + 'static,
{
    bounded(clock::now() + limit, body).await
}

/// [`timeout`] at a point in time.
///
/// # Errors
/// As [`timeout`].
pub async fn deadline<T, E>(at: Instant, body: impl Future<Output = Result<T, E>>) -> Result<T, E>
where
    E: From<Error> + fmt::Display + 'static,
{
    bounded(clock::point(at), body).await
}

async fn bounded<T, E>(
    at: hatchery_proto::Instant,
    body: impl Future<Output = Result<T, E>>,
) -> Result<T, E>
where
    E: From<Error> + fmt::Display + 'static,
{
    root::in_actor(async |actor| {
        let scope = Scope::open(&actor, Some(actor.current_scope()), What::Bound);
        scope.bound(at, by_us(Cause::Deadline), actor.settings().grace());
        let ended = task::run_in(&scope, Box::pin(body)).await;
        match resolve(ended, scope.cancelled(), scope.expired())? {
            Some(value) => Ok(value),
            None => Err(E::from(Error::cancelled_by(by_us(Cause::Deadline)))),
        }
    })
    .await
}

/// Ends a [`cancel_scope`] from inside or from another task. Cheap to clone; owns nothing.
#[derive(Clone)]
pub struct CancelScope {
    actor: Arc<Actor>,
    scope: ScopeId,
    /// Whether a cancel by this handle was the first.
    ours: Arc<std::sync::atomic::AtomicBool>,
}

impl CancelScope {
    /// Asks everything in the scope to end, innermost first. Returns at once; the block's end waits.
    /// Nothing happens where it has ended.
    pub fn cancel(&self) {
        self.cancel_for(Cause::Asked);
    }

    /// Whether the scope was asked to end, by anyone.
    pub fn is_cancelled(&self) -> bool {
        self.actor.scopes(|scopes| scopes.cancelled(self.scope).is_some())
    }

    fn cancel_for(&self, cause: Cause) {
        let by = by_us(cause);
        let grace = self.actor.settings().grace();
        self.actor.scopes(|scopes| {
            if scopes.cancelled(self.scope).is_none() {
                self.ours.store(true, std::sync::atomic::Ordering::Release);
            }
            scopes.cancel(self.scope, clock::now(), by, grace);
        });
    }
}

impl fmt::Debug for CancelScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelScope").field("cancelled", &self.is_cancelled()).finish()
    }
}

/// Runs `body` with a handle that cancels what is in it: gracefully, innermost scope first.
///
/// Opens a root actor with default options first where this process is no actor yet.
///
/// # Errors
/// `body`'s own. `Cancelled` where a cancel from around it came first. Being cancelled by the handle
/// is no error but `None`, even if a value came after that (P-C2, P-C4).
///
/// # Cancel safety
/// As [`open_nursery`](crate::open_nursery).
pub async fn cancel_scope<F, Fut, T, E>(body: F) -> Result<Option<T>, E>
where
    F: FnOnce(CancelScope) -> Fut,
    Fut: Future<Output = Result<T, E>>,
    E: From<Error> + fmt::Display + 'static,
{
    root::in_actor(async |actor| {
        let scope = Scope::open(&actor, Some(actor.current_scope()), What::Cancellable);
        let handle = CancelScope { actor, scope: scope.id(), ours: Arc::default() };
        let ended = task::run_in(&scope, Box::pin(body(handle.clone()))).await;
        let ours = handle.ours.load(std::sync::atomic::Ordering::Acquire);
        resolve(ended, scope.cancelled(), ours)
    })
    .await
}

fn resolve<T, E>(
    ended: Ended<Result<T, E>>,
    cancelled: Option<Cancelled>,
    ours: bool,
) -> Result<Option<T>, E>
where
    E: From<Error> + fmt::Display + 'static,
{
    match (ended, cancelled) {
        (Ended::Returned(Ok(value)), None) => Ok(Some(value)),
        // The echo of the cancel, handed on by a scope inside; any other error is never hidden.
        (Ended::Returned(Err(error)), by) => {
            let echo = error::of_block(&error).cancelled().is_some() && by.is_some();
            if echo && ours { Ok(None) } else { Err(error) }
        }
        (Ended::Returned(Ok(_)) | Ended::Dropped, _) if ours => Ok(None),
        (Ended::Returned(Ok(_)) | Ended::Dropped, by) => {
            Err(E::from(Error::cancelled_by(by.unwrap_or_else(|| by_us(Cause::ScopeEnding)))))
        }
    }
}
