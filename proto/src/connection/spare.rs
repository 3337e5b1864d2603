//! Buffers that have done their work and wait for the next message, by size, and how much else is kept
//! for what comes next. What is in them is never looked at.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::mem;

use crate::dialog::{Arrived, Incoming, Kind};

/// So much is kept, so that a busy stream allocates nothing, however many values arrive at once.
const MOST: usize = 1024 * 1024;
/// Of that, so much may be other than buffers, so that some hundred calls at once allocate nothing.
const OTHERS: usize = MOST / 4 * 3;
/// What a buffer takes beside its bytes.
const BESIDE: usize = 64;
/// The smallest has 16 bytes, and each class twice as many as the one before.
const FIRST: u32 = 4;
/// The last has 128 KiB, for a frame and more; larger buffers are given back to the allocator.
const CLASSES: usize = 14;

/// Each class has buffers with the room of its size, and no more than half of that again: a small
/// value that nobody reads keeps no large one (P-F5).
#[derive(Clone, Debug, Default)]
pub(super) struct Spare {
    classes: [Vec<Vec<u8>>; CLASSES],
    size: usize,
    others: usize,
}

impl Spare {
    /// A buffer with these bytes in it.
    pub(super) fn filled(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut buffer = self.empty_for(bytes.len());
        buffer.extend_from_slice(bytes);
        buffer
    }

    /// An empty buffer for a message that begins with so much.
    pub(super) fn empty_for(&mut self, size: usize) -> Vec<u8> {
        let mut buffer = self.used_for(size);
        buffer.clear();
        buffer
    }

    /// The same with whatever was in it, for what is written over all of that: room that was made once
    /// need not be made again.
    pub(super) fn used_for(&mut self, size: usize) -> Vec<u8> {
        if size == 0 {
            return Vec::new();
        }
        let bits = size.saturating_sub(1).checked_ilog2().map_or(0, |bits| bits + 1).max(FIRST);
        let place = usize::try_from(bits - FIRST).unwrap_or(CLASSES);
        match self.classes.get_mut(place).map(Vec::pop) {
            Some(Some(buffer)) => {
                self.size = self.size.saturating_sub(buffer.capacity() + BESIDE);
                buffer
            }
            Some(None) => Vec::with_capacity(1 << bits),
            None => Vec::with_capacity(size),
        }
    }

    /// Takes a buffer back.
    pub(super) fn recycle(&mut self, buffer: Vec<u8>) {
        let room = buffer.capacity();
        let Some(bits) = room.checked_ilog2().filter(|bits| *bits >= FIRST) else { return };
        let place = usize::try_from(bits - FIRST).unwrap_or(CLASSES);
        let fits = room <= (1 << bits) + (1 << (bits - 1));
        let Some(class) = self.classes.get_mut(place).filter(|_| fits) else { return };
        class.push(buffer);
        self.size = self.size.saturating_add(room + BESIDE);
        if self.size > MOST.saturating_sub(self.others) {
            self.make_room(place);
        }
    }

    /// What is wanted now is kept, not what was wanted once.
    fn make_room(&mut self, wanted: usize) {
        while self.size > MOST.saturating_sub(self.others) {
            let others = self.classes.iter_mut().enumerate().rev();
            let other =
                others.filter(|(place, _)| *place != wanted).find_map(|(_, class)| class.pop());
            let Some(gone) = other.or_else(|| self.classes.get_mut(wanted)?.pop()) else { return };
            self.size = self.size.saturating_sub(gone.capacity() + BESIDE);
        }
    }

    /// Whether so much that is no buffer is to be kept as well.
    pub(super) fn keeps(&mut self, size: usize) -> bool {
        let others = self.others.saturating_add(size);
        if others > OTHERS {
            return false;
        }
        self.others = others;
        if self.size > MOST.saturating_sub(others) {
            self.make_room(CLASSES);
        }
        true
    }

    /// It is used again.
    pub(super) fn let_go(&mut self, size: usize) {
        self.others = self.others.saturating_sub(size);
    }

    /// Gives all buffers back to the allocator.
    pub(super) fn clear(&mut self) {
        *self = Self { others: self.others, ..Self::default() };
    }
}

/// What such a box takes.
const BOX: usize = size_of::<Arrived>();

/// The same for what a `Start` has brought: boxes that were emptied.
#[derive(Clone, Debug, Default)]
#[expect(clippy::vec_box, reason = "it is the boxes that are kept")]
pub(super) struct Boxes(Vec<Box<Arrived>>);

impl Boxes {
    pub(super) fn filled(&mut self, incoming: Incoming, spare: &mut Spare) -> Box<Arrived> {
        match self.0.pop() {
            Some(mut emptied) => {
                spare.let_go(BOX);
                *emptied = Arrived { incoming, cost: 0 };
                emptied
            }
            None => Box::new(Arrived { incoming, cost: 0 }),
        }
    }

    /// Gives all of them back to the allocator.
    pub(super) fn keep_none(&mut self, spare: &mut Spare) {
        spare.let_go(mem::take(&mut self.0).len().saturating_mul(BOX));
    }

    pub(super) fn emptied(&mut self, mut arrived: Box<Arrived>, spare: &mut Spare) -> Incoming {
        let none = Incoming {
            endpoint: String::new(),
            kind: Kind::Call,
            schema: 0,
            codec: 0,
            args: Vec::new(),
            deadline: None,
            trace: None,
        };
        let incoming = mem::replace(&mut arrived.incoming, none);
        if spare.keeps(BOX) {
            self.0.push(arrived);
        }
        incoming
    }
}
