//! What is taken out of a link for good, and what its user gives back.

use alloc::vec::Vec;

use super::{Connection, Recv};
use crate::dialog::run::{MOST, Run};
use crate::dialog::tables::Life;
use crate::dialog::{Dialog, Overrun, Side, cost_of};
use crate::id::DialogId;
use crate::passed::Passed;
use crate::report::Outcome;

/// Values of a stream that were taken out of a link together, oldest first.
#[derive(Debug, Default)]
pub struct Values {
    run: Run,
    /// One that is too large for company.
    one: Vec<u8>,
    is_one: bool,
    passed: Passed,
}

impl Values {
    /// The next one; descriptors that have come with it are let go of, see [`take_one`](Self::take_one).
    #[inline]
    pub fn next_value(&mut self) -> Option<&[u8]> {
        if core::mem::take(&mut self.is_one) {
            self.passed = Passed::NONE;
            return Some(&self.one);
        }
        self.run.take()
    }

    /// The next one in its own buffer, with the descriptors that have come with it (P-F6), where it is
    /// one of those that are taken alone.
    #[inline]
    pub fn take_one(&mut self) -> Option<(Vec<u8>, Passed)> {
        if !core::mem::take(&mut self.is_one) {
            return None;
        }
        Some((core::mem::take(&mut self.one), self.passed.take()))
    }

    /// Takes such a buffer back, for what comes next.
    pub fn put_back(&mut self, buffer: Vec<u8>) {
        if !self.is_one {
            self.one = buffer;
        }
    }

    /// Whether there are no more.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        !self.is_one && self.run.len() == 0
    }
}

impl Connection {
    pub(super) fn recv_run(&mut self, id: DialogId, out: &mut Values) -> Recv {
        if !out.is_empty() {
            return Recv::Value;
        }
        let Some(dialog) = self.dialogs.get_mut(&id) else { return Recv::Ended };
        let most = MOST.min(usize::try_from(dialog.window / 4).unwrap_or(MOST));
        let spare = &mut self.out.spare;
        let lent = match dialog.inbox.overrun() {
            Overrun::Wait => dialog.inbox.pop_run(&mut out.run, most, |old| spare.recycle(old)),
            _ => None,
        };
        let Some(cost) = lent else {
            let received = self.recv(id, &mut out.one);
            out.is_one = received == Recv::Value;
            out.passed = self.dialogs.get_mut(&id).map_or(Passed::NONE, Dialog::take_passed);
            return received;
        };
        let before = core::mem::replace(&mut dialog.lent, cost);
        if before > 0 && dialog.consumed(before) {
            dialog.control.credit = true;
            self.queue_control(id);
        }
        Recv::Value
    }

    pub(super) fn unread(&mut self, id: DialogId, values: &mut Values) {
        let run = core::mem::take(&mut values.run);
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        let left = cost_of(run.size(), run.len());
        let lent = core::mem::take(&mut dialog.lent);
        let credit = if dialog.keeps() && run.len() > 0 {
            dialog.inbox.unpop(run);
            dialog.consumed(lent.saturating_sub(left))
        } else {
            dialog.consumed(lent)
        };
        if credit {
            dialog.control.credit = true;
            self.queue_control(id);
        }
    }

    /// What a dialog that was opened here came to. With that it is let go of, as
    /// [`Caller::release`](super::Caller::release) does; where the link still has to wait for it, its
    /// handle stays. Nothing while it has not ended, or where there is no handle.
    #[must_use]
    pub fn take_outcome(&mut self, id: DialogId) -> Option<Outcome> {
        let dialog = self.dialogs.get_mut(&id)?;
        if dialog.side != Side::Opener || dialog.released {
            return None;
        }
        if dialog.life != Life::Done {
            return dialog.outcome.clone();
        }
        let outcome = dialog.outcome.take();
        self.remove(id);
        outcome
    }

    /// Takes a buffer that is needed no more, such as that of a value which was received, for what is
    /// sent or received next.
    pub fn recycle(&mut self, buffer: Vec<u8>) {
        self.out.spare.recycle(buffer);
    }
}
