//! `repeat` counts, tells good runs from bad ones, finds what a run left, and cleans up after it.

use std::time::Duration;

use hatchery_tests::leaks::exclusive;
use hatchery_tests::programs::{Program, Signal};

fn repeat(options: &[&str], script: &str) -> Program {
    Program::bin("repeat").args(options).args(["--", "sh", "-c", script])
}

#[test]
fn good_runs_end_in_the_closing_line() {
    let _one = exclusive();
    let finished = repeat(&["--runs", "3"], "true").run();
    finished.assert_exit(0);
    assert_eq!(finished.out(), "repeat: runs=3 failures=0\n");
}

#[test]
fn bad_runs_are_counted_with_their_output() {
    let _one = exclusive();
    let finished = repeat(&["--runs", "2"], "echo said; exit 4").run();
    finished.assert_exit(1);
    assert_eq!(finished.out(), "repeat: runs=2 failures=2\n");
    assert_eq!(finished.err().matches("exit code 4").count(), 2, "{finished}");
    assert_eq!(finished.err().matches("\nsaid\n").count(), 2, "{finished}");
}

#[test]
fn the_first_bad_run_can_be_the_last() {
    let _one = exclusive();
    let finished = repeat(&["--runs", "5", "--stop-on-failure"], "kill -9 $$").run();
    finished.assert_exit(1);
    assert_eq!(finished.out(), "repeat: runs=1 failures=1\n");
    assert!(finished.err().contains("killed by signal 9"), "{finished}");
}

#[test]
fn another_code_can_be_the_good_one() {
    let _one = exclusive();
    repeat(&["--runs", "1", "--expect", "101"], "exit 101").run().assert_exit(0);
    repeat(&["--runs", "1", "--expect", "failure"], "exit 7").run().assert_exit(0);
    repeat(&["--runs", "1", "--expect", "failure"], "exit 0").run().assert_exit(1);
    // A signal is no exit code.
    repeat(&["--runs", "1", "--expect", "failure"], "kill -9 $$").run().assert_exit(1);
}

#[test]
fn a_run_has_a_temporary_folder_for_all_and_a_runtime_folder_of_its_own() {
    let _one = exclusive();
    let script = r#"test "$(stat -c %a "$TMPDIR" "$XDG_RUNTIME_DIR" | tr '\n' ' ')" = "1777 700 ""#;
    repeat(&["--runs", "1"], script).run().assert_exit(0);
}

#[test]
fn a_process_that_is_left_is_a_failure_whatever_it_did_to_get_away() {
    let _one = exclusive();
    let script = "env -i setsid sleep 1000 >/dev/null 2>&1 & exit 0";
    let finished = repeat(&["--runs", "1"], script).run();
    finished.assert_exit(1);
    assert!(finished.err().contains("left behind: process"), "{finished}");
    assert!(finished.err().contains("(sleep 1000)"), "{finished}");
}

#[test]
fn a_file_that_is_left_is_a_failure() {
    let _one = exclusive();
    let finished = repeat(&["--runs", "1"], "touch $TMPDIR/a $XDG_RUNTIME_DIR/b").run();
    finished.assert_exit(1);
    assert!(finished.err().contains("/tmp/a\n"), "{finished}");
    assert!(finished.err().contains("/run/b\n"), "{finished}");
}

#[test]
fn a_file_that_is_left_in_a_watched_folder_is_a_failure() {
    let _one = exclusive();
    let folder = format!("/dev/shm/repeat-test-{}", std::process::id());
    std::fs::create_dir(&folder).unwrap();
    let options = ["--runs", "1", "--watch", &folder];
    let finished = repeat(&options, &format!("touch {folder}/left")).run();
    std::fs::remove_dir_all(&folder).unwrap();
    finished.assert_exit(1);
    assert!(finished.err().contains(&format!("left behind: {folder}/left")), "{finished}");
}

#[test]
fn a_run_without_an_end_is_ended() {
    let _one = exclusive();
    let finished = repeat(&["--runs", "1", "--timeout", "1"], "sleep 1000 & wait").run();
    finished.assert_exit(1);
    assert!(finished.err().contains("no end in time"), "{finished}");
    assert!(finished.took < Duration::from_secs(10), "{finished}");
}

#[test]
fn load_is_on_the_cores_that_were_asked_for() {
    let _one = exclusive();
    let script = "grep Cpus_allowed_list /proc/self/status";
    let options = ["--runs", "1", "--cores", "1", "--load", "--expect", "3"];
    let finished = repeat(&options, &format!("{script}; exit 4")).run();
    let core = hatchery_tests::programs::cores()[0];
    assert!(finished.err().contains(&format!("Cpus_allowed_list:\t{core}\n")), "{finished}");
}

#[test]
fn ctrl_c_ends_the_run_and_the_count() {
    let _one = exclusive();
    let mut running = repeat(&["--runs", "100"], "sleep 1000").start();
    assert!(running.wait_for_tree(|tree| tree.iter().any(|one| one.name == "sleep")));
    running.signal_group(Signal::INT);
    let finished = running.wait();
    finished.assert_exit(130);
    assert_eq!(finished.out(), "repeat: runs=0 failures=0\n");
}

#[test]
fn wrong_use_is_told_from_a_bad_run() {
    let _one = exclusive();
    Program::bin("repeat").arg("--nonsense").run().assert_exit(2);
    Program::bin("repeat").run().assert_exit(2);
    Program::bin("repeat").arg("/no/such/program").run().assert_exit(2);
    Program::bin("repeat").arg("--help").run().assert_exit(0);
}
