//! What `/proc` says about processes. Reads only; what follows from it is decided elsewhere.
//!
//! A process may end between any two reads: what is gone is left out, never an error.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::handover::TREE_VARIABLE;

/// One open descriptor.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Descriptor {
    /// Its number.
    pub(crate) number: i32,
    /// What it is, as the kernel names it: a path, `socket:[inode]`, `anon_inode:…`.
    pub(crate) target: PathBuf,
}

/// One thread.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Thread {
    /// Its id.
    pub(crate) id: u32,
    /// Its name, at most 15 bytes.
    pub(crate) name: String,
}

/// What `/proc/PID/stat` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    /// The process.
    pub(crate) pid: u32,
    /// Its name, at most 15 bytes.
    pub(crate) name: String,
    /// `R`, `S`, `D`, `T`, `Z`, …
    pub(crate) state: char,
    /// The process that is its parent now.
    pub(crate) parent: u32,
}

impl Stat {
    /// Whether it has ended and nobody has waited for it.
    pub(crate) fn is_zombie(&self) -> bool {
        self.state == 'Z'
    }

    fn parse(text: &str) -> Option<Self> {
        // The name may hold blanks and brackets; the last bracket ends it.
        let (head, tail) = text.rsplit_once(')')?;
        let (pid, name) = head.split_once('(')?;
        let mut fields = tail.split_ascii_whitespace();
        Some(Self {
            pid: pid.trim().parse().ok()?,
            name: name.to_owned(),
            state: fields.next()?.chars().next()?,
            parent: fields.next()?.parse().ok()?,
        })
    }
}

/// The descriptors of this process, without the one that is used to list them.
pub(crate) fn own_descriptors() -> io::Result<Vec<Descriptor>> {
    descriptors(std::process::id())
}

/// The descriptors of a process of the same user.
pub(crate) fn descriptors(pid: u32) -> io::Result<Vec<Descriptor>> {
    let folder = PathBuf::from(format!("/proc/{pid}/fd"));
    let mut found: Vec<_> = numbers::<i32>(&folder)?
        .filter_map(|number| {
            let target = fs::read_link(folder.join(number.to_string())).ok()?;
            (target != folder).then_some(Descriptor { number, target })
        })
        .collect();
    found.sort();
    Ok(found)
}

/// The threads of this process.
pub(crate) fn own_threads() -> io::Result<Vec<Thread>> {
    threads(std::process::id())
}

/// The threads of a process.
pub(crate) fn threads(pid: u32) -> io::Result<Vec<Thread>> {
    let folder = PathBuf::from(format!("/proc/{pid}/task"));
    let mut found: Vec<_> = numbers::<u32>(&folder)?
        .filter_map(|id| {
            let name = fs::read(folder.join(id.to_string()).join("comm")).ok()?;
            Some(Thread { id, name: String::from_utf8_lossy(&name).trim_end().to_owned() })
        })
        .collect();
    found.sort();
    Ok(found)
}

/// The processes whose parent is `pid` now, zombies included.
pub(crate) fn children(pid: u32) -> io::Result<Vec<u32>> {
    Ok(processes()?.filter(|&child| stat(child).is_some_and(|stat| stat.parent == pid)).collect())
}

/// The processes that one thread of this process started and that nobody has waited for yet.
///
/// # Errors
///
/// Fails where the kernel was built without that list.
pub(crate) fn children_of_thread(thread: u32) -> io::Result<Vec<u32>> {
    let list = fs::read_to_string(format!("/proc/self/task/{thread}/children"))?;
    Ok(list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect())
}

/// What is known of a process; `None` once it is gone.
pub(crate) fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    Stat::parse(&String::from_utf8_lossy(&text))
}

/// Whether a process was started with the marker of this tree in its environment.
///
/// A zombie has none, and that of another user's process cannot be read.
pub(crate) fn carries_tree(pid: u32, tree: u128) -> bool {
    let wanted = format!("{TREE_VARIABLE}={tree:032x}");
    fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|bytes| bytes.split(|&byte| byte == 0).any(|entry| entry == wanted.as_bytes()))
}

/// Every process of this machine that carries the marker of this tree.
pub(crate) fn members(tree: u128) -> io::Result<Vec<u32>> {
    Ok(processes()?.filter(|&pid| carries_tree(pid, tree)).collect())
}

/// Memory that a process has written to and shares with no other, in bytes.
pub(crate) fn private_dirty(pid: u32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    text.lines()
        .find_map(|line| line.strip_prefix("Private_Dirty:"))
        .and_then(|rest| rest.trim().strip_suffix("kB"))
        .and_then(|number| number.trim().parse::<u64>().ok())
        .map(|kib| kib * 1024)
        .ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "no Private_Dirty in smaps_rollup")
        })
}

/// Every process of this machine.
fn processes() -> io::Result<impl Iterator<Item = u32>> {
    numbers(Path::new("/proc"))
}

/// The entries of a folder whose names are numbers.
fn numbers<N: FromStr>(folder: &Path) -> io::Result<impl Iterator<Item = N> + use<N>> {
    let entries = fs::read_dir(folder)?;
    Ok(entries.filter_map(|entry| number(&entry.ok()?.file_name())))
}

fn number<N: FromStr>(name: &OsStr) -> Option<N> {
    std::str::from_utf8(name.as_bytes()).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_confuse_the_fields() {
        let stat = Stat::parse("17 (a) b (c)) S 4 17 17 0 -1").unwrap();
        assert_eq!((stat.pid, stat.name.as_str()), (17, "a) b (c)"));
        assert_eq!((stat.state, stat.parent), ('S', 4));
    }

    #[test]
    fn this_process_is_found_everywhere() {
        let me = std::process::id();
        assert_eq!(stat(me).unwrap().pid, me);
        assert!(own_threads().unwrap().iter().any(|thread| thread.id == me));
        let descriptors = own_descriptors().unwrap();
        assert!(descriptors.windows(2).all(|pair| pair[0].number < pair[1].number));
        assert!(!descriptors.iter().any(|one| one.target.ends_with("fd")));
        assert!(children(stat(me).unwrap().parent).unwrap().contains(&me));
        assert!(private_dirty(me).unwrap() > 0);
    }
}
