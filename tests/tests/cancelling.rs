//! What cancelling an actor or a nursery does, in which order, and what it leaves of what was open
//! with it (CAN-11 to CAN-20).

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_lite::future::{self, pending};
use hatchery::{
    CancelScope, CancelStatus, Context, Error, ErrorKind, Nursery, OpenContext, Options, Receives,
    Result, Rung, Sends, Starts, cancel_scope, on_exit, open_nursery, shield,
};
use hatchery_tests::events::at_each;
use hatchery_tests::procfs::Process;
use hatchery_tests::programs::Signal;
use hatchery_tests::sign::raised_blocking;
use hatchery_tests::worker::with_worker;
use tracing::Level;

/// Ten times what an end that waits for nothing may take.
const SOON: Duration = Duration::from_secs(3);

#[hatchery::endpoint]
async fn forever() {
    pending().await
}

/// Starts, sends three values and waits.
#[hatchery::context]
async fn three(cx: Context<Starts<u8>, Sends<u8>, Receives<()>>) -> Result<()> {
    let stream = cx.started(7).await?.open_stream();
    for value in [1, 2, 3] {
        stream.send(value).await?;
    }
    pending().await
}

fn note(path: &str, word: &str) -> Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(path).map_err(Error::new)?;
    writeln!(file, "{word}").map_err(Error::new)
}

/// Waits; notes the word in a shield once it is cancelled.
async fn noted_when_cancelled(path: &str, word: &str) -> Result<()> {
    let waited = hatchery::cancel_scope(async |_scope| pending::<Result<()>>().await).await;
    shield(async { note(path, word) }).await?;
    waited.map(drop)
}

#[hatchery::endpoint]
async fn leaf(path: String) -> Result<()> {
    note(&path, "up")?;
    noted_when_cancelled(&path, "leaf").await
}

/// A task with an actor below it and a hook for the end of its own.
#[hatchery::endpoint]
async fn branch(path: String) -> Result<()> {
    let file = path.clone();
    on_exit(move || note(&file, "hook"));
    let below = path.clone();
    let ended: Result<()> = open_nursery(async |nursery: Nursery| {
        nursery.start_actor("leaf").await?.run(leaf(below)).await
    })
    .await;
    note(&path, "task")?;
    ended
}

/// Is asleep in a shield for far longer than any test waits.
#[hatchery::endpoint]
async fn shielded(path: String) -> Result<()> {
    shield(async {
        note(&path, "up")?;
        pending().await
    })
    .await
}

/// Blocks its actor's thread; a hook would note that it was asked.
#[hatchery::endpoint]
async fn blocks(path: String) -> Result<()> {
    let file = path.clone();
    on_exit(move || note(&file, "hook"));
    note(&path, "up")?;
    loop {
        std::thread::park();
    }
}

/// A file that actors write words into.
struct Words(PathBuf);

impl Words {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("cancelling-{name}-{}", std::process::id())))
    }

    fn path(&self) -> String {
        self.0.to_str().unwrap().to_owned()
    }

    fn all(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        text.lines().map(ToOwned::to_owned).collect()
    }

    /// Drives `work` until the word is there.
    async fn wait<T>(&self, word: &str, work: &mut (impl Future<Output = T> + Unpin)) {
        while !self.all().iter().any(|known| known == word) {
            assert!(future::poll_once(&mut *work).await.is_none(), "{word} never came");
            future::yield_now().await;
        }
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[hatchery::test]
async fn can_11_14_what_was_open_with_a_cancelled_actor_ends_by_its_own_last_words() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let actor = nursery.start_actor("actor").await?;
        let (mut context, first) = actor.open_context(three()).await?;
        assert_eq!(first, 7);
        let mut stream = context.open_stream()?;
        assert_eq!(stream.recv().await?, Some(1));
        let mut call = Box::pin(actor.run(forever()));
        assert!(future::poll_once(&mut call).await.is_none());

        assert_eq!(actor.cancel_actor().await?, CancelStatus::Done);
        assert_eq!(actor.cancel_actor().await?, CancelStatus::Gone);
        // Nothing here was touched by the one who asked: values that came before are there, and each
        // end is what the far side said.
        assert_eq!(stream.recv().await?, Some(2));
        assert_eq!(stream.recv().await?, Some(3));
        for error in [
            stream.recv().await.unwrap_err(),
            context.result().await.unwrap_err(),
            call.await.unwrap_err(),
        ] {
            let by = error.cancelled().unwrap_or_else(|| panic!("not cancelled: {error:?}"));
            assert_eq!(by.canceller.pid, std::process::id(), "{error:?}");
        }
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn can_12_20_what_is_below_ends_before_its_task_the_hooks_come_last_and_then_it_is_told()
-> Result<()> {
    let words = Words::new("order");
    open_nursery(async |nursery: Nursery| {
        let actor = nursery.start_actor("branch").await?;
        let mut call = Box::pin(actor.run(branch(words.path())));
        words.wait("up", &mut call).await;
        assert_eq!(actor.cancel_actor().await?, CancelStatus::Done);
        note(&words.path(), "told")?;
        assert!(call.await.unwrap_err().cancelled().is_some());
        Ok::<_, Error>(())
    })
    .await?;
    assert_eq!(words.all(), ["up", "leaf", "task", "hook", "told"]);
    Ok(())
}

#[hatchery::test]
async fn can_13_a_cancel_of_the_actor_does_not_cancel_the_cancel_of_its_task() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let actor = nursery.start_actor("actor").await?;
        let (context, _) = actor.open_context(three()).await?;
        let both = future::zip(context.cancel(), actor.cancel_actor()).await;
        assert!(matches!(both.0, CancelStatus::Done), "{both:?}");
        assert_eq!(both.1?, CancelStatus::Done);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn can_15_an_exit_ends_the_wait_for_a_cancel_at_once() {
    let words = Words::new("exit");
    let failed: Result<()> = open_nursery(async |nursery: Nursery| {
        let actor = nursery.start_actor("actor").await?;
        let mut call = Box::pin(actor.run(shielded(words.path())));
        words.wait("up", &mut call).await;
        let mut asked = Box::pin(actor.cancel_actor());
        assert!(future::poll_once(&mut asked).await.is_none());
        let begin = Instant::now();
        Process::of(actor.id().pid.cast_signed()).expect("it lives").kill();
        assert_eq!(asked.await?, CancelStatus::Done);
        assert!(begin.elapsed() < SOON, "its grace was waited for: {:?}", begin.elapsed());
        drop(call);
        Ok(())
    })
    .await;
    // Asked for or not, a death by a signal that is not ours is told.
    let error = failed.unwrap_err();
    let ErrorKind::Died(exit) = error.kind() else { panic!("{error:?}") };
    assert_eq!(exit.rung, Rung::Asked, "{exit:?}");
}

#[hatchery::test]
async fn can_17_a_portals_kill_asks_nothing_and_is_no_failure() -> Result<()> {
    let words = Words::new("kill");
    open_nursery(async |nursery: Nursery| {
        let actor = nursery.start_actor("blocked").await?;
        let mut call = Box::pin(actor.run(blocks(words.path())));
        words.wait("up", &mut call).await;
        let begin = Instant::now();
        assert_eq!(actor.kill().await, CancelStatus::Done);
        assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
        assert_eq!(actor.kill().await, CancelStatus::Gone);
        let error = call.await.unwrap_err();
        let ErrorKind::Died(exit) = error.kind() else { panic!("{error:?}") };
        assert_eq!(exit.rung, Rung::Killed, "{exit:?}");
        Ok::<_, Error>(())
    })
    .await?;
    assert_eq!(words.all(), ["up"], "no hook runs");
    Ok(())
}

#[hatchery::test]
async fn can_17_a_nurserys_kill_takes_subtrees_along_and_its_body_goes_on() -> Result<()> {
    let words = Words::new("kill-all");
    let value = open_nursery(async |nursery: Nursery| {
        let actor = nursery.start_actor("branch").await?;
        let mut call = Box::pin(actor.run(branch(words.path())));
        words.wait("up", &mut call).await;
        nursery.run_in_actor("sleeper", forever()).await?;
        nursery.spawn(pending::<()>());
        nursery.kill();
        assert!(matches!(call.await.unwrap_err().kind(), ErrorKind::Died(_)));
        Ok::<_, Error>(17)
    })
    .await?;
    assert_eq!(value, 17);
    // The leaf may see the end of its link just before its parent-death signal.
    let said = words.all();
    assert!(!said.iter().any(|word| word == "task" || word == "hook"), "{said:?}");
    Ok(())
}

#[hatchery::test(options = Options::new().teardown(Duration::from_millis(800)))]
async fn can_17_without_it_the_same_end_by_force_is_a_failure() {
    let words = Words::new("forced");
    let failed: Result<()> = open_nursery(async |nursery: Nursery| {
        let actor = nursery.start_actor("blocked").await?;
        let mut call = Box::pin(actor.run(blocks(words.path())));
        words.wait("up", &mut call).await;
        nursery.cancel();
        drop(call);
        Ok(())
    })
    .await;
    let error = failed.unwrap_err();
    assert!(error.to_string().contains("by force"), "{error}");
}

/// Sends for ever; notes how it came to its end.
#[hatchery::context]
async fn sends_until_told(
    cx: Context<Starts<()>, Sends<u64>, Receives<()>>,
    path: String,
) -> Result<()> {
    struct Dropped(String);
    impl Drop for Dropped {
        fn drop(&mut self) {
            note(&self.0, "dropped").expect("a file to note it in");
        }
    }
    let stream = cx.started(()).await?.open_stream();
    let _dropped = Dropped(path.clone());
    loop {
        if let Err(error) = stream.send(0).await {
            note(&path, "failed")?;
            return Err(error);
        }
    }
}

/// Blocks its thread when dropped, until the far task has come to an end.
struct Awaits(String);

impl Drop for Awaits {
    fn drop(&mut self) {
        let _ = raised_blocking(&self.0);
    }
}

#[hatchery::test]
async fn p_c2_a_block_that_is_cancelled_says_so_before_its_stream_is_dropped() -> Result<()> {
    let path = std::env::temp_dir().join(format!("cancelling-order-{}", std::process::id()));
    let text = path.display().to_string();
    with_worker(async |worker| {
        let ended = cancel_scope(async |scope: CancelScope| {
            let far = sends_until_told(text.clone());
            worker
                .with_context(far, async |mut cx: OpenContext<sends_until_told>, ()| {
                    // Dropped behind the stream, which the far task hears of meanwhile.
                    let _awaits = Awaits(text.clone());
                    let mut stream = cx.open_stream()?;
                    stream.recv().await?;
                    scope.cancel();
                    pending::<Result<()>>().await
                })
                .await
        });
        assert!(ended.await?.is_none(), "it was cancelled");
        assert_eq!(fs::read_to_string(&path).map_err(Error::new)?, "dropped\n");
        fs::remove_file(&path).map_err(Error::new)
    })
    .await
}

/// Its whole actor is stopped, so that nobody there can hear it.
#[hatchery::test(options = Options::new().teardown(Duration::from_millis(400)))]
async fn p_c1_a_task_that_does_not_hear_its_cancel_is_given_up_after_its_grace_and_half_a_second()
-> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let actor = nursery.start_actor("stopped").await?;
        let (mut cx, _) = actor.open_context(three()).await?;
        let stream = cx.open_stream()?;
        let stopped = Process::of(actor.id().pid.cast_signed()).expect("it lives");
        stopped.signal(Signal::STOP);
        let begin = Instant::now();
        assert_eq!(cx.cancel().await, CancelStatus::TimedOut);
        let took = begin.elapsed();
        // The grace is part of 400 ms; ten times of that and half a second.
        assert!(took >= Duration::from_millis(500), "{took:?}");
        assert!(took < Duration::from_secs(9), "{took:?}");
        drop(stream);
        stopped.signal(Signal::CONT);
        actor.cancel().await
    })
    .await
}

/// What became of a task: counts its polls, and says when it is dropped.
#[derive(Default)]
struct Watched {
    polls: AtomicUsize,
    drops: AtomicUsize,
}

impl Watched {
    fn task(self: &Arc<Self>) -> impl Future<Output = Result<()>> + Send + use<> {
        struct Dropped(Arc<Watched>);
        impl Drop for Dropped {
            fn drop(&mut self) {
                self.0.drops.fetch_add(1, Ordering::SeqCst);
            }
        }
        let dropped = Dropped(self.clone());
        future::poll_fn(move |_cx| {
            dropped.0.polls.fetch_add(1, Ordering::SeqCst);
            std::task::Poll::Ready(Err(Error::message("it runs")))
        })
    }

    fn told(&self) -> (usize, usize) {
        (self.polls.load(Ordering::SeqCst), self.drops.load(Ordering::SeqCst))
    }
}

#[hatchery::test]
async fn tri_05_a_task_for_a_nursery_that_is_over_is_dropped_unpolled_and_that_is_logged()
-> Result<()> {
    static LOGGED: AtomicUsize = AtomicUsize::new(0);
    at_each("hatchery::nursery", Level::WARN, || _ = LOGGED.fetch_add(1, Ordering::SeqCst));
    let watched = Arc::new(Watched::default());
    // Its block has ended.
    let ended = open_nursery(async |nursery: Nursery| Ok::<_, Error>(nursery)).await?;
    ended.spawn(watched.task());
    assert_eq!((watched.told(), LOGGED.load(Ordering::SeqCst)), ((0, 1), 1));
    let refused = ended.start_actor("late").await.unwrap_err();
    assert_eq!(*refused.kind(), ErrorKind::Misuse, "{refused:?}");
    // It has failed, and its body cleans up.
    let failed: Result<()> = open_nursery(async |nursery: Nursery| {
        nursery.spawn(async { Err(Error::message("the cause")) });
        let waits = cancel_scope(async |_scope| pending::<Result<()>>().await).await;
        nursery.spawn(watched.task());
        assert_eq!((watched.told(), LOGGED.load(Ordering::SeqCst)), ((0, 2), 2));
        waits.map(drop)
    })
    .await;
    let error = failed.unwrap_err();
    assert_eq!(error.report().message, "the cause");
    assert!(error.also().is_empty(), "{error:?}");
    // It was cancelled from around, and its body cleans up.
    let cancelled = cancel_scope(async |scope: CancelScope| {
        open_nursery(async |nursery: Nursery| {
            scope.cancel();
            let waits = cancel_scope(async |_scope| pending::<Result<()>>().await).await;
            nursery.spawn(watched.task());
            assert_eq!((watched.told(), LOGGED.load(Ordering::SeqCst)), ((0, 3), 3));
            waits.map(drop)
        })
        .await
    });
    assert!(cancelled.await?.is_none());
    assert_eq!(watched.told(), (0, 3));
    Ok(())
}

#[hatchery::test]
async fn tri_05_what_is_started_in_a_block_that_was_cancelled_hears_of_that_and_of_no_misuse()
-> Result<()> {
    let mut heard = None;
    let ended = cancel_scope(async |scope: CancelScope| {
        open_nursery(async |nursery: Nursery| {
            scope.cancel();
            // It has not come to an await yet: for all it knows, nothing has happened.
            heard = Some(nursery.start_actor("late").await.map(drop));
            pending::<Result<()>>().await
        })
        .await
    })
    .await;
    assert!(ended?.is_none());
    let error = heard.expect("it went on").unwrap_err();
    assert!(error.cancelled().is_some(), "{error:?}");
    Ok(())
}
