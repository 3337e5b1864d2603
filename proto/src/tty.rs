//! Who has the terminal, for debugging: one at a time over the whole tree, in turn (P-T2).
//!
//! Each actor has one of these. The root's grants; any other's only counts, since every request goes
//! on to the parent, one dialog a hop, and the grant comes down the same way. So every actor on the way
//! knows which of its children it has to leave alone, and lets no clock run over them.
//!
//! Decides that and does nothing. Knows no link and no clock.

use alloc::collections::{BTreeMap, VecDeque};

use crate::id::LinkId;

/// Through whom a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Via {
    /// A task of this actor.
    Own,
    /// The child at the other end of this link: something in it, or below it.
    Child(LinkId),
}

/// Names a request in one actor: through whom it has come, and a number that is new there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId {
    /// Through whom.
    pub via: Via,
    /// Of all that came so.
    pub number: u64,
}

impl RequestId {
    /// The request of that number.
    #[must_use]
    pub const fn new(via: Via, number: u64) -> Self {
        Self { via, number }
    }
}

/// Why a request is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// One with this id holds or waits already.
    Double,
    /// The link to the parent has ended, and with it the way to the terminal.
    Cut,
}

/// What is to be told now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum TtyStep {
    /// It has the terminal, until it gives it back.
    Granted(RequestId),
    /// It is over from above: it has the terminal no more, and will not get it.
    Ended(RequestId),
    /// Nobody here, nor below, holds the terminal or waits for it any more.
    Idle,
}

/// The requests of one actor, and of what is below it.
///
/// - Looks: [`is_busy`](Self::is_busy), [`is_busy_below`](Self::is_busy_below),
///   [`is_granted`](Self::is_granted), [`len`](Self::len), [`is_empty`](Self::is_empty),
///   [`requests`](Self::requests).
/// - Facts: `handle_*`. Any order is legal; what names no request that is known does nothing.
/// - Wishes: [`request`](Self::request), [`withdraw`](Self::withdraw), [`release`](Self::release).
/// - Out: [`poll_step`](Self::poll_step).
#[derive(Clone, Debug)]
pub struct Tty {
    is_root: bool,
    /// The way up has ended.
    cut: bool,
    /// Those that hold or wait, in the order they came in; whether each was granted.
    order: VecDeque<RequestId>,
    granted: BTreeMap<RequestId, bool>,
    counts: BTreeMap<Via, usize>,
    steps: VecDeque<TtyStep>,
    /// The last of them has left, and that was not told.
    idle: bool,
}

impl Tty {
    /// Nobody holds it or waits. A root grants; others are told from above.
    #[must_use]
    pub const fn new(is_root: bool) -> Self {
        Self {
            is_root,
            cut: false,
            order: VecDeque::new(),
            granted: BTreeMap::new(),
            counts: BTreeMap::new(),
            steps: VecDeque::new(),
            idle: false,
        }
    }

    /// Whether this is the actor that grants.
    #[must_use]
    pub const fn is_root(&self) -> bool {
        self.is_root
    }

    /// Whether anybody here, or below, holds the terminal or waits for it.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.order.is_empty()
    }

    /// Whether anybody in that child, or below it, does.
    #[must_use]
    pub fn is_busy_below(&self, child: LinkId) -> bool {
        self.counts.contains_key(&Via::Child(child))
    }

    /// Whether this request has the terminal.
    #[must_use]
    pub fn is_granted(&self, id: RequestId) -> bool {
        self.granted.get(&id).is_some_and(|granted| *granted)
    }

    /// Whether it has the terminal or waits for it.
    #[must_use]
    pub fn is_known(&self, id: RequestId) -> bool {
        self.granted.contains_key(&id)
    }

    /// How many hold or wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether nobody does.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Those that hold or wait, in the order they came in, and whether each holds.
    pub fn requests(&self) -> impl Iterator<Item = (RequestId, bool)> + '_ {
        self.order.iter().map(|id| (*id, self.is_granted(*id)))
    }

    /// Somebody wants the terminal.
    ///
    /// # Errors
    /// `Double` where a request with this id is here, `Cut` where there is no way to the terminal.
    pub fn request(&mut self, id: RequestId) -> Result<(), Refused> {
        if self.is_known(id) {
            return Err(Refused::Double);
        }
        if self.cut {
            return Err(Refused::Cut);
        }
        // Nobody was told that it was idle, and it is not.
        self.idle = false;
        self.order.push_back(id);
        self.granted.insert(id, false);
        let count = self.counts.entry(id.via).or_default();
        *count = count.saturating_add(1);
        self.grant();
        Ok(())
    }

    /// Who waits does so no more; says whether it did. One that has the terminal gives it back by
    /// [`release`](Self::release).
    pub fn withdraw(&mut self, id: RequestId) -> bool {
        let waits = self.granted.get(&id) == Some(&false);
        if waits {
            self.leave(id);
        }
        waits
    }

    /// Who has the terminal gives it back; says whether it had it.
    pub fn release(&mut self, id: RequestId) -> bool {
        let holds = self.is_granted(id);
        if holds {
            self.leave(id);
        }
        holds
    }

    /// The parent has granted it. A root is told by nobody.
    pub fn handle_granted(&mut self, id: RequestId) {
        if !self.is_root {
            self.give(id);
        }
    }

    /// The child's process, or the link to it, has ended: so have all that came through it.
    pub fn handle_child_gone(&mut self, child: LinkId) {
        for id in self.all_of(|id| id.via == Via::Child(child)) {
            self.leave(id);
        }
    }

    /// The parent's link has ended: so has every hold, and nobody waits in earnest. A root has none.
    pub fn handle_parent_gone(&mut self) {
        if self.is_root || core::mem::replace(&mut self.cut, true) {
            return;
        }
        for id in self.all_of(|_| true) {
            self.leave(id);
            self.steps.push_back(TtyStep::Ended(id));
        }
    }

    /// What is to be told now, each once. `Idle` comes once each time that the last has left, unless
    /// another has come before anybody asked.
    #[must_use]
    pub fn poll_step(&mut self) -> Option<TtyStep> {
        let step = self.steps.pop_front();
        step.or_else(|| core::mem::take(&mut self.idle).then_some(TtyStep::Idle))
    }

    fn all_of(&self, of: impl Fn(&RequestId) -> bool) -> VecDeque<RequestId> {
        self.order.iter().copied().filter(|id| of(id)).collect()
    }

    /// The one way out.
    fn leave(&mut self, id: RequestId) {
        if self.granted.remove(&id).is_none() {
            return;
        }
        self.order.retain(|known| *known != id);
        // What it was to be told is true no more.
        self.steps.retain(|step| *step != TtyStep::Granted(id));
        if let Some(count) = self.counts.get_mut(&id.via) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.counts.remove(&id.via);
            }
        }
        self.idle = self.order.is_empty();
        self.grant();
    }

    /// A root's terminal is the first's.
    fn grant(&mut self) {
        if let Some(first) = self.order.front().copied().filter(|_| self.is_root) {
            self.give(first);
        }
    }

    fn give(&mut self, id: RequestId) {
        if let Some(granted) = self.granted.get_mut(&id)
            && !core::mem::replace(granted, true)
        {
            self.steps.push_back(TtyStep::Granted(id));
        }
    }
}
