//! What an opener can ask its context without waiting, and blocks whose clean end cancels.

use std::future::pending;

use hatchery::{
    CancelStatus, Context, ContextState, Error, ErrorKind, Receives, Result, Sends, Starts,
};
use hatchery_tests::worker::{alive, with_mortal, with_worker};

type Talk = Context<Starts<()>, Sends<u64>, Receives<u64>>;

/// Sends without end, whoever reads.
#[hatchery::context]
async fn never_ends(cx: Talk) -> Result<u64> {
    let stream = cx.started(()).await?.open_stream();
    for value in 0.. {
        stream.send(value).await?;
    }
    pending().await
}

/// Returns what it receives.
#[hatchery::context]
async fn gives_back(cx: Talk) -> Result<u64> {
    let mut stream = cx.started(()).await?.open_stream();
    stream.recv().await?.ok_or_else(|| Error::message("nothing came"))
}

/// Fails where others would be cancelled.
#[hatchery::context]
async fn fails_to_clean_up(cx: Talk) -> Result<u64> {
    let waits = hatchery::cancel_scope(async |_scope| {
        let _stream = cx.started(()).await?.open_stream();
        pending::<Result<u64>>().await
    });
    let ended = waits.await;
    hatchery::shield(async { Err(Error::message("the disk is full")) }).await?;
    ended.map(Option::unwrap_or_default)
}

#[hatchery::test]
async fn ctx_13_ctx_33_a_cancel_of_ours_is_called_then_acked_and_names_us() -> Result<()> {
    with_worker(async |worker| {
        let (mut cx, ()) = worker.open_context(gives_back()).await?;
        assert_eq!(
            (cx.state(), cx.cancel_called(), cx.cancel_acked()),
            (ContextState::Running, false, false)
        );
        assert!(cx.outcome().is_none() && cx.canceller().is_none());
        let stream = cx.open_stream()?;
        assert_eq!(cx.state(), ContextState::Streaming);
        assert_eq!(cx.cancel().await, CancelStatus::Done);
        assert!(cx.cancel_called() && cx.cancel_acked());
        assert_eq!(cx.state(), ContextState::Cancelled);
        assert_eq!(cx.canceller().map(|by| by.pid), Some(std::process::id()));
        // The value, though nobody has awaited it; and again (CTX-10).
        for _ in 0..2 {
            let outcome = cx.outcome().expect("it is over");
            assert!(matches!(outcome.unwrap_err().kind(), ErrorKind::Cancelled(_)));
        }
        drop(stream);
        assert!(worker.run(alive()).await?, "the link lives on");
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn ctx_14_a_cancel_that_comes_after_the_return_changes_nothing() -> Result<()> {
    with_worker(async |worker| {
        let (mut cx, ()) = worker.open_context(gives_back()).await?;
        cx.open_stream()?.send(7).await?;
        assert_eq!(cx.result().await?, 7);
        assert_eq!(cx.state(), ContextState::Returned);
        assert_eq!(cx.cancel().await, CancelStatus::Done);
        assert!(cx.cancel_called() && !cx.cancel_acked());
        assert_eq!(cx.outcome().expect("it is over")?, 7);
        assert_eq!((cx.state(), cx.canceller()), (ContextState::Returned, None));
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn ctx_15_cancelling_the_whole_actor_is_told_apart_from_cancelling_the_context() -> Result<()>
{
    with_mortal(async |worker| {
        let (cx, ()) = worker.open_context(gives_back()).await?;
        assert_eq!(worker.cancel_actor().await?, CancelStatus::Done);
        let ended = cx.result().await.expect_err("the actor was cancelled");
        assert!(matches!(ended.kind(), ErrorKind::Cancelled(_)), "{ended:?}");
        assert_eq!(cx.state(), ContextState::Cancelled);
        assert_eq!(cx.canceller().map(|by| by.pid), Some(std::process::id()));
        assert!(!cx.cancel_called() && !cx.cancel_acked());
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn ctx_33_failed_and_lost_are_states_of_their_own() -> Result<()> {
    with_mortal(async |worker| {
        let (mut cx, ()) = worker.open_context(gives_back()).await?;
        cx.open_stream()?.close().await?;
        assert_eq!(cx.result().await.expect_err("nothing came").kind(), &ErrorKind::Failed);
        assert_eq!(cx.state(), ContextState::Failed);

        let (cx, ()) = worker.open_context(gives_back()).await?;
        assert_eq!(worker.kill().await, CancelStatus::Done);
        assert!(matches!(cx.result().await.unwrap_err().kind(), ErrorKind::Died(_)));
        assert_eq!(cx.state(), ContextState::Lost);
        assert!(!cx.cancel_called() && cx.canceller().is_none());
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn ctx_11_a_block_that_was_told_to_cancels_and_drains_at_its_clean_end() -> Result<()> {
    with_worker(async |worker| {
        let values = worker
            .with_context(never_ends(), async |mut cx, ()| {
                cx.cancel_on_exit();
                let mut stream = cx.open_stream()?;
                let first = stream.recv().await?;
                let second = stream.recv().await?;
                Ok::<_, Error>((first, second))
            })
            .await?;
        assert_eq!(values, (Some(0), Some(1)));
        assert!(worker.run(alive()).await?);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn ctx_22_an_error_of_the_clean_up_is_not_absorbed_with_the_cancel() -> Result<()> {
    with_worker(async |worker| {
        let ended = worker
            .with_context(fails_to_clean_up(), async |cx, ()| {
                cx.cancel_on_exit();
                Ok::<_, Error>(())
            })
            .await;
        let error = ended.expect_err("the clean-up failed");
        assert_eq!(error.kind(), &ErrorKind::Failed, "{error:?}");
        assert!(error.to_string().contains("the disk is full"), "{error}");
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn ctx_12_the_error_of_the_block_stays_what_it_is_with_a_cancel_on_exit() -> Result<()> {
    with_worker(async |worker| {
        let ended = worker
            .with_context(never_ends(), async |cx, ()| {
                cx.cancel_on_exit();
                Err::<(), _>(Error::message("of the block"))
            })
            .await;
        assert!(ended.unwrap_err().to_string().contains("of the block"));
        Ok(())
    })
    .await
}
