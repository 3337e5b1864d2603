//! What the core's refusals, and a dialog's end, are as errors. Decides nothing.

use std::sync::atomic::Ordering;

use hatchery_proto::{Cancelled, Cause, Misuse, Outcome, SendError};

use super::{Dialog, Side, lost};
use crate::context::by_us;
use crate::error::Error;

impl Dialog {
    /// What the dialog's end is to an operation that runs into it.
    pub(crate) fn end_error(&self) -> Error {
        match (self.side, self.outcome()) {
            // A return may cross any send: whoever sends has done nothing wrong.
            (_, Some(Outcome::Returned(_))) => Error::reader_returned(&self.peer, &self.task),
            (_, Some(outcome)) => Error::from_outcome(&outcome, &self.peer, &self.task),
            (Side::Opener, None) if self.released.load(Ordering::Acquire) => {
                Error::misuse(format!(
                    "using the stream of `{}` on actor {} after its context was dropped",
                    self.task, self.peer
                ))
            }
            _ => match self.asked_by() {
                Some(by) => Error::cancelled_by(by),
                None => Error::from_outcome(&lost(), &self.peer, &self.task),
            },
        }
    }

    /// Callee: who has asked its task to end, and why (P-C5).
    pub(super) fn asked_by(&self) -> Option<Cancelled> {
        self.link.tell(|connection| {
            let callee = connection.callee(self.id)?;
            callee.cancel_request().map(|request| request.by.clone())
        })
    }

    pub(super) fn refused(&self, refused: &SendError) -> Error {
        match refused {
            // An opener that fails drops its stream first: that is the echo, the cancel the cause.
            SendError::ReceiverGone => match self.asked_by() {
                Some(by) => Error::cancelled_by(by),
                None => Error::receiver_gone(&self.peer),
            },
            SendError::Overrun => Error::overrun_there(&self.peer, &self.task),
            SendError::Ended | SendError::Cancelling => match self.outcome() {
                Some(_) => self.end_error(),
                None if self.side == Side::Callee => self.end_error(),
                // Asked for here, and the far task has not ended yet.
                None => Error::cancelled_by(by_us(Cause::Asked)),
            },
            other => {
                Error::misuse(format!("sending to `{}` on actor {}: {other}", self.task, self.peer))
            }
        }
    }

    pub(super) fn misused(&self, misuse: &Misuse) -> Error {
        Error::misuse(format!("`{}` with actor {}: {misuse}", self.task, self.peer))
    }
}
