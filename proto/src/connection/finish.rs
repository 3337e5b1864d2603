//! Terminals on their way out: an error is one frame at most, and a peer that reads it learns what
//! was cut (P-F3).

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::outbox::message;
use super::{Connection, Event, Terminal};
use crate::dialog::step::Act;
use crate::dialog::tables::LifeStep;
use crate::dialog::{Control, Outgoing, Side};
use crate::error::Misuse;
use crate::id::DialogId;
use crate::limits::Limits;
use crate::passed::Passed;
use crate::report::{Cancelled, Cause, Code, Failure, Outcome, Refusal, Report};
use crate::wire::{Tag, body};

/// Room for what stands around a report in its frame, names cut to this included.
const AROUND: usize = 320;

impl Connection {
    /// The callee's task is gone; this is what it came to (P-D4).
    pub(super) fn end(&mut self, id: DialogId, terminal: Terminal, passed: Passed) {
        self.accept(id);
        let max = self.max_message();
        let Some(dialog) = self.dialogs.get(&id) else { return };
        match terminal {
            Terminal::Return(value) => {
                let size = value.len();
                let carried = passed.is_none().then_some(Ok(()));
                let carried = carried.unwrap_or_else(|| self.may_pass(&passed));
                let refused = match dialog.permits(Side::Callee, Act::Return) {
                    Ok(()) if size <= max => carried.err().map(Misuse::from),
                    Ok(()) => Some(Misuse::TooLarge { size, max }),
                    Err(refused) => Some(refused.into()),
                };
                match refused {
                    None => {
                        let mut value = message(Tag::Return, value);
                        if !passed.is_none() {
                            value.carry(passed);
                        }
                        self.finish(id, value);
                    }
                    Some(misuse) => self.fail(id, Code::Misuse, misuse.to_string()),
                }
            }
            Terminal::Failed { report, payload } => {
                self.finish_with(id, Failure::Failed(report), payload);
            }
            Terminal::Cancelled(by) => {
                self.finish_with(id, Failure::Cancelled(by), Vec::new());
            }
        }
    }

    /// The task will not run: the error stands alone (P-D2). One that was accepted has failed.
    pub(super) fn refuse(&mut self, id: DialogId, refusal: Refusal, mut text: String) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        if dialog.permits(Side::Callee, Act::Refused).is_err() {
            return self.fail(id, Code::Refused, text);
        }
        dialog.control = Control { queued: dialog.control.queued, ..Control::default() };
        cut(&mut text, self.chunk() / 2);
        self.finish_with(id, Failure::Refused(refusal, text), Vec::new());
    }

    fn fail(&mut self, id: DialogId, code: Code, text: String) {
        let report = self.report(id, code, text);
        self.finish_with(id, Failure::Failed(report), Vec::new());
    }

    /// A failure that arises in the core. Users count theirs up from 1; these have the highest bit,
    /// the link and the dialog, so that no two failures of an actor are taken for one.
    fn report(&self, id: DialogId, code: Code, text: String) -> Box<Report> {
        let origin = self.config.me.clone();
        let link = self.peer.as_ref().map_or(0, |peer| u64::from(peer.uuid as u32));
        let number = 1 << 63 | link << 32 | u64::from(id.number() as u32);
        Box::new(Report::new((origin.uuid, number), code, origin, text))
    }

    /// A `Start` of which nothing was written is taken back (P-W4), and with dialog 0 those that wait
    /// for it: its child serves nothing before it (P-L2).
    pub(super) fn withdraw(&mut self, id: DialogId, outcome: Outcome) {
        self.withdraw_one(id, outcome.clone());
        if id.is_actor() {
            self.actor_opened = false;
            for id in self.out.take_starts() {
                self.withdraw_one(id, outcome.clone());
            }
        }
        // It may have been the last that a `Goodbye` waited for (P-L3).
        self.settle();
    }

    fn withdraw_one(&mut self, id: DialogId, outcome: Outcome) {
        self.out.withdraw(id);
        self.ours = self.ours.saturating_sub(1);
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        dialog.outcome = Some(outcome);
        dialog.end(LifeStep::Lose);
        self.events.push_back(Event::Finished(id));
        if dialog.released {
            self.remove(id);
        }
    }

    /// What was asked for before the greeting, with more arguments than the peer turns out to take or
    /// with descriptors, fails here and not on the wire (P-F3, P-F6).
    pub(super) fn refuse_oversized(&mut self) {
        let max = self.max_message();
        let sized = self.dialogs.iter().filter_map(|(id, dialog)| {
            let start = dialog.queue.front()?;
            let size = start.payload.left();
            if size > max {
                return Some((id, Misuse::TooLarge { size, max }));
            }
            let carried = !start.passed.is_none();
            carried.then(|| Some((id, self.may_pass(&start.passed).err()?.into()))).flatten()
        });
        for (id, misuse) in sized.collect::<Vec<_>>() {
            let text = misuse.to_string();
            let (report, payload) = (self.report(id, Code::Misuse, text), Vec::new());
            self.withdraw(id, Outcome::Failed { report, payload });
        }
    }

    pub(super) fn finish_with(&mut self, id: DialogId, mut failure: Failure, payload: Vec<u8>) {
        let room = self.chunk();
        let limits = &self.config.limits;
        // The typed form goes along where the report still has half of the frame.
        let fits = payload.len() <= room / 2;
        match &mut failure {
            Failure::Failed(report) => {
                let taken = if fits { payload.len() } else { 0 };
                fit(report, limits, room.saturating_sub(taken.saturating_add(8)));
                report.truncated |= !fits;
            }
            Failure::Cancelled(by) => fit_cancelled(by, limits, room),
            Failure::Refused(..) => {}
        }
        let mut error = message(Tag::Error, if fits { payload } else { Vec::new() });
        body::put(&mut error.head, &failure);
        self.finish(id, error);
    }

    /// Queues the terminal behind what the task sent, whatever credit there is (P-W2); what still
    /// arrives is dropped and credited until it is written (P-D8).
    fn finish(&mut self, id: DialogId, terminal: Outgoing) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        if core::mem::replace(&mut dialog.finished, true) {
            return;
        }
        if let Some(cost) = dialog.start.take().map(|start| start.cost) {
            dialog.owed = dialog.owed.saturating_add(cost);
        }
        if let Some(partial) = &mut dialog.partial {
            partial.bytes = Vec::new();
            partial.passed = Passed::NONE;
        }
        dialog.passed = Passed::NONE;
        dialog.control.credit |= dialog.discard(false);
        if dialog.control.credit {
            self.queue_control(id);
        }
        self.queue_data(id, terminal);
        if id.is_actor() {
            self.actor_over = true;
        }
    }

    /// The callee's terminal is written: the dialog is free (P-D5).
    pub(super) fn flushed(&mut self, id: DialogId) {
        let Some(dialog) = self.dialogs.get(&id) else { return };
        let (refused, allowance) = (dialog.refused, dialog.allowance);
        self.remove(id);
        if refused {
            self.refusals = self.refusals.saturating_sub(1);
        } else {
            self.theirs = self.theirs.saturating_sub(1);
            // What the peer may send before it hears of this is honest (P-A4).
            let honest = self.late(allowance.max(0).unsigned_abs());
            self.budget = self.budget.saturating_add(honest).min(self.most_budget());
        }
        self.events.push_back(Event::Flushed(id));
    }

    /// What late frames of a dialog may cost whose opener has this balance left: a message that was
    /// begun, and some control frames.
    fn late(&self, balance: u64) -> u64 {
        let control = 8 * u64::from(Limits::FRAME_COST);
        balance.saturating_add(self.cost(self.max_message()).unsigned_abs()).saturating_add(control)
    }

    /// A peer has no more slots whose end it has not heard of than it may hold (P-W5): beyond what
    /// all of these are worth nothing that comes late is honest.
    fn most_budget(&self) -> u64 {
        let limits = &self.config.limits;
        let each = self.late(u64::from(limits.window));
        let all = each.saturating_mul(u64::from(limits.max_dialogs));
        limits.budget().saturating_add(all)
    }
}

/// Cuts a report until it has at most `room` bytes, whatever is in it.
fn fit(report: &mut Report, limits: &Limits, room: usize) {
    report.truncate_to(limits, room);
    if report.encoded_len() > room {
        let mut origin = report.origin.clone();
        cut(&mut origin.name, AROUND / 5);
        *report = Report::new(report.id, report.code, origin, "…".to_string());
        report.truncated = true;
    }
}

/// The same for a cancel, whose cause may carry a report.
pub(super) fn fit_cancelled(by: &mut Cancelled, limits: &Limits, room: usize) {
    cut(&mut by.canceller.name, AROUND - 64);
    if let Cause::OpenerFailed(report) = &mut by.cause {
        fit(report, limits, room.saturating_sub(AROUND));
    }
}

/// Cuts a text to `max` bytes, with a mark.
pub(super) fn cut(text: &mut String, max: usize) {
    if text.len() > max {
        let mut end = max.saturating_sub('…'.len_utf8());
        while !text.is_char_boundary(end) {
            end = end.saturating_sub(1);
        }
        text.truncate(end);
        text.push('…');
    }
}
