//! How long ends take: of trees whose root is killed, and of chains of actors that are cancelled.
//!
//! `teardown [--runs N] [--quick]` prints a line for each measure and one for all. Over a bound by
//! ten times is slow, and a fault; what is only over it is said and may be the machine's. Part of
//! the members of a killed tree are stopped. A member is gone when its descriptor says so. What is
//! not gone then is shown, and so is a run that never ends, which ends the program.
//! The same executable is the one that measures, the roots and the actors.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what it prints is its result")]

use std::fmt;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use futures_lite::future;
use hatchery::{
    Context, Error, Nursery, OpenContext, Options, Receives, Result, Sends, Starts, open_nursery,
    open_root_actor,
};
use hatchery_tests::procfs::{self, Process, wait_for_readable};
use hatchery_tests::programs::{Program, Signal};
use hatchery_tests::strike::{
    STEPS, ask_for_last_steps, make_pipe, show_all, tell_last_steps_when_asked,
};
use lexopt::prelude::*;
use serde::{Deserialize, Serialize};

/// The members of the two trees that are killed, their roots included.
const SMALL: u64 = 21;
const LARGE: u64 = 200;
/// How many children a member of these has.
const FAN: u64 = 4;
/// How deep the chains are that are cancelled.
const DEPTHS: [u64; 4] = [1, 3, 10, 20];
/// Which members of a killed tree are stopped: every third.
const STOPPED: usize = 3;
/// What may be added to a budget (D).
const MARGIN: Duration = Duration::from_millis(250);
/// A bound broken so many times over is a fault, whatever else the machine does.
const SLOW: u32 = 10;
/// A run that takes longer than its slow bound and so much more hangs.
const HANG: Duration = Duration::from_secs(60);
/// How many looks a stopped process is given to be seen stopped.
const LOOKS: u32 = 5000;

/// Where the members of the chains that this process starts wait to be asked for their last steps.
static PIPE: OnceLock<PathBuf> = OnceLock::new();

/// What the last member of a chain does when it is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Leaf {
    /// As it is asked.
    Healthy,
    /// It never gets to hear it: its process is stopped.
    Stopped,
    /// It never gets to hear it: its only thread never yields.
    Deaf,
}

impl fmt::Display for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Healthy => "healthy",
            Self::Stopped => "stopped",
            Self::Deaf => "deaf",
        })
    }
}

/// A member with so many more below it, of which it has at most `fan` itself. Starts with their pids.
#[hatchery::context]
async fn member(
    cx: Context<Starts<Vec<u32>>, Sends<()>, Receives<()>>,
    below: u64,
    fan: u64,
    leaf: Leaf,
) -> Result<()> {
    if below == 0 {
        let _started = cx.started(Vec::new()).await?;
        if leaf == Leaf::Deaf {
            loop {
                std::thread::park();
            }
        }
        return future::pending().await;
    }
    open_nursery(async |nursery| {
        let pids = grow(&nursery, below, fan, leaf).await?;
        let _started = cx.started(pids).await?;
        future::pending().await
    })
    .await
}

/// Starts so many members, at most `fan` of them here; gives the pids of all.
async fn grow(nursery: &Nursery, below: u64, fan: u64, leaf: Leaf) -> Result<Vec<u32>> {
    let mut pids = Vec::new();
    let here = below.min(fan);
    for index in 0..here {
        let mut actor = nursery.actor(&format!("m{below}-{index}"));
        if let Some(pipe) = PIPE.get() {
            actor = actor.env(STEPS, pipe);
        }
        let portal = actor.start().await?;
        pids.push(portal.id().pid);
        let further = below - here;
        let share = further / here + u64::from(index < further % here);
        let (tell, told) = smol::channel::bounded(1);
        // Inside the scope of its context, which hears what comes of it.
        nursery.spawn(async move {
            let stay = async |_context: OpenContext<member>, more| {
                let _ = tell.send(more).await;
                future::pending::<Result<()>>().await
            };
            portal.with_context(member(share, fan, leaf), stay).await
        });
        pids.extend(told.recv().await.map_err(Error::new)?);
    }
    Ok(pids)
}

/// A root with so many members below it. Says who they are, and waits.
fn root(below: u64) -> ExitCode {
    let ended: Result<()> = hatchery::run(open_nursery(async |nursery| {
        let pids = grow(&nursery, below, FAN, Leaf::Healthy).await?;
        let pids: Vec<_> = pids.iter().map(ToString::to_string).collect();
        println!("{}\nready", pids.join(" "));
        future::pending().await
    }));
    ExitCode::from(u8::from(ended.is_err()))
}

/// One run: how long it took until all were gone, and how many were not.
#[derive(Clone, Copy, Debug)]
struct Run {
    took: Duration,
    left: usize,
    /// Whether a healthy tree came to an error.
    failed: bool,
}

/// Members that are to be seen gone.
struct Members {
    processes: Vec<Process>,
    exits: Vec<OwnedFd>,
}

impl Members {
    fn of(pids: impl Iterator<Item = u32>) -> Self {
        let processes: Vec<_> = pids.filter_map(|pid| Process::of(pid.cast_signed())).collect();
        let exits = processes.iter().filter_map(Process::pidfd).collect();
        Self { processes, exits }
    }

    /// Stops some of them, and waits until they are.
    fn stop(&self, which: impl Fn(usize) -> bool) {
        let chosen = self.processes.iter().enumerate().filter(|(index, _)| which(*index));
        let chosen: Vec<_> = chosen.map(|(_, process)| process).collect();
        for process in &chosen {
            process.signal(Signal::STOP);
        }
        let is_stopped =
            |one: &Process| Process::of(one.pid).is_some_and(|now| matches!(now.state, 'T' | 't'));
        for process in chosen {
            let stopped = (0..LOOKS)
                .any(|_| is_stopped(process) || wait_for_readable([], Duration::from_millis(1)));
            assert!(stopped, "a process that does not stop: {process}");
        }
    }

    /// Waits until all of them are gone, at most until `until`; says when, and how many are not.
    fn gone(&self, until: Instant) -> (Instant, usize) {
        let mut left = 0;
        for exit in &self.exits {
            let rest = until.saturating_duration_since(Instant::now());
            left += usize::from(!wait_for_readable([exit.as_fd()], rest));
        }
        let at = Instant::now();
        if left > 0 {
            let is_left = |one: &&Process| Process::of(one.pid).is_some_and(|now| now.is(one));
            show_to_reader(&self.processes.iter().filter(is_left).cloned().collect::<Vec<_>>());
            procfs::kill(&self.processes);
        }
        (at, left)
    }
}

/// Says where they stand, and has them say what their links did last.
fn show_to_reader(members: &[Process]) {
    if let Some(pipe) = PIPE.get() {
        ask_for_last_steps(pipe);
    }
    eprintln!("teardown: these are not gone:\n{}", show_all(members));
}

/// Makes one run; one that hangs is shown, and ends this process.
#[expect(clippy::exit, reason = "nothing else can end a thread that hangs")]
fn watched(within: Duration, one: impl FnOnce() -> Run) -> Run {
    let (done, is_done) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            if is_done.recv_timeout(within) == Err(mpsc::RecvTimeoutError::Timeout) {
                let all = Process::all();
                let below = procfs::descendants(procfs::own_pid(), &all);
                show_to_reader(&[vec![Process::own()], below.clone()].concat());
                procfs::kill(&below);
                PIPE.get().map(std::fs::remove_file);
                std::process::exit(1);
            }
        });
        let run = one();
        drop(done);
        run
    })
}

/// From SIGKILL of the root of a tree of `members`, some of them stopped, until all are gone.
fn killed(members: u64, bound: Duration) -> Run {
    let program = std::env::current_exe().expect("the path of this program");
    let below = (members - 1).to_string();
    let mut running = Program::at(program).args(["root", "--members", &below]).start();
    assert!(running.wait_for_output("ready"), "a tree that does not come up");
    let out = String::from_utf8_lossy(running.output()).into_owned();
    let pids = out.lines().next().unwrap_or_default().split(' ');
    let root = running.process().pid.cast_unsigned();
    let all = Members::of(pids.map(|pid| pid.parse().expect("a pid")).chain([root]));
    assert_eq!(all.exits.len() as u64, members, "all of them live");
    all.stop(|index| index % STOPPED == 0 && index + 1 < all.processes.len());
    let since = Instant::now();
    running.signal(Signal::KILL);
    let (at, left) = all.gone(since + bound * SLOW);
    let finished = running.wait();
    Run { took: at - since, left: left + finished.left.iter().count(), failed: false }
}

/// From the cancel of a chain of `depth` until its nursery has ended and all are gone.
fn cancelled(depth: u64, leaf: Leaf, budget: Duration, bound: Duration) -> Run {
    let mut all = None;
    let mut since = None;
    let options = Options::new().teardown(budget);
    let ended: Result<()> = async_io::block_on(open_root_actor(options, async |_root| {
        open_nursery(async |nursery| {
            let pids = grow(&nursery, depth, 1, leaf).await?;
            let members = all.insert(Members::of(pids.into_iter()));
            let last = members.processes.len() - 1;
            members.stop(|index| leaf == Leaf::Stopped && index == last);
            since = Some(Instant::now());
            nursery.cancel();
            Ok::<_, Error>(())
        })
        .await
    }));
    let (Some(all), Some(since)) = (all, since) else {
        panic!("a chain that does not come up: {ended:?}");
    };
    assert_eq!(all.exits.len() as u64, depth, "all of them live");
    let (at, left) = all.gone(since + bound * SLOW);
    // Nothing else went wrong.
    let failed = ended.is_err() && leaf == Leaf::Healthy;
    if failed {
        eprintln!("teardown: a {leaf} chain of {depth} came to {ended:?}");
    }
    Run { took: at - since, left, failed }
}

/// What the faults of all measures add up to.
#[derive(Debug, Default)]
struct Sums {
    runs: usize,
    missed: usize,
    slow: usize,
    left: usize,
    failures: usize,
    /// What 99 of 100 runs of each measure stayed within, for the last line.
    most: String,
}

impl Sums {
    /// Measures so many times, and says what came of it.
    fn measure(&mut self, what: &str, bound: Duration, runs: usize, one: impl Fn() -> Run) {
        let within = bound * SLOW + HANG;
        let runs: Vec<_> = (0..runs.max(1)).map(|_| watched(within, &one)).collect();
        let mut took: Vec<_> = runs.iter().map(|run| run.took).collect();
        took.sort();
        let millis = |percent: usize| {
            let rank = (took.len() * percent).div_ceil(100).max(1);
            took[rank - 1].as_millis()
        };
        let slow = took.iter().filter(|took| **took > bound * SLOW).count();
        let missed = took.iter().filter(|took| **took > bound).count();
        let left: usize = runs.iter().map(|run| run.left).sum();
        let failures = runs.iter().filter(|run| run.failed).count();
        println!(
            "teardown: runs={} {what} p50_ms={} p99_ms={} most_ms={} bound_ms={} {} over={missed} \
             slow={slow} left={left} failures={failures}",
            runs.len(),
            millis(50),
            millis(99),
            millis(100),
            bound.as_millis(),
            if missed == 0 { "met" } else { "not met" },
        );
        let name = what.replace([' ', '='], "_");
        self.most += &format!(" {name}_p99_ms={}", millis(99));
        self.runs += runs.len();
        self.missed += missed;
        self.slow += slow;
        self.left += left;
        self.failures += failures;
    }
}

fn measure(runs: usize, quick: bool) -> ExitCode {
    let millis = Duration::from_millis;
    let mut sums = Sums::default();
    let short = millis(100);
    sums.measure(&format!("killed members={SMALL}"), short, runs, || killed(SMALL, short));
    if !quick {
        let bound = millis(1000);
        let what = format!("killed members={LARGE}");
        sums.measure(&what, bound, runs.div_ceil(5), || killed(LARGE, bound));
    }
    let budget = if quick { millis(1000) } else { millis(4600) };
    for depth in DEPTHS.into_iter().filter(|depth| !quick || *depth <= 3) {
        for leaf in [Leaf::Healthy, Leaf::Stopped, Leaf::Deaf] {
            let healthy = leaf == Leaf::Healthy;
            let bound = if healthy && depth <= 3 { short } else { budget + MARGIN };
            // The others take most of the budget each time.
            let runs = if healthy { runs } else { runs.div_ceil(20) };
            let what = format!("cancelled {leaf} depth={depth}");
            sums.measure(&what, bound, runs, || cancelled(depth, leaf, budget, bound));
        }
    }
    let Sums { runs, missed, slow, left, failures, most } = sums;
    println!(
        "teardown: runs={runs}{most} over={missed} slow={slow} left={left} failures={failures}"
    );
    ExitCode::from(u8::from(slow + left + failures > 0))
}

fn main() -> ExitCode {
    tell_last_steps_when_asked();
    hatchery::init();
    let mut parser = lexopt::Parser::from_env();
    let (mut runs, mut quick, mut members, mut is_root) = (100, false, 0, false);
    let mut parse = || -> Result<(), lexopt::Error> {
        while let Some(argument) = parser.next()? {
            match argument {
                Long("runs") => runs = parser.value()?.parse()?,
                Long("quick") => quick = true,
                Long("members") => members = parser.value()?.parse()?,
                Value(command) if command == "root" => is_root = true,
                other => return Err(other.unexpected()),
            }
        }
        Ok(())
    };
    if let Err(error) = parse() {
        eprintln!("teardown: {error}\n\nUsage: teardown [--runs N] [--quick]");
        return ExitCode::from(2);
    }
    if is_root {
        return root(members);
    }
    let pipe = std::env::temp_dir().join(format!("steps-teardown-{}", procfs::own_pid()));
    make_pipe(&pipe);
    let pipe = PIPE.get_or_init(|| pipe);
    let code = measure(runs, quick);
    std::fs::remove_file(pipe).ok();
    code
}
