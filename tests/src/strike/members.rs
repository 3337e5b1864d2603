//! What a process that hangs is doing, for those who read a report.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode};

use crate::procfs::{self, Process};

/// Names the pipe at which every process of a run waits to be asked for its last steps.
pub const STEPS: &str = "STRIKE_STEPS";
/// How long they have for the answer.
const ANSWER: Duration = Duration::from_millis(500);

/// How many lines of a stack are worth reading.
const FRAMES: &str = "thread apply all bt 30";
/// How many seconds a debugger has for one process: of one that is frozen it never hears.
const PATIENCE: &str = "20";

/// Where each thread of a process stands: by a debugger where one is installed and may look, else by
/// what the kernel tells.
pub fn show(member: &Process) -> String {
    let stacks = Command::new("timeout")
        .args(["-s", "KILL", PATIENCE, "gdb", "-nx", "-p"])
        .args([&member.pid.to_string(), "-batch", "-ex", FRAMES])
        // It would ask the network for what it does not find.
        .env("DEBUGINFOD_URLS", "")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    let stacks = stacks.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    // What it may not attach to, it shows nothing of, and ends well.
    let stacks = stacks.ok().filter(|stacks| stacks.contains("#0 "));
    format!("{member}\n{}", stacks.unwrap_or_else(|| by_kernel(member.pid)))
}

/// Where all of these stand. One of them that traces others is ended first: a process has one tracer,
/// and a debugger is another.
pub fn show_all(members: &[Process]) -> String {
    let is_traced_by = |tracer: &Process| {
        let line = format!("TracerPid:\t{}", tracer.pid);
        let status = |one: &Process| fs::read_to_string(format!("/proc/{}/status", one.pid));
        members.iter().any(|one| status(one).is_ok_and(|it| it.lines().any(|known| known == line)))
    };
    let tracers: Vec<_> = members.iter().filter(|one| is_traced_by(one)).cloned().collect();
    for tracer in &tracers {
        tracer.kill();
        procfs::wait_for_any_exit(std::slice::from_ref(tracer), ANSWER);
    }
    let others = members.iter().filter(|one| !tracers.iter().any(|tracer| tracer.is(one)));
    others.map(show).collect::<Vec<_>>().join("\n")
}

/// Makes the pipe at which processes wait to be asked.
///
/// # Panics
///
/// Panics where it cannot be made.
pub fn make_pipe(path: &Path) {
    let mode = Mode::RUSR | Mode::WUSR;
    rustix::fs::mknodat(CWD, path, FileType::Fifo, mode, 0).expect("a pipe");
}

/// Has a thread wait until somebody asks, which then writes to standard error what the links of this
/// process have sent and received last. Nothing where no pipe is named. A process that is stopped
/// cannot answer.
pub fn tell_last_steps_when_asked() {
    let Some(pipe) = std::env::var_os(STEPS) else { return };
    let wait = move || {
        // Opening it is waiting for whoever asks.
        if File::open(pipe).is_err() {
            return;
        }
        let own = procfs::own_pid();
        let mut told = format!("last steps of process {own}\n");
        for link in hatchery::__private::last_steps() {
            told += &format!("  {link}\n");
        }
        std::io::stderr().write_all(told.as_bytes()).ok();
    };
    // Without a thread it tells nothing, and is as it would be otherwise.
    thread::Builder::new().name("last-steps".to_owned()).spawn(wait).ok();
}

/// Asks all who wait at that pipe, and gives them time to answer.
pub fn ask_for_last_steps(pipe: &Path) {
    let asked = OpenOptions::new().read(true).write(true).open(pipe);
    procfs::wait_for_readable([], ANSWER);
    drop(asked);
}

fn by_kernel(pid: i32) -> String {
    let mut told = String::new();
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    for task in tasks {
        told += &format!("thread {}\n", task.file_name().display());
        for file in ["wchan", "stack", "status"] {
            let text = fs::read_to_string(task.path().join(file)).unwrap_or_default();
            told += &format!("{file}: {}\n", text.trim_end());
        }
    }
    told
}
