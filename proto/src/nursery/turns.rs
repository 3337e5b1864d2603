//! How many children are asked to end at a time. Each has but so long for its answer (P-T1), and a
//! thousand that share a core need longer than that for a thousand answers: they are asked one after
//! the other, and what is silent then is silent by itself.
//!
//! Nothing here knows which child it is.

use core::time::Duration;

/// So many may be asked and have not answered yet.
pub const AT_ONCE: usize = 64;

/// The turns that are taken, as a number.
///
/// - Wish: [`take`](Self::take).
/// - Fact: [`handle_over`](Self::handle_over).
/// - Look: [`patience`](Self::patience).
#[derive(Clone, Debug, Default)]
pub struct Turns {
    taken: usize,
}

impl Turns {
    /// All are free.
    #[must_use]
    pub const fn new() -> Self {
        Self { taken: 0 }
    }

    /// Takes a turn for one that is to be asked now; says whether there was one.
    #[must_use]
    pub const fn take(&mut self) -> bool {
        let free = self.taken < AT_ONCE;
        if free {
            self.taken = self.taken.saturating_add(1);
        }
        free
    }

    /// One that has a turn has answered, or is not asked any more.
    pub const fn handle_over(&mut self) {
        self.taken = self.taken.saturating_sub(1);
    }

    /// How long a child that is to end within `rest` may wait for its turn. Then it is asked without
    /// one: others are silent for good, and what is left is still the time of a teardown.
    #[must_use]
    pub fn patience(rest: Duration) -> Duration {
        rest.checked_div(2).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_t1_so_many_have_a_turn_at_a_time() {
        let mut turns = Turns::new();
        assert!((0..AT_ONCE).all(|_| turns.take()));
        assert!(!turns.take());
        turns.handle_over();
        assert!(turns.take() && !turns.take());
        (0..=AT_ONCE).for_each(|_| turns.handle_over());
        assert!((0..AT_ONCE).all(|_| turns.take()) && !turns.take());
        assert_eq!(Turns::patience(Duration::from_secs(4)), Duration::from_secs(2));
    }
}
