//! A context is opened, not run.

use hatchery::{Context, Receives, Sends, Starts};

#[hatchery::context]
async fn echo(cx: Context<Starts<u8>, Sends<u8>, Receives<u8>>) -> hatchery::Result<()> {
    cx.started(1).await?;
    Ok(())
}

async fn ask(portal: hatchery::Portal) {
    let _ = portal.run(echo()).await;
}

fn main() {}
