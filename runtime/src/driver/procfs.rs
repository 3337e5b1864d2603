//! What `/proc` says about processes. Reads only; what follows from it is decided elsewhere.
//!
//! A process may end between any two reads: what is gone is left out, never an error.

use std::fs;
use std::io;
#[cfg(feature = "test-support")]
use std::path::PathBuf;
use std::time::Duration;

use hatchery_proto::report::Usage;

/// The processes that one thread of this process started and that nobody has waited for yet.
///
/// # Errors
///
/// Fails where the kernel was built without that list.
pub(crate) fn children_of_thread(thread: u32) -> io::Result<Vec<u32>> {
    let list = fs::read_to_string(format!("/proc/self/task/{thread}/children"))?;
    Ok(list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect())
}

/// What a process has used, whether it lives or has not been waited for yet.
pub(crate) fn usage(pid: u32) -> Option<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Its name stands in brackets and may hold any character.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    let per_second = rustix::param::clock_ticks_per_second();
    let mut time = || {
        let ticks: u64 = fields.next()?.parse().ok()?;
        let micros = ticks.checked_mul(1_000_000)?.checked_div(per_second)?;
        Some(Duration::from_micros(micros))
    };
    Some(Usage { user: time()?, system: time()? })
}

/// How many processes the system has ended for lack of memory so far, where it counts them.
pub(crate) fn ended_for_memory() -> Option<u64> {
    let counters = fs::read_to_string("/proc/vmstat").ok()?;
    counters.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok())
}

/// The processes that this one started, with any of its threads, zombies included.
#[cfg(feature = "test-support")]
pub(crate) fn own_children() -> io::Result<Vec<u32>> {
    let mut children = Vec::new();
    for thread in fs::read_dir("/proc/self/task")? {
        let name = thread?.file_name();
        let thread = name.to_str().and_then(|name| name.parse().ok());
        // A thread that has ended meanwhile has handed its children on.
        children.extend(thread.and_then(|id| children_of_thread(id).ok()).unwrap_or_default());
    }
    children.sort_unstable();
    Ok(children)
}

/// What the open descriptors of this process are, as the kernel names them: a path,
/// `socket:[inode]`, `anon_inode:…`.
#[cfg(feature = "test-support")]
pub(crate) fn own_descriptors() -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir("/proc/self/fd")?;
    // The one that lists them is gone again, or names this folder.
    let mut found: Vec<_> =
        entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok()).collect();
    found.sort();
    Ok(found)
}
