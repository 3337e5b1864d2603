//! The explorer itself: a small world to its closure, with its pinned counts, and faults made on
//! purpose that it has to find and to tell so that a reader can follow.

use std::collections::{BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hasher as _};

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

/// All that the users of each talk and end ever know, how many states that takes, and whether from all
/// of them there is more to happen or everything is over.
fn known(plan: &Plan) -> (Vec<BTreeSet<String>>, usize) {
    let (mut seen, mut todo) = (HashSet::new(), vec![]);
    let mut known = vec![BTreeSet::new(); 2 * plan.talks.len()];
    todo.push(plan.start());
    while let Some(world) = todo.pop() {
        let mut hasher = DefaultHasher::new();
        plan.fingerprint(&world, &mut hasher);
        for (place, known) in known.iter_mut().enumerate() {
            let end = u8::try_from(place % 2).unwrap();
            known.insert(plan.known(&world, place / 2, end));
        }
        if !seen.insert(hasher.finish()) {
            continue;
        }
        let mut actions = Vec::new();
        plan.actions(&world, &mut actions);
        plan.first(&world, &mut actions);
        assert!(!actions.is_empty() || plan.is_over(&world));
        for action in actions {
            let mut after = world.clone();
            plan.step(&mut after, action, None).expect("nothing is wrong");
            todo.push(after);
        }
    }
    (known, seen.len())
}

#[test]
fn p_d4_what_is_left_out_is_known_otherwise() {
    let of = |up, down| Plan::of("reduced or not", vec![TalkPlan::context(0, up, down)]);
    let broken = Plan { cancels: 1, cuts: true, ..of(&[], &[1]) };
    let dropped = Plan { drops: true, others: true, fails: true, ..of(&[1], &[]) };
    for plan in [broken, dropped] {
        let (reduced, states) = known(&plan);
        let (all, more) = known(&Plan { reduced: false, ..plan });
        for (reduced, all) in reduced.iter().zip(&all) {
            let other: Vec<_> = reduced.symmetric_difference(all).collect();
            assert!(other.is_empty() && all.len() > 20, "{other:#?}");
        }
        assert!(states * 2 < more, "{states} of {more}");
    }
}

/// Frames that overtake those of another dialog, and dialogs that are looked at alone, show nobody
/// anything that he would not see otherwise, and hide nothing.
#[test]
fn p_d4_dialogs_apart_know_what_they_know_together() {
    let talk = |opener: usize, up: &[usize]| TalkPlan::context(opener, up, &[]);
    for talks in [vec![talk(0, &[]), talk(1, &[1])], vec![talk(0, &[]), talk(0, &[])]] {
        let together = Plan { cuts: true, prompt: true, ..Plan::of("together", talks) };
        let (all, more) = known(&together);
        let (apart, states) = known(&Plan { apart: true, ..together });
        assert!(states < more, "{states} of {more}");
        for (apart, all) in apart.iter().zip(&all) {
            let other: Vec<_> = apart.symmetric_difference(all).collect();
            assert!(other.is_empty() && all.len() > 10, "{other:#?}");
        }
    }
}

#[test]
fn p_c6_a_fault_is_found_in_dialogs_apart() {
    let tags = [Tag::StartAck, Tag::Started, Tag::Yield, Tag::Return, Tag::CancelAck];
    for fault in tags.into_iter().flat_map(|tag| [Fault::Drops(tag), Fault::Doubles(tag)]) {
        let found = [false, true].map(|apart| {
            let talks = [0, 1].map(|opener| TalkPlan::context(opener, &[1], &[])).into();
            let plan = Plan {
                cancels: 1,
                prompt: true,
                apart,
                fault: Some(fault),
                ..Plan::of("two", talks)
            };
            let found = explore(&plan, Bounds { states: 20_000, ..Bounds::default() });
            found.counterexample.map(|example| std::mem::discriminant(&example.finding))
        });
        assert!(found[0].is_some() && found[0] == found[1], "{fault:?}: {found:?}");
    }
}

#[test]
fn p_c6_a_fault_is_found_with_and_without_what_is_left_out() {
    let tags = [Tag::StartAck, Tag::Started, Tag::Yield, Tag::Return, Tag::CancelAck, Tag::Credit];
    for fault in tags.into_iter().flat_map(|tag| [Fault::Drops(tag), Fault::Doubles(tag)]) {
        for cancels in [0, 1] {
            let [with, without] = [true, false].map(|reduced| {
                let plan = Plan { reduced, cancels, capacity: usize::MAX, ..tiny(Some(fault)) };
                let found = explore(&plan, Bounds::default()).counterexample;
                found.map(|example| std::mem::discriminant(&example.finding))
            });
            assert_eq!(with, without, "{fault:?} with {cancels} cancels");
        }
    }
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
        (3_139, 9_113),
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
    assert_eq!(
        (ladder.states, ladder.transitions),
        (120_923, 693_128),
        "a change needs its reason"
    );
    let nursery = closed(&Family { members: 2, cancels: 1, wrong: false });
    assert_eq!((nursery.states, nursery.transitions), (2_339, 15_008), "a change needs its reason");
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
fn p_l3_p_l4_who_is_stuck_after_an_end_is_found_before_the_search_is_whole() {
    let mut plan = tiny(Some(Fault::Drops(Tag::Goodbye)));
    (plan.cancels, plan.goodbye) = (0, true);
    let bounds = Bounds { states: 5_000, ..Bounds::default() };
    let explored = explore(&plan, bounds);
    let found = explored.counterexample.expect("the fault is found");
    assert!(matches!(found.finding, Finding::Deadlock(_)), "{}", found.transcript);
    assert!(found.transcript.contains("says goodbye"), "{}", found.transcript);
    let whole = explore(&Plan { fault: None, cuts: true, ..plan }, bounds);
    assert!(whole.counterexample.is_none() && !whole.whole);
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
