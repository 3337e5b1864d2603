//! What an actor does for its children's way to the terminal: the endpoint by which a child asks for it
//! over the link that it has inherited. Nobody else may.

use crate::actor::Actor;
use crate::context::{Context, Starts};
use crate::debug::lock;
use crate::endpoint::{Endpoint as _, Entry};
use crate::error::{Error, Result};
use crate::parent::ParentPortal;

/// Whether it is the one that asks for the terminal.
pub(crate) fn asks_for_it(name: &str) -> bool {
    name == acquire::NAME
}

/// All of them, as the linker lists those of programs.
pub(crate) const ENTRIES: &[Entry] = &[Entry::context::<acquire>(), Entry::call::<cancel>()];

/// Starts once `who`, in a child or below it, has the terminal, which it has until whoever opens this
/// gives it up, or its link ends.
#[hatchery_macros::context(crate = crate, unlisted, name = "hatchery::terminal::acquire")]
pub(super) async fn acquire(cx: Context<Starts<()>>, who: String) -> Result<()> {
    let grant = lock::pass_on(cx.dialog(), &who).await?;
    let _started = cx.started(()).await?;
    grant.lost().await;
    Err(Error::message(format!("{who} has the terminal no more: the way to the root has ended")))
}

/// Cancels the whole tree, as a person at a prompt of it wants.
#[hatchery_macros::endpoint(crate = crate, unlisted, name = "hatchery::terminal::cancel")]
pub(super) async fn cancel() -> Result<()> {
    cancel_root().await
}

/// The same, from here.
pub(super) async fn cancel_root() -> Result<()> {
    match Actor::running() {
        Some(actor) if actor.parent().is_none() => actor.cancel_itself(),
        _ => ParentPortal::new()?.run(cancel()).await?,
    }
    Ok(())
}
