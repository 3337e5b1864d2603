//! A callee has one stream for its context's life (P-D6).

use hatchery::{Context, Receives, Sends, Starts};

#[hatchery::context]
async fn two(cx: Context<Starts<u8>, Sends<u8>, Receives<u8>>) -> hatchery::Result<()> {
    let started = cx.started(1).await?;
    let one = started.open_stream();
    let two = started.open_stream();
    drop((one, two));
    Ok(())
}

fn main() {}
