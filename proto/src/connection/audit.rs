//! Looks for those who check the books of a connection: where the credit of a dialog is, and what is
//! held for the peer. Nothing here changes anything, and no rule is decided by it.

use core::time::Duration;

use super::Connection;
use crate::dialog::tables::{Cancel, Half, Life};
use crate::dialog::{Dialog, Kind, Reading, Side, cost};
use crate::id::DialogId;
use crate::limits::Limits;
use crate::wire::body::Done;
use crate::wire::{Tag, value_header};

/// The books of one dialog at one end (P-W1).
///
/// Where both ends are live and have not cancelled, for each direction: the receiver's
/// `allowance + held + owed` is its `window`, and the sender's `balance + unsent` with what is on
/// its way, values and credit alike, is the receiver's `allowance`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// Whether the dialog has not ended at this end.
    pub live: bool,
    /// Whether the callee has said that it is scheduled, as far as this end knows.
    pub accepted: bool,
    /// Whether the opener has asked to cancel: what it sent is accounted for no more (P-D3).
    pub dead: bool,
    /// Whether a `Cancel` that was written may still be answered (P-C1).
    pub unanswered: bool,
    /// What this end may still send.
    pub balance: i64,
    /// What was taken off the balance and is not written yet.
    pub unsent: i64,
    /// What the peer may still send.
    pub allowance: i64,
    /// What came in and was not consumed.
    pub held: i64,
    /// What was consumed and not given back.
    pub owed: i64,
    /// What the peer may have under way at most.
    pub window: i64,
    /// Whether what arrives is kept for a reader.
    pub kept: bool,
    /// Whether a receive has an answer now.
    pub readable: bool,
}

/// What of a dialog decides how the peer's next message for it is judged (P-A1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stance {
    /// Whether this end opened it.
    pub opened_here: bool,
    /// How it was opened.
    pub kind: Kind,
    /// The callee's task.
    pub life: Life,
    /// Whether its opener has asked to cancel.
    pub cancel: Cancel,
    /// What that leaves for its end.
    pub grace: Option<Duration>,
    /// What the peer sends.
    pub inward: Half,
    /// The message of the peer that is not whole.
    pub partial: Option<&'static str>,
    /// Whether the peer has used up what it may send.
    pub spent: bool,
    /// What this end has sent and was not given back.
    pub debt: i64,
    /// What the peer has said of its reader (P-D8, P-W6).
    pub peer_done: Done,
    /// Whether a `Cancel` that was written may still be answered.
    pub ack_due: bool,
    /// Whether nothing of it was written yet.
    pub unwritten: bool,
    /// Whether something of this end is queued.
    pub sending: bool,
    /// Whether the callee's arguments are whole.
    pub arrived: bool,
    /// Whether the callee's terminal is queued.
    pub finished: bool,
}

/// What of a link decides the same for the rest of the peer's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Where it stands, as reports have it.
    pub state: &'static str,
    /// Whether this end has said `Goodbye`,
    pub leaving: bool,
    /// and whether the peer has.
    pub left: bool,
    /// Slots that the peer's dialogs take (P-W5).
    pub slots: u32,
    /// Refusals beyond them that wait to be written.
    pub refusals: u32,
    /// `Ping`s that the peer may still answer.
    pub pongs_due: u32,
    /// What the peer may still cost (P-A4).
    pub budget: u64,
}

impl Connection {
    /// How the dialog stands towards its peer, where this end knows it.
    #[must_use]
    pub fn stance(&self, id: DialogId) -> Option<Stance> {
        let dialog = self.dialogs.get(&id)?;
        Some(Stance {
            opened_here: dialog.side == Side::Opener,
            kind: dialog.kind,
            life: dialog.life,
            cancel: dialog.cancel,
            grace: dialog.request.as_ref().map(|request| request.grace),
            inward: dialog.inc,
            partial: dialog.partial.as_ref().map(|partial| partial.tag.name()),
            spent: dialog.allowance <= 0,
            debt: dialog.ceiling.saturating_sub(dialog.balance),
            peer_done: dialog.peer_done,
            ack_due: dialog.ack_due,
            unwritten: dialog.is_unwritten(),
            sending: dialog.has_data(),
            arrived: dialog.arrived,
            finished: dialog.finished,
        })
    }

    /// How the link stands towards its peer.
    #[must_use]
    pub const fn standing(&self) -> Standing {
        Standing {
            state: self.state(),
            leaving: self.goodbye_sent,
            left: self.goodbye_received,
            slots: self.theirs,
            refusals: self.refusals,
            pongs_due: self.pongs_due,
            budget: self.budget,
        }
    }

    /// The books of a dialog that this end knows.
    #[must_use]
    pub fn ledger(&self, id: DialogId) -> Option<Ledger> {
        let dialog = self.dialogs.get(&id)?;
        let held = costs(dialog);
        Some(Ledger {
            live: dialog.life != Life::Done,
            accepted: dialog.life != Life::Opening,
            dead: dialog.cancel != Cancel::Idle,
            unanswered: dialog.ack_due,
            balance: dialog.balance,
            unsent: unsent(id, dialog, self.chunk()),
            allowance: dialog.allowance,
            held: i64::try_from(held).unwrap_or(i64::MAX),
            owed: i64::try_from(dialog.owed).unwrap_or(i64::MAX),
            window: i64::from(dialog.window),
            kept: dialog.reading == Reading::Kept,
            readable: !dialog.inbox.is_empty()
                || dialog.inc != Half::Open
                || dialog.outcome.is_some()
                || dialog.reading == Reading::Overrun,
        })
    }

    /// Bytes that the peer has made this end hold: values, parts of them, arguments, outcomes and
    /// the frame that is not whole (P-F5).
    #[must_use]
    pub fn held(&self) -> usize {
        let dialogs: usize = self.dialogs.iter().map(|(_, dialog)| bytes(dialog)).sum();
        let placing = self.placing.as_ref().map_or(0, |place| place.held());
        dialogs.saturating_add(self.deframer.held()).saturating_add(placing)
    }

    /// Dialogs that take a place in memory, ended ones whose handle is still held included.
    #[must_use]
    pub fn known_dialogs(&self) -> usize {
        self.dialogs.len()
    }
}

fn costs(dialog: &Dialog) -> u64 {
    let inbox: u64 = dialog.inbox.iter().map(|(_, cost)| cost).sum();
    let partial = dialog.partial.as_ref().filter(|partial| is_value(partial.tag));
    inbox
        .saturating_add(dialog.lent)
        .saturating_add(partial.map_or(0, |partial| partial.cost))
        .saturating_add(dialog.first.as_ref().map_or(0, |(_, cost)| *cost))
        .saturating_add(dialog.start.as_ref().map_or(0, |start| start.cost))
}

/// Whether it shares the balance (P-W2); arguments are accounted for elsewhere.
const fn is_value(tag: Tag) -> bool {
    matches!(tag, Tag::Started | Tag::Yield)
}

fn bytes(dialog: &Dialog) -> usize {
    let outcome = match &dialog.outcome {
        Some(crate::report::Outcome::Returned(value)) => value.len(),
        Some(crate::report::Outcome::Failed { payload, .. }) => payload.len(),
        _ => 0,
    };
    let inbox = dialog.inbox.bytes();
    inbox
        .saturating_add(outcome)
        .saturating_add(dialog.partial.as_ref().map_or(0, |partial| partial.bytes.len()))
        .saturating_add(dialog.first.as_ref().map_or(0, |(value, _)| value.len()))
        .saturating_add(dialog.start.as_ref().map_or(0, |start| start.incoming.args.len()))
}

/// What is left to be written of messages that share the balance (P-W2).
fn unsent(id: DialogId, dialog: &Dialog, chunk: usize) -> i64 {
    let rest = dialog
        .queue
        .iter()
        .filter(|message| is_value(message.tag))
        .map(|message| cost(message.payload.left(), chunk))
        .sum::<u64>();
    // Of small ones each costs its bytes and its frame, and stands behind its header.
    let (len, bytes) = (dialog.values.len, dialog.values.rest().len());
    let small = bytes.saturating_sub(len.saturating_mul(value_header(id)));
    let frames = len.saturating_mul(Limits::FRAME_COST as usize);
    let small = u64::try_from(small.saturating_add(frames)).unwrap_or(u64::MAX);
    i64::try_from(rest.saturating_add(small)).unwrap_or(i64::MAX)
}
