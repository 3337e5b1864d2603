//! Members of one tree find each other, and what goes over.

use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use async_io::Async;
use futures_lite::future::poll_once;
use futures_lite::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

#[test]
fn both_ends_know_who_the_other_is() {
    let authority = Authority::new().unwrap();
    // Another process has the authority from its parent.
    let there = Authority::from_secret(authority.to_secret().expose()).unwrap();
    let (one, two) = (keys(&authority, 1), keys(&there, 2));
    for expected in [None, Some(2)] {
        let (dialed, accepted) = shake(&one, &two, expected);
        assert_eq!(dialed.unwrap().1, Proven { uuid: 2, name: "actor2".to_owned() });
        assert_eq!(accepted.unwrap().1, *one.own());
    }
    let (dialed, accepted) = shake(&two, &one, Some(1));
    assert_eq!((dialed.unwrap().1.uuid, accepted.unwrap().1.uuid), (1, 2));
}

#[test]
fn what_is_written_is_read_and_an_end_is_an_end() {
    let ((mut one, _), (mut two, _)) = secured();
    block_on(async {
        for (from, to) in [(&mut one, &mut two)] {
            from.write_all(b"hello").await.unwrap();
            from.flush().await.unwrap();
            let mut word = [0; 5];
            to.read_exact(&mut word).await.unwrap();
            assert_eq!(&word, b"hello");
        }
        // One direction ends, and the other goes on.
        one.close().await.unwrap();
        assert_eq!(two.read(&mut [0; 5]).await.unwrap(), 0);
        two.write_all(b"still here").await.unwrap();
        two.close().await.unwrap();
        let mut rest = Vec::new();
        one.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"still here");
        assert_eq!(one.read(&mut [0; 5]).await.unwrap(), 0);
    });
}

/// 4 MiB each way at once, in pieces that are nobody's favourite size.
#[test]
fn much_goes_both_ways_at_once() {
    exchange(4 << 20, Some(4093), 10_007);
}

#[test]
fn a_byte_at_a_time_goes_both_ways_at_once() {
    exchange(2 << 10, Some(1), 1);
}

fn exchange(size: usize, piece: Option<usize>, written: usize) {
    let authority = Authority::new().unwrap();
    let (one, two) = (keys(&authority, 1), keys(&authority, 2));
    let (ours, theirs) = pipe();
    for lane in [&ours.incoming, &ours.outgoing] {
        lane.lock().unwrap().piece = piece;
    }
    let sent: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
    let over = async |stream: Secured<Pipe>| {
        let (mut reading, mut writing) = futures_lite::io::split(stream);
        let write = async {
            for piece in sent.chunks(written) {
                writing.write_all(piece).await.unwrap();
            }
            writing.close().await.unwrap();
        };
        let read = async {
            let mut all = Vec::new();
            reading.read_to_end(&mut all).await.unwrap();
            all
        };
        zip(write, read).await.1
    };
    let (first, second) = block_on(zip(
        async { over(one.dial(ours, Some(2), "there").await.unwrap().0).await },
        async { over(two.accept(theirs, "here").await.unwrap().0).await },
    ));
    assert!(first == sent && second == sent);
}

/// Cancel safety: the other end learns of it, wherever the future was dropped.
#[test]
fn a_handshake_that_is_dropped_is_closed() {
    let authority = Authority::new().unwrap();
    let (one, two) = (keys(&authority, 1), keys(&authority, 2));
    let mut dropped = 0;
    for is_dialer in [true, false] {
        for most in 0.. {
            let (ours, theirs) = pipe();
            // So that it takes more than a few polls.
            for lane in [&ours.incoming, &ours.outgoing] {
                lane.lock().unwrap().piece = Some(31);
            }
            let mut dialing = Some(Box::pin(one.dial(ours, None, "there")));
            let mut accepting = Some(Box::pin(two.accept(theirs, "here")));
            let (mut dialed, mut accepted) = (None, None);
            for at in 0.. {
                if at == most {
                    if is_dialer { drop(dialing.take()) } else { drop(accepting.take()) }
                }
                block_on(async {
                    if let (None, Some(dialing)) = (&dialed, &mut dialing) {
                        dialed = poll_once(dialing).await;
                    }
                    if let (None, Some(accepting)) = (&accepted, &mut accepting) {
                        accepted = poll_once(accepting).await;
                    }
                });
                if (dialed.is_some() || dialing.is_none())
                    && (accepted.is_some() || accepting.is_none())
                {
                    break;
                }
                assert!(at < 1000, "somebody waits for nobody");
            }
            if dialing.is_some() && accepting.is_some() {
                break;
            }
            let other = if is_dialer {
                drop(dialed);
                accepted
            } else {
                drop(accepted);
                dialed
            };
            let fault = match other.unwrap() {
                Err(error) => format!("{:?}", error.fault()),
                // The last word had been said.
                Ok((mut secured, _)) => {
                    let read = block_on(secured.read(&mut [0]));
                    format!("{:?}", read.map_err(|error| error.kind()))
                }
            };
            assert!(fault == "Closed" || fault == "Err(UnexpectedEof)", "{fault}");
            dropped += 1;
        }
    }
    assert!(dropped > 10, "{dropped}");
}

/// Printed, and not asserted.
#[test]
fn how_long_a_handshake_takes_beside_a_plain_connect() {
    const RUNS: u32 = 50;
    let authority = Authority::new().unwrap();
    let (one, two) = (keys(&authority, 1), keys(&authority, 2));
    let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], 0)).unwrap();
    let address = listener.get_ref().local_addr().unwrap();
    let begun = Instant::now();
    block_on(async {
        for _ in 0..RUNS {
            zip(Async::<TcpStream>::connect(address), listener.accept()).await.0.unwrap();
        }
    });
    let plain = begun.elapsed() / RUNS;
    let begun = Instant::now();
    block_on(async {
        for _ in 0..RUNS {
            let dialing = async {
                let stream = Async::<TcpStream>::connect(address).await.unwrap();
                stream.get_ref().set_nodelay(true).unwrap();
                one.dial(stream, Some(2), "loopback").await.unwrap()
            };
            let accepting = async {
                let (stream, _) = listener.accept().await.unwrap();
                stream.get_ref().set_nodelay(true).unwrap();
                two.accept(stream, "loopback").await.unwrap()
            };
            zip(dialing, accepting).await;
        }
    });
    let secured = begun.elapsed() / RUNS;
    let begun = Instant::now();
    for uuid in 0..RUNS {
        drop(keys(&authority, u128::from(uuid)));
    }
    let issued = begun.elapsed() / RUNS;
    eprintln!("connect {plain:?}, with TLS {secured:?}; keys issued in {issued:?}");
}
