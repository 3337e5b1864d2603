//! Programs of the workspace run as processes: start, wait for output, signal, wait for the end, and
//! assert that nothing is left.
//!
//! Each program leads a process group of its own and carries a marker of its run, so that its whole
//! tree is found whatever became of its root. It is never waited for longer than its timeout: a tree
//! that hangs is shown, member by member, before it is killed. No threads and no blocking reads:
//! output is taken whenever something waits. Finding the file of a program, and building it where
//! needed, is the business of `build`.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, kill_process_group};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

pub use rustix::process::Signal;

use crate::build::{self, Kind};
use crate::leaks::{Baseline, Leak, Leaks};
use crate::procfs::{self, Process};
use crate::strike::{self, STEPS};

/// The variable that every process of one run of a program inherits.
pub const RUN_VARIABLE: &str = "HATCHERY_TEST_RUN";

/// How long a program may run unless [`Program::timeout`] says otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// How long what a program started may outlive it (Z, O).
pub const SETTLE: Duration = Duration::from_secs(1);

/// A program and how to run it.
#[derive(Clone, Debug)]
#[must_use = "does nothing until it is run"]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
    variables: BTreeMap<OsString, Option<OsString>>,
    folder: Option<PathBuf>,
    input: Vec<u8>,
    timeout: Duration,
    settle: Duration,
    terminal: bool,
    session: bool,
}

impl Program {
    /// An example of the library, by name, in the profile of the test that runs.
    pub fn example(name: &str) -> Self {
        Self::at(build::built(Kind::Example, name))
    }

    /// A program of this crate, by name.
    pub fn bin(name: &str) -> Self {
        Self::at(build::built(Kind::Bin, name))
    }

    /// Any other program, by path or by a name that is searched for.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            arguments: Vec::new(),
            variables: BTreeMap::new(),
            folder: None,
            input: Vec::new(),
            timeout: TIMEOUT,
            settle: SETTLE,
            terminal: false,
            session: false,
        }
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(self, arguments: impl IntoIterator<Item = S>) -> Self {
        arguments.into_iter().fold(self, Self::arg)
    }

    /// Sets a variable of its environment.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        let value = Some(value.as_ref().to_owned());
        self.variables.insert(name.as_ref().to_owned(), value);
        self
    }

    /// Takes a variable out of its environment.
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.variables.insert(name.as_ref().to_owned(), None);
        self
    }

    /// Runs it in another folder.
    pub fn current_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Gives it these bytes to read, at most what a pipe holds; nothing unless called.
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = bytes.into();
        self
    }

    /// How long it may run before its whole tree is killed.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long what it started may outlive it; [`SETTLE`] unless called.
    pub fn settle(mut self, settle: Duration) -> Self {
        self.settle = settle;
        self
    }

    /// Puts a terminal of 80 by 24 on its three standard descriptors. What it writes to either is
    /// then in [`Finished::stdout`].
    pub fn on_terminal(mut self) -> Self {
        self.terminal = true;
        self
    }

    /// The same, and leaves it to the program to make that the terminal of a session of its own:
    /// [`terminal::take`](crate::terminal::take).
    pub fn on_own_terminal(mut self) -> Self {
        self.session = true;
        self.on_terminal()
    }

    /// Runs it to its end.
    pub fn run(self) -> Finished {
        self.start().wait()
    }

    /// Starts it.
    pub fn start(self) -> Running {
        let run = run_name();
        let mut command = Command::new(&self.path);
        let steps = Steps::new(&run);
        command.args(&self.arguments).env(RUN_VARIABLE, &run).env(STEPS, &steps.0);
        // Who leads a group cannot begin a session.
        if !self.session {
            command.process_group(0);
        }
        for (name, value) in &self.variables {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        let terminal = self.terminal.then(open_terminal);
        match &terminal {
            Some((_, peer)) => {
                let end = || Stdio::from(peer.try_clone().expect("a descriptor for the terminal"));
                command.stdin(end()).stdout(end()).stderr(end());
            }
            None => {
                let stdin = if self.input.is_empty() { Stdio::null() } else { Stdio::piped() };
                command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
            }
        }
        let screen = terminal.as_ref().map(|(master, _)| {
            let master = File::from(master.try_clone().expect("a descriptor for the terminal"));
            let modes = tcgetattr(&master).expect("modes of a terminal");
            (master, modes)
        });
        let baseline = Baseline::tree();
        let started = Instant::now();
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{:?}: {error}", self.path));
        // Else the ends of the terminal would stay open in it, and its output would never end.
        drop(command);
        let process =
            Process::of(child.id().cast_signed()).expect("a child that nobody waited for");
        let exit = process.pidfd().expect("a descriptor of a child that nobody waited for");
        if let Some(mut pipe) = child.stdin.take() {
            // A program that does not read its input is not the fault of the one who gave it.
            pipe.write_all(&self.input).ok();
        }
        let (stdout, stderr) = match terminal {
            Some((master, _peer)) => (Some(master), None),
            None => {
                (child.stdout.take().map(OwnedFd::from), child.stderr.take().map(OwnedFd::from))
            }
        };
        Running {
            what: self,
            run,
            steps,
            child,
            process,
            exit,
            baseline,
            started,
            screen,
            stdout: Output::new(stdout),
            stderr: Output::new(stderr),
            ended: false,
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.file_name().unwrap_or_default().display())?;
        self.arguments.iter().try_for_each(|argument| write!(f, " {}", argument.display()))
    }
}

/// A program that runs. Dropping it kills its whole tree.
#[derive(Debug)]
#[must_use = "a program that is not waited for is killed"]
pub struct Running {
    what: Program,
    run: String,
    steps: Steps,
    child: Child,
    process: Process,
    /// Readable once it has ended.
    exit: OwnedFd,
    baseline: Baseline,
    started: Instant,
    /// Its terminal, and that one's modes before it began.
    screen: Option<(File, Termios)>,
    stdout: Output,
    stderr: Output,
    ended: bool,
}

impl Running {
    /// Its first process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Everything that it started and that lives, itself included, zombies not.
    pub fn tree(&self) -> Vec<Process> {
        let table = Process::all();
        let below = procfs::descendants(self.process.pid, &table);
        let belongs = |one: &Process| {
            one.is(&self.process)
                || one.group == self.process.pid
                || below.iter().any(|other| other.is(one))
                || one.variable(RUN_VARIABLE).as_ref() == Some(&self.run)
        };
        table.into_iter().filter(|one| !one.is_zombie() && belongs(one)).collect()
    }

    /// Waits until it has written `text` to either output, and says whether it has: not if it ended
    /// or timed out before.
    #[must_use = "the text may never have come"]
    pub fn wait_for_output(&mut self, text: &str) -> bool {
        loop {
            self.stdout.take();
            self.stderr.take();
            if self.stdout.holds(text) || self.stderr.holds(text) {
                return true;
            }
            if self.has_exited() || self.left().is_zero() {
                return false;
            }
            self.wait_for_something();
        }
    }

    /// Waits until its tree is as `wanted` says, and says whether it became so. There is no event for
    /// this: it looks again every few milliseconds, until the program ends or times out.
    #[must_use = "the tree may never have been so"]
    pub fn wait_for_tree(&mut self, wanted: impl Fn(&[Process]) -> bool) -> bool {
        loop {
            if wanted(&self.tree()) {
                return true;
            }
            if self.has_exited() || self.left().is_zero() {
                return false;
            }
            self.stdout.take();
            self.stderr.take();
            procfs::wait_for_readable([], Duration::from_millis(2));
        }
    }

    /// What it has written to its standard output so far.
    pub fn output(&mut self) -> &[u8] {
        self.stdout.take();
        &self.stdout.bytes
    }

    /// Waits until its standard output holds `text` behind the first `from` bytes; gives where the text
    /// ends there. Nothing where it has ended or timed out before.
    #[must_use = "the text may never have come"]
    pub fn wait_for_text(&mut self, from: usize, text: &str) -> Option<usize> {
        loop {
            // Before it is looked at whether more can come.
            let exited = self.has_exited();
            self.stdout.take();
            let behind = self.stdout.bytes.get(from..).unwrap_or_default();
            let found = behind.windows(text.len().max(1)).position(|part| part == text.as_bytes());
            if let Some(found) = found {
                return Some(from + found + text.len());
            }
            if exited || self.left().is_zero() {
                return None;
            }
            self.wait_for_something();
        }
    }

    /// The modes of its terminal before it began.
    ///
    /// # Panics
    /// Where it has none.
    pub fn modes_before(&self) -> &Termios {
        &self.screen.as_ref().expect("it is on no terminal").1
    }

    /// What it has written to its standard output, as far as that was taken.
    pub fn written(&self) -> &[u8] {
        &self.stdout.bytes
    }

    /// Its terminal, which stays when it has ended.
    ///
    /// # Panics
    /// Where it has none.
    pub fn screen(&self) -> File {
        let (screen, _) = self.screen.as_ref().expect("it is on no terminal");
        screen.try_clone().expect("a descriptor for the terminal")
    }

    /// The modes of its terminal.
    ///
    /// # Panics
    /// Where it has none.
    pub fn modes(&self) -> Termios {
        tcgetattr(self.screen()).expect("modes of a terminal")
    }

    /// What it has written to its standard error so far.
    pub fn error_output(&mut self) -> &[u8] {
        self.stderr.take();
        &self.stderr.bytes
    }

    /// Types these bytes into its terminal.
    ///
    /// # Panics
    /// Where it has none, or that takes no more.
    pub fn type_in(&mut self, bytes: &[u8]) {
        assert!(self.what.terminal, "it is on no terminal");
        let terminal = self.stdout.source.as_mut().expect("its terminal is gone");
        terminal.write_all(bytes).expect("its terminal takes no more");
    }

    /// Closes the other ends of what it writes to: its terminal is gone, or its pipes are broken.
    pub fn hang_up(&mut self) {
        self.stdout.source = None;
        self.stderr.source = None;
        self.screen = None;
    }

    /// Sends a signal to its first process only.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Sends a signal to its whole process group, as a terminal does for Ctrl-C.
    pub fn signal_group(&self, signal: Signal) {
        if let Some(group) = Pid::from_raw(self.process.pid) {
            kill_process_group(group, signal).ok();
        }
    }

    /// Its time is up: whoever waits for it from now on finds that it takes too long.
    pub fn expire(&mut self) {
        self.what.timeout = Duration::ZERO;
    }

    /// Waits for its end, and for the end of all that it started. What is still there after
    /// [`SETTLE`] is in [`Finished::left`], and killed. Of a tree that takes too long,
    /// [`Finished::stacks`] tells where each member stands; those that call
    /// [`strike::tell_last_steps_when_asked`] say on their standard error what their links did last.
    pub fn wait(mut self) -> Finished {
        while !self.has_exited() && !self.left().is_zero() {
            self.stdout.take();
            self.stderr.take();
            self.wait_for_something();
        }
        let took = self.started.elapsed();
        let timed_out = !self.has_exited();
        let mut left = if timed_out { Leaks::default() } else { self.look_for_leaks() };
        let mut stacks = String::new();
        if timed_out {
            strike::ask_for_last_steps(&self.steps.0);
            let tree = self.tree();
            stacks = strike::show_all(&tree);
            left.extend(tree.into_iter().map(Leak::process));
            self.kill_tree();
        }
        let status = self.child.wait().expect("a child that nobody waited for");
        self.ended = true;
        left.end();
        Finished {
            name: self.what.to_string(),
            status,
            took,
            timed_out,
            left,
            stacks,
            stdout: self.stdout.finish(),
            stderr: self.stderr.finish(),
        }
    }

    fn look_for_leaks(&self) -> Leaks {
        let until = Instant::now() + self.what.settle;
        loop {
            let mut left: Leaks = self.tree().into_iter().map(Leak::process).collect();
            // Its processes are found already, and zombies of this process are those of other tests:
            // what is left of a program has another parent once that is gone.
            let looked = self.baseline.look().into_iter();
            left.extend(looked.filter(|leak| matches!(leak, Leak::File { .. })));
            let time = until.saturating_duration_since(Instant::now());
            if left.is_empty() || time.is_zero() {
                return left;
            }
            left.wait_for_change(time);
        }
    }

    /// Whether its first process has ended. It stays a zombie, so that its id stays its own.
    fn has_exited(&self) -> bool {
        procfs::wait_for_readable([self.exit.as_fd()], Duration::ZERO)
    }

    fn left(&self) -> Duration {
        (self.started + self.what.timeout).saturating_duration_since(Instant::now())
    }

    /// Waits for output or for the end of the program.
    fn wait_for_something(&self) {
        let outputs = [&self.stdout.source, &self.stderr.source].into_iter().flatten();
        procfs::wait_for_readable(outputs.map(File::as_fd).chain([self.exit.as_fd()]), self.left());
    }

    fn kill_tree(&self) {
        // What is forked meanwhile is found by the next look; a killed process forks no more.
        for _ in 0..100 {
            let tree = self.tree();
            if tree.is_empty() {
                break;
            }
            procfs::kill(&tree);
            procfs::wait_for_any_exit(&tree, SETTLE);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            self.kill_tree();
            self.child.wait().ok();
        }
    }
}

/// How a program ended and what it wrote.
#[derive(Clone, Debug)]
#[must_use = "the status says how it went"]
pub struct Finished {
    /// The program and its arguments.
    pub name: String,
    /// How its first process ended.
    pub status: ExitStatus,
    /// How long it ran.
    pub took: Duration,
    /// Whether it was killed at the end of its time.
    pub timed_out: bool,
    /// What it left behind, or what lived when it was killed.
    pub left: Leaks,
    /// Where each thread of what lived then stood.
    pub stacks: String,
    /// What it wrote to its standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to its standard error.
    pub stderr: Vec<u8>,
}

impl Finished {
    /// The exit code; `None` if a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Its standard output as text, with a mark for what is none.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Its standard error as text, with a mark for what is none.
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Asserts that it exited with `code` in time and left nothing behind.
    ///
    /// # Panics
    ///
    /// Panics with all that is known where that is not so.
    #[track_caller]
    pub fn assert_exit(&self, code: i32) -> &Self {
        assert!(self.code() == Some(code), "{self}\nexpected: exit code {code}");
        self.assert_nothing_left()
    }

    /// Asserts that a signal ended it in time and that it left nothing behind.
    ///
    /// # Panics
    ///
    /// Panics with all that is known where that is not so.
    #[track_caller]
    pub fn assert_killed_by(&self, signal: Signal) -> &Self {
        let killed = self.status.signal() == Some(signal.as_raw());
        assert!(killed, "{self}\nexpected: killed by {signal:?}");
        self.assert_nothing_left()
    }

    /// Asserts that it ended in time and left nothing behind (Z, O, S).
    ///
    /// # Panics
    ///
    /// Panics with all that is known where that is not so.
    #[track_caller]
    pub fn assert_nothing_left(&self) -> &Self {
        assert!(!self.timed_out && self.left.is_empty(), "{self}");
        self
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finished { name, status, took, .. } = self;
        write!(f, "{name}: {status} after {took:.1?}")?;
        if self.timed_out {
            write!(f, ", killed at the end of its time; what lived then:")?;
        }
        write!(f, "\n{}", self.left)?;
        if !self.stacks.is_empty() {
            write!(f, "\n--- stacks\n{}", self.stacks)?;
        }
        write!(f, "\n--- stdout\n{}\n--- stderr\n{}", self.out(), self.err())
    }
}

/// The pipe at which the processes of one run wait to be asked for their last steps.
#[derive(Debug)]
struct Steps(PathBuf);

impl Steps {
    fn new(run: &str) -> Self {
        let path = std::env::temp_dir().join(format!("steps-{run}"));
        strike::make_pipe(&path);
        Self(path)
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

/// One output of a program and what has come from it.
#[derive(Debug)]
struct Output {
    source: Option<File>,
    bytes: Vec<u8>,
}

impl Output {
    fn new(source: Option<OwnedFd>) -> Self {
        if let Some(source) = &source {
            let flags = fcntl_getfl(source).expect("flags of a pipe");
            fcntl_setfl(source, flags | OFlags::NONBLOCK).expect("flags of a pipe");
        }
        Self { source: source.map(File::from), bytes: Vec::new() }
    }

    /// Takes what is there, without waiting; of an endless output a part at a time.
    fn take(&mut self) {
        const PART: u64 = 1 << 20;
        let Some(source) = &mut self.source else { return };
        match source.take(PART).read_to_end(&mut self.bytes) {
            Ok(count) if count as u64 == PART => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            // The other end of a terminal is gone: an error, not an end.
            Ok(_) | Err(_) => self.source = None,
        }
    }

    fn holds(&self, text: &str) -> bool {
        self.bytes.windows(text.len().max(1)).any(|part| part == text.as_bytes())
    }

    /// What came in all. What a process that outlived the program may still write is not waited for.
    fn finish(&mut self) -> Vec<u8> {
        self.take();
        std::mem::take(&mut self.bytes)
    }
}

fn open_terminal() -> (OwnedFd, OwnedFd) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags).expect("a terminal");
    grantpt(&master).expect("the other end of a terminal");
    unlockpt(&master).expect("the other end of a terminal");
    let peer = ioctl_tiocgptpeer(&master, flags).expect("the other end of a terminal");
    let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(peer.as_fd(), size).expect("a size for a terminal");
    (master, peer)
}

/// Unlike that of any other run, on this machine and in this hour.
fn run_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let own = Process::own();
    format!("{}-{}-{}", own.pid, own.started, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Threads that keep cores busy, until dropped.
#[derive(Debug)]
#[must_use = "the load ends when this is dropped"]
pub struct Stress {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// Starts `threads` of them, each on one of the cores that this process may use, in turn.
pub fn stress(threads: usize) -> Stress {
    let stop = Arc::new(AtomicBool::new(false));
    let cores = cores();
    let threads = (0..threads)
        .map(|index| {
            let stop = Arc::clone(&stop);
            let core = cores.get(index % cores.len().max(1)).copied();
            thread::spawn(move || {
                core.into_iter().for_each(|core| pin_to([core]));
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            })
        })
        .collect();
    Stress { stop, threads }
}

impl Drop for Stress {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().ok();
        }
    }
}

/// The cores that this thread may use.
pub fn cores() -> Vec<usize> {
    let set = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
    (0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect()
}

/// Keeps this thread, and what it starts from now on, on these cores. Where that is refused, nothing
/// changes: load is a means, not the thing under test.
pub fn pin_to(cores: impl IntoIterator<Item = usize>) {
    let mut set = CpuSet::new();
    cores.into_iter().for_each(|core| set.set(core));
    sched_setaffinity(None, &set).ok();
}
