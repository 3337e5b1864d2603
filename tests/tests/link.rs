//! One honest link: what two cores make of each other, from the greeting to the last terminal.

use std::time::Duration;

use hatchery_proto::{
    Cause, Code, Connection, Event, Kind, Limits, LostCause, Misuse, Outcome, Recv, Refusal,
    Report, SendError, Terminal, Why,
};
use hatchery_tests::pair::{Pair, Split, actor, asked_by, cancel_by, small_limits, wish};

const SECOND: Duration = Duration::from_secs(1);

fn returned(bytes: &[u8]) -> Outcome {
    Outcome::Returned(bytes.to_vec())
}

#[test]
fn a_connection_can_go_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<Connection>();
}

#[test]
fn p_l1_greeting_tells_who_is_there_and_settles_on_the_smaller_limits() {
    // P-L1, P-F2
    let a = Limits { max_frame: 4096, max_message: 10_000, ..Limits::default() };
    let b = Limits { max_frame: 2048, max_message: 20_000, ..Limits::default() };
    let mut pair = Pair::peers(&a, &b);
    assert!(pair.a.core.peer().is_none());
    pair.settle();
    assert!(pair.a.saw(&Event::Up) && pair.b.saw(&Event::Up));
    assert_eq!(pair.a.core.peer(), Some(&actor(2)));
    for core in [&pair.a.core, &pair.b.core] {
        assert_eq!((core.limits().max_frame, core.limits().max_message), (2048, 10_000));
        assert_eq!(core.poll_timeout(), None, "nothing is waited for");
    }
}

#[test]
fn p_l1_no_greeting_in_time_ends_the_link() {
    // P-L1
    let mut pair = Pair::up();
    assert!(!pair.a.core.is_closed());
    pair = Pair::peers(&Limits::default(), &Limits::default());
    assert!(matches!(pair.a.core.poll_timeout(), Some((_, Why::Handshake))));
    pair.pass(5 * SECOND);
    assert_eq!(pair.a.broken(), Some("P-L1"));
    assert!(pair.a.saw(&Event::Closed));
}

#[test]
fn p_d9_call_gives_its_result_once_and_for_ever() {
    // P-D2, P-D4, P-D5, P-D9
    let mut pair = Pair::up();
    let id = pair.open(Kind::Call, b"one and two");
    assert!(pair.a.saw(&Event::Accepted(id)));
    pair.finish(id, Terminal::Return(b"three".to_vec()));
    assert!(pair.b.core.callee(id).is_none(), "its task is gone");
    pair.settle();
    assert!(pair.b.saw(&Event::Flushed(id)));
    assert_eq!(pair.a.count(&Event::Finished(id)), 1);
    for _ in 0..2 {
        assert_eq!(pair.outcome(id), Some(returned(b"three")));
    }
    pair.a.core.caller(id).unwrap().release(pair.now, asked_by(1));
    assert!(pair.a.core.caller(id).is_none());
    assert_eq!((pair.a.core.live_dialogs(), pair.b.core.live_dialogs()), (0, 0));
}

#[test]
fn p_w4_calls_may_be_queued_before_the_greeting_and_leave_in_order() {
    // P-W4
    let mut pair = Pair::peers(&Limits::default(), &Limits::default());
    let first = pair.start(Kind::Call, b"1");
    let second = pair.start(Kind::Call, b"2");
    assert!(first < second, "P-D1");
    pair.settle();
    assert_eq!((pair.b.incoming(), pair.b.incoming()), (first, second));
}

#[test]
fn p_d2_refusal_comes_without_an_ack() {
    // P-D2
    let mut pair = Pair::up();
    let id = pair.start(Kind::Call, b"");
    pair.settle();
    pair.b.core.callee(id).unwrap().refuse(Refusal::NotExposed, "not for you".into());
    pair.settle();
    assert!(!pair.a.saw(&Event::Accepted(id)));
    let refused = Outcome::Refused(Refusal::NotExposed, "not for you".into());
    assert_eq!(pair.outcome(id), Some(refused));
}

#[test]
fn p_d2_a_task_that_ends_before_it_was_accepted_is_accepted_first() {
    // P-D2
    let mut pair = Pair::up();
    let id = pair.start(Kind::Call, b"");
    pair.settle();
    pair.finish(id, Terminal::Return(b"quick".to_vec()));
    pair.settle();
    assert!(pair.a.saw(&Event::Accepted(id)));
    assert_eq!(pair.outcome(id), Some(returned(b"quick")));
}

#[test]
fn p_d4_failure_arrives_with_its_report_and_its_typed_form() {
    // P-D4
    let mut pair = Pair::up();
    let id = pair.open(Kind::Call, b"");
    let report = Box::new(Report::new((2, 1), Code::Error, actor(2), "no such file".into()));
    pair.finish(id, Terminal::Failed { report: report.clone(), payload: b"typed".to_vec() });
    pair.settle();
    let expected = Outcome::Failed { report, payload: b"typed".to_vec() };
    assert_eq!(pair.outcome(id), Some(expected));
}

#[test]
fn p_f3_errors_are_one_frame_whatever_is_in_them() {
    // P-F3
    let mut pair = Pair::up_with(&small_limits());
    let mut report = Report::new((2, 1), Code::Error, actor(2), "long ".repeat(10_000));
    report.sources = vec!["source ".repeat(1000); 100];
    report.backtrace = Some("frame\n".repeat(10_000));
    let cause = Cause::OpenerFailed(Box::new(report.clone()));
    let id = pair.open(Kind::Call, b"");
    let failed = Terminal::Failed { report: Box::new(report), payload: vec![0; 10_000] };
    pair.finish(id, failed);
    pair.settle();
    let Some(Outcome::Failed { report, payload }) = pair.outcome(id) else { panic!() };
    assert!(report.truncated && report.message.starts_with("long") && payload.is_empty());

    let id = pair.open(Kind::Call, b"");
    let mut by = asked_by(2);
    by.cause = cause.clone();
    by.canceller.name = "x".repeat(5000);
    pair.finish(id, Terminal::Cancelled(by));
    pair.settle();
    assert!(matches!(pair.outcome(id), Some(Outcome::Cancelled(_))));

    let id = pair.open(Kind::Call, b"");
    let mut request = cancel_by(1, SECOND);
    request.by.cause = cause;
    pair.a.core.caller(id).unwrap().cancel(pair.now, request);
    pair.settle();
    assert!(pair.b.saw(&Event::CancelAsked(id)));

    let id = pair.start(Kind::Call, b"");
    pair.settle();
    pair.b.core.callee(id).unwrap().refuse(Refusal::Unknown, "ä".repeat(5000));
    pair.settle();
    assert!(matches!(pair.outcome(id), Some(Outcome::Refused(..))));
    assert_eq!((pair.a.broken(), pair.b.broken()), (None, None));
}

#[test]
fn p_d7_context_streams_both_ways_and_ends_each_half_by_itself() {
    // P-D2, P-D3, P-D7
    let mut pair = Pair::up();
    let id = pair.context();
    pair.a.core.caller(id).unwrap().send(b"to b").unwrap();
    pair.b.core.callee(id).unwrap().send(b"to a").unwrap();
    pair.a.core.caller(id).unwrap().stop().unwrap();
    pair.a.core.caller(id).unwrap().stop().unwrap();
    pair.settle();
    assert!(pair.a.saw(&Event::Readable(id)));
    assert_eq!(pair.received_at_b(id), (vec![b"to b".to_vec()], Recv::End));
    assert_eq!(pair.received_at_a(id), (vec![b"to a".to_vec()], Recv::Empty));

    pair.b.core.callee(id).unwrap().send(b"still open").unwrap();
    pair.finish(id, Terminal::Return(b"done".to_vec()));
    pair.settle();
    assert_eq!(pair.outcome(id), Some(returned(b"done")));
    let expected = (vec![b"still open".to_vec()], Recv::End);
    assert_eq!(pair.received_at_a(id), expected, "what was sent before the end is not lost");
    assert_eq!(pair.received_at_a(id), (vec![], Recv::End), "the same for ever");
}

#[test]
fn p_d7_an_error_never_looks_like_a_graceful_end() {
    // P-D7
    let mut pair = Pair::up();
    let id = pair.context();
    pair.b.core.callee(id).unwrap().send(b"one").unwrap();
    pair.finish(id, Terminal::Cancelled(asked_by(2)));
    pair.settle();
    assert_eq!(pair.received_at_a(id), (vec![b"one".to_vec()], Recv::Ended));

    let id = pair.context();
    pair.b.core.callee(id).unwrap().stop().unwrap();
    pair.finish(id, Terminal::Cancelled(asked_by(2)));
    pair.settle();
    assert_eq!(pair.received_at_a(id).1, Recv::End, "the stream had ended before the dialog");
}

#[test]
fn p_d2_stream_flows_one_way() {
    // P-D2
    let mut pair = Pair::up();
    let id = pair.open(Kind::Stream, b"from");
    pair.b.core.callee(id).unwrap().send(b"1").unwrap();
    assert_eq!(pair.a.core.caller(id).unwrap().send(b"x"), Err(SendError::NotStarted));
    assert_eq!(pair.a.core.caller(id).unwrap().stop(), Err(Misuse::WrongKind));
    pair.b.core.callee(id).unwrap().stop().unwrap();
    pair.finish(id, Terminal::Return(Vec::new()));
    pair.settle();
    assert_eq!(pair.received_at_a(id), (vec![b"1".to_vec()], Recv::End));
    assert_eq!(pair.b.broken(), None);
}

#[test]
fn p_f3_large_messages_travel_in_fragments_and_let_others_pass() {
    // P-F3, P-W3, P-W4
    let mut pair = Pair::up_with(&small_limits());
    let large: Vec<u8> = (0..60_000_u32).map(|n| n as u8).collect();
    let id = pair.open(Kind::Context, &large);
    pair.b.core.callee(id).unwrap().started(&large).unwrap();
    pair.settle();
    let mut caller = pair.a.core.caller(id).unwrap();
    assert_eq!(caller.take_started().as_deref(), Some(&large[..]));
    pair.settle();
    pair.a.core.caller(id).unwrap().send(&large).unwrap();
    let quick = pair.start(Kind::Call, b"");
    pair.budget = 1;
    for _ in 0..3 {
        pair.step();
    }
    assert_eq!(pair.b.incoming(), quick, "within a frame or two");
    assert_eq!(pair.received_at_b(id), (vec![], Recv::Empty));
    pair.settle();
    assert_eq!(pair.received_at_b(id), (vec![large.clone()], Recv::Empty));
    pair.finish(id, Terminal::Return(large.clone()));
    pair.settle();
    assert_eq!(pair.outcome(id), Some(returned(&large)));
}

#[test]
fn p_w1_sending_waits_for_credit_and_goes_on_with_it() {
    // P-W1
    let mut pair = Pair::up_with(&small_limits());
    let id = pair.context();
    let mut sent = 0;
    let mut caller = pair.a.core.caller(id).unwrap();
    while caller.send(&[0; 100]).is_ok() {
        sent += 1;
    }
    assert_eq!(caller.send(&[0; 100]), Err(SendError::Full));
    assert!(!caller.can_send());
    assert!(sent * 116 >= 1024 - 116 && sent * 116 < 1024 + 116, "{sent}");
    pair.settle();
    assert!(!pair.a.saw(&Event::Writable(id)), "nobody has read");
    assert_eq!(pair.received_at_b(id).0.len(), sent);
    pair.settle();
    assert!(pair.a.saw(&Event::Writable(id)));
    pair.a.core.caller(id).unwrap().send(&[0; 100]).unwrap();
}

#[test]
fn p_w1_streams_run_for_ever_within_their_window() {
    // P-W1: credit is conserved
    let mut pair = Pair::up_with(&small_limits());
    let id = pair.context();
    let (mut sent, mut got) = (0_u32, 0_u32);
    while got < 2000 {
        let value = sent.to_le_bytes();
        pair.a.core.caller(id).unwrap().send(&value).unwrap();
        pair.b.core.callee(id).unwrap().send(&value).unwrap();
        sent += 1;
        pair.settle();
        for value in pair.received_at_b(id).0 {
            assert_eq!(value, got.to_le_bytes(), "in order, none lost");
            got += 1;
        }
        let _ = pair.received_at_a(id);
        pair.settle();
    }
    assert_eq!((pair.a.broken(), pair.b.broken()), (None, None));
}

#[test]
fn p_w2_results_never_wait_for_credit() {
    // P-W2
    let mut pair = Pair::up_with(&small_limits());
    let id = pair.context();
    let mut callee = pair.b.core.callee(id).unwrap();
    while callee.send(&[1; 100]).is_ok() {}
    pair.finish(id, Terminal::Return(vec![2; 50_000]));
    pair.settle();
    assert_eq!(pair.outcome(id), Some(returned(&[2; 50_000])));
}

#[test]
fn p_d8_a_sender_into_a_task_that_has_ended_is_honest() {
    // P-D8, P-A4: discarded and credited until the terminal is written
    let limits = Limits { misbehaviour_budget: 8, ..small_limits() };
    let mut pair = Pair::up_with(&limits);
    let id = pair.context();
    pair.finish(id, Terminal::Return(vec![0; 60_000]));
    for _ in 0..200 {
        let _ = pair.a.core.caller(id).unwrap().send(&[0; 500]);
        pair.forth();
        let mut little = Vec::new();
        let count = pair.b.core.poll_transmit(pair.now, &mut little, 1);
        assert!(count <= 1100);
        pair.a.core.handle_input(pair.now, &little);
    }
    pair.settle();
    assert_eq!((pair.a.broken(), pair.b.broken()), (None, None));
    assert_eq!(pair.outcome(id), Some(returned(&[0; 60_000])));
}

#[test]
fn p_d8_closing_the_receiving_half_tells_the_sender() {
    // P-D8
    let mut pair = Pair::up();
    let id = pair.context();
    pair.b.core.callee(id).unwrap().stop_reading();
    pair.settle();
    assert_eq!(pair.a.core.caller(id).unwrap().send(b"x"), Err(SendError::ReceiverGone));
    assert_eq!(pair.b.core.callee(id).unwrap().send(b"y"), Ok(()), "the other half goes on");
}

#[test]
fn p_d8_discarding_lets_the_sender_go_on() {
    // P-D8
    let mut pair = Pair::up_with(&small_limits());
    let id = pair.context();
    pair.a.core.caller(id).unwrap().discard();
    for _ in 0..100 {
        pair.b.core.callee(id).unwrap().send(&[0; 400]).expect("credit comes back");
        pair.settle();
    }
    pair.finish(id, Terminal::Return(Vec::new()));
    pair.settle();
    assert_eq!(pair.outcome(id), Some(returned(b"")));
}

#[test]
fn p_c1_cancel_is_heard_at_once_and_ends_at_the_terminal() {
    // P-C1, P-D3
    let mut pair = Pair::up();
    let id = pair.context();
    pair.a.core.caller(id).unwrap().send(b"queued").unwrap();
    pair.a.core.caller(id).unwrap().cancel(pair.now, cancel_by(1, SECOND));
    assert!(pair.a.core.caller(id).unwrap().cancel_called());
    assert_eq!(pair.a.core.caller(id).unwrap().send(b"x"), Err(SendError::Cancelling));
    pair.settle();
    assert!(pair.b.saw(&Event::CancelAsked(id)) && pair.a.saw(&Event::CancelAcked(id)));
    assert!(pair.a.core.caller(id).unwrap().cancel_acked());
    let callee = pair.b.core.callee(id).unwrap();
    assert_eq!(callee.cancel_request(), Some(&cancel_by(1, SECOND)));
    assert_eq!(pair.received_at_b(id), (vec![], Recv::Ended), "queued values went with it");
    assert_eq!(pair.outcome(id), None, "an ack is no end");
    pair.finish(id, Terminal::Cancelled(asked_by(1)));
    pair.settle();
    assert_eq!(pair.outcome(id), Some(Outcome::Cancelled(asked_by(1))));
    assert!(pair.a.core.caller(id).unwrap().cancel_acked(), "also once it is over");
    assert_eq!(pair.a.core.poll_timeout(), None);
}

#[test]
fn p_c1_ctx_39_repeated_cancels_shorten_the_grace_and_keep_the_first_canceller() {
    // P-C1, P-C3
    let mut pair = Pair::up();
    let id = pair.context();
    for (by, grace) in [(1, 4 * SECOND), (9, 2 * SECOND), (8, 3 * SECOND), (7, SECOND)] {
        pair.a.core.caller(id).unwrap().cancel(pair.now, cancel_by(by, grace));
        pair.forth();
    }
    pair.settle();
    assert_eq!(pair.b.core.callee(id).unwrap().cancel_request(), Some(&cancel_by(1, SECOND)));
    assert!(pair.a.core.caller(id).unwrap().cancel_acked());
    assert_eq!((pair.a.broken(), pair.b.broken()), (None, None));
}

#[test]
fn p_c6_cancel_that_crosses_a_terminal_changes_nothing() {
    // P-C6, P-D5
    let mut pair = Pair::up();
    let id = pair.context();
    pair.finish(id, Terminal::Return(b"won".to_vec()));
    pair.a.core.caller(id).unwrap().cancel(pair.now, cancel_by(1, SECOND));
    pair.settle();
    assert_eq!(pair.outcome(id), Some(returned(b"won")));
    assert_eq!(pair.a.count(&Event::Finished(id)), 1);
    assert_eq!((pair.a.broken(), pair.b.broken()), (None, None));
}

#[test]
fn p_w4_cancel_before_anything_was_written_removes_the_start() {
    // P-W4
    let mut pair = Pair::up();
    let id = pair.start(Kind::Call, b"");
    pair.a.core.caller(id).unwrap().cancel(pair.now, cancel_by(1, SECOND));
    assert_eq!(pair.outcome(id), Some(Outcome::Cancelled(asked_by(1))));
    assert!(!pair.a.core.wants_transmit());
    let next = pair.open(Kind::Call, b"");
    assert!(next > id, "numbers are never used again (P-D1)");
}

#[test]
fn p_c6_cancel_before_the_arguments_are_whole_runs_nothing() {
    // P-C6, P-D2, P-F3
    let mut pair = Pair::up_with(&small_limits());
    let id = pair.start(Kind::Call, &[0; 50_000]);
    let mut bytes = Vec::new();
    let _ = pair.a.core.poll_transmit(pair.now, &mut bytes, 1);
    pair.b.core.handle_input(pair.now, &bytes);
    pair.a.core.caller(id).unwrap().cancel(pair.now, cancel_by(1, SECOND));
    pair.settle();
    assert_eq!(pair.b.count(&Event::Incoming(id)), 0);
    assert_eq!(pair.outcome(id), Some(Outcome::Cancelled(asked_by(1))));
    assert_eq!((pair.a.broken(), pair.b.broken()), (None, None));
    assert_eq!(pair.b.core.live_dialogs(), 0);
}

#[test]
fn p_w4_ack_of_a_cancel_waits_for_the_ack_of_the_start() {
    // P-W4
    let mut pair = Pair::up();
    let id = pair.start(Kind::Call, b"");
    pair.settle();
    pair.a.core.caller(id).unwrap().cancel(pair.now, cancel_by(1, SECOND));
    pair.settle();
    assert!(!pair.a.saw(&Event::CancelAcked(id)));
    pair.b.core.callee(id).unwrap().accept();
    pair.settle();
    assert!(pair.a.saw(&Event::Accepted(id)) && pair.a.saw(&Event::CancelAcked(id)));
}

#[test]
fn p_c1_the_wait_for_a_cancel_ends_and_its_slot_does_not() {
    // P-C1
    let mut pair = Pair::up();
    let id = pair.context();
    pair.a.core.caller(id).unwrap().cancel(pair.now, cancel_by(1, SECOND));
    pair.settle();
    assert!(matches!(pair.a.core.poll_timeout(), Some((_, Why::CancelWait(of))) if of == id));
    pair.pass(SECOND + Duration::from_millis(499));
    assert_eq!(pair.outcome(id), None);
    pair.pass(Duration::from_millis(1));
    assert_eq!(pair.outcome(id), Some(Outcome::Lost(LostCause::Unresponsive)));
    assert_eq!(pair.received_at_a(id).1, Recv::Ended);
    assert_eq!(pair.a.core.live_dialogs(), 1);
    pair.finish(id, Terminal::Return(Vec::new()));
    pair.settle();
    assert_eq!(pair.a.core.live_dialogs(), 0);
    assert_eq!(pair.outcome(id), Some(Outcome::Lost(LostCause::Unresponsive)), "for ever");
    assert_eq!(pair.a.count(&Event::Finished(id)), 1);
}

#[test]
fn p_d8_a_dropped_handle_cancels_drains_and_is_freed() {
    // P-D8
    let mut pair = Pair::up_with(&small_limits());
    let id = pair.context();
    pair.a.core.caller(id).unwrap().release(pair.now, asked_by(1));
    assert!(pair.a.core.caller(id).is_none());
    pair.settle();
    assert!(pair.b.saw(&Event::CancelAsked(id)));
    for _ in 0..50 {
        pair.b.core.callee(id).unwrap().send(&[0; 400]).expect("it is drained");
        pair.settle();
    }
    pair.finish(id, Terminal::Cancelled(asked_by(1)));
    pair.settle();
    assert_eq!((pair.a.core.live_dialogs(), pair.b.core.live_dialogs()), (0, 0));
}

#[test]
fn p_a4_dropping_ten_thousand_contexts_at_once_is_honest() {
    // P-A4
    let limits = Limits { max_dialogs: 10_000, misbehaviour_budget: 8, ..Limits::default() };
    let mut pair = Pair::up_with(&limits);
    let ids: Vec<_> = (0..10_000).map(|_| pair.start(Kind::Context, b"")).collect();
    pair.settle();
    for id in &ids {
        let mut callee = pair.b.core.callee(*id).unwrap();
        callee.accept();
        callee.started(b"").unwrap();
    }
    pair.settle();
    for id in &ids {
        pair.a.core.caller(*id).unwrap().release(pair.now, asked_by(1));
        pair.finish(*id, Terminal::Return(Vec::new()));
    }
    pair.settle();
    assert_eq!((pair.a.broken(), pair.b.broken()), (None, None));
    assert_eq!((pair.a.core.live_dialogs(), pair.b.core.live_dialogs()), (0, 0));
}

#[test]
fn p_d6_ctx_02_03_misuse_is_refused_here_with_its_rule_and_changes_nothing() {
    // P-D6, P-F3, P-L2
    let mut pair = Pair::up_with(&small_limits());
    let call = pair.open(Kind::Call, b"");
    assert_eq!(pair.b.core.callee(call).unwrap().started(b""), Err(Misuse::WrongKind));
    assert_eq!(pair.a.core.caller(call).unwrap().stop(), Err(Misuse::WrongKind));
    let id = pair.open(Kind::Context, b"");
    assert_eq!(pair.b.core.callee(id).unwrap().send(b"x"), Err(SendError::NotStarted));
    assert_eq!(pair.a.core.caller(id).unwrap().stop(), Err(Misuse::NotStarted));
    let mut callee = pair.b.core.callee(id).unwrap();
    callee.started(b"").unwrap();
    let twice = callee.started(b"").unwrap_err();
    assert_eq!((twice.rule(), &twice), ("P-D6", &Misuse::StartedTwice));
    let large = SendError::TooLarge { size: 70_000, max: 65_536 };
    assert_eq!(callee.send(&[0; 70_000]), Err(large));
    callee.stop().unwrap();
    assert_eq!(callee.send(b"x"), Err(SendError::Stopped));
    let large = Misuse::TooLarge { size: 70_000, max: 65_536 };
    assert!(large.to_string().contains("70000") && large.to_string().contains("65536"));
    assert_eq!(pair.a.core.start(pair.now, wish(Kind::Call), &[0; 70_000]), Err(large));
    assert_eq!(pair.a.core.start_actor(pair.now, b""), Err(Misuse::ActorOpened));
    let wrong = pair.a.core.start(pair.now, wish(Kind::Actor), b"");
    assert_eq!(wrong, Err(Misuse::WrongKind));
    pair.settle();
    assert_eq!((pair.a.broken(), pair.b.broken()), (None, None));
}

#[test]
fn p_d2_a_context_that_never_started_cannot_return() {
    // P-D2
    let mut pair = Pair::up();
    let id = pair.open(Kind::Context, b"");
    pair.finish(id, Terminal::Return(Vec::new()));
    pair.settle();
    let Some(Outcome::Failed { report, .. }) = pair.outcome(id) else { panic!() };
    assert_eq!(report.code, Code::Misuse);
}

#[test]
fn p_w5_an_opener_never_opens_more_than_was_announced() {
    // P-W5
    let few = Limits { max_dialogs: 2, ..Limits::default() };
    let mut pair = Pair::peers(&Limits::default(), &few);
    let early: Vec<_> = (0..5).map(|_| pair.start(Kind::Call, b"")).collect();
    pair.settle();
    assert_eq!(pair.b.core.live_dialogs(), 2, "the others wait");
    let full = pair.a.core.start(pair.now, wish(Kind::Call), b"");
    assert_eq!(full, Err(Misuse::TooManyDialogs { max: 2 }));
    for id in early {
        pair.finish(id, Terminal::Return(Vec::new()));
        pair.settle();
        assert_eq!(pair.outcome(id), Some(returned(b"")));
    }
    assert_eq!(pair.b.broken(), None);
}

#[test]
fn limits_may_be_hit_exactly() {
    // P-F2, P-F3
    for size in [0, 1007, 1008, 1009, 2016, 65_535, 65_536] {
        let mut pair = Pair::up_with(&small_limits());
        let id = pair.open(Kind::Call, &vec![1; size]);
        pair.finish(id, Terminal::Return(vec![2; size]));
        pair.settle();
        assert_eq!(pair.outcome(id), Some(returned(&vec![2; size])), "{size}");
    }
}

#[test]
fn p_f4_bytes_one_at_a_time_give_the_same_as_whole() {
    // P-F4
    let told = |split, budget| {
        let mut pair = Pair::family(&small_limits());
        (pair.split, pair.budget) = (split, budget);
        pair.actor_up();
        let id = pair.context();
        pair.a.core.caller(id).unwrap().send(&[3; 3000]).unwrap();
        pair.settle();
        let got = pair.received_at_b(id);
        pair.b.core.callee(id).unwrap().send(&[4; 10]).unwrap();
        pair.finish(id, Terminal::Return(vec![5; 5000]));
        pair.settle();
        (got, pair.received_at_a(id), pair.outcome(id), pair.a.events, pair.b.events)
    };
    let whole = told(Split::Whole, usize::MAX);
    for size in [1, 2, 3, 7, 64] {
        assert_eq!(told(Split::Pieces(size), usize::MAX), whole);
        assert_eq!(told(Split::Placed(size), usize::MAX), whole, "read to its place");
        assert_eq!(told(Split::Pieces(size), 1), whole, "one frame for each call");
    }
}
