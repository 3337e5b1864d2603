//! How many children are kept waiting, and when another is started (P-L7).
//!
//! One at a time, so that what is started in earnest is never behind more than one; and none that
//! dies is replaced without end. Nothing here knows which child it is.

use core::time::Duration;

use crate::time::Instant;

/// The pause after the first of several deaths in a row; after each further one it is twice as long.
pub const PAUSE: Duration = Duration::from_millis(50);
/// After so many deaths in a row none is started any more.
pub const DEATHS: u32 = 6;
/// Who has waited so long does not die of how it was started.
pub const LONG: Duration = Duration::from_secs(10);

/// The children that wait, as numbers.
///
/// - Looks: [`wants_another`](Self::wants_another), [`is_full`](Self::is_full),
///   [`has_given_up`](Self::has_given_up), [`surplus`](Self::surplus).
/// - Facts: `handle_*`.
/// - Wish: [`want`](Self::want).
/// - Out: [`poll_timeout`](Self::poll_timeout).
#[derive(Clone, Debug, Default)]
pub struct Waiting {
    wanted: usize,
    /// Those that have greeted.
    ready: usize,
    /// Those that are on their way there.
    coming: usize,
    /// Deaths in a row.
    deaths: u32,
    /// When the pause after the last of them ends.
    resume: Option<Instant>,
}

impl Waiting {
    /// None, and none is wanted.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many there are to be from here on. What died before is forgotten.
    pub const fn want(&mut self, count: usize) {
        self.wanted = count;
        self.handle_lived();
    }

    /// Whether any are wanted at all.
    #[must_use]
    pub const fn is_used(&self) -> bool {
        self.wanted > 0
    }

    /// Whether one is to be started now.
    #[must_use]
    pub fn wants_another(&self, now: Instant) -> bool {
        self.is_short() && self.resume.is_none_or(|resume| resume <= now)
    }

    /// Whether as many wait as are wanted.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.ready >= self.wanted
    }

    /// How many wait, or are about to, that are not wanted any more.
    #[must_use]
    pub const fn surplus(&self) -> usize {
        self.ready.saturating_add(self.coming).saturating_sub(self.wanted)
    }

    /// Whether none is started any more since too many have died in a row.
    #[must_use]
    pub const fn has_given_up(&self) -> bool {
        self.deaths >= DEATHS
    }

    /// One is being started.
    pub const fn handle_begun(&mut self) {
        self.coming = self.coming.saturating_add(1);
    }

    /// It has greeted.
    pub const fn handle_greeted(&mut self) {
        self.coming = self.coming.saturating_sub(1);
        self.ready = self.ready.saturating_add(1);
    }

    /// One is no longer among them, because it was taken or is not wanted any more.
    pub const fn handle_gone(&mut self, greeted: bool) {
        if greeted {
            self.ready = self.ready.saturating_sub(1);
        } else {
            self.coming = self.coming.saturating_sub(1);
        }
    }

    /// One has died; `greeted` is when it began to wait, if it came to that.
    pub fn handle_died(&mut self, now: Instant, greeted: Option<Instant>) {
        self.handle_gone(greeted.is_some());
        if greeted.is_some_and(|at| now.since(at) >= LONG) {
            self.deaths = 0;
        }
        let doublings = self.deaths.min(DEATHS);
        self.deaths = self.deaths.saturating_add(1);
        self.resume = Some(now + PAUSE.saturating_mul(1 << doublings));
    }

    /// An actor of this image is up: it need not die.
    pub const fn handle_lived(&mut self) {
        self.deaths = 0;
        self.resume = None;
    }

    /// When [`wants_another`](Self::wants_another) is to be asked again. A pure function of the state.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.resume.filter(|_| self.is_short())
    }

    const fn is_short(&self) -> bool {
        self.coming == 0 && self.ready < self.wanted && !self.has_given_up()
    }
}
