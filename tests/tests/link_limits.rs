//! What is bounded, and by whose announcement: limits that differ, that are learned late, that a peer
//! makes up.

use std::time::Duration;

use hatchery_proto::{DialogId, Event, Kind, Limits, Outcome};
use hatchery_tests::pair::{Pair, asked_by, cancel_by, wish};

#[test]
fn p_f3_arguments_that_turn_out_too_large_fail_at_the_opener() {
    // Opened before the greeting, when only the own limit is known.
    let small = Limits { max_message: 100, ..Limits::default() };
    let mut pair = Pair::peers(&Limits::default(), &small);
    let large = pair.a.core.start(pair.now, wish(Kind::Call), &[0; 101]).unwrap();
    let fits = pair.a.core.start(pair.now, wish(Kind::Call), &[0; 100]).unwrap();
    pair.settle();
    assert_eq!((pair.a.broken(), pair.b.broken()), (None, None));
    assert_eq!(pair.a.count(&Event::Finished(large)), 1);
    let Some(Outcome::Failed { report, .. }) = pair.outcome(large) else {
        panic!("{:?}", pair.outcome(large));
    };
    assert_eq!(report.message, "a message of 101 bytes is over the limit of 100 (P-F3)");
    assert_eq!(pair.b.incoming(), fits);
    assert_eq!(pair.a.core.live_dialogs(), 1);
}

#[test]
fn p_l2_what_waits_behind_dialog_0_is_withdrawn_with_it() {
    let mut pair = Pair::family(&Limits::default());
    pair.a.core.start_actor(pair.now, b"spec").unwrap();
    let id = pair.start(Kind::Call, b"");
    let mut actor = pair.a.core.caller(DialogId::ACTOR).unwrap();
    actor.cancel(pair.now, cancel_by(1, Duration::ZERO));
    pair.settle();
    assert_eq!((pair.a.broken(), pair.b.broken()), (None, None));
    for id in [DialogId::ACTOR, id] {
        assert_eq!(pair.outcome(id), Some(Outcome::Cancelled(asked_by(1))));
        assert_eq!(pair.a.count(&Event::Finished(id)), 1);
    }
    assert_eq!(pair.a.core.live_dialogs(), 0);
}
