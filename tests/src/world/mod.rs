//! Whole trees of actors in one thread: virtual processes, links, clocks and signals around the
//! machines that the runtime drives too (`Connection`, `Ladder`, `Nursery`, `Scopes`, `Shutdown`).
//!
//! A seed makes the tree, what its programs do, and the faults that befall it. Then everything is
//! healed, and everything must end; what must hold meanwhile is checked in `ledger`. Nothing here
//! knows a real clock, a real process or a thread, so a seed says all there is to say about a run.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `dice` | chances from the seed, or from a fuzzer |
//! | `shape` | what a seed makes of a world: sizes, limits, which faults |
//! | `wire` | bytes under way |
//! | `process` | processes: running, stopped, blocked, frozen, dead; signals |
//! | `link` | one end of a link: bytes, events, dialogs |
//! | `supervisor` | a child as its parent keeps it: its ladder |
//! | `rooms` | nurseries |
//! | `task` | tasks and their scopes, and how a cancel reaches them |
//! | `program` | what tasks do, at random |
//! | `life` | a process's own life: boot, obedience, the order of its end |
//! | `faults` | what befalls a world, and that it is healed |
//! | `ledger` | what must hold |

mod dice;
mod faults;
mod ledger;
mod life;
mod link;
mod process;
mod program;
mod rooms;
mod shape;
mod supervisor;
mod task;
mod wire;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt::Write as _;

use hatchery_proto::{ExitStatus, Instant};

use dice::Dice;
use ledger::Ledger;
use link::End;
use process::{Process, Signal};
use shape::Shape;
use supervisor::Child;
use wire::Wire;

pub use shape::FAULTS;

/// How a run is to be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Keep a log.
    pub log: bool,
    /// A fault of the world's own driver, which the checks have to find.
    pub planted: Option<Planted>,
}

/// A fault that no conforming driver or link has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// Some bytes of a link are lost.
    LostBytes,
    /// A child's exit is not told to its supervisor.
    SwallowedExit,
    /// A request to cancel is never given to the task.
    DeafTask,
    /// A member's failure is told to its nursery as a good end.
    SwallowedFailure,
    /// A child does not notice that its parent's link has ended.
    DeafChild,
    /// A task's end is not told to whoever opened it.
    SwallowedTerminal,
}

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// Requests to cancel, of actors, dialogs and nurseries.
    pub cancels: u64,
    /// Processes that were ended by a signal.
    pub kills: u64,
    /// How often each kind of fault took effect, in the order of [`FAULTS`].
    pub faults: [u64; FAULTS.len()],
    /// What did not hold.
    pub violations: Vec<String>,
    /// What happened, one line each, if that was wanted.
    pub log: String,
}

/// The seed of one run out of many.
#[must_use]
pub fn seed_of(seed: u64, run: u64) -> u64 {
    // SplitMix64's finisher, so that neighbours have nothing in common.
    let mut mixed = seed.wrapping_add(run.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Makes a world from this seed and sees it to its end.
#[must_use]
pub fn run(seed: u64, options: Options) -> Run {
    let mut dice = Dice::new(seed);
    let shape = Shape::new(&mut dice);
    World::new(dice, shape, options).run(&format!("seed {seed:#018x}"))
}

/// Makes a small world from what a fuzzer chose and sees it to its end.
#[must_use]
pub fn run_chosen(bytes: &[u8], options: Options) -> Run {
    let mut dice = Dice::of_bytes(bytes);
    let shape = Shape::small(&mut dice);
    World::new(dice, shape, options).run(&format!("{} chosen bytes", bytes.len()))
}

/// Something that is to happen.
#[derive(Debug)]
enum What {
    /// A process looks around.
    Look(usize),
    /// The spawner begins a child, or has done so.
    Spawn(usize),
    Signal(usize, Signal),
    Exited(usize, ExitStatus),
    Fault,
    Heal,
    /// A frozen way goes on.
    Thaw(usize, usize),
    /// The watchdog of a process whose parent has died.
    Watchdog(usize),
    /// Somebody asks the root to end.
    Interrupt,
}

#[derive(Debug)]
struct Due {
    at: Instant,
    turn: u64,
    what: What,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.turn == other.turn
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.turn).cmp(&(other.at, other.turn))
    }
}

/// Everything.
#[derive(Debug)]
struct World {
    now: Instant,
    dice: Dice,
    shape: Shape,
    options: Options,
    due: BinaryHeap<Reverse<Due>>,
    turns: u64,
    processes: Vec<Process>,
    children: Vec<Child>,
    wires: Vec<Wire>,
    /// Two for each wire: the parent's end first.
    ends: Vec<End>,
    healed: bool,
    ledger: Ledger,
    log: String,
    /// Scratch, for values on their way.
    buffer: Vec<u8>,
}

impl World {
    fn new(dice: Dice, shape: Shape, options: Options) -> Self {
        Self {
            now: Instant::from_micros(1_000_000),
            dice,
            shape,
            options,
            due: BinaryHeap::new(),
            turns: 0,
            processes: Vec::new(),
            children: Vec::new(),
            wires: Vec::new(),
            ends: Vec::new(),
            healed: false,
            ledger: Ledger::default(),
            log: String::new(),
            buffer: Vec::new(),
        }
    }

    fn run(mut self, of: &str) -> Run {
        self.note(|world| format!("a world of {of}: {:?}", world.shape));
        self.live();
        Run {
            cancels: self.ledger.cancels,
            kills: self.ledger.kills,
            faults: self.ledger.faults,
            violations: self.ledger.violations,
            log: self.log,
        }
    }

    /// Lets everything happen until nothing is left to.
    fn live(&mut self) {
        self.open_root();
        self.plan_faults();
        let end = self.now + self.shape.patience();
        while let Some(Reverse(due)) = self.due.pop() {
            if due.at > end || !self.ledger.violations.is_empty() {
                break;
            }
            self.now = due.at;
            self.happen(due.what);
        }
        if self.ledger.violations.is_empty() {
            self.check_end();
        }
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Look(process) => self.look(process),
            What::Spawn(child) => self.spawn(child),
            What::Signal(process, signal) => self.signal(process, signal),
            What::Exited(child, status) => self.exit_known(child, status),
            What::Fault => self.befall(),
            What::Heal => self.heal(),
            What::Thaw(wire, side) => self.thaw(wire, side),
            What::Watchdog(process) => self.watchdog(process),
            What::Interrupt => self.interrupt(),
        }
    }

    fn at(&mut self, at: Instant, what: What) {
        self.turns += 1;
        self.due.push(Reverse(Due { at, turn: self.turns, what }));
    }

    /// Has a process look around no later than then.
    fn wake(&mut self, process: usize, at: Instant) {
        let at = at.max(self.now);
        let known = &mut self.processes[process].wake;
        if at < *known {
            *known = at;
            self.at(at, What::Look(process));
        }
    }

    fn note(&mut self, line: impl FnOnce(&Self) -> String) {
        if self.options.log {
            let line = line(self);
            let at = self.now.as_micros();
            let (seconds, micros) = (at / 1_000_000, at % 1_000_000);
            let _ = writeln!(self.log, "{seconds:>4}.{micros:06} {line}");
        }
    }

    /// Puts something that does not hold down.
    fn violate(&mut self, rule: &str, what: String) {
        let line = format!("{rule}: {what}");
        self.note(|_| format!("VIOLATION {line}"));
        self.ledger.violations.push(line);
    }
}
