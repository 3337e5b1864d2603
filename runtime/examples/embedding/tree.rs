//! The program that every example of embedding runs: two actors, a call to each, and their end.

use hatchery::{Error, Result, open_nursery};

#[hatchery::endpoint]
async fn square(n: u64) -> u64 {
    n * n
}

/// The sum of two squares, each of which is found by a process of its own.
pub(crate) async fn sum_of_squares(a: u64, b: u64) -> Result<u64> {
    open_nursery(async |nursery| {
        let left = nursery.run_in_actor("left", square(a)).await?;
        let right = nursery.run_in_actor("right", square(b)).await?;
        Ok::<_, Error>(left.result::<square>().await? + right.result::<square>().await?)
    })
    .await
}
