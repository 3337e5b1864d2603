//! Faults in the life of an actor's process, as the root sees them: each is one error that says what
//! happened, in time, and nothing is left.
//!
//! The rows of a process's faults that no test has in its name:
//!
//! | row | shown by, or why there is nothing to show |
//! | --- | --- |
//! | F-25 | with the debugger |

use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use futures_lite::future::{self, pending};
use hatchery::{
    CancelStatus, Error, ErrorKind, ExitReport, ExitStatus, Nursery, Options, Result, Rung,
    open_nursery,
};
use hatchery_tests::deep::figure;
use hatchery_tests::groups::{Group, Hold, say};
use hatchery_tests::procfs::{Process, descriptors};
use hatchery_tests::programs::Signal;
use rustix::net::{Shutdown, shutdown};
use rustix::process::{
    Pid, PidfdFlags, PidfdGetfdFlags, Resource, Rlimit, WaitOptions, getpid, getrlimit,
    kill_process, pidfd_getfd, pidfd_open, prlimit, setrlimit, waitpid,
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

/// Takes more and more memory.
#[hatchery::endpoint]
async fn eats() -> u64 {
    const BITE: usize = 1 << 20;
    let mut eaten = Vec::new();
    loop {
        eaten.push(std::hint::black_box(vec![1_u8; BITE]));
        if eaten.len() > 1 << 20 {
            return eaten.len() as u64;
        }
    }
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

#[hatchery::test(options = Options::new().teardown(Duration::from_millis(800)))]
async fn f_03_a_child_that_sigkill_does_not_end_is_named_in_time_and_reaped_when_it_thaws() {
    let hold = Hold::new("f_03");
    let mut frozen = None;
    let mut asked = Instant::now();
    let failed: Result<()> = open_nursery(async |nursery: Nursery| {
        let actor = nursery.start_actor("frozen").await?;
        frozen = Some(process(actor.id().pid));
        hold.hold(&process(actor.id().pid));
        asked = Instant::now();
        let status = actor.cancel_actor().await?;
        assert_eq!(status == CancelStatus::TimedOut, hold.outlives_sigkill(), "{status:?}");
        Ok(())
    })
    .await;
    // The budget, and ten times what else an end may take.
    assert!(asked.elapsed() < Duration::from_millis(800) + Duration::from_secs(2));
    let (error, frozen) = (failed.unwrap_err(), frozen.unwrap());
    let exit = died(&error);
    let is_left = || Process::of(frozen.pid).is_some_and(|now| now.is(&frozen));
    if hold.outlives_sigkill() {
        assert_eq!((exit.rung, exit.status), (Rung::Unkillable, None), "{exit:?}");
        assert_eq!(exit.actor.pid, frozen.pid.unsigned_abs());
        assert!(error.to_string().contains("still being watched"), "{error}");
        assert!(is_left());
        drop(hold);
        let thawed = Instant::now();
        while is_left() {
            assert!(thawed.elapsed() < SOON, "it is not reaped");
            future::yield_now().await;
        }
    } else {
        assert_eq!(exit.rung, Rung::Killed, "{exit:?}");
        assert!(!is_left());
    }
}

#[hatchery::test]
async fn f_18_a_child_that_ends_for_lack_of_memory_is_a_death_that_says_so() {
    const LIMIT: u64 = 64 << 20;
    let limits = ["memory.limit_in_bytes", "memory.max"];
    let folders = ["memory", "unified", ""];
    let group =
        folders.into_iter().zip([limits[0], limits[1], limits[1]]).find_map(|(at, file)| {
            let group = Group::new(at, "f_18").ok()?;
            group.set(file, LIMIT).ok().map(|()| group)
        });
    let failed: Result<()> = open_nursery(async |nursery: Nursery| {
        nursery.start_actor("sibling").await?;
        let hungry = nursery.start_actor("hungry").await?;
        match &group {
            Some(group) => group.set("cgroup.procs", hungry.id().pid).map_err(Error::new)?,
            None => {
                say("f_18: no group can have little memory here: its process has, instead");
                let limit = Rlimit { current: Some(LIMIT), maximum: Some(LIMIT) };
                let pid = Pid::from_raw(process_pid(&hungry));
                prlimit(pid, Resource::As, limit).map_err(Error::new)?;
            }
        }
        hungry.run(eats()).await.map(drop)
    })
    .await;
    let error = failed.unwrap_err();
    let exit = died(&error);
    assert_eq!(exit.actor.name, "hungry");
    assert!(exit.under_way.iter().any(|task| task.contains("faults::eats")), "{exit:?}");
    let Some(ExitStatus::Signal { number, .. }) = exit.status else { panic!("{exit:?}") };
    assert_eq!((number, exit.out_of_memory), if group.is_some() { (9, true) } else { (6, false) });
    assert_eq!(error.to_string().contains("for lack of memory"), group.is_some(), "{error}");
}

/// The limit of descriptors of this process, set back in the end, and what fills the gaps below.
struct Descriptors {
    before: Rlimit,
    _fills: Vec<OwnedFd>,
}

impl Descriptors {
    /// Not one is left.
    fn all_taken() -> Self {
        let before = getrlimit(Resource::Nofile);
        let taken = descriptors().into_iter().map(|(number, _)| number + 1).max().unwrap();
        let current = Some(u64::from(taken.unsigned_abs()));
        setrlimit(Resource::Nofile, Rlimit { current, ..before }).unwrap();
        let fills = std::iter::from_fn(|| std::io::stdin().as_fd().try_clone_to_owned().ok());
        Self { before, _fills: fills.collect() }
    }
}

impl Drop for Descriptors {
    fn drop(&mut self) {
        setrlimit(Resource::Nofile, self.before).unwrap();
    }
}

#[hatchery::test]
async fn f_49_starts_under_small_limits_are_typed_errors_and_harm_no_one_else() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let other = nursery.start_actor("other").await?;
        let few = Descriptors::all_taken();
        let error = nursery.start_actor("poor").await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Spawn, "{error:?}");
        assert!(error.to_string().contains("Too many open files"), "{error}");
        assert_eq!(other.run(add(1, 2)).await?, 3);
        drop(few);
        nursery.start_actor("rich").await?.cancel().await?;
        // Too little for its loader; too little for its main thread.
        for limit in ["--as=1000000", "--stack=16384"] {
            let own = std::env::current_exe().map_err(Error::new)?;
            let small = nursery.actor("small").program("prlimit").arg(limit).arg("--").arg(own);
            let error = small.start().await.unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::Spawn, "{limit}: {error:?}");
            assert!(error.exit().is_some_and(|exit| exit.status.is_some()), "{error:?}");
            assert_eq!(other.run(add(3, 4)).await?, 7, "{limit}");
        }
        other.cancel().await
    })
    .await
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
    let count = figure(100, 1000);
    let mut killed = Instant::now();
    let failed: Result<()> = open_nursery(async |nursery: Nursery| {
        let starts = (0..count).map(|n| {
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
        killed = Instant::now();
        assert!(all.iter().all(Process::kill));
        pending().await
    })
    .await;
    let reaped = killed.elapsed();
    let error = failed.unwrap_err();
    assert_eq!(died(&error).status, Some(ExitStatus::Signal { number: 9, core: false }));
    for one in &all {
        assert!(Process::of(one.pid).is_none_or(|now| !now.is(one)), "not reaped: {one:?}");
    }
    // Ten times the two seconds that the deaths of a thousand may take to be known.
    assert!(reaped < 2 * SOON, "{reaped:?}");
    assert!(begin.elapsed() < 6 * SOON * (count / 100) as u32, "{:?}", begin.elapsed());
    say(&format!("faults: f_16_actors={count} reaped_ms={} left=0", reaped.as_millis()));
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
