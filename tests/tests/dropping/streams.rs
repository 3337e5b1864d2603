//! The cases of streams: a value is sent once or not at all, and none that was received is lost.

use super::*;
use futures_lite::{Stream, StreamExt as _};
use hatchery::{MsgStream, RecvHalf, Subscriber};

/// How many values go through a stream: more than there are polls of one operation.
pub(super) const VALUES: u64 = 60;

/// Big enough that a window is full after a few.
const WEIGHT: usize = 50_000;

/// A number, and bytes that make it heavy.
type Weighed = (u64, Vec<u8>);

/// The value of this number; `light` of every five weigh nothing.
fn weighed(number: u64, light: u64) -> Weighed {
    (number, vec![7; if number % 5 < light { 0 } else { WEIGHT }])
}

/// Reads slowly; fails where a value is missing, comes twice, or is not whole.
#[hatchery::context]
async fn counts(cx: Context<Starts<()>, Sends<()>, Receives<Weighed>>, light: u64) -> Result<u64> {
    let mut stream = cx.started(()).await?.open_stream();
    let mut next = 0;
    while let Some((value, weight)) = stream.recv().await? {
        assert_eq!((value, weight.len()), (next, weighed(next, light).1.len()));
        next += 1;
        Timer::after(Duration::from_millis(1)).await;
    }
    Ok(next)
}

/// Sends numbers, one after the other, with a moment between them.
#[hatchery::context]
async fn tells(cx: Context<Starts<()>, Sends<u64>, Receives<()>>, count: u64) -> Result<u64> {
    let stream = cx.started(()).await?.open_stream();
    for value in 0..count {
        stream.send(value).await?;
        Timer::after(Duration::from_millis(1)).await;
    }
    stream.close().await?;
    Ok(count)
}

/// Adds up what comes, and tells the sum once the other half has ended.
#[hatchery::context]
async fn sums(cx: Context<Starts<()>, Sends<u64>, Receives<u64>>) -> Result<u64> {
    let mut stream = cx.started(()).await?.open_stream();
    let mut sum = 0;
    while let Some(value) = stream.recv().await? {
        sum += value;
    }
    stream.send(sum).await?;
    Ok(sum)
}

// Sending: what was dropped was not sent, and is sent again.

/// Sends every value, each dropped at another await first; says how many were.
async fn send_all(mut try_send: impl AsyncFnMut(Weighed, usize) -> Result<bool>) -> Result<usize> {
    let mut dropped = 0;
    for value in 0..VALUES {
        let mut polls = usize::try_from(value % 4).unwrap_or(0);
        while !try_send(weighed(value, 0), polls).await? {
            dropped += 1;
            polls += 1;
        }
    }
    Ok(dropped)
}

/// Sends every value with those behind it, as many as are sent, each time dropped before.
async fn send_run(
    send_many: impl AsyncFn(&[Weighed], usize) -> Result<Option<usize>>,
) -> Result<usize> {
    let values: Vec<_> = (0..VALUES).map(|number| weighed(number, LIGHT)).collect();
    let (mut left, mut dropped, mut polls) = (&values[..], 0, 0);
    while !left.is_empty() {
        match send_many(left, polls).await? {
            Some(sent) => (left, polls) = (&left[sent..], left.len() % 4),
            None => (dropped, polls) = (dropped + 1, polls + 1),
        }
    }
    Ok(dropped)
}

/// Light ones among the heavy, which go together.
const LIGHT: u64 = 2;

/// Has `send` send every value, and says that all have come and some sends were dropped.
fn sends(
    light: u64,
    send: impl AsyncFnOnce(MsgStream<Weighed, ()>) -> Result<usize>,
) -> Result<()> {
    with_worker(async |worker| {
        let (mut context, ()) = worker.open_context(counts(light)).await?;
        let dropped = send(context.open_stream()?).await?;
        // Every fourth is not even polled at first: more than that were waiting for the window.
        assert!(dropped > usize::try_from(VALUES / 4).unwrap_or(0), "{dropped}");
        assert_eq!(context.result().await?, VALUES);
        Ok(())
    })
}

pub(super) fn send() -> Result<()> {
    sends(0, async |stream| {
        let dropped = send_all(async |value, polls| {
            Ok(poll_times(stream.send(value), polls).await.done().transpose()?.is_some())
        })
        .await?;
        stream.close().await.map(|()| dropped)
    })
}

pub(super) fn half_send() -> Result<()> {
    sends(0, async |stream| {
        let (sender, receiver) = stream.split();
        drop(receiver);
        let dropped = send_all(async |value, polls| {
            Ok(poll_times(sender.send(value), polls).await.done().transpose()?.is_some())
        })
        .await?;
        sender.close().await.map(|()| dropped)
    })
}

pub(super) fn send_many() -> Result<()> {
    sends(LIGHT, async |stream| {
        let dropped = send_run(async |values, polls| {
            poll_times(stream.send_many(values), polls).await.done().transpose()
        })
        .await?;
        stream.close().await.map(|()| dropped)
    })
}

pub(super) fn half_send_many() -> Result<()> {
    sends(LIGHT, async |stream| {
        let (sender, receiver) = stream.split();
        drop(receiver);
        let dropped = send_run(async |values, polls| {
            poll_times(sender.send_many(values), polls).await.done().transpose()
        })
        .await?;
        sender.close().await.map(|()| dropped)
    })
}

// Receiving: what was dropped has taken nothing.

/// Receives every value, each after receives that were dropped; says how many were.
pub(super) async fn receive_all(
    mut try_recv: impl AsyncFnMut(usize) -> Result<Option<Option<u64>>>,
) -> Result<usize> {
    let mut dropped = 0;
    for wanted in 0..=VALUES {
        let mut polls = usize::try_from(wanted % 4).unwrap_or(0);
        let value = loop {
            match try_recv(polls).await? {
                Some(value) => break value,
                None => dropped += 1,
            }
            polls += 1;
        };
        assert_eq!(value, (wanted < VALUES).then_some(wanted));
    }
    Ok(dropped)
}

/// Receives everything from `tells` with `try_recv`.
fn receives<S>(
    open: impl Fn(MsgStream<(), u64>) -> S,
    mut try_recv: impl AsyncFnMut(&mut S, usize) -> Result<Option<Option<u64>>>,
) -> Result<()> {
    with_worker(async |worker| {
        let (mut context, ()) = worker.open_context(tells(VALUES)).await?;
        let mut stream = open(context.open_stream()?);
        let dropped = receive_all(async |polls| try_recv(&mut stream, polls).await).await?;
        assert!(dropped > usize::try_from(VALUES / 4).unwrap_or(0), "{dropped}");
        assert_eq!(context.result().await?, VALUES);
        drop(stream);
        Ok(())
    })
}

pub(super) fn recv() -> Result<()> {
    receives(
        |stream| stream,
        async |stream, polls| poll_times(stream.recv(), polls).await.done().transpose(),
    )
}

pub(super) fn half_recv() -> Result<()> {
    receives(
        |stream| stream.split().1,
        async |half, polls| poll_times(half.recv(), polls).await.done().transpose(),
    )
}

/// One value by `next`, which may be dropped and be gone on with by `recv` or by `next`.
pub(super) async fn next_of<S>(stream: &mut S, polls: usize) -> Result<Option<Option<u64>>>
where
    S: Stream<Item = Result<u64>> + Unpin,
{
    let next = poll_times(stream.next(), polls).await.done();
    next.map(Option::transpose).transpose()
}

pub(super) fn next() -> Result<()> {
    receives(
        |stream| stream,
        async |stream: &mut MsgStream<(), u64>, polls| match polls % 3 {
            0 => poll_times(stream.recv(), polls).await.done().transpose(),
            _ => next_of(stream, polls).await,
        },
    )
}

pub(super) fn half_next() -> Result<()> {
    receives(
        |stream| stream.split().1,
        async |half: &mut RecvHalf<u64>, polls| match polls % 3 {
            0 => poll_times(half.recv(), polls).await.done().transpose(),
            _ => next_of(half, polls).await,
        },
    )
}

fn subscribed(stream: MsgStream<(), u64>) -> Subscriber<u64> {
    stream.subscribe().1
}

pub(super) fn subscriber_recv() -> Result<()> {
    receives(subscribed, async |reader, polls| {
        let mut other = reader.subscribe();
        assert!(poll_times(other.recv(), 0).await.done().is_none());
        poll_times(reader.recv(), polls).await.done().transpose()
    })
}

pub(super) fn subscriber_next() -> Result<()> {
    receives(subscribed, async |reader: &mut Subscriber<u64>, polls| match polls % 3 {
        0 => poll_times(reader.recv(), polls).await.done().transpose(),
        _ => next_of(reader, polls).await,
    })
}

// Closing: done at the first poll, and before that nothing.

pub(super) fn half_flush() -> Result<()> {
    with_worker(async |worker| {
        let polls = at_every_await(async |polls| {
            let (mut context, ()) = worker.open_context(sums()).await?;
            let (sender, mut receiver) = context.open_stream()?.split();
            sender.send(2).await?;
            let flushed = poll_times(sender.flush(), polls).await.done().transpose()?.is_some();
            sender.send(3).await?;
            sender.close().await?;
            assert_eq!(receiver.recv().await?, Some(5));
            Ok::<_, hatchery::Error>(flushed)
        })
        .await?;
        assert_eq!(polls, 1, "it does its work when it is first polled");
        Ok(())
    })
}

pub(super) fn flush() -> Result<()> {
    with_worker(async |worker| {
        let polls = at_every_await(async |polls| {
            let (mut context, ()) = worker.open_context(sums()).await?;
            let mut stream = context.open_stream()?;
            stream.send(2).await?;
            let flushed = poll_times(stream.flush(), polls).await.done().transpose()?.is_some();
            stream.send(3).await?;
            stream.close().await?;
            assert_eq!(stream.recv().await?, Some(5));
            Ok::<_, hatchery::Error>(flushed)
        })
        .await?;
        assert_eq!(polls, 1, "it does its work when it is first polled");
        Ok(())
    })
}

pub(super) fn half_close() -> Result<()> {
    with_worker(async |worker| {
        let polls = at_every_await(async |polls| {
            let (mut context, ()) = worker.open_context(sums()).await?;
            let (sender, mut receiver) = context.open_stream()?.split();
            sender.send(2).await?;
            let closed = poll_times(sender.close(), polls).await.done().transpose()?.is_some();
            if !closed {
                sender.send(3).await?;
                sender.close().await?;
            }
            assert_eq!(receiver.recv().await?, Some(if closed { 2 } else { 5 }));
            Ok::<_, hatchery::Error>(closed)
        })
        .await?;
        assert_eq!(polls, 1, "it does its work when it is first polled");
        Ok(())
    })
}

pub(super) fn close() -> Result<()> {
    with_worker(async |worker| {
        let polls = at_every_await(async |polls| {
            let (mut context, ()) = worker.open_context(sums()).await?;
            let mut stream = context.open_stream()?;
            stream.send(2).await?;
            let closed = poll_times(stream.close(), polls).await.done().transpose()?.is_some();
            if !closed {
                stream.send(3).await?;
                stream.close().await?;
            }
            assert_eq!(stream.recv().await?, Some(if closed { 2 } else { 5 }));
            Ok::<_, hatchery::Error>(closed)
        })
        .await?;
        assert_eq!(polls, 1, "it does its work when it is first polled");
        Ok(())
    })
}
