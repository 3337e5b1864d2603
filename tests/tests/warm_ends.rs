//! Trees with processes that wait (P-L7): whatever ends the root, none of them is left, and an image
//! that dies at its start is not started for ever.

use std::time::Duration;

use hatchery_tests::procfs::Process;
use hatchery_tests::programs::{Program, Running, Signal};

fn waiting(tree: &[Process]) -> usize {
    tree.iter().filter(|one| one.name == "waiting").count()
}

fn holds() -> Running {
    let mut root = Program::bin("warmed").arg("holds").start();
    assert!(root.wait_for_output("ready"));
    let tree = root.tree();
    assert_eq!((waiting(&tree), tree.len()), (3, 5), "{tree:?}");
    root
}

#[test]
fn p_l7_what_waits_goes_with_a_root_that_is_killed() {
    let root = holds();
    root.signal(Signal::KILL);
    root.wait().assert_killed_by(Signal::KILL).assert_nothing_left();
}

#[test]
fn p_l7_what_waits_goes_with_a_root_that_is_asked_to_end() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        for group in [true, false] {
            let root = holds();
            if group {
                root.signal_group(signal)
            } else {
                root.signal(signal)
            }
            let finished = root.wait();
            finished.assert_exit(128 + signal.as_raw()).assert_nothing_left();
            // Neither what waits, nor that it is ended, is anybody's failure.
            assert!(!finished.err().contains("waiting"), "{finished}");
        }
    }
}

#[test]
fn p_l7_a_root_may_end_at_any_moment_while_it_fills() {
    for (count, signal) in
        [(1, Signal::KILL), (2, Signal::INT), (9, Signal::KILL), (17, Signal::INT)]
    {
        let mut root = Program::bin("warmed").arg("fills").start();
        assert!(root.wait_for_tree(|tree| tree.len() >= count), "{count}");
        assert!(root.wait_for_output("ready"));
        root.signal(signal);
        root.wait().assert_nothing_left();
    }
}

#[test]
fn p_l7_a_block_that_is_dropped_leaves_nothing_that_waits() {
    Program::bin("warmed").arg("drops").run().assert_exit(0).assert_nothing_left();
}

#[test]
fn p_l7_an_image_that_dies_at_its_start_is_told_and_not_started_for_ever() {
    let file = std::env::temp_dir().join(format!("warmed-deaths-{}", std::process::id()));
    let _ = std::fs::remove_file(&file);
    let root = Program::bin("warmed").arg("dies").env("WAITING_DEATHS", &file);
    // Six deaths have pauses of 1.55 s between them.
    let finished = root.timeout(Duration::from_secs(20)).run();
    let _ = std::fs::remove_file(&file);
    finished.assert_exit(0).assert_nothing_left();
    let out = finished.out();
    for told in ["`waiting`", "exited with code 7", "no luck", "deaths 6", "up"] {
        assert!(out.contains(told), "{told}: {finished}");
    }
}
