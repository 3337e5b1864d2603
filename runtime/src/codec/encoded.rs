//! The bytes of a value on its way out, in a buffer that the next one takes over. Knows no codec.

use std::cell::Cell;
use std::ops::Deref;

use crate::dialog::Outbound;

/// Larger buffers are given back to the allocator.
const MOST_KEPT: usize = 128 * 1024;

thread_local! {
    /// What the last value of this thread has left. Empty while one is encoded: its code may encode
    /// another.
    static LEFT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Bytes that are to be sent.
pub(crate) struct Encoded(Vec<u8>);

impl Encoded {
    /// Nothing yet.
    pub(super) fn begin() -> Self {
        Self(LEFT.try_with(Cell::take).unwrap_or_default())
    }

    /// As a value of a stream.
    pub(crate) fn outbound(&mut self) -> Outbound<'_> {
        Outbound::Own(&mut self.0)
    }

    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl Deref for Encoded {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Encoded {
    fn drop(&mut self) {
        let mut buffer = std::mem::take(&mut self.0);
        if buffer.capacity() <= MOST_KEPT {
            buffer.clear();
            let _ = LEFT.try_with(|left| left.set(buffer));
        }
    }
}
