//! Frames on their way out that stand in several buffers, so that a large payload is handed on as it
//! is. What is in them is never looked at.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::passed::Passed;
use crate::slice::Slice;

/// Bytes that leave one behind the other.
#[derive(Clone, Debug)]
pub(super) enum Part {
    Own(Vec<u8>),
    Shared(Slice),
}

impl Part {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }

    /// A buffer that is needed no more, unless somebody else holds it.
    fn into_buffer(self) -> Option<Vec<u8>> {
        match self {
            Self::Own(bytes) => Some(bytes),
            Self::Shared(bytes) => bytes.into_whole().ok(),
        }
    }
}

/// Frames for [`poll_gather`](super::Connection::poll_gather) to fill and a driver to write, in order.
#[derive(Debug, Default)]
pub struct Gather {
    parts: VecDeque<Part>,
    /// Of the first part so much is written.
    written: usize,
    len: usize,
    /// A write has taken some of it and not all.
    begun: bool,
    /// The last part is no payload: more frames may be appended to it.
    open: bool,
    /// An empty buffer for the next frames, of the size that the last ones had.
    tail: Vec<u8>,
    /// Other buffers that have done their work.
    done: Vec<Vec<u8>>,
    /// Descriptors, each behind how many bytes that are not written, and in that order (P-F6).
    passing: VecDeque<(usize, Passed)>,
}

impl Gather {
    /// Bytes that are not written yet.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether all is written.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether a part of what is there was written.
    #[must_use]
    pub const fn is_begun(&self) -> bool {
        self.begun
    }

    /// What is to be written, in order.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let first =
            self.parts.front().map(|part| part.bytes().get(self.written..).unwrap_or_default());
        first.into_iter().chain(self.parts.iter().skip(1).map(Part::bytes))
    }

    /// Whether descriptors go with some of it: then a write has to keep to
    /// [`stretch`](Self::stretch).
    #[must_use]
    pub fn passes(&self) -> bool {
        !self.passing.is_empty()
    }

    /// Which descriptors have to leave with the first byte, and how many bytes may be written with them.
    #[must_use]
    pub fn stretch(&self) -> (Option<&Passed>, usize) {
        let first = self.passing.front().filter(|(at, _)| *at == 0).map(|(_, passed)| passed);
        let next = self.passing.get(usize::from(first.is_some()));
        (first, next.map_or(self.len, |(at, _)| *at))
    }

    /// These go with the byte that stands so far behind what is there.
    pub(super) fn pass(&mut self, behind: usize, passed: Passed) {
        self.passing.push_back((self.len.saturating_add(behind), passed));
    }

    /// The same for what has left: those with it have, too.
    #[cold]
    fn passed(&mut self, bytes: usize) {
        self.passing.retain_mut(|(at, _)| {
            let left = *at >= bytes;
            *at = at.saturating_sub(bytes);
            left
        });
    }

    /// So many bytes were written.
    pub fn advance(&mut self, bytes: usize) {
        if bytes > 0 && self.passes() {
            self.passed(bytes);
        }
        self.len = self.len.saturating_sub(bytes);
        self.written = self.written.saturating_add(bytes);
        while let Some(first) = self.parts.front()
            && self.written >= first.bytes().len()
        {
            self.written -= first.bytes().len();
            let gone = self.parts.pop_front().and_then(Part::into_buffer);
            let Some(mut gone) = gone else { continue };
            if self.open && self.parts.is_empty() {
                gone.clear();
                (self.tail, self.open) = (gone, false);
            } else {
                self.done.push(gone);
            }
        }
        self.begun = self.len > 0;
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The buffer that frames are appended to, with what of it is not written.
    pub(super) fn take_tail(&mut self) -> Option<Vec<u8>> {
        if !core::mem::take(&mut self.open) {
            let tail = core::mem::take(&mut self.tail);
            return (tail.capacity() > 0).then_some(tail);
        }
        let Some(Part::Own(mut tail)) = self.parts.pop_back() else { return None };
        if self.parts.is_empty() {
            tail.drain(..core::mem::take(&mut self.written).min(tail.len()));
        }
        self.len = self.len.saturating_sub(tail.len());
        Some(tail)
    }

    /// More frames may be appended to it.
    pub(super) fn push_tail(&mut self, tail: Vec<u8>) {
        if tail.is_empty() {
            self.tail = tail;
            return;
        }
        self.push(Part::Own(tail));
        self.open = true;
    }

    pub(super) fn push(&mut self, part: Part) {
        self.len = self.len.saturating_add(part.bytes().len());
        self.parts.push_back(part);
        self.open = false;
    }

    /// Buffers that may be used again.
    pub(super) fn done(&mut self) -> impl Iterator<Item = Vec<u8>> {
        self.done.drain(..)
    }
}
