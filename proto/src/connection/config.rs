//! What goes into a connection and comes out of it, as plain data. Nothing is decided here.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::dialog::Kind;
use crate::error::Violation;
use crate::id::{ActorId, DialogId, Role};
use crate::limits::Limits;
use crate::report::{Cancelled, Report};

/// What kind of link it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// This is the parent's end of a child's link.
    Parent,
    /// This is the child's end of its parent's link.
    Child,
    /// A link between any two actors.
    Peer,
}

/// How a connection is to be.
#[derive(Clone, Debug)]
pub struct Config {
    /// What kind of link it is.
    pub kind: LinkKind,
    /// Which end this is.
    pub role: Role,
    /// Who we are.
    pub me: ActorId,
    /// Our bounds.
    pub limits: Limits,
}

/// A call to be opened.
#[derive(Clone, Copy, Debug)]
pub struct StartWish<'a> {
    /// The endpoint's name.
    pub endpoint: &'a str,
    /// How it is opened.
    pub kind: Kind,
    /// The hash of its signature, or [`UNKNOWN_SCHEMA`](Self::UNKNOWN_SCHEMA).
    pub schema: u64,
    /// How payloads are encoded: 0 is postcard.
    pub codec: u8,
    /// What is left of the opener's deadline (P-C8).
    pub deadline: Option<Duration>,
    /// Trace context, passed on as it is.
    pub trace: Option<&'a [u8]>,
}

impl StartWish<'_> {
    /// For an opener that knows the endpoint by its name alone: the callee compares nothing (P-D2).
    pub const UNKNOWN_SCHEMA: u64 = 0;
}

/// What has happened, in short. Payloads are taken through the role views.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The greeting is done.
    Up,
    /// The peer asks for a task, with whole arguments.
    Incoming(DialogId),
    /// The opener's task is scheduled.
    Accepted(DialogId),
    /// The first value is in.
    Started(DialogId),
    /// A receive has an answer.
    Readable(DialogId),
    /// A send has an answer.
    Writable(DialogId),
    /// The opener asks the callee's task to end, again perhaps with less grace.
    CancelAsked(DialogId),
    /// The callee has heard it.
    CancelAcked(DialogId),
    /// At the opener: the outcome is in. At the callee: the link took the dialog with it.
    Finished(DialogId),
    /// The callee's terminal has been written; the dialog is free.
    Flushed(DialogId),
    /// The peer opens no more dialogs.
    Goodbye(GoodbyeReason),
    /// The peer broke the protocol.
    Broken(Violation),
    /// Nothing more will be read or written.
    Closed,
}

impl Event {
    /// The dialog that it is about; the others are about the link.
    #[must_use]
    pub const fn dialog(&self) -> Option<DialogId> {
        match self {
            Self::Incoming(id)
            | Self::Accepted(id)
            | Self::Started(id)
            | Self::Readable(id)
            | Self::Writable(id)
            | Self::CancelAsked(id)
            | Self::CancelAcked(id)
            | Self::Finished(id)
            | Self::Flushed(id) => Some(*id),
            Self::Up | Self::Goodbye(_) | Self::Broken(_) | Self::Closed => None,
        }
    }
}

/// Why a side says `Goodbye`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum GoodbyeReason {
    /// The actor is ending.
    Leaving,
    /// Only this link is.
    LinkOnly,
    /// The peer may not do what it asked for.
    NotAllowed,
    /// The peer broke the protocol.
    Protocol(String),
}

/// Why a deadline was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// The greeting takes too long (P-L1).
    Handshake,
    /// Outcomes wait for an exit status, or the exit for the link's end (P-L4).
    HoldBack,
    /// The answer to our `Goodbye` does not come (P-L3).
    Drain,
    /// A `Ping` is due, or its answer (P-L5).
    Liveness,
    /// A cancel is not answered (P-C1).
    CancelWait(DialogId),
}

/// What a receive came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Recv {
    /// A value was put into the buffer.
    Value,
    /// Nothing yet: wait for `Readable`.
    Empty,
    /// The direction ended gracefully.
    End,
    /// More came than is kept, and what is kept was received (P-W6).
    Overrun,
    /// The dialog ended otherwise: see its outcome.
    Ended,
}

/// How a callee ends its dialog.
#[derive(Debug)]
pub enum Terminal {
    /// With its result.
    Return(Vec<u8>),
    /// With an error, and its typed form where there is one.
    Failed {
        /// The report.
        report: Box<Report>,
        /// The typed error's bytes, or none.
        payload: Vec<u8>,
    },
    /// Because it was cancelled.
    Cancelled(Cancelled),
}
