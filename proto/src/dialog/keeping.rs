//! What is kept of the values that have arrived, where their reader is slow (P-W6, P-W7). Knows sizes
//! and numbers, never a frame.

use alloc::vec::Vec;

use super::tables::{Half, Life};
use super::{Dialog, Reading};
use crate::limits::Capacity;
use crate::passed::Passed;

/// What becomes of values that arrive faster than they are taken (P-W6, P-W7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Overrun {
    /// Their sender waits: nothing is lost (P-W1).
    #[default]
    Wait,
    /// Their sender waits sooner: no more than so much is kept or under way, beside, once, what it may
    /// still send when this is said. Room is given out in bytes, 16 for each value that fits, so that
    /// of larger ones fewer are under way at once (P-W7).
    WaitWithin(Capacity),
    /// So much is kept. One value more is an error, of which both sides are told; what is kept can
    /// still be received.
    Fail(Capacity),
    /// So much is kept, and of more the oldest are dropped and counted.
    DropOldest(Capacity),
    /// The last one is kept, and the others are dropped and counted.
    LatestOnly,
}

impl Overrun {
    /// How much is kept, where the sender does not wait.
    pub(super) const fn capacity(self) -> Option<Capacity> {
        match self {
            Self::Wait | Self::WaitWithin(_) => None,
            Self::Fail(capacity) | Self::DropOldest(capacity) => Some(capacity),
            Self::LatestOnly => Some(Capacity { items: 1, bytes: usize::MAX }),
        }
    }
}

impl Dialog {
    /// A value has arrived whole, for a reader. `true` as for [`Dialog::consumed`], or where the peer
    /// is to be told of an overrun.
    pub(crate) fn keep(
        &mut self,
        value: Vec<u8>,
        cost: u64,
        passed: Passed,
        let_go: impl FnMut(Vec<u8>),
    ) -> bool {
        let waits = self.inbox.overrun().capacity().is_none();
        let (at_once, later) = if waits { (0, cost) } else { (cost, 0) };
        self.inbox.push(value, later, passed);
        let overran = self.inbox.trim(let_go);
        self.credit(at_once, overran)
    }

    /// From now on this becomes of values that arrive faster than they are taken, and of those that
    /// have arrived. `true` as for [`Dialog::keep`].
    pub(crate) fn on_overrun(&mut self, overrun: Overrun) -> bool {
        let at_once = self.inbox.set_overrun(overrun);
        let overran = self.inbox.trim(drop);
        self.credit(at_once, overran)
    }

    /// How much room is left for what nobody has taken, and how much there is in all, where that is
    /// less than the window (P-W7).
    fn room(&self) -> Option<(i64, i64)> {
        let Overrun::WaitWithin(capacity) = self.inbox.overrun() else { return None };
        if !self.keeps() {
            return None;
        }
        let begun = self.partial.as_ref();
        let values = self.inbox.len().saturating_add(usize::from(begun.is_some()));
        let bytes = self.inbox.bytes().saturating_add(begun.map_or(0, |partial| partial.size));
        // One is taken whatever its size.
        let least = i64::from(values == 0);
        let whole = capacity.room_beside(0, 0).min(self.window.into());
        Some((capacity.room_beside(values, bytes).max(least), whole))
    }

    /// How much is given back now: all that was consumed (P-W1), or what of it there is room for.
    pub(crate) fn grant(&self) -> u64 {
        match self.room() {
            None => self.owed,
            Some((0, _)) => 0,
            Some((room, _)) => {
                let lacking = room.saturating_sub(self.allowance);
                self.owed.min(u64::try_from(lacking).unwrap_or(0))
            }
        }
    }

    /// Whether that is worth a `Credit`: half of the window, so that few are said and the sender is never
    /// without; of less room (P-W7) a quarter, and with nothing kept what there is once it may send nothing.
    pub(crate) fn is_worth_a_credit(&self) -> bool {
        let grant = self.grant();
        let Some((_, whole)) = self.room() else { return grant >= u64::from(self.window / 2) };
        grant > 0 && grant >= whole.unsigned_abs() / 4
    }

    fn credit(&mut self, cost: u64, overran: bool) -> bool {
        let mut tell = false;
        if overran && self.reading == Reading::Kept {
            self.reading = Reading::Overrun;
            tell = self.inc == Half::Open && self.life != Life::Done;
            self.control.done |= tell;
        }
        let credit = self.consumed(cost);
        self.control.credit |= credit;
        credit || tell
    }
}
