//! The sending direction of a stream: values are encoded here, one by one or several, and handed over.
//! What may be sent when the dialog says.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_sink::Sink;
use hatchery_proto::Passed;

use crate::codec::handed::Parts;
use crate::codec::{self, CodecError, Encoded, PutApart, encode_apart};
use crate::dialog::{Dialog, Outbound};
use crate::error::{Error, Result};

/// What a value that was to be sent at once came to.
#[derive(Clone)]
pub enum TrySendError<Tx> {
    /// The peer's window is full: the value comes back.
    Full(Tx),
    /// Nothing will be sent any more, or not this value.
    Failed(Error),
}

impl<Tx> fmt::Debug for TrySendError<Tx> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("Full(..)"),
            Self::Failed(error) => f.debug_tuple("Failed").field(error).finish(),
        }
    }
}

impl<Tx> fmt::Display for TrySendError<Tx> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("the peer's window is full; await `send`, or drop it"),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl<Tx> std::error::Error for TrySendError<Tx> {}

/// The sending direction of a stream. Clones send into the same direction.
///
/// As a [`Sink`] it holds one value that waits for room; dropped before it is flushed, that value is
/// not sent.
#[must_use = "dropping the last sending half without `close` leaves the direction open"]
pub struct SendHalf<Tx> {
    pub(super) dialog: Arc<Dialog>,
    pending: Option<Sending>,
    put: PutApart<Tx>,
}

/// Values are handed over together until they are so many bytes,
const RUN: usize = 16 * 1024;
/// or so many.
const MOST: usize = 64;

/// What is not encoded, in words.
const VALUE: &str = "a value for";

/// A send that was begun by `start_send` and has not ended yet.
type Sending = Pin<Box<dyn Future<Output = Result<()>> + Send + Sync>>;

impl<Tx> SendHalf<Tx> {
    pub(super) fn over(dialog: Arc<Dialog>, put: PutApart<Tx>) -> Self {
        Self { dialog, pending: None, put }
    }

    /// Whether the value that was begun has been handed over.
    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Some(pending) = &mut self.pending else { return Poll::Ready(Ok(())) };
        let sent = std::task::ready!(pending.as_mut().poll(cx));
        self.pending = None;
        Poll::Ready(sent)
    }

    fn encode(&self, value: &Tx) -> Result<Encoded> {
        encode_apart(self.put, value, VALUE, &self.dialog.task)
    }
}

impl<Tx> SendHalf<Tx> {
    /// Sends one value; waits while the peer's window is full (P-W1).
    ///
    /// Large bytes need not be copied for it: see [`Blob`](crate::Blob).
    ///
    /// Done when the value is handed over whole, not when the peer has read it. The first value of a
    /// turn, which is once round all tasks that are ready, leaves at once; those behind it, and one that
    /// had to wait, leave together, at the end of the turn or once they are 64 KiB. A task that then
    /// blocks its thread holds them up, unless it has had them [flushed](Self::flush).
    ///
    /// # Errors
    /// The dialog's outcome where it has ended otherwise than by a return, `ReceiverGone` where the
    /// peer reads no more or its task has returned, `Misuse` after [`close`](Self::close) before that
    /// or over `max_message`, `Codec` where the value does not encode. Nothing was sent then.
    ///
    /// # Cancel safety
    /// Dropped before it is done, it has sent nothing; a value is never sent in part.
    #[expect(clippy::manual_async_fn, reason = "an `async fn` moves its value once more")]
    pub fn send(&self, value: Tx) -> impl Future<Output = Result<()>> + use<'_, Tx> {
        async move {
            let mut left = None;
            self.sends(&value, &mut left)?;
            let Some(mut left) = left else { return Ok(()) };
            // In a box: what is awaited is moved, and few values wait.
            Box::pin(async move { self.dialog.send(left.outbound()).await }).await
        }
    }

    /// Sends one value if that needs no waiting, and else leaves its bytes; says nothing of why it did
    /// not. They are seldom there, and no place is made for them on the way to whoever looks.
    #[inline]
    fn sends(&self, value: &Tx, left: &mut Option<Encoded>) -> Result<()> {
        self.hands_over(value, left, |buffer, passed, parts| {
            if !passed.is_none() {
                codec::join(buffer, parts);
            }
            usize::from(match parts.is_empty() {
                true => self.dialog.sends(Outbound::Own(buffer, passed)),
                false => self.dialog.sends(Outbound::Apart(buffer, parts)),
            })
        })
        .map(drop)
    }

    /// Encodes a value, and has `hand` say how many were sent, with others behind it or not; where none
    /// was, leaves the bytes of that one.
    #[inline]
    fn hands_over(
        &self,
        value: &Tx,
        left: &mut Option<Encoded>,
        hand: impl FnOnce(&mut Vec<u8>, &Passed, &mut Parts) -> usize,
    ) -> Result<usize> {
        let sent = codec::in_place(|buffer| {
            let mut parts = Parts::new();
            let passed = codec::put_apart_passing(self.put, value, buffer, &mut parts)?;
            let sent = hand(buffer, &passed, &mut parts);
            if sent == 0 {
                *left = Some(Encoded::of(buffer, passed, parts));
            }
            Ok(sent)
        });
        match sent {
            Some(sent) => sent.map_err(|error| self.not_encoded(&error)),
            // By what encodes another value, and this one as a part of that.
            None => {
                *left = Some(self.encode(value)?);
                Ok(0)
            }
        }
    }

    /// Sends the first of these values, in order, and says how many it sent: as many as there is room
    /// for, about 16 KiB of them and at most 64. Waits as [`send`](Self::send) does for room for one,
    /// and for no more. What is left is sent by asking again.
    ///
    /// For small values that are at hand, each of which costs up to two fifths less so than alone; of
    /// those of 1 KiB and more it makes no difference.
    ///
    /// ```
    /// # use hatchery::{Result, SendHalf};
    /// # async fn example(sender: SendHalf<u64>, values: Vec<u64>) -> Result<()> {
    /// let mut left = &values[..];
    /// while !left.is_empty() {
    ///     let sent = sender.send_many(left).await?;
    ///     left = &left[sent..];
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As `send`, of the first value; nothing was sent then. Of another it is told by whoever asks for
    /// that one. Of no values there is none: nought were sent.
    ///
    /// # Cancel safety
    /// Dropped before it is done, it has sent nothing.
    #[expect(clippy::manual_async_fn, reason = "as `send`")]
    pub fn send_many<'a>(
        &'a self,
        values: &'a [Tx],
    ) -> impl Future<Output = Result<usize>> + use<'a, Tx> {
        async move {
            let mut left = None;
            let sent = self.sends_many(values, &mut left)?;
            let Some(mut left) = left else { return Ok(sent) };
            if !self.dialog.sends(left.outbound()) {
                Box::pin(async move { self.dialog.send(left.outbound()).await }).await?;
            }
            Ok(1)
        }
    }

    /// Sends the first values if that needs no waiting, and says how many; else leaves the bytes of the
    /// first.
    fn sends_many(&self, values: &[Tx], left: &mut Option<Encoded>) -> Result<usize> {
        let Some((first, others)) = values.split_first() else { return Ok(0) };
        self.hands_over(first, left, |buffer, passed, parts| {
            let size = buffer.len();
            // What is large, or is more than bytes, goes by itself.
            if !passed.is_none() || !parts.is_empty() || size >= RUN {
                return 0;
            }
            let sent = self.sends_run(buffer, others);
            if sent == 0 {
                buffer.truncate(size);
            }
            sent
        })
    }

    /// Sends the value that is in the buffer, and behind it others up to one that is large, is more than
    /// bytes, or cannot be encoded.
    fn sends_run(&self, buffer: &mut Vec<u8>, others: &[Tx]) -> usize {
        let (mut ends, mut parts) = ([buffer.len(); MOST], Parts::new());
        let mut count = 1;
        for (value, end) in others.iter().zip(ends.iter_mut().skip(1)) {
            let begin = buffer.len();
            let put = codec::put_apart_passing(self.put, value, buffer, &mut parts);
            if !put.is_ok_and(|passed| passed.is_none() && parts.is_empty()) {
                buffer.truncate(begin);
                break;
            }
            *end = buffer.len();
            count += 1;
            if *end >= RUN {
                break;
            }
        }
        self.dialog.sends_run(buffer, ends.get(..count).unwrap_or_default())
    }

    fn not_encoded(&self, error: &CodecError) -> Error {
        codec::not_encoded(VALUE, &self.dialog.task, error)
    }

    /// The same for a value that is encoded.
    pub(crate) async fn send_encoded(&self, bytes: &[u8]) -> Result<()> {
        self.dialog.send(Outbound::Lent(bytes)).await
    }

    /// What the reader's slowness is to a sender that waits for nobody.
    pub(crate) fn overran(&self) -> Error {
        Error::overrun_there(&self.dialog.peer, &self.dialog.task)
    }

    /// Sends one value where the peer's window has room for it; never waits.
    ///
    /// # Errors
    /// `Full` with the value where it has none; else as [`send`](Self::send).
    pub fn try_send(&self, value: Tx) -> Result<(), TrySendError<Tx>> {
        let sent = self.encode(&value).and_then(|mut bytes| self.dialog.try_send(bytes.outbound()));
        match sent {
            Ok(true) => Ok(()),
            Ok(false) => Err(TrySendError::Full(value)),
            Err(error) => Err(TrySendError::Failed(error)),
        }
    }

    /// Has the system take what was sent so far, as much as it has room for now; never waits for the
    /// peer. For a task that goes on to block its thread, or to end its process by its own hand: any
    /// other's values leave by themselves.
    ///
    /// # Errors
    /// None; what has become of the dialog the next send says.
    ///
    /// # Cancel safety
    /// Does its work when first polled.
    pub async fn flush(&self) -> Result<()> {
        self.dialog.flush();
        Ok(())
    }

    /// Ends this direction: the peer receives what was sent, then the end. Does not cancel the far
    /// task, and does not touch the other direction. Again: nothing.
    ///
    /// # Errors
    /// `Misuse` where the context has not started.
    ///
    /// # Cancel safety
    /// Does its work when first polled.
    pub async fn close(&self) -> Result<()> {
        self.dialog.stop()
    }
}

impl<Tx> Clone for SendHalf<Tx> {
    fn clone(&self) -> Self {
        self.dialog.sender_added();
        Self::over(self.dialog.clone(), self.put)
    }
}

impl<Tx> Sink<Tx> for SendHalf<Tx> {
    type Error = Error;

    /// Ready once the value before has been handed over.
    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_sent(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, value: Tx) -> Result<()> {
        let mut bytes = self.encode(&value)?;
        let dialog = self.dialog.clone();
        // Without a task of its own where there is room, which there is nearly always.
        if !dialog.try_send(bytes.outbound())? {
            self.pending = Some(Box::pin(async move { dialog.send(bytes.outbound()).await }));
        }
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let sent = std::task::ready!(self.poll_sent(cx));
        self.dialog.flush();
        Poll::Ready(sent)
    }

    /// Sends what waits, then as [`close`](Self::close).
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        std::task::ready!(self.poll_sent(cx))?;
        Poll::Ready(self.dialog.stop())
    }
}

// Nothing in it is pinned in place: what waits is in a box.
impl<Tx> Unpin for SendHalf<Tx> {}

impl<Tx> Drop for SendHalf<Tx> {
    fn drop(&mut self) {
        self.pending = None;
        self.dialog.sender_dropped();
    }
}

impl<Tx> fmt::Debug for SendHalf<Tx> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendHalf").field("dialog", &self.dialog.id).finish()
    }
}
