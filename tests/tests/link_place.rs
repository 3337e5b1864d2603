//! Large payloads that are read to where they belong. Nobody can tell them from those that arrive
//! otherwise, and no more room is made for them than the limits allow.

use std::hash::{DefaultHasher, Hasher};

use hatchery_proto::{Event, Kind, Limits, Names, Recv, Terminal};
use hatchery_tests::hostile::read;
use hatchery_tests::pair::{Pair, Split};

fn bytes(size: usize) -> Vec<u8> {
    (0..size).map(|place| (place % 251) as u8).collect()
}

/// The sender's bytes of a context with a large value of each kind, and the end that is to hear them.
fn said(pair: &mut Pair, size: usize) -> Vec<u8> {
    let id = pair.context();
    let mut sent =
        pair.a.core.start(pair.now, hatchery_tests::pair::wish(Kind::Call), &bytes(size));
    assert!(sent.is_ok());
    let _ = pair.a.core.caller(id).unwrap().send(&bytes(size));
    sent = pair.a.core.start(pair.now, hatchery_tests::pair::wish(Kind::Call), &bytes(3));
    assert!(sent.is_ok());
    pair.a.bytes(pair.now)
}

/// Where each frame begins.
fn frames(said: &[u8]) -> impl Iterator<Item = usize> {
    let mut next = 0;
    std::iter::from_fn(move || {
        let prefix = said.get(next..)?.first_chunk::<4>()?;
        let at = next;
        next += 4 + u32::from_le_bytes(*prefix) as usize;
        Some(at)
    })
}

#[test]
fn p_f4_p_a1_what_is_read_to_its_place_is_judged_as_what_is_not() {
    let mut random = fastrand::Rng::with_seed(61);
    let (mut broken, mut placed) = (0, 0);
    for round in 0..150 {
        let max_frame = [1024, 20_000, 64 * 1024 + 64][round % 3];
        let limits = Limits { max_frame, max_message: 300_000, ..Limits::default() };
        let mut pair = Pair::up_with(&limits);
        let size = random.usize(1..200_000);
        let mut said = said(&mut pair, size);
        // Now and then what no honest peer sends, or that is cut off.
        match round % 5 {
            0 => {
                let starts: Vec<usize> = frames(&said).collect();
                let at = starts[random.usize(0..starts.len())] + random.usize(0..7);
                said[at] ^= 1 << random.u8(0..8);
            }
            1 => said.truncate(random.usize(0..said.len())),
            _ => {}
        }
        let ways = [said.len(), 1 + random.usize(0..9000), 1 + random.usize(0..100_000)];
        let told = ways.map(|most| {
            let mut core = pair.b.core.clone();
            for (at, piece) in said.chunks(most).enumerate() {
                placed += core.place().len().min(piece.len());
                match (at + round) % 3 {
                    0 if most < said.len() => core.handle_input(pair.now, piece),
                    _ => read(&mut core, pair.now, piece),
                }
            }
            let events: Vec<Event> = std::iter::from_fn(|| core.poll_event()).collect();
            let notes: Vec<String> = core.recent().map(ToString::to_string).collect();
            let mut digest = DefaultHasher::new();
            core.fingerprint(&mut Names::default(), &mut digest);
            (events, notes, core.held(), digest.finish())
        });
        broken += usize::from(told[0].0.iter().any(|event| matches!(event, Event::Broken(_))));
        assert_eq!(told[0], told[1], "round {round}");
        assert_eq!(told[0], told[2], "round {round}");
    }
    assert!(broken > 20, "{broken}");
    assert!(placed > 1_000_000, "{placed}");
}

#[test]
fn p_f3_large_messages_of_every_kind_arrive_where_they_were_placed() {
    for size in [16 * 1024, 65_584, 65_585, 200_000, 1_000_000] {
        for piece in [3000, 65_591, 70_000] {
            let mut pair = Pair::up();
            pair.split = Split::Placed(piece);
            let id = pair.open(Kind::Context, &bytes(size));
            pair.b.core.callee(id).unwrap().started(&bytes(size + 1)).unwrap();
            pair.settle();
            let first = pair.a.core.caller(id).unwrap().take_started();
            assert!(first == Some(bytes(size + 1)), "{size} by {piece}");
            pair.settle();
            pair.b.core.callee(id).unwrap().send(&bytes(size + 2)).unwrap();
            pair.finish(id, Terminal::Return(bytes(size + 3)));
            pair.settle();
            assert!(pair.received_at_a(id) == (vec![bytes(size + 2)], Recv::End));
            let outcome = pair.a.core.take_outcome(id);
            let returned = hatchery_proto::Outcome::Returned(bytes(size + 3));
            assert!(outcome == Some(returned), "{size} by {piece}");
        }
    }
}

#[test]
fn p_d8_what_nobody_reads_any_more_is_dropped_within_its_frame_too() {
    let mut pair = Pair::up();
    let id = pair.context();
    let before = pair.b.core.held();
    pair.a.core.caller(id).unwrap().send(&bytes(150_000)).unwrap();
    let said = pair.a.bytes(pair.now);
    // Within its second frame, of which a part was read to its place.
    let (first, rest) = said.split_at(100_000);
    read(&mut pair.b.core, pair.now, &first[..70_000]);
    read(&mut pair.b.core, pair.now, &first[70_000..]);
    assert_eq!(pair.b.core.held() - before, 100_000 - 14, "without two headers");
    pair.b.core.callee(id).unwrap().stop_reading();
    read(&mut pair.b.core, pair.now, rest);
    assert_eq!(pair.b.core.held(), before);
    pair.settle();
    assert_eq!((pair.a.broken(), pair.b.broken()), (None, None));
    // Of its window nothing is lost (P-W1).
    let books = pair.b.core.ledger(id).unwrap();
    assert_eq!(books.allowance + books.held + books.owed, 256 * 1024);
}

#[test]
fn p_f5_room_is_made_for_one_frame_and_never_for_what_is_only_announced() {
    let limits = Limits { max_frame: 1 << 30, ..Limits::default() };
    let mut pair = Pair::up_with(&limits);
    let id = pair.context();
    let number = u8::try_from(id.number()).unwrap();
    let header = [&(1_u32 << 29).to_le_bytes()[..], &[5, number, 0]].concat();
    pair.b.core.handle_input(pair.now, &header);
    let room = pair.b.core.place().len();
    assert!((16 * 1024..=128 * 1024).contains(&room), "{room}");
    // It is where it was as long as nothing comes, and gone with the link.
    pair.b.core.handle_placed(0);
    assert_eq!(pair.b.core.place().len(), room);
    pair.b.core.handle_eof(pair.now);
    assert!(pair.b.core.place().is_empty());
    pair.b.core.handle_placed(7);
}

#[test]
fn p_f5_of_a_message_whose_dialog_is_gone_no_more_is_held_than_the_frame() {
    let mut pair = Pair::up();
    let id = pair.context();
    let before = pair.b.core.held();
    pair.a.core.caller(id).unwrap().send(&bytes(150_000)).unwrap();
    let said = pair.a.bytes(pair.now);
    // One frame is whole, and of the second a part has come when the callee ends.
    let frame = frames(&said).nth(1).unwrap();
    let (first, rest) = said.split_at(frame + 20_000);
    read(&mut pair.b.core, pair.now, first);
    assert!(pair.b.core.held() > before + frame);
    pair.finish(id, Terminal::Return(vec![]));
    pair.back();
    assert_eq!(pair.b.core.known_dialogs(), 0);
    let held = pair.b.core.held();
    assert!((19_900..=20_000).contains(&held), "{held} bytes are held");
    read(&mut pair.b.core, pair.now, rest);
    assert_eq!(pair.b.core.held(), 0);
    // What comes behind it is understood, in the buffers that it had too.
    pair.open(Kind::Context, &bytes(90_000));
    assert_eq!((pair.a.broken(), pair.b.broken()), (None, None));
}
