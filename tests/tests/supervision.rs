//! Supervision as users see it: blocked grandchildren, daemons that are joined, starts that are
//! cancelled on their way.
//!
//! The rows of CAN and SPN that no test has in its name:
//!
//! | row | shown by, or why there is nothing to show |
//! | --- | --- |
//! | SPN-01 | `p_l2_a_child_serves_nothing_…` in `link_hostile.rs` |
//! | SPN-06 | `ctx_02_…` in `ui.rs` |
//! | SPN-12 | endpoints are linked in; other failures: `spn_11_what_a_failing_start_…` in `misuse.rs` |
//! | SPN-15 | the own image everywhere; another: `rpc_03_msg_10_…` in `misuse.rs` |
//! | SPN-21 | there is one way: a program is executed, and nothing of ours runs in a mere fork |

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_lite::{FutureExt as _, future};
use hatchery::{
    ActorBuilder, CancelScope, CancelStatus, Error, ErrorKind, ExitStatus, Nursery, Portal, Result,
    Rung, cancel_scope, open_nursery, shield, timeout,
};
use hatchery_tests::build::{Kind, built};
use hatchery_tests::sign::{Last, Sign, raise, raised};

/// Says in a file that it holds up its actor's one thread, as code that is not async may, and does.
#[hatchery::endpoint]
async fn block(note: String) -> Result<()> {
    raise(&note, "");
    loop {
        std::thread::park();
    }
}

#[hatchery::endpoint]
async fn block_below(note: String) -> Result<()> {
    open_nursery(async |nursery| nursery.start_actor("leaf").await?.run(block(note)).await).await
}

#[hatchery::endpoint]
async fn add(a: u64, b: u64) -> u64 {
    a + b
}

#[hatchery::test]
async fn can_09_a_blocked_grandchild_is_ended_by_its_own_parent_within_the_budget() {
    let note = Sign::new("below");
    let mut begin = Instant::now();
    let failed: Result<()> = open_nursery(async |nursery: Nursery| {
        let middle = nursery.start_actor("middle").await?;
        let fails = async {
            note.raised().await;
            begin = Instant::now();
            Err(Error::message("the cause"))
        };
        middle.run(block_below(note.path())).or(fails).await
    })
    .await;
    let error = failed.unwrap_err();
    assert!(error.report().message.contains("the cause"), "{error}");
    let took = begin.elapsed();
    // The bound of a teardown of any depth: the budget, and 250 ms.
    assert!(took < Duration::from_millis(4600 + 250), "{took:?}: {error:?}");
}

/// Has its actor write this when it ends by itself or is asked to, and then exit as `code` says.
#[hatchery::endpoint]
#[expect(clippy::exit, reason = "a code of its own tells on which rung it ended")]
async fn says_its_end(note: String, code: Option<i32>) {
    hatchery::on_exit(move || {
        raise(&note, "asked");
        if let Some(code) = code {
            std::process::exit(code);
        }
    });
}

/// What a nursery comes to that is cancelled while all it does is wait for its daemon, and how long
/// after.
async fn cancelled_while_joined(note: &Sign, code: Option<i32>) -> (Result<Option<()>>, Duration) {
    let joins = AtomicBool::new(false);
    let mut since = Instant::now();
    let ended = cancel_scope(async |scope: CancelScope| {
        let block = open_nursery(async |nursery: Nursery| {
            let daemon = nursery.start_actor("daemon").await?;
            daemon.run(says_its_end(note.path(), code)).await?;
            joins.store(true, Ordering::Relaxed);
            Ok(())
        });
        let cancels = async {
            while !joins.load(Ordering::Relaxed) {
                future::yield_now().await;
            }
            // The block is polled before this: by now it waits for its daemon.
            since = Instant::now();
            scope.cancel();
            future::pending().await
        };
        block.or(cancels).await
    })
    .await;
    (ended, since.elapsed())
}

#[hatchery::test]
async fn can_10_l48_a_daemon_that_is_joined_is_asked_and_goes_at_once() {
    let note = Sign::new("asked");
    let (ended, took) = cancelled_while_joined(&note, None).await;
    assert!(ended.unwrap().is_none(), "it was cancelled");
    // Its hooks ran: SIGKILL leaves no time for that.
    assert_eq!(note.said(), "asked");
    // Ten times what a healthy tree may take.
    assert!(took < Duration::from_secs(1), "{took:?}");
    // And no signal was needed for it: one that ends otherwise than well tells on which rung.
    let note = Sign::new("asked-exits");
    let (ended, took) = cancelled_while_joined(&note, Some(7)).await;
    let error = ended.unwrap_err();
    assert_eq!(note.said(), "asked");
    let exit = error.exit().unwrap_or_else(|| panic!("{error:?}"));
    assert_eq!((exit.rung, exit.status), (Rung::Asked, Some(ExitStatus::Code(7))), "{error:?}");
    assert!(exit.asked_by.is_some(), "{error:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[hatchery::test]
async fn can_16_what_does_not_end_is_killed_and_reported() {
    let note = Sign::new("blocked");
    let failed: Result<()> = open_nursery(async |nursery: Nursery| {
        let blocked = nursery.start_actor("blocked").await?;
        let asked = async {
            note.raised().await;
            Ok(())
        };
        blocked.run(block(note.path())).or(asked).await?;
        blocked.cancel().await
    })
    .await;
    let error = failed.unwrap_err();
    let rung = error.exit().map(|exit| exit.rung);
    assert!(matches!(rung, Some(Rung::Terminated | Rung::Killed)), "{error:?}");
}

#[hatchery::test]
async fn spn_08_09_14_l31_l49_a_start_that_is_cancelled_at_any_moment_ends_at_once() {
    for micros in (0..20).map(|step| step * 500) {
        let begin = Instant::now();
        let started: Result<()> = timeout(Duration::from_micros(micros), async {
            open_nursery(async |nursery: Nursery| nursery.start_actor("late").await?.cancel().await)
                .await
        })
        .await;
        if let Err(error) = started {
            assert!(error.cancelled().is_some(), "{micros}: {error:?}");
        }
        assert!(begin.elapsed() < Duration::from_secs(1), "{micros}: {:?}", begin.elapsed());
    }
}

/// Keeps to itself until the sign is there, then becomes this program: a child that is slow to come.
fn slow(nursery: &Nursery, sign: &Sign) -> ActorBuilder {
    const SCRIPT: &str = r#"while ! test -e "$1"; do sleep 0.01; done; exec "$0""#;
    let own = std::env::current_exe().unwrap();
    nursery.actor("slow").program("/bin/sh").arg("-c").arg(SCRIPT).arg(own).arg(sign.path())
}

#[hatchery::test]
async fn spn_02_a_start_returns_once_its_child_serves_and_not_before() -> Result<()> {
    let sign = Sign::new("slow");
    open_nursery(async |nursery: Nursery| {
        let mut start = Box::pin(slow(&nursery, &sign).start());
        // Another one is up and has answered meanwhile.
        let quick = nursery.start_actor("quick");
        let racing = async {
            let quick = quick.await?;
            assert_eq!(quick.run(add(1, 2)).await?, 3);
            quick.cancel().await
        };
        let early =
            async { (&mut start).await.map(|slow| panic!("it was told to wait: {slow:?}")) };
        racing.or(early).await?;
        sign.raise();
        let slow = start.await?;
        assert_eq!(slow.run(add(3, 4)).await?, 7);
        slow.cancel().await
    })
    .await
}

#[hatchery::test]
async fn spn_10_an_actor_that_is_cancelled_as_soon_as_it_is_up_goes_at_once() -> Result<()> {
    for yields in 0..20 {
        open_nursery(async |nursery: Nursery| {
            let late = nursery.start_actor("late").await?;
            for _ in 0..yields {
                future::yield_now().await;
            }
            let begin = Instant::now();
            assert_eq!(late.cancel_actor().await?, CancelStatus::Done);
            assert!(begin.elapsed() < Duration::from_secs(1), "{yields}: {:?}", begin.elapsed());
            Ok::<_, Error>(())
        })
        .await?;
    }
    Ok(())
}

/// A child that is held back after it was told what it is to be, until the sign is there.
fn held(nursery: &Nursery, sign: &str, here: &str) -> ActorBuilder {
    let late = built(Kind::Bin, "late");
    nursery.actor("slow").program(late).arg(here).arg(sign).log("off")
}

/// Goes on with a start until its child has written the note.
async fn polled_until<F>(start: &mut F, here: &Sign) -> Result<()>
where
    F: Future<Output = Result<Portal>> + Unpin,
{
    let polled = async { start.await.map(|actor| panic!("it is held: {actor:?}")) };
    let is_here = async {
        here.raised().await;
        Ok(())
    };
    polled.or(is_here).await
}

/// What a start comes to whose nursery is cancelled before it is waited for, and how long after.
async fn cancelled_start<F>(nursery: &Nursery, start: F) -> (Error, Duration)
where
    F: Future<Output = Result<Portal>>,
{
    nursery.cancel();
    let begin = Instant::now();
    (shield(start).await.unwrap_err(), begin.elapsed())
}

/// That a start was given up because this actor wanted so, and its child was not up.
fn assert_given_up(error: &Error, name: &str) {
    assert_eq!(*error.kind(), ErrorKind::Spawn, "{error:?}");
    let said = error.to_string();
    let begins = format!("starting actor `{name}`: it was cancelled by actor `");
    assert!(said.starts_with(&begins), "{said}");
    assert!(said.ends_with(" before it was up"), "{said}");
    assert!(said.contains(&format!("(pid {})", std::process::id())), "{said}");
    assert!(!said.contains("init()"), "nothing is wrong with its program: {said}");
}

#[hatchery::test]
async fn spn_08_09_a_start_that_is_cancelled_before_its_child_is_up_says_by_whom_at_once() {
    // Nothing has been done for it yet.
    let block: Result<()> = open_nursery(async |nursery: Nursery| {
        let mut start = Box::pin(nursery.start_actor("never"));
        assert!(future::poll_once(&mut start).await.is_none());
        let (error, took) = cancelled_start(&nursery, start).await;
        assert_given_up(&error, "never");
        assert!(took < Duration::from_secs(1), "{took:?}: {error:?}");
        Ok(())
    })
    .await;
    block.unwrap();
    // There is a process, which has not come to the library: nobody there could be asked.
    let (sign, here) = (Sign::new("shell-sign"), Sign::new("shell-here"));
    let block: Result<()> = open_nursery(async |nursery: Nursery| {
        let script = r#": > "$1"; while ! test -e "$0"; do sleep 0.01; done"#;
        let shell = nursery.actor("shell").program("/bin/sh").arg("-c").arg(script);
        let mut start = Box::pin(shell.arg(sign.path()).arg(here.path()).start());
        polled_until(&mut start, &here).await?;
        let (error, took) = cancelled_start(&nursery, start).await;
        assert_given_up(&error, "shell");
        let exit = error.exit().expect("there was a process");
        assert_eq!(exit.status, Some(ExitStatus::Signal { number: 9, core: false }), "{error:?}");
        assert!(took < Duration::from_secs(1), "{took:?}: {error:?}");
        Ok(())
    })
    .await;
    block.unwrap();
}

/// Its process has been told what it is to be when the cancel comes. It comes up, with the cancel
/// waiting for it, and ends as it is asked, long before any rung of the ladder.
#[hatchery::test]
async fn spn_09_14_a_child_that_comes_up_after_its_parent_was_cancelled_goes_at_once() -> Result<()>
{
    let (sign, here) = (Sign::new("late-sign"), Sign::new("late-here"));
    open_nursery(async |nursery: Nursery| {
        let mut start = Box::pin(held(&nursery, &sign.path(), &here.path()).start());
        polled_until(&mut start, &here).await?;
        nursery.cancel();
        sign.raise();
        let begin = Instant::now();
        // It was up, and is somebody's for a moment. That it had to be ended by force would be an
        // error of this block.
        assert_eq!(shield(start).await?.cancel_actor().await?, CancelStatus::Done);
        assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
        Ok::<_, Error>(())
    })
    .await
}

/// Starts an actor that is held, and is cancelled itself before that comes up.
#[hatchery::endpoint]
async fn is_cancelled_while_it_starts(sign: String, here: String) -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let mut start = Box::pin(held(&nursery, &sign, &here).start());
        let comes_up = async {
            let _: Result<_> = (&mut start).await;
            panic!("nobody has let it");
        };
        raised(&here).or(comes_up).await;
        // Dropped by the cancel, which nothing else lets the actor come up before.
        let _signs = Last(sign.clone());
        hatchery::cancel_soon()?;
        start.await.map(drop)
    })
    .await
}

#[hatchery::test]
async fn spn_14_so_does_one_whose_parent_is_an_actor_that_is_cancelled() -> Result<()> {
    let (sign, here) = (Sign::new("middle-sign"), Sign::new("middle-here"));
    let ended = open_nursery(async |nursery: Nursery| {
        let middle = nursery.start_actor("middle").await?;
        let ended = middle.run(is_cancelled_while_it_starts(sign.path(), here.path())).await;
        let begin = Instant::now();
        let error = ended.unwrap_err();
        assert!(error.cancelled().is_some(), "{error:?}");
        assert!(sign.is_raised(), "it ended before its actor could come up");
        middle.ended().await;
        assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
        Ok::<_, Error>(())
    });
    // It was not we who asked it to end.
    let error = ended.await.unwrap_err();
    assert_eq!(error.cancelled().map(|by| by.canceller.name.as_str()), Some("middle"), "{error:?}");
    Ok(())
}
