//! How a link ends: dialog 0, goodbyes, end-of-file, a death, a silence.

use std::time::Duration;

use hatchery_proto::{
    DialogId, Event, ExitReport, ExitStatus, GoodbyeReason, Kind, Limits, LostCause, Misuse, Note,
    Outcome, Refusal, Rung, Terminal, Why,
};
use hatchery_tests::pair::{Pair, actor, asked_by, cancel_by, small_limits, wish};

const SECOND: Duration = Duration::from_secs(1);

fn returned(bytes: &[u8]) -> Outcome {
    Outcome::Returned(bytes.to_vec())
}

fn exit(signal: i32) -> ExitReport {
    let status = ExitStatus::Signal { number: signal, core: false };
    ExitReport::new(actor(2), Some(status), Rung::Unasked)
}

#[test]
fn p_l2_dialog_0_is_the_life_of_the_child() {
    // P-L2, P-L3: the child closes first
    let mut pair = Pair::family(&Limits::default());
    assert_eq!(
        pair.a.core.start(pair.now, wish(Kind::Call), b""),
        Err(Misuse::ActorNotStarted),
        "the child serves nothing before"
    );
    pair.actor_up();
    assert_eq!(pair.a.core.start_actor(pair.now, b""), Err(Misuse::ActorOpened));
    let call = pair.open(Kind::Call, b"");
    pair.finish(call, Terminal::Return(b"served".to_vec()));
    pair.settle();

    let request = cancel_by(1, SECOND);
    pair.a.core.caller(DialogId::ACTOR).unwrap().cancel(pair.now, request);
    pair.settle();
    assert!(pair.b.saw(&Event::CancelAsked(DialogId::ACTOR)));
    assert!(pair.a.saw(&Event::CancelAcked(DialogId::ACTOR)));
    pair.finish(DialogId::ACTOR, Terminal::Cancelled(asked_by(1)));
    pair.b.core.goodbye(pair.now, GoodbyeReason::Leaving);
    let late = pair.start(Kind::Call, b"");
    pair.settle();
    let Some(Outcome::Refused(refusal, _)) = pair.outcome(late) else { panic!() };
    assert_eq!(refusal, Refusal::ShuttingDown, "never silently (P-C7)");
    assert_eq!(pair.outcome(DialogId::ACTOR), Some(Outcome::Cancelled(asked_by(1))));
    assert!(pair.a.saw(&Event::Goodbye(GoodbyeReason::Leaving)));
    assert!(pair.b.saw(&Event::Closed), "the child has heard it all and may exit");
    assert!(!pair.a.core.is_closed(), "the parent reads on");
    pair.a.core.handle_eof(pair.now);
    assert!(pair.a.saw(&Event::Closed));
}

#[test]
fn p_l2_large_specification_comes_before_every_call() {
    // P-L2
    let mut pair = Pair::family(&small_limits());
    pair.a.core.start_actor(pair.now, &[0; 30_000]).unwrap();
    let call = pair.start(Kind::Call, b"");
    pair.settle();
    assert_eq!((pair.b.incoming(), pair.b.incoming()), (DialogId::ACTOR, call));
    assert_eq!(pair.b.broken(), None);
}

#[test]
fn p_l3_goodbye_answers_what_is_open_and_opens_no_more() {
    // P-L3
    let mut pair = Pair::up();
    let id = pair.open(Kind::Call, b"");
    pair.b.core.goodbye(pair.now, GoodbyeReason::LinkOnly);
    pair.settle();
    assert!(pair.a.saw(&Event::Goodbye(GoodbyeReason::LinkOnly)));
    assert_eq!(pair.a.core.start(pair.now, wish(Kind::Call), b""), Err(Misuse::Closing));
    pair.pass(60 * SECOND);
    assert!(!pair.b.core.is_closed(), "as long as it takes");
    pair.finish(id, Terminal::Return(b"last".to_vec()));
    pair.settle();
    assert_eq!(pair.outcome(id), Some(returned(b"last")));
    assert!(pair.a.core.is_closed() && pair.b.core.is_closed());
    assert_eq!(pair.a.count(&Event::Finished(id)), 1);
}

#[test]
fn p_l3_calls_that_were_queued_before_a_goodbye_are_refused_or_leave_before_it() {
    // P-L3, P-C7
    let mut pair = Pair::peers(&Limits::default(), &Limits::default());
    let id = pair.start(Kind::Call, b"");
    pair.a.core.goodbye(pair.now, GoodbyeReason::LinkOnly);
    pair.settle();
    assert_eq!(pair.b.incoming(), id);
    pair.finish(id, Terminal::Return(Vec::new()));
    pair.settle();
    assert_eq!(pair.outcome(id), Some(returned(b"")));
    assert_eq!((pair.a.broken(), pair.b.broken()), (None, None));
    assert!(pair.a.core.is_closed() && pair.b.core.is_closed());
}

#[test]
fn p_l3_a_call_that_crosses_a_goodbye_of_the_link_alone_is_served() {
    // P-L3: whoever lets go of a link cannot know who else uses it
    let mut pair = Pair::up();
    pair.b.core.goodbye(pair.now, GoodbyeReason::LinkOnly);
    let id = pair.start(Kind::Call, b"");
    let late = pair.b.bytes(pair.now);
    assert!(matches!(pair.b.core.poll_timeout(), Some((_, Why::Drain))));
    pair.forth();
    pair.a.core.handle_input(pair.now, &late);
    assert_eq!(pair.b.incoming(), id);
    // However long it takes: its answer is not what ends the link.
    pair.b.core.callee(id).unwrap().accept();
    pair.settle();
    pair.pass(SECOND * 60);
    assert_eq!(pair.outcome(id), None);
    pair.finish(id, Terminal::Return(b"served".to_vec()));
    pair.settle();
    assert_eq!(pair.outcome(id), Some(returned(b"served")));
    assert_eq!((pair.a.broken(), pair.b.broken()), (None, None));
    assert!(pair.a.core.is_closed() && pair.b.core.is_closed());
}

#[test]
fn p_l3_a_call_taken_back_behind_a_goodbye_lets_it_be_answered() {
    // P-L3, P-W4: whoever drives the core learns that there is something to write
    let mut pair = Pair::up();
    let id = pair.start(Kind::Call, b"");
    pair.b.core.goodbye(pair.now, GoodbyeReason::LinkOnly);
    pair.back();
    assert!(pair.a.saw(&Event::Goodbye(GoodbyeReason::LinkOnly)));
    pair.a.core.caller(id).unwrap().cancel(pair.now, cancel_by(1, Duration::ZERO));
    assert!(pair.a.core.wants_transmit(), "nothing is open: the answer is due");
    pair.settle();
    assert!(pair.a.core.is_closed() && pair.b.core.is_closed());
}

#[test]
fn p_c7_large_arguments_to_an_actor_that_is_leaving_are_refused_in_peace() {
    // P-C7, P-A4
    let limits = Limits { misbehaviour_budget: 8, ..small_limits() };
    let mut pair = Pair::up_with(&limits);
    let busy = pair.open(Kind::Call, b"");
    pair.b.core.goodbye(pair.now, GoodbyeReason::Leaving);
    let id = pair.start(Kind::Call, &[0; 60_000]);
    pair.forth();
    pair.settle();
    assert!(matches!(pair.outcome(id), Some(Outcome::Refused(..))));
    pair.finish(busy, Terminal::Return(Vec::new()));
    pair.settle();
    assert_eq!((pair.a.broken(), pair.b.broken()), (None, None));
}

#[test]
fn p_l3_an_unanswered_goodbye_is_waited_for_a_bounded_time() {
    // P-L3
    let mut pair = Pair::family(&Limits::default());
    pair.actor_up();
    pair.finish(DialogId::ACTOR, Terminal::Return(Vec::new()));
    pair.b.core.goodbye(pair.now, GoodbyeReason::Leaving);
    let _ = pair.b.bytes(pair.now);
    assert!(matches!(pair.b.core.poll_timeout(), Some((_, Why::Drain))));
    pair.pass(SECOND);
    assert!(pair.b.core.is_closed());
}

#[test]
fn p_l4_the_end_of_a_link_ends_every_dialog_once() {
    // P-L4
    let mut pair = Pair::up();
    let call = pair.open(Kind::Call, b"");
    let context = pair.context();
    let answered = pair.open(Kind::Call, b"");
    pair.finish(answered, Terminal::Return(b"kept".to_vec()));
    let unread = pair.start(Kind::Call, b"");
    pair.settle();
    for end in [&mut pair.a, &mut pair.b] {
        end.core.handle_eof(pair.now);
        end.core.handle_eof(pair.now);
        end.core.handle_write_closed();
    }
    for id in [call, context, unread] {
        assert_eq!(pair.a.count(&Event::Finished(id)), 1);
        assert_eq!(pair.b.count(&Event::Finished(id)), 1, "their tasks are cancelled");
        assert_eq!(pair.outcome(id), Some(Outcome::Lost(LostCause::LinkEnded)));
        assert!(pair.b.core.callee(id).is_none());
    }
    assert_eq!(pair.outcome(answered), Some(returned(b"kept")));
    assert_eq!(pair.a.count(&Event::Closed), 1);
    assert_eq!(pair.a.core.start(pair.now, wish(Kind::Call), b""), Err(Misuse::LinkGone));
    assert_eq!(pair.a.core.poll_timeout(), None);
}

#[test]
fn p_t3_a_child_that_dies_takes_its_dialogs_with_its_exit_status() {
    // P-L4, P-T3
    let mut pair = Pair::family(&Limits::default());
    pair.actor_up();
    let id = pair.open(Kind::Call, b"");
    pair.a.core.handle_eof(pair.now);
    assert_eq!(pair.outcome(id), None, "held back for the exit status");
    assert!(matches!(pair.a.core.poll_timeout(), Some((_, Why::HoldBack))));
    pair.a.core.handle_exit(pair.now, exit(9));
    assert_eq!(pair.outcome(id), Some(Outcome::Died(Box::new(exit(9)))));
    assert!(pair.a.saw(&Event::Closed));
}

#[test]
fn p_l4_without_an_exit_status_in_time_the_link_is_lost() {
    // P-L4
    let mut pair = Pair::family(&Limits::default());
    pair.actor_up();
    let id = pair.open(Kind::Call, b"");
    pair.a.core.handle_eof(pair.now);
    pair.pass(Duration::from_millis(250));
    assert_eq!(pair.outcome(id), Some(Outcome::Lost(LostCause::LinkEnded)));
    pair.a.core.handle_exit(pair.now, exit(9));
    assert_eq!(pair.outcome(id), Some(Outcome::Lost(LostCause::LinkEnded)), "final");
}

#[test]
fn p_t3_a_terminal_that_was_sent_wins_over_a_death() {
    // P-L4, P-T3
    let mut pair = Pair::family(&Limits::default());
    pair.actor_up();
    let (sent, open) = (pair.open(Kind::Call, b""), pair.open(Kind::Call, b""));
    pair.finish(sent, Terminal::Return(b"in time".to_vec()));
    pair.a.core.handle_exit(pair.now, exit(9));
    pair.back();
    assert_eq!(pair.outcome(sent), Some(returned(b"in time")));
    assert_eq!(pair.outcome(open), None);
    // A descriptor leaked to a grandchild means no end-of-file ever.
    pair.pass(Duration::from_millis(250));
    assert_eq!(pair.outcome(open), Some(Outcome::Died(Box::new(exit(9)))));
}

#[test]
fn p_l4_what_a_dead_child_had_asked_for_is_cancelled_at_once() {
    // P-L4
    let mut pair = Pair::family(&Limits::default());
    pair.actor_up();
    let _ours = pair.open(Kind::Call, b"");
    let id = pair.b.core.start(pair.now, wish(Kind::Call), b"").unwrap();
    pair.settle();
    pair.a.core.callee(id).unwrap().accept();
    pair.a.core.handle_eof(pair.now);
    assert!(pair.a.saw(&Event::Finished(id)) && !pair.a.core.is_closed());
}

#[test]
fn p_l4_a_write_error_ends_writing_only() {
    // P-L4
    let mut pair = Pair::up();
    let id = pair.open(Kind::Call, b"");
    pair.finish(id, Terminal::Return(b"on its way".to_vec()));
    pair.a.core.handle_write_closed();
    assert!(!pair.a.core.wants_transmit());
    pair.back();
    assert_eq!(pair.outcome(id), Some(returned(b"on its way")));
}

#[test]
fn p_l5_a_silent_peer_is_found_out_and_a_living_one_is_not() {
    // P-L5
    let limits = Limits { liveness: Some((10 * SECOND, 5 * SECOND)), ..Limits::default() };
    let mut pair = Pair::up_with(&limits);
    for _ in 0..1000 {
        pair.pass(10 * SECOND);
        pair.settle();
    }
    assert!(!pair.a.core.is_closed() && !pair.b.core.is_closed());
    pair.pass(10 * SECOND);
    pair.pass(5 * SECOND);
    assert!(pair.a.core.is_closed());
}

#[test]
fn the_last_frames_of_a_link_can_be_told_afterwards() {
    let mut pair = Pair::up();
    let call = pair.open(Kind::Call, b"four");
    pair.finish(call, Terminal::Return(vec![0; 200 * 1024]));
    pair.settle();
    let told: Vec<_> = pair.a.core.recent().map(ToString::to_string).collect();
    assert!(told[0].starts_with("sent Hello of "), "{told:?}");
    assert!(told[2].starts_with(&format!("sent Start of {call} (")), "{told:?}");
    let rest = 200 * 1024 % (Limits::default().max_frame - Limits::HEADER_ROOM);
    assert_eq!(told.last().unwrap(), &format!("received Return of {call} ({rest} bytes)"));
    // The same at the other end, the other way round; and only so many.
    let there = pair.b.core.recent().copied().collect::<Vec<_>>();
    let here = pair.a.core.recent().map(|note| Note { sent: !note.sent, ..*note });
    assert!(here.filter(|note| note.sent).eq(there.iter().filter(|note| note.sent).copied()));
    for _ in 0..40 {
        let call = pair.open(Kind::Call, b"");
        pair.finish(call, Terminal::Return(Vec::new()));
        pair.settle();
    }
    assert_eq!(pair.a.core.recent().count(), 16);
}
