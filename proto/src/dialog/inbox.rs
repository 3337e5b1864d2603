//! Whole values that have arrived and that nobody has taken yet. Knows sizes and costs, never a frame.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::cost_of;
use super::keeping::Overrun;
use super::run::{KEPT, Run};
use crate::passed::Passed;

/// Values of up to this many bytes are kept one behind the other.
pub(crate) const SMALL: usize = 4096;

#[derive(Clone, Debug)]
enum Kept {
    /// A value with what it cost and is still to be credited, and the descriptors that came with it.
    One(Vec<u8>, u64, Passed),
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
    /// What came with the value that was taken last (P-F6).
    pub(crate) passed: Passed,
}

impl Inbox {
    /// What one of its places takes.
    pub(crate) const PLACE: usize = size_of::<Kept>();

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
                Kept::One(value, cost, _) => (Some((value.as_slice(), *cost)), None),
                Kept::Run(run) => (None, Some(run)),
            };
            let small =
                run.into_iter().flat_map(Run::iter).map(|value| (value, cost_of(value.len(), 1)));
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
                self.passed = Passed::NONE;
                if run.len() == 0
                    && (!run.is_small() || self.kept.len() > 1)
                    && let Some(Kept::Run(run)) = self.kept.pop_front()
                {
                    let_go(run.into_buffer());
                }
                cost_of(out.len(), 1)
            }
            Kept::One(..) => match self.kept.pop_front() {
                Some(Kept::One(value, cost, passed)) => {
                    self.passed = passed;
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
        if !self.kept.is_empty() {
            self.kept.clear();
        }
        (self.len, self.bytes, self.dropped) = (0, 0, 0);
        self.overrun = Overrun::Wait;
        self.passed = Passed::NONE;
    }

    /// How many values it has room for.
    pub(crate) fn room(&self) -> usize {
        self.kept.capacity()
    }

    pub(crate) fn push(&mut self, value: Vec<u8>, cost: u64, passed: Passed) {
        if self.len == 0 {
            self.kept.clear();
        }
        self.len = self.len.saturating_add(1);
        self.bytes = self.bytes.saturating_add(value.len());
        self.kept.push_back(Kept::One(value, cost, passed));
    }

    /// Whether small values are kept beside others, and none as one of its own.
    pub(crate) fn takes_small(&self) -> bool {
        self.overrun == Overrun::Wait
    }

    /// Adds small values in their frames, of so many bytes in all, each behind a header of so many.
    #[inline]
    pub(crate) fn push_frames(
        &mut self,
        frames: &[u8],
        len: usize,
        size: usize,
        header: usize,
        room: impl FnOnce(usize) -> Vec<u8>,
    ) {
        self.add(frames.len(), room, |run| run.push(frames, len, size, header));
        self.added(len, size);
    }

    fn added(&mut self, len: usize, size: usize) {
        self.len = self.len.saturating_add(len);
        self.bytes = self.bytes.saturating_add(size);
    }

    /// Has frames of so many bytes added to the run that they belong into.
    #[inline]
    fn add(
        &mut self,
        frames: usize,
        room: impl FnOnce(usize) -> Vec<u8>,
        push: impl FnOnce(&mut Run),
    ) {
        let few = self.len == 0 && frames <= KEPT;
        match self.kept.back_mut() {
            // An empty one is alone, and has a small buffer.
            Some(Kept::Run(run)) if few || run.has_room(frames) => push(run),
            _ => {
                if self.len == 0 {
                    self.kept.clear();
                }
                let mut run = Run::within(if few { Vec::new() } else { room(frames) });
                push(&mut run);
                self.kept.push_back(Kept::Run(run));
            }
        }
    }

    /// Has `out`, which is empty, hold the oldest small values, about `most` bytes of frames; says what
    /// they are to be credited with. Nothing where the oldest is no small one.
    pub(crate) fn pop_run(
        &mut self,
        out: &mut Run,
        most: usize,
        let_go: impl FnOnce(Vec<u8>),
    ) -> Option<u64> {
        let run = match self.kept.front_mut() {
            Some(Kept::Run(run)) if run.len() > 0 => run,
            _ => return None,
        };
        run.hand_over(out, most);
        if run.len() == 0
            && (!run.is_small() || self.kept.len() > 1)
            && let Some(Kept::Run(run)) = self.kept.pop_front()
        {
            let_go(run.into_buffer());
        }
        self.len = self.len.saturating_sub(out.len());
        self.bytes = self.bytes.saturating_sub(out.size());
        Some(cost_of(out.size(), out.len()))
    }

    /// Takes back what was handed over and not used.
    pub(crate) fn unpop(&mut self, run: Run) {
        if self.len == 0 {
            self.kept.clear();
        }
        self.added(run.len(), run.size());
        self.kept.push_front(Kept::Run(run));
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
                if let Kept::One(_, cost, _) = kept {
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
                    apart.extend(run.iter().map(|value| {
                        Kept::One(value.to_vec(), cost_of(value.len(), 1), Passed::NONE)
                    }));
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
            let Some(Kept::One(value, ..)) = over else { break };
            self.len = self.len.saturating_sub(1);
            self.bytes = self.bytes.saturating_sub(value.len());
            self.dropped = self.dropped.saturating_add(u64::from(!fails));
            overran |= fails;
            let_go(value);
        }
        overran
    }
}
