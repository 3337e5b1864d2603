//! The digest of a link tells states apart wherever something else may happen next, and nowhere
//! else: otherwise an explorer would take one for another, or never come to an end.

use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher;
use std::time::Duration;

use hatchery_proto::{DialogId, Kind, Names, Refusal, Terminal};
use hatchery_tests::pair::{Pair, asked_by, cancel_by, small_limits};

const GRACE: Duration = Duration::from_secs(1);

/// Both ends, with what was told taken.
fn digest(mut pair: Pair) -> u64 {
    pair.a.look();
    pair.b.look();
    digest_as_it_is(&pair)
}

fn digest_as_it_is(pair: &Pair) -> u64 {
    let (mut names, mut state) = (Names::default(), DefaultHasher::new());
    for end in [&pair.a, &pair.b] {
        end.core.fingerprint(&mut names, &mut state);
    }
    state.finish()
}

/// Digests what becomes of a started context.
fn after(then: impl FnOnce(&mut Pair, DialogId)) -> u64 {
    let mut pair = Pair::up_with(&small_limits());
    let id = pair.context();
    then(&mut pair, id);
    digest(pair)
}

fn assert_apart(what: &str, digests: &[u64]) {
    for (at, one) in digests.iter().enumerate() {
        assert!(!digests[..at].contains(one), "{what}: {at} of {digests:?} is as one before");
    }
}

#[test]
fn a_name_says_the_place_and_the_opener_and_no_number() {
    let named = |numbers: &[u64]| {
        let mut names = Names::default();
        numbers.iter().map(|number| names.of(DialogId::new(*number))).collect::<Vec<_>>()
    };
    assert_eq!(named(&[2, 1, 4, 2, 4, 1]), named(&[22, 31, 44, 22, 44, 31]));
    assert_apart("dialogs", &named(&[2, 1, 4, 3, 0]));
    let first = [2, 1, 0].map(|number| named(&[number])[0]);
    assert_apart("openers", &first);
}

#[test]
fn what_waits_is_told_by_its_size_and_its_first_byte() {
    let values: [&[u8]; 4] = [b"", b"x", b"y", b"xx"];
    let sent =
        values.map(|value| after(|pair, id| pair.a.core.caller(id).unwrap().send(value).unwrap()));
    assert_apart("values to be written", &sent);
    let arrived = values.map(|value| {
        after(|pair, id| {
            pair.a.core.caller(id).unwrap().send(value).unwrap();
            pair.settle();
        })
    });
    assert_apart("values to be read", &arrived);
    assert_apart("on either side", &[sent, arrived].concat());
}

#[test]
fn outcomes_are_told_by_what_a_user_would_do_about_them() {
    let ended = |terminal: Terminal| {
        after(|pair, id| {
            pair.finish(id, terminal);
            pair.settle();
        })
    };
    let [eof, broken] = [true, false].map(|eof| {
        after(|pair, _| {
            match eof {
                true => pair.a.core.handle_eof(pair.now),
                false => pair.a.core.handle_input(pair.now, &[0, 0, 0, 0]),
            }
            pair.a.core.handle_write_closed();
            pair.b.core.handle_eof(pair.now);
        })
    });
    // Given up on before the link ended, or lost with it.
    let [given_up, lost] = [2 * GRACE, GRACE / 2].map(|time| {
        after(|pair, id| {
            pair.a.core.caller(id).unwrap().cancel(pair.now, cancel_by(1, GRACE / 2));
            pair.settle();
            pair.pass(time);
            pair.a.core.handle_eof(pair.now);
        })
    });
    assert_ne!(given_up, lost);
    assert_apart(
        "outcomes",
        &[
            ended(Terminal::Return(b"x".to_vec())),
            ended(Terminal::Return(b"y".to_vec())),
            ended(Terminal::Cancelled(asked_by(1))),
            ended(Terminal::Cancelled(asked_by(2))),
            eof,
            broken,
        ],
    );
}

#[test]
fn a_cancel_is_told_by_who_asked_and_by_its_grace() {
    let asked = |number: u32, grace: Duration| {
        after(|pair, id| pair.a.core.caller(id).unwrap().cancel(pair.now, cancel_by(number, grace)))
    };
    assert_apart("cancels", &[asked(1, GRACE), asked(2, GRACE), asked(1, 2 * GRACE)]);
}

#[test]
fn what_is_about_to_be_said_of_the_same_books_is_told_apart() {
    // Credit is given back for what was read before a cancel came, not for what is read after it.
    let [before, behind] = [true, false].map(|before| {
        after(|pair, id| {
            pair.a.core.caller(id).unwrap().send(&[7; 600]).unwrap();
            pair.settle();
            let read = |pair: &mut Pair| drop(pair.received_at_b(id));
            if before {
                read(pair);
            }
            pair.a.core.caller(id).unwrap().cancel(pair.now, cancel_by(1, GRACE));
            pair.forth();
            if !before {
                read(pair);
            }
        })
    });
    assert_ne!(before, behind);
}

#[test]
fn of_deadlines_only_the_order_is_told() {
    // Two cancels that were asked for so long after one another; the first dialog's comes first.
    let cancelled = |first: bool, apart: Duration| {
        let mut pair = Pair::up();
        let ids = [pair.context(), pair.context()];
        let order = if first { [0, 1] } else { [1, 0] };
        for at in order {
            let mut caller = pair.a.core.caller(ids[at]).unwrap();
            caller.cancel(pair.now, cancel_by(1, GRACE));
            pair.settle();
            pair.pass(apart);
        }
        digest(pair)
    };
    let step = GRACE / 10;
    assert_apart(
        "orders",
        &[cancelled(true, step), cancelled(false, step), cancelled(true, Duration::ZERO)],
    );
    assert_eq!(cancelled(true, step), cancelled(true, 2 * step));
    assert_eq!(cancelled(true, Duration::ZERO), cancelled(false, Duration::ZERO));
}

#[test]
fn notices_that_nobody_has_taken_are_told_by_their_dialog() {
    let readable = |order: [usize; 2]| {
        let mut pair = Pair::up();
        let ids = [pair.context(), pair.context()];
        for at in order {
            pair.a.core.caller(ids[at]).unwrap().send(b"x").unwrap();
        }
        let bytes = pair.a.bytes(pair.now);
        pair.b.core.handle_input(pair.now, &bytes);
        digest_as_it_is(&pair)
    };
    assert_ne!(readable([0, 1]), readable([1, 0]));
}

#[test]
fn a_greeting_is_told_by_whether_it_is_written() {
    let mut pair = Pair::peers(&small_limits(), &small_limits());
    let before = digest_as_it_is(&pair);
    let _ = pair.a.bytes(pair.now);
    assert_ne!(digest_as_it_is(&pair), before);
}

#[test]
fn a_part_of_a_frame_is_told_by_its_bytes() {
    let parts = [&[][..], &[9], &[9, 0], &[8, 0]];
    let told = parts.map(|part| after(|pair, _| pair.b.core.handle_input(pair.now, part)));
    assert_apart("parts of a frame", &told);
}

#[test]
fn what_is_over_leaves_no_trace() {
    let fresh = digest({
        let mut pair = Pair::up();
        pair.open(Kind::Call, b"");
        pair
    });
    let mut pair = Pair::up();
    let gone = pair.open(Kind::Call, b"");
    pair.finish(gone, Terminal::Return(Vec::new()));
    pair.settle();
    pair.a.core.caller(gone).unwrap().release(pair.now, asked_by(1));
    pair.open(Kind::Call, b"");
    assert_eq!(digest(pair), fresh);
}

#[test]
fn a_refusal_is_told_from_another_for_other_reasons() {
    let refused = [Refusal::Unknown, Refusal::ShuttingDown].map(|refusal| {
        let mut pair = Pair::up_with(&small_limits());
        let id = pair.start(Kind::Call, b"");
        pair.forth();
        pair.b.core.callee(id).unwrap().refuse(refusal, String::new());
        pair.settle();
        digest(pair)
    });
    assert_apart("refusals", &refused);
}
