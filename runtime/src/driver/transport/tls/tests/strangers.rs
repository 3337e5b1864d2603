//! What speaks no TLS, or an older one, or says too much before it has proven anything.

use futures_lite::AsyncWriteExt as _;
use hatchery_proto::wire::deframer::Deframer;
use hatchery_proto::wire::hello::{Announced, Hello, MAX_HELLO, VERSIONS};
use hatchery_proto::{Limits, Role};

use super::wire::played;
use super::*;

/// What a listener makes of these bytes, and what it answers.
fn heard(bytes: &[u8]) -> (TlsError, Vec<u8>) {
    let (pipe, sent) = played(bytes);
    let two = keys(&Authority::new().unwrap(), 2);
    let error = block_on(two.accept(pipe, "tcp:here:1")).map(|_| ()).unwrap_err();
    let answer = sent.lock().unwrap().recorded.clone();
    (error, answer)
}

/// What a dialer makes of them.
fn answered(bytes: &[u8]) -> TlsError {
    let one = keys(&Authority::new().unwrap(), 1);
    let (pipe, _) = played(bytes);
    block_on(one.dial(pipe, None, "tcp:there:1")).map(|_| ()).unwrap_err()
}

fn hello() -> Vec<u8> {
    let announced = Announced::of(&Limits::default());
    let hello = Hello {
        versions: VERSIONS,
        id: actor(1, "plain"),
        role: Role::Even,
        announced,
        tree: None,
        descriptors: 0,
    };
    let mut body = Vec::new();
    hello.put(&mut body);
    let mut frame = u32::try_from(body.len() + 2).unwrap().to_le_bytes().to_vec();
    frame.extend([1, 0]);
    frame.extend(body);
    frame
}

/// Nothing, or one alert: two bytes in a record.
fn is_alert(answer: &[u8]) -> bool {
    answer.is_empty() || (answer.len() == 7 && answer[0] == 0x15)
}

#[test]
fn what_is_no_tls_is_told_apart() {
    for (bytes, stranger) in [
        (hello(), Stranger::Plain),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), Stranger::Http),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), Stranger::Http),
        (b"SSH-2.0-OpenSSH_9.9\r\n".to_vec(), Stranger::Unknown),
        (vec![0; 64], Stranger::Unknown),
        (vec![0xff; 64], Stranger::Unknown),
    ] {
        let (error, answer) = heard(&bytes);
        assert!(matches!(error.fault(), Fault::NoTls(found) if *found == stranger), "{error:?}");
        assert!(is_alert(&answer), "{answer:?}");
        assert!(error.to_string().starts_with("who dialed tcp:here:1 was not let in: "));
        let error = answered(&bytes);
        assert!(matches!(error.fault(), Fault::NoTls(found) if *found == stranger), "{error:?}");
        assert!(error.to_string().starts_with("no secure link to tcp:there:1: "));
    }
    let error = answered(b"HTTP/1.1 400 Bad Request\r\n");
    assert!(matches!(error.fault(), Fault::NoTls(Stranger::Http)));
}

#[test]
fn whoever_goes_at_once_is_closed() {
    for bytes in [&b""[..], b"\x16", b"\x16\x03", b"\x16\x03\x01\x02\x00\x01"] {
        let (error, answer) = heard(bytes);
        assert!(matches!(error.fault(), Fault::Closed), "{error:?}");
        assert!(answer.is_empty());
        assert!(matches!(answered(bytes).fault(), Fault::Closed));
    }
}

/// What a TLS client says first.
fn client_hello() -> Vec<u8> {
    let one = keys(&Authority::new().unwrap(), 1);
    let (ours, theirs) = pipe();
    let sent = ours.outgoing.clone();
    let mut dialing = Box::pin(one.dial(ours, None, "there"));
    let pending = block_on(futures_lite::future::poll_once(&mut dialing));
    assert!(pending.is_none());
    drop((dialing, theirs));
    let sent = sent.lock().unwrap().recorded.clone();
    assert_eq!(sent[0], 0x16);
    sent
}

#[test]
fn a_plain_link_takes_no_tls() {
    let hello = client_hello();
    let mut deframer = Deframer::new(MAX_HELLO);
    // Its length would be above 16 MiB: said so before anything is kept.
    assert!(deframer.next(&mut hello.as_slice()).is_err());
    assert_eq!(deframer.held(), 0);
}

#[test]
fn who_is_dialed_is_not_said_in_the_clear() {
    let hello = client_hello();
    for secret in [&b"hatchery.invalid"[..], b"actor"] {
        assert!(!hello.windows(secret.len()).any(|part| part == secret));
    }
}

/// A client of TLS 1.2 that has all else.
fn old_hello() -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.push(0);
    // ECDHE with AES-128-GCM.
    body.extend([0, 4, 0xc0, 0x2b, 0xc0, 0x2f]);
    body.extend([1, 0]);
    // Signatures by Ed25519 and ECDSA, and the groups X25519 and P-256.
    let extensions =
        [0, 13, 0, 6, 0, 4, 0x08, 0x07, 0x04, 0x03, 0, 10, 0, 6, 0, 4, 0, 0x1d, 0, 0x17];
    body.extend([0, u8::try_from(extensions.len()).unwrap()]);
    body.extend(extensions);
    let len = u8::try_from(body.len()).unwrap();
    let mut record = vec![0x16, 3, 1, 0, len + 4, 1, 0, 0, len];
    record.extend(body);
    record
}

#[test]
fn who_speaks_tls_1_2_alone_is_refused() {
    let (error, answer) = heard(&old_hello());
    assert!(matches!(error.fault(), Fault::Version), "{error:?}");
    // An alert, fatal: `protocol_version`.
    assert_eq!(answer, [0x15, 3, 3, 0, 2, 2, 70]);
    assert!(error.to_string().contains("another version of this library"));
    let server = answered(&[0x15, 3, 3, 0, 2, 2, 70]);
    assert!(matches!(server.fault(), Fault::Version));
}

#[test]
fn what_is_no_handshake_breaks_it_and_nothing_else() {
    let mut dice = 7_u64;
    for _ in 0..2000 {
        let mut bytes = client_hello_like(&mut dice);
        bytes.truncate(600);
        let (error, answer) = heard(&bytes);
        let text = error.to_string();
        assert!(text.contains("tcp:here:1") && text.len() < 600, "{text}");
        assert!(is_alert(&answer), "{answer:?}: {error:?}");
    }
}

/// Records with contents at random.
fn client_hello_like(dice: &mut u64) -> Vec<u8> {
    let mut roll = || {
        *dice =
            dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*dice >> 56) as u8
    };
    let kind = [0x14, 0x15, 0x16, 0x16, 0x16, 0x17][usize::from(roll()) % 6];
    let len = roll();
    let mut bytes = vec![kind, 3, roll() % 5, 0, len, 1, 0, 0, len.saturating_sub(4)];
    bytes.extend((0..len.max(4)).map(|_| roll()));
    bytes.extend(bytes.clone());
    bytes
}

#[test]
fn who_says_too_much_is_not_listened_to() {
    // A hello of 60,000 bytes in records of 1,000.
    let mut bytes = Vec::new();
    let mut message = vec![1, 0, 0xea, 0x60];
    message.resize(60_004, 0);
    for part in message.chunks(1000) {
        bytes.extend([0x16, 3, 3]);
        bytes.extend(u16::try_from(part.len()).unwrap().to_be_bytes());
        bytes.extend(part);
    }
    let (error, answer) = heard(&bytes);
    assert!(matches!(error.fault(), Fault::TooLong), "{error:?}");
    assert!(error.to_string().contains("16384 bytes"), "{error}");
    assert!(is_alert(&answer));
    assert!(matches!(answered(&bytes).fault(), Fault::TooLong | Fault::Broken(_)));
}

#[test]
fn who_says_nothing_is_waited_for_as_long_as_the_caller_likes() {
    let two = keys(&Authority::new().unwrap(), 2);
    let (ours, mut theirs) = pipe();
    let mut accepting = Box::pin(two.accept(ours, "here"));
    assert!(block_on(futures_lite::future::poll_once(&mut accepting)).is_none());
    drop(accepting);
    let written = block_on(theirs.write_all(b"late"));
    assert_eq!(written.unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
}
