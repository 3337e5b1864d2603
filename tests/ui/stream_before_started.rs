//! A callee that has not started has no stream (P-D6).

use hatchery::{Context, Receives, Sends, Starts};

#[hatchery::context]
async fn early(cx: Context<Starts<u8>, Sends<u8>, Receives<u8>>) -> hatchery::Result<()> {
    let stream = cx.open_stream();
    drop(stream);
    Ok(())
}

fn main() {}
