//! The checker finds each kind of leak, and finds nothing where nothing is left (Z, O, F, S).

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use hatchery_tests::leaks::{self, Baseline, Leak, Leaks, TREE_VARIABLE, exclusive};
use hatchery_tests::procfs::{self, Process, own_pid};
use hatchery_tests::programs::{Finished, Program};

/// Long enough for what ends to have ended, short enough for what does not.
const BRIEF: Duration = Duration::from_millis(300);

/// Where the end is expected: only a failure takes this long.
const PATIENCE: Duration = Duration::from_secs(10);

fn leaky(kind: &str) -> Finished {
    leaky_in(kind, &Folder::new("/tmp"))
}

fn leaky_in(kind: &str, folder: &Folder) -> Finished {
    let tree = format!("tree-of-{kind}-{}", own_pid());
    Program::bin("leaky").arg(kind).arg(&folder.0).env(TREE_VARIABLE, tree).run()
}

/// A folder of this test, where no other looks for what trees leave.
struct Folder(PathBuf);

impl Folder {
    fn new(parent: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("leaks-{}-{}", own_pid(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = Path::new(parent).join(name);
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// What `leaky` says of itself, and how much of it the caller found after its end.
fn assert_found(finished: &Finished, expected: &str, left: usize) {
    assert_eq!(finished.code(), Some(1), "{finished}");
    assert!(finished.out().contains(expected), "{finished}");
    assert!(finished.out().starts_with("1 left behind\n"), "{finished}");
    assert_eq!(finished.left.iter().count(), left, "{finished}");
}

fn sleeper(tree: &str) -> Child {
    Command::new("sleep").arg("1000").env(TREE_VARIABLE, tree).spawn().unwrap()
}

fn left(baseline: &Baseline) -> Leaks {
    let leaks = baseline.check(BRIEF).unwrap_err();
    leaks.end();
    leaks
}

#[test]
fn nothing_left_is_nothing_found() {
    let _one = exclusive();
    leaky("nothing").assert_exit(0);
}

#[test]
fn a_child_that_lives_is_found() {
    let _one = exclusive();
    assert_found(&leaky("child"), "(sleep 1000), state S, parent", 1);
}

#[test]
fn a_zombie_is_found() {
    let _one = exclusive();
    assert_found(&leaky("zombie"), "zombie", 0);
}

#[test]
fn an_orphan_is_found() {
    let _one = exclusive();
    assert_found(&leaky("orphan"), "(sleep 1000), state S, parent", 1);
}

#[test]
fn a_descriptor_is_found_by_its_target() {
    let _one = exclusive();
    assert_found(&leaky("descriptor"), "(/dev/zero)", 0);
}

#[test]
fn a_thread_is_found_by_its_name() {
    let _one = exclusive();
    assert_found(&leaky("thread"), "(left)", 0);
}

#[test]
fn a_socket_is_found() {
    let _one = exclusive();
    assert_found(&leaky("socket"), "  socket /tmp/leaks-", 0);
}

#[test]
fn shared_memory_is_found() {
    let _one = exclusive();
    let finished = leaky_in("file", &Folder::new("/dev/shm"));
    assert_found(&finished, "  shared memory /dev/shm/leaks-", 0);
}

#[test]
fn the_places_of_trees_are_the_runtime_the_temporary_and_the_shared_folder() {
    for place in ["/tmp", "/dev/shm"].map(Path::new) {
        assert!(leaks::places().contains(place));
    }
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    assert!(runtime.is_none_or(|place| leaks::places().contains(&place)));
}

#[test]
fn a_marked_child_is_found_beside_other_tests_and_an_unmarked_one_is_theirs() {
    let _one = exclusive();
    let baseline = Baseline::tree();
    let mut unmarked = Command::new("sleep").arg("1000").spawn().unwrap();
    let mut marked = sleeper("a-tree");
    let leaks = left(&baseline);
    let line = format!("live process {} (sleep 1000)", marked.id());
    assert!(leaks.to_string().contains(&line), "{leaks}");
    assert!(leaks.to_string().ends_with("tree a-tree"), "{leaks}");
    assert_eq!(leaks.iter().count(), 1, "{leaks}");
    unmarked.kill().unwrap();
    unmarked.wait().unwrap();
    marked.wait().unwrap();
    baseline.check(PATIENCE).unwrap();
}

#[test]
fn an_orphan_that_left_its_session_is_found_by_its_tree() {
    let _one = exclusive();
    let tree = format!("tree-of-{}", own_pid());
    let baseline = Baseline::tree().of_tree(&tree);
    let script = "setsid sleep 1000 & exit 0";
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).env(TREE_VARIABLE, &tree).stdout(Stdio::null());
    assert!(shell.status().unwrap().success());
    // From one program to the next it carries nothing for a moment.
    let carries =
        |one: &Process| one.name == "sleep" && one.variable(TREE_VARIABLE).as_ref() == Some(&tree);
    let until = Instant::now() + PATIENCE;
    while !Process::all().iter().any(carries) {
        assert!(Instant::now() < until, "it is not there");
    }
    let leaks = left(&baseline);
    let is_ours = |leak: &Leak| matches!(leak, Leak::Process { tree: Some(it), .. } if *it == tree);
    assert!(leaks.iter().all(is_ours), "{leaks}");
    assert!(leaks.to_string().contains("(sleep 1000)"), "{leaks}");
    baseline.check(PATIENCE).unwrap();
}

#[test]
fn a_zombie_is_found_until_it_is_waited_for() {
    let _one = exclusive();
    let baseline = Baseline::tree();
    let mut child = Command::new("true").spawn().unwrap();
    let process = Process::of(child.id().cast_signed()).unwrap();
    procfs::wait_for_any_exit(&[process], PATIENCE);
    let leaks = left(&baseline);
    assert!(leaks.to_string().contains(&format!("zombie {} (true)", child.id())), "{leaks}");
    child.wait().unwrap();
    baseline.check(PATIENCE).unwrap();
}

#[test]
fn what_ends_in_time_is_not_left() {
    let _one = exclusive();
    let baseline = Baseline::tree();
    let mut child = sleeper("a-tree");
    let process = Process::of(child.id().cast_signed()).unwrap();
    let waiter = std::thread::spawn(move || baseline.check(PATIENCE));
    assert!(process.kill());
    child.wait().unwrap();
    waiter.join().unwrap().unwrap();
}

#[test]
fn what_was_there_before_is_not_left() {
    let _one = exclusive();
    let folder = Folder::new("/tmp");
    let socket = UnixListener::bind(folder.0.join("hatchery.sock")).unwrap();
    let mut child = sleeper("a-tree");
    let baseline = Baseline::tree().only_in(&folder.0);
    baseline.check(BRIEF).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    drop(socket);
}

#[test]
fn a_folder_is_found_with_what_is_in_it_and_ended() {
    let _one = exclusive();
    let own = Folder::new("/tmp");
    let baseline = Baseline::tree().only_in(&own.0);
    let folder = own.0.join("hatchery");
    fs::create_dir(&folder).unwrap();
    drop(UnixListener::bind(folder.join("a.sock")).unwrap());
    let leaks = left(&baseline);
    assert!(leaks.to_string().contains(&format!("directory {}", folder.display())), "{leaks}");
    assert!(leaks.to_string().contains(&format!("socket {}/a.sock", folder.display())), "{leaks}");
    assert!(!folder.exists());
    baseline.check(PATIENCE).unwrap();
}
