//! The explorer itself: a small world to its closure, with its pinned counts, and faults made on
//! purpose that it has to find and to tell so that a reader can follow.

use hatchery_proto::wire::Tag;
use hatchery_tests::explore::ladder::Child;
use hatchery_tests::explore::nursery::Family;
use hatchery_tests::explore::pair::{Fault, Plan, TalkPlan};
use hatchery_tests::explore::search::{Bounds, Counterexample, Explored, Finding, Model, explore};
use hatchery_tests::explore::table;

fn closed(model: &impl Model) -> Explored {
    let explored = explore(model, Bounds::default());
    if let Some(example) = &explored.counterexample {
        panic!("{}", example.transcript);
    }
    assert!(explored.whole);
    explored
}

fn example(model: &impl Model) -> Counterexample {
    explore(model, Bounds::default()).counterexample.expect("the fault is found")
}

/// One dialog, a value from its opener, and its opener may cancel it.
fn tiny(fault: Option<Fault>) -> Plan {
    let mut plan = Plan::of("tiny", vec![TalkPlan::context(0, &[1], &[])]);
    plan.capacity = 1;
    plan.cancels = 1;
    plan.fault = fault;
    plan
}

#[test]
fn p_d4_p_c6_a_small_world_is_closed_with_its_pinned_counts() {
    let explored = closed(&tiny(None));
    assert_eq!(
        (explored.states, explored.transitions),
        (12_897, 39_935),
        "a change needs its reason"
    );
}

#[test]
fn the_counts_do_not_depend_on_the_threads() {
    let counts = [1, 2, 3].map(|threads| {
        let explored = explore(&tiny(None), Bounds { threads, ..Bounds::default() });
        (explored.states, explored.transitions, explored.depth)
    });
    assert!(counts.iter().all(|known| *known == counts[0]), "{counts:?}");
}

#[test]
fn p_t1_a_ladder_and_a_nursery_are_closed_with_their_pinned_counts() {
    let ladder = closed(&Child { cancels: 0, wrong: false });
    assert_eq!((ladder.states, ladder.transitions), (48_207, 257_426), "a change needs its reason");
    let nursery = closed(&Family { members: 2, cancels: 1, wrong: false });
    assert_eq!((nursery.states, nursery.transitions), (2_499, 14_516), "a change needs its reason");
}

#[test]
fn a_lost_value_is_found() {
    let found = example(&tiny(Some(Fault::Drops(Tag::Yield))));
    let Finding::Violation(what) = &found.finding else { panic!("{}", found.finding) };
    assert!(what.contains("credit is not conserved"), "{what}");
    // It tells who did what, what was on the way, and what is wrong with it.
    let told = &found.transcript;
    for line in ["a, opener of talk 0: Open", "Yield of dialog 2", "=> violation: credit"] {
        assert!(told.contains(line), "{told}");
    }
    assert!(told.lines().count() < 60, "it is the shortest way:\n{told}");
}

#[test]
fn a_lost_ack_of_a_cancel_is_found_as_unanswered() {
    let found = example(&tiny(Some(Fault::Drops(Tag::CancelAck))));
    assert!(matches!(found.finding, Finding::Unanswered(_)), "{}", found.transcript);
}

#[test]
fn a_lost_terminal_is_found_as_a_deadlock() {
    let mut plan = tiny(Some(Fault::Drops(Tag::Return)));
    plan.cancels = 0;
    let found = example(&plan);
    assert!(matches!(found.finding, Finding::Deadlock(_)), "{}", found.transcript);
}

#[test]
fn a_frame_carried_twice_or_too_early_is_found() {
    for fault in [
        Fault::Doubles(Tag::Yield),
        Fault::Doubles(Tag::Return),
        Fault::Doubles(Tag::StartAck),
        Fault::Hurries(Tag::Return),
    ] {
        let mut plan = tiny(Some(fault));
        plan.capacity = usize::MAX;
        let found = example(&plan);
        assert!(matches!(found.finding, Finding::Violation(_)), "{fault:?} {}", found.transcript);
    }
}

#[test]
fn a_checker_with_a_wrong_model_disagrees() {
    let found = example(&tiny(Some(Fault::Miscounts)));
    assert!(found.finding.to_string().contains("P-D7"), "{}", found.transcript);
    let found = example(&Child { cancels: 1, wrong: true });
    assert!(found.transcript.contains("Kill"), "{}", found.transcript);
    let found = example(&Family { members: 1, cancels: 0, wrong: true });
    assert!(found.finding.to_string().contains("verdict"), "{}", found.transcript);
}

#[test]
fn a_changed_count_asks_for_its_reason() {
    let row = &table::ci()[0];
    let mut explored = row.explore(Bounds::default());
    assert_eq!(row.changed(&explored), None);
    explored.states += 1;
    assert!(row.changed(&explored).is_some_and(|text| text.contains("reason in the commit")));
}
