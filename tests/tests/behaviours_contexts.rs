//! Contexts as users see them, row by row: cancelled from either side and from anywhere else, before
//! they are up and while they clean up, and what is left to do with one that is over.

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_lite::{FutureExt as _, future};
use hatchery::{
    CancelScope, CancelStatus, ContextState, Error, ErrorKind, LostCause, Nursery, OpenContext,
    Options, Portal, Result, cancel_scope, cancel_soon, open_nursery, shield, timeout,
};
use hatchery_tests::procfs::Process;
use hatchery_tests::programs::Signal;
use hatchery_tests::sign::{Last, Sign, raise, raised, soon};
use hatchery_tests::worker::{self, Talk, alive, fails_when_told, wait_for_cancel, waits};

/// Ten times what an end that waits for nothing may take.
const SOON: Duration = Duration::from_secs(10);

/// Never starts; says that it runs, and that it has ended.
#[hatchery::context]
async fn never_starts(cx: Talk, runs: String, ended: String) -> Result<u64> {
    let _last = Last(ended);
    raise(&runs, "");
    pending::<()>().await;
    drop(cx);
    Ok(0)
}

/// Says by whom it was cancelled and why, and cleans up until it may go.
#[hatchery::context]
async fn says_who(cx: Talk, says: String, may_go: String) -> Result<u64> {
    let _stream = cx.started(()).await?.open_stream();
    let error = wait_for_cancel().await;
    let by = error.cancelled().ok_or_else(|| Error::message("no cancel"))?;
    shield(async {
        raise(&says, &format!("{} {:?}", by.canceller.pid, by.cause));
        raised(&may_go).await;
    })
    .await;
    Err(error)
}

/// Cancels itself, with its whole actor, before it has started or after.
#[hatchery::context]
async fn cancels_itself(cx: Talk, starts: bool, came_back: String) -> Result<u64> {
    if !starts {
        cancel_soon()?;
        pending::<()>().await;
    }
    let mut stream = cx.started(()).await?.open_stream();
    cancel_soon()?;
    let received = stream.recv().await;
    raise(&came_back, "");
    received.map(Option::unwrap_or_default)
}

/// The same, and holds its actor from ending until it may go.
#[hatchery::context]
async fn cancels_itself_slowly(cx: Talk, has: String, may_go: String) -> Result<u64> {
    let _stream = cx.started(()).await?.open_stream();
    cancel_soon()?;
    let error = wait_for_cancel().await;
    shield(async {
        raise(&has, "");
        raised(&may_go).await;
    })
    .await;
    Err(error)
}

/// Takes no notice of its cancel, and returns a value.
#[hatchery::context]
async fn swallows(cx: Talk) -> Result<u64> {
    let _stream = cx.started(()).await?.open_stream();
    let _ = wait_for_cancel().await;
    Ok(7)
}

#[hatchery::context]
async fn returns(cx: Talk, value: u64) -> Result<u64> {
    let _started = cx.started(()).await?;
    Ok(value)
}

#[hatchery::context]
async fn fails_at_once(cx: Talk) -> Result<u64> {
    let _started = cx.started(()).await?;
    Err(Error::message("at once"))
}

#[hatchery::endpoint]
async fn ends_this_actor() -> Result<()> {
    cancel_soon()
}

/// Keeps its actor from ending until it may go.
#[hatchery::context]
async fn holds_on(cx: Talk, may_go: String) -> Result<u64> {
    let _started = cx.started(()).await?;
    shield(raised(&may_go)).await;
    Ok(0)
}

/// Runs `body` with an actor that will end itself in there, and is not gone before `body` has ended:
/// that would be a failure of the nursery.
async fn with_one_that_ends_itself(body: impl AsyncFnOnce(&Portal) -> Result<()>) -> Result<()> {
    let may_go = Sign::new("held");
    let nursery = open_nursery(async |nursery: Nursery| {
        let worker = nursery.start_actor("worker").await?;
        let (_held, ()) = worker.open_context(holds_on(may_go.path())).await?;
        body(&worker).await?;
        let mut asked = Box::pin(worker.cancel());
        assert!(future::poll_once(&mut asked).await.is_none());
        may_go.raise();
        asked.await
    });
    soon(nursery).await
}

/// A context through this actor to one below, which fails.
#[hatchery::context]
async fn passes_on(cx: Talk) -> Result<u64> {
    let _started = cx.started(()).await?;
    open_nursery(async |nursery: Nursery| {
        let leaf = nursery.start_actor("leaf").await?;
        let value = leaf.with_context(fails_at_once(), async |cx, ()| cx.result().await).await?;
        leaf.cancel().await?;
        Ok(value)
    })
    .await
}

/// One actor for `body`, which is not to take long.
async fn with_worker(body: impl AsyncFnOnce(&Portal) -> Result<()>) -> Result<()> {
    soon(worker::with_worker(body)).await
}

#[hatchery::test]
async fn ctx_07_a_callee_that_cancels_itself_before_it_starts_fails_the_opening_with_its_name()
-> Result<()> {
    let came_back = Sign::new("ctx_07");
    with_one_that_ends_itself(async |worker| {
        let error = worker.open_context(cancels_itself(false, came_back.path())).await.unwrap_err();
        let by = error.cancelled().unwrap_or_else(|| panic!("{error:?}"));
        assert_eq!(by.canceller.uuid, worker.id().uuid, "{by}");
        assert!(error.to_string().contains("worker"), "{error}");
        assert!(!came_back.is_raised());
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn ctx_08_a_callee_that_has_cancelled_itself_goes_no_further_than_its_next_await()
-> Result<()> {
    let came_back = Sign::new("ctx_08");
    with_one_that_ends_itself(async |worker| {
        let (cx, ()) = worker.open_context(cancels_itself(true, came_back.path())).await?;
        let error = timeout(SOON, cx.result()).await.unwrap_err();
        let by = error.cancelled().unwrap_or_else(|| panic!("{error:?}"));
        assert_eq!(by.canceller.uuid, worker.id().uuid, "{by}");
        assert!(!came_back.is_raised(), "its receive came back");
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn ctx_09_an_opening_that_is_cancelled_from_around_ends_its_far_task() -> Result<()> {
    with_worker(async |worker| {
        let (runs, ended) = (Sign::new("ctx_09"), Sign::new("ctx_09"));
        let opened = cancel_scope(async |scope: CancelScope| {
            let opening = worker.open_context(never_starts(runs.path(), ended.path()));
            let late = async {
                runs.raised().await;
                scope.cancel();
                pending().await
            };
            opening.or(late).await.map(drop)
        })
        .await?;
        assert!(opened.is_none(), "a cancel from here, and no error of the far task");
        ended.raised().await;
        // A step earlier, the far task is not accepted yet, or not even asked for.
        for polls in 0..8 {
            let ended = Sign::new("ctx_09");
            let mut opening = Box::pin(worker.open_context(waits(ended.path())));
            for _ in 0..polls {
                if future::poll_once(&mut opening).await.is_some() {
                    break;
                }
                future::yield_now().await;
            }
            drop(opening);
            // What was asked for behind it is answered behind it.
            assert!(worker.run(alive()).await?);
        }
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn ctx_17_a_sibling_cancels_while_the_owner_receives() -> Result<()> {
    with_worker(async |worker| {
        let ended = Sign::new("ctx_17");
        let block = worker.with_context(waits(ended.path()), async |mut cx, ()| {
            let mut stream = cx.open_stream()?;
            let cx = Arc::new(cx);
            let asks = cx.clone();
            open_nursery(async |nursery: Nursery| {
                let at_its_end = ended.path();
                nursery.spawn(async move {
                    assert_eq!(asks.cancel().await, CancelStatus::Done);
                    assert!(std::fs::exists(at_its_end).unwrap(), "its clean-up has run");
                });
                let error = stream.recv().await.unwrap_err();
                let by = error.cancelled().unwrap_or_else(|| panic!("{error:?}"));
                assert_eq!(by.canceller.pid, std::process::id(), "{by}");
                Ok::<_, Error>(5)
            })
            .await
        });
        assert_eq!(block.await?, 5, "the end of the block takes in a cancel of its own");
        assert!(worker.run(alive()).await?, "the link lives on");
        // A body that hands the cancel on instead has no value to give: that is what the block says.
        let ended = Sign::new("ctx_17");
        let handed_on: Result<Option<u64>> = worker
            .with_context(waits(ended.path()), async |mut cx, ()| {
                let mut stream = cx.open_stream()?;
                let (_, received) = future::zip(cx.cancel(), stream.recv()).await;
                received
            })
            .await;
        let error = handed_on.unwrap_err();
        assert_eq!(error.cancelled().unwrap().canceller.pid, std::process::id());
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn ctx_18_no_stream_is_opened_once_the_context_was_cancelled_from_here() -> Result<()> {
    with_worker(async |worker| {
        let (says, may_go) = (Sign::new("ctx_18"), Sign::new("ctx_18"));
        let value = worker
            .with_context(says_who(says.path(), may_go.path()), async |mut cx, ()| {
                let mut cancelling = Box::pin(cx.cancel());
                assert!(future::poll_once(&mut cancelling).await.is_none());
                drop(cancelling);
                says.raised().await;
                // Asked, and not over yet.
                let early = cx.open_stream().unwrap_err();
                assert_eq!(*early.kind(), ErrorKind::Misuse, "{early:?}");
                may_go.raise();
                assert_eq!(cx.cancel().await, CancelStatus::Done);
                let late = cx.open_stream().unwrap_err();
                let by = late.cancelled().unwrap_or_else(|| panic!("{late:?}"));
                assert_eq!(by.canceller.pid, std::process::id());
                Ok::<_, Error>(5)
            })
            .await?;
        assert_eq!(value, 5);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn ctx_19_a_context_that_was_carried_out_of_its_block_is_over_and_says_so() -> Result<()> {
    with_worker(async |worker| {
        // Each use of it ends at once, whatever it gives.
        let mut returned =
            worker.with_context(returns(3), async |cx, ()| Ok::<_, Error>(cx)).await?;
        let used = async {
            if let Ok(mut stream) = returned.open_stream() {
                assert_eq!(stream.recv().await?, None);
                assert_eq!(*stream.send(1).await.unwrap_err().kind(), ErrorKind::ReceiverGone);
            }
            assert_eq!(returned.result().await?, 3);
            assert_eq!(returned.cancel().await, CancelStatus::Done);
            Ok::<_, Error>(())
        };
        timeout(SOON, used).await?;
        let ended = Sign::new("ctx_19");
        let mut cancelled = worker
            .with_context(waits(ended.path()), async |cx, ()| {
                cx.cancel_on_exit();
                Ok::<_, Error>(cx)
            })
            .await?;
        let used = async {
            assert!(cancelled.open_stream().unwrap_err().cancelled().is_some());
            assert!(cancelled.result().await.unwrap_err().cancelled().is_some());
            assert_eq!(cancelled.cancel().await, CancelStatus::Done);
            Ok::<_, Error>(())
        };
        timeout(SOON, used).await
    })
    .await
}

#[hatchery::test]
async fn ctx_20_a_cancelled_callee_hears_by_whom_and_cleans_up_before_there_is_an_outcome()
-> Result<()> {
    with_worker(async |worker| {
        let (says, may_go) = (Sign::new("ctx_20"), Sign::new("ctx_20"));
        let (cx, ()) = worker.open_context(says_who(says.path(), may_go.path())).await?;
        let looking = async {
            let said = says.raised().await;
            assert_eq!(said, format!("{} Asked", std::process::id()));
            assert!(cx.outcome().is_none() && cx.canceller().is_none());
            assert_eq!(cx.state(), ContextState::Cancelling);
            // The answer to what was asked later is behind the word that it was heard.
            assert!(worker.run(alive()).await?);
            assert!(cx.cancel_called() && cx.cancel_acked(), "heard at once, and not done");
            may_go.raise();
            Ok::<_, Error>(())
        };
        let (status, looked) = future::zip(cx.cancel(), looking).await;
        looked?;
        assert_eq!(status, CancelStatus::Done);
        assert_eq!(cx.state(), ContextState::Cancelled);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn ctx_21_a_value_that_is_returned_behind_a_cancel_is_dropped_for_it() -> Result<()> {
    with_worker(async |worker| {
        let block = worker.with_context(swallows(), async |cx, ()| {
            assert_eq!(cx.cancel().await, CancelStatus::Done);
            let error = cx.result().await.unwrap_err();
            assert_eq!(error.cancelled().unwrap().canceller.pid, std::process::id());
            Ok::<_, Error>(5)
        });
        assert_eq!(block.await?, 5, "and it is absorbed all the same");
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn ctx_23_a_cancel_by_someone_else_is_raised_and_asks_for_nothing() -> Result<()> {
    let ended = Sign::new("ctx_23");
    let kept = Mutex::new(None);
    with_one_that_ends_itself(async |worker| {
        let block: Result<()> = worker
            .with_context(waits(ended.path()), async |cx, ()| {
                *kept.lock().unwrap() = Some(cx);
                let _ = worker.run(ends_this_actor()).await;
                pending().await
            })
            .await;
        let error = block.unwrap_err();
        let by = error.cancelled().unwrap_or_else(|| panic!("{error:?}"));
        assert_eq!(by.canceller.uuid, worker.id().uuid, "{by}");
        let cx: OpenContext<waits> = kept.lock().unwrap().take().unwrap();
        assert_eq!(cx.canceller().map(|by| by.uuid), Some(worker.id().uuid));
        assert_eq!(cx.state(), ContextState::Cancelled);
        assert!(!cx.cancel_called() && !cx.cancel_acked(), "nobody here has asked");
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn ctx_24_what_fails_while_a_cancel_from_afar_is_handled_is_what_the_block_says() -> Result<()>
{
    let (first, second) = (Sign::new("ctx_24"), Sign::new("ctx_24"));
    let kept = Mutex::new(None);
    with_one_that_ends_itself(async |one| {
        with_worker(async |two| {
            let block: Result<()> = two
                .with_context(waits(second.path()), async |_second, ()| {
                    one.with_context(waits(first.path()), async |cx, ()| {
                        let _ = one.run(ends_this_actor()).await;
                        assert!(cx.result().await.unwrap_err().cancelled().is_some());
                        *kept.lock().unwrap() = Some(cx);
                        Err(Error::message("while it was handled"))
                    })
                    .await
                })
                .await;
            let error = block.unwrap_err();
            assert_eq!(error.report().message, "while it was handled", "{error:?}");
            assert!(second.is_raised(), "the other far task is gone with the block");
            let cx: OpenContext<waits> = kept.lock().unwrap().take().unwrap();
            assert!(cx.cancel_called() && !cx.cancel_acked(), "too late for it");
            assert_eq!(cx.canceller().map(|by| by.uuid), Some(one.id().uuid));
            Ok(())
        })
        .await
    })
    .await
}

#[hatchery::test]
async fn ctx_16_a_body_that_is_interrupted_ends_what_is_open_in_it_first() -> Result<()> {
    with_worker(async |worker| {
        let (when, ended) = (Sign::new("ctx_16"), Sign::new("ctx_16"));
        let block: Result<()> = worker
            .with_context(fails_when_told(when.path()), async |_cx, ()| {
                open_nursery(async |nursery: Nursery| {
                    let other = nursery.start_actor("other").await?;
                    other
                        .with_context(waits(ended.path()), async |_cx, ()| {
                            when.raise();
                            pending().await
                        })
                        .await
                })
                .await
            })
            .await;
        assert_eq!(block.unwrap_err().report().message, "as it was told");
        assert!(ended.is_raised(), "its actor has cleaned up, and was not ended by force");
        Ok(())
    })
    .await
}

/// Fails where others are cancelled.
#[hatchery::context]
async fn fails_to_clean_up(cx: Talk) -> Result<u64> {
    let _started = cx.started(()).await?;
    let _ = wait_for_cancel().await;
    shield(async { Err(Error::message("the disk is full")) }).await
}

#[hatchery::test]
async fn ctx_16_what_fails_in_a_body_that_is_interrupted_is_listed_with_the_cause() -> Result<()> {
    with_worker(async |worker| {
        let when = Sign::new("ctx_16");
        let block: Result<()> = worker
            .with_context(fails_when_told(when.path()), async |_cx, ()| {
                worker
                    .with_context(fails_to_clean_up(), async |_cx, ()| {
                        when.raise();
                        pending().await
                    })
                    .await
            })
            .await;
        let error = block.unwrap_err();
        assert_eq!(error.report().message, "as it was told", "{error:?}");
        let also: Vec<_> = error.also().iter().map(|also| also.message.as_str()).collect();
        assert_eq!(also, ["the disk is full"], "{error:?}");
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn ctx_26_an_error_two_contexts_down_arrives_with_its_origin_and_its_way() -> Result<()> {
    with_worker(async |middle| {
        let block: Result<()> =
            middle.with_context(passes_on(), async |_cx, ()| pending().await).await;
        let error = block.unwrap_err();
        assert_eq!((error.kind(), error.origin().name.as_str()), (&ErrorKind::Failed, "leaf"));
        assert_eq!(error.report().message, "at once");
        let hops: Vec<_> = error.report().hops.iter().map(|hop| hop.actor.name.as_str()).collect();
        assert_eq!(hops, ["leaf", "worker"], "{error:?}");
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn ctx_29_where_both_sides_cancel_the_first_that_was_applied_is_the_canceller() -> Result<()>
{
    let (has, may_go) = (Sign::new("ctx_29"), Sign::new("ctx_29"));
    with_one_that_ends_itself(async |worker| {
        let endpoint = cancels_itself_slowly(has.path(), may_go.path());
        let block: Result<()> = worker
            .with_context(endpoint, async |cx, ()| {
                has.raised().await;
                let mut cancelling = Box::pin(cx.cancel());
                assert!(future::poll_once(&mut cancelling).await.is_none());
                may_go.raise();
                assert_eq!(cancelling.await, CancelStatus::Done);
                assert!(cx.cancel_called());
                assert_eq!(cx.canceller().map(|by| by.uuid), Some(worker.id().uuid));
                Ok(())
            })
            .await;
        // Not by us: it is raised, though we asked as well.
        let error = block.unwrap_err();
        assert_eq!(error.cancelled().unwrap().canceller.uuid, worker.id().uuid, "{error:?}");
        Ok(())
    })
    .await
}

const GRACE: Duration = Duration::from_millis(200);

/// Little time to end in, so that running out of it takes little.
fn hasty() -> Options {
    Options::new().teardown(GRACE)
}

#[hatchery::test(options = hasty())]
async fn ctx_34_err_09_a_cancel_says_whether_it_was_done_too_slow_or_for_nobody() -> Result<()> {
    let ended = Sign::new("ctx_34");
    open_nursery(async |nursery: Nursery| {
        let worker = nursery.start_actor("worker").await?;
        let (done, ()) = worker.open_context(waits(ended.path())).await?;
        assert_eq!(done.cancel().await, CancelStatus::Done);

        let (slow, ()) = worker.open_context(waits(ended.path())).await?;
        let process = Process::of(worker.id().pid as i32).expect("it lives");
        process.signal(Signal::STOP);
        let begin = Instant::now();
        assert_eq!(slow.cancel().await, CancelStatus::TimedOut);
        let took = begin.elapsed();
        assert!(took >= GRACE && took < SOON, "its grace, and half a second more: {took:?}");
        // Told apart from a deadline and from a cancel: nothing that takes those in takes in this.
        let error = slow.result().await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Lost(LostCause::Unresponsive), "{error:?}");
        assert!(error.cancelled().is_none(), "{error:?}");
        assert_eq!(slow.state(), ContextState::Lost);
        process.signal(Signal::CONT);
        assert!(worker.run(alive()).await?, "the link has taken no harm");

        let (gone, ()) = worker.open_context(waits(ended.path())).await?;
        let _ = worker.kill().await;
        assert_eq!(gone.cancel().await, CancelStatus::Gone);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn ctx_35_a_block_whose_actor_is_gone_waits_for_nothing_at_its_end() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        for fails in [false, true] {
            let worker = nursery.start_actor("worker").await?;
            let ended = Sign::new("ctx_35");
            let block = worker.with_context(waits(ended.path()), async |_cx, ()| {
                let _ = worker.kill().await;
                if fails { Err(Error::message("of the body")) } else { Ok(()) }
            });
            let error = timeout(SOON, block).await.unwrap_err();
            match fails {
                true => assert_eq!(error.report().message, "of the body"),
                false => assert!(matches!(error.kind(), ErrorKind::Died(_)), "{error:?}"),
            }
        }
        Ok(())
    })
    .await
}

static SERVICE: Mutex<Option<Nursery>> = Mutex::new(None);

/// Owns the tasks that others of its actor start.
#[hatchery::context]
async fn owns_a_service(cx: Talk) -> Result<u64> {
    open_nursery(async |nursery: Nursery| {
        *SERVICE.lock().unwrap() = Some(nursery.clone());
        let _stream = cx.started(()).await?.open_stream();
        pending().await
    })
    .await
}

/// Starts a task there, which fails.
#[hatchery::context]
async fn uses_the_service(cx: Talk, ended: String) -> Result<u64> {
    let _last = Last(ended);
    let _stream = cx.started(()).await?.open_stream();
    let service = SERVICE.lock().unwrap().clone();
    let service = service.ok_or_else(|| Error::message("there is no service"))?;
    service.spawn(async { Err::<(), _>(Error::message("in the service")) });
    pending().await
}

#[hatchery::test]
async fn ctx_37_a_task_that_another_context_started_fails_the_owner_of_its_nursery() -> Result<()> {
    with_worker(async |worker| {
        let ended = Sign::new("ctx_37");
        let block: Result<()> = worker
            .with_context(owns_a_service(), async |_owner, ()| {
                let uses = uses_the_service(ended.path());
                worker.with_context(uses, async |_user, ()| pending().await).await
            })
            .await;
        let error = block.unwrap_err();
        assert_eq!(error.report().message, "in the service", "{error:?}");
        assert_eq!(error.origin().name, "worker");
        assert!(ended.is_raised(), "the context inside ends before the block does");
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn p_c5_a_far_task_hears_what_its_openers_block_failed_with() -> Result<()> {
    with_worker(async |worker| {
        let (says, may_go) = (Sign::new("p_c5"), Sign::new("p_c5"));
        may_go.raise();
        let block: Result<()> = worker
            .with_context(says_who(says.path(), may_go.path()), async |_cx, ()| {
                Err(Error::message("of the opener"))
            })
            .await;
        assert_eq!(block.unwrap_err().report().message, "of the opener");
        assert!(says.raised().await.contains("of the opener"));
        Ok(())
    })
    .await
}
