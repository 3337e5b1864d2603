//! What goes over a stream is of the type that the callee declares, each way and at both ends.

use hatchery::{Context, Portal, Receives, Result, Sends, Starts};

#[hatchery::context]
async fn answers(cx: Context<Starts<()>, Sends<u32>, Receives<bool>>) -> Result<()> {
    let mut stream = cx.started(()).await?.open_stream();
    stream.send(true).await?;
    let asked: Option<u32> = stream.recv().await?;
    drop(asked);
    Ok(())
}

async fn asks(portal: &Portal) -> Result<()> {
    let (mut cx, ()) = portal.open_context(answers()).await?;
    let mut stream = cx.open_stream()?;
    stream.send(7).await?;
    let answer: Option<bool> = stream.recv().await?;
    drop(answer);
    Ok(())
}

#[hatchery::endpoint]
fn numbers() -> impl futures_lite::Stream<Item = u32> {
    futures_lite::stream::iter(0..3)
}

async fn consumes(portal: &Portal) -> Result<()> {
    let mut source = portal.open_stream_from(numbers()).await?;
    let number: Option<String> = source.recv().await?;
    drop(number);
    Ok(())
}

fn main() {}
