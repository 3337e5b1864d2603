//! What tasks say in one turn leaves in few writes, and what may not wait for a task that blocks its
//! thread does not.

use std::fs;
use std::thread;
use std::time::Duration;

use futures_lite::{StreamExt as _, future, stream};
use hatchery::{Context, Error, Receives, Result, Sends, Starts, open_nursery, timeout};
use hatchery_tests::sign::raised_blocking;
use hatchery_tests::worker::with_worker;

/// Ten times what anything here takes on a busy machine.
const LONG: Duration = Duration::from_secs(10);

/// Sends so many values in one turn, has them flushed if it is to, and blocks its thread before it
/// waits for anything.
#[hatchery::context]
async fn sends_and_blocks(
    cx: Context<Starts<()>, Sends<u64>, Receives<()>>,
    path: String,
    count: u64,
    flushes: bool,
) -> Result<bool> {
    let mut stream = cx.started(()).await?.open_stream();
    stream.recv().await?;
    for value in 0..count {
        stream.send(value).await?;
    }
    if flushes {
        stream.flush().await?;
    }
    Ok(raised_blocking(&path))
}

/// Starts, and blocks its thread before it waits for anything.
#[hatchery::context]
async fn starts_and_blocks(
    cx: Context<Starts<()>, Sends<()>, Receives<()>>,
    path: String,
) -> Result<bool> {
    let _started = cx.started(()).await?;
    Ok(raised_blocking(&path))
}

/// Blocks its thread at once.
#[hatchery::endpoint]
async fn only_blocks(path: String) -> bool {
    raised_blocking(&path)
}

/// Returns its number.
#[hatchery::endpoint]
async fn number(n: u64) -> u64 {
    n
}

/// Fails.
#[hatchery::endpoint]
async fn fails() -> Result<()> {
    Err(Error::message("as it does"))
}

/// Makes a file, and yields nothing.
#[hatchery::endpoint]
fn makes(path: String) -> impl stream::Stream<Item = u64> {
    stream::once(()).filter_map(move |()| fs::write(&path, b"").err().map(|_| 0))
}

fn path_of(name: &str) -> String {
    let path = std::env::temp_dir().join(format!("turns-{name}-{}", std::process::id()));
    path.to_string_lossy().into_owned()
}

fn made(path: &str) -> Result<()> {
    fs::write(path, b"").map_err(Error::new)
}

fn gone(path: &str) -> Result<()> {
    fs::remove_file(path).map_err(Error::new)
}

/// Of so many values that are sent in one turn, the first so many arrive though their task then blocks
/// its thread until they have.
async fn arrive(name: &str, count: u64, flushes: bool, first: u64) -> Result<()> {
    let path = path_of(name);
    with_worker(async |worker| {
        let call = sends_and_blocks(path.clone(), count, flushes);
        worker
            .with_context(call, async |mut context, ()| {
                let mut stream = context.open_stream()?;
                stream.send(()).await?;
                for value in 0..count {
                    assert_eq!(stream.recv().await?, Some(value));
                    if value + 1 == first {
                        made(&path)?;
                    }
                }
                assert!(context.result().await?, "the values came once the block was over");
                gone(&path)
            })
            .await
    })
    .await
}

#[hatchery::test]
async fn a_first_value_arrives_though_its_task_then_blocks_its_thread() -> Result<()> {
    arrive("value", 1, false, 1).await
}

#[hatchery::test]
async fn values_that_are_flushed_arrive_though_their_task_then_blocks_its_thread() -> Result<()> {
    arrive("flush", 3, true, 3).await
}

#[hatchery::test]
async fn values_are_kept_until_they_are_64_kib_and_no_longer() -> Result<()> {
    // Each counts as 17 bytes at least, in a window of 256 KiB.
    arrive("pour", 10_000, false, 5_000).await
}

#[hatchery::test]
async fn a_start_is_told_though_its_task_then_blocks_its_thread() -> Result<()> {
    let path = path_of("start");
    with_worker(async |worker| {
        let (context, ()) = worker.open_context(starts_and_blocks(path.clone())).await?;
        made(&path)?;
        assert!(context.result().await?, "the start came once the block was over");
        gone(&path)
    })
    .await
}

/// Makes a call, then one that blocks the far thread; both are there before either is run.
async fn beside_one_that_blocks(
    name: &str,
    call: impl AsyncFnOnce(&hatchery::Portal),
) -> Result<()> {
    let path = path_of(name);
    with_worker(async |worker| {
        let beside = async {
            call(worker).await;
            made(&path)
        };
        let (told, blocked) = future::zip(beside, worker.run(only_blocks(path.clone()))).await;
        told?;
        assert!(blocked?, "the answer came once the block was over");
        gone(&path)
    })
    .await
}

#[hatchery::test]
async fn a_first_result_does_not_wait_for_a_call_beside_it_that_blocks() -> Result<()> {
    beside_one_that_blocks("result", async |worker| {
        assert_eq!(worker.run(number(1)).await.expect("a number"), 1);
    })
    .await
}

#[hatchery::test]
async fn an_error_does_not_wait_for_a_call_beside_it_that_blocks() -> Result<()> {
    beside_one_that_blocks("error", async |worker| {
        // The result is the first that is said, and the error comes behind it.
        let both = future::zip(worker.run(number(1)), worker.run(fails())).await;
        assert_eq!(both.0.expect("a number"), 1);
        assert_eq!(both.1.unwrap_err().report().message, "as it does");
    })
    .await
}

#[hatchery::test]
async fn a_stream_is_opened_though_its_opener_then_blocks_its_thread() -> Result<()> {
    let path = path_of("stream");
    with_worker(async |worker| {
        // The first that is said in this turn, so that the second would wait.
        let mut first = Box::pin(worker.run(number(1)));
        assert!(future::poll_once(&mut first).await.is_none());
        let mut source = worker.open_stream_from(makes(path.clone())).await?;
        assert!(raised_blocking(&path), "it was opened once the block was over");
        assert_eq!(source.recv().await?, None);
        assert_eq!(first.await?, 1);
        gone(&path)
    })
    .await
}

#[hatchery::test]
async fn what_a_thousand_tasks_say_in_one_turn_all_arrives() -> Result<()> {
    with_worker(async |worker| {
        let all = open_nursery(async |nursery: hatchery::Nursery| {
            for n in 0..1000 {
                let worker = worker.clone();
                nursery.spawn(async move {
                    assert_eq!(worker.run(number(n)).await?, n);
                    Ok::<_, Error>(())
                });
            }
            Ok::<_, Error>(())
        });
        timeout(LONG, all).await
    })
    .await
}

/// Makes two calls of which the second waits for the end of the turn, which does not come before its
/// answer: another thread has to write it.
fn calls_and_blocks(worker: &hatchery::Portal) -> Result<u64> {
    let mut first = Box::pin(worker.run(number(1)));
    // The other thread may have read the answer already.
    let early = future::block_on(future::poll_once(&mut first));
    let second = future::block_on(timeout(LONG, worker.run(number(2))))?;
    Ok(second + early.unwrap_or_else(|| future::block_on(first))?)
}

#[hatchery::test]
async fn what_a_thread_that_is_blocked_has_kept_another_writes() -> Result<()> {
    with_worker(async |worker| {
        let (up, is_up) = smol::channel::bounded::<()>(1);
        let (stop, stopped) = smol::channel::bounded::<()>(1);
        let other = async move |_nursery: hatchery::Nursery| {
            up.send(()).await.map_err(Error::new)?;
            // Ends when the other end of the channel is gone.
            let _ = stopped.recv().await;
            Ok::<_, Error>(())
        };
        let other = thread::spawn(move || future::block_on(open_nursery(other)));
        is_up.recv().await.map_err(Error::new)?;
        open_nursery(async |nursery: hatchery::Nursery| {
            let worker = worker.clone();
            nursery.spawn(async move {
                assert_eq!(calls_and_blocks(&worker)?, 3);
                Ok::<_, Error>(())
            });
            Ok::<_, Error>(())
        })
        .await?;
        drop(stop);
        other.join().expect("no panic")
    })
    .await
}

#[hatchery::test]
async fn a_thread_that_runs_no_actor_writes_what_it_says_at_once() -> Result<()> {
    with_worker(async |worker| {
        let worker = worker.clone();
        let (tell, told) = smol::channel::bounded(1);
        let thread = thread::spawn(move || {
            let sum = future::block_on(async {
                let mut sum = 0;
                for n in 0..10 {
                    sum += worker.run(number(n)).await?;
                }
                Ok::<_, Error>(sum)
            });
            future::block_on(tell.send(sum)).expect("somebody waits");
        });
        assert_eq!(timeout(LONG, async { told.recv().await.map_err(Error::new) }).await??, 45);
        thread.join().expect("no panic");
        Ok(())
    })
    .await
}

/// Returns at once, waits a while, panics, or waits for ever.
#[hatchery::endpoint]
async fn does(what: u8) -> u8 {
    match what {
        0 => {}
        1 => {
            for _ in 0..3 {
                future::yield_now().await;
            }
        }
        2 => panic!("as it was told"),
        _ => future::pending().await,
    }
    what
}

/// Has the far side expect that it returns at once, as it did the last times.
async fn is_quick(worker: &hatchery::Portal) -> Result<()> {
    for _ in 0..3 {
        assert_eq!(worker.run(does(0)).await?, 0);
    }
    Ok(())
}

#[hatchery::test]
async fn a_call_that_was_always_quick_may_wait_or_panic() -> Result<()> {
    with_worker(async |worker| {
        is_quick(worker).await?;
        assert_eq!(worker.run(does(1)).await?, 1);
        is_quick(worker).await?;
        let error = worker.run(does(2)).await.unwrap_err();
        assert!(error.to_string().contains("as it was told"), "{error}");
        is_quick(worker).await?;
        let (one, two) = future::zip(worker.run(does(1)), worker.run(does(0))).await;
        assert_eq!((one?, two?), (1, 0));
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn a_call_that_was_always_quick_is_cancelled_where_it_waits() -> Result<()> {
    with_worker(async |worker| {
        is_quick(worker).await?;
        let bound = Duration::from_millis(50);
        let late = timeout(bound, async { worker.run(does(3)).await }).await.unwrap_err();
        assert!(late.cancelled().is_some(), "{late}");
        // And where nobody waits for it any more.
        is_quick(worker).await?;
        let mut dropped = Box::pin(worker.run(does(3)));
        assert!(future::poll_once(&mut dropped).await.is_none());
        drop(dropped);
        is_quick(worker).await
    })
    .await
}
