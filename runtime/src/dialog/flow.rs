//! The values of a dialog, one at a time or several: handed to the core and taken from it, by whoever has
//! some or waits for one. What may be sent when the core says.

use std::mem;
use std::sync::atomic::Ordering;

use hatchery_proto::{Limits, Outcome, Passed, Recv, SendError, Values};

use super::{Dialog, Side, role};
use crate::codec::handed::Parts;
use crate::driver::link::Leaves;
use crate::error::{Error, Result};

/// A value that is to be sent.
pub(crate) enum Outbound<'a> {
    /// One whose buffer may be taken, and another left in its place; with what goes with it.
    Own(&'a mut Vec<u8>, &'a Passed),
    Lent(&'a [u8]),
    /// One of which large bytes are handed on: each of these stands before what the others have at its
    /// place.
    Apart(&'a [u8], &'a mut Parts),
}

impl Outbound<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Own(bytes, _) => bytes.len(),
            Self::Lent(bytes) => bytes.len(),
            Self::Apart(own, parts) => {
                parts.iter().fold(own.len(), |sum, (_, part)| sum.saturating_add(part.len()))
            }
        }
    }
}

/// What a receive came to.
pub(crate) enum Received {
    /// One, with what came with it.
    Value(Passed),
    End,
}

impl Dialog {
    /// Sends one value if there is room for it now. Says nothing of why it did not, which whoever asks
    /// again by [`send`](Self::send) is told: for the many that there is room for.
    pub(crate) fn sends(&self, mut value: Outbound<'_>) -> bool {
        self.undecoded.get().is_none() && self.offer(Leaves::Soon, &mut value).is_ok()
    }

    /// Sends as many of these values as there is room for now, which end in `bytes` where `ends` has it;
    /// says how many.
    pub(crate) fn sends_run(&self, bytes: &[u8], ends: &[usize]) -> usize {
        if self.undecoded.get().is_some() {
            return 0;
        }
        // One frame is counted by whoever says something.
        let cost = ends.len().saturating_sub(1).saturating_mul(Limits::FRAME_COST as usize);
        let size = bytes.len().saturating_add(cost);
        let sent = self.link.say(Leaves::Soon, size, |connection| {
            let mut begin = 0;
            let values = ends
                .iter()
                .map(|&end| bytes.get(mem::replace(&mut begin, end)..end).unwrap_or_default());
            role!(self, connection, |view| view.send_run(values)).ok_or(())?.map_err(|_| ())
        });
        sent.unwrap_or(0)
    }

    /// Has these values be those that are there now, if there are none left; says whether there are any:
    /// for the many that need not be waited for. Says nothing of why there are none.
    #[inline]
    pub(crate) fn has_next(&self, values: &mut Values) -> bool {
        if self.undecoded.get().is_some() || self.released.load(Ordering::Acquire) {
            return false;
        }
        if values.is_empty() {
            let _ = self
                .link
                .take_value(|connection| role!(self, connection, |view| view.recv_run(values)));
        }
        !values.is_empty()
    }

    /// What is left of these is to be received by others, or otherwise.
    pub(crate) fn unread(&self, values: &mut Values) {
        if !values.is_empty() {
            self.link.take_value(|connection| role!(self, connection, |view| view.unread(values)));
        }
    }

    /// Sends one value; waits for credit.
    pub(crate) async fn send(&self, mut value: Outbound<'_>) -> Result<()> {
        self.check_decoded()?;
        let mut leaves = Leaves::Soon;
        self.wait_told(|| match self.offer(leaves, &mut value) {
            Ok(()) => Some(Ok(())),
            Err(Some(SendError::Full)) => {
                leaves = Leaves::Together;
                None
            }
            Err(refused) => Some(Err(self.not_sent(refused.as_ref()))),
        })
        .await
    }

    /// Hands a value to the core; nothing is why it is not taken where the dialog is gone.
    fn offer(&self, leaves: Leaves, value: &mut Outbound<'_>) -> Result<(), Option<SendError>> {
        self.link.say(leaves, value.len(), |connection| {
            let sent = role!(self, connection, |view| match value {
                Outbound::Own(bytes, passed) if !passed.is_none() => {
                    view.send_passing(bytes, passed)
                }
                Outbound::Own(bytes, _) => view.send_from(bytes),
                Outbound::Lent(bytes) => view.send(bytes),
                Outbound::Apart(own, parts) => view.send_with(own, parts),
            });
            sent.ok_or(None)?.map_err(Some)
        })
    }

    fn not_sent(&self, refused: Option<&SendError>) -> Error {
        refused.map_or_else(|| self.end_error(), |refused| self.refused(refused))
    }

    /// Sends one value if there is room for it now; says whether there was.
    pub(crate) fn try_send(&self, mut value: Outbound<'_>) -> Result<bool> {
        self.check_decoded()?;
        let failed = match self.offer(Leaves::Soon, &mut value) {
            Ok(()) => return Ok(true),
            Err(Some(SendError::Full)) => return Ok(false),
            Err(refused) => self.not_sent(refused.as_ref()),
        };
        self.told.tell();
        Err(failed)
    }

    /// Has what was sent leave now.
    pub(crate) fn flush(&self) {
        self.link.flush();
    }

    /// Receives one value into `out`. Dropping the future loses nothing.
    pub(crate) fn recv(&self, out: &mut Vec<u8>) -> impl Future<Output = Result<Received>> {
        self.wait_told(|| self.received(out))
    }

    /// The same if there is an answer now.
    pub(crate) fn received(&self, out: &mut Vec<u8>) -> Option<Result<Received>> {
        if let Err(error) = self.check_decoded() {
            return Some(Err(error));
        }
        match self.take(out) {
            Some((Recv::Value, passed)) => Some(Ok(Received::Value(passed))),
            Some((Recv::Empty, _)) => None,
            Some((Recv::End, _)) => Some(Ok(Received::End)),
            Some((Recv::Overrun, _)) => Some(Err(Error::overrun_here(&self.peer, &self.task))),
            Some((Recv::Ended, _)) => match self.outcome() {
                Some(Outcome::Returned(_)) => Some(Ok(Received::End)),
                _ => Some(Err(self.end_error())),
            },
            None => Some(Err(self.end_error())),
        }
    }

    fn take(&self, out: &mut Vec<u8>) -> Option<(Recv, Passed)> {
        self.link.take_value(|connection| {
            role!(self, connection, |view| (view.recv(out), view.take_passed()))
        })
    }
}
