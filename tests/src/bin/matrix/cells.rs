//! The cells: which there are, which cannot be, and which few of them meet every pair.

use std::collections::BTreeSet;
use std::fmt;

use fastrand::Rng;
use hatchery_tests::strike::{Action, Hit, Phase};

/// What is done, in the order of the table.
pub(crate) const ACTIONS: [Action; 10] = [
    Action::Kill,
    Action::Stop,
    Action::Exit(0),
    Action::Exit(3),
    Action::Panic,
    Action::Abort,
    Action::Close,
    Action::Spin,
    Action::Term,
    Action::Int,
];

/// Which end of the link it is done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Child,
    Parent,
}

/// What the two have to do with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Shape {
    /// A call; before the actor is up, a call that is its whole life.
    Call,
    /// A context in which one side sends.
    OneWay,
    /// A context in which both send.
    TwoWay,
    /// An actor of which nothing is asked.
    Daemon,
}

pub(crate) const SIDES: [Side; 2] = [Side::Child, Side::Parent];
pub(crate) const SHAPES: [Shape; 4] = [Shape::Call, Shape::OneWay, Shape::TwoWay, Shape::Daemon];

/// One cell of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cell {
    pub(crate) phase: Phase,
    pub(crate) action: Action,
    pub(crate) side: Side,
    pub(crate) shape: Shape,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{:?}/{:?}/{:?}", self.phase, self.action, self.side, self.shape)
    }
}

impl Cell {
    /// Every combination, those that cannot be included. A cell's place in it is its number.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Phase::ALL.into_iter().flat_map(|phase| {
            ACTIONS.into_iter().flat_map(move |action| {
                SIDES.into_iter().flat_map(move |side| {
                    SHAPES.into_iter().map(move |shape| Self { phase, action, side, shape })
                })
            })
        })
    }

    /// The cell with this number.
    pub(crate) fn numbered(number: usize) -> Option<Self> {
        Self::all().nth(number)
    }

    /// What is done and where.
    pub(crate) fn hit(self) -> Hit {
        Hit { phase: self.phase, action: self.action }
    }

    /// Why there can be no such cell.
    pub(crate) fn left_out(self) -> Option<&'static str> {
        use Phase::*;
        let Self { phase, action, side, shape } = self;
        Some(match (phase, shape) {
            (Spawned | Connected, Shape::OneWay | Shape::TwoWay) => {
                "a context begins when its actor is up: until then the cell is the daemon's"
            }
            (StartSent | StartReceived | Started, Shape::Daemon) => {
                "an actor's own start is read where it is connected"
            }
            (
                StreamingUp | StreamingDown | StreamingBoth | StopSent,
                Shape::Daemon | Shape::Call,
            )
            | (Started, Shape::Call) => "only contexts have a first value and streams",
            (StreamingBoth, Shape::OneWay) => "one way is not both",
            (StreamingUp | StreamingDown, Shape::TwoWay) => "both ways are one phase",
            (Returning | Failing, Shape::Daemon) => "a daemon has no result",
            (Acked, Shape::Daemon) => "what serves nothing shuts down as soon as it has heard",
            (Up, _) if side == Side::Child && matches!(action, Action::Panic | Action::Spin) => {
                "an actor that was asked for nothing runs nothing that could"
            }
            _ => return None,
        })
    }

    /// The cells that can be.
    pub(crate) fn possible() -> Vec<Self> {
        Self::all().filter(|cell| cell.left_out().is_none()).collect()
    }

    /// A few cells in which every pair of phase, action, side and shape is met that any cell meets.
    pub(crate) fn pairwise(rng: &mut Rng) -> Vec<Self> {
        let mut left = Self::possible();
        rng.shuffle(&mut left);
        let mut unmet: BTreeSet<Pair> = left.iter().flat_map(|cell| cell.pairs()).collect();
        let mut chosen = Vec::new();
        while !unmet.is_empty() {
            let meets =
                |cell: &Self| cell.pairs().iter().filter(|pair| unmet.contains(pair)).count();
            let Some(best) = (0..left.len()).max_by_key(|&at| meets(&left[at])) else { break };
            let cell = left.swap_remove(best);
            for pair in cell.pairs() {
                unmet.remove(&pair);
            }
            chosen.push(cell);
        }
        chosen
    }

    fn pairs(self) -> [Pair; 6] {
        let place = |action| ACTIONS.iter().position(|one| *one == action).unwrap_or(0);
        let of = [self.phase as usize, place(self.action), self.side as usize, self.shape as usize];
        [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)].map(|(a, b)| (a, b, of[a], of[b]))
    }
}

/// Two of the four properties, and what they are.
type Pair = (usize, usize, usize, usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f_01_few_cells_meet_every_pair() {
        let every: BTreeSet<Pair> = Cell::possible().iter().flat_map(|cell| cell.pairs()).collect();
        let few = Cell::pairwise(&mut Rng::with_seed(1));
        let met: BTreeSet<Pair> = few.iter().flat_map(|cell| cell.pairs()).collect();
        assert_eq!(met, every);
        assert!(few.len() < Cell::possible().len() / 3, "{}", few.len());
    }
}
