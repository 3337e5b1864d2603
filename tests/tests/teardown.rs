//! Ends of whole trees are measured, and few runs of each measure leave nothing behind.

use std::time::Duration;

use hatchery_tests::leaks::exclusive;
use hatchery_tests::programs::Program;

#[test]
fn f_08_a_few_ends_of_each_kind_are_in_time_and_leave_nothing() {
    let _one = exclusive();
    let program = Program::bin("teardown").args(["--quick", "--runs", "3"]);
    let finished = program.timeout(Duration::from_secs(120)).run();
    finished.assert_exit(0);
    let out = finished.out();
    for part in ["killed members=21", "cancelled healthy depth=1", "cancelled stopped depth=3"] {
        assert!(out.contains(part), "{finished}");
    }
    let last = out.lines().next_back().unwrap_or_default();
    assert!(last.ends_with("slow=0 left=0 failures=0"), "{finished}");
}

#[test]
fn an_unknown_option_is_an_error_of_its_own() {
    Program::bin("teardown").arg("--fast").run().assert_exit(2);
}
