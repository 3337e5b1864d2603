//! What a seed makes of a world: how large it is, within which limits, and which faults befall it.

use std::time::Duration;

use hatchery_proto::Limits;

use super::dice::Dice;

/// The parameters of one world.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    /// No faults of processes and links; only programs' own failures and cancels. Then nobody has
    /// to be ended by force.
    pub(super) calm: bool,
    /// Which kinds of faults there are, and how many of them.
    pub(super) faults: Vec<Fault>,
    pub(super) blows: u32,
    /// When all is healed; programs come to their ends from then on.
    pub(super) heal: Duration,
    /// How the root is asked to end, if it is, and when.
    pub(super) interrupt: Option<Duration>,
    pub(super) twice: Option<Duration>,
    /// What a child's teardown may take at most.
    pub(super) teardown: Duration,
    pub(super) limits: Limits,
    /// Bytes that a link's buffer holds.
    pub(super) room: usize,
    /// How long bytes and news are under way, at most, in microseconds.
    pub(super) latency: u64,
    pub(super) depth: u32,
    pub(super) fan_out: usize,
    pub(super) processes: usize,
    /// How much a body does.
    pub(super) steps: usize,
    /// The largest value that is sent.
    pub(super) value: usize,
    /// A program fails by itself in one of so many steps.
    pub(super) failing: u32,
    pub(super) absorbing: u32,
    pub(super) shields: bool,
    /// Programs cancel what they started, in one of so many steps.
    pub(super) cancelling: u32,
    /// The kernel ends children with their parent.
    pub(super) death_signal: bool,
    /// A thread ends a process a second after its parent.
    pub(super) watchdog: bool,
}

/// What the kinds of faults are called, in their order.
pub const FAULTS: [&str; 14] = [
    "stop",
    "kill",
    "freeze",
    "half-close",
    "freeze-link",
    "swizzle",
    "slow-reader",
    "block",
    "ignore-term",
    "spawn-fails",
    "boot-fails",
    "leak",
    "cancel",
    "delay",
];

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// SIGSTOP.
    Stop,
    /// SIGKILL from outside.
    Kill,
    /// A process that not even SIGKILL ends for now.
    Freeze,
    /// One way of a link is shut down.
    HalfClose,
    /// A link stands still.
    FreezeLink,
    /// Several links stand still, and go on in any order.
    Swizzle,
    /// An end reads a few bytes at a time.
    SlowReader,
    /// A process does nothing for a while.
    Block,
    /// SIGTERM is ignored.
    IgnoreTerm,
    /// A child's start fails, or the spawner is stuck.
    SpawnFails,
    /// A process ends before it is up, or is never up.
    BootFails,
    /// Somebody holds a link's descriptor.
    Leak,
    /// A child, a dialog or a nursery is cancelled.
    Cancel,
    /// Bytes are under way for a millisecond and more. Not a blow: links are as slow as they are.
    Delay,
}

const EVERY: [Fault; 13] = [
    Fault::Stop,
    Fault::Kill,
    Fault::Freeze,
    Fault::HalfClose,
    Fault::FreezeLink,
    Fault::Swizzle,
    Fault::SlowReader,
    Fault::Block,
    Fault::IgnoreTerm,
    Fault::SpawnFails,
    Fault::BootFails,
    Fault::Leak,
    Fault::Cancel,
];

impl Shape {
    pub(super) fn new(dice: &mut Dice) -> Self {
        let calm = dice.one_in(3);
        let faults = if calm {
            vec![Fault::Cancel]
        } else {
            let count = dice.between(1, 4);
            (0..count).filter_map(|_| dice.pick(&EVERY)).collect()
        };
        let small = dice.one_in(2);
        let limits = if small {
            Limits {
                max_frame: 1024,
                window: 1024,
                max_message: 8 * 1024,
                max_dialogs: u32::try_from(dice.between(1, 4)).unwrap_or(1),
                ..Limits::default()
            }
        } else {
            Limits::default()
        };
        let heal = dice.millis(20, 4000);
        let interrupt = match dice.below(4) {
            0 => None,
            1 => Some(dice.millis(0, 6000)),
            _ => Some(dice.micros(0, u64::try_from(heal.as_micros()).unwrap_or(0))),
        };
        Self {
            calm,
            blows: if calm { 3 } else { u32::try_from(dice.between(1, 8)).unwrap_or(1) },
            faults,
            heal,
            interrupt,
            // The second leaves no time for anyone to end well.
            twice: (!calm && dice.one_in(6)).then(|| dice.millis(0, 3000)),
            teardown: match dice.below(4) {
                0 | 1 => Duration::from_millis(4600),
                2 => Duration::from_millis(2000),
                _ => Duration::from_millis(1000),
            },
            limits,
            room: if dice.one_in(3) { dice.below(2000) + 64 } else { 64 * 1024 },
            latency: if calm { 200 } else { dice.pick(&[20, 200, 2000, 20_000]).unwrap_or(20) },
            depth: u32::try_from(dice.between(1, 4)).unwrap_or(1),
            fan_out: usize::try_from(dice.between(1, 4)).unwrap_or(1),
            processes: usize::try_from(dice.between(2, 12)).unwrap_or(2),
            steps: usize::try_from(dice.between(2, 8)).unwrap_or(2),
            value: if small { 3000 } else { dice.pick(&[40, 40, 4000, 100_000]).unwrap_or(40) },
            failing: dice.pick(&[8, 40, 100_000]).unwrap_or(40),
            absorbing: dice.pick(&[2, 8, 100_000]).unwrap_or(8),
            shields: dice.one_in(2),
            cancelling: dice.pick(&[6, 30]).unwrap_or(6),
            death_signal: dice.one_in(2),
            watchdog: dice.one_in(2),
        }
    }

    /// A world of a few processes with a short life, so that a fuzzer sees thousands a second. Its
    /// values pass frames and windows, and its buffers are so small that writers wait.
    pub(super) fn small(dice: &mut Dice) -> Self {
        let calm = dice.one_in(4);
        let faults = if calm {
            vec![Fault::Cancel]
        } else {
            (0..2).filter_map(|_| dice.pick(&EVERY)).collect()
        };
        Self {
            calm,
            faults,
            blows: 2,
            heal: dice.millis(5, 60),
            interrupt: dice.one_in(2).then(|| dice.millis(0, 50)),
            twice: (!calm && dice.one_in(6)).then(|| dice.millis(0, 50)),
            teardown: Duration::from_millis(if dice.one_in(2) { 4600 } else { 1000 }),
            limits: Limits {
                max_frame: 1024,
                window: 1024,
                max_message: 4 * 1024,
                max_dialogs: 3,
                ..Limits::default()
            },
            room: if dice.one_in(3) { 200 } else { 64 * 1024 },
            latency: if calm { 200 } else { dice.pick(&[20, 2000]).unwrap_or(20) },
            depth: if dice.one_in(2) { 1 } else { 2 },
            fan_out: 2,
            processes: 2 + dice.below(3),
            steps: 1 + dice.below(3),
            value: if dice.one_in(3) { 1500 } else { 40 },
            failing: dice.pick(&[6, 30]).unwrap_or(6),
            absorbing: dice.pick(&[2, 100_000]).unwrap_or(2),
            shields: true,
            cancelling: 6,
            death_signal: dice.one_in(2),
            watchdog: dice.one_in(2),
        }
    }

    pub(super) fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    /// The longest that any world may take. No rule has this bound, and none needs it: what ends
    /// late breaks the rule that is due at its end, and here only what never ends has to be told.
    pub(super) fn patience(&self) -> Duration {
        self.heal + Duration::from_secs(60)
    }
}
