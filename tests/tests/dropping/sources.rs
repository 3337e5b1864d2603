//! The cases of one-way streams: none that was received is lost, and no producer outlives its
//! consumer.

use super::streams::{VALUES, next_of, receive_all};
use super::*;
use futures_lite::{Stream, stream};
use hatchery::{CancelStatus, Source};

/// Yields numbers, one after the other, with a moment before each.
#[hatchery::endpoint]
pub(super) fn numbers(count: u64) -> impl Stream<Item = u64> {
    stream::unfold((0, Held::new()), move |(next, held)| async move {
        Timer::after(Duration::from_millis(1)).await;
        (next < count).then_some((next, (next + 1, held)))
    })
}

pub(super) fn open() -> Result<()> {
    with_worker(async |worker| {
        let polls = at_every_await(async |polls| {
            let opened = poll_times(worker.open_stream_from(numbers(u64::MAX)), polls).await;
            let opened = opened.done().transpose()?.is_some();
            is_at_rest(worker).await?;
            Ok::<_, hatchery::Error>(opened)
        })
        .await?;
        assert_eq!(polls, 1, "it waits for nothing but a free slot");
        Ok(())
    })
}

pub(super) fn with() -> Result<()> {
    with_worker(async |worker| {
        let polls = at_every_await(async |polls| {
            let block = worker.with_stream_from(numbers(u64::MAX), async |mut source| {
                for value in 0..3 {
                    assert_eq!(source.recv().await?, Some(value));
                }
                Ok::<_, hatchery::Error>(())
            });
            let ended = poll_times(block, polls).await.done().transpose()?.is_some();
            if ended {
                assert_eq!(worker.run(held()).await?, 0, "it has waited for the producer");
            }
            is_at_rest(worker).await?;
            Ok::<_, hatchery::Error>(ended)
        })
        .await?;
        assert!(polls > 3, "{polls}");
        Ok(())
    })
}

/// Receives everything from `numbers` with `try_recv`.
fn receives(
    mut try_recv: impl AsyncFnMut(&mut Source<numbers>, usize) -> Result<Option<Option<u64>>>,
) -> Result<()> {
    with_worker(async |worker| {
        let mut source = worker.open_stream_from(numbers(VALUES)).await?;
        let dropped = receive_all(async |polls| try_recv(&mut source, polls).await).await?;
        assert!(dropped > usize::try_from(VALUES / 4).unwrap_or(0), "{dropped}");
        Ok(())
    })
}

pub(super) fn recv() -> Result<()> {
    receives(async |source, polls| poll_times(source.recv(), polls).await.done().transpose())
}

pub(super) fn next() -> Result<()> {
    receives(async |source, polls| match polls % 3 {
        0 => poll_times(source.recv(), polls).await.done().transpose(),
        _ => next_of(source, polls).await,
    })
}

pub(super) fn cancel() -> Result<()> {
    with_worker(async |worker| {
        at_every_await(async |polls| {
            let mut source = worker.open_stream_from(numbers(u64::MAX)).await?;
            assert_eq!(source.recv().await?, Some(0));
            let ended = poll_times(source.cancel(), polls).await.done();
            match polls {
                0 => assert_eq!(source.recv().await?, Some(1)),
                _ => assert_eq!(source.recv().await?, None),
            }
            assert!(matches!(ended, None | Some(CancelStatus::Done)), "{ended:?}");
            drop(source);
            is_at_rest(worker).await?;
            Ok::<_, hatchery::Error>(ended.is_some())
        })
        .await?;
        Ok(())
    })
}
