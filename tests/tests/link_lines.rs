//! Where a link draws its lines between what is taken and what is not: the last name, the last head
//! and the last moment that are fine, and the first that are not.

use std::time::Duration;

use hatchery_proto::{DialogId, Kind, Limits, Misuse, StartWish, Terminal};
use hatchery_tests::pair::{Pair, cancel_by, small_limits, wish};

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
