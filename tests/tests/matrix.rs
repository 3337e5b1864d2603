//! A few cells of the matrix; the program runs as many as it is asked for.

use std::time::Duration;

use hatchery_tests::programs::Program;

#[test]
fn f_01_a_few_cells_of_the_matrix_are_green() {
    let cells = ["--pairs", "--slice", "1/15", "--jobs", "2"];
    let ran = Program::bin("matrix").args(cells).timeout(Duration::from_secs(120)).run();
    ran.assert_exit(0);
    let last = ran.out().lines().last().map(str::to_owned);
    assert_eq!(last.as_deref(), Some("matrix: cells=10 ran=10 red=0"), "{ran}");
}
