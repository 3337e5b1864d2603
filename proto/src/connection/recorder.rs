//! The flight recorder: the last frames of a link, for reports of how it ended. Nothing is decided by
//! what is in it.

use alloc::vec::Vec;
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

/// A ring: where the oldest is, the next goes.
#[derive(Clone, Debug, Default)]
pub(super) struct Recorder {
    notes: Vec<Note>,
    oldest: usize,
}

impl Recorder {
    pub(super) fn received(&mut self, frame: &Frame<'_>) {
        let (tag, dialog, size) = (frame.tag, frame.dialog, frame.body.len());
        self.keep(Note { sent: false, tag, dialog, size });
    }

    pub(super) fn sent(&mut self, tag: Tag, dialog: DialogId, size: usize) {
        self.keep(Note { sent: true, tag: Some(tag), dialog, size });
    }

    fn keep(&mut self, note: Note) {
        match self.notes.get_mut(self.oldest) {
            Some(place) => {
                *place = note;
                self.oldest = (self.oldest + 1) % KEPT;
            }
            None => {
                self.notes.push(note);
                self.oldest = self.notes.len() % KEPT;
            }
        }
    }
}

impl Connection {
    /// The last frames of the link, oldest first: what a report of its end may want to show. At most
    /// 16, and only their headers.
    pub fn recent(&self) -> impl DoubleEndedIterator<Item = &Note> {
        let (later, earlier) =
            self.recorder.notes.split_at_checked(self.recorder.oldest).unwrap_or_default();
        earlier.iter().chain(later)
    }
}
