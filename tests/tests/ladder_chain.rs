//! Teardown of whole chains: however deep, the lower level ends first, and all of it within the
//! budget of the top. Time is simulated; each level is a real ladder.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hatchery_proto::nursery::budget;
use hatchery_proto::nursery::ladder::{End, Ladder, Policy, Step};
use hatchery_proto::{ExitStatus, Instant, Rung};

const T0: Instant = Instant::from_micros(1_000_000);
/// What a message, a signal or a process's end takes to be noticed.
const HOP: Duration = Duration::from_millis(1);
const SIGTERM: ExitStatus = ExitStatus::Signal { number: 15, core: false };
const SIGKILL: ExitStatus = ExitStatus::Signal { number: 9, core: false };

/// How the lowest process takes being asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaf {
    Healthy,
    /// It answers and then never ends; SIGTERM ends it.
    Stuck,
    /// The same, and SIGTERM does not end it.
    IgnoresSignals,
    /// It does nothing at all; only SIGKILL ends it.
    Frozen,
    /// SIGKILL does not end it either.
    Unkillable,
}

/// What happens at a level, told by the level above or below it.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// Its parent asks it to end within this time.
    Asked(Duration),
    Sigterm,
    Sigkill,
    /// Its parent's link is gone.
    Orphaned,
    /// Facts for the ladder that its parent has of it.
    Acked,
    Said,
    Closed,
    Exited(ExitStatus),
}

/// A chain of processes under a root, which is no process here. Level 0 is the root's child.
struct Chain {
    leaf: Leaf,
    now: Instant,
    /// The ladder that the level's parent has of it, while that lives.
    ladders: Vec<Ladder>,
    alive: Vec<bool>,
    ends: Vec<Option<(Instant, End)>>,
    died: Vec<Option<Instant>>,
    events: BTreeSet<(Instant, u64, usize)>,
    what: BTreeMap<u64, Event>,
    next: u64,
}

impl Chain {
    fn new(depth: usize, leaf: Leaf) -> Self {
        let running = || {
            let mut ladder = Ladder::new(T0, Policy::default());
            ladder.handle_spawned(T0);
            ladder.handle_start_written(T0);
            ladder.handle_up(T0);
            ladder
        };
        Self {
            leaf,
            now: T0,
            ladders: (0..depth).map(|_| running()).collect(),
            alive: vec![true; depth],
            ends: vec![None; depth],
            died: vec![None; depth],
            events: BTreeSet::new(),
            what: BTreeMap::new(),
            next: 0,
        }
    }

    fn depth(&self) -> usize {
        self.alive.len()
    }

    fn has_parent(&self, level: usize) -> bool {
        level == 0 || self.alive[level - 1]
    }

    fn after(&mut self, rest: Duration, level: usize, event: Event) {
        self.events.insert((self.now + rest, self.next, level));
        self.what.insert(self.next, event);
        self.next += 1;
    }

    /// Asks the top to end, and goes on until nothing more happens.
    fn tear_down(&mut self, rest: Duration) {
        self.ladders[0].cancel(self.now, rest);
        self.act(0);
        for _ in 0..100_000 {
            let deadline = (0..self.depth())
                .filter(|level| self.has_parent(*level))
                .filter_map(|level| Some((self.ladders[level].poll_timeout()?.0, level)))
                .min();
            let event = self.events.first().copied();
            match (deadline, event) {
                (None, None) => return,
                (Some((at, level)), event) if event.is_none_or(|(when, ..)| at <= when) => {
                    self.now = self.now.max(at);
                    self.ladders[level].handle_timeout(self.now);
                    self.act(level);
                }
                (_, Some((at, number, level))) => {
                    self.events.remove(&(at, number, level));
                    self.now = at;
                    let what = self.what.remove(&number).unwrap();
                    self.happens(level, what);
                }
                (Some(_), None) => unreachable!(),
            }
        }
        panic!("it goes on for ever");
    }

    /// What the ladder of a level's parent says is done to that level.
    fn act(&mut self, level: usize) {
        while let Some(step) = self.ladders[level].poll_step() {
            match step {
                Step::Ask { grace } => self.after(HOP, level, Event::Asked(grace)),
                Step::Terminate => self.after(HOP, level, Event::Sigterm),
                Step::Kill => self.after(HOP, level, Event::Sigkill),
                Step::Withdraw | Step::Unkillable => {}
                Step::Done(end) => {
                    self.ends[level] = Some((self.now, end));
                    // The level above has nothing below it any more: it ends itself.
                    if level > 0 {
                        self.leave(level - 1);
                    }
                }
            }
        }
    }

    /// A level that was asked says its last word and exits.
    fn leave(&mut self, level: usize) {
        if self.alive[level] {
            self.after(HOP, level, Event::Said);
            self.die(level, ExitStatus::Code(0));
        }
    }

    fn die(&mut self, level: usize, status: ExitStatus) {
        if !std::mem::replace(&mut self.alive[level], false) {
            return;
        }
        self.died[level] = Some(self.now);
        self.after(HOP, level, Event::Closed);
        self.after(HOP, level, Event::Exited(status));
        if level + 1 < self.depth() {
            self.after(HOP, level + 1, Event::Orphaned);
        }
    }

    fn happens(&mut self, level: usize, event: Event) {
        let is_leaf = level + 1 == self.depth();
        let leaf = if is_leaf { self.leaf } else { Leaf::Healthy };
        let now = self.now;
        match event {
            Event::Asked(_) | Event::Orphaned if !self.alive[level] => {}
            Event::Asked(grace) => {
                if leaf != Leaf::Frozen && leaf != Leaf::Unkillable {
                    self.after(HOP, level, Event::Acked);
                }
                self.end_itself(level, leaf, grace);
            }
            Event::Orphaned => match leaf {
                // A parent-death signal ends what no longer listens (P-T4).
                Leaf::Unkillable => {}
                Leaf::Healthy => self.end_itself(level, leaf, budget::ORPHAN),
                _ => self.after(budget::ORPHAN, level, Event::Sigkill),
            },
            Event::Sigterm if matches!(leaf, Leaf::Healthy | Leaf::Stuck) => {
                self.die(level, SIGTERM);
            }
            Event::Sigterm => {}
            Event::Sigkill if leaf == Leaf::Unkillable => {}
            Event::Sigkill => self.die(level, SIGKILL),
            Event::Acked | Event::Said | Event::Closed | Event::Exited(_) => {
                if !self.has_parent(level) {
                    return;
                }
                let ladder = &mut self.ladders[level];
                match event {
                    Event::Acked => ladder.handle_ack(now),
                    Event::Said => ladder.handle_terminal(now),
                    Event::Exited(status) => ladder.handle_exit(now, status),
                    _ => ladder.handle_eof(now),
                }
                self.act(level);
            }
        }
    }

    fn end_itself(&mut self, level: usize, leaf: Leaf, grace: Duration) {
        if level + 1 < self.depth() {
            self.ladders[level + 1].cancel(self.now, grace);
            self.act(level + 1);
        } else if leaf == Leaf::Healthy {
            self.leave(level);
        }
    }

    /// Every level has ended, each before the one above it.
    #[track_caller]
    fn assert_inside_out(&self, what: &str) {
        for level in 1..self.depth() {
            let (below, _) =
                self.ends[level].unwrap_or_else(|| panic!("{what}: {level} unreported"));
            let (above, _) = self.ends[level - 1].unwrap();
            assert!(below < above, "{what}: level {level} ended at {below:?}, above {above:?}");
        }
    }

    fn rungs(&self) -> Vec<Rung> {
        self.ends.iter().flatten().map(|(_, end)| end.rung).collect()
    }
}

#[test]
fn p_t1_chains_of_healthy_levels_end_inside_out_whatever_the_leaf_does() {
    let leaves = [
        (Leaf::Healthy, Rung::Asked),
        (Leaf::Stuck, Rung::Terminated),
        (Leaf::IgnoresSignals, Rung::Killed),
        (Leaf::Frozen, Rung::Killed),
    ];
    for depth in 1..=20 {
        for (leaf, rung) in leaves {
            let what = format!("depth {depth}, leaf {leaf:?}");
            let mut chain = Chain::new(depth, leaf);
            chain.tear_down(budget::DEFAULT);
            chain.assert_inside_out(&what);
            let mut expected = vec![Rung::Asked; depth];
            expected[depth - 1] = rung;
            assert_eq!(chain.rungs(), expected, "{what}");
            let (over, _) = chain.ends[0].unwrap();
            assert!(over <= T0 + budget::DEFAULT, "{what}: {over:?}");
        }
    }
}

#[test]
fn p_t1_any_budget_is_kept_at_any_depth_and_with_any_leaf() {
    let leaves = [Leaf::Healthy, Leaf::Stuck, Leaf::IgnoresSignals, Leaf::Frozen, Leaf::Unkillable];
    for millis in [0, 1, 19, 20, 21, 50, 100, 250, 1000, 4600, 60_000] {
        for depth in 1..=20 {
            for leaf in leaves {
                let what = format!("R {millis} ms, depth {depth}, leaf {leaf:?}");
                let rest = Duration::from_millis(millis);
                let mut chain = Chain::new(depth, leaf);
                chain.tear_down(rest);
                let (over, _) = chain.ends[0].unwrap_or_else(|| panic!("{what}: never over"));
                let by = T0 + rest + budget::REAP + HOP;
                assert!(over <= by, "{what}: {over:?} after {by:?}");
                // What is below a level that was signalled ends by itself soon after (P-T4).
                for (level, died) in chain.died.iter().enumerate() {
                    let Some(died) = died else {
                        assert!(leaf == Leaf::Unkillable && level + 1 == depth, "{what}: {level}");
                        continue;
                    };
                    let soon = by + budget::ORPHAN + HOP * 20;
                    assert!(*died <= soon, "{what}: level {level} died at {died:?}");
                }
            }
        }
    }
}

#[test]
fn p_t4_a_chain_that_lost_its_root_ends_inside_out_within_a_second() {
    for depth in 2..=20 {
        let mut chain = Chain::new(depth, Leaf::Healthy);
        // The top dies of a signal that nobody here sent.
        chain.die(0, SIGKILL);
        chain.tear_down(budget::DEFAULT);
        for (level, died) in chain.died.iter().enumerate() {
            let died = died.unwrap_or_else(|| panic!("depth {depth}: level {level} lives"));
            assert!(died <= T0 + budget::ORPHAN, "depth {depth}: level {level} at {died:?}");
        }
        for level in 2..depth {
            assert!(chain.died[level] < chain.died[level - 1], "depth {depth}: level {level}");
        }
    }
}

#[test]
fn p_t1_who_is_asked_again_with_less_time_climbs_no_rung() {
    let now = T0;
    let mut ladder = Ladder::new(now, Policy::default());
    ladder.handle_spawned(now);
    ladder.handle_up(now);
    let asked = |ladder: &mut Ladder, rest: Duration| {
        ladder.cancel(now, rest);
        std::iter::from_fn(|| ladder.poll_step())
            .filter(|step| matches!(step, Step::Ask { .. }))
            .count()
    };
    assert_eq!(asked(&mut ladder, budget::DEFAULT), 1);
    assert_eq!(asked(&mut ladder, budget::DEFAULT / 2), 1, "it is to know");
    let later = now + Duration::from_millis(5);
    assert_eq!(ladder.rungs(later), [(Rung::Asked, Duration::from_millis(5))]);
}
