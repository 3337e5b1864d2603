//! Supervision as users see it: blocked grandchildren, daemons that are joined, starts that are
//! cancelled on their way (CAN-09, CAN-10, CAN-16, SPN-08, SPN-09, SPN-14, L31, L48, L49).

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use async_io::Timer;
use futures_lite::FutureExt as _;
use hatchery::{Error, Nursery, Result, Rung, open_nursery, timeout};

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

/// Where an actor says that it is blocked.
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
