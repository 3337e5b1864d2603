//! One child process: how it is started, signalled and waited for.
//! When to do which is decided by the ladder; which thread starts it, by the spawner.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use async_process::{Child, Command};
use hatchery_proto::report::{ExitStatus, Usage};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, WaitOptions};

use super::handover::{self, MARKER_VARIABLE, Marker, NAME_VARIABLE, TREE_VARIABLE};
use super::way::Way;
use super::{cgroup, procfs, spawner};
use hold::Hold;

mod birth;
mod group;
mod hold;
mod lines;
mod request;
mod stderr;

pub(crate) use request::{Given, Program, SpawnRequest, Stdin};
pub(crate) use rustix::process::Signal;
pub use stderr::Stderr;
pub(crate) use stderr::{BootStderr, Piped};

/// A child that was started.
#[derive(Debug)]
pub(crate) struct Spawned {
    /// The process.
    pub(crate) process: Process,
    /// Our end of its link, nonblocking.
    pub(crate) link: Way,
    /// What it writes to its standard error before it is up.
    pub(crate) stderr: BootStderr,
    /// What it writes there that this process is to take.
    pub(crate) errors: Option<Arc<Piped>>,
}

/// Why no child was started. No process is left behind.
#[derive(Debug)]
pub(crate) enum SpawnError {
    /// The request was withdrawn before it was begun.
    Withdrawn,
    /// The system refused a step.
    Os {
        /// What was tried, as the end of "could not …".
        step: &'static str,
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Withdrawn => f.write_str("the start was withdrawn before it was begun"),
            Self::Os { step, program, source } => {
                write!(f, "could not {step} for `{}`: {source}", program.display())
            }
        }
    }
}

impl std::error::Error for SpawnError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Withdrawn => None,
            Self::Os { source, .. } => Some(source),
        }
    }
}

impl SpawnRequest {
    /// Starts the child. Only the spawner's thread may call this: the child dies with the thread
    /// that started it.
    pub(super) fn start(self) -> Result<Spawned, SpawnError> {
        let program = self.shown();
        let started = match self.given {
            Some(Given { mut command, piped: true }) => {
                command
                    .env(TREE_VARIABLE, format!("{:032x}", self.tree))
                    .env_remove(MARKER_VARIABLE);
                start_piped(command, self.stderr)
            }
            _ => self.try_start(),
        };
        started.map_err(|(step, source)| SpawnError::Os { step, program, source })
    }

    fn try_start(self) -> Result<Spawned, NotStarted> {
        let (link, theirs) = pair().map_err(|error| ("make a link", error))?;
        let errors = match self.stderr {
            Stderr::Inherit => None,
            manner => Some(Piped::for_child(manner).map_err(no_stderr)?),
        };
        let (errors, theirs_err) = errors.unzip();
        self.give_streams(&link, theirs_err)
            .map_err(|error| ("hand over the standard streams", error))?;
        let command = self.command(&theirs).map_err(|error| ("prepare a process", error))?;
        let (stderr, boot) = BootStderr::in_memory().map_err(no_stderr)?;
        let streams = [Stdio::from(theirs), Stdio::inherit(), boot];
        run(command, streams, Way::Pair(link), stderr, errors)
    }

    fn give_streams(&self, link: &UnixStream, errors: Option<OwnedFd>) -> io::Result<()> {
        let null = || rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
        let stdin = match &self.stdin {
            Stdin::Null => &null()?,
            Stdin::Inherit => &duplicate(io::stdin()).or_else(|_| null())?,
        };
        let stderr = match errors {
            Some(errors) => errors,
            None => duplicate(io::stderr()).or_else(|_| null())?,
        };
        handover::give(link, stdin.as_fd(), stderr.as_fd())
    }

    fn command(self, theirs: &OwnedFd) -> io::Result<std::process::Command> {
        let marker = Marker {
            parent: std::process::id(),
            tree: self.tree,
            socket: handover::inode(theirs)?,
        };
        let mut command = match self.given {
            Some(given) => given.command,
            None => {
                let mut command = std::process::Command::new(self.program.path()?);
                command.arg0(format!("hatchery: {}", self.name)).args(self.args);
                command
            }
        };
        handover::surround(&mut command, &self.env, self.folder.as_deref());
        command
            .env(MARKER_VARIABLE, marker.to_string())
            .env(TREE_VARIABLE, format!("{:032x}", self.tree))
            .env(NAME_VARIABLE, self.name);
        Ok(command)
    }
}

/// Which step of a start failed, and how.
type NotStarted = (&'static str, io::Error);

fn no_stderr(error: io::Error) -> NotStarted {
    ("make a place for stderr", error)
}

/// Starts a launcher, whose standard input and output are the link.
fn start_piped(command: std::process::Command, manner: Stderr) -> Result<Spawned, NotStarted> {
    let pipe = || io::pipe().map_err(|error| ("make a link", error));
    let ((theirs_in, ours_out), (ours_in, theirs_out)) = (pipe()?, pipe()?);
    let link = Way::Pipes { read: ours_in.into(), write: ours_out.into() };
    link.set_nonblocking(true).map_err(|error| ("make a link", error))?;
    let (errors, theirs_err) = BootStderr::piped(manner).map_err(no_stderr)?;
    let streams = [Stdio::from(theirs_in), Stdio::from(theirs_out), Stdio::from(theirs_err)];
    run(command, streams, link, BootStderr::Piped(errors.clone()), Some(errors))
}

/// Starts a process with these standard streams.
fn run(
    mut command: std::process::Command,
    [stdin, stdout, stderr]: [Stdio; 3],
    link: Way,
    boot: BootStderr,
    errors: Option<Arc<Piped>>,
) -> Result<Spawned, NotStarted> {
    // In a group of its own until it has asked for its parent's death signal: the kernel ends a
    // group that has a member stopped when the last tie to its session goes (F-10). A launcher stays
    // in its own: what a terminal ends must not end it before the tree has ended in its order.
    command.process_group(0);
    let mut command = Command::from(command);
    command
        .stdin(stdin)
        .stdout(stdout)
        .stderr(stderr)
        // A process that is dropped kills and reaps itself: by its descriptor, since the id may be
        // a stranger's by then, and so that one can wait for that.
        .kill_on_drop(false)
        .reap_on_drop(false);
    let mut process = birth::born(|| {
        // What is opened after the fork must not fail for want of a descriptor.
        let spare = reserve(link.reads()).map_err(|error| ("reserve descriptors", error))?;
        drop(spare);
        let child = command.spawn().map_err(|error| {
            sweep();
            ("start a process", error)
        })?;
        Process::of(child).map_err(|error| ("watch the process", error))
    })?;
    // The command holds the child's end of the link, which would hide the end of the link.
    drop(command);
    process.leads_group = link.is_apart();
    cgroup::take_in(process.pid).map_err(|error| ("contain the process", error))?;
    Ok(Spawned { process, link, stderr: boot, errors })
}

/// Both ends of a link: ours, and the child's.
fn pair() -> io::Result<(UnixStream, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (ours, theirs) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    Ok((ours.into(), theirs))
}

/// A copy above the standard streams that no child inherits.
pub(super) fn duplicate(descriptor: impl AsFd) -> rustix::io::Result<OwnedFd> {
    rustix::io::fcntl_dupfd_cloexec(descriptor, 3)
}

/// As many descriptors as are opened once the child exists, and one for good measure.
fn reserve(any: impl AsFd) -> io::Result<[OwnedFd; 4]> {
    let one = || duplicate(&any);
    Ok([one()?, one()?, one()?, one()?])
}

/// Ends what a failed start left running: `async_process` forgets the child when it cannot open a
/// descriptor for it.
fn sweep() {
    let thread = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
    for pid in procfs::children_of_thread(thread).unwrap_or_default() {
        if known().contains_key(&pid) {
            continue;
        }
        if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
            let _ = rustix::io::retry_on_intr(|| {
                rustix::process::waitpid(Some(pid), WaitOptions::empty())
            });
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The children that somebody holds, by pid, each with the number of its [`Known`].
fn known() -> MutexGuard<'static, BTreeMap<u32, u64>> {
    static KNOWN: Mutex<BTreeMap<u32, u64>> = Mutex::new(BTreeMap::new());
    lock(&KNOWN)
}

/// Whether somebody holds a child with this pid.
pub(super) fn is_known(pid: u32) -> bool {
    known().contains_key(&pid)
}

/// Keeps a child from being swept away until it has been waited for.
#[derive(Debug)]
struct Known {
    pid: u32,
    number: u64,
}

impl Known {
    fn new(pid: u32) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        known().insert(pid, number);
        Self { pid, number }
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        let mut known = known();
        // A pid is used again once it was waited for, maybe before this is dropped.
        if known.get(&self.pid) == Some(&self.number) {
            known.remove(&self.pid);
        }
    }
}

/// A child process. Dropping it kills it, and it is waited for in the background.
#[derive(Debug)]
pub(crate) struct Process {
    pid: u32,
    /// Shared only with whoever waits for it in the background.
    hold: Arc<Hold>,
    /// The processes of its group are signalled too: it is a launcher, and may have started others.
    leads_group: bool,
    /// Who was left there when it ended.
    left: OnceLock<Vec<OwnedFd>>,
    status: OnceLock<ExitStatus>,
    usage: OnceLock<Usage>,
}

impl Process {
    /// Where it cannot be watched, it is ended.
    fn of(mut child: Child) -> io::Result<Self> {
        let pid = child.id();
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
        let known = Known::new(pid);
        match rustix::process::pidfd_open(raw, PidfdFlags::empty()) {
            Ok(descriptor) => Ok(Self {
                pid,
                hold: Arc::new(Hold { child: Mutex::new(child), descriptor, _known: known }),
                leads_group: false,
                left: OnceLock::new(),
                status: OnceLock::new(),
                usage: OnceLock::new(),
            }),
            Err(error) => {
                // It was started a moment ago and nobody has waited for it: its id is its own.
                child.kill()?;
                spawner::background(async move {
                    let _ = child.status().await;
                    drop(known);
                });
                Err(error.into())
            }
        }
    }

    /// Its process id, for messages only: signals go through [`signal`](Self::signal).
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a signal. That it has ended already is no error.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        if self.signal_group(signal) {
            return Ok(());
        }
        match rustix::process::pidfd_send_signal(&self.hold.descriptor, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// What it has used, as far as was known when it was waited for.
    pub(crate) fn usage(&self) -> Option<Usage> {
        self.usage.get().copied()
    }

    /// Whether it has ended, be it that it was waited for or not. Costs a system call.
    pub(crate) fn is_over(&self) -> bool {
        self.status.get().is_some() || !matches!(self.hold.is_over(), Ok(false))
    }

    /// Waits until it has ended, and reaps it. Cancel safe; ready at once when called again.
    ///
    /// It looks before it waits: a wait that begins is woken a round later, and a deadline that is
    /// due in this round would be taken for the first to have come.
    ///
    /// # Errors
    ///
    /// Fails when somebody else took the status, by `waitpid(-1)` or by ignoring SIGCHLD.
    pub(crate) async fn wait(&self) -> io::Result<ExitStatus> {
        if let Some(status) = self.status.get() {
            return Ok(*status);
        }
        if !self.hold.is_over()? {
            self.hold.ended().await;
            // Or somebody else has waited for it: its id may be a stranger's then.
            self.hold.is_over()?;
        }
        // Before it is reaped: then its account can still be read, and its group is its own.
        let usage = procfs::usage(self.pid);
        self.look_at_group();
        let status = self.hold.reap().await?;
        // Where somebody else has reaped it, the account was a stranger's, and is not told.
        if let Some(usage) = usage {
            let _ = self.usage.set(usage);
        }
        Ok(*self.status.get_or_init(|| status))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end_group();
        if self.status.get().is_some() || self.hold.is_over().is_err() {
            return;
        }
        let _ = self.signal(Signal::KILL);
        let hold = self.hold.clone();
        spawner::background(async move {
            let _ = hold.reap().await;
        });
    }
}

/// Raises this process's soft limit of open descriptors to the hard one; returns what it is then,
/// `None` being without a limit.
pub(crate) fn raise_descriptor_limit() -> io::Result<Option<u64>> {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        rustix::process::setrlimit(Resource::Nofile, raised)?;
    }
    Ok(limit.maximum)
}
