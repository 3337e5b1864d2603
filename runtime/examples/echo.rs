//! One idea: a context is a conversation: a first value, a stream in both directions, a result.
//!
//! Prints `hi`, each line as it comes back, and `echoed 3`.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use hatchery::{Context, Receives, Sends, Starts};

/// Sends back whatever comes until the other side closes; returns how much that was.
#[hatchery::context]
async fn echo(
    cx: Context<Starts<String>, Sends<String>, Receives<String>>,
    greeting: String,
) -> hatchery::Result<u64> {
    let mut stream = cx.started(greeting).await?.open_stream();
    let mut lines = 0;
    while let Some(line) = stream.recv().await? {
        stream.send(line).await?;
        lines += 1;
    }
    Ok(lines)
}

#[hatchery::main]
async fn main() -> hatchery::Result<()> {
    hatchery::open_nursery(async |nursery| {
        let worker = nursery.start_actor("worker").await?;
        let lines = worker
            .with_context(echo("hi".into()), async |mut cx, greeting| {
                println!("{greeting}");
                let mut stream = cx.open_stream()?;
                for line in ["one", "two", "three"] {
                    stream.send(line.into()).await?;
                    println!("{}", stream.recv().await?.unwrap_or_default());
                }
                stream.close().await?;
                cx.result().await
            })
            .await?;
        println!("echoed {lines}");
        worker.cancel().await
    })
    .await
}
