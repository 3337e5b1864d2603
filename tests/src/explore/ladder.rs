//! The ladder of one child with every order of facts and deadlines: its process and its link may do
//! anything at any time, and the teardown has to be over in bounded time all the same (P-T1).
//!
//! Time stands still but for deadlines, which come when they are due: those are part of the state as
//! times from now.

use std::hash::{Hash, Hasher};
use std::time::Duration;

use hatchery_proto::nursery::budget;
use hatchery_proto::nursery::ladder::{Ladder, Policy, State, Step};
use hatchery_proto::{ExitStatus, Instant, Rung};

use super::search::{Finding, Model};

/// A child, and how often it may be cancelled.
#[derive(Clone, Copy, Debug)]
pub struct Child {
    /// How often it may be cancelled: each time with less time.
    pub cancels: u8,
    /// SIGKILL is expected never to be needed: to see that this is found.
    pub wrong: bool,
}

/// One thing that may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// There is a process.
    Spawned,
    /// There is none and there will be none.
    SpawnFailed,
    /// It has greeted, and is to wait.
    Greeted,
    /// The first byte of `Start(0)` is on its way.
    Written,
    /// The child is up.
    Up,
    /// It has heard the request.
    Ack,
    /// It has said its last word,
    Terminal,
    /// or `Goodbye`.
    Goodbye,
    /// The link has ended.
    Eof,
    /// The process ends by itself,
    Exit,
    /// by SIGTERM,
    ByTerm,
    /// or by SIGKILL.
    ByKill,
    /// It is to end.
    Cancel,
    /// It is to end at once.
    Rush,
    /// The next deadline comes.
    Timeout,
    /// What is to be done is done.
    Poll,
}

const FACTS: [Action; 14] = [
    Action::Spawned,
    Action::SpawnFailed,
    Action::Greeted,
    Action::Written,
    Action::Up,
    Action::Ack,
    Action::Terminal,
    Action::Goodbye,
    Action::Eof,
    Action::Exit,
    Action::ByTerm,
    Action::ByKill,
    Action::Cancel,
    Action::Rush,
];

impl Action {
    const fn settles_the_spawn(self) -> bool {
        !matches!(self, Self::Cancel | Self::Rush | Self::Ack | Self::Timeout | Self::Poll)
    }
}

/// The ladder, and what has happened.
#[derive(Clone, Debug)]
pub struct World {
    ladder: Ladder,
    now: Instant,
    /// The facts that were told, each once but for cancels.
    told: u16,
    cancels: u8,
    rushed: bool,
    /// When it has to be over, from the first cancel on.
    over_by: Option<Instant>,
    /// It was known whether there is a process before it was to end.
    known: bool,
    /// What was done.
    withdrawn: u8,
    asked: u8,
    terminated: u8,
    killed: u8,
    ended: u8,
    /// Deadlines that came since anything else happened.
    rungs: u8,
}

impl World {
    fn tell(&mut self, fact: Action) {
        let now = self.now;
        let ladder = &mut self.ladder;
        match fact {
            Action::Spawned => ladder.handle_spawned(now),
            Action::SpawnFailed => ladder.handle_spawn_failed(now),
            Action::Greeted => ladder.handle_greeted(now),
            Action::Written => ladder.handle_start_written(now),
            Action::Up => ladder.handle_up(now),
            Action::Ack => ladder.handle_ack(now),
            Action::Terminal => ladder.handle_terminal(now),
            Action::Goodbye => ladder.handle_goodbye(now),
            Action::Eof => ladder.handle_eof(now),
            Action::Exit => ladder.handle_exit(now, ExitStatus::Code(0)),
            Action::ByTerm => {
                ladder.handle_exit(now, ExitStatus::Signal { number: 15, core: false });
            }
            Action::ByKill => {
                ladder.handle_exit(now, ExitStatus::Signal { number: 9, core: false });
            }
            Action::Cancel => {
                self.cancels += 1;
                self.cancel(Duration::from_millis(4600 / u64::from(self.cancels)));
            }
            Action::Rush => {
                self.rushed = true;
                self.cancel(Duration::from_millis(1));
            }
            Action::Timeout | Action::Poll => unreachable!("no fact"),
        }
    }

    fn cancel(&mut self, rest: Duration) {
        // Whatever happens, SIGKILL is owed its time; a start under way has 100 ms before that.
        let by = self.now + rest.max(Duration::from_millis(100)) + budget::REAP;
        self.over_by = Some(self.over_by.map_or(by, |known| known.min(by)));
        self.ladder.cancel(self.now, rest);
    }

    fn has(&self, fact: Action) -> bool {
        let place = FACTS.iter().position(|known| *known == fact).expect("a fact");
        self.told & (1 << place) != 0
    }

    fn exited(&self) -> bool {
        self.has(Action::Exit) || self.has(Action::ByTerm) || self.has(Action::ByKill)
    }

    fn done(&mut self, step: Step) -> bool {
        let state = self.ladder.state();
        match step {
            // Once, and never where the process was known before anybody wanted its end; that one
            // comes meanwhile is what it allows for (P-T1).
            Step::Withdraw => {
                self.withdrawn += 1;
                self.withdrawn == 1 && self.over_by.is_some() && !self.known
            }
            Step::Ask { grace } => {
                self.asked = (self.asked + 1).min(3);
                self.cancels > 0 && grace <= Duration::from_millis(4600)
            }
            Step::Terminate => {
                self.terminated += 1;
                self.terminated == 1
            }
            Step::Kill => {
                self.killed += 1;
                self.killed <= 2 && !self.exited()
            }
            Step::Unkillable => state == State::Unkillable,
            Step::Done(end) => {
                self.ended += 1;
                let unkillable = end.rung == Rung::Unkillable;
                self.ended == 1
                    && state.is_over()
                    && unkillable == (state == State::Unkillable)
                    && end.status.is_some() == (self.exited() && !unkillable && end.spawned)
            }
        }
    }
}

impl Model for Child {
    type State = World;
    type Action = Action;

    fn start(&self) -> World {
        let now = Instant::from_micros(1_000_000);
        World {
            ladder: Ladder::new(now, Policy::default()),
            now,
            told: 0,
            cancels: 0,
            rushed: false,
            over_by: None,
            known: false,
            withdrawn: 0,
            asked: 0,
            terminated: 0,
            killed: 0,
            ended: 0,
            rungs: 0,
        }
    }

    fn actions(&self, world: &World, out: &mut Vec<Action>) {
        for fact in FACTS {
            let may = match fact {
                Action::Cancel => world.cancels < self.cancels,
                Action::Rush => !world.rushed,
                // A process that never was has no end, and one that ended has no other.
                Action::Exit | Action::ByTerm | Action::ByKill => {
                    !world.exited() && !world.has(Action::SpawnFailed)
                }
                Action::SpawnFailed => {
                    let proof = [Action::Spawned, Action::Greeted, Action::Written, Action::Up];
                    let proofs = [Action::Terminal, Action::Goodbye, Action::Eof];
                    let proven = proof.iter().chain(&proofs).any(|fact| world.has(*fact));
                    !proven && !world.exited() && !world.has(fact)
                }
                _ => !world.has(fact) && !world.has(Action::SpawnFailed),
            };
            if may {
                out.push(fact);
            }
        }
        if world.ladder.poll_timeout().is_some() {
            out.push(Action::Timeout);
        }
        out.push(Action::Poll);
    }

    fn step(
        &self,
        world: &mut World,
        action: Action,
        notes: Option<&mut Vec<String>>,
    ) -> Result<(), Finding> {
        let before = world.ladder.rung();
        match action {
            Action::Poll => {
                if let Some(step) = world.ladder.poll_step() {
                    if let Some(notes) = notes {
                        notes.push(format!("{step:?}"));
                    }
                    let unexpected = self.wrong && step == Step::Kill;
                    if !world.done(step) || unexpected {
                        let what = format!("{step:?} comes when it must not (P-T1)");
                        return Err(Finding::Violation(what));
                    }
                }
            }
            Action::Timeout => {
                let (at, why) = world.ladder.poll_timeout().expect("there is one");
                world.now = world.now.max(at);
                if let Some(notes) = notes {
                    notes.push(format!("{why:?}"));
                }
                world.ladder.handle_timeout(world.now);
                world.rungs += 1;
                if let Some((next, why)) = world.ladder.poll_timeout()
                    && next <= world.now
                {
                    let what = format!("{why:?} is due and stays so");
                    return Err(Finding::Violation(what));
                }
                if world.rungs > 6 {
                    return Err(Finding::Violation("more deadlines than rungs (P-T1)".into()));
                }
            }
            fact => {
                world.rungs = 0;
                if let Some(place) = FACTS.iter().position(|known| *known == fact) {
                    world.told |= 1 << place;
                }
                world.known |= world.over_by.is_none() && fact.settles_the_spawn();
                world.tell(fact);
            }
        }
        let rung = world.ladder.rung();
        // Only a process that ends may turn out to have needed less than it was given.
        if rung < before && !world.exited() {
            return Err(Finding::Violation(format!("down from {before:?} to {rung:?} (P-T1)")));
        }
        let over = world.ladder.state().is_over();
        let late = world.over_by.is_some_and(|by| world.now > by);
        if !over && late {
            return Err(Finding::Violation("it takes longer than it may (P-T1)".into()));
        }
        Ok(())
    }

    fn fingerprint(&self, world: &World, state: &mut impl Hasher) {
        (world.ladder.state(), world.ladder.rung() as u8, world.told, world.cancels).hash(state);
        (world.rushed, world.asked, world.terminated, world.killed, world.ended).hash(state);
        (world.rungs, world.known, world.withdrawn).hash(state);
        world.over_by.map(|by| by.since(world.now)).hash(state);
        // What it will do on its own, deadline by deadline, as times from now.
        let mut ladder = world.ladder.clone();
        while let Some(step) = ladder.poll_step() {
            format!("{step:?}").hash(state);
        }
        while let Some((at, why)) = ladder.poll_timeout() {
            (at.since(world.now), why as u8).hash(state);
            ladder.handle_timeout(at);
            while let Some(step) = ladder.poll_step() {
                format!("{step:?}").hash(state);
            }
        }
    }

    fn is_over(&self, world: &World) -> bool {
        world.ladder.state().is_over() && world.ended == 1
    }

    fn willing(&self, world: &World, _: &[Action]) -> Option<Action> {
        let mut ladder = world.ladder.clone();
        if ladder.poll_step().is_some() {
            return Some(Action::Poll);
        }
        if ladder.state().is_over() {
            return None;
        }
        // The child does nothing at all from here on: once it is asked, the clock alone ends it.
        match ladder.state() {
            State::Spawning if !world.has(Action::SpawnFailed) => Some(Action::Spawned),
            State::Waiting | State::Running if world.cancels < self.cancels => Some(Action::Cancel),
            State::Waiting | State::Running => Some(Action::Exit).filter(|_| !world.exited()),
            _ => ladder.poll_timeout().map(|_| Action::Timeout),
        }
    }
}
