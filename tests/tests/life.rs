//! Calls, one-shot actors, nurseries and contexts between real processes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hatchery::prelude::*;
use hatchery::{CallError, Error, ErrorKind};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Sum {
    TooLarge(i64),
}

impl std::fmt::Display for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the sum is too large")
    }
}

impl std::error::Error for Sum {}

#[hatchery::endpoint]
async fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[hatchery::endpoint]
async fn nothing() {}

#[hatchery::endpoint]
async fn checked(a: i64, b: i64) -> Result<i64, Sum> {
    a.checked_add(b).ok_or(Sum::TooLarge(a))
}

#[hatchery::endpoint]
async fn back(bytes: Vec<u8>) -> Vec<u8> {
    bytes
}

#[hatchery::endpoint]
async fn panics(text: String) {
    panic!("{text}");
}

#[hatchery::endpoint]
async fn never() {
    std::future::pending::<()>().await;
}

#[hatchery::endpoint]
async fn fails_below() -> hatchery::Result<()> {
    hatchery::open_nursery(async |nursery: Nursery| {
        let leaf = nursery.start_actor("leaf").await?;
        leaf.run(panics("from below".into())).await?;
        leaf.cancel().await
    })
    .await
}

#[hatchery::context]
async fn echo(
    cx: Context<Starts<String>, Sends<Vec<u8>>, Receives<Vec<u8>>>,
    greeting: String,
) -> hatchery::Result<u64> {
    let mut stream = cx.started(greeting).await?.open_stream();
    let mut count = 0;
    while let Some(value) = stream.recv().await? {
        stream.send(value).await?;
        count += 1;
    }
    Ok(count)
}

#[hatchery::context]
async fn fails_after(
    cx: Context<Starts<()>, Sends<u32>, Receives<u32>>,
    values: u32,
) -> hatchery::Result<()> {
    let mut stream = cx.started(()).await?.open_stream();
    for value in 0..values {
        stream.send(value).await?;
    }
    // Until the opener has read them all.
    stream.recv().await?;
    Err(Error::message("gave up"))
}

#[hatchery::context]
async fn refuses_to_start(cx: Context<Starts<u8>, Sends<u8>, Receives<u8>>) -> Result<(), Sum> {
    drop(cx);
    Err(Sum::TooLarge(1))
}

#[hatchery::context]
async fn forgets_to_start(
    _cx: Context<Starts<u8>, Sends<u8>, Receives<u8>>,
) -> hatchery::Result<()> {
    Ok(())
}

#[hatchery::context]
async fn counts(cx: Context<Starts<()>, Sends<u32>, Receives<()>>) -> hatchery::Result<()> {
    let stream = cx.started(()).await?.open_stream();
    for number in 0.. {
        stream.send(number).await?;
    }
    stream.close().await
}

#[hatchery::test]
async fn rpc_01_calls_return_their_values_and_several_run_at_once() -> hatchery::Result<()> {
    hatchery::open_nursery(async |nursery: Nursery| {
        let worker = nursery.start_actor("worker").await?;
        assert_eq!(worker.run(add(1, 2)).await?, 3);
        assert_eq!(add(1, 2).await, 3);
        worker.run(nothing()).await?;
        let (one, two) =
            futures_lite::future::try_zip(worker.run(add(10, 1)), worker.run(add(20, 2))).await?;
        assert_eq!((one, two), (11, 22));
        for size in [0, 1, 65_535, 65_536, 1_000_000, 4 * 1024 * 1024 - 8] {
            let bytes = vec![7; size];
            assert_eq!(worker.run(back(bytes.clone())).await?, bytes, "{size} bytes");
        }
        let too_large = worker.run(back(vec![0; 5 * 1024 * 1024])).await.unwrap_err();
        assert!(too_large.to_string().contains("P-F3"), "{too_large}");
        worker.cancel().await
    })
    .await
}

#[hatchery::test]
async fn err_03_a_declared_error_comes_back_typed() -> hatchery::Result<()> {
    hatchery::open_nursery(async |nursery: Nursery| {
        let worker = nursery.start_actor("worker").await?;
        assert_eq!(worker.run(checked(1, 2)).await.unwrap(), 3);
        match worker.run(checked(i64::MAX, 1)).await.unwrap_err() {
            CallError::Endpoint { error, report } => {
                assert_eq!(error, Sum::TooLarge(i64::MAX));
                assert_eq!(report.origin.name, "worker");
                assert!(report.type_name.ends_with("Sum"), "{}", report.type_name);
            }
            CallError::Other(error) => return Err(error),
        }
        worker.cancel().await
    })
    .await
}

#[hatchery::test]
async fn err_02_a_panic_two_levels_down_arrives_with_its_place_and_its_hops() -> hatchery::Result<()>
{
    hatchery::open_nursery(async |nursery: Nursery| {
        let middle = nursery.start_actor("middle").await?;
        let error = middle.run(fails_below()).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Panicked);
        assert_eq!(error.origin().name, "leaf");
        let report = error.report();
        assert_eq!(report.message, "from below");
        assert!(report.location.as_ref().is_some_and(|at| at.file.ends_with("life.rs")));
        let hops: Vec<_> = report.hops.iter().map(|hop| hop.actor.name.as_str()).collect();
        assert_eq!(hops, ["leaf", "middle"]);
        // The actor lives on.
        assert_eq!(middle.run(add(2, 2)).await?, 4);
        middle.cancel().await
    })
    .await
}

#[hatchery::test]
async fn spn_04_the_result_of_a_one_shot_actor_stays() -> hatchery::Result<()> {
    let portal = hatchery::open_nursery(async |nursery: Nursery| {
        let portal = nursery.run_in_actor("adder", add(4, 5)).await?;
        assert_eq!(portal.result::<add>().await?, 9);
        let misuse = portal.result::<nothing>().await.unwrap_err();
        assert_eq!(*misuse.kind(), ErrorKind::Misuse);
        Ok::<_, Error>(portal)
    })
    .await?;
    assert_eq!(portal.result::<add>().await?, 9, "after the nursery has ended too");
    let gone = portal.run(add(1, 1)).await.unwrap_err();
    assert!(gone.to_string().contains("gone"), "{gone}");
    Ok(())
}

#[hatchery::test]
async fn spn_04_a_daemon_has_no_result() -> hatchery::Result<()> {
    hatchery::open_nursery(async |nursery: Nursery| {
        let daemon = nursery.start_actor("daemon").await?;
        let error = daemon.result::<add>().await.unwrap_err();
        assert!(error.to_string().contains("no result"), "{error}");
        daemon.cancel().await
    })
    .await
}

#[hatchery::test]
async fn can_04_a_failing_child_cancels_its_siblings_and_is_the_one_error() {
    let result: hatchery::Result<()> = hatchery::open_nursery(async |nursery: Nursery| {
        nursery.start_actor("idle").await?;
        nursery.run_in_actor("waits", never()).await?;
        nursery.run_in_actor("fails", panics("first".into())).await?;
        std::future::pending().await
    })
    .await;
    let error = result.unwrap_err();
    assert_eq!((error.origin().name.as_str(), error.report().message.as_str()), ("fails", "first"));
    assert!(error.also().is_empty(), "{error:?}");
}

#[hatchery::test]
async fn can_03_a_failing_body_cancels_its_children_and_is_returned_as_it_is() {
    #[derive(Debug)]
    enum Own {
        Mine(u8),
        Theirs(Error),
    }
    impl std::fmt::Display for Own {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            match self {
                Self::Mine(n) => write!(f, "mine {n}"),
                Self::Theirs(error) => write!(f, "{error}"),
            }
        }
    }
    impl From<Error> for Own {
        fn from(error: Error) -> Self {
            Self::Theirs(error)
        }
    }
    let result: Result<(), Own> = hatchery::open_nursery(async |nursery: Nursery| {
        nursery.start_actor("idle").await?;
        Err(Own::Mine(7))
    })
    .await;
    assert!(matches!(result, Err(Own::Mine(7))), "{result:?}");
}

#[hatchery::test]
async fn local_tasks_are_joined_and_one_failure_cancels_the_others() {
    let dropped = Arc::new(AtomicUsize::new(0));
    struct Count(Arc<AtomicUsize>);
    impl Drop for Count {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let seen = dropped.clone();
    let result: hatchery::Result<()> = hatchery::open_nursery(async move |nursery: Nursery| {
        for _ in 0..3 {
            let count = Count(seen.clone());
            nursery.spawn(async move {
                let _count = count;
                std::future::pending::<()>().await;
            });
        }
        nursery.spawn(async { Err::<(), _>(std::io::Error::other("no more")) });
        Ok(())
    })
    .await;
    let error = result.unwrap_err();
    assert_eq!(error.report().message, "no more");
    assert_eq!(dropped.load(Ordering::SeqCst), 3, "the block ends after its tasks");
}

#[hatchery::test]
async fn str_01_values_go_both_ways_and_the_result_follows() -> hatchery::Result<()> {
    hatchery::open_nursery(async |nursery: Nursery| {
        let worker = nursery.start_actor("worker").await?;
        let count = worker
            .with_context(echo("hi".into()), async |mut cx: OpenContext<echo>, first| {
                assert_eq!(first, "hi");
                let (sender, mut receiver) = cx.open_stream()?.split();
                // More than both windows: the two directions have to flow at once (P-W1).
                let send = async {
                    for number in 0..2_000_u32 {
                        sender.send(number.to_le_bytes().repeat(128)).await?;
                    }
                    sender.close().await
                };
                let receive = async {
                    let mut next = 0_u32;
                    while let Some(value) = receiver.recv().await? {
                        assert_eq!(value[..4], next.to_le_bytes());
                        next += 1;
                    }
                    assert_eq!(receiver.recv().await?, None, "the same answer for ever (P-D7)");
                    assert_eq!(next, 2_000);
                    Ok(())
                };
                futures_lite::future::try_zip(send, receive).await?;
                cx.result().await
            })
            .await?;
        assert_eq!(count, 2_000);
        worker.cancel().await
    })
    .await
}

#[hatchery::test]
async fn ctx_05_what_ends_before_it_starts_fails_its_opener() -> hatchery::Result<()> {
    hatchery::open_nursery(async |nursery: Nursery| {
        let worker = nursery.start_actor("worker").await?;
        let failed = worker.open_context(refuses_to_start()).await.unwrap_err();
        assert!(matches!(failed, CallError::Endpoint { error: Sum::TooLarge(1), .. }));
        let forgot = worker.open_context(forgets_to_start()).await.unwrap_err();
        assert!(forgot.to_string().contains("started"), "{forgot}");
        worker.cancel().await
    })
    .await
}

#[hatchery::test]
async fn str_09_values_sent_before_an_error_arrive_and_then_the_error() -> hatchery::Result<()> {
    hatchery::open_nursery(async |nursery: Nursery| {
        let worker = nursery.start_actor("worker").await?;
        let (mut cx, ()) = worker.open_context(fails_after(3)).await?;
        let mut stream = cx.open_stream()?;
        for value in 0..3 {
            assert_eq!(stream.recv().await?, Some(value));
        }
        stream.send(0).await?;
        for _ in 0..2 {
            assert_eq!(stream.recv().await.unwrap_err().to_string(), "gave up");
        }
        assert_eq!(cx.result().await.unwrap_err().to_string(), "gave up");
        drop((stream, cx));
        worker.cancel().await
    })
    .await
}

#[hatchery::test]
async fn ctx_16_a_failing_callee_interrupts_a_body_that_waits_for_something_else() {
    let result: hatchery::Result<()> = hatchery::open_nursery(async |nursery: Nursery| {
        let worker = nursery.start_actor("worker").await?;
        worker
            .with_context(fails_after(0), async |mut cx: OpenContext<fails_after>, ()| {
                let stream = cx.open_stream()?;
                stream.close().await?;
                std::future::pending::<hatchery::Result<()>>().await
            })
            .await
    })
    .await;
    assert_eq!(result.unwrap_err().to_string(), "gave up");
}

#[hatchery::test]
async fn p_c4_ctx_13_a_cancel_of_ones_own_is_absorbed() -> hatchery::Result<()> {
    hatchery::open_nursery(async |nursery: Nursery| {
        let worker = nursery.start_actor("worker").await?;
        worker
            .with_context(counts(), async |mut cx: OpenContext<counts>, ()| {
                let mut stream = cx.open_stream()?;
                assert_eq!(stream.recv().await?, Some(0));
                assert_eq!(cx.cancel().await, hatchery::CancelStatus::Done);
                Ok::<_, Error>(())
            })
            .await?;
        worker.cancel().await
    })
    .await
}

#[hatchery::test]
async fn str_22_a_dropped_receive_loses_nothing() -> hatchery::Result<()> {
    hatchery::open_nursery(async |nursery: Nursery| {
        let worker = nursery.start_actor("worker").await?;
        let (mut cx, ()) = worker.open_context(counts()).await?;
        let mut stream = cx.open_stream()?;
        for expected in 0..500 {
            // Polled once and dropped, then asked again.
            let value = match futures_lite::future::poll_once(stream.recv()).await {
                Some(value) => value?,
                None => stream.recv().await?,
            };
            assert_eq!(value, Some(expected));
        }
        drop((stream, cx));
        worker.cancel().await
    })
    .await
}

#[hatchery::test]
async fn rpc_02_what_is_not_exposed_is_refused_and_says_what_to_do() -> hatchery::Result<()> {
    hatchery::open_nursery(async |nursery: Nursery| {
        let worker = nursery.actor("worker").expose::<add>().start().await?;
        assert_eq!(worker.run(add(1, 1)).await?, 2);
        let refused = worker.run(nothing()).await.unwrap_err();
        assert_eq!(*refused.kind(), ErrorKind::Refused(hatchery::Refusal::NotExposed));
        assert!(refused.to_string().contains(".expose()"), "{refused}");
        worker.cancel().await
    })
    .await
}

#[hatchery::test]
async fn spn_18_a_second_root_is_an_error() {
    let second: hatchery::Result<()> =
        hatchery::open_root_actor(hatchery::Options::new(), async |_root| Ok(())).await;
    let error = second.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Misuse);
    assert!(error.to_string().contains("open_nursery"), "{error}");
}

#[hatchery::test]
async fn a_nursery_runs_on_any_executor_nested_and_over_borrowed_locals() -> hatchery::Result<()> {
    async fn three(base: i64) -> hatchery::Result<i64> {
        hatchery::open_nursery(async move |nursery: Nursery| {
            let worker = nursery.start_actor("worker").await?;
            let inner = hatchery::open_nursery(async |nested: Nursery| {
                let other = nested.start_actor("other").await?;
                let sum = other.run(add(base, 1)).await?;
                other.cancel().await?;
                Ok::<_, Error>(sum)
            })
            .await?;
            let sum = worker.run(add(inner, 1)).await?;
            worker.cancel().await?;
            Ok(sum)
        })
        .await
    }
    assert_eq!(smol::spawn(three(1)).await?, 3);
    let (one, two) =
        futures_lite::future::try_zip(smol::spawn(three(10)), smol::spawn(three(20))).await?;
    assert_eq!((one, two), (12, 22));
    let local = smol::LocalExecutor::new();
    assert_eq!(local.run(three(5)).await?, 7);
    let text = String::from("borrowed");
    let length = hatchery::open_nursery(async |nursery: Nursery| {
        let worker = nursery.start_actor("worker").await?;
        let length = worker.run(add(text.len() as i64, 0)).await?;
        worker.cancel().await?;
        Ok::<_, Error>(length)
    })
    .await?;
    assert_eq!(length, 8);
    // On a thread that knows nothing of smol.
    let sum = smol::unblock(|| futures_lite::future::block_on(three(100))).await?;
    assert_eq!(sum, 102);
    assert!(size_of_val(&three(1)) < 4096, "blocks in blocks do not add up on the stack");
    Ok(())
}
