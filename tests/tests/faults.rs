//! Faults in the life of an actor's process, as the root sees them: each is one error that says what
//! happened, in time, and nothing is left.
//!
//! The rows of a process's faults that no test has in its name:
//!
//! | row | shown by, or why there is nothing to show |
//! | --- | --- |
//! | F-15 | nobody connects: a child inherits its link, `f_50_…` in `driver.rs` |
//! | F-24 | with the debugger |
//! | F-25 | with the debugger |

use std::time::{Duration, Instant};

use futures_lite::future::{self, pending};
use hatchery::{
    Error, ErrorKind, ExitReport, ExitStatus, Nursery, Options, Result, Rung, open_nursery,
};
use hatchery_tests::build::{Kind, built};
use hatchery_tests::procfs::{Process, descriptors};
use hatchery_tests::programs::{Program, Signal};
use rustix::net::{Shutdown, shutdown};
use rustix::process::{
    Pid, PidfdFlags, PidfdGetfdFlags, WaitOptions, getpid, kill_process, pidfd_getfd, pidfd_open,
    waitpid,
};

/// Ten times what a death may take to be known.
const SOON: Duration = Duration::from_secs(10);

#[hatchery::endpoint]
async fn forever() {
    pending().await
}

#[hatchery::endpoint]
async fn add(a: u64, b: u64) -> u64 {
    a + b
}

/// Says so in a file, and never comes back to its executor.
#[hatchery::endpoint]
async fn spins(note: String) {
    std::fs::write(note, "").expect("a file");
    loop {
        std::hint::spin_loop();
    }
}

#[hatchery::endpoint]
async fn overflows() -> u64 {
    fn deeper(depth: u64) -> u64 {
        let room = std::hint::black_box([depth; 512]);
        if depth == u64::MAX { 0 } else { deeper(depth + 1) + room[7] }
    }
    deeper(1)
}

#[hatchery::endpoint]
async fn ends_by(signal: i32) {
    let signal = Signal::from_named_raw(signal).expect("a signal");
    kill_process(getpid(), signal).expect("a signal to this process");
    pending().await
}

/// Closes its own end of the link, as broken code that closes what it does not own may.
#[hatchery::endpoint]
async fn shuts_its_link(how: String) -> Result<()> {
    let how = match how.as_str() {
        "reading" => Shutdown::Read,
        "writing" => Shutdown::Write,
        _ => Shutdown::Both,
    };
    let me = pidfd_open(getpid(), PidfdFlags::empty()).map_err(Error::new)?;
    for (number, _) in descriptors().iter().filter(|(_, target)| target.starts_with("socket:")) {
        let same = pidfd_getfd(&me, *number, PidfdGetfdFlags::empty()).map_err(Error::new)?;
        shutdown(same, how).map_err(Error::new)?;
    }
    pending().await
}

/// A branch with a leaf below it.
#[hatchery::endpoint]
async fn branch() -> Result<()> {
    open_nursery(async |nursery| {
        nursery.start_actor("leaf").await?;
        pending().await
    })
    .await
}

fn process(pid: u32) -> Process {
    Process::of(pid.cast_signed()).expect("a child that lives")
}

fn state(of: &Process) -> char {
    process(of.pid.unsigned_abs()).state
}

fn died(error: &Error) -> &ExitReport {
    let ErrorKind::Died(exit) = error.kind() else { panic!("{error:?}") };
    exit
}

/// What a nursery with one actor comes to that does `what`, and that it does so in time.
async fn ends<E: hatchery::CallEndpoint>(what: hatchery::Call<E>) -> Error
where
    Error: From<hatchery::ErrorOf<E>>,
{
    let begin = Instant::now();
    let failed: Result<()> = open_nursery(async |nursery: Nursery| {
        let actor = nursery.start_actor("victim").await?;
        let _ = actor.run(what).await;
        pending().await
    })
    .await;
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
    failed.unwrap_err()
}

#[hatchery::test(options = Options::new().teardown(Duration::from_millis(800)))]
async fn f_04_an_actor_that_never_yields_is_ended_by_force_and_that_is_said() {
    let begin = Instant::now();
    let failed: Result<()> = open_nursery(async |nursery: Nursery| {
        let actor = nursery.start_actor("spinner").await?;
        let note = std::env::temp_dir().join(format!("faults-spins-{}", actor.id().pid));
        let mut call = Box::pin(actor.run(spins(note.to_str().unwrap().to_owned())));
        while !note.exists() {
            assert!(future::poll_once(&mut call).await.is_none());
            future::yield_now().await;
        }
        std::fs::remove_file(note).map_err(Error::new)?;
        actor.cancel().await
    })
    .await;
    let error = failed.unwrap_err();
    let exit = died(&error);
    assert!(matches!(exit.rung, Rung::Terminated | Rung::Killed), "{exit:?}");
    assert!(error.to_string().contains("by force"), "{error}");
    assert!(begin.elapsed() < SOON);
}

#[hatchery::test]
async fn f_06_f_07_a_link_that_the_actor_closed_ends_it_however_it_was_closed() {
    for how in ["both", "reading", "writing"] {
        let error = ends(shuts_its_link(how.to_owned())).await;
        let exit = died(&error);
        assert!(exit.link_lost, "{how}: {exit:?}");
        assert_eq!(exit.actor.name, "victim", "{how}");
    }
}

#[hatchery::test]
async fn f_09_a_killed_middle_actor_takes_its_subtree_along_and_is_the_one_that_is_named() {
    let mut leaf = None;
    let failed: Result<()> = open_nursery(async |nursery: Nursery| {
        let middle = nursery.start_actor("middle").await?;
        let mut call = Box::pin(middle.run(branch()));
        let below = loop {
            assert!(future::poll_once(&mut call).await.is_none());
            let below: Vec<_> = Process::all();
            let mut below = below.into_iter().filter(|one| one.parent == process_pid(&middle));
            if let Some(leaf) = below.find(|one| one.command_line().contains("leaf")) {
                break leaf;
            }
        };
        leaf = Some(below);
        process(middle.id().pid).kill();
        call.await
    })
    .await;
    let error = failed.unwrap_err();
    assert_eq!(died(&error).actor.name, "middle");
    assert!(error.also().is_empty(), "{error:?}");
    let leaf = leaf.unwrap();
    let begin = Instant::now();
    while Process::of(leaf.pid).is_some_and(|now| now.is(&leaf) && !now.is_zombie()) {
        assert!(begin.elapsed() < SOON, "the leaf lives on");
        future::yield_now().await;
    }
}

fn process_pid(portal: &hatchery::Portal) -> i32 {
    portal.id().pid.cast_signed()
}

#[hatchery::test]
async fn f_14_a_program_that_ends_before_it_is_up_is_an_error_with_its_status() {
    open_nursery(async |nursery: Nursery| {
        for (program, code) in [("/bin/true", 0), ("/bin/false", 1)] {
            let begin = Instant::now();
            let error = nursery.actor("early").program(program).start().await.unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::Spawn, "{error:?}");
            assert!(error.to_string().contains(&format!("code {code}")), "{error}");
            assert!(begin.elapsed() < SOON);
        }
        Ok::<_, Error>(())
    })
    .await
    .unwrap();
}

#[hatchery::test]
async fn f_16_a_hundred_actors_at_once_that_all_die_at_once_are_one_error_and_gone() {
    let begin = Instant::now();
    let mut all = Vec::new();
    let failed: Result<()> = open_nursery(async |nursery: Nursery| {
        let starts = (0..100).map(|n| {
            let nursery = nursery.clone();
            async move { nursery.start_actor(&format!("one-{n}")).await }
        });
        let mut portals = Vec::new();
        let mut starts: Vec<_> = starts.map(Box::pin).collect();
        for start in &mut starts {
            // All are asked for before any is waited for.
            assert!(future::poll_once(start).await.is_none());
        }
        for start in starts {
            portals.push(start.await?);
        }
        all = portals.iter().map(|portal| process(portal.id().pid)).collect();
        assert!(all.iter().all(Process::kill));
        pending().await
    })
    .await;
    let error = failed.unwrap_err();
    assert_eq!(died(&error).status, Some(ExitStatus::Signal { number: 9, core: false }));
    for one in &all {
        assert!(Process::of(one.pid).is_none_or(|now| !now.is(one)), "not reaped: {one:?}");
    }
    assert!(begin.elapsed() < 6 * SOON, "{:?}", begin.elapsed());
}

#[hatchery::test]
async fn f_17_a_stack_overflow_and_a_segfault_are_deaths_by_signal() {
    let error = ends(overflows()).await;
    let Some(ExitStatus::Signal { number, .. }) = died(&error).status else { panic!("{error:?}") };
    assert!(matches!(number, 6 | 11), "{number}: by Rust's own handler, or where it is not set up");
    let error = ends(ends_by(11)).await;
    let Some(ExitStatus::Signal { number, .. }) = died(&error).status else { panic!("{error:?}") };
    assert_eq!(number, 11);
    assert!(error.to_string().contains("SIGSEGV"), "{error}");
}

#[hatchery::test]
async fn f_20_a_status_that_other_code_took_is_said_and_nothing_waits_for_it() {
    let failed: Result<()> = open_nursery(async |nursery: Nursery| {
        let actor = nursery.start_actor("stolen").await?;
        let pid = Pid::from_raw(process_pid(&actor));
        process(actor.id().pid).kill();
        // What such code does with -1, it does to this one too; its own here, since others' children
        // are the other tests'.
        let taken = waitpid(pid, WaitOptions::empty()).map_err(Error::new)?;
        assert!(taken.is_some());
        pending().await
    })
    .await;
    let error = failed.unwrap_err();
    assert_eq!(died(&error).status, Some(ExitStatus::Taken), "{error:?}");
    assert!(error.to_string().contains("waitpid"), "{error}");
}

#[test]
fn f_20_a_root_that_inherited_ignored_child_signals_works() {
    let hello = built(Kind::Example, "hello");
    let finished = Program::at("env").arg("--ignore-signal=CHLD").arg(hello).run();
    finished.assert_exit(0).assert_nothing_left();
}

#[hatchery::test]
async fn f_23_a_tree_that_was_stopped_whole_goes_on_as_if_nothing_was() {
    open_nursery(async |nursery: Nursery| {
        let one = nursery.start_actor("one").await?;
        let two = nursery.start_actor("two").await?;
        let both = [process(one.id().pid), process(two.id().pid)];
        for actor in &both {
            actor.signal(Signal::STOP);
        }
        let mut sums =
            Box::pin(async { Ok((one.run(add(1, 2)).await?, two.run(add(3, 4)).await?)) });
        while both.iter().any(|one| state(one) != 'T') {
            assert!(future::poll_once(&mut sums).await.is_none());
        }
        for actor in &both {
            actor.signal(Signal::CONT);
        }
        let sums: Result<(u64, u64)> = sums.await;
        assert_eq!(sums?, (3, 7));
        nursery.cancel();
        Ok(())
    })
    .await
    .unwrap_or_else(|error: Error| panic!("{error:?}"));
}
