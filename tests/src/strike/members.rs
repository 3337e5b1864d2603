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

/// Where each thread of a process stands: by a debugger where one is installed, else by what the
/// kernel tells.
pub fn show(member: &Process) -> String {
    let stacks = Command::new("gdb")
        .args(["-p", &member.pid.to_string(), "-batch", "-ex", FRAMES])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    let stacks = match stacks {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).into_owned()
        }
        _ => by_kernel(member.pid),
    };
    format!("{member}\n{stacks}")
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
    thread::spawn(move || {
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
    });
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
