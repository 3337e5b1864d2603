//! The application at the conforming end: it does what an application may, and knows only what it
//! was told.

use std::hash::{Hash, Hasher};
use std::time::Duration;

use hatchery_proto::wire::Tag;
use hatchery_proto::{
    CancelRequest, Connection, DialogId, Event, Instant, Kind, Names, Recv, Refusal, SendError,
    Terminal,
};

use super::super::pair::{Wish, asked_by, broken};
use super::super::search::Finding;
use super::Plan;

/// What the first cancel leaves; a second one leaves half of it.
pub(super) const GRACE: Duration = Duration::from_secs(4);
/// How long whoever cancelled waits beyond that (P-C1).
pub(super) const BEYOND: Duration = Duration::from_millis(500);

/// What both roles do with a stream: their views have the same methods, and no trait in common.
macro_rules! streams {
    ($user:ident, $plan:ident, $view:ident, $wish:ident) => {
        match $wish {
            Wish::Send => $user.sent_as($view.send($plan.payload(Tag::Yield))),
            Wish::Stop => {
                $user.stopped = true;
                let _ = $view.stop();
            }
            Wish::Recv => $user.got($view.recv(&mut Vec::new())),
            Wish::StopReading => {
                $user.reads_no_more = true;
                $view.stop_reading();
            }
            _ => unreachable!("no wish of this role: {:?}", $wish),
        }
    };
}

/// What the application knows of a dialog.
#[derive(Clone, Debug, Hash)]
pub(super) struct User {
    pub(super) id: u64,
    pub(super) ours: bool,
    pub(super) kind: u8,
    pub(super) accepted: bool,
    /// The context is up, and its first value was taken.
    pub(super) started: bool,
    taken: bool,
    sent: bool,
    stopped: bool,
    /// There was no credit, or nothing to read: a notice will come.
    pub(super) full: bool,
    pub(super) waits: bool,
    read_all: bool,
    reads_no_more: bool,
    pub(super) cancels: u8,
    acked: u8,
    pub(super) asked: bool,
    /// How often it was told that it is over.
    pub(super) finished: u8,
    flushed: u8,
    /// It has ended the dialog, or let go of it.
    pub(super) over: bool,
    /// When its wait for a cancel ends at the latest.
    pub(super) until: Option<u64>,
}

impl User {
    pub(super) fn new(id: DialogId, kind: Kind, ours: bool) -> Self {
        Self {
            id: id.number(),
            ours,
            kind: kind as u8,
            accepted: false,
            started: false,
            taken: false,
            sent: false,
            stopped: false,
            full: false,
            waits: false,
            read_all: false,
            reads_no_more: false,
            cancels: 0,
            acked: 0,
            asked: false,
            finished: 0,
            flushed: 0,
            over: false,
            until: None,
        }
    }

    pub(super) const fn id(&self) -> DialogId {
        DialogId::new(self.id)
    }

    pub(super) fn digest(&self, names: &mut Names, state: &mut impl Hasher) {
        names.of(self.id()).hash(state);
        Self { id: 0, ..self.clone() }.hash(state);
    }

    fn is(&self, kinds: &[Kind]) -> bool {
        kinds.iter().any(|kind| *kind as u8 == self.kind)
    }

    /// Takes a notice about it.
    pub(super) fn hear(&mut self, event: &Event) -> Result<(), Finding> {
        let id = self.id();
        match event {
            Event::Readable(_) => self.waits = false,
            Event::Writable(_) => self.full = false,
            Event::Accepted(_) => self.accepted = true,
            Event::Started(_) => self.started = true,
            Event::CancelAsked(_) => self.asked = true,
            Event::CancelAcked(_) => {
                self.acked += 1;
                if self.acked > self.cancels + u8::from(self.over) {
                    return broken(format!("{id} has more acks than cancels (P-C1)"));
                }
            }
            Event::Finished(_) => {
                (self.waits, self.full) = (false, false);
                self.finished += 1;
                // A task that has ended is told of no more.
                if self.finished > 1 || (self.over && !self.ours) {
                    return broken(format!("{id} ends twice for its application (P-D4)"));
                }
            }
            Event::Flushed(_) => {
                self.flushed += 1;
                if self.flushed > 1 || self.ours || !self.over {
                    return broken(format!("{id} is flushed and did not end so (P-D4)"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// What it may do next.
    pub(super) fn may(&self, plan: &Plan, may: &mut impl FnMut(Wish)) {
        if self.over {
            return;
        }
        if self.ours { self.opener_may(plan, may) } else { self.callee_may(plan, may) }
    }

    fn opener_may(&self, plan: &Plan, may: &mut impl FnMut(Wish)) {
        let over = self.finished > 0;
        if self.started && !self.taken {
            may(Wish::Started);
        }
        let context = self.is(&[Kind::Context]);
        if self.started && !over && context && plan.sends {
            self.may_stream(may);
        }
        let streams = (context && self.started) || (self.is(&[Kind::Stream]) && self.accepted);
        if streams && plan.reads {
            self.may_read(plan, over, may);
        }
        if self.cancels < plan.cancels && !over {
            may(Wish::Cancel);
        }
        if over || plan.drops {
            may(Wish::Release);
        }
    }

    fn callee_may(&self, plan: &Plan, may: &mut impl FnMut(Wish)) {
        if self.finished > 0 {
            return;
        }
        if !self.accepted {
            may(Wish::Accept);
            if !plan.simple {
                may(Wish::Refuse);
            }
            return;
        }
        let context = self.is(&[Kind::Context, Kind::Actor]);
        if context && !self.started {
            may(Wish::Started);
        }
        let sends = self.is(&[Kind::Stream]) || (self.is(&[Kind::Context]) && self.started);
        if sends && plan.sends {
            self.may_stream(may);
        }
        if self.is(&[Kind::Context]) && self.started && plan.reads {
            self.may_read(plan, false, may);
        }
        if !context || self.started {
            may(Wish::Return);
        }
        if !plan.simple {
            may(Wish::Cancelled);
        }
    }

    fn may_stream(&self, may: &mut impl FnMut(Wish)) {
        if !self.full && !self.stopped {
            may(Wish::Send);
            if self.sent {
                may(Wish::Stop);
            }
        }
    }

    fn may_read(&self, plan: &Plan, over: bool, may: &mut impl FnMut(Wish)) {
        if !self.waits && !self.read_all {
            may(Wish::Recv);
        }
        if plan.ceases && !self.reads_no_more && !over {
            may(Wish::StopReading);
        }
    }

    /// What it does where it wants to come to an end.
    pub(super) fn wants(&self, plan: &Plan) -> Option<Wish> {
        let mut found = None;
        self.may(plan, &mut |wish| {
            let ends = match wish {
                Wish::Cancel => self.cancels == 0,
                Wish::Release => self.finished > 0,
                Wish::Refuse | Wish::Cancelled => true,
                Wish::Accept | Wish::Return => plan.simple,
                Wish::Started => plan.simple && !self.ours,
                _ => false,
            };
            if ends && found.is_none() {
                found = Some(wish);
            }
        });
        found
    }

    pub(super) fn act(
        &mut self,
        plan: &Plan,
        core: &mut Connection,
        now: Instant,
        wish: Wish,
    ) -> Result<(), Finding> {
        if self.ours {
            self.open_act(plan, core, now, wish)
        } else {
            self.serve_act(plan, core, wish)
        }
    }

    fn open_act(
        &mut self,
        plan: &Plan,
        core: &mut Connection,
        now: Instant,
        wish: Wish,
    ) -> Result<(), Finding> {
        let Some(mut view) = core.caller(self.id()) else {
            return broken(format!("{} is gone while its opener holds it (P-D9)", self.id()));
        };
        match wish {
            Wish::Started => {
                self.taken = true;
                if view.take_started().is_none() {
                    return broken("there is no first value, though one was announced");
                }
            }
            Wish::Cancel => {
                let grace = GRACE / (1 << u32::from(self.cancels));
                self.cancels += 1;
                view.cancel(now, CancelRequest { by: asked_by(1), grace });
                let until = (now + grace + BEYOND).as_micros();
                // What waits for an actor's end is the ladder's.
                if !self.id().is_actor() {
                    self.until = Some(self.until.map_or(until, |known| known.min(until)));
                }
            }
            Wish::Release => {
                if self.finished > 0 && view.outcome().is_none() {
                    return broken(format!("{} has ended and has no outcome (P-D9)", self.id()));
                }
                self.over = true;
                view.release(now, asked_by(1));
            }
            _ => streams!(self, plan, view, wish),
        }
        Ok(())
    }

    fn serve_act(&mut self, plan: &Plan, core: &mut Connection, wish: Wish) -> Result<(), Finding> {
        let Some(mut view) = core.callee(self.id()) else {
            return broken(format!("{} is gone while its task runs (P-A2)", self.id()));
        };
        match wish {
            Wish::Accept => {
                self.accepted = true;
                if view.take_start().is_none() {
                    return broken("nothing was asked for, though it was announced");
                }
                view.accept();
            }
            Wish::Started => {
                self.started = true;
                if let Err(misuse) = view.started(plan.payload(Tag::Started)) {
                    return broken(format!("it may not start: {misuse}"));
                }
            }
            Wish::Return | Wish::Cancelled => {
                self.over = true;
                view.finish(match wish {
                    Wish::Return => Terminal::Return(plan.payload(Tag::Return).to_vec()),
                    _ => Terminal::Cancelled(asked_by(1)),
                });
            }
            Wish::Refuse => {
                self.over = true;
                view.refuse(Refusal::Unknown, String::new());
            }
            _ => streams!(self, plan, view, wish),
        }
        Ok(())
    }

    fn sent_as(&mut self, taken: Result<(), SendError>) {
        match taken {
            Ok(()) => self.sent = true,
            Err(SendError::Full) => self.full = true,
            Err(_) => self.stopped = true,
        }
    }

    fn got(&mut self, recv: Recv) {
        match recv {
            Recv::Value => {}
            Recv::Empty => self.waits = true,
            Recv::End | Recv::Overrun | Recv::Ended => self.read_all = true,
        }
    }
}
