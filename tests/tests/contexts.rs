//! Contexts between processes: how they start, how they end, and whose error it is.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_lite::{FutureExt as _, future};
use hatchery::{
    CancelScope, CancelStatus, Cause, Context, Error, ErrorKind, Nursery, Receives, Result, Sends,
    Starts, open_nursery,
};
use hatchery_tests::sign::until;
use hatchery_tests::worker::with_worker;

type Talk = Context<Starts<u64>, Sends<u64>, Receives<u64>>;

/// Sends each value back with one added; returns how many came.
#[hatchery::context]
async fn adder(cx: Talk, first: u64) -> Result<u64> {
    let mut stream = cx.started(first + 1).await?.open_stream();
    let mut count = 0;
    while let Some(value) = stream.recv().await? {
        stream.send(value + 1).await?;
        count += 1;
    }
    Ok(count)
}

#[hatchery::context]
async fn only_starts(cx: Context<Starts<String>>, first: String) -> Result<String> {
    let name = cx.peer().name.clone();
    let _started = cx.started(first).await?;
    Ok(name)
}

#[hatchery::context]
async fn never_starts(cx: Talk) -> Result<u64> {
    drop(cx);
    Ok(3)
}

#[hatchery::context]
async fn fails_before_start(cx: Talk) -> Result<u64> {
    drop(cx);
    Err(Error::message("not even started"))
}

/// Fails once it is told to.
#[hatchery::context]
async fn fails_when_told(cx: Talk) -> Result<u64> {
    let mut stream = cx.started(0).await?.open_stream();
    let told = stream.recv().await?;
    Err(Error::message(format!("told {told:?}")))
}

#[hatchery::context]
async fn panics_when_told(cx: Talk) -> Result<u64> {
    let mut stream = cx.started(0).await?.open_stream();
    let told = stream.recv().await?;
    panic!("told {told:?}");
}

/// Writes into the file at `path` how it was ended.
#[hatchery::context]
async fn notes_its_end(cx: Talk, path: String) -> Result<u64> {
    let _note = Note(path);
    let _stream = cx.started(0).await?.open_stream();
    future::pending().await
}

struct Note(String);

impl Drop for Note {
    fn drop(&mut self) {
        let _ = std::fs::write(&self.0, "ended");
    }
}

#[hatchery::context]
async fn waits(cx: Talk) -> Result<u64> {
    let _stream = cx.started(0).await?.open_stream();
    future::pending().await
}

/// A file that is not there, in a folder that goes with it.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("contexts-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> String {
        self.0.join("note").to_str().unwrap().to_owned()
    }

    /// Waits until the note is written.
    async fn noted(&self) {
        let file = self.0.join("note");
        let is_so = || std::fs::read(&file).is_ok_and(|text| text == b"ended");
        until("the far task has ended", is_so).await;
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[hatchery::test]
async fn ctx_01_a_context_starts_with_a_value_streams_and_returns() -> Result<()> {
    with_worker(async |worker| {
        let (mut cx, first) = worker.open_context(adder(4)).await?;
        assert_eq!(first, 5);
        assert_eq!(cx.peer().name, "worker");
        let mut stream = cx.open_stream()?;
        for n in 0..10 {
            stream.send(n).await?;
            assert_eq!(stream.recv().await?, Some(n + 1));
        }
        stream.close().await?;
        assert_eq!(stream.recv().await?, None);
        assert_eq!(cx.result().await?, 10);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn ctx_10_the_result_stays() -> Result<()> {
    with_worker(async |worker| {
        let (cx, first) = worker.open_context(only_starts("hi".into())).await?;
        assert_eq!(first, "hi");
        let opener = cx.result().await?;
        assert!(opener.contains("ctx_10"), "{opener}");
        assert_eq!(cx.result().await?, opener);
        worker.cancel().await?;
        assert_eq!(cx.result().await?, opener);
        Ok(())
    })
    .await
    .or_else(|error| match error.kind() {
        // The last question of `with_worker`, to an actor that is gone.
        ErrorKind::Lost(_) | ErrorKind::Refused(_) => Ok(()),
        _ => Err(error),
    })
}

#[hatchery::test]
async fn ctx_01_several_contexts_live_side_by_side_on_one_actor() -> Result<()> {
    with_worker(async |worker| {
        let mut open = Vec::new();
        for n in 0..16 {
            let (mut cx, first) = worker.open_context(adder(n)).await?;
            assert_eq!(first, n + 1);
            let stream = cx.open_stream()?;
            open.push((cx, stream, n));
        }
        for (_, stream, n) in &open {
            stream.send(*n).await?;
        }
        for (cx, mut stream, n) in open.into_iter().rev() {
            assert_eq!(stream.recv().await?, Some(n + 1));
            stream.close().await?;
            assert_eq!(cx.result().await?, 1);
        }
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn ctx_05_an_error_before_the_start_fails_the_opening() -> Result<()> {
    with_worker(async |worker| {
        let error = worker.open_context(fails_before_start()).await.unwrap_err();
        assert_eq!(error.report().message, "not even started");
        assert_eq!(error.origin().name, "worker");
        let in_block: Result<()> =
            worker.with_context(fails_before_start(), async |_, _| panic!("has started")).await;
        assert_eq!(in_block.unwrap_err().report().message, "not even started");
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn ctx_06_a_return_without_a_start_fails_the_opening() -> Result<()> {
    with_worker(async |worker| {
        let error = worker.open_context(never_starts()).await.unwrap_err();
        assert!(error.to_string().contains("start"), "{error}");
        assert!(error.report().hops[0].task.ends_with("never_starts"), "{error:?}");
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn ctx_11_a_clean_end_of_the_block_joins_the_far_task() -> Result<()> {
    with_worker(async |worker| {
        let value = worker
            .with_context(adder(1), async |mut cx, first| {
                let stream = cx.open_stream()?;
                stream.close().await?;
                Ok::<_, Error>(first * 100)
            })
            .await?;
        assert_eq!(value, 200);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn an_error_in_mid_stream_interrupts_the_body() -> Result<()> {
    with_worker(async |worker| {
        let ended: Result<()> = worker
            .with_context(fails_when_told(), async |mut cx, _| {
                cx.open_stream()?.send(1).await?;
                // Waits for nothing of this context: only the failure can end it.
                future::pending().await
            })
            .await;
        let error = ended.unwrap_err();
        assert_eq!(error.report().message, "told Some(1)");
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn an_error_in_mid_stream_is_what_receive_and_result_say() -> Result<()> {
    with_worker(async |worker| {
        let (mut cx, _) = worker.open_context(fails_when_told()).await?;
        let mut stream = cx.open_stream()?;
        stream.send(1).await?;
        let received = stream.recv().await.unwrap_err();
        let result = cx.result().await.unwrap_err();
        let sent = stream.send(2).await.unwrap_err();
        for error in [received, result, sent] {
            assert_eq!(error.report().message, "told Some(1)");
            assert_eq!(*error.kind(), ErrorKind::Failed);
        }
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn a_panic_in_mid_stream_is_relayed_with_its_place() -> Result<()> {
    with_worker(async |worker| {
        let ended: Result<()> = worker
            .with_context(panics_when_told(), async |mut cx, _| {
                cx.open_stream()?.send(8).await?;
                future::pending().await
            })
            .await;
        let error = ended.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Panicked);
        assert!(error.to_string().contains("told Some(8)"), "{error}");
        assert!(error.report().location.as_ref().unwrap().file.ends_with("contexts.rs"));
        Ok(())
    })
    .await
}

/// The body's own error.
#[derive(Debug)]
enum Own {
    Mine,
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
            Self::Mine => f.write_str("mine"),
            Self::Theirs(error) => fmt::Display::fmt(error, f),
        }
    }
}

#[hatchery::test]
async fn ctx_12_a_failing_body_ends_the_far_task_and_keeps_its_error() -> Result<()> {
    let folder = Folder::new("ctx_12");
    with_worker(async |worker| {
        let ended: Result<(), Own> =
            worker.with_context(notes_its_end(folder.file()), async |_cx, _| Err(Own::Mine)).await;
        assert!(matches!(ended, Err(Own::Mine)), "{ended:?}");
        // The block waited for the far task's end.
        assert_eq!(std::fs::read(folder.file()).unwrap(), b"ended");
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn ctx_13_30_a_cancel_waits_for_the_far_task_and_the_result_says_by_whom() -> Result<()> {
    let folder = Folder::new("ctx_13");
    with_worker(async |worker| {
        let (cx, _) = worker.open_context(notes_its_end(folder.file())).await?;
        assert_eq!(cx.cancel().await, CancelStatus::Done);
        assert_eq!(std::fs::read(folder.file()).unwrap(), b"ended");
        let error = cx.result().await.unwrap_err();
        let by = error.cancelled().unwrap();
        assert!(by.canceller.name.contains("ctx_13"), "{by}");
        assert!(matches!(by.cause, Cause::Asked), "{by}");
        // CTX-30: again, the same.
        assert_eq!(cx.cancel().await, CancelStatus::Done);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn ctx_13_the_blocks_end_absorbs_its_own_cancel() -> Result<()> {
    with_worker(async |worker| {
        let value = worker
            .with_context(waits(), async |cx, _| {
                let _ = cx.cancel().await;
                Ok::<_, Error>(5)
            })
            .await?;
        assert_eq!(value, 5);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn ctx_14_a_cancel_after_the_return_changes_nothing() -> Result<()> {
    with_worker(async |worker| {
        let (cx, _) = worker.open_context(only_starts("hi".into())).await?;
        let first = cx.result().await?;
        assert_eq!(cx.cancel().await, CancelStatus::Done);
        assert_eq!(cx.result().await?, first);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn ctx_15_a_cancelled_actor_raises_in_a_block_that_did_not_ask_its_context() -> Result<()> {
    let ended: Result<()> = open_nursery(async |nursery: Nursery| {
        let worker = nursery.start_actor("worker").await?;
        worker
            .with_context(waits(), async |_cx, _| {
                worker.cancel().await?;
                future::pending().await
            })
            .await
    })
    .await;
    let error = ended.unwrap_err();
    assert!(error.cancelled().is_some(), "{error:?}");
    Ok(())
}

#[hatchery::test]
async fn a_dropped_context_ends_its_far_task() -> Result<()> {
    let folder = Folder::new("dropped");
    with_worker(async |worker| {
        let (cx, _) = worker.open_context(notes_its_end(folder.file())).await?;
        drop(cx);
        folder.noted().await;
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn an_opening_that_is_dropped_ends_its_far_task() -> Result<()> {
    with_worker(async |worker| {
        for _ in 0..20 {
            let mut opening = Box::pin(worker.open_context(waits()));
            let _ = future::poll_once(&mut opening).await;
        }
        // Nothing of this is left: the actor ends within its budget, not by force.
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn ctx_16_a_failed_sibling_task_interrupts_the_block_and_ends_its_far_task() -> Result<()> {
    let folder = Folder::new("sibling");
    let ended: Result<()> = open_nursery(async |nursery: Nursery| {
        let worker = nursery.start_actor("worker").await?;
        worker
            .with_context(notes_its_end(folder.file()), async |_cx, _| {
                nursery.spawn(async { Err(Error::message("the sibling")) });
                future::pending().await
            })
            .await
    })
    .await;
    let error = ended.unwrap_err();
    assert_eq!(error.report().message, "the sibling");
    assert_eq!(std::fs::read(folder.file()).unwrap(), b"ended");
    Ok(())
}

#[hatchery::test]
async fn str_06_a_second_stream_is_misuse() -> Result<()> {
    with_worker(async |worker| {
        let (mut cx, _) = worker.open_context(adder(0)).await?;
        let stream = cx.open_stream()?;
        let error = cx.open_stream().unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Misuse);
        drop(stream);
        assert_eq!(*cx.open_stream().unwrap_err().kind(), ErrorKind::Misuse);
        assert_eq!(cx.cancel().await, CancelStatus::Done);
        Ok(())
    })
    .await
}

/// Fails where it is cancelled: its clean-up finds what it has to save in the way.
#[hatchery::context]
async fn fails_to_clean_up(cx: Talk) -> Result<u64> {
    let ended = hatchery::cancel_scope(async |_scope| {
        let _stream = cx.started(0).await?.open_stream();
        future::pending::<Result<u64>>().await
    })
    .await;
    hatchery::shield(async { Err(Error::message("the disk is full")) }).await?;
    ended.map(Option::unwrap_or_default)
}

#[hatchery::test]
async fn ctx_22_an_error_of_the_far_clean_up_is_not_lost_in_a_cancel_from_around() -> Result<()> {
    with_worker(async |worker| {
        let dropped = hatchery::cancel_scope(async |scope: CancelScope| {
            let block = worker.with_context(fails_to_clean_up(), async |_cx, _| {
                scope.cancel();
                future::pending::<Result<()>>().await
            });
            block.await
        });
        // The other way: the block has ended, and what cancels it comes while it joins.
        let joins = AtomicBool::new(false);
        let joining = hatchery::cancel_scope(async |scope: CancelScope| {
            let block = worker.with_context(fails_to_clean_up(), async |_cx, _| {
                joins.store(true, Ordering::Release);
                Ok::<_, Error>(())
            });
            let late = async {
                while !joins.load(Ordering::Acquire) {
                    future::yield_now().await;
                }
                scope.cancel();
                future::pending().await
            };
            block.or(late).await
        });
        for error in [dropped.await, joining.await].map(Result::unwrap_err) {
            assert_eq!(error.kind(), &ErrorKind::Failed, "{error:?}");
            assert!(error.to_string().contains("the disk is full"), "{error}");
        }
        Ok(())
    })
    .await
}
