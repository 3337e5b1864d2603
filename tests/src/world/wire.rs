//! A virtual link: bytes under way in two directions, each with a bounded buffer, a latency and a
//! writer and a reader that may go away. Knows no protocol.

use std::collections::VecDeque;

use hatchery_proto::Instant;

/// Two directions; side 0 is the parent's end, side 1 the child's. Direction `n` is written by
/// side `n`.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) ways: [Way; 2],
}

/// One direction.
#[derive(Debug)]
pub(super) struct Way {
    chunks: VecDeque<(Instant, Vec<u8>)>,
    held: usize,
    room: usize,
    /// Nothing more will be written: its writer has closed or shut it down, or is gone.
    pub(super) shut: bool,
    /// Its reader is gone.
    pub(super) deaf: bool,
    /// Nothing moves for now.
    pub(super) frozen: bool,
    /// Somebody else holds the writer's descriptor, so that its end is not seen.
    pub(super) leaked: bool,
    /// A writer found no room.
    pub(super) wanted: bool,
}

/// What a read came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    Bytes(Vec<u8>),
    Nothing,
    End,
}

impl Wire {
    pub(super) fn new(room: usize) -> Self {
        let way = || Way {
            chunks: VecDeque::new(),
            held: 0,
            room,
            shut: false,
            deaf: false,
            frozen: false,
            leaked: false,
            wanted: false,
        };
        Self { ways: [way(), way()] }
    }

    /// One side's descriptor is gone, with what it has not read.
    pub(super) fn close(&mut self, side: usize) {
        self.ways[side].shut = true;
        let towards = &mut self.ways[1 - side];
        towards.deaf = true;
        towards.chunks.clear();
        towards.held = 0;
    }
}

impl Way {
    /// Takes what fits, to be there at `at`; nothing where it can never get there.
    pub(super) fn write(&mut self, at: Instant, bytes: &[u8]) -> Option<usize> {
        if self.shut || self.deaf {
            return None;
        }
        let count = bytes.len().min(self.room - self.held);
        if count > 0 {
            // A later chunk never overtakes an earlier one.
            let at = self.chunks.back().map_or(at, |(last, _)| at.max(*last));
            self.chunks.push_back((at, bytes[..count].to_vec()));
            self.held += count;
        }
        self.wanted |= count < bytes.len();
        Some(count)
    }

    pub(super) fn read(&mut self, now: Instant, most: usize) -> Read {
        if self.frozen {
            return Read::Nothing;
        }
        match self.chunks.front_mut() {
            Some((at, _)) if *at > now => Read::Nothing,
            Some((_, bytes)) => {
                let count = bytes.len().min(most.max(1));
                let rest = bytes.split_off(count);
                let taken = std::mem::replace(bytes, rest);
                if bytes.is_empty() {
                    self.chunks.pop_front();
                }
                self.held -= count;
                Read::Bytes(taken)
            }
            None if self.shut && !self.leaked => Read::End,
            None => Read::Nothing,
        }
    }

    /// When there is something to read.
    pub(super) fn ready(&self, now: Instant) -> Option<Instant> {
        match self.chunks.front() {
            _ if self.frozen => None,
            Some((at, _)) => Some(*at),
            None if self.shut && !self.leaked => Some(now),
            None => None,
        }
    }
}
