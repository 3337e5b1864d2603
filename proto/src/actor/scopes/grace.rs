//! What a cancelled scope has of the grace, and the clock that stands while a debugger has the terminal.

use alloc::vec::Vec;
use core::time::Duration;

use super::{ScopeId, Scopes};
use crate::time::Instant;

impl Scopes {
    /// Something in this actor, or below it, holds or waits for the terminal: no grace, share or bound
    /// here runs from now on (P-T2). Again: nothing.
    pub fn hold(&mut self, now: Instant) {
        self.clock.hold(now);
    }

    /// Nothing does any more: each is as long as it was. Where none stood: nothing.
    pub fn resume(&mut self, now: Instant) {
        self.clock.resume(now);
    }

    /// The scope's own part of the grace that is left: `left / (1 + n)` with the `n` cancelled
    /// scopes further out that hold children, for they need their part too (P-C2). A shield that
    /// holds the cancel off counts those in it as well: their time comes when its own has ended.
    /// Nothing for a scope that is not cancelled.
    #[must_use]
    pub fn share(&self, id: ScopeId, now: Instant) -> Duration {
        self.share_at(id, self.clock.at(now))
    }

    /// The same at what the clock shows.
    pub(super) fn share_at(&self, id: ScopeId, now: Instant) -> Duration {
        let Some(state) = self.cancelled(id) else { return Duration::ZERO };
        let left = state.deadline.since(now);
        let mut parts = 1_u32.saturating_add(self.held_back(id));
        let mut around = self.scopes.get(&id).and_then(|scope| scope.parent);
        while let Some(scope) = around.and_then(|id| self.scopes.get(&id)) {
            if scope.holding && scope.cancel.is_some() {
                parts = parts.saturating_add(1);
            }
            around = scope.parent;
        }
        left.checked_div(parts).unwrap_or(left)
    }

    /// How many scopes that hold children end one after the other once a shield has let the cancel
    /// through; 0 for what is no shield, or is one that does not hold anything off.
    fn held_back(&self, id: ScopeId) -> u32 {
        let mut deepest = 0_u32;
        let mut reached: Vec<(ScopeId, u32)> = match self.scopes.get(&id) {
            Some(scope) if scope.shield.holds() => scope.below.iter().map(|id| (*id, 0)).collect(),
            _ => return 0,
        };
        while let Some((id, above)) = reached.pop() {
            let Some(scope) = self.scopes.get(&id) else { continue };
            let here = above.saturating_add(u32::from(scope.holding));
            deepest = deepest.max(here);
            reached.extend(scope.below.iter().map(|below| (*below, here)));
        }
        deepest
    }
}
