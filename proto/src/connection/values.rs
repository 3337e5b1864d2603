//! Values of a dialog at the side that sends or reads them: what may be sent now and what it costs, and
//! what there is to read. How they travel is decided elsewhere.

use alloc::vec::Vec;

use super::outbox::{Outbox, message};
use super::transmit::GATHERED;
use super::{Connection, Recv};
use crate::dialog::payload::Payload;
use crate::dialog::tables::{Half, Life};
use crate::dialog::{Dialog, Overrun, Reading, cost};
use crate::error::{Misuse, SendError};
use crate::id::DialogId;
use crate::slice::Slice;
use crate::wire::Tag;
use crate::wire::hello::Announced;

impl Connection {
    pub(super) fn send(&mut self, id: DialogId, value: &[u8]) -> Result<(), SendError> {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return Err(SendError::Ended) };
        self.out.send(id, dialog, &self.announced, value)
    }

    pub(super) fn send_run<'v>(
        &mut self,
        id: DialogId,
        values: impl IntoIterator<Item = &'v [u8]>,
    ) -> Result<usize, SendError> {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return Err(SendError::Ended) };
        let mut sent = 0;
        for value in values {
            match self.out.send(id, dialog, &self.announced, value) {
                Ok(()) => sent += 1,
                // Whoever has one left over asks for it again.
                Err(refused) if sent == 0 => return Err(refused),
                Err(_) => break,
            }
        }
        Ok(sent)
    }

    #[inline]
    pub(super) fn send_from(&mut self, id: DialogId, value: &mut Vec<u8>) -> Result<(), SendError> {
        if value.len() < GATHERED {
            return self.send(id, value);
        }
        let Some(dialog) = self.dialogs.get_mut(&id) else { return Err(SendError::Ended) };
        spend(dialog, &self.announced, value.len())?;
        if !self.out.mute {
            let next = self.out.spare.empty_for(value.len());
            let payload = core::mem::replace(value, next);
            self.out.queue(id, dialog, message(Tag::Yield, payload));
        }
        Ok(())
    }

    pub(super) fn send_with(
        &mut self,
        id: DialogId,
        own: &[u8],
        shared: &mut Vec<(usize, Slice)>,
    ) -> Result<(), SendError> {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return Err(SendError::Ended) };
        let size = shared.iter().fold(own.len(), |sum, (_, slice)| sum.saturating_add(slice.len()));
        spend(dialog, &self.announced, size)?;
        let shared = core::mem::take(shared);
        if !self.out.mute {
            let payload = Payload::with(self.out.spare.filled(own), shared);
            self.out.queue(id, dialog, message(Tag::Yield, payload));
        }
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
        let cost = dialog.inbox.pop(out, |old| spare.recycle(old));
        let lent = core::mem::take(&mut dialog.lent);
        let taken = cost.unwrap_or(0).saturating_add(lent);
        if taken > 0 && dialog.consumed(taken) {
            dialog.control.credit = true;
            self.queue_control(id);
        }
        if cost.is_some() {
            return Recv::Value;
        }
        out.clear();
        let Some(dialog) = self.dialogs.get(&id) else { return Recv::Ended };
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

impl Outbox {
    #[inline]
    fn send(
        &mut self,
        id: DialogId,
        dialog: &mut Dialog,
        announced: &Announced,
        value: &[u8],
    ) -> Result<(), SendError> {
        spend(dialog, announced, value.len())?;
        if self.mute {
            return Ok(());
        }
        if Self::takes_small(dialog, value.len(), announced.chunk()) {
            self.queue_small(id, dialog, value);
        } else {
            let payload = self.spare.filled(value);
            self.queue(id, dialog, message(Tag::Yield, payload));
        }
        Ok(())
    }
}

/// Takes the cost of a value of so many bytes off the balance, where it may be sent (P-W1).
#[inline]
pub(super) fn spend(
    dialog: &mut Dialog,
    announced: &Announced,
    size: usize,
) -> Result<(), SendError> {
    if let Err(refused) = dialog.may_send(size, announced.message()) {
        dialog.wants_credit |= refused == SendError::Full;
        return Err(refused);
    }
    // A value leaves the direction as it is (P-D7).
    let cost = cost(size, announced.chunk());
    dialog.balance = dialog.balance.saturating_sub(i64::try_from(cost).unwrap_or(i64::MAX));
    dialog.unsent = dialog.unsent.saturating_add(cost);
    Ok(())
}
