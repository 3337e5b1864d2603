//! The flight recorder: the last frames of a link, for reports of how it ended. Nothing is decided by
//! what is in it.

use core::fmt;

use super::Connection;
use crate::id::DialogId;
use crate::wire::{Frame, Tag};

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

/// A ring: the next goes where the oldest is.
#[derive(Clone, Debug)]
pub(super) struct Recorder {
    notes: [Note; KEPT],
    /// How many there ever were.
    count: usize,
}

impl Default for Recorder {
    fn default() -> Self {
        let none = Note { sent: false, tag: None, dialog: DialogId::ACTOR, size: 0 };
        Self { notes: [none; KEPT], count: 0 }
    }
}

impl Recorder {
    pub(super) fn received(&mut self, frame: &Frame<'_>) {
        self.took(frame.tag, frame.dialog, frame.size);
    }

    #[inline]
    pub(super) fn took(&mut self, tag: Option<Tag>, dialog: DialogId, size: usize) {
        self.keep(Note { sent: false, tag, dialog, size });
    }

    #[inline]
    pub(super) fn sent(&mut self, tag: Tag, dialog: DialogId, size: usize) {
        self.keep(Note { sent: true, tag: Some(tag), dialog, size });
    }

    #[inline]
    fn keep(&mut self, note: Note) {
        if let Some(place) = self.notes.get_mut(self.count % KEPT) {
            *place = note;
        }
        self.count = self.count.wrapping_add(1);
    }
}

impl Connection {
    /// How many frames the link has sent and received so far, those that [`recent`](Self::recent) has
    /// forgotten too. Begins again at 0 where a number has no room for more.
    #[must_use]
    pub const fn frames(&self) -> usize {
        self.recorder.count
    }

    /// The last frames of the link, oldest first: what a report of its end may want to show. At most
    /// 16, and only their headers.
    pub fn recent(&self) -> impl DoubleEndedIterator<Item = &Note> {
        let Recorder { notes, count } = &self.recorder;
        // Before it has gone round once, what is behind its place was never written.
        let (later, earlier) = notes.split_at_checked(count % KEPT).unwrap_or_default();
        let earlier = if *count < KEPT { &[] } else { earlier };
        earlier.iter().chain(later)
    }
}
