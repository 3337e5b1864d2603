//! The case of each function: many contexts at once, and calls that no portal's type is needed for.

use super::*;
use futures_lite::future;
use hatchery::{Endpoint, Held as Up, LocalPortal, gather, gather_contexts};

pub(super) fn local() -> Result<()> {
    hatchery::run(async {
        let here = LocalPortal::new()?;
        at_every_await(async |polls| {
            let ended = poll_times(here.run(double_late(3)), polls).await.done().transpose()?;
            assert_eq!(HELD.load(Ordering::Acquire), 0, "dropping it drops the task");
            assert!(matches!(ended, None | Some(6)), "{ended:?}");
            assert_eq!(here.run(double(2)).await?, 4);
            Ok::<_, hatchery::Error>(ended.is_some())
        })
        .await?;
        Ok(())
    })
}

pub(super) fn named() -> Result<()> {
    with_worker(async |worker| {
        at_every_await(async |polls| {
            let call = worker.call_named::<u64>(<double_late as Endpoint>::NAME, (3_u64,));
            let ended = poll_times(call, polls).await.done().transpose()?;
            is_at_rest(worker).await?;
            assert!(matches!(ended, None | Some(6)), "{ended:?}");
            Ok::<_, hatchery::Error>(ended.is_some())
        })
        .await?;
        Ok(())
    })
}

pub(super) fn contexts() -> Result<()> {
    with_worker(async |worker| {
        let polls = at_every_await(async |polls| {
            let calls = (0..3).map(|_| (worker.clone(), echo()));
            let block = gather_contexts(calls, async |contexts| {
                for (mut context, first) in contexts {
                    let mut stream = context.open_stream()?;
                    stream.send(first).await?;
                    assert_eq!(stream.recv().await?, Some(first));
                }
                Ok::<_, hatchery::Error>(())
            });
            let ended = poll_times(block, polls).await.done().transpose()?;
            is_at_rest(worker).await?;
            Ok::<_, hatchery::Error>(ended.is_some())
        })
        .await?;
        assert!(polls > 3, "{polls}");
        Ok(())
    })
}

/// Resources of this process: all of them go with the block.
pub(super) fn gathered() -> Result<()> {
    hatchery::run(async {
        let polls = at_every_await(async |polls| {
            let resources = (0..3).map(|number| {
                async move |up: Up<u64>| {
                    let _held = Held::new();
                    future::yield_now().await;
                    up.up(number).await;
                    future::yield_now().await;
                    Ok(())
                }
            });
            let block = gather(resources, async |numbers| {
                future::yield_now().await;
                Ok::<_, hatchery::Error>(numbers.len())
            });
            let ended = poll_times(block, polls).await.done().transpose()?;
            assert!(matches!(ended, None | Some(3)), "{ended:?}");
            eventually("resources go", async || Ok(HELD.load(Ordering::Acquire) == 0)).await?;
            Ok::<_, hatchery::Error>(ended.is_some())
        })
        .await?;
        assert!(polls > 2, "{polls}");
        Ok(())
    })
}

/// The word is given at the first poll, and dropping what waits for the block's end lets the resource
/// go early.
pub(super) fn up() -> Result<()> {
    hatchery::run(async {
        for polls in 1..4 {
            let resource = async move |up: Up<usize>| {
                let _ = poll_times(up.up(polls), polls).await;
                Ok(())
            };
            let value =
                gather([resource], async |values: Vec<usize>| Ok::<_, hatchery::Error>(values));
            assert_eq!(value.await?, [polls]);
        }
        Ok(())
    })
}
