//! What waits to be written, and in which order (P-W4): control first, then `Start`s in the order
//! of their ids, then one frame of data from each dialog in turn, and a `Goodbye` last.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::gather::{Gather, Part};
use super::spare::{Boxes, Spare};
use super::{Connection, GoodbyeReason, LinkKind, Phase};
use crate::dialog::payload::Payload;
use crate::dialog::{Dialog, Outgoing};
use crate::id::DialogId;
use crate::passed::Passed;
use crate::time::Instant;
use crate::wire::hello::Hello;
use crate::wire::{self, Tag};

/// Values of up to this many bytes are put into their frames at once, where that is one.
const SMALL: usize = 4096;
/// Bytes of the longest header.
const MOST_HEADER: usize = 16;
/// A buffer for frames that are small begins with room for so much.
const TAIL: usize = 256;
/// What stands before the body of a `Hello`.
const HELLO_HEADER: usize = 6;

#[derive(Clone, Debug)]
pub(super) struct Outbox {
    hello: Vec<u8>,
    pub(super) control: VecDeque<DialogId>,
    pub(super) starts: VecDeque<DialogId>,
    pub(super) data: VecDeque<DialogId>,
    pub(super) ping: bool,
    pub(super) pong: bool,
    pub(super) goodbye: Option<GoodbyeReason>,
    /// The write side is gone.
    pub(super) mute: bool,
    pub(super) spare: Spare,
    pub(super) arrived: Boxes,
    /// Large payloads are taken out as they are,
    pub(super) gathers: bool,
    /// each behind so many bytes of what was written.
    pub(super) moved: Vec<(usize, Part)>,
    /// Descriptors of what was just written, and the byte that they leave with (P-F6).
    pub(super) passing: VecDeque<(usize, Passed)>,
}

impl Outbox {
    pub(super) fn greeting(hello: &Hello) -> Self {
        let mut bytes = Vec::new();
        wire::put_frame(&mut bytes, Tag::Hello, DialogId::ACTOR, 0, |out| hello.put(out));
        Self {
            hello: bytes,
            control: VecDeque::new(),
            starts: VecDeque::new(),
            data: VecDeque::new(),
            ping: false,
            pong: false,
            goodbye: None,
            mute: false,
            spare: Spare::default(),
            arrived: Boxes::default(),
            gathers: false,
            moved: Vec::new(),
            passing: VecDeque::new(),
        }
    }

    pub(super) fn start(&mut self, id: DialogId) {
        self.starts.push_back(id);
    }

    /// A `Start` that was not written is not to be.
    pub(super) fn withdraw(&mut self, id: DialogId) {
        self.starts.retain(|known| *known != id);
    }

    /// No `Start` that waits is to be written.
    pub(super) fn take_starts(&mut self) -> VecDeque<DialogId> {
        core::mem::take(&mut self.starts)
    }

    /// The greeting, where it is not written yet.
    pub(super) fn hello(&self) -> &[u8] {
        &self.hello
    }

    /// Who is to be written, control first, then `Start`s, then data.
    pub(super) const fn queues(&self) -> [&VecDeque<DialogId>; 3] {
        [&self.control, &self.starts, &self.data]
    }

    /// Forgets everything but a greeting and a last `Goodbye`.
    pub(super) fn clear(&mut self) {
        self.control.clear();
        self.starts.clear();
        self.data.clear();
        self.spare.clear();
        self.arrived.keep_none(&mut self.spare);
        self.passing.clear();
        self.ping = false;
        self.pong = false;
    }

    /// Nothing will be written any more.
    pub(super) fn mute(&mut self) {
        self.clear();
        self.mute = true;
        self.hello = Vec::new();
        self.goodbye = None;
    }

    /// Whether a value is to be put behind others, in its frame.
    pub(super) fn takes_small(dialog: &Dialog, size: usize, chunk: usize) -> bool {
        size <= SMALL && size <= chunk && dialog.queue.is_empty()
    }

    /// Puts such a value into its dialog's own order of data.
    #[inline]
    pub(super) fn queue_small(&mut self, id: DialogId, dialog: &mut Dialog, value: &[u8]) {
        let values = &mut dialog.values;
        let more = MOST_HEADER + value.len();
        if values.bytes.capacity() - values.bytes.len() < more {
            self.widen(&mut values.bytes, more);
        }
        wire::put_header(&mut values.bytes, Tag::Yield, id, 0, value.len());
        values.bytes.extend_from_slice(value);
        values.len = values.len.saturating_add(1);
        if !core::mem::replace(&mut dialog.queued, true) {
            self.data.push_back(id);
        }
    }

    /// Has a buffer hold so much more, in one that has done its work.
    #[cold]
    fn widen(&mut self, bytes: &mut Vec<u8>, more: usize) {
        let mut wider = self.spare.empty_for((2 * bytes.len()).max(bytes.len() + more));
        wider.extend_from_slice(bytes);
        self.spare.recycle(core::mem::replace(bytes, wider));
    }

    /// Hands over what was moved, each behind what was written before it; what was written last is to be
    /// gone on with.
    fn hand_over(&mut self, mut tail: Vec<u8>, out: &mut Gather) -> Vec<u8> {
        let mut before = 0;
        for (at, part) in self.moved.drain(..) {
            let mut next = tail.split_off(at.saturating_sub(before).min(tail.len()));
            if next.is_empty() {
                next = self.spare.empty_for(TAIL);
            }
            out.push_tail(core::mem::replace(&mut tail, next));
            out.push(part);
            before = at;
        }
        tail
    }

    /// Puts a message into its dialog's own order of data.
    pub(super) fn queue(&mut self, id: DialogId, dialog: &mut Dialog, message: Outgoing) {
        dialog.queue.push_back(message);
        if !core::mem::replace(&mut dialog.queued, true) {
            self.data.push_back(id);
        }
    }
}

impl Connection {
    /// Whether [`poll_transmit`](Self::poll_transmit) may have something to give.
    #[must_use]
    pub fn wants_transmit(&self) -> bool {
        let out = &self.out;
        let waiting = match self.phase {
            // Who answers a greeting before it came says nothing but its own.
            Phase::Greeting => false,
            Phase::Open => self.wants_control() || self.start_ready() || !out.data.is_empty(),
            Phase::Closed => out.goodbye.is_some(),
        };
        !out.mute && (waiting || !out.hello.is_empty())
    }

    /// Whether there is something other than values and outcomes to give, which somebody may wait for
    /// who has nothing to do meanwhile: credit, acknowledgements, the link's own messages.
    #[must_use]
    pub fn wants_control(&self) -> bool {
        let out = &self.out;
        let open = self.phase == Phase::Open && !out.mute;
        open && (out.ping
            || out.pong
            || self.wants_ends()
            || !out.control.is_empty()
            || out.goodbye.is_some())
    }

    /// Appends frames to `out` until about `budget` bytes are there or nothing is left; at least one
    /// frame if there is any. Returns how many bytes were appended.
    ///
    /// A driver that can write from several buffers at once takes [`poll_gather`](Self::poll_gather).
    #[must_use]
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>, budget: usize) -> usize {
        let before = out.len();
        self.greet(out);
        loop {
            let written = out.len().saturating_sub(before);
            let left = budget.saturating_sub(written);
            if (written > 0 && left == 0) || !self.transmit_one(out, left) {
                break;
            }
        }
        self.settle();
        self.arm_drain(now);
        out.len().saturating_sub(before)
    }

    /// The same into several buffers: a payload of 16 KiB or more that leaves in one frame is handed
    /// over and not copied, and so is that much of one that leaves in several, or of bytes that others
    /// hold too. Takes back the buffers that are written.
    #[must_use]
    pub fn poll_gather(&mut self, now: Instant, out: &mut Gather, budget: usize) -> usize {
        out.done().for_each(|buffer| self.out.spare.recycle(buffer));
        let before = out.len();
        let mut tail = out.take_tail().unwrap_or_else(|| self.out.spare.empty_for(TAIL));
        self.greet(&mut tail);
        self.out.gathers = true;
        loop {
            // The tail had been counted, and is not while it is taken out.
            let written = out.len().saturating_add(tail.len()).saturating_sub(before);
            let left = budget.saturating_sub(written);
            if (written > 0 && left == 0) || !self.transmit_one(&mut tail, left) {
                break;
            }
            if !self.out.passing.is_empty() {
                self.out.passing.drain(..).for_each(|(at, passed)| out.pass(at, passed));
            }
            if !self.out.moved.is_empty() {
                tail = self.out.hand_over(tail, out);
            }
        }
        self.out.gathers = false;
        out.push_tail(tail);
        self.settle();
        self.arm_drain(now);
        out.len().saturating_sub(before)
    }

    fn greet(&mut self, out: &mut Vec<u8>) {
        if !self.out.hello.is_empty() {
            let size = self.out.hello.len().saturating_sub(HELLO_HEADER);
            self.recorder.sent(Tag::Hello, DialogId::ACTOR, size);
            out.append(&mut self.out.hello);
        }
    }

    /// Whether the next `Start` may leave: never more than the peer takes (P-W5), and none before
    /// the child knows what it is (P-L2).
    pub(super) fn start_ready(&self) -> bool {
        if self.out.starts.is_empty() {
            return false;
        }
        let waiting = u32::try_from(self.out.starts.len()).unwrap_or(u32::MAX);
        let begun = self.ours.saturating_sub(waiting);
        let actor_first = self.config.kind == LinkKind::Parent
            && self
                .dialogs
                .get(&DialogId::ACTOR)
                .is_some_and(|actor| actor.queue.front().is_some_and(|message| message.begun));
        begun < self.announced.max_dialogs && !actor_first
    }

    /// Has a dialog's control frames written at the next frame boundary.
    pub(super) fn queue_control(&mut self, id: DialogId) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        let control = &dialog.control;
        let waiting = control.ack
            || (control.cancel && !dialog.ack_due)
            || control.cancel_ack
            || control.credit
            || control.done;
        if waiting && !control.queued && !self.out.mute {
            dialog.control.queued = true;
            self.out.control.push_back(id);
        }
    }

    /// Puts a message into the dialog's own order of data.
    pub(super) fn queue_data(&mut self, id: DialogId, message: Outgoing) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        if !self.out.mute {
            self.out.queue(id, dialog, message);
        }
    }
}

/// A message of which nothing is written.
pub(super) fn message(tag: Tag, payload: impl Into<Payload>) -> Outgoing {
    let (head, payload) = (Vec::new(), payload.into());
    Outgoing { tag, head, payload, begun: false, passed: Passed::NONE }
}
