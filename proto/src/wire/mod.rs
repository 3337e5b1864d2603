//! Bytes to frames and back, and nothing else: no state of a dialog is known here.
//!
//! A frame is `len: u32` (little-endian), then `len` bytes: `kind: u8`, `dialog: varint`, one byte
//! of flags where the kind carries a payload, then the body (P-F1).

pub mod body;
pub mod deframer;
pub mod hello;
mod usual;

use alloc::vec::Vec;

use crate::error::Violation;
use crate::id::DialogId;

/// The kinds of frames. Unknown ones below 0x80 are a protocol error, others are skipped (P-F1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Tag {
    Hello = 1,
    Start = 2,
    StartAck = 3,
    Started = 4,
    Yield = 5,
    Stop = 6,
    Return = 7,
    Error = 8,
    Cancel = 9,
    CancelAck = 10,
    Credit = 11,
    Ping = 12,
    Pong = 13,
    Goodbye = 14,
}

impl Tag {
    const ALL: [Self; 14] = [
        Self::Hello,
        Self::Start,
        Self::StartAck,
        Self::Started,
        Self::Yield,
        Self::Stop,
        Self::Return,
        Self::Error,
        Self::Cancel,
        Self::CancelAck,
        Self::Credit,
        Self::Ping,
        Self::Pong,
        Self::Goodbye,
    ];

    /// The kind with this number, if it is known.
    #[must_use]
    pub fn of(number: u8) -> Option<Self> {
        // They are numbered from 1 on, without a gap.
        Self::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }

    /// The message's name, for errors.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hello => "Hello",
            Self::Start => "Start",
            Self::StartAck => "StartAck",
            Self::Started => "Started",
            Self::Yield => "Yield",
            Self::Stop => "Stop",
            Self::Return => "Return",
            Self::Error => "Error",
            Self::Cancel => "Cancel",
            Self::CancelAck => "CancelAck",
            Self::Credit => "Credit",
            Self::Ping => "Ping",
            Self::Pong => "Pong",
            Self::Goodbye => "Goodbye",
        }
    }

    /// Whether the kind has a byte of flags.
    #[must_use]
    pub const fn has_flags(self) -> bool {
        matches!(self, Self::Start | Self::Started | Self::Yield | Self::Return)
    }
}

/// Bytes of a frame's length.
pub(crate) const PREFIX: usize = 4;

/// The message goes on in another frame (P-F3).
pub const MORE: u8 = 1;
/// The frame continues a message that an earlier one began (P-D5).
pub const CONTINUED: u8 = 2;

/// Descriptors go with the message, and the body begins with their number (P-F6).
pub const DESCRIPTORS: u8 = 4;

/// One whole frame.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// What it is; `None` where it is unknown and to be skipped.
    pub tag: Option<Tag>,
    /// The dialog it belongs to.
    pub dialog: DialogId,
    /// [`MORE`], [`CONTINUED`] and [`DESCRIPTORS`].
    pub flags: u8,
    /// How many descriptors go with it.
    pub descriptors: u8,
    /// The rest of it. Nothing where a large payload was put where it belongs as it arrived.
    pub body: &'a [u8],
    /// How many bytes the rest has.
    pub size: usize,
}

impl<'a> Frame<'a> {
    /// Takes the content of a frame apart.
    pub(crate) fn parse(content: &'a [u8]) -> Result<Self, Violation> {
        let (&kind, rest) = content
            .split_first()
            .ok_or_else(|| Violation::new("frame", "P-F4", "any", "it is empty"))?;
        let tag = Tag::of(kind);
        if tag.is_none() && kind < 0x80 {
            let detail = alloc::format!("its kind {kind} is unknown");
            return Err(Violation::new("frame", "P-F1", "any", detail));
        }
        let name = tag.map_or("frame", Tag::name);
        let (number, rest) = take_varint(rest)
            .ok_or_else(|| Violation::new(name, "P-F4", "any", "its dialog number is malformed"))?;
        let dialog = DialogId::new(number);
        if !tag.is_some_and(Tag::has_flags) {
            let size = rest.len();
            return Ok(Self { tag, dialog, flags: 0, descriptors: 0, body: rest, size });
        }
        match rest.split_first() {
            Some((&flags, body)) if flags & !(MORE | CONTINUED) == 0 => {
                Ok(Self { tag, dialog, flags, descriptors: 0, body, size: body.len() })
            }
            // With the first frame of a message, and at least one.
            Some((&flags, [descriptors @ 1..=u8::MAX, body @ ..]))
                if flags & !MORE == DESCRIPTORS =>
            {
                let (descriptors, size) = (*descriptors, body.len());
                Ok(Self { tag, dialog, flags, descriptors, body, size })
            }
            _ => Err(Violation::new(name, "P-F4", "any", "its flags are malformed")),
        }
    }
}

/// Appends a varint: seven bits a byte, lowest first, as short as can be.
pub fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Takes a varint off the front; nothing where it is cut short, too long or not canonical.
#[must_use]
#[inline]
pub fn take_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    match bytes.split_first() {
        Some((&byte, rest)) if byte < 0x80 => Some((byte.into(), rest)),
        Some((&low, [high @ 1..0x80, rest @ ..])) => {
            Some((u64::from(low & 0x7f) | u64::from(*high) << 7, rest))
        }
        _ => take_long_varint(bytes),
    }
}

fn take_long_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0_u64;
    for (index, &byte) in bytes.iter().enumerate().take(10) {
        let bits = u64::from(byte & 0x7f);
        let shift = 7 * u32::try_from(index).ok()?;
        if shift == 63 && bits > 1 {
            return None;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            let canonical = byte != 0 || index == 0;
            return if canonical { Some((number, bytes.get(index + 1..)?)) } else { None };
        }
    }
    None
}

/// Bytes before the value in its `Yield`.
pub(crate) const fn value_header(dialog: DialogId) -> usize {
    let mut number = dialog.number() >> 7;
    let mut size = 4 + 1 + 1 + 1;
    while number > 0 {
        size += 1;
        number >>= 7;
    }
    size
}

/// Appends a frame; `write` appends its body, and the length is patched in behind it. Returns how
/// many bytes the body has.
pub fn put_frame(
    out: &mut Vec<u8>,
    tag: Tag,
    dialog: DialogId,
    flags: u8,
    write: impl FnOnce(&mut Vec<u8>),
) -> usize {
    let start = out.len();
    put_header(out, tag, dialog, flags, 0);
    let body = out.len();
    write(out);
    let len = u32::try_from(out.len().saturating_sub(start + 4)).unwrap_or(u32::MAX);
    if let Some(prefix) = out.get_mut(start..start + 4) {
        prefix.copy_from_slice(&len.to_le_bytes());
    }
    out.len().saturating_sub(body)
}

/// Appends what stands before a body of so many bytes.
#[inline]
pub(crate) fn put_header(out: &mut Vec<u8>, tag: Tag, dialog: DialogId, flags: u8, body: usize) {
    let number = dialog.number();
    if number >= 0x80 {
        if number >= 0x4000 {
            return put_long_header(out, tag, dialog, flags, body);
        }
        let size: usize = if tag.has_flags() { 8 } else { 7 };
        let [a, b, c, d] = len_of((size - 4).saturating_add(body)).to_le_bytes();
        let (low, high) = ((number & 0x7f) as u8 | 0x80, (number >> 7) as u8);
        let header = [a, b, c, d, tag as u8, low, high, flags];
        out.extend_from_slice(&header);
        out.truncate(out.len() - (header.len() - size));
        return;
    }
    // A short number and one step, as in most frames.
    let size: usize = if tag.has_flags() { 7 } else { 6 };
    let [a, b, c, d] = len_of((size - 4).saturating_add(body)).to_le_bytes();
    let header = [a, b, c, d, tag as u8, number as u8, flags];
    out.extend_from_slice(&header);
    out.truncate(out.len() - (header.len() - size));
}

fn put_long_header(out: &mut Vec<u8>, tag: Tag, dialog: DialogId, flags: u8, body: usize) {
    let content = value_header(dialog) - 4 - usize::from(!tag.has_flags());
    out.extend_from_slice(&len_of(content.saturating_add(body)).to_le_bytes());
    out.push(tag as u8);
    put_varint(out, dialog.number());
    if tag.has_flags() {
        out.push(flags);
    }
}

fn len_of(content: usize) -> u32 {
    u32::try_from(content).unwrap_or(u32::MAX)
}
