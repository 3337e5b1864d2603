//! Trees with a launched actor, with another below it, from outside: what is stopped and goes on, what
//! is killed, what is started by hand (P-L5, P-L8, P-T4).

use std::time::{Duration, Instant};

use hatchery_tests::build::{self, Kind};
use hatchery_tests::programs::{Program, Signal};
use hatchery_tests::ssh::{assert_gone, ready};

/// A shell that stays, with other programs on both ways; and one that does not.
const BETWEEN: [&str; 3] = ["sh", "-c", "cat | \"$0\" \"$@\" | cat"];
const SHELL: [&str; 3] = ["sh", "-c", "exec \"$0\" \"$@\""];

fn launched(what: &str, launcher: [&str; 3]) -> Program {
    Program::bin("launched").arg(what).args(launcher)
}

#[test]
fn p_l5_a_whole_tree_that_is_stopped_for_ten_times_its_patience_goes_on() {
    for launcher in [BETWEEN, SHELL] {
        let mut root = launched("holds", launcher).env("PATIENCE", "300").start();
        let [far, below] = ready(&mut root);
        assert!(root.wait_for_output("tick 5\n"));
        let tree = root.tree();
        assert!(tree.iter().any(|one| one.is(&far)) && tree.iter().any(|one| one.is(&below)));
        for one in &tree {
            assert!(one.signal(Signal::STOP));
        }
        // The time itself is what is tested.
        std::thread::sleep(Duration::from_secs(3));
        let before = String::from_utf8_lossy(root.output()).lines().count();
        for one in &tree {
            assert!(one.signal(Signal::CONT));
        }
        // More than a period and a patience with its silence later.
        assert!(root.wait_for_output(&format!("tick {}\n", before + 60)));
        root.signal(Signal::TERM);
        let finished = root.wait();
        finished.assert_exit(1).assert_nothing_left();
        assert!(finished.out().contains("because signal 15 (SIGTERM)"), "{finished}");
        assert_gone(&[far, below]);
    }
}

#[test]
fn p_t4_what_was_launched_goes_with_a_root_that_is_killed_though_its_thread_is_blocked() {
    // What fills a program that stands between hides the end behind it from a thread that is blocked.
    for (what, launcher) in [("holds", SHELL), ("holds", BETWEEN), ("stuck", SHELL)] {
        let mut root = launched(what, launcher).start();
        let actors = ready(&mut root);
        root.signal(Signal::KILL);
        assert_gone(&actors);
        root.wait().assert_killed_by(Signal::KILL).assert_nothing_left();
    }
}

#[test]
fn a_launched_tree_is_ended_in_its_order_by_what_a_terminal_sends() {
    for (what, launcher) in [("holds", SHELL), ("holds", BETWEEN), ("stuck", SHELL)] {
        let mut root = launched(what, launcher).start();
        let actors = ready(&mut root);
        root.signal_group(Signal::INT);
        let finished = root.wait();
        finished.assert_exit(1).assert_nothing_left();
        let told = if what == "stuck" { "had to be ended by force" } else { "because Ctrl-C" };
        assert!(finished.out().contains(told), "{finished}");
        assert_gone(&actors);
    }
}

#[test]
fn p_l8_a_program_that_is_started_by_hand_as_an_actor_says_what_is_wrong() {
    let by_hand = || Program::bin("launched").arg("--hatchery-actor");
    let finished = by_hand().on_terminal().run();
    finished.assert_exit(1).assert_nothing_left();
    assert!(finished.out().contains("standard input is a terminal"), "{finished}");
    let launched = build::built(Kind::Bin, "launched");
    let script = |line: &str| {
        let line = format!("{line} {} --hatchery-actor", launched.display());
        Program::at("sh").args(["-c", &line])
    };
    let finished = script("exec </dev/null;").run();
    finished.assert_exit(1);
    assert!(finished.err().contains("standard input is neither"), "{finished}");
    // Nobody at the other end, and somebody who says nothing within the time for a greeting.
    let finished = script("true |").run();
    assert!(finished.err().contains("no actor has greeted it"), "{finished}");
    let began = Instant::now();
    let finished = script("sleep 8 |").run();
    assert!(finished.err().contains("no actor has greeted it"), "{finished}");
    assert!(began.elapsed() >= Duration::from_secs(5), "{finished}");
}
