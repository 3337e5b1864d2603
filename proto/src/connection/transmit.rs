//! The next frame: which it is (P-W4), and what of its dialog's books changes with it. What waits is
//! kept elsewhere.

use alloc::vec::Vec;

use super::finish::fit_cancelled;
use super::gather::Part;
use super::recorder::Recorder;
use super::{Connection, Event, Phase};
use crate::dialog::payload::Piece;
use crate::dialog::tables::Life;
use crate::dialog::{Reading, Side, cost_of};
use crate::id::DialogId;
use crate::limits::Limits;
use crate::wire::body::Done;
use crate::wire::{self, CONTINUED, DESCRIPTORS, MORE, PREFIX, Tag, body};

/// From this size on a payload is rather written from where it is than copied.
pub(super) const GATHERED: usize = 16 * 1024;

impl Connection {
    /// Writes the next frame, or so many bytes of small ones of one dialog; says whether there was any.
    pub(super) fn transmit_one(&mut self, out: &mut Vec<u8>, left: usize) -> bool {
        if self.phase == Phase::Greeting || self.out.mute {
            return false;
        }
        if self.phase == Phase::Open {
            if core::mem::take(&mut self.out.ping) {
                self.pongs_due = self.pongs_due.saturating_add(1);
                put(&mut self.recorder, out, Tag::Ping, DialogId::ACTOR, 0, |_| ());
                return true;
            }
            if core::mem::take(&mut self.out.pong) {
                put(&mut self.recorder, out, Tag::Pong, DialogId::ACTOR, 0, |_| ());
                return true;
            }
            if self.wants_ends() {
                self.transmit_ends(out);
                return true;
            }
            if let Some(id) = self.out.control.pop_front() {
                self.transmit_control(id, out);
                return true;
            }
            if self.start_ready()
                && let Some(id) = self.out.starts.pop_front()
            {
                self.transmit_data(id, out, left);
                // What was wanted meanwhile waited for it (P-W4).
                self.queue_control(id);
                return true;
            }
            if let Some(id) = self.out.data.pop_front() {
                self.transmit_data(id, out, left);
                return true;
            }
            if !self.out.starts.is_empty() {
                return false;
            }
        }
        match self.out.goodbye.take() {
            Some(reason) => {
                put(&mut self.recorder, out, Tag::Goodbye, DialogId::ACTOR, 0, |out| {
                    body::put(out, &reason);
                });
                true
            }
            None => false,
        }
    }

    fn transmit_control(&mut self, id: DialogId, out: &mut Vec<u8>) {
        let chunk = self.chunk();
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        dialog.control.queued = false;
        let control = &mut dialog.control;
        if core::mem::take(&mut control.ack) {
            let ack = body::StartAck { kind: dialog.kind, credit: dialog.window };
            put(&mut self.recorder, out, Tag::StartAck, id, 0, |out| ack.put(out));
        }
        // None passes the `Start` or the `StartAck` of its own dialog: they wait for it (P-W4).
        let unanswered = dialog.side == Side::Callee && dialog.life == Life::Opening;
        if unanswered || dialog.is_unwritten() {
            return;
        }
        let control = &mut dialog.control;
        // A repeat waits for the ack, and says the shortest that was asked for meanwhile (P-C1).
        if !dialog.ack_due
            && core::mem::take(&mut control.cancel)
            && let Some(mut request) = dialog.request.clone()
        {
            fit_cancelled(&mut request.by, &self.config.limits, chunk.saturating_sub(16));
            dialog.ack_due = true;
            dialog.cancels = dialog.cancels.saturating_add(1);
            put(&mut self.recorder, out, Tag::Cancel, id, 0, |out| body::put(out, &request));
        }
        if core::mem::take(&mut control.cancel_ack) {
            put(&mut self.recorder, out, Tag::CancelAck, id, 0, |_| ());
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
            put(&mut self.recorder, out, Tag::Credit, id, 0, |out| credit.put(out));
        }
    }

    /// Writes one frame of the dialog's first message, and queues the dialog again for the rest,
    /// behind the others (P-W3).
    fn transmit_data(&mut self, id: DialogId, out: &mut Vec<u8>, left: usize) {
        let chunk = self.chunk();
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        dialog.queued = false;
        if dialog.values.len > 0 {
            return self.transmit_values(id, out, left);
        }
        let Some(message) = dialog.queue.front_mut() else { return };
        let room = chunk.saturating_sub(message.head.len());
        let rest = message.payload.left();
        let (now, last) = (room.min(rest), room >= rest);
        let mut flags = if last { 0 } else { MORE };
        if message.begun {
            flags |= CONTINUED;
        }
        let tag = message.tag;
        if !message.passed.is_none() {
            flags |= DESCRIPTORS;
            self.out.passing.push_back((out.len(), message.passed.take()));
        }
        let size = message.head.len().saturating_add(now);
        wire::put_header(out, tag, id, flags, size);
        out.extend_from_slice(&message.head);
        self.recorder.sent(tag, id, size);
        let gathers = self.out.gathers;
        let moves = gathers && last && now >= GATHERED && message.payload.is_one();
        if !moves {
            let moved = &mut self.out.moved;
            message.payload.take(now, |piece| match piece {
                Piece::Own(bytes) => out.extend_from_slice(bytes),
                Piece::Shared(bytes) if gathers && bytes.len() >= GATHERED => {
                    moved.push((out.len(), Part::Shared(bytes)));
                }
                Piece::Shared(bytes) => out.extend_from_slice(&bytes),
            });
        }
        if tag == Tag::Start {
            let size = u64::try_from(now).unwrap_or(u64::MAX);
            dialog.args_cost =
                dialog.args_cost.saturating_add(size).saturating_add(u64::from(Limits::FRAME_COST));
        }
        let spent = if tag == Tag::Yield { cost_of(now, 1) } else { 0 };
        message.begun = true;
        self.out.spare.recycle(core::mem::take(&mut message.head));
        if last && let Some(message) = dialog.queue.pop_front() {
            let payload = message.payload.into_own();
            if moves {
                self.out.moved.push((out.len(), Part::Own(payload)));
            } else {
                self.out.spare.recycle(payload);
            }
            if matches!(tag, Tag::Start | Tag::Started) {
                dialog.has_begun();
            }
        }
        self.written(id, spent);
        if last && matches!(tag, Tag::Return | Tag::Error) {
            self.flushed(id);
        }
    }

    /// The same for small values, each whole in its frame: as many as there is room for where nobody
    /// else waits, as they would be written one after the other.
    fn transmit_values(&mut self, id: DialogId, out: &mut Vec<u8>, left: usize) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        let values = &mut dialog.values;
        let alone = self.out.data.is_empty();
        let header = wire::value_header(id);
        let rest = values.rest();
        let (mut end, mut len) = (0_usize, 0_usize);
        while let Some((prefix, _)) = rest.get(end..).and_then(<[u8]>::split_first_chunk) {
            let frame = PREFIX + usize::try_from(u32::from_le_bytes(*prefix)).unwrap_or_default();
            self.recorder.sent(Tag::Yield, id, frame.saturating_sub(header));
            (end, len) = (end + frame, len + 1);
            if !alone || end >= left {
                break;
            }
        }
        if out.is_empty() && values.written == 0 && end == rest.len() {
            // They are where they are to be.
            core::mem::swap(out, &mut values.bytes);
        } else {
            out.extend_from_slice(rest.get(..end).unwrap_or_default());
        }
        values.wrote(end, len);
        if values.len == 0
            && let Some(buffer) = values.outgrown()
        {
            self.out.spare.recycle(buffer);
        }
        self.written(id, cost_of(end.saturating_sub(len * header), len));
    }

    /// Values of a dialog that cost so much have left, or something else did.
    fn written(&mut self, id: DialogId, spent: u64) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        dialog.unsent = dialog.unsent.saturating_sub(spent);
        if dialog.wants_credit && dialog.has_room() {
            dialog.wants_credit = false;
            self.events.push_back(Event::Writable(id));
        }
        if dialog.has_data() {
            dialog.queued = true;
            self.out.data.push_back(id);
        }
    }
}

/// Writes a frame, and notes that.
pub(super) fn put(
    recorder: &mut Recorder,
    out: &mut Vec<u8>,
    tag: Tag,
    id: DialogId,
    flags: u8,
    write: impl FnOnce(&mut Vec<u8>),
) {
    let size = wire::put_frame(out, tag, id, flags, write);
    recorder.sent(tag, id, size);
}
