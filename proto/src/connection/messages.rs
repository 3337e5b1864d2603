//! What each message of a dialog does, once the dialog's own judge has let it pass (P-A1).

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::receive::Judged;
use super::{Connection, Event, LinkKind};
use crate::dialog::step::{Act, Refused};
use crate::dialog::tables::{Life, LifeStep};
use crate::dialog::{MAX_CANCELS, Side, cost_of};
use crate::error::Violation;
use crate::id::DialogId;
use crate::report::{CancelRequest, Cause, Failure, Outcome};
use crate::time::Instant;
use crate::wire::body::{self, Credit, Done, StartAck};
use crate::wire::{CONTINUED, Frame, Tag};

impl Connection {
    /// A message of a dialog that exists, or that no longer does (P-D5).
    pub(super) fn on_dialog(&mut self, now: Instant, tag: Tag, frame: &Frame<'_>) -> Judged {
        let id = frame.dialog;
        if id.is_actor() && self.config.kind == LinkKind::Peer {
            return self.on_peer_actor(now, tag, frame.body);
        }
        let live = self
            .dialogs
            .get(&id)
            .is_some_and(|dialog| dialog.life != Life::Done && !dialog.is_unwritten());
        match (live, self.is_ours(id)) {
            (true, ours) => {
                let peer = if ours { Side::Callee } else { Side::Opener };
                self.on_message(peer, tag, frame)
            }
            (false, true) => Err(self.violation(tag, "P-D5", "no such dialog is open")),
            // What crossed our terminal is dropped and counted, where it can have been honest.
            (false, false) if self.was_opened(id) && crosses(tag) => {
                self.charge_frame(frame.size, tag.name())
            }
            (false, false) => Err(self.violation(tag, "P-D5", "its dialog is not open")),
        }
    }

    fn on_message(&mut self, peer: Side, tag: Tag, frame: &Frame<'_>) -> Judged {
        let id = frame.dialog;
        match tag {
            Tag::StartAck => self.on_start_ack(peer, id, frame.body),
            Tag::Started => self.on_started(peer, frame),
            Tag::Yield => self.on_yield(peer, frame),
            Tag::Stop => self.on_stop(peer, id),
            Tag::Return => self.on_return(peer, frame),
            Tag::Error => self.on_error(peer, id, frame.body),
            Tag::Cancel => self.on_cancel(peer, id, frame.body),
            Tag::CancelAck => {
                self.step(id, peer, Act::CancelAck, tag)?;
                self.events.push_back(Event::CancelAcked(id));
                // A shorter one may have waited for it.
                self.queue_control(id);
                Ok(())
            }
            Tag::Credit => self.on_credit(id, frame.body),
            Tag::Hello | Tag::Start | Tag::Ping | Tag::Pong | Tag::Goodbye => {
                Err(self.violation(tag, "P-D2", "it is no message of a dialog"))
            }
        }
    }

    /// The peer takes a step, or breaks the protocol.
    fn step(&mut self, id: DialogId, by: Side, act: Act, tag: Tag) -> Judged {
        match self.dialogs.get_mut(&id).map(|dialog| dialog.step(by, act)) {
            None | Some(Ok(())) => Ok(()),
            Some(Err(refused)) => Err(self.refused(id, tag, refused)),
        }
    }

    /// Whether the peer may take it, where the message may not be whole yet.
    fn permits(&self, id: DialogId, by: Side, act: Act, tag: Tag) -> Judged {
        match self.dialogs.get(&id).map(|dialog| dialog.permits(by, act)) {
            None | Some(Ok(())) => Ok(()),
            Some(Err(refused)) => Err(self.refused(id, tag, refused)),
        }
    }

    fn refused(&self, id: DialogId, tag: Tag, refused: Refused) -> Violation {
        let state = self.dialogs.get(&id).map_or("ended", |dialog| dialog.phase());
        Violation::new(tag.name(), refused.rule(), state, refused.words())
    }

    fn on_start_ack(&mut self, peer: Side, id: DialogId, content: &[u8]) -> Judged {
        let tag = Tag::StartAck;
        let ack = StartAck::take(content)?;
        if self.dialogs.get(&id).is_some_and(|dialog| dialog.kind != ack.kind) {
            return Err(self.violation(tag, "P-D2", "it names another kind"));
        }
        if ack.credit < crate::limits::Limits::FLOOR {
            return Err(self.violation(tag, "P-W1", "its window is below the floor"));
        }
        if self.dialogs.get(&id).is_some_and(|dialog| dialog.has_data()) {
            return Err(self.violation(tag, "P-D2", "the arguments are not whole yet"));
        }
        self.step(id, peer, Act::StartAck, tag)?;
        if let Some(dialog) = self.dialogs.get_mut(&id) {
            let spent = i64::try_from(dialog.args_cost).unwrap_or(i64::MAX);
            dialog.ceiling = i64::from(ack.credit);
            dialog.balance = dialog.ceiling.saturating_sub(spent);
        }
        self.events.push_back(Event::Accepted(id));
        Ok(())
    }

    /// Takes a message's cost off what its sender may still send (P-W1).
    fn spend(&mut self, tag: Tag, frame: &Frame<'_>) -> Judged {
        let cost = i64::try_from(cost_of(frame.size, 1)).unwrap_or(i64::MAX);
        let begins = frame.flags & CONTINUED == 0;
        // Words cost an allocation, so they are found for a fault alone.
        let state = self.state();
        let Some(dialog) = self.dialogs.get_mut(&frame.dialog) else { return Ok(()) };
        if begins && dialog.allowance <= 0 {
            return Err(Violation::new(tag.name(), "P-W1", state, "it begins without credit"));
        }
        dialog.allowance = dialog.allowance.saturating_sub(cost);
        if frame.descriptors > 0 {
            let cost = dialog.cost_of_descriptors(tag, frame.descriptors);
            let cost = i64::try_from(cost).unwrap_or(i64::MAX);
            dialog.allowance = dialog.allowance.saturating_sub(cost);
        }
        Ok(())
    }

    fn on_started(&mut self, peer: Side, frame: &Frame<'_>) -> Judged {
        let (id, tag) = (frame.dialog, Tag::Started);
        self.permits(id, peer, Act::Started, tag)?;
        self.spend(tag, frame)?;
        let Some(first) = self.assemble(id, tag, frame.flags, frame.body)? else { return Ok(()) };
        let passed = self.passing.whole.take();
        self.step(id, peer, Act::Started, tag)?;
        let Some(dialog) = self.dialogs.get_mut(&id) else { return Ok(()) };
        if dialog.released {
            dialog.control.credit |= dialog.consumed(first.1);
            self.queue_control(id);
        } else {
            dialog.first = Some(first);
            dialog.passed = passed;
            self.events.push_back(Event::Started(id));
        }
        Ok(())
    }

    fn on_yield(&mut self, peer: Side, frame: &Frame<'_>) -> Judged {
        let (id, tag) = (frame.dialog, Tag::Yield);
        // A value leaves the direction as it is (P-D7): that it may come is all there is to it.
        self.permits(id, peer, Act::Yield, tag)?;
        self.spend(tag, frame)?;
        let whole = self.assemble(id, tag, frame.flags, frame.body)?;
        let Some((value, cost)) = whole else { return Ok(()) };
        let passed = self.passing.whole.take();
        let Some(dialog) = self.dialogs.get_mut(&id) else { return Ok(()) };
        if dialog.keeps() {
            if dialog.inbox.is_empty() {
                self.events.push_back(Event::Readable(id));
            }
            let out = &mut self.out;
            if dialog.keep(value, cost, passed, |old| out.spare.recycle(old)) {
                self.queue_control(id);
            }
            return Ok(());
        }
        self.out.spare.recycle(value);
        if dialog.consumed(cost) {
            dialog.control.credit = true;
            self.queue_control(id);
        }
        Ok(())
    }

    fn on_stop(&mut self, peer: Side, id: DialogId) -> Judged {
        self.whole_before(id, Tag::Stop)?;
        self.step(id, peer, Act::Stop, Tag::Stop)?;
        self.events.push_back(Event::Readable(id));
        Ok(())
    }

    /// Nothing breaks into a message that is not whole (P-F3).
    fn whole_before(&self, id: DialogId, tag: Tag) -> Judged {
        if self.dialogs.get(&id).is_some_and(|dialog| dialog.partial.is_some()) {
            return Err(self.violation(tag, "P-F3", "it breaks into a message that is not whole"));
        }
        Ok(())
    }

    fn on_return(&mut self, peer: Side, frame: &Frame<'_>) -> Judged {
        let (id, tag) = (frame.dialog, Tag::Return);
        self.permits(id, peer, Act::Return, tag)?;
        if let Some((value, _)) = self.assemble(id, tag, frame.flags, frame.body)? {
            let passed = self.passing.whole.take();
            if let Some(dialog) = self.dialogs.get_mut(&id) {
                dialog.passed_end = passed;
            }
            self.terminal(id, Outcome::Returned(value));
        }
        Ok(())
    }

    fn on_error(&mut self, peer: Side, id: DialogId, content: &[u8]) -> Judged {
        let tag = Tag::Error;
        let (failure, payload) = body::take_first::<Failure>(content, tag.name())?;
        self.whole_before(id, tag)?;
        let act = match &failure {
            Failure::Refused(..) => Act::Refused,
            Failure::Cancelled(_) => Act::Cancelled,
            Failure::Failed(_) => Act::Failed,
        };
        self.permits(id, peer, act, tag)?;
        if act != Act::Failed && !payload.is_empty() {
            return Err(self.violation(tag, "P-F4", "bytes trail behind it"));
        }
        let limits = &self.config.limits;
        let outcome = match failure {
            Failure::Refused(refusal, text) => Outcome::Refused(refusal, text),
            Failure::Cancelled(mut by) => {
                bound(&mut by.cause, limits);
                Outcome::Cancelled(by)
            }
            Failure::Failed(mut report) => {
                report.truncate(limits);
                Outcome::Failed { report, payload: payload.to_vec() }
            }
        };
        self.terminal(id, outcome);
        Ok(())
    }

    /// The dialog is over at its opener: nothing of it is left to be written (P-D5).
    fn terminal(&mut self, id: DialogId, outcome: Outcome) {
        self.forget_wait(id);
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        if dialog.outcome.is_none() {
            dialog.outcome = Some(outcome);
            self.events.push_back(Event::Finished(id));
        }
        dialog.end(LifeStep::Finish);
        self.ours = self.ours.saturating_sub(1);
        if dialog.released {
            self.remove(id);
        }
    }

    fn on_cancel(&mut self, peer: Side, id: DialogId, content: &[u8]) -> Judged {
        let tag = Tag::Cancel;
        let mut request: CancelRequest = body::take(content, tag.name())?;
        let free = self.dialogs.get_mut(&id).is_none_or(|dialog| {
            let known = dialog.request.as_ref().map(|known| known.grace);
            let says_more = known.is_none_or(|known| request.grace < known);
            says_more && dialog.cancels < MAX_CANCELS
        });
        if !free {
            self.charge_frame(content.len(), tag.name())?;
        }
        self.step(id, peer, Act::Cancel, tag)?;
        bound(&mut request.by.cause, &self.config.limits);
        let Some(dialog) = self.dialogs.get_mut(&id) else { return Ok(()) };
        dialog.cancels = dialog.cancels.saturating_add(u8::from(free));
        let known = dialog.request.get_or_insert_with(|| Box::new(request.clone()));
        known.grace = known.grace.min(request.grace);
        if dialog.finished {
            // They have crossed (P-C6). The terminal answers it too, but may be long under way; where
            // no `StartAck` will come it is one frame.
            dialog.control.cancel_ack = dialog.life != Life::Opening;
            self.queue_control(id);
            return Ok(());
        }
        if !dialog.arrived {
            // The arguments are not whole and never will be: no task, no `StartAck` (P-D2).
            self.finish_with(id, Failure::Cancelled(request.by), Vec::new());
            if id.is_actor() {
                self.events.push_back(Event::Finished(id));
            }
            return Ok(());
        }
        dialog.control.cancel_ack = true;
        self.queue_control(id);
        self.events.push_back(Event::CancelAsked(id));
        self.events.push_back(Event::Readable(id));
        Ok(())
    }

    fn on_credit(&mut self, id: DialogId, content: &[u8]) -> Judged {
        let tag = Tag::Credit;
        let credit = Credit::take(content)?;
        let state = self.state();
        let Some(dialog) = self.dialogs.get_mut(&id) else { return Ok(()) };
        let news = credit.bytes > 0 || (credit.done != Done::No && dialog.peer_done == Done::No);
        // After its own cancel the opener sends nothing more, and still gets no more than it gave.
        let balance = dialog.balance.saturating_add(i64::from(credit.bytes));
        if balance > dialog.ceiling {
            let what = "it gives back more than was taken";
            return Err(Violation::new(tag.name(), "P-W1", state, what));
        }
        dialog.balance = balance;
        if dialog.peer_done == Done::No {
            dialog.peer_done = credit.done;
        }
        if dialog.wants_credit && (dialog.has_room() || dialog.peer_done != Done::No) {
            dialog.wants_credit = false;
            self.events.push_back(Event::Writable(id));
        }
        // Only what says something is free (P-A4).
        if news { Ok(()) } else { self.charge_frame(content.len(), tag.name()) }
    }
}

/// Whether an opener may have sent it before it heard of the terminal.
const fn crosses(tag: Tag) -> bool {
    matches!(tag, Tag::Yield | Tag::Stop | Tag::Cancel | Tag::Credit)
}

fn bound(cause: &mut Cause, limits: &crate::limits::Limits) {
    if let Cause::OpenerFailed(report) = cause {
        report.truncate(limits);
    }
}
