//! Starting a context twice does not compile (P-D6): `started` takes the context by value.

use hatchery::{Context, Receives, Sends, Starts};

#[hatchery::context]
async fn twice(cx: Context<Starts<u8>, Sends<u8>, Receives<u8>>) -> hatchery::Result<()> {
    let first = cx.started(1).await?;
    let second = cx.started(2).await?;
    drop((first, second));
    Ok(())
}

fn main() {}
