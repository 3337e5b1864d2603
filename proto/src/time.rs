//! Time as the core sees it: a count handed in by the driver. No clock may be read here.

use core::ops::Add;
use core::time::Duration;

const SHORTEST_STEP: Duration = Duration::from_millis(20);
pub(crate) const LONGEST_STEP: Duration = Duration::from_millis(100);

/// A point on the driver's monotonic clock, in microseconds since an epoch of its choosing.
///
/// Arithmetic saturates: a deadline too far away to be represented never comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The latest representable point: a deadline that never comes.
    pub const FAR_FUTURE: Self = Self(u64::MAX);

    /// The point `micros` microseconds after the driver's epoch.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the driver's epoch.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to `self`, or zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, rest: Duration) -> Self {
        let micros = u64::try_from(rest.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(micros))
    }
}

/// What a level keeps of `rest` for itself when it hands time down: the `d` of the protocol.
pub(crate) fn step(rest: Duration) -> Duration {
    (rest / 32).clamp(SHORTEST_STEP, LONGEST_STEP).min(rest / 4)
}
