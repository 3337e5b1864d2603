//! Where a link draws its lines between what is taken and what is not: the last name, the last head
//! and the last moment that are fine, and the first that are not.

use std::time::Duration;

use hatchery_proto::wire::{CONTINUED, MORE, Tag, body, put_frame};
use hatchery_proto::{
    ActorId, CancelRequest, Cancelled, Cause, Code, Config, Connection, DialogId, Event,
    GoodbyeReason, Hop, Instant, Kind, Limits, LinkKind, LostCause, Misuse, Outcome, Refusal,
    Report, Role, SendError, StartWish, Terminal,
};
use hatchery_tests::pair::{Pair, actor, asked_by, cancel_by, small_limits, wish};

#[test]
fn p_l2_the_actor_is_over_from_the_end_of_its_task() {
    let mut pair = Pair::family(&Limits::default());
    pair.actor_up();
    assert!(!pair.a.core.actor_is_over() && !pair.b.core.actor_is_over());
    pair.finish(DialogId::ACTOR, Terminal::Return(Vec::new()));
    assert!(pair.b.core.actor_is_over(), "before anything of it is written");
    // One that is cancelled before its specification is whole never begins.
    let mut pair = Pair::family(&small_limits());
    pair.settle();
    pair.a.core.start_actor(pair.now, &[7; 5000]).unwrap();
    pair.budget = 1;
    pair.step();
    let mut actor = pair.a.core.caller(DialogId::ACTOR).unwrap();
    actor.cancel(pair.now, cancel_by(1, Duration::ZERO));
    assert!(!pair.b.core.actor_is_over());
    pair.forth();
    assert!(pair.b.core.actor_is_over());
}

#[test]
fn p_l4_a_link_that_is_gone_opens_nothing_however_it_went() {
    // Nothing more will be read, but the parent waits for the exit status.
    let mut pair = Pair::family(&Limits::default());
    pair.actor_up();
    pair.a.core.handle_eof(pair.now);
    assert!(!pair.a.core.is_closed());
    assert_eq!(pair.a.core.start(pair.now, wish(Kind::Call), b""), Err(Misuse::LinkGone));
    // It is closed, but no end-of-file has come.
    let mut pair = Pair::up();
    pair.a.core.handle_input(pair.now, &[0, 0, 0, 0]);
    assert!(pair.a.core.is_closed());
    assert_eq!(pair.a.core.start(pair.now, wish(Kind::Call), b""), Err(Misuse::LinkGone));
}

#[test]
fn p_f3_the_longest_name_of_an_endpoint_is_taken_and_one_byte_more_is_not() {
    let mut pair = Pair::up_with(&Limits { max_name: 20, ..Limits::default() });
    let name = "n".repeat(21);
    let named = |size: usize| StartWish { endpoint: &name[..size], ..wish(Kind::Call) };
    for size in [0, 19, 20] {
        let id = pair.a.core.start(pair.now, named(size), b"").unwrap();
        pair.settle();
        assert_eq!(pair.b.incoming(), id);
        let start = pair.b.core.callee(id).unwrap().take_start().unwrap();
        assert_eq!(start.endpoint.len(), size);
    }
    let refused = pair.a.core.start(pair.now, named(21), b"");
    assert_eq!(refused, Err(Misuse::NameTooLong { max: 20 }));
    assert_eq!((pair.a.broken(), pair.b.broken()), (None, None));
}

#[test]
fn p_f2_the_head_of_a_start_fills_the_smallest_frame_and_not_one_byte_more() {
    let max = (Limits::FLOOR - Limits::HEADER_ROOM) as usize;
    let mut pair = Pair::up();
    let trace = [7; 1024];
    let mut traced = |size: usize| {
        let wish = StartWish { trace: Some(&trace[..size]), ..wish(Kind::Call) };
        pair.a.core.start(pair.now, wish, b"")
    };
    let first = (0..trace.len()).find_map(|size| Some((size, traced(size).err()?)));
    let (size, error) = first.expect("a head that is too large");
    assert_eq!(error, Misuse::TooLarge { size: max + 1, max }, "a trace of {size} bytes");
}

#[test]
fn a_failure_of_the_core_is_told_apart_from_those_of_other_links() {
    // The same actor and the same dialog; only the other end differs.
    let number = |uuid: u128| {
        let now = Instant::from_micros(1);
        let core = |role, uuid| {
            let me = ActorId { uuid, ..actor(1) };
            let config = Config { kind: LinkKind::Peer, role, me, limits: Limits::default() };
            Connection::new(config, now)
        };
        let (mut opener, mut callee) = (core(Role::Even, uuid), core(Role::Odd, 1));
        let id = opener.start(now, wish(Kind::Context), b"").unwrap();
        for _ in 0..3 {
            let mut bytes = Vec::new();
            let _ = opener.poll_transmit(now, &mut bytes, usize::MAX);
            callee.handle_input(now, &bytes);
            if let Some(callee) = callee.callee(id) {
                callee.finish(Terminal::Return(Vec::new()));
            }
            bytes.clear();
            let _ = callee.poll_transmit(now, &mut bytes, usize::MAX);
            opener.handle_input(now, &bytes);
        }
        match opener.caller(id).unwrap().outcome() {
            Some(Outcome::Failed { report, .. }) => report.id.1,
            other => panic!("{other:?}"),
        }
    };
    let numbers = [2, 3, u128::MAX].map(number);
    assert!(numbers.iter().all(|number| number >> 63 == 1), "apart from those of users");
    assert!(numbers[0] != numbers[1] && numbers[1] != numbers[2], "{numbers:x?}");
}

#[test]
fn p_d8_who_ends_unread_gives_back_the_credit_before_its_terminal() {
    let mut pair = Pair::up_with(&small_limits());
    let id = pair.context();
    while pair.a.core.caller(id).unwrap().send(&[7; 200]) != Err(SendError::Full) {}
    pair.settle();
    pair.finish(id, Terminal::Return(vec![7; 5000]));
    pair.budget = 1;
    pair.step();
    assert!(pair.a.saw(&Event::Writable(id)), "{:?}", pair.a.events);
    assert_eq!(pair.outcome(id), None);
}

#[test]
fn p_a4_what_was_sent_before_a_terminal_came_is_free_and_no_frame_more() {
    // The window that was left, one message, and eight frames of control.
    let limits = Limits { misbehaviour_budget: 0, max_message: 1024, ..small_limits() };
    let late = |frames: i64| {
        let mut pair = Pair::up_with(&limits);
        let id = pair.open(Kind::Context, b"");
        let left = pair.b.core.ledger(id).unwrap().allowance;
        assert_eq!(left % 16, 0, "so that frames that cost 16 spend it exactly");
        let message = 1024 + 2 * 16;
        pair.finish(id, Terminal::Return(Vec::new()));
        let _ = pair.b.bytes(pair.now);
        let mut stop = Vec::new();
        put_frame(&mut stop, Tag::Stop, id, 0, |_| ());
        for _ in 0..(left + message) / 16 + frames {
            pair.b.core.handle_input(pair.now, &stop);
        }
        pair.b.broken()
    };
    assert_eq!((late(8), late(9)), (None, Some("P-A4")));
}

#[test]
fn p_f3_an_error_is_one_frame_whatever_is_in_its_report() {
    let limits = Limits { max_report_text: 1, max_name: 2000, ..small_limits() };
    let mut pair = Pair::peers(&small_limits(), &limits);
    pair.settle();
    let id = pair.context();
    let long = ActorId { name: "n".repeat(2000), ..actor(7) };
    let mut report = Report::new((1, 1), Code::Error, long.clone(), "what".to_owned());
    report.hops = vec![Hop { actor: long, task: "t".repeat(2000) }; 64];
    pair.finish(id, Terminal::Failed { report: Box::new(report), payload: Vec::new() });
    pair.settle();
    assert_eq!(pair.a.broken(), None);
    let Some(Outcome::Failed { report, .. }) = pair.outcome(id) else {
        panic!("{:?}", pair.outcome(id))
    };
    assert!(report.truncated);
    assert_eq!((&*report.message, report.id, report.code), ("…", (1, 1), Code::Error));
    assert_eq!((report.origin.uuid, report.origin.name.len()), (actor(7).uuid, 64));
}

#[test]
fn p_f3_a_report_that_fills_its_frame_is_told_as_it_is() {
    let mut pair = Pair::up_with(&small_limits());
    for size in 700..1000 {
        let id = pair.open(Kind::Call, b"");
        let report = Report::new((1, 1), Code::Error, actor(7), "x".repeat(size));
        pair.finish(id, Terminal::Failed { report: Box::new(report), payload: Vec::new() });
        pair.settle();
        let Some(Outcome::Failed { report, .. }) = pair.outcome(id) else {
            panic!("{:?}", pair.outcome(id))
        };
        assert!(report.message.len() > 400, "{size}: {:?}", report.message);
        pair.a.core.caller(id).unwrap().release(pair.now, asked_by(1));
    }
}

#[test]
fn p_f3_a_cancel_is_one_frame_whatever_its_canceller_says() {
    for (size, told) in [(255, 255), (256, 256), (257, 256), (400, 256)] {
        let limits = Limits { max_name: 1000, ..small_limits() };
        let mut pair = Pair::up_with(&limits);
        let id = pair.context();
        let canceller = ActorId { name: "n".repeat(size), ..actor(7) };
        let report = Report::new((1, 1), Code::Error, actor(7), "x".repeat(5000));
        let by = Cancelled { canceller, cause: Cause::OpenerFailed(Box::new(report)) };
        let request = CancelRequest { by, grace: Duration::ZERO };
        pair.a.core.caller(id).unwrap().cancel(pair.now, request);
        pair.settle();
        assert_eq!((pair.a.broken(), pair.b.broken()), (None, None));
        let callee = pair.b.core.callee(id).unwrap();
        let request = callee.cancel_request().unwrap();
        assert_eq!(request.by.canceller.name.len(), told);
        assert_eq!(request.by.canceller.name.ends_with('…'), told != size);
    }
}

#[test]
fn p_f5_what_is_held_for_the_peer_is_told() {
    let mut pair = Pair::up();
    let books = |pair: &mut Pair| [&pair.a, &pair.b].map(|end| end.core.held());
    let context = pair.context();
    assert_eq!(books(&mut pair), [0, 0]);
    pair.a.core.caller(context).unwrap().send(&[7; 100]).unwrap();
    pair.b.core.callee(context).unwrap().send(&[7; 30]).unwrap();
    pair.settle();
    assert_eq!(books(&mut pair), [30, 100], "values that nobody has read");
    let call = pair.start(Kind::Call, &[7; 1000]);
    pair.settle();
    assert_eq!(pair.b.incoming(), call);
    assert_eq!(books(&mut pair), [30, 1100], "arguments that nobody has taken");
    pair.b.core.callee(call).unwrap().accept();
    pair.finish(call, Terminal::Return(vec![7; 500]));
    pair.settle();
    assert_eq!(books(&mut pair), [530, 100], "a value that was returned");
    pair.a.core.caller(call).unwrap().release(pair.now, asked_by(1));
    let call = pair.open(Kind::Call, b"");
    let report = Report::new((1, 1), Code::Error, actor(2), String::new());
    pair.finish(call, Terminal::Failed { report: Box::new(report), payload: vec![7; 300] });
    pair.settle();
    assert_eq!(books(&mut pair), [330, 100], "the typed form of an error");
    let first = pair.open(Kind::Context, b"");
    pair.b.core.callee(first).unwrap().started(&[7; 40]).unwrap();
    pair.settle();
    assert_eq!(books(&mut pair), [370, 100], "a first value");
    let mut part = Vec::new();
    pair.b.core.callee(first).unwrap().send(&[7; 70_000]).unwrap();
    let _ = pair.b.core.poll_transmit(pair.now, &mut part, 1);
    pair.a.core.handle_input(pair.now, &part);
    let held = pair.a.core.held() - 370;
    assert!((60_000..70_000).contains(&held), "a part of a value: {held}");
    // A frame of which the last byte is missing, behind its length.
    let mut pair = Pair::up();
    let id = pair.context();
    let frame = fragment(Tag::Yield, id, 0, 100);
    pair.b.core.handle_input(pair.now, &frame[..frame.len() - 1]);
    assert_eq!(pair.b.core.held(), frame.len() - 1, "a part of a frame");
    pair.b.core.handle_input(pair.now, &frame[frame.len() - 1..]);
    assert_eq!(pair.b.core.held(), 100);
}

#[test]
fn p_d9_a_dialog_that_is_over_takes_a_place_until_its_handle_is_gone() {
    let mut pair = Pair::up();
    let id = pair.open(Kind::Call, b"");
    let places = |pair: &Pair| [&pair.a, &pair.b].map(|end| end.core.known_dialogs());
    let live = |pair: &Pair| [&pair.a, &pair.b].map(|end| end.core.ledger(id).map(|it| it.live));
    assert_eq!((places(&pair), live(&pair)), ([1, 1], [Some(true), Some(true)]));
    pair.finish(id, Terminal::Return(Vec::new()));
    pair.settle();
    assert_eq!((places(&pair), live(&pair)), ([1, 0], [Some(false), None]));
    pair.a.core.caller(id).unwrap().release(pair.now, asked_by(1));
    assert_eq!((places(&pair), live(&pair)), ([0, 0], [None, None]));
}

#[test]
fn p_c1_a_shorter_grace_for_what_was_given_up_on_sets_no_deadline() {
    let mut pair = Pair::up();
    let id = pair.context();
    let long = Duration::from_secs(2);
    pair.a.core.caller(id).unwrap().cancel(pair.now, cancel_by(1, long));
    pair.settle();
    pair.pass(long * 2);
    assert_eq!(pair.outcome(id), Some(Outcome::Lost(LostCause::Unresponsive)));
    pair.a.core.caller(id).unwrap().cancel(pair.now, cancel_by(1, long / 2));
    assert_eq!(pair.a.core.poll_timeout(), None);
}

#[test]
fn p_l3_a_goodbye_is_answered_once_nothing_is_open() {
    let mut pair = Pair::up();
    let id = pair.context();
    pair.a.core.goodbye(pair.now, GoodbyeReason::LinkOnly);
    pair.settle();
    assert!(pair.b.saw(&Event::Goodbye(GoodbyeReason::LinkOnly)));
    let answer = Event::Goodbye(GoodbyeReason::LinkOnly);
    assert_eq!(pair.a.count(&answer), 0, "its dialog is open");
    pair.finish(id, Terminal::Return(Vec::new()));
    pair.settle();
    assert_eq!(pair.a.count(&answer), 1);
    assert!(pair.a.core.is_closed() && pair.b.core.is_closed());
}

#[test]
fn p_l4_who_knows_of_no_task_or_of_its_end_is_not_told_again() {
    let mut pair = Pair::up_with(&small_limits());
    let running = pair.context();
    let finished = pair.context();
    let released = pair.context();
    let partial = pair.start(Kind::Call, &[7; 5000]);
    pair.a.core.caller(released).unwrap().release(pair.now, asked_by(1));
    let mut bytes = pair.a.bytes(pair.now);
    // Less than the last fragment of the arguments.
    bytes.truncate(bytes.len() - 8);
    pair.b.core.handle_input(pair.now, &bytes);
    pair.finish(finished, Terminal::Return(Vec::new()));
    pair.a.core.handle_eof(pair.now);
    pair.b.core.handle_eof(pair.now);
    let told = [running, finished, released, partial].map(|id| {
        let event = Event::Finished(id);
        (pair.a.count(&event), pair.b.count(&event))
    });
    assert_eq!(told, [(1, 1), (1, 0), (0, 1), (1, 0)]);
}

#[test]
fn p_d8_a_first_value_that_nobody_waits_for_is_credited() {
    let mut pair = Pair::up_with(&small_limits());
    let id = pair.open(Kind::Context, b"");
    pair.a.core.caller(id).unwrap().release(pair.now, asked_by(1));
    let mut callee = pair.b.core.callee(id).unwrap();
    callee.started(&[7; 1100]).unwrap();
    assert_eq!(callee.send(b"more"), Err(SendError::Full));
    pair.settle();
    assert!(pair.b.saw(&Event::Writable(id)));
}

#[test]
fn p_w1_a_sender_that_waits_is_told_once_there_is_credit_and_no_other() {
    let mut pair = Pair::up_with(&small_limits());
    let id = pair.context();
    let credit = |bytes| {
        let content = postcard::to_allocvec(&body::Credit { bytes, done: body::Done::No }).unwrap();
        let mut out = Vec::new();
        put_frame(&mut out, Tag::Credit, id, 0, |out| out.extend(&content));
        out
    };
    let mut caller = pair.a.core.caller(id).unwrap();
    caller.send(&[7; 2000]).unwrap();
    let spent = u32::try_from(-pair.a.core.ledger(id).unwrap().balance).unwrap();
    let _ = pair.a.bytes(pair.now);
    pair.a.core.handle_input(pair.now, &credit(1));
    assert_eq!(pair.a.count(&Event::Writable(id)), 0, "nobody waits");
    assert_eq!(pair.a.core.caller(id).unwrap().send(b""), Err(SendError::Full));
    pair.a.core.handle_input(pair.now, &credit(spent - 1));
    assert_eq!(pair.a.core.ledger(id).unwrap().balance, 0);
    assert_eq!(pair.a.count(&Event::Writable(id)), 0, "nothing may begin yet");
    pair.a.core.handle_input(pair.now, &credit(1));
    assert_eq!(pair.a.count(&Event::Writable(id)), 1);
    assert_eq!((pair.a.broken(), pair.a.core.caller(id).unwrap().send(b"")), (None, Ok(())));
}

#[test]
fn p_f3_what_a_cancel_says_is_cut_to_the_limits_of_who_reads_it() {
    let few = Limits { max_report_text: 100, ..Limits::default() };
    let by = || {
        let report = Report::new((1, 1), Code::Error, actor(7), "x".repeat(5000));
        Cancelled { canceller: actor(7), cause: Cause::OpenerFailed(Box::new(report)) }
    };
    let told = |by: &Cancelled| match &by.cause {
        Cause::OpenerFailed(report) => (report.message.len(), report.truncated),
        other => panic!("{other:?}"),
    };
    let mut pair = Pair::peers(&Limits::default(), &few);
    pair.settle();
    let id = pair.context();
    let request = CancelRequest { by: by(), grace: Duration::ZERO };
    pair.a.core.caller(id).unwrap().cancel(pair.now, request);
    pair.settle();
    let callee = pair.b.core.callee(id).unwrap();
    assert_eq!(told(&callee.cancel_request().unwrap().by), (100, true));
    let mut pair = Pair::peers(&few, &Limits::default());
    pair.settle();
    let id = pair.context();
    pair.finish(id, Terminal::Cancelled(by()));
    pair.settle();
    match pair.outcome(id) {
        Some(Outcome::Cancelled(by)) => assert_eq!(told(&by), (100, true)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn p_l5_a_ping_or_its_answer_alone_is_worth_writing() {
    let liveness = Some((Duration::from_secs(2), Duration::from_secs(1)));
    let mut pair = Pair::up_with(&Limits { liveness, ..Limits::default() });
    assert!(!pair.a.core.wants_transmit() && !pair.b.core.wants_transmit());
    pair.pass(Duration::from_secs(2));
    assert!(pair.a.core.wants_transmit(), "its own ping");
    let mut pair = Pair::up();
    let mut ping = Vec::new();
    put_frame(&mut ping, Tag::Ping, DialogId::ACTOR, 0, |_| ());
    pair.a.core.handle_input(pair.now, &ping);
    assert!(pair.a.core.wants_transmit(), "the answer to one");
}

#[test]
fn p_a4_one_ping_a_second_is_free() {
    let mut ping = Vec::new();
    put_frame(&mut ping, Tag::Ping, DialogId::ACTOR, 0, |_| ());
    let limits = Limits { misbehaviour_budget: 0, ..Limits::default() };
    let second = Duration::from_secs(1);
    for (period, broken) in [(second, None), (second - Duration::from_micros(1), Some("P-A4"))] {
        let mut pair = Pair::up_with(&limits);
        for _ in 0..3 {
            pair.pass(period);
            pair.a.core.handle_input(pair.now, &ping);
        }
        assert_eq!(pair.a.broken(), broken, "each {period:?}");
    }
}

#[test]
fn p_w3_however_small_the_budget_one_frame_is_written() {
    let mut pair = Pair::up();
    let id = pair.context();
    for _ in 0..2 {
        pair.a.core.caller(id).unwrap().send(b"x").unwrap();
    }
    let mut out = Vec::new();
    let frame = pair.a.core.poll_transmit(pair.now, &mut out, 0);
    assert!(frame > 0);
    assert_eq!(pair.a.core.poll_transmit(pair.now, &mut out, 1), frame);
    assert_eq!(pair.a.core.poll_transmit(pair.now, &mut out, 1), 0);
}

#[test]
fn p_c7_rpc_13_who_ends_refuses_what_was_on_its_way() {
    let mut pair = Pair::family(&Limits::default());
    pair.actor_up();
    let id = pair.start(Kind::Call, b"");
    pair.finish(DialogId::ACTOR, Terminal::Return(Vec::new()));
    pair.settle();
    match pair.outcome(id) {
        Some(Outcome::Refused(Refusal::ShuttingDown, _)) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!((pair.a.broken(), pair.b.broken()), (None, None));
}

#[test]
fn p_f4_a_peer_names_no_endpoint_that_is_longer_than_may_be() {
    let short = Limits { max_name: 20, ..Limits::default() };
    for (size, broken) in [(20, None), (21, Some("P-F4"))] {
        let mut pair = Pair::peers(&Limits::default(), &short);
        pair.settle();
        let name = "n".repeat(size);
        let wish = StartWish { endpoint: &name, ..wish(Kind::Call) };
        pair.a.core.start(pair.now, wish, b"").unwrap();
        pair.settle();
        assert_eq!(pair.b.broken(), broken, "{size} bytes");
    }
}

/// A frame of this dialog with so many bytes.
fn fragment(tag: Tag, id: DialogId, flags: u8, size: usize) -> Vec<u8> {
    let mut out = Vec::new();
    put_frame(&mut out, tag, id, flags, |out| out.resize(out.len() + size, 7));
    out
}

#[test]
fn p_a4_small_fragments_are_not_free_but_where_a_start_shares_its_room() {
    let limits = Limits { misbehaviour_budget: 0, ..Limits::default() };
    for (size, broken) in [(257, None), (256, None), (255, Some("P-A4"))] {
        for (flags, first) in [(MORE, 1), (MORE | CONTINUED, 1000)] {
            let mut pair = Pair::up_with(&limits);
            let id = pair.context();
            if flags & CONTINUED != 0 {
                pair.b.core.handle_input(pair.now, &fragment(Tag::Yield, id, MORE, first));
            }
            pair.b.core.handle_input(pair.now, &fragment(Tag::Yield, id, flags, size));
            assert_eq!(pair.b.broken(), broken, "{size} bytes, flags {flags}");
        }
    }
    // The head of a `Start` and one byte of its arguments, then one byte more.
    let mut opener = Pair::up_with(&limits);
    let id = opener.start(Kind::Call, b"x");
    let mut start = opener.a.bytes(opener.now);
    // Behind the length, the kind and the number, each of one byte.
    start[6] |= MORE;
    let mut pair = Pair::up_with(&limits);
    pair.b.core.handle_input(pair.now, &start);
    assert_eq!(pair.b.broken(), None);
    pair.b.core.handle_input(pair.now, &fragment(Tag::Start, id, MORE | CONTINUED, 1));
    assert_eq!(pair.b.broken(), Some("P-A4"));
}

#[test]
fn p_f3_a_message_is_continued_by_its_own_kind_alone() {
    for (tag, broken) in [(Tag::Yield, None), (Tag::Return, Some("P-F3"))] {
        let mut pair = Pair::up();
        let id = pair.context();
        pair.a.core.handle_input(pair.now, &fragment(Tag::Yield, id, MORE, 300));
        pair.a.core.handle_input(pair.now, &fragment(tag, id, CONTINUED, 300));
        assert_eq!(pair.a.broken(), broken, "{tag:?}");
    }
}

#[test]
fn p_d8_of_what_nobody_will_read_no_part_is_held() {
    let mut pair = Pair::up();
    let id = pair.context();
    assert!(pair.b.core.ledger(id).unwrap().kept);
    pair.b.core.callee(id).unwrap().discard();
    assert!(!pair.b.core.ledger(id).unwrap().kept);
    pair.b.core.handle_input(pair.now, &fragment(Tag::Yield, id, MORE, 5000));
    assert_eq!((pair.b.core.held(), pair.b.broken()), (0, None));
    // Arguments of a task that will not run.
    let mut pair = Pair::up_with(&small_limits());
    pair.b.core.goodbye(pair.now, GoodbyeReason::Leaving);
    pair.start(Kind::Call, &[7; 5000]);
    let bytes = pair.a.bytes(pair.now);
    pair.b.core.handle_input(pair.now, &bytes[..bytes.len() - 1000]);
    assert_eq!(pair.b.broken(), None);
    assert!(pair.b.core.held() < 1024, "no more than a frame that is not whole");
}

#[test]
fn what_a_caller_is_told_has_happened_first() {
    let mut pair = Pair::up();
    let id = pair.start(Kind::Context, b"");
    let told = |pair: &mut Pair| {
        let caller = pair.a.core.caller(id).unwrap();
        (caller.started(), caller.cancel_called(), caller.cancel_acked())
    };
    pair.settle();
    pair.b.core.callee(id).unwrap().accept();
    pair.settle();
    assert_eq!(told(&mut pair), (false, false, false));
    pair.b.core.callee(id).unwrap().started(b"").unwrap();
    pair.settle();
    assert_eq!(told(&mut pair), (true, false, false));
    assert!(!pair.a.core.ledger(id).unwrap().dead);
    pair.a.core.caller(id).unwrap().cancel(pair.now, cancel_by(1, Duration::ZERO));
    assert!(pair.a.core.ledger(id).unwrap().dead, "what it sent counts no more");
    pair.forth();
    assert_eq!(told(&mut pair), (true, true, false));
    pair.back();
    assert_eq!(told(&mut pair), (true, true, true));
}

#[test]
fn p_w1_credit_comes_with_the_first_value_and_with_all_that_is_discarded() {
    let mut pair = Pair::up_with(&small_limits());
    let id = pair.open(Kind::Context, b"");
    let fill = |pair: &mut Pair| {
        while pair.b.core.callee(id).unwrap().send(&[7; 300]) != Err(SendError::Full) {}
        pair.settle();
        assert!(!pair.b.saw(&Event::Writable(id)));
    };
    pair.b.core.callee(id).unwrap().started(&[7; 600]).unwrap();
    fill(&mut pair);
    assert!(pair.a.core.caller(id).unwrap().take_started().is_some());
    pair.settle();
    assert!(pair.b.saw(&Event::Writable(id)), "the first value was taken");
    fill(&mut pair);
    pair.a.core.caller(id).unwrap().discard();
    pair.settle();
    assert!(pair.b.saw(&Event::Writable(id)), "nobody reads");
}

#[test]
fn p_d8_who_has_stopped_is_not_told_to() {
    let mut pair = Pair::up();
    let id = pair.context();
    pair.b.core.callee(id).unwrap().stop().unwrap();
    pair.settle();
    pair.a.core.caller(id).unwrap().stop_reading();
    assert!(!pair.a.core.wants_transmit());
}

#[test]
fn p_d2_no_task_is_accepted_before_its_arguments_are_whole() {
    let mut pair = Pair::up_with(&small_limits());
    let id = pair.start(Kind::Call, &[7; 5000]);
    pair.budget = 1;
    pair.step();
    pair.b.core.callee(id).unwrap().accept();
    assert!(!pair.b.core.wants_transmit());
    pair.settle();
    assert_eq!((pair.a.broken(), pair.b.incoming()), (None, id));
    pair.b.core.callee(id).unwrap().accept();
    assert!(pair.b.core.wants_transmit());
}

#[test]
fn p_c1_only_a_shorter_grace_is_said_again() {
    let mut pair = Pair::up();
    let id = pair.context();
    let grace = Duration::from_secs(2);
    for (next, said) in [(grace, true), (grace, false), (grace * 2, false), (grace / 2, true)] {
        pair.a.core.caller(id).unwrap().cancel(pair.now, cancel_by(1, next));
        assert_eq!(pair.a.core.wants_transmit(), said, "{next:?}");
        pair.settle();
    }
}

#[test]
fn p_f5_a_queue_that_is_as_long_as_the_window_takes_no_more() {
    let mine = Limits { window: 4096, ..Limits::default() };
    let theirs = Limits { window: u32::MAX, ..Limits::default() };
    let mut pair = Pair::peers(&mine, &theirs);
    let id = pair.context();
    let mut caller = pair.a.core.caller(id).unwrap();
    // Each costs a quarter of it.
    let sent = [(); 5].map(|()| caller.send(&[7; 1024 - 16]));
    assert_eq!(sent, [Ok(()), Ok(()), Ok(()), Ok(()), Err(SendError::Full)]);
    assert!(!caller.can_send());
}

#[test]
fn p_a4_eight_ever_shorter_cancels_are_free_and_no_more() {
    let limits = Limits { misbehaviour_budget: 0, ..Limits::default() };
    let heard = |count: u32| {
        let mut pair = Pair::up_with(&limits);
        let id = pair.context();
        for repeat in 0..count {
            let request = cancel_by(1, Duration::from_secs(100) / (repeat + 1));
            let request = postcard::to_allocvec(&request).unwrap();
            let mut cancel = Vec::new();
            put_frame(&mut cancel, Tag::Cancel, id, 0, |out| out.extend(&request));
            pair.b.core.handle_input(pair.now, &cancel);
        }
        pair.b.broken()
    };
    assert_eq!((heard(8), heard(9)), (None, Some("P-A4")));
}
