//! The process table, descriptors and threads, read from `/proc`.
//!
//! Looks, waits for exits and sends SIGKILL by pidfd. Knows nothing of trees and markers: what counts
//! as left behind is decided in `leaks` and `programs`. What ends between two reads is left out.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal, waitpid,
};

/// How many milliseconds a process may take to begin a program, on a machine that is busy.
const EXEC_LOOKS: u32 = 500;

/// One process as `/proc/PID/stat` showed it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Its id. May be given to another process once this one has been waited for.
    pub pid: i32,
    /// When it started, in ticks since boot: with `pid` its identity.
    pub started: u64,
    /// Its name, at most 15 bytes.
    pub name: String,
    /// `R`, `S`, `D`, `T`, `Z`, …
    pub state: char,
    /// The process that is its parent now.
    pub parent: i32,
    /// Its process group.
    pub group: i32,
    /// Its session.
    pub session: i32,
}

impl Process {
    /// Every process of this machine that may be seen.
    pub fn all() -> Vec<Process> {
        numbers(Path::new("/proc")).into_iter().filter_map(Process::of).collect()
    }

    /// The process with this id, if there is one.
    pub fn of(pid: i32) -> Option<Process> {
        let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
        Process::parse(&String::from_utf8_lossy(&text))
    }

    /// The process that asks.
    pub fn own() -> Process {
        let pid = own_pid();
        Process::of(pid).unwrap_or_else(|| panic!("/proc/{pid}/stat cannot be read"))
    }

    fn parse(text: &str) -> Option<Process> {
        // The name may hold blanks and brackets; the last bracket ends it.
        let (head, tail) = text.rsplit_once(')')?;
        let (pid, name) = head.split_once('(')?;
        let fields: Vec<&str> = tail.split_ascii_whitespace().collect();
        Some(Process {
            pid: pid.trim().parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
            name: name.to_owned(),
            state: fields.first()?.chars().next()?,
            parent: fields.get(1)?.parse().ok()?,
            group: fields.get(2)?.parse().ok()?,
            session: fields.get(3)?.parse().ok()?,
        })
    }

    /// Whether it has ended and nobody has waited for it.
    pub fn is_zombie(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }

    /// Whether both are the same process, whatever it has been doing in between.
    pub fn is(&self, other: &Process) -> bool {
        (self.pid, self.started) == (other.pid, other.started)
    }

    /// What it was started with, or its name where that is not to be had.
    pub fn command_line(&self) -> String {
        let bytes = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        let words: Vec<_> = bytes
            .split(|&byte| byte == 0)
            .filter(|word| !word.is_empty())
            .map(String::from_utf8_lossy)
            .collect();
        if words.is_empty() { format!("[{}]", self.name) } else { words.join(" ") }
    }

    /// A variable of the environment that it was started with. A zombie has none, and that of
    /// another user's process cannot be read. Waits a little for one that is between two programs.
    pub fn variable(&self, name: &str) -> Option<String> {
        let mut settled = false;
        for _ in 0..EXEC_LOOKS {
            let bytes = fs::read(format!("/proc/{}/environ", self.pid)).ok()?;
            let variable = bytes.split(|&byte| byte == 0).find_map(|entry| {
                let value = entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
                Some(String::from_utf8_lossy(value).into_owned())
            });
            if variable.is_some() || !bytes.is_empty() || settled {
                return variable;
            }
            // It may have begun its next program since the look above: that counts only if it was
            // in one before.
            settled = !self.is_between_programs();
            if !settled {
                wait_for_readable([], Duration::from_millis(1));
            }
        }
        None
    }

    /// Whether it has let go of one program and not yet begun the next: whoever started it by `vfork`
    /// goes on at that moment, in which it has neither arguments nor an environment.
    fn is_between_programs(&self) -> bool {
        let is_kernel_thread = self.group == 0;
        let line = || fs::read(format!("/proc/{}/cmdline", self.pid));
        let lives = || Process::of(self.pid).is_some_and(|now| now.is(self) && !now.is_zombie());
        !is_kernel_thread && line().is_ok_and(|line| line.is_empty()) && lives()
    }

    /// A descriptor of this very process, readable once it has ended. `None` if it is gone.
    pub fn pidfd(&self) -> Option<OwnedFd> {
        let handle = pidfd_open(Pid::from_raw(self.pid)?, PidfdFlags::empty()).ok()?;
        // The id may have changed hands before it was opened, not after.
        Process::of(self.pid).is_some_and(|now| now.is(self)).then_some(handle)
    }

    /// Sends a signal, never to a stranger that has got the same id. Says whether it was sent.
    pub fn signal(&self, signal: Signal) -> bool {
        self.pidfd().is_some_and(|handle| pidfd_send_signal(handle, signal).is_ok())
    }

    /// Ends it by SIGKILL. Says whether that was sent.
    pub fn kill(&self) -> bool {
        self.signal(Signal::KILL)
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Process { pid, state, parent, group, .. } = self;
        let line = self.command_line();
        write!(f, "process {pid} ({line}), state {state}, parent {parent}, group {group}")
    }
}

/// The id of this process.
pub fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

/// Those of `table` that are below `root`, at any depth, without itself.
pub fn descendants(root: i32, table: &[Process]) -> Vec<Process> {
    let parents: BTreeMap<i32, i32> = table.iter().map(|one| (one.pid, one.parent)).collect();
    let is_below = |mut pid: i32| {
        // Two reads of a changing table could show a ring: its length bounds the walk.
        for _ in 0..table.len() {
            match parents.get(&pid) {
                Some(&parent) if parent == root => return true,
                Some(&parent) => pid = parent,
                None => return false,
            }
        }
        false
    };
    table.iter().filter(|one| is_below(one.pid)).cloned().collect()
}

/// Those of a session that live.
pub fn members_of_session(session: i32) -> Vec<Process> {
    let all = Process::all().into_iter();
    all.filter(|one| one.session == session && !one.is_zombie()).collect()
}

/// Waits for those of a session that have ended and are this process's to wait for. Adopted ones may
/// be of any group.
pub fn reap_session(session: i32) {
    let own = own_pid();
    for one in Process::all() {
        if one.session == session && one.parent == own && one.is_zombie() {
            waitpid(Pid::from_raw(one.pid), WaitOptions::NOHANG).ok();
        }
    }
}

/// Ends them all by SIGKILL.
pub fn kill(processes: &[Process]) {
    for process in processes {
        process.kill();
    }
}

/// The descriptors of this process as (number, link target), without the one used to list them.
pub fn descriptors() -> Vec<(i32, String)> {
    descriptors_of(own_pid())
}

/// The descriptors of a process as (number, link target); none where it is gone.
pub fn descriptors_of(pid: i32) -> Vec<(i32, String)> {
    let folder = format!("/proc/{pid}/fd");
    let mut found: Vec<_> = numbers(Path::new(&folder))
        .into_iter()
        .filter_map(|number| {
            let target = fs::read_link(format!("{folder}/{number}")).ok()?;
            let target = target.to_string_lossy().into_owned();
            (target != folder).then_some((number, target))
        })
        .collect();
    found.sort();
    found
}

/// The threads of this process as (id, name).
pub fn threads() -> Vec<(i32, String)> {
    threads_of(own_pid())
}

/// The threads of a process as (id, name); none where it is gone.
pub fn threads_of(pid: i32) -> Vec<(i32, String)> {
    let folder = format!("/proc/{pid}/task");
    let mut found: Vec<_> = numbers(Path::new(&folder))
        .into_iter()
        .filter_map(|id| {
            let name = fs::read_to_string(format!("{folder}/{id}/comm")).ok()?;
            Some((id, name.trim_end().to_owned()))
        })
        .collect();
    found.sort();
    found
}

/// Waits for the end of processes, wherever they were started; whose zombies they are is not asked.
///
/// # Panics
/// Where that takes longer than `within`.
#[track_caller]
pub fn assert_gone(processes: &[Process], within: Duration) {
    let until = Instant::now() + within;
    let lives =
        |one: &&Process| Process::of(one.pid).is_some_and(|now| now.is(one) && !now.is_zombie());
    loop {
        let left: Vec<_> = processes.iter().filter(lives).cloned().collect();
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < until, "{left:?} are left");
        wait_for_any_exit(&left, until.saturating_duration_since(Instant::now()));
    }
}

/// Waits until one of `processes` has ended, at most for `within`. Returns at once if one is gone
/// already.
pub fn wait_for_any_exit(processes: &[Process], within: Duration) {
    let handles: Vec<_> = processes.iter().map(Process::pidfd).collect();
    if handles.iter().any(Option::is_none) && !handles.is_empty() {
        return;
    }
    wait_for_readable(handles.iter().flatten().map(AsFd::as_fd), within);
}

/// Waits until one of `handles` is readable or at its end, at most for `within`. Says whether one is.
pub fn wait_for_readable<'a>(
    handles: impl IntoIterator<Item = BorrowedFd<'a>>,
    within: Duration,
) -> bool {
    let watch = |one| PollFd::from_borrowed_fd(one, PollFlags::IN);
    let mut watched: Vec<_> = handles.into_iter().map(watch).collect();
    let until = Instant::now() + within;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).ok();
        match poll(&mut watched, timeout.as_ref()) {
            Err(rustix::io::Errno::INTR) => {}
            Ok(ready) => return ready > 0,
            Err(error) => panic!("poll: {error}"),
        }
    }
}

/// The entries of a folder whose names are numbers. The folder is closed again on return.
fn numbers(folder: &Path) -> Vec<i32> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_confuse_the_fields() {
        let line = "17 (a) b (c)) S 4 3 2 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 4711 0 0";
        let found = Process::parse(line).unwrap();
        assert_eq!((found.pid, found.name.as_str(), found.state), (17, "a) b (c)", 'S'));
        assert_eq!((found.parent, found.group, found.session, found.started), (4, 3, 2, 4711));
    }

    #[test]
    fn this_process_is_found_by_each_look() {
        let own = Process::own();
        assert!(Process::all().iter().any(|one| one.is(&own)));
        assert!(descendants(own.parent, &Process::all()).iter().any(|one| one.is(&own)));
        assert!(threads().iter().any(|(id, _)| *id == own.pid));
        assert!(!descriptors().iter().any(|(_, target)| target.ends_with("/fd")));
        assert_eq!(own.variable("PATH"), std::env::var("PATH").ok());
    }
}
