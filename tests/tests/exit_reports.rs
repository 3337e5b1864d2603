//! What an exit report says of a real death: each line of its one rendering, its journey through a
//! format that describes itself, and that a core was dumped.
//!
//! The lines of a panic, of standard error and of force: `deaths.rs`, `misuse.rs`.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use hatchery::{
    ActorId, Error, ErrorKind, ExitReport, ExitStatus, Nursery, Options, Portal, Report, Result,
    Rung, Usage, open_nursery,
};
use hatchery_tests::groups::say;
use hatchery_tests::procfs::Process;
use hatchery_tests::programs::Signal;
use rustix::process::{Pid, Resource, Rlimit, prlimit};

fn died(error: &Error) -> &ExitReport {
    let ErrorKind::Died(exit) = error.kind() else { panic!("{error:?}") };
    exit
}

#[hatchery::endpoint]
async fn aborts() {
    std::process::abort()
}

/// A line of the rendering that begins with this word.
fn line<'a>(rendered: &'a str, word: &str) -> &'a str {
    let mut lines = rendered.lines().filter_map(|line| line.strip_prefix("  ")?.strip_prefix(word));
    let found = lines.next().unwrap_or_else(|| panic!("no {word}: {rendered}")).trim_start();
    assert_eq!(lines.next(), None, "{word} twice: {rendered}");
    found
}

#[hatchery::test(options = Options::new().teardown(Duration::from_millis(800)))]
async fn f_02_each_line_of_a_forced_end_is_read_in_its_place_behind_the_cause() -> Result<()> {
    let failed: Result<()> = open_nursery(async |nursery: Nursery| {
        let stopped = nursery.start_actor("stopped").await?;
        Process::of(stopped.id().pid.cast_signed()).expect("it lives").signal(Signal::STOP);
        stopped.cancel().await
    })
    .await;
    let error = failed.unwrap_err();
    let (exit, rendered) = (died(&error), format!("{error:?}"));
    let [(_, asked), (_, told), (_, killed)] = exit.rungs[..] else { panic!("{exit:?}") };
    let teardown = format!("asked for {asked:.0?}, told by SIGTERM for {told:.0?}, ");
    let teardown = format!("{teardown}killed for {killed:.0?}");
    assert_eq!(line(&rendered, "teardown"), teardown);
    let asked_by = exit.asked_by.as_ref().expect("somebody asked");
    assert_eq!(line(&rendered, "asked by"), format!("actor {asked_by}"));
    assert_eq!(asked_by.pid, std::process::id());
    // It was up, and nothing came from it after that.
    assert_eq!(line(&rendered, "link"), format!("last {}", exit.last_message));
    assert!(exit.last_message.starts_with("received Started of dialog 0"), "{exit:?}");
    let Usage { user, system } = exit.usage.expect("the system keeps accounts");
    assert_eq!(line(&rendered, "used"), format!("{user:?} user, {system:?} system"));
    assert_eq!(line(&rendered, "force"), "it did not end by itself in the time it was given");
    // The cause first, and each line once.
    let words = rendered.lines().skip(1).map(|line| line.get(2..11).unwrap_or_default().trim_end());
    let words: Vec<_> = words.collect();
    assert_eq!(words, ["force", "teardown", "asked by", "link", "used"], "{rendered}");
    assert!(rendered.starts_with(&format!("{exit}")), "{rendered}");
    // And so is the whole report after a journey through a format that describes itself.
    let value = serde_json::to_value(error.report()).map_err(Error::new)?;
    assert_eq!(value["origin"]["uuid"].as_str().map(str::len), Some(32), "{value}");
    let back: Report = serde_json::from_value(value).map_err(Error::new)?;
    assert_eq!(format!("{back:?}"), format!("{:?}", error.report()));
    assert_eq!(back, *error.report());
    Ok(())
}

#[test]
fn an_exit_report_with_every_field_set_comes_back_from_a_format_that_describes_itself() {
    let id = |name: &str, pid| ActorId { name: name.to_owned(), uuid: u128::from(pid) << 77, pid };
    let plain = ExitReport::new(id("plain", 7), None, Rung::Unasked);
    for status in [
        ExitStatus::Code(-1),
        ExitStatus::Signal { number: 11, core: true },
        ExitStatus::Signal { number: 9, core: false },
        ExitStatus::Taken,
    ] {
        for rung in [Rung::Asked, Rung::Terminated, Rung::Killed, Rung::Unkillable] {
            let mut full = ExitReport::new(id("full", u32::MAX), Some(status), rung);
            full.rungs = vec![(Rung::Asked, Duration::from_nanos(1)), (rung, Duration::MAX)];
            full.asked_by = Some(id("who \"asked\"", 1));
            full.link_lost = true;
            full.under_way = vec!["module::task".to_owned(), String::new()];
            full.last_message = "received Started of dialog 0".to_owned();
            full.panics = "a\npanic \u{1f980}\0".to_owned();
            full.stderr_tail = "told\tso".to_owned();
            full.out_of_memory = true;
            full.usage =
                Some(Usage { user: Duration::from_millis(5), system: Duration::from_micros(1) });
            // A field that is added later has to be set here, too.
            let value = serde_json::to_value(&full).unwrap();
            let empty = serde_json::to_value(&plain).unwrap();
            for (name, set) in value.as_object().unwrap() {
                assert_ne!(set, &empty[name], "{name} is not set");
            }
            let text = serde_json::to_string(&full).unwrap();
            let back: ExitReport = serde_json::from_str(&text).unwrap();
            assert_eq!(back, full);
            assert_eq!(back.actor.name, full.actor.name, "ids are equal by less");
            let back: ExitReport = serde_json::from_value(value).unwrap();
            assert_eq!(format!("{back:?}"), format!("{full:?}"));
            let mut broken = serde_json::to_value(&full).unwrap();
            for uuid in ["", "+1", "0000000000000000000000000000000g", "1234"] {
                broken["actor"]["uuid"] = uuid.into();
                let error = serde_json::from_value::<ExitReport>(broken.clone()).unwrap_err();
                assert!(error.to_string().contains("32 hex digits"), "{uuid}: {error}");
            }
        }
    }
}

/// A folder that is gone with this.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What an actor that may dump core this large, and aborts, comes to.
async fn abort_with(limit: Option<u64>) -> (Error, usize) {
    let name = format!("cores-{}-{}", std::process::id(), limit.unwrap_or(1));
    let folder = Folder(std::env::temp_dir().join(name));
    fs::create_dir_all(&folder.0).unwrap();
    let failed: Result<()> = open_nursery(async |nursery: Nursery| {
        let actor: Portal = nursery.actor("victim").current_dir(&folder.0).start().await?;
        let pid = Pid::from_raw(actor.id().pid.cast_signed());
        prlimit(pid, Resource::Core, Rlimit { current: limit, maximum: limit })
            .map_err(Error::new)?;
        actor.run(aborts()).await
    })
    .await;
    let cores = fs::read_dir(&folder.0).unwrap().count();
    (failed.unwrap_err(), cores)
}

/// Where cores go to a file, which the limit and the folder are this test's to decide, the kernel
/// says that it wrote one; where they are piped to a program, it says so if that took it.
#[hatchery::test]
async fn f_17_a_death_that_dumped_core_says_so_and_one_that_did_not_says_nothing() -> Result<()> {
    let (error, cores) = abort_with(Some(0)).await;
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").map_err(Error::new)?;
    let piped = pattern.starts_with('|');
    if !piped {
        // A pipe gets a core whatever the limit.
        assert_eq!(died(&error).status, Some(ExitStatus::Signal { number: 6, core: false }));
        assert!(!error.to_string().contains("core"), "{error}");
        assert_eq!(cores, 0);
    }
    let (error, cores) = abort_with(None).await;
    let Some(ExitStatus::Signal { number: 6, core }) = died(&error).status else {
        panic!("{error:?}")
    };
    // Only a file that is named by itself lies in the folder of the process.
    if !piped && !pattern.contains('/') {
        assert_eq!(core, cores == 1, "{error:?}");
        let hard = rustix::process::getrlimit(Resource::Core).maximum;
        assert!(core || hard.is_some(), "it may be large, and was not written: {error:?}");
    }
    if !core {
        say("f_17: no core is dumped here: what is said of one is not seen");
    }
    assert_eq!(error.to_string().contains("(SIGABRT), core dumped"), core, "{error}");
    Ok(())
}
