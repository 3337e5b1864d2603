//! The link's end: by agreement, by end-of-file, by a death, or because the peer broke the protocol.
//! Every open dialog ends exactly once (P-L4).

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Connection, Event, GoodbyeReason, LinkKind, Phase};
use crate::dialog::Side;
use crate::dialog::tables::{Life, LifeStep};
use crate::error::Violation;
use crate::id::DialogId;
use crate::report::{ExitReport, LostCause, Outcome};
use crate::time::Instant;

impl Connection {
    /// Says that we open no more dialogs; the peer's are still answered (P-L3).
    pub fn goodbye(&mut self, _now: Instant, reason: GoodbyeReason) {
        self.say_goodbye(reason);
        self.settle();
    }

    pub(super) fn say_goodbye(&mut self, reason: GoodbyeReason) {
        self.refuses |= reason != GoodbyeReason::LinkOnly;
        if !core::mem::replace(&mut self.goodbye_sent, true) && !self.out.mute {
            self.out.goodbye = Some(reason);
        }
    }

    /// Answers a `Goodbye` once nothing is open, and closes once both have said it and all is
    /// written. A parent reads on until its child has closed (P-L3).
    pub(super) fn settle(&mut self) {
        if !(self.goodbye_sent || self.goodbye_received) || self.phase != Phase::Open {
            return;
        }
        let live = self.ours > 0 || self.theirs > 0;
        if self.goodbye_received && !live {
            self.say_goodbye(GoodbyeReason::LinkOnly);
        }
        let agreed = self.goodbye_sent && self.goodbye_received && !live;
        if agreed && !self.wants_transmit() && self.config.kind != LinkKind::Parent {
            self.finalize(LostCause::Closed);
        }
    }

    /// Nothing more will be read. At a parent, outcomes wait for the child's exit status (P-L4).
    pub fn handle_eof(&mut self, now: Instant) {
        if self.phase == Phase::Closed || core::mem::replace(&mut self.eof, true) {
            return;
        }
        self.passing.forget();
        if self.config.kind != LinkKind::Parent {
            return self.finalize(LostCause::LinkEnded);
        }
        // What the child asked for is cancelled at once; what it was asked for may yet be told why.
        self.lose_all(Some(Side::Callee), &Outcome::Lost(LostCause::LinkEnded));
        self.theirs = 0;
        if self.exit.is_some() || self.ours == 0 {
            self.hold_ended();
        } else {
            self.hold = Some(now + self.config.limits.hold_back);
        }
    }

    /// Nothing more can be written; reading goes on (P-L4).
    pub fn handle_write_closed(&mut self) {
        self.out.mute();
        self.settle();
    }

    /// The child's process has ended. What it sent before is still read, for a bounded time: a
    /// terminal wins over `Died` (P-T3, P-L4).
    pub fn handle_exit(&mut self, now: Instant, exit: ExitReport) {
        if self.phase == Phase::Closed || self.exit.is_some() {
            return;
        }
        self.exit = Some(exit);
        if self.eof {
            self.hold_ended();
        } else {
            self.hold = Some(now + self.config.limits.hold_back);
        }
    }

    pub(super) fn hold_ended(&mut self) {
        self.hold = None;
        match self.exit.clone() {
            Some(exit) => self.finalize_as(&Outcome::Died(Box::new(exit))),
            None => self.finalize(LostCause::LinkEnded),
        }
    }

    /// The peer broke the protocol: it is told where that can be, and this link alone ends (P-L6).
    pub(super) fn broken(&mut self, violation: Violation) {
        if self.phase == Phase::Closed {
            return;
        }
        let told = match self.phase {
            // Who has not proven that it may speak gets no more than a code (P-A6).
            Phase::Greeting => violation.rule.to_string(),
            _ => violation.to_string(),
        };
        self.goodbye_sent = true;
        self.out.goodbye = (!self.out.mute).then_some(GoodbyeReason::Protocol(told));
        self.events.push_back(Event::Broken(violation.clone()));
        self.finalize(LostCause::Protocol(violation.to_string()));
    }

    /// The peer reads nothing more, and says why (P-L6). What a child came to its exit tells.
    pub(super) fn accused(&mut self, why: String) {
        if self.config.kind == LinkKind::Parent {
            return self.handle_write_closed();
        }
        self.finalize(LostCause::Accused(why));
    }

    pub(super) fn finalize(&mut self, cause: LostCause) {
        self.finalize_as(&Outcome::Lost(cause));
    }

    /// Ends every open dialog with this outcome, and the link.
    fn finalize_as(&mut self, outcome: &Outcome) {
        if self.phase == Phase::Closed {
            return;
        }
        self.phase = Phase::Closed;
        self.out.clear();
        self.dialogs.keep_none(&mut self.out.spare);
        self.passing.forget();
        self.waits.clear();
        self.handshake = None;
        self.hold = None;
        self.drain = None;
        self.lose_all(None, outcome);
        self.ours = 0;
        self.theirs = 0;
        self.events.push_back(Event::Closed);
    }

    fn lose_all(&mut self, side: Option<Side>, outcome: &Outcome) {
        let open: Vec<DialogId> = self
            .dialogs
            .iter()
            .filter(|(_, dialog)| dialog.life != Life::Done)
            .filter(|(_, dialog)| side.is_none_or(|side| side == dialog.side))
            .map(|(id, _)| id)
            .collect();
        for id in open {
            self.lose(id, outcome);
        }
    }

    /// One function for a dialog's loss, so that it is told once.
    fn lose(&mut self, id: DialogId, outcome: &Outcome) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        if dialog.side == Side::Opener && !dialog.released {
            if dialog.outcome.is_none() {
                dialog.outcome = Some(outcome.clone());
                self.events.push_back(Event::Finished(id));
            }
            dialog.end(LifeStep::Lose);
            return;
        }
        // Nobody was told of a task whose arguments never were whole.
        if dialog.side == Side::Callee && !dialog.finished && dialog.arrived {
            self.events.push_back(Event::Finished(id));
        }
        self.remove(id);
    }
}
