//! One-way streams on the wire, as the runtime uses them: what each end says when it leaves.

use hatchery_proto::wire::Tag;
use hatchery_proto::wire::deframer::Deframer;
use hatchery_proto::{DialogId, Instant, Kind, Recv, Terminal};
use hatchery_tests::pair::{End, Pair, asked_by};

/// What an end has to say, carried nowhere.
fn says(end: &mut End, now: Instant) -> Vec<Tag> {
    tags(&end.bytes(now))
}

fn tags(mut input: &[u8]) -> Vec<Tag> {
    let mut deframer = Deframer::new(u32::MAX);
    let mut tags = Vec::new();
    while let Some(frame) = deframer.next(&mut input).expect("whole frames") {
        tags.extend(frame.tag);
    }
    tags
}

/// A producer that has sent so many and is not through.
fn streaming(items: u8) -> (Pair, DialogId) {
    let mut pair = Pair::up();
    let id = pair.open(Kind::Stream, b"from");
    for item in 0..items {
        pair.b.core.callee(id).unwrap().send(&[item]).unwrap();
    }
    pair.settle();
    (pair, id)
}

#[test]
fn str_25_a_consumer_that_leaves_early_says_cancel_and_nothing_else() {
    let (mut pair, id) = streaming(3);
    let (received, _) = pair.received_at_a(id);
    assert_eq!(received, [[0], [1], [2]]);
    pair.a.core.caller(id).unwrap().release(pair.now, asked_by(1));
    assert_eq!(says(&mut pair.a, pair.now), [Tag::Cancel]);
}

#[test]
fn str_25_one_that_leaves_after_the_end_says_nothing() {
    for read in [false, true] {
        let (mut pair, id) = streaming(3);
        pair.finish(id, Terminal::Return(Vec::new()));
        pair.settle();
        if read {
            let (received, end) = pair.received_at_a(id);
            assert_eq!((received.len(), end), (3, Recv::End));
        }
        pair.a.core.caller(id).unwrap().release(pair.now, asked_by(1));
        assert!(says(&mut pair.a, pair.now).is_empty(), "read to the end: {read}");
    }
}

#[test]
fn str_24_a_producer_that_is_through_says_return_and_no_stop() {
    let mut pair = Pair::up();
    let id = pair.open(Kind::Stream, b"from");
    for item in 0..2 {
        pair.b.core.callee(id).unwrap().send(&[item]).unwrap();
    }
    pair.finish(id, Terminal::Return(Vec::new()));
    let said = pair.b.bytes(pair.now);
    assert_eq!(tags(&said), [Tag::Yield, Tag::Yield, Tag::Return]);
    pair.a.core.handle_input(pair.now, &said);
    // The items first, then the end, again and again.
    for wanted in [vec![vec![0], vec![1]], vec![], vec![]] {
        assert_eq!(pair.received_at_a(id), (wanted, Recv::End));
    }
}
