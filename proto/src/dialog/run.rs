//! Small values one behind the other in one buffer, each behind its size: what of a stream would
//! otherwise be an allocation each. Knows no frame and no limit.

use alloc::vec::Vec;

/// Bytes of a size.
const PREFIX: usize = 4;
/// An empty buffer of no more than this stays where it is, for the next value.
const KEPT: usize = 128;
/// What was taken is let go from here on, once it is half of all.
const TAKEN: usize = 4096;

/// Values, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Run {
    bytes: Vec<u8>,
    /// The place behind what was taken.
    taken: usize,
    len: usize,
}

impl Run {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Whether an empty one may stay.
    pub(crate) fn is_small(&self) -> bool {
        self.bytes.capacity() <= KEPT
    }

    /// Adds a value of less than 4 GiB.
    pub(crate) fn push(&mut self, value: &[u8]) {
        let size = u32::try_from(value.len()).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(&size.to_le_bytes());
        self.bytes.extend_from_slice(value);
        self.len += 1;
    }

    /// Takes the oldest value into `out`, which is cleared first.
    pub(crate) fn pop(&mut self, out: &mut Vec<u8>) -> bool {
        out.clear();
        let Some((value, _)) = first(self.bytes.get(self.taken..).unwrap_or_default()) else {
            return false;
        };
        out.extend_from_slice(value);
        self.taken = self.taken.saturating_add(PREFIX + value.len());
        self.len = self.len.saturating_sub(1);
        if self.len == 0 {
            self.bytes.clear();
            self.taken = 0;
        } else if self.taken >= TAKEN && self.taken >= self.bytes.len() / 2 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        true
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.bytes.get(self.taken..).unwrap_or_default();
        core::iter::from_fn(move || {
            let (value, behind) = first(rest)?;
            rest = behind;
            Some(value)
        })
    }
}

/// Values on their way out, each whole in its frame.
#[derive(Clone, Debug, Default)]
pub(crate) struct Framed {
    pub(crate) bytes: Vec<u8>,
    /// The place behind what was written.
    pub(crate) written: usize,
    pub(crate) len: usize,
}

impl Framed {
    /// Forgets them, and keeps a buffer that is small.
    pub(crate) fn clear(&mut self) {
        let mut bytes = core::mem::take(&mut self.bytes);
        bytes.clear();
        *self = Self::default();
        if bytes.capacity() <= KEPT {
            self.bytes = bytes;
        }
    }

    /// What is not written yet.
    pub(crate) fn rest(&self) -> &[u8] {
        self.bytes.get(self.written..).unwrap_or_default()
    }

    /// So many bytes of so many values were written.
    pub(crate) fn wrote(&mut self, bytes: usize, len: usize) {
        self.len = self.len.saturating_sub(len);
        self.written = self.written.saturating_add(bytes);
        if self.len > 0 && self.written >= TAKEN && self.written >= self.bytes.len() / 2 {
            self.bytes.drain(..self.written);
            self.written = 0;
        }
    }

    /// The buffer, where it is too large to stay in an empty one.
    pub(crate) fn outgrown(&mut self) -> Option<Vec<u8>> {
        self.written = 0;
        if self.bytes.capacity() <= KEPT {
            self.bytes.clear();
            return None;
        }
        Some(core::mem::take(&mut self.bytes))
    }
}

/// The first value, and what stands behind it.
fn first(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (size, rest) = bytes.split_first_chunk::<PREFIX>()?;
    rest.split_at_checked(usize::try_from(u32::from_le_bytes(*size)).ok()?)
}
