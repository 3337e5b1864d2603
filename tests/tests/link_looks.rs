//! What a link says in words, and where exactly its lines are drawn: the state of what is under way,
//! the reason of a violation, the last size and the last byte of credit that are fine.

use std::time::Duration;

use hatchery_proto::wire::deframer::Deframer;
use hatchery_proto::wire::{Tag, body, put_frame};
use hatchery_proto::{DialogId, Event, Kind, Limits, Outcome, Terminal, Violation};
use hatchery_tests::pair::{End, Pair, asked_by, cancel_by, small_limits};

const GRACE: Duration = Duration::from_secs(1);

fn frame(tag: Tag, dialog: DialogId, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_frame(&mut out, tag, dialog, 0, |out| out.extend_from_slice(content));
    out
}

/// How an end takes these frames amiss.
fn violation(end: &mut End, pair_now: hatchery_proto::Instant, frames: &[Vec<u8>]) -> Violation {
    end.core.handle_input(pair_now, &frames.concat());
    end.look();
    let broken = end.events.iter().find_map(|event| match event {
        Event::Broken(violation) => Some(violation.clone()),
        _ => None,
    });
    broken.unwrap_or_else(|| panic!("nothing was broken: {:?}", end.events))
}

#[test]
fn every_message_is_called_what_the_protocol_calls_it() {
    let tags: Vec<_> = (0..=u8::MAX).filter_map(Tag::of).collect();
    assert_eq!(tags.len(), 14);
    for tag in tags {
        assert_eq!(tag.name(), format!("{tag:?}"));
    }
}

#[test]
fn p_f2_the_largest_frame_is_taken_and_one_byte_more_is_not() {
    let largest = frame(Tag::Yield, DialogId::new(2), &[0; 97]);
    assert_eq!(largest.len(), 4 + 100);
    for (max, fine) in [(99, false), (100, true), (101, true)] {
        for piece in [1, 4, 5, largest.len()] {
            let mut deframer = Deframer::new(max);
            let mut taken = None;
            for mut bytes in largest.chunks(piece) {
                match deframer.next(&mut bytes) {
                    Ok(None) => {}
                    Ok(Some(frame)) => taken = Some(Ok(frame.body.len())),
                    Err(violation) => {
                        taken = Some(Err(violation.rule));
                        break;
                    }
                }
            }
            let expected = if fine { Ok(97) } else { Err("P-F2") };
            assert_eq!(taken, Some(expected), "at most {max}, {piece} at a time");
        }
    }
}

#[test]
fn what_is_under_way_is_named_by_its_state() {
    let mut pair = Pair::up();
    let id = pair.start(Kind::Context, b"");
    let state = |pair: &mut Pair| {
        let under_way = pair.a.core.under_way();
        let said = pair.a.core.caller(id).unwrap().state();
        assert!(under_way.is_empty() || under_way == [(id, said)], "{under_way:?}");
        said
    };
    assert_eq!(state(&mut pair), "start sent");
    pair.settle();
    pair.b.core.callee(id).unwrap().accept();
    pair.settle();
    assert_eq!(state(&mut pair), "running");
    pair.b.core.callee(id).unwrap().started(b"").unwrap();
    pair.settle();
    assert_eq!(state(&mut pair), "started");
    let now = pair.now;
    pair.a.core.caller(id).unwrap().cancel(now, cancel_by(1, GRACE));
    assert_eq!(state(&mut pair), "cancel sent");
    pair.settle();
    assert_eq!(state(&mut pair), "being cancelled");
    pair.finish(id, Terminal::Cancelled(asked_by(1)));
    pair.settle();
    assert_eq!(state(&mut pair), "ended");
    assert_eq!(pair.a.core.under_way(), []);
}

#[test]
fn p_l6_a_violation_says_in_words_what_was_wrong_with_which_message() {
    let ack = |kind| postcard::to_allocvec(&body::StartAck { kind, credit: 4096 }).unwrap();
    // At the opener: what its callee may not say.
    for (kind, frames, rule, words) in [
        (Kind::Call, vec![(Tag::Return, vec![])], "P-D2", "too early"),
        (Kind::Call, vec![(Tag::StartAck, ack(Kind::Call)); 2], "P-D6", "came before"),
        (
            Kind::Call,
            vec![(Tag::StartAck, ack(Kind::Call)), (Tag::Yield, vec![])],
            "P-D2",
            "kind does not know it",
        ),
        (Kind::Call, vec![(Tag::CancelAck, vec![])], "P-C1", "no cancel waits"),
        (
            Kind::Stream,
            vec![(Tag::StartAck, ack(Kind::Stream)), (Tag::Stop, vec![]), (Tag::Yield, vec![])],
            "P-D6",
            "was stopped",
        ),
    ] {
        let mut pair = Pair::up();
        let id = pair.start(kind, b"");
        pair.forth();
        let last = frames.last().unwrap().0;
        let frames: Vec<_> = frames.iter().map(|(tag, body)| frame(*tag, id, body)).collect();
        let violation = violation(&mut pair.a, pair.now, &frames);
        assert_eq!(
            (violation.rule, violation.message),
            (rule, &*format!("{last:?}")),
            "{violation}"
        );
        assert!(violation.to_string().contains(words), "{violation}");
    }
    // At the callee: what its opener may not say.
    let mut pair = Pair::up();
    let id = pair.open(Kind::Call, b"");
    let frames = [frame(Tag::StartAck, id, &ack(Kind::Call))];
    let violation = violation(&mut pair.b, pair.now, &frames);
    assert!(violation.to_string().contains("role does not send it"), "{violation}");
    assert_eq!(violation.rule, "P-D2");
}

#[test]
fn p_d3_a_value_behind_its_senders_cancel_is_a_violation_that_says_so() {
    let mut pair = Pair::up();
    let id = pair.context();
    let cancel = postcard::to_allocvec(&cancel_by(1, GRACE)).unwrap();
    let frames = [frame(Tag::Cancel, id, &cancel), frame(Tag::Yield, id, b"x")];
    let violation = violation(&mut pair.b, pair.now, &frames);
    assert_eq!(violation.rule, "P-D3");
    assert!(violation.to_string().contains("asked to cancel"), "{violation}");
}

#[test]
fn p_f3_the_largest_message_is_sent_in_a_stream_too() {
    let limits = Limits { window: 128 * 1024, ..small_limits() };
    let mut pair = Pair::up_with(&limits);
    let id = pair.context();
    let largest = vec![7; 64 * 1024];
    pair.a.core.caller(id).unwrap().send(&largest).unwrap();
    pair.b.core.callee(id).unwrap().send(&largest).unwrap();
    pair.settle();
    assert_eq!(pair.received_at_b(id).0, std::slice::from_ref(&largest));
    assert_eq!(pair.received_at_a(id).0, [largest]);
}

#[test]
fn p_w1_credit_is_given_back_in_batches_of_half_the_window() {
    // A window of 1024 bytes: a value of 112 costs 128, so four of them are half.
    let mut pair = Pair::up_with(&small_limits());
    let id = pair.context();
    for _ in 0..8 {
        pair.a.core.caller(id).unwrap().send(&[0; 112]).unwrap();
    }
    pair.settle();
    let mut value = Vec::new();
    for batch in [false, false, false, true, false, false, false, true] {
        let _ = pair.b.core.callee(id).unwrap().recv(&mut value);
        assert_eq!(value.len(), 112);
        assert_eq!(pair.b.core.wants_transmit(), batch);
        pair.settle();
    }
}

#[test]
fn p_f3_a_cancel_leaves_alone_what_the_other_side_has_half_sent() {
    let mut pair = Pair::up_with(&small_limits());
    let id = pair.context();
    let now = pair.now;
    pair.b.core.callee(id).unwrap().send(&[3; 5000]).unwrap();
    let mut first = Vec::new();
    assert!(pair.b.core.poll_transmit(now, &mut first, 1) < 1100, "a fragment of it");
    pair.a.core.handle_input(now, &first);
    pair.a.core.caller(id).unwrap().cancel(now, cancel_by(1, GRACE));
    pair.settle();
    assert_eq!((pair.a.broken(), pair.b.broken()), (None, None));
    assert_eq!(pair.received_at_a(id).0, [vec![3; 5000]]);
}

#[test]
fn failures_that_arise_in_the_core_are_told_apart() {
    let mut pair = Pair::up();
    let ids = [(); 2].map(|()| {
        let context = pair.open(Kind::Context, b"");
        // It never started, so it cannot return.
        pair.finish(context, Terminal::Return(Vec::new()));
        pair.settle();
        let Some(Outcome::Failed { report, .. }) = pair.outcome(context) else {
            panic!("{:?}", pair.outcome(context));
        };
        report.id
    });
    assert_ne!(ids[0], ids[1]);
    assert!(ids.iter().all(|(_, number)| number >> 63 == 1), "apart from those of users, too");
}
