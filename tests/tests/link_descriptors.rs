//! Descriptors that go with messages, over two cores in one thread: each arrives with the message that
//! it was sent with, however the bytes are cut, and none outlives it.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use hatchery_proto::wire::{CONTINUED, DESCRIPTORS, MORE, Tag, put_frame};
use hatchery_proto::{
    Capacity, Code, DialogId, Event, Handle, Kind, Limits, Missing, Misuse, NotPassed, Outcome,
    Overrun, Passed, Recv, Refusal, SendError, Terminal, Values,
};
use hatchery_tests::pair::{Pair, Split, asked_by, cancel_by, small_limits, wish};

/// A descriptor that is told from others by its number.
fn handle(number: u32) -> Handle {
    Arc::new(number)
}

fn some(numbers: impl IntoIterator<Item = u32>) -> Passed {
    Passed::of(numbers.into_iter().map(handle).collect())
}

fn numbers(passed: &Passed) -> Vec<u32> {
    assert_eq!(passed.why_missing(), None);
    passed.handles().iter().map(|handle| *handle.downcast_ref::<u32>().expect("ours")).collect()
}

/// One, and what tells that it is gone.
fn watched() -> (Passed, Weak<u32>) {
    let one = Arc::new(1);
    let gone = Arc::downgrade(&one);
    (Passed::of(vec![one]), gone)
}

fn is_open(watch: &Weak<u32>) -> bool {
    watch.strong_count() > 0
}

fn up() -> Pair {
    let limits = Limits::default();
    let mut pair = Pair::peers(&limits, &limits).passing();
    pair.settle();
    pair
}

fn send(pair: &mut Pair, id: DialogId, value: &[u8], passed: &Passed) -> Result<(), SendError> {
    pair.a.core.caller(id).unwrap().send_passing(&mut value.to_vec(), passed)
}

/// What the callee receives next, and what came with it.
fn receive(pair: &mut Pair, id: DialogId) -> (Recv, Vec<u8>, Passed) {
    let mut value = Vec::new();
    let mut callee = pair.b.core.callee(id).unwrap();
    let received = callee.recv(&mut value);
    (received, value, callee.take_passed())
}

#[test]
fn p_f6_every_message_carries_them_however_the_bytes_are_cut() {
    let large = vec![7; 5000];
    for limits in [Limits::default(), Limits { window: 64 * 1024, ..small_limits() }] {
        for split in [Split::Whole, Split::Pieces(1), Split::Pieces(3), Split::Pieces(1000)] {
            let mut pair = Pair::peers(&limits, &limits).passing();
            pair.split = split;
            pair.settle();
            let now = pair.now;
            let start = pair.a.core.start_passing(now, wish(Kind::Context), &large, some([1, 2]));
            let id = start.unwrap();
            pair.settle();
            assert_eq!(pair.b.incoming(), id);
            let mut callee = pair.b.core.callee(id).unwrap();
            assert_eq!(callee.take_start().unwrap().args, large);
            assert_eq!(numbers(&callee.take_passed()), [1, 2]);
            assert!(callee.take_passed().is_none(), "once");
            callee.accept();
            callee.started_passing(b"first", some([3])).unwrap();
            pair.settle();
            let mut caller = pair.a.core.caller(id).unwrap();
            assert_eq!(caller.take_started().unwrap(), b"first");
            assert_eq!(numbers(&caller.take_passed()), [3]);
            send(&mut pair, id, b"plain", &Passed::NONE).unwrap();
            send(&mut pair, id, &large, &some(4..20)).unwrap();
            pair.settle();
            assert_eq!(receive(&mut pair, id).1, b"plain");
            let (_, value, passed) = receive(&mut pair, id);
            assert_eq!((value, numbers(&passed)), (large.clone(), (4..20).collect()));
            pair.settle();
            send(&mut pair, id, b"", &some([20])).unwrap();
            send(&mut pair, id, b"plain", &Passed::NONE).unwrap();
            pair.settle();
            let (_, value, passed) = receive(&mut pair, id);
            assert_eq!((&value[..], numbers(&passed)), (&b""[..], vec![20]));
            let (_, value, passed) = receive(&mut pair, id);
            assert!(value == b"plain" && passed.is_none());
            let callee = pair.b.core.callee(id).unwrap();
            callee.finish_passing(Terminal::Return(large.clone()), some([21, 22]));
            pair.settle();
            assert_eq!(pair.outcome(id), Some(Outcome::Returned(large.clone())));
            // The outcome is told as often as it is asked for (P-D9).
            for _ in 0..2 {
                assert_eq!(numbers(&pair.a.core.outcome_passed(id)), [21, 22]);
            }
            assert_eq!((pair.a.broken(), pair.b.broken()), (None, None));
        }
    }
}

#[test]
fn p_f6_runs_of_values_stop_at_one_that_carries_them() {
    let mut pair = up();
    let id = pair.context();
    for number in 0..9_u8 {
        let passed = if number % 3 == 1 { some([number.into()]) } else { Passed::NONE };
        send(&mut pair, id, &[number], &passed).unwrap();
    }
    pair.settle();
    let mut values = Values::default();
    for number in 0..9_u8 {
        let mut callee = pair.b.core.callee(id).unwrap();
        assert_eq!(callee.recv_run(&mut values), Recv::Value);
        // What carries some is taken alone, and its bytes are its own.
        let (value, passed) = if number % 3 == 1 {
            values.take_one().expect("one that is alone")
        } else {
            (values.next_value().map(<[u8]>::to_vec).expect("one of a run"), Passed::NONE)
        };
        assert_eq!(value, [number]);
        assert_eq!(numbers(&passed), if number % 3 == 1 { vec![number.into()] } else { vec![] });
    }
}

#[test]
fn p_f6_what_the_link_does_not_carry_is_refused_and_nothing_is_sent() {
    let limits = Limits::default();
    let takes_none = |pair: &mut Pair, why: NotPassed| {
        let id = pair.context();
        let frames = pair.a.core.frames() + pair.b.core.frames();
        let (now, misuse) = (pair.now, Misuse::NotPassed(why));
        assert_eq!(misuse.rule(), "P-F6");
        let start =
            |pair: &mut Pair, passed| pair.a.core.start_passing(now, wish(Kind::Call), b"", passed);
        assert_eq!(start(pair, some([1])), Err(misuse.clone()));
        assert_eq!(send(pair, id, b"", &some([1])), Err(SendError::NotPassed(why)));
        pair.settle();
        assert_eq!(pair.a.core.frames() + pair.b.core.frames(), frames, "nothing moved");
        send(pair, id, b"plain", &Passed::NONE).unwrap();
        pair.settle();
        assert_eq!(receive(pair, id).1, b"plain", "the link goes on");
    };
    takes_none(&mut Pair::up(), NotPassed::Here);
    // The peer's program knows nothing of them.
    let mut pair = Pair::peers(&limits, &limits);
    pair.a.core = pair.a.core.passing();
    pair.settle();
    assert!(!pair.a.core.expects_descriptors(), "it announces none");
    takes_none(&mut pair, NotPassed::There);
    // More than any message carries.
    let mut pair = up();
    let id = pair.context();
    let why = NotPassed::TooMany { count: 17, max: 16 };
    assert_eq!(send(&mut pair, id, b"", &some(0..17)), Err(SendError::NotPassed(why)));
    let (now, kind) = (pair.now, Kind::Context);
    let start = pair.a.core.start_passing(now, wish(kind), b"", some(0..17));
    assert_eq!(start, Err(Misuse::NotPassed(why)));
    let other = pair.open(kind, b"");
    let mut callee = pair.b.core.callee(other).unwrap();
    assert_eq!(callee.started_passing(b"", some(0..17)), Err(Misuse::NotPassed(why)));
    callee.started_passing(b"", some(0..16)).unwrap();
    callee.finish_passing(Terminal::Return(Vec::new()), some(0..17));
    pair.settle();
    match pair.outcome(other) {
        Some(Outcome::Failed { report, .. }) => {
            assert_eq!(report.code, Code::Misuse);
            assert!(report.message.contains("17 descriptors"), "{}", report.message);
        }
        end => panic!("{end:?}"),
    }
}

#[test]
fn p_f6_what_was_asked_for_before_the_greeting_fails_with_it() {
    let limits = Limits::default();
    let mut pair = Pair::peers(&limits, &limits);
    pair.a.core = pair.a.core.passing();
    let (passed, watch) = watched();
    let now = pair.now;
    let id = pair.a.core.start_passing(now, wish(Kind::Call), b"", passed).unwrap();
    let plain = pair.start(Kind::Call, b"");
    pair.settle();
    assert_eq!(pair.b.incoming(), plain, "the other is served");
    assert!(pair.a.saw(&Event::Finished(id)));
    match pair.outcome(id) {
        Some(Outcome::Failed { report, .. }) => {
            assert!(report.message.contains("takes no descriptors"), "{}", report.message);
        }
        end => panic!("{end:?}"),
    }
    assert!(!is_open(&watch));
}

#[test]
fn p_f6_a_child_is_passed_none_before_it_is_up() {
    let mut pair = Pair::family(&Limits::default()).passing();
    pair.settle();
    let now = pair.now;
    let asks = |pair: &mut Pair| pair.a.core.start_passing(now, wish(Kind::Call), b"", some([1]));
    assert_eq!(asks(&mut pair), Err(Misuse::ActorNotStarted));
    pair.a.core.start_actor(now, b"spec").unwrap();
    assert_eq!(asks(&mut pair), Err(Misuse::ActorNotStarted));
    pair.settle();
    assert_eq!(pair.b.incoming(), DialogId::ACTOR);
    let mut callee = pair.b.core.callee(DialogId::ACTOR).unwrap();
    assert!(callee.take_start().is_some());
    callee.accept();
    assert_eq!(asks(&mut pair), Err(Misuse::ActorNotStarted));
    pair.b.core.callee(DialogId::ACTOR).unwrap().started(b"").unwrap();
    pair.settle();
    assert!(asks(&mut pair).is_ok());
}

/// A frame by hand.
fn frame(tag: Tag, id: DialogId, flags: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_frame(&mut out, tag, id, flags, |out| out.extend_from_slice(body));
    out
}

#[test]
fn p_f6_a_peer_that_says_otherwise_than_it_sends_loses_the_link() {
    let yields = |flags, body: &'static [u8]| move |id| frame(Tag::Yield, id, flags, body);
    type Bytes = Box<dyn Fn(DialogId) -> Vec<u8>>;
    let cases: [(&str, Vec<Passed>, Bytes, &str); 11] = [
        ("two named, one came", vec![some([1])], Box::new(yields(DESCRIPTORS, b"\x02v")), "P-F6"),
        (
            "one named, two came",
            vec![some([1, 2])],
            Box::new(yields(DESCRIPTORS, b"\x01v")),
            "P-F6",
        ),
        ("named, none came", vec![], Box::new(yields(DESCRIPTORS, b"\x01v")), "P-F6"),
        ("came, not named", vec![some([1])], Box::new(yields(0, b"v")), "P-F6"),
        ("seventeen", vec![some(0..17)], Box::new(yields(DESCRIPTORS, b"\x11v")), "P-F6"),
        ("none, named so", vec![], Box::new(yields(DESCRIPTORS, b"\x00v")), "P-F4"),
        ("no number", vec![], Box::new(yields(DESCRIPTORS, b"")), "P-F4"),
        (
            "with what goes on",
            vec![some([1])],
            Box::new(yields(DESCRIPTORS | CONTINUED, b"\x01v")),
            "P-F4",
        ),
        ("another flag", vec![some([1])], Box::new(yields(DESCRIPTORS | 8, b"\x01v")), "P-F4"),
        ("too many to be of one frame", vec![some(0..17)], Box::new(|_| vec![9]), "P-F6"),
        (
            "two sets, one frame",
            vec![some([1]), some([2])],
            Box::new(yields(DESCRIPTORS, b"\x01v")),
            "P-F6",
        ),
    ];
    for (what, passed, bytes, rule) in cases {
        let mut pair = up();
        let id = pair.context();
        let watches: Vec<_> = passed.iter().flat_map(Passed::handles).map(Arc::downgrade).collect();
        for passed in passed {
            pair.b.core.handle_descriptors(passed);
        }
        let now = pair.now;
        pair.b.core.handle_input(now, &bytes(id));
        assert_eq!(pair.b.broken(), Some(rule), "{what}");
        assert!(watches.iter().all(|watch| watch.strong_count() == 0), "{what}: all are closed");
    }
}

#[test]
fn p_f6_a_flag_that_was_not_agreed_on_is_no_flag() {
    for passing in [false, true] {
        let limits = Limits::default();
        let mut pair = Pair::peers(&limits, &limits);
        if passing {
            pair.b.core = pair.b.core.passing();
        }
        pair.settle();
        let id = pair.context();
        let now = pair.now;
        pair.b.core.handle_input(now, &frame(Tag::Yield, id, DESCRIPTORS, b"\x01v"));
        assert_eq!(pair.b.broken(), Some("P-F4"));
    }
}

#[test]
fn p_f6_descriptors_wait_for_the_rest_of_their_frame_and_of_no_other() {
    let mut pair = up();
    let id = pair.context();
    let now = pair.now;
    let bytes = frame(Tag::Yield, id, DESCRIPTORS, b"\x01value");
    let (first, rest) = bytes.split_at(3);
    pair.b.core.handle_descriptors(some([1]));
    pair.b.core.handle_input(now, first);
    assert_eq!(pair.b.broken(), None);
    // What comes with the rest may be of the next frame.
    pair.b.core.handle_descriptors(some([2]));
    pair.b.core.handle_input(now, &[rest, first].concat());
    assert_eq!(pair.b.broken(), None);
    assert_eq!(numbers(&receive(&mut pair, id).2), [1]);
    // A byte at a time with some each: two of them cannot be of one frame.
    pair.b.core.handle_descriptors(some([3]));
    pair.b.core.handle_input(now, &rest[..1]);
    assert_eq!(pair.b.broken(), Some("P-F6"));
}

#[test]
fn p_f6_descriptors_go_with_a_message_that_nobody_takes() {
    /// Sends one with an open value, and gives what tells of it.
    fn sent(pair: &mut Pair, id: DialogId) -> Weak<u32> {
        let (passed, watch) = watched();
        send(pair, id, b"value", &passed).unwrap();
        drop(passed);
        pair.settle();
        assert!(is_open(&watch));
        watch
    }
    // Taken, and dropped by whoever has taken it.
    let mut pair = up();
    let id = pair.context();
    let watch = sent(&mut pair, id);
    let (_, _, passed) = receive(&mut pair, id);
    assert!(is_open(&watch));
    drop(passed);
    assert!(!is_open(&watch));
    // Nobody reads any more.
    let watch = sent(&mut pair, id);
    pair.b.core.callee(id).unwrap().discard();
    assert!(!is_open(&watch));
    // Not even when it comes.
    let (passed, watch) = watched();
    send(&mut pair, id, b"value", &passed).unwrap();
    drop(passed);
    pair.settle();
    assert!(!is_open(&watch));
    assert_eq!(pair.b.broken(), None);
    // Dropped for a newer one.
    let id = pair.context();
    pair.b.core.callee(id).unwrap().on_overrun(Overrun::LatestOnly);
    let (watch, last) = (sent(&mut pair, id), sent(&mut pair, id));
    assert!(!is_open(&watch) && is_open(&last));
    pair.b.core.callee(id).unwrap().on_overrun(Overrun::Fail(Capacity::items(1)));
    let (passed, watch) = watched();
    send(&mut pair, id, b"value", &passed).unwrap();
    drop(passed);
    pair.settle();
    assert!(!is_open(&watch) && is_open(&last));
    // The callee is over with one unread, and another comes late.
    let id = pair.context();
    let watch = sent(&mut pair, id);
    let (passed, late) = watched();
    send(&mut pair, id, b"value", &passed).unwrap();
    drop(passed);
    pair.finish(id, Terminal::Return(Vec::new()));
    assert!(!is_open(&watch));
    pair.settle();
    assert!(!is_open(&late));
    // Queued here and withdrawn by a cancel, and unread there at it.
    let id = pair.context();
    let (passed, queued) = watched();
    send(&mut pair, id, b"value", &passed).unwrap();
    drop(passed);
    let now = pair.now;
    pair.a.core.caller(id).unwrap().cancel(now, cancel_by(1, Duration::from_secs(1)));
    assert!(!is_open(&queued));
    // A `Start` that is refused, one that was never written, a result that nobody waits for.
    let (passed, watch) = watched();
    let id = pair.a.core.start_passing(now, wish(Kind::Call), b"", passed).unwrap();
    pair.settle();
    assert_eq!(pair.b.incoming(), id);
    assert!(is_open(&watch));
    pair.b.core.callee(id).unwrap().refuse(Refusal::Unknown, String::new());
    assert!(!is_open(&watch));
    let (passed, watch) = watched();
    let id = pair.a.core.start_passing(now, wish(Kind::Call), b"", passed).unwrap();
    pair.a.core.caller(id).unwrap().release(now, asked_by(1));
    assert!(!is_open(&watch));
    let id = pair.open(Kind::Call, b"");
    let (passed, watch) = watched();
    pair.b.core.callee(id).unwrap().finish_passing(Terminal::Return(Vec::new()), passed);
    pair.settle();
    assert!(is_open(&watch));
    pair.a.core.caller(id).unwrap().release(now, asked_by(1));
    assert!(!is_open(&watch));
    // A first value that nobody took.
    let id = pair.open(Kind::Context, b"");
    let (passed, watch) = watched();
    pair.b.core.callee(id).unwrap().started_passing(b"", passed).unwrap();
    pair.settle();
    assert!(is_open(&watch));
    pair.a.core.caller(id).unwrap().release(now, asked_by(1));
    assert!(!is_open(&watch));
    assert_eq!((pair.a.broken(), pair.b.broken()), (None, None));
}

#[test]
fn p_f6_descriptors_go_with_their_link() {
    let mut pair = up();
    let id = pair.context();
    let (kept, kept_watch) = watched();
    let (part, part_watch) = watched();
    let (none, none_watch) = watched();
    let (out, out_watch) = watched();
    send(&mut pair, id, b"value", &kept).unwrap();
    pair.settle();
    drop(kept);
    let now = pair.now;
    // Of a message of which more is to come, and of a frame that is not whole.
    pair.b.core.handle_descriptors(part);
    pair.b.core.handle_input(now, &frame(Tag::Yield, id, DESCRIPTORS | MORE, &[1; 500]));
    pair.b.core.handle_descriptors(none);
    pair.b.core.handle_input(now, &[9]);
    assert_eq!(pair.b.broken(), None);
    pair.b.core.callee(id).unwrap().send_passing(&mut vec![1], &out).unwrap();
    drop(out);
    assert!([&kept_watch, &part_watch, &none_watch, &out_watch].into_iter().all(is_open));
    pair.b.core.handle_eof(now);
    assert!(!is_open(&part_watch) && !is_open(&none_watch) && !is_open(&out_watch));
    // A callee's values go with its task, an opener's with its handle (P-D9).
    assert!(!is_open(&kept_watch));
}

#[test]
fn p_f6_each_costs_a_part_of_the_window_and_is_given_back() {
    for window in [1024, 4096, 256 * 1024, 1 << 20] {
        let limits = Limits { window, ..Limits::default() };
        let mut pair = Pair::peers(&limits, &limits).passing();
        pair.settle();
        let id = pair.context();
        for round in 0..3 {
            let mut sent = 0_u32;
            while send(&mut pair, id, b"", &some([sent])) != Err(SendError::Full) {
                pair.settle();
                sent += 1;
            }
            // Less than half of the window may still be owed.
            let most = window.div_ceil(Limits::FRAME_COST + window / 16);
            assert!((most / 2..=most).contains(&sent), "{sent} of a window of {window}");
            assert!(sent + 1 >= most || round > 0, "{sent} of a window of {window}");
            let books = pair.b.core.ledger(id).unwrap();
            assert_eq!(books.allowance + books.held + books.owed, i64::from(window));
            for number in 0..sent {
                assert_eq!(numbers(&receive(&mut pair, id).2), [number]);
                pair.settle();
            }
        }
        // The last may carry more than there is room for.
        while send(&mut pair, id, b"", &some(0..16)) != Err(SendError::Full) {
            pair.settle();
        }
        assert_eq!((pair.a.broken(), pair.b.broken()), (None, None));
        // Who sends without is found out.
        pair.b.core.handle_descriptors(some([1]));
        let now = pair.now;
        pair.b.core.handle_input(now, &frame(Tag::Yield, id, DESCRIPTORS, b"\x01"));
        assert_eq!(pair.b.broken(), Some("P-W1"));
    }
}

#[test]
fn p_f6_p_f5_no_more_are_kept_than_a_link_may_hold() {
    let mut pair = up();
    let now = pair.now;
    let mut watches = Vec::new();
    let mut ids = Vec::new();
    for _ in 0..40 {
        let handles: Vec<Handle> = (0..16).map(handle).collect();
        watches.extend(handles.iter().map(Arc::downgrade));
        let passed = Passed::of(handles);
        ids.push(pair.a.core.start_passing(now, wish(Kind::Call), b"", passed).unwrap());
        pair.settle();
    }
    let open = |watches: &[Weak<dyn std::any::Any + Send + Sync>]| {
        watches.iter().filter(|watch| watch.strong_count() > 0).count()
    };
    assert_eq!(open(&watches), Limits::DESCRIPTORS_HELD);
    // The link goes on: those that came too late are told why they have none.
    for (place, id) in ids.iter().enumerate() {
        let mut callee = pair.b.core.callee(*id).unwrap();
        assert!(callee.take_start().is_some());
        let why = callee.take_passed().why_missing();
        assert_eq!(why, (place >= 16).then_some(Missing::Unread));
    }
    assert_eq!(open(&watches), 0);
    // What was taken leaves room.
    let id = pair.a.core.start_passing(now, wish(Kind::Call), b"", some([5])).unwrap();
    pair.settle();
    let mut callee = pair.b.core.callee(id).unwrap();
    assert!(callee.take_start().is_some());
    assert_eq!(numbers(&callee.take_passed()), [5]);
    assert_eq!((pair.a.broken(), pair.b.broken()), (None, None));
}

#[test]
fn p_f6_a_process_without_room_hears_of_it_with_the_message() {
    let mut pair = up();
    let id = pair.context();
    let now = pair.now;
    pair.b.core.handle_descriptors(Passed::missing(Missing::NoRoom));
    pair.b.core.handle_input(now, &frame(Tag::Yield, id, DESCRIPTORS, b"\x03value"));
    let (received, value, passed) = receive(&mut pair, id);
    assert_eq!((received, &value[..]), (Recv::Value, &b"value"[..]));
    assert_eq!(passed.why_missing(), Some(Missing::NoRoom));
    assert!(passed.why_missing().unwrap().to_string().contains("EMFILE"));
    assert!(passed.handles().is_empty());
    assert_eq!(pair.b.broken(), None);
    // It has cost the peer as much as if they had come (P-W1).
    let books = pair.b.core.ledger(id).unwrap();
    assert_eq!(books.allowance + books.held + books.owed, i64::from(Limits::default().window));
}

/// Values that were sent and not received, each with what it carries.
type Unread = VecDeque<(Vec<u8>, Vec<u32>)>;

/// Any order of sending, carrying, reading and letting go, beside a naive model.
#[test]
fn p_f6_a_model_of_many_dialogs_agrees() {
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let window = [1024, 8192, 256 * 1024][random.usize(0..3)];
        let limits = Limits { window, max_frame: 1024 << random.u8(0..7), ..Limits::default() };
        let mut pair = Pair::peers(&limits, &limits).passing();
        pair.split = [Split::Whole, Split::Pieces(1), Split::Pieces(61), Split::Pieces(4096)]
            [random.usize(0..4)];
        pair.budget = [1, 100, usize::MAX][random.usize(0..3)];
        pair.settle();
        let mut next = 0_u32;
        let mut model: Vec<(DialogId, Unread)> =
            (0..3).map(|_| (pair.context(), VecDeque::new())).collect();
        let mut all: Vec<Weak<u32>> = Vec::new();
        for _ in 0..300 {
            let place = random.usize(0..model.len());
            let (id, expected) = &mut model[place];
            match random.u8(0..10) {
                0..=3 => {
                    let count = if random.bool() { 0 } else { random.u32(0..17) };
                    let mine: Vec<_> = (next..next + count).map(Arc::new).collect();
                    let watches: Vec<_> = mine.iter().map(Arc::downgrade).collect();
                    let handles = mine.into_iter().map(|one| one as Handle).collect();
                    let value = vec![next as u8; [0, 3, 900, 5000][random.usize(0..4)]];
                    if send(&mut pair, *id, &value, &Passed::of(handles)).is_ok() {
                        expected.push_back((value, (next..next + count).collect()));
                        all.extend(watches);
                        next += count;
                    }
                }
                4 => drop(pair.step()),
                5 => pair.forth(),
                6..=8 => {
                    let (received, value, passed) = receive(&mut pair, *id);
                    if received == Recv::Value {
                        assert_eq!(Some((value, numbers(&passed))), expected.pop_front());
                    }
                }
                _ => {
                    // It ends with all that is unread, and another is opened.
                    pair.finish(*id, Terminal::Return(Vec::new()));
                    pair.settle();
                    let now = pair.now;
                    pair.a.core.caller(*id).unwrap().release(now, asked_by(1));
                    *id = pair.context();
                    expected.clear();
                }
            }
            let kept: usize = model.iter().flat_map(|(_, all)| all).map(|one| one.1.len()).sum();
            let open = all.iter().filter(|watch| is_open(watch)).count();
            assert_eq!(open, kept, "seed {seed}: each is open until it was read or let go");
            assert_eq!((pair.a.broken(), pair.b.broken()), (None, None), "seed {seed}");
        }
    }
}
