//! The case of the terminal: in an actor below, whose way to it is a dialog.

use super::*;
use hatchery::Options;
use hatchery::testing::{hold_terminal, terminal_is_busy, terminal_is_idle};

/// Asks for the terminal, and drops that; says whether it was had.
#[hatchery::endpoint]
async fn asks_in_vain(polls: u64) -> Result<bool> {
    let polls = usize::try_from(polls).expect("few");
    let held = poll_times(hold_terminal("a test"), polls).await.done().transpose()?;
    assert!(held.is_none() || terminal_is_busy());
    let had = held.is_some();
    drop(held);
    assert!(!terminal_is_busy(), "nothing of it is left here");
    Ok(had)
}

pub(super) fn hold_terminal_below() -> Result<()> {
    let root = open_nursery(async |nursery: Nursery| {
        let worker = nursery.start_actor("worker").await?;
        at_every_await(async |polls| {
            let had = worker.run(asks_in_vain(polls as u64)).await?;
            // What was said on the link goes its way.
            terminal_is_idle().await;
            Ok::<_, hatchery::Error>(had)
        })
        .await?;
        // It goes to whoever is next.
        assert!(worker.run(asks_in_vain(u64::from(u32::MAX))).await?);
        worker.cancel().await
    });
    hatchery::run_with(Options::new().debug(true), root)
}
