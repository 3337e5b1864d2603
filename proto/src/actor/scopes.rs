//! The open scopes of one actor as a tree, and whom a cancel reaches first (P-C2).
//!
//! A scope is a task, a nursery's block, a context's block or a shield. A cancel marks a scope and
//! everything below it; what is *due* is a marked scope with nothing open below it: its body is to
//! be dropped now. Closing it makes the scope around it due in turn, so bodies go innermost first and
//! a task is never dropped over an open scope.
//!
//! A shield holds a cancel off from what is in it, until its share of the grace has ended. A scope
//! with a bound is cancelled when its time is over (P-C8).

mod bounds;
mod grace;
mod looks;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use crate::report::Cancelled;
use crate::time::{Clock, Instant};
use bounds::Bound;

pub use looks::{ScopeLook, Shielded};

/// Names an open scope. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScopeId(u64);

/// What kind of scope it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScopeKind {
    /// Its body is dropped when a cancel is due.
    Body,
    /// Its body runs on until it is done, or until its share of the grace has ended.
    Shield,
}

/// A cancel as a scope knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CancelState {
    /// Who asked first, and why; never replaced (P-C3).
    pub by: Cancelled,
    /// When the scope has to be gone, by the scopes' clock; a repeat may bring it forward.
    pub deadline: Instant,
}

/// Why a deadline was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A shield was opened in a scope that was cancelled already: its share begins when the time is
    /// next told.
    ShieldOpened,
    /// A shield's share of the grace ends: the cancel goes through it.
    ShieldShare,
    /// A scope's time is over (P-C8).
    Bound,
}

/// What a shield does with a cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shield {
    /// There is none, or its share has ended: cancels go through.
    Open,
    /// It will hold the next one off.
    Ready,
    /// It holds one off, and its share begins when the time is next told.
    Begun(Instant),
    /// It holds one off until then.
    Until(Instant),
}

impl Shield {
    const fn holds(self) -> bool {
        !matches!(self, Self::Open)
    }
}

#[derive(Clone, Debug)]
struct Scope {
    parent: Option<ScopeId>,
    /// In the order of their numbers: nearly always the next goes behind all, and an early one goes.
    below: VecDeque<ScopeId>,
    /// Boxed, as its bound: most scopes have neither, and an actor may have many.
    cancel: Option<Box<CancelState>>,
    shield: Shield,
    bound: Option<Box<Bound>>,
    /// Whether its bound was what cancelled it first.
    expired: bool,
    /// Whether closing it takes the ending of children.
    holding: bool,
    /// Whether it is in the queue of those that became due, and whether it was told already.
    queued: bool,
    told: bool,
}

impl Scope {
    fn due(&self) -> bool {
        self.cancel.is_some() && self.below.is_empty() && !self.shield.holds()
    }
}

/// The tree.
///
/// - Looks: [`due`](Self::due), [`cancelled`](Self::cancelled), [`share`](Self::share),
///   [`left`](Self::left), [`expired`](Self::expired), [`len`](Self::len),
///   [`is_empty`](Self::is_empty).
/// - Facts: [`handle_timeout`](Self::handle_timeout), [`hold`](Self::hold), [`resume`](Self::resume).
/// - Wishes: [`open`](Self::open), [`close`](Self::close), [`cancel`](Self::cancel),
///   [`bound`](Self::bound), [`set_holding`](Self::set_holding). What names a scope that is not open does nothing.
/// - Out: [`poll_due`](Self::poll_due), [`poll_timeout`](Self::poll_timeout).
#[derive(Clone, Debug, Default)]
pub struct Scopes {
    scopes: BTreeMap<ScopeId, Scope>,
    next: u64,
    due: VecDeque<ScopeId>,
    /// What every time here is told by.
    clock: Clock,
    /// The shields that hold a cancel off, by when they have to be looked at.
    shields: BTreeSet<(Instant, ScopeId)>,
    /// The scopes that have a bound, by when it ends.
    bounds: BTreeSet<(Instant, ScopeId)>,
    /// The latest time that was told.
    seen: Instant,
    /// How many of them were asked to end.
    cancelled: usize,
}

impl Scopes {
    /// An actor without scopes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens a scope below `parent`, or a tree of its own without one that is open. In a cancelled
    /// scope it is born cancelled; in a shield that holds the cancel off, it is not.
    pub fn open(&mut self, parent: Option<ScopeId>, kind: ScopeKind) -> ScopeId {
        let id = ScopeId(self.next);
        self.next = self.next.saturating_add(1);
        let mut scope = Scope {
            parent: None,
            below: VecDeque::new(),
            cancel: None,
            shield: match kind {
                ScopeKind::Body => Shield::Open,
                ScopeKind::Shield => Shield::Ready,
            },
            bound: None,
            expired: false,
            holding: false,
            queued: false,
            told: false,
        };
        if let Some(around) = parent.and_then(|parent| self.scopes.get_mut(&parent)) {
            // No number is higher than the newest.
            around.below.push_back(id);
            around.told = false;
            scope.parent = parent;
            if !around.shield.holds() {
                scope.cancel = around.cancel.clone();
            }
        }
        self.cancelled += usize::from(scope.cancel.is_some());
        let held_off = scope.cancel.is_some() && scope.shield.holds();
        self.scopes.insert(id, scope);
        if held_off {
            self.hold_off(id, None);
        }
        self.announce(id);
        id
    }

    /// The scope has ended, and with it its body. One with scopes below it hands them to the scope
    /// around it, and that one's cancel with it.
    pub fn close(&mut self, id: ScopeId) {
        let Some(scope) = self.scopes.remove(&id) else { return };
        self.cancelled -= usize::from(scope.cancel.is_some());
        self.forget_shield(id, scope.shield);
        if let Some(bound) = scope.bound {
            self.bounds.remove(&(bound.at, id));
        }
        let around = scope.parent.and_then(|parent| self.scopes.get_mut(&parent));
        let handed_down = around.and_then(|around| {
            if let Ok(place) = around.below.binary_search(&id) {
                around.below.remove(place);
            }
            if !scope.below.is_empty() {
                around.below.extend(scope.below.iter().copied());
                around.below.make_contiguous().sort_unstable();
            }
            around.cancel.clone().filter(|_| !around.shield.holds())
        });
        for below in scope.below {
            if let Some(orphan) = self.scopes.get_mut(&below) {
                orphan.parent = scope.parent;
            }
            if let Some(state) = &handed_down {
                self.spread(below, None, state);
            }
        }
        if let Some(parent) = scope.parent {
            self.announce(parent);
        }
    }

    /// Asks a scope and everything below it to end within `grace`. Again: the deadline may come
    /// forward; who asked first stays (P-C1, P-C3).
    pub fn cancel(&mut self, id: ScopeId, now: Instant, by: Cancelled, grace: Duration) {
        self.cancel_at(id, self.clock.at(now), by, grace);
    }

    /// The same at what the clock shows.
    fn cancel_at(&mut self, id: ScopeId, now: Instant, by: Cancelled, grace: Duration) {
        self.seen = self.seen.max(now);
        self.spread(id, Some(now), &CancelState { by, deadline: now + grace });
    }

    /// Says whether closing the scope takes the ending of children, which then have to be left a
    /// part of the grace: by the shields around it too.
    pub fn set_holding(&mut self, id: ScopeId, holding: bool) {
        let Some(scope) = self.scopes.get_mut(&id) else { return };
        if !core::mem::replace(&mut scope.holding, holding) && holding {
            let seen = self.seen;
            let mut around = scope.parent;
            while let Some((id, scope)) = around.and_then(|id| Some((id, self.scopes.get(&id)?))) {
                around = scope.parent;
                if matches!(scope.shield, Shield::Until(_)) {
                    self.hold_off(id, Some(seen));
                }
            }
        }
    }

    /// Who has asked the scope to end, and by when.
    #[must_use]
    pub fn cancelled(&self, id: ScopeId) -> Option<&CancelState> {
        self.scopes.get(&id)?.cancel.as_deref()
    }

    /// Whether the scope's body is to be dropped now: it is cancelled, no shield that holds that
    /// off, and nothing is open below it. It stays due until it is closed, or a scope is opened
    /// below it.
    #[must_use]
    pub fn due(&self, id: ScopeId) -> bool {
        self.scopes.get(&id).is_some_and(Scope::due)
    }

    /// A scope that became due, or whose deadline came forward while it was, once each.
    #[must_use]
    pub fn poll_due(&mut self) -> Option<ScopeId> {
        while let Some(id) = self.due.pop_front() {
            let Some(scope) = self.scopes.get_mut(&id) else { continue };
            scope.queued = false;
            if scope.due() {
                return Some(id);
            }
        }
        None
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called, and why. A pure function of
    /// the state.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, Why)> {
        let shield = self.shields.first().and_then(|(at, id)| {
            let why = match self.scopes.get(id)?.shield {
                Shield::Begun(_) => Why::ShieldOpened,
                _ => Why::ShieldShare,
            };
            Some((*at, why))
        });
        let bound = self.bounds.first().map(|(at, _)| (*at, Why::Bound));
        let (at, why) = shield.into_iter().chain(bound).min_by_key(|(at, _)| *at)?;
        Some((self.clock.due(at)?, why))
    }

    /// The time is `now`: scopes whose time is over are cancelled, and shields whose share has ended
    /// let the cancel through. Spurious calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.clock.stands() {
            return;
        }
        let now = self.clock.at(now);
        self.seen = self.seen.max(now);
        self.end_bounds(now);
        // Each round either gives a shield a later time or takes it away.
        while let Some((at, id)) = self.shields.first().copied() {
            if at > now {
                return;
            }
            self.shields.pop_first();
            let share = self.share_at(id, now);
            let Some(scope) = self.scopes.get_mut(&id) else { continue };
            if matches!(scope.shield, Shield::Begun(_)) && !share.is_zero() {
                scope.shield = Shield::Until(now + share);
                self.shields.insert((now + share, id));
            } else {
                self.break_through(id, now);
            }
        }
    }

    /// Open scopes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.scopes.len()
    }

    /// Whether no scope is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.scopes.is_empty()
    }

    /// Marks a scope and what is below it, as far as no shield holds that off.
    ///
    /// What is below a cancelled scope has its deadline or an earlier one, so this may stop where it
    /// brings no news.
    fn spread(&mut self, id: ScopeId, now: Option<Instant>, state: &CancelState) {
        let mut reached: Vec<ScopeId> = [id].into();
        while let Some(id) = reached.pop() {
            let Some(scope) = self.scopes.get_mut(&id) else { continue };
            match &mut scope.cancel {
                Some(known) if known.deadline <= state.deadline => continue,
                Some(known) => {
                    known.deadline = state.deadline;
                    scope.told = false;
                }
                None => {
                    scope.cancel = Some(Box::new(state.clone()));
                    self.cancelled += 1;
                }
            }
            if scope.shield.holds() {
                self.hold_off(id, now);
            } else {
                reached.extend(scope.below.iter().copied());
            }
            self.announce(id);
        }
    }

    /// Gives a shield that was cancelled its time, or less of it than before.
    fn hold_off(&mut self, id: ScopeId, now: Option<Instant>) {
        let until = now.map(|now| now + self.share_at(id, now));
        let seen = self.seen;
        let Some(scope) = self.scopes.get_mut(&id) else { return };
        let (shield, at) = match (scope.shield, until) {
            (Shield::Open, _) => return,
            (Shield::Until(known), Some(until)) => {
                (Shield::Until(known.min(until)), known.min(until))
            }
            (Shield::Until(known), None) => (Shield::Until(known), known),
            (_, Some(until)) => (Shield::Until(until), until),
            (_, None) => (Shield::Begun(seen), seen),
        };
        let before = core::mem::replace(&mut scope.shield, shield);
        self.forget_shield(id, before);
        self.shields.insert((at, id));
    }

    /// Lets the cancel that a shield held off through.
    fn break_through(&mut self, id: ScopeId, now: Instant) {
        let Some(scope) = self.scopes.get_mut(&id) else { return };
        scope.shield = Shield::Open;
        let below: Vec<ScopeId> = scope.below.iter().copied().collect();
        let Some(state) = scope.cancel.clone() else { return };
        for below in below {
            self.spread(below, Some(now), &state);
        }
        self.announce(id);
    }

    fn forget_shield(&mut self, id: ScopeId, shield: Shield) {
        if let Shield::Begun(at) | Shield::Until(at) = shield {
            self.shields.remove(&(at, id));
        }
    }

    fn announce(&mut self, id: ScopeId) {
        let Some(scope) = self.scopes.get_mut(&id) else { return };
        if scope.due() && !scope.told {
            scope.told = true;
            if !core::mem::replace(&mut scope.queued, true) {
                self.due.push_back(id);
            }
        }
    }
}
