//! Control groups of single tests: processes that are frozen, or that have little memory. Where the
//! machine gives none, that is said, and what is nearest is done instead.

use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::procfs::Process;

/// Ten times what any of this takes.
const SOON: Duration = Duration::from_secs(10);

/// Told whether the test fails or not: it shows less than it should.
pub fn say(why: &str) {
    let _ = writeln!(io::stderr(), "{why}");
}

/// A control group of one test, gone with it.
#[derive(Debug)]
pub struct Group(PathBuf);

impl Group {
    /// One of this controller's.
    ///
    /// # Errors
    /// Why there can be none.
    pub fn new(controller: &str, test: &str) -> io::Result<Self> {
        let name = format!("tests-{test}-{}", std::process::id());
        let folder = PathBuf::from("/sys/fs/cgroup").join(controller).join(name);
        fs::create_dir(&folder)?;
        Ok(Self(folder))
    }

    /// Writes one of its files.
    ///
    /// # Errors
    /// Where that is not allowed, or not there.
    pub fn set(&self, file: &str, value: impl fmt::Display) -> io::Result<()> {
        fs::write(self.0.join(file), value.to_string())
    }

    fn says(&self, file: &str, value: &str) -> bool {
        fs::read_to_string(self.0.join(file)).is_ok_and(|said| said.contains(value))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = self.set("freezer.state", "THAWED");
        let _ = self.set("cgroup.freeze", 0);
        let begin = Instant::now();
        // Who was killed in it leaves it a moment later.
        while fs::remove_dir(&self.0).is_err() && begin.elapsed() < SOON {
            std::thread::yield_now();
        }
    }
}

/// How a process can be held still on this machine.
#[derive(Debug)]
pub enum Hold {
    /// SIGKILL waits until it is thawed: version 1 of control groups.
    Frozen(Group),
    /// SIGKILL ends it all the same: version 2.
    Chilled(Group),
    /// There is no freezer here; the same by a signal.
    Stopped,
}

impl Hold {
    /// The hardest way there is; says so where it is not the first.
    pub fn new(test: &str) -> Self {
        match Group::new("freezer", test) {
            Ok(group) if group.0.join("freezer.state").exists() => return Self::Frozen(group),
            first => say(&format!("{test}: SIGKILL ends all there is here: {:?}", first.err())),
        }
        for place in ["unified", ""] {
            match Group::new(place, test) {
                Ok(group) if group.0.join("cgroup.freeze").exists() => return Self::Chilled(group),
                _ => {}
            }
        }
        say(&format!("{test}: nothing can be frozen here: a stopped process instead"));
        Self::Stopped
    }

    /// Holds a process still, until this is dropped where it is frozen.
    ///
    /// # Panics
    /// Where it does not come to that.
    pub fn hold(&self, process: &Process) {
        let (group, switch, on, file, said) = match self {
            Self::Frozen(group) => (group, "freezer.state", "FROZEN", "freezer.state", "FROZEN"),
            Self::Chilled(group) => (group, "cgroup.freeze", "1", "cgroup.events", "frozen 1"),
            Self::Stopped => return assert!(process.signal(Signal::STOP)),
        };
        group.set("cgroup.procs", process.pid).expect("a process for the group");
        group.set(switch, on).expect("a group that freezes");
        let begin = Instant::now();
        while !group.says(file, said) {
            assert!(begin.elapsed() < SOON, "it does not freeze");
        }
    }

    /// Whether what it holds outlives SIGKILL.
    pub fn outlives_sigkill(&self) -> bool {
        matches!(self, Self::Frozen(_))
    }
}
