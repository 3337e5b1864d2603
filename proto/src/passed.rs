//! What a message carries beside its bytes: open descriptors, as handles that the core keeps with the
//! message and never looks into. Nothing is decided here; the rule is P-F6.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::fmt;

/// One open descriptor, whatever that is to the driver. Dropping the last of it closes it.
pub type Handle = Arc<dyn Any + Send + Sync>;

/// The descriptors of one message, in order. They go with it: where it is dropped, they are closed.
#[derive(Clone, Default)]
pub struct Passed(Option<Arc<Set>>);

struct Set {
    handles: Vec<Handle>,
    missing: Option<Missing>,
}

/// Why a message has come without its descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Missing {
    /// The process had no room for them.
    NoRoom,
    /// As many as a link keeps had come before, and nobody had taken them (P-F5).
    Unread,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRoom => "this process had no room for the descriptors of the message (EMFILE)",
            Self::Unread => {
                "as many descriptors as a link keeps had come before, and nobody had read them (P-F5)"
            }
        })
    }
}

impl Passed {
    /// None.
    pub const NONE: Self = Self(None);

    /// These.
    #[must_use]
    pub fn of(handles: Vec<Handle>) -> Self {
        if handles.is_empty() {
            return Self::NONE;
        }
        Self(Some(Arc::new(Set { handles, missing: None })))
    }

    /// Some that have not arrived.
    #[must_use]
    pub fn missing(why: Missing) -> Self {
        Self(Some(Arc::new(Set { handles: Vec::new(), missing: Some(why) })))
    }

    /// Whether the message carries none, and was to carry none.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Those that are there.
    #[must_use]
    pub fn handles(&self) -> &[Handle] {
        self.0.as_ref().map_or(&[], |set| set.handles.as_slice())
    }

    /// Why they are not there, where some were to be.
    #[must_use]
    pub fn why_missing(&self) -> Option<Missing> {
        self.0.as_ref().and_then(|set| set.missing)
    }

    /// Takes them, and leaves none.
    pub(crate) fn take(&mut self) -> Self {
        core::mem::take(self)
    }
}

impl fmt::Debug for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.why_missing() {
            None => write!(f, "Passed({})", self.handles().len()),
            Some(why) => f.debug_tuple("Passed").field(&why).finish(),
        }
    }
}

/// Which descriptors have come and are still held, by whomever.
#[derive(Clone, Default)]
pub(crate) struct Held(Vec<Weak<Set>>);

impl Held {
    /// Counts these too, unless that would be more than `most`; says whether it does.
    pub(crate) fn holds(&mut self, passed: &Passed, most: usize) -> bool {
        let Some(set) = &passed.0 else { return true };
        let mut held = set.handles.len();
        self.0.retain(|known| {
            held = held.saturating_add(known.upgrade().map_or(0, |set| set.handles.len()));
            known.strong_count() > 0
        });
        let fits = held <= most;
        if fits {
            self.0.push(Arc::downgrade(set));
        }
        fits
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Held").field(&self.0.len()).finish()
    }
}
