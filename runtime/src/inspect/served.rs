//! What actors ask each other about the tree: endpoints of the library's own, over the link between a
//! parent and its child and over no other.

use std::time::Duration;

use super::live;
use super::view::TreeActor;
use crate::actor::{Actor, Caller};
use crate::endpoint::{Endpoint as _, Entry};
use crate::error::{Error, Result};

/// Whether whoever is at the other end of a link may call it: what is below a child its parent, and what
/// is above an actor its child.
pub(crate) fn allows(name: &str, caller: Caller) -> bool {
    match caller {
        Caller::Parent => name == below::NAME,
        Caller::Child(_) => name == whole::NAME,
        Caller::Other | Caller::Own => false,
    }
}

/// All of them, as the linker lists those of programs.
pub(crate) const ENTRIES: &[Entry] = &[Entry::call::<below>(), Entry::call::<whole>()];

fn actor() -> Result<std::sync::Arc<Actor>> {
    Actor::running().ok_or_else(|| Error::misuse("asking for the tree where no actor runs"))
}

/// This actor and what is below it, within a time.
#[hatchery_macros::endpoint(crate = crate, unlisted, name = "hatchery::inspect::below")]
pub(super) async fn below(within: Duration) -> Result<Vec<TreeActor>> {
    Ok(live::below(&actor()?, within).await)
}

/// The tree from its root, within a time.
#[hatchery_macros::endpoint(crate = crate, unlisted, name = "hatchery::inspect::whole")]
pub(super) async fn whole(within: Duration) -> Result<Vec<TreeActor>> {
    Ok(live::from_root(&actor()?, within).await)
}
