//! Many contexts and other scoped resources as one block.

use std::future::pending;
use std::sync::{Arc, Mutex};

use futures_lite::future;
use hatchery::{
    CancelScope, Context, Error, ErrorKind, Held, Nursery, Portal, Receives, Result, Sends, Starts,
    cancel_scope, gather, gather_contexts, open_nursery, shield,
};
use hatchery_tests::sign::{Last, Sign, raise, raised, soon};

type Talk = Context<Starts<u64>, Sends<u64>, Receives<u64>>;

/// Starts with its number; its result is the sum of what it received.
#[hatchery::context]
async fn sums(cx: Talk, number: u64) -> Result<u64> {
    let mut stream = cx.started(number).await?.open_stream();
    let mut sum = 0;
    while let Some(value) = stream.recv().await? {
        sum += value;
        stream.send(sum).await?;
    }
    Ok(sum)
}

/// Never starts: fails, or waits for its end.
#[hatchery::context]
async fn cannot_start(cx: Talk, fails: bool) -> Result<u64> {
    if fails {
        return Err(Error::message("there is no such thing"));
    }
    let number = pending().await;
    drop(cx.started(number).await?);
    Ok(0)
}

/// What happened, in its order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    fn told(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// Notes it when dropped.
    fn at_the_end(&self, what: &str) -> impl Drop + Send + use<> {
        struct Notes(Log, String);
        impl Drop for Notes {
            fn drop(&mut self) {
                self.0.note(std::mem::take(&mut self.1));
            }
        }
        Notes(self.clone(), what.to_owned())
    }
}

async fn with_workers<T>(
    count: usize,
    body: impl AsyncFnOnce(Vec<Portal>) -> Result<T>,
) -> Result<T> {
    open_nursery(async |nursery: Nursery| {
        let mut workers = Vec::new();
        for number in 0..count {
            workers.push(nursery.start_actor(&format!("worker{number}")).await?);
        }
        let value = body(workers.clone()).await?;
        for worker in workers {
            worker.cancel().await?;
        }
        Ok(value)
    })
    .await
}

#[hatchery::test]
async fn tri_01_contexts_on_many_actors_are_up_together_in_order_and_joined() -> Result<()> {
    with_workers(3, async |workers| {
        let calls = (0..9_u64).map(|number| (workers[number as usize % 3].clone(), sums(number)));
        let sums = gather_contexts(calls, async |contexts| {
            let firsts: Vec<_> = contexts.iter().map(|(_, first)| *first).collect();
            assert_eq!(firsts, (0..9).collect::<Vec<_>>());
            let mut sums = Vec::new();
            for (mut context, first) in contexts {
                let mut stream = context.open_stream()?;
                stream.send(first).await?;
                assert_eq!(stream.recv().await?, Some(first));
                stream.close().await?;
                drop(stream);
                sums.push(context.result().await?);
            }
            Ok::<_, Error>(sums)
        });
        assert_eq!(sums.await?, (0..9).collect::<Vec<_>>());
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn tri_01_all_are_up_before_the_block_and_left_after_it() -> Result<()> {
    let log = Log::default();
    let resources = (0..3).map(|number| {
        let log = log.clone();
        async move |held: Held<()>| {
            // The first is the last to be up.
            for _ in number..3 {
                future::yield_now().await;
            }
            log.note("up");
            held.up(()).await;
            log.note("left");
            Ok(())
        }
    });
    let value = gather(resources, async |units| {
        log.note(format!("block of {}", units.len()));
        Ok::<_, Error>(5)
    });
    assert_eq!(value.await?, 5);
    assert_eq!(log.told(), ["up", "up", "up", "block of 3", "left", "left", "left"]);
    Ok(())
}

#[hatchery::test]
async fn tri_01_nothing_to_gather_is_an_error() -> Result<()> {
    type Resource = fn(Held<u8>) -> future::Ready<Result<()>>;
    let none: Vec<Resource> = Vec::new();
    let error = gather(none, async |_| Ok::<_, Error>(())).await.expect_err("there is nothing");
    assert_eq!(error.kind(), &ErrorKind::Misuse);
    Ok(())
}

#[hatchery::test]
async fn tri_01_one_that_cannot_open_cancels_the_others_and_is_the_cause() -> Result<()> {
    with_workers(2, async |workers| {
        let calls =
            [(workers[0].clone(), cannot_start(false)), (workers[1].clone(), cannot_start(true))];
        let error = gather_contexts(calls, async |_| -> Result<()> { panic!("not all are up") })
            .await
            .expect_err("one cannot open");
        assert_eq!(error.kind(), &ErrorKind::Failed, "{error:?}");
        assert!(error.to_string().contains("there is no such thing"), "{error}");
        assert_eq!(error.also().len(), 0, "the other was only cancelled: {error:?}");
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn tri_01_a_failed_block_cancels_all_and_stays_the_cause() -> Result<()> {
    let log = Log::default();
    with_workers(1, async |workers| {
        let own = log.clone();
        let local = async move |held: Held<u64>| {
            let _end = own.at_the_end("local is dropped");
            held.up(1).await;
            own.note("never: the block has failed");
            Ok(())
        };
        let error = gather([local], async |values: Vec<u64>| {
            assert_eq!(values, [1]);
            Err::<(), _>(Error::message("of the block"))
        });
        assert!(error.await.unwrap_err().to_string().contains("of the block"));
        assert_eq!(log.told(), ["local is dropped"]);

        let error = gather_contexts([(workers[0].clone(), sums(3))], async |_| {
            Err::<(), _>(Error::message("of this block"))
        });
        assert!(error.await.unwrap_err().to_string().contains("of this block"));
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn tri_01_a_member_that_dies_ends_the_block_with_its_death() -> Result<()> {
    with_workers(2, async |workers| {
        let calls = workers.iter().map(|worker| (worker.clone(), sums(1)));
        let error = gather_contexts(calls, async |_contexts| {
            let _ = workers[1].kill().await;
            pending::<Result<()>>().await
        })
        .await
        .expect_err("one was killed");
        assert!(matches!(error.kind(), ErrorKind::Died(_)), "{error:?}");
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn tri_01_whoever_is_never_up_is_an_error_and_no_hang() -> Result<()> {
    let ends = |held: Held<u8>| async move {
        drop(held);
        Ok(())
    };
    let goes_on = |held: Held<u8>| async move {
        drop(held);
        pending().await
    };
    let ended = gather([ends], async |_| Ok::<_, Error>(())).await;
    let endless = gather([goes_on], async |_| Ok::<_, Error>(())).await;
    for error in [ended, endless].map(Result::unwrap_err) {
        assert_eq!(error.kind(), &ErrorKind::Misuse, "{error:?}");
    }
    let fails = |held: Held<u8>| async move {
        drop(held);
        Err(Error::message("the reason"))
    };
    let error = gather([fails], async |_| Ok::<_, Error>(())).await.unwrap_err();
    assert!(error.to_string().contains("the reason"), "{error}");
    Ok(())
}

#[hatchery::test]
async fn tri_04_a_resource_that_swallows_a_cancel_on_its_way_up_is_no_misuse() -> Result<()> {
    // It goes without a word, since it was cancelled: what its opener sees is that cancel.
    let ended = cancel_scope(async |scope: CancelScope| {
        let opens = async move |held: Held<u32>| {
            scope.cancel();
            let waits = async |_scope| pending::<Result<()>>().await;
            let _ = cancel_scope(waits).await;
            drop(held);
            Ok(())
        };
        gather([opens], async |_values| Ok::<_, Error>(())).await
    })
    .await?;
    assert!(ended.is_none());
    // One that goes so by itself is a mistake of its own.
    let silent = async |held: Held<u32>| {
        drop(held);
        Ok(())
    };
    let error = gather([silent], async |_values| Ok::<_, Error>(())).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Misuse, "{error:?}");
    Ok(())
}

/// The signs of a far task that leaves: that it has begun to, that its neighbour has, and what it
/// came to.
type Way = (String, String, String);

/// A ring of them: nobody is through before all have begun to leave.
struct Ring([[Sign; 2]; 3]);

impl Ring {
    fn new() -> Self {
        Self(std::array::from_fn(|_| ["leaves", "came to"].map(Sign::new)))
    }

    fn ways(&self) -> impl Iterator<Item = (u64, Way)> {
        (0..3).map(|n| {
            let [[leaves, came_to], [other, _]] = [&self.0[n], &self.0[(n + 1) % 3]];
            (n as u64, (leaves.path(), other.path(), came_to.path()))
        })
    }

    fn raised(&self) -> usize {
        self.0.iter().flatten().filter(|sign| sign.is_raised()).count()
    }

    async fn came_to(&self) -> Vec<String> {
        let mut all = Vec::new();
        for [_, came_to] in &self.0 {
            assert!(came_to.is_raised(), "its block is over, and it is not");
            all.push(came_to.raised().await);
        }
        all
    }
}

/// Leaves when its opener has, with its neighbour.
#[hatchery::context]
async fn leaves(cx: Talk, number: u64, way: Way) -> Result<u64> {
    let (leaves, other, came_to) = way;
    let mut stream = cx.started(number).await?.open_stream();
    while stream.recv().await?.is_some() {}
    raise(&leaves, "");
    raised(&other).await;
    // A task that is cancelled would go no further than here.
    future::yield_now().await;
    raise(&came_to, &format!("returned {number}"));
    Ok(number)
}

#[hatchery::test]
async fn tri_01_at_a_clean_end_all_are_joined_at_once_and_none_is_cancelled() -> Result<()> {
    let ring = Ring::new();
    with_workers(3, async |workers| {
        let calls = ring.ways().zip(&workers);
        let calls = calls.map(|((number, way), worker)| (worker.clone(), leaves(number, way)));
        let gathered = gather_contexts(calls, async |contexts| {
            // Neither their results nor their streams are asked for.
            assert_eq!((contexts.len(), ring.raised()), (3, 0));
            Ok::<_, Error>(7)
        });
        assert_eq!(soon(gathered).await?, 7);
        assert_eq!(ring.came_to().await, ["returned 0", "returned 1", "returned 2"]);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn tri_01_scoped_resources_leave_at_once_too() -> Result<()> {
    let ring = Ring::new();
    let resources = ring.ways().map(|(number, (leaves, other, came_to))| {
        async move |held: Held<u64>| {
            held.up(number).await;
            raise(&leaves, "");
            raised(&other).await;
            raise(&came_to, &format!("left {number}"));
            Ok(())
        }
    });
    let gathered = gather(resources, async |numbers| {
        assert_eq!((numbers, ring.raised()), (vec![0, 1, 2], 0));
        Ok::<_, Error>(())
    });
    soon(gathered).await?;
    assert_eq!(ring.came_to().await, ["left 0", "left 1", "left 2"]);
    Ok(())
}

/// Waits for ever, and when it is cancelled, for its neighbour to be as well.
#[hatchery::context]
async fn cleans_up(cx: Talk, number: u64, way: Way) -> Result<u64> {
    let (leaves, other, came_to) = way;
    let _last = Last(came_to);
    let _started = cx.started(number).await?;
    let waits = cancel_scope(async |_scope| pending::<Result<()>>().await).await;
    shield(async {
        raise(&leaves, "");
        raised(&other).await;
    })
    .await;
    waits.map(|_| number)
}

#[hatchery::test]
async fn tri_01_a_cancel_from_around_once_all_are_up_ends_all_before_the_block_is_over()
-> Result<()> {
    let (ring, log) = (Ring::new(), Log::default());
    with_workers(3, async |workers| {
        let ended = cancel_scope(async |scope: CancelScope| {
            let calls = ring.ways().zip(&workers);
            let calls =
                calls.map(|((number, way), worker)| (worker.clone(), cleans_up(number, way)));
            let gathered = gather_contexts(calls, async |contexts| {
                assert_eq!((contexts.len(), ring.raised()), (3, 0));
                scope.cancel();
                pending::<Result<()>>().await
            });
            let ended = gathered.await;
            log.note(format!("{} signs", ring.raised()));
            ended
        });
        assert!(soon(ended).await?.is_none());
        assert_eq!(log.told(), ["6 signs"]);
        Ok(())
    })
    .await?;

    let log = Log::default();
    let ended = cancel_scope(async |scope: CancelScope| {
        let resources = (0..3).map(|number| {
            let log = log.clone();
            async move |held: Held<()>| {
                let _end = log.at_the_end(&format!("resource {number}"));
                held.up(()).await;
                Ok(())
            }
        });
        let gathered = gather(resources, async |_units| {
            scope.cancel();
            pending::<Result<()>>().await
        });
        let ended = gathered.await;
        log.note("block");
        ended
    });
    assert!(ended.await?.is_none());
    let told = log.told();
    assert_eq!((told.len(), told.last().map(String::as_str)), (4, Some("block")), "{told:?}");
    Ok(())
}
