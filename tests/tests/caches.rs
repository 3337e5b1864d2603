//! Resources that many tasks share: opened once for each key, closed with the last user (TRI-07,
//! TRI-08, TRI-09).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_lite::{FutureExt as _, future};
use hatchery::{
    Cache, CancelScope, Context, Error, ErrorKind, Held, Nursery, Receives, Result, Sends, Starts,
    Subscriber, cancel_scope, open_cache, open_nursery,
};
use hatchery_tests::worker::with_worker;
use smol::channel::{Receiver, Sender, bounded};

/// How often something was opened and closed.
#[derive(Clone, Default)]
struct Count(Arc<(AtomicUsize, AtomicUsize)>);

impl Count {
    fn now(&self) -> (usize, usize) {
        (self.0.0.load(Ordering::SeqCst), self.0.1.load(Ordering::SeqCst))
    }

    /// A resource whose value is how often it was opened before.
    async fn open(self, held: Held<usize>) -> Result<()> {
        let before = self.0.0.fetch_add(1, Ordering::SeqCst);
        future::yield_now().await;
        held.up(before).await;
        future::yield_now().await;
        self.0.1.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

/// Lets others go on, or waits until they do.
async fn meet(all: &Sender<()>, go: &Receiver<()>) {
    let _ = all.send(()).await;
    let _ = go.recv().await;
}

#[hatchery::test]
async fn tri_07_a_resource_is_opened_once_for_all_its_users_and_closed_with_the_last() -> Result<()>
{
    let count = Count::default();
    open_cache(async |cache: Cache<u8, usize>| {
        let (arrive, arrived) = bounded(10);
        let (go, gone) = bounded::<()>(1);
        open_nursery(async |nursery: Nursery| {
            for _ in 0..10 {
                let (cache, count) = (cache.clone(), count.clone());
                let (arrive, gone) = (arrive.clone(), gone.clone());
                nursery.spawn(async move {
                    let body = async |value| {
                        assert_eq!(value, 0);
                        meet(&arrive, &gone).await;
                        Ok::<_, Error>(())
                    };
                    cache.with(1, async |held| count.open(held).await, body).await
                });
            }
            for _ in 0..10 {
                arrived.recv().await.map_err(Error::new)?;
            }
            assert_eq!(count.now(), (1, 0));
            drop(go);
            Ok::<_, Error>(())
        })
        .await?;
        assert_eq!(count.now(), (1, 1));
        // Another user, another life; and a key of its own.
        for (key, before) in [(1, 1), (2, 2)] {
            let count = count.clone();
            let open = async |held| count.open(held).await;
            let value = cache.with(key, open, async |value| Ok::<_, Error>(value)).await?;
            assert_eq!(value, before);
        }
        assert_eq!(count.now(), (3, 3));
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn tri_08_whoever_comes_while_it_closes_waits_and_gets_a_fresh_one() -> Result<()> {
    let count = Count::default();
    open_cache(async |cache: Cache<u8, usize>| {
        let (closing, is_closing) = bounded::<()>(1);
        let (go, gone) = bounded::<()>(1);
        let slow = {
            let count = count.clone();
            async move |held: Held<usize>| {
                count.clone().open(held).await?;
                let _ = closing.send(()).await;
                let _ = gone.recv().await;
                Ok(())
            }
        };
        let first = cache.with(1, slow, async |_value| Ok::<_, Error>(()));
        let second = async {
            is_closing.recv().await.map_err(Error::new)?;
            let count = count.clone();
            let open = async |held| count.open(held).await;
            let mut comes = Box::pin(cache.with(1, open, async |value| Ok::<_, Error>(value)));
            assert!(future::poll_once(comes.as_mut()).await.is_none());
            drop(go);
            comes.await
        };
        let ((), value) = future::try_zip(first, second).await?;
        assert_eq!(value, 1, "a fresh one");
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn tri_08_an_error_of_its_closing_is_the_last_users_also_where_that_was_cancelled()
-> Result<()> {
    let broken = async |held: Held<()>| {
        held.up(()).await;
        Err(Error::message("the lid is stuck"))
    };
    open_cache(async |cache: Cache<u8, ()>| {
        let plain = cache.with(1, broken, async |()| Ok::<_, Error>(())).await;
        assert!(plain.unwrap_err().to_string().contains("the lid is stuck"));
        let cancelled = cancel_scope(async |scope: CancelScope| {
            let body = async |()| {
                scope.cancel();
                future::pending::<Result<()>>().await
            };
            cache.with(1, broken, body).await
        });
        assert!(cancelled.await.unwrap_err().to_string().contains("the lid is stuck"));
        // Beside an error of its own, it is listed.
        let body = async |()| Err::<(), _>(Error::message("mine"));
        let both = cache.with(1, broken, body).await.unwrap_err();
        assert_eq!(both.report().message, "mine");
        assert!(both.also()[0].message.contains("the lid is stuck"), "{both:?}");
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn tri_08_a_cancel_of_whoever_opened_it_leaves_it_to_the_others() -> Result<()> {
    let count = Count::default();
    open_cache(async |cache: Cache<u8, usize>| {
        let (up, is_up) = bounded::<CancelScope>(1);
        let first = cancel_scope(async |scope: CancelScope| {
            let count = count.clone();
            let body = async |_value| {
                let _ = up.send(scope.clone()).await;
                future::pending::<Result<()>>().await
            };
            cache.with(1, async |held| count.open(held).await, body).await
        });
        let second = async {
            let scope = is_up.recv().await.map_err(Error::new)?;
            let open = async |_held| Err(Error::message("it is open already"));
            let body = async |value| {
                scope.cancel();
                for _ in 0..5 {
                    future::yield_now().await;
                }
                assert_eq!(count.now(), (1, 0), "it is in use");
                Ok(value)
            };
            cache.with(1, open, body).await
        };
        let (cancelled, value) = future::try_zip(first, second).await?;
        assert_eq!((cancelled, value), (None, 0));
        assert_eq!(count.now(), (1, 1));
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn tri_08_one_that_does_not_open_fails_all_who_wait_and_is_tried_anew() -> Result<()> {
    open_cache(async |cache: Cache<u8, ()>| {
        let (go, gone) = bounded::<()>(1);
        let fails = async move |_held: Held<()>| {
            let _ = gone.recv().await;
            Err(Error::message("no such drawer"))
        };
        let body = async |()| Ok::<_, Error>(());
        let unused = async |_held| Err(Error::message("it is being opened"));
        let both = future::zip(cache.with(1, fails, body), async {
            let mut waits = Box::pin(cache.with(1, unused, body));
            assert!(future::poll_once(waits.as_mut()).await.is_none());
            drop(go);
            waits.await
        });
        let (first, second) = both.await;
        for error in [first.unwrap_err(), second.unwrap_err()] {
            assert_eq!(error.report().message, "no such drawer");
        }
        let silent = cache.with(1, async |_held| Ok(()), body).await.unwrap_err();
        assert!(matches!(silent.kind(), ErrorKind::Misuse), "{silent:?}");
        let works = async |held: Held<()>| {
            held.up(()).await;
            Ok(())
        };
        cache.with(1, works, body).await
    })
    .await
}

#[hatchery::test]
async fn tri_08_the_end_of_the_block_strands_nobody() -> Result<()> {
    let count = Count::default();
    let (up, is_up) = bounded::<()>(1);
    let outlives = open_nursery(async |nursery: Nursery| {
        let counts = count.clone();
        let ended: Result<()> = open_cache(async move |cache: Cache<u8, usize>| {
            let uses = cache.clone();
            nursery.spawn(async move {
                let body = async |_value| {
                    let _ = up.send(()).await;
                    future::pending::<Result<()>>().await
                };
                uses.with(1, async |held| counts.open(held).await, body).await
            });
            is_up.recv().await.map_err(Error::new)?;
            Err(Error::message("enough"))
        })
        .await;
        // The resource is gone, and whoever uses it is told when it is done with it.
        assert_eq!(ended.unwrap_err().report().message, "enough");
        Err::<(), _>(Error::message("the user as well"))
    });
    assert_eq!(outlives.await.unwrap_err().report().message, "the user as well");
    assert_eq!(count.now().0, 1);
    Ok(())
}

#[hatchery::test]
async fn tri_08_fast_drops_leave_a_cache_as_it_was() -> Result<()> {
    let count = Count::default();
    open_cache(async |cache: Cache<u8, usize>| {
        for polls in 0..12 {
            let counts = count.clone();
            let body = async |value| {
                future::yield_now().await;
                Ok::<_, Error>(value)
            };
            let open = async move |held| counts.open(held).await;
            let uses = cache.with(1, open, body);
            let turns = async {
                for _ in 0..polls {
                    future::yield_now().await;
                }
                Ok(0)
            };
            uses.or(turns).await?;
        }
        let counts = count.clone();
        let open = async move |held| counts.open(held).await;
        cache.with(1, open, async |_value| Ok::<_, Error>(())).await
    })
    .await
}

/// Counts for ever.
#[hatchery::context]
async fn numbers(cx: Context<Starts<()>, Sends<u64>, Receives<()>>) -> Result<()> {
    let stream = cx.started(()).await?.open_stream();
    for number in 0.. {
        stream.send(number).await?;
    }
    Ok(())
}

#[hatchery::test]
async fn tri_09_str_21_many_tasks_share_one_stream_through_the_cache() -> Result<()> {
    with_worker(async |worker| {
        let opened = Arc::new(AtomicUsize::new(0));
        open_cache(async |cache: Cache<&'static str, Subscriber<u64>>| {
            open_nursery(async |nursery: Nursery| {
                for _ in 0..10 {
                    let (cache, worker, opened) = (cache.clone(), worker.clone(), opened.clone());
                    nursery.spawn(async move {
                        let open = async move |held: Held<Subscriber<u64>>| {
                            opened.fetch_add(1, Ordering::SeqCst);
                            let (mut context, ()) = worker.open_context(numbers()).await?;
                            let (_, numbers) = context.open_stream()?.subscribe();
                            held.up(numbers).await;
                            let _ = context.cancel().await;
                            Ok(())
                        };
                        // Each has a reader of its own, which misses nothing unless it is told.
                        let body = async |mut numbers: Subscriber<u64>| {
                            let mut next = None;
                            for _ in 0..20 {
                                match numbers.recv().await {
                                    Ok(number) => {
                                        let number = number.expect("they have no end");
                                        assert!(next.is_none_or(|next| next == number));
                                        next = Some(number + 1);
                                    }
                                    Err(error) => {
                                        assert!(matches!(error.kind(), ErrorKind::Lagged(_)));
                                        next = None;
                                    }
                                }
                            }
                            Ok::<_, Error>(())
                        };
                        cache.with("numbers", open, body).await
                    });
                }
                Ok::<_, Error>(())
            })
            .await
        })
        .await?;
        assert_eq!(opened.load(Ordering::SeqCst), 1, "it was open while they came");
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn a_cache_whose_block_has_ended_opens_nothing_any_more() -> Result<()> {
    let mut kept = None;
    open_cache(async |cache: Cache<u8, u8>| {
        kept = Some(cache);
        Ok::<_, Error>(())
    })
    .await?;
    let cache = kept.expect("it was given");
    let open = async |held: Held<u8>| {
        held.up(1).await;
        Ok(())
    };
    let used = cache.with(1, open, async |_value| Ok::<_, Error>(())).await;
    let error = used.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Misuse, "{error:?}");
    Ok(())
}
