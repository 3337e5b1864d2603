//! Work on tokio inside of actors: linked with the task that asked for it, both ways.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_lite::{FutureExt as _, future};
use hatchery::{
    CancelScope, CancelStatus, Cause, Context, Error, ErrorKind, ForeignGone, Nursery, OpenContext,
    Receives, Result, Sends, Starts, cancel_scope, foreign, open_nursery,
};
use hatchery_tests::sign::soon;
use hatchery_tests::worker::{alive, with_worker};
use tokio::runtime::{Builder, Runtime};

/// One for the life of this process: what is left of it is no thread of a test's.
static TOKIO: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap());

/// Says when it is dropped.
struct Flag(&'static AtomicBool);

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

async fn on_tokio<T: Send + 'static>(
    body: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    foreign(|task| drop(TOKIO.spawn(task)), body).await
}

/// Waits on tokio's own clock, so that it runs nowhere else.
async fn tick() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[hatchery::endpoint]
async fn fails_on_tokio() -> Result<()> {
    on_tokio(async {
        tick().await;
        Err(Error::message("tokio's own trouble"))
    })
    .await
}

#[hatchery::endpoint]
async fn panics_on_tokio() -> Result<()> {
    on_tokio(async {
        tick().await;
        panic!("tokio's own panic")
    })
    .await
}

/// Its task over there aborts itself.
#[hatchery::endpoint]
async fn aborts_on_tokio() -> Result<()> {
    let spawn = |task| {
        let handle = TOKIO.spawn(task);
        handle.abort();
    };
    foreign(spawn, future::pending()).await
}

/// Sends what it is sent, by way of a task on tokio.
#[hatchery::context]
async fn echoes_by_tokio(cx: Context<Starts<u64>, Sends<u64>, Receives<u64>>) -> Result<u64> {
    let (to, from_here) = smol::channel::bounded::<u64>(1);
    let (back, from_there) = smol::channel::bounded::<u64>(1);
    open_nursery(async move |nursery: Nursery| {
        nursery.spawn(on_tokio(async move {
            tick().await;
            back.send(7).await.map_err(Error::new)?;
            while let Ok(value) = from_here.recv().await {
                tick().await;
                back.send(value).await.map_err(Error::new)?;
            }
            Ok(())
        }));
        // Its first value is what this actor starts with (AIO-04).
        let first = from_there.recv().await.map_err(Error::new)?;
        let mut stream = cx.started(first).await?.open_stream();
        let mut count = 0;
        while let Some(value) = stream.recv().await? {
            to.send(value).await.map_err(Error::new)?;
            stream.send(from_there.recv().await.map_err(Error::new)?).await?;
            count += 1;
        }
        drop(to);
        Ok(count)
    })
    .await
}

static DROPPED: AtomicBool = AtomicBool::new(false);

/// Waits on tokio for ever; its task there says when it is gone.
#[hatchery::context]
async fn waits_on_tokio(cx: Context<Starts<()>>) -> Result<()> {
    let started = on_tokio(async {
        tick().await;
        Ok(())
    });
    started.await?;
    let _started = cx.started(()).await?;
    let flag = Flag(&DROPPED);
    on_tokio(async move {
        let _flag = flag;
        loop {
            tick().await;
        }
    })
    .await
}

/// Has an exit hook say whether the task over there was gone by then.
#[hatchery::endpoint]
async fn tells_at_its_end(path: std::path::PathBuf) {
    hatchery::on_exit(move || {
        let gone = DROPPED.load(Ordering::SeqCst);
        std::fs::write(path, gone.to_string()).map_err(Error::new)
    });
}

#[hatchery::endpoint]
async fn was_dropped() -> bool {
    DROPPED.load(Ordering::SeqCst)
}

#[hatchery::test]
async fn aio_01_a_cancel_ends_the_task_over_there_before_it_is_answered() -> Result<()> {
    with_worker(async |worker| {
        let (cx, ()) = worker.open_context(waits_on_tokio()).await?;
        assert!(!worker.run(was_dropped()).await?);
        assert_eq!(cx.cancel().await, CancelStatus::Done);
        assert!(worker.run(was_dropped()).await?);
        // By a deadline around it.
        let late =
            hatchery::timeout(Duration::from_millis(20), on_tokio(future::pending::<Result<()>>()));
        assert!(matches!(late.await.unwrap_err().kind(), ErrorKind::Cancelled(_)));
        // By a handle.
        let ended = cancel_scope(async |scope: CancelScope| {
            on_tokio(async move {
                tick().await;
                scope.cancel();
                future::pending::<Result<()>>().await
            })
            .await
        });
        assert!(ended.await?.is_none());
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn aio_02_its_errors_and_panics_are_those_of_the_task_that_asked() -> Result<()> {
    with_worker(async |worker| {
        let failed = worker.run(fails_on_tokio()).await.unwrap_err();
        assert!(matches!(failed.kind(), ErrorKind::Failed), "{failed:?}");
        assert!(failed.to_string().contains("tokio's own trouble"), "{failed}");
        assert_eq!(failed.origin().name, "worker");
        let panicked = worker.run(panics_on_tokio()).await.unwrap_err();
        assert!(matches!(panicked.kind(), ErrorKind::Panicked), "{panicked:?}");
        let location = panicked.report().location.as_ref().expect("where it was");
        assert!(location.file.ends_with("foreign.rs"), "{location:?}");
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn aio_03_one_that_is_aborted_over_there_is_an_error_of_its_own() -> Result<()> {
    let here = foreign::<(), Error, _>(drop, future::pending()).await.unwrap_err();
    let source = std::error::Error::source(&here).expect("a typed source");
    assert_eq!(source.downcast_ref(), Some(&ForeignGone));
    with_worker(async |worker| {
        let relayed = worker.run(aborts_on_tokio()).await.unwrap_err();
        assert!(relayed.report().type_name.ends_with("ForeignGone"), "{relayed:?}");
        assert!(relayed.cancelled().is_none(), "{relayed:?}");
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn aio_04_values_go_both_ways_in_order() -> Result<()> {
    with_worker(async |worker| {
        let talk = async |mut cx: OpenContext<echoes_by_tokio>, first| {
            assert_eq!(first, 7);
            let mut stream = cx.open_stream()?;
            for value in 0..20 {
                stream.send(value).await?;
                assert_eq!(stream.recv().await?, Some(value));
            }
            stream.close().await?;
            assert_eq!(cx.result().await?, 20);
            Ok(())
        };
        worker.with_context(echoes_by_tokio(), talk).await
    })
    .await
}

#[hatchery::test]
async fn aio_04_what_comes_from_over_there_fans_out() -> Result<()> {
    with_worker(async |worker| {
        let talk = async |mut cx: OpenContext<echoes_by_tokio>, _first| {
            let (sender, first) = cx.open_stream()?.subscribe();
            let others = [first.subscribe(), first.subscribe()];
            open_nursery(async |nursery: Nursery| {
                for mut reader in others.into_iter().chain([first]) {
                    nursery.spawn(async move {
                        for value in 0..20 {
                            assert_eq!(reader.recv().await?, Some(value));
                        }
                        assert_eq!(reader.recv().await?, None);
                        Ok::<_, Error>(())
                    });
                }
                for value in 0..20 {
                    sender.send(value).await?;
                }
                sender.close().await
            })
            .await?;
            assert_eq!(cx.result().await?, 20);
            Ok(())
        };
        worker.with_context(echoes_by_tokio(), talk).await
    })
    .await
}

#[hatchery::test]
async fn aio_05_a_side_that_leaves_for_good_is_told_by_an_error_of_its_own() -> Result<()> {
    // Over there it is the executor that leaves, with the work in it.
    let tokio = Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let tokio = tokio.map_err(Error::new)?;
    let handle = tokio.handle().clone();
    let (up, is_up) = smol::channel::bounded::<()>(1);
    let works = foreign(|task| drop(handle.spawn(task)), async move {
        tick().await;
        up.send(()).await.map_err(Error::new)?;
        future::pending::<Result<()>>().await
    });
    let leaves = async {
        is_up.recv().await.map_err(Error::new)?;
        tokio.shutdown_background();
        Ok::<_, Error>(())
    };
    let (worked, left) = soon(future::zip(works, leaves)).await;
    left?;
    let error = worked.unwrap_err();
    let source = std::error::Error::source(&error).expect("a typed source");
    assert_eq!(source.downcast_ref(), Some(&ForeignGone));
    assert!(error.cancelled().is_none(), "{error:?}");

    // Here it is the task that asked. The work hears that nobody waits for it any more.
    let (up, is_up) = smol::channel::bounded::<()>(1);
    let (hears, heard) = smol::channel::bounded::<Error>(1);
    let works = on_tokio(async move {
        tick().await;
        up.send(()).await.map_err(Error::new)?;
        let waits = cancel_scope(async |_scope| future::pending::<Result<()>>().await).await;
        let _ = hears.try_send(waits.unwrap_err());
        Ok(())
    });
    let leaves = async { is_up.recv().await.map_err(Error::new) };
    soon(works.or(leaves)).await?;
    let heard = soon(heard.recv()).await.map_err(Error::new)?;
    let by = heard.cancelled().unwrap_or_else(|| panic!("{heard:?}"));
    assert_eq!(by.cause, Cause::ScopeEnding);
    assert_eq!(by.canceller.pid, std::process::id());
    Ok(())
}

#[hatchery::test]
async fn aio_05_a_side_that_leaves_early_is_seen_by_the_other() -> Result<()> {
    let (sender, receiver) = smol::channel::bounded::<u64>(1);
    // The task over there returns without a word.
    on_tokio(async move {
        tick().await;
        drop(sender);
        Ok(())
    })
    .await?;
    assert!(receiver.recv().await.is_err());
    // This side does.
    let (sender, receiver) = smol::channel::bounded::<u64>(1);
    drop(receiver);
    let refused = on_tokio(async move { sender.send(1).await.map_err(Error::new) }).await;
    assert!(refused.unwrap_err().to_string().contains("closed"));
    Ok(())
}

#[hatchery::test]
async fn aio_06_of_two_failures_the_first_is_raised_and_the_other_listed() -> Result<()> {
    static GONE: AtomicBool = AtomicBool::new(false);
    let error = open_nursery(async |nursery: Nursery| {
        let (up, is_up) = smol::channel::bounded::<()>(1);
        nursery.spawn(on_tokio(async move {
            let _flag = Flag(&GONE);
            tick().await;
            up.send(()).await.map_err(Error::new)?;
            let waits = cancel_scope(async |_scope| future::pending::<Result<()>>().await);
            let ended = waits.await;
            hatchery::shield(async { Err(Error::message("the second, on tokio")) }).await?;
            ended.map(drop)
        }));
        is_up.recv().await.map_err(Error::new)?;
        Err::<(), _>(Error::message("the first, here"))
    })
    .await
    .unwrap_err();
    assert!(error.to_string().contains("the first, here"), "{error:?}");
    assert_eq!(error.also().len(), 1, "{error:?}");
    assert!(error.also()[0].message.contains("the second, on tokio"), "{error:?}");
    assert!(GONE.load(Ordering::SeqCst));
    Ok(())
}

#[hatchery::test]
async fn aio_06_where_the_task_over_there_fails_first_it_is_the_cause() -> Result<()> {
    let error = open_nursery(async |nursery: Nursery| {
        let (up, is_up) = smol::channel::bounded(1);
        nursery.spawn(on_tokio(async move {
            // What has not begun is dropped without a word.
            is_up.recv().await.map_err(Error::new)?;
            tick().await;
            Err(Error::message("the first, on tokio"))
        }));
        nursery.spawn(async move {
            up.send(()).await.map_err(Error::new)?;
            let _ = cancel_scope(async |_scope| future::pending::<Result<()>>().await).await;
            Err(Error::message("the second, here"))
        });
        Ok(())
    });
    let error: Error = soon(error).await.unwrap_err();
    assert!(error.to_string().contains("the first, on tokio"), "{error:?}");
    assert_eq!(error.also().len(), 1, "{error:?}");
    assert!(error.also()[0].message.contains("the second, here"), "{error:?}");
    Ok(())
}

/// Starts with what tokio gives it, which fails before it gives anything.
#[hatchery::context]
async fn is_given_nothing(cx: Context<Starts<u64>>) -> Result<()> {
    let (gives, given) = smol::channel::bounded::<u64>(1);
    open_nursery(async |nursery: Nursery| {
        nursery.spawn(on_tokio(async move {
            tick().await;
            let _gives = gives;
            Err(Error::message("nothing to give"))
        }));
        // That nothing comes is not the cause: that one ends this block.
        let Ok(first) = given.recv().await else { future::pending().await };
        let _started = cx.started(first).await?;
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn aio_06_what_fails_over_there_before_this_side_has_started_fails_the_opening() -> Result<()>
{
    with_worker(async |worker| {
        let error = soon(worker.open_context(is_given_nothing())).await.unwrap_err();
        assert_eq!(error.report().message, "nothing to give", "{error:?}");
        assert!(error.also().is_empty(), "{error:?}");
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn a_call_that_is_dropped_takes_the_task_over_there_along() -> Result<()> {
    let (up, is_up) = smol::channel::bounded::<()>(1);
    let (held, gone) = smol::channel::bounded::<()>(1);
    let waits = on_tokio(async move {
        let _held = held;
        up.send(()).await.map_err(Error::new)?;
        future::pending::<Result<()>>().await
    });
    let come = async {
        is_up.recv().await.map_err(Error::new)?;
        Ok(())
    };
    waits.or(come).await?;
    // Its end of the channel goes with it.
    assert!(gone.recv().await.is_err());
    Ok(())
}

#[hatchery::test]
async fn a_task_over_there_may_use_portals_and_open_nurseries() -> Result<()> {
    with_worker(async |worker| {
        let worker = worker.clone();
        on_tokio(async move {
            tick().await;
            assert!(worker.run(alive()).await?);
            open_nursery(async |nursery: Nursery| {
                let below = nursery.start_actor("below").await?;
                assert!(below.run(alive()).await?);
                tick().await;
                below.cancel().await
            })
            .await
        })
        .await
    })
    .await
}

/// What a Ctrl-C does to every actor below its root.
#[hatchery::test]
async fn aio_07_an_actor_that_is_cancelled_ends_what_is_over_there_before_its_exit_hooks()
-> Result<()> {
    let path = std::env::temp_dir().join(format!("foreign-hook-{}", std::process::id()));
    open_nursery(async |nursery: Nursery| {
        let worker = nursery.start_actor("worker").await?;
        worker.run(tells_at_its_end(path.clone())).await?;
        let (_context, ()) = worker.open_context(waits_on_tokio()).await?;
        worker.cancel().await
    })
    .await?;
    assert_eq!(std::fs::read_to_string(&path).map_err(Error::new)?, "true");
    std::fs::remove_file(&path).map_err(Error::new)
}
