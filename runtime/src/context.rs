//! Contexts: a task here and a task there, linked for life.
//!
//! The callee holds a [`Context`], the opener an [`OpenContext`]. Whose error is raised and whose is
//! absorbed is decided in `judge`, in one place.

mod body;

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::FutureExt;
use hatchery_proto::actor::scopes::ScopeKind;
use hatchery_proto::{ActorId, Cancelled, Cause, Outcome};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::actor::Actor;
use crate::current::Within;
use crate::dialog::Dialog;
use crate::endpoint::{
    ContextEndpoint, Endpoint, EndpointReturn, ErrorOf, ValueOf, decode, encode,
};
use crate::error::{self, EndpointError, Error, ErrorKind, Never, Result};
use crate::stream::MsgStream;
use crate::task::{self, Ended, Scope};

/// The type of a context's first value.
#[derive(Debug)]
pub struct Starts<T>(PhantomData<fn() -> T>);

/// The type of what a context's callee sends.
#[derive(Debug)]
pub struct Sends<T>(PhantomData<fn() -> T>);

/// The type of what a context's callee receives.
#[derive(Debug)]
pub struct Receives<T>(PhantomData<fn() -> T>);

/// The callee's end of a context, the first argument of a
/// [`#[hatchery::context]`](macro@crate::context) endpoint.
///
/// It starts once, by value, so that starting twice and streaming before starting do not compile
/// (P-D6). The context ends with the endpoint's return; one that returns without having started
/// fails at the opener.
#[must_use = "a context that is never started fails at its opener"]
pub struct Context<First = Starts<()>, Out = Sends<Never>, In = Receives<Never>> {
    dialog: Arc<Dialog>,
    types: Types<First, Out, In>,
}

/// Says that the types are only talked about.
type Types<First, Out, In> = PhantomData<fn() -> (First, Out, In)>;

/// An open dialog that its callee is about to be given.
#[doc(hidden)]
#[derive(Debug)]
pub struct Seat(pub(crate) Arc<Dialog>);

/// The first argument of a context endpoint. Implemented by [`Context`] alone.
#[diagnostic::on_unimplemented(
    message = "the first argument of a context endpoint is its `Context<Starts<…>, Sends<…>, Receives<…>>`, not `{Self}`"
)]
pub trait ContextArgument: Send + 'static {
    /// The first value's type.
    type First: Serialize + DeserializeOwned + Send + 'static;
    /// What the callee sends.
    type Sent: Serialize + DeserializeOwned + Send + 'static;
    /// What the callee receives.
    type Received: Serialize + DeserializeOwned + Send + 'static;

    #[doc(hidden)]
    fn over(seat: Seat) -> Self;
}

impl<First, Out, In> ContextArgument for Context<Starts<First>, Sends<Out>, Receives<In>>
where
    First: Serialize + DeserializeOwned + Send + 'static,
    Out: Serialize + DeserializeOwned + Send + 'static,
    In: Serialize + DeserializeOwned + Send + 'static,
{
    type First = First;
    type Sent = Out;
    type Received = In;

    fn over(seat: Seat) -> Self {
        Self { dialog: seat.0, types: PhantomData }
    }
}

impl<First: Serialize, Out, In> Context<Starts<First>, Sends<Out>, Receives<In>> {
    /// Says that the callee is ready, with a first value: the opener's `open_context` returns.
    ///
    /// # Errors
    /// `Codec` where the value does not encode, `Misuse` where it is over `max_message`, `Lost`
    /// where the opener is gone.
    ///
    /// # Cancel safety
    /// Does its work when first polled.
    pub async fn started(self, first: First) -> Result<Started<Out, In>> {
        let bytes = encode(&first, "the first value of", &self.dialog.task)?;
        self.dialog.start(&bytes).await?;
        Ok(Started { dialog: self.dialog, types: PhantomData })
    }
}

impl<First, Out, In> Context<First, Out, In> {
    /// The actor that opened this context.
    pub fn peer(&self) -> &ActorId {
        &self.dialog.peer
    }
}

impl<First, Out, In> fmt::Debug for Context<First, Out, In> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("dialog", &self.dialog.id).finish()
    }
}

/// The callee's end of a context that has started.
#[derive(Debug)]
pub struct Started<Out, In> {
    dialog: Arc<Dialog>,
    types: PhantomData<fn() -> (Out, In)>,
}

impl<Out: Serialize, In: DeserializeOwned> Started<Out, In> {
    /// Opens this side's stream. By value: a context has one (P-D6).
    pub fn open_stream(self) -> MsgStream<Out, In> {
        // Cannot be refused: this handle is the only one and is consumed.
        let _ = self.dialog.open_stream();
        MsgStream::over(self.dialog)
    }
}

impl<Out, In> Started<Out, In> {
    /// The actor that opened this context.
    pub fn peer(&self) -> &ActorId {
        &self.dialog.peer
    }
}

pub(crate) type First<E> = <<E as ContextEndpoint>::Context as ContextArgument>::First;
type Sent<E> = <<E as ContextEndpoint>::Context as ContextArgument>::Sent;
type Received<E> = <<E as ContextEndpoint>::Context as ContextArgument>::Received;

/// The opener's end of a context, from [`Portal::open_context`](crate::Portal::open_context).
///
/// Dropping it cancels the far task and lets it drain in the background; to join it, await
/// [`result`](Self::result), or use [`Portal::with_context`](crate::Portal::with_context).
#[must_use = "dropping a context cancels the far task"]
pub struct OpenContext<E: ContextEndpoint> {
    dialog: Arc<Dialog>,
    /// Whether a block around this handle joins or cancels when it ends.
    scoped: bool,
    endpoint: PhantomData<fn() -> E>,
}

impl<E: ContextEndpoint> Drop for OpenContext<E> {
    fn drop(&mut self) {
        if !self.scoped {
            self.dialog.release();
        }
    }
}

/// Where a context stands, as its opener sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ContextState {
    /// The far task has started; this side's stream is not open.
    Running,
    /// This side's stream is open, one of its directions at least.
    Streaming,
    /// This side has asked the far task to end, and it has not ended yet.
    Cancelling,
    /// The far task has returned.
    Returned,
    /// It has failed, or was refused.
    Failed,
    /// It was cancelled, by this side or by anyone else: see [`OpenContext::canceller`].
    Cancelled,
    /// Its actor has died, or the link to it has ended.
    Lost,
}

/// How a cancel that was asked for came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum CancelStatus {
    /// The far task has ended.
    Done,
    /// It did not end within its grace and half a second more; it is still being waited for.
    TimedOut,
    /// Its actor is gone.
    Gone,
}

impl<E: ContextEndpoint> fmt::Debug for OpenContext<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenContext").field("endpoint", &E::NAME).finish_non_exhaustive()
    }
}

impl<E: ContextEndpoint> OpenContext<E> {
    /// Waits for the callee to start.
    pub(crate) async fn start(dialog: Arc<Dialog>) -> Result<(Self, First<E>), ErrorOf<E>> {
        let bytes = match dialog.first_value().await {
            Ok(bytes) => bytes,
            Err(error) => {
                return Err(match dialog.outcome() {
                    Some(outcome) => failure::<E>(&outcome, &dialog.peer),
                    None => error.into(),
                });
            }
        };
        let first = decode(&bytes, "the first value of", E::NAME).inspect_err(|error| {
            // The callee is to know which value it was: the drop alone would not say (P-C5).
            if let Some(actor) = Actor::running() {
                let cause = Cause::OpenerFailed(Box::new(error.to_report(E::NAME)));
                dialog.cancel(by_us(cause), actor.settings().grace());
            }
        })?;
        Ok((Self { dialog, scoped: false, endpoint: PhantomData }, first))
    }

    /// The actor that the far task runs in.
    pub fn peer(&self) -> &ActorId {
        &self.dialog.peer
    }

    /// Opens this side's stream: it sends what the callee receives.
    ///
    /// # Errors
    /// `Misuse` the second time: a context has one stream for its life (P-D6). Once this side has
    /// cancelled the context, that it was cancelled, or `Misuse` while the far task still ends.
    pub fn open_stream(&mut self) -> Result<MsgStream<Received<E>, Sent<E>>> {
        self.dialog.check_not_cancelled()?;
        self.dialog.open_stream()?;
        Ok(MsgStream::over(self.dialog.clone()))
    }

    /// Whether this side has asked the far task to end.
    pub fn cancel_called(&self) -> bool {
        self.dialog.cancel_asked()
    }

    /// Whether the far side has said that it heard of it (P-C1). A task that ended first never says
    /// so.
    pub fn cancel_acked(&self) -> bool {
        self.dialog.cancel_acked()
    }

    /// Who cancelled the far task, where it ended by that: [`cancel_called`](Self::cancel_called)
    /// tells whether it was to be expected.
    pub fn canceller(&self) -> Option<ActorId> {
        match self.dialog.outcome() {
            Some(Outcome::Cancelled(by)) => Some(by.canceller),
            _ => None,
        }
    }

    /// The far task's result as [`result`](Self::result) would give it, or `None` while it runs.
    pub fn outcome(&self) -> Option<Result<ValueOf<E>, ErrorOf<E>>> {
        self.dialog.outcome().map(|outcome| value_of::<E>(&outcome, &self.dialog))
    }

    /// Where the context stands.
    pub fn state(&self) -> ContextState {
        match self.dialog.outcome() {
            None if self.cancel_called() => ContextState::Cancelling,
            None if self.dialog.is_streaming() => ContextState::Streaming,
            None => ContextState::Running,
            Some(Outcome::Returned(_)) => ContextState::Returned,
            Some(Outcome::Cancelled(_)) => ContextState::Cancelled,
            Some(Outcome::Lost(_) | Outcome::Died(_)) => ContextState::Lost,
            Some(_) => ContextState::Failed,
        }
    }

    /// Has a clean end of the [`with_context`](crate::Portal::with_context) block around it cancel
    /// the far task and drain what it still says, instead of waiting for it to end by itself. Such a
    /// cancel is no error of the block (P-C4).
    pub fn cancel_on_exit(&self) {
        self.dialog.cancel_on_exit();
    }

    /// Waits for the far task's result. It may be asked for again: the answer stays (P-D9).
    ///
    /// Says first, where no sending half is held, that nothing more will be sent, and discards what
    /// arrives where no receiving half is held (P-D8).
    ///
    /// # Errors
    /// What the far task failed with; that it was cancelled, by whomever; that its actor died.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn result(&self) -> Result<ValueOf<E>, ErrorOf<E>> {
        let outcome = self.dialog.finished().await;
        value_of::<E>(&outcome, &self.dialog)
    }

    /// Asks the far task to end, waits until it has, and says how that came out (P-C1).
    ///
    /// A later [`result`](Self::result) says that it was cancelled by this actor; the end of a
    /// `with_context` block takes that as an end without error (P-C4).
    ///
    /// # Cancel safety
    /// The request is sent when this is first polled; dropping it later stops the waiting only.
    pub async fn cancel(&self) -> CancelStatus {
        self.dialog.ends().await
    }
}

/// What the end of a block comes to, given its value and the far task's outcome: the one place that
/// decides what is absorbed and what is raised (P-C4).
fn judge<T, X: From<Error>>(value: T, outcome: &Outcome, dialog: &Dialog) -> Result<T, X> {
    match outcome {
        Outcome::Returned(_) => Ok(value),
        Outcome::Cancelled(by)
            if dialog.cancel_asked() && by.canceller == task::current_actor_id() =>
        {
            Ok(value)
        }
        // The body has seen how it ended and chose to end well.
        _ if dialog.will_be_told() => Ok(value),
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
    let mut scope = Scope::open(&actor, Some(actor.current_scope()), ScopeKind::Body);
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
                Ended::Returned(Err(since)) => Some(error::of_block(&since)),
                _ => None,
            };
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

/// The result of a dialog, typed.
pub(crate) fn value_of<E: Endpoint>(
    outcome: &Outcome,
    dialog: &Dialog,
) -> Result<ValueOf<E>, ErrorOf<E>> {
    match outcome {
        Outcome::Returned(bytes) => decode(bytes, "the result of", E::NAME).map_err(Into::into),
        other => Err(failure::<E>(other, &dialog.peer)),
    }
}

pub(crate) fn failure<E: Endpoint>(outcome: &Outcome, peer: &ActorId) -> ErrorOf<E> {
    match outcome {
        Outcome::Failed { report, payload } => {
            <<E::Return as EndpointReturn>::Error as EndpointError>::from_wire(
                report.clone(),
                payload,
            )
        }
        other => Error::from_outcome(other, peer, E::NAME).into(),
    }
}

pub(crate) fn by_us(cause: Cause) -> Cancelled {
    Cancelled { canceller: task::current_actor_id(), cause }
}
