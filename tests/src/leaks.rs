//! The checker that every test of several processes goes through: what is there now that was not
//! there before?
//!
//! Invariants Z, O, F and S: no zombie, no orphan, the same descriptors and threads, no socket file
//! and no shared memory of the tree. A baseline is taken before, and `check` waits for a condition
//! with a deadline, on events where the kernel has them. It looks only; `Leaks::end` cleans up.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fmt;
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::procfs::{self, Process};

/// The variable that every process of a tree inherits.
pub const TREE_VARIABLE: &str = "HATCHERY_TREE";

/// What the name of every file and segment that the library makes begins with.
pub const FILE_PREFIX: &str = "hatchery";

/// How long to wait between two looks at what the kernel has no event for.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Lets one test of several processes run at a time in this process.
///
/// The test threads of one binary share children, zombies and files; under a runner with a process
/// for each test this is free. A test that panicked while it held the guard does not fail others.
pub fn exclusive() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What was there before.
#[derive(Clone, Debug)]
#[must_use = "a baseline is for checking against it"]
pub struct Baseline {
    strength: Strength,
    tree: Option<String>,
    allowed: Vec<String>,
    own: Process,
    places: BTreeSet<PathBuf>,
    processes: BTreeSet<(i32, u64)>,
    descriptors: Vec<(i32, String)>,
    threads: Vec<(i32, String)>,
    files: BTreeMap<PathBuf, &'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strength {
    ProcessWide,
    Tree,
}

impl Baseline {
    /// Takes everything that this process has: any child, descriptor, thread or file that is new at
    /// the check counts. For programs, and for test binaries with a single test.
    pub fn process_wide() -> Self {
        Self::with(Strength::ProcessWide)
    }

    /// Takes what belongs to trees: processes that carry the marker, zombies, files. Descriptors,
    /// threads and unmarked children are left out, since other tests of the binary may have some.
    pub fn tree() -> Self {
        Self::with(Strength::Tree)
    }

    fn with(strength: Strength) -> Self {
        Self {
            strength,
            tree: None,
            allowed: Vec::new(),
            own: Process::own(),
            places: places(),
            processes: Process::all().iter().map(|one| (one.pid, one.started)).collect(),
            descriptors: procfs::descriptors(),
            threads: procfs::threads(),
            files: files(&places()),
        }
    }

    /// Counts processes of the tree with this marker wherever they are. Without it, a marked process
    /// counts if it descends from this one or is of its process group, which an orphan keeps unless
    /// it left it by itself. The session says nothing: runners start many tests in one.
    pub fn of_tree(mut self, tree: impl Into<String>) -> Self {
        self.tree = Some(tree.into());
        self
    }

    /// Looks for files in this folder only, instead of where trees of any test put theirs.
    pub fn only_in(mut self, folder: impl Into<PathBuf>) -> Self {
        self.places = BTreeSet::from([folder.into()]);
        self.files = files(&self.places);
        self
    }

    /// Does not count a thread whose name, or a descriptor whose target, begins with `prefix`: for
    /// what a library starts once and keeps, such as the reactor's own.
    pub fn allow(mut self, prefix: impl Into<String>) -> Self {
        self.allowed.push(prefix.into());
        self
    }

    /// Looks once.
    pub fn look(&self) -> Leaks {
        let mut found = Vec::new();
        self.look_at_processes(&mut found);
        if self.strength == Strength::ProcessWide {
            self.look_at_descriptors(&mut found);
            self.look_at_threads(&mut found);
        }
        let new =
            files(&self.places).into_iter().filter(|(path, _)| !self.files.contains_key(path));
        found.extend(new.map(|(path, kind)| Leak::File { path, kind }));
        Leaks(found)
    }

    /// Waits until nothing is left, at most for `within`.
    ///
    /// # Errors
    ///
    /// Names what is still there at the end of that time.
    pub fn check(&self, within: Duration) -> Result<(), Leaks> {
        let until = Instant::now() + within;
        loop {
            let leaks = self.look();
            let left = until.saturating_duration_since(Instant::now());
            if leaks.is_empty() {
                return Ok(());
            }
            if left.is_zero() {
                return Err(leaks);
            }
            leaks.wait_for_change(left);
        }
    }

    fn look_at_processes(&self, found: &mut Vec<Leak>) {
        let table = Process::all();
        let below = procfs::descendants(self.own.pid, &table);
        let is_below = |one: &Process| below.iter().any(|other| other.is(one));
        for one in &table {
            if one.is(&self.own) || self.processes.contains(&(one.pid, one.started)) {
                continue;
            }
            if one.is_zombie() {
                if is_below(one) {
                    found.push(Leak::Zombie(one.clone()));
                }
                continue;
            }
            let counts = match one.variable(TREE_VARIABLE) {
                Some(tree) if self.tree.as_ref() == Some(&tree) => true,
                Some(_) => is_below(one) || one.group == self.own.group,
                None => self.strength == Strength::ProcessWide && is_below(one),
            };
            if counts {
                found.push(Leak::process(one.clone()));
            }
        }
    }

    fn look_at_descriptors(&self, found: &mut Vec<Leak>) {
        // By target, each as often as before: a number may have been given to something else.
        let mut before: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, target) in &self.descriptors {
            *before.entry(target).or_default() += 1;
        }
        for (number, target) in procfs::descriptors() {
            match before.get_mut(target.as_str()) {
                Some(count) if *count > 0 => *count -= 1,
                _ if self.is_allowed(&target) => {}
                _ => found.push(Leak::Descriptor { number, target }),
            }
        }
    }

    fn look_at_threads(&self, found: &mut Vec<Leak>) {
        for (id, name) in procfs::threads() {
            let known = self.threads.iter().any(|(before, _)| *before == id);
            if !known && !self.is_allowed(&name) {
                found.push(Leak::Thread { id, name });
            }
        }
    }

    fn is_allowed(&self, name: &str) -> bool {
        self.allowed.iter().any(|prefix| name.starts_with(prefix.as_str()))
    }
}

/// One thing that is left.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Leak {
    /// A process that lives: a child, a descendant, or an orphan with the marker.
    Process {
        /// The process.
        process: Process,
        /// What it was started with.
        line: String,
        /// The marker in its environment.
        tree: Option<String>,
    },
    /// A process below this one that has ended and that nobody has waited for.
    Zombie(Process),
    /// A descriptor of this process.
    Descriptor {
        /// Its number.
        number: i32,
        /// What it leads to, as the kernel names it.
        target: String,
    },
    /// A thread of this process.
    Thread {
        /// Its id.
        id: i32,
        /// Its name.
        name: String,
    },
    /// A file, socket, directory or segment of shared memory.
    File {
        /// Where it is.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
}

impl Leak {
    /// A process that lives.
    pub fn process(process: Process) -> Self {
        let line = process.command_line();
        let tree = process.variable(TREE_VARIABLE);
        Leak::Process { process, line, tree }
    }
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Leak::Process { process, line, tree } => {
                let Process { pid, state, parent, .. } = process;
                write!(f, "live process {pid} ({line}), state {state}, parent {parent}")?;
                tree.as_ref().map_or(Ok(()), |tree| write!(f, ", tree {tree}"))
            }
            Leak::Zombie(Process { pid, name, parent, .. }) => {
                write!(f, "zombie {pid} ({name}), parent {parent}")
            }
            Leak::Descriptor { number, target } => write!(f, "descriptor {number} ({target})"),
            Leak::Thread { id, name } => write!(f, "thread {id} ({name})"),
            Leak::File { path, kind } => write!(f, "{kind} {}", path.display()),
        }
    }
}

/// All that is left. `Display` has a line for each.
#[derive(Clone, Debug, Default)]
#[must_use = "what is left is a failure"]
pub struct Leaks(Vec<Leak>);

impl Leaks {
    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One by one.
    pub fn iter(&self) -> impl Iterator<Item = &Leak> {
        self.0.iter()
    }

    /// Kills what still lives and unlinks what is left of files, so that one failure does not cause
    /// the next. Directories are removed only when they are empty.
    pub fn end(&self) {
        for leak in self.0.iter().rev() {
            match leak {
                Leak::Process { process, .. } => drop(process.kill()),
                Leak::File { path, kind: "directory" } => drop(fs::remove_dir(path)),
                Leak::File { path, .. } => drop(fs::remove_file(path)),
                Leak::Zombie(_) | Leak::Descriptor { .. } | Leak::Thread { .. } => {}
            }
        }
    }

    /// Waits until something may have changed: a process ended, or a little time went by. At most
    /// for `within`.
    pub fn wait_for_change(&self, within: Duration) {
        let mut processes = Vec::new();
        let mut pause = within;
        for leak in &self.0 {
            match leak {
                Leak::Process { process, .. } => processes.push(process.clone()),
                _ => pause = within.min(LOOK_AGAIN),
            }
        }
        procfs::wait_for_any_exit(&processes, pause);
    }
}

impl FromIterator<Leak> for Leaks {
    fn from_iter<I: IntoIterator<Item = Leak>>(leaks: I) -> Self {
        Self(leaks.into_iter().collect())
    }
}

impl Extend<Leak> for Leaks {
    fn extend<I: IntoIterator<Item = Leak>>(&mut self, leaks: I) {
        self.0.extend(leaks);
    }
}

impl IntoIterator for Leaks {
    type Item = Leak;
    type IntoIter = std::vec::IntoIter<Leak>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl fmt::Display for Leaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} left behind", self.0.len())?;
        self.0.iter().try_for_each(|leak| write!(f, "\n  {leak}"))
    }
}

impl std::error::Error for Leaks {}

/// The places where a tree may put files: the runtime directory, the temporary ones, shared memory.
pub fn places() -> BTreeSet<PathBuf> {
    let runtime = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let fixed = ["/tmp", "/dev/shm"].map(PathBuf::from);
    fixed.into_iter().chain([env::temp_dir()]).chain(runtime).collect()
}

/// The files of trees, with what each is.
fn files(places: &BTreeSet<PathBuf>) -> BTreeMap<PathBuf, &'static str> {
    let mut found = BTreeMap::new();
    for place in places {
        let Ok(entries) = fs::read_dir(place) else { continue };
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with(FILE_PREFIX) {
                collect(&entry.path(), &mut found);
            }
        }
    }
    found
}

fn collect(path: &Path, found: &mut BTreeMap<PathBuf, &'static str>) {
    let Ok(about) = fs::symlink_metadata(path) else { return };
    let kind = about.file_type();
    let kind = match () {
        () if kind.is_dir() => "directory",
        () if kind.is_socket() => "socket",
        () if kind.is_fifo() => "pipe",
        () if kind.is_symlink() => "symbolic link",
        () if path.starts_with("/dev/shm") => "shared memory",
        () => "file",
    };
    found.insert(path.to_owned(), kind);
    if kind == "directory" {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries.for_each(|entry| collect(&entry.path(), found));
    }
}
