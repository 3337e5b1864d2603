//! Values that arrive or are taken many at a time. Nobody can tell from one at a time: not by their
//! order, not by the books, not by what a peer that breaks a rule among them is told.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hasher};

use hatchery_proto::{Capacity, Connection, DialogId, Event, Limits, Names, Overrun, Recv, Values};
use hatchery_tests::pair::{Pair, Split};

fn value(number: u32, size: usize) -> Vec<u8> {
    let mut value = vec![number as u8; size.max(4)];
    value[..4].copy_from_slice(&number.to_le_bytes());
    value
}

fn send(pair: &mut Pair, id: DialogId, value: &[u8]) -> bool {
    pair.a.core.caller(id).unwrap().send(value).is_ok()
}

fn take_run(pair: &mut Pair, id: DialogId, out: &mut Values) -> Recv {
    pair.b.core.callee(id).unwrap().recv_run(out)
}

/// What this end has given out, holds and owes: always its window (P-W1).
fn window(core: &Connection, id: DialogId) -> i64 {
    let books = core.ledger(id).unwrap();
    books.allowance + books.held + books.owed
}

fn all(mut values: Values) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| values.next_value().map(<[u8]>::to_vec)).collect()
}

const SIZES: [usize; 10] = [4, 16, 16, 64, 120, 500, 1024, 1025, 5000, 70_000];

#[test]
fn p_d1_values_are_the_same_taken_together_or_one_by_one_or_put_back() {
    let mut random = fastrand::Rng::with_seed(11);
    for window_size in [1024, 4096, 256 * 1024] {
        let placed = [Split::Placed(1000), Split::Placed(100_000)];
        let pieces = [Split::Whole, Split::Pieces(1), Split::Pieces(100), Split::Pieces(4096)];
        for split in pieces.into_iter().chain(placed) {
            let limits = Limits { window: window_size, ..Limits::default() };
            let mut pair = Pair::up_with(&limits);
            pair.split = split;
            let id = pair.context();
            let (mut sent, mut expected, mut out) = (0, VecDeque::new(), Vec::new());
            let mut values = Values::default();
            for _ in 0..150 {
                for _ in 0..random.usize(0..30) {
                    let next = value(sent, SIZES[random.usize(0..SIZES.len())]);
                    if send(&mut pair, id, &next) {
                        expected.push_back(next);
                        sent += 1;
                    }
                }
                pair.settle();
                match random.u8(0..4) {
                    0 => pair.b.core.callee(id).unwrap().unread(&mut values),
                    1 if values.is_empty() => {
                        if pair.b.core.callee(id).unwrap().recv(&mut out) == Recv::Value {
                            assert_eq!(Some(&out), expected.pop_front().as_ref());
                        }
                    }
                    _ => {
                        let there = take_run(&mut pair, id, &mut values);
                        assert_eq!(there == Recv::Value, !values.is_empty());
                    }
                }
                for _ in 0..random.usize(0..20) {
                    let Some(next) = values.next_value() else { break };
                    assert_eq!(Some(next), expected.pop_front().as_deref());
                }
                assert_eq!(window(&pair.b.core, id), i64::from(window_size));
            }
            // What was begun is taken to its end, and then all credit is there again.
            while !expected.is_empty() {
                pair.settle();
                if values.is_empty() {
                    assert_eq!(take_run(&mut pair, id, &mut values), Recv::Value);
                }
                assert_eq!(values.next_value(), expected.pop_front().as_deref());
            }
            assert_eq!(take_run(&mut pair, id, &mut values), Recv::Empty);
            let books = pair.b.core.ledger(id).unwrap();
            assert_eq!((books.held, books.allowance + books.owed), (0, i64::from(window_size)));
        }
    }
}

#[test]
fn p_w1_what_was_taken_together_counts_until_the_next_are_asked_for() {
    let mut pair = Pair::up();
    let id = pair.context();
    for number in 0..10 {
        assert!(send(&mut pair, id, &value(number, 16)));
    }
    pair.settle();
    let before = pair.b.core.ledger(id).unwrap();
    let mut values = Values::default();
    assert_eq!(take_run(&mut pair, id, &mut values), Recv::Value);
    // Asked again with some left it does nothing.
    assert!(values.next_value().is_some());
    assert_eq!(take_run(&mut pair, id, &mut values), Recv::Value);
    let taken = pair.b.core.ledger(id).unwrap();
    assert_eq!((taken.held, taken.owed), (before.held, before.owed));
    assert_eq!(all(values).len(), 9);
    assert_eq!(take_run(&mut pair, id, &mut Values::default()), Recv::Empty);
    let asked = pair.b.core.ledger(id).unwrap();
    assert_eq!((asked.held, asked.owed), (0, before.owed + before.held));
}

#[test]
fn p_w1_no_more_than_a_quarter_of_the_window_is_taken_together() {
    let limits = Limits { window: 4096, ..Limits::default() };
    let mut pair = Pair::up_with(&limits);
    let id = pair.context();
    let mut number = 0;
    while send(&mut pair, id, &value(number, 16)) {
        number += 1;
    }
    pair.settle();
    let mut values = Values::default();
    assert_eq!(take_run(&mut pair, id, &mut values), Recv::Value);
    // A frame of 16 bytes has 23, and the last may go beyond.
    let count = all(values).len();
    assert!((30..=1024 / 23 + 1).contains(&count), "{count} at a time");
}

#[test]
fn p_d8_what_was_taken_together_is_given_back_with_the_reader() {
    for put_back in [true, false] {
        let mut pair = Pair::up();
        let id = pair.context();
        for number in 0..10 {
            assert!(send(&mut pair, id, &value(number, 16)));
        }
        pair.settle();
        let before = pair.b.core.ledger(id).unwrap();
        let mut values = Values::default();
        assert_eq!(take_run(&mut pair, id, &mut values), Recv::Value);
        assert!(values.next_value().is_some());
        let mut callee = pair.b.core.callee(id).unwrap();
        if put_back {
            callee.unread(&mut values);
        }
        callee.stop_reading();
        let after = pair.b.core.ledger(id).unwrap();
        assert_eq!((after.held, after.owed), (0, before.owed + before.held));
        // What comes back too late is dropped.
        pair.b.core.callee(id).unwrap().unread(&mut values);
        assert!(values.is_empty());
        assert_eq!(pair.b.core.ledger(id).unwrap().held, 0);
    }
}

#[test]
fn p_w6_a_policy_that_comes_later_is_for_what_was_put_back_too() {
    let mut pair = Pair::up();
    let id = pair.context();
    for number in 0..10 {
        assert!(send(&mut pair, id, &value(number, 16)));
    }
    pair.settle();
    let mut values = Values::default();
    assert_eq!(take_run(&mut pair, id, &mut values), Recv::Value);
    assert!(values.next_value().is_some());
    let mut callee = pair.b.core.callee(id).unwrap();
    callee.unread(&mut values);
    callee.on_overrun(Overrun::DropOldest(Capacity::items(3)));
    assert_eq!(callee.dropped(), 6);
    for number in 7..10 {
        assert_eq!(callee.recv_run(&mut values), Recv::Value);
        assert_eq!(values.next_value(), Some(&value(number, 16)[..]));
        assert!(values.is_empty(), "those of such a reader come one at a time");
    }
}

/// What two ends were told and hold that got the same bytes, whole and one by one.
fn both_ways(bytes: &[u8], receiver: &Pair) -> [(u64, Vec<Event>, Vec<String>); 2] {
    [bytes.len(), 1].map(|size| {
        let mut core = receiver.b.core.clone();
        for piece in bytes.chunks(size) {
            core.handle_input(receiver.now, piece);
        }
        let events = std::iter::from_fn(|| core.poll_event()).collect();
        let notes = core.recent().map(ToString::to_string).collect();
        let mut digest = DefaultHasher::new();
        core.fingerprint(&mut Names::default(), &mut digest);
        (digest.finish(), events, notes)
    })
}

#[test]
fn p_a1_many_values_at_once_are_judged_as_each_alone_would_be() {
    let mut random = fastrand::Rng::with_seed(12);
    let mut broken = 0;
    for round in 0..200 {
        let limits = Limits { window: 2048, ..Limits::default() };
        let mut pair = Pair::up_with(&limits);
        let ids = [pair.context(), pair.context()];
        let mut bytes = Vec::new();
        for number in 0..random.u32(1..60) {
            let id = ids[usize::from(random.u8(0..8) == 0)];
            let _ = send(&mut pair, id, &value(number, SIZES[random.usize(0..6)]));
        }
        let _ = pair.a.core.poll_transmit(pair.now, &mut bytes, usize::MAX);
        // Now and then one that no honest peer sends, or that is cut off.
        match round % 4 {
            0 => bytes.extend_from_slice(&[19, 0, 0, 0, 5, ids[0].number() as u8, 0, 1, 2, 3]),
            1 => {
                let frame = [&[19, 0, 0, 0, 5, ids[0].number() as u8, 0][..], &[7; 16]].concat();
                (0..200).for_each(|_| bytes.extend_from_slice(&frame));
            }
            2 => {
                let place = random.usize(0..bytes.len());
                bytes[place] ^= 1 << random.u8(0..8);
            }
            _ => {}
        }
        let [whole, alone] = both_ways(&bytes, &pair);
        broken += u32::from(whole.1.iter().any(|event| matches!(event, Event::Broken(_))));
        assert_eq!(whole, alone, "round {round}");
    }
    assert!(broken > 50, "{broken}");
}
