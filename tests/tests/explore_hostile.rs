//! One conforming peer against every message in every state: a small world to its closure, with its
//! pinned counts and the results of the table, and faults made on purpose that are found.

use std::collections::BTreeSet;
use std::fs;

use hatchery_proto::wire::Tag;
use hatchery_tests::build::workspace;
use hatchery_tests::explore::hostile::{Fault, Plan, Table, worlds};
use hatchery_tests::explore::search::{Bounds, Counterexample, Finding, explore};

fn table() -> BTreeSet<String> {
    let path = workspace().join("tests/golden/hostile-v1.txt");
    Table::read(&fs::read_to_string(path).unwrap()).results()
}

fn example(plan: &Plan) -> Counterexample {
    explore(plan, Bounds::default()).counterexample.expect("the fault is found")
}

fn with(fault: Fault) -> Plan {
    let mut plan = worlds::small();
    plan.fault = Some(fault);
    plan
}

#[test]
fn p_a1_a_small_hostile_world_is_closed_and_each_message_has_the_result_of_the_table() {
    let plan = worlds::small();
    let explored = explore(&plan, Bounds::default());
    if let Some(example) = &explored.counterexample {
        panic!("{}", example.transcript);
    }
    assert!(explored.whole);
    assert_eq!((explored.states, explored.transitions), (39, 20_754), "a change needs its reason");
    let found = plan.said().table();
    let known = table();
    let results = found.results();
    assert!(results.len() > 300, "{} results", results.len());
    let new: Vec<_> = results.difference(&known).collect();
    assert!(new.is_empty(), "{} are not in the table, as {:?}", new.len(), new.first());
    assert_eq!(Table::read(&found.to_string()), found, "what is written can be read");
}

#[test]
fn p_a1_the_table_has_every_message_for_every_place_and_one_result_for_each() {
    let known = table();
    for tag in [
        "Hello",
        "Start",
        "StartAck",
        "Started",
        "Yield",
        "Stop",
        "Return",
        "Error",
        "Cancel",
        "CancelAck",
        "Credit",
        "Ping",
        "Pong",
        "Goodbye",
        "other kinds",
        "no frame",
    ] {
        let mine = known.iter().filter(|line| line.starts_with(&format!("{tag}, ")));
        assert!(mine.count() > 1, "{tag}");
    }
    // Nothing comes before the greeting but a greeting.
    for line in known.iter().filter(|line| line.contains(" | greeting | ")) {
        let greets =
            line.starts_with("Hello, right |") || line.starts_with("Hello, with an unknown");
        assert_eq!(line.ends_with("| taken"), greets, "{line}");
    }
    let mut places = BTreeSet::new();
    for line in &known {
        let (place, _) = line.rsplit_once(" | ").unwrap();
        assert!(places.insert(place), "two results: {line}");
    }
}

#[test]
fn p_a1_a_check_that_is_dropped_is_found() {
    for rule in ["P-D1", "P-D2", "P-D5", "P-F1", "P-F2", "P-F3", "P-F4", "P-L1"] {
        let found = example(&with(Fault::Forgives(rule)));
        assert!(matches!(found.finding, Finding::Violation(_)), "{rule} {}", found.transcript);
        assert!(found.finding.to_string().contains("P-A4"), "{rule} {}", found.transcript);
    }
    let mut plan = with(Fault::Mistakes("P-D5"));
    plan.charges = 2;
    let found = example(&plan);
    assert!(found.finding.to_string().contains("another message"), "{}", found.transcript);
}

#[test]
fn p_d4_an_end_that_is_told_twice_is_found_and_told_so_that_a_reader_can_follow() {
    let found = example(&with(Fault::TellsTwice));
    assert!(found.finding.to_string().contains("P-D4"), "{}", found.transcript);
    let told = &found.transcript;
    for line in ["the peer says: Start, a stream", "Incoming", "=> violation: dialog"] {
        assert!(told.contains(line), "{told}");
    }
    assert!(told.lines().count() < 30, "it is the shortest way:\n{told}");
}

#[test]
fn p_c1_an_application_that_is_not_told_is_found() {
    let found = example(&with(Fault::Silences(Tag::Cancel)));
    assert!(found.finding.to_string().contains("was not told"), "{}", found.transcript);
}
