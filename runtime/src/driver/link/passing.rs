//! Descriptors on a link (P-F6): which reads have to look for them, and which write has to begin with the
//! byte that they go with. What may be passed is decided in the core.

use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;
use std::time::Duration;

use hatchery_proto::{Connection, Gather, Passed};

use super::reading::Taken;
use super::writing::SLICES;
use super::{Line, Link, clock, readiness};
use crate::driver::transport::carrier::Carrier;

/// The user has as many descriptors on their way between its processes as it may: so often is looked
/// whether some have arrived, of which nobody tells.
const CROWDED: Duration = Duration::from_millis(10);
/// And so many times.
const TRIES: u32 = 500;

/// Where there are none, nothing is looked for and nothing said.
const THERE_ARE: bool = cfg!(feature = "descriptors");

/// The same connection over this carrier.
pub(super) fn over(connection: Connection, carrier: &Carrier) -> Connection {
    if carrier.passes() { taking_descriptors(connection) } else { connection }
}

/// The same connection over a Unix socket, or with its other end in this process.
pub(crate) fn taking_descriptors(connection: Connection) -> Connection {
    if THERE_ARE { connection.passing() } else { connection }
}

/// Whether a write has to look at what goes with its bytes.
pub(super) fn are_in(frames: &Gather) -> bool {
    THERE_ARE && frames.passes()
}

/// Writes as much as the line takes at once of what goes with the same descriptors, or with none.
pub(super) fn write(line: &Line, frames: &Gather) -> io::Result<usize> {
    let (passed, mut left) = frames.stretch();
    let (mut slices, mut count) = ([IoSlice::new(&[]); SLICES], 0);
    for (place, slice) in slices.iter_mut().zip(frames.slices()) {
        if left == 0 {
            break;
        }
        let part = slice.get(..left.min(slice.len())).unwrap_or_default();
        *place = IoSlice::new(part);
        (left, count) = (left - part.len(), count + 1);
    }
    let slices = slices.get(..count).unwrap_or_default();
    match passed {
        Some(passed) => line.write_passing(slices, passed),
        None => line.write(slices),
    }
}

/// Whether a write has failed for others that are on their way, and may be tried again: not where this
/// was so for long, as it is of sockets that are on their way within each other.
pub(super) fn is_crowded(error: &io::Error, tries: u32) -> bool {
    error.kind() == ErrorKind::ResourceBusy && tries < TRIES
}

/// Waits for some of them to arrive.
pub(super) async fn thins() {
    readiness::until(clock::now() + CROWDED).await;
}

/// Reads of a link, which look for descriptors as long as some may come.
pub(super) struct Reads {
    looks: bool,
    /// The core may still say that none will.
    asks: bool,
}

impl Reads {
    pub(super) fn of(link: &Link) -> Self {
        let looks = link.look(Connection::expects_descriptors);
        Self { looks, asks: looks }
    }

    /// As [`Link::take_from`]. What comes with descriptors is read into the buffer, and nowhere else.
    pub(super) async fn take_from(
        &mut self,
        link: &Link,
        line: &Line,
        buffer: &mut [u8],
    ) -> io::Result<Taken> {
        if self.asks {
            (self.looks, self.asks) = link
                .look(|connection| (connection.expects_descriptors(), connection.peer().is_none()));
        }
        if !self.looks {
            return link.take_from(line, buffer).await;
        }
        let (count, passed) = line.read_passing(buffer).await?;
        // A read ends with the bytes that descriptors go with.
        let more = !passed.is_none();
        if more {
            link.draw(|connection| connection.handle_descriptors(passed));
        }
        Ok(Taken { placed: 0, count, full: count == buffer.len(), more })
    }
}

impl Link {
    /// Has the core hear bytes that another in this process has said, with the descriptors that go with
    /// them.
    pub(super) fn hear_passing(
        self: &Arc<Self>,
        bytes: &[u8],
        mut next: impl FnMut() -> Option<(usize, Passed)>,
    ) {
        let mut heard = 0;
        while let Some((at, passed)) = next() {
            self.hear(bytes.get(heard..at).unwrap_or_default());
            self.draw(|connection| connection.handle_descriptors(passed));
            heard = at;
        }
        self.hear(bytes.get(heard..).unwrap_or_default());
    }
}
