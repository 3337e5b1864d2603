//! Signals that reach actors, and not only their root: whole groups of programs (SIG). Those that reach
//! a single actor are in `sigterm`, apart from these.

use std::time::Duration;

use hatchery_tests::procfs::wait_for_any_exit;
use hatchery_tests::programs::{Program, Signal};

#[test]
fn sig_10_a_signal_to_the_whole_group_ends_the_tree_in_its_order() {
    // As a terminal, a service manager, or `timeout` sends it: to all of them at once.
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let mut running = Program::bin("grove").start();
        assert!(running.wait_for_output("ready"));
        let tree = running.tree();
        assert_eq!(tree.len(), 4, "{tree:?}");
        running.signal_group(signal);
        let finished = running.wait();
        finished.assert_exit(code).assert_nothing_left();
        // Nobody was ended by the signal itself, or by force: each ran its exit hook, once.
        for actor in ["idle", "branch", "leaf"] {
            let hook = format!("hook of {actor}\n");
            assert_eq!(finished.out().matches(&hook).count(), 1, "{signal:?} {finished}");
        }
        assert!(!finished.err().contains("by force"), "{finished}");
    }
}

#[test]
fn sig_10_a_second_root_of_one_process_is_asked_politely_again() {
    let mut running = Program::bin("twice").start();
    for turn in ["first", "second"] {
        assert!(running.wait_for_output(&format!("{turn} is up")));
        running.signal(Signal::INT);
        assert!(running.wait_for_output(&format!("{turn} cleaned up")));
    }
    // No root listens any more: the signal is what it is to any program.
    assert!(running.wait_for_output("no root"));
    running.signal(Signal::INT);
    let finished = running.wait();
    finished.assert_killed_by(Signal::INT).assert_nothing_left();
}

#[test]
fn a_group_that_is_ended_while_its_actors_start_leaves_nothing() {
    for delay in 0..10 {
        let running = Program::bin("grove").start();
        let root = running.process().clone();
        wait_for_any_exit(std::slice::from_ref(&root), Duration::from_millis(delay));
        running.signal_group(Signal::TERM);
        running.wait().assert_nothing_left();
    }
}
