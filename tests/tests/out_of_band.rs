//! A context that is cancelled out of band: by its own callee, by another task of its opener's actor,
//! from below its block.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::future;
use hatchery::{
    Call, CancelStatus, ContextArgument, ContextEndpoint, CurrentContext, Error, Nursery,
    OpenContext, Portal, Result, open_nursery, shield, timeout,
};
use hatchery_tests::sign::{Sign, raise, raised};
use hatchery_tests::worker::{Talk, alive, fails_when_told, wait_for_cancel, waits, with_worker};

/// Ten times what an end that waits for nothing may take.
const SOON: Duration = Duration::from_secs(10);

/// Cancels the context that runs.
fn cancels() {
    let context = CurrentContext::get().expect("it runs in one");
    assert!(!context.is_cancelled());
    context.cancel();
    assert!(context.is_cancelled());
}

/// Cancels itself, before it has started or after.
#[hatchery::context]
async fn cancels_itself(cx: Talk, starts: bool, came_back: String) -> Result<u64> {
    if !starts {
        cancels();
        pending::<()>().await;
    }
    let mut stream = cx.started(()).await?.open_stream();
    cancels();
    let received = stream.recv().await;
    raise(&came_back, "");
    received.map(Option::unwrap_or_default)
}

/// The same, and holds itself from ending until it may go.
#[hatchery::context]
async fn cancels_itself_slowly(cx: Talk, has: String, may_go: String) -> Result<u64> {
    let _stream = cx.started(()).await?.open_stream();
    cancels();
    let error = wait_for_cancel().await;
    shield(async {
        raise(&has, "");
        raised(&may_go).await;
    })
    .await;
    Err(error)
}

#[hatchery::test]
async fn ctx_07_ctx_08_ctx_29_a_callee_cancels_its_own_context_and_nothing_else() -> Result<()> {
    with_worker(async |worker| {
        let came_back = Sign::new("ctx_07");
        let early = worker.open_context(cancels_itself(false, came_back.path())).await;
        let (cx, ()) = worker.open_context(cancels_itself(true, came_back.path())).await?;
        let late = timeout(SOON, cx.result()).await;
        assert!(!came_back.is_raised(), "it went on");
        assert!(!cx.cancel_called());
        // Both sides at once: the first that was applied is the canceller, and it was not us.
        let (has, may_go) = (Sign::new("ctx_29"), Sign::new("ctx_29"));
        let both: Result<()> = worker
            .with_context(cancels_itself_slowly(has.path(), may_go.path()), async |cx, ()| {
                has.raised().await;
                let mut cancelling = Box::pin(cx.cancel());
                assert!(future::poll_once(&mut cancelling).await.is_none());
                may_go.raise();
                assert_eq!(cancelling.await, CancelStatus::Done);
                Ok(())
            })
            .await;
        for error in [early.unwrap_err(), late.unwrap_err(), both.unwrap_err()] {
            let by = error.cancelled().unwrap_or_else(|| panic!("{error:?}"));
            assert_eq!(by.canceller.uuid, worker.id().uuid, "{by}");
        }
        assert!(worker.run(alive()).await?);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn ctx_28_a_block_is_cancelled_from_below_it() -> Result<()> {
    with_worker(async |worker| {
        let ended = Sign::new("ctx_28");
        let value = worker
            .with_context(waits(ended.path()), async |cx, ()| {
                let context = CurrentContext::get().expect("the block's");
                assert!(!context.is_cancelled() && !context.is_callee());
                context.cancel();
                assert!(context.is_cancelled() && cx.cancel_called());
                Ok::<_, Error>(3)
            })
            .await?;
        assert_eq!(value, 3);
        assert!(ended.is_raised());
        Ok(())
    })
    .await
}

/// The block of a context in a task of its own, which waits for something else; gives its handle away.
async fn waits_for_something_else<E>(
    worker: Portal,
    call: Call<E>,
    gives: async_channel::Sender<Arc<OpenContext<E>>>,
) -> Result<()>
where
    E: ContextEndpoint<Context: ContextArgument<First = ()>>,
{
    worker
        .with_context(call, async |cx, ()| {
            gives.send(Arc::new(cx)).await.expect("somebody waits for it");
            pending().await
        })
        .await
}

#[hatchery::test]
async fn ctx_16_a_cancel_by_another_task_ends_a_block_that_waits_for_something_else() -> Result<()>
{
    with_worker(async |worker| {
        let ended = Sign::new("ctx_16");
        open_nursery(async |nursery: Nursery| {
            let (gives, gets) = async_channel::bounded(1);
            nursery.spawn(waits_for_something_else(worker.clone(), waits(ended.path()), gives));
            let cx = gets.recv().await.expect("it is open");
            // Whoever asks also waits: that it hears of the end is not the block's hearing of it.
            assert_eq!(cx.cancel().await, CancelStatus::Done);
            assert!(cx.cancel_called() && cx.cancel_acked());
            Ok::<_, Error>(())
        })
        .await?;
        assert!(ended.is_raised());
        assert!(worker.run(alive()).await?, "and nobody has failed");
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn ctx_16_a_failure_that_another_task_has_heard_of_ends_the_block_all_the_same() -> Result<()>
{
    with_worker(async |worker| {
        let may_fail = Sign::new("ctx_16");
        let block = open_nursery(async |nursery: Nursery| {
            let (gives, gets) = async_channel::bounded(1);
            let call = fails_when_told(may_fail.path());
            nursery.spawn(waits_for_something_else(worker.clone(), call, gives));
            let cx = gets.recv().await.expect("it is open");
            let (heard, ()) = future::zip(cx.result(), async { may_fail.raise() }).await;
            assert_eq!(heard.unwrap_err().origin().name, "worker");
            pending::<Result<()>>().await
        })
        .await;
        let error = block.unwrap_err();
        assert!(error.to_string().contains("as it was told"), "{error}");
        Ok(())
    })
    .await
}
