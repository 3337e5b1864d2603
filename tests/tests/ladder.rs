//! The ladder of one child: what is done to it when, and what is said of its end.

use std::time::Duration;

use hatchery_proto::nursery::budget::{self, Budget};
use hatchery_proto::nursery::ladder::{End, Ladder, Policy, State, Step, Why};
use hatchery_proto::{ExitStatus, Rung};
use hatchery_tests::instants::{T0, at, ms};

const SIGTERM: ExitStatus = ExitStatus::Signal { number: 15, core: false };
const SIGKILL: ExitStatus = ExitStatus::Signal { number: 9, core: false };

fn steps(ladder: &mut Ladder) -> Vec<Step> {
    std::iter::from_fn(|| ladder.poll_step()).collect()
}

fn end(ladder: &mut Ladder) -> End {
    let last = steps(ladder).pop();
    let Some(Step::Done(end)) = last else { panic!("not over, but {last:?}") };
    end
}

fn running() -> Ladder {
    let mut ladder = Ladder::new(T0, Policy::default());
    ladder.handle_spawned(T0);
    ladder.handle_start_written(T0);
    ladder.handle_up(T0);
    assert_eq!(ladder.state(), State::Running);
    ladder
}

fn asked(rest: Duration) -> Ladder {
    let mut ladder = running();
    ladder.cancel(T0, rest);
    assert_eq!(steps(&mut ladder), [Step::Ask { grace: Budget::of(rest).grace }]);
    ladder
}

/// The child does nothing at all: what is done to it, and after how many milliseconds.
fn left_alone(ladder: &mut Ladder) -> Vec<(u64, Step)> {
    let mut done = steps(ladder).into_iter().map(|step| (0, step)).collect::<Vec<_>>();
    while let Some((when, _)) = ladder.poll_timeout() {
        ladder.handle_timeout(when);
        let after = u64::try_from(when.since(T0).as_millis()).unwrap();
        done.extend(steps(ladder).into_iter().map(|step| (after, step)));
    }
    done
}

// ---- budgets ----

#[test]
fn p_t1_a_budget_leaves_at_least_half_as_grace_and_never_exceeds_itself() {
    for micros in (0..6_000_000).step_by(997) {
        let rest = Duration::from_micros(micros);
        let budget = Budget::of(rest);
        if rest < ms(20) {
            assert_eq!((budget.grace, budget.kill), (Duration::ZERO, Duration::ZERO));
            continue;
        }
        let d = (rest / 32).clamp(ms(20), ms(100)).min(rest / 4);
        assert_eq!(budget.terminate, rest - 2 * d);
        assert_eq!(budget.kill, rest - d);
        assert_eq!(budget.over, rest);
        assert_eq!(budget.grace, budget.terminate);
        assert_eq!(budget.ack, ms(500).min(rest / 4));
        assert!(budget.grace >= rest / 2, "{rest:?}: {budget:?}");
    }
}

#[test]
fn p_t1_less_time_never_brings_a_later_rung() {
    let mut last = Budget::of(ms(20));
    for micros in (20_499..6_000_000).step_by(499) {
        let budget = Budget::of(Duration::from_micros(micros));
        assert!(budget.terminate >= last.terminate && budget.kill >= last.kill);
        assert!(budget.ack >= last.ack && budget.over > last.over);
        last = budget;
    }
}

#[test]
fn p_t1_budgets_saturate_at_both_ends() {
    assert_eq!(Budget::of(Duration::MAX).over, Duration::MAX);
    assert_eq!(Budget::of(Duration::ZERO).kill, Duration::ZERO);
    assert_eq!(Budget::after_loss(Duration::MAX), Duration::MAX);
    let mut ladder = running();
    ladder.cancel(T0, Duration::MAX);
    assert_eq!(ladder.poll_timeout(), Some((at(500), Why::Ack)));
    ladder.handle_ack(T0);
    ladder.handle_timeout(T0 + Duration::from_secs(1 << 32));
    assert_eq!(ladder.state(), State::Cancelling);
}

#[test]
fn p_t4_a_child_without_a_link_gets_the_time_to_end_itself() {
    for millis in 0..5_000 {
        let rest = Budget::after_loss(ms(millis));
        let budget = Budget::of(rest);
        assert!(rest >= ms(millis));
        assert!(budget.terminate >= budget::ORPHAN, "{rest:?}: {budget:?}");
    }
}

// ---- spawning ----

#[test]
fn p_t1_a_start_that_the_spawner_has_not_begun_is_taken_back_without_a_trace() {
    let mut ladder = Ladder::new(T0, Policy::default());
    ladder.cancel(T0, budget::DEFAULT);
    assert_eq!(steps(&mut ladder), [Step::Withdraw]);
    ladder.handle_spawn_failed(at(1));
    let end = end(&mut ladder);
    assert_eq!((end.status, end.spawned, end.up), (None, false, false));
}

#[test]
fn p_t1_a_start_under_way_is_awaited_then_killed_and_reaped() {
    let mut ladder = Ladder::new(T0, Policy::default());
    ladder.cancel(T0, budget::DEFAULT);
    ladder.handle_spawned(at(30));
    assert_eq!(steps(&mut ladder), [Step::Withdraw, Step::Kill]);
    ladder.handle_exit(at(31), SIGKILL);
    let end = end(&mut ladder);
    assert_eq!((end.status, end.rung, end.spawned), (Some(SIGKILL), Rung::Killed, true));
}

#[test]
fn p_t1_a_stuck_start_is_given_up_in_time_and_what_comes_of_it_later_is_killed() {
    let mut ladder = Ladder::new(T0, Policy::default());
    ladder.cancel(T0, ms(4600));
    let done = left_alone(&mut ladder);
    let given_up =
        End { status: None, rung: Rung::Unkillable, link_lost: false, spawned: false, up: false };
    let expected = [(0, Step::Withdraw), (4600, Step::Unkillable), (4600, Step::Done(given_up))];
    assert_eq!(done, expected);
    ladder.handle_spawned(at(9000));
    ladder.handle_spawned(at(9001));
    assert_eq!(steps(&mut ladder), [Step::Kill]);
}

#[test]
fn p_t1_a_failed_start_ends_it() {
    let mut ladder = Ladder::new(T0, Policy::default());
    ladder.handle_spawn_failed(T0);
    let end = end(&mut ladder);
    assert_eq!((end.spawned, end.rung, end.status), (false, Rung::Unasked, None));
}

#[test]
fn p_t1_facts_that_overtake_the_news_of_the_process_count() {
    let mut ladder = Ladder::new(T0, Policy::default());
    ladder.handle_start_written(T0);
    ladder.handle_up(T0);
    ladder.handle_spawned(T0);
    assert_eq!(ladder.state(), State::Running);
    let mut ladder = Ladder::new(T0, Policy::default());
    ladder.handle_exit(T0, ExitStatus::Code(3));
    let end = end(&mut ladder);
    assert_eq!((end.status, end.spawned), (Some(ExitStatus::Code(3)), true));
}

// ---- connecting ----

#[test]
fn p_t1_a_child_that_never_comes_up_is_killed_at_the_connect_deadline() {
    for written in [false, true] {
        let mut ladder = Ladder::new(T0, Policy::default());
        assert_eq!(ladder.poll_timeout(), None, "the clock starts with the process");
        ladder.handle_spawned(T0);
        if written {
            ladder.handle_start_written(T0);
        }
        assert_eq!(ladder.poll_timeout(), Some((at(10_000), Why::Connect)));
        ladder.handle_timeout(at(9_999));
        assert_eq!(steps(&mut ladder), []);
        ladder.handle_timeout(at(10_000));
        assert_eq!(steps(&mut ladder), [Step::Kill]);
        ladder.handle_exit(at(10_001), SIGKILL);
        let end = end(&mut ladder);
        assert_eq!((end.rung, end.up), (Rung::Killed, false));
    }
}

#[test]
fn p_t1_the_connect_deadline_counts_from_the_process_not_from_what_it_was_told() {
    let mut ladder = Ladder::new(T0, Policy::default());
    ladder.handle_spawned(at(3000));
    assert_eq!(ladder.poll_timeout(), Some((at(13_000), Why::Connect)));
    ladder.handle_start_written(at(4000));
    assert_eq!(ladder.poll_timeout(), Some((at(13_000), Why::Connect)));
}

#[test]
fn p_t1_a_cancel_before_start_is_written_kills_since_nothing_of_the_users_has_run() {
    let mut ladder = Ladder::new(T0, Policy::default());
    ladder.handle_spawned(T0);
    ladder.cancel(T0, budget::DEFAULT);
    assert_eq!(steps(&mut ladder), [Step::Kill]);
}

#[test]
fn p_t1_a_cancel_after_start_is_written_asks() {
    let mut ladder = Ladder::new(T0, Policy::default());
    ladder.handle_spawned(T0);
    ladder.handle_start_written(T0);
    ladder.cancel(T0, budget::DEFAULT);
    assert_eq!(steps(&mut ladder), [Step::Ask { grace: ms(4400) }]);
    ladder.handle_up(at(1));
    assert_eq!(ladder.state(), State::Cancelling, "`Started(0)` is taken and ignored");
}

#[test]
fn p_t1_a_child_that_comes_up_behind_its_cancel_is_taken_back_and_no_failure() {
    let connecting = || {
        let mut ladder = Ladder::new(T0, Policy::default());
        ladder.handle_spawned(T0);
        ladder
    };
    // What it does between the wish and the signal changes nothing.
    let late: [fn(&mut Ladder); 3] = [
        |_| (),
        |ladder| ladder.handle_start_written(at(1)),
        |ladder| {
            ladder.handle_start_written(at(1));
            ladder.handle_up(at(1));
        },
    ];
    for comes in late {
        let mut ladder = connecting();
        ladder.cancel(T0, ms(4000));
        comes(&mut ladder);
        ladder.handle_exit(at(2), SIGKILL);
        assert!(ladder.was_taken_back());
        assert_eq!(end(&mut ladder).rung, Rung::Killed);
    }
    // Force that somebody has needed is none of that: nobody asked, it was there, or there was no time.
    let mut silent = connecting();
    silent.handle_timeout(T0 + Policy::default().connect);
    assert_eq!((silent.state(), silent.was_taken_back()), (State::Killing, false));
    for rest in [ms(4000), ms(0)] {
        let mut ladder = running();
        ladder.cancel(T0, rest);
        left_alone(&mut ladder);
        assert_eq!((ladder.rung(), ladder.was_taken_back()), (Rung::Unkillable, false));
    }
}

#[test]
fn p_t1_a_child_that_dies_before_it_is_up_says_how_and_not_that_force_was_used() {
    let mut ladder = Ladder::new(T0, Policy::default());
    ladder.handle_spawned(T0);
    // A dying process closes its link first.
    ladder.handle_eof(at(1));
    assert_eq!(steps(&mut ladder), [Step::Terminate]);
    assert_eq!(ladder.rung_of(ExitStatus::Code(2)), Rung::Unasked);
    ladder.handle_exit(at(2), ExitStatus::Code(2));
    let end = end(&mut ladder);
    assert_eq!((end.rung, end.link_lost, end.up), (Rung::Unasked, true, false));
}

// ---- running and leaving ----

#[test]
fn p_t1_a_running_child_has_no_clock() {
    let mut ladder = running();
    ladder.handle_timeout(at(1_000_000_000));
    assert_eq!((ladder.poll_timeout(), ladder.state()), (None, State::Running));
}

#[test]
fn p_t1_a_child_that_leaves_by_itself_has_three_seconds_then_force() {
    for goodbye in [false, true] {
        let mut ladder = running();
        if goodbye {
            ladder.handle_goodbye(T0);
        } else {
            ladder.handle_terminal(T0);
        }
        assert_eq!(ladder.poll_timeout(), Some((at(3000), Why::Leave)));
        ladder.handle_eof(at(1));
        assert_eq!(ladder.state(), State::Leaving, "end-of-file is expected here");
        let done = left_alone(&mut ladder);
        let kinds = done.iter().map(|(when, step)| (*when, *step)).collect::<Vec<_>>();
        assert_eq!(
            kinds[..3],
            [(3000, Step::Terminate), (3100, Step::Kill), (3350, Step::Unkillable)]
        );
    }
}

#[test]
fn p_t1_a_clean_leave_is_unasked() {
    let mut ladder = running();
    ladder.handle_terminal(T0);
    ladder.handle_goodbye(at(1));
    ladder.handle_eof(at(2));
    ladder.handle_exit(at(3), ExitStatus::Code(0));
    let end = end(&mut ladder);
    assert_eq!((end.rung, end.link_lost, end.up), (Rung::Unasked, false, true));
}

#[test]
fn p_t1_a_cancel_while_leaving_only_shortens_and_sends_nothing() {
    let mut ladder = running();
    ladder.handle_terminal(T0);
    ladder.cancel(T0, ms(10_000));
    assert_eq!(ladder.poll_timeout(), Some((at(3000), Why::Leave)), "never longer");
    ladder.cancel(at(10), ms(1000));
    assert_eq!(steps(&mut ladder), []);
    let budget = Budget::of(ms(1000));
    assert_eq!(ladder.poll_timeout(), Some((at(10) + budget.terminate, Why::Leave)));
    ladder.handle_exit(at(20), ExitStatus::Code(0));
    assert_eq!(end(&mut ladder).rung, Rung::Asked);
}

#[test]
fn p_t4_a_lost_link_brings_sigterm_at_once_and_leaves_the_child_its_time() {
    let mut ladder = running();
    ladder.handle_eof(T0);
    let done = left_alone(&mut ladder);
    assert_eq!(done[..2], [(0, Step::Terminate), (4500, Step::Kill)]);
    let mut short = Ladder::new(T0, Policy { teardown: ms(100), ..Policy::default() });
    short.handle_up(T0);
    short.handle_eof(T0);
    let (kill, _) = left_alone(&mut short)[1];
    assert!(kill >= 1000, "{kill}");
}

#[test]
fn p_t3_only_a_death_by_the_signal_that_was_sent_is_put_down_to_it() {
    let cases = [
        (SIGTERM, Rung::Terminated),
        (SIGKILL, Rung::Unasked),
        (ExitStatus::Code(101), Rung::Unasked),
    ];
    for (status, rung) in cases {
        let mut ladder = running();
        ladder.handle_eof(T0);
        ladder.handle_exit(at(1), status);
        let end = end(&mut ladder);
        assert_eq!((end.rung, end.link_lost, end.status), (rung, true, Some(status)));
    }
    // Asked before, it was asked.
    let mut ladder = asked(ms(4600));
    ladder.handle_eof(at(1));
    ladder.handle_exit(at(2), ExitStatus::Code(101));
    let end = end(&mut ladder);
    assert_eq!((end.rung, end.link_lost), (Rung::Asked, false));
}

// ---- cancelling ----

#[test]
fn p_t1_a_child_that_obeys_is_only_asked() {
    let mut ladder = asked(ms(4600));
    ladder.handle_ack(at(1));
    ladder.handle_terminal(at(200));
    assert_eq!(ladder.state(), State::Leaving);
    assert_eq!(ladder.poll_timeout(), Some((at(4400), Why::Leave)), "what is left of the grace");
    ladder.handle_goodbye(at(201));
    ladder.handle_eof(at(202));
    ladder.handle_exit(at(203), ExitStatus::Code(0));
    let end = end(&mut ladder);
    assert_eq!((end.rung, end.status), (Rung::Asked, Some(ExitStatus::Code(0))));
}

#[test]
fn p_t1_no_ack_brings_sigterm_at_once() {
    for (rest, ack) in [(4600, 500), (1000, 250), (100, 25)] {
        let mut ladder = asked(ms(rest));
        assert_eq!(ladder.poll_timeout(), Some((at(ack), Why::Ack)));
        let kill = u64::try_from(Budget::of(ms(rest)).kill.as_millis()).unwrap();
        let done = left_alone(&mut ladder);
        assert_eq!(done[..2], [(ack, Step::Terminate), (kill, Step::Kill)]);
        assert_eq!(done[2], (kill + 250, Step::Unkillable));
    }
}

#[test]
fn p_t1_the_rungs_come_at_r_minus_2d_and_r_minus_d_and_the_kernel_has_250_ms() {
    let mut ladder = asked(ms(4600));
    ladder.handle_ack(at(1));
    let done = left_alone(&mut ladder);
    let kinds = [(4400, Step::Terminate), (4500, Step::Kill), (4750, Step::Unkillable)];
    assert_eq!(done[..3], kinds);
    assert!(matches!(done[3], (4750, Step::Done(End { rung: Rung::Unkillable, .. }))));
    assert_eq!(done.len(), 4);
}

#[test]
fn p_t1_terminal_and_goodbye_count_as_the_ack() {
    for goodbye in [false, true] {
        let mut ladder = asked(ms(4600));
        if goodbye {
            ladder.handle_goodbye(at(10));
        } else {
            ladder.handle_terminal(at(10));
        }
        ladder.handle_timeout(at(4399));
        assert_eq!(steps(&mut ladder), []);
        ladder.handle_timeout(at(4400));
        assert_eq!(steps(&mut ladder), [Step::Terminate]);
    }
}

#[test]
fn p_t1_end_of_file_while_alive_brings_sigterm_within_the_same_budget() {
    let mut ladder = asked(ms(4600));
    ladder.handle_ack(at(1));
    ladder.handle_eof(at(100));
    assert_eq!(steps(&mut ladder), [Step::Terminate]);
    let done = left_alone(&mut ladder);
    assert_eq!(done[..2], [(4500, Step::Kill), (4750, Step::Unkillable)]);
}

#[test]
fn p_c1_a_repeat_may_shorten_and_never_lengthens() {
    let mut ladder = asked(ms(4600));
    ladder.handle_ack(at(1));
    ladder.cancel(at(100), ms(10_000));
    assert_eq!(steps(&mut ladder), []);
    assert_eq!(ladder.poll_timeout(), Some((at(4400), Why::Terminate)));
    ladder.cancel(at(200), ms(1000));
    let budget = Budget::of(ms(1000));
    assert_eq!(steps(&mut ladder), [Step::Ask { grace: budget.grace }]);
    assert_eq!(ladder.poll_timeout(), Some((at(200) + budget.terminate, Why::Terminate)));
}

#[test]
fn p_c1_a_repeat_asks_again_from_20_ms_less_on() {
    // Above 3.2 s the rungs of force take 200 ms together, so the grace is as much shorter.
    for (rest, again) in [(3981, false), (3980, false), (3979, true)] {
        let mut ladder = asked(ms(4000));
        ladder.cancel(T0, ms(rest));
        assert_eq!(!steps(&mut ladder).is_empty(), again, "{rest}");
    }
}

#[test]
fn p_c1_repeats_do_not_put_off_the_ack() {
    let mut ladder = asked(ms(4600));
    for millis in (0..490).step_by(10) {
        ladder.cancel(at(millis), ms(4600 - 2 * millis));
    }
    ladder.handle_timeout(at(500));
    assert_eq!(steps(&mut ladder).last(), Some(&Step::Terminate));
}

#[test]
fn p_c1_repeats_that_nobody_took_become_one() {
    let mut ladder = running();
    for millis in 0..1000 {
        ladder.cancel(at(millis), ms(400_000 - 200 * millis));
    }
    assert_eq!(steps(&mut ladder).len(), 2, "one request, and SIGTERM for the silence");
}

#[test]
fn p_t1_below_20_ms_there_is_no_time_for_asking() {
    for rest in [0, 1, 19] {
        let states = [running(), asked(ms(4600)), {
            let mut leaving = running();
            leaving.handle_terminal(T0);
            leaving
        }];
        for mut ladder in states {
            ladder.cancel(at(1), ms(rest));
            assert_eq!(steps(&mut ladder), [Step::Kill]);
            assert_eq!(ladder.poll_timeout(), Some((at(251), Why::Over)), "SIGKILL has its time");
        }
    }
    let mut ladder = running();
    ladder.cancel(T0, ms(20));
    assert_eq!(steps(&mut ladder), [Step::Ask { grace: ms(10) }]);
}

#[test]
fn p_t1_sigkill_has_250_ms_however_small_the_budget() {
    for rest in [0, 1, 19, 20, 50, 100, 250, 1000, 4600, 60_000] {
        let mut ladder = running();
        ladder.cancel(T0, ms(rest));
        let done = left_alone(&mut ladder);
        let time = |wanted: Step| done.iter().find(|(_, step)| *step == wanted).unwrap().0;
        let (killed, given_up) = (time(Step::Kill), time(Step::Unkillable));
        assert!(given_up >= killed + 250, "{rest}: {done:?}");
        assert!(given_up <= rest + 250, "{rest}: {done:?}");
        // A kernel that is slow to say so is believed until then.
        let mut ladder = running();
        ladder.cancel(T0, ms(rest));
        while ladder.state() != State::Killing {
            let (when, _) = ladder.poll_timeout().unwrap();
            ladder.handle_timeout(when);
        }
        // Nor does it take that time away that somebody is in a hurry then.
        ladder.cancel(at(killed + 1), ms(0));
        ladder.handle_timeout(at(killed + 249));
        ladder.handle_exit(at(killed + 249), SIGKILL);
        assert_eq!(end(&mut ladder).status, Some(SIGKILL), "{rest}");
    }
}

#[test]
fn p_t1_sigkill_has_its_time_even_where_the_parent_itself_was_stopped() {
    let mut ladder = asked(ms(4600));
    ladder.handle_ack(at(1));
    ladder.handle_timeout(at(60_000));
    assert_eq!(steps(&mut ladder), [Step::Terminate, Step::Kill]);
    assert_eq!(ladder.poll_timeout(), Some((at(60_250), Why::Over)));
    ladder.handle_exit(at(60_001), SIGTERM);
    assert_eq!(end(&mut ladder).status, Some(SIGTERM));
}

#[test]
fn p_t1_what_ended_needs_nothing_more() {
    let mut ladder = running();
    ladder.cancel(T0, ms(4600));
    ladder.handle_exit(T0, ExitStatus::Code(0));
    assert_eq!(steps(&mut ladder).len(), 1, "only its end, not the request");
    let mut ladder = asked(Duration::ZERO.max(ms(4600)));
    let over = left_alone(&mut ladder);
    assert!(matches!(over.last(), Some((_, Step::Done(_)))));
    ladder.handle_exit(at(9_000), SIGKILL);
    assert_eq!((steps(&mut ladder), ladder.state()), (vec![], State::Unkillable));
}

#[test]
fn p_t1_nothing_is_sent_to_a_process_that_has_ended_after_the_teardown() {
    let mut ladder = asked(ms(4600));
    while let Some((when, _)) = ladder.poll_timeout() {
        ladder.handle_timeout(when);
    }
    assert_eq!(ladder.state(), State::Unkillable);
    // Nobody took the steps before the process ended after all: its number may be another's now.
    ladder.handle_exit(at(5000), SIGKILL);
    let left = steps(&mut ladder);
    assert!(matches!(left[..], [Step::Unkillable, Step::Done(_)]), "{left:?}");
}

#[test]
fn p_t1_a_start_told_after_the_exit_of_what_was_given_up_leaves_nothing_to_kill() {
    let mut ladder = Ladder::new(T0, Policy::default());
    ladder.cancel(T0, ms(4600));
    ladder.handle_timeout(at(4600));
    assert_eq!(ladder.state(), State::Unkillable);
    assert_eq!(steps(&mut ladder).len(), 3);
    ladder.handle_exit(at(5000), SIGKILL);
    ladder.handle_spawned(at(5001));
    assert_eq!(steps(&mut ladder), []);
}
