//! What a process that hangs is doing, for those who read a report.

use std::fs;
use std::process::{Command, Stdio};

use crate::procfs::Process;

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
