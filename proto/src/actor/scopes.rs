//! The open scopes of one actor as a tree, and whom a cancel reaches first (P-C2).
//!
//! A scope is a task, a nursery's block or a context's block. A cancel marks a scope and everything
//! below it; what is *due* is a marked scope with nothing open below it: its body is to be dropped
//! now. Closing it makes the scope around it due in turn, so bodies go innermost first and a task is
//! never dropped over an open scope.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use crate::report::Cancelled;
use crate::time::Instant;

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
    /// When the scope has to be gone; a repeat may bring it forward.
    pub deadline: Instant,
}

#[derive(Debug)]
struct Scope {
    parent: Option<ScopeId>,
    kind: ScopeKind,
    below: BTreeSet<ScopeId>,
    cancel: Option<CancelState>,
    /// Whether closing it takes the ending of children.
    holding: bool,
    /// A shield whose share has ended is due like any other scope.
    expired: bool,
}

/// The tree.
#[derive(Debug, Default)]
pub struct Scopes {
    scopes: BTreeMap<ScopeId, Scope>,
    next: u64,
    due: VecDeque<ScopeId>,
}

impl Scopes {
    /// An actor without scopes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens a scope below `parent`. Under a cancelled scope it is born cancelled; under a shield
    /// that holds a cancel off, it is not.
    pub fn open(&mut self, parent: Option<ScopeId>, kind: ScopeKind) -> ScopeId {
        let id = ScopeId(self.next);
        self.next = self.next.saturating_add(1);
        let around = parent.and_then(|parent| self.scopes.get_mut(&parent));
        let (parent, cancel) = match around {
            None => (None, None),
            Some(around) => {
                around.below.insert(id);
                let held_off = around.kind == ScopeKind::Shield && !around.expired;
                (parent, if held_off { None } else { around.cancel.clone() })
            }
        };
        let scope =
            Scope { parent, kind, below: BTreeSet::new(), cancel, holding: false, expired: false };
        self.scopes.insert(id, scope);
        self.announce(id);
        id
    }

    /// The scope has ended, and with it its body. Closing one that is not open does nothing; one
    /// with scopes below it hands them to the scope around it.
    pub fn close(&mut self, id: ScopeId) {
        let Some(scope) = self.scopes.remove(&id) else { return };
        for below in &scope.below {
            if let Some(orphan) = self.scopes.get_mut(below) {
                orphan.parent = scope.parent;
            }
        }
        let Some(parent) = scope.parent else { return };
        if let Some(around) = self.scopes.get_mut(&parent) {
            around.below.remove(&id);
            around.below.extend(scope.below);
        }
        self.announce(parent);
    }

    /// Asks a scope and everything below it to end within `grace`. Again: the deadline may come
    /// forward; who asked first stays (P-C1, P-C3).
    pub fn cancel(&mut self, id: ScopeId, now: Instant, by: Cancelled, grace: Duration) {
        let mut reached: Vec<ScopeId> = [id].into();
        while let Some(id) = reached.pop() {
            let Some(scope) = self.scopes.get_mut(&id) else { continue };
            let deadline = now + grace;
            match &mut scope.cancel {
                Some(known) => known.deadline = known.deadline.min(deadline),
                None => scope.cancel = Some(CancelState { by: by.clone(), deadline }),
            }
            if scope.kind == ScopeKind::Body || scope.expired {
                reached.extend(scope.below.iter().copied());
            }
            self.announce(id);
        }
    }

    /// Who has asked the scope to end, and by when.
    #[must_use]
    pub fn cancelled(&self, id: ScopeId) -> Option<&CancelState> {
        self.scopes.get(&id)?.cancel.as_ref()
    }

    /// Whether the scope's body is to be dropped now: it is cancelled, no shield, and nothing is
    /// open below it.
    #[must_use]
    pub fn due(&self, id: ScopeId) -> bool {
        self.scopes.get(&id).is_some_and(|scope| {
            scope.cancel.is_some()
                && scope.below.is_empty()
                && (scope.kind == ScopeKind::Body || scope.expired)
        })
    }

    /// Says whether closing the scope takes the ending of children.
    pub fn set_holding(&mut self, id: ScopeId, holding: bool) {
        if let Some(scope) = self.scopes.get_mut(&id) {
            scope.holding = holding;
        }
    }

    /// The scope's own part of the grace that is left: scopes further out that hold children, and a
    /// shield's body, need their part too (P-C2).
    #[must_use]
    pub fn share(&self, id: ScopeId, now: Instant) -> Duration {
        let Some(state) = self.cancelled(id) else { return Duration::ZERO };
        let left = state.deadline.since(now);
        let mut parts = 1_u32;
        let mut around = self.scopes.get(&id).and_then(|scope| scope.parent);
        while let Some(scope) = around.and_then(|id| self.scopes.get(&id)) {
            if scope.holding && scope.cancel.is_some() {
                parts = parts.saturating_add(1);
            }
            around = scope.parent;
        }
        left.checked_div(parts).unwrap_or(left)
    }

    /// A scope that became due, or whose deadline came forward while it was, once each.
    #[must_use]
    pub fn poll_due(&mut self) -> Option<ScopeId> {
        while let Some(id) = self.due.pop_front() {
            if self.due(id) {
                return Some(id);
            }
        }
        None
    }

    /// When the next shield's share ends. A pure function of the state.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.shields().map(|(_, at)| at).min()
    }

    /// Ends the shields whose share has ended: a cancel goes through them from here on.
    pub fn handle_timeout(&mut self, now: Instant) {
        let ended: Vec<ScopeId> =
            self.shields().filter(|(_, at)| *at <= now).map(|(id, _)| id).collect();
        for id in ended {
            let Some(scope) = self.scopes.get_mut(&id) else { continue };
            scope.expired = true;
            let Some(state) = scope.cancel.clone() else { continue };
            let below: Vec<ScopeId> = scope.below.iter().copied().collect();
            for id in below {
                self.cancel(id, now, state.by.clone(), state.deadline.since(now));
            }
            self.announce(id);
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

    fn shields(&self) -> impl Iterator<Item = (ScopeId, Instant)> {
        self.scopes.iter().filter_map(|(id, scope)| match &scope.cancel {
            Some(state) if scope.kind == ScopeKind::Shield && !scope.expired => {
                Some((*id, state.deadline))
            }
            _ => None,
        })
    }

    fn announce(&mut self, id: ScopeId) {
        if self.due(id) && !self.due.contains(&id) {
            self.due.push_back(id);
        }
    }
}
