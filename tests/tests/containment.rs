//! A root with a control group: nothing that its actors start outlives it, and where there is no such
//! group to be had, opening the root says so.

use std::fs;
use std::path::Path;

use hatchery_tests::build::{self, Kind};
use hatchery_tests::programs::{Finished, Program};

fn refused(finished: &Finished) -> bool {
    let out = finished.out();
    if !out.starts_with("refused: ") {
        return false;
    }
    assert!(out.contains("making a cgroup for the tree: "), "{finished}");
    true
}

#[test]
fn f_05_a_cgroup_ends_what_actors_leave_behind_stopped_or_not() {
    let finished = Program::bin("caged").run();
    finished.assert_exit(0).assert_nothing_left();
    if refused(&finished) {
        println!("no cgroup can be made here; the error was looked at: {}", finished.out());
    } else {
        assert_eq!(finished.out(), "Cgroup\nok\n", "{finished}");
    }
}

#[test]
fn a_root_without_a_cgroup_to_be_had_is_refused_and_the_reason_is_said() {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("the mounts");
    let mounts = mounts.lines().filter(|line| line.contains(" - cgroup2 "));
    let folders: Vec<_> = mounts.filter_map(|line| line.split(' ').nth(4)).collect();
    let caged = build::built(Kind::Bin, "caged");
    let hides = format!("umount -l {} && exec {}", folders.join(" "), caged.display());
    let script = if folders.is_empty() { format!("exec {}", caged.display()) } else { hides };
    let finished = Program::at("unshare").args(["-m", "sh", "-c", &script]).run();
    finished.assert_nothing_left();
    if finished.code() == Some(0) {
        assert!(refused(&finished), "{finished}");
        assert!(finished.out().contains("no cgroup2 file system"), "{finished}");
    } else {
        println!("mounts cannot be hidden here: {finished}");
        assert!(!finished.out().contains("Cgroup"), "{finished}");
    }
    // Ours alone was without them.
    assert!(folders.iter().all(|folder| Path::new(folder).join("cgroup.procs").exists()));
}
