//! What a tree is to be and what is to happen in it, from a seed alone: the same seed, the same plan.

use fastrand::Rng;
use hatchery_tests::strike::{Action, Hit, Phase};
use serde::{Deserialize, Serialize};

/// What may be done to a process. The order is part of what a seed means.
const ACTIONS: [Action; 9] = [
    Action::Kill,
    Action::Stop,
    Action::Pause,
    Action::Exit(7),
    Action::Panic,
    Action::Abort,
    Action::Close,
    Action::Spin,
    Action::Starve,
];

/// One actor below the root: what it and its opener say to each other, and what it opens itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Node {
    pub(crate) name: String,
    /// Values that it sends to its opener, and that it receives.
    pub(crate) up: u64,
    pub(crate) down: u64,
    /// The bytes beside each value's number.
    pub(crate) fill: usize,
    /// How many calls its opener makes.
    pub(crate) calls: u32,
    /// After how many received values its opener cancels it.
    pub(crate) cancel_at: Option<u64>,
    /// After how many microseconds its opener cancels it.
    pub(crate) timeout: Option<u64>,
    pub(crate) hit: Option<Hit>,
    /// Whether what fails below it fails it too; else each brood is judged and the next is begun.
    pub(crate) raises: bool,
    /// One brood after another, each in a nursery of its own.
    pub(crate) broods: Vec<Vec<Node>>,
}

/// A whole tree.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    pub(crate) root: Node,
    /// The root's whole teardown, in milliseconds.
    pub(crate) teardown: u64,
}

/// How deep trees are, and how many children an actor has, at most.
const DEPTH: u32 = 5;
const FAN: u32 = 4;
/// How many processes one brood of a root may come to.
const PROCESSES: u32 = 14;

impl Tree {
    /// The plan of tree number `index` of a seed.
    pub(crate) fn new(seed: u64, index: u64) -> Self {
        let mut rng = Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ index);
        let mut broods = Vec::new();
        for round in 0..rng.u32(4..8) {
            let mut left = PROCESSES;
            let depth = rng.u32(1..=DEPTH);
            broods.push(brood(&mut rng, &format!("{round}"), depth, &mut left, 4));
        }
        // Some roots do not outlive their tree.
        let hit = rng.bool().then(|| Hit {
            phase: *pick(&mut rng, &[Phase::Started, Phase::Up, Phase::StreamingBoth]),
            action: *pick(&mut rng, &[Action::Kill, Action::Kill, Action::Stop, Action::Abort]),
        });
        let hit = hit.filter(|_| index % 4 == 3);
        let root = Node { name: "root".to_owned(), hit, broods, ..Node::default() };
        Self { root, teardown: *pick(&mut rng, &[250, 250, 400, 800]) }
    }

    /// How many levels of processes it has, the root included.
    pub(crate) fn depth(&self) -> u32 {
        self.root.depth()
    }
}

impl Node {
    fn depth(&self) -> u32 {
        1 + self.broods.iter().flatten().map(Node::depth).max().unwrap_or(0)
    }
}

fn pick<'a, T>(rng: &mut Rng, from: &'a [T]) -> &'a T {
    &from[rng.usize(0..from.len())]
}

fn brood(rng: &mut Rng, above: &str, depth: u32, left: &mut u32, most: u32) -> Vec<Node> {
    let mut nodes = Vec::new();
    for index in 0..rng.u32(1..=most.min(FAN)) {
        if *left == 0 {
            break;
        }
        *left -= 1;
        nodes.push(node(rng, format!("{above}.{index}"), depth - 1, left));
    }
    nodes
}

fn node(rng: &mut Rng, name: String, depth: u32, left: &mut u32) -> Node {
    let mut node = Node {
        up: *pick(rng, &[0, 1, 40, 400]),
        down: *pick(rng, &[0, 1, 40, 400]),
        fill: *pick(rng, &[0, 0, 100, 5000]),
        calls: rng.u32(0..3),
        raises: rng.bool(),
        ..Node::default()
    };
    if rng.u32(0..10) < 5 {
        let phase = *pick(rng, &Phase::ALL);
        let action = if rng.u32(0..10) < 7 { Action::Kill } else { *pick(rng, &ACTIONS) };
        node.be_hit(phase, possible(phase, action));
        if matches!(action, Action::Stop | Action::Spin) {
            // It is no failure until somebody wants it to end.
            node.timeout = Some(rng.u64(1_000..50_000));
        }
    } else if rng.u32(0..8) == 0 && node.up > 1 {
        node.cancel_at = Some(rng.u64(0..node.up));
    } else if rng.u32(0..8) == 0 {
        node.timeout = Some(rng.u64(0..20_000));
    }
    if depth > 0 {
        for round in 0..rng.u32(0..3) {
            node.broods.push(brood(rng, &format!("{name}-{round}"), depth, left, 3));
        }
    }
    node.name = name;
    node
}

/// What hangs before it has come to the entry, or before it is up, is waited for as long as a start
/// may take, and is not yet tied to its parent: that is for the matrix.
fn possible(phase: Phase, action: Action) -> Action {
    match action {
        Action::Stop | Action::Spin if phase <= Phase::Connected => Action::Kill,
        _ => action,
    }
}

impl Node {
    /// Makes what it does lead through the phase.
    pub(crate) fn be_hit(&mut self, phase: Phase, action: Action) {
        match phase {
            Phase::StreamingUp => (self.up, self.down) = (400, 0),
            Phase::StreamingDown => (self.up, self.down) = (0, 400),
            Phase::StreamingBoth => (self.up, self.down) = (400, 400),
            Phase::CancelSent | Phase::Acked => {
                self.up = self.up.max(2);
                self.cancel_at = Some(1);
            }
            _ => {}
        }
        self.hit = Some(Hit { phase, action });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_is_the_same_plan() {
        let plans = |seed| (0..20).map(move |index| format!("{:?}", Tree::new(seed, index)));
        assert!(plans(3).eq(plans(3)));
        assert!(!plans(3).eq(plans(4)));
    }
}
