//! A nursery with every order of its members' ends, its body's end and cancels from outside, against
//! a list of what has happened.

use std::hash::{Hash, Hasher};

use hatchery_proto::nursery::{MemberEnd, MemberId, MemberKind, Nursery, NurseryStep, Verdict};

use super::search::{Finding, Model};

/// A nursery and what may happen in it.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// How many members it may take in.
    pub members: usize,
    /// How often it may be cancelled from outside.
    pub cancels: u8,
    /// It is expected to forget the body's failure: to see that this is found.
    pub wrong: bool,
}

/// One thing that may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A member is taken in.
    Add,
    /// A child that waits is.
    Wait,
    /// This one of those becomes a member like others.
    Take(u8),
    /// This one of those ends so.
    Waiting(u8, End),
    /// This member ends so.
    Member(u8, End),
    /// The body ends so.
    Body(End),
    /// All is to end.
    Cancel,
    /// The members are to end.
    CancelMembers,
    /// What is to be done is taken.
    Poll,
}

/// How it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// Well.
    Fine,
    /// With a failure of its own.
    Failed,
    /// With the failure that the first failed member had.
    Echo,
    /// Cancelled.
    Cancelled,
}

/// The nursery, and what has happened.
#[derive(Clone, Debug, Default)]
pub struct World {
    nursery: Nursery,
    /// Each that was taken in, and whether it has ended.
    members: Vec<(MemberId, bool)>,
    /// Those that wait.
    waiting: Vec<MemberId>,
    /// None may wait any more, and those that do were not told yet.
    none_wait: bool,
    waiting_due: bool,
    body_ended: bool,
    /// The failures in the order they came in, and the body's.
    failures: Vec<(u128, u64)>,
    body: Option<(u128, u64)>,
    /// The body ended with what a member had failed with before.
    echo: bool,
    cancelled: usize,
    cancels: u8,
    member_cancels: u8,
    /// There is a reason to end that the body was not told of.
    body_due: bool,
    /// The members were told to end.
    members_told: u8,
    done: u8,
}

impl World {
    fn failure(&self, end: End, own: u64) -> MemberEnd {
        match end {
            End::Fine => MemberEnd::Fine,
            End::Cancelled => MemberEnd::Cancelled,
            End::Failed => MemberEnd::Failed((1, own)),
            End::Echo => MemberEnd::Failed(self.failures.first().copied().unwrap_or((1, own))),
        }
    }

    fn note(&mut self, end: MemberEnd) -> bool {
        let MemberEnd::Failed(failure) = end else { return false };
        let news = !self.failures.contains(&failure);
        if news {
            self.failures.push(failure);
        }
        news
    }

    /// Something failed, or somebody asked.
    fn must_cancel(&self) -> bool {
        !self.failures.is_empty() || self.cancels > 0
    }

    fn expected(&self, wrong: bool) -> Verdict {
        let own = self.body.filter(|_| !self.echo && !wrong);
        let cause = own.or_else(|| self.failures.first().copied());
        Verdict {
            cause,
            by_body: cause.is_some() && cause == self.body,
            also: self.failures.iter().copied().filter(|known| Some(*known) != cause).collect(),
            cancelled: self.cancelled,
        }
    }

    fn is_done(&self) -> bool {
        self.body_ended && self.left() == 0 && self.waiting.is_empty()
    }

    /// Nobody may take one from here on: all is to end, or nobody is left who could.
    fn settle_waiting(&mut self) {
        let over = self.must_cancel() || (self.body_ended && self.left() == 0);
        if over && !std::mem::replace(&mut self.none_wait, true) {
            self.waiting_due = !self.waiting.is_empty();
        }
    }

    fn left(&self) -> usize {
        self.members.iter().filter(|(_, ended)| !ended).count()
    }
}

impl Family {
    fn poll(world: &mut World, notes: Option<&mut Vec<String>>) -> Result<(), Finding> {
        let Some(step) = world.nursery.poll_step() else { return Ok(()) };
        if let Some(notes) = notes {
            notes.push(format!("{step:?}"));
        }
        let fine = match step {
            NurseryStep::DropBody => {
                // Again only where there is a reason that it does not know.
                let due = std::mem::take(&mut world.body_due);
                due && !world.body_ended && world.must_cancel()
            }
            NurseryStep::CancelMembers => {
                world.members_told = (world.members_told + 1).min(2);
                world.member_cancels > 0 || world.body_ended
            }
            NurseryStep::EndWaiting => std::mem::take(&mut world.waiting_due),
            NurseryStep::Done => {
                world.done += 1;
                world.done == 1 && world.is_done()
            }
        };
        if fine {
            return Ok(());
        }
        Err(Finding::Violation(format!("{step:?} comes when it must not (P-C2)")))
    }

    fn check(self, world: &World) -> Result<(), Finding> {
        let verdict = world.nursery.verdict();
        let expected = world.expected(self.wrong);
        if verdict != expected {
            let what = format!("the verdict is {verdict:?} and should be {expected:?}");
            return Err(Finding::Violation(what));
        }
        let done = world.is_done();
        let left = world.left() + world.waiting.len();
        if world.nursery.is_done() != done || world.nursery.members().count() != left {
            return Err(Finding::Violation("it does not know who is left".into()));
        }
        if world.nursery.keeps_waiting() == world.none_wait {
            return Err(Finding::Violation("children wait too long, or too short".into()));
        }
        let cancelling = world.must_cancel() && !done;
        if world.nursery.is_cancelled() != cancelling {
            return Err(Finding::Violation("cancelled without a reason, or not with one".into()));
        }
        Ok(())
    }
}

impl Model for Family {
    type State = World;
    type Action = Action;

    fn start(&self) -> World {
        World::default()
    }

    fn actions(&self, world: &World, out: &mut Vec<Action>) {
        if world.members.len() + world.waiting.len() < self.members {
            out.extend([Action::Add, Action::Wait]);
        }
        let ends = [End::Fine, End::Failed, End::Echo, End::Cancelled];
        for place in 0..world.members.len() {
            // A repeat of an end does nothing, and is tried with one of them.
            let ended = world.members[place].1;
            let place = u8::try_from(place).expect("few members");
            let ends = if ended { &ends[1..2] } else { &ends[..] };
            out.extend(ends.iter().map(|end| Action::Member(place, *end)));
        }
        for place in (0..world.waiting.len()).filter_map(|place| u8::try_from(place).ok()) {
            // However it ends, that says nothing.
            out.extend([Action::Take(place), Action::Waiting(place, End::Failed)]);
        }
        let ends = if world.body_ended { &ends[1..2] } else { &ends[..] };
        out.extend(ends.iter().map(|end| Action::Body(*end)));
        if world.cancels < self.cancels {
            out.push(Action::Cancel);
        }
        if world.member_cancels < self.cancels {
            out.push(Action::CancelMembers);
        }
        out.push(Action::Poll);
    }

    fn step(
        &self,
        world: &mut World,
        action: Action,
        notes: Option<&mut Vec<String>>,
    ) -> Result<(), Finding> {
        match action {
            Action::Add => {
                let kind = MemberKind::Task;
                let closed = world.must_cancel() || world.is_done();
                match (world.nursery.add(kind), closed) {
                    (Ok(id), false) => world.members.push((id, false)),
                    (Err(_), true) => {}
                    (taken, _) => {
                        let what = format!("a new member: {taken:?}");
                        return Err(Finding::Violation(what));
                    }
                }
            }
            Action::Wait => match (world.nursery.add(MemberKind::Waiting), world.none_wait) {
                (Ok(id), false) => world.waiting.push(id),
                (Err(_), true) => {}
                (taken, _) => {
                    return Err(Finding::Violation(format!("one that is to wait: {taken:?}")));
                }
            },
            Action::Take(place) => {
                let id = world.waiting[usize::from(place)];
                match (world.nursery.take(id, true), world.none_wait) {
                    (Ok(()), false) => {
                        world.waiting.retain(|waiting| *waiting != id);
                        world.members.push((id, false));
                    }
                    (Err(_), true) => {}
                    (taken, _) => {
                        return Err(Finding::Violation(format!("one that has waited: {taken:?}")));
                    }
                }
            }
            Action::Waiting(place, end) => {
                let end = world.failure(end, place.into());
                world.nursery.handle_member_ended(world.waiting.remove(usize::from(place)), end);
            }
            Action::Member(place, end) => {
                let end = world.failure(end, place.into());
                let (id, ended) = world.members[usize::from(place)];
                world.nursery.handle_member_ended(id, end);
                if !ended {
                    world.members[usize::from(place)].1 = true;
                    world.note(end);
                    world.body_due |= matches!(end, MemberEnd::Failed(_)) && !world.body_ended;
                    world.cancelled += usize::from(end == MemberEnd::Cancelled);
                }
            }
            Action::Body(end) => {
                let end = world.failure(end, 99);
                world.nursery.handle_body_ended(end);
                if !std::mem::replace(&mut world.body_ended, true) {
                    if let MemberEnd::Failed(failure) = end {
                        world.echo = !world.note(end);
                        world.body = Some(failure);
                    }
                    world.cancels += u8::from(end == MemberEnd::Cancelled);
                    world.body_due = false;
                }
            }
            Action::Cancel => {
                // One that comes when all is over does nothing.
                world.cancels += u8::from(!world.nursery.is_done());
                world.body_due |= !world.body_ended;
                world.nursery.cancel();
            }
            Action::CancelMembers => {
                world.member_cancels += 1;
                world.nursery.cancel_members();
            }
            Action::Poll => Self::poll(world, notes)?,
        }
        world.settle_waiting();
        self.check(world)
    }

    fn fingerprint(&self, world: &World, state: &mut impl Hasher) {
        // What the nursery holds beyond the list of what has happened is what it has yet to tell.
        let mut nursery = world.nursery.clone();
        for _ in 0..4 {
            nursery.poll_step().map(|step| std::mem::discriminant(&step)).hash(state);
        }
        (world.members.iter().map(|(_, ended)| ended)).for_each(|ended| ended.hash(state));
        (world.members.len(), world.body_ended, &world.failures, world.body).hash(state);
        (world.echo, world.cancelled, world.cancels, world.member_cancels).hash(state);
        (world.waiting.len(), world.none_wait, world.waiting_due).hash(state);
        (world.body_due, world.members_told, world.done).hash(state);
    }

    fn is_over(&self, world: &World) -> bool {
        world.done == 1
    }

    fn willing(&self, world: &World, _: &[Action]) -> Option<Action> {
        let mut nursery = world.nursery.clone();
        if nursery.poll_step().is_some() {
            return Some(Action::Poll);
        }
        let place = world.members.iter().position(|(_, ended)| !ended);
        if !world.body_ended {
            return Some(Action::Body(End::Fine));
        }
        if place.is_none() && !world.waiting.is_empty() {
            return Some(Action::Waiting(0, End::Fine));
        }
        place.map(|place| Action::Member(u8::try_from(place).unwrap_or(0), End::Fine))
    }
}
