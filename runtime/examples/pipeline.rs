//! One idea: one-way streams make a tree, and who leaves it ends what is above.
//!
//! The root reads from an aggregator, which reads from two producers in processes of their own. Both
//! count, and the aggregator lets each number through once. Prints how many came, and whether they
//! came in order. `pipeline 5000 10` has them count to 5000, and reads ten.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use futures_lite::{Stream, StreamExt, stream};
use hatchery::{Error, Nursery, Result, Source, open_nursery};
use smol::channel::{self, Sender};

/// Runs in `left` and in `right`.
#[hatchery::endpoint]
fn count(below: u64) -> impl Stream<Item = u64> {
    stream::iter(0..below)
}

/// Passes on what one producer yields.
async fn pass_on(mut numbers: Source<count>, to: Sender<u64>) -> Result<()> {
    while let Some(number) = numbers.recv().await? {
        if to.send(number).await.is_err() {
            break; // nobody merges any more
        }
    }
    Ok(())
}

/// Has both producers live and end with it, and lets each number through once.
async fn merge(below: u64, out: Sender<u64>) -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let (to, both) = channel::bounded(1);
        let mut producers = Vec::new();
        for name in ["left", "right"] {
            let producer = nursery.start_actor(name).await?;
            let numbers = producer.open_stream_from(count(below)).await?;
            nursery.spawn(pass_on(numbers, to.clone()));
            producers.push(producer);
        }
        drop(to);
        let mut next = 0;
        while let Ok(number) = both.recv().await {
            // Each producer counts: what is below has come from the other one before.
            if number == next {
                next += 1;
                out.send(number).await.map_err(Error::new)?;
            }
        }
        for producer in producers {
            producer.cancel().await?;
        }
        Ok(())
    })
    .await
}

/// Runs in `aggregator`. A nursery is a block, so what it lets through comes out by a channel: its
/// receiving end is the stream, and the block runs for as long as that is read.
#[hatchery::endpoint]
fn once_each(below: u64) -> impl Stream<Item = Result<u64>> {
    let (out, numbers) = channel::bounded(1);
    let failed = stream::once_future(merge(below, out)).filter_map(|ended| ended.err());
    stream::or(failed.map(Err), numbers.map(Ok))
}

/// Gives the first so many of what comes through. With them the block ends, and all above with it.
async fn pipeline(below: u64, wanted: usize) -> Result<Vec<u64>> {
    open_nursery(async |nursery: Nursery| {
        let aggregator = nursery.start_actor("aggregator").await?;
        let read = async |numbers: Source<once_each>| numbers.take(wanted).try_collect().await;
        let numbers = aggregator.with_stream_from(once_each(below), read).await?;
        aggregator.cancel().await?;
        Ok(numbers)
    })
    .await
}

/// The argument, or what there is without it.
fn number(at: usize, otherwise: u64) -> Result<u64> {
    match std::env::args().nth(at) {
        Some(argument) => argument.parse().map_err(Error::new),
        None => Ok(otherwise),
    }
}

#[hatchery::main]
async fn main() -> Result<()> {
    let below = number(1, 1000)?;
    let wanted = usize::try_from(number(2, below)?).map_err(Error::new)?;
    let numbers = pipeline(below, wanted).await?;
    let in_order = (0..).zip(&numbers).all(|(place, number)| place == *number);
    println!("{} numbers, in order: {in_order}", numbers.len());
    Ok(())
}
