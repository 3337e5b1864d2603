//! Descriptors in the books of a dialog: what they cost who sends them, and how they are named (P-F6).

use super::{Dialog, Outgoing};
use crate::limits::Limits;
use crate::passed::Passed;
use crate::wire::Tag;

/// What so many descriptors cost the sender of a value beyond its bytes, of a window of so many.
fn shares(count: usize, window: u64) -> u64 {
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    count.saturating_mul(window / Limits::DESCRIPTOR_SHARES)
}

impl Outgoing {
    /// Has these descriptors go with it.
    pub(crate) fn carry(&mut self, passed: Passed) {
        self.head.insert(0, u8::try_from(passed.handles().len()).unwrap_or(u8::MAX));
        self.passed = passed;
    }
}

impl Dialog {
    /// What they cost this side, beyond the value that they go with.
    pub(crate) fn pay(&mut self, passed: &Passed) {
        let cost = shares(passed.handles().len(), self.ceiling.unsigned_abs());
        self.balance = self.balance.saturating_sub(i64::try_from(cost).unwrap_or(i64::MAX));
    }

    /// What so many cost the peer, with a message of this kind: those of arguments and results wait for
    /// no credit.
    pub(crate) fn cost_of_descriptors(&self, tag: Tag, count: u8) -> u64 {
        match tag {
            Tag::Started | Tag::Yield if count > 0 => shares(count.into(), self.window.into()),
            _ => 0,
        }
    }

    /// Takes those of what was taken last: arguments, a first value, a value.
    pub(crate) fn take_passed(&mut self) -> Passed {
        self.inbox.passed.take()
    }
}
