//! Only the callee says that it has started.

use hatchery::{Context, Portal, Receives, Result, Sends, Starts};

#[hatchery::context]
async fn echo(cx: Context<Starts<u32>, Sends<u32>, Receives<u32>>) -> Result<()> {
    let _stream = cx.started(1).await?.open_stream();
    Ok(())
}

async fn starts_the_other_end(portal: &Portal) -> Result<()> {
    let (cx, _first) = portal.open_context(echo()).await?;
    cx.started(2).await?;
    Ok(())
}

fn main() {}
