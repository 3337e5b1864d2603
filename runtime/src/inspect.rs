//! What an actor is doing, in words and for people: its tasks and scopes, its links with what is open on
//! each, and the tree that it is in. Looks only: waits for no lock longer than a little, since what is
//! looked at may hang, and changes nothing.

mod contexts;
mod dump;
mod links;
pub(crate) mod live;
mod served;
mod tasks;
mod view;
mod what;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use dump::{hear_if_asked, hear_in_root};
pub(crate) use served::{ENTRIES, allows};
pub use view::{TreeActor, TreeView};
pub(crate) use what::What;

use crate::actor::Actor;
use crate::driver::patience::Patience;

/// How long a look at this actor waits for locks, all in all.
const PATIENCE: Duration = Duration::from_millis(200);

/// This actor's tasks and scopes as a tree: what each is, where it was spawned, whether it was cancelled
/// and what it has asked of others.
pub(crate) fn tasks(actor: &Arc<Actor>) -> String {
    let patience = Patience::of(PATIENCE);
    tasks::told(actor, &links::all(patience), patience)
}

/// What is open on each link of this actor.
pub(crate) fn contexts(_actor: &Arc<Actor>) -> String {
    contexts::told(&links::all(Patience::of(PATIENCE)))
}

/// The tree that this actor is in, from its root.
pub(crate) async fn tree(actor: &Arc<Actor>) -> String {
    live::whole(actor.clone()).await.to_string()
}
