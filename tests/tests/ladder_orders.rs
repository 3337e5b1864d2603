//! The ladder of one child in every order of events: it ends within the budget, and hearing a thing
//! twice changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use hatchery_proto::nursery::budget;
use hatchery_proto::nursery::ladder::{Fact, Ladder, Policy, State, Step};
use hatchery_proto::{ExitStatus, Instant};
use hatchery_tests::instants::{T0, ms};

fn steps(ladder: &mut Ladder) -> Vec<Step> {
    std::iter::from_fn(|| ladder.poll_step()).collect()
}

/// What may happen to a ladder, with the time that passes before.
#[derive(Clone, Copy, Debug)]
enum Happens {
    Spawned,
    SpawnFailed,
    Greeted,
    Written,
    Up,
    Ack,
    Terminal,
    Goodbye,
    Eof,
    Exit,
    Cancel(u64),
    Time(u64),
    /// Until the next deadline.
    Deadline,
}

const ALL: [Happens; 16] = {
    use Happens::*;
    [
        Spawned,
        SpawnFailed,
        Greeted,
        Written,
        Up,
        Ack,
        Terminal,
        Goodbye,
        Eof,
        Exit,
        Cancel(0),
        Cancel(300),
        Cancel(4600),
        Time(0),
        Time(70),
        Deadline,
    ]
};

/// A ladder with what was seen of it.
#[derive(Clone)]
struct Seen {
    ladder: Ladder,
    now: Instant,
    /// When all has to be over, by the shortest cancel; what is owed to a SIGKILL counts.
    by: Instant,
    steps: Vec<Step>,
}

impl Seen {
    fn new() -> Self {
        let ladder = Ladder::new(T0, Policy::default());
        Self { ladder, now: T0, by: Instant::FAR_FUTURE, steps: Vec::new() }
    }

    fn happens(&mut self, what: Happens) {
        let (ladder, now) = (&mut self.ladder, self.now);
        match what {
            Happens::Spawned => ladder.handle_spawned(now),
            Happens::SpawnFailed => ladder.handle_spawn_failed(now),
            Happens::Greeted => ladder.handle_greeted(now),
            Happens::Written => ladder.handle_start_written(now),
            Happens::Up => ladder.handle_up(now),
            Happens::Ack => ladder.handle_ack(now),
            Happens::Terminal => ladder.handle_terminal(now),
            Happens::Goodbye => ladder.handle_goodbye(now),
            Happens::Eof => ladder.handle_eof(now),
            Happens::Exit => ladder.handle_exit(now, ExitStatus::Code(0)),
            Happens::Cancel(rest) => {
                self.by = self.by.min(now + ms(rest) + budget::REAP);
                ladder.cancel(now, ms(rest));
            }
            Happens::Time(rest) => {
                let until = now + ms(rest);
                while let Some((when, _)) = ladder.poll_timeout().filter(|(when, _)| *when < until)
                {
                    ladder.handle_timeout(self.now.max(when));
                }
                self.now = until;
                ladder.handle_timeout(until);
            }
            Happens::Deadline => {
                if let Some((when, _)) = ladder.poll_timeout() {
                    self.now = self.now.max(when);
                }
                ladder.handle_timeout(self.now);
            }
        }
        self.check(what);
    }

    fn check(&mut self, what: Happens) {
        let new = steps(&mut self.ladder);
        if let (Happens::Time(_) | Happens::Deadline, Some((when, why))) =
            (what, self.ladder.poll_timeout())
        {
            assert!(when > self.now, "{why:?} is due, and was handled");
        }
        if self.ladder.state().is_over() {
            assert_eq!(self.ladder.poll_timeout(), None);
        }
        self.steps.extend(new);
        let ended = self.steps.iter().filter(|step| matches!(step, Step::Done(_))).count();
        assert!(ended <= 1, "{:?}", self.steps);
        assert_eq!(ended == 1, self.ladder.state().is_over(), "{:?}", self.steps);
        let signals = |wanted: Step| self.steps.iter().filter(|step| **step == wanted).count();
        assert!(signals(Step::Terminate) <= 1 && signals(Step::Kill) <= 1, "{:?}", self.steps);
    }

    /// From here on nothing happens but time.
    fn runs_out(&mut self) {
        for _ in 0..8 {
            self.happens(Happens::Deadline);
        }
    }

    /// What can be told apart from outside, with times relative to now.
    fn looks(&self) -> String {
        let next = self.ladder.poll_timeout();
        format!("{:?} {:?} {next:?} {:?}", self.ladder.state(), self.ladder.rung(), self.steps)
    }
}

fn every_order(seen: &Seen, depth: usize, visit: &mut dyn FnMut(&Seen)) {
    visit(seen);
    if depth == 0 {
        return;
    }
    for what in ALL {
        let mut next = seen.clone();
        next.happens(what);
        every_order(&next, depth - 1, visit);
    }
}

#[test]
fn p_t1_every_child_ends_within_its_budget() {
    let mut states = BTreeSet::new();
    let mut orders = 0_u64;
    every_order(&Seen::new(), 5, &mut |seen| {
        orders += 1;
        states.insert(seen.ladder.state());
        let mut seen = seen.clone();
        let asked = seen.by != Instant::FAR_FUTURE;
        let over = seen.ladder.state().is_over();
        seen.runs_out();
        if asked && !over {
            assert!(seen.ladder.state().is_over(), "{:?}", seen.ladder);
            // A start under way has 100 ms where there is no time, and then its SIGKILL has its own.
            let stuck = seen.steps.contains(&Step::Withdraw) && seen.steps.contains(&Step::Kill);
            let by = if stuck { seen.by + ms(100) } else { seen.by };
            assert!(seen.now <= by, "{:?} after {by:?}: {:?}", seen.now, seen.ladder);
        }
        let waits =
            matches!(seen.ladder.state(), State::Spawning | State::Waiting | State::Running);
        assert!(seen.ladder.state().is_over() || waits, "{:?}", seen.ladder);
    });
    assert_eq!(states.len(), State::STATES.len(), "not every state was reached: {states:?}");
    assert!(orders > 800_000, "{orders}");
}

#[test]
fn p_t1_saying_a_thing_twice_changes_nothing() {
    every_order(&Seen::new(), 4, &mut |seen| {
        for what in ALL {
            if matches!(what, Happens::Time(70) | Happens::Deadline) {
                continue;
            }
            let mut once = seen.clone();
            once.happens(what);
            let mut twice = once.clone();
            twice.happens(what);
            assert_eq!(once.looks(), twice.looks(), "{what:?}");
        }
    });
}

#[test]
fn p_t1_every_state_and_fact_has_one_defined_result() {
    let mut rows = BTreeMap::new();
    for (from, fact, to) in State::ROWS {
        assert!(rows.insert((*from, *fact), *to).is_none(), "{from:?} + {fact:?} twice");
    }
    for from in State::STATES {
        for fact in State::STEPS {
            assert_eq!(from.after(*fact), rows.get(&(*from, *fact)).copied());
        }
        let ways_out = State::STEPS.iter().filter(|fact| from.after(**fact).is_some()).count();
        assert_eq!(ways_out == 0, from.is_over(), "{from:?}");
    }
    // A process that was there is only over when it was reaped, or could not be killed.
    for (from, fact, to) in State::ROWS {
        match to {
            State::Reaped => assert!(matches!(fact, Fact::Exited | Fact::SpawnFailed)),
            State::Unkillable => {
                assert!(matches!((from, fact), (State::Killing | State::Withdrawing, Fact::Over)));
            }
            _ => {}
        }
    }
}
