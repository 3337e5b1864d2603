//! A result is of the type that the endpoint returns, however it is asked for.

use hatchery::{Context, Nursery, Portal, Result, Starts};

#[hatchery::endpoint]
async fn double(n: u32) -> u32 {
    n * 2
}

#[hatchery::context]
async fn counts(cx: Context<Starts<()>>) -> Result<u32> {
    cx.started(()).await?;
    Ok(3)
}

async fn runs(portal: &Portal) -> Result<()> {
    let doubled: String = portal.run(double(2)).await?;
    drop(doubled);
    Ok(())
}

async fn awaits() {
    let doubled: String = double(2).await;
    drop(doubled);
}

async fn opens(portal: &Portal) -> Result<()> {
    let (cx, ()) = portal.open_context(counts()).await?;
    let counted: String = cx.result().await?;
    drop(counted);
    Ok(())
}

async fn starts(nursery: &Nursery) -> Result<()> {
    let actor = nursery.run_in_actor("one", double(2)).await?;
    let doubled: String = actor.result::<double>().await?;
    drop(doubled);
    Ok(())
}

fn main() {}
