//! Bytes in any split. Nothing here knows what they say.

use hatchery_proto::{Event, LinkKind, Role};

use super::{BEGIN, end_of, pieces, small_limits};

/// The same bytes whole, one at a time and in pieces that they choose themselves: every split gives
/// the same events and the same answers (P-F4).
///
/// # Panics
/// Panics where it does not.
pub fn deframer_against(bytes: &[u8]) {
    let (&seed, bytes) = bytes.split_first().unwrap_or((&0, &[]));
    let whole = told(seed, [bytes]);
    assert_eq!(whole, told(seed, bytes.chunks(1)), "one byte at a time");
    let sizes = bytes.iter().map(|byte| usize::from(*byte) + 1);
    assert_eq!(whole, told(seed, pieces(bytes, sizes)), "in pieces");
}

/// All that a connection makes of this input, whether it ended, and what it answers.
fn told<'a>(seed: u8, pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Event>, bool, Vec<u8>) {
    let (kind, role) = match seed & 3 {
        0 => (LinkKind::Parent, Role::Even),
        1 => (LinkKind::Child, Role::Odd),
        2 => (LinkKind::Peer, Role::Even),
        _ => (LinkKind::Peer, Role::Odd),
    };
    let mut end = end_of(kind, role, small_limits());
    if seed & 8 != 0 {
        let other = match kind {
            LinkKind::Parent => LinkKind::Child,
            LinkKind::Child => LinkKind::Parent,
            LinkKind::Peer => LinkKind::Peer,
        };
        let mut peer = end_of(other, role.other(), small_limits());
        end.handle_input(BEGIN, &super::all_of(&mut peer));
        while end.poll_event().is_some() {}
    }
    let mut told = Vec::new();
    for piece in pieces {
        super::read(&mut end, BEGIN, piece);
        told.extend(std::iter::from_fn(|| end.poll_event()));
    }
    (told, end.is_closed(), super::all_of(&mut end))
}
