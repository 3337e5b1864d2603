//! A link at its edges: what comes a second time, what comes too late, and what is too large by one.

use std::time::Duration;

use hatchery_proto::{
    Code, DialogId, Event, ExitReport, ExitStatus, Kind, Limits, LostCause, Misuse, Outcome,
    Report, Rung, StartWish, Terminal, Why,
};
use hatchery_tests::pair::{Pair, actor, cancel_by, small_limits, wish};

const SECOND: Duration = Duration::from_secs(1);

fn exit(signal: i32) -> ExitReport {
    let status = ExitStatus::Signal { number: signal, core: false };
    ExitReport::new(actor(2), Some(status), Rung::Unasked)
}

/// A family with a call under way.
fn family() -> (Pair, DialogId) {
    let mut pair = Pair::family(&Limits::default());
    pair.actor_up();
    let id = pair.open(Kind::Call, b"");
    (pair, id)
}

#[test]
fn p_l4_nothing_is_read_behind_the_end_of_file() {
    let (mut pair, id) = family();
    pair.finish(id, Terminal::Return(b"late".to_vec()));
    let late = pair.b.bytes(pair.now);
    pair.a.core.handle_eof(pair.now);
    pair.a.core.handle_input(pair.now, &late);
    assert_eq!(pair.outcome(id), None, "the exit status is waited for");
    pair.pass(Limits::default().hold_back);
    assert_eq!(pair.outcome(id), Some(Outcome::Lost(LostCause::LinkEnded)));
}

#[test]
fn p_t3_a_process_ends_once_and_the_time_to_read_its_last_words_is_not_put_off() {
    let (mut pair, id) = family();
    pair.a.core.handle_exit(pair.now, exit(9));
    let due = pair.a.core.poll_timeout();
    assert_eq!(due, Some((pair.now + Limits::default().hold_back, Why::HoldBack)));
    pair.now = pair.now + Duration::from_millis(100);
    pair.a.core.handle_exit(pair.now, exit(15));
    assert_eq!(pair.a.core.poll_timeout(), due);
    pair.a.core.handle_eof(pair.now);
    assert_eq!(pair.outcome(id), Some(Outcome::Died(Box::new(exit(9)))));
}

#[test]
fn p_c1_a_later_repeat_does_not_put_off_the_end_of_the_wait() {
    let mut pair = Pair::up();
    let id = pair.context();
    let began = pair.now;
    pair.a.core.caller(id).unwrap().cancel(began, cancel_by(1, SECOND));
    let due = (began + Duration::from_millis(1500), Why::CancelWait(id));
    assert_eq!(pair.a.core.poll_timeout(), Some(due));
    pair.now = began + Duration::from_millis(900);
    let shorter = cancel_by(1, Duration::from_millis(900));
    pair.a.core.caller(id).unwrap().cancel(pair.now, shorter);
    assert_eq!(pair.a.core.poll_timeout(), Some(due));
    let shortest = cancel_by(1, Duration::ZERO);
    pair.a.core.caller(id).unwrap().cancel(pair.now, shortest);
    let due = (pair.now + Duration::from_millis(500), Why::CancelWait(id));
    assert_eq!(pair.a.core.poll_timeout(), Some(due));
}

/// Gives the next frame of the far end to this one.
fn next_frame(pair: &mut Pair) {
    let mut bytes = Vec::new();
    assert!(pair.b.core.poll_transmit(pair.now, &mut bytes, 1) > 0, "there is one");
    pair.a.core.handle_input(pair.now, &bytes);
}

#[test]
fn p_c1_a_cancel_is_answered_ahead_of_what_is_left_of_a_terminal() {
    let mut pair = Pair::up_with(&small_limits());
    let id = pair.open(Kind::Call, b"");
    let large = vec![7; 4 * 1024];
    pair.finish(id, Terminal::Return(large.clone()));
    next_frame(&mut pair);
    pair.a.core.caller(id).unwrap().cancel(pair.now, cancel_by(1, SECOND));
    pair.forth();
    assert!(!pair.a.saw(&Event::CancelAcked(id)));
    next_frame(&mut pair);
    assert!(pair.a.saw(&Event::CancelAcked(id)), "it was heard");
    assert_eq!(pair.outcome(id), None, "and there is more to come");
    assert_eq!(pair.b.count(&Event::CancelAsked(id)), 0, "no task is left to be told");
    pair.settle();
    assert_eq!(pair.outcome(id), Some(Outcome::Returned(large)));
    assert_eq!((pair.a.broken(), pair.b.broken()), (None, None));
}

#[test]
fn p_f3_a_result_over_the_largest_message_becomes_an_error_that_says_both_sizes() {
    let mut pair = Pair::up_with(&small_limits());
    let id = pair.open(Kind::Call, b"");
    pair.finish(id, Terminal::Return(vec![0; 65_537]));
    pair.settle();
    let Some(Outcome::Failed { report, .. }) = pair.outcome(id) else { panic!() };
    assert_eq!(report.code, Code::Misuse);
    assert!(report.message.contains("65537") && report.message.contains("65536"), "{report}");
    assert_eq!((pair.a.broken(), pair.b.broken()), (None, None));
}

#[test]
fn p_f3_a_report_that_cannot_be_cut_enough_is_replaced_by_one_that_fits() {
    let mut pair = Pair::up_with(&small_limits());
    let id = pair.open(Kind::Call, b"");
    let mut origin = actor(2);
    origin.name = "n".repeat(5000);
    let report = Box::new(Report::new((1, 2), Code::Panic, origin, "m".repeat(5000)));
    pair.finish(id, Terminal::Failed { report, payload: Vec::new() });
    pair.settle();
    let Some(Outcome::Failed { report, .. }) = pair.outcome(id) else { panic!() };
    assert_eq!((report.id, report.code, report.truncated), ((1, 2), Code::Panic, true));
    assert!(report.origin.name.len() <= 64 && report.origin.name.ends_with('…'));
    assert_eq!((pair.a.broken(), pair.b.broken()), (None, None));
}

#[test]
fn what_stands_before_the_arguments_is_no_longer_than_the_smallest_frame() {
    let mut pair = Pair::up();
    let mut start = |size| {
        let trace = vec![0; size];
        pair.a.core.start(pair.now, StartWish { trace: Some(&trace), ..wish(Kind::Call) }, b"")
    };
    let fits = (0..1024).rev().find(|size| start(*size).is_ok()).unwrap();
    assert!(fits > 900, "{fits}");
    for size in [fits + 1, fits + 2, 5000] {
        assert!(matches!(start(size), Err(Misuse::TooLarge { max: 1008, .. })), "{size}");
    }
}

#[test]
fn p_f3_a_first_value_may_be_the_largest_message_and_no_larger() {
    let mut pair = Pair::up_with(&Limits { window: 128 * 1024, ..small_limits() });
    let id = pair.open(Kind::Context, b"");
    let mut callee = pair.b.core.callee(id).unwrap();
    for size in [65_537, 70_000] {
        let refused = callee.started(&vec![0; size]);
        assert_eq!(refused, Err(Misuse::TooLarge { size, max: 65_536 }));
    }
    callee.started(&[5; 65_536]).unwrap();
    pair.settle();
    let first = pair.a.core.caller(id).unwrap().take_started();
    assert_eq!(first.map(|first| first.len()), Some(65_536));
}
