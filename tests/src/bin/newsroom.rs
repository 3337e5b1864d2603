//! A root, an actor of it that publishes, and below that one three consumers, each of which wants one
//! topic after the other for ever: says `NAME flows` once it has had some of them, `NAME has left`
//! when its task is over, and `hook of NAME` when its actor is. With a number as its argument all of
//! it has so many milliseconds. The subject of tests that end it.
#![allow(clippy::print_stdout, reason = "what it prints is its result")]

use std::collections::BTreeSet;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use async_io::Timer;
use hatchery::{
    Context, Error, ErrorKind, LocalPortal, Published, Publisher, Receives, Result, Sends, Starts,
    Subscription, on_exit, open_nursery, timeout,
};

/// Between two values of each topic.
const PAUSE: Duration = Duration::from_millis(1);

/// So many topics that were wanted, one after the other, count as flowing.
const FLOWING: usize = 5;

/// Says when it goes.
struct Leaves(String);

impl Drop for Leaves {
    fn drop(&mut self) {
        println!("{} has left", self.0);
    }
}

fn named() -> Result<Leaves> {
    let name = LocalPortal::new()?.id().name;
    let own = name.clone();
    on_exit(move || println!("hook of {own}"));
    Ok(Leaves(name))
}

type Reads = Context<Starts<()>, Sends<BTreeSet<u8>>, Receives<Published<u8, u64>>>;

#[hatchery::context]
async fn consumes(cx: Reads) -> Result<()> {
    let leaves = named()?;
    let mut subscription = Subscription::over(cx.started(()).await?.open_stream());
    for (turn, wanted) in (0..8_u8).cycle().enumerate() {
        subscription.want([wanted]).await?;
        loop {
            match subscription.recv().await {
                Ok(Some((topic, _value))) if topic == wanted => break,
                Ok(Some(_)) => {}
                Ok(None) => return Err(Error::message("it ended")),
                Err(error) if matches!(error.kind(), ErrorKind::Lagged(_)) => {}
                Err(error) => return Err(error),
            }
        }
        if turn == FLOWING {
            println!("{} flows", leaves.0);
        }
    }
    Ok(())
}

#[hatchery::context]
async fn publishes(cx: Context<Starts<()>>) -> Result<()> {
    let _leaves = named()?;
    let publisher: Arc<Publisher<u8, u64>> = Arc::default();
    open_nursery(async |nursery| {
        let feeder = publisher.clone();
        nursery.spawn(async move {
            let produce = || async {
                for value in 0.. {
                    for topic in 0..8 {
                        feeder.publish(&topic, &value)?;
                    }
                    Timer::after(PAUSE).await;
                }
                Ok(())
            };
            feeder.feed(produce).await
        });
        for n in 0..3 {
            let consumer = nursery.start_actor(&format!("consumer {n}")).await?;
            let publisher = publisher.clone();
            nursery.spawn(async move {
                let serves = async |mut cx: hatchery::OpenContext<consumes>, ()| {
                    publisher.serve(cx.open_stream()?).await
                };
                consumer.with_context(consumes(), serves).await
            });
        }
        let _started = cx.started(()).await?;
        pending().await
    })
    .await
}

async fn runs() -> Result<()> {
    open_nursery(async |nursery| {
        let publisher = nursery.start_actor("publisher").await?;
        publisher.with_context(publishes(), async |_cx, ()| pending().await).await
    })
    .await
}

#[hatchery::main]
async fn main() -> Result<()> {
    match std::env::args().nth(1).and_then(|millis| millis.parse().ok()) {
        Some(millis) => timeout(Duration::from_millis(millis), runs()).await,
        None => runs().await,
    }
}
