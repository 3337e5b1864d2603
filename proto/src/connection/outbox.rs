//! What waits to be written, and in which order (P-W4): control first, then `Start`s in the order
//! of their ids, then one frame of data from each dialog in turn.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::{Connection, Event, GoodbyeReason, LinkKind, Phase};
use crate::dialog::{Outgoing, Side};
use crate::id::DialogId;
use crate::limits::Limits;
use crate::time::Instant;
use crate::wire::hello::Hello;
use crate::wire::{self, CONTINUED, MORE, Tag, body};

#[derive(Debug)]
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
        }
    }

    /// Whether anything can be written; before the greeting is done only our half of it can.
    pub(super) fn wants(&self, open: bool) -> bool {
        let waiting = self.ping
            || self.pong
            || !self.control.is_empty()
            || !self.starts.is_empty()
            || !self.data.is_empty();
        !self.mute && (!self.hello.is_empty() || self.goodbye.is_some() || (open && waiting))
    }

    pub(super) fn start(&mut self, id: DialogId) {
        self.starts.push_back(id);
    }

    /// A `Start` that was not written is not to be.
    pub(super) fn withdraw(&mut self, id: DialogId) {
        self.starts.retain(|known| *known != id);
        self.control.retain(|known| *known != id);
    }

    /// Forgets everything but a last `Goodbye`.
    pub(super) fn clear(&mut self) {
        self.control.clear();
        self.starts.clear();
        self.data.clear();
        self.ping = false;
        self.pong = false;
    }
}

impl Connection {
    /// Appends frames to `out` until about `budget` bytes are there or nothing is left; at least one
    /// frame if there is any. Returns how many bytes were appended.
    #[must_use]
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>, budget: usize) -> usize {
        let before = out.len();
        if self.out.mute {
            return 0;
        }
        out.append(&mut self.out.hello);
        while out.len().saturating_sub(before) < budget && self.transmit_one(out) {}
        if self.goodbye_sent && !self.goodbye_received && self.drain.is_none() {
            let written = !self.wants_transmit() && self.out.goodbye.is_none();
            if written && self.config.kind != LinkKind::Parent && self.phase == Phase::Open {
                self.drain = Some(now + self.config.limits.hold_back);
            }
        }
        self.settle();
        out.len().saturating_sub(before)
    }

    fn transmit_one(&mut self, out: &mut Vec<u8>) -> bool {
        if self.phase == Phase::Open {
            if core::mem::take(&mut self.out.ping) {
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
            if let Some(id) = self.out.starts.pop_front() {
                self.transmit_data(id, out);
                self.requeue_control(id);
                return true;
            }
            if let Some(id) = self.out.data.pop_front() {
                self.transmit_data(id, out);
                return true;
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
        if !dialog.control.queued {
            dialog.control.queued = true;
            self.out.control.push_back(id);
        }
    }

    /// None of them passes the first frame of its own `Start`: they wait for it (P-W4).
    fn requeue_control(&mut self, id: DialogId) {
        let waiting = self.dialogs.get(&id).is_some_and(|dialog| {
            let control = &dialog.control;
            control.cancel.is_some() || control.credit || control.done
        });
        if waiting {
            self.queue_control(id);
        }
    }

    /// Puts a message into the dialog's own order of data.
    pub(super) fn queue_data(&mut self, id: DialogId, message: Outgoing) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        dialog.queue.push_back(message);
        if !dialog.queued && !self.out.starts.contains(&id) {
            dialog.queued = true;
            self.out.data.push_back(id);
        }
    }

    fn transmit_control(&mut self, id: DialogId, out: &mut Vec<u8>) {
        let chunk = self.chunk();
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        dialog.control.queued = false;
        if core::mem::take(&mut dialog.control.ack) {
            let ack = body::StartAck { kind: dialog.kind, credit: dialog.window };
            wire::put_frame(out, Tag::StartAck, id, 0, |out| body::put(out, &ack));
        }
        let unbegun =
            dialog.queue.front().is_some_and(|message| message.tag == Tag::Start && !message.begun);
        if unbegun {
            return;
        }
        if let Some(mut request) = dialog.control.cancel.take() {
            if let crate::report::Cause::OpenerFailed(report) = &mut request.by.cause {
                report.truncate_to(&self.config.limits, chunk / 2);
            }
            wire::put_frame(out, Tag::Cancel, id, 0, |out| body::put(out, &request));
            dialog.unacked = dialog.unacked.saturating_add(1);
        }
        if core::mem::take(&mut dialog.control.cancel_ack) {
            wire::put_frame(out, Tag::CancelAck, id, 0, |_| ());
        }
        let credit = core::mem::take(&mut dialog.control.credit);
        let done = core::mem::take(&mut dialog.control.done);
        if credit || done {
            let bytes = u32::try_from(dialog.owed).unwrap_or(u32::MAX);
            dialog.owed = 0;
            dialog.allowance = dialog.allowance.saturating_add(i64::from(bytes));
            let credit = body::Credit { bytes, done };
            wire::put_frame(out, Tag::Credit, id, 0, |out| body::put(out, &credit));
        }
    }

    /// Writes one frame of the dialog's first message, and queues the dialog again for the rest.
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
        message.written = message.written.saturating_add(now.len());
        message.begun = true;
        message.head = Vec::new();
        if last {
            dialog.queue.pop_front();
        }
        if !dialog.queue.is_empty() {
            dialog.queued = true;
            self.out.data.push_back(id);
        }
        if last && matches!(tag, Tag::Return | Tag::Error) {
            self.flushed(id);
        }
    }

    /// A callee's terminal is written: the dialog is free (P-D5).
    fn flushed(&mut self, id: DialogId) {
        let Some(dialog) = self.dialogs.remove(&id) else { return };
        debug_assert!(dialog.side == Side::Callee, "only callees send terminals");
        // What the peer has already sent, and may still send before it hears of this, is honest.
        let under_way = u64::try_from(dialog.allowance).unwrap_or(0);
        let message = u64::from(self.config.limits.max_message);
        let control = 8 * u64::from(Limits::FRAME_COST);
        self.budget = self.budget.saturating_add(under_way + message + control);
        if dialog.refused {
            self.refusals = self.refusals.saturating_sub(1);
        } else {
            self.theirs = self.theirs.saturating_sub(1);
        }
        self.events.push_back(Event::Flushed(id));
    }
}
