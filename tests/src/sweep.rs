//! The sweep: the n-th occurrence of one system call fails, for each call and error of F-30 and each
//! n, until a run passes untouched; every run ends in time, in success or a typed error, and leaves
//! nothing.
//!
//! The subject is `src/bin/swept.rs` under `strace`, which counts occurrences by thread: the n-th of
//! every traced thread fails. Judges outcomes only; what a run does is the subject's business.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::programs::{Finished, Program};

/// For the subject: the program to run its worker with, and its arguments, one a line.
pub const TRACED_VARIABLE: &str = "SWEEP_TRACED";

/// For the subject, if set: the worker starts an actor, too.
pub const DEPTH_VARIABLE: &str = "SWEEP_DEEP";

/// How long a run may take: a start that fails waits for at most 10 s.
const BOUND: Duration = Duration::from_secs(25);

/// Which processes have their calls fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The root: all of its threads, none of its children.
    Root,
    /// Its child, which has a child of its own: all of its threads.
    Child,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Root => "root",
            Side::Child => "child",
        })
    }
}

/// The calls of F-30 and some more that the library makes, each with the errors that it may give.
pub const CALLS: &[(&str, &[&str])] = &[
    ("clone3", &["EAGAIN", "ENOMEM"]),
    ("clone", &["EAGAIN", "ENOMEM"]),
    ("vfork", &["EAGAIN", "ENOMEM"]),
    ("execve", &["EACCES", "ENOMEM", "EIO"]),
    ("pidfd_open", &["EMFILE", "ENFILE", "ENOMEM"]),
    ("socket", &["EMFILE", "ENFILE", "ENOMEM", "EACCES"]),
    ("socketpair", &["EMFILE", "ENFILE", "ENOMEM"]),
    ("bind", &["EACCES", "ENOMEM", "ENOSPC"]),
    ("listen", &["EACCES"]),
    ("accept4", &["EMFILE", "ENFILE", "ENOMEM", "EAGAIN", "EINTR"]),
    ("connect", &["EAGAIN", "EACCES", "EINTR"]),
    ("epoll_create1", &["EMFILE", "ENFILE", "ENOMEM"]),
    ("epoll_ctl", &["ENOMEM", "ENOSPC"]),
    ("epoll_wait", &["EINTR"]),
    ("epoll_pwait", &["EINTR"]),
    ("eventfd2", &["EMFILE", "ENFILE", "ENOMEM"]),
    ("timerfd_create", &["EMFILE", "ENFILE", "ENOMEM"]),
    ("memfd_create", &["EMFILE", "ENFILE", "ENOMEM"]),
    ("pipe2", &["EMFILE", "ENFILE"]),
    ("fcntl", &["EMFILE"]),
    ("dup2", &["EINTR", "EMFILE"]),
    ("dup3", &["EINTR", "EMFILE"]),
    ("ftruncate", &["EIO", "EINTR"]),
    ("pread64", &["EIO", "EINTR"]),
    ("openat", &["EMFILE", "ENFILE", "ENOMEM", "EACCES", "EIO", "EINTR"]),
    ("mkdirat", &["ENOSPC", "EACCES", "EIO"]),
    ("unlinkat", &["EACCES", "EIO"]),
    ("fchmodat", &["EACCES", "EIO"]),
    ("sendmsg", &["ENOMEM", "EAGAIN", "EINTR", "EMFILE"]),
    ("recvmsg", &["ENOMEM", "EAGAIN", "EINTR"]),
    ("sendto", &["ENOMEM", "EAGAIN", "EINTR", "EIO"]),
    ("recvfrom", &["ENOMEM", "EAGAIN", "EINTR", "EIO"]),
    ("read", &["EINTR", "EIO"]),
    ("write", &["EINTR", "EIO", "ENOSPC"]),
    ("waitid", &["EINTR"]),
    ("wait4", &["EINTR"]),
    ("pidfd_send_signal", &["ENOMEM", "EACCES"]),
    ("prctl", &["EACCES", "ENOMEM"]),
    ("prlimit64", &["EACCES"]),
    ("getrandom", &["EINTR"]),
    ("poll", &["EINTR", "ENOMEM"]),
    ("ppoll", &["EINTR", "ENOMEM"]),
    ("open", &["EMFILE", "ENFILE", "ENOMEM", "EACCES", "EIO"]),
    ("readlink", &["EACCES", "EIO", "ENOMEM"]),
    ("statx", &["EACCES", "EIO", "ENOMEM"]),
    ("newfstatat", &["EACCES", "EIO", "ENOMEM"]),
    ("fstat", &["EIO", "ENOMEM"]),
    ("getsockopt", &["ENOMEM"]),
    ("shutdown", &["ENOMEM"]),
];

/// A pair of a call and an error after which the subject may come to an end that is not accepted
/// otherwise, and why that is not ours to change.
#[derive(Clone, Copy, Debug)]
pub struct Exception {
    /// The side, or both.
    pub side: Option<Side>,
    /// The call.
    pub call: &'static str,
    /// The error; any where it is empty.
    pub error: &'static str,
    /// What the verdict then begins with.
    pub verdict: &'static str,
    /// Why.
    pub reason: &'static str,
}

/// All of them.
pub const EXCEPTIONS: &[Exception] = &[];

/// One run to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Whose calls fail.
    pub side: Side,
    /// Which.
    pub call: &'static str,
    /// How.
    pub error: &'static str,
    /// The how manyeth.
    pub nth: u32,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault { side, call, error, nth } = self;
        write!(f, "{side} {call}:{error}:{nth}")
    }
}

/// What a run came to.
#[derive(Clone, Debug)]
#[must_use]
pub struct Outcome {
    /// How often the fault was injected.
    pub injected: usize,
    /// Whether the kernel may give this error to this call.
    pub possible: bool,
    /// What is wrong; nothing where all is well.
    pub verdict: Option<String>,
    /// What the subject said.
    pub said: String,
}

/// Says why `strace` cannot be used, where that is so.
///
/// # Errors
///
/// What it says itself, with what to install.
pub fn can_trace() -> Result<(), String> {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-o", "/dev/null", "-e", "inject=pidfd_open:error=EMFILE:when=1"]);
    match strace.arg("true").stdin(Stdio::null()).output() {
        Err(error) => {
            Err(format!("strace cannot be run: {error}; install the package of that name"))
        }
        Ok(tried) if !tried.status.success() => Err(format!(
            "strace cannot trace here: {}",
            String::from_utf8_lossy(&tried.stderr).trim()
        )),
        Ok(_) => Ok(()),
    }
}

/// The subject, and where its traces go.
#[derive(Debug)]
pub struct Sweep {
    subject: PathBuf,
    folder: PathBuf,
    bound: Duration,
}

impl Sweep {
    /// Sweeps this program, with traces in `folder`.
    pub fn new(subject: impl Into<PathBuf>, folder: impl Into<PathBuf>) -> Self {
        Self { subject: subject.into(), folder: folder.into(), bound: BOUND }
    }

    /// Each run may take so long before it counts as one that hangs, and is shown and killed.
    #[must_use]
    pub fn bound(self, bound: Duration) -> Self {
        Self { bound, ..self }
    }

    /// The numbers of each call in a thread, of all threads together, by an untouched run.
    ///
    /// # Errors
    ///
    /// What was wrong with that run.
    pub fn census(&self, side: Side) -> Result<BTreeMap<String, BTreeSet<u32>>, String> {
        let trace = self.folder.join(format!("census-{side}"));
        let finished = self.run(side, &trace, &["-e", "trace=all", "-e", "signal=none"]);
        if finished.timed_out || finished.code() != Some(0) || !finished.left.is_empty() {
            return Err(finished.to_string());
        }
        let text = fs::read_to_string(&trace).map_err(|error| error.to_string())?;
        let _ = fs::remove_file(&trace);
        let mut counts: BTreeMap<(&str, &str), u32> = BTreeMap::new();
        let mut numbers: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
        for line in text.lines() {
            let Some((thread, rest)) = line.split_once(' ') else { continue };
            let Some((call, _)) = rest.trim_start().split_once('(') else { continue };
            let count = counts.entry((thread, call)).or_default();
            *count += 1;
            if may_fail(line) {
                numbers.entry(call.to_owned()).or_default().insert(*count);
            }
        }
        Ok(numbers)
    }

    /// Makes one run and judges it. `number` is unlike that of any other.
    pub fn try_fault(&self, fault: Fault, number: usize) -> Outcome {
        let Fault { side, call, error, nth } = fault;
        let trace = self.folder.join(format!("trace-{number}"));
        let inject = format!("inject={call}:error={error}:when={nth}");
        let only = format!("trace={call}");
        let finished = self.run(side, &trace, &["-e", &only, "-e", "signal=none", "-e", &inject]);
        let text = fs::read_to_string(&trace).unwrap_or_default();
        let _ = fs::remove_file(&trace);
        let injected: Vec<_> = text.lines().filter(|line| line.ends_with("(INJECTED)")).collect();
        let verdict = judge(&finished, injected.len());
        let possible = injected.iter().all(|line| may_fail(line));
        Outcome { injected: injected.len(), possible, verdict, said: finished.out() }
    }

    fn run(&self, side: Side, trace: &Path, options: &[&str]) -> Finished {
        let trace = trace.to_string_lossy();
        // The program itself is not followed into its own children: they are another side.
        let mut line = vec!["-f", "-b", "execve", "-o", &*trace];
        line.extend(options);
        let subject = self.subject.to_string_lossy();
        let program = match side {
            Side::Root => Program::at("strace").args(&line).arg(&*subject),
            Side::Child => {
                // The child stays its parent's child: its tracer is the grandchild.
                line.insert(0, "-D");
                line.insert(0, "strace");
                line.push(&*subject);
                Program::at(&*subject)
                    .env(DEPTH_VARIABLE, "1")
                    .env(TRACED_VARIABLE, line.join("\n"))
            }
        };
        program.env("RUST_BACKTRACE", "0").timeout(self.bound).run()
    }
}

/// Whether this line of standard error tells of a panic. The reactor's own thread may say that it
/// could not start what it runs: the start of a root or of an actor then fails with an error.
fn is_panic(line: &str) -> bool {
    line.contains("panicked at") && !line.starts_with("thread 'async-io'")
}

/// Whether the kernel may fail a call that was made like this.
///
/// It gives ENOMEM and ENOSPC to what adds to an epoll set; changing and removing cannot fail for
/// want of anything, and the reactor below us drops the events that it has in hand when they do. Nor
/// does an eventfd refuse a one, which is how that reactor is woken: it does not look whether it was.
fn may_fail(traced: &str) -> bool {
    let changes = traced.contains("epoll_ctl(") && !traced.contains("EPOLL_CTL_ADD");
    let wakes = traced.contains("write(") && traced.contains(r#", "\1\0\0\0\0\0\0\0", 8)"#);
    !changes && !wakes
}

/// What is wrong with a run, beginning with one word for it.
fn judge(finished: &Finished, injected: usize) -> Option<String> {
    let (said, complained) = (finished.out(), finished.err());
    let code = finished.code();
    // The loader ends a program before it has begun.
    let loader = code == Some(127) && complained.contains("error while loading shared libraries");
    let what = if finished.timed_out {
        "hang"
    } else if !finished.left.is_empty() {
        "leak"
    } else if said.lines().chain(complained.lines()).any(is_panic) {
        "panic"
    } else if code == Some(4) {
        "left"
    } else if let Some(signal) = finished.status.signal() {
        return Some(format!("signal {signal}\n{finished}"));
    } else if code == Some(0) && said.trim() == "fine" || loader {
        return None;
    } else if code == Some(3)
        && said.trim().split_once(": ").is_some_and(|(_, why)| !why.is_empty())
    {
        match injected {
            0 => "failed untouched",
            _ => return None,
        }
    } else {
        "unclear"
    };
    Some(format!("{what}\n{finished}"))
}
