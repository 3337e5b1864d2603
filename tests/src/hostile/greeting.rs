//! What a peer may say before it has proven that it may speak (P-L1, P-A6).

use std::time::Duration;

use hatchery_proto::wire::hello::{Hello, MAX_HELLO, VERSIONS};
use hatchery_proto::wire::{Tag, put_frame};
use hatchery_proto::{DialogId, LinkKind, Role};

use super::{BEGIN, all_of, broken, end_of, small_limits};

/// The most that a peer gets in answer to a greeting that is none: a code (P-A6).
const CODE: usize = 32;

/// The first byte says whether the rest is bytes of a stream or the body of a `Hello`.
///
/// # Panics
/// Panics where the greeting is taken or answered otherwise than P-L1 and P-A6 say.
pub fn greeting_against(bytes: &[u8]) {
    let (&seed, bytes) = bytes.split_first().unwrap_or((&0, &[]));
    let (kind, role) = match seed & 3 {
        0 => (LinkKind::Parent, Role::Even),
        1 => (LinkKind::Child, Role::Odd),
        2 => (LinkKind::Peer, Role::Even),
        _ => (LinkKind::Peer, Role::Odd),
    };
    let mut end = end_of(kind, role, small_limits());
    let ours = all_of(&mut end);
    assert!(ours.len() <= 4 + MAX_HELLO as usize, "one `Hello` (P-A6)");
    if seed & 4 == 0 {
        end.handle_input(BEGIN, bytes);
    } else {
        let mut frame = Vec::new();
        put_frame(&mut frame, Tag::Hello, DialogId::ACTOR, 0, |out| out.extend_from_slice(bytes));
        end.handle_input(BEGIN, &frame);
        let fits = bytes.len() + 2 <= MAX_HELLO as usize;
        assert_eq!(end.peer().is_some(), fits && welcome(bytes, role), "{bytes:?}");
    }
    if end.peer().is_some() {
        let limits = end.limits();
        assert!(limits.max_frame >= 1024 && limits.max_frame <= small_limits().max_frame);
        return;
    }
    if let Some(how) = broken(&mut end) {
        assert!(matches!(how.rule, "P-L1" | "P-F1" | "P-F2" | "P-F4"), "{how}");
        assert!(end.is_closed());
        let answer = all_of(&mut end);
        assert!(!answer.is_empty() && answer.len() <= CODE, "no more than a code: {answer:?}");
    } else {
        assert!(all_of(&mut end).is_empty(), "nothing before the greeting is whole");
        end.handle_timeout(BEGIN + Duration::from_secs(5));
        assert_eq!(broken(&mut end).map(|how| how.rule), Some("P-L1"), "none within 5 s");
    }
}

/// Whether this is a greeting of our version that the end with this role takes; where it is one, it
/// is said again and heard the same.
fn welcome(body: &[u8], role: Role) -> bool {
    let Ok(hello) = Hello::parse(body) else { return false };
    assert!(hello.versions.0 <= VERSIONS.1 && hello.versions.1 >= VERSIONS.0);
    let mut again = Vec::new();
    hello.put(&mut again);
    let heard = Hello::parse(&again).expect("our own greeting");
    assert_eq!(format!("{hello:?}"), format!("{heard:?}"));
    hello.role != role && hello.announced.max_frame >= 1024
}
