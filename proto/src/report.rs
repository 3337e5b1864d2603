//! What a failure looks like once it has left its actor: plain data, bounded, never executed.
//! Nothing here decides anything.

mod exit;
mod outcome;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

pub use exit::{ExitReport, ExitStatus, Rung, Usage};
pub use outcome::{CancelRequest, Cancelled, Cause, Failure, LostCause, Outcome, Refusal};

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
    /// More values were sent than their receiver keeps for its reader (P-W6).
    Overrun,
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
    #[serde(with = "crate::id::uuid::numbered")]
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
        let name = limits.max_name;
        let mut cut = cut_text(&mut self.message, text);
        cut |= cut_list(&mut self.sources, chain);
        for source in &mut self.sources {
            cut |= cut_text(source, text / 16);
        }
        cut |= cut_text(&mut self.type_name, name);
        if let Some(location) = &mut self.location {
            cut |= cut_text(&mut location.file, name.saturating_mul(4));
        }
        if let Some(backtrace) = &mut self.backtrace {
            cut |= cut_text(backtrace, text);
        }
        cut |= cut_text(&mut self.origin.name, name);
        cut |= cut_list(&mut self.hops, chain);
        for hop in &mut self.hops {
            cut |= cut_text(&mut hop.actor.name, name);
            cut |= cut_text(&mut hop.task, name);
        }
        if let Some(canceller) = &mut self.canceller {
            cut |= cut_text(&mut canceller.name, name);
        }
        cut |= cut_list(&mut self.also, chain);
        for also in &mut self.also {
            cut |= cut_text(&mut also.origin.name, name);
            cut |= cut_text(&mut also.message, text / 64);
            cut |= cut_text(&mut also.type_name, name);
        }
        if let Some(exit) = &mut self.exit {
            cut |= cut_text(&mut exit.actor.name, name);
            cut |= cut_text(&mut exit.stderr_tail, text / 4);
            cut |= cut_text(&mut exit.panics, text / 4);
            cut |= cut_text(&mut exit.last_message, text / 16);
            cut |= cut_list(&mut exit.under_way, chain);
            cut |= cut_list(&mut exit.rungs, chain);
            if let Some(asked_by) = &mut exit.asked_by {
                cut |= cut_text(&mut asked_by.name, name);
            }
            for task in &mut exit.under_way {
                cut |= cut_text(task, name);
            }
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
    // What a peer has made it grow to is not kept (P-F5).
    text.shrink_to_fit();
    true
}

fn cut_list<T>(list: &mut Vec<T>, max: usize) -> bool {
    let cut = list.len() > max;
    if cut {
        list.truncate(max);
        // An entry may take many times its bytes on the wire (P-F5).
        list.shrink_to_fit();
    }
    cut
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
