//! Where a measurement runs: cores, the peer process and its link, what the kernel says of it.

use std::env;
use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command};

use rustix::process::{Pid, Signal, set_parent_process_death_signal};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The cores that this process may use.
pub(crate) fn cores() -> Vec<usize> {
    let set = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
    (0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect()
}

/// Keeps this thread, and what it starts from now on, on one core.
pub(crate) fn pin_to(core: usize) -> io::Result<()> {
    Ok(sched_setaffinity(None, &only(core))?)
}

/// Lets this thread, and what it starts from now on, use all cores that there are.
#[cfg(feature = "parker")]
pub(crate) fn let_go() -> io::Result<()> {
    let mut all = CpuSet::new();
    (0..CpuSet::MAX_CPU).for_each(|core| all.set(core));
    Ok(sched_setaffinity(None, &all)?)
}

/// Moves every thread of this process to one core.
pub(crate) fn move_to(core: usize) -> io::Result<()> {
    for entry in fs::read_dir("/proc/self/task")? {
        let name = entry?.file_name();
        let thread = name.to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        sched_setaffinity(thread, &only(core))?;
    }
    Ok(())
}

fn only(core: usize) -> CpuSet {
    let mut set = CpuSet::new();
    set.set(core);
    set
}

/// A process of this program that has the other end of a link, killed when this is dropped.
pub(crate) struct Peer {
    child: Child,
    /// Our end.
    pub(crate) link: UnixStream,
}

impl Peer {
    /// Starts it, on another core where one is named, and waits until it is up.
    pub(crate) fn start(name: &str, core: Option<usize>) -> io::Result<Self> {
        let (link, theirs) = UnixStream::pair()?;
        let mut command = Command::new(env::current_exe()?);
        command.args(["--peer", name]).args(core.map(|core| core.to_string()));
        let child = command.stdin(OwnedFd::from(theirs)).spawn()?;
        let mut peer = Self { child, link };
        peer.link.read_exact(&mut [0])?;
        Ok(peer)
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> io::Result<()> {
        self.child.wait().map(drop)
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// In a peer: its end of the link.
pub(crate) fn link_of_peer() -> io::Result<UnixStream> {
    Ok(UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?))
}

/// In a peer or a sample: it ends when its parent does.
pub(crate) fn end_with_parent() -> io::Result<()> {
    Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
}

/// Memory that a process has written to and shares with none, in KiB.
pub(crate) fn private_dirty(pid: u32) -> io::Result<f64> {
    // The image's own pages count for as long as they are newer than what is on the disk.
    fs::File::open(env::current_exe()?)?.sync_all()?;
    field(&format!("/proc/{pid}/smaps_rollup"), "Private_Dirty:")
}

/// What the threads of some processes have had of processors so far, in µs: unlike the clock it does
/// not go on while others use the machine.
pub(crate) fn processor_time(pids: &[u32]) -> io::Result<f64> {
    let mut nanos = 0;
    for pid in pids {
        for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
            let text = fs::read_to_string(entry?.path().join("schedstat"))?;
            let had = text.split_whitespace().next().and_then(|had| had.parse::<u64>().ok());
            nanos += had.ok_or_else(|| io::Error::other("the kernel keeps no schedstat"))?;
        }
    }
    Ok(nanos as f64 / 1e3)
}

/// Memory of a process that is in memory now, in KiB.
pub(crate) fn resident(pid: u32) -> io::Result<f64> {
    field(&format!("/proc/{pid}/status"), "VmRSS:")
}

/// How many threads a process has.
pub(crate) fn threads(pid: u32) -> io::Result<f64> {
    field(&format!("/proc/{pid}/status"), "Threads:")
}

fn field(path: &str, name: &str) -> io::Result<f64> {
    let text = fs::read_to_string(path)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| io::Error::other(format!("{path} has no {name}")))
}
