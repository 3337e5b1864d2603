//! Looks at all dialogs of a link at once, for whoever has to show them. Nothing here changes anything,
//! and nothing is decided by it.

use super::{Connection, LinkKind};
use crate::dialog::tables::{Cancel, Half, Life};
use crate::dialog::{Dialog, Kind, Side};
use crate::id::DialogId;

/// One dialog as it stands at this end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DialogLook {
    /// Its number.
    pub id: DialogId,
    /// Whether this end opened it.
    pub opened_here: bool,
    /// How it was opened.
    pub kind: Kind,
    /// The callee's task.
    pub life: Life,
    /// Whether its opener has asked to cancel.
    pub cancel: Cancel,
    /// What the peer sends.
    pub inward: Half,
    /// What this end sends.
    pub outward: Half,
    /// Values that have arrived and that nobody has taken, and their bytes.
    pub unread: (usize, usize),
    /// Messages of this end that wait to be written, and their bytes.
    pub unwritten: (usize, usize),
    /// What this end may still send, and the peer; below zero while a message is under way (P-W1).
    pub credit: (i64, i64),
    /// Whether somebody here waits for credit.
    pub waits_for_credit: bool,
    /// The message of the peer that is not whole.
    pub partial: Option<&'static str>,
    /// Whether its handle is gone here, so that only its end is waited for.
    pub released: bool,
}

impl Connection {
    /// Which end of what kind of link this is.
    #[must_use]
    pub const fn kind(&self) -> LinkKind {
        self.config.kind
    }

    /// Every dialog that this end knows, by number; ended ones too whose handle is still held.
    pub fn dialogs(&self) -> impl Iterator<Item = DialogLook> {
        self.dialogs.iter().map(|(id, dialog)| look(id, dialog))
    }
}

fn look(id: DialogId, dialog: &Dialog) -> DialogLook {
    let rest = dialog
        .queue
        .iter()
        .map(|message| message.payload.left().saturating_add(message.head.len()));
    let unwritten = (
        dialog.values.len.saturating_add(dialog.queue.len()),
        dialog.values.rest().len().saturating_add(rest.sum()),
    );
    DialogLook {
        id,
        opened_here: dialog.side == Side::Opener,
        kind: dialog.kind,
        life: dialog.life,
        cancel: dialog.cancel,
        inward: dialog.inc,
        outward: dialog.out,
        unread: (dialog.inbox.len(), dialog.inbox.bytes()),
        unwritten,
        credit: (dialog.balance, dialog.allowance),
        waits_for_credit: dialog.wants_credit,
        partial: dialog.partial.as_ref().map(|partial| partial.tag.name()),
        released: dialog.released,
    }
}
