//! Actors, calls and nurseries, in trees of real processes: what comes back, and who is ended.

use std::error::Error as _;
use std::fmt;

use hatchery::{CallError, Error, ErrorKind, Nursery, Portal, Result, open_nursery};
use hatchery_tests::sign::{Sign, raised};
use serde::{Deserialize, Serialize};

#[hatchery::endpoint]
async fn add(a: u64, b: u64) -> u64 {
    a + b
}

#[hatchery::endpoint]
async fn nothing() {}

#[hatchery::endpoint]
async fn reversed(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.reverse();
    bytes
}

#[hatchery::endpoint]
async fn pid() -> u32 {
    std::process::id()
}

#[hatchery::endpoint]
async fn forever() {
    std::future::pending().await
}

#[hatchery::endpoint]
async fn panics(with: String) {
    panic!("a panic with {with}");
}

/// An error with a source, which is declared by the endpoint that returns it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Outer {
    code: u32,
    inner: Inner,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Inner;

impl fmt::Display for Outer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the outer error {}", self.code)
    }
}

impl fmt::Display for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the inner error")
    }
}

impl std::error::Error for Outer {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.inner)
    }
}

impl std::error::Error for Inner {}

#[hatchery::endpoint]
async fn fails_typed(code: u32) -> Result<u32, Outer> {
    match code {
        0 => Ok(code),
        _ => Err(Outer { code, inner: Inner }),
    }
}

/// Fails once it is let.
#[hatchery::endpoint]
async fn fails_once_let(gate: String) -> Result<u32, Outer> {
    raised(&gate).await;
    Err(Outer { code: 9, inner: Inner })
}

#[hatchery::endpoint]
async fn fails(message: String) -> Result<u32> {
    Err(Error::message(message))
}

#[hatchery::endpoint]
async fn two_levels_down(code: u32) -> Result<u32> {
    with_child("leaf", async |leaf| Ok(leaf.run(fails_typed(code)).await?)).await
}

#[hatchery::endpoint]
async fn three_levels_down(code: u32) -> Result<u32> {
    with_child("middle", async |middle| middle.run(two_levels_down(code)).await).await
}

/// Runs `body` with one daemon, which is cancelled at its end.
async fn with_child<T>(name: &str, body: impl AsyncFnOnce(Portal) -> Result<T>) -> Result<T> {
    open_nursery(async |nursery| {
        let child = nursery.start_actor(name).await?;
        let value = body(child.clone()).await?;
        child.cancel().await?;
        Ok(value)
    })
    .await
}

const PANICS_AT: u32 = line!() + 3;

fn panic_now(message: &str) {
    panic!("{message}");
}

/// What a nursery that fails comes to.
async fn failure<F, Fut>(body: F) -> Error
where
    F: FnOnce(Nursery) -> Fut,
    Fut: Future<Output = Result<()>>,
{
    open_nursery(body).await.expect_err("the nursery was to fail")
}

#[hatchery::test]
async fn rpc_01_a_call_returns_its_value_and_unit_is_one() -> Result<()> {
    with_child("worker", async |worker| {
        assert_eq!(worker.run(add(2, 3)).await?, 5);
        worker.run(nothing()).await?;
        assert_ne!(worker.run(pid()).await?, std::process::id());
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn rpc_01_concurrent_calls_on_one_portal_are_independent() -> Result<()> {
    open_nursery(async |nursery| {
        let worker = nursery.start_actor("worker").await?;
        open_nursery(async |calls| {
            for n in 0..64 {
                let worker = worker.clone();
                calls.spawn(async move {
                    assert_eq!(worker.run(add(n, 1000)).await?, n + 1000);
                    Ok::<_, Error>(())
                });
            }
            Ok::<_, Error>(())
        })
        .await?;
        worker.cancel().await
    })
    .await
}

#[hatchery::test]
async fn arguments_and_results_up_to_max_message_pass_whole() -> Result<()> {
    with_child("worker", async |worker| {
        // What is left of 4 MiB for the length of the bytes.
        for size in [0, 1, 64 * 1024, 64 * 1024 + 1, 1 << 20, (4 << 20) - 16] {
            let bytes: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
            let mut back = worker.run(reversed(bytes.clone())).await?;
            back.reverse();
            assert!(back == bytes, "{size} bytes");
        }
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn arguments_over_max_message_are_misuse_and_harm_nothing() -> Result<()> {
    with_child("worker", async |worker| {
        let error = worker.run(reversed(vec![1; (4 << 20) + 1])).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Misuse, "{error:?}");
        assert_eq!(worker.run(add(1, 1)).await?, 2);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn spn_05_several_daemons_are_processes_of_their_own() -> Result<()> {
    open_nursery(async |nursery| {
        let mut pids = vec![std::process::id()];
        for n in 0..4 {
            let worker = nursery.start_actor(&format!("worker-{n}")).await?;
            assert_eq!(worker.id().name, format!("worker-{n}"));
            assert_eq!(worker.run(pid()).await?, worker.id().pid);
            pids.push(worker.id().pid);
        }
        pids.sort_unstable();
        pids.dedup();
        assert_eq!(pids.len(), 5);
        nursery.cancel();
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn spn_07_err_02_an_error_three_levels_down_names_every_hop() -> Result<()> {
    let error = failure(async |nursery| {
        let top = nursery.start_actor("top").await?;
        top.run(three_levels_down(7)).await?;
        Ok(())
    })
    .await;
    let report = error.report();
    assert_eq!(report.message, "the outer error 7");
    assert!(report.type_name.ends_with("actors::Outer"), "{}", report.type_name);
    assert_eq!(report.sources, ["the inner error"]);
    assert_eq!(report.origin.name, "leaf");
    let hops: Vec<_> =
        report.hops.iter().map(|hop| (hop.actor.name.as_str(), hop.task.as_str())).collect();
    assert_eq!(
        hops,
        [
            ("leaf", "actors::fails_typed"),
            ("middle", "actors::two_levels_down"),
            ("top", "actors::three_levels_down")
        ]
    );
    Ok(())
}

#[hatchery::test]
async fn spn_07_a_value_comes_up_three_levels() -> Result<()> {
    with_child("top", async |top| {
        assert_eq!(top.run(three_levels_down(0)).await?, 0);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn err_03_a_declared_error_comes_back_typed() -> Result<()> {
    with_child("worker", async |worker| {
        let failed = worker.run(fails_typed(3)).await.unwrap_err();
        let CallError::Endpoint { error, report } = failed else { panic!("{failed:?}") };
        assert_eq!(error, Outer { code: 3, inner: Inner });
        assert_eq!(error.source().unwrap().to_string(), "the inner error");
        assert_eq!(report.sources, ["the inner error"]);
        assert_eq!(report.origin.name, "worker");
        // The actor serves on.
        assert_eq!(worker.run(add(1, 1)).await?, 2);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn err_01_an_untyped_error_keeps_its_message_place_and_actor() -> Result<()> {
    with_child("worker", async |worker| {
        let error = worker.run(fails("out of paper".into())).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Failed);
        assert_eq!(error.report().message, "out of paper");
        assert_eq!(error.origin(), &worker.id());
        let at = error.report().location.as_ref().unwrap();
        assert!(at.file.ends_with("actors.rs"), "{at:?}");
        assert_eq!(error.report().hops.len(), 1);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn a_panic_in_an_actor_is_an_error_with_its_message_and_place() -> Result<()> {
    with_child("worker", async |worker| {
        let error = worker.run(panics("style".into())).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Panicked);
        assert!(error.to_string().contains("a panic with style"), "{error}");
        let at = error.report().location.as_ref().unwrap();
        assert!(at.file.ends_with("actors.rs") && at.line > 1, "{at:?}");
        assert_eq!(error.origin().name, "worker");
        assert_eq!(worker.run(add(1, 1)).await?, 2);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn spn_04_a_result_can_be_read_many_times_and_after_the_end() -> Result<()> {
    let (sum, unit) = open_nursery(async |nursery| {
        let sum = nursery.run_in_actor("sum", add(20, 22)).await?;
        let unit = nursery.run_in_actor("unit", nothing()).await?;
        assert_eq!(sum.result::<add>().await?, 42);
        assert_eq!(sum.result::<add>().await?, 42);
        Ok::<_, Error>((sum, unit))
    })
    .await?;
    assert_eq!(sum.result::<add>().await?, 42);
    unit.result::<nothing>().await?;
    unit.clone().result::<nothing>().await?;
    Ok(())
}

#[hatchery::test]
async fn spn_04_a_daemon_has_no_result_and_says_so() -> Result<()> {
    with_child("daemon", async |daemon| {
        let error = daemon.result::<add>().await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Misuse);
        assert!(error.to_string().contains("no result"), "{error}");
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn spn_04_the_result_of_another_endpoint_is_misuse() -> Result<()> {
    open_nursery(async |nursery| {
        let one = nursery.run_in_actor("one", add(1, 1)).await?;
        let error = one.result::<pid>().await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Misuse);
        assert!(error.to_string().contains("actors::add"), "{error}");
        assert_eq!(one.result::<add>().await?, 2);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn spn_04_a_failed_one_shot_actor_fails_its_nursery_and_keeps_its_error() -> Result<()> {
    // A failure drops the body at its next await, so it may only come once the portal is kept.
    let gate = Sign::new("actors-gate");
    let mut kept = None;
    let error = failure(async |nursery| {
        let one = nursery.run_in_actor("one", fails_once_let(gate.path())).await?;
        gate.raise();
        kept = Some(one);
        std::future::pending().await
    })
    .await;
    assert_eq!(error.report().message, "the outer error 9");
    assert_eq!(error.origin().name, "one");
    assert!(error.also().is_empty(), "{error:?}");
    let typed = kept.unwrap().result::<fails_once_let>().await.unwrap_err();
    assert!(matches!(typed, CallError::Endpoint { error: Outer { code: 9, .. }, .. }), "{typed:?}");
    Ok(())
}

#[hatchery::test]
async fn can_a_failed_child_cancels_its_siblings_and_the_body() -> Result<()> {
    let error = failure(async |nursery| {
        nursery.start_actor("daemon").await?;
        nursery.run_in_actor("sleeper", forever()).await?;
        nursery.spawn(async { std::future::pending::<()>().await });
        nursery.run_in_actor("failing", fails("no more".into())).await?;
        std::future::pending().await
    })
    .await;
    assert_eq!(error.report().message, "no more");
    assert_eq!(error.origin().name, "failing");
    assert!(error.also().is_empty(), "siblings that were only cancelled: {error:?}");
    Ok(())
}

#[hatchery::test]
async fn tasks_are_joined_by_a_clean_end() -> Result<()> {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    let ended = Arc::new(AtomicU32::new(0));
    let count = ended.clone();
    open_nursery(async |nursery| {
        for _ in 0..8 {
            let count = count.clone();
            nursery.spawn(async move {
                for _ in 0..10 {
                    futures_lite::future::yield_now().await;
                }
                count.fetch_add(1, Ordering::SeqCst);
            });
        }
        Ok::<_, Error>(())
    })
    .await?;
    assert_eq!(ended.load(Ordering::SeqCst), 8);
    Ok(())
}

/// Sets its flag when it is dropped.
struct OnDrop(std::sync::Arc<std::sync::atomic::AtomicBool>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::SeqCst);
    }
}

#[hatchery::test]
async fn a_failed_task_drops_its_siblings_and_the_body() -> Result<()> {
    let flags: [std::sync::Arc<std::sync::atomic::AtomicBool>; 2] = Default::default();
    let (of_task, of_body) = (OnDrop(flags[0].clone()), OnDrop(flags[1].clone()));
    let error = failure(async |nursery| {
        nursery.spawn(async move {
            let _kept = of_task;
            std::future::pending::<()>().await;
        });
        nursery.spawn(async {
            futures_lite::future::yield_now().await;
            Err(Outer { code: 4, inner: Inner })
        });
        let _kept = of_body;
        std::future::pending().await
    })
    .await;
    assert_eq!(error.report().message, "the outer error 4");
    assert_eq!(error.source().unwrap().to_string(), "the outer error 4");
    for flag in flags {
        assert!(flag.load(std::sync::atomic::Ordering::SeqCst));
    }
    Ok(())
}

#[hatchery::test]
async fn a_panicking_task_is_an_error_with_its_place() -> Result<()> {
    let line = PANICS_AT;
    let error = failure(async |nursery| {
        nursery.spawn(async {
            panic_now("a task's panic");
        });
        std::future::pending().await
    })
    .await;
    assert_eq!(*error.kind(), ErrorKind::Panicked);
    assert!(error.to_string().contains("a task's panic"), "{error}");
    let at = error.report().location.as_ref().unwrap();
    assert!(at.file.ends_with("actors.rs"), "{at:?}");
    assert_eq!(at.line, line);
    Ok(())
}

#[hatchery::test]
async fn failures_beside_the_first_are_listed_with_it() -> Result<()> {
    let error = failure(async |nursery| {
        // Both are ready at the first poll, so both fail before either is told of the other.
        nursery.spawn(async { Err(Error::message("the one")) });
        nursery.spawn(async { Err(Error::message("the other")) });
        Err(Error::message("the body"))
    })
    .await;
    // The body failed first: the tasks were never polled, or failed too.
    assert_eq!(error.report().message, "the body");
    for also in error.also() {
        assert!(["the one", "the other"].contains(&also.message.as_str()), "{error:?}");
    }
    Ok(())
}

/// An error of this program's own, as embedders have.
#[derive(Debug)]
enum Own {
    Mine(u32),
    Theirs(Error),
}

impl From<Error> for Own {
    fn from(error: Error) -> Self {
        Self::Theirs(error)
    }
}

impl fmt::Display for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mine(n) => write!(f, "mine {n}"),
            Self::Theirs(error) => write!(f, "theirs: {error}"),
        }
    }
}

#[hatchery::test]
async fn the_bodys_own_error_is_returned_as_it_is_and_ends_the_children() -> Result<()> {
    let ended: Result<(), Own> = open_nursery(async |nursery| {
        nursery.start_actor("daemon").await?;
        nursery.run_in_actor("sleeper", forever()).await?;
        Err(Own::Mine(5))
    })
    .await;
    assert!(matches!(ended, Err(Own::Mine(5))), "{ended:?}");
    Ok(())
}

#[hatchery::test]
async fn a_members_failure_turns_into_the_bodys_error_type() -> Result<()> {
    let ended: Result<(), Own> = open_nursery(async |nursery| {
        nursery.run_in_actor("failing", fails("theirs".into())).await?;
        std::future::pending().await
    })
    .await;
    let Err(Own::Theirs(error)) = ended else { panic!("{ended:?}") };
    assert_eq!(error.report().message, "theirs");
    Ok(())
}

#[hatchery::test]
async fn nursery_cancel_ends_all_and_is_no_error() -> Result<()> {
    let value = open_nursery(async |nursery| {
        nursery.start_actor("daemon").await?;
        nursery.run_in_actor("sleeper", forever()).await?;
        nursery.spawn(async { std::future::pending::<()>().await });
        nursery.cancel();
        // The body goes on, and what it starts now is a member that was not asked to end.
        let late = nursery.start_actor("late").await?;
        assert_eq!(late.run(add(1, 1)).await?, 2);
        nursery.cancel();
        Ok::<_, Error>(17)
    })
    .await?;
    assert_eq!(value, 17);
    Ok(())
}

#[hatchery::test]
async fn a_clean_end_waits_for_one_shot_actors() -> Result<()> {
    let sum = open_nursery(async |nursery| nursery.run_in_actor("sum", add(1, 2)).await).await?;
    assert_eq!(sum.result::<add>().await?, 3);
    Ok(())
}

#[hatchery::test]
async fn a_portal_dropped_ends_nothing() -> Result<()> {
    open_nursery(async |nursery| {
        let kept = nursery.start_actor("worker").await?;
        drop(kept.clone());
        assert_eq!(kept.run(add(1, 1)).await?, 2);
        drop(kept);
        // The actor without a portal serves on until the nursery is told.
        nursery.cancel();
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn a_portal_outlives_its_nursery_and_says_that_the_actor_is_gone() -> Result<()> {
    let portal = open_nursery(async |nursery| {
        let worker = nursery.start_actor("worker").await?;
        worker.cancel().await?;
        Ok::<_, Error>(worker)
    })
    .await?;
    let error = portal.run(add(1, 1)).await.unwrap_err();
    assert!(error.to_string().contains("gone"), "{error}");
    assert!(error.to_string().contains("worker"), "{error}");
    assert_eq!(portal.cancel_actor().await?, hatchery::CancelStatus::Gone);
    Ok(())
}

#[hatchery::test]
async fn a_nursery_handle_outlives_its_block_and_starts_nothing() -> Result<()> {
    let nursery = open_nursery(async |nursery| Ok::<_, Error>(nursery)).await?;
    let error = nursery.start_actor("late").await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Misuse);
    Ok(())
}

#[hatchery::test]
async fn rpc_14_a_call_that_is_dropped_leaves_the_actor_usable() -> Result<()> {
    with_child("worker", async |worker| {
        {
            let mut call = Box::pin(worker.run(forever()));
            assert!(futures_lite::future::poll_once(&mut call).await.is_none());
        }
        assert_eq!(worker.run(add(1, 1)).await?, 2);
        Ok(())
    })
    .await
}
