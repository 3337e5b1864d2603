//! Honest peers at the bounds: repeated cancels, reasons behind a goodbye, budgets and windows that
//! a peer cannot stretch.

use std::time::Duration;

use hatchery_proto::wire::{Tag, put_frame};
use hatchery_proto::{
    DialogId, Event, GoodbyeReason, Kind, Limits, LostCause, Outcome, SendError, Terminal,
};
use hatchery_tests::pair::{Pair, asked_by, cancel_by, small_limits};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn p_a4_a_second_cancel_of_a_thousand_contexts_is_honest() {
    let mut pair = Pair::up();
    let open: Vec<DialogId> = (0..1000).map(|_| pair.context()).collect();
    for grace in [4 * SECOND, SECOND, Duration::ZERO] {
        for id in &open {
            pair.a.core.caller(*id).unwrap().cancel(pair.now, cancel_by(1, grace));
        }
        pair.settle();
    }
    assert_eq!((pair.a.broken(), pair.b.broken()), (None, None));
    let last = pair.b.core.callee(open[999]).unwrap().cancel_request().cloned();
    assert_eq!(last, Some(cancel_by(1, Duration::ZERO)));
}

#[test]
fn p_c1_ever_shorter_cancels_are_at_most_eight_and_the_last_is_kept_for_no_grace() {
    let limits = Limits { misbehaviour_budget: 1, ..Limits::default() };
    let mut pair = Pair::up_with(&limits);
    let id = pair.context();
    let mut heard = 0;
    for millis in (0..=1000).rev() {
        let grace = Duration::from_millis(millis);
        pair.a.core.caller(id).unwrap().cancel(pair.now, cancel_by(1, grace));
        pair.settle();
        heard += pair.b.count(&Event::CancelAsked(id));
        pair.b.events.clear();
    }
    assert_eq!((pair.a.broken(), pair.b.broken()), (None, None));
    assert_eq!(heard, 8);
    let last = pair.b.core.callee(id).unwrap().cancel_request().cloned();
    assert_eq!(last, Some(cancel_by(1, Duration::ZERO)));
}

#[test]
fn p_c1_a_repeat_waits_for_the_ack_and_then_says_the_shortest() {
    let mut pair = Pair::up();
    let id = pair.context();
    for seconds in (1..=5).rev() {
        pair.a.core.caller(id).unwrap().cancel(pair.now, cancel_by(1, seconds * SECOND));
        pair.forth();
    }
    assert_eq!(pair.b.count(&Event::CancelAsked(id)), 1, "the first alone");
    pair.settle();
    assert_eq!(pair.b.count(&Event::CancelAsked(id)), 2);
    assert_eq!(pair.a.count(&Event::CancelAcked(id)), 2);
    assert_eq!(pair.b.core.callee(id).unwrap().cancel_request(), Some(&cancel_by(1, SECOND)));
}

#[test]
fn p_c1_a_repeat_that_does_not_shorten_is_not_free() {
    let limits = Limits { misbehaviour_budget: 1, ..Limits::default() };
    let mut pair = Pair::up_with(&limits);
    let id = pair.context();
    let mut frame = Vec::new();
    let request = postcard::to_allocvec(&cancel_by(1, SECOND)).unwrap();
    put_frame(&mut frame, Tag::Cancel, id, 0, |out| out.extend_from_slice(&request));
    pair.b.core.handle_input(pair.now, &frame);
    assert_eq!(pair.b.broken(), None);
    pair.b.core.handle_input(pair.now, &frame);
    assert_eq!(pair.b.broken(), Some("P-A4"));
}

#[test]
fn p_l6_why_a_peer_closed_the_link_is_told_behind_a_goodbye_too() {
    let mut pair = Pair::up();
    let id = pair.context();
    pair.b.core.goodbye(pair.now, GoodbyeReason::Leaving);
    pair.settle();
    pair.b.core.handle_input(pair.now, &[1, 0, 0, 0, 0]);
    assert!(pair.b.broken().is_some());
    pair.settle();
    assert_eq!(pair.a.broken(), None, "who is told of its own violation sees none");
    let Some(Outcome::Lost(LostCause::Accused(text))) = pair.outcome(id) else {
        panic!("{:?}", pair.outcome(id))
    };
    assert!(text.contains("P-F"), "{text}");
    assert!(pair.a.core.is_closed());
}

#[test]
fn p_a4_the_budget_for_late_frames_has_an_upper_bound() {
    let limits = Limits { max_dialogs: 2, misbehaviour_budget: 4, ..small_limits() };
    let mut pair = Pair::up_with(&limits);
    let mut last = DialogId::new(1);
    for _ in 0..500 {
        last = pair.open(Kind::Call, b"");
        pair.finish(last, Terminal::Return(Vec::new()));
        pair.settle();
    }
    let mut late = Vec::new();
    put_frame(&mut late, Tag::Yield, last, 0, |out| out.resize(out.len() + 1000, 0));
    let mut count = 0;
    while pair.b.broken().is_none() {
        pair.b.core.handle_input(pair.now, &late);
        count += 1;
        assert!(count < 5000, "what was gained by honest calls can be spent for ever");
    }
    assert_eq!(pair.b.broken(), Some("P-A4"));
    // What its two slots are worth, each a window, a message and some control frames.
    let worth = 2 * (limits.window as usize + 2 * limits.max_message as usize) + 4 * 16;
    assert!(count <= worth / 1016 + 2, "{count} of {}", worth / 1016);
}

#[test]
fn p_f5_nobody_queues_more_than_its_own_window_whatever_the_peer_announces() {
    let mine = Limits { window: 4096, ..Limits::default() };
    let theirs = Limits { window: u32::MAX, ..Limits::default() };
    let mut pair = Pair::peers(&mine, &theirs);
    let id = pair.context();
    let value = [7; 1000];
    let mut queued = 0;
    while pair.a.core.caller(id).unwrap().send(&value).is_ok() {
        queued += 1;
        assert!(queued < 100, "without an end");
    }
    assert_eq!(queued, 5, "one may begin while less than the window waits");
    let refused = pair.a.core.caller(id).unwrap().send(&value);
    assert_eq!(refused, Err(SendError::Full));
    assert!(!pair.a.core.caller(id).unwrap().can_send());
    pair.a.events.clear();
    pair.forth();
    assert_eq!(pair.a.count(&Event::Writable(id)), 1, "written, not yet consumed");
    assert_eq!(pair.a.core.caller(id).unwrap().send(&value), Ok(()));
}

#[test]
fn p_f5_a_cancelled_sender_that_waits_for_room_is_woken() {
    let mine = Limits { window: 1024, ..Limits::default() };
    let theirs = Limits { window: u32::MAX, ..Limits::default() };
    let mut pair = Pair::peers(&mine, &theirs);
    let id = pair.context();
    while pair.a.core.caller(id).unwrap().send(&[7; 500]).is_ok() {}
    pair.a.events.clear();
    pair.a.core.caller(id).unwrap().cancel(pair.now, cancel_by(1, SECOND));
    assert!(pair.a.saw(&Event::Writable(id)));
    pair.finish(id, Terminal::Cancelled(asked_by(1)));
    pair.settle();
    assert_eq!(pair.outcome(id), Some(Outcome::Cancelled(asked_by(1))));
}
