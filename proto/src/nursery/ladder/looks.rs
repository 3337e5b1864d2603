//! What is seen of one child's teardown, and how its clock is made to stand. Nothing here moves it on.

use core::time::Duration;

use alloc::vec::Vec;

use super::{Ladder, SIGTERM, State};
use crate::report::{ExitStatus, Rung};
use crate::time::Instant;

impl Ladder {
    /// Where it stands.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// Which rung has been reached.
    #[must_use]
    pub const fn rung(&self) -> Rung {
        self.rung
    }

    /// Whether the force by which it ends is none: it was asked to end before anything ran in it that
    /// could have been asked, however far it has come since.
    #[must_use]
    pub const fn was_taken_back(&self) -> bool {
        self.taken_back
    }

    /// Whether it was asked and has not answered.
    #[must_use]
    pub const fn is_silent(&self) -> bool {
        matches!(self.state, State::Cancelling) && !self.acked
    }

    /// The rungs of its teardown that it has come to by `now`, and how long each has taken.
    #[must_use]
    pub fn rungs(&self, now: Instant) -> Vec<(Rung, Duration)> {
        let now = self.clock.at(now);
        let ends = self.climbed.iter().skip(1).map(|(_, at)| *at).chain([now]);
        self.climbed.iter().zip(ends).map(|((rung, at), end)| (*rung, end.since(*at))).collect()
    }

    /// Which rung ends it, if it ends now and so.
    ///
    /// A process that dies closes its link first, and may be sent SIGTERM for that before its exit
    /// is known: only a death by that very signal is put down to it then.
    #[must_use]
    pub const fn rung_of(&self, status: ExitStatus) -> Rung {
        match (self.rung, self.closed_on, status) {
            (Rung::Terminated, Some(_), ExitStatus::Signal { number: SIGTERM, .. }) => self.rung,
            (Rung::Terminated, Some(closed_on), _) => closed_on,
            (rung, ..) => rung,
        }
    }

    /// Something in the child, or below it, holds or waits for the terminal: from here on its clock
    /// stands (P-T2). What is asked for meanwhile is done, and has its time from the end of that on.
    /// Again: nothing.
    pub fn hold(&mut self, now: Instant) {
        self.clock.hold(now);
    }

    /// Nothing does any more: every deadline is as far off as it was. Where none stood: nothing.
    pub fn resume(&mut self, now: Instant) {
        self.clock.resume(now);
    }

    /// Whether its clock stands.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.clock.stands()
    }
}
