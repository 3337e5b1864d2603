//! How a root comes to its registrar, and how often one is asked that does not answer: which attempt
//! it is, what follows from what was found, and how long to wait until the next (P-R13, P-R14). Asks
//! nobody, and waits for nothing: the driver does, and says what came of it.

use core::time::Duration;

/// How a root comes to a registrar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Terms {
    /// It joins the one that is there, or becomes it.
    #[default]
    Either,
    /// There has to be one,
    Join,
    /// or none.
    Found,
}

/// What was found at the address of a registrar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Found {
    /// An actor that is one.
    Registrar,
    /// Nobody listens there.
    Nobody,
    /// Somebody who is none, or has said nothing for [`Election::PATIENCE`].
    Other,
    /// The address was to be bound, and somebody else has it: one who was faster and is about to
    /// answer, perhaps.
    Taken,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[must_use]
pub enum Step {
    /// Join the registrar that has answered.
    Join,
    /// Bind the address, and be the registrar; or say that it is [`Found::Taken`].
    Become,
    /// Ask again, once so long has passed.
    Ask(Duration),
    /// Give up.
    Fail(NoRegistrar),
}

/// Why a root has not come to a registrar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NoRegistrar {
    /// There is one, and was to be none.
    Exists,
    /// There is none, and was to be one.
    Nobody,
    /// Whoever has the address is none.
    Occupied,
}

/// A root on its way to one registrar: each time tell by [`handle`](Self::handle) what was found.
#[derive(Clone, Debug)]
pub struct Election {
    terms: Terms,
    /// How often somebody was asked who did not answer as a registrar does.
    asked: u32,
}

impl Election {
    /// How often somebody is asked who does not answer as a registrar does.
    pub const ATTEMPTS: u32 = 3;
    /// And for how long each time.
    pub const PATIENCE: Duration = Duration::from_secs(1);
    /// From the first time to the second; once more each time.
    pub const PAUSE: Duration = Duration::from_millis(50);

    /// Nobody was asked yet.
    #[must_use]
    pub const fn new(terms: Terms) -> Self {
        Self { terms, asked: 0 }
    }

    /// What follows from what was found (P-R13).
    pub fn handle(&mut self, found: Found) -> Step {
        match (found, self.terms) {
            (Found::Registrar, Terms::Found) => Step::Fail(NoRegistrar::Exists),
            (Found::Registrar, Terms::Either | Terms::Join) => Step::Join,
            (Found::Nobody, Terms::Join) => Step::Fail(NoRegistrar::Nobody),
            (Found::Nobody, Terms::Either | Terms::Found) => Step::Become,
            (Found::Other | Found::Taken, _) => {
                self.asked = self.asked.saturating_add(1);
                if self.asked >= Self::ATTEMPTS {
                    return Step::Fail(NoRegistrar::Occupied);
                }
                Step::Ask(Self::PAUSE.saturating_mul(self.asked))
            }
        }
    }
}

/// How long to wait before a registrar that was lost, or is away, is asked again, and before those of a
/// name that could not be reached are tried again (P-R14).
#[derive(Clone, Debug)]
pub struct Backoff {
    next: Duration,
}

impl Backoff {
    /// At first.
    pub const FIRST: Duration = Duration::from_millis(50);
    /// At most.
    pub const MOST: Duration = Duration::from_secs(2);

    /// Nothing was tried yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { next: Self::FIRST }
    }

    /// How long to wait before the next attempt; each time twice as long, up to [`MOST`](Self::MOST).
    #[must_use]
    pub fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = pause.saturating_mul(2).min(Self::MOST);
        pause
    }

    /// What an attempt has come to was lost after so long. If that was short, two that take an
    /// address from each other may be at it, which they are not to do all the time.
    pub fn handle_lost(&mut self, held: Duration) {
        if held > Self::MOST {
            *self = Self::new();
        }
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    const FOUND: [Found; 4] = [Found::Registrar, Found::Nobody, Found::Other, Found::Taken];
    const TERMS: [Terms; 3] = [Terms::Either, Terms::Join, Terms::Found];

    #[test]
    fn p_r13_disc_01_what_is_found_decides_under_each_of_the_terms() {
        let first = |terms, found| Election::new(terms).handle(found);
        let again = Step::Ask(Duration::from_millis(50));
        for (terms, steps) in TERMS.into_iter().zip([
            [Step::Join, Step::Become, again, again],
            [Step::Join, Step::Fail(NoRegistrar::Nobody), again, again],
            [Step::Fail(NoRegistrar::Exists), Step::Become, again, again],
        ]) {
            assert_eq!(FOUND.map(|found| first(terms, found)), steps, "{terms:?}");
        }
    }

    #[test]
    fn p_r13_disc_02_who_does_not_answer_is_asked_three_times_and_no_more() {
        for terms in TERMS {
            for silent in [Found::Other, Found::Taken] {
                let mut election = Election::new(terms);
                let pauses = [50, 100].map(|millis| Step::Ask(Duration::from_millis(millis)));
                assert_eq!([election.handle(silent), election.handle(silent)], pauses);
                let failed = Step::Fail(NoRegistrar::Occupied);
                assert_eq!([election.handle(silent), election.handle(silent)], [failed; 2]);
            }
        }
    }

    /// In every order of what may be found, it comes to an end, and binds nothing that is occupied.
    #[test]
    fn p_r13_every_way_ends_and_nobody_is_replaced() {
        fn walk(election: &Election, found: Found, asked: u32) -> u32 {
            let mut election = election.clone();
            match (found, election.handle(found)) {
                (Found::Registrar, Step::Join | Step::Fail(NoRegistrar::Exists))
                | (Found::Nobody, Step::Fail(NoRegistrar::Nobody))
                | (Found::Other | Found::Taken, Step::Fail(NoRegistrar::Occupied)) => asked,
                // It is bound, and that is the end; or somebody was faster.
                (Found::Nobody, Step::Become) => {
                    walk(&election, Found::Taken, asked + 1).max(asked)
                }
                (Found::Other | Found::Taken, Step::Ask(_)) => {
                    let ways = FOUND.map(|next| walk(&election, next, asked + 1));
                    ways.into_iter().max().unwrap_or(asked)
                }
                other => panic!("{other:?}"),
            }
        }
        for terms in TERMS {
            for found in FOUND {
                assert!(walk(&Election::new(terms), found, 1) <= 2 * Election::ATTEMPTS);
            }
        }
    }

    #[test]
    fn p_r14_pauses_double_up_to_their_most() {
        let mut backoff = Backoff::new();
        let pauses: Vec<_> = (0..8).map(|_| backoff.pause().as_millis()).collect();
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1600, 2000, 2000]);
    }

    #[test]
    fn p_r14_what_was_held_for_long_begins_anew_and_what_was_not_goes_on() {
        let mut backoff = Backoff::new();
        let _ = (backoff.pause(), backoff.pause());
        backoff.handle_lost(Backoff::MOST);
        assert_eq!(backoff.pause().as_millis(), 200, "two may be at it");
        backoff.handle_lost(Backoff::MOST + Duration::from_micros(1));
        assert_eq!(backoff.pause(), Backoff::FIRST);
    }
}
