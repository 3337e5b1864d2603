//! A peer that says anything: whatever it is, one link ends with a coded reason, or nothing happens.

use std::time::Duration;

use hatchery_proto::wire::hello::{Announced, Hello};
use hatchery_proto::wire::{CONTINUED, MORE, Tag, body, put_frame};
use hatchery_proto::{
    CancelRequest, DialogId, Event, Instant, Kind, Limits, LostCause, Outcome, Refusal, Role,
    Terminal,
};
use hatchery_tests::pair::{End, Pair, actor, asked_by, cancel_by};
use serde::Serialize;

/// An honest end, and a peer that says what the test wants.
struct Hostile {
    pair: Pair,
}

fn frame(tag: Tag, dialog: u64, flags: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_frame(&mut out, tag, DialogId::new(dialog), flags, |out| out.extend_from_slice(content));
    out
}

fn encoded<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_allocvec(value).unwrap()
}

fn start(kind: Kind) -> Vec<u8> {
    encoded(&body::Start {
        endpoint: "x",
        kind,
        schema: 0,
        codec: 0,
        credit: 4096,
        deadline: None,
        trace: None,
    })
}

fn credit(bytes: u32, done: bool) -> Vec<u8> {
    let done = if done { body::Done::Gone } else { body::Done::No };
    encoded(&body::Credit { bytes, done })
}

fn limits() -> Limits {
    Limits {
        max_frame: 2048,
        max_message: 16 * 1024,
        window: 4096,
        max_dialogs: 8,
        max_refusals: 4,
        misbehaviour_budget: 32,
        ..Limits::default()
    }
}

impl Hostile {
    /// Greeted; the hostile end is the odd one.
    fn new() -> Self {
        Self { pair: Pair::up_with(&limits()) }
    }

    fn end(&mut self) -> &mut End {
        &mut self.pair.a
    }

    fn says(&mut self, bytes: &[u8]) -> Option<&'static str> {
        let now = self.pair.now;
        self.end().core.handle_input(now, bytes);
        let _ = self.end().bytes(now);
        self.end().broken()
    }

    /// A context that the hostile end has opened, accepted and started here.
    fn served(&mut self) -> DialogId {
        assert_eq!(self.says(&frame(Tag::Start, 1, 0, &start(Kind::Context))), None);
        let id = self.end().incoming();
        let mut callee = self.end().core.callee(id).unwrap();
        callee.accept();
        callee.started(b"").unwrap();
        let now = self.pair.now;
        let _ = self.end().bytes(now);
        id
    }

    /// A context that this end has opened and the hostile one serves.
    fn opened(&mut self) -> DialogId {
        self.pair.context()
    }
}

#[test]
fn p_f2_a_huge_length_ends_the_link_before_anything_is_allocated() {
    // P-F2, P-L6, P-A7
    let mut hostile = Hostile::new();
    assert_eq!(hostile.says(&[0xff, 0xff, 0xff, 0xff]), Some("P-F2"));
    assert!(hostile.end().saw(&Event::Closed));
}

#[test]
fn p_l6_the_peer_is_told_why() {
    // P-L6
    let mut hostile = Hostile::new();
    let id = hostile.opened();
    let now = hostile.pair.now;
    hostile.end().core.handle_input(now, &frame(Tag::Hello, 0, 0, b""));
    let said = hostile.end().bytes(now);
    assert_eq!(said[4], Tag::Goodbye as u8);
    assert!(String::from_utf8_lossy(&said).contains("P-L1"));
    let caller = hostile.end().core.caller(id).unwrap();
    assert!(matches!(caller.outcome(), Some(Outcome::Lost(LostCause::Protocol(_)))));
    assert!(!hostile.end().core.wants_transmit());
}

#[test]
fn p_a6_greetings_are_judged_before_anything_else() {
    // P-L1, P-A6, P-F2
    let hello = |versions, role, max_frame| {
        let announced = Announced { max_frame, max_message: 1 << 20, max_dialogs: 8 };
        let mut content = Vec::new();
        Hello { versions, id: actor(2), role, announced, tree: None, descriptors: 0 }
            .put(&mut content);
        content
    };
    let good = hello((1, 1), Role::Odd, 4096);
    let mut grown = good.clone();
    grown.extend_from_slice(&[200, 3, 0, 1, 2, 3]);
    let refused = |bytes: &[u8]| {
        let mut pair = Pair::peers(&limits(), &limits());
        let now = pair.now;
        let ours = pair.a.bytes(now);
        assert!(ours.len() <= 516, "one greeting of 512 bytes");
        pair.a.core.handle_input(now, bytes);
        let answer = pair.a.bytes(now);
        assert!(answer.len() <= 32, "no more than a code: {answer:?}");
        pair.a.broken()
    };
    assert_eq!(refused(&frame(Tag::Hello, 0, 0, &good)), None);
    assert_eq!(refused(&frame(Tag::Hello, 0, 0, &grown)), None, "unknown fields are skipped");
    let newer = hello((2, 9), Role::Odd, 4096);
    assert_eq!(refused(&frame(Tag::Hello, 0, 0, &newer)), Some("P-L1"));
    let older = hello((1, 7), Role::Odd, 4096);
    assert_eq!(refused(&frame(Tag::Hello, 0, 0, &older)), None, "version 1 is common");
    let same = hello((1, 1), Role::Even, 4096);
    assert_eq!(refused(&frame(Tag::Hello, 0, 0, &same)), Some("P-L1"), "equal roles");
    let tiny = hello((1, 1), Role::Odd, 10);
    assert_eq!(refused(&frame(Tag::Hello, 0, 0, &tiny)), Some("P-F2"));
    assert_eq!(refused(&frame(Tag::Hello, 0, 0, &good[..good.len() - 1])), Some("P-L1"));
    assert_eq!(refused(&frame(Tag::Hello, 0, 0, b"HTTP/1.1")), Some("P-L1"));
    assert_eq!(refused(&frame(Tag::Hello, 7, 0, &good)), Some("P-F4"));
    assert_eq!(refused(&frame(Tag::Ping, 0, 0, b"")), Some("P-L1"), "`Hello` comes first");
    assert_eq!(refused(&[1, 2, 0, 0]), Some("P-F2"), "513 bytes");
}

#[test]
fn p_l1_a_refused_version_names_both_ranges() {
    // P-L1
    let mut content = b"HTCH\x02\0\x09\0".to_vec();
    content.extend_from_slice(b"fields of a later version");
    let mut pair = Pair::peers(&limits(), &limits());
    pair.a.core.handle_input(pair.now, &frame(Tag::Hello, 0, 0, &content));
    pair.a.look();
    let text = format!("{:?}", pair.a.events);
    assert!(text.contains("we speak 1 to 1, the peer 2 to 9"), "{text}");
}

#[test]
fn p_a1_messages_out_of_order_are_violations() {
    // P-D1, P-D2, P-D3, P-D5, P-D6, P-A1
    let empty: &[u8] = &[];
    let cases: &[(&str, Vec<u8>, &str)] = &[
        ("wrong parity", frame(Tag::Start, 4, 0, &start(Kind::Call)), "P-D1"),
        ("dialog 0 between peers", frame(Tag::Start, 0, 0, &start(Kind::Actor)), "P-D1"),
        ("kind of dialog 0", frame(Tag::Start, 9, 0, &start(Kind::Actor)), "P-L2"),
        ("used before", frame(Tag::Start, 1, 0, &start(Kind::Call)), "P-D1"),
        ("never began", frame(Tag::Start, 9, CONTINUED, empty), "P-D5"),
        ("never opened", frame(Tag::Yield, 9, 0, empty), "P-D5"),
        ("ours, never opened", frame(Tag::Yield, 88, 0, empty), "P-D5"),
        ("whole before", frame(Tag::Start, 1, CONTINUED, empty), "P-F3"),
        ("an opener acks nothing", frame(Tag::CancelAck, 1, 0, empty), "P-D2"),
        ("an opener returns nothing", frame(Tag::Return, 1, 0, empty), "P-D2"),
        ("unknown kind", vec![2, 0, 0, 0, 0x7f, 0], "P-F1"),
        ("trailing bytes", frame(Tag::Stop, 1, 0, b"x"), "P-F4"),
        ("a credit that is none", frame(Tag::Credit, 1, 0, &[]), "P-F4"),
        ("credit above the window", frame(Tag::Credit, 1, 0, &credit(4097, false)), "P-W1"),
        ("no dialog of a link's own", frame(Tag::Ping, 1, 0, empty), "P-F4"),
        ("continues nothing", frame(Tag::Yield, 1, CONTINUED, empty), "P-F3"),
        ("acks what was not asked", frame(Tag::CancelAck, 2, 0, empty), "P-C1"),
        ("acks twice", frame(Tag::StartAck, 2, 0, &[2, 0x80, 0x20]), "P-D6"),
        ("starts twice", frame(Tag::Started, 2, 0, empty), "P-D6"),
        ("a callee does not cancel", frame(Tag::Cancel, 2, 0, &encoded(&request())), "P-D2"),
        ("a long number", frame(Tag::Credit, 1, 0, &[0x81, 0x80, 0, 0]), "P-F4"),
    ];
    for (what, bytes, rule) in cases {
        let mut hostile = Hostile::new();
        hostile.served();
        hostile.opened();
        assert_eq!(hostile.says(bytes), Some(*rule), "{what}");
        assert!(hostile.end().core.is_closed());
    }
}

fn request() -> CancelRequest {
    cancel_by(2, Duration::from_secs(1))
}

#[test]
fn p_d3_nothing_follows_what_ends_a_direction() {
    // P-D3, P-D5, P-D6
    let mut hostile = Hostile::new();
    hostile.served();
    assert_eq!(hostile.says(&frame(Tag::Stop, 1, 0, b"")), None);
    assert_eq!(hostile.says(&frame(Tag::Yield, 1, 0, b"x")), Some("P-D6"));

    let mut hostile = Hostile::new();
    hostile.served();
    assert_eq!(hostile.says(&frame(Tag::Cancel, 1, 0, &encoded(&request()))), None);
    assert_eq!(hostile.says(&frame(Tag::Yield, 1, 0, b"x")), Some("P-D3"));

    let mut hostile = Hostile::new();
    let id = hostile.opened();
    assert_eq!(hostile.says(&frame(Tag::Return, id.number(), 0, b"x")), None);
    assert_eq!(hostile.says(&frame(Tag::Return, id.number(), 0, b"y")), Some("P-D5"));
    let caller = hostile.end().core.caller(id).unwrap();
    assert_eq!(caller.outcome(), Some(&Outcome::Returned(b"x".to_vec())), "once");
}

#[test]
fn p_d5_answers_to_a_start_of_which_nothing_was_written_are_violations() {
    // P-D5
    let mut hostile = Hostile::new();
    let id = hostile.pair.start(Kind::Call, b"");
    assert_eq!(hostile.says(&frame(Tag::Return, id.number(), 0, b"")), Some("P-D5"));
}

#[test]
fn p_f3_messages_that_break_into_others_are_violations() {
    // P-F3
    let mut hostile = Hostile::new();
    hostile.served();
    assert_eq!(hostile.says(&frame(Tag::Yield, 1, MORE, &[0; 500])), None);
    assert_eq!(hostile.says(&frame(Tag::Credit, 1, 0, &credit(0, true))), None, "control may");
    assert_eq!(hostile.says(&frame(Tag::Stop, 1, 0, b"")), Some("P-F3"));

    let mut hostile = Hostile::new();
    let id = hostile.opened().number();
    assert_eq!(hostile.says(&frame(Tag::Yield, id, MORE, &[0; 500])), None);
    assert_eq!(hostile.says(&frame(Tag::Return, id, 0, b"")), Some("P-F3"));
}

#[test]
fn p_f3_a_message_over_the_limit_ends_the_link() {
    // P-F3, P-F5
    let mut hostile = Hostile::new();
    let id = hostile.opened().number();
    let mut said = hostile.says(&frame(Tag::Return, id, MORE, &[0; 1024]));
    for _ in 1..16 {
        assert_eq!(said, None);
        said = hostile.says(&frame(Tag::Return, id, MORE | CONTINUED, &[0; 1024]));
    }
    assert_eq!(said, None, "exactly the limit");
    said = hostile.says(&frame(Tag::Return, id, CONTINUED, &[0]));
    assert_eq!(said, Some("P-F3"));
}

#[test]
fn p_w1_overspent_credit_ends_the_link() {
    // P-W1
    let mut hostile = Hostile::new();
    hostile.served();
    let mut sent = 0;
    while hostile.says(&frame(Tag::Yield, 1, 0, &[0; 496])).is_none() {
        sent += 512;
        assert!(sent <= 4096 + 512);
    }
    assert_eq!(hostile.end().broken(), Some("P-W1"));
    assert!(sent >= 4096 - 512, "{sent}: not before the window is spent");
}

#[test]
fn p_a2_dialogs_past_the_limit_are_refused_and_a_flood_of_them_ends_the_link() {
    // P-W5, P-A2
    let mut hostile = Hostile::new();
    let now = hostile.pair.now;
    for n in 0..8 {
        hostile.end().core.handle_input(now, &frame(Tag::Start, 2 * n + 1, 0, &start(Kind::Call)));
    }
    // Cancelling them frees nothing: this side has not finished them.
    for n in 0..8 {
        let cancel = frame(Tag::Cancel, 2 * n + 1, 0, &encoded(&request()));
        hostile.end().core.handle_input(now, &cancel);
    }
    assert_eq!(hostile.says(&frame(Tag::Start, 17, 0, &start(Kind::Call))), None);
    assert_eq!(hostile.end().core.live_dialogs(), 8, "its refusal is written, it is free");
    let mut n = 19;
    loop {
        hostile.end().core.handle_input(now, &frame(Tag::Start, n, 0, &start(Kind::Call)));
        n += 2;
        if hostile.end().broken().is_some() {
            break;
        }
        assert!(n < 100);
    }
    assert_eq!((hostile.end().broken(), n), (Some("P-W5"), 29), "four may wait, the fifth not");
}

#[test]
fn p_a4_floods_are_closed() {
    // P-A3, P-A4
    let big = vec![0; 1000];
    let floods: &[(&str, Vec<u8>)] = &[
        ("ping", frame(Tag::Ping, 0, 0, b"")),
        ("pong", frame(Tag::Pong, 0, 0, b"")),
        ("unknown", [&[2, 0, 0, 0, 0xff, 0][..]].concat()),
        ("cancel", frame(Tag::Cancel, 1, 0, &encoded(&request()))),
        ("empty credit", frame(Tag::Credit, 1, 0, &credit(0, true))),
        ("late", frame(Tag::Yield, 3, 0, &big)),
        ("late start", frame(Tag::Start, 3, CONTINUED, &big)),
    ];
    for (what, bytes) in floods {
        let mut hostile = Hostile::new();
        hostile.served();
        hostile.says(&frame(Tag::Start, 3, 0, &start(Kind::Call)));
        let id = hostile.end().incoming();
        let callee = hostile.end().core.callee(id).unwrap();
        callee.refuse(Refusal::Unknown, String::new());
        let now = hostile.pair.now;
        let _ = hostile.end().bytes(now);
        let mut count = 0;
        while hostile.says(bytes).is_none() {
            count += 1;
            assert!(count < 3000, "{what} goes on for ever");
        }
        assert_eq!(hostile.end().broken(), Some("P-A4"), "{what}");
        assert!(count >= 20, "{what}: {count}");
    }
}

#[test]
fn p_a4_tiny_fragments_are_not_free() {
    // P-A4
    let mut hostile = Hostile::new();
    let id = hostile.opened().number();
    assert_eq!(hostile.says(&frame(Tag::Return, id, MORE, b"")), None);
    for _ in 0..40 {
        hostile.says(&frame(Tag::Return, id, MORE | CONTINUED, b""));
    }
    assert_eq!(hostile.end().broken(), Some("P-A4"));
}

#[test]
fn p_a3_replies_to_a_peer_that_does_not_read_coalesce() {
    // P-A3
    let limits = Limits { misbehaviour_budget: 10_000, ..limits() };
    let mut pair = Pair::up_with(&limits);
    let now = pair.now;
    pair.a.core.handle_input(now, &frame(Tag::Start, 1, 0, &start(Kind::Call)));
    pair.a.core.callee(DialogId::new(1)).unwrap().accept();
    for _ in 0..200 {
        pair.a.core.handle_input(now, &frame(Tag::Ping, 0, 0, b""));
        let cancel = frame(Tag::Cancel, 1, 0, &encoded(&request()));
        pair.a.core.handle_input(now, &cancel);
    }
    assert_eq!(pair.a.broken(), None);
    assert!(pair.a.bytes(now).len() < 64);
}

#[test]
fn p_l2_a_child_serves_nothing_before_it_knows_what_it_is() {
    // P-L2
    let mut pair = Pair::family(&limits());
    pair.settle();
    pair.b.core.handle_input(pair.now, &frame(Tag::Start, 2, 0, &start(Kind::Call)));
    assert_eq!(pair.b.broken(), Some("P-L2"));
}

#[test]
fn p_l2_rpc_10_only_a_parent_cancels_an_actor() {
    // P-L2
    let mut hostile = Hostile::new();
    assert_eq!(hostile.says(&frame(Tag::Cancel, 0, 0, &encoded(&request()))), None);
    assert_eq!(hostile.end().count(&Event::CancelAsked(DialogId::ACTOR)), 0);
    let now = hostile.pair.now;
    let start = hostile.end().core.start(now, hatchery_tests::pair::wish(Kind::Call), b"");
    assert!(start.is_err(), "it got a `Goodbye`");

    let mut pair = Pair::family(&limits());
    pair.actor_up();
    let cancel = frame(Tag::Cancel, 0, 0, &encoded(&request()));
    pair.a.core.handle_input(pair.now, &cancel);
    assert_eq!(pair.a.broken(), Some("P-D2"));
}

#[test]
fn p_l3_a_second_goodbye_and_a_start_after_one_are_violations() {
    // P-L3
    let goodbye = frame(Tag::Goodbye, 0, 0, &[1]);
    for after in [goodbye.clone(), frame(Tag::Start, 3, 0, &start(Kind::Call))] {
        let mut hostile = Hostile::new();
        hostile.served();
        assert_eq!(hostile.says(&goodbye), None);
        assert_eq!(hostile.says(&after), Some("P-L3"));
    }
}

#[test]
fn p_d2_an_unknown_codec_is_refused_by_name() {
    // P-D2
    let mut hostile = Hostile::new();
    let unknown = encoded(&body::Start {
        endpoint: "x",
        kind: Kind::Call,
        schema: 0,
        codec: 9,
        credit: 4096,
        deadline: None,
        trace: None,
    });
    assert_eq!(hostile.says(&frame(Tag::Start, 1, 0, &unknown)), None);
    assert_eq!(hostile.end().count(&Event::Incoming(DialogId::new(1))), 0);
}

#[test]
fn p_a5_garbage_never_panics_and_ends_every_dialog_once() {
    // P-A1, P-A5, P-D4, P-L4
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for _ in 0..3000 {
        let mut hostile = Hostile::new();
        hostile.served();
        let id = hostile.opened();
        for _ in 0..20 {
            let tag = Tag::of((random() % 14 + 1) as u8).unwrap();
            let content: Vec<u8> = (0..random() % 24).map(|_| random() as u8 & 0x83).collect();
            hostile.says(&frame(tag, random() % 5, (random() % 4) as u8, &content));
        }
        let now = hostile.pair.now;
        hostile.end().core.handle_eof(now);
        assert_eq!(hostile.end().count(&Event::Finished(id)), 1);
        assert_eq!(hostile.end().count(&Event::Closed), 1);
        assert!(hostile.end().core.is_closed());
    }
}

#[test]
fn time_never_stands_still() {
    // after `handle_timeout(t)` the next deadline is later, or there is output
    let limits = Limits { liveness: Some((Duration::ZERO, Duration::ZERO)), ..limits() };
    let mut pair = Pair::up_with(&limits);
    pair.pass(Duration::from_secs(1));
    pair.a.core.handle_timeout(Instant::from_micros(0));
    pair.a.core.handle_timeout(Instant::FAR_FUTURE);
    assert!(pair.a.core.is_closed());
}

#[test]
fn p_d5_a_terminal_leaves_nothing_owed() {
    // P-D5
    let mut hostile = Hostile::new();
    let id = hostile.served();
    hostile.end().core.callee(id).unwrap().finish(Terminal::Cancelled(asked_by(1)));
    for late in [
        frame(Tag::Yield, 1, 0, b"late"),
        frame(Tag::Stop, 1, 0, b""),
        frame(Tag::Cancel, 1, 0, &encoded(&request())),
        frame(Tag::Credit, 1, 0, &credit(100, true)),
    ] {
        hostile.says(&late);
    }
    assert_eq!(hostile.says(b""), None);
    assert_eq!(hostile.says(&frame(Tag::CancelAck, 1, 0, b"")), Some("P-D5"));
}
