//! Whole values that have arrived and that nobody has taken yet. Knows sizes and costs, never a frame.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::keeping::Overrun;
use super::run::Run;
use crate::limits::Limits;

/// Values of up to this many bytes are kept one behind the other.
const SMALL: usize = 1024;

#[derive(Clone, Debug)]
enum Kept {
    /// A value with what it cost and is still to be credited.
    One(Vec<u8>, u64),
    /// Small ones, of which each costs what its frame did. An empty run is alone.
    Run(Run),
}

/// Values, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inbox {
    kept: VecDeque<Kept>,
    len: usize,
    bytes: usize,
    overrun: Overrun,
    dropped: u64,
}

impl Inbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Each with what it is still to be credited with.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], u64)> {
        self.kept.iter().flat_map(|kept| {
            let (one, run) = match kept {
                Kept::One(value, cost) => (Some((value.as_slice(), *cost)), None),
                Kept::Run(run) => (None, Some(run)),
            };
            let small = run.into_iter().flat_map(Run::iter).map(|value| (value, cost(value)));
            one.into_iter().chain(small)
        })
    }

    /// Bytes of all of them.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) const fn overrun(&self) -> Overrun {
        self.overrun
    }

    /// How many were dropped, each for a newer one.
    pub(crate) const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Takes the oldest into `out`, in place of what is there; says what it is to be credited with.
    pub(crate) fn pop(&mut self, out: &mut Vec<u8>, let_go: impl FnOnce(Vec<u8>)) -> Option<u64> {
        let cost = match self.kept.front_mut()? {
            Kept::Run(run) => {
                if !run.pop(out) {
                    return None;
                }
                if run.len() == 0 && (!run.is_small() || self.kept.len() > 1) {
                    self.kept.pop_front();
                }
                cost(out)
            }
            Kept::One(..) => match self.kept.pop_front() {
                Some(Kept::One(value, cost)) => {
                    let_go(core::mem::replace(out, value));
                    cost
                }
                _ => return None,
            },
        };
        self.len = self.len.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(out.len());
        Some(cost)
    }

    /// Lets go of all of them; says what they still cost.
    pub(crate) fn clear(&mut self) -> u64 {
        let cost = self.iter().map(|(_, cost)| cost).sum();
        self.kept.clear();
        (self.len, self.bytes) = (0, 0);
        cost
    }

    /// Forgets everything but the room for values.
    pub(crate) fn let_go(&mut self) {
        let mut kept = core::mem::take(&mut self.kept);
        kept.clear();
        *self = Self { kept, ..Self::default() };
    }

    /// How many values it has room for.
    pub(crate) fn room(&self) -> usize {
        self.kept.capacity()
    }

    pub(crate) fn push(&mut self, value: Vec<u8>, cost: u64) {
        if self.len == 0 {
            self.kept.clear();
        }
        self.len = self.len.saturating_add(1);
        self.bytes = self.bytes.saturating_add(value.len());
        self.kept.push_back(Kept::One(value, cost));
    }

    /// Whether a value of this size is kept beside others, and not as one of its own.
    pub(crate) fn takes_small(&self, size: usize) -> bool {
        size <= SMALL && self.overrun == Overrun::Wait
    }

    /// Adds one that [`takes_small`](Self::takes_small) is true of.
    pub(crate) fn push_small(&mut self, value: &[u8]) {
        self.len = self.len.saturating_add(1);
        self.bytes = self.bytes.saturating_add(value.len());
        if let Some(Kept::Run(run)) = self.kept.back_mut() {
            return run.push(value);
        }
        let mut run = Run::default();
        run.push(value);
        self.kept.push_back(Kept::Run(run));
    }

    /// From now on this becomes of what is too much. Says what those that are there still cost, if they
    /// are to be credited now.
    pub(crate) fn set_overrun(&mut self, overrun: Overrun) -> u64 {
        self.overrun = overrun;
        if overrun == Overrun::Wait {
            return 0;
        }
        self.take_apart();
        let mut at_once = 0_u64;
        if overrun.capacity().is_some() {
            for kept in &mut self.kept {
                if let Kept::One(_, cost) = kept {
                    at_once = at_once.saturating_add(core::mem::take(cost));
                }
            }
        }
        at_once
    }

    /// Makes each small value one of its own.
    fn take_apart(&mut self) {
        let mut apart = VecDeque::with_capacity(self.len);
        for kept in self.kept.drain(..) {
            match kept {
                Kept::One(..) => apart.push_back(kept),
                Kept::Run(run) => {
                    apart.extend(run.iter().map(|value| Kept::One(value.to_vec(), cost(value))));
                }
            }
        }
        self.kept = apart;
    }

    /// Keeps no more than is to be kept; `true` where that is an overrun.
    pub(crate) fn trim(&mut self, mut let_go: impl FnMut(Vec<u8>)) -> bool {
        let Some(capacity) = self.overrun.capacity() else { return false };
        let fails = matches!(self.overrun, Overrun::Fail(_));
        let mut overran = false;
        while capacity.is_exceeded(self.len, self.bytes) {
            let over = if fails { self.kept.pop_back() } else { self.kept.pop_front() };
            let Some(Kept::One(value, _)) = over else { break };
            self.len = self.len.saturating_sub(1);
            self.bytes = self.bytes.saturating_sub(value.len());
            self.dropped = self.dropped.saturating_add(u64::from(!fails));
            overran |= fails;
            let_go(value);
        }
        overran
    }
}

/// What the frame of a small value cost its sender (P-W1).
fn cost(value: &[u8]) -> u64 {
    let size = u64::try_from(value.len()).unwrap_or(u64::MAX);
    size.saturating_add(u64::from(Limits::FRAME_COST))
}
