//! Whether the body of the block around a dialog hears of its end by itself: since it waits on the
//! dialog, or has been told. What others hear of it, in tasks of their own, does not count.
//!
//! Decides nothing of what becomes of a body that does not.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

thread_local! {
    /// The dialogs, by the place of their `Told`, whose blocks' bodies are being polled right now.
    static POLLED: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// What the body of a block knows of its dialog's end.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Operations of the body that would see it by themselves.
    waiting: AtomicUsize,
    /// Whether such an operation has told its caller.
    told: AtomicBool,
}

impl Told {
    /// The body is polled for as long as the guard is there.
    pub(crate) fn in_body(&self) -> impl Drop + use<> {
        struct InBody;
        impl Drop for InBody {
            fn drop(&mut self) {
                let _ = POLLED.try_with(|polled| polled.borrow_mut().pop());
            }
        }

        POLLED.with(|polled| polled.borrow_mut().push(self.place()));
        InBody
    }

    fn place(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Whether the running code is the body's.
    fn is_body(&self) -> bool {
        POLLED.try_with(|polled| polled.borrow().contains(&self.place())).unwrap_or(false)
    }

    /// Counts an operation while it waits, if it is the body's.
    pub(super) fn waits(&self) -> Waits<'_> {
        let counted = self.is_body();
        if counted {
            self.waiting.fetch_add(1, Ordering::AcqRel);
        }
        Waits { told: self, counted }
    }

    /// An operation has told its caller.
    pub(crate) fn tell(&self) {
        if self.is_body() {
            self.told.store(true, Ordering::Release);
        }
    }

    /// Whether the body will be told by an operation of its own, or was.
    pub(crate) fn will_be(&self) -> bool {
        self.told.load(Ordering::Acquire) || self.waiting.load(Ordering::Acquire) > 0
    }
}

/// An operation that waits.
pub(super) struct Waits<'a> {
    told: &'a Told,
    counted: bool,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        if self.counted {
            self.told.waiting.fetch_sub(1, Ordering::AcqRel);
        }
    }
}
