//! Bytes that several hold a part of, so that large ones are handed on and never copied. What they say
//! is nobody's business here.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::{Deref, Range};

/// A part of bytes that others may hold as well. A clone is another holder of the same.
#[derive(Clone, Default)]
pub struct Slice {
    /// Nothing where it has no bytes.
    whole: Option<Arc<Vec<u8>>>,
    from: usize,
    to: usize,
}

impl Slice {
    /// So much of what `whole` holds; nothing where it holds less.
    #[must_use]
    pub fn of(whole: Arc<Vec<u8>>, part: Range<usize>) -> Option<Self> {
        whole.get(part.clone())?;
        Some(Self { whole: Some(whole), from: part.start, to: part.end })
    }

    /// A part of it; nothing where it is not that long.
    #[must_use]
    pub fn part(&self, part: Range<usize>) -> Option<Self> {
        self.get(part.clone())?;
        let (from, to) = (self.from.checked_add(part.start)?, self.from.checked_add(part.end)?);
        Some(Self { whole: self.whole.clone(), from, to })
    }

    /// Takes so many bytes off the front, or all where it is not that long.
    pub(crate) fn take_front(&mut self, count: usize) -> Self {
        let middle = self.from.saturating_add(count).min(self.to);
        let front = Self { whole: self.whole.clone(), from: self.from, to: middle };
        self.from = middle;
        front
    }

    /// The buffer that it is a part of.
    ///
    /// # Errors
    /// Itself, where somebody else holds some of that too.
    pub fn into_whole(self) -> Result<Vec<u8>, Self> {
        let (from, to) = (self.from, self.to);
        let Some(whole) = self.whole else { return Ok(Vec::new()) };
        Arc::try_unwrap(whole).map_err(|whole| Self { whole: Some(whole), from, to })
    }

    /// The bytes as a vector, copied only where others hold them too or they are not all that is held.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        if self.whole.as_ref().is_some_and(|whole| self.len() < whole.len()) {
            return self.to_vec();
        }
        self.into_whole().unwrap_or_else(|shared| shared.to_vec())
    }
}

impl Deref for Slice {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let whole = self.whole.as_ref().and_then(|whole| whole.get(self.from..self.to));
        whole.unwrap_or_default()
    }
}

impl From<Vec<u8>> for Slice {
    fn from(whole: Vec<u8>) -> Self {
        let to = whole.len();
        Self { whole: Some(Arc::new(whole)), from: 0, to }
    }
}

impl fmt::Debug for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Slice").field(&self.len()).finish()
    }
}
