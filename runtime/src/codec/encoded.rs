//! The bytes of a value on its way out, in a buffer that the next one takes over. Knows no codec.

use std::cell::RefCell;
use std::mem;
use std::ops::Deref;

use super::handed::Parts;
use crate::dialog::Outbound;
use crate::error::{Error, Result};
use hatchery_proto::Passed;

/// Larger buffers are given back to the allocator.
const MOST_KEPT: usize = 128 * 1024;

thread_local! {
    /// What the last value of this thread has left. Borrowed while one is encoded, whose code may
    /// encode another.
    static LEFT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Has `f` use an empty buffer of this thread, and leave it there for the next. Nothing where it is in
/// use.
#[inline]
pub(crate) fn in_place<R>(f: impl FnOnce(&mut Vec<u8>) -> R) -> Option<R> {
    let used = LEFT.try_with(|left| {
        let mut buffer = left.try_borrow_mut().ok()?;
        buffer.clear();
        let used = f(&mut buffer);
        if buffer.capacity() > MOST_KEPT {
            *buffer = Vec::new();
        }
        Some(used)
    });
    used.ok().flatten()
}

/// Bytes that are to be sent, with those that are handed on between, and the descriptors that go with
/// them.
pub(crate) struct Encoded(Vec<u8>, Passed, Parts);

impl Encoded {
    /// Nothing yet.
    pub(super) fn begin() -> Self {
        let take =
            |left: &RefCell<Vec<u8>>| left.try_borrow_mut().map(|mut left| mem::take(&mut *left));
        let mut buffer = LEFT.try_with(take).ok().and_then(Result::ok).unwrap_or_default();
        buffer.clear();
        Self(buffer, Passed::NONE, Parts::new())
    }

    /// These, in place of which an empty buffer is left.
    pub(crate) fn of(bytes: &mut Vec<u8>, passed: Passed, parts: Parts) -> Self {
        Self(mem::take(bytes), passed, parts)
    }

    /// With these.
    pub(super) fn carrying(mut self, passed: Passed) -> Self {
        self.1 = passed;
        self
    }

    /// What goes with them.
    pub(crate) fn passed(&self) -> &Passed {
        &self.1
    }

    /// The bytes, where nothing can go with them.
    ///
    /// # Errors
    /// `Misuse` where something would have to.
    pub(crate) fn alone(&self, what: &str) -> Result<&[u8]> {
        if self.1.is_none() {
            return Ok(&self.0);
        }
        Err(Error::misuse(format!("{what} cannot carry descriptors (P-F6)")))
    }

    /// As a value of a stream.
    pub(crate) fn outbound(&mut self) -> Outbound<'_> {
        let Self(own, passed, parts) = self;
        if parts.is_empty() {
            return Outbound::Own(own, passed);
        }
        if passed.is_none() {
            return Outbound::Apart(own, parts);
        }
        // Seldom both, and then the bytes are copied.
        join(own, parts);
        Outbound::Own(own, passed)
    }

    pub(super) fn both(&mut self) -> (&mut Vec<u8>, &mut Parts) {
        (&mut self.0, &mut self.2)
    }

    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

/// Puts what is handed on between these bytes to where it belongs.
pub(crate) fn join(own: &mut Vec<u8>, parts: &mut Parts) {
    let all = parts.iter().fold(own.len(), |sum, (_, part)| sum.saturating_add(part.len()));
    let (mut joined, mut from) = (Vec::with_capacity(all), 0);
    for (at, part) in parts.drain(..) {
        joined.extend_from_slice(own.get(from..at).unwrap_or_default());
        joined.extend_from_slice(&part);
        from = at;
    }
    joined.extend_from_slice(own.get(from..).unwrap_or_default());
    *own = joined;
}

/// All of it, for those values of which nothing is handed on.
impl Deref for Encoded {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Encoded {
    fn drop(&mut self) {
        let mut buffer = mem::take(&mut self.0);
        if buffer.capacity() <= MOST_KEPT {
            buffer.clear();
            let _ = LEFT.try_with(|left| left.try_borrow_mut().map(|mut left| *left = buffer));
        }
    }
}
