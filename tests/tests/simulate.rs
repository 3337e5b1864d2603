//! The simulator: a seed says all there is to say about a run, some hundreds of runs hold, and a
//! driver or a link that is not conforming is found out.

use std::process::Command;

use hatchery_tests::world::{FAULTS, Options, Planted, Run, run, seed_of};

fn runs(seed: u64, count: u64, options: Options) -> Vec<Run> {
    (0..count).map(|number| run(seed_of(seed, number), options)).collect()
}

#[test]
fn the_same_seed_gives_the_same_log() {
    let options = Options { log: true, planted: None };
    let logs =
        move |seed| runs(seed, 60, options).into_iter().map(|run| run.log).collect::<Vec<_>>();
    let first = logs(3);
    assert_eq!(first, logs(3));
    assert_ne!(first, logs(4));
    let here = std::thread::spawn(move || logs(3));
    assert_eq!(first, here.join().expect("it ended"));
    assert!(first.iter().all(|log| log.lines().count() > 5), "something happens in each");
}

#[test]
fn a_run_is_the_same_with_a_log_and_without() {
    for number in 0..100 {
        let seed = seed_of(5, number);
        let with = run(seed, Options { log: true, planted: None });
        let without = run(seed, Options::default());
        let sums = |run: &Run| (run.cancels, run.kills, run.faults);
        assert_eq!(sums(&with), sums(&without));
    }
}

#[test]
fn some_hundreds_of_worlds_hold() {
    let ran = runs(7, 500, Options::default());
    let found = |(number, run): (usize, &Run)| {
        (!run.violations.is_empty()).then(|| format!("run {number}: {:?}", run.violations))
    };
    let found: Vec<String> = ran.iter().enumerate().filter_map(found).collect();
    assert!(found.is_empty(), "{found:#?}");
    assert!(ran.iter().map(|run| run.cancels).sum::<u64>() > 300);
    assert!(ran.iter().map(|run| run.kills).sum::<u64>() > 30);
    for (place, name) in FAULTS.iter().enumerate() {
        let times: u64 = ran.iter().map(|run| run.faults[place]).sum();
        assert!(times > 0, "{name} never took effect");
    }
}

/// A fault in the driver or the link breaks this rule before long.
fn assert_found(planted: Planted, rule: &str) {
    let options = Options { log: false, planted: Some(planted) };
    let found = (0..2000).any(|number| {
        let broken = run(seed_of(11, number), options).violations;
        broken.iter().any(|line| line.split(':').next() == Some(rule))
    });
    assert!(found, "{planted:?} is not found");
}

#[test]
fn bytes_that_a_link_loses_are_found() {
    assert_found(Planted::LostBytes, "P-L6");
}

#[test]
fn p_t1_an_exit_that_is_not_told_is_found() {
    assert_found(Planted::SwallowedExit, "P-T1");
}

#[test]
fn p_c1_a_task_that_hears_no_cancel_is_found() {
    assert_found(Planted::DeafTask, "P-C1");
}

#[test]
fn a_failure_that_its_nursery_never_hears_of_is_found() {
    assert_found(Planted::SwallowedFailure, "E");
}

#[test]
fn p_t4_a_child_that_does_not_see_its_links_end_is_found() {
    assert_found(Planted::DeafChild, "P-T4");
}

#[test]
fn p_d4_a_terminal_that_is_never_sent_is_found() {
    assert_found(Planted::SwallowedTerminal, "P-D4");
}

#[test]
fn the_program_prints_the_same_whatever_the_threads_and_ends_with_its_line() {
    let printed = |arguments: &[&str]| {
        let program = env!("CARGO_BIN_EXE_simulate");
        let output = Command::new(program).args(arguments).output().expect("it ran");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let one = printed(&["--runs", "100", "--seed", "2", "--threads", "1"]);
    assert_eq!(one, printed(&["--runs", "100", "--seed", "2", "--threads", "3"]));
    let last = one.lines().last().expect("a line");
    assert!(last.starts_with("simulate: runs=100 cancels="), "{last}");
    assert!(last.ends_with(" violations=0"), "{last}");
    let log = printed(&["--runs", "3", "--seed", "2", "--log", "--threads", "2"]);
    assert_eq!(log, printed(&["--runs", "3", "--seed", "2", "--log", "--threads", "1"]));
    assert!(log.contains("run 2\n"));
}
