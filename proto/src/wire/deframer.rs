//! Cuts a byte stream into frames, however it was split (P-F4).

use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use super::{CONTINUED, Frame, MORE, PREFIX, Tag, take_varint};
use crate::error::Violation;
use crate::id::DialogId;

/// Bytes of the longest header.
const MOST_HEADER: usize = 16;

/// What stands before a payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) tag: Tag,
    pub(crate) dialog: DialogId,
    pub(crate) flags: u8,
    /// Bytes of the payload.
    pub(crate) size: usize,
}

impl Head {
    /// That of a frame that has nothing but a payload behind it, of `least` bytes or more, and how long
    /// it is; nothing where it is another's, or not whole.
    fn of(bytes: &[u8], least: usize) -> Option<(Self, usize)> {
        let prefix = bytes.first_chunk::<PREFIX>()?;
        let len = usize::try_from(u32::from_le_bytes(*prefix)).ok()?;
        let (&kind, rest) = bytes.get(PREFIX..)?.split_first()?;
        let tag = Tag::of(kind).filter(|tag| tag.has_flags())?;
        let (number, rest) = take_varint(rest)?;
        let (&flags, rest) = rest.split_first()?;
        let known = flags & !(MORE | CONTINUED) == 0;
        let bare = known && (tag != Tag::Start || flags & CONTINUED != 0);
        let header = bytes.len() - rest.len();
        let size = len.checked_sub(header - PREFIX).filter(|size| bare && *size >= least)?;
        Some((Self { tag, dialog: DialogId::new(number), flags, size }, header))
    }
}

/// Holds the part of a frame that has arrived, never more than one frame, and never allocates for
/// bytes that were only announced (P-F2, P-F5).
#[derive(Clone, Debug)]
pub struct Deframer {
    partial: Vec<u8>,
    /// The frame in `partial` has been handed out.
    spent: bool,
    max: u32,
}

impl Deframer {
    /// A deframer for frames of at most `max` bytes.
    #[must_use]
    pub const fn new(max: u32) -> Self {
        Self { partial: Vec::new(), spent: false, max }
    }

    /// Changes the largest frame from the next one on.
    pub fn set_max(&mut self, max: u32) {
        self.max = max;
    }

    /// Bytes that are held of a frame that is not whole.
    #[must_use]
    pub fn held(&self) -> usize {
        if self.spent { 0 } else { self.partial.len() }
    }

    /// Digests what is held, for [`Connection::fingerprint`](crate::Connection::fingerprint).
    pub(crate) fn fingerprint(&self, state: &mut impl Hasher) {
        let held = if self.spent { &[] } else { self.partial.as_slice() };
        (held, self.max).hash(state);
    }

    /// Takes the next frame off `input`; nothing where it is not whole yet.
    pub fn next<'s, 'i: 's>(
        &'s mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<Frame<'s>>, Violation> {
        if self.spent {
            self.partial.clear();
            self.spent = false;
        }
        if let Some(frame) = self.next_whole(input)? {
            return Ok(Some(frame));
        }
        loop {
            let want = match self.announced(&self.partial)? {
                None => PREFIX,
                Some(len) => PREFIX + len,
            };
            let missing = want.saturating_sub(self.partial.len());
            // The prefix alone is never a frame: none is empty.
            if missing == 0 {
                self.spent = true;
                let content = self.partial.get(PREFIX..).unwrap_or_default();
                return Frame::parse(content).map(Some);
            }
            if input.is_empty() {
                return Ok(None);
            }
            let (now, rest) = input.split_at(missing.min(input.len()));
            self.partial.extend_from_slice(now);
            *input = rest;
        }
    }

    /// The same where a frame stands whole in `input`; nothing where it does not, or where a part of
    /// it is held.
    #[inline]
    pub(crate) fn next_whole<'i>(
        &self,
        input: &mut &'i [u8],
    ) -> Result<Option<Frame<'i>>, Violation> {
        if !(self.spent || self.partial.is_empty()) {
            return Ok(None);
        }
        let bytes = *input;
        let Some(len) = self.announced(bytes)? else { return Ok(None) };
        match bytes.get(PREFIX..).and_then(|rest| rest.split_at_checked(len)) {
            Some((content, rest)) => {
                *input = rest;
                Frame::parse(content).map(Some)
            }
            None => Ok(None),
        }
    }

    /// Takes off the header of the next frame, if a payload of `least` bytes or more and nothing else
    /// stands behind it: that is its caller's to take. Nothing where it is no such frame, or the header
    /// is not whole.
    pub(crate) fn begins(&mut self, input: &mut &[u8], least: usize) -> Option<Head> {
        if core::mem::take(&mut self.spent) {
            self.partial.clear();
        }
        if self.partial.is_empty() {
            self.announced(input).ok()??;
            let (head, header) = Head::of(input, least)?;
            *input = input.get(header..)?;
            return Some(head);
        }
        // It was split within the header, which is shorter than such a frame.
        while self.announced(&self.partial).ok()?.is_none_or(|len| len >= least) {
            if let Some((head, _)) = Head::of(&self.partial, least) {
                self.partial.clear();
                return Some(head);
            }
            if self.partial.len() >= MOST_HEADER {
                return None;
            }
            let (&byte, rest) = input.split_first()?;
            self.partial.push(byte);
            *input = rest;
        }
        None
    }

    #[inline]
    fn announced(&self, bytes: &[u8]) -> Result<Option<usize>, Violation> {
        let Some(prefix) = bytes.first_chunk::<PREFIX>() else { return Ok(None) };
        let len = u32::from_le_bytes(*prefix);
        if len == 0 || len > self.max {
            return Err(self.refused(len));
        }
        Ok(usize::try_from(len).ok())
    }

    #[cold]
    fn refused(&self, len: u32) -> Violation {
        if len == 0 {
            return Violation::new("frame", "P-F4", "any", "it is empty");
        }
        let detail = alloc::format!("it announces {len} bytes and {} are allowed", self.max);
        Violation::new("frame", "P-F2", "any", detail)
    }
}
