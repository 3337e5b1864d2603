//! The cases of what an actor opens with itself.

use super::sources::numbers;
use super::*;
use hatchery::LocalPortal;

/// Runs `body` in a root, where no task is left at the end.
fn alone(body: impl AsyncFn(&LocalPortal, usize) -> Result<bool>) -> Result<()> {
    hatchery::run(async {
        let here = LocalPortal::new()?;
        at_every_await(async |polls| {
            let ended = body(&here, polls).await?;
            eventually("its task goes", async || Ok(HELD.load(Ordering::Acquire) == 0)).await?;
            assert_eq!(here.run(double(2)).await?, 4);
            Ok::<_, hatchery::Error>(ended)
        })
        .await?;
        Ok(())
    })
}

pub(super) fn open_context() -> Result<()> {
    alone(async |here, polls| {
        let opened = poll_times(here.open_context(starts_late()), polls).await;
        Ok(opened.done().transpose()?.is_some())
    })
}

pub(super) fn with_context() -> Result<()> {
    alone(async |here, polls| {
        let block = here.with_context(echo(), async |mut cx, first| {
            let mut stream = cx.open_stream()?;
            for value in first..4 {
                stream.send(value).await?;
                assert_eq!(stream.recv().await?, Some(value));
            }
            drop(stream);
            cx.result().await
        });
        let ended = poll_times(block, polls).await.done().transpose()?;
        assert!(matches!(ended, None | Some(3)), "{ended:?}");
        Ok(ended.is_some())
    })
}

pub(super) fn open_stream_from() -> Result<()> {
    alone(async |here, polls| {
        let opened = poll_times(here.open_stream_from(numbers(u64::MAX)), polls).await;
        Ok(opened.done().transpose()?.is_some())
    })
}

pub(super) fn with_stream_from() -> Result<()> {
    alone(async |here, polls| {
        let block = here.with_stream_from(numbers(u64::MAX), async |mut source| {
            for value in 0..3 {
                assert_eq!(source.recv().await?, Some(value));
            }
            Ok::<_, hatchery::Error>(())
        });
        let ended = poll_times(block, polls).await.done().transpose()?.is_some();
        if ended {
            assert_eq!(HELD.load(Ordering::Acquire), 0, "it has waited for the producer");
        }
        Ok(ended)
    })
}
