//! The cases of publishers and their consumers: who is dropped leaves no trace, and others go on.

use std::collections::BTreeSet;

use super::streams::{VALUES, receive_all};
use super::*;
use futures_lite::{FutureExt as _, StreamExt as _, future};
use hatchery::{Error, MsgStream, OpenContext, Overrun, Published, Publisher, Subscription};

type Wanted = BTreeSet<u8>;
type News = Published<u8, u64>;
type Source = Publisher<u8, u64>;

/// Wants one topic, and adds up what comes until the end.
#[hatchery::context]
async fn asks(cx: Context<Starts<()>, Sends<Wanted>, Receives<News>>) -> Result<u64> {
    let mut subscription = Subscription::over(cx.started(()).await?.open_stream());
    subscription.want([7]).await?;
    let mut sum = 0;
    while let Some((_, value)) = subscription.recv().await? {
        sum += value;
    }
    Ok(sum)
}

/// Sends numbers, with a moment between them.
#[hatchery::context]
async fn tells(cx: Context<Starts<()>, Sends<News>, Receives<Wanted>>) -> Result<()> {
    let stream = cx.started(()).await?.open_stream();
    for value in 0..VALUES {
        stream.send(Published::Value(7, value)).await?;
        Timer::after(Duration::from_millis(1)).await;
    }
    stream.close().await
}

/// Says what was asked for, one after the other.
#[hatchery::context]
async fn hears(cx: Context<Starts<()>, Sends<News>, Receives<Wanted>>) -> Result<Vec<Wanted>> {
    let mut stream = cx.started(()).await?.open_stream();
    let mut heard = Vec::new();
    while let Some(topics) = stream.recv().await? {
        heard.push(topics);
    }
    Ok(heard)
}

type Consumer = (OpenContext<asks>, MsgStream<News, Wanted>);

async fn consumer(worker: &Portal) -> Result<Consumer> {
    let (mut cx, ()) = worker.open_context(asks()).await?;
    let stream = cx.open_stream()?;
    Ok((cx, stream))
}

// Publishing.

pub(super) fn wanted() -> Result<()> {
    with_worker(async |worker| {
        at_every_await(async |polls| {
            let publisher = Source::new();
            let (cx, stream) = consumer(worker).await?;
            let waiting = async {
                let waited = poll_times(publisher.wanted(), polls).await.done();
                assert_eq!(publisher.wanted().await, BTreeSet::from([7]));
                publisher.close();
                Ok::<_, Error>(waited.is_some())
            };
            let (served, waited) = future::zip(publisher.serve(stream), waiting).await;
            served?;
            assert_eq!(cx.result().await?, 0);
            waited
        })
        .await
        .map(drop)
    })
}

pub(super) fn feed() -> Result<()> {
    with_worker(async |worker| {
        at_every_await(async |polls| {
            let publisher = Source::new();
            let (cx, stream) = consumer(worker).await?;
            let feeding = async {
                let first = || async {
                    publisher.publish(&7, &1)?;
                    future::yield_now().await;
                    publisher.publish(&7, &2).map(drop)
                };
                let ended = poll_times(publisher.feed(first), polls).await.done().transpose()?;
                // Its turn is another's.
                publisher.feed(async || publisher.publish(&7, &100).map(drop)).await?;
                publisher.close();
                Ok::<_, Error>(ended.is_some())
            };
            let (served, ended) = future::zip(publisher.serve(stream), feeding).await;
            served?;
            let (sum, ended) = (cx.result().await?, ended?);
            assert!(if ended { sum == 103 } else { sum == 100 || sum == 101 }, "{sum}");
            Ok::<_, Error>(ended)
        })
        .await
        .map(drop)
    })
}

/// Serves a consumer whose publisher gives one value and closes; dropped, it has left nothing.
fn serves(
    serving: impl AsyncFn(&Source, MsgStream<News, Wanted>) -> Result<()>,
    publishes: bool,
) -> Result<()> {
    with_worker(async |worker| {
        at_every_await(async |polls| {
            let publisher = Source::new();
            let (cx, stream) = consumer(worker).await?;
            let publishing = async {
                if publishes {
                    publisher.wanted().await;
                    publisher.publish(&7, &5)?;
                    publisher.close();
                }
                future::pending::<Result<_>>().await
            };
            let served = async { Ok(poll_times(serving(&publisher, stream), polls).await.done()) };
            let served = served.or(publishing).await?.transpose()?.is_some();
            assert_eq!((publisher.consumers(), publisher.topics()), (0, BTreeSet::new()));
            let sum = cx.result().await?;
            assert!(sum == 5 || (sum == 0 && !served), "{sum}");
            Ok::<_, Error>(served)
        })
        .await
        .map(drop)
    })
}

pub(super) fn serve() -> Result<()> {
    serves(async |publisher, stream| publisher.serve(stream).await, true)
}

pub(super) fn serve_with() -> Result<()> {
    let overrun = Overrun::LatestOnly;
    serves(async |publisher, stream| publisher.serve_with(stream, overrun).await, true)
}

pub(super) fn serve_fed() -> Result<()> {
    let serving = async |publisher: &Source, stream| {
        let producer = async || publisher.publish(&7, &5).map(drop);
        publisher.serve_fed(stream, producer).await
    };
    serves(serving, false)
}

// Consuming.

/// Receives everything from `tells` with `try_recv`.
fn receives(
    mut try_recv: impl AsyncFnMut(
        &mut Subscription<u8, u64>,
        usize,
    ) -> Result<Option<Option<(u8, u64)>>>,
) -> Result<()> {
    with_worker(async |worker| {
        let (mut cx, ()) = worker.open_context(tells()).await?;
        let mut subscription = Subscription::over(cx.open_stream()?);
        let number = |had: Option<(u8, u64)>| had.map(|(_, value)| value);
        let dropped =
            receive_all(async |polls| Ok(try_recv(&mut subscription, polls).await?.map(number)))
                .await?;
        assert!(dropped > usize::try_from(VALUES / 4).unwrap_or(0), "{dropped}");
        cx.result().await
    })
}

pub(super) fn recv() -> Result<()> {
    receives(async |one, polls| poll_times(one.recv(), polls).await.done().transpose())
}

pub(super) fn next() -> Result<()> {
    receives(async |one, polls| match polls % 3 {
        0 => poll_times(one.recv(), polls).await.done().transpose(),
        _ => poll_times(one.next(), polls).await.done().map(Option::transpose).transpose(),
    })
}

pub(super) fn want() -> Result<()> {
    with_worker(async |worker| {
        at_every_await(async |polls| {
            let (mut cx, ()) = worker.open_context(hears()).await?;
            let subscription = Subscription::over(cx.open_stream()?);
            let asked = poll_times(subscription.want([1]), polls).await.done().transpose()?;
            subscription.want([2]).await?;
            subscription.leave().await?;
            let mut heard = cx.result().await?;
            assert_eq!(heard.pop(), Some(BTreeSet::from([2])));
            assert_eq!(heard.pop().is_some(), asked.is_some());
            Ok::<_, Error>(asked.is_some())
        })
        .await
        .map(drop)
    })
}

pub(super) fn leave() -> Result<()> {
    with_worker(async |worker| {
        at_every_await(async |polls| {
            let (mut cx, ()) = worker.open_context(hears()).await?;
            let subscription = Subscription::over(cx.open_stream()?);
            subscription.want([1]).await?;
            let left = poll_times(subscription.leave(), polls).await.done().transpose()?;
            // Dropped, it is gone all the same.
            assert_eq!(cx.result().await?, [BTreeSet::from([1])]);
            Ok::<_, Error>(left.is_some())
        })
        .await
        .map(drop)
    })
}
