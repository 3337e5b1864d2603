//! What the tasks of an actor have its links say in one turn, gathered so that it leaves in few writes.
//!
//! Knows no more of what is said than when it has to leave, and decides nothing else.
//!
//! What is kept here leaves for certain, by two ways that do not need each other:
//! - The thread that has kept it writes it at the end of its turn, which is a drop on its own stack:
//!   nobody has to be woken for that, on whatever executor the actor is polled.
//! - Where something was kept that somebody waits for, the link's writer was woken, a task like any
//!   other: it is done behind those that were ready by then, by whichever thread runs the actor, even
//!   where the one that has kept it is being blocked.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use hatchery_proto::{Connection, Limits};

use super::{BATCH, Link, lock};

/// When what is said has to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaves {
    /// At once: who says it may go on, and block its thread.
    Now,
    /// At once where nothing of its kind was said in this turn; else with all that is said in it. For
    /// what a task says that is over, or is about to wait for the answer.
    Soon,
    /// With all that is said in the turn. For what had to wait until the peer had room, and may as well
    /// wait for what comes with it.
    Together,
    /// Once the events at hand are handled, before any task goes on.
    Promptly,
    /// With what is said next, or at the end of the turn. For what nobody waits for.
    Later,
}

impl Leaves {
    /// Whether somebody waits for it, so that it leaves also where the thread that says it is blocked.
    const fn is_awaited(self) -> bool {
        matches!(self, Self::Soon | Self::Together)
    }
}

/// In which turn a link was last used. Turns have numbers from 1 on, no two the same.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// Something left at once that might have waited.
    said: AtomicU64,
    /// It is among those that the turn's end has write.
    listed: AtomicU64,
    /// The link's writer was woken for what is kept, and has not looked since.
    pub(super) woken: AtomicU64,
    /// About so many bytes are kept in the core.
    bytes: AtomicUsize,
}

thread_local! {
    /// The number of this thread's turn, nought outside of any. Looked at for each value.
    static TURN: Cell<u64> = const { Cell::new(0) };
    /// The links that the turn's end has write.
    static KEPT: RefCell<Vec<Arc<Link>>> = const { RefCell::new(Vec::new()) };
}

/// A turn of an actor on this thread. Dropping it has the links write what was kept.
pub(crate) struct Gathering(());

impl Gathering {
    /// Begins a turn; one at a time on a thread.
    pub(crate) fn begin() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed) + 1;
        TURN.set(number);
        Self(())
    }
}

impl Drop for Gathering {
    fn drop(&mut self) {
        TURN.set(0);
        let Ok(mut links) = KEPT.try_with(RefCell::take) else { return };
        links.drain(..).for_each(|link| link.flush());
        // So that a turn allocates nothing.
        let _ = KEPT.try_with(|kept| kept.replace(links));
    }
}

impl Link {
    /// Has `f` say something of so many bytes, from which nothing follows but that it is to be written:
    /// no event, and no deadline. It leaves as [`Leaves`] has it, and together with others of a turn once
    /// they are [`BATCH`] bytes.
    pub(crate) fn say<T, E>(
        self: &Arc<Self>,
        leaves: Leaves,
        size: usize,
        f: impl FnOnce(&mut Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let said = f(&mut lock(&self.connection));
        let keeps = said.is_ok() && self.keeps_said(leaves, size);
        // What was not taken waits for what is to come when the others are read.
        if !keeps {
            self.flush();
        }
        said
    }

    /// Has `f` take a value, and what has to be said to the sender said.
    pub(crate) fn take_value<R>(self: &Arc<Self>, f: impl FnOnce(&mut Connection) -> R) -> R {
        let (value, control) = {
            let mut connection = lock(&self.connection);
            let value = f(&mut connection);
            (value, connection.wants_control())
        };
        if control {
            self.flush();
        }
        value
    }

    #[inline(always)]
    fn keeps_said(self: &Arc<Self>, leaves: Leaves, size: usize) -> bool {
        let cost = size.saturating_add(Limits::FRAME_COST as usize);
        let kept = self.turns.bytes.load(Ordering::Relaxed).saturating_add(cost);
        let keeps = kept < BATCH && self.keeps(leaves);
        self.turns.bytes.store(if keeps { kept } else { 0 }, Ordering::Relaxed);
        keeps
    }

    /// Whether what was just said here is kept. Where it is, it leaves in the end.
    #[inline(always)]
    fn keeps(self: &Arc<Self>, leaves: Leaves) -> bool {
        let number = TURN.get();
        if leaves == Leaves::Now || number == 0 {
            return false;
        }
        // Once the writer is woken for this turn, there is nothing left to do in it.
        let is_woken = leaves.is_awaited() && self.turns.woken.load(Ordering::Relaxed) == number;
        is_woken || self.keeps_first(leaves, number)
    }

    /// The same of what may be the first of its kind in this turn.
    #[inline(never)]
    fn keeps_first(self: &Arc<Self>, leaves: Leaves, number: u64) -> bool {
        // Another thread may use the link in a turn of its own meanwhile, and take the mark away:
        // then it is written once too often, or listed twice.
        // What comes behind one that was kept is not the first.
        if leaves.is_awaited() && marks(&self.turns.said, number) && leaves == Leaves::Soon {
            return false;
        }
        if marks(&self.turns.listed, number)
            && KEPT.try_with(|kept| kept.borrow_mut().push(self.clone())).is_err()
        {
            return false;
        }
        // Once is enough. What was put into the core before the writer takes the mark away it finds
        // there, since it does so first; and what is put there later finds no mark.
        if leaves.is_awaited() && marks(&self.turns.woken, number) {
            self.blocked.notify(1);
        }
        if leaves == Leaves::Promptly {
            self.prompt.store(true, Ordering::Relaxed);
        }
        true
    }
}

/// Leaves the mark of a turn, and says whether it was not there. No more than a look where it was, as it
/// nearly always is.
fn marks(mark: &AtomicU64, number: u64) -> bool {
    let fresh = mark.load(Ordering::Relaxed) != number;
    if fresh {
        mark.store(number, Ordering::Relaxed);
    }
    fresh
}
