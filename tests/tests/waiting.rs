//! Children that wait to be told what they are to be (P-L7): what is said on their link, what they are
//! to a nursery and to the ladder, and how many there are.

use std::time::Duration;

use hatchery_proto::nursery::ladder::{Ladder, Policy, State, Step, Why};
use hatchery_proto::nursery::waiting::{DEATHS, LONG, PAUSE, Waiting};
use hatchery_proto::nursery::{Closed, MemberEnd, MemberKind, Nursery, NurseryStep};
use hatchery_proto::{DialogId, ExitStatus, Instant, Kind, Limits, Misuse, Outcome, Refusal, Rung};
use hatchery_tests::pair::{Pair, wish};

const T0: Instant = Instant::from_micros(1_000_000);
const DIED: MemberEnd = MemberEnd::Failed((1, 1));

// ---- the link ----

/// A parent and a child that has greeted.
fn greeted() -> Pair {
    let mut pair = Pair::family(&Limits::default());
    pair.settle();
    pair
}

/// What the parent calls the child, and what that calls itself in what it reports.
fn names(pair: &mut Pair) -> (String, String) {
    let at_parent = pair.a.core.peer().expect("it has greeted").name.clone();
    let mut callee = pair.b.core.callee(DialogId::ACTOR).expect("dialog 0");
    callee.take_start().expect("it was told");
    callee.accept();
    // Too late for a refusal, so that the core makes a report of it.
    let callee = pair.b.core.callee(DialogId::ACTOR).expect("dialog 0");
    callee.refuse(Refusal::BadArguments, "no".to_owned());
    pair.settle();
    match pair.outcome(DialogId::ACTOR) {
        Some(Outcome::Failed { report, .. }) => (at_parent, report.origin.name),
        other => panic!("{other:?}"),
    }
}

#[test]
fn p_l7_a_child_that_waits_has_no_clock_at_either_end_and_serves_nothing() {
    let mut pair = greeted();
    assert!(pair.a.core.poll_timeout().is_none() && pair.b.core.poll_timeout().is_none());
    pair.pass(Duration::from_secs(86_400));
    assert!(!pair.a.core.is_closed() && !pair.b.core.is_closed());
    let early = pair.a.core.start(pair.now, wish(Kind::Call), b"");
    assert_eq!(early, Err(Misuse::ActorNotStarted));
    // Told at last, it is an actor like any other.
    pair.actor_up();
    pair.open(Kind::Call, b"");
}

#[test]
fn p_l7_start_names_a_child_that_greeted_by_another_name_at_both_ends() {
    for late in [true, false] {
        let mut pair = Pair::family(&Limits::default());
        if late {
            pair.settle();
        }
        let told = pair.a.core.start_actor_as(pair.now, "worker", b"spec", Some(b"trace"));
        told.expect("dialog 0");
        pair.settle();
        assert_eq!(names(&mut pair), ("worker".to_owned(), "worker".to_owned()), "{late}");
    }
}

#[test]
fn p_l7_without_a_name_a_child_keeps_that_of_its_greeting() {
    let mut pair = greeted();
    pair.a.core.start_actor(pair.now, b"spec").expect("dialog 0");
    pair.settle();
    assert_eq!(names(&mut pair), ("actor 2".to_owned(), "actor 2".to_owned()));
}

#[test]
fn p_l7_a_long_name_is_cut_as_in_a_greeting_and_the_longest_trace_stands_beside_it() {
    let mut pair = greeted();
    let name = "long".repeat(100);
    let trace = [7; 640];
    pair.a.core.start_actor_as(pair.now, &name, b"spec", Some(&trace)).expect("dialog 0");
    pair.settle();
    let (at_parent, at_child) = names(&mut pair);
    assert_eq!(at_parent, at_child);
    assert!(at_child.len() <= 255 && at_child.ends_with('…'), "{at_child}");
}

// ---- the ladder ----

fn steps(ladder: &mut Ladder) -> Vec<Step> {
    std::iter::from_fn(|| ladder.poll_step()).collect()
}

fn waits() -> Ladder {
    let mut ladder = Ladder::new(T0, Policy::default());
    ladder.handle_spawned(T0);
    assert_eq!(ladder.poll_timeout(), Some((T0 + Policy::default().connect, Why::Connect)));
    ladder.handle_greeted(T0);
    assert_eq!((ladder.state(), ladder.poll_timeout()), (State::Waiting, None));
    ladder
}

#[test]
fn p_l7_p_t1_a_child_that_waits_is_killed_where_it_is_not_wanted_and_that_is_no_force() {
    for rest in [Duration::ZERO, Duration::from_secs(4)] {
        let mut ladder = waits();
        ladder.cancel(T0, rest);
        assert_eq!(steps(&mut ladder), [Step::Kill]);
        assert!(ladder.was_taken_back());
        ladder.handle_exit(T0, ExitStatus::Signal { number: 9, core: false });
        assert!(matches!(steps(&mut ladder)[..], [Step::Done(end)] if end.rung == Rung::Killed));
    }
}

#[test]
fn p_l7_p_t1_one_that_is_told_late_has_its_time_from_then_on_and_is_asked() {
    let later = T0 + Duration::from_secs(3_600);
    let limit = Duration::from_secs(2);
    for written_first in [true, false] {
        let mut ladder = waits();
        ladder.handle_timeout(later);
        assert_eq!(ladder.state(), State::Waiting);
        if written_first {
            ladder.handle_start_written(later);
        }
        ladder.begin_within(later, limit);
        ladder.handle_start_written(later);
        assert_eq!(ladder.poll_timeout(), Some((later + limit, Why::Connect)));
        ladder.cancel(later, Duration::from_secs(1));
        assert!(matches!(steps(&mut ladder)[..], [Step::Ask { .. }]));
        assert!(!ladder.was_taken_back());
    }
}

#[test]
fn p_l7_one_that_is_told_before_it_has_greeted_never_waits() {
    let mut ladder = Ladder::new(T0, Policy::default());
    ladder.handle_spawned(T0);
    ladder.begin_within(T0, Duration::from_secs(1));
    ladder.handle_start_written(T0);
    ladder.handle_greeted(T0);
    assert_eq!(ladder.state(), State::Starting);
}

#[test]
fn p_l7_only_before_it_is_anything_a_child_takes_orders() {
    for state in State::STATES {
        let takes = matches!(state, State::Spawning | State::Connecting | State::Waiting);
        assert_eq!(state.takes_orders(), takes, "{state:?}");
    }
}

// ---- the nursery ----

fn told(nursery: &mut Nursery) -> Vec<NurseryStep> {
    std::iter::from_fn(|| nursery.poll_step()).collect()
}

#[test]
fn p_l7_a_nursery_ends_what_waits_when_nobody_is_left_who_could_take_it() {
    let mut nursery = Nursery::new();
    let task = nursery.add(MemberKind::Task).expect("open");
    let waits = nursery.add(MemberKind::Waiting).expect("open");
    nursery.handle_body_ended(MemberEnd::Fine);
    assert_eq!(told(&mut nursery), [], "the task may start an actor");
    nursery.handle_member_ended(task, MemberEnd::Fine);
    assert_eq!(told(&mut nursery), [NurseryStep::EndWaiting]);
    assert_eq!(nursery.take(waits, true), Err(Closed));
    assert_eq!(nursery.add(MemberKind::Waiting), Err(Closed));
    assert!(!nursery.is_done(), "it has not been reaped");
    nursery.handle_member_ended(waits, DIED);
    assert_eq!(told(&mut nursery), [NurseryStep::Done]);
    assert!(nursery.verdict().is_fine() && nursery.verdict().cancelled == 0);
}

#[test]
fn p_l7_a_cancel_ends_what_waits_before_the_body_has_ended() {
    let mut nursery = Nursery::new();
    nursery.add(MemberKind::Waiting).expect("open");
    nursery.cancel();
    assert_eq!(told(&mut nursery), [NurseryStep::DropBody, NurseryStep::EndWaiting]);
    assert!(!nursery.keeps_waiting());
    // Asked again, it has told that already.
    nursery.cancel();
    assert_eq!(told(&mut nursery), [NurseryStep::DropBody]);
}

#[test]
fn p_l7_what_was_taken_is_a_member_like_others() {
    let mut nursery = Nursery::new();
    let one = nursery.add(MemberKind::Waiting).expect("open");
    nursery.cancel_members();
    assert_eq!(told(&mut nursery), [NurseryStep::CancelMembers]);
    assert_eq!(nursery.take(one, true), Ok(()));
    assert_eq!(nursery.take(one, true), Err(Closed), "it waits no longer");
    assert_eq!(nursery.members().collect::<Vec<_>>(), [(one, MemberKind::Actor { daemon: true })]);
    nursery.handle_member_ended(one, DIED);
    assert!(nursery.is_cancelled());
}

#[test]
fn p_l7_how_one_dies_that_waits_is_no_matter() {
    let mut nursery = Nursery::new();
    let one = nursery.add(MemberKind::Waiting).expect("open");
    nursery.handle_member_ended(one, DIED);
    assert!(!nursery.is_cancelled() && nursery.keeps_waiting());
    nursery.handle_body_ended(MemberEnd::Fine);
    assert_eq!(told(&mut nursery), [NurseryStep::Done]);
}

// ---- how many ----

/// Starts one that comes to wait.
fn one_more(waiting: &mut Waiting, now: Instant) {
    assert!(waiting.wants_another(now), "{waiting:?}");
    waiting.handle_begun();
    assert!(!waiting.wants_another(now), "one at a time: {waiting:?}");
    waiting.handle_greeted();
}

#[test]
fn p_l7_as_many_wait_as_are_wanted_one_after_another() {
    let mut waiting = Waiting::new();
    assert!(!waiting.is_used() && waiting.is_full() && !waiting.wants_another(T0));
    waiting.want(2);
    one_more(&mut waiting, T0);
    assert!(!waiting.is_full());
    one_more(&mut waiting, T0);
    assert!(waiting.is_full() && !waiting.wants_another(T0));
    waiting.handle_gone(true);
    one_more(&mut waiting, T0);
    waiting.want(1);
    assert_eq!((waiting.surplus(), waiting.wants_another(T0)), (1, false));
    waiting.handle_gone(true);
    assert_eq!((waiting.surplus(), waiting.poll_timeout()), (0, None));
}

#[test]
fn p_l7_one_that_was_taken_on_its_way_leaves_its_place() {
    let mut waiting = Waiting::new();
    waiting.want(1);
    waiting.handle_begun();
    waiting.handle_gone(false);
    one_more(&mut waiting, T0);
    assert!(waiting.is_full());
}

/// How long the pauses are until none is started any more.
fn pauses(greeted: bool) -> Vec<Duration> {
    let (mut waiting, mut now, mut pauses) = (Waiting::new(), T0, Vec::new());
    waiting.want(1);
    while !waiting.has_given_up() {
        assert!(waiting.wants_another(now));
        waiting.handle_begun();
        if greeted {
            waiting.handle_greeted();
        }
        waiting.handle_died(now, greeted.then_some(now));
        assert!(!waiting.wants_another(now), "not without a pause");
        if let Some(resume) = waiting.poll_timeout() {
            pauses.push(resume.since(now));
            now = resume;
        }
        assert!(pauses.len() < 100, "without a bound");
    }
    assert_eq!((waiting.poll_timeout(), waiting.wants_another(now + LONG)), (None, false));
    pauses
}

#[test]
fn p_l7_what_dies_is_replaced_after_growing_pauses_and_not_for_ever() {
    let expected: Vec<_> = (0..DEATHS - 1).map(|death| PAUSE * (1 << death)).collect();
    assert_eq!(pauses(false), expected);
    assert_eq!(pauses(true), expected);
    assert!(expected.iter().sum::<Duration>() < Duration::from_secs(2));
}

#[test]
fn p_l7_an_actor_that_came_up_or_a_new_wish_has_the_deaths_forgotten() {
    for wish in [true, false] {
        let mut waiting = Waiting::new();
        waiting.want(1);
        let mut now = T0;
        while !waiting.has_given_up() {
            waiting.handle_begun();
            waiting.handle_died(now, None);
            now = waiting.poll_timeout().unwrap_or(now);
        }
        if wish {
            waiting.want(1);
        } else {
            waiting.handle_lived();
        }
        one_more(&mut waiting, now);
        assert!(waiting.is_full());
    }
}

#[test]
fn p_l7_a_death_after_a_long_wait_is_the_first_of_its_row() {
    let mut waiting = Waiting::new();
    waiting.want(1);
    let mut now = T0;
    for _ in 0..2 * DEATHS {
        waiting.handle_begun();
        waiting.handle_greeted();
        waiting.handle_died(now + LONG, Some(now));
        now = waiting.poll_timeout().expect("it is replaced");
        assert_eq!(now, T0.max(now), "time goes on");
    }
    assert!(!waiting.has_given_up());
}
