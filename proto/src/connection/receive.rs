//! What each message may do in each state. A frame is judged whole before anything changes (P-A1).

use alloc::format;
use alloc::vec::Vec;

use super::{Connection, Event, GoodbyeReason, LinkKind, Phase};
use crate::dialog::tables::{Cancel, CancelStep, Half, HalfStep, Life, LifeStep};
use crate::dialog::{Kind, Reading, Side};
use crate::error::Violation;
use crate::id::DialogId;
use crate::limits::Limits;
use crate::report::{CancelRequest, Failure, Outcome};
use crate::time::Instant;
use crate::wire::body::{self, Credit, StartAck};
use crate::wire::deframer::Deframer;
use crate::wire::hello::Hello;
use crate::wire::{CONTINUED, Frame, Tag};

pub(super) type Judged = Result<(), Violation>;

impl Connection {
    /// Bytes have arrived, in any split.
    pub fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        if self.phase == Phase::Closed || self.eof {
            return;
        }
        self.heard = now;
        self.pinged = None;
        let mut deframer = core::mem::replace(&mut self.deframer, Deframer::new(0));
        let mut input = bytes;
        loop {
            let judged = match deframer.next(&mut input) {
                Ok(None) => break,
                Ok(Some(frame)) => self.frame(now, &frame),
                Err(violation) => Err(violation),
            };
            if let Err(violation) = judged {
                self.broken(violation);
            }
            if self.phase == Phase::Closed {
                break;
            }
            deframer.set_max(self.config.limits.max_frame.max(Limits::FLOOR));
        }
        self.deframer = deframer;
        self.settle();
    }

    fn frame(&mut self, now: Instant, frame: &Frame<'_>) -> Judged {
        let Some(tag) = frame.tag else {
            if self.phase == Phase::Greeting {
                return Err(Violation::new("frame", "P-L1", "greeting", "`Hello` comes first"));
            }
            return self.charge(u64::from(Limits::FRAME_COST), "frame");
        };
        match (self.phase, tag) {
            (Phase::Greeting, Tag::Hello) => self.greeted(frame.body),
            (Phase::Greeting, _) => {
                Err(Violation::new(tag.name(), "P-L1", "greeting", "`Hello` comes first"))
            }
            (_, Tag::Hello) => Err(self.violation(tag, "P-L1", "it is the second")),
            (_, Tag::Start) => self.on_start(frame),
            (_, Tag::Ping) => {
                self.out.pong = true;
                self.charge(u64::from(Limits::FRAME_COST), tag.name())
            }
            (_, Tag::Pong) => Ok(()),
            (_, Tag::Goodbye) => self.on_goodbye(frame.body),
            _ => self.on_dialog(now, tag, frame),
        }
    }

    fn greeted(&mut self, body: &[u8]) -> Judged {
        let hello = Hello::parse(body)?;
        hello.settle()?;
        if hello.role == self.config.role {
            let what = "both ends claim the same role";
            return Err(Violation::new("Hello", "P-L1", "greeting", what));
        }
        if hello.announced.max_frame < Limits::FLOOR {
            let what = "it announces frames below the floor";
            return Err(Violation::new("Hello", "P-F2", "greeting", what));
        }
        let ours = self.announced;
        self.announced.max_frame = ours.max_frame.min(hello.announced.max_frame);
        self.announced.max_message = ours.max_message.min(hello.announced.max_message);
        self.announced.max_dialogs = hello.announced.max_dialogs;
        self.peer = Some(hello.id);
        self.phase = Phase::Open;
        self.handshake = None;
        self.events.push_back(Event::Up);
        Ok(())
    }

    pub(super) fn violation(
        &self,
        tag: Tag,
        rule: &'static str,
        detail: impl Into<alloc::string::String>,
    ) -> Violation {
        Violation::new(tag.name(), rule, self.state(), detail)
    }

    /// Whether a dialog of this number would be one that we open.
    pub(super) fn is_ours(&self, id: DialogId) -> bool {
        match (id.is_actor(), self.config.kind) {
            (true, kind) => kind == LinkKind::Parent,
            (false, _) => id.opener() == self.config.role,
        }
    }

    /// A message of a dialog that exists, or that no longer does.
    fn on_dialog(&mut self, now: Instant, tag: Tag, frame: &Frame<'_>) -> Judged {
        let id = frame.dialog;
        if id.is_actor() && self.config.kind == LinkKind::Peer {
            // Nobody was granted the right to end this actor over a peer's link yet (P-L2).
            self.goodbye(now, GoodbyeReason::NotAllowed);
            return self.charge(u64::from(Limits::FRAME_COST), tag.name());
        }
        let ours = self.is_ours(id);
        match self.dialogs.get(&id) {
            Some(dialog) if ours && dialog.life == Life::Done => {
                Err(self.violation(tag, "P-D5", "its dialog has ended"))
            }
            Some(_) if ours => self.on_opener(tag, frame),
            Some(dialog) if dialog.finished => {
                self.late(tag, frame)?;
                Ok(())
            }
            Some(_) => self.on_callee(tag, frame),
            None if ours => Err(self.violation(tag, "P-D5", "no such dialog is open")),
            None if self.highest.is_some_and(|highest| id.number() <= highest) => {
                self.late(tag, frame)
            }
            None => Err(self.violation(tag, "P-D5", "no such dialog was opened")),
        }
    }

    /// What crossed our terminal is dropped and counted, where it can have been honest (P-D5).
    fn late(&mut self, tag: Tag, frame: &Frame<'_>) -> Judged {
        match tag {
            Tag::Yield | Tag::Stop | Tag::Cancel | Tag::Credit => {
                self.charge(frame_cost(frame.body), tag.name())
            }
            _ => Err(self.violation(tag, "P-D5", "its dialog has ended")),
        }
    }

    /// A message from the callee of a dialog that we opened.
    fn on_opener(&mut self, tag: Tag, frame: &Frame<'_>) -> Judged {
        let id = frame.dialog;
        match tag {
            Tag::StartAck => self.on_start_ack(id, frame.body),
            Tag::Started => self.on_started(frame),
            Tag::Yield => self.on_yield(frame),
            Tag::Stop => self.on_stop(id),
            Tag::Return => self.on_return(frame),
            Tag::Error => self.on_error(id, frame.body),
            Tag::CancelAck => self.on_cancel_ack(id),
            Tag::Credit => self.on_credit(id, frame.body),
            _ => Err(self.violation(tag, "P-D2", "a callee does not send it")),
        }
    }

    /// A message from the opener of a dialog that we serve.
    fn on_callee(&mut self, tag: Tag, frame: &Frame<'_>) -> Judged {
        let id = frame.dialog;
        match tag {
            Tag::Yield => self.on_yield(frame),
            Tag::Stop => self.on_stop(id),
            Tag::Cancel => self.on_cancel(id, frame.body),
            Tag::Credit => self.on_credit(id, frame.body),
            _ => Err(self.violation(tag, "P-D3", "an opener does not send it")),
        }
    }

    /// Legal once for every `Cancel` that was written: acks of repeats may come one by one (P-C1).
    fn on_cancel_ack(&mut self, id: DialogId) -> Judged {
        let refuse = self.violation(Tag::CancelAck, "P-C1", "no cancel waits for it");
        let Some(dialog) = self.dialogs.get_mut(&id) else { return Ok(()) };
        let Some(left) = dialog.unacked.checked_sub(1) else { return Err(refuse) };
        dialog.unacked = left;
        if dialog.cancel.step(CancelStep::Ack) {
            self.events.push_back(Event::CancelAcked(id));
        }
        Ok(())
    }

    fn on_start_ack(&mut self, id: DialogId, body: &[u8]) -> Judged {
        let ack: StartAck = body::take(body, "StartAck")?;
        let refuse = self.violation(Tag::StartAck, "P-D2", "it is not the first answer");
        let Some(dialog) = self.dialogs.get_mut(&id) else { return Ok(()) };
        if dialog.kind != ack.kind || !dialog.life.step(LifeStep::Ack) {
            return Err(refuse);
        }
        let spent = i64::try_from(dialog.args_cost).unwrap_or(i64::MAX);
        dialog.ceiling = i64::from(ack.credit);
        dialog.balance = dialog.ceiling.saturating_sub(spent);
        self.events.push_back(Event::Accepted(id));
        Ok(())
    }

    /// Takes a message's cost off what its sender may still send (P-W1).
    fn spend(&mut self, tag: Tag, frame: &Frame<'_>) -> Judged {
        let cost = i64::try_from(frame_cost(frame.body)).unwrap_or(i64::MAX);
        let begins = frame.flags & CONTINUED == 0;
        let refuse = self.violation(tag, "P-W1", "it begins without credit");
        let Some(dialog) = self.dialogs.get_mut(&frame.dialog) else { return Ok(()) };
        if begins && dialog.allowance <= 0 {
            return Err(refuse);
        }
        dialog.allowance = dialog.allowance.saturating_sub(cost);
        Ok(())
    }

    fn on_started(&mut self, frame: &Frame<'_>) -> Judged {
        let id = frame.dialog;
        let legal = self.dialogs.get(&id).is_some_and(|dialog| {
            matches!(dialog.kind, Kind::Context | Kind::Actor) && dialog.life == Life::Accepted
        });
        if !legal {
            return Err(self.violation(Tag::Started, "P-D2", "its dialog cannot start now"));
        }
        self.spend(Tag::Started, frame)?;
        let whole = self.assemble(id, Tag::Started, frame.flags, frame.body)?;
        if let (Some(first), Some(dialog)) = (whole, self.dialogs.get_mut(&id)) {
            let _ = dialog.life.step(LifeStep::Started);
            dialog.first = Some(first);
            self.events.push_back(Event::Started(id));
        }
        Ok(())
    }

    fn on_yield(&mut self, frame: &Frame<'_>) -> Judged {
        let id = frame.dialog;
        let legal = self.dialogs.get(&id).is_some_and(|dialog| {
            let flowing = match dialog.kind {
                Kind::Context => dialog.life == Life::Live,
                Kind::Stream => dialog.side == Side::Opener && dialog.life == Life::Accepted,
                Kind::Call | Kind::Actor => false,
            };
            flowing && dialog.inc == Half::Open
        });
        if !legal {
            return Err(self.violation(Tag::Yield, "P-D2", "its direction is not open"));
        }
        self.spend(Tag::Yield, frame)?;
        let whole = self.assemble(id, Tag::Yield, frame.flags, frame.body)?;
        let Some((value, cost)) = whole else { return Ok(()) };
        let Some(dialog) = self.dialogs.get_mut(&id) else { return Ok(()) };
        let _ = dialog.inc.step(HalfStep::Yield);
        if dialog.reading == Reading::Kept {
            if dialog.inbox.is_empty() {
                self.events.push_back(Event::Readable(id));
            }
            dialog.inbox.push_back((value, cost));
        } else if dialog.consumed(cost) {
            dialog.control.credit = true;
            self.queue_control(id);
        }
        Ok(())
    }

    fn on_stop(&mut self, id: DialogId) -> Judged {
        let legal = self.dialogs.get_mut(&id).is_some_and(|dialog| {
            let flowing = match dialog.kind {
                Kind::Context => dialog.life == Life::Live,
                Kind::Stream => dialog.side == Side::Opener && dialog.life == Life::Accepted,
                Kind::Call | Kind::Actor => false,
            };
            flowing && dialog.partial.is_none() && dialog.inc.step(HalfStep::Stop)
        });
        if !legal {
            return Err(self.violation(Tag::Stop, "P-D3", "its direction is not open"));
        }
        self.events.push_back(Event::Readable(id));
        Ok(())
    }

    fn on_return(&mut self, frame: &Frame<'_>) -> Judged {
        let id = frame.dialog;
        let legal = self.dialogs.get(&id).is_some_and(|dialog| match dialog.kind {
            Kind::Context | Kind::Actor => dialog.life == Life::Live,
            Kind::Call | Kind::Stream => dialog.life == Life::Accepted,
        });
        if !legal {
            return Err(self.violation(Tag::Return, "P-D2", "its dialog cannot return now"));
        }
        let whole = self.assemble(id, Tag::Return, frame.flags, frame.body)?;
        if let Some((value, _)) = whole {
            self.terminal(id, Outcome::Returned(value));
        }
        Ok(())
    }

    fn on_error(&mut self, id: DialogId, body: &[u8]) -> Judged {
        let (failure, payload) = postcard::take_from_bytes::<Failure>(body)
            .map_err(|error| self.violation(Tag::Error, "P-F4", format!("{error}")))?;
        let outcome = match failure {
            Failure::Refused(refusal, message) => Outcome::Refused(refusal, message),
            Failure::Cancelled(by) => Outcome::Cancelled(by),
            Failure::Failed(report) => Outcome::Failed { report, payload: payload.to_vec() },
        };
        self.terminal(id, outcome);
        Ok(())
    }

    fn on_cancel(&mut self, id: DialogId, body: &[u8]) -> Judged {
        let request: CancelRequest = body::take(body, "Cancel")?;
        let Some(dialog) = self.dialogs.get_mut(&id) else { return Ok(()) };
        if !dialog.arrived {
            // The arguments are not whole and never will be: no task, no `StartAck` (P-D2).
            dialog.partial = None;
            dialog.request = Some(request.clone());
            self.finish_with(id, &Failure::Cancelled(request.by), Vec::new());
            return Ok(());
        }
        let repeat = dialog.request.is_some();
        dialog.ask();
        dialog.control.cancel_ack = true;
        let known = dialog.request.get_or_insert_with(|| request.clone());
        known.grace = known.grace.min(request.grace);
        self.queue_control(id);
        self.events.push_back(Event::CancelAsked(id));
        self.events.push_back(Event::Readable(id));
        if repeat { self.charge(u64::from(Limits::FRAME_COST), "Cancel") } else { Ok(()) }
    }

    fn on_credit(&mut self, id: DialogId, body: &[u8]) -> Judged {
        let credit: Credit = body::take(body, "Credit")?;
        let refuse = self.violation(Tag::Credit, "P-W1", "it gives back more than was taken");
        let Some(dialog) = self.dialogs.get_mut(&id) else { return Ok(()) };
        // After its own cancel the opener's balance is dead (P-D3).
        if dialog.side == Side::Callee || dialog.cancel == Cancel::Idle {
            let balance = dialog.balance.saturating_add(i64::from(credit.bytes));
            if balance > dialog.ceiling {
                return Err(refuse);
            }
            dialog.balance = balance;
        }
        dialog.peer_done |= credit.done;
        if dialog.wants_credit && (dialog.balance > 0 || dialog.peer_done) {
            dialog.wants_credit = false;
            self.events.push_back(Event::Writable(id));
        }
        Ok(())
    }

    fn on_goodbye(&mut self, body: &[u8]) -> Judged {
        let reason: GoodbyeReason = body::take(body, "Goodbye")?;
        if core::mem::replace(&mut self.goodbye_received, true) {
            return Err(self.violation(Tag::Goodbye, "P-L3", "it is the second"));
        }
        self.drain = None;
        self.events.push_back(Event::Goodbye(reason));
        if self.config.kind == LinkKind::Parent {
            // At once, so that the child can close first and lose nothing (P-L3).
            self.say_goodbye(GoodbyeReason::LinkOnly);
        }
        Ok(())
    }
}

pub(super) fn frame_cost(payload: &[u8]) -> u64 {
    let size = u64::try_from(payload.len()).unwrap_or(u64::MAX);
    size.saturating_add(u64::from(Limits::FRAME_COST))
}
