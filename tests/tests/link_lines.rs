//! Where a link draws its lines between what is taken and what is not: the last name, the last head
//! and the last moment that are fine, and the first that are not.

use std::time::Duration;

use hatchery_proto::wire::{Tag, put_frame};
use hatchery_proto::{
    ActorId, CancelRequest, Cancelled, Cause, Code, Config, Connection, DialogId, Event, Hop,
    Instant, Kind, Limits, LinkKind, Misuse, Outcome, Report, Role, SendError, StartWish, Terminal,
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
