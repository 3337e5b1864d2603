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

/// A clock that can be made to stand, and is that much behind from then on (P-T2). A machine that has
/// one keeps its deadlines by what it shows, so that none moves closer while it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clock {
    /// Since when it stands; never where it runs.
    since: Instant,
    /// What it is behind by, in microseconds.
    behind: u64,
}

impl Default for Clock {
    fn default() -> Self {
        Self { since: Instant::FAR_FUTURE, behind: 0 }
    }
}

impl Clock {
    /// It stands from here on. Again: nothing.
    pub(crate) fn hold(&mut self, now: Instant) {
        self.since = self.since.min(now);
    }

    /// It goes on; says how long it has stood. Where it runs: nothing.
    pub(crate) fn resume(&mut self, now: Instant) -> Duration {
        let stood = now.0.saturating_sub(self.since.0);
        self.since = Instant::FAR_FUTURE;
        self.behind = self.behind.saturating_add(stood);
        Duration::from_micros(stood)
    }

    pub(crate) fn stands(&self) -> bool {
        self.since < Instant::FAR_FUTURE
    }

    /// What it shows at `now`.
    pub(crate) fn at(&self, now: Instant) -> Instant {
        Instant(now.min(self.since).0.saturating_sub(self.behind))
    }

    /// When it shows `at`; nobody knows while it stands.
    pub(crate) fn due(&self, at: Instant) -> Option<Instant> {
        (!self.stands()).then(|| Instant(at.0.saturating_add(self.behind)))
    }
}

/// What a level keeps of `rest` for itself when it hands time down: the `d` of the protocol.
pub(crate) fn step(rest: Duration) -> Duration {
    (rest / 32).clamp(SHORTEST_STEP, LONGEST_STEP).min(rest / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_t2_a_clock_that_stood_is_as_much_behind() {
        let at = Instant::from_micros;
        let mut clock = Clock::default();
        assert_eq!((clock.at(at(7)), clock.due(at(9))), (at(7), Some(at(9))));
        clock.hold(at(10));
        clock.hold(at(12));
        assert_eq!((clock.at(at(15)), clock.due(at(20)), clock.stands()), (at(10), None, true));
        assert_eq!(clock.resume(at(30)), Duration::from_micros(20));
        assert_eq!(clock.resume(at(40)), Duration::ZERO);
        assert_eq!((clock.at(at(35)), clock.due(at(20))), (at(15), Some(at(40))));
        clock.hold(at(50));
        clock.resume(at(55));
        assert_eq!(clock.at(at(60)), at(35));
        assert_eq!(clock.due(Instant::FAR_FUTURE), Some(Instant::FAR_FUTURE));
    }
}
