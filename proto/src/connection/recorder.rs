//! The flight recorder: the last frames of a link, for reports of how it ended. Nothing is decided by
//! what is in it.

use alloc::collections::VecDeque;
use core::fmt;

use super::Connection;
use crate::id::DialogId;
use crate::wire::{Frame, Tag, take_varint};

/// So many frames are kept: about the end of every dialog that matters to a report.
const KEPT: usize = 16;

/// One frame as the recorder keeps it: its header, not what was in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    /// Whether we sent it.
    pub sent: bool,
    /// What it was; nothing where it was of an unknown kind and skipped.
    pub tag: Option<Tag>,
    /// The dialog that it belonged to, or 0 where it was the link's own.
    pub dialog: DialogId,
    /// The bytes behind its header.
    pub size: usize,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = if self.sent { "sent" } else { "received" };
        let name = self.tag.map_or("a frame of unknown kind", Tag::name);
        write!(f, "{way} {name} of {} ({} bytes)", self.dialog, self.size)
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Recorder(VecDeque<Note>);

impl Recorder {
    pub(super) fn received(&mut self, frame: &Frame<'_>) {
        let (tag, dialog, size) = (frame.tag, frame.dialog, frame.body.len());
        self.keep(Note { sent: false, tag, dialog, size });
    }

    /// Notes the frames in `bytes`, which are ours and whole.
    pub(super) fn sent(&mut self, mut bytes: &[u8]) {
        while let Some((prefix, rest)) = bytes.split_first_chunk::<4>() {
            let len = usize::try_from(u32::from_le_bytes(*prefix)).unwrap_or(usize::MAX);
            let Some((content, behind)) = rest.split_at_checked(len) else { return };
            let Some((&kind, content)) = content.split_first() else { return };
            let Some((number, body)) = take_varint(content) else { return };
            let tag = Tag::of(kind);
            let flags = usize::from(tag.is_some_and(Tag::has_flags));
            let size = body.len().saturating_sub(flags);
            self.keep(Note { sent: true, tag, dialog: DialogId::new(number), size });
            bytes = behind;
        }
    }

    fn keep(&mut self, note: Note) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(note);
    }
}

impl Connection {
    /// The last frames of the link, oldest first: what a report of its end may want to show. At most
    /// 16, and only their headers.
    pub fn recent(&self) -> impl DoubleEndedIterator<Item = &Note> {
        self.recorder.0.iter()
    }
}
