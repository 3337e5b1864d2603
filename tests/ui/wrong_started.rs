//! The first value of a context is of the type that its callee declares, at both ends.

use hatchery::{Context, Portal, Result, Starts};

#[hatchery::context]
async fn counts(cx: Context<Starts<u32>>) -> Result<()> {
    cx.started("three").await?;
    Ok(())
}

async fn opens(portal: &Portal) -> Result<()> {
    let (cx, first) = portal.open_context(counts()).await?;
    let first: String = first;
    drop((cx, first));
    Ok(())
}

fn main() {}
