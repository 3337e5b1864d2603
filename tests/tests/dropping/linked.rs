//! The case of each function: what waits for the end of something that goes on elsewhere.

use super::*;
use futures_lite::future;
use hatchery::{Cache, ExitStatus, ForeignTask, Held as Up, foreign, open_cache};

/// An executor of one task.
fn on_a_thread(task: ForeignTask) {
    std::thread::spawn(|| future::block_on(task));
}

/// The work on the other executor goes with the future that stands for it.
pub(super) fn on_another_executor() -> Result<()> {
    hatchery::run(async {
        at_every_await(async |polls| {
            let body = async {
                let _held = Held::new();
                for _ in 0..3 {
                    future::yield_now().await;
                }
                Ok::<_, hatchery::Error>(7)
            };
            let ended = poll_times(foreign(on_a_thread, body), polls).await;
            let ended = ended.done().transpose()?;
            assert!(matches!(ended, None | Some(7)), "{ended:?}");
            eventually("the work goes", async || Ok(HELD.load(Ordering::Acquire) == 0)).await?;
            Ok::<_, hatchery::Error>(ended.is_some())
        })
        .await?;
        Ok(())
    })
}

/// Waiting for an end asks for nothing.
pub(super) fn portal_ended() -> Result<()> {
    hatchery::run(open_nursery(async |nursery: Nursery| {
        let worker = nursery.start_actor("worker").await?;
        // Nothing wakes it a second time while the actor lives.
        for polls in 0..2 {
            assert!(poll_times(worker.ended(), polls).await.done().is_none());
            assert_eq!(worker.run(double(2)).await?, 4);
        }
        let asks = async {
            let _ = worker.kill().await;
        };
        let (exit, ()) = future::zip(worker.ended(), asks).await;
        assert_eq!(exit.status, Some(ExitStatus::Signal { number: 9, core: false }));
        // One that was dropped took nothing away.
        assert_eq!(poll_times(worker.ended(), 1).await.done(), Some(exit));
        Ok(())
    }))
}

/// A resource of this process, which says whether it is held.
async fn resource(held: Up<u64>) -> Result<()> {
    let _held = Held::new();
    future::yield_now().await;
    held.up(7).await;
    future::yield_now().await;
    Ok(())
}

pub(super) fn cached() -> Result<()> {
    hatchery::run(open_cache(async |cache: Cache<u8, u64>| {
        let polls = at_every_await(async |polls| {
            let body = async |value| {
                future::yield_now().await;
                Ok::<_, hatchery::Error>(value)
            };
            let uses = poll_times(cache.with(1, resource, body), polls).await;
            let ended = uses.done().transpose()?;
            assert!(matches!(ended, None | Some(7)), "{ended:?}");
            eventually("it is closed", async || Ok(HELD.load(Ordering::Acquire) == 0)).await?;
            Ok::<_, hatchery::Error>(ended.is_some())
        })
        .await?;
        assert!(polls > 2, "{polls}");
        Ok(())
    }))
}

/// Uses a resource with the time that it takes.
async fn uses(cache: Cache<u8, u64>) -> Result<()> {
    let _held = Held::new();
    for key in 0..3 {
        cache.with(key, resource, async |_value| Ok::<_, hatchery::Error>(())).await?;
    }
    Ok(())
}

pub(super) fn cache() -> Result<()> {
    hatchery::run(cases::dropped_block(|| open_cache(uses)))
}
