//! What a dialog can come to, and why someone asked it to.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::exit::signal_name;
use super::{ExitReport, Report};
use crate::id::ActorId;

/// Why someone asked for a cancel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Cause {
    /// Asked for in so many words.
    Asked,
    /// A deadline ended (P-C8).
    Deadline,
    /// The handle was dropped without waiting for the end (P-D8).
    Dropped,
    /// The opener's own block failed (P-C5).
    OpenerFailed(Box<Report>),
    /// Another member of the same nursery failed.
    SiblingFailed,
    /// The scope that the task belongs to is ending.
    ScopeEnding,
    /// The link to whoever asked for the work is gone (P-L4).
    LinkLost,
    /// The parent is ending or gone (P-T4).
    ParentEnding,
    /// A signal with this number asked the root to end.
    Signal(i32),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => f.write_str("it was asked to"),
            Self::Deadline => f.write_str("its deadline ended"),
            Self::Dropped => f.write_str("the handle that asked for it was dropped"),
            Self::OpenerFailed(report) => write!(f, "the opener failed: {report}"),
            Self::SiblingFailed => f.write_str("another member of its nursery failed"),
            Self::ScopeEnding => f.write_str("its scope is ending"),
            Self::LinkLost => f.write_str("the link to its opener is gone"),
            Self::ParentEnding => f.write_str("its parent is ending"),
            Self::Signal(2) => f.write_str("Ctrl-C"),
            Self::Signal(number) => write!(
                f,
                "signal {number} ({})",
                signal_name(*number).unwrap_or("without a usual name")
            ),
        }
    }
}

/// A cancel that was applied: who asked first, and why (P-C3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancelled {
    /// The actor that asked first. Never rewritten on the way up.
    pub canceller: ActorId,
    /// Why it asked.
    pub cause: Cause,
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cancelled by actor {} because {}", self.canceller, self.cause)
    }
}

/// A request to cancel, with the time the asked side has for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelRequest {
    /// Who asks, and why.
    pub by: Cancelled,
    /// How long the work of cancelling may take.
    pub grace: Duration,
}

/// Why a `Start` was refused (P-D2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Refusal {
    /// No endpoint has this name.
    Unknown,
    /// The endpoint exists and this link may not call it.
    NotExposed,
    /// Opened as another kind than the endpoint is.
    WrongKind,
    /// The two programs were built from different signatures.
    SchemaMismatch,
    /// The arguments do not decode.
    BadArguments,
    /// The peer has `max_dialogs` open (P-W5).
    TooManyDialogs,
    /// The actor is ending and takes no new work (P-C7).
    ShuttingDown,
}

/// The body of an `Error` terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failure {
    /// The endpoint never ran.
    Refused(Refusal, String),
    /// The task was cancelled.
    Cancelled(Cancelled),
    /// The task failed; the typed error follows as payload where the endpoint declares one.
    Failed(Box<Report>),
}

/// Why a dialog was lost with its link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum LostCause {
    /// The peer closed the link, or it broke.
    LinkEnded,
    /// The peer broke the protocol; the rule and message it broke.
    Protocol(String),
    /// The peer closed the link because of what this side sent; its words (P-L6).
    Accused(String),
    /// This side closed the link.
    Closed,
    /// The peer did not answer within the time a cancel gives it (P-C1).
    Unresponsive,
}

/// What a dialog came to, on one side. Stored whole and readable many times (P-D9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The result, as raw bytes.
    Returned(Vec<u8>),
    /// Refused before it ran.
    Refused(Refusal, String),
    /// The task failed; `payload` is the typed error, or empty.
    Failed {
        /// The relayed error.
        report: Box<Report>,
        /// The typed error's bytes, where the endpoint declares one.
        payload: Vec<u8>,
    },
    /// The task was cancelled.
    Cancelled(Cancelled),
    /// The link ended first.
    Lost(LostCause),
    /// The process behind the link died first (P-T3).
    Died(Box<ExitReport>),
}
