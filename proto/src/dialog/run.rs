//! Small values one behind the other in one buffer, each as the frame that it came in or leaves in:
//! what of a stream would otherwise be an allocation and a copy each. Knows of a frame only where its
//! value begins, and no limit.

use alloc::vec::Vec;

use crate::wire::PREFIX;

/// An empty buffer of no more than this stays where it is, for the next value.
pub(crate) const KEPT: usize = 128;
/// So many bytes of frames are kept and handed over together.
pub(crate) const MOST: usize = 16 * 1024;
/// What was taken is let go from here on, once it is half of all.
const TAKEN: usize = 4096;

/// Values, oldest first, each behind as many bytes as the first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Run {
    bytes: Vec<u8>,
    /// The place behind what was taken.
    taken: usize,
    len: usize,
    /// Bytes of values that were not taken.
    size: usize,
    /// Bytes before a value: of its frame's length, and of the rest of its header.
    header: usize,
}

impl Run {
    /// An empty one in this buffer.
    pub(crate) fn within(bytes: Vec<u8>) -> Self {
        Self { bytes, ..Self::default() }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Bytes of the values.
    pub(crate) const fn size(&self) -> usize {
        self.size
    }

    /// Whether so many bytes more may be added and it is still about as large as is handed over.
    pub(crate) fn has_room(&self, more: usize) -> bool {
        self.len > 0 && self.bytes.len().saturating_add(more) <= MOST
    }

    /// Its buffer, once it is needed no more.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.bytes
    }

    /// Whether an empty one may stay.
    pub(crate) fn is_small(&self) -> bool {
        self.bytes.capacity() <= KEPT
    }

    /// Adds frames of so many values, of so many bytes in all, each of which begins behind a header of
    /// that length: the same for all that are ever added.
    #[inline]
    pub(crate) fn push(&mut self, frames: &[u8], len: usize, size: usize, header: usize) {
        if self.len == 0 {
            self.bytes.clear();
            self.taken = 0;
        }
        self.bytes.extend_from_slice(frames);
        self.len += len;
        self.size += size;
        self.header = header;
    }

    /// The oldest value, which is taken. What was taken is let go with the next that comes.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<&[u8]> {
        let rest = self.bytes.get(self.taken..).filter(|_| self.len > 0)?;
        let (value, frame) = first(rest, self.header)?;
        self.taken += frame;
        self.len -= 1;
        self.size = self.size.saturating_sub(value.len());
        Some(value)
    }

    /// Takes the oldest value into `out`, which is cleared first.
    pub(crate) fn pop(&mut self, out: &mut Vec<u8>) -> bool {
        out.clear();
        let Some(value) = self.take() else { return false };
        out.extend_from_slice(value);
        if self.taken >= TAKEN && self.taken >= self.bytes.len() / 2 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        true
    }

    /// Has `out`, which is empty, hold what is here: all where that is no more than `most` bytes of
    /// frames, and else about so much, but for one value whatever its size.
    pub(crate) fn hand_over(&mut self, out: &mut Self, most: usize) {
        if self.bytes.len().saturating_sub(self.taken) <= most {
            core::mem::swap(self, out);
            return;
        }
        let rest = self.bytes.get(self.taken..).unwrap_or_default();
        let (mut end, mut len, mut size) = (0_usize, 0_usize, 0_usize);
        while (len == 0 || end < most)
            && let Some((value, frame)) = rest.get(end..).and_then(|rest| first(rest, self.header))
        {
            (end, len, size) = (end + frame, len + 1, size + value.len());
        }
        out.push(rest.get(..end).unwrap_or_default(), len, size, self.header);
        self.taken += end;
        self.len = self.len.saturating_sub(len);
        self.size = self.size.saturating_sub(size);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.bytes.get(self.taken..).unwrap_or_default();
        let rest_of = move |_| {
            let (value, frame) = first(rest, self.header)?;
            rest = rest.get(frame..).unwrap_or_default();
            Some(value)
        };
        (0..self.len).map_while(rest_of)
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
        if self.bytes.capacity() <= KEPT {
            self.bytes.clear();
        } else {
            self.bytes = Vec::new();
        }
        (self.written, self.len) = (0, 0);
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

/// The first value, and how long its frame is.
#[inline]
pub(crate) fn first(bytes: &[u8], header: usize) -> Option<(&[u8], usize)> {
    let prefix = bytes.first_chunk::<PREFIX>()?;
    let frame = PREFIX + usize::try_from(u32::from_le_bytes(*prefix)).ok()?;
    Some((bytes.get(header..frame)?, frame))
}
