//! Bytes that are handed on while a value is encoded or decoded, in place of a copy of them: from the
//! value to the message, and from the message to the value. Knows no codec; each of this library asks
//! here about bytes that are large.
//!
//! All of it is of one thread and one value at a time, and what is looked for is found by its place in
//! memory, so that nothing is handed on but the very bytes that were meant.

use std::cell::RefCell;
use std::sync::Arc;

use hatchery_proto::slice::Slice;

use super::CodecError;

/// From this size on, bytes are rather handed on than copied.
pub(crate) const HANDED: usize = 16 * 1024;

/// Bytes that stand between those that were encoded, each before what those have at its place.
pub(crate) type Parts = Vec<(usize, Slice)>;

thread_local! {
    /// What the value that is being encoded would hand on.
    static OFFERED: RefCell<Option<Slice>> = const { RefCell::new(None) };
    /// What was let go of.
    static LEFT: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    /// The message that is being decoded.
    static WHOLE: RefCell<Option<Arc<Vec<u8>>>> = const { RefCell::new(None) };
}

/// What goes back to what it was, however a codec's code ends.
struct After<F: FnMut()>(F);

impl<F: FnMut()> Drop for After<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// These bytes, where they are what the value that is being encoded would hand on.
#[cold]
pub(super) fn offered(bytes: &[u8]) -> Option<Slice> {
    let offered = OFFERED.try_with(|offered| {
        offered.borrow().clone().filter(|slice| std::ptr::eq::<[u8]>(&**slice, bytes))
    });
    offered.ok().flatten()
}

/// Offers bytes while `encode` has a codec append them.
pub(crate) fn offering<R>(slice: &Slice, encode: impl FnOnce() -> R) -> R {
    if slice.len() < HANDED {
        return encode();
    }
    let before = OFFERED.try_with(|offered| offered.replace(Some(slice.clone())));
    let mut before = before.ok().flatten();
    let _after = After(move || {
        let _ = OFFERED.try_with(|offered| offered.replace(before.take()));
    });
    encode()
}

/// Makes a value of a whole message, which it may hold parts of from then on; gives the buffer back where
/// it does not.
pub(crate) fn take_whole<T>(
    bytes: Vec<u8>,
    take: impl FnOnce(&[u8]) -> Result<T, CodecError>,
) -> (Result<T, CodecError>, Option<Vec<u8>>) {
    let whole = Arc::new(bytes);
    let value = {
        let before = WHOLE.try_with(|known| known.replace(Some(whole.clone())));
        let mut before = before.ok().flatten();
        let _after = After(move || {
            let _ = WHOLE.try_with(|known| known.replace(before.take()));
        });
        take(&whole)
    };
    (value, Arc::try_unwrap(whole).ok())
}

/// Buffers of this size or less are kept for what is received next,
const MOST_KEPT: usize = 128 * 1024;
/// and no more of them than this: 1 MiB a thread.
const KEPT: usize = 8;

/// Somebody who held this needs it no more.
pub(crate) fn let_go(slice: Slice) {
    let Ok(buffer) = slice.into_whole() else { return };
    if (HANDED..=MOST_KEPT).contains(&buffer.capacity()) {
        let _ = LEFT.try_with(|left| {
            let mut left = left.borrow_mut();
            if left.len() < KEPT {
                left.push(buffer);
            }
        });
    }
}

/// A buffer that somebody has let go of on this thread.
pub(crate) fn left() -> Option<Vec<u8>> {
    LEFT.try_with(|left| left.borrow_mut().pop()).ok().flatten()
}

/// These bytes as a part of the message that is being decoded, where they are one and at least half of it.
pub(crate) fn held(bytes: &[u8]) -> Option<Slice> {
    if bytes.len() < HANDED {
        return None;
    }
    let held = WHOLE.try_with(|known| {
        let known = known.borrow();
        let whole = known.as_ref()?;
        let from = bytes.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
        let to = from.checked_add(bytes.len())?;
        let most = to <= whole.len() && whole.len() <= 2 * bytes.len();
        let kept = whole.capacity() <= 4 * bytes.len();
        if most && kept { Slice::of(whole.clone(), from..to) } else { None }
    });
    held.ok().flatten()
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::Blob;
    use crate::codec::{Codec as _, Postcard, put_apart, take};

    fn apart<T: Serialize>(value: &T) -> (Vec<u8>, Parts) {
        let (mut out, mut parts) = (Vec::new(), Parts::new());
        put_apart::<Postcard, T>(value, &mut out, &mut parts).unwrap();
        (out, parts)
    }

    #[test]
    fn large_bytes_are_handed_on_and_small_ones_are_not() {
        for (size, handed) in [(HANDED - 1, 0), (HANDED, 1), (1_000_000, 1)] {
            let blob = Blob::from(vec![7; size]);
            let (out, parts) = apart(&(1_u8, &blob, 2_u8));
            assert_eq!(parts.len(), handed);
            if let Some((at, part)) = parts.first() {
                assert_eq!((*at, out.len()), (4, 5), "behind a byte and the length");
                assert!(std::ptr::eq(&**part, &*blob));
            }
        }
    }

    #[test]
    fn nothing_is_handed_on_but_by_whoever_asks_for_the_rest_alone() {
        struct Copies(Blob);
        impl Serialize for Copies {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut inner = Vec::new();
                Postcard::encode(&self.0, &mut inner).unwrap();
                assert_eq!(inner.len(), self.0.len() + 3, "by whoever wants all of it");
                let (own, parts) = apart(&self.0);
                assert_eq!((own.len(), parts.len()), (3, 1), "of another value");
                serializer.serialize_bytes(&inner)
            }
        }
        let blob = Blob::from(vec![7; 20_000]);
        let (out, parts) = apart(&(&blob, Copies(blob.clone()), &blob));
        assert_eq!((out.len(), parts.len()), (3 + 3 + 20_003 + 3, 2));
        let mut all = Vec::new();
        Postcard::encode(&blob, &mut all).unwrap();
        assert_eq!(all.len(), 20_003, "nothing is left over from before");
    }

    #[test]
    fn what_fails_or_panics_halfway_leaves_nothing_behind() {
        struct Fails(Blob, bool);
        impl Serialize for Fails {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeTuple;
                let mut tuple = serializer.serialize_tuple(2)?;
                tuple.serialize_element(&self.0)?;
                assert!(self.1, "on purpose");
                Err(serde::ser::Error::custom("on purpose"))
            }
        }
        let blob = Blob::from(vec![7; 20_000]);
        for fails in [true, false] {
            let value = Fails(blob.clone(), fails);
            let (mut out, mut parts) = (Vec::new(), Parts::new());
            let put = std::panic::AssertUnwindSafe(|| {
                put_apart::<Postcard, _>(&value, &mut out, &mut parts)
            });
            assert!(!std::panic::catch_unwind(put).is_ok_and(|put| put.is_ok()));
            assert!(OFFERED.with(|offered| offered.borrow().is_none()));
            // The same buffer again, by whoever wants all of it.
            out.clear();
            Postcard::encode(&blob, &mut out).unwrap();
            assert_eq!(out.len(), 20_003);
        }
        assert_eq!(blob.into_vec().capacity(), 20_000, "nobody else holds it");
    }

    #[test]
    fn a_value_holds_the_message_where_it_is_half_of_it() {
        let message = |sizes: &[usize]| {
            let blobs: Vec<_> = sizes.iter().map(|size| Blob::from(vec![7; *size])).collect();
            let mut out = Vec::new();
            Postcard::encode(&blobs, &mut out).unwrap();
            out.shrink_to_fit();
            out
        };
        for (sizes, held) in [
            (&[20_000][..], Some(0)),
            (&[10], None),
            (&[HANDED - 1], None),
            (&[20_000, 20_000], None),
            (&[20_000, 50_000], Some(1)),
            (&[5, 100_000, 9], Some(1)),
        ] {
            let bytes = message(sizes);
            let range = bytes.as_ptr_range();
            let (blobs, left) = take_whole(bytes, take::<Postcard, Vec<Blob>>);
            let blobs = blobs.unwrap();
            assert_eq!(left.is_none(), held.is_some(), "{sizes:?}");
            for (place, blob) in blobs.iter().enumerate() {
                assert!(blob.len() == sizes[place] && blob.iter().all(|byte| *byte == 7));
                let within = held.is_some() && range.contains(&blob.as_ptr());
                assert_eq!(within, held == Some(place), "{sizes:?}");
            }
        }
        let mut roomy = message(&[20_000]);
        roomy.reserve_exact(100_000);
        assert!(take_whole(roomy, take::<Postcard, Vec<Blob>>).1.is_some(), "too much for it");
    }

    #[test]
    fn the_buffer_of_what_was_let_go_of_is_there_for_the_next() {
        std::thread::spawn(|| {
            assert!(left().is_none());
            let blob = Blob::from(vec![7; 20_000]);
            let (place, part) = (blob.as_ptr(), blob.slice(1..));
            drop(blob);
            assert!(left().is_none(), "somebody holds a part of it");
            drop(part);
            assert_eq!(left().map(|buffer| buffer.as_ptr()), Some(place));
            for size in [100, HANDED - 1, MOST_KEPT + 1, 4_000_000] {
                drop(Blob::from(vec![7; size]));
            }
            assert!(left().is_none(), "too small or too large");
            let many: Vec<_> = (0..2 * KEPT).map(|_| Blob::from(vec![7; 20_000])).collect();
            drop(many);
            assert_eq!(std::iter::from_fn(left).count(), KEPT);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn what_is_decoded_from_elsewhere_meanwhile_is_a_copy() {
        struct Nested(Blob);
        impl<'de> Deserialize<'de> for Nested {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let outer = Blob::deserialize(from)?;
                let mut inner = Vec::new();
                Postcard::encode(&outer, &mut inner).unwrap();
                let (blob, left) = take_whole(inner, take::<Postcard, Blob>);
                assert!(left.is_none());
                let mut other = Vec::new();
                Postcard::encode(&outer, &mut other).unwrap();
                let copy = take::<Postcard, Blob>(&other).unwrap();
                assert!(!other.as_ptr_range().contains(&copy.as_ptr()));
                Ok(Self(blob.unwrap()))
            }
        }
        let mut bytes = Vec::new();
        Postcard::encode(&Blob::from(vec![3; 30_000]), &mut bytes).unwrap();
        let (nested, left) = take_whole(bytes, take::<Postcard, Nested>);
        assert!(left.is_some(), "the outer one is gone");
        assert_eq!(nested.unwrap().0.len(), 30_000);
        assert!(WHOLE.with(|known| known.borrow().is_none()));
    }
}
