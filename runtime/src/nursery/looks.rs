//! What a nursery's actor reaches of it where nobody polls its block: its members, to end them by force
//! or to show them.

use std::sync::{Arc, Weak};

use super::{Inner, Member};
use crate::actor::{MemberLook, Members};
use crate::driver::patience::Patience;
use crate::supervisor::Child;

/// The members of a nursery while it is there.
pub(super) struct Reach(pub(super) Weak<Inner>);

impl Members for Reach {
    fn force(&self) {
        if let Some(inner) = self.0.upgrade() {
            inner.abandon();
        }
    }

    fn all(&self, patience: Patience) -> Option<Vec<MemberLook>> {
        let Some(inner) = self.0.upgrade() else { return Some(Vec::new()) };
        let (tasks, children) = {
            let state = patience.lock(&inner.state)?;
            let (mut tasks, mut children) = (Vec::new(), Vec::<Arc<Child>>::new());
            for member in state.members.values() {
                match member {
                    Member::Task { scope, .. } => tasks.push(*scope),
                    Member::Actor(child) | Member::Waiting(child) => children.push(child.clone()),
                }
            }
            (tasks, children)
        };
        let tasks = tasks.into_iter().map(MemberLook::Task);
        let actors = children.iter().filter_map(|child| child.look(patience));
        Some(tasks.chain(actors.map(MemberLook::Actor)).collect())
    }
}
