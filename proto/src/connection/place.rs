//! Where a large payload stands while its frame arrives: in its message's own buffer, so that a driver
//! may read it to where it is to be. A frame is judged once it is whole, here as elsewhere (P-A1), and
//! what has arrived of it by then is never looked at.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use super::{Connection, Names, Phase};
use crate::error::Violation;
use crate::id::DialogId;
use crate::time::Instant;
use crate::wire::deframer::Head;
use crate::wire::{CONTINUED, Frame};

/// From this size on a payload is put there, or from a quarter of the largest frame on.
const PLACED: u32 = 16 * 1024;
/// Room is made for no more than this ahead of what has arrived, whatever was announced (P-F5).
const AHEAD: usize = 128 * 1024;

/// A payload of which more is to come.
#[derive(Clone, Debug)]
pub(super) struct Place {
    head: Head,
    /// What has arrived of its message, and room behind that.
    bytes: Vec<u8>,
    /// Where this frame's part of it begins,
    begin: usize,
    /// and ends so far.
    filled: usize,
}

impl Place {
    /// What the frame announces.
    pub(super) const fn size(&self) -> usize {
        self.head.size
    }

    /// What has arrived of the message.
    pub(super) const fn held(&self) -> usize {
        self.filled
    }

    const fn end(&self) -> usize {
        self.begin.saturating_add(self.head.size)
    }

    /// The message, with this frame's part or as it was before.
    pub(super) fn into_bytes(mut self, wanted: bool) -> Vec<u8> {
        self.bytes.truncate(if wanted { self.end() } else { self.begin });
        self.bytes
    }

    fn room(&mut self) -> &mut [u8] {
        let to = self.end().min(self.filled.saturating_add(AHEAD));
        if self.bytes.len() < to {
            self.bytes.resize(to, 0);
        }
        self.bytes.get_mut(self.filled..to).unwrap_or_default()
    }

    /// Takes what belongs to it off `input`; says whether it is whole.
    fn take(&mut self, input: &mut &[u8]) -> bool {
        let missing = self.end().saturating_sub(self.filled);
        let (now, rest) = input.split_at(missing.min(input.len()));
        // Room that was made, and not read into, is used up first.
        let room = self.bytes.get_mut(self.filled..).unwrap_or_default();
        let (there, behind) = now.split_at(room.len().min(now.len()));
        if let Some(room) = room.get_mut(..there.len()) {
            room.copy_from_slice(there);
        }
        self.bytes.extend_from_slice(behind);
        self.filled = self.filled.saturating_add(now.len());
        *input = rest;
        self.filled >= self.end()
    }

    /// Lets go of what had arrived of its message before this frame.
    fn let_go(&mut self) {
        self.bytes = self.bytes.split_off(self.begin.min(self.bytes.len()));
        self.filled = self.filled.saturating_sub(self.begin);
        self.begin = 0;
    }

    pub(super) fn fingerprint(&self, names: &mut Names, state: &mut impl Hasher) {
        let Head { tag, dialog, flags, size } = self.head;
        (tag as u8, names.of(dialog), flags, size).hash(state);
        self.bytes.get(self.begin..self.filled).hash(state);
    }
}

impl Connection {
    /// Room for the bytes that come next, where they are of a large payload: a driver may read them
    /// straight to there, and tells of that by [`handle_placed`](Self::handle_placed). Empty where there
    /// is none; then, or where they come otherwise, [`handle_input`](Self::handle_input) takes them.
    #[must_use]
    pub fn place(&mut self) -> &mut [u8] {
        match &mut self.placing {
            Some(place) if self.phase == Phase::Open && !self.eof => place.room(),
            _ => &mut [],
        }
    }

    /// So many bytes have arrived at the front of [`place`](Self::place). They are heard with the next
    /// [`handle_input`](Self::handle_input), which has what has arrived behind them, or nothing.
    pub fn handle_placed(&mut self, count: usize) {
        if let Some(place) = &mut self.placing {
            let end = place.end().min(place.bytes.len());
            place.filled = place.filled.saturating_add(count).min(end);
        }
    }

    /// Has a large payload whose frame begins in `input` put where it belongs; says whether there is one.
    pub(super) fn places(&mut self, input: &mut &[u8]) -> bool {
        let least = usize::try_from(PLACED.min(self.announced.max_frame / 4)).unwrap_or(usize::MAX);
        let open = self.phase == Phase::Open;
        let head = if open { self.deframer.begins(input, least) } else { None };
        head.map(|head| self.begin_placing(head)).is_some()
    }

    /// Has a payload put behind what has arrived of its message.
    fn begin_placing(&mut self, head: Head) {
        let dialog = self.dialogs.get_mut(&head.dialog).filter(|dialog| dialog.wants(head.tag));
        let last = dialog.as_ref().map_or(0, |dialog| dialog.last);
        let (bytes, begin) = match dialog.and_then(|dialog| dialog.partial.as_mut()) {
            Some(begun) if head.flags & CONTINUED != 0 && begun.tag == head.tag => {
                let mut bytes = core::mem::take(&mut begun.bytes);
                let begin = bytes.len();
                // What grows step by step is copied at each, and messages of a stream are often alike.
                if begin >= last / 8 {
                    bytes.reserve(last.saturating_sub(begin));
                }
                (bytes, begin)
            }
            _ => (self.out.spare.used_for(head.size.min(AHEAD)), 0),
        };
        self.placing = Some(Box::new(Place { head, bytes, begin, filled: begin }));
    }

    /// Takes a dialog out, and what has arrived of a message of its that is not whole: of that no more is
    /// held than the frame which is still to come (P-F5).
    pub(super) fn remove(&mut self, id: DialogId) {
        self.dialogs.remove(id, &mut self.out.spare);
        if let Some(place) = self.placing.as_mut().filter(|place| place.head.dialog == id) {
            place.let_go();
        }
    }

    /// Takes what has arrived of such a payload, and judges its frame once it is whole: `false` where
    /// more of it is to come.
    pub(super) fn placed(&mut self, now: Instant, input: &mut &[u8]) -> Result<bool, Violation> {
        let Some(place) = &mut self.placing else { return Ok(true) };
        if !place.take(input) {
            return Ok(false);
        }
        let Head { tag, dialog, flags, size } = place.head;
        let judged = self
            .frame(now, &Frame { tag: Some(tag), dialog, flags, descriptors: 0, body: &[], size });
        // Of a message that nobody waits for.
        if let Some(place) = self.placing.take() {
            self.out.spare.recycle(place.bytes);
        }
        judged.map(|()| true)
    }
}
