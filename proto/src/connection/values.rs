//! Values of a dialog at the side that sends or reads them: what may be sent now and what it costs, and
//! what there is to read. How they travel is decided elsewhere.

use alloc::vec::Vec;

use super::outbox::{Outbox, message};
use super::transmit::GATHERED;
use super::{Connection, Recv};
use crate::dialog::tables::{Half, Life};
use crate::dialog::{Overrun, Reading};
use crate::error::{Misuse, SendError};
use crate::id::DialogId;
use crate::wire::Tag;

impl Connection {
    pub(super) fn send(&mut self, id: DialogId, value: &[u8]) -> Result<(), SendError> {
        self.spend_on(id, value.len())?;
        let Some(dialog) = self.dialogs.get_mut(&id).filter(|_| !self.out.mute) else {
            return Ok(());
        };
        if Outbox::takes_small(dialog, value.len()) {
            self.out.queue_small(id, dialog, value);
        } else {
            let payload = self.out.spare.filled(value);
            self.out.queue(id, dialog, message(Tag::Yield, payload));
        }
        Ok(())
    }

    pub(super) fn send_from(&mut self, id: DialogId, value: &mut Vec<u8>) -> Result<(), SendError> {
        if value.len() < GATHERED {
            return self.send(id, value);
        }
        self.spend_on(id, value.len())?;
        if let Some(dialog) = self.dialogs.get_mut(&id)
            && !self.out.mute
        {
            let next = self.out.spare.empty_for(value.len());
            let payload = core::mem::replace(value, next);
            self.out.queue(id, dialog, message(Tag::Yield, payload));
        }
        Ok(())
    }

    /// Takes the cost of a value of so many bytes off the balance, where it may be sent (P-W1).
    fn spend_on(&mut self, id: DialogId, size: usize) -> Result<(), SendError> {
        let max = self.max_message();
        let cost = self.cost(size);
        let Some(dialog) = self.dialogs.get_mut(&id) else { return Err(SendError::Ended) };
        if let Err(refused) = dialog.may_send(size, max) {
            dialog.wants_credit |= refused == SendError::Full;
            return Err(refused);
        }
        // A value leaves the direction as it is (P-D7).
        dialog.balance = dialog.balance.saturating_sub(cost);
        dialog.unsent = dialog.unsent.saturating_add(cost.unsigned_abs());
        Ok(())
    }

    pub(super) fn stop(&mut self, id: DialogId) -> Result<(), Misuse> {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return Ok(()) };
        if dialog.stop()? {
            self.queue_data(id, message(Tag::Stop, Vec::new()));
        }
        Ok(())
    }

    pub(super) fn recv(&mut self, id: DialogId, out: &mut Vec<u8>) -> Recv {
        let Some(dialog) = self.dialogs.get_mut(&id) else {
            out.clear();
            return Recv::Ended;
        };
        let spare = &mut self.out.spare;
        if let Some(cost) = dialog.inbox.pop(out, |old| spare.recycle(old)) {
            if dialog.consumed(cost) {
                dialog.control.credit = true;
                self.queue_control(id);
            }
            return Recv::Value;
        }
        out.clear();
        match dialog.inc {
            _ if dialog.reading == Reading::Overrun => Recv::Overrun,
            Half::Stopped => Recv::End,
            Half::Closed => Recv::Ended,
            // Whoever waited for it has given up on it (P-C1).
            Half::Open if dialog.outcome.is_some() => Recv::Ended,
            Half::Open => Recv::Empty,
        }
    }

    pub(super) fn on_overrun(&mut self, id: DialogId, overrun: Overrun) {
        if self.dialogs.get_mut(&id).is_some_and(|dialog| dialog.on_overrun(overrun)) {
            self.queue_control(id);
        }
    }

    pub(super) fn discard(&mut self, id: DialogId, done: bool) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        let tell = done && !dialog.has_told_done();
        let credit = dialog.discard(done);
        let sends = dialog.inc == Half::Open && dialog.life != Life::Done;
        if (credit || tell) && sends {
            dialog.control.credit |= credit;
            dialog.control.done |= tell;
            self.queue_control(id);
        }
    }
}
