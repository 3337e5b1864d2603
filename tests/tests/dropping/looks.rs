//! The case of the live tree: who asks for it and drops that asks nobody any more, and keeps nobody busy.

use super::*;
use hatchery::tree;

/// Asks from below, so that both ways are gone.
#[hatchery::endpoint]
async fn asks_for_the_tree(polls: usize) -> Result<bool> {
    let seen = poll_times(tree(), polls).await.done().transpose()?;
    if let Some(view) = &seen {
        assert_eq!(view.actors().len(), 2, "{view}");
    }
    Ok(seen.is_some())
}

pub(super) fn seen() -> Result<()> {
    with_worker(async |worker| {
        at_every_await(async |polls| {
            let seen = worker.run(asks_for_the_tree(polls)).await?;
            is_at_rest(worker).await?;
            Ok::<_, hatchery::Error>(seen)
        })
        .await
        .map(drop)
    })
}
