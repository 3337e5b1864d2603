//! The reading side of a link: bytes of a large payload go from the line straight to where the core has
//! room for them, all others into a buffer. Knows no more of what comes than where it is to go.

use std::io::{self, IoSliceMut};

use super::frames::are_wanted;
use super::{Line, Link, lock};

/// So much is read behind a large payload: what is behind it may be another, which is not to be read
/// to the wrong place.
const BEHIND: usize = 1024;

/// What a read has brought.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Taken {
    /// Bytes that are where the core has room for them,
    pub(super) placed: usize,
    /// and those behind them, in the buffer.
    pub(super) count: usize,
    /// There was no room for more.
    pub(super) full: bool,
    /// There may be more, though there was room for it.
    pub(super) more: bool,
}

impl Link {
    /// Reads what there is, as soon as there is something; nothing at the end. The core has to hear of it,
    /// where none of it is in the buffer too. Cancel safe: what was not returned was not read.
    pub(super) async fn take_from(&self, line: &Line, buffer: &mut [u8]) -> io::Result<Taken> {
        // Each frame that is shown is read whole.
        if !line.scatters() || are_wanted() {
            let count = line.read(buffer).await?;
            return Ok(Taken { placed: 0, count, full: count == buffer.len(), more: false });
        }
        let mut taken = Taken::default();
        line.read_by(|read| {
            let mut connection = lock(&self.connection);
            let place = connection.place();
            if place.is_empty() {
                drop(connection);
                let count = read(&mut [IoSliceMut::new(buffer)])?;
                taken = Taken { placed: 0, count, full: count == buffer.len(), more: false };
                return Ok(());
            }
            let room = place.len();
            let behind = buffer.len().min(BEHIND);
            let behind = buffer.get_mut(..behind).unwrap_or_default();
            let all = room + behind.len();
            let count = read(&mut [IoSliceMut::new(place), IoSliceMut::new(behind)])?;
            let placed = count.min(room);
            connection.handle_placed(placed);
            taken = Taken { placed, count: count - placed, full: count == all, more: false };
            Ok(())
        })
        .await?;
        Ok(taken)
    }
}
