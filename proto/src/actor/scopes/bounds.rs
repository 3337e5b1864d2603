//! Scopes whose time is limited, and what they leave to what is opened from within them (P-C8).

use alloc::boxed::Box;
use core::time::Duration;

use super::{ScopeId, Scopes};
use crate::report::Cancelled;
use crate::time::Instant;

/// When a scope's time is over, and the cancel that it gets then.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    pub(super) at: Instant,
    by: Cancelled,
    grace: Duration,
}

impl Scopes {
    /// It is `now`, and at `at` the scope is cancelled by `by`, with `grace`. Again: the earlier one
    /// holds.
    pub fn bound(
        &mut self,
        id: ScopeId,
        now: Instant,
        at: Instant,
        by: Cancelled,
        grace: Duration,
    ) {
        let at = self.clock.at(now) + at.since(now);
        let Some(scope) = self.scopes.get_mut(&id) else { return };
        if let Some(known) = &scope.bound {
            if known.at <= at {
                return;
            }
            self.bounds.remove(&(known.at, id));
        }
        scope.bound = Some(Box::new(Bound { at, by, grace }));
        self.bounds.insert((at, id));
    }

    /// Whether the scope's bound was what cancelled it: nobody had before.
    #[must_use]
    pub fn expired(&self, id: ScopeId) -> bool {
        self.scopes.get(&id).is_some_and(|scope| scope.expired)
    }

    /// What is left at `now` to what is opened from within the scope: of its bound, of its grace
    /// where it is cancelled, and of those of the scopes around it, as far as no shield holds them
    /// off. Nothing where there is no limit.
    #[must_use]
    pub fn left(&self, id: ScopeId, now: Instant) -> Option<Duration> {
        self.end_of(id).map(|end| end.since(self.clock.at(now)))
    }

    /// Whether there is a limit to what is left, whatever the time is.
    #[must_use]
    pub fn is_limited(&self, id: ScopeId) -> bool {
        self.end_of(id).is_some()
    }

    fn end_of(&self, id: ScopeId) -> Option<Instant> {
        if self.bounds.is_empty() && self.cancelled == 0 {
            return None;
        }
        let mut least: Option<Instant> = None;
        let mut inner = Some(id);
        while let Some(scope) = inner.and_then(|id| self.scopes.get(&id)) {
            let bound = scope.bound.as_ref().map(|bound| bound.at);
            let grace = scope.cancel.as_ref().map(|state| state.deadline);
            // A scope that is cancelled has its grace, which is the part of a bound that is over.
            let end = if scope.expired { grace } else { bound.into_iter().chain(grace).min() };
            least = least.into_iter().chain(end).min();
            if scope.shield.holds() {
                break;
            }
            inner = scope.parent;
        }
        least
    }

    /// Cancels the scopes whose time is over at `now`, by the clock.
    pub(super) fn end_bounds(&mut self, now: Instant) {
        while let Some((at, id)) = self.bounds.first().copied() {
            if at > now {
                return;
            }
            self.bounds.pop_first();
            let Some(scope) = self.scopes.get_mut(&id) else { continue };
            scope.expired = scope.cancel.is_none();
            if let Some(bound) = scope.bound.take() {
                let Bound { by, grace, .. } = *bound;
                self.cancel_at(id, now, by, grace);
            }
        }
    }
}
