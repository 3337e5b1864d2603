//! Which worlds are explored, and how many states and transitions each of them has. A count that
//! changes says that the protocol has: whoever pins the new one says why in the commit.

use std::fmt;

use hatchery_proto::Kind;

use super::hostile::{Said, Table, worlds};
use super::ladder::Child;
use super::nursery::Family;
use super::pair::{Plan, TalkPlan};
use super::search::{Bounds, Explored, Finding, Model, explore};

/// A world, and its counts.
pub struct Row {
    /// What it is called.
    pub name: &'static str,
    /// Its states and transitions.
    pub counts: (usize, usize),
    explore: Box<dyn Fn(Bounds) -> Explored>,
    /// What each message of a hostile peer came to.
    said: Option<Said>,
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.name, self.counts)
    }
}

impl Row {
    fn pair(plan: Plan, counts: (usize, usize)) -> Self {
        Self::of(plan.name, plan, counts)
    }

    fn of(name: &'static str, model: impl Model + 'static, counts: (usize, usize)) -> Self {
        Self { name, counts, explore: Box::new(move |bounds| explore(&model, bounds)), said: None }
    }

    /// Explores it.
    #[must_use]
    pub fn explore(&self, bounds: Bounds) -> Explored {
        (self.explore)(bounds)
    }

    /// What is to be said where the counts are others than the pinned ones.
    #[must_use]
    pub fn changed(&self, explored: &Explored) -> Option<String> {
        let found = (explored.states, explored.transitions);
        (explored.whole && found != self.counts).then(|| {
            format!(
                "`{}` had {:?} states and transitions and has {found:?}: the protocol has changed. \
                 Pin the new counts and give the reason in the commit.",
                self.name, self.counts
            )
        })
    }
}

/// What each message of a hostile peer came to in these worlds, which were explored.
#[must_use]
pub fn results(rows: &[Row]) -> Table {
    let mut table = Table::default();
    rows.iter().filter_map(|row| row.said.as_ref()).for_each(|said| table.merge(said.table()));
    table
}

/// What all explorations together came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    /// Different states.
    pub states: usize,
    /// Actions tried in them.
    pub transitions: usize,
    deadlocks: usize,
    violations: usize,
    unanswered: usize,
}

impl Sum {
    /// Adds what one exploration came to.
    pub fn add(&mut self, explored: &Explored) {
        self.states += explored.states;
        self.transitions += explored.transitions;
        let found = match explored.counterexample.as_ref().map(|example| &example.finding) {
            None => return,
            Some(Finding::Violation(_)) => &mut self.violations,
            Some(Finding::Deadlock(_)) => &mut self.deadlocks,
            Some(Finding::Unanswered(_)) => &mut self.unanswered,
        };
        *found += 1;
    }

    /// Whether nothing was found.
    #[must_use]
    pub const fn is_fine(&self) -> bool {
        self.deadlocks == 0 && self.violations == 0 && self.unanswered == 0
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "explore: states={} transitions={} deadlocks={} violations={} unanswered={}",
            self.states, self.transitions, self.deadlocks, self.violations, self.unanswered
        )
    }
}

/// A call, with everything that can go wrong: from the greeting to the last `Goodbye`.
#[must_use]
pub fn call() -> Plan {
    let mut talk = TalkPlan::context(0, &[], &[]);
    talk.kind = Kind::Call;
    let mut plan = Plan::of("call, greeting to goodbye", vec![talk]);
    plan.greeting = true;
    plan.goodbye = true;
    plan.timers = true;
    plan.fails = true;
    plan.others = true;
    plan.cancels = 2;
    plan.drops = true;
    plan.cuts = true;
    plan
}

/// The smallest context: a value each way, cancelled from anywhere over a link that may end.
#[must_use]
pub fn small() -> Plan {
    let mut plan = Plan::of("1 dialog x 1 yield each way", vec![TalkPlan::context(0, &[1], &[1])]);
    plan.capacity = 1;
    plan.cancels = 1;
    plan.others = true;
    plan.cuts = true;
    plan
}

/// Two dialogs, one of each end, whose ends write at once whatever they have to say: how long it may
/// wait instead is left to the worlds of one dialog.
fn crossing(name: &'static str, values: &[usize]) -> Plan {
    let talks = [0, 1].map(|opener| TalkPlan::context(opener, values, values));
    let mut plan = Plan::of(name, talks.into());
    plan.prompt = true;
    plan
}

/// The two of them without values, cancelled from anywhere over a link that may end anywhere.
fn crossing_cancels() -> Plan {
    let mut plan = crossing("2 dialogs that are cancelled", &[]);
    plan.cancels = 1;
    plan.cuts = true;
    plan
}

/// Two dialogs of these openers, a value each way, cancelled by anyone over a link that may end
/// anywhere, whose frames come in any order but each dialog's own.
fn apart(name: &'static str, openers: &[usize], value: usize) -> Plan {
    let mut plan = contexts(name, openers, &[value], &[value]);
    (plan.prompt, plan.apart, plan.drops) = (true, true, false);
    plan
}

/// Dialogs of these openers, cancelled from anywhere over a link that may end anywhere.
fn contexts(name: &'static str, openers: &[usize], up: &[usize], down: &[usize]) -> Plan {
    let talks = openers.iter().map(|opener| TalkPlan::context(*opener, up, down));
    let mut plan = Plan::of(name, talks.collect());
    plan.cancels = 1;
    plan.drops = true;
    plan.others = true;
    plan.cuts = true;
    plan
}

/// One dialog with values of half a window, so that a window holds two of them: the whole of it.
fn halves() -> Plan {
    contexts("1 dialog x 3 yields x window 2", &[0], &[496; 3], &[496; 3])
}

/// Costs of one byte less and more than a window, and of next to nothing; readers that want no more,
/// senders that stop early.
fn edges(name: &'static str, up: &[usize], down: &[usize]) -> Plan {
    let mut plan = contexts(name, &[0], up, down);
    plan.done = true;
    plan.early_stop = true;
    plan
}

/// The same where arguments, values and what is around them need two frames each.
fn fragments(name: &'static str, up: &[usize], down: &[usize]) -> Plan {
    let mut plan = contexts(name, &[0], up, down);
    plan.max_frame = 1024;
    // Between what one value that needs two frames costs, and another.
    plan.window = 1072;
    plan.talks[0].args = 1000;
    plan
}

/// What CI explores.
#[must_use]
pub fn ci() -> Vec<Row> {
    let family = Family { members: 3, cancels: 2, wrong: false };
    let child = Child { cancels: 2, wrong: false };
    let mut rows = vec![
        Row::of("nursery", family, (32_360, 278_620)),
        Row::of("ladder", child, (850_253, 5_448_497)),
        Row::pair(call(), (68_440, 194_033)),
        Row::pair(small(), (35_324, 94_167)),
        Row::pair(halves(), (2_526_618, 8_747_754)),
        Row::pair(crossing("2 dialogs x 1 yield each way", &[496]), (1_905_394, 5_250_114)),
        Row::pair(crossing_cancels(), (474_648, 1_323_551)),
        Row::pair(
            apart("2 dialogs of two openers x 1 yield, apart", &[0, 1], 1),
            (11_816_282, 38_145_483),
        ),
        Row::pair(
            edges("1 dialog, more than a window up, less down", &[1009], &[1, 1007]),
            (4_036_034, 13_764_058),
        ),
        Row::pair(fragments("1 dialog, fragments", &[1039], &[1041]), (166_114, 540_974)),
    ];
    let hostile = worlds::all().into_iter();
    rows.extend(hostile.map(|(plan, counts)| {
        let said = Some(plan.said());
        Row { said, ..Row::of(plan.name, plan, counts) }
    }));
    rows
}

/// What is explored beyond that, as far as time and memory allow.
#[must_use]
pub fn deep() -> Vec<Row> {
    let one_opener = apart("2 dialogs of one opener x 1 yield, apart", &[0, 0], 1);
    let mut rows = vec![Row::pair(one_opener, (24_738_615, 76_296_967))];
    let open = [
        apart("2 dialogs of two openers x half a window, apart", &[0, 1], 496),
        edges("1 dialog, less than a window up, more down", &[1, 1007], &[1009]),
        edges("1 dialog x 3 yields at the window's edges", &[1, 1007, 1009], &[1, 1007, 1009]),
        fragments("1 dialog x 3 yields, fragments", &[1, 1039, 1041], &[1, 1039, 1041]),
    ];
    rows.extend(open.map(|plan| Row::pair(plan, (0, 0))));
    rows
}
