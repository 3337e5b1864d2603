//! What a failure looks like once it has left its actor: plain data, bounded, never executed.
//! Nothing here decides anything.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::ActorId;
use crate::limits::Limits;

/// How a remote failure came about, as a stable code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Code {
    /// A task returned an error.
    Error,
    /// A task panicked.
    Panic,
    /// Several tasks or children failed; the first is the cause.
    Several,
    /// A call was refused; see the message.
    Refused,
    /// An actor's process died.
    Died,
    /// A link ended and nothing is known of the process behind it.
    Lost,
    /// An actor could not be started.
    Spawn,
    /// Someone other than the reader cancelled.
    Cancelled,
    /// The local API was used in a way that a rule forbids.
    Misuse,
    /// A peer broke the protocol.
    Protocol,
    /// The operating system refused something.
    Os,
}

/// Where in the source a failure arose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// Source file as the compiler named it.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// An actor that passed a failure on, and the task it passed through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    /// The actor.
    pub actor: ActorId,
    /// The endpoint, task or scope in it.
    pub task: String,
}

/// Another failure of the same scope, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Also {
    /// Where it arose.
    pub origin: ActorId,
    /// The error's type, as the compiler named it.
    pub type_name: String,
    /// Its message.
    pub message: String,
}

/// A relayed error.
///
/// Every field is bounded by [`Limits`]; what was cut is marked with `…` and by `truncated`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Names this failure for ever: the origin's uuid and a number that counts up there.
    pub id: (u128, u64),
    /// How it came about.
    pub code: Code,
    /// The error's own message.
    pub message: String,
    /// Messages of its sources, outermost first.
    pub sources: Vec<String>,
    /// The error's type, as the compiler named it; empty if unknown.
    pub type_name: String,
    /// Where it was raised.
    pub location: Option<Location>,
    /// The backtrace, where one was captured.
    pub backtrace: Option<String>,
    /// The actor it arose in.
    pub origin: ActorId,
    /// The tasks that passed it on, the first being the one it arose in.
    pub hops: Vec<Hop>,
    /// Who asked for a cancel, where this is one.
    pub canceller: Option<ActorId>,
    /// How the process ended, where this is a death.
    pub exit: Option<Box<ExitReport>>,
    /// Other failures of the same scope.
    pub also: Vec<Also>,
    /// Whether anything was cut to fit the limits.
    pub truncated: bool,
}

impl Report {
    /// A report with a message and nothing else known.
    pub fn new(id: (u128, u64), code: Code, origin: ActorId, message: String) -> Self {
        Self {
            id,
            code,
            message,
            sources: Vec::new(),
            type_name: String::new(),
            location: None,
            backtrace: None,
            origin,
            hops: Vec::new(),
            canceller: None,
            exit: None,
            also: Vec::new(),
            truncated: false,
        }
    }

    /// Cuts every field to the limits and marks what was cut (P-F3).
    pub fn truncate(&mut self, limits: &Limits) {
        let text = limits.max_report_text;
        let chain = limits.max_report_chain;
        let mut cut = cut_text(&mut self.message, text);
        cut |= cut_list(&mut self.sources, chain);
        for source in &mut self.sources {
            cut |= cut_text(source, text / 16);
        }
        cut |= cut_text(&mut self.type_name, limits.max_name);
        if let Some(location) = &mut self.location {
            cut |= cut_text(&mut location.file, limits.max_name * 4);
        }
        if let Some(backtrace) = &mut self.backtrace {
            cut |= cut_text(backtrace, text);
        }
        cut |= cut_list(&mut self.hops, chain);
        cut |= cut_list(&mut self.also, chain);
        for also in &mut self.also {
            cut |= cut_text(&mut also.message, text / 64);
            cut |= cut_text(&mut also.type_name, limits.max_name);
        }
        if let Some(exit) = &mut self.exit {
            cut |= cut_text(&mut exit.stderr_tail, text / 4);
            cut |= cut_list(&mut exit.under_way, chain);
        }
        self.truncated |= cut;
    }

    /// Cuts until the encoded form has at most `max` bytes: backtrace first, then lists, then texts.
    pub fn truncate_to(&mut self, limits: &Limits, max: usize) {
        let mut limits = limits.clone();
        self.truncate(&limits);
        while self.encoded_len() > max {
            if self.backtrace.take().is_none() {
                limits.max_report_text /= 2;
                limits.max_report_chain /= 2;
                limits.max_name = limits.max_name.div_ceil(2).max(16);
                self.truncate(&limits);
            }
            self.truncated = true;
            if limits.max_report_text == 0 {
                break;
            }
        }
    }

    /// Bytes of the encoded form.
    pub fn encoded_len(&self) -> usize {
        postcard::experimental::serialized_size(self).unwrap_or(usize::MAX)
    }
}

fn cut_text(text: &mut String, max: usize) -> bool {
    const MARK: char = '…';
    if text.len() <= max {
        return false;
    }
    let mut end = max.saturating_sub(MARK.len_utf8());
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.truncate(end);
    if max >= MARK.len_utf8() {
        text.push(MARK);
    }
    true
}

fn cut_list<T>(list: &mut Vec<T>, max: usize) -> bool {
    let cut = list.len() > max;
    list.truncate(max);
    cut
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitStatus {
    /// It exited with this code.
    Code(i32),
    /// This signal ended it.
    Signal {
        /// The signal's number.
        number: i32,
        /// Whether it dumped core.
        core: bool,
    },
}

impl ExitStatus {
    /// Whether the process exited with code 0.
    pub const fn success(self) -> bool {
        matches!(self, Self::Code(0))
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::Signal { number, core } => {
                write!(f, "was ended by signal {number}")?;
                if let Some(name) = signal_name(*number) {
                    write!(f, " ({name})")?;
                }
                if *core { f.write_str(", core dumped") } else { Ok(()) }
            }
        }
    }
}

/// The usual name of a signal that ends processes; numbers as on Linux.
const fn signal_name(number: i32) -> Option<&'static str> {
    Some(match number {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        _ => return None,
    })
}

/// Which rung of the teardown ladder a child's end was reached on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Rung {
    /// It ended by itself, unasked.
    Unasked,
    /// It ended after it was asked to.
    Asked,
    /// SIGTERM was needed.
    Terminated,
    /// SIGKILL was needed.
    Killed,
    /// It outlived SIGKILL within the budget and is still being watched.
    Unkillable,
}

/// How an actor's process came to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitReport {
    /// The actor.
    pub actor: ActorId,
    /// How the process ended; `None` while it cannot be killed.
    pub status: Option<ExitStatus>,
    /// Which rung of the ladder ended it.
    pub rung: Rung,
    /// Whether its link had broken before anyone asked it to end.
    pub link_lost: bool,
    /// What it was doing for us, in short.
    pub under_way: Vec<String>,
    /// The end of what it wrote to its standard error before it was up.
    pub stderr_tail: String,
}

impl fmt::Display for ExitReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "actor {} ", self.actor)?;
        match (&self.status, self.rung) {
            (None, _) => {
                f.write_str("did not end even after SIGKILL and is still being watched")?
            }
            (Some(status), Rung::Unasked) if self.link_lost => {
                write!(f, "closed its link, then {status}")?;
            }
            (Some(status), Rung::Unasked) => write!(f, "{status}")?,
            (Some(status), Rung::Asked) => write!(f, "{status} after it was asked to end")?,
            (Some(status), Rung::Terminated | Rung::Killed | Rung::Unkillable) => {
                write!(f, "had to be ended by force and {status}")?;
            }
        }
        if !self.under_way.is_empty() {
            write!(f, "; under way: {}", self.under_way.join(", "))?;
        }
        Ok(())
    }
}

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
