//! Shields, bounds in time and cancel scopes around real actors, and what runs at an actor's end.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_io::Timer;
use futures_lite::future::{self, pending};
use hatchery::{
    CancelScope, Cause, Error, ErrorKind, Nursery, Options, Result, cancel_scope, deadline,
    on_exit, open_nursery, shield, timeout,
};

use hatchery_tests::procfs::Process;
use hatchery_tests::programs::Signal;
use hatchery_tests::sign::{Sign, raise, raised};

/// Long enough to be under way, short enough to wait for.
const SHORT: Duration = Duration::from_millis(60);

#[hatchery::endpoint]
async fn forever() {
    pending().await
}

#[hatchery::endpoint]
async fn add(a: i64, b: i64) -> i64 {
    a + b
}

/// Notes in the file, last in first out, that the actor has ended; then waits.
#[hatchery::endpoint]
async fn leaves_notes(path: String, end: String) -> Result<()> {
    for word in ["last", "middle", "first"] {
        let path = path.clone();
        on_exit(move || {
            let known = fs::read_to_string(&path).unwrap_or_default();
            fs::write(&path, format!("{known}{word} ")).map_err(Error::new)
        });
    }
    raise(&(path + ".up"), "");
    match end.as_str() {
        "wait" => pending().await,
        "fail" => Err(Error::message("the cause")),
        "panic" => panic!("the cause"),
        "hook" => {
            on_exit(|| Err::<(), _>(Error::message("the hook failed")));
            on_exit(|| panic!("the hook panicked"));
            Ok(())
        }
        "soon" => {
            hatchery::cancel_soon()?;
            pending().await
        }
        _ => Ok(()),
    }
}

/// Cleans up in a shield when it is cancelled, which takes `millis`.
#[hatchery::endpoint]
async fn cleans_up(path: String, millis: u64) -> Result<()> {
    let worked = cancel_scope(async |_scope: CancelScope| {
        fs::write(&path, "working").map_err(Error::new)?;
        pending::<Result<()>>().await
    })
    .await;
    shield(async {
        Timer::after(Duration::from_millis(millis)).await;
        fs::write(&path, "clean").map_err(Error::new)
    })
    .await?;
    worked.map(drop)
}

/// Runs until its own deadline, and says in the file what ended it.
#[hatchery::endpoint]
async fn has_a_deadline(path: String) -> Result<()> {
    raise(&path, "running");
    let ended = cancel_scope(async |_scope: CancelScope| pending::<Result<()>>().await).await;
    let why = ended.as_ref().err().and_then(Error::cancelled).map(|by| by.cause.clone());
    raise(&path, &format!("{why:?}"));
    ended.map(drop)
}

/// Asks a child of its own for it, with a timeout, and stops when that runs: then it cannot say itself
/// that the time is over.
#[hatchery::endpoint]
async fn bounds_another(path: String) -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let leaf = nursery.start_actor("leaf").await?;
        let seen = path.clone();
        let call = timeout(Duration::from_secs(2), leaf.run(has_a_deadline(path)));
        let stop = async {
            raised(&seen).await;
            Process::of(std::process::id().cast_signed()).unwrap().signal(Signal::STOP);
            pending().await
        };
        future::or(call, stop).await
    })
    .await
}

/// What an actor writes down, and beside it that it is up.
struct Note(Sign);

impl Note {
    fn new(name: &str) -> Self {
        Self(Sign::new(name))
    }

    fn path(&self) -> String {
        self.0.path()
    }

    fn text(&self) -> String {
        self.0.said()
    }

    fn up(&self) -> String {
        self.path() + ".up"
    }

    /// Fails once the far task has registered its hooks.
    async fn dropped_when_up<T>(&self) -> Result<T> {
        raised(&self.up()).await;
        Err(Error::message("dropped"))
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.up());
    }
}

fn is_deadline(error: &Error) -> bool {
    error.cancelled().is_some_and(|by| by.cause == Cause::Deadline)
}

#[hatchery::test]
async fn can_21_a_timeout_ends_the_actors_in_it_gracefully() -> Result<()> {
    let note = Note::new("timeout");
    let path = note.path();
    let error = timeout(
        // For a start and a call, on a machine that is busy with other tests.
        Duration::from_secs(2),
        open_nursery(async |nursery: Nursery| {
            let worker = nursery.start_actor("worker").await?;
            worker.run(leaves_notes(path, "wait".into())).await
        }),
    )
    .await
    .expect_err("it never ends by itself");
    assert!(is_deadline(&error), "{error:?}");
    assert_eq!(note.text(), "first middle last ", "the actor was not ended by force");
    Ok(())
}

#[hatchery::test]
async fn p_c8_a_far_task_ends_by_the_deadline_that_came_with_its_start() -> Result<()> {
    let note = Note::new("far");
    let path = note.path();
    let error = open_nursery(async |nursery: Nursery| {
        let middle = nursery.start_actor("middle").await?;
        nursery.spawn({
            let middle = middle.clone();
            async move { middle.run(bounds_another(path)).await }
        });
        note.0.says(&format!("{:?}", Some(Cause::Deadline))).await;
        Process::of(middle.id().pid.cast_signed()).unwrap().signal(Signal::CONT);
        pending::<Result<()>>().await
    })
    .await
    .expect_err("the time was over");
    assert!(error.to_string().contains("deadline"), "{error:?}");
    Ok(())
}

#[hatchery::test]
async fn what_ends_in_time_is_as_without_a_timeout() -> Result<()> {
    let sum = timeout(Duration::from_secs(60), async {
        open_nursery(async |nursery: Nursery| {
            let worker = nursery.start_actor("worker").await?;
            let sum = worker.run(add(1, 2)).await?;
            worker.cancel().await?;
            Ok::<_, Error>(sum)
        })
        .await
    })
    .await?;
    assert_eq!(sum, 3);
    let failed = deadline(Instant::now() + Duration::from_secs(60), async {
        Err::<(), _>(Error::message("its own"))
    })
    .await;
    assert_eq!(failed.unwrap_err().to_string(), Error::message("its own").to_string());
    // What is done already needs no time.
    assert_eq!(timeout(Duration::ZERO, future::ready(Ok::<_, Error>(7))).await?, 7);
    Ok(())
}

#[hatchery::test]
async fn the_inner_of_two_timeouts_concerns_only_what_is_in_it() -> Result<()> {
    let outer = timeout(Duration::from_secs(60), async {
        let inner = timeout(SHORT, pending::<Result<()>>()).await;
        assert!(is_deadline(&inner.unwrap_err()));
        Ok::<_, Error>("went on")
    });
    assert_eq!(outer.await?, "went on");
    // The other way round, the inner one resolves with the cancel from around it, and what awaits
    // next is dropped.
    let went_on = Arc::new(AtomicBool::new(false));
    let seen = went_on.clone();
    let error = timeout(SHORT, async move {
        let inner = timeout(Duration::from_secs(60), pending::<Result<()>>()).await;
        seen.store(is_deadline(&inner.unwrap_err()), Ordering::Release);
        pending::<Result<()>>().await
    })
    .await
    .expect_err("its time is over");
    assert!(is_deadline(&error));
    assert!(went_on.load(Ordering::Acquire));
    Ok(())
}

#[hatchery::test]
async fn p_c2_an_error_is_never_hidden_by_a_timeout() -> Result<()> {
    let error = timeout(SHORT, async {
        let _ = timeout(Duration::from_secs(60), pending::<Result<()>>()).await;
        Err::<(), _>(Error::message("what clean-up met"))
    })
    .await
    .expect_err("both say so");
    assert_eq!(error.report().message, "what clean-up met");
    Ok(())
}

#[hatchery::test]
async fn p_c4_a_scope_that_its_own_handle_cancels_is_no_error() -> Result<()> {
    let note = Note::new("scope");
    let path = note.path();
    let came_to = cancel_scope(async |scope: CancelScope| {
        open_nursery(async |nursery: Nursery| {
            let worker = nursery.run_in_actor("worker", leaves_notes(path, "wait".into())).await?;
            nursery.spawn({
                let scope = scope.clone();
                async move {
                    let _ = worker.id();
                    scope.cancel();
                }
            });
            pending::<Result<()>>().await
        })
        .await
    })
    .await?;
    assert!(came_to.is_none());
    Ok(())
}

#[hatchery::test]
async fn a_scope_that_nobody_cancels_is_its_body() -> Result<()> {
    let value = cancel_scope(async |scope: CancelScope| {
        assert!(!scope.is_cancelled());
        Ok::<_, Error>(5)
    });
    assert_eq!(value.await?, Some(5));
    let mut kept = None;
    let failed = cancel_scope(async |scope: CancelScope| {
        kept = Some(scope);
        Err::<(), _>(Error::message("its own"))
    });
    assert_eq!(failed.await.unwrap_err().report().message, "its own");
    let kept = kept.unwrap();
    kept.cancel();
    assert!(!kept.is_cancelled(), "it has ended");
    Ok(())
}

#[hatchery::test]
async fn p_c2_a_shield_runs_on_and_the_block_around_it_goes_with_the_next_await() -> Result<()> {
    let (done, passed) = (AtomicBool::new(false), AtomicBool::new(false));
    let came_to = cancel_scope(async |scope: CancelScope| {
        shield(async {
            scope.cancel();
            Timer::after(SHORT).await;
            done.store(true, Ordering::Release);
        })
        .await;
        future::yield_now().await;
        passed.store(true, Ordering::Release);
        Ok::<_, Error>(())
    })
    .await?;
    assert!(came_to.is_none());
    assert!(done.load(Ordering::Acquire));
    assert!(!passed.load(Ordering::Acquire));
    Ok(())
}

#[hatchery::test]
async fn p_c2_a_shield_in_a_shield_and_a_nursery_in_a_shield_are_out_of_reach() -> Result<()> {
    let mut sum = 0;
    let came_to = cancel_scope(async |scope: CancelScope| {
        shield(async {
            scope.cancel();
            shield(future::yield_now()).await;
            sum = open_nursery(async |nursery: Nursery| {
                let worker = nursery.start_actor("worker").await?;
                let sum = worker.run(add(20, 22)).await?;
                worker.cancel().await?;
                Ok::<_, Error>(sum)
            })
            .await?;
            Ok::<_, Error>(())
        })
        .await
    })
    .await?;
    assert_eq!((came_to, sum), (None, 42));
    Ok(())
}

#[hatchery::test(options = Options::new().teardown(Duration::from_millis(400)))]
async fn p_c2_a_shield_holds_a_cancel_off_for_its_share_of_the_grace_and_no_longer() -> Result<()> {
    let began = Instant::now();
    let came_to = cancel_scope(async |scope: CancelScope| {
        scope.cancel();
        shield(pending::<Result<()>>()).await
    })
    .await?;
    assert!(came_to.is_none());
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(400), "{took:?}");
    assert!(took < Duration::from_secs(4), "{took:?}");
    Ok(())
}

#[hatchery::test]
async fn a_cancelled_task_elsewhere_cleans_up_before_its_opener_goes_on() -> Result<()> {
    let note = Note::new("cleans");
    open_nursery(async |nursery: Nursery| {
        let worker = nursery.start_actor("worker").await?;
        let path = note.path();
        let (working, cleaning) = (note.0.says("working"), worker.run(cleans_up(path, 50)));
        future::or(async { cleaning.await.map(drop) }, async {
            working.await;
            Ok(())
        })
        .await?;
        worker.cancel().await
    })
    .await?;
    assert_eq!(note.text(), "clean");
    Ok(())
}

#[hatchery::test]
async fn can_18_exit_hooks_run_last_in_first_out_on_every_way_out() -> Result<()> {
    for end in ["wait", "fail", "panic", "return", "soon"] {
        let note = Note::new("hooks");
        let path = note.path();
        let ended = open_nursery(async |nursery: Nursery| {
            let worker = nursery.start_actor("worker").await?;
            let call = worker.run(leaves_notes(path, end.into()));
            let ended = match end {
                // Dropped once it runs.
                "wait" => future::or(call, note.dropped_when_up()).await,
                _ => call.await,
            };
            assert_eq!(ended.is_ok(), end == "return", "{end}: {ended:?}");
            worker.cancel().await
        })
        .await;
        assert!(ended.is_ok() || end == "soon", "{end}: {ended:?}");
        assert_eq!(note.text(), "first middle last ", "{end}");
    }
    Ok(())
}

#[hatchery::test]
async fn can_18_a_failing_exit_hook_is_the_failure_of_its_actor_and_the_others_run() -> Result<()> {
    let note = Note::new("failing");
    let path = note.path();
    let error = open_nursery(async |nursery: Nursery| {
        let hook = leaves_notes(path, "hook".into());
        nursery.run_in_actor("worker", hook).await.map(drop)
    })
    .await
    .expect_err("its hooks failed");
    assert_eq!(error.kind(), &ErrorKind::Panicked, "{error:?}");
    assert_eq!(error.report().message, "the hook panicked");
    assert_eq!(error.also().len(), 1, "{error:?}");
    assert_eq!(error.also()[0].message, "the hook failed");
    assert_eq!(note.text(), "first middle last ");
    Ok(())
}

#[hatchery::test]
async fn can_19_an_actor_may_cancel_itself_from_synchronous_code() -> Result<()> {
    let note = Note::new("soon");
    let path = note.path();
    let mut worker_id = None;
    let error = open_nursery(async |nursery: Nursery| {
        let worker = nursery.start_actor("worker").await?;
        worker_id = Some(worker.id());
        worker.run(leaves_notes(path, "soon".into())).await
    })
    .await
    .expect_err("nobody here asked for it");
    let by = error.cancelled().expect("a cancel").canceller.clone();
    assert_eq!(Some(by.uuid), worker_id.map(|id| id.uuid), "{error:?}");
    Ok(())
}
