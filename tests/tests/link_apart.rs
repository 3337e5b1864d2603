//! Links apart: pings between a parent and a child that a launcher has started, what a stop of either
//! side or of both does to them, and what is known of a peer that does not greet (P-L5, P-L8).

use std::time::Duration;

use hatchery_proto::{DialogId, Event, GoodbyeReason, Kind, Limits, LostCause, Outcome, Terminal};
use hatchery_tests::pair::Pair;

const MILLI: Duration = Duration::from_millis(1);
const PERIOD: Duration = Duration::from_millis(400);
const PATIENCE: Duration = Duration::from_millis(800);
const PART: Duration = Duration::from_millis(100);

/// A parent and its child that are up, on a link apart.
fn family(liveness: Option<(Duration, Duration)>) -> Pair {
    let mut pair = Pair::family(&Limits { liveness, ..Limits::default() });
    for end in [&mut pair.a, &mut pair.b] {
        end.core = end.core.clone().apart();
    }
    pair.actor_up();
    pair
}

fn lively() -> Pair {
    family(Some((PERIOD, PATIENCE)))
}

/// Lets time pass in small steps, in which what is said is heard.
fn live(pair: &mut Pair, time: Duration) {
    for _ in 0..time.as_millis() {
        pair.pass(MILLI);
        pair.settle();
    }
}

/// Lets time pass in small steps, in which nothing that is said arrives; says when the even end gave
/// up.
fn fall_silent(pair: &mut Pair, most: Duration) -> Option<Duration> {
    for passed in 1..=u32::try_from(most.as_millis()).expect("a short time") {
        pair.pass(MILLI);
        drop(pair.a.bytes(pair.now));
        drop(pair.b.bytes(pair.now));
        if pair.a.core.is_closed() {
            return Some(MILLI * passed);
        }
    }
    None
}

fn is_up(pair: &Pair) -> bool {
    !pair.a.core.is_closed() && !pair.b.core.is_closed()
}

#[test]
fn p_l5_a_link_apart_pings_by_default_and_a_parent_and_its_child_are_up_for_long() {
    let mut pair = family(None);
    let (period, patience) = Limits::LIVENESS;
    assert_eq!(pair.a.core.limits().liveness, Some((period, patience)));
    for _ in 0..100 {
        pair.pass(period);
        assert!(pair.a.core.wants_transmit() && pair.b.core.wants_transmit(), "pings");
        pair.settle();
    }
    assert!(is_up(&pair));
    let silent = fall_silent(&mut pair, period + patience);
    assert_eq!(silent, Some(period + patience));
    assert!(pair.b.core.is_closed(), "both sides conclude at once");
}

#[test]
fn p_l5_silence_ends_a_link_apart_within_period_and_patience_and_all_that_is_open_on_it() {
    let mut pair = lively();
    let call = pair.open(Kind::Call, b"");
    live(&mut pair, 10 * PERIOD);
    assert!(is_up(&pair));
    // What was heard last may be as old as the period.
    let silent = fall_silent(&mut pair, 3 * PATIENCE).expect("it is given up");
    assert!(silent > PATIENCE && silent <= PERIOD + PATIENCE, "{silent:?}");
    assert_eq!(pair.outcome(call), Some(Outcome::Lost(LostCause::LinkEnded)));
    assert!(pair.a.saw(&Event::Closed) && pair.b.saw(&Event::Closed));
    assert!(pair.b.core.callee(DialogId::ACTOR).is_none(), "the child's life is over");
}

#[test]
fn p_l5_stopping_both_sides_for_longer_than_the_patience_is_no_loss_whenever_it_begins() {
    for before in (0..1200).step_by(13) {
        let mut pair = lively();
        live(&mut pair, PERIOD / 2);
        // Whatever was under way when they were stopped arrives behind the deadlines.
        for _ in 0..before {
            pair.pass(MILLI);
            pair.settle();
        }
        pair.pass(10 * PATIENCE);
        pair.pass(MILLI);
        assert!(is_up(&pair), "stopped after {before} ms");
        pair.settle();
        live(&mut pair, 2 * PATIENCE);
        assert!(is_up(&pair), "stopped after {before} ms");
    }
}

#[test]
fn p_l5_a_side_that_was_stopped_in_a_silence_does_not_count_what_it_has_not_lived_through() {
    for awake in (1..1200).step_by(13) {
        let mut pair = lively();
        let before = fall_silent(&mut pair, MILLI * awake);
        assert_eq!(before, None);
        // Only this side is stopped, and what it hears first after that is nothing.
        pair.now = pair.now + 10 * PATIENCE;
        pair.a.core.handle_timeout(pair.now);
        let on_waking = pair.a.core.is_closed();
        let lived = match fall_silent(&mut pair, 2 * PERIOD + PATIENCE) {
            Some(after) if !on_waking => MILLI * awake + after,
            _ => MILLI * awake,
        };
        assert!(pair.a.core.is_closed(), "a silence is found out all the same");
        let asked = PERIOD.min(MILLI * awake);
        assert!(lived + PART >= asked + PATIENCE, "stopped after {awake} ms: {lived:?}");
        assert!(lived <= PERIOD + PATIENCE, "stopped after {awake} ms: {lived:?}");
    }
}

#[test]
fn p_l5_many_short_stops_are_no_loss_where_the_peer_answers_in_between() {
    let mut pair = lively();
    for _ in 0..200 {
        pair.pass(PERIOD + PATIENCE);
        pair.pass(MILLI);
        pair.settle();
    }
    assert!(is_up(&pair));
}

#[test]
fn p_l5_a_patience_of_nothing_and_one_without_an_end_are_what_they_say() {
    let mut pair = family(Some((Duration::ZERO, Duration::ZERO)));
    pair.pass(MILLI);
    assert!(pair.a.core.is_closed());
    let mut pair = family(Some((Duration::MAX, Duration::MAX)));
    for _ in 0..100 {
        pair.pass(Duration::from_secs(1_000_000));
    }
    assert!(is_up(&pair));
}

#[test]
fn p_l8_a_child_apart_hears_from_its_parents_greeting_which_tree_it_is_of() {
    let mut pair = Pair::family(&Limits::default());
    pair.a.core = pair.a.core.clone().of_tree(77).apart();
    pair.b.core = pair.b.core.clone().apart();
    pair.actor_up();
    assert_eq!((pair.b.core.peer_tree(), pair.a.core.peer_tree()), (Some(77), None));
    assert!(!pair.a.core.is_granted() && !pair.b.core.is_granted(), "it is a child's link");
}

#[test]
fn p_l8_what_comes_in_place_of_a_greeting_is_known_up_to_its_bound_and_a_greeting_is_forgotten() {
    let mut pair = family(None);
    assert_eq!(pair.a.core.first_bytes(), b"");
    live(&mut pair, MILLI);
    assert_eq!(pair.a.core.first_bytes(), b"");
    let mut pair = Pair::family(&Limits::default());
    pair.a.core = pair.a.core.clone().apart();
    pair.a.core.handle_input(pair.now, b"hi");
    assert_eq!(pair.a.core.first_bytes(), b"hi");
    assert!(!pair.a.core.is_closed(), "it may be the beginning of something");
    pair.a.core.handle_input(pair.now, &[b'!'; 1000]);
    assert_eq!(pair.a.broken(), Some("P-F2"));
    assert_eq!(pair.a.core.first_bytes().len(), 256);
    assert!(pair.a.core.first_bytes().starts_with(b"hi!!"));
    // On a pair that was inherited nobody else writes.
    let mut pair = Pair::family(&Limits::default());
    pair.a.core.handle_input(pair.now, b"hi");
    assert_eq!(pair.a.core.first_bytes(), b"");
}

#[test]
fn p_l8_a_parent_shows_an_end_once_both_have_said_goodbye_and_everything_else() {
    let mut pair = lively();
    let call = pair.open(Kind::Call, b"");
    assert!(!pair.a.core.has_said_all());
    pair.b.core.goodbye(pair.now, GoodbyeReason::Leaving);
    pair.settle();
    assert!(!pair.a.core.has_said_all(), "a call is still being answered");
    pair.finish(call, Terminal::Return(Vec::new()));
    pair.finish(DialogId::ACTOR, Terminal::Return(Vec::new()));
    pair.settle();
    assert!(pair.a.core.has_said_all() && !pair.a.core.is_closed(), "it reads on");
    assert!(pair.b.core.is_closed(), "the child closes first");
}
