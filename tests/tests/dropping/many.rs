//! The case of each function: many contexts at once, and calls that no portal's type is needed for.

use super::*;
use futures_lite::StreamExt as _;
use futures_lite::future;
use hatchery::codec::Postcard;
use hatchery::{
    ActorPool, Cluster, Endpoint, Fleet, Held as Up, LocalPortal, gather, gather_contexts,
    open_cluster, open_pool,
};

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

pub(super) fn named_in() -> Result<()> {
    with_worker(async |worker| {
        at_every_await(async |polls| {
            let name = <double_late as Endpoint>::NAME;
            let call = worker.call_named_in::<Postcard, u64>(name, (3_u64,));
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

async fn asks_all(cluster: Cluster) -> Result<()> {
    let _held = Held::new();
    for portal in cluster.portals() {
        assert_eq!(portal.run(double(2)).await?, 4);
    }
    Ok(())
}

pub(super) fn cluster() -> Result<()> {
    hatchery::run(cases::dropped_block(|| open_cluster(2, asks_all)))
}

pub(super) fn fleet_cluster() -> Result<()> {
    hatchery::run(cases::dropped_block(|| Fleet::named(["a", "b"]).open_cluster(asks_all)))
}

async fn shares_out(pool: ActorPool) -> Result<()> {
    let _held = Held::new();
    let mut jobs = pool.as_completed((0..4).map(double_late));
    while let Some((place, value)) = jobs.next().await {
        assert_eq!(value?, 2 * place as u64);
    }
    Ok(())
}

pub(super) fn pool() -> Result<()> {
    hatchery::run(cases::dropped_block(|| open_pool(2, shares_out)))
}

pub(super) fn fleet_pool() -> Result<()> {
    hatchery::run(cases::dropped_block(|| Fleet::of(2).open_pool(shares_out)))
}

/// A worker whose job was dropped is free again, and nothing of the job is left in it.
pub(super) fn pool_run() -> Result<()> {
    in_pool(async |pool, polls| {
        let ended = poll_times(pool.run(double_late(3)), polls).await.done().transpose()?;
        assert!(matches!(ended, None | Some(6)), "{ended:?}");
        Ok(ended.is_some())
    })
}

pub(super) fn jobs() -> Result<()> {
    in_pool(async |pool, polls| {
        let mut jobs = pool.in_order((0..3).map(double_late));
        let first = poll_times(jobs.next(), polls).await.done().flatten();
        // Nothing was lost with what was dropped: the others follow.
        let mut next = usize::from(first.is_some());
        while let Some((place, value)) = jobs.next().await {
            assert_eq!((place, value?), (next, 2 * next as u64));
            next += 1;
        }
        assert_eq!(next, 3);
        Ok(first.is_some())
    })
}

fn in_pool(mut job: impl AsyncFnMut(&ActorPool, usize) -> Result<bool>) -> Result<()> {
    hatchery::run(open_pool(1, async |pool| {
        at_every_await(async |polls| {
            let ended = job(&pool, polls).await?;
            eventually("jobs end", async || Ok(pool.run(held()).await? == 0)).await?;
            Ok::<_, hatchery::Error>(ended)
        })
        .await?;
        assert_eq!(pool.replaced(), 0);
        Ok(())
    }))
}
