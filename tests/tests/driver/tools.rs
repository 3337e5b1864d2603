//! What the tests of the spawning layer and the roots that they start have in common: requests,
//! and looks at what is there.

use super::*;

/// Where an end is expected: only a failure takes this long.
const PATIENCE: Duration = Duration::from_secs(10);

/// The tree of a root, known to its children, and no other root's: tests run at the same time.
pub(crate) fn tree_of(root: i32) -> u128 {
    const TREES: u128 = 0x1234_5678_9abc_def0_1111_2222_0000_0000;
    TREES + u128::try_from(root).unwrap()
}

pub(crate) fn request(role: &str) -> SpawnRequest {
    SpawnRequest {
        program: Program::Own,
        name: "worker".to_owned(),
        tree: tree_of(own_pid()),
        args: Vec::new(),
        env: vec![("ROLE".into(), Some(role.into()))],
        folder: None,
        stdin: Stdin::Null,
        stderr: Stderr::Inherit,
        given: None,
    }
}

pub(crate) async fn start(role: &str) -> Spawned {
    spawner::spawn(request(role)).spawned().await.unwrap()
}

/// Waits for the child to say that it is there.
pub(crate) fn recv(link: &mut Way) {
    let Way::Pair(link) = link else { panic!("{link:?}") };
    link.set_nonblocking(false).unwrap();
    link.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut byte = [0];
    link.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"!");
}

pub(crate) fn pid_of(child: &Spawned) -> i32 {
    i32::try_from(child.process.pid()).unwrap()
}

/// This program as another root.
pub(crate) fn sub_root(role: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.env("ROOT", role).stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// Waits for a root to say that it has done its part.
pub(crate) fn ready(root: &mut std::process::Child) {
    let mut line = [0; 6];
    root.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
    assert_eq!(&line, b"ready\n");
}

/// Lets a little time pass without giving up the core, so that a fault meets another moment of a
/// start in every round. Nothing is ordered by it.
pub(crate) fn spread(time: Duration) {
    let begin = std::time::Instant::now();
    while begin.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// Waits until it is so; `false` when it does not come to that.
pub(crate) fn eventually(is_so: impl Fn() -> bool) -> bool {
    let begin = std::time::Instant::now();
    while !is_so() {
        if begin.elapsed() > PATIENCE {
            return false;
        }
        procfs::wait_for_readable([], Duration::from_millis(1));
    }
    true
}

// What is there.

/// The processes whose parent this is, zombies included.
pub(crate) fn children_of(parent: i32) -> Vec<Process> {
    Process::all().into_iter().filter(|one| one.parent == parent).collect()
}

/// The processes that carry the marker of this tree.
pub(crate) fn members(tree: u128) -> Vec<i32> {
    let marker = format!("{tree:032x}");
    let is_member = |one: &Process| one.variable("HATCHERY_TREE").as_ref() == Some(&marker);
    Process::all().iter().filter(|one| is_member(one)).map(|one| one.pid).collect()
}

/// The sockets of a process that it does not have from whoever runs the tests.
pub(crate) fn links_of(pid: i32, baseline: &[(i32, String)]) -> Vec<String> {
    let inherited = |target: &String| baseline.iter().any(|(_, known)| known == target);
    let targets = procfs::descriptors_of(pid).into_iter().map(|(_, target)| target);
    targets.filter(|target| target.starts_with("socket:") && !inherited(target)).collect()
}

/// The descriptors of this process that are not in the baseline.
pub(crate) fn new_descriptors(baseline: &[(i32, String)]) -> Vec<(i32, String)> {
    procfs::descriptors().into_iter().filter(|one| !baseline.contains(one)).collect()
}

/// No child, no zombie and no descriptor is left, now that the background has done its work.
pub(crate) fn assert_clean(baseline: &[(i32, String)]) {
    block_on(spawner::settled());
    assert_eq!(children_of(own_pid()), []);
    assert_eq!(new_descriptors(baseline), []);
}

/// They all end by themselves; whose zombies they are is not asked.
pub(crate) fn assert_gone(processes: &[Process]) {
    procfs::assert_gone(processes, PATIENCE);
}

/// A file of one test's, removed at its end.
pub(crate) struct Notes(pub(crate) PathBuf);

impl Notes {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("driver-{name}-{}", own_pid()));
        let _ = std::fs::remove_file(&path);
        Self(path)
    }

    /// What was noted so far, by which process.
    pub(crate) fn read(&self) -> Vec<(String, i32)> {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        let parts = text.lines().map(|line| line.split_once(' ').unwrap());
        parts.map(|(what, pid)| (what.to_owned(), pid.parse().unwrap())).collect()
    }
}

impl Drop for Notes {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Appends to the file that the test named.
pub(crate) fn note(what: &str, pid: i32) {
    if let Some(path) = std::env::var_os("NOTES") {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(format!("{what} {pid}\n").as_bytes()).unwrap();
    }
}
