//! Bodies of control frames: whatever decodes encodes to the very same bytes, and the core takes
//! exactly that (P-F1, P-F4).

use hatchery_proto::wire::body::{Credit, Start, StartAck};
use hatchery_proto::wire::hello::Announced;
use hatchery_proto::wire::{CONTINUED, MORE, Tag, put_frame, put_varint, take_varint};
use hatchery_proto::{
    ActorId, CancelRequest, DialogId, ExitReport, Failure, GoodbyeReason, Kind, Report, StartWish,
};
use serde::{Deserialize, Serialize};

use super::{BEGIN, broken, exchange, greeted, small_limits};

/// The first byte says which body the rest is.
///
/// # Panics
/// Panics where the core takes what is not canonical, or refuses what is.
pub fn bodies_against(bytes: &[u8]) {
    let (&what, body) = bytes.split_first().unwrap_or((&0, &[]));
    match what % 10 {
        0 => judged(Tag::Start, body, prefix::<Start<'_>>(body).is_some()),
        1 => judged(Tag::StartAck, body, prefix::<StartAck>(body) == Some(body.len())),
        2 => judged(Tag::Credit, body, prefix::<Credit>(body) == Some(body.len())),
        3 => judged(Tag::Cancel, body, prefix::<CancelRequest>(body) == Some(body.len())),
        4 => judged(Tag::Goodbye, body, prefix::<GoodbyeReason>(body) == Some(body.len())),
        5 => judged(Tag::Error, body, canonical_error(body)),
        6 => drop(prefix::<Report>(body)),
        7 => drop((prefix::<ExitReport>(body), prefix::<ActorId>(body))),
        8 => drop(prefix::<Announced>(body)),
        _ => varint(body),
    }
}

/// How much of `body` is a canonical value of this type: one that encodes to the very same bytes.
/// What does not is mostly longer than its encoding, but nanoseconds that carry lengthen the seconds.
///
/// # Panics
/// Panics where a decoded value does not encode.
fn prefix<'a, T: Serialize + Deserialize<'a>>(body: &'a [u8]) -> Option<usize> {
    let (value, rest) = postcard::take_from_bytes::<T>(body).ok()?;
    let taken = &body[..body.len() - rest.len()];
    let again = postcard::to_allocvec(&value).expect("what was decoded encodes");
    (again == taken).then_some(taken.len())
}

fn canonical_error(body: &[u8]) -> bool {
    match postcard::take_from_bytes::<Failure>(body) {
        Ok((Failure::Failed(_), _)) => prefix::<Failure>(body).is_some(),
        Ok(_) => prefix::<Failure>(body) == Some(body.len()),
        Err(_) => false,
    }
}

/// A frame with this body, where one is legal: P-F4 is broken by what is not canonical alone.
fn judged(tag: Tag, body: &[u8], canonical: bool) {
    let (mut here, mut there) = greeted(&small_limits());
    let wish = StartWish {
        endpoint: "endpoint",
        kind: Kind::Call,
        schema: 0,
        codec: 0,
        deadline: None,
        trace: None,
    };
    let dialog = match tag {
        Tag::Goodbye => DialogId::ACTOR,
        Tag::Start => DialogId::new(1),
        // Ours, written and not answered.
        Tag::StartAck | Tag::Error => here.start(BEGIN, wish, b"").expect("a dialog"),
        _ => there.start(BEGIN, wish, b"").expect("a dialog"),
    };
    exchange(&mut here, &mut there);
    while here.poll_event().is_some() {}
    let mut frame = Vec::new();
    put_frame(&mut frame, tag, dialog, 0, |out| out.extend_from_slice(body));
    here.handle_input(BEGIN, &frame);
    let how = broken(&mut here);
    let malformed = how.as_ref().is_some_and(|how| how.rule == "P-F4" && !named(&how.detail));
    let taken = if canonical { !malformed } else { how.is_some() };
    let over = how.as_ref().is_some_and(|how| how.rule == "P-F2");
    assert!(over || taken, "{tag:?} {body:?}, canonical: {canonical}: {how:?}");
}

/// P-F4 about a well-formed `Start`: its name is longer than what was announced.
fn named(detail: &str) -> bool {
    detail.contains("name is too long")
}

fn varint(bytes: &[u8]) {
    if let Some((number, rest)) = take_varint(bytes) {
        let mut again = Vec::new();
        put_varint(&mut again, number);
        assert_eq!(again, bytes[..bytes.len() - rest.len()], "{number} has one encoding");
        let flags = (number & u64::from(MORE | CONTINUED)) as u8;
        let mut frame = Vec::new();
        put_frame(&mut frame, Tag::Yield, DialogId::new(number), flags, |_| ());
        assert_eq!(frame.len(), 4 + 1 + again.len() + 1);
    }
}
