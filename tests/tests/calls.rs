//! Calls that no link carries, and calls by name.

use std::fmt;
use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_lite::{Stream, StreamExt as _, stream};
use hatchery::{
    Call, CallError, Cause, Context, Endpoint, ErrorKind, LocalPortal, Never, Nursery, Receives,
    Refusal, Result, Sends, Starts, open_nursery, timeout,
};
use serde::{Deserialize, Serialize};

#[hatchery::endpoint]
async fn add(a: u64, b: u64) -> u64 {
    a + b
}

#[hatchery::endpoint]
async fn who_runs_it() -> u32 {
    std::process::id()
}

#[hatchery::endpoint]
async fn panics() -> u64 {
    panic!("by name or not")
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Short {
    by: u32,
}

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "short by {}", self.by)
    }
}

impl std::error::Error for Short {}

#[hatchery::endpoint]
async fn falls_short() -> Result<u64, Short> {
    Err(Short { by: 3 })
}

#[hatchery::endpoint]
async fn never_returns() {
    pending().await
}

static CLEANED: AtomicBool = AtomicBool::new(false);

#[hatchery::endpoint]
async fn cleans_up() -> Result<()> {
    struct Cleans;
    impl Drop for Cleans {
        fn drop(&mut self) {
            CLEANED.store(true, Ordering::Release);
        }
    }
    let _cleans = Cleans;
    pending().await
}

#[hatchery::test]
async fn rpc_01_a_local_portal_runs_here_with_the_answers_of_a_link() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let here = LocalPortal::new()?;
        let there = nursery.start_actor("there").await?;
        assert_eq!((here.run(add(1, 2)).await?, there.run(add(1, 2)).await?), (3, 3));
        assert_eq!(here.run(who_runs_it()).await?, std::process::id());
        assert_eq!(here.id().pid, std::process::id());

        let errors = [here.run(panics()).await, there.run(panics()).await].map(Result::unwrap_err);
        for error in &errors {
            assert_eq!(error.kind(), &ErrorKind::Panicked);
            assert_eq!(error.report().message, errors[0].report().message);
            let place = error.report().location.as_ref().expect("a place");
            assert!(place.file.ends_with("calls.rs"), "{place:?}");
        }
        for short in [here.run(falls_short()).await, there.run(falls_short()).await] {
            let CallError::Endpoint { error: short, .. } = short.unwrap_err() else {
                panic!("it is typed")
            };
            assert_eq!(short, Short { by: 3 });
        }
        there.cancel().await
    })
    .await
}

#[hatchery::context]
async fn counts_to(cx: Context<Starts<u64>, Sends<u64>, Receives<Never>>, end: u64) -> Result<u64> {
    let _started = cx.started(end).await?;
    Ok(end)
}

#[hatchery::endpoint]
fn numbers(below: u64) -> impl Stream<Item = u64> {
    stream::iter(0..below)
}

/// What is to be done, and nothing of where.
struct Plan {
    sums: Vec<Call<add>>,
    up: Call<counts_to>,
    down: Call<numbers>,
}

#[hatchery::test]
async fn rpc_01_a_bound_call_is_kept_copied_and_passed_on_before_it_is_run() -> Result<()> {
    let plan =
        Plan { sums: (0..3).map(|n| add(n, 10)).collect(), up: counts_to(7), down: numbers(3) };
    // Through a thread that is no actor's.
    let plan = std::thread::spawn(move || plan).join().expect("it is sent");
    open_nursery(async |nursery: Nursery| {
        let workers = [nursery.start_actor("a").await?, nursery.start_actor("b").await?];
        for worker in &workers {
            for (n, sum) in (10..).zip(&plan.sums) {
                assert_eq!(worker.run(sum.clone()).await?, n);
            }
            let (context, first) = worker.open_context(plan.up.clone()).await?;
            assert_eq!((first, context.result().await?), (7, 7));
            let source = worker.open_stream_from(plan.down.clone()).await?;
            let items: Vec<u64> = source.try_collect().await?;
            assert_eq!(items, [0, 1, 2]);
        }
        assert_eq!(plan.sums[0].clone().await, 10, "here as well");
        for worker in workers {
            worker.cancel().await?;
        }
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn rpc_14_a_local_call_has_a_scope_that_a_timeout_ends() -> Result<()> {
    let here = LocalPortal::new()?;
    let ended = timeout(Duration::from_millis(5), here.run(cleans_up())).await;
    let error = ended.expect_err("it never returns");
    assert_eq!(error.cancelled().map(|by| &by.cause), Some(&Cause::Deadline), "{error:?}");
    assert!(CLEANED.load(Ordering::Acquire));
    Ok(())
}

#[hatchery::test]
async fn rpc_03_rpc_04_a_call_by_name_needs_no_types_of_the_other_program() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let worker = nursery.start_actor("worker").await?;
        let name = <add as Endpoint>::NAME;
        assert_eq!(worker.call_named::<u64>(name, (40_u64, 2_u64)).await?, 42);

        let of_another_type = worker.call_named::<String>(name, (40_u64, 2_u64)).await;
        assert_eq!(of_another_type.unwrap_err().kind(), &ErrorKind::Codec);
        let missing = worker.call_named::<u64>("nobody::knows", ()).await.unwrap_err();
        assert_eq!(missing.kind(), &ErrorKind::Refused(Refusal::Unknown), "{missing:?}");
        let one_short = worker.call_named::<u64>(name, (1_u64,)).await.unwrap_err();
        assert_eq!(one_short.kind(), &ErrorKind::Refused(Refusal::BadArguments));
        let failed = worker.call_named::<u64>(<panics as Endpoint>::NAME, ()).await;
        assert_eq!(failed.unwrap_err().kind(), &ErrorKind::Panicked);

        let named = worker.call_named::<()>(<never_returns as Endpoint>::NAME, ());
        let ended = timeout(Duration::from_millis(5), named).await.unwrap_err();
        assert_eq!(ended.cancelled().map(|by| &by.cause), Some(&Cause::Deadline), "{ended:?}");
        // The link has taken no harm.
        assert_eq!(worker.run(add(1, 1)).await?, 2);
        worker.cancel().await
    })
    .await
}
