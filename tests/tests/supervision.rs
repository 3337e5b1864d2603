//! Supervision as users see it: blocked grandchildren, daemons that are joined, starts that are
//! cancelled on their way.
//!
//! The rows of CAN and SPN that no test has in its name:
//!
//! | row | shown by, or why there is nothing to show |
//! | --- | --- |
//! | SPN-01 | `p_l2_a_child_serves_nothing_…` in `link_hostile.rs` |
//! | SPN-06 | `misuse_does_not_compile` in `ui.rs` |
//! | SPN-12 | endpoints are linked in; other failures: `spn_11_what_a_failing_start_…` in `misuse.rs` |
//! | SPN-15 | the own image everywhere; another: `rpc_03_…` in `misuse.rs` |
//! | SPN-21 | there is one way: a program is executed, and nothing of ours runs in a mere fork |

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use async_io::Timer;
use futures_lite::{FutureExt as _, future};
use hatchery::{ActorBuilder, CancelStatus, Error, Nursery, Result, Rung, open_nursery, timeout};

/// Says in a file that it holds up its actor's one thread, as code that is not async may, and does.
#[hatchery::endpoint]
async fn block(note: String) -> Result<()> {
    fs::write(note, "").map_err(Error::new)?;
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

/// Where an actor says that it is blocked, or waits.
struct Note(PathBuf);

impl Note {
    fn new(name: &str) -> Self {
        let name = format!("supervision-{name}-{}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn path(&self) -> String {
        self.0.to_str().unwrap().to_owned()
    }

    async fn written(&self) {
        while !self.0.exists() {
            Timer::after(Duration::from_millis(1)).await;
        }
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[hatchery::test]
async fn can_09_a_blocked_grandchild_is_ended_by_its_own_parent_within_the_budget() {
    let note = Note::new("below");
    let mut begin = Instant::now();
    let failed: Result<()> = open_nursery(async |nursery: Nursery| {
        let middle = nursery.start_actor("middle").await?;
        let fails = async {
            note.written().await;
            begin = Instant::now();
            Err(Error::message("the cause"))
        };
        middle.run(block_below(note.path())).or(fails).await
    })
    .await;
    let error = failed.unwrap_err();
    assert!(error.report().message.contains("the cause"), "{error}");
    assert!(begin.elapsed() < Duration::from_millis(4600 + 450), "{error:?}");
}

#[hatchery::test]
async fn can_10_l48_a_daemon_that_is_joined_is_asked_and_goes_at_once() {
    let begin = Instant::now();
    let joined: Result<()> = timeout(Duration::from_millis(100), async {
        open_nursery(async |nursery: Nursery| nursery.start_actor("daemon").await.map(drop)).await
    })
    .await;
    assert!(joined.unwrap_err().cancelled().is_some());
    assert!(begin.elapsed() < Duration::from_millis(600), "{:?}", begin.elapsed());
}

#[hatchery::test]
async fn can_16_what_does_not_end_is_killed_and_reported() {
    let note = Note::new("blocked");
    let failed: Result<()> = open_nursery(async |nursery: Nursery| {
        let blocked = nursery.start_actor("blocked").await?;
        let asked = async {
            note.written().await;
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
fn slow(nursery: &Nursery, sign: &Note) -> ActorBuilder {
    const SCRIPT: &str = r#"while ! test -e "$1"; do sleep 0.01; done; exec "$0""#;
    let own = std::env::current_exe().unwrap();
    nursery.actor("slow").program("/bin/sh").arg("-c").arg(SCRIPT).arg(own).arg(sign.path())
}

#[hatchery::test]
async fn spn_02_a_start_returns_once_its_child_serves_and_not_before() -> Result<()> {
    let sign = Note::new("slow");
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
        fs::write(&sign.0, "").map_err(Error::new)?;
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
