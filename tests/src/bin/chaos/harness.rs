//! The supervisor of all roots: starts them, adopts and reaps what outlives them, lets what was
//! paused go on, looks at the clock, and adds everything up.
//!
//! It is the nearest subreaper of every tree, so nothing that a dead root leaves can hide from it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use hatchery_tests::procfs::{self, Process};
use hatchery_tests::programs::Signal;
use rustix::process::{WaitOptions, set_child_subreaper, wait};

use crate::Arguments;
use hatchery_tests::strike::{Phase, RECORDS, STEPS, ask_for_last_steps, make_pipe, show};

/// How often the supervisor looks.
const LOOK: Duration = Duration::from_millis(10);
/// How long a paused process is left so.
const PAUSE: Duration = Duration::from_millis(40);
/// How long what a dead root leaves may live (O).
const ORPHANS: Duration = Duration::from_secs(1);

/// Everything that is counted.
#[derive(Debug, Default)]
struct Sums {
    trees: u64,
    depth: u32,
    dialogs: u64,
    phases: BTreeSet<usize>,
    kills: u64,
    left: [u64; 5],
    lost: u64,
    hangs: u64,
    actions: BTreeMap<String, u64>,
    by_phase: BTreeMap<usize, u64>,
}

/// One process that is root after root.
struct Job {
    process: Process,
    output: BufReader<ChildStdout>,
    line: String,
    records: Records,
    /// Where its processes wait to be asked what they did last.
    steps: PathBuf,
    /// The tree that runs, its depth, and since when.
    tree: Option<(u64, u32, Instant)>,
    next: u64,
    step: u64,
    doomed: bool,
    hung: bool,
}

/// The file that the processes of one job write to, read as it grows.
struct Records {
    file: File,
    rest: String,
}

/// What was paused, and when it is to go on.
type Paused = Vec<(Process, Instant)>;

/// Runs chaos and says what came of it.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    set_child_subreaper(Some(rustix::process::getpid())).expect("a subreaper");
    let folder = std::env::temp_dir().join(format!("chaos-{}", procfs::own_pid()));
    fs::create_dir_all(folder.join("files")).expect("a private folder");
    let mut sums = Sums::default();
    let mut paused = Paused::new();
    let until = Instant::now() + Duration::from_secs(arguments.seconds);
    let start = |first| Job::start(arguments, first, &folder);
    let mut jobs: Vec<Job> = (0..arguments.jobs).map(start).collect();
    while Instant::now() < until && sums.kills < arguments.kills {
        let ended = reap();
        for job in &mut jobs {
            job.follow(&mut sums, &mut paused);
            job.watch(arguments.bound, &mut sums);
            if ended.contains(&job.process.pid) {
                job.follow(&mut sums, &mut paused);
                let next = job.bury(&mut sums);
                *job = start(next);
            }
        }
        go_on(&mut paused);
        let outputs = jobs.iter().map(|job| job.output.get_ref().as_fd());
        procfs::wait_for_readable(outputs, LOOK);
    }
    for mut job in jobs {
        job.process.kill();
        job.follow(&mut sums, &mut paused);
        job.doomed = true;
        job.bury(&mut sums);
    }
    let enough = arguments.kills == u64::MAX || sums.kills >= arguments.kills;
    if !enough {
        eprintln!("chaos: fewer kills than were asked for");
    }
    let fine = sums.say(&folder) && enough;
    ExitCode::from(u8::from(!fine))
}

/// Waits for whatever has ended, adopted or not.
fn reap() -> BTreeSet<i32> {
    let mut ended = BTreeSet::new();
    while let Ok(Some((pid, _))) = wait(WaitOptions::NOHANG) {
        ended.insert(pid.as_raw_nonzero().get());
    }
    ended
}

fn go_on(paused: &mut Paused) {
    paused.retain(|(process, at)| {
        let due = Instant::now() >= *at;
        if due {
            process.signal(Signal::CONT);
        }
        !due
    });
}

impl Job {
    // Whatever has ended is reaped in one place, adopted or not.
    #[allow(clippy::zombie_processes)]
    fn start(arguments: &Arguments, first: u64, folder: &Path) -> Self {
        let records = folder.join(format!("records-{}", first % arguments.jobs));
        File::create(&records).expect("a file for records");
        let steps = folder.join(format!("steps-{}", first % arguments.jobs));
        if !steps.exists() {
            make_pipe(&steps);
        }
        let mut child = Command::new(std::env::current_exe().expect("the path of this program"))
            .arg("roots")
            .args(["--seed", &arguments.seed.to_string()])
            .args(["--first", &first.to_string(), "--step", &arguments.jobs.to_string()])
            .env(RECORDS, &records)
            .env(STEPS, &steps)
            .env("CHAOS_FOLDER", folder.join("files"))
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(own_errors(folder, first % arguments.jobs))
            .spawn()
            .expect("a root's process");
        let process = Process::of(child.id().cast_signed()).expect("a child that is not reaped");
        let output = child.stdout.take().expect("its output");
        let flags = rustix::fs::fcntl_getfl(&output).expect("flags");
        rustix::fs::fcntl_setfl(&output, flags | rustix::fs::OFlags::NONBLOCK).expect("flags");
        let file = File::open(&records).expect("the file for records");
        Self {
            process,
            output: BufReader::new(output),
            line: String::new(),
            records: Records { file, rest: String::new() },
            steps,
            tree: None,
            next: first,
            step: arguments.jobs,
            doomed: false,
            hung: false,
        }
    }

    /// Reads what it and its actors have said.
    fn follow(&mut self, sums: &mut Sums, paused: &mut Paused) {
        loop {
            match self.output.read_line(&mut self.line) {
                Ok(0) => break,
                Ok(_) => {
                    let line = std::mem::take(&mut self.line);
                    self.hear(line.trim_end(), sums);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("the output of a root: {error}"),
            }
        }
        for line in self.records.lines() {
            self.note(&line, sums, paused);
        }
    }

    fn hear(&mut self, line: &str, sums: &mut Sums) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok());
        match words.first() {
            Some(&"begin") => {
                let (index, depth) = (number(1).unwrap_or(0), number(2).unwrap_or(0));
                self.tree = Some((index, depth as u32, Instant::now()));
                self.next = index + self.step;
            }
            Some(&"done") => {
                self.tree_ended(sums);
                for place in 0..sums.left.len() {
                    sums.left[place] += number(place + 2).unwrap_or(0);
                }
            }
            _ => eprintln!("chaos: a root said: {line}"),
        }
    }

    fn tree_ended(&mut self, sums: &mut Sums) {
        if let Some((_, depth, _)) = self.tree.take() {
            sums.trees += 1;
            sums.depth = sums.depth.max(depth);
        }
    }

    fn note(&mut self, line: &str, sums: &mut Sums, paused: &mut Paused) {
        if let Some(what) = line.strip_prefix("lost ") {
            sums.lost += 1;
            let tree = self.tree.map(|(index, ..)| index);
            eprintln!("chaos: lost in tree {tree:?}: {what}");
        } else if line == "dialog" {
            sums.dialogs += 1;
        } else if let Some(hit) = line.strip_prefix("hit ") {
            let mut words = hit.split(' ');
            let phase: usize = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
            let action = words.next().unwrap_or_default().to_owned();
            let pid: i32 = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
            let process = Process::of(pid);
            if pid == self.process.pid {
                self.doomed = true;
                sums.kills += u64::from(action == "Kill" || action == "Stop");
                if action == "Stop" {
                    self.process.kill();
                }
            } else {
                sums.phases.insert(phase);
                *sums.by_phase.entry(phase).or_default() += 1;
                sums.kills += u64::from(action == "Kill");
            }
            if action == "Pause" {
                paused.extend(process.map(|process| (process, Instant::now() + PAUSE)));
            }
            *sums.actions.entry(action).or_default() += 1;
        }
    }

    /// Looks at the clock; a tree over its bound is shown and ended.
    fn watch(&mut self, bound: Duration, sums: &mut Sums) {
        let Some((index, _, since)) = self.tree else { return };
        if since.elapsed() < bound || self.hung {
            return;
        }
        self.hung = true;
        sums.hangs += 1;
        eprintln!("chaos: tree {index} is not done after {bound:?}");
        for member in self.members() {
            eprintln!("chaos: {}", show(&member));
        }
        // They go where these processes complain.
        ask_for_last_steps(&self.steps);
        self.process.kill();
    }

    /// All that live in its session.
    fn members(&self) -> Vec<Process> {
        procfs::members_of_session(self.process.pid)
    }

    /// Sees what a root that has ended leaves; says with which tree to go on.
    fn bury(&mut self, sums: &mut Sums) -> u64 {
        let since = Instant::now();
        loop {
            let left = self.members();
            if left.is_empty() {
                break;
            }
            if since.elapsed() > ORPHANS {
                sums.left[1] += left.len() as u64;
                left.iter().for_each(|one| eprintln!("chaos: an orphan: {one}"));
                procfs::kill(&left);
                break;
            }
            procfs::wait_for_any_exit(&left, LOOK);
            procfs::reap_session(self.process.pid);
        }
        procfs::reap_session(self.process.pid);
        if !self.doomed && !self.hung {
            sums.lost += 1;
            eprintln!("chaos: the root of tree {:?} ended by itself", self.tree);
        }
        self.tree_ended(sums);
        self.next
    }
}

/// Where its roots and actors complain: panics on purpose would hide the rest on a terminal.
fn own_errors(folder: &Path, number: u64) -> Stdio {
    let path = folder.join(format!("errors-{number}"));
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.map_or_else(|_| Stdio::inherit(), Stdio::from)
}

impl Records {
    /// The whole lines that are new.
    fn lines(&mut self) -> Vec<String> {
        if self.file.read_to_string(&mut self.rest).is_err() {
            return Vec::new();
        }
        let Some(end) = self.rest.rfind('\n') else { return Vec::new() };
        let rest = self.rest.split_off(end + 1);
        let whole = std::mem::replace(&mut self.rest, rest);
        whole.lines().map(str::to_owned).collect()
    }
}

impl Sums {
    /// The last line, and whether all is well.
    fn say(&self, folder: &Path) -> bool {
        for phase in Phase::ALL {
            let times = self.by_phase.get(&(phase as usize)).copied().unwrap_or(0);
            println!("{:<16} {times}", format!("{phase:?}"));
        }
        for (action, times) in &self.actions {
            println!("{action:<16} {times}");
        }
        let [zombies, orphans, fds, sockets, threads] = self.left;
        println!(
            "chaos: trees={} depth={} dialogs={} phases={}/{} kills={} zombies={zombies} \
             orphans={orphans} fds={fds} sockets={sockets} threads={threads} lost={} hangs={}",
            self.trees,
            self.depth,
            self.dialogs,
            self.phases.len(),
            Phase::COUNT,
            self.kills,
            self.lost,
            self.hangs,
        );
        if self.left == [0; 5] && self.lost == 0 && self.hangs == 0 && self.trees > 0 {
            fs::remove_dir_all(folder).ok();
            return true;
        }
        eprintln!("chaos: what the processes said is in {}", folder.display());
        false
    }
}
