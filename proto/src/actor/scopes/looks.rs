//! Looks at all open scopes at once, for whoever has to show them. Nothing here changes anything, and
//! nothing is decided by it.

use super::{CancelState, ScopeId, Scopes, Shield};
use crate::time::Instant;

/// What a shield does with the cancel of its scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shielded {
    /// There is none, or its share of the grace has ended.
    No,
    /// There is one, and no cancel yet that it would hold off.
    Ready,
    /// It holds one off.
    Holds,
}

/// One open scope.
#[derive(Clone, Copy, Debug)]
pub struct ScopeLook<'a> {
    /// Its name.
    pub id: ScopeId,
    /// The scope that it was opened in.
    pub parent: Option<ScopeId>,
    /// Who has asked it to end, and by when.
    pub cancel: Option<&'a CancelState>,
    /// Whether it is a shield.
    pub shielded: Shielded,
    /// When its own time is over (P-C8).
    pub bound: Option<Instant>,
    /// Whether closing it takes the ending of children.
    pub holding: bool,
    /// Whether its body is to be dropped now.
    pub due: bool,
}

impl ScopeId {
    /// Its number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl Scopes {
    /// Every open scope, in the order in which they were opened.
    pub fn all(&self) -> impl Iterator<Item = ScopeLook<'_>> {
        self.scopes.iter().map(|(id, scope)| ScopeLook {
            id: *id,
            parent: scope.parent,
            cancel: scope.cancel.as_deref(),
            shielded: match scope.shield {
                Shield::Open => Shielded::No,
                Shield::Ready => Shielded::Ready,
                Shield::Begun(_) | Shield::Until(_) => Shielded::Holds,
            },
            bound: scope.bound.as_ref().map(|bound| bound.at),
            holding: scope.holding,
            due: scope.due(),
        })
    }
}
