//! What comes in on a dialog, as everything that receives takes it: by an async call or as a stream,
//! whichever comes next. A value that cannot be decoded ends the dialog.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hatchery_proto::{Passed, Values};

use crate::codec::handed::{self, HANDED};
use crate::codec::{CodecError, Take, take_passing};
use crate::dialog::{Dialog, Received};
use crate::error::{Error, Result};

/// The receiving end of a dialog.
pub(crate) struct Intake {
    dialog: Arc<Dialog>,
    /// What was taken off the link and is still to be received.
    values: Values,
    bytes: Vec<u8>,
    /// How many values have come.
    count: u64,
    pending: Option<Receiving>,
    ended: bool,
}

/// A receive that was begun by `poll_next` and has not ended yet. It owns what it takes.
type Receiving = Pin<Box<dyn Future<Output = Result<Option<(Vec<u8>, Passed)>>> + Send + Sync>>;

impl Intake {
    pub(crate) fn of(dialog: Arc<Dialog>) -> Self {
        let (values, bytes) = (Values::default(), Vec::new());
        Self { dialog, values, bytes, count: 0, pending: None, ended: false }
    }

    pub(crate) fn dialog(&self) -> &Arc<Dialog> {
        &self.dialog
    }

    /// Takes the next value; `None` after a graceful end. Dropped before it is done, it has taken
    /// nothing.
    pub(crate) async fn recv<T>(&mut self, take: Take<T>) -> Result<Option<T>> {
        if let Some(pending) = &mut self.pending {
            let received = pending.as_mut().await;
            self.pending = None;
            return received?
                .map(|(bytes, passed)| self.decoded(bytes, &passed, take).0)
                .transpose();
        }
        if let Some(value) = self.next(take) {
            return value.map(Some);
        }
        match self.dialog.recv(&mut self.bytes).await? {
            Received::Value(passed) => {
                let bytes = mem::take(&mut self.bytes);
                let (value, left) = self.decoded(bytes, &passed, take);
                self.bytes = left;
                value.map(Some)
            }
            Received::End => Ok(None),
        }
    }

    /// The next value, where one is there.
    #[inline]
    fn next<T>(&mut self, take: Take<T>) -> Option<Result<T>> {
        if !self.dialog.has_next(&mut self.values) {
            return None;
        }
        if let Some((value, passed)) = self.values.take_one() {
            let (value, left) = self.decoded(value, &passed, take);
            self.values.put_back(left);
            return Some(value);
        }
        let value = self.values.next_value()?;
        self.count += 1;
        match take(value) {
            Ok(value) => Some(Ok(value)),
            Err(error) => Some(Err(undecoded(&self.dialog, self.count, &error))),
        }
    }

    /// One in a buffer of its own; and a buffer for what comes next, that one where the value does not keep
    /// it.
    fn decoded<T>(
        &mut self,
        bytes: Vec<u8>,
        passed: &Passed,
        take: Take<T>,
    ) -> (Result<T>, Vec<u8>) {
        self.count += 1;
        if bytes.len() < HANDED {
            return (decoded(&self.dialog, self.count, &bytes, passed, take), bytes);
        }
        let (value, left) = handed::take_whole(bytes, |bytes| take_passing(take, bytes, passed));
        let value = value.map_err(|error| undecoded(&self.dialog, self.count, &error));
        (value, left.or_else(handed::left).unwrap_or_default())
    }

    /// The same as a stream, which an error ends.
    pub(crate) fn poll_next<T>(
        &mut self,
        take: Take<T>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<T>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        // Without a future of its own where one is there, as on a busy stream.
        if self.pending.is_none()
            && let Some(value) = self.next(take)
        {
            self.ended = value.is_err();
            return Poll::Ready(Some(value));
        }
        let pending = self.pending.get_or_insert_with(|| {
            let dialog = self.dialog.clone();
            Box::pin(async move {
                let mut bytes = Vec::new();
                match dialog.recv(&mut bytes).await? {
                    Received::Value(passed) => Ok(Some((bytes, passed))),
                    Received::End => Ok(None),
                }
            })
        });
        let received = ready!(pending.as_mut().poll(cx));
        self.pending = None;
        let received = received.and_then(|bytes| {
            let value = bytes.map(|(bytes, passed)| self.decoded(bytes, &passed, take).0);
            value.transpose()
        });
        self.ended = !matches!(received, Ok(Some(_)));
        Poll::Ready(received.transpose())
    }

    /// Gives up a receive that `poll_next` has begun, and what was taken off the link and nobody has
    /// received: it is there again for whoever receives next.
    pub(crate) fn forget(&mut self) {
        self.pending = None;
        self.dialog.unread(&mut self.values);
    }
}

/// The value of that number that has come on a dialog. One that is none ends the dialog, and nothing
/// else, with both sides told which it was.
pub(crate) fn decoded<T>(
    dialog: &Dialog,
    number: u64,
    bytes: &[u8],
    passed: &Passed,
    take: Take<T>,
) -> Result<T> {
    match take_passing(take, bytes, passed) {
        Ok(value) => Ok(value),
        Err(error) => Err(undecoded(dialog, number, &error)),
    }
}

#[cold]
fn undecoded(dialog: &Dialog, number: u64, error: &CodecError) -> Error {
    let (task, peer) = (&dialog.task, &dialog.peer);
    let error = Error::codec(
        format_args!("value {number} from `{task}` on actor {peer} could not be decoded"),
        error,
    );
    dialog.break_off(error.clone());
    error
}
