//! The bytes of a message on its way out, taken piece by piece. Large ones that others may hold stand
//! between its own, and are handed on as they are.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::slice::Slice;

/// More than a usual frame has room for: it will leave in parts.
const PARTED: usize = 65 * 1024;

/// What is left of a message's bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Payload {
    own: Vec<u8>,
    /// The place behind those that were taken.
    taken: usize,
    /// Apart: nearly no message has any.
    between: Option<Box<Between>>,
}

/// Shared bytes between its own: each stands before what is at its place.
#[derive(Clone, Debug)]
struct Between {
    parts: VecDeque<(usize, Slice)>,
    left: usize,
}

/// A piece of it.
pub(crate) enum Piece<'a> {
    Own(&'a [u8]),
    Shared(Slice),
}

impl Payload {
    /// These bytes with shared ones between, each before what `own` has at its place; in order.
    pub(crate) fn with(own: Vec<u8>, shared: Vec<(usize, Slice)>) -> Self {
        let left = shared.iter().fold(0_usize, |sum, (_, slice)| sum.saturating_add(slice.len()));
        let between = Some(Box::new(Between { parts: shared.into(), left }));
        Self { own, taken: 0, between }
    }

    /// How many bytes are left.
    #[inline]
    pub(crate) fn left(&self) -> usize {
        let own = self.own.len().saturating_sub(self.taken);
        match &self.between {
            None => own,
            Some(between) => own.saturating_add(between.left),
        }
    }

    /// Its own bytes, how many of them were taken, and how many are left of those that stand between.
    pub(crate) fn look(&self) -> (&[u8], usize, usize) {
        let between = self.between.as_ref().map_or(0, |between| between.left);
        (&self.own, self.taken, between)
    }

    /// Whether it is one buffer of its own, of which nothing was taken.
    #[inline]
    pub(crate) const fn is_one(&self) -> bool {
        self.taken == 0 && self.between.is_none()
    }

    /// Its own buffer, once it is needed no more.
    #[inline]
    pub(crate) fn into_own(self) -> Vec<u8> {
        self.own
    }

    /// Takes so many bytes off the front, in their order.
    #[inline]
    pub(crate) fn take(&mut self, count: usize, mut each: impl FnMut(Piece<'_>)) {
        if self.between.is_some() {
            return self.take_between(count, each);
        }
        let end = self.taken.saturating_add(count).min(self.own.len());
        each(Piece::Own(self.own.get(self.taken..end).unwrap_or_default()));
        self.taken = end;
    }

    fn take_between(&mut self, count: usize, mut each: impl FnMut(Piece<'_>)) {
        let mut missing = count.min(self.left());
        let Some(between) = &mut self.between else { return };
        while missing > 0 {
            let next = between.parts.front().map_or(self.own.len(), |(at, _)| *at);
            let end = next.min(self.taken.saturating_add(missing));
            let own = self.own.get(self.taken..end).unwrap_or_default();
            if !own.is_empty() {
                each(Piece::Own(own));
                missing = missing.saturating_sub(own.len());
                self.taken = end;
                continue;
            }
            let Some((_, slice)) = between.parts.front_mut() else { return };
            let front = slice.take_front(missing);
            missing = missing.saturating_sub(front.len());
            between.left = between.left.saturating_sub(front.len());
            if slice.is_empty() {
                between.parts.pop_front();
            }
            if !front.is_empty() {
                each(Piece::Shared(front));
            }
        }
    }
}

impl From<Vec<u8>> for Payload {
    fn from(own: Vec<u8>) -> Self {
        if own.len() > PARTED {
            return Self::with(Vec::new(), alloc::vec![(0, own.into())]);
        }
        Self { own, taken: 0, between: None }
    }
}
