//! Runs a command many times, looks after each run for what it left behind, and ends with one line:
//! `repeat: runs=20 failures=0`.
//!
//! `cargo run --release -p hatchery-tests --bin repeat -- [OPTIONS] -- COMMAND [ARGUMENT]…`
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what it prints is its result")]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Read, Seek};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use hatchery_tests::leaks::{FILE_PREFIX, TREE_VARIABLE, places};
use hatchery_tests::procfs::{self, Process};
use hatchery_tests::programs::{RUN_VARIABLE, SETTLE, Stress, cores, pin_to, stress};
use lexopt::prelude::*;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, WaitOptions, WaitStatus, getpid, set_child_subreaper, wait};
use signal_hook::consts::{SIGINT, SIGTERM};

const HELP: &str = "\
Usage: repeat [OPTIONS] [--] COMMAND [ARGUMENT]…

Runs COMMAND again and again. A run fails if its status is not the expected one, if it takes too
long, or if it leaves behind a process, or an entry in the temporary folder, the runtime folder or
the shared memory. The output of failing runs goes to standard error, one closing line
`repeat: runs=N failures=M` to standard output. Exits with 0 if no run failed.

  --runs N             how often (20)
  --cores N            on the first N cores only (all)
  --load               with a busy thread on each of them
  --expect CODE        the expected exit code, or `failure` for any but 0 (0)
  --timeout SECONDS    how long a run may take (1800)
  --stop-on-failure    end at the first failing run
  --watch FOLDER       nothing may be left in there, either; may be given more than once
  --strict             nothing else runs on this machine: compare all of the real folders, instead
                       of giving each run folders of its own
  --help               this text";

/// How often a waiting loop looks whether it was told to end.
const LOOK_UP: Duration = Duration::from_millis(100);

#[derive(Debug)]
struct Options {
    runs: u32,
    cores: Option<usize>,
    load: bool,
    expect: Expect,
    timeout: Duration,
    stop_on_failure: bool,
    watch: Vec<PathBuf>,
    strict: bool,
    command: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Code(i32),
    Failure,
}

fn main() -> ExitCode {
    match parse(lexopt::Parser::from_env()) {
        Ok(Some(options)) => match repeat(&options) {
            Ok(code) => code,
            Err(error) => {
                eprintln!("repeat: {error}");
                ExitCode::from(2)
            }
        },
        Ok(None) => {
            println!("{HELP}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("repeat: {error}\n\n{HELP}");
            ExitCode::from(2)
        }
    }
}

fn parse(mut parser: lexopt::Parser) -> Result<Option<Options>, lexopt::Error> {
    let mut options = Options {
        runs: 20,
        cores: None,
        load: false,
        expect: Expect::Code(0),
        timeout: Duration::from_secs(1800),
        stop_on_failure: false,
        watch: Vec::new(),
        strict: false,
        command: Vec::new(),
    };
    while let Some(argument) = parser.next()? {
        match argument {
            Long("runs") => options.runs = parser.value()?.parse()?,
            Long("cores") => options.cores = Some(parser.value()?.parse()?),
            Long("load") => options.load = true,
            Long("expect") => {
                let value = parser.value()?;
                let is_any = value == "failure";
                options.expect =
                    if is_any { Expect::Failure } else { Expect::Code(value.parse()?) };
            }
            Long("timeout") => options.timeout = Duration::from_secs(parser.value()?.parse()?),
            Long("stop-on-failure") => options.stop_on_failure = true,
            Long("watch") => options.watch.push(parser.value()?.into()),
            Long("strict") => options.strict = true,
            Long("help") | Short('h') => return Ok(None),
            Value(command) => {
                options.command.push(command);
                options.command.extend(parser.raw_args()?);
            }
            other => return Err(other.unexpected()),
        }
    }
    if options.command.is_empty() {
        return Err("no command was given".into());
    }
    Ok(Some(options))
}

fn repeat(options: &Options) -> io::Result<ExitCode> {
    let told_to_end = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&told_to_end))?;
    }
    // What outlives its parent becomes our child, so that nothing a run started can get away.
    set_child_subreaper(Some(getpid()))?;
    if let Some(most) = options.cores {
        pin_to(cores().into_iter().take(most.max(1)));
    }
    let load: Option<Stress> = options.load.then(|| stress(cores().len()));
    let reaper = Reaper::start();
    let (mut runs, mut failures) = (0, 0);
    let started = Instant::now();
    while runs < options.runs && !told_to_end.load(Ordering::Relaxed) {
        let run = one_run(options, &reaper, runs, &told_to_end)?;
        if told_to_end.load(Ordering::Relaxed) {
            break;
        }
        runs += 1;
        if let Some(failure) = &run.failure {
            failures += 1;
            eprintln!("repeat: run {runs} FAILED after {:.1?}: {failure}", run.took);
            eprintln!("--- output of run {runs}\n{}\n--- end", run.output.trim_end());
            if options.stop_on_failure {
                break;
            }
        } else if runs == options.runs || runs % (options.runs / 20).max(1) == 0 {
            let (took, all) = (run.took, started.elapsed());
            eprintln!("repeat: run {runs} of {} ok in {took:.1?}, {all:.0?} in all", options.runs);
        }
    }
    drop(load);
    println!("repeat: runs={runs} failures={failures}");
    Ok(match (failures, told_to_end.load(Ordering::Relaxed)) {
        (_, true) => ExitCode::from(130),
        (0, false) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

struct Run {
    took: Duration,
    failure: Option<String>,
    output: String,
}

fn one_run(
    options: &Options,
    reaper: &Reaper,
    number: u32,
    told_to_end: &AtomicBool,
) -> io::Result<Run> {
    let marker = format!("{}-{number}", procfs::own_pid());
    let places = Places::new(options, &marker)?;
    let before = places.list();
    let machine = options.strict.then(Process::all);
    let mut output = File::from(memfd_create("output", MemfdFlags::CLOEXEC)?);

    let mut command = Command::new(&options.command[0]);
    command.args(&options.command[1..]).env(RUN_VARIABLE, &marker).envs(places.variables());
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output.try_clone()?);
    let started = Instant::now();
    let child = command.spawn()?;
    drop(command);
    let status = reaper.wait_for(child.id(), options.timeout, told_to_end);
    let took = started.elapsed();

    let mut failure = String::new();
    match status {
        Some(status) if options.expect.is_met_by(status) => {}
        Some(status) => write!(failure, "{}", Told(status)).unwrap_or_default(),
        None => write!(failure, "no end in time").unwrap_or_default(),
    }
    // A run that has not ended by itself is over: what lives is named, and not waited for.
    let settle = if status.is_some() { SETTLE } else { Duration::ZERO };
    for left in what_is_left(&marker, machine.as_deref(), &places, &before, settle) {
        write!(failure, "\n  left behind: {left}").unwrap_or_default();
    }
    end_all(&marker);
    let mut bytes = Vec::new();
    output.rewind()?;
    output.read_to_end(&mut bytes)?;
    let output = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Run { took, failure: Some(failure).filter(|text| !text.is_empty()), output })
}

impl Expect {
    fn is_met_by(self, status: WaitStatus) -> bool {
        match (self, status.exit_status()) {
            (Expect::Code(wanted), Some(code)) => wanted == code,
            (Expect::Failure, Some(code)) => code != 0,
            (_, None) => false,
        }
    }
}

/// A status in words.
struct Told(WaitStatus);

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.0.exit_status(), self.0.terminating_signal()) {
            (Some(code), _) => write!(f, "exit code {code}"),
            (None, Some(signal)) => write!(f, "killed by signal {signal}"),
            (None, None) => write!(f, "status {:?}", self.0),
        }
    }
}

/// Waits for every child there is and will be, adopted ones included. One thread for all runs: two
/// would take the statuses of each other's children.
struct Reaper {
    spawned: Sender<()>,
    ended: Receiver<(Pid, WaitStatus)>,
}

impl Reaper {
    fn start() -> Self {
        let (spawned, more) = mpsc::channel();
        let (send, ended) = mpsc::channel();
        thread::spawn(move || {
            loop {
                match wait(WaitOptions::empty()) {
                    Ok(Some(pid_and_status)) => send.send(pid_and_status).unwrap_or_default(),
                    Ok(None) | Err(rustix::io::Errno::INTR) => {}
                    // No child at this moment.
                    Err(_) if more.recv().is_ok() => {}
                    Err(_) => break,
                }
            }
        });
        Self { spawned, ended }
    }

    /// The status of `child`; `None` if it has not ended in time, or the user wants an end.
    fn wait_for(
        &self,
        child: u32,
        timeout: Duration,
        told_to_end: &AtomicBool,
    ) -> Option<WaitStatus> {
        self.spawned.send(()).ok()?;
        let child = Pid::from_raw(child.cast_signed());
        let until = Instant::now() + timeout;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.ended.recv_timeout(left.min(LOOK_UP)) {
                Ok((pid, status)) if Some(pid) == child => return Some(status),
                Ok(_) => {}
                Err(_) if left.is_zero() || told_to_end.load(Ordering::Relaxed) => return None,
                Err(_) => {}
            }
        }
    }
}

/// What a run has left, once nothing is left any more or the time to settle is over.
fn what_is_left(
    marker: &str,
    machine: Option<&[Process]>,
    places: &Places<'_>,
    before: &BTreeSet<PathBuf>,
    settle: Duration,
) -> Vec<String> {
    let until = Instant::now() + settle;
    loop {
        let processes = processes_left(marker, machine);
        let mut left: Vec<_> = processes.iter().map(Process::to_string).collect();
        left.extend(places.list().difference(before).map(|path| path.display().to_string()));
        let time = until.saturating_duration_since(Instant::now());
        if left.is_empty() || time.is_zero() {
            return left;
        }
        procfs::wait_for_any_exit(&processes, time.min(Duration::from_millis(20)));
    }
}

/// What descends from here, or carries the marker of the run; where nothing else runs on the machine,
/// what carries the marker of a tree, too.
fn processes_left(marker: &str, machine: Option<&[Process]>) -> Vec<Process> {
    let table = Process::all();
    let mut left = procfs::descendants(procfs::own_pid(), &table);
    for one in table {
        let is_ours = || one.variable(RUN_VARIABLE).is_some_and(|found| found == marker);
        let is_new = || {
            machine.is_some_and(|before| !before.iter().any(|other| other.is(&one)))
                && one.variable(TREE_VARIABLE).is_some()
        };
        if !left.iter().any(|other| other.is(&one)) && (is_ours() || is_new()) {
            left.push(one);
        }
    }
    left.retain(|one| !one.is_zombie());
    left
}

/// Kills what is left, so that a run does not disturb the next one.
fn end_all(marker: &str) {
    for _ in 0..100 {
        let left = processes_left(marker, None);
        if left.is_empty() {
            break;
        }
        procfs::kill(&left);
        procfs::wait_for_any_exit(&left, SETTLE);
    }
}

/// Where a run may put files, and what is there.
struct Places<'a> {
    /// Holds folders of the run's own, removed when this is dropped. Without it, the real ones are
    /// watched for everything, else for what the library names.
    own: Option<PathBuf>,
    /// Watched for everything.
    watch: &'a [PathBuf],
}

impl<'a> Places<'a> {
    fn new(options: &'a Options, marker: &str) -> io::Result<Self> {
        let mut places = Self { own: None, watch: &options.watch };
        if !options.strict {
            let root = std::env::temp_dir().join(format!("repeat-{marker}"));
            DirBuilder::new().mode(0o755).create(&root)?;
            places.own = Some(root);
            for (name, path) in places.variables() {
                // As the real ones are: programs of other users have their files in `/tmp`, too.
                let mode = if name == "TMPDIR" { 0o1777 } else { 0o700 };
                DirBuilder::new().mode(mode).create(&path)?;
                fs::set_permissions(&path, Permissions::from_mode(mode))?;
            }
        }
        Ok(places)
    }

    fn variables(&self) -> impl Iterator<Item = (&'static str, PathBuf)> {
        let names = [("TMPDIR", "tmp"), ("XDG_RUNTIME_DIR", "run")];
        let own = self.own.iter();
        own.flat_map(move |root| names.map(|(name, place)| (name, root.join(place))))
    }

    fn list(&self) -> BTreeSet<PathBuf> {
        let entries = |place: PathBuf| {
            fs::read_dir(place).into_iter().flatten().flatten().map(|entry| entry.path())
        };
        let counts = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            self.own.is_none() || name.starts_with(FILE_PREFIX)
        };
        let real = places().into_iter().flat_map(entries).filter(counts);
        let own = self.variables().map(|(_, place)| place);
        real.chain(own.chain(self.watch.iter().cloned()).flat_map(entries)).collect()
    }
}

impl Drop for Places<'_> {
    fn drop(&mut self) {
        if let Some(root) = &self.own {
            fs::remove_dir_all(root).ok();
        }
    }
}
