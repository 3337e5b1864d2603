//! What `/proc` says about processes. Reads only; what follows from it is decided elsewhere.
//!
//! A process may end between any two reads: what is gone is left out, never an error.

use std::fmt;
use std::fs;
use std::io::{self, Read as _};
#[cfg(feature = "test-support")]
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hatchery_proto::Instant;
use hatchery_proto::report::Usage;

use super::clock;

/// The processes that one thread of this process started and that nobody has waited for yet.
///
/// # Errors
///
/// Fails where the kernel was built without that list.
pub(crate) fn children_of_thread(thread: u32) -> io::Result<Vec<u32>> {
    let list = fs::read_to_string(format!("/proc/self/task/{thread}/children"))?;
    Ok(list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect())
}

/// A process at a glance, whether it lives or has not been waited for yet.
#[derive(Debug)]
pub(crate) struct Stat {
    state: char,
    /// Its parent.
    pub(crate) parent: u32,
    /// Its process group; 0 for one that this process cannot see, outside its container.
    pub(crate) group: i32,
    /// When it was started, in ticks since the system was: with its pid, its name for ever.
    pub(crate) started: u64,
    user: u64,
    system: u64,
}

impl Stat {
    /// Whether it has ended and was not waited for.
    pub(crate) fn is_zombie(&self) -> bool {
        self.state == 'Z'
    }
}

/// Looks at a process.
pub(crate) fn stat(pid: u32) -> Option<Stat> {
    // In one piece: it is looked at for every child, and a buffer that grows asks six times.
    let mut line = [0; 2048];
    let mut file = fs::File::open(format!("/proc/{pid}/stat")).ok()?;
    let length = file.read(&mut line).ok()?;
    let line = line.get(..length)?;
    // Its name stands in brackets and may hold any character. Fields are counted from 3 behind it.
    let behind = line.iter().rposition(|byte| *byte == b')')? + 2;
    let mut fields = str::from_utf8(line.get(behind..)?).ok()?.split(' ');
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    let user = fields.nth(8)?.parse().ok()?;
    let system = fields.next()?.parse().ok()?;
    let started = fields.nth(6)?.parse().ok()?;
    Some(Stat { state, parent, group, started, user, system })
}

/// What a process has used.
pub(crate) fn usage(pid: u32) -> Option<Usage> {
    let stat = stat(pid)?;
    let per_second = rustix::param::clock_ticks_per_second();
    let time = |ticks: u64| {
        let micros = ticks.checked_mul(1_000_000)?.checked_div(per_second)?;
        Some(Duration::from_micros(micros))
    };
    Some(Usage { user: time(stat.user)?, system: time(stat.system)? })
}

/// The processes that `pid` has started, with any of its threads, zombies included.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let list = |thread: io::Result<fs::DirEntry>| {
        let list = fs::read_to_string(thread.ok()?.path().join("children")).ok()?;
        Some(list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
    };
    threads.filter_map(list).flatten().collect()
}

/// What a variable was in a process's environment when it was started.
pub(crate) fn variable(pid: u32, name: &str) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let value = environment
        .split(|byte| *byte == 0)
        .find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    Some(String::from_utf8_lossy(value).into_owned())
}

/// Whether a process calls itself an actor.
pub(crate) fn is_actor(pid: u32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"hatchery: "))
}

/// What an actor's process is called by itself, where it is one.
pub(crate) fn actor_name(pid: u32) -> Option<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let name = line.strip_prefix(b"hatchery: ")?.split(|byte| *byte == 0).next()?;
    if name == b"waiting" {
        // It may have been told since, and names itself so far as the kernel keeps it.
        let now = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        return Some(now.trim_end().to_owned());
    }
    Some(String::from_utf8_lossy(name).into_owned())
}

/// Whether a process has a handler for a signal.
pub(crate) fn catches(pid: u32, signal: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let bit = u32::try_from(signal).ok().and_then(|signal| 1_u64.checked_shl(signal - 1));
    caught.zip(bit).is_some_and(|(caught, bit)| caught & bit != 0)
}

/// What a process, or a thread of one (`PID/task/THREAD`), is doing, in words: the kernel's state, and
/// where in the kernel it waits, where that is told.
pub(crate) fn shown(which: impl fmt::Display) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{which}/stat")).ok()?;
    let state = match stat.rsplit_once(") ")?.1.chars().next()? {
        'R' => "runs",
        'S' => "sleeps",
        'D' => "waits for a device or a file system and takes no signal",
        'T' => "is stopped by a signal",
        't' => "is stopped by a debugger",
        'Z' | 'X' => "has ended and was not waited for",
        'I' => "is idle",
        _ => "is in a state that is not known",
    };
    let place = fs::read_to_string(format!("/proc/{which}/wchan")).unwrap_or_default();
    Some(match place.as_str() {
        "" | "0" => state.to_owned(),
        place => format!("{state} in {place}"),
    })
}

/// Every process that this one can see.
pub(crate) fn all() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// How many processes the system has ended for lack of memory so far, where it counts them.
pub(crate) fn ended_for_memory() -> Option<u64> {
    Counted::known().anew(clock::now(), count_ended_for_memory)
}

/// The same, as it was at most a tenth of a second ago: to count them all is dear to the system, and many
/// children are started at once.
pub(crate) fn ended_for_memory_lately() -> Option<u64> {
    Counted::known().lately(clock::now(), count_ended_for_memory)
}

fn count_ended_for_memory() -> Option<u64> {
    let mut file = fs::File::open("/proc/vmstat").ok()?;
    // All is counted anew for every read of it: few that are large, and none behind what is looked for.
    let (mut text, mut filled) = (vec![0; 16 * 1024], 0);
    loop {
        let read = file.read(text.get_mut(filled..)?).ok().filter(|read| *read > 0)?;
        filled += read;
        let lines = str::from_utf8(text.get(..filled)?).ok()?.split_inclusive('\n');
        let mut whole = lines.filter_map(|line| line.strip_suffix('\n'));
        let count = |line: &str| line.strip_prefix("oom_kill ")?.parse().ok();
        if let Some(count) = whole.find_map(count) {
            return Some(count);
        }
    }
}

/// What was counted last, and when.
#[derive(Default)]
struct Counted(Option<(Instant, Option<u64>)>);

impl Counted {
    const LATELY: Duration = Duration::from_millis(100);

    fn known() -> MutexGuard<'static, Self> {
        static KNOWN: Mutex<Counted> = Mutex::new(Counted(None));
        KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn anew(&mut self, now: Instant, count: impl FnOnce() -> Option<u64>) -> Option<u64> {
        self.0.insert((now, count())).1
    }

    fn lately(&mut self, now: Instant, count: impl FnOnce() -> Option<u64>) -> Option<u64> {
        match self.0 {
            Some((at, known)) if now.since(at) <= Self::LATELY => known,
            _ => self.anew(now, count),
        }
    }
}

/// The processes that this one started, with any of its threads, zombies included.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_known_for_a_moment_and_counted_anew_where_it_matters() {
        let at = |millis: u64| Instant::from_micros(1000 * millis);
        let mut counted = Counted(None);
        assert_eq!(counted.lately(at(5), || Some(1)), Some(1));
        assert_eq!(counted.lately(at(105), || panic!("it is known")), Some(1));
        assert_eq!(counted.lately(at(106), || Some(2)), Some(2));
        // A death that is looked into: those who are started behind it know of what ended it.
        assert_eq!(counted.anew(at(107), || Some(3)), Some(3));
        assert_eq!(counted.lately(at(108), || panic!("it is known")), Some(3));
        assert_eq!(counted.lately(at(300), || None), None);
    }

    #[test]
    fn who_was_ended_for_memory_is_counted_as_the_system_says() {
        let said = || fs::read_to_string("/proc/vmstat").unwrap_or_default();
        let count = |text: &str| -> Option<u64> {
            text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok())
        };
        let (before, now, after) = (count(&said()), count_ended_for_memory(), count(&said()));
        assert!(before <= now && now <= after, "{before:?} {now:?} {after:?}");
    }
}
