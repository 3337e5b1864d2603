//! Looks at an actor for whoever shows what it is doing, from a thread of its own or from one of the
//! actor's: none waits for a lock longer than it is told to. Nothing here changes anything.

use std::sync::Arc;

use hatchery_proto::Instant;
use hatchery_proto::actor::scopes::{CancelState, ScopeId, Shielded};

use super::{Actor, RUNNING};
use crate::driver::patience::Patience;
use crate::inspect::What;
use crate::supervisor::{Brood, ChildLook};

/// One open scope.
pub(crate) struct ScopeLook {
    pub(crate) id: ScopeId,
    pub(crate) parent: Option<ScopeId>,
    pub(crate) what: What,
    pub(crate) cancel: Option<CancelState>,
    pub(crate) shielded: Shielded,
    pub(crate) bound: Option<Instant>,
    pub(crate) due: bool,
}

/// What is in a nursery.
pub(crate) enum MemberLook {
    Task(ScopeId),
    Actor(ChildLook),
}

/// A nursery's members, as its actor reaches them where nobody polls its block.
pub(crate) trait Members: Send + Sync {
    /// Ends them by force.
    fn force(&self);

    /// Which they are; nothing where that cannot be told in time.
    fn all(&self, patience: Patience) -> Option<Vec<MemberLook>>;
}

impl Actor {
    /// The actor that this process is, while it is one; `None` where that cannot be told in time.
    pub(crate) fn running_by(patience: Patience) -> Option<Option<Arc<Self>>> {
        Some(patience.lock(&RUNNING)?.clone())
    }

    /// Every open scope, in the order in which they were opened.
    pub(crate) fn all_scopes(&self, patience: Patience) -> Option<Vec<ScopeLook>> {
        let tree = patience.lock(&self.tree_of_scopes)?;
        let what = |id| tree.bells.hung.get(id).map_or(What::Actor, |(_, what)| *what);
        let look = |one: hatchery_proto::actor::scopes::ScopeLook<'_>| ScopeLook {
            id: one.id,
            parent: one.parent,
            what: what(one.id),
            cancel: one.cancel.cloned(),
            shielded: one.shielded,
            bound: one.bound,
            due: one.due,
        };
        Some(tree.scopes.all().map(look).collect())
    }

    /// The open nurseries, by their scopes.
    pub(crate) fn all_nurseries(
        &self,
        patience: Patience,
    ) -> Option<Vec<(ScopeId, Arc<dyn Members>)>> {
        let nurseries = patience.lock(&self.nurseries)?;
        Some(nurseries.iter().map(|(scope, members)| (*scope, members.clone())).collect())
    }

    /// Its children.
    pub(crate) fn brood(&self) -> &Brood {
        &self.brood
    }
}
