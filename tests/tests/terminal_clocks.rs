//! While something in a child, or below it, holds or waits for the terminal, no clock runs over it or in
//! it (P-T2): the ladder of the child, grace and bounds of scopes, the end of an actor, and what is
//! waited for on a link. What is due before stays due, and comes by as much later.

use std::time::Duration;

use hatchery_proto::actor::scopes::{ScopeKind, Scopes, Why as ScopeWhy};
use hatchery_proto::actor::shutdown::{Policy as EndPolicy, Shutdown, ShutdownStep, Stage};
use hatchery_proto::nursery::budget::{self, Budget};
use hatchery_proto::nursery::ladder::{Ladder, Policy, State, Step};
use hatchery_proto::{ExitStatus, Instant, Kind, Limits, LostCause, Outcome, Rung, Why};
use hatchery_tests::instants::{T0, at, by, ms};
use hatchery_tests::pair::{Pair, cancel_by};

const SIGKILL: ExitStatus = ExitStatus::Signal { number: 9, core: false };

// ---- the ladder ----

fn steps(ladder: &mut Ladder) -> Vec<Step> {
    std::iter::from_fn(|| ladder.poll_step()).collect()
}

fn connecting() -> Ladder {
    let mut ladder = Ladder::new(T0, Policy::default());
    ladder.handle_spawned(T0);
    ladder
}

fn starting() -> Ladder {
    let mut ladder = connecting();
    ladder.handle_start_written(T0);
    ladder
}

fn running() -> Ladder {
    let mut ladder = starting();
    ladder.handle_up(T0);
    ladder
}

fn asked() -> Ladder {
    let mut ladder = running();
    ladder.cancel(T0, budget::DEFAULT);
    ladder
}

fn acked() -> Ladder {
    let mut ladder = asked();
    ladder.handle_ack(T0);
    ladder
}

fn leaving() -> Ladder {
    let mut ladder = running();
    ladder.handle_terminal(T0);
    ladder
}

fn killing() -> Ladder {
    let mut ladder = running();
    ladder.cancel(T0, Duration::ZERO);
    ladder
}

/// A phase, and how a ladder comes to it.
type Phase = (&'static str, fn() -> Ladder);

const PHASES: [Phase; 7] = [
    ("connecting", connecting),
    ("starting", starting),
    ("running", running),
    ("asked", asked),
    ("acked", acked),
    ("leaving", leaving),
    ("killing", killing),
];

/// The child does nothing at all: what is done to it, and when, with these holds: from when, for how
/// long.
fn left_alone(mut ladder: Ladder, holds: &[(Instant, Duration)]) -> Vec<(Instant, Step)> {
    let mut done: Vec<_> = steps(&mut ladder).into_iter().map(|step| (T0, step)).collect();
    let mut pass = |ladder: &mut Ladder, until: Instant| {
        while let Some((when, _)) = ladder.poll_timeout().filter(|(when, _)| *when <= until) {
            ladder.handle_timeout(when);
            done.extend(steps(ladder).into_iter().map(|step| (when, step)));
        }
    };
    for (from, length) in holds {
        pass(&mut ladder, *from);
        ladder.hold(*from);
        assert!(ladder.is_held() && ladder.poll_timeout().is_none());
        // A machine that wakes late, or in vain, does nothing to it.
        ladder.handle_timeout(*from + *length);
        assert_eq!(ladder.poll_step(), None, "held");
        ladder.resume(*from + *length);
    }
    pass(&mut ladder, Instant::FAR_FUTURE);
    done
}

#[test]
fn p_t2_a_hold_in_any_phase_puts_every_rung_off_by_its_length() {
    for (phase, make) in PHASES {
        let plain = left_alone(make(), &[]);
        for from in (0..12_000).step_by(53) {
            for holds in [
                vec![(at(from), ms(1))],
                vec![(at(from), ms(60_000))],
                vec![(at(from), ms(7)), (at(from + 7), ms(20)), (at(from + 4000), ms(3000))],
            ] {
                let put_off = |mut when: Instant| {
                    for (from, length) in &holds {
                        if when > *from {
                            when = when + *length;
                        }
                    }
                    when
                };
                let expected: Vec<_> =
                    plain.iter().map(|(when, step)| (put_off(*when), *step)).collect();
                assert_eq!(left_alone(make(), &holds), expected, "{phase}, {holds:?}");
            }
        }
    }
}

#[test]
fn p_t2_what_was_due_and_not_done_is_not_done_while_it_is_held() {
    let mut ladder = acked();
    let _ = steps(&mut ladder);
    // SIGTERM was due long ago, and the request for the terminal was read first.
    let late = at(60_000);
    ladder.hold(late);
    ladder.handle_timeout(late);
    ladder.cancel(late, budget::DEFAULT);
    assert_eq!((steps(&mut ladder), ladder.state()), (vec![], State::Cancelling));
    ladder.resume(at(90_000));
    ladder.handle_timeout(at(90_000));
    assert_eq!(ladder.state(), State::Killing, "then all of it is");
}

#[test]
fn p_t2_after_sigterm_its_last_time_stands_too_and_so_does_that_of_sigkill() {
    let mut ladder = acked();
    let grace = Budget::of(budget::DEFAULT).grace;
    ladder.handle_timeout(T0 + grace);
    assert_eq!(ladder.state(), State::Terminating);
    let _ = steps(&mut ladder);
    // It is ending itself, and something in it asks for the terminal.
    ladder.hold(T0 + grace + ms(1));
    ladder.handle_timeout(at(3_600_000));
    assert_eq!((steps(&mut ladder), ladder.state()), (vec![], State::Terminating));
    ladder.resume(at(3_600_000));
    let (due, _) = ladder.poll_timeout().unwrap();
    assert_eq!(due + ms(1), at(3_600_000) + Budget::step(budget::DEFAULT));
    ladder.handle_timeout(due);
    assert_eq!(steps(&mut ladder), [Step::Kill]);
    // A second hold puts off when it is called unkillable.
    let (over, _) = ladder.poll_timeout().unwrap();
    ladder.hold(due);
    ladder.hold(due + ms(500));
    ladder.resume(due + ms(1000));
    ladder.resume(due + ms(2000));
    assert_eq!(ladder.poll_timeout().unwrap().0, over + ms(1000));
}

#[test]
fn p_t2_what_is_asked_for_in_a_hold_has_all_its_time_from_its_end_on() {
    let mut ladder = running();
    ladder.hold(at(10));
    ladder.cancel(at(1000), ms(640));
    assert_eq!(steps(&mut ladder), [Step::Ask { grace: Budget::of(ms(640)).grace }]);
    ladder.handle_ack(at(1100));
    assert_eq!(ladder.poll_timeout(), None);
    ladder.resume(at(5000));
    let (due, _) = ladder.poll_timeout().unwrap();
    assert_eq!(due, at(5000) + Budget::of(ms(640)).terminate);
}

#[test]
fn p_t2_force_that_is_asked_for_is_used_at_once_and_the_end_is_seen() {
    for make in [running, asked, acked, leaving] {
        let mut ladder = make();
        let _ = steps(&mut ladder);
        ladder.hold(at(1));
        ladder.cancel(at(5), Duration::ZERO);
        assert_eq!((steps(&mut ladder), ladder.state()), (vec![Step::Kill], State::Killing));
        ladder.handle_exit(at(6), SIGKILL);
        let end = steps(&mut ladder).pop();
        assert!(matches!(end, Some(Step::Done(end)) if end.rung == Rung::Killed), "{end:?}");
    }
}

#[test]
fn p_t2_the_end_of_its_link_ends_a_hold() {
    let mut ladder = running();
    ladder.hold(at(10));
    ladder.handle_eof(at(1000));
    assert!(!ladder.is_held());
    assert_eq!(steps(&mut ladder), [Step::Terminate]);
    let (due, _) = ladder.poll_timeout().unwrap();
    assert!(due >= at(1000) + budget::ORPHAN, "it ends itself first (P-T4)");
}

#[test]
fn p_t2_rungs_are_told_without_the_time_of_a_hold() {
    let mut ladder = acked();
    ladder.hold(at(10));
    ladder.resume(at(10_010));
    assert_eq!(ladder.rungs(at(10_030)), [(Rung::Asked, ms(30))]);
}

// ---- grace and bounds of scopes ----

#[test]
fn p_t2_grace_shares_and_bounds_of_scopes_stand() {
    let mut scopes = Scopes::new();
    let task = scopes.open(None, ScopeKind::Body);
    let bounded = scopes.open(Some(task), ScopeKind::Body);
    let shield = scopes.open(Some(bounded), ScopeKind::Shield);
    scopes.bound(bounded, T0, at(1000), by(1), ms(300));
    scopes.hold(at(400));
    scopes.hold(at(500));
    assert_eq!(scopes.poll_timeout(), None);
    scopes.handle_timeout(at(60_000));
    assert_eq!(scopes.cancelled(bounded), None);
    assert_eq!(scopes.left(bounded, at(60_000)), Some(ms(600)));
    // A bound that is set meanwhile is as long as any.
    let late = scopes.open(Some(task), ScopeKind::Body);
    scopes.bound(late, at(60_000), at(60_700), by(2), ms(300));
    assert_eq!(scopes.left(late, at(60_001)), Some(ms(700)));
    scopes.resume(at(60_400));
    assert_eq!(scopes.poll_timeout(), Some((at(61_000), ScopeWhy::Bound)));
    scopes.handle_timeout(at(61_000));
    assert!(scopes.expired(bounded) && !scopes.expired(late));
    // Then the grace, and the share of it that is the shield's.
    assert_eq!(scopes.share(bounded, at(61_100)), ms(200));
    assert_eq!(scopes.poll_timeout(), Some((at(61_100), ScopeWhy::Bound)));
    scopes.hold(at(61_050));
    scopes.handle_timeout(at(70_000));
    assert_eq!(scopes.share(bounded, at(70_000)), ms(250));
    scopes.cancel(task, at(70_000), by(3), ms(100));
    assert_eq!(scopes.share(task, at(80_000)), ms(100), "asked meanwhile, all of it is left");
    assert!(!scopes.due(shield), "it holds the cancel off for as long as that lasts");
    scopes.resume(at(90_050));
    assert_eq!(scopes.poll_timeout(), Some((at(90_100), ScopeWhy::Bound)));
    scopes.handle_timeout(at(90_150));
    assert!(scopes.due(shield), "its share is over");
}

// ---- the end of an actor ----

#[test]
fn p_t2_no_stage_of_an_actors_end_loses_time() {
    let ends: [fn(&mut Shutdown, Instant); 5] = [
        Shutdown::handle_refused,
        Shutdown::handle_tasks_ended,
        Shutdown::handle_deregistered,
        Shutdown::handle_hooks_ended,
        Shutdown::handle_flushed,
    ];
    for stages in 1..=ends.len() {
        let mut shutdown = Shutdown::new(EndPolicy::default(), true);
        shutdown.cancel(T0, by(1), ms(2000));
        ends[..stages].iter().for_each(|end| end(&mut shutdown, T0));
        let _ = std::iter::from_fn(|| shutdown.poll_step()).count();
        let due = shutdown.poll_timeout();
        shutdown.hold(at(10));
        assert_eq!(shutdown.poll_timeout(), None);
        shutdown.handle_timeout(at(3_600_000));
        assert_eq!(shutdown.poll_step(), None);
        shutdown.resume(at(60_010));
        let later = due.map(|(at, why)| (at + ms(60_000), why));
        assert_eq!(shutdown.poll_timeout(), later, "{:?}", shutdown.stage());
    }
}

#[test]
fn p_t2_an_actor_that_is_asked_to_end_in_a_hold_goes_its_way_and_forces_nobody() {
    let mut shutdown = Shutdown::new(EndPolicy::default(), true);
    shutdown.hold(T0);
    shutdown.cancel(at(500), by(1), ms(2000));
    shutdown.handle_refused(at(500));
    let asked: Vec<_> = std::iter::from_fn(|| shutdown.poll_step()).collect();
    let grace = ms(2000) - Budget::step(ms(2000));
    assert_eq!(asked, [ShutdownStep::Refuse, ShutdownStep::CancelTasks { grace }]);
    shutdown.handle_timeout(at(60_000));
    assert_eq!((shutdown.stage(), shutdown.poll_step()), (Stage::Cancelling, None));
    shutdown.resume(at(60_000));
    let (force, _) = shutdown.poll_timeout().unwrap();
    assert!(force >= at(62_000), "{force:?}");
}

// ---- links ----

#[test]
fn p_t2_who_waits_for_a_cancelled_task_waits_for_as_long_as_it_is_held() {
    let mut pair = Pair::up();
    let [first, second] = [pair.open(Kind::Call, b""), pair.open(Kind::Call, b"")];
    let begin = pair.now;
    pair.a.core.caller(first).unwrap().cancel(begin, cancel_by(1, ms(100)));
    assert_eq!(pair.a.core.poll_timeout(), Some((begin + ms(600), Why::CancelWait(first))));
    pair.a.core.hold(begin + ms(500));
    assert_eq!(pair.a.core.poll_timeout(), None);
    pair.a.core.handle_timeout(begin + ms(5000));
    pair.a.core.caller(second).unwrap().cancel(begin + ms(5000), cancel_by(1, ms(200)));
    pair.a.core.resume(begin + ms(10_500));
    assert_eq!(pair.a.core.poll_timeout(), Some((begin + ms(10_600), Why::CancelWait(first))));
    pair.a.core.handle_timeout(begin + ms(10_600));
    let lost = Some(Outcome::Lost(LostCause::Unresponsive));
    assert_eq!(pair.outcome(first), lost);
    assert_eq!(pair.outcome(second), None);
    assert_eq!(pair.a.core.poll_timeout(), Some((begin + ms(11_200), Why::CancelWait(second))));
    pair.a.core.handle_timeout(begin + ms(11_200));
    assert_eq!(pair.outcome(second), lost);
    assert_eq!(pair.a.core.poll_timeout(), None);
}

#[test]
fn p_t2_p_l5_no_silence_counts_in_a_hold() {
    let (period, patience) = (ms(400), ms(800));
    let limits = Limits { liveness: Some((period, patience)), ..Limits::default() };
    for before in (0..1150).step_by(23) {
        let mut pair = Pair::family(&limits);
        for end in [&mut pair.a, &mut pair.b] {
            end.core = end.core.clone().apart();
        }
        pair.actor_up();
        let begin = pair.now;
        let pass = |pair: &mut Pair, millis: u64| {
            for _ in 0..millis {
                pair.now = pair.now + ms(1);
                let now = pair.now;
                pair.a.core.handle_timeout(now);
                drop(pair.a.bytes(now));
            }
        };
        pass(&mut pair, before);
        pair.a.core.hold(pair.now);
        pass(&mut pair, 20_000);
        assert!(!pair.a.core.is_closed(), "held after {before} ms of silence");
        pair.a.core.resume(pair.now);
        while !pair.a.core.is_closed() {
            pass(&mut pair, 1);
        }
        let lived = pair.now.since(begin) - ms(20_000);
        assert!(lived <= period + patience && lived + ms(2) >= period + patience, "{lived:?}");
    }
}
