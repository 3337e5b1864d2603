//! Rules of the specification that need a scene of their own: what is held for a peer, who may wait
//! for whom, and what crosses what.

use std::time::Duration;

use hatchery_proto::wire::{CONTINUED, MORE, Tag, body, put_frame};
use hatchery_proto::{
    Cancelled, Cause, Code, Connection, DialogId, Event, Failure, Hop, Kind, Limits, Outcome, Recv,
    Report, SendError, StartWish, Terminal,
};
use hatchery_tests::pair::{Pair, actor, asked_by, cancel_by, small_limits, wish};

fn frame(tag: Tag, dialog: u64, flags: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_frame(&mut out, tag, DialogId::new(dialog), flags, |out| out.extend_from_slice(content));
    out
}

fn start(kind: Kind) -> Vec<u8> {
    let start = body::Start {
        endpoint: "x",
        kind,
        schema: 0,
        codec: 0,
        credit: 4096,
        deadline: None,
        trace: None,
    };
    postcard::to_allocvec(&start).unwrap()
}

/// Bytes that a connection holds, about: each is written as three characters, `0, `.
fn held(core: &Connection) -> usize {
    format!("{core:?}").len() / 3
}

#[test]
fn p_d1_numbers_only_rise_and_may_leave_gaps() {
    let mut pair = Pair::up();
    let first = pair.start(Kind::Call, b"");
    pair.a.core.caller(first).unwrap().cancel(pair.now, cancel_by(1, Duration::ZERO));
    let second = pair.start(Kind::Call, b"");
    let theirs = pair.b.core.start(pair.now, wish(Kind::Call), b"").unwrap();
    assert_eq!([first, second, theirs].map(DialogId::number), [2, 4, 1]);
    pair.settle();
    assert_eq!(pair.b.incoming(), second, "nothing was written of the first");
    pair.a.core.handle_input(pair.now, &frame(Tag::Start, u64::MAX, 0, &start(Kind::Call)));
    assert_eq!(pair.a.broken(), None, "a gap is legal");
    pair.a.core.handle_input(pair.now, &frame(Tag::Start, 3, 0, &start(Kind::Call)));
    assert_eq!(pair.a.broken(), Some("P-D1"), "a step back is not");
}

#[test]
fn p_d4_every_start_gets_one_terminal_whatever_becomes_of_it() {
    let mut pair = Pair::up();
    let ids: Vec<_> = (0..4).map(|_| pair.open(Kind::Call, b"")).collect();
    pair.finish(ids[0], Terminal::Return(Vec::new()));
    pair.finish(ids[1], Terminal::Cancelled(asked_by(2)));
    pair.a.core.caller(ids[2]).unwrap().cancel(pair.now, cancel_by(1, Duration::ZERO));
    pair.settle();
    pair.finish(ids[2], Terminal::Cancelled(asked_by(1)));
    pair.a.core.caller(ids[3]).unwrap().release(pair.now, asked_by(1));
    pair.settle();
    pair.finish(ids[3], Terminal::Return(vec![0; 100]));
    pair.settle();
    for id in &ids {
        assert_eq!(pair.b.count(&Event::Flushed(*id)), 1);
    }
    assert_eq!((pair.a.core.live_dialogs(), pair.b.core.live_dialogs()), (0, 0));
    assert_eq!((pair.a.broken(), pair.b.broken()), (None, None));
}

#[test]
fn p_w3_a_reader_that_is_away_delays_nobody_else() {
    let mut pair = Pair::up_with(&small_limits());
    let stuck = pair.context();
    let send = |pair: &mut Pair| pair.a.core.caller(stuck).unwrap().send(&[0; 500]);
    while send(&mut pair).is_ok() {}
    let back = |pair: &mut Pair| pair.b.core.callee(stuck).unwrap().send(&[0; 500]);
    while back(&mut pair).is_ok() {}
    pair.settle();
    for _ in 0..100 {
        let id = pair.open(Kind::Call, &[1; 2000]);
        pair.finish(id, Terminal::Return(vec![2; 2000]));
        pair.settle();
        assert_eq!(pair.outcome(id), Some(Outcome::Returned(vec![2; 2000])));
        pair.a.core.caller(id).unwrap().release(pair.now, asked_by(1));
    }
    assert_eq!(send(&mut pair), Err(SendError::Full), "it still waits");
}

#[test]
fn p_c6_both_sides_cancelling_at_once_come_to_one_outcome_each() {
    for callee_first in [true, false] {
        let mut pair = Pair::up();
        let id = pair.context();
        let by_callee = Cancelled { canceller: actor(2), cause: Cause::ScopeEnding };
        pair.a.core.caller(id).unwrap().cancel(pair.now, cancel_by(1, Duration::from_secs(1)));
        if callee_first {
            pair.finish(id, Terminal::Cancelled(by_callee.clone()));
            pair.settle();
        } else {
            pair.settle();
            assert!(pair.a.saw(&Event::CancelAcked(id)), "heard while its task still ends");
            pair.finish(id, Terminal::Cancelled(by_callee.clone()));
            pair.settle();
        }
        assert_eq!(pair.outcome(id), Some(Outcome::Cancelled(by_callee)));
        assert_eq!(pair.a.count(&Event::Finished(id)), 1);
        assert_eq!(pair.b.count(&Event::Flushed(id)), 1);
        assert_eq!((pair.a.broken(), pair.b.broken()), (None, None));
    }
}

#[test]
fn p_c6_a_cancel_amid_a_message_abandons_that_message_only() {
    let mut pair = Pair::up_with(&small_limits());
    let id = pair.context();
    pair.b.core.callee(id).unwrap().send(&[7; 900]).unwrap();
    pair.a.core.caller(id).unwrap().send(&[0; 30_000]).unwrap();
    pair.budget = 1;
    pair.step();
    pair.a.core.caller(id).unwrap().cancel(pair.now, cancel_by(1, Duration::from_secs(1)));
    pair.settle();
    assert_eq!(pair.received_at_b(id), (vec![], Recv::Ended), "half of one is none");
    pair.finish(id, Terminal::Cancelled(asked_by(1)));
    pair.settle();
    assert_eq!(pair.received_at_a(id), (vec![vec![7; 900]], Recv::Ended), "theirs arrives whole");
    assert_eq!((pair.a.broken(), pair.b.broken()), (None, None));
}

#[test]
fn p_c8_a_deadline_and_a_trace_arrive_as_they_were_sent() {
    let mut pair = Pair::up();
    let deadline = Some(Duration::new(3, 4));
    let wish = StartWish { deadline, trace: Some(b"trace"), ..wish(Kind::Call) };
    pair.a.core.start(pair.now, wish, b"").unwrap();
    pair.settle();
    let id = pair.b.incoming();
    let start = pair.b.core.callee(id).unwrap().take_start().unwrap();
    assert_eq!((start.deadline, start.trace), (deadline, Some(b"trace".to_vec())));
    let name = "n".repeat(255);
    let most = StartWish {
        endpoint: &name,
        schema: u64::MAX,
        deadline: Some(Duration::MAX),
        trace: Some(&[0; 640]),
        ..wish
    };
    assert!(pair.a.core.start(pair.now, most, b"").is_ok(), "the longest fits beside any name");
    let long = StartWish { trace: Some(&[0; 1000]), ..wish };
    assert!(pair.a.core.start(pair.now, long, b"").is_err(), "it has to fit into any frame (P-F3)");
}

/// Limits whose sum a test can reach.
fn bounded() -> Limits {
    Limits {
        max_frame: 2048,
        max_message: 16 * 1024,
        window: 4096,
        max_dialogs: 8,
        ..Limits::default()
    }
}

/// Says a message of `size` bytes in frames of 1 KiB.
fn say(core: &mut Connection, now: hatchery_proto::Instant, tag: Tag, dialog: u64, size: usize) {
    let frames = size / 1024;
    for number in 0..frames {
        let flags = if number == 0 { 0 } else { CONTINUED };
        let more = if number + 1 == frames { 0 } else { MORE };
        core.handle_input(now, &frame(tag, dialog, flags | more, &[0; 1024]));
    }
}

#[test]
fn p_f5_what_a_callee_holds_stays_within_what_it_announced() {
    let limits = bounded();
    let mut pair = Pair::up_with(&limits);
    let now = pair.now;
    let empty = held(&pair.a.core);
    let one = (limits.window + limits.max_message + limits.max_frame) as usize;
    for number in (1..16).step_by(2) {
        let core = &mut pair.a.core;
        core.handle_input(now, &frame(Tag::Start, number, 0, &start(Kind::Context)));
        let mut callee = core.callee(DialogId::new(number)).unwrap();
        drop(callee.take_start());
        callee.accept();
        callee.started(b"").unwrap();
        let mut out = Vec::new();
        assert!(core.poll_transmit(now, &mut out, usize::MAX) > 0);
        // One that leaves a little of the window, and then the largest there is.
        say(core, now, Tag::Yield, number, 3 * 1024);
        say(core, now, Tag::Yield, number, 16 * 1024);
    }
    // Announced, never sent.
    pair.a.core.handle_input(now, &2000_u32.to_le_bytes());
    assert_eq!(pair.a.broken(), None);
    let found = held(&pair.a.core) - empty;
    assert!(found < 8 * one + 8 * 1024, "{found} of {}", 8 * one);
    assert!(found > 8 * one * 3 / 4, "the test comes near: {found} of {}", 8 * one);
    say(&mut pair.a.core, now, Tag::Yield, 1, 1024);
    assert_eq!(pair.a.broken(), None, "a frame that was announced comes first");
}

#[test]
fn p_f5_what_an_opener_holds_stays_within_what_it_announced() {
    let limits = bounded();
    let mut pair = Pair::up_with(&limits);
    let now = pair.now;
    let empty = held(&pair.a.core);
    let one = (limits.window + 2 * limits.max_message + limits.max_frame) as usize;
    for _ in 0..8 {
        let id = pair.context().number();
        say(&mut pair.a.core, now, Tag::Yield, id, 3 * 1024);
        say(&mut pair.a.core, now, Tag::Yield, id, 16 * 1024);
        say(&mut pair.a.core, now, Tag::Return, id, 16 * 1024);
    }
    assert_eq!(pair.a.broken(), None);
    assert!(pair.a.core.start(now, wish(Kind::Call), b"").is_ok(), "the slots are free");
    let found = held(&pair.a.core) - empty;
    assert!(found < 8 * one + 8 * 1024, "{found} of {}", 8 * one);
    assert!(found > 8 * one * 3 / 4, "the test comes near: {found} of {}", 8 * one);
}

#[test]
fn p_w1_what_is_given_back_after_a_cancel_is_bounded_all_the_same() {
    let mut pair = Pair::up();
    let id = pair.context();
    let mut caller = pair.a.core.caller(id).unwrap();
    caller.send(&[0; 984]).unwrap();
    caller.cancel(pair.now, cancel_by(1, Duration::from_secs(1)));
    let credit =
        |bytes| postcard::to_allocvec(&body::Credit { bytes, done: body::Done::No }).unwrap();
    let now = pair.now;
    pair.a.core.handle_input(now, &frame(Tag::Credit, id.number(), 0, &credit(1000)));
    assert_eq!(pair.a.broken(), None, "it was sent before the cancel");
    for _ in 0..1000 {
        pair.a.core.handle_input(now, &frame(Tag::Credit, id.number(), 0, &credit(1000)));
    }
    assert_eq!(pair.a.broken(), Some("P-W1"), "nothing that a peer may repeat is free (P-A4)");
}

#[test]
fn p_f5_a_report_keeps_no_room_for_what_was_cut_from_it() {
    let mut pair = Pair::up();
    let id = pair.open(Kind::Call, b"");
    let mut report = Report::new((2, 1), Code::Error, actor(2), "x".repeat(20_000));
    report.sources = vec![String::new(); 20_000];
    report.hops = vec![Hop { actor: actor(2), task: String::new() }; 1000];
    let failure = Failure::Failed(Box::new(report));
    let content = postcard::to_allocvec(&failure).unwrap();
    pair.a.core.handle_input(pair.now, &frame(Tag::Error, id.number(), 0, &content));
    let caller = pair.a.core.caller(id).unwrap();
    let Some(Outcome::Failed { report, .. }) = caller.outcome() else { panic!("{caller:?}") };
    assert!(report.truncated);
    let limits = Limits::default();
    assert!(report.sources.capacity() <= limits.max_report_chain, "{}", report.sources.capacity());
    assert!(report.hops.capacity() <= limits.max_report_chain, "{}", report.hops.capacity());
    assert!(report.message.capacity() <= limits.max_report_text, "{}", report.message.capacity());
}

#[test]
fn p_l5_no_parent_and_no_child_is_given_up_for_its_silence() {
    let limits = Limits {
        liveness: Some((Duration::from_secs(10), Duration::from_secs(5))),
        ..Limits::default()
    };
    let mut pair = Pair::family(&limits);
    pair.actor_up();
    pair.pass(Duration::from_secs(1000));
    pair.pass(Duration::from_secs(1000));
    assert!(!pair.a.core.wants_transmit() && !pair.a.core.is_closed(), "the kernel tells its end");
    assert!(!pair.b.core.wants_transmit() && !pair.b.core.is_closed());
    assert_eq!(pair.a.core.poll_timeout(), None);
}

#[test]
fn p_f1_kinds_of_later_versions_are_skipped_wherever_they_stand() {
    let mut pair = Pair::up();
    let id = pair.context();
    let mut bytes = Vec::new();
    for (kind, dialog) in [(0x80, 0), (0xff, id.number()), (0x90, 77)] {
        let content = [kind, dialog as u8, 1, 2, 3];
        bytes.extend_from_slice(&(content.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&content);
    }
    let value = frame(Tag::Yield, id.number(), 0, b"value");
    for part in [&bytes, &value, &bytes] {
        pair.a.core.handle_input(pair.now, part);
    }
    assert_eq!(pair.received_at_a(id), (vec![b"value".to_vec()], Recv::Empty));
    assert_eq!(pair.a.broken(), None);
}

/// A link whose peer has brought one dialog to a state, and where its frames go.
struct Scene {
    name: &'static str,
    pair: Pair,
    id: u64,
}

/// What a peer can have made of a dialog: its own, and one of ours.
fn scenes() -> Vec<Scene> {
    let limits = Limits { misbehaviour_budget: 32, max_dialogs: 4, max_refusals: 2, ..bounded() };
    let mut scenes = Vec::new();
    for step in 0..6 {
        let mut pair = Pair::up_with(&limits);
        let now = pair.now;
        let names = ["asked for", "accepted", "started", "cancelled", "finished", "gone"];
        pair.a.core.handle_input(now, &frame(Tag::Start, 1, 0, &start(Kind::Context)));
        let mut callee = pair.a.core.callee(DialogId::new(1)).unwrap();
        if step >= 1 {
            drop(callee.take_start());
            callee.accept();
        }
        if step >= 2 {
            callee.started(b"").unwrap();
            drop(pair.a.bytes(now));
        }
        if step == 3 {
            let request = postcard::to_allocvec(&cancel_by(2, Duration::ZERO)).unwrap();
            pair.a.core.handle_input(now, &frame(Tag::Cancel, 1, 0, &request));
        }
        if step >= 4 {
            let callee = pair.a.core.callee(DialogId::new(1)).unwrap();
            callee.finish(Terminal::Return(vec![0; 5000]));
        }
        if step == 5 {
            drop(pair.a.bytes(now));
        }
        scenes.push(Scene { name: names[step], pair, id: 1 });
    }
    for step in 0..6 {
        let mut pair = Pair::up_with(&limits);
        let names = ["opened", "served", "streaming", "ours cancelled", "ended", "let go"];
        let now = pair.now;
        let id = match step {
            0 => {
                let id = pair.start(Kind::Context, b"");
                drop(pair.a.bytes(now));
                id
            }
            1 => pair.open(Kind::Context, b""),
            _ => pair.context(),
        };
        if step >= 2 {
            pair.a.core.caller(id).unwrap().send(&[0; 2000]).unwrap();
        }
        match step {
            3 => {
                pair.a.core.caller(id).unwrap().cancel(now, cancel_by(1, Duration::ZERO));
                drop(pair.a.bytes(now));
            }
            4 => {
                pair.finish(id, Terminal::Return(Vec::new()));
                pair.settle();
            }
            5 => {
                pair.a.core.caller(id).unwrap().release(now, asked_by(1));
                drop(pair.a.bytes(now));
            }
            _ => {}
        }
        scenes.push(Scene { name: names[step], pair, id: id.number() });
    }
    scenes
}

/// Every message that a peer can say of a dialog, each in several sizes.
fn sayings(id: u64) -> Vec<Vec<u8>> {
    let encoded = |bytes, done| postcard::to_allocvec(&body::Credit { bytes, done }).unwrap();
    let request = postcard::to_allocvec(&cancel_by(2, Duration::ZERO)).unwrap();
    let ack = postcard::to_allocvec(&body::StartAck { kind: Kind::Context, credit: 4096 });
    let mut all = vec![
        frame(Tag::StartAck, id, 0, &ack.unwrap()),
        frame(Tag::Stop, id, 0, b""),
        frame(Tag::Cancel, id, 0, &request),
        frame(Tag::CancelAck, id, 0, b""),
        frame(Tag::Credit, id, 0, &encoded(0, body::Done::No)),
        frame(Tag::Credit, id, 0, &encoded(0, body::Done::Gone)),
        frame(Tag::Credit, id, 0, &encoded(1, body::Done::No)),
        frame(Tag::Credit, id, 0, &encoded(4000, body::Done::Overrun)),
        frame(Tag::Ping, 0, 0, b""),
        frame(Tag::Pong, 0, 0, b""),
        frame(Tag::Goodbye, 0, 0, &[1]),
        frame(Tag::Cancel, 0, 0, &request),
        vec![2, 0, 0, 0, 0xff, 0],
    ];
    for failure in [
        Failure::Refused(hatchery_proto::Refusal::Unknown, String::new()),
        Failure::Cancelled(asked_by(2)),
    ] {
        all.push(frame(Tag::Error, id, 0, &postcard::to_allocvec(&failure).unwrap()));
    }
    for tag in [Tag::Started, Tag::Yield, Tag::Return, Tag::Start] {
        for flags in [0, MORE, CONTINUED, MORE | CONTINUED] {
            for size in [0, 1, 255, 256, 1000] {
                let content = match (tag, flags & CONTINUED) {
                    (Tag::Start, 0) => start(Kind::Context),
                    _ => vec![0; size],
                };
                all.push(frame(tag, id, flags, &content));
            }
        }
    }
    all
}

#[test]
fn p_a4_nothing_can_be_said_for_ever() {
    for place in 0..scenes().len() {
        for saying in 0..sayings(1).len() {
            let Scene { name, mut pair, id } = scenes().swap_remove(place);
            let said = &sayings(id)[saying];
            let before = held(&pair.a.core);
            let mut times = 0;
            while pair.a.broken().is_none() {
                pair.a.core.handle_input(pair.now, said);
                pair.a.look();
                times += 1;
                assert!(times < 20_000, "{name}: {said:?} goes on for ever");
            }
            // P-F5, P-A3: nor does it make anything grow meanwhile.
            let grown = held(&pair.a.core).saturating_sub(before);
            assert!(grown < 64 * 1024, "{name}: {said:?} leaves {grown} bytes");
        }
    }
}

#[test]
fn p_a4_nothing_can_be_said_for_ever_while_it_is_read() {
    // The same with a reader that takes and writes everything at once.
    for place in 0..scenes().len() {
        for saying in 0..sayings(1).len() {
            let Scene { name, mut pair, id } = scenes().swap_remove(place);
            let said = &sayings(id)[saying];
            let mut times = 0;
            let mut value = Vec::new();
            while !pair.a.core.is_closed() && times < 3000 {
                pair.a.core.handle_input(pair.now, said);
                if let Some(mut caller) = pair.a.core.caller(DialogId::new(id)) {
                    while caller.recv(&mut value) == Recv::Value {}
                }
                if let Some(mut callee) = pair.a.core.callee(DialogId::new(id)) {
                    while callee.recv(&mut value) == Recv::Value {}
                }
                drop(pair.a.bytes(pair.now));
                pair.a.look();
                pair.a.events.retain(|event| matches!(event, Event::Broken(_)));
                times += 1;
            }
            // But for values that somebody takes.
            let is_value = said[4] == Tag::Yield as u8 && said[6] == 0;
            let taken = ["started", "streaming", "ours cancelled", "let go"].contains(&name);
            assert!(times < 3000 || is_value && taken, "{name}: {said:?} goes on for ever");
        }
    }
}
