//! Whole trees that are ended while something in them has the terminal: all wait for it, and end in
//! their order then (DBG-11, P-T2); those that are killed do not.

use std::thread;
use std::time::Duration;

use hatchery_tests::procfs::Process;
use hatchery_tests::programs::{Finished, Program, Running, Signal};
use hatchery_tests::sign::Sign;

/// More than a teardown may take in there, and than what goes on for longer is waited for (P-C7).
const PAST_THE_BUDGET: Duration = Duration::from_millis(800);

struct Held {
    running: Running,
    gives: Sign,
}

/// A tree whose leaf has the terminal.
fn held(does: &str) -> Held {
    let gives = Sign::new("gives");
    let mut running = Program::bin("held").args([does, &gives.path()]).start();
    assert!(running.wait_for_output("has"));
    assert_eq!(running.tree().len(), 3);
    Held { running, gives }
}

impl Held {
    fn actor(&self, name: &str) -> Process {
        let tree = self.running.tree();
        tree.into_iter().find(|one| one.name == name).expect("an actor of that name")
    }

    /// Nobody is asked, and nobody forced, for longer than either takes; then the terminal is given
    /// back.
    fn waits(mut self) -> Finished {
        thread::sleep(PAST_THE_BUDGET);
        assert_eq!(self.running.tree().len(), 3, "nobody has ended");
        assert!(!String::from_utf8_lossy(self.running.output()).contains("gone"));
        self.gives.raise();
        assert!(self.running.wait_for_output("gone"));
        self.running.wait()
    }
}

#[test]
fn dbg_11_a_root_that_cancels_itself_waits_for_who_has_the_terminal() {
    let finished = held("cancels").waits();
    finished.assert_exit(1).assert_nothing_left();
    assert!(!finished.err().contains("force"), "{finished}");
}

#[test]
fn dbg_11_a_root_that_fails_waits_for_who_has_the_terminal() {
    let finished = held("fails").waits();
    finished.assert_exit(1).assert_nothing_left();
    let err = finished.err();
    assert!(err.contains("the root fails") && !err.contains("force"), "{finished}");
}

#[test]
fn dbg_11_a_sigterm_to_the_root_or_to_an_actor_on_the_way_waits_for_who_has_the_terminal() {
    let tree = held("waits");
    tree.running.signal(Signal::TERM);
    tree.waits().assert_exit(143).assert_nothing_left();
    let tree = held("waits");
    tree.actor("middle").signal(Signal::TERM);
    let finished = tree.waits();
    finished.assert_exit(1).assert_nothing_left();
    assert!(!finished.err().contains("force"), "{finished}");
}

#[test]
fn p_t2_a_second_sigterm_is_force_and_waits_for_nobody() {
    let tree = held("waits");
    tree.running.signal(Signal::TERM);
    thread::sleep(PAST_THE_BUDGET);
    assert_eq!(tree.running.tree().len(), 3, "nobody has ended");
    tree.running.signal(Signal::TERM);
    tree.running.wait().assert_exit(143).assert_nothing_left();
}

#[test]
fn f_24_a_root_that_is_killed_takes_who_has_the_terminal_along() {
    let tree = held("waits");
    tree.running.signal(Signal::KILL);
    let finished = tree.running.wait();
    finished.assert_killed_by(Signal::KILL);
    finished.assert_nothing_left();
}
