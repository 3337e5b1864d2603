//! Each frame of a link as an event, where somebody wants that. What is in a frame is never looked at,
//! and nothing depends on what is shown.

use std::sync::Arc;

use hatchery_proto::{Connection, Event, Gather, Note};
use tracing::Level;

use super::{Link, clock, lock};

/// No more frames end in so many bytes than the core remembers: of those 16, none is shorter than 7.
const SHOWN: usize = 16 * 7;

/// Whether anybody wants to see frames. Asked once for each read and each write, of however many.
pub(super) fn are_wanted() -> bool {
    tracing::enabled!(target: "hatchery::transport", Level::TRACE)
}

/// The frames that `f` had the core send or receive, as far as that remembers them.
fn noted(
    connection: &mut Connection,
    f: impl FnOnce(&mut Connection) -> usize,
) -> (usize, Vec<Note>) {
    let before = connection.frames();
    let value = f(connection);
    let count = connection.frames().wrapping_sub(before);
    let mut notes: Vec<_> = connection.recent().rev().take(count).copied().collect();
    notes.reverse();
    (value, notes)
}

impl Link {
    /// Has the core hear these bytes.
    pub(super) fn hear(self: &Arc<Self>, bytes: &[u8]) {
        // What was put where it belongs is heard with no bytes behind it, too.
        if bytes.is_empty() || !are_wanted() {
            return self.with(|connection, now| connection.handle_input(now, bytes));
        }
        for part in bytes.chunks(SHOWN) {
            let (_, notes) = self.with(|connection, now| {
                noted(connection, |connection| {
                    connection.handle_input(now, part);
                    0
                })
            });
            self.show(&notes);
        }
    }

    /// Has the core say what it has to, about `room` bytes of it; says whether that has made room for
    /// somebody's value.
    pub(super) fn gather(&self, frames: &mut Gather, room: usize) -> bool {
        if !are_wanted() {
            let mut connection = lock(&self.connection);
            if connection.wants_transmit() {
                let _ = connection.poll_gather(clock::lately(), frames, room);
            }
            return connection.has_made_room();
        }
        let end = frames.len().saturating_add(room);
        while frames.len() < end {
            // One frame at a time, and told of when the core can be asked again.
            let (count, notes) = noted(&mut lock(&self.connection), |connection| {
                connection.poll_gather(clock::lately(), frames, 1)
            });
            self.show(&notes);
            if count == 0 {
                break;
            }
        }
        self.look(Connection::has_made_room)
    }

    /// The same into one buffer; says how many bytes there were.
    pub(super) fn transmit(self: &Arc<Self>, bytes: &mut Vec<u8>, room: usize) -> usize {
        if !are_wanted() {
            return self.with(|connection, now| connection.poll_transmit(now, bytes, room));
        }
        while bytes.len() < room {
            let (count, notes) = self.with(|connection, now| {
                noted(connection, |connection| connection.poll_transmit(now, bytes, 1))
            });
            self.show(&notes);
            if count == 0 {
                break;
            }
        }
        bytes.len()
    }

    fn show(&self, notes: &[Note]) {
        if notes.is_empty() {
            return;
        }
        let peer = self.peer_shown();
        for note in notes {
            tracing::trace!(target: "hatchery::transport", peer, %note, "frame");
        }
    }

    /// Tells of what becomes of the link itself.
    pub(super) fn show_event(&self, event: &Event) {
        let what = match event {
            Event::Up => "has greeted",
            Event::Goodbye(_) => "has said goodbye",
            Event::Closed => "the link is closed",
            _ => return,
        };
        if are_wanted() {
            let peer = self.peer_shown();
            tracing::trace!(target: "hatchery::transport", peer, "{what}");
        }
    }

    /// Who is at the other end, as far as that is known.
    fn peer_shown(&self) -> String {
        let peer = self.look(|connection| connection.peer().map(ToString::to_string));
        peer.unwrap_or_else(|| "somebody who has not greeted".to_owned())
    }
}
