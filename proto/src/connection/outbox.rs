//! What waits to be written, and in which order (P-W4): control first, then `Start`s in the order
//! of their ids, then one frame of data from each dialog in turn, and a `Goodbye` last.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::finish::fit_cancelled;
use super::receive::frame_cost;
use super::{Connection, Event, GoodbyeReason, LinkKind, Phase};
use crate::dialog::tables::Life;
use crate::dialog::{Outgoing, Reading, Side};
use crate::id::DialogId;
use crate::limits::Limits;
use crate::time::Instant;
use crate::wire::body::Done;
use crate::wire::hello::Hello;
use crate::wire::{self, CONTINUED, MORE, Tag, body};

/// So much is kept of buffers for the next messages, so that a busy stream allocates nothing, however
/// many of them arrive at once.
const SPARE: usize = 1024 * 1024;
/// What a buffer takes beside its bytes.
const SPARE_COST: usize = 64;
/// Among so many one that fits is looked for.
const SPARE_LOOKS: usize = 16;
/// Larger ones are given back to the allocator.
const SPARE_SIZE: usize = 64 * 1024;
/// So much may a buffer be larger than twice what it is for.
const SPARE_ROOM: usize = 64;

#[derive(Clone, Debug)]
pub(super) struct Outbox {
    hello: Vec<u8>,
    control: VecDeque<DialogId>,
    starts: VecDeque<DialogId>,
    data: VecDeque<DialogId>,
    pub(super) ping: bool,
    pub(super) pong: bool,
    pub(super) goodbye: Option<GoodbyeReason>,
    /// The write side is gone.
    pub(super) mute: bool,
    spare: VecDeque<Vec<u8>>,
    /// What they take, all of them.
    spare_size: usize,
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
            spare: VecDeque::new(),
            spare_size: 0,
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
        self.spare = VecDeque::new();
        self.spare_size = 0;
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

    /// A buffer with these bytes in it.
    pub(super) fn buffer(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut buffer = self.empty_for(bytes.len());
        buffer.extend_from_slice(bytes);
        buffer
    }

    /// An empty buffer for a message that begins with so much: none that is far larger, or a small
    /// value that nobody reads would keep it (P-F5).
    pub(super) fn empty_for(&mut self, size: usize) -> Vec<u8> {
        let most = size.saturating_mul(2).saturating_add(SPARE_ROOM);
        let last = self.spare.iter().enumerate().rev().take(SPARE_LOOKS);
        let fitting = last.into_iter().find(|(_, buffer)| buffer.capacity() <= most);
        let taken =
            fitting.map(|(place, _)| place).and_then(|place| self.spare.swap_remove_back(place));
        let taken = taken.unwrap_or_default();
        if taken.capacity() > 0 {
            self.spare_size = self.spare_size.saturating_sub(taken.capacity() + SPARE_COST);
        }
        taken
    }

    /// Takes a buffer back.
    pub(super) fn recycle(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() == 0 || buffer.capacity() > SPARE_SIZE {
            return;
        }
        buffer.clear();
        self.spare_size = self.spare_size.saturating_add(buffer.capacity() + SPARE_COST);
        self.spare.push_back(buffer);
        // What is wanted now is kept, not what was wanted once.
        while self.spare_size > SPARE
            && let Some(oldest) = self.spare.pop_front()
        {
            self.spare_size = self.spare_size.saturating_sub(oldest.capacity() + SPARE_COST);
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
            Phase::Open => {
                out.ping
                    || out.pong
                    || !out.control.is_empty()
                    || self.start_ready()
                    || !out.data.is_empty()
                    || out.goodbye.is_some()
            }
            Phase::Closed => out.goodbye.is_some(),
        };
        !out.mute && (waiting || !out.hello.is_empty())
    }

    /// Appends frames to `out` until about `budget` bytes are there or nothing is left; at least one
    /// frame if there is any. Returns how many bytes were appended.
    #[must_use]
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>, budget: usize) -> usize {
        let before = out.len();
        out.append(&mut self.out.hello);
        self.recorder.sent(out.get(before..).unwrap_or_default());
        loop {
            let start = out.len();
            let written = out.len().saturating_sub(before);
            if (written > 0 && written >= budget) || !self.transmit_one(out) {
                break;
            }
            self.recorder.sent(out.get(start..).unwrap_or_default());
        }
        self.settle();
        self.arm_drain(now);
        out.len().saturating_sub(before)
    }

    /// Whether the next `Start` may leave: never more than the peer takes (P-W5), and none before
    /// the child knows what it is (P-L2).
    fn start_ready(&self) -> bool {
        let waiting = u32::try_from(self.out.starts.len()).unwrap_or(u32::MAX);
        let begun = self.ours.saturating_sub(waiting);
        let actor_first = self.config.kind == LinkKind::Parent
            && self
                .dialogs
                .get(&DialogId::ACTOR)
                .is_some_and(|actor| actor.queue.front().is_some_and(|message| message.begun));
        waiting > 0 && begun < self.announced.max_dialogs && !actor_first
    }

    fn transmit_one(&mut self, out: &mut Vec<u8>) -> bool {
        if self.phase == Phase::Greeting || self.out.mute {
            return false;
        }
        if self.phase == Phase::Open {
            if core::mem::take(&mut self.out.ping) {
                self.pongs_due = self.pongs_due.saturating_add(1);
                wire::put_frame(out, Tag::Ping, DialogId::ACTOR, 0, |_| ());
                return true;
            }
            if core::mem::take(&mut self.out.pong) {
                wire::put_frame(out, Tag::Pong, DialogId::ACTOR, 0, |_| ());
                return true;
            }
            if let Some(id) = self.out.control.pop_front() {
                self.transmit_control(id, out);
                return true;
            }
            if self.start_ready()
                && let Some(id) = self.out.starts.pop_front()
            {
                self.transmit_data(id, out);
                // What was wanted meanwhile waited for it (P-W4).
                self.queue_control(id);
                return true;
            }
            if let Some(id) = self.out.data.pop_front() {
                self.transmit_data(id, out);
                return true;
            }
            if !self.out.starts.is_empty() {
                return false;
            }
        }
        match self.out.goodbye.take() {
            Some(reason) => {
                wire::put_frame(out, Tag::Goodbye, DialogId::ACTOR, 0, |out| {
                    body::put(out, &reason);
                });
                true
            }
            None => false,
        }
    }

    /// Has a dialog's control frames written at the next frame boundary.
    pub(super) fn queue_control(&mut self, id: DialogId) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        let control = &dialog.control;
        let waiting = control.ack
            || (control.cancel.is_some() && !dialog.ack_due)
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
        if self.out.mute {
            return;
        }
        dialog.queue.push_back(message);
        if !dialog.queued {
            dialog.queued = true;
            self.out.data.push_back(id);
        }
    }

    fn transmit_control(&mut self, id: DialogId, out: &mut Vec<u8>) {
        let chunk = self.chunk();
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        dialog.control.queued = false;
        let control = &mut dialog.control;
        if core::mem::take(&mut control.ack) {
            let ack = body::StartAck { kind: dialog.kind, credit: dialog.window };
            wire::put_frame(out, Tag::StartAck, id, 0, |out| body::put(out, &ack));
        }
        // None passes the `Start` or the `StartAck` of its own dialog: they wait for it (P-W4).
        let unanswered = dialog.side == Side::Callee && dialog.life == Life::Opening;
        if unanswered || dialog.is_unwritten() {
            return;
        }
        let control = &mut dialog.control;
        // A repeat waits for the ack, and says the shortest that was asked for meanwhile (P-C1).
        if !dialog.ack_due
            && let Some(mut request) = control.cancel.take()
        {
            fit_cancelled(&mut request.by, &self.config.limits, chunk.saturating_sub(16));
            dialog.ack_due = true;
            dialog.cancels = dialog.cancels.saturating_add(1);
            wire::put_frame(out, Tag::Cancel, id, 0, |out| body::put(out, &request));
        }
        if core::mem::take(&mut control.cancel_ack) {
            wire::put_frame(out, Tag::CancelAck, id, 0, |_| ());
        }
        let credit = core::mem::take(&mut control.credit);
        let done = core::mem::take(&mut control.done);
        let bytes = u32::try_from(dialog.grant()).unwrap_or(u32::MAX);
        // Asked for when there was more room than now, it may be nothing.
        if (credit && bytes > 0) || done {
            dialog.owed = dialog.owed.saturating_sub(bytes.into());
            dialog.allowance = dialog.allowance.saturating_add(i64::from(bytes));
            let done = match (done, dialog.reading) {
                (false, _) => Done::No,
                (true, Reading::Overrun) => Done::Overrun,
                (true, _) => Done::Gone,
            };
            let credit = body::Credit { bytes, done };
            wire::put_frame(out, Tag::Credit, id, 0, |out| body::put(out, &credit));
        }
    }

    /// Writes one frame of the dialog's first message, and queues the dialog again for the rest,
    /// behind the others (P-W3).
    fn transmit_data(&mut self, id: DialogId, out: &mut Vec<u8>) {
        let chunk = self.chunk();
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        dialog.queued = false;
        let Some(message) = dialog.queue.front_mut() else { return };
        let room = chunk.saturating_sub(message.head.len());
        let rest = message.payload.get(message.written..).unwrap_or_default();
        let now = rest.get(..room.min(rest.len())).unwrap_or_default();
        let last = now.len() == rest.len();
        let mut flags = if last { 0 } else { MORE };
        if message.begun {
            flags |= CONTINUED;
        }
        let tag = message.tag;
        wire::put_frame(out, tag, id, flags, |out| {
            out.extend_from_slice(&message.head);
            out.extend_from_slice(now);
        });
        if tag == Tag::Start {
            let size = u64::try_from(now.len()).unwrap_or(u64::MAX);
            dialog.args_cost =
                dialog.args_cost.saturating_add(size).saturating_add(u64::from(Limits::FRAME_COST));
        }
        if tag == Tag::Yield {
            dialog.unsent = dialog.unsent.saturating_sub(frame_cost(now));
        }
        message.written = message.written.saturating_add(now.len());
        message.begun = true;
        message.head = Vec::new();
        if last && let Some(message) = dialog.queue.pop_front() {
            self.out.recycle(message.payload);
        }
        if dialog.wants_credit && dialog.has_room() {
            dialog.wants_credit = false;
            self.events.push_back(Event::Writable(id));
        }
        if !dialog.queue.is_empty() {
            dialog.queued = true;
            self.out.data.push_back(id);
        }
        if last && matches!(tag, Tag::Return | Tag::Error) {
            self.flushed(id);
        }
    }
}

/// A message of which nothing is written.
pub(super) const fn message(tag: Tag, payload: Vec<u8>) -> Outgoing {
    Outgoing { tag, head: Vec::new(), payload, written: 0, begun: false }
}
