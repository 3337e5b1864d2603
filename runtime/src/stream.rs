//! Streams: the values that the two tasks of a context send each other while it is open.

mod sending;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_sink::Sink;
use hatchery_proto::{Capacity, Overrun};

use crate::broadcast::Subscriber;
use crate::codec::{PutApart, Take};
use crate::dialog::Dialog;
use crate::error::{Error, Result};
use crate::intake::Intake;

pub use sending::{SendHalf, TrySendError};

/// The two-way stream of a context: sends `Tx`, receives `Rx`.
///
/// Values arrive in order, each exactly once. A direction ends by [`close`](Self::close), by the
/// callee's return, or with the dialog (P-D7). Dropping it sends nothing: the peer's next send
/// fails with [`ErrorKind::ReceiverGone`](crate::ErrorKind::ReceiverGone), and this direction stays
/// open until the context ends.
#[must_use = "dropping a stream tells the peer that nobody reads"]
pub struct MsgStream<Tx, Rx> {
    sender: SendHalf<Tx>,
    receiver: RecvHalf<Rx>,
}

impl<Tx, Rx> MsgStream<Tx, Rx> {
    /// The stream of a dialog on which `open_stream` was just granted.
    pub(crate) fn over(dialog: Arc<Dialog>, put: PutApart<Tx>, take: Take<Rx>) -> Self {
        Self {
            sender: SendHalf::over(dialog.clone(), put),
            receiver: RecvHalf { intake: Intake::of(dialog), take },
        }
    }

    /// Takes the two directions apart. Each half keeps the stream's rules for itself.
    pub fn split(self) -> (SendHalf<Tx>, RecvHalf<Rx>) {
        (self.sender, self.receiver)
    }

    /// See [`RecvHalf::on_overrun`].
    pub fn on_overrun(self, overrun: Overrun) -> Self {
        Self { receiver: self.receiver.on_overrun(overrun), ..self }
    }

    /// See [`RecvHalf::dropped`].
    pub fn dropped(&self) -> u64 {
        self.receiver.dropped()
    }

    /// Has several tasks each receive every value: see [`RecvHalf::subscribe`]. The sending half can
    /// be cloned for as many as send.
    pub fn subscribe(self) -> (SendHalf<Tx>, Subscriber<Rx>) {
        (self.sender, self.receiver.subscribe())
    }
}

impl<Tx, Rx> MsgStream<Tx, Rx> {
    /// See [`SendHalf::send`].
    ///
    /// # Errors
    /// As there.
    pub fn send(&self, value: Tx) -> impl Future<Output = Result<()>> + use<'_, Tx, Rx> {
        self.sender.send(value)
    }

    /// See [`SendHalf::send_many`].
    ///
    /// # Errors
    /// As there.
    pub fn send_many<'a>(
        &'a self,
        values: &'a [Tx],
    ) -> impl Future<Output = Result<usize>> + use<'a, Tx, Rx> {
        self.sender.send_many(values)
    }

    /// See [`SendHalf::try_send`].
    ///
    /// # Errors
    /// As there.
    pub fn try_send(&self, value: Tx) -> Result<(), TrySendError<Tx>> {
        self.sender.try_send(value)
    }

    /// See [`SendHalf::flush`].
    ///
    /// # Errors
    /// As there.
    pub async fn flush(&self) -> Result<()> {
        self.sender.flush().await
    }

    /// See [`RecvHalf::recv`].
    ///
    /// # Errors
    /// As there.
    pub fn recv(&mut self) -> impl Future<Output = Result<Option<Rx>>> + use<'_, Tx, Rx> {
        self.receiver.recv()
    }

    /// See [`SendHalf::close`].
    ///
    /// # Errors
    /// As there.
    pub async fn close(&self) -> Result<()> {
        self.sender.close().await
    }
}

impl<Tx, Rx> fmt::Debug for MsgStream<Tx, Rx> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MsgStream").field("dialog", &self.sender.dialog.id).finish()
    }
}

impl<Tx: Unpin, Rx: Unpin> Stream for MsgStream<Tx, Rx> {
    type Item = Result<Rx>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.receiver).poll_next(cx)
    }
}

impl<Tx: Unpin, Rx: Unpin> Sink<Tx> for MsgStream<Tx, Rx> {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.sender).poll_ready(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, value: Tx) -> Result<()> {
        Pin::new(&mut self.sender).start_send(value)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.sender).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.sender).poll_close(cx)
    }
}

/// The receiving direction of a stream.
///
/// # Readers that may be cancelled
/// A task that is cancelled while it receives has taken nothing: what it waited for is still there.
/// It is the half that has to outlive it, since a half that is dropped tells the peer that nobody
/// reads. So the next reader goes on where the half is shared, by an `Arc` of an async lock, or handed
/// back by the task in its clean-up:
///
/// ```
/// # use std::sync::Arc;
/// # use hatchery::{Result, RecvHalf, open_nursery};
/// # async fn handle(value: u64) {}
/// # async fn example(half: RecvHalf<u64>) -> Result<()> {
/// let shared = Arc::new(smol::lock::Mutex::new(half));
/// for _attempt in 0..3 {
///     let half = shared.clone();
///     open_nursery(async |readers| {
///         readers.spawn(async move {
///             let mut half = half.lock().await; // free again once this task has ended
///             while let Some(value) = half.recv().await? {
///                 handle(value).await; // a value that was received is this task's
///             }
///             Ok::<_, hatchery::Error>(())
///         });
///         readers.cancel(); // for whatever reason
///         Ok::<_, hatchery::Error>(())
///     })
///     .await?; // nothing is closed, and nothing lost that was not received
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping the receiving half tells the peer that nobody reads"]
pub struct RecvHalf<Rx> {
    intake: Intake,
    take: Take<Rx>,
}

impl<Rx> RecvHalf<Rx> {
    /// Receives the next value; `None` after a graceful end (the peer's `close`, or the callee's
    /// return). Asked again, it gives the same answer.
    ///
    /// # Errors
    /// The dialog's outcome where it ended otherwise than by a return; `Codec` where a value does not
    /// decode. That ends this dialog and no other: the opener's far task is cancelled for it, the
    /// callee's own result is that error, and whatever is sent or received from then on fails with it.
    ///
    /// # Cancel safety
    /// Dropped before it is done, it has taken nothing: the next receive gets the value.
    pub fn recv(&mut self) -> impl Future<Output = Result<Option<Rx>>> + use<'_, Rx> {
        self.intake.recv(self.take)
    }
}

impl<Rx> RecvHalf<Rx> {
    /// Has several tasks each receive every value that arrives from then on: the first
    /// [`Subscriber`], from which there may be more. The last 64 values are kept for those that are
    /// slower than the fastest, as by [`subscribe_within`](Self::subscribe_within).
    pub fn subscribe(self) -> Subscriber<Rx> {
        self.subscribe_within(Capacity::default())
    }

    /// The same with so much kept, of encoded values, for those that are slower than the fastest.
    pub fn subscribe_within(mut self, window: Capacity) -> Subscriber<Rx> {
        self.intake.forget();
        Subscriber::first(self, window)
    }

    /// Says what becomes of values that arrive faster than they are received, of those that have
    /// arrived before too. Without it their sender waits, and nothing is lost (P-W1): at most
    /// [`Limits::window`](crate::Limits::window) bytes, each value counted with 16 more, are kept here
    /// or under way.
    ///
    /// [`Overrun::WaitWithin`] is a smaller window, by items and by bytes: no more than so many values,
    /// and no more bytes but for one value, are kept or under way (P-W7). What the sender may still
    /// send when this is called, at most the window, comes on top once: credit is never taken back.
    /// Room is given out in bytes, 16 for each item that fits, so that of large values fewer are under
    /// way than are kept, and the sender waits for an answer the more often, the fewer they are.
    ///
    /// With the others the sender is never held up by this reader, and no more than the [`Capacity`] is
    /// kept here (P-W6):
    /// - [`Overrun::Fail`]: one value more is an error. Both sides are told: the peer's next send and
    ///   this reader, once it has had what was kept, fail with
    ///   [`ErrorKind::Overrun`](crate::ErrorKind::Overrun). The context goes on.
    /// - [`Overrun::DropOldest`]: the oldest are dropped, and [`dropped`](Self::dropped) counts them.
    /// - [`Overrun::LatestOnly`]: all but the newest are.
    pub fn on_overrun(mut self, overrun: Overrun) -> Self {
        self.intake.forget();
        self.dialog().on_overrun(overrun);
        self
    }

    /// How many values were dropped so far, each for a newer one. Logged once, with the half's end.
    pub fn dropped(&self) -> u64 {
        self.dialog().dropped()
    }

    /// How its values are decoded.
    pub(crate) fn take(&self) -> Take<Rx> {
        self.take
    }

    /// The dialog that it receives from.
    pub(crate) fn dialog(&self) -> &Arc<Dialog> {
        self.intake.dialog()
    }
}

impl<Rx: Unpin> Stream for RecvHalf<Rx> {
    type Item = Result<Rx>;

    /// As `recv`; an error ends the stream.
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let take = self.take;
        self.intake.poll_next(take, cx)
    }
}

impl<Rx> Drop for RecvHalf<Rx> {
    fn drop(&mut self) {
        self.intake.forget();
        self.dialog().reader_dropped();
    }
}

impl<Rx> fmt::Debug for RecvHalf<Rx> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecvHalf").field("dialog", &self.dialog().id).finish()
    }
}
