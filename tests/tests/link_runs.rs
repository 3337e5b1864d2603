//! Small values share buffers on their way out and where they wait for a reader. Nobody can tell: not
//! by their order, not by whose turn it is, not by what is kept of them.

use hatchery_proto::slice::Slice;
use hatchery_proto::{
    Capacity, Connection, DialogId, Gather, Kind, Limits, Overrun, Recv, SendError,
};
use hatchery_tests::pair::{Pair, Split, wish};

/// A value that says which it is, of this size.
fn value(number: u32, size: usize) -> Vec<u8> {
    let mut value = vec![number as u8; size.max(4)];
    value[..4].copy_from_slice(&number.to_le_bytes());
    value
}

fn send(pair: &mut Pair, id: DialogId, value: &[u8]) {
    pair.a.core.caller(id).unwrap().send(value).unwrap();
}

fn take(pair: &mut Pair, id: DialogId, out: &mut Vec<u8>) -> Recv {
    pair.b.core.callee(id).unwrap().recv(out)
}

/// The frames that stand in these bytes, as the dialogs they are of.
fn dialogs(mut bytes: &[u8]) -> Vec<u8> {
    let mut found = Vec::new();
    while let Some((prefix, rest)) = bytes.split_first_chunk::<4>() {
        found.push(rest[1]);
        bytes = &rest[u32::from_le_bytes(*prefix) as usize..];
    }
    found
}

/// Sizes on both sides of every bound there is: of what shares a buffer here and there, of a buffer
/// that stays, of a frame.
const SIZES: [usize; 12] = [4, 16, 64, 120, 500, 1007, 1008, 1009, 4096, 4097, 5000, 70_000];

#[test]
fn p_d1_values_of_all_sizes_stay_in_order_however_they_are_carried_and_taken() {
    let mut random = fastrand::Rng::with_seed(6);
    let placed = [Split::Placed(100), Split::Placed(50_000)];
    let pieces = [Split::Whole, Split::Pieces(1), Split::Pieces(7), Split::Pieces(4096)];
    for split in pieces.into_iter().chain(placed) {
        for budget in [1, 100, 65_536, usize::MAX] {
            let mut pair = Pair::up();
            (pair.split, pair.budget) = (split, budget);
            let id = pair.context();
            let (mut sent, mut had, mut out) = (0, 0, Vec::new());
            let mut expected = std::collections::VecDeque::new();
            for _ in 0..60 {
                for _ in 0..random.usize(0..20) {
                    let next = value(sent, SIZES[random.usize(0..SIZES.len())]);
                    if pair.a.core.caller(id).unwrap().send(&next).is_ok() {
                        expected.push_back(next);
                        sent += 1;
                    }
                }
                if random.bool() {
                    pair.settle();
                }
                for _ in 0..random.usize(0..20) {
                    if take(&mut pair, id, &mut out) == Recv::Value {
                        assert_eq!(Some(&out), expected.pop_front().as_ref(), "value {had}");
                        had += 1;
                    }
                }
            }
            while had < sent {
                pair.settle();
                while take(&mut pair, id, &mut out) == Recv::Value {
                    assert_eq!(Some(&out), expected.pop_front().as_ref(), "value {had}");
                    had += 1;
                }
            }
            assert_eq!(take(&mut pair, id, &mut out), Recv::Empty);
        }
    }
}

#[test]
fn p_w1_values_that_are_sent_together_are_what_each_is_alone() {
    let mut random = fastrand::Rng::with_seed(12);
    let mut pairs = [Pair::up(), Pair::up()];
    let [id, same] = pairs.each_mut().map(Pair::context);
    assert_eq!(id, same);
    let (mut number, mut full) = (0, 0);
    for _ in 0..400 {
        let values: Vec<_> = (number..number + random.u32(0..70))
            .map(|number| value(number, SIZES[random.usize(0..SIZES.len())]))
            .collect();
        let [one, other] = &mut pairs;
        let mut caller = one.a.core.caller(id).unwrap();
        let alone = values.iter().take_while(|value| caller.send(value).is_ok()).count();
        let mut caller = other.a.core.caller(id).unwrap();
        let together = caller.send_run(values.iter().map(Vec::as_slice));
        let none = alone == 0 && !values.is_empty();
        assert_eq!(together, if none { Err(SendError::Full) } else { Ok(alone) });
        full += usize::from(alone < values.len());
        number += alone as u32;
        // More may be sent before, or what was sent is read, all of it or not.
        let reads = random.usize(0..3) * 40;
        let [said, same] = pairs.each_mut().map(|pair| {
            let said = pair.a.bytes(pair.now);
            pair.b.core.handle_input(pair.now, &said);
            let had: Vec<_> = std::iter::repeat_with(|| {
                let mut had = Vec::new();
                (take(pair, id, &mut had), had)
            })
            .take(reads)
            .collect();
            pair.settle();
            (said, had, pair.a.core.caller(id).unwrap().can_send(), pair.a.events.clone())
        });
        assert!(said == same, "value {number}");
    }
    assert!((20..380).contains(&full), "{full}");
}

#[test]
fn p_w1_of_values_that_are_sent_together_the_first_says_why_none_is_sent() {
    let mut pair = Pair::up();
    let id = pair.context();
    let max = Limits::default().max_message as usize;
    let (small, large) = (value(1, 16), vec![7; max + 1]);
    let mut caller = pair.a.core.caller(id).unwrap();
    assert_eq!(caller.send_run([]), Ok(0));
    let too_large = Err(SendError::TooLarge { size: max + 1, max });
    assert_eq!(caller.send_run([&large[..], &small]), too_large);
    assert_eq!(caller.send_run([&small[..], &small, &large, &small]), Ok(2));
    caller.stop().unwrap();
    assert_eq!(caller.send_run([&small[..]]), Err(SendError::Stopped));
    pair.settle();
    assert_eq!(pair.received_at_b(id), (vec![small.clone(), small], Recv::End));
}

#[test]
fn p_w4_dialogs_with_many_small_values_take_turns_and_one_alone_does_not_wait() {
    let mut pair = Pair::up();
    let first = pair.context();
    let second = pair.context();
    for number in 0..3 {
        send(&mut pair, first, &value(number, 16));
        send(&mut pair, second, &value(number, 16));
    }
    send(&mut pair, first, &value(3, 16));
    let mut bytes = Vec::new();
    // However little may be written at once, and however much.
    let _ = pair.a.core.poll_transmit(pair.now, &mut bytes, 1);
    let _ = pair.a.core.poll_transmit(pair.now, &mut bytes, usize::MAX);
    let [a, b] = [first, second].map(|id| id.number() as u8);
    assert_eq!(dialogs(&bytes), [a, b, a, b, a, b, a]);
}

#[test]
fn p_w4_control_passes_small_values_that_wait() {
    let mut pair = Pair::up();
    let id = pair.context();
    for number in 0..10 {
        send(&mut pair, id, &value(number, 16));
    }
    let mut bytes = Vec::new();
    let _ = pair.a.core.poll_transmit(pair.now, &mut bytes, 1);
    assert_eq!(dialogs(&bytes).len(), 1);
    // An answer to the peer's dialog stands before the nine.
    let theirs = pair.b.core.start(pair.now, wish(Kind::Call), &[]).unwrap();
    pair.back();
    pair.a.core.callee(theirs).unwrap().accept();
    bytes.clear();
    let _ = pair.a.core.poll_transmit(pair.now, &mut bytes, usize::MAX);
    let order = dialogs(&bytes);
    assert_eq!(order[0], theirs.number() as u8, "{order:?}");
    assert_eq!(order[1..], [id.number() as u8; 9]);
}

#[test]
fn p_w6_what_shares_a_buffer_obeys_a_policy_that_comes_later() {
    for later in [Overrun::DropOldest(Capacity::items(3)), Overrun::LatestOnly] {
        let mut pair = Pair::up();
        let id = pair.context();
        for number in 0..10 {
            send(&mut pair, id, &value(number, if number == 4 { 2000 } else { 16 }));
        }
        pair.settle();
        let mut callee = pair.b.core.callee(id).unwrap();
        callee.on_overrun(later);
        let kept: u32 = if later == Overrun::LatestOnly { 1 } else { 3 };
        assert_eq!(callee.dropped(), u64::from(10 - kept));
        // And back: what is left and what comes then are one row.
        callee.on_overrun(Overrun::Wait);
        for number in 10..20 {
            send(&mut pair, id, &value(number, 16));
        }
        pair.settle();
        let mut out = Vec::new();
        for number in 10 - kept..20 {
            assert_eq!(take(&mut pair, id, &mut out), Recv::Value);
            assert_eq!(out, value(number, 16));
        }
        assert_eq!(take(&mut pair, id, &mut out), Recv::Empty);
    }
}

#[test]
fn p_w1_the_books_are_right_with_values_half_written_and_half_taken() {
    let mut pair = Pair::up();
    let id = pair.context();
    let books = |core: &Connection| core.ledger(id).unwrap();
    let cost = 16 + 16;
    let before = books(&pair.b.core).owed;
    for number in 0..100 {
        send(&mut pair, id, &value(number, 16));
    }
    assert_eq!(books(&pair.a.core).unsent, 100 * cost);
    let mut bytes = Vec::new();
    while dialogs(&bytes).len() < 40 {
        let _ = pair.a.core.poll_transmit(pair.now, &mut bytes, 1);
    }
    assert_eq!(books(&pair.a.core).unsent, 60 * cost);
    pair.b.core.handle_input(pair.now, &bytes);
    let mut out = Vec::new();
    for _ in 0..15 {
        assert_eq!(take(&mut pair, id, &mut out), Recv::Value);
    }
    let (sender, receiver) = (books(&pair.a.core), books(&pair.b.core));
    assert_eq!((receiver.held, receiver.owed), (25 * cost, before + 15 * cost));
    assert_eq!(receiver.allowance + receiver.held + receiver.owed, receiver.window);
    assert_eq!(sender.balance + sender.unsent, receiver.allowance);
}

/// The same value as bytes of its own with others between, of which each may be empty.
fn apart(value: &[u8], random: &mut fastrand::Rng) -> (Vec<u8>, Vec<(usize, Slice)>) {
    let (mut own, mut shared, mut from) = (Vec::new(), Vec::new(), 0);
    while from < value.len() {
        let most = [10, 20_000, 70_000, 200_000][random.usize(0..4)];
        let to = (from + random.usize(0..=most)).min(value.len());
        if random.bool() {
            own.extend_from_slice(&value[from..to]);
        } else {
            let around = [&[1, 2, 3][..], &value[from..to], &[4]].concat();
            shared.push((own.len(), Slice::from(around).part(3..3 + to - from).unwrap()));
        }
        from = to;
    }
    (own, shared)
}

fn flat(gather: &Gather) -> Vec<u8> {
    gather.slices().flatten().copied().collect()
}

#[test]
fn what_is_gathered_is_what_would_be_transmitted_however_it_is_taken() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut pair = Pair::up();
    let ids = [pair.context(), pair.context()];
    let (mut gather, mut sent, mut had) = (Gather::default(), Vec::new(), [0_u32; 2]);
    let mut numbers = [0_u32; 2];
    let sizes = [4, 16, 600, 16_383, 16_384, 20_000, 65_536, 66_000, 150_000];
    for _ in 0..1000 {
        let which = random.usize(0..2);
        let mut next = value(numbers[which], sizes[random.usize(0..sizes.len())]);
        let mut caller = pair.a.core.caller(ids[which]).unwrap();
        let sent_now = match random.u8(0..3) {
            0 => {
                let (own, mut shared) = apart(&next, &mut random);
                caller.send_with(&own, &mut shared)
            }
            _ => caller.send_from(&mut next),
        };
        numbers[which] += u32::from(sent_now.is_ok());
        // A twin says it in one buffer.
        let (mut twin, mut one) = (pair.a.core.clone(), Vec::new());
        let budget = [1, 500, 65_536, usize::MAX][random.usize(0..4)];
        let before = gather.len();
        let alike = twin.poll_transmit(pair.now, &mut one, budget);
        let count = pair.a.core.poll_gather(pair.now, &mut gather, budget);
        assert_eq!((count, gather.len()), (alike, before + alike));
        let all = flat(&gather);
        assert_eq!(all.len(), gather.len());
        assert!(all[before..] == one, "of {count} bytes some are others");
        let taken = random.usize(0..=gather.len());
        sent.extend_from_slice(&all[..taken]);
        gather.advance(taken);
        assert!(flat(&gather) == all[taken..]);
        if random.u8(..) < 40 {
            pair.b.core.handle_input(pair.now, &std::mem::take(&mut sent));
            let mut out = Vec::new();
            for (place, id) in ids.into_iter().enumerate() {
                while take(&mut pair, id, &mut out) == Recv::Value {
                    assert!(out[..] == value(had[place], out.len()), "value {}", had[place]);
                    had[place] += 1;
                }
            }
            pair.back();
        }
    }
    assert!(had.iter().sum::<u32>() > 300, "{had:?}");
}

#[test]
fn a_large_payload_that_leaves_in_one_frame_is_not_copied() {
    let mut pair = Pair::up();
    let id = pair.context();
    let mut value = Vec::with_capacity(65_536);
    value.resize(50_000, 7);
    let at = value.as_ptr();
    pair.a.core.caller(id).unwrap().send_from(&mut value).unwrap();
    assert!(value.is_empty());
    send(&mut pair, id, &[1]);
    let mut gather = Gather::default();
    let _ = pair.a.core.poll_gather(pair.now, &mut gather, usize::MAX);
    let parts: Vec<_> = gather.slices().collect();
    assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [7, 50_000, 8]);
    assert_eq!(parts[1].as_ptr(), at);
    // And its buffer is the next one's.
    gather.advance(gather.len());
    let _ = pair.a.core.poll_gather(pair.now, &mut gather, usize::MAX);
    let mut value = vec![7; 50_000];
    pair.a.core.caller(id).unwrap().send_from(&mut value).unwrap();
    assert_eq!(value.as_ptr(), at);
}

#[test]
fn what_others_hold_too_is_handed_on_in_every_frame_and_given_back() {
    for size in [16 * 1024, 65_584, 400_000] {
        let mut pair = Pair::up();
        let id = pair.context();
        let shared = Slice::from(value(1, size));
        let mut parts = vec![(3, shared.clone())];
        pair.a.core.caller(id).unwrap().send_with(b"headtail", &mut parts).unwrap();
        assert!(parts.is_empty());
        let mut gather = Gather::default();
        while pair.a.core.poll_gather(pair.now, &mut gather, 65_536) > 0 {}
        let whole = shared.as_ptr_range();
        let there = gather.slices().filter(|part| whole.contains(&part.as_ptr()));
        // All but what shares the last frame with little else.
        assert!(there.map(<[u8]>::len).sum::<usize>() + 16 * 1024 > size, "{size}");
        pair.b.core.handle_input(pair.now, &flat(&gather));
        let sent = [b"hea", &value(1, size)[..], b"dtail"].concat();
        assert!(pair.received_at_b(id).0 == [sent], "{size}");
        gather.advance(gather.len());
        assert_eq!(
            shared.into_whole().map(|whole| whole.len()).ok(),
            Some(size),
            "somebody holds it"
        );
    }
}

#[test]
fn p_c1_a_cancel_lets_go_of_what_others_hold_too() {
    let mut pair = Pair::up();
    let id = pair.context();
    let shared = Slice::from(value(1, 200_000));
    pair.a.core.caller(id).unwrap().send_with(b"", &mut vec![(0, shared.clone())]).unwrap();
    let mut gather = Gather::default();
    assert!(pair.a.core.poll_gather(pair.now, &mut gather, 1) > 0);
    let cancel = hatchery_tests::pair::cancel_by(1, std::time::Duration::from_secs(1));
    pair.a.core.caller(id).unwrap().cancel(pair.now, cancel);
    while pair.a.core.poll_gather(pair.now, &mut gather, 65_536) > 0 {}
    assert!(gather.len() < 70_000, "half a message is left where it is");
    gather.clear();
    assert!(shared.into_whole().is_ok());
}

#[test]
fn p_f3_what_is_handed_on_is_bounded_like_any_other_value_and_stays_where_it_is() {
    let limits = hatchery_proto::Limits { max_message: 100_000, ..Default::default() };
    let mut pair = Pair::up_with(&limits);
    let id = pair.context();
    let shared = Slice::from(value(1, 60_000));
    let mut parts = vec![(0, shared.clone()), (0, shared)];
    let sent = pair.a.core.caller(id).unwrap().send_with(b"and", &mut parts);
    assert_eq!(sent, Err(hatchery_proto::SendError::TooLarge { size: 120_003, max: 100_000 }));
    assert_eq!(parts.len(), 2);
}
