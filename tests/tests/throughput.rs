//! The program that measures what a stalled stream costs the others runs, and says its figure. What
//! the figure is depends on the machine: it is looked at in a release build.

use std::time::Duration;

use hatchery_tests::leaks::exclusive;
use hatchery_tests::programs::Program;

#[test]
fn p_w3_a_few_rounds_beside_a_stalled_stream_give_a_figure_and_leave_nothing() {
    let _one = exclusive();
    let program = Program::bin("stalled").args(["--rounds", "5", "--values", "3"]);
    let finished = program.timeout(Duration::from_secs(120)).run();
    finished.assert_exit(0);
    let out = finished.out();
    let last = out.lines().next_back().unwrap_or_default();
    let ratio = last.strip_prefix("live=999 stalled=1 ratio=").and_then(|it| it.parse().ok());
    assert!(ratio.is_some_and(|ratio: f64| ratio > 0.0), "{finished}");
}

#[test]
fn an_unknown_option_is_an_error() {
    Program::bin("stalled").arg("--fast").run().assert_exit(1);
}
