//! Bytes as a value that is handed on instead of being copied. Knows no link.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::mem;
use std::ops::{Bound, Deref, RangeBounds};

use hatchery_proto::slice::Slice;
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::codec::handed::{self, HANDED};

/// Bytes that may be large: sent and received without being copied on the way.
///
/// A clone, and a [part](Self::slice), share the bytes. It is a value like any other, alone or within
/// another, in an argument, a result or on a stream, in any codec; encoded it is what `serde_bytes`
/// makes of bytes.
///
/// From 16 KiB on, in a codec of this library:
/// - on a stream its bytes go to the system from where they are;
/// - received, it is a part of the message that it came in, if it is at least half of that, and else a
///   copy. So what it keeps of memory is at most four times its length. Once it is let go of, the thread
///   keeps that for what it receives next, 1 MiB at most.
///
/// ```
/// use hatchery::Blob;
///
/// let blob = Blob::from(vec![1, 2, 3]);
/// let part = blob.slice(1..);
/// assert_eq!((&part[..], part.len()), (&[2, 3][..], 2));
/// // It comes from a vector without a copy, and is one again where nobody else holds it.
/// drop(part);
/// assert_eq!(blob.into_vec(), [1, 2, 3]);
/// ```
///
/// Others take it over as its owner, such as `bytes::Bytes`:
///
/// ```
/// # use hatchery::Blob;
/// let bytes = bytes::Bytes::from_owner(Blob::from(&b"owned"[..]));
/// assert_eq!(bytes, "owned");
/// ```
#[derive(Clone, Default)]
pub struct Blob(Slice);

impl Blob {
    /// No bytes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A part of it, which shares its bytes and keeps all of them in memory.
    ///
    /// # Panics
    /// Panics where it has no such part, as slices do.
    #[must_use]
    pub fn slice(&self, part: impl RangeBounds<usize>) -> Self {
        let from = match part.start_bound() {
            Bound::Included(&at) => at,
            Bound::Excluded(&at) => at.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let to = match part.end_bound() {
            Bound::Included(&at) => at.saturating_add(1),
            Bound::Excluded(&at) => at,
            Bound::Unbounded => self.len(),
        };
        match self.0.part(from..to) {
            Some(part) => Self(part),
            None => panic!("a blob of {} bytes has no part {from}..{to}", self.len()),
        }
    }

    /// The bytes as a vector: the one that they are in, where this holds all of it and nobody else does,
    /// and else a copy.
    #[must_use]
    pub fn into_vec(mut self) -> Vec<u8> {
        mem::take(&mut self.0).into_vec()
    }
}

impl Drop for Blob {
    fn drop(&mut self) {
        if self.0.len() >= HANDED {
            handed::let_go(mem::take(&mut self.0));
        }
    }
}

impl Deref for Blob {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Blob {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Borrow<[u8]> for Blob {
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl From<Vec<u8>> for Blob {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<String> for Blob {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl From<&[u8]> for Blob {
    fn from(bytes: &[u8]) -> Self {
        bytes.to_vec().into()
    }
}

impl From<Blob> for Vec<u8> {
    fn from(blob: Blob) -> Self {
        blob.into_vec()
    }
}

impl FromIterator<u8> for Blob {
    fn from_iter<I: IntoIterator<Item = u8>>(bytes: I) -> Self {
        Vec::from_iter(bytes).into()
    }
}

impl<B: AsRef<[u8]> + ?Sized> PartialEq<B> for Blob {
    fn eq(&self, other: &B) -> bool {
        **self == *other.as_ref()
    }
}

impl Eq for Blob {}

impl PartialOrd for Blob {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Blob {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl Hash for Blob {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

/// How many bytes it has, and the first of them.
impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 16;
        let (first, more) = self.split_at(self.len().min(SHOWN));
        write!(f, "Blob({} B: {}", self.len(), first.escape_ascii())?;
        f.write_str(if more.is_empty() { ")" } else { "…)" })
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        handed::offering(&self.0, || serializer.serialize_bytes(self))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Takes;

        impl<'de> Visitor<'de> for Takes {
            type Value = Blob;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Blob, E> {
                Ok(handed::held(bytes).map_or_else(|| bytes.into(), Blob))
            }

            fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Blob, E> {
                Ok(bytes.into())
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Blob, E> {
                self.visit_bytes(text.as_bytes())
            }

            fn visit_string<E: Error>(self, text: String) -> Result<Blob, E> {
                Ok(text.into())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Blob, A::Error> {
                let mut bytes = Vec::with_capacity(parts.size_hint().unwrap_or(0).min(4096));
                while let Some(byte) = parts.next_element()? {
                    bytes.push(byte);
                }
                Ok(bytes.into())
            }
        }
        from.deserialize_bytes(Takes)
    }
}
