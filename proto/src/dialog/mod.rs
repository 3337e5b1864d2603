//! One dialog as a pure value: what each side may still do, and what it still owes (P-D1 to P-D9).
//!
//! Knows no link: frames are cut and ordered elsewhere. Every change of state goes through one of
//! the tables in [`tables`]; a row that does not exist is refused, and whoever asked says whose
//! fault that is.

pub(crate) mod inbox;
pub(crate) mod keeping;
mod passing;
pub(crate) mod payload;
mod reuse;
pub(crate) mod run;
pub(crate) mod step;
pub mod tables;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::error::{Misuse, SendError};
use crate::limits::Limits;
use crate::passed::Passed;
use crate::report::{CancelRequest, Outcome};
use crate::time::Instant;
use crate::wire::Tag;
use crate::wire::body::Done;
/// The phase of a dialog that is up and was not asked to end.
pub const STARTED: &str = "started";

pub use crate::wire::body::Kind;
use inbox::Inbox;
pub use keeping::Overrun;
use payload::Payload;
use run::Framed;
use step::{Act, Refused};
use tables::{Cancel, CancelStep, Half, HalfStep, Life, LifeStep};

/// So many `Cancel`s of a dialog are free, and an opener sends no more (P-C1, P-A4).
pub(crate) const MAX_CANCELS: u8 = 8;

/// What a callee was asked to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// The endpoint's name.
    pub endpoint: String,
    /// How it was opened.
    pub kind: Kind,
    /// The opener's idea of its signature.
    pub schema: u64,
    /// How payloads are encoded.
    pub codec: u8,
    /// The arguments, as raw bytes.
    pub args: Vec<u8>,
    /// What is left of the opener's deadline (P-C8).
    pub deadline: Option<Duration>,
    /// Trace context.
    pub trace: Option<Vec<u8>>,
}

/// A `Start` that nobody has taken yet, and what its arguments are to be credited with.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub(crate) incoming: Incoming,
    pub(crate) cost: u64,
}

/// Which side of a dialog this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Opener,
    Callee,
}

impl Side {
    /// The other one.
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Opener => Self::Callee,
            Self::Callee => Self::Opener,
        }
    }
}

/// What becomes of values that arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// They are kept for the reader.
    Kept,
    /// Nobody reads: they are credited at once (P-D8).
    Discarded,
    /// The same, and the peer was told to send no more.
    Done,
    /// The same, since more came than is kept for the reader (P-W6). What is kept stays.
    Overrun,
}

/// What is left to be said in the control lane: one of each, however often the peer provokes it
/// (P-A3).
#[derive(Clone, Debug, Default)]
pub(crate) struct Control {
    pub(crate) queued: bool,
    pub(crate) ack: bool,
    /// The dialog's request is to be written.
    pub(crate) cancel: bool,
    pub(crate) cancel_ack: bool,
    pub(crate) done: bool,
    pub(crate) credit: bool,
}

/// A message on its way out, fragment by fragment.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) tag: Tag,
    /// What stands before the payload in the first frame: a `Start`'s or an `Error`'s own body.
    pub(crate) head: Vec<u8>,
    pub(crate) payload: Payload,
    pub(crate) begun: bool,
    /// What goes with the first frame, whose head begins with their number (P-F6).
    pub(crate) passed: Passed,
}

/// A dialog, on one side.
#[derive(Clone, Debug)]
pub(crate) struct Dialog {
    pub(crate) side: Side,
    pub(crate) kind: Kind,
    pub(crate) life: Life,
    pub(crate) cancel: Cancel,
    /// A `Cancel` was written and may still be answered (P-C1).
    pub(crate) ack_due: bool,
    /// The callee has answered one.
    pub(crate) acked: bool,
    /// `Cancel`s that were written, or were taken for free (P-C1, P-A4).
    pub(crate) cancels: u8,
    /// What this side sends, and what it receives.
    pub(crate) out: Half,
    pub(crate) inc: Half,
    /// What this side may still send, and the peer; below zero while a message is under way (P-W1).
    pub(crate) balance: i64,
    pub(crate) allowance: i64,
    pub(crate) window: u32,
    /// Consumed and not yet given back.
    pub(crate) owed: u64,
    pub(crate) peer_done: Done,
    pub(crate) reading: Reading,
    /// Somebody found the balance spent and waits.
    pub(crate) wants_credit: bool,
    /// What its own values that wait to be written have cost (P-F5).
    pub(crate) unsent: u64,
    /// Whole values for the reader.
    pub(crate) inbox: Inbox,
    /// What the values cost that the reader took together last: it may not have looked at them yet.
    pub(crate) lent: u64,
    /// A message of which more is to come.
    pub(crate) partial: Option<Partial>,
    /// Bytes of the last message that came in parts.
    pub(crate) last: usize,
    pub(crate) first: Option<(Vec<u8>, u64)>,
    pub(crate) start: Option<Box<Arrived>>,
    /// The callee's arguments are whole.
    pub(crate) arrived: bool,
    pub(crate) outcome: Option<Outcome>,
    /// Boxed, as few have one.
    pub(crate) request: Option<Box<CancelRequest>>,
    /// When whoever cancelled it stops waiting.
    pub(crate) wait: Option<Instant>,
    /// What waits to be written: small values first, which come there while nothing else waits.
    pub(crate) values: Framed,
    pub(crate) queue: VecDeque<Outgoing>,
    pub(crate) queued: bool,
    pub(crate) control: Control,
    /// What the arguments cost, until `StartAck` (P-W1).
    pub(crate) args_cost: u64,
    /// The opener's handle is gone: free it with the terminal.
    pub(crate) released: bool,
    /// The callee's terminal is queued.
    pub(crate) finished: bool,
    /// It was refused before it got a slot (P-W5).
    pub(crate) refused: bool,
    /// The most that this side was ever allowed to send at once.
    pub(crate) ceiling: i64,
    /// What has come with the arguments or the first value, and with the result (P-F6).
    pub(crate) passed: Passed,
    pub(crate) passed_end: Passed,
}

/// The part of a fragmented message that has arrived.
#[derive(Clone, Debug)]
pub(crate) struct Partial {
    pub(crate) tag: Tag,
    pub(crate) bytes: Vec<u8>,
    /// What has arrived, kept or not.
    pub(crate) size: usize,
    pub(crate) cost: u64,
    pub(crate) passed: Passed,
}

impl Dialog {
    pub(crate) fn new(side: Side, kind: Kind, window: u32) -> Self {
        Self {
            side,
            kind,
            life: Life::default(),
            cancel: Cancel::default(),
            ack_due: false,
            acked: false,
            cancels: 0,
            out: Half::default(),
            inc: Half::default(),
            balance: 0,
            allowance: i64::from(window),
            window,
            owed: 0,
            peer_done: Done::No,
            reading: Reading::Kept,
            wants_credit: false,
            unsent: 0,
            inbox: Inbox::default(),
            lent: 0,
            partial: None,
            last: 0,
            first: None,
            start: None,
            arrived: false,
            outcome: None,
            request: None,
            wait: None,
            queue: VecDeque::new(),
            values: Framed::default(),
            queued: false,
            control: Control::default(),
            args_cost: 0,
            released: false,
            finished: false,
            refused: false,
            ceiling: 0,
            passed: Passed::NONE,
            passed_end: Passed::NONE,
        }
    }

    /// Where the dialog stands, for reports.
    pub(crate) const fn phase(&self) -> &'static str {
        match (self.life, self.cancel) {
            (Life::Done, _) => "ended",
            (_, Cancel::Asked) => "cancel sent",
            (_, Cancel::Acked) => "being cancelled",
            (Life::Opening, _) => "start sent",
            (Life::Accepted, _) => "running",
            (Life::Live, _) => STARTED,
        }
    }

    /// Whether this side's next message may begin (P-W1), and why not.
    #[inline]
    pub(crate) fn may_send(&self, size: usize, max: usize) -> Result<(), SendError> {
        if self.finished {
            return Err(SendError::Ended);
        }
        self.permits(self.side, Act::Yield)?;
        match self.peer_done {
            Done::No => {}
            Done::Gone => return Err(SendError::ReceiverGone),
            Done::Overrun => return Err(SendError::Overrun),
        }
        if size > max {
            return Err(SendError::TooLarge { size, max });
        }
        if self.has_room() { Ok(()) } else { Err(SendError::Full) }
    }

    /// Whether the peer takes another message now (P-W1), and this side keeps one: it never queues
    /// more than its own window, whatever the peer announces (P-F5).
    pub(crate) fn has_room(&self) -> bool {
        self.balance > 0 && self.unsent < u64::from(self.window)
    }

    /// Whether a cancel with this grace may still be said: the last one is kept for no grace (P-C1).
    pub(crate) const fn may_ask_again(&self, grace: Duration) -> bool {
        let kept = if grace.is_zero() { 0 } else { 1 };
        self.cancels < MAX_CANCELS - kept
    }

    /// Ends the own direction gracefully; `true` where a `Stop` has to be said.
    pub(crate) fn stop(&mut self) -> Result<bool, Misuse> {
        if self.finished {
            return Ok(false);
        }
        match self.step(self.side, Act::Stop) {
            Ok(()) => Ok(true),
            // Whatever ended the direction before, it is ended.
            Err(Refused::Stopped | Refused::Cancelling | Refused::Ended) => Ok(false),
            Err(refused) => Err(refused.into()),
        }
    }

    /// The dialog is over: both halves end and the cancel settles (the joint rule). What the peer
    /// sent ended gracefully where the dialog did (P-D7).
    pub(crate) fn end(&mut self, step: LifeStep) {
        if !self.life.step(step) {
            return;
        }
        self.out.close();
        if matches!(self.outcome, Some(Outcome::Returned(_))) {
            let _ = self.inc.step(HalfStep::Stop);
        }
        self.inc.close();
        let _ = self.cancel.step(CancelStep::Finish);
        self.partial = None;
        self.drop_data();
        self.control = Control::default();
    }

    /// Whether something of it waits to be written in its order of data.
    pub(crate) fn has_data(&self) -> bool {
        self.values.len > 0 || !self.queue.is_empty()
    }

    /// What waits is not to be written.
    pub(crate) fn drop_data(&mut self) {
        self.values.clear();
        self.queue.clear();
        self.unsent = 0;
    }

    /// Whether not one byte of the dialog has been written.
    pub(crate) fn is_unwritten(&self) -> bool {
        self.queue.front().is_some_and(|message| message.tag == Tag::Start && !message.begun)
    }

    /// Whether values that arrive are wanted.
    pub(crate) fn keeps(&self) -> bool {
        self.reading == Reading::Kept && !self.finished
    }

    /// Whether what a message of this kind brings is wanted: else only its size is kept (P-D8).
    pub(crate) fn wants(&self, tag: Tag) -> bool {
        !self.finished && (tag != Tag::Yield || self.keeps())
    }

    /// Whether the peer was told to send no more values.
    pub(crate) const fn has_told_done(&self) -> bool {
        matches!(self.reading, Reading::Done | Reading::Overrun)
    }

    /// A value was consumed; `true` once enough is owed to be worth a `Credit` (P-W1).
    pub(crate) fn consumed(&mut self, cost: u64) -> bool {
        self.owed = self.owed.saturating_add(cost);
        self.life != Life::Done
            && !(self.side == Side::Callee && self.cancel != Cancel::Idle)
            && self.is_worth_a_credit()
    }

    /// Nobody reads any more: what waits is consumed. `true` as for [`Self::consumed`].
    pub(crate) fn discard(&mut self, done: bool) -> bool {
        if !self.has_told_done() {
            self.reading = if done { Reading::Done } else { Reading::Discarded };
        }
        let cost = self.inbox.clear().saturating_add(core::mem::take(&mut self.lent));
        self.consumed(cost)
    }
}

/// What a message of this size costs: its bytes, and something for every frame (P-W1, P-A4).
pub(crate) fn cost(size: usize, chunk: usize) -> u64 {
    let frames = if size <= chunk { 1 } else { size.div_ceil(chunk.max(1)).max(1) };
    cost_of(size, frames)
}

/// What so many bytes in so many frames cost their sender (P-W1).
#[inline]
pub(crate) fn cost_of(size: usize, frames: usize) -> u64 {
    let frames = frames.saturating_mul(Limits::FRAME_COST as usize);
    u64::try_from(size.saturating_add(frames)).unwrap_or(u64::MAX)
}
