//! What is bounded, and by whose announcement: limits that differ, that are learned late, that a peer
//! makes up.

use std::time::Duration;

use hatchery_proto::{
    ActorId, Also, Code, DialogId, Event, ExitReport, Hop, Kind, Limits, Location, Outcome, Report,
    Rung,
};
use hatchery_tests::pair::{Pair, actor, asked_by, cancel_by, wish};

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

#[test]
fn p_f3_every_field_of_a_report_is_cut_to_the_limits() {
    let long = |number| ActorId { name: "n".repeat(1000), ..actor(number) };
    let text = || "x".repeat(100_000);
    let mut report = Report::new((1, 1), Code::Error, long(1), text());
    report.sources = vec![text(); 100];
    report.type_name = text();
    report.location = Some(Location { file: text(), line: 1, column: 1 });
    report.backtrace = Some(text());
    report.hops = vec![Hop { actor: long(2), task: text() }; 100];
    report.canceller = Some(long(3));
    let mut exit = ExitReport::new(long(4), None, Rung::Killed);
    exit.rungs = vec![(Rung::Asked, Duration::MAX); 100];
    exit.asked_by = Some(long(6));
    exit.under_way = vec![text(); 100];
    (exit.last_message, exit.panics, exit.stderr_tail) = (text(), text(), text());
    report.exit = Some(Box::new(exit));
    report.also = vec![Also { origin: long(5), type_name: text(), message: text() }; 100];
    let limits =
        Limits { max_report_text: 640, max_report_chain: 4, max_name: 20, ..Limits::default() };
    report.truncate(&limits);
    assert!(report.truncated);
    // Two texts, two quarters of one, a small one, and lists of four; every name is 20 bytes or, of a
    // file, 80.
    let bound = 2 * 644 + 2 * 164 + 44 + 4 * (44 + 60 + 30 + 60 + 16) + 80 + 6 * 40;
    assert!(report.encoded_len() <= bound, "{} of {bound}", report.encoded_len());
}
