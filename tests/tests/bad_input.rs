//! What bad input gets: a coded close that names the rule, the message and the state.

use std::time::Duration;

use hatchery_proto::wire::body;
use hatchery_proto::wire::{CONTINUED, MORE, Tag, put_frame};
use hatchery_proto::{
    DialogId, Event, GoodbyeReason, Kind, Limits, LostCause, Outcome, Terminal, Violation,
};
use hatchery_tests::pair::{End, Pair, cancel_by};
use serde::Serialize;

fn frame(tag: Tag, dialog: u64, flags: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_frame(&mut out, tag, DialogId::new(dialog), flags, |out| out.extend_from_slice(content));
    out
}

fn encoded<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_allocvec(value).unwrap()
}

fn start(dialog: u64) -> Vec<u8> {
    let content = encoded(&body::Start {
        endpoint: "x",
        kind: Kind::Context,
        schema: 0,
        codec: body::POSTCARD,
        credit: 4096,
        deadline: None,
        trace: None,
    });
    frame(Tag::Start, dialog, 0, &content)
}

fn cancel(dialog: u64) -> Vec<u8> {
    frame(Tag::Cancel, dialog, 0, &encoded(&cancel_by(2, Duration::from_secs(1))))
}

fn limits() -> Limits {
    Limits { window: 2048, max_frame: 2048, misbehaviour_budget: 16, ..Limits::default() }
}

/// How the peer of this end broke the protocol.
fn violation(end: &mut End) -> Option<Violation> {
    end.look();
    end.events.iter().find_map(|event| match event {
        Event::Broken(how) => Some(how.clone()),
        _ => None,
    })
}

/// A link that is up, with dialog 1 served as a started context and dialog 2 opened as one.
fn linked() -> Pair {
    let mut pair = Pair::up_with(&limits());
    pair.context();
    pair.a.core.handle_input(pair.now, &start(1));
    let mut callee = pair.a.core.callee(DialogId::new(1)).unwrap();
    callee.started(b"").unwrap();
    let _ = pair.a.bytes(pair.now);
    pair
}

/// The link ends with this rule, message and state, told to the user, to the peer (a code alone
/// before the greeting) and by every open dialog; at once, and once.
#[track_caller]
fn closed_by(pair: &mut Pair, bytes: &[u8], rule: &str, message: &str, state: &str) {
    let open = pair.a.core.under_way();
    pair.a.core.handle_input(pair.now, bytes);
    let how = violation(&mut pair.a).expect("it is a violation");
    assert_eq!((how.rule, how.message, how.state), (rule, message, state), "{how}");
    let text = how.to_string();
    for part in [rule, message, state] {
        assert!(text.contains(part), "{text}");
    }
    assert!(pair.a.core.is_closed() && pair.a.count(&Event::Closed) == 1);
    assert_eq!(pair.a.core.poll_timeout(), None, "nothing is waited for");
    let told = if state == "greeting" || pair.a.core.peer().is_none() {
        rule.to_owned()
    } else {
        text.clone()
    };
    let said = pair.a.bytes(pair.now);
    let goodbye = frame(Tag::Goodbye, 0, 0, &encoded(&GoodbyeReason::Protocol(told)));
    assert!(said.ends_with(&goodbye), "the peer is told why: {said:?}");
    for (id, _) in open {
        let lost = Outcome::Lost(LostCause::Protocol(text.clone()));
        assert_eq!(pair.outcome(id), Some(lost), "{id}");
        assert_eq!(pair.a.count(&Event::Finished(id)), 1);
    }
}

#[test]
fn p_f2_lengths_that_cannot_be() {
    for length in [2049, 0x0001_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, u32::MAX] {
        closed_by(&mut linked(), &length.to_le_bytes(), "P-F2", "frame", "any");
    }
    // Eight bytes where four are the length: the first four decide.
    closed_by(&mut linked(), &u64::MAX.to_le_bytes(), "P-F2", "frame", "any");
}

#[test]
fn p_f4_a_length_of_zero() {
    closed_by(&mut linked(), &[0; 4], "P-F4", "frame", "any");
    let mut fresh = Pair::peers(&limits(), &limits());
    closed_by(&mut fresh, &[0; 4], "P-F4", "frame", "any");
}

#[test]
fn p_f4_truncated_frames_wait_and_truncated_bodies_do_not() {
    let whole = start(3);
    for cut in 0..whole.len() {
        let mut pair = linked();
        pair.a.core.handle_input(pair.now, &whole[..cut]);
        assert_eq!(violation(&mut pair.a), None, "{cut} bytes are no frame yet");
        // The end of the link in the middle of one is an end like any other.
        pair.a.core.handle_eof(pair.now);
        assert!(pair.a.core.is_closed() && violation(&mut pair.a).is_none());
    }
    let content = &whole[7..];
    for cut in 0..content.len() {
        let short = frame(Tag::Start, 3, 0, &content[..cut]);
        closed_by(&mut linked(), &short, "P-F4", "Start", "any");
    }
}

#[test]
fn p_l1_other_protocols_bytes() {
    let tls = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    let greeting = [
        (&b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], "P-F2", "frame", "any"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "P-F2", "frame", "any"),
        (tls, "P-F2", "frame", "any"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "P-F2", "frame", "any"),
        (b"\x08\x00\x00\x00\x01\x00HTTP/1", "P-L1", "Hello", "greeting"),
    ];
    for (bytes, rule, message, state) in greeting {
        let mut fresh = Pair::peers(&limits(), &limits());
        closed_by(&mut fresh, bytes, rule, message, state);
        if rule == "P-F2" {
            closed_by(&mut linked(), bytes, rule, message, state);
        }
    }
}

#[test]
fn p_d6_duplicates() {
    let twice = |bytes: &[u8]| [bytes, bytes].concat();
    let ack = encoded(&body::StartAck { kind: Kind::Context, credit: 4096 });
    let cases = [
        (frame(Tag::Hello, 0, 0, b""), "P-L1", "Hello", "open"),
        (twice(&start(3)), "P-D1", "Start", "open"),
        (frame(Tag::StartAck, 2, 0, &ack), "P-D6", "StartAck", "started"),
        (frame(Tag::Started, 2, 0, b""), "P-D6", "Started", "started"),
        (twice(&frame(Tag::Stop, 1, 0, b"")), "P-D6", "Stop", "started"),
        (twice(&frame(Tag::Return, 2, 0, b"")), "P-D5", "Return", "open"),
        (twice(&frame(Tag::Goodbye, 0, 0, &[0])), "P-L3", "Goodbye", "open"),
    ];
    for (bytes, rule, message, state) in cases {
        closed_by_last(&mut linked(), &bytes, rule, message, state);
    }
}

/// The same where what stands before the last message is legal and may end dialogs.
#[track_caller]
fn closed_by_last(pair: &mut Pair, bytes: &[u8], rule: &str, message: &str, state: &str) {
    pair.a.core.handle_input(pair.now, bytes);
    let how = violation(&mut pair.a).expect("it is a violation");
    assert_eq!((how.rule, how.message, how.state), (rule, message, state), "{how}");
    assert!(pair.a.core.is_closed());
    let said = pair.a.bytes(pair.now);
    assert!(String::from_utf8_lossy(&said).contains(&how.to_string()), "the peer is told");
}

#[test]
fn p_d5_late_messages_are_dropped_where_they_can_be_honest() {
    let late = [
        (frame(Tag::Yield, 1, 0, b"late"), None),
        (frame(Tag::Stop, 1, 0, b""), None),
        (cancel(1), None),
        (
            frame(Tag::Credit, 1, 0, &encoded(&body::Credit { bytes: 1, done: body::Done::No })),
            None,
        ),
        (frame(Tag::Start, 1, CONTINUED, b"late"), None),
        (frame(Tag::CancelAck, 1, 0, b""), Some("CancelAck")),
        (frame(Tag::Return, 1, 0, b""), Some("Return")),
        (frame(Tag::Started, 1, 0, b""), Some("Started")),
    ];
    for (bytes, refused) in late {
        let mut pair = linked();
        let callee = pair.a.core.callee(DialogId::new(1)).unwrap();
        callee.finish(Terminal::Return(Vec::new()));
        let _ = pair.a.bytes(pair.now);
        match refused {
            Some(message) => closed_by(&mut pair, &bytes, "P-D5", message, "open"),
            None => {
                pair.a.core.handle_input(pair.now, &bytes);
                assert_eq!(violation(&mut pair.a), None);
            }
        }
    }
}

#[test]
fn p_d2_early_messages() {
    let mut pair = Pair::up_with(&limits());
    let id = pair.start(Kind::Context, b"").number();
    let _ = pair.a.bytes(pair.now);
    let early = frame(Tag::Started, id, 0, b"");
    closed_by(&mut pair, &early, "P-D2", "Started", "start sent");

    for (tag, rule) in [(Tag::Yield, "P-D2"), (Tag::Return, "P-D2"), (Tag::CancelAck, "P-C1")] {
        let mut pair = Pair::up_with(&limits());
        let id = pair.open(Kind::Context, b"").number();
        closed_by(&mut pair, &frame(tag, id, 0, b""), rule, tag.name(), "running");
    }
    let mut fresh = Pair::peers(&limits(), &limits());
    closed_by(&mut fresh, &start(1), "P-L1", "Start", "greeting");
}

#[test]
fn p_d1_wrong_parity() {
    closed_by(&mut linked(), &start(4), "P-D1", "Start", "open");
    closed_by(&mut linked(), &start(0), "P-D1", "Start", "open");
    closed_by(&mut linked(), &frame(Tag::Yield, 44, 0, b""), "P-D5", "Yield", "open");
}

#[test]
fn p_w1_overspent_credit_and_credit_that_is_none() {
    let mut pair = linked();
    let value = frame(Tag::Yield, 1, 0, &[0; 1008]);
    pair.a.core.handle_input(pair.now, &[&value[..], &value].concat());
    assert_eq!(violation(&mut pair.a), None, "exactly the window");
    closed_by(&mut pair, &value, "P-W1", "Yield", "open");
    for bytes in [4097, u32::MAX] {
        let credit = encoded(&body::Credit { bytes, done: body::Done::No });
        closed_by(&mut linked(), &frame(Tag::Credit, 1, 0, &credit), "P-W1", "Credit", "open");
    }
}

#[test]
fn p_a4_floods_of_empty_frames_and_cancel_storms() {
    let floods = [
        (frame(Tag::Ping, 0, 0, b""), "Ping"),
        (frame(Tag::Pong, 0, 0, b""), "Pong"),
        (cancel(1), "Cancel"),
        (vec![2, 0, 0, 0, 0x80, 0], "frame"),
        (frame(Tag::Credit, 1, 0, &[0, 0]), "Credit"),
    ];
    for (bytes, message) in floods {
        let mut pair = linked();
        let (mut count, mut answers) = (0, 0);
        while violation(&mut pair.a).is_none() {
            pair.a.core.handle_input(pair.now, &bytes);
            count += 1;
            assert!(count < 100, "{message} goes on for ever");
        }
        answers += pair.a.bytes(pair.now).len();
        let how = violation(&mut pair.a).unwrap();
        assert_eq!((how.rule, how.message, how.state), ("P-A4", message, "open"));
        assert!(answers < 200, "nothing but the reason: {answers}");
    }
}

#[test]
fn p_a2_starting_and_cancelling_in_a_storm_buys_no_slot() {
    let few = Limits { max_dialogs: 4, max_refusals: 4, ..limits() };
    let mut pair = Pair::up_with(&few);
    for number in 0..8 {
        let id = 2 * number + 1;
        pair.a.core.handle_input(pair.now, &[start(id), cancel(id)].concat());
    }
    assert_eq!(violation(&mut pair.a), None, "four slots and four refusals");
    closed_by_last(&mut pair, &start(17), "P-W5", "Start", "open");
}

#[test]
fn p_w1_a_flood_of_empty_values_ends_with_the_window() {
    let mut pair = linked();
    let empty = frame(Tag::Yield, 1, 0, b"");
    // Nobody reads: what an empty one costs bounds their number, and the arguments were the first.
    for _ in 1..2048 / 16 {
        pair.a.core.handle_input(pair.now, &empty);
    }
    assert_eq!(violation(&mut pair.a), None);
    closed_by(&mut pair, &empty, "P-W1", "Yield", "open");
}

#[test]
fn p_a4_a_flood_of_empty_fragments_is_closed() {
    for (dialog, tag) in [(1, Tag::Yield), (2, Tag::Yield), (2, Tag::Return)] {
        let mut pair = linked();
        pair.a.core.handle_input(pair.now, &frame(tag, dialog, MORE, b""));
        let next = frame(tag, dialog, MORE | CONTINUED, b"");
        for _ in 1..16 {
            pair.a.core.handle_input(pair.now, &next);
        }
        assert_eq!(violation(&mut pair.a), None, "the budget is 16");
        closed_by(&mut pair, &next, "P-A4", tag.name(), "open");
    }
}

#[test]
fn p_c1_a_storm_of_cancels_with_ever_less_grace_is_answered_once_and_then_closed() {
    let mut pair = linked();
    let with = |grace| encoded(&cancel_by(2, Duration::from_secs(grace)));
    for grace in (1..=6).rev() {
        pair.a.core.handle_input(pair.now, &frame(Tag::Cancel, 1, 0, &with(grace)));
    }
    assert_eq!(violation(&mut pair.a), None);
    let ack = frame(Tag::CancelAck, 1, 0, b"");
    assert_eq!(pair.a.bytes(pair.now), ack, "one answers all (P-A3)");
    let asked = pair.a.core.callee(DialogId::new(1)).unwrap();
    assert_eq!(asked.cancel_request().unwrap().grace, Duration::from_secs(1));
    for _ in 0..16 {
        pair.a.core.handle_input(pair.now, &frame(Tag::Cancel, 1, 0, &with(9)));
    }
    let how = violation(&mut pair.a).expect("the repeats cost");
    assert_eq!((how.rule, how.message, how.state), ("P-A4", "Cancel", "open"));
}
