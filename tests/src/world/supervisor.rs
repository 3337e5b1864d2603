//! A child as its parent keeps it: its start, its ladder, its last words, and what its end is to its
//! nursery. The same steps as the runtime's supervisor, with made facts.

use std::time::Duration;

use hatchery_proto::nursery::budget::{Budget, LOWEST};
use hatchery_proto::nursery::ladder::{End, Ladder, Policy, Step};
use hatchery_proto::nursery::{MemberEnd, MemberId};
use hatchery_proto::{
    CancelRequest, Cancelled, Cause, Code, DialogId, Event, ExitReport, ExitStatus, Instant,
    Outcome, Report, Rung,
};

use super::process::{Boot, Signal};
use super::shape::Fault;
use super::wire::Wire;
use super::{Planted, What, World};

/// What the spawner has made of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    Waiting,
    Begun,
    Withdrawn,
    /// Done, and the supervisor has not looked yet.
    Made,
    Failed,
    /// The supervisor knows.
    Known,
}

/// A child.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) parent: usize,
    pub(super) room: u64,
    pub(super) member: MemberId,
    pub(super) daemon: bool,
    pub(super) ladder: Ladder,
    pub(super) start: Start,
    pub(super) process: Option<usize>,
    pub(super) end: Option<usize>,
    pub(super) up: bool,
    pub(super) outcome: Option<Outcome>,
    pub(super) asked: Option<Cancelled>,
    /// When it has to be over, when it was killed, and what a rung of force is for it at most.
    pub(super) deadline: Option<Instant>,
    pub(super) killed: Option<Instant>,
    pub(super) step: Duration,
    /// When its parent last asked it to end and within what grace, and how long that took to get to
    /// it, once it had.
    told: Option<(Instant, Duration)>,
    heard: Option<Duration>,
    /// It was given too little time to be asked: SIGKILL at once is what the budgets say then.
    pub(super) rushed: bool,
    /// The exit status: known to the reaper, and to the link.
    pub(super) status: Option<ExitStatus>,
    pub(super) hearing: bool,
    pub(super) over: Option<Over>,
    pub(super) overs: u32,
}

/// How it ended.
#[derive(Clone, Debug)]
pub(super) struct Over {
    pub(super) exit: ExitReport,
    pub(super) outcome: Outcome,
    /// It never was up; whoever started it is told.
    pub(super) never_up: bool,
}

impl Child {
    fn end_by(&mut self, until: Instant) {
        self.deadline = Some(self.deadline.map_or(until, |known| known.min(until)));
    }

    /// Its link has ended, and nobody asked for it: it has a while to end itself, or to leave, and
    /// two rungs of force come then (P-T1, P-T4).
    pub(super) fn link_lost(&mut self, now: Instant, teardown: Duration) {
        let (own, leave) = (Duration::from_millis(1200), Duration::from_secs(3));
        let rest = teardown.max(own).max(leave);
        self.step = self.step.max(Budget::step(rest));
        self.end_by(now + rest + 2 * self.step);
    }
}

impl World {
    /// Asks the spawner for a child.
    pub(super) fn request_child(
        &mut self,
        parent: usize,
        room: u64,
        member: MemberId,
        daemon: bool,
    ) -> usize {
        let place = self.children.len();
        let policy = Policy { teardown: self.shape.teardown, ..Policy::default() };
        self.children.push(Child {
            parent,
            room,
            member,
            daemon,
            ladder: Ladder::new(self.now, policy),
            start: Start::Waiting,
            process: None,
            end: None,
            up: false,
            outcome: None,
            asked: None,
            deadline: None,
            killed: None,
            step: Duration::ZERO,
            told: None,
            heard: None,
            rushed: false,
            status: None,
            hearing: false,
            over: None,
            overs: 0,
        });
        self.processes[parent].children.push(place);
        let after = self.dice.micros(10, 10 + self.shape.latency);
        self.at(self.now + after, What::Spawn(place));
        self.note(|_| format!("p{parent} starts child {place} (daemon: {daemon})"));
        place
    }

    /// The spawner takes a request up, and later has done with it.
    pub(super) fn spawn(&mut self, place: usize) {
        let parent = self.children[place].parent;
        if self.is_dead(parent) {
            return;
        }
        match self.children[place].start {
            Start::Waiting => {
                self.children[place].start = Start::Begun;
                let stuck =
                    !self.healed && self.shape.has(Fault::SpawnFails) && self.dice.one_in(4);
                if stuck {
                    self.met(Fault::SpawnFails);
                }
                let most = if stuck { 8_000_000 } else { 1000 + self.shape.latency };
                let after = self.dice.micros(200, most);
                self.at(self.now + after, What::Spawn(place));
            }
            // Its teardown is over: what comes of the request is killed before it is anything.
            Start::Begun if self.children[place].over.is_some() => {
                self.children[place].start = Start::Withdrawn;
            }
            Start::Begun => {
                let fails =
                    !self.healed && self.shape.has(Fault::SpawnFails) && self.dice.one_in(3);
                if fails {
                    self.met(Fault::SpawnFails);
                    self.children[place].start = Start::Failed;
                    self.note(|_| format!("child {place} cannot be started"));
                } else {
                    self.make_child(place);
                }
                self.wake(parent, self.now);
            }
            _ => {}
        }
    }

    fn make_child(&mut self, place: usize) {
        let parent = self.children[place].parent;
        let fails = !self.healed && self.shape.has(Fault::BootFails) && self.dice.one_in(3);
        let boot = match (fails, self.dice.below(3)) {
            (false, _) => Boot::Well,
            (true, 0) => Boot::Exits(0),
            (true, 1) => Boot::Exits(2),
            (true, _) => Boot::Hangs,
        };
        if fails {
            self.met(Fault::BootFails);
        }
        let level = self.processes[parent].level + 1;
        let process = self.make_process(Some(place), level, boot);
        let ignores = self.shape.has(Fault::IgnoreTerm) && self.dice.one_in(2);
        self.processes[process].ignores_term = ignores;
        self.wires.push(Wire::new(self.shape.room));
        let child = &mut self.children[place];
        child.process = Some(process);
        child.start = Start::Made;
        self.note(|_| format!("child {place} of p{parent} is p{process} ({boot:?})"));
        let end = self.make_end(parent, Some(place));
        self.children[place].end = Some(end);
        let spec: Vec<u8> = vec![7; self.dice.below(self.shape.value)];
        let opened = self.ends[end].core.start_actor(self.now, &spec);
        debug_assert!(opened.is_ok(), "dialog 0 is opened once");
        self.talk(end, DialogId::ACTOR).opener = true;
        self.ends[end].opened.push(DialogId::ACTOR);
        let up = self.make_end(process, None);
        self.processes[process].up = Some(up);
        let after = self.dice.micros(100, 2000 + self.shape.latency);
        self.wake(process, self.now + after);
    }

    /// The reaper knows of an exit.
    pub(super) fn exit_known(&mut self, place: usize, status: ExitStatus) {
        if self.options.planted == Some(Planted::SwallowedExit) {
            return;
        }
        let child = &mut self.children[place];
        child.status = Some(status);
        let parent = child.parent;
        if child.over.is_some() {
            self.note(|_| format!("child {place}, which outlived SIGKILL, {status}"));
        }
        self.wake(parent, self.now);
    }

    /// Asks a child to end within `budget`, by force where it must be (P-T1).
    pub(super) fn cancel_child(&mut self, place: usize, by: Cancelled, budget: Duration) {
        let now = self.now;
        let child = &mut self.children[place];
        if child.over.is_some() {
            return;
        }
        self.ledger.cancels += 1;
        child.rushed |= budget < LOWEST;
        // Nobody is started in no time: 100 ms where there is none to be asked in.
        let budgets = Budget::of(budget);
        child.step =
            child.step.max(if budget < LOWEST { budgets.over } else { Budget::step(budget) });
        child.end_by(now + budgets.over);
        let parent = child.parent;
        child.asked.get_or_insert(by);
        child.ladder.cancel(now, budget);
        self.note(|_| format!("p{parent} cancels child {place} within {budget:?}"));
    }

    pub(super) fn supervise_all(&mut self, parent: usize) -> bool {
        let mut moved = false;
        for at in 0..self.processes[parent].children.len() {
            let Some(place) = self.processes[parent].children.get(at).copied() else { break };
            if self.children[place].over.is_none() {
                moved |= self.supervise(place);
            }
        }
        moved
    }

    fn supervise(&mut self, place: usize) -> bool {
        let now = self.now;
        let mut moved = self.look_at_start(place);
        let child = &mut self.children[place];
        if let (Some(status), false, true) =
            (child.status, child.hearing, child.start == Start::Known)
        {
            child.hearing = true;
            moved = true;
            let exit = self.exit_report(place, Some(status));
            if let Some(end) = self.children[place].end {
                self.ends[end].core.handle_exit(now, exit);
                self.take_events(end);
            }
        }
        let child = &mut self.children[place];
        if let (true, Some(end), Some(status)) = (child.hearing, child.end, child.status)
            && self.ends[end].core.is_closed()
            && self.ends[end].events.is_empty()
        {
            child.ladder.handle_exit(now, status);
        }
        while let Some(step) = self.children[place].ladder.poll_step() {
            moved = true;
            self.climb(place, step);
        }
        moved
    }

    fn look_at_start(&mut self, place: usize) -> bool {
        let now = self.now;
        let child = &mut self.children[place];
        match child.start {
            Start::Made => child.ladder.handle_spawned(now),
            Start::Failed => child.ladder.handle_spawn_failed(now),
            _ => return false,
        }
        child.start = Start::Known;
        true
    }

    fn climb(&mut self, place: usize, step: Step) {
        let now = self.now;
        self.note(|_| format!("child {place}: {step:?}"));
        let (process, end, start) = {
            let child = &self.children[place];
            (child.process, child.end, child.start)
        };
        let known = start == Start::Known;
        match step {
            Step::Done(end) => self.conclude(place, end),
            Step::Withdraw => {
                if start == Start::Waiting {
                    self.children[place].start = Start::Withdrawn;
                    self.children[place].ladder.handle_spawn_failed(now);
                }
            }
            Step::Ask { grace } => {
                let child = &mut self.children[place];
                (child.told, child.heard) = (Some((now, grace)), None);
                let parent = child.parent;
                let by = self.children[place].asked.clone();
                let by = by.unwrap_or_else(|| self.by(parent, Cause::Asked));
                if let (true, Some(end)) = (known, end) {
                    if let Some(mut caller) = self.ends[end].core.caller(DialogId::ACTOR) {
                        caller.cancel(now, CancelRequest { by, grace });
                    }
                    let talk = self.talk(end, DialogId::ACTOR);
                    if talk.asked.is_none() {
                        self.ask_noted(end, DialogId::ACTOR);
                    }
                    self.take_events(end);
                }
            }
            Step::Terminate => self.force(place, process.filter(|_| known), Signal::Terminate),
            Step::Kill => {
                self.children[place].killed.get_or_insert(now);
                self.force(place, process.filter(|_| known), Signal::Kill);
            }
            Step::Unkillable => {}
        }
    }

    fn force(&mut self, place: usize, process: Option<usize>, signal: Signal) {
        let Some(process) = process else { return };
        // One that has not been told what it is to be is ended at once.
        let child = &self.children[place];
        let fits = self.on_its_way(place, process) <= child.step;
        if self.shape.calm && child.up && !child.rushed && fits && !self.is_dead(process) {
            self.violate("D", format!("p{process} had to be ended by force in a calm world"));
        }
        self.at(self.now, What::Signal(process, signal));
    }

    /// A child that was asked to end has heard of it.
    pub(super) fn cancel_heard(&mut self, place: usize, grace: Duration) {
        let child = &mut self.children[place];
        if let Some((asked, least)) = child.told
            && grace <= least
        {
            child.heard.get_or_insert(self.now.since(asked));
        }
    }

    /// How long the link has kept what a child's end needs. Its grace begins when it hears of the
    /// cancel, and it is gone when what it said is written: where that takes longer than the parent
    /// keeps for a rung, the child is ended by force, however calm its world is (P-T1).
    fn on_its_way(&self, place: usize, process: usize) -> Duration {
        let child = &self.children[place];
        let now = self.now;
        let there = child.told.map(|(asked, _)| child.heard.unwrap_or_else(|| now.since(asked)));
        let ended = self.processes[process].said_last;
        let writes = child.end.is_some_and(|end| {
            let under_way = self.wires[end / 2].ways[1].ready(now).is_some();
            under_way || self.ends[end ^ 1].core.wants_transmit()
        });
        let back = ended.filter(|_| writes).map(|ended| now.since(ended));
        there.unwrap_or_default() + back.unwrap_or_default()
    }

    fn exit_report(&self, place: usize, status: Option<ExitStatus>) -> ExitReport {
        let child = &self.children[place];
        let actor = child.process.map(|process| self.processes[process].id.clone());
        let rung = status.map_or(child.ladder.rung(), |status| child.ladder.rung_of(status));
        ExitReport::new(actor.unwrap_or_default(), status, rung)
    }

    /// The teardown is over: everyone who waits hears how.
    fn conclude(&mut self, place: usize, end: End) {
        if let Some(link) = self.children[place].end {
            if end.status.is_none() {
                // It cannot be ended: nothing more is waited for.
                let exit = self.exit_report(place, None);
                self.ends[link].core.handle_exit(self.now, exit);
            }
            self.ends[link].core.handle_write_closed();
            self.drop_socket(link);
            self.take_events(link);
            // Its last events, before its outcome is looked at.
            while let Some(event) = self.ends[link].events.pop_front() {
                self.last_event(place, link, &event);
            }
        }
        let mut exit = self.exit_report(place, end.status);
        exit.rung = end.rung;
        exit.link_lost = end.link_lost;
        let child = &mut self.children[place];
        let spoken = child.outcome.clone();
        let never_up = !child.up && spoken.is_none();
        let outcome = spoken.unwrap_or_else(|| Outcome::Died(Box::new(exit.clone())));
        child.over = Some(Over { exit, outcome, never_up });
        child.overs += 1;
        self.check_over(place, &end);
        let (parent, room, member) = {
            let child = &self.children[place];
            (child.parent, child.room, child.member)
        };
        self.note(|world| {
            format!("child {place} of p{parent} is over: {:?}", world.children[place].over)
        });
        let told = match self.failure_of(place) {
            Some(report) => self.put_error(parent, room, report),
            None if self.children[place].asked.is_some() => MemberEnd::Cancelled,
            None => MemberEnd::Fine,
        };
        self.member_ended(parent, room, member, told);
    }

    fn last_event(&mut self, place: usize, link: usize, event: &Event) {
        self.watch_child(place, link, event);
        if let Event::Finished(id) = event {
            self.talk(link, *id).ends += 1;
            let parent = self.children[place].parent;
            let serving = self.processes[parent].serving.get(&(link, *id)).copied();
            if let Some(scope) = serving {
                let by = self.by(parent, Cause::LinkLost);
                let (now, grace) = (self.now, self.shape.teardown);
                self.processes[parent].scopes.cancel(scope, now, by, grace);
            }
        }
    }

    /// What the end of a child is to its nursery: nothing, or a failure.
    fn failure_of(&mut self, place: usize) -> Option<Box<Report>> {
        let child = &self.children[place];
        let over = child.over.clone()?;
        if over.never_up {
            return None;
        }
        let (parent, asked) = (child.parent, child.asked.is_some());
        let forced = matches!(over.exit.rung, Rung::Terminated | Rung::Killed | Rung::Unkillable);
        let died = |world: &mut Self| {
            Some(world.fresh_failure(parent, Code::Died, &format!("child {place} died")))
        };
        match over.outcome {
            Outcome::Failed { report, .. } => {
                let report = self.arrived(parent, report);
                Some(report)
            }
            Outcome::Refused(..) => {
                Some(self.fresh_failure(parent, Code::Refused, &format!("child {place} refused")))
            }
            _ if forced => died(self),
            Outcome::Returned(_) => None,
            Outcome::Cancelled(_) if asked => None,
            Outcome::Died(_) | Outcome::Lost(_) if asked && over.exit.rung == Rung::Asked => {
                let fine = over.exit.status.is_some_and(ExitStatus::success);
                if fine { None } else { died(self) }
            }
            Outcome::Cancelled(by) => Some(self.cancelled_report(parent, &by)),
            _ => died(self),
        }
    }

    /// What the link of a child has to tell its ladder.
    pub(super) fn watch_child(&mut self, place: usize, end: usize, event: &Event) {
        let now = self.now;
        let child = &mut self.children[place];
        match event {
            Event::Up => child.ladder.handle_start_written(now),
            Event::Started(DialogId::ACTOR) => {
                child.up = true;
                child.ladder.handle_up(now);
            }
            Event::CancelAcked(DialogId::ACTOR) => child.ladder.handle_ack(now),
            Event::Finished(DialogId::ACTOR) => {
                let caller = self.ends[end].core.caller(DialogId::ACTOR);
                let outcome = caller.and_then(|caller| caller.outcome().cloned());
                let spoken = !matches!(outcome, None | Some(Outcome::Lost(_) | Outcome::Died(_)));
                if child.outcome.is_none() && spoken {
                    child.outcome = outcome;
                }
                if spoken {
                    child.ladder.handle_terminal(now);
                }
            }
            Event::Goodbye(_) => child.ladder.handle_goodbye(now),
            Event::Broken(_) => child.ladder.handle_eof(now),
            _ => {}
        }
    }

    /// Children of a process that can be asked for something.
    pub(super) fn reachable(&self, place: usize) -> Vec<usize> {
        let children = self.processes[place].children.iter().copied();
        children
            .filter(|child| {
                let child = &self.children[*child];
                child.up && child.over.is_none() && child.end.is_some()
            })
            .collect()
    }
}
