//! How many children are asked to end at a time. Each has but so long for its answer (P-T1), and a
//! thousand that share a core need longer than that for a thousand answers: they are asked one after
//! the other, and what is silent then is silent by itself.
//!
//! Nothing here knows which child it is.

use core::time::Duration;

/// So many may be asked and have not answered yet.
pub const AT_ONCE: usize = 64;

/// Those that are being asked, as a number.
///
/// - Wish: [`begin`](Self::begin).
/// - Fact: [`handle_over`](Self::handle_over).
/// - Look: [`patience`](Self::patience).
#[derive(Clone, Debug, Default)]
pub struct Asking {
    asked: usize,
}

impl Asking {
    /// None is.
    #[must_use]
    pub const fn new() -> Self {
        Self { asked: 0 }
    }

    /// One more is to be asked now; says whether it may.
    #[must_use]
    pub const fn begin(&mut self) -> bool {
        let free = self.asked < AT_ONCE;
        if free {
            self.asked = self.asked.saturating_add(1);
        }
        free
    }

    /// One that was asked has answered, or is not asked any more.
    pub const fn handle_over(&mut self) {
        self.asked = self.asked.saturating_sub(1);
    }

    /// How long a child that is to end within `rest` may wait to be asked. Then it is asked beside the
    /// others: they are silent for good, and what is left is still the time of a teardown.
    #[must_use]
    pub fn patience(rest: Duration) -> Duration {
        rest.checked_div(2).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_t1_so_many_are_asked_at_a_time() {
        let mut asking = Asking::new();
        assert!((0..AT_ONCE).all(|_| asking.begin()));
        assert!(!asking.begin());
        asking.handle_over();
        assert!(asking.begin() && !asking.begin());
        (0..=AT_ONCE).for_each(|_| asking.handle_over());
        assert!((0..AT_ONCE).all(|_| asking.begin()) && !asking.begin());
        assert_eq!(Asking::patience(Duration::from_secs(4)), Duration::from_secs(2));
    }
}
