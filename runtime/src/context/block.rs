//! The block around an open dialog: what becomes of the far task and of the body's value when either
//! ends. Whose error is raised and whose is absorbed is decided here, in one place.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::FutureExt;
use hatchery_proto::{Cancelled, Cause, Outcome};

use super::{First, OpenContext, body, by_us};
use crate::actor::Actor;
use crate::current::Within;
use crate::dialog::Dialog;
use crate::endpoint::ContextEndpoint;
use crate::error::{self, Error, ErrorKind, Result};
use crate::inspect::What;
use crate::task::{self, Ended, Scope};

/// What the end of a block comes to, given its value and the far task's outcome: the one place that
/// decides what is absorbed and what is raised (P-C4).
fn judge<T, X: From<Error>>(value: T, outcome: &Outcome, dialog: &Dialog) -> Result<T, X> {
    match outcome {
        Outcome::Returned(_) => Ok(value),
        outcome if dialog.is_own_cancel(outcome) => Ok(value),
        // The body has seen how it ended and chose to end well.
        _ if dialog.told.will_be() => Ok(value),
        other => Err(X::from(Error::from_outcome(other, &dialog.peer, &dialog.task))),
    }
}

/// The scope form of a context: runs `body`, then joins, or cancels and drains.
pub(crate) async fn with_context<E, F, Fut, T, X>(
    mut context: OpenContext<E>,
    first: First<E>,
    body: F,
) -> Result<T, X>
where
    E: ContextEndpoint,
    F: FnOnce(OpenContext<E>, First<E>) -> Fut,
    Fut: Future<Output = Result<T, X>>,
    X: From<Error> + fmt::Display + 'static,
{
    context.scoped = true;
    in_scope(context.dialog.clone(), E::NAME, true, || body(context, first)).await
}

/// Runs a body with an open dialog, then joins the far task, or cancels and drains.
///
/// A failure of the far task has the body dropped at its next await; that of a one-way stream finds
/// it behind the items.
pub(crate) async fn in_scope<Fut, T, X>(
    dialog: Arc<Dialog>,
    name: &str,
    is_context: bool,
    body: impl FnOnce() -> Fut,
) -> Result<T, X>
where
    Fut: Future<Output = Result<T, X>>,
    X: From<Error> + fmt::Display + 'static,
{
    let Some(actor) = Actor::running() else { return Err(X::from(Error::gone(&dialog.peer))) };
    let mut scope = Scope::open(&actor, Some(actor.current_scope()), What::Context);
    if is_context {
        scope = scope.of_context(Some(Within::block_of(&dialog)));
    }
    scope.set_holding(true);
    let by = || scope.cancelled().unwrap_or_else(|| by_us(Cause::ScopeEnding));
    let (ended, failed) = body::run(body(), &dialog, &scope, &actor, is_context).await;
    let share = scope.share();
    match ended {
        Ended::Returned(Ok(value)) if !failed => {
            if dialog.cancels_on_exit() {
                dialog.cancel(by_us(Cause::ScopeEnding), actor.settings().grace());
            }
            // A cancel that comes while the block joins is handed on.
            let late = async {
                scope.until_due().await;
                dialog.cancel_within(by(), scope.share());
                std::future::pending().await
            };
            let outcome = dialog.finished().or(late).await;
            match scope.cancelled() {
                Some(by) => Err(X::from(cancelled(by, &outcome, &dialog))),
                None => judge(value, &outcome, &dialog),
            }
        }
        Ended::Returned(Err(error)) if !failed => {
            let rest = scope.cancelled().map(|_| share);
            let asked = dialog.outcome().is_some_and(|outcome| dialog.is_own_cancel(&outcome));
            let error = if asked { error::handed_on(error) } else { error };
            Err(body_failed(error, &dialog, name, &actor, rest).await)
        }
        Ended::Dropped if !failed => {
            let outcome = dialog.finished().await;
            Err(X::from(cancelled(by(), &outcome, &dialog)))
        }
        // The far task's failure ended the body: what failed in there since then is the lesser.
        ended => {
            let outcome = dialog.finished().await;
            let error = Error::from_outcome(&outcome, &dialog.peer, name);
            let since = match ended {
                Ended::Returned(Err(since)) => {
                    let known = error::of_block(&since);
                    // A cancel from here is no failure; what failed since is.
                    if dialog.is_own_cancel(&outcome) && known.cancelled().is_none() {
                        return Err(since);
                    }
                    Some(known)
                }
                _ => None,
            };
            if dialog.is_own_cancel(&outcome) {
                return Err(X::from(error.absorbed()));
            }
            let since = since.into_iter().filter(|since| {
                // What it heard of the far task in its clean-up is no failure beside that one.
                since.cancelled().is_none() && since.report().message != error.report().message
            });
            let since = since.collect();
            Err(X::from(error.with_others(since)))
        }
    }
}

/// What a block that was cancelled from around comes to: no cancel hides an error of the far task,
/// which may be all that is told of what is below it (P-C2).
fn cancelled(by: Cancelled, outcome: &Outcome, dialog: &Dialog) -> Error {
    match outcome {
        Outcome::Failed { .. } => Error::from_outcome(outcome, &dialog.peer, &dialog.task),
        _ => Error::cancelled_by(by),
    }
}

/// Cancels the far task because the body has failed, and waits for its end, within `rest` where that
/// is all there is; gives the error to raise.
async fn body_failed<X>(
    error: X,
    dialog: &Dialog,
    name: &str,
    actor: &Actor,
    rest: Option<Duration>,
) -> X
where
    X: From<Error> + fmt::Display + 'static,
{
    let known = error::of_block(&error);
    let report = known.to_report(name);
    let reads_no_more = *known.kind() == ErrorKind::ReceiverGone;
    let by = by_us(Cause::OpenerFailed(Box::new(report)));
    match rest {
        Some(rest) => dialog.cancel_within(by, rest),
        None => dialog.cancel(by, actor.settings().grace()),
    }
    let outcome = dialog.finished().await;
    // A task that fails, or that another has cancelled, drops its stream first: that is the echo, its
    // own end the cause.
    let is_cause = match &outcome {
        Outcome::Returned(_) => false,
        Outcome::Cancelled(by) => by.canceller != task::current_actor_id(),
        _ => true,
    };
    if reads_no_more && is_cause {
        return X::from(Error::from_outcome(&outcome, &dialog.peer, &dialog.task));
    }
    error
}
