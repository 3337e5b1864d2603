//! One-way streams: the consumer's end of one, and the task that feeds it.
//!
//! The producer lives no longer than whoever consumes it. Nothing is sent back but credit and, where
//! the consumer leaves before the end, `Cancel`.

use std::fmt;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_lite::{FutureExt as _, StreamExt as _, future};
use hatchery_proto::{ActorId, Passed};

use crate::codec::{self, encode_apart};
use crate::context::{CancelStatus, block::in_scope, failure};
use crate::dialog::Dialog;
use crate::endpoint::{DeclaredBy, Ending, ErrorOf, Failed, StreamEndpoint, failed};
use crate::error::{Error, Result};
use crate::intake::Intake;
use crate::task;

/// The consumer's end of a one-way stream, from
/// [`Portal::open_stream_from`](crate::Portal::open_stream_from).
///
/// The items come in order, each once; the producer waits while the window is full (P-W1). Dropping
/// it cancels the producer, which ends in the background; to have it ended, await
/// [`cancel`](Self::cancel), or use [`Portal::with_stream_from`](crate::Portal::with_stream_from).
/// A producer that has ended is not cancelled.
#[must_use = "dropping a source cancels its producer"]
pub struct Source<E: StreamEndpoint> {
    /// Released, and with that cancelled, with the last that holds it: this, or the block around it.
    intake: Intake,
    /// This side has cancelled it, and asks for nothing more.
    cancelled: bool,
    endpoint: PhantomData<fn() -> E>,
}

impl<E: StreamEndpoint> Source<E> {
    pub(crate) fn over(dialog: Arc<Dialog>) -> Self {
        Self { intake: Intake::of(dialog), cancelled: false, endpoint: PhantomData }
    }

    /// The actor that the producer runs in.
    pub fn peer(&self) -> &ActorId {
        &self.dialog().peer
    }

    /// Receives the next item; `None` once the producer has ended, and for ever after.
    ///
    /// # Errors
    /// After the items before it: what the producer failed with, typed where it declares an error
    /// type; that it panicked, was refused, or was cancelled by anyone else; that its actor died.
    /// Asked again, it gives the same answer. `Codec` where an item does not decode, which takes
    /// that item and leaves the stream usable.
    ///
    /// # Cancel safety
    /// Dropped before it is done, it has taken nothing: the next receive gets the item.
    pub async fn recv(&mut self) -> Result<Option<E::Item>, ErrorOf<E>> {
        if self.cancelled {
            return Ok(None);
        }
        self.intake.recv(codec::take::<E::Codec, _>).await.map_err(|error| self.typed(error))
    }

    /// Cancels the producer, waits until it has ended, and says how that came out (P-C1). Items that
    /// were not received are dropped; what is received from then on is the end.
    ///
    /// A producer that has ended before is not asked.
    ///
    /// # Cancel safety
    /// The request is sent when this is first polled; dropping it later stops the waiting only.
    pub async fn cancel(&mut self) -> CancelStatus {
        self.intake.forget();
        self.cancelled = true;
        self.dialog().ends().await
    }

    fn dialog(&self) -> &Arc<Dialog> {
        self.intake.dialog()
    }

    fn typed(&self, error: Error) -> ErrorOf<E> {
        match self.dialog().outcome() {
            Some(outcome) if self.dialog().check_decoded().is_ok() => {
                failure::<E>(&outcome, &self.dialog().peer)
            }
            _ => error.into(),
        }
    }
}

impl<E: StreamEndpoint> Stream for Source<E> {
    type Item = Result<E::Item, ErrorOf<E>>;

    /// As `recv`; the producer's error ends the stream.
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.cancelled {
            return Poll::Ready(None);
        }
        let received = ready!(self.intake.poll_next(codec::take::<E::Codec, _>, cx));
        Poll::Ready(received.map(|item| item.map_err(|error| self.typed(error))))
    }
}

// Nothing in it is pinned in place: what waits is in a box.
impl<E: StreamEndpoint> Unpin for Source<E> {}

impl<E: StreamEndpoint> fmt::Debug for Source<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("endpoint", &E::NAME).finish_non_exhaustive()
    }
}

/// The scope form of a source: runs `body`, then ends what the producer still does.
pub(crate) async fn with_source<E, F, Fut, T, X>(source: Source<E>, body: F) -> Result<T, X>
where
    E: StreamEndpoint,
    F: FnOnce(Source<E>) -> Fut,
    Fut: Future<Output = Result<T, X>>,
    X: From<Error> + fmt::Display + 'static,
{
    let dialog = source.dialog().clone();
    dialog.cancel_on_exit();
    // It finds a failure behind the items that came before.
    in_scope(dialog, E::NAME, false, || body(source)).await
}

/// Items in a row after which other tasks have their turn.
const BURST: u32 = 64;

/// The task of a stream endpoint: sends what it yields until it ends, fails, or is cancelled.
///
/// The stream is dropped in here, so that the clean-up of its own is done before its task's end is
/// told (P-C2).
pub(crate) async fn produce<E: StreamEndpoint>(args: E::Args, dialog: &Dialog) -> Ending {
    let mut items = pin!(E::run(args).await);
    let mut sent = 0_u32;
    while let Some(item) = items.next().await {
        let mut bytes = item.map_err(|error| failed::<E>(&error)).and_then(|item| {
            encode_apart(codec::put_apart::<E::Codec, _>, &item, "an item of", E::NAME)
                .map_err(|error| Failed::from_error(&error, E::NAME))
        })?;
        let done = async { Some(dialog.send(bytes.outbound()).await) };
        match done.or(cancelled()).await {
            Some(Ok(())) => {}
            Some(Err(error)) => return Err(Failed::from_error(&error, E::NAME)),
            None => return drain::<E, _>(items).await,
        }
        sent = sent.wrapping_add(1);
        if sent.is_multiple_of(BURST) {
            future::yield_now().await;
        }
    }
    Ok((Vec::new(), Passed::NONE))
}

/// Ends once this task is asked to end and something in its stream is open, which has to be polled
/// to come to its own end (P-C2). Wakes nobody: what is open is woken then.
async fn cancelled<T>() -> Option<T> {
    poll_fn(|_| match task::is_cancelled() {
        true => Poll::Ready(None),
        false => Poll::Pending,
    })
    .await
}

/// Polls a stream that nobody wants any more, until it ends or is dropped.
async fn drain<E, S>(mut items: Pin<&mut S>) -> Ending
where
    E: StreamEndpoint,
    S: Stream<Item = Result<E::Item, DeclaredBy<E>>>,
{
    poll_fn(|cx| match ready!(items.as_mut().poll_next(cx)) {
        Some(Ok(_)) => {
            // Whoever polls this looks first whether it is due.
            cx.waker().wake_by_ref();
            Poll::Pending
        }
        Some(Err(error)) => Poll::Ready(Err(failed::<E>(&error))),
        None => Poll::Ready(Ok((Vec::new(), Passed::NONE))),
    })
    .await
}
