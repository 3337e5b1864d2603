//! The pipeline, an example of its own: a tree of one-way streams, read whole, in part, and cancelled.

use hatchery_tests::programs::{Program, Signal};

#[test]
fn str_28_a_pipeline_of_three_levels_lets_each_number_through_once_and_in_order() {
    let finished = Program::example("pipeline").run();
    finished.assert_exit(0).assert_nothing_left();
    assert_eq!(finished.out(), "1000 numbers, in order: true\n", "{finished}");
    assert_eq!(finished.err(), "", "{finished}");
}

#[test]
fn str_28_a_pipeline_that_is_left_early_leaves_nothing() {
    for (wanted, below) in [(0, 9), (1, 1000), (10, u64::MAX), (500, 1000), (999, 1000)] {
        let finished =
            Program::example("pipeline").args([below, wanted].map(|n| n.to_string())).run();
        finished.assert_exit(0).assert_nothing_left();
        assert_eq!(finished.out(), format!("{wanted} numbers, in order: true\n"), "{finished}");
        assert_eq!(finished.err(), "", "{finished}");
    }
}

#[test]
fn str_28_a_pipeline_that_is_cancelled_leaves_nothing() {
    // The aggregator, one producer, both.
    for actors in 2..=4 {
        let mut running = Program::example("pipeline").arg(u64::MAX.to_string()).start();
        assert!(running.wait_for_tree(|tree| tree.len() >= actors));
        running.signal_group(Signal::INT);
        let finished = running.wait();
        finished.assert_exit(130).assert_nothing_left();
        assert_eq!(finished.out(), "", "{finished}");
    }
}
