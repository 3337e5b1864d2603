//! The users of a dialog at both ends, who know only what they were told: whoever found nothing to
//! read or no credit waits until a notice says otherwise, so that a notice too few is a deadlock.

use std::fmt::Write as _;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use hatchery_proto::{
    CancelRequest, Code, DialogId, Event, Kind, Ledger, LostCause, Misuse, Names, Outcome, Recv,
    Refusal, Report, SendError, Terminal,
};

use super::super::search::Finding;
use super::{Action, Fault, NOW, Notes, Plan, TalkPlan, Wish, World, broken, name};
use super::{asked_by, who};
use crate::pair::wish;

/// The grace of a first cancel; each further one has half of that.
const GRACE: Duration = Duration::from_secs(4);
/// Who cancels a callee from elsewhere.
const OTHER: u32 = 7;

/// What a reader knows of its direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Reading {
    /// There may be something.
    #[default]
    Ready,
    /// There was nothing: a notice will come.
    Waiting,
    /// It ended gracefully.
    End,
    /// It ended otherwise.
    Ended,
    /// It wants no more.
    Done,
}

/// What each side does with its values.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Flow {
    sent: usize,
    stopped: bool,
    /// There was no credit: a notice will come.
    full: bool,
    /// Nothing more will be taken.
    shut: bool,
    got: usize,
    reading: Reading,
}

/// The opener's user.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Opener {
    flow: Flow,
    /// It was not allowed to open.
    denied: bool,
    started: bool,
    taken: bool,
    pub(crate) cancels: u8,
    /// The deadline for its cancel has come.
    pub(crate) late: bool,
    pub(crate) acked: u8,
    finished: u8,
    pub(crate) released: bool,
}

/// The callee's user.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Callee {
    flow: Flow,
    pub(crate) told: u8,
    pub(crate) accepted: bool,
    started: bool,
    pub(crate) asked: u8,
    pub(crate) how: Option<How>,
    flushed: u8,
    lost: u8,
}

/// How a callee ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum How {
    Returned,
    Failed,
    Refused,
    Cancelled(u128),
}

/// One dialog, and its users.
#[derive(Clone, Debug)]
pub(crate) struct Talk {
    pub(crate) number: u8,
    pub(crate) id: Option<DialogId>,
    pub(crate) opener_end: usize,
    pub(crate) streams: bool,
    context: bool,
    pub(crate) opener: Opener,
    pub(crate) callee: Callee,
}

impl Talk {
    pub(super) fn new((number, plan): (u8, &TalkPlan)) -> Self {
        Self {
            number,
            id: None,
            opener_end: plan.opener,
            streams: plan.kind != Kind::Call,
            context: plan.kind == Kind::Context,
            opener: Opener::default(),
            callee: Callee::default(),
        }
    }

    /// Of whoever is done, only what the other side is still measured against. `seen` says which of
    /// the two sides is looked at.
    pub(super) fn fingerprint(
        &self,
        names: &mut Names,
        seen: [bool; 2],
        reduced: bool,
        state: &mut impl Hasher,
    ) {
        let (opener, callee) = (&self.opener, &self.callee);
        self.id.map(|id| names.of(id)).hash(state);
        if !reduced {
            return (opener, callee).hash(state);
        }
        let (holds, serves) = (seen[0] && !opener.released, seen[1] && self.serves());
        if holds {
            (opener.denied, opener.started, opener.taken, opener.late).hash(state);
            (opener.flow.full, opener.flow.shut, opener.flow.got, opener.flow.reading).hash(state);
        }
        if seen[0] {
            (opener.released, opener.finished, opener.cancels, opener.acked).hash(state);
        }
        if serves {
            (callee.accepted, callee.started, callee.asked).hash(state);
            (callee.flow.full, callee.flow.shut, callee.flow.got, callee.flow.reading).hash(state);
        }
        if seen[1] {
            (callee.lost, callee.flushed, callee.how.is_some()).hash(state);
        }
        if holds || serves || (seen[1] && callee.told == 0) {
            (opener.flow.sent, opener.flow.stopped, opener.cancels > 0).hash(state);
        }
        if holds || serves {
            (callee.flow.sent, callee.flow.stopped, callee.how).hash(state);
        }
        callee.told.hash(state);
    }

    /// The callee's task runs.
    const fn serves(&self) -> bool {
        self.callee.told > 0 && self.callee.how.is_none() && self.callee.lost == 0
    }

    /// What the user at this end knows.
    pub(super) fn known(&self, end: usize, readable: bool, known: &mut String) {
        let (opener, callee) = (&self.opener, &self.callee);
        let reading = |flow: &Flow| match flow.reading {
            Reading::Ready if !readable => Reading::Waiting,
            reading => reading,
        };
        let _ = if end != self.opener_end && self.serves() {
            let (reading, user) =
                (reading(&callee.flow), Callee { flow: Flow::default(), ..*callee });
            let (sent, got, stopped) = (callee.flow.sent, callee.flow.got, callee.flow.stopped);
            write!(known, "{user:?} {reading:?} {sent} {got} {stopped};")
        } else if end != self.opener_end {
            write!(known, "{:?} {} {};", callee.how, callee.lost, callee.flushed)
        } else if opener.released {
            write!(known, "{};", opener.finished)
        } else {
            let (reading, user) =
                (reading(&opener.flow), Opener { flow: Flow::default(), ..*opener });
            let (sent, got, stopped) = (opener.flow.sent, opener.flow.got, opener.flow.stopped);
            write!(known, "{user:?} {reading:?} {sent} {got} {stopped};")
        };
    }

    /// Whoever waits for something to read is told of it; whoever does not wait and would find
    /// nothing may as well wait (nothing in the core tells the two apart).
    pub(super) fn readers(
        &mut self,
        ledgers: [Option<&Ledger>; 2],
        reduced: bool,
    ) -> Result<(), Finding> {
        let streams = if self.context { self.opener.started } else { self.streams };
        let opens = !self.opener.released && (streams || self.opener.finished > 0);
        let runs = self.serves() && self.callee.started;
        let flows = [(&mut self.opener.flow, opens), (&mut self.callee.flow, runs)];
        for ((flow, reads), ledger) in flows.into_iter().zip(ledgers) {
            let Some(ledger) = ledger.filter(|_| reads) else { continue };
            match flow.reading {
                Reading::Waiting if ledger.readable => {
                    return broken("there is something to read, and nobody was told (P-D7)");
                }
                Reading::Ready if reduced && !ledger.readable => flow.reading = Reading::Waiting,
                _ => {}
            }
        }
        Ok(())
    }

    /// At this end.
    pub(super) fn is_over(&self, end: usize) -> bool {
        if end == self.opener_end {
            return self.opener.released || self.opener.denied;
        }
        !self.serves()
    }

    /// Takes a notice.
    pub(super) fn hear(&mut self, end: usize, event: &Event) -> Result<(), Finding> {
        let by_opener = end == self.opener_end;
        let (Some(id), opener, callee) = (self.id, &mut self.opener, &mut self.callee) else {
            return Ok(());
        };
        let flow = if by_opener { &mut opener.flow } else { &mut callee.flow };
        match event {
            Event::Readable(of) if *of == id => flow.wake(),
            Event::Writable(of) if *of == id => flow.full = false,
            Event::Started(of) if *of == id => opener.started = true,
            Event::CancelAsked(of) if *of == id => callee.asked = (callee.asked + 1).min(2),
            Event::CancelAcked(of) if *of == id => {
                opener.acked += 1;
                if !callee.accepted && callee.how.is_none() {
                    return broken(format!("an ack of {id} passes its `StartAck` (P-W4)"));
                }
                if opener.acked > opener.cancels + u8::from(opener.released) {
                    return broken(format!("{id} has more acks than cancels (P-C1)"));
                }
            }
            Event::Finished(of) if *of == id => {
                flow.wake();
                flow.full = false;
                let times = if by_opener { &mut opener.finished } else { &mut callee.lost };
                *times += 1;
                if *times > 1 || (!by_opener && callee.how.is_some()) {
                    return broken(format!("{id} ends twice at {} (P-D4)", name(end)));
                }
            }
            Event::Flushed(of) if *of == id => {
                callee.flushed += 1;
                let unknown = callee.told > 0 && callee.how.is_none();
                if callee.flushed > 1 || callee.lost > 0 || unknown {
                    return broken(format!("{id} is flushed and did not end so (P-D4)"));
                }
            }
            _ => {}
        }
        if self.callee.told > 1 {
            return broken(format!("{id} is asked for twice (P-D1)"));
        }
        Ok(())
    }

    /// What the opener may do next.
    pub(super) fn opener_may(&self, plan: &Plan, mut may: impl FnMut(Wish)) {
        let (user, flow) = (&self.opener, &self.opener.flow);
        if user.released || user.denied {
            return;
        }
        if self.id.is_none() {
            return may(Wish::Open);
        }
        let over = user.finished > 0;
        let values = &self.plan(plan).up;
        if user.started && !user.taken {
            may(Wish::Started);
        }
        if user.started && !over {
            flow.may_send(plan, values.len(), &mut may);
        }
        let streams = if self.context { user.started } else { self.streams };
        if flow.reading == Reading::Ready && (streams || over) {
            may(Wish::Recv);
        }
        if plan.done && streams && flow.reads() {
            may(Wish::StopReading);
        }
        if user.cancels < plan.cancels && !over {
            may(Wish::Cancel);
        }
        if (over && !flow.reads()) || plan.drops {
            may(Wish::Release);
        }
    }

    /// What the opener does next where it wants to come to an end.
    pub(super) fn opener_wants(&self, plan: &Plan) -> Option<Wish> {
        let mut may = Vec::new();
        self.opener_may(plan, |wish| may.push(wish));
        let sends = self.opener.flow.sent < self.plan(plan).up.len() && !self.opener.flow.shut;
        may.into_iter().find(|wish| match wish {
            Wish::Open | Wish::Started | Wish::Send | Wish::Recv => true,
            Wish::Stop => !sends,
            Wish::Release => self.opener.finished > 0 && !self.opener.flow.reads(),
            _ => false,
        })
    }

    /// What the callee may do next.
    pub(super) fn callee_may(&self, plan: &Plan, mut may: impl FnMut(Wish)) {
        let (user, flow) = (&self.callee, &self.callee.flow);
        if user.told == 0 || user.how.is_some() || user.lost > 0 {
            return;
        }
        if !user.accepted {
            may(Wish::Accept);
            if plan.fails {
                may(Wish::Refuse);
            }
            return;
        }
        let streams = if self.context { user.started } else { self.streams };
        if self.context && !user.started {
            may(Wish::Started);
        }
        if streams {
            flow.may_send(plan, self.plan(plan).down.len(), &mut may);
        }
        if self.context && user.started {
            if flow.reading == Reading::Ready {
                may(Wish::Recv);
            }
            if plan.done && flow.reads() {
                may(Wish::StopReading);
            }
        }
        if !self.context || user.started {
            may(Wish::Return);
        }
        if plan.fails {
            may(Wish::Fail);
        }
        if plan.others || user.asked > 0 {
            may(Wish::Cancelled);
        }
    }

    /// What the callee does next where it wants to come to an end.
    pub(super) fn callee_wants(&self, plan: &Plan) -> Option<Wish> {
        let mut may = Vec::new();
        self.callee_may(plan, |wish| may.push(wish));
        let (user, flow) = (&self.callee, &self.callee.flow);
        if user.asked > 0 && may.contains(&Wish::Cancelled) {
            return Some(Wish::Cancelled);
        }
        let sends = flow.sent < self.plan(plan).down.len() && !flow.shut;
        may.into_iter().find(|wish| match wish {
            Wish::Accept | Wish::Started | Wish::Send | Wish::Recv => true,
            Wish::Stop => !sends,
            Wish::Return => {
                let read = !self.context || !flow.reads();
                read && (flow.stopped || !self.streams)
            }
            _ => false,
        })
    }

    fn plan<'p>(&self, plan: &'p Plan) -> &'p TalkPlan {
        &plan.talks[usize::from(self.number)]
    }
}

impl Flow {
    fn wake(&mut self) {
        if self.reading == Reading::Waiting {
            self.reading = Reading::Ready;
        }
    }

    fn reads(&self) -> bool {
        matches!(self.reading, Reading::Ready | Reading::Waiting)
    }

    fn may_send(&self, plan: &Plan, values: usize, may: &mut impl FnMut(Wish)) {
        if self.stopped {
            return;
        }
        let more = self.sent < values && !self.shut;
        if more && !self.full {
            may(Wish::Send);
        }
        if !more || plan.early_stop {
            may(Wish::Stop);
        }
    }

    /// What became of a value that was offered.
    fn offered(&mut self, taken: Result<(), SendError>, over: bool) -> Result<(), Finding> {
        match taken {
            Ok(()) => self.sent += 1,
            Err(SendError::Full) => self.full = true,
            Err(SendError::ReceiverGone) => self.shut = true,
            Err(SendError::Cancelling | SendError::Ended) if over => self.shut = true,
            Err(error) => return broken(format!("a value is not taken: {error}")),
        }
        Ok(())
    }

    /// What a reader found, where the values of the other side are these.
    fn found(
        &mut self,
        recv: Recv,
        value: &[u8],
        mark: u8,
        sizes: &[usize],
        other: &Sender,
    ) -> Result<(), Finding> {
        match recv {
            Recv::Value => {
                let expected = sizes.get(self.got).map(|size| vec![mark + nth(self.got); *size]);
                if expected.as_deref() != Some(value) {
                    return broken(format!(
                        "value {} was expected and {} bytes of {:?} came (P-D7)",
                        self.got + 1,
                        value.len(),
                        value.first()
                    ));
                }
                self.got += 1;
            }
            Recv::Empty => self.reading = Reading::Waiting,
            Recv::Overrun => return broken("an overrun where the sender waits (P-W6)"),
            Recv::End | Recv::Ended => {
                let graceful = recv == Recv::End;
                self.reading = if graceful { Reading::End } else { Reading::Ended };
                let whole = self.got == other.sent;
                if (graceful || other.terminal) && !whole {
                    return broken(format!(
                        "{} values were sent before the end and {} came (P-D7)",
                        other.sent, self.got
                    ));
                }
                if graceful && !other.gracefully {
                    return broken("a graceful end that nobody meant (P-D7)");
                }
            }
        }
        Ok(())
    }
}

/// What the checker knows of a direction's sender.
struct Sender {
    sent: usize,
    /// It stopped, or returned.
    gracefully: bool,
    /// Its terminal is what ended the direction.
    terminal: bool,
}

fn nth(place: usize) -> u8 {
    u8::try_from(place).expect("few values") + 1
}

/// Marks the values of a direction of a talk.
const fn mark(talk: u8, up: bool) -> u8 {
    talk * 64 + if up { 32 } else { 0 }
}

impl Plan {
    pub(super) fn opener_does(
        &self,
        world: &mut World,
        place: u8,
        wished: Wish,
        notes: &mut Notes<'_>,
    ) -> Result<(), Finding> {
        let talk = &mut world.talks[usize::from(place)];
        let plan = &self.talks[usize::from(place)];
        let end = &mut world.ends[talk.opener_end];
        let me = u32::try_from(talk.opener_end).expect("one of two") + 1;
        let Some(id) = talk.id else {
            let args = vec![mark(place, true); plan.args];
            let opened = end.core().start(NOW, wish(plan.kind), &args);
            notes.say(|| format!("{opened:?}"));
            match opened {
                Ok(id) => talk.id = Some(id),
                Err(Misuse::Closing | Misuse::LinkGone | Misuse::TooManyDialogs { .. }) => {
                    talk.opener.denied = true;
                }
                Err(misuse) => return broken(format!("it is refused here: {misuse}")),
            }
            return Ok(());
        };
        let user = &mut talk.opener;
        let Some(mut view) = end.core().caller(id) else {
            return broken(format!("{id} is gone while its opener holds it (P-D9)"));
        };
        match wished {
            Wish::Started => {
                user.taken = true;
                if view.take_started() != Some(vec![mark(place, false); plan.first]) {
                    return broken("the first value is another (P-D2)");
                }
            }
            Wish::Send => {
                let size = plan.up[user.flow.sent];
                let taken = view.send(&vec![mark(place, true) + nth(user.flow.sent); size]);
                notes.say(|| format!("{taken:?}"));
                let over = user.cancels > 0 || user.finished > 0;
                user.flow.offered(taken, over)?;
            }
            Wish::Stop => {
                user.flow.stopped = true;
                if let Err(misuse) = view.stop() {
                    return broken(format!("it may not stop: {misuse}"));
                }
            }
            Wish::Recv => {
                let mut value = Vec::new();
                let recv = view.recv(&mut value);
                notes.say(|| format!("{recv:?}, {} bytes", value.len()));
                let callee = &talk.callee;
                let outcome = view.outcome();
                let lost = matches!(outcome, Some(Outcome::Lost(_)));
                let hides = usize::from(self.fault == Some(Fault::Miscounts));
                let other = Sender {
                    sent: callee.flow.sent.saturating_sub(hides),
                    gracefully: callee.flow.stopped || callee.how == Some(How::Returned),
                    terminal: outcome.is_some() && !lost,
                };
                user.flow.found(recv, &value, mark(place, false), &plan.down, &other)?;
            }
            Wish::StopReading => {
                user.flow.reading = Reading::Done;
                view.stop_reading();
            }
            Wish::Cancel => {
                let grace = GRACE / (1 << u32::from(user.cancels));
                // Whoever repeats it: the first canceller stays.
                let by = asked_by(if user.cancels == 0 { me } else { OTHER + 1 });
                user.cancels += 1;
                view.cancel(NOW, CancelRequest { by, grace });
            }
            Wish::Release => {
                let outcome = view.outcome().cloned();
                view.release(NOW, asked_by(me));
                user.released = true;
                if user.finished > 0 {
                    notes.say(|| format!("it came to {outcome:?}"));
                    return self.agreed(world, place, outcome);
                }
            }
            _ => unreachable!("no wish of an opener: {:?}", Action::Opener(place, wished)),
        }
        Ok(())
    }

    /// Both sides know the same end (P-C3).
    fn agreed(&self, world: &World, place: u8, outcome: Option<Outcome>) -> Result<(), Finding> {
        let talk = &world.talks[usize::from(place)];
        let plan = &self.talks[usize::from(place)];
        let asked = u128::try_from(talk.opener_end).expect("one of two") + 1;
        let (how, told) = (talk.callee.how, talk.callee.told > 0);
        let fine = match &outcome {
            Some(Outcome::Returned(value)) => {
                how == Some(How::Returned) && *value == vec![mark(place, false); plan.result]
            }
            Some(Outcome::Failed { .. }) => how == Some(How::Failed),
            Some(Outcome::Refused(Refusal::ShuttingDown, _)) => !told && self.goodbye,
            Some(Outcome::Refused(Refusal::TooManyDialogs, _)) => !told,
            Some(Outcome::Refused(..)) => how == Some(How::Refused),
            Some(Outcome::Cancelled(by)) => match how {
                Some(how) => how == How::Cancelled(by.canceller.uuid),
                None => !told && talk.opener.cancels > 0 && by.canceller.uuid == asked,
            },
            Some(Outcome::Lost(LostCause::Unresponsive)) => talk.opener.late,
            Some(Outcome::Lost(LostCause::Closed)) => world.ends[talk.opener_end].late,
            Some(Outcome::Lost(LostCause::LinkEnded)) => {
                world.broken || world.ends[1 - talk.opener_end].late
            }
            Some(Outcome::Lost(_)) => self.greeting && world.ends.iter().any(|end| end.late),
            _ => false,
        };
        if fine {
            return Ok(());
        }
        broken(format!("the opener sees {outcome:?}, the callee ended as {how:?} (P-C3, P-D4)"))
    }

    pub(super) fn callee_does(
        &self,
        world: &mut World,
        place: u8,
        wished: Wish,
        notes: &mut Notes<'_>,
    ) -> Result<(), Finding> {
        let talk = &mut world.talks[usize::from(place)];
        let plan = &self.talks[usize::from(place)];
        let end = &mut world.ends[1 - talk.opener_end];
        let user = &mut talk.callee;
        let Some(mut view) = talk.id.and_then(|id| end.core().callee(id)) else {
            return broken("a dialog is gone while its task runs (P-A2)");
        };
        match wished {
            Wish::Accept => {
                user.accepted = true;
                let start = view.take_start();
                view.accept();
                let args = vec![mark(place, true); plan.args];
                if start.is_none_or(|start| start.args != args || start.kind != plan.kind) {
                    return broken("the arguments are others (P-F3)");
                }
            }
            Wish::Refuse => {
                view.refuse(Refusal::Unknown, String::new());
                user.how = Some(How::Refused);
            }
            Wish::Started => {
                user.started = true;
                if let Err(misuse) = view.started(&vec![mark(place, false); plan.first]) {
                    return broken(format!("it may not start: {misuse}"));
                }
            }
            Wish::Send => {
                let size = plan.down[user.flow.sent];
                let taken = view.send(&vec![mark(place, false) + nth(user.flow.sent); size]);
                notes.say(|| format!("{taken:?}"));
                user.flow.offered(taken, false)?;
            }
            Wish::Stop => {
                user.flow.stopped = true;
                if let Err(misuse) = view.stop() {
                    return broken(format!("it may not stop: {misuse}"));
                }
            }
            Wish::Recv => {
                let mut value = Vec::new();
                let recv = view.recv(&mut value);
                notes.say(|| format!("{recv:?}, {} bytes", value.len()));
                let from = &talk.opener.flow;
                // What an opener sent before it cancelled may be gone; what it stopped is whole.
                let hides = usize::from(self.fault == Some(Fault::Miscounts));
                let sent = from.sent.saturating_sub(hides);
                let other = Sender { sent, gracefully: from.stopped, terminal: false };
                user.flow.found(recv, &value, mark(place, true), &plan.up, &other)?;
            }
            Wish::StopReading => {
                user.flow.reading = Reading::Done;
                view.stop_reading();
            }
            Wish::Return => {
                view.finish(Terminal::Return(vec![mark(place, false); plan.result]));
                user.how = Some(How::Returned);
            }
            Wish::Fail => {
                let report = Report::new((2, 1), Code::Error, who(2), String::new());
                view.finish(Terminal::Failed { report: Box::new(report), payload: Vec::new() });
                user.how = Some(How::Failed);
            }
            Wish::Cancelled => {
                let asked = view.cancel_request().map(|request| request.by.clone());
                let by = asked.unwrap_or_else(|| asked_by(OTHER));
                user.how = Some(How::Cancelled(by.canceller.uuid));
                view.finish(Terminal::Cancelled(by));
            }
            _ => unreachable!("no wish of a callee: {:?}", Action::Callee(place, wished)),
        }
        Ok(())
    }
}
