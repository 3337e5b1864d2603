//! The cases of what an actor opens with its parent: it drops, and looks there what is left.

use super::sources::numbers;
use super::*;
use hatchery::{Options, ParentPortal};
use hatchery_tests::dropping::MOST_POLLS;

/// What is dropped at every await.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
enum What {
    Run,
    OpenContext,
    WithContext,
    OpenStreamFrom,
    WithStreamFrom,
}

/// Polls it so often; says whether it had ended by then.
async fn once(parent: &ParentPortal, what: What, polls: usize) -> Result<bool> {
    Ok(match what {
        What::Run => {
            let ended = poll_times(parent.run(double_late(3)), polls).await.done().transpose()?;
            assert!(matches!(ended, None | Some(6)), "{ended:?}");
            ended.is_some()
        }
        What::OpenContext => {
            let opened = poll_times(parent.open_context(starts_late()), polls).await;
            opened.done().transpose()?.is_some()
        }
        What::WithContext => {
            let block = parent.with_context(echo(), async |mut cx, first| {
                let mut stream = cx.open_stream()?;
                stream.send(first).await?;
                assert_eq!(stream.recv().await?, Some(first));
                drop(stream);
                cx.result().await
            });
            let ended = poll_times(block, polls).await.done().transpose()?;
            assert!(matches!(ended, None | Some(1)), "{ended:?}");
            ended.is_some()
        }
        What::OpenStreamFrom => {
            let opened = poll_times(parent.open_stream_from(numbers(u64::MAX)), polls).await;
            opened.done().transpose()?.is_some()
        }
        What::WithStreamFrom => {
            let block = parent.with_stream_from(numbers(u64::MAX), async |mut source| {
                assert_eq!(source.recv().await?, Some(0));
                Ok::<_, hatchery::Error>(())
            });
            poll_times(block, polls).await.done().transpose()?.is_some()
        }
    })
}

/// What `at_every_await` does, where the compiler has to see that it may move between threads.
#[hatchery::endpoint]
async fn drops(what: What) -> Result<()> {
    let parent = ParentPortal::new()?;
    for polls in 0..MOST_POLLS {
        let ended = once(&parent, what, polls).await?;
        let begin = Instant::now();
        while parent.run(held()).await? > 0 {
            assert!(begin.elapsed() < LONG, "its task stays");
            Timer::after(Duration::from_millis(1)).await;
        }
        assert_eq!(parent.run(double(2)).await?, 4);
        if ended {
            return Ok(());
        }
    }
    Err(hatchery::Error::message("it never ends by itself"))
}

fn in_a_child(what: What) -> Result<()> {
    let options = Options::new()
        .expose::<double>()
        .expose::<double_late>()
        .expose::<held>()
        .expose::<echo>()
        .expose::<starts_late>()
        .expose::<numbers>();
    hatchery::run_with(
        options,
        open_nursery(async |nursery: Nursery| {
            let worker = nursery.start_actor("worker").await?;
            worker.run(drops(what)).await?;
            assert_eq!(HELD.load(Ordering::Acquire), 0);
            worker.cancel().await
        }),
    )
}

pub(super) fn run() -> Result<()> {
    in_a_child(What::Run)
}

pub(super) fn open_context() -> Result<()> {
    in_a_child(What::OpenContext)
}

pub(super) fn with_context() -> Result<()> {
    in_a_child(What::WithContext)
}

pub(super) fn open_stream_from() -> Result<()> {
    in_a_child(What::OpenStreamFrom)
}

pub(super) fn with_stream_from() -> Result<()> {
    in_a_child(What::WithStreamFrom)
}
