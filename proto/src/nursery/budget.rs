//! How a teardown's time is divided: each level keeps a little for itself and hands the rest down,
//! so that the lower level always ends first.

use core::time::Duration;

use crate::time::{LONGEST_STEP, step};

/// What a root's child gets by default, from being asked to having been reaped.
pub const DEFAULT: Duration = Duration::from_millis(4600);
/// What is left to an actor whose parent is gone (P-T4).
pub const ORPHAN: Duration = Duration::from_secs(1);

/// What the kernel has from SIGKILL on before a process is called unkillable. It may go over a
/// budget, by less than this.
pub const REAP: Duration = Duration::from_millis(250);

/// Below this there is no time for asking.
pub const LOWEST: Duration = Duration::from_millis(20);
const HALF_SECOND: Duration = Duration::from_millis(500);

/// The rungs of one teardown, as durations from its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// What the child is asked to be done in: at least half of the whole.
    pub grace: Duration,
    /// When its silence to the request counts as a refusal.
    pub ack: Duration,
    /// When SIGTERM is sent.
    pub terminate: Duration,
    /// When SIGKILL is sent.
    pub kill: Duration,
    /// When the teardown is over, whatever came of it; where it came to SIGKILL, not before
    /// [`REAP`] has passed since.
    pub over: Duration,
}

impl Budget {
    /// Divides `rest`: `d = min(clamp(rest / 32, 20 ms, 100 ms), rest / 4)` for each rung of force.
    /// Below 20 ms there is no time for asking: SIGKILL at once. A start that is under way then has
    /// 100 ms, since nothing is started in no time.
    #[must_use]
    pub fn of(rest: Duration) -> Self {
        let zero = Duration::ZERO;
        if rest < LOWEST {
            return Self {
                grace: zero,
                ack: zero,
                terminate: zero,
                kill: zero,
                over: LONGEST_STEP,
            };
        }
        let d = Self::step(rest);
        let kill = rest.saturating_sub(d);
        let terminate = kill.saturating_sub(d);
        Self { grace: terminate, ack: HALF_SECOND.min(rest / 4), terminate, kill, over: rest }
    }

    /// The part that one rung of force takes.
    #[must_use]
    pub fn step(rest: Duration) -> Duration {
        step(rest)
    }

    /// What a child gets whose link was lost without anyone asking: never below what it takes to
    /// end itself (P-T4) and then to be ended by force.
    #[must_use]
    pub fn after_loss(rest: Duration) -> Duration {
        rest.max(ORPHAN.saturating_add(LONGEST_STEP).saturating_add(LONGEST_STEP))
    }

    /// Forces a child that nobody asked: SIGTERM after `rest`, then `d` for each rung.
    pub(super) fn unasked(rest: Duration, d: Duration) -> Self {
        let kill = rest.saturating_add(d);
        Self { grace: rest, ack: rest, terminate: rest, kill, over: kill.saturating_add(d) }
    }
}
