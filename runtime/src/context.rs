//! Contexts: a task here and a task there, linked for life.
//!
//! The callee holds a [`Context`], the opener an [`OpenContext`]. Whose error is raised and whose is
//! absorbed is decided in `block`, in one place.

pub(crate) mod block;
mod body;

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use hatchery_proto::{ActorId, Cancelled, Cause, Outcome, Passed};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::actor::Actor;
use crate::codec::{self, Codec, Put, PutApart, Take, decode, encode_by};
use crate::dialog::Dialog;
use crate::endpoint::{ContextEndpoint, Endpoint, EndpointReturn, ErrorOf, ValueOf};
use crate::error::{EndpointError, Error, Never, Result};
use crate::stream::MsgStream;
use crate::task;

/// The type of a context's first value.
#[derive(Debug)]
pub struct Starts<T>(Put<T>);

/// The type of what a context's callee sends.
#[derive(Debug)]
pub struct Sends<T>(PutApart<T>);

/// The type of what a context's callee receives.
#[derive(Debug)]
pub struct Receives<T>(Take<T>);

/// The callee's end of a context, the first argument of a
/// [`#[hatchery::context]`](macro@crate::context) endpoint.
///
/// It starts once, by value, so that starting twice and streaming before starting do not compile
/// (P-D6). The context ends with the endpoint's return; one that returns without having started
/// fails at the opener. [`CurrentContext::cancel`](crate::CurrentContext::cancel) cancels it from here.
#[must_use = "a context that is never started fails at its opener"]
pub struct Context<First = Starts<()>, Out = Sends<Never>, In = Receives<Never>> {
    dialog: Arc<Dialog>,
    /// How the values of each become bytes and back.
    starts: First,
    sends: Out,
    receives: In,
}

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
    fn over<C: Codec>(seat: Seat) -> Self;
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

    fn over<C: Codec>(seat: Seat) -> Self {
        Self {
            dialog: seat.0,
            starts: Starts(C::encode),
            sends: Sends(codec::put_apart::<C, Out>),
            receives: Receives(codec::take::<C, In>),
        }
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
        let bytes = encode_by(self.starts.0, &first, "the first value of", &self.dialog.task)?;
        self.dialog.start(&bytes).await?;
        Ok(Started { dialog: self.dialog, put: self.sends.0, take: self.receives.0 })
    }
}

impl<First, Out, In> Context<First, Out, In> {
    pub(crate) fn dialog(&self) -> &Arc<Dialog> {
        &self.dialog
    }

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
    put: PutApart<Out>,
    take: Take<In>,
}

impl<Out, In> Started<Out, In> {
    /// Opens this side's stream. By value: a context has one (P-D6).
    pub fn open_stream(self) -> MsgStream<Out, In> {
        // Cannot be refused: this handle is the only one and is consumed.
        let _ = self.dialog.open_stream();
        MsgStream::over(self.dialog, self.put, self.take)
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
    /// It is not this actor's to end.
    NotAllowed,
}

impl<E: ContextEndpoint> fmt::Debug for OpenContext<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenContext").field("endpoint", &E::NAME).finish_non_exhaustive()
    }
}

impl<E: ContextEndpoint> OpenContext<E> {
    /// Waits for the callee to start.
    pub(crate) async fn start(dialog: Arc<Dialog>) -> Result<(Self, First<E>), ErrorOf<E>> {
        let (bytes, passed) = match dialog.first_value().await {
            Ok(first) => first,
            Err(error) => {
                return Err(match dialog.outcome() {
                    Some(outcome) => failure::<E>(&outcome, &dialog.peer),
                    None => error.into(),
                });
            }
        };
        let first = decode::<E::Codec, _>(&bytes, &passed, "the first value of", E::NAME)
            .inspect_err(|error| {
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
        Ok(MsgStream::over(
            self.dialog.clone(),
            codec::put_apart::<E::Codec, _>,
            codec::take::<E::Codec, Sent<E>>,
        ))
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
    /// cancel is no error of the block (P-C4). A handle that no such block was made for has no such end:
    /// dropping it cancels the far task in any case.
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
        self.dialog.told.tell();
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

/// The result of a dialog, typed.
pub(crate) fn value_of<E: Endpoint>(
    outcome: &Outcome,
    dialog: &Dialog,
) -> Result<ValueOf<E>, ErrorOf<E>> {
    match (outcome, dialog.check_decoded()) {
        (Outcome::Returned(bytes), _) => returned::<E>(bytes, &dialog.outcome_passed()),
        // This side has cancelled it for that.
        (Outcome::Cancelled(_), Err(undecoded)) => Err(undecoded.into()),
        (other, _) => Err(failure::<E>(other, &dialog.peer)),
    }
}

/// A result, decoded.
pub(crate) fn returned<E: Endpoint>(
    bytes: &[u8],
    passed: &Passed,
) -> Result<ValueOf<E>, ErrorOf<E>> {
    decode::<E::Codec, _>(bytes, passed, "the result of", E::NAME).map_err(Into::into)
}

pub(crate) fn failure<E: Endpoint>(outcome: &Outcome, peer: &ActorId) -> ErrorOf<E> {
    match outcome {
        Outcome::Failed { report, payload } => {
            <<E::Return as EndpointReturn>::Error as EndpointError>::from_wire::<E::Codec>(
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
