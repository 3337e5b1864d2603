//! How an actor ends: one order, whoever began it, and bounded where others are waited for (P-C7).

use std::time::Duration;

use hatchery_proto::Instant;
use hatchery_proto::actor::shutdown::{Policy, Shutdown, ShutdownStep, Stage, Turn, Why};
use hatchery_proto::nursery::budget::Budget;
use hatchery_tests::instants::{T0, at, by, ms};

use ShutdownStep::{CancelTasks, Deregister, Exit, Flush, Force, Goodbye, Refuse, RunHooks};

fn steps(shutdown: &mut Shutdown) -> Vec<ShutdownStep> {
    std::iter::from_fn(|| shutdown.poll_step()).collect()
}

fn child() -> Shutdown {
    Shutdown::new(Policy::default(), true)
}

/// An actor that was given `grace` at `T0` and has come to `stage` at once.
fn come_to(stage: Stage, grace: Duration, has_parent: bool) -> Shutdown {
    let mut shutdown = Shutdown::new(Policy::default(), has_parent);
    shutdown.cancel(T0, by(7), grace);
    while shutdown.stage() != stage {
        let before = shutdown.stage();
        match before {
            Stage::Refusing => shutdown.handle_refused(T0),
            Stage::Cancelling => shutdown.handle_tasks_ended(T0),
            Stage::Deregistering => shutdown.handle_deregistered(T0),
            Stage::Hooks => shutdown.handle_hooks_ended(T0),
            Stage::Draining => shutdown.handle_flushed(T0),
            Stage::Running | Stage::Goodbye | Stage::Gone => panic!("{before:?}"),
        }
        assert_ne!(shutdown.stage(), before);
    }
    let _ = steps(&mut shutdown);
    shutdown
}

#[test]
fn p_c7_the_order_is_the_same_whether_it_is_cancelled_or_ends_by_itself() {
    for cancelled in [true, false] {
        let mut shutdown = child();
        assert!(!shutdown.refuses());
        let grace = if cancelled { ms(2000) } else { Policy::default().grace };
        if cancelled {
            shutdown.cancel(T0, by(7), grace);
        } else {
            shutdown.handle_main_ended(T0);
        }
        assert!(shutdown.refuses());
        assert_eq!(steps(&mut shutdown), [Refuse]);
        shutdown.handle_refused(T0);
        let d = Budget::step(grace);
        assert_eq!(steps(&mut shutdown), [CancelTasks { grace: grace - d }]);
        shutdown.handle_tasks_ended(at(1));
        assert_eq!(steps(&mut shutdown), [Deregister]);
        shutdown.handle_deregistered(at(2));
        assert_eq!(steps(&mut shutdown), [RunHooks]);
        shutdown.handle_hooks_ended(at(3));
        assert_eq!(steps(&mut shutdown), [Flush]);
        shutdown.handle_flushed(at(4));
        assert_eq!(steps(&mut shutdown), [Goodbye]);
        shutdown.handle_peers_gone(at(5));
        assert_eq!(steps(&mut shutdown), [], "the parent has not answered");
        shutdown.handle_parent_gone(at(6));
        assert_eq!(steps(&mut shutdown), [Exit]);
        assert_eq!((shutdown.stage(), shutdown.poll_timeout()), (Stage::Gone, None));
        assert_eq!(shutdown.asked().is_some(), cancelled);
    }
}

#[test]
fn p_c7_tasks_end_before_the_grace_does_so_that_the_last_words_are_in_time() {
    for (grace, tasks) in [(4400, 4300), (1000, 968), (20, 15), (0, 0)] {
        let mut shutdown = child();
        shutdown.cancel(T0, by(7), ms(grace));
        shutdown.handle_refused(T0);
        let told = steps(&mut shutdown);
        let Some(CancelTasks { grace }) = told.last() else { panic!("{told:?}") };
        assert_eq!(grace.as_millis(), tasks);
    }
}

#[test]
fn p_c7_a_root_waits_for_no_parent() {
    let mut shutdown = come_to(Stage::Goodbye, ms(2000), false);
    shutdown.handle_peers_gone(at(1));
    assert_eq!(steps(&mut shutdown), [Exit]);
}

#[test]
fn p_l3_the_parents_answer_is_waited_for_at_most_d() {
    let mut shutdown = come_to(Stage::Goodbye, ms(3200), true);
    shutdown.handle_peers_gone(T0);
    assert_eq!(shutdown.poll_timeout(), Some((at(100), Why::Parent)));
    shutdown.handle_timeout(at(100));
    assert_eq!(steps(&mut shutdown), [Exit]);
}

#[test]
fn p_c7_other_peers_are_waited_for_3_s_or_what_is_left_of_the_grace() {
    for (grace, until) in [(60_000, 3000), (1000, 1000)] {
        let mut shutdown = come_to(Stage::Goodbye, ms(grace), true);
        shutdown.handle_parent_gone(T0);
        assert_eq!(shutdown.poll_timeout(), Some((at(until), Why::Peers)));
        shutdown.handle_timeout(at(until - 1));
        assert_eq!(steps(&mut shutdown), []);
        shutdown.handle_timeout(at(until));
        assert_eq!(steps(&mut shutdown), [Exit]);
    }
}

#[test]
fn p_c7_tasks_that_took_all_of_the_grace_leave_time_for_the_last_words() {
    for (cancelled, until) in [(true, 62), (false, 3000)] {
        let mut shutdown = child();
        if cancelled {
            shutdown.cancel(T0, by(7), ms(2000));
        } else {
            shutdown.handle_main_ended(T0);
        }
        shutdown.handle_refused(T0);
        let late = T0 + ms(10_000);
        shutdown.handle_tasks_ended(late);
        shutdown.handle_deregistered(late);
        shutdown.handle_hooks_ended(late);
        shutdown.handle_timeout(late);
        assert_eq!(shutdown.stage(), Stage::Draining, "nothing was written yet");
        let (due, why) = shutdown.poll_timeout().unwrap();
        assert_eq!((due.since(late).as_millis(), why), (until, Why::LastWords));
    }
    let mut shutdown = come_to(Stage::Hooks, Duration::ZERO, true);
    shutdown.handle_hooks_ended(at(1));
    shutdown.handle_timeout(at(1));
    assert_eq!(steps(&mut shutdown).last(), Some(&Exit), "who has no time says nothing more");
}

#[test]
fn p_c7_what_tasks_hold_is_ended_by_force_when_nobody_polls_them() {
    let mut shutdown = come_to(Stage::Cancelling, ms(2000), true);
    assert_eq!(shutdown.poll_timeout(), Some((at(2250), Why::Tasks)));
    shutdown.handle_timeout(at(2249));
    assert_eq!(steps(&mut shutdown), []);
    shutdown.handle_timeout(at(2250));
    assert_eq!(steps(&mut shutdown), [Force]);
    assert_eq!((shutdown.stage(), shutdown.poll_timeout()), (Stage::Cancelling, None), "once");
    shutdown.handle_tasks_ended(at(2300));
    assert_eq!(steps(&mut shutdown), [Deregister]);
    // Also where the main task ended by itself, and sooner where the time gets shorter.
    let mut shutdown = child();
    shutdown.handle_main_ended(T0);
    shutdown.handle_refused(T0);
    assert_eq!(shutdown.poll_timeout(), Some((at(4650), Why::Tasks)));
    shutdown.cancel(at(10), by(7), Duration::ZERO);
    assert_eq!(shutdown.poll_timeout(), Some((at(260), Why::Tasks)));
}

#[test]
fn p_c7_hooks_run_to_completion() {
    for stage in [Stage::Refusing, Stage::Hooks] {
        let mut shutdown = come_to(stage, ms(10), true);
        assert_eq!(shutdown.poll_timeout(), None);
        shutdown.handle_timeout(at(1_000_000));
        assert_eq!(shutdown.stage(), stage);
    }
}

#[test]
fn p_c7_a_registrar_that_does_not_answer_and_a_peer_that_does_not_read_hold_nothing_up() {
    let mut shutdown = come_to(Stage::Deregistering, ms(60_000), true);
    assert_eq!(shutdown.poll_timeout(), Some((at(500), Why::Registrars)));
    shutdown.handle_timeout(at(500));
    assert_eq!(steps(&mut shutdown), [RunHooks]);
    let mut shutdown = come_to(Stage::Draining, ms(60_000), true);
    assert_eq!(shutdown.poll_timeout(), Some((at(3000), Why::LastWords)));
    shutdown.handle_timeout(at(3000));
    assert_eq!(steps(&mut shutdown), [Goodbye]);
}

#[test]
fn p_c1_a_repeat_shortens_every_wait_and_the_first_canceller_stays() {
    let mut shutdown = come_to(Stage::Cancelling, ms(2000), true);
    shutdown.cancel(at(10), by(8), ms(5000));
    assert_eq!(steps(&mut shutdown), [], "never longer");
    shutdown.cancel(at(20), by(8), ms(100));
    assert_eq!(steps(&mut shutdown), [CancelTasks { grace: ms(80) }]);
    assert_eq!(shutdown.asked().map(|by| by.canceller.uuid), Some(7));
    let mut shutdown = come_to(Stage::Goodbye, ms(2000), true);
    shutdown.cancel(at(10), by(8), Duration::ZERO);
    assert_eq!(steps(&mut shutdown), [Exit]);
}

#[test]
fn p_c7_a_main_task_that_ends_after_a_cancel_changes_nothing() {
    let mut shutdown = child();
    shutdown.cancel(T0, by(7), ms(2000));
    shutdown.handle_main_ended(at(1));
    assert_eq!(steps(&mut shutdown), [Refuse]);
    // And the other way round, it is still asked by someone.
    let mut shutdown = child();
    shutdown.handle_main_ended(T0);
    shutdown.cancel(at(1), by(7), ms(2000));
    assert_eq!(steps(&mut shutdown), [Refuse]);
    shutdown.handle_refused(at(2));
    assert_eq!(steps(&mut shutdown), [CancelTasks { grace: ms(1999) - Budget::step(ms(1999)) }]);
}

#[test]
fn p_c7_a_failing_exit_hook_becomes_part_of_the_outcome_and_stops_nothing() {
    let mut shutdown = come_to(Stage::Hooks, ms(2000), true);
    shutdown.handle_hook_failed((1, 1));
    shutdown.handle_hook_failed((1, 2));
    shutdown.handle_hook_failed((1, 1));
    shutdown.handle_hooks_ended(at(1));
    assert_eq!(steps(&mut shutdown), [Flush]);
    assert_eq!(shutdown.failures(), [(1, 1), (1, 2)]);
}

#[test]
fn p_l4_a_parent_that_went_early_is_not_waited_for_later() {
    let mut shutdown = child();
    shutdown.handle_parent_gone(T0);
    shutdown.handle_main_ended(T0);
    shutdown.handle_refused(T0);
    shutdown.handle_tasks_ended(T0);
    shutdown.handle_deregistered(T0);
    shutdown.handle_hooks_ended(T0);
    shutdown.handle_flushed(T0);
    shutdown.handle_peers_gone(T0);
    assert_eq!(shutdown.stage(), Stage::Gone);
}

#[test]
fn p_c7_that_no_peer_is_linked_counts_only_once_none_can_come_any_more() {
    let mut shutdown = child();
    shutdown.handle_peers_gone(T0);
    shutdown.cancel(T0, by(7), ms(2000));
    shutdown.handle_peers_gone(T0);
    shutdown.handle_refused(T0);
    shutdown.handle_tasks_ended(T0);
    shutdown.handle_deregistered(T0);
    shutdown.handle_hooks_ended(T0);
    shutdown.handle_flushed(T0);
    shutdown.handle_parent_gone(T0);
    assert_eq!(shutdown.stage(), Stage::Goodbye);
    shutdown.handle_peers_gone(T0);
    assert_eq!(shutdown.stage(), Stage::Gone);
}

// ---- all of it ----

type Fact = fn(&mut Shutdown, Instant);

const FACTS: [(Turn, Fact); 8] = [
    (Turn::End, Shutdown::handle_main_ended),
    (Turn::Refused, Shutdown::handle_refused),
    (Turn::TasksEnded, Shutdown::handle_tasks_ended),
    (Turn::Deregistered, Shutdown::handle_deregistered),
    (Turn::HooksEnded, Shutdown::handle_hooks_ended),
    (Turn::Flushed, Shutdown::handle_flushed),
    (Turn::Alone, Shutdown::handle_peers_gone),
    (Turn::Late, Shutdown::handle_timeout),
];

fn every_order(shutdown: &Shutdown, seen: &[ShutdownStep], depth: usize, reached: &mut u64) {
    *reached += 1;
    if depth == 0 {
        return;
    }
    let parent: Fact = Shutdown::handle_parent_gone;
    for fact in FACTS.iter().map(|(_, fact)| *fact).chain([parent]) {
        let mut next = shutdown.clone();
        let before = next.stage();
        fact(&mut next, at(20_000));
        assert!(next.stage() >= before, "never back");
        let mut seen = seen.to_vec();
        seen.extend(steps(&mut next));
        let kinds =
            [Refuse, CancelTasks { grace: ms(4300) }, Deregister, RunHooks, Flush, Goodbye, Exit];
        let mut calm = seen.clone();
        // Between cancelling and deregistering there may be force.
        if calm.get(2) == Some(&Force) {
            let _ = calm.remove(2);
        }
        assert!(kinds.starts_with(&calm), "in order, each once: {seen:?}");
        let again = next.clone();
        fact(&mut next, at(20_000));
        assert_eq!((next.stage(), next.poll_step()), (again.stage(), None), "twice is once");
        every_order(&next, &seen, depth - 1, reached);
    }
}

#[test]
fn p_c7_facts_in_any_order_never_break_the_order_of_the_steps() {
    let mut reached = 0;
    every_order(&child(), &[], 6, &mut reached);
    assert!(reached > 500_000, "{reached}");
}

#[test]
fn p_c7_every_stage_has_one_way_on() {
    let mut stage = Stage::Running;
    let mut passed = vec![stage];
    while stage != Stage::Gone {
        let ways = Stage::STEPS.iter().filter_map(|turn| stage.after(*turn)).collect::<Vec<_>>();
        assert!(ways.windows(2).all(|pair| pair[0] == pair[1]), "{stage:?} + any => one");
        stage = ways[0];
        passed.push(stage);
    }
    assert_eq!(passed, Stage::STATES);
}
