//! Members of one tree find each other, and what goes over.

use std::io::ErrorKind;
use std::time::Instant;

use futures_lite::future::{poll_once, zip};
use futures_lite::{AsyncReadExt as _, AsyncWriteExt as _};

use super::super::super::tls::tests::secrets::{Log, written};
use super::network::Wire;
use super::*;

#[test]
fn both_ends_know_who_the_other_is() {
    let (_, (one, first), (two, second)) = members();
    driven(vec![first, second], async {
        for expected in [None, Some(2)] {
            let dialing =
                async { one.dial(two.address(), expected, "there", HANDSHAKE).await.unwrap() };
            let (dialed, accepted) = zip(dialing, async { two.accept().await.unwrap() }).await;
            assert_eq!(dialed.1, Proven { uuid: 2, name: "actor2".to_owned() });
            assert_eq!(accepted.peer, Proven { uuid: 1, name: "actor1".to_owned() });
            assert_eq!(accepted.from, one.address());
        }
        let dialing = async { two.dial(one.address(), Some(1), "there", HANDSHAKE).await.unwrap() };
        let (dialed, accepted) = zip(dialing, async { one.accept().await.unwrap() }).await;
        assert_eq!((dialed.1.uuid, accepted.peer.uuid), (1, 2));
    });
}

#[test]
fn what_is_written_is_read_and_an_end_is_an_end() {
    let (_, (one, first), (two, second)) = members();
    driven(vec![first, second], async {
        let ((mut dialed, _), mut accepted) = linked(&one, &two).await;
        dialed.write_all(b"hello").await.unwrap();
        dialed.flush().await.unwrap();
        let mut word = [0; 5];
        accepted.stream.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"hello");
        // One direction ends, and the other goes on.
        dialed.close().await.unwrap();
        assert_eq!(dialed.write(b"more").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(accepted.stream.read(&mut word).await.unwrap(), 0);
        accepted.stream.write_all(b"still here").await.unwrap();
        accepted.stream.close().await.unwrap();
        drop(accepted);
        let mut rest = Vec::new();
        dialed.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"still here");
        assert_eq!(dialed.read(&mut word).await.unwrap(), 0);
    });
}

async fn exchange(stream: QuicStream, sent: &[u8]) -> Vec<u8> {
    let (mut reading, mut writing) = futures_lite::io::split(stream);
    let write = async {
        for piece in sent.chunks(10_007) {
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
}

#[test]
fn much_goes_both_ways_at_once() {
    let (_, (one, first), (two, second)) = members();
    let sent: Vec<u8> = (0..4 << 20).map(|at| (at % 251) as u8).collect();
    driven(vec![first, second], async {
        let ((dialed, _), accepted) = linked(&one, &two).await;
        let both = zip(exchange(dialed, &sent), exchange(accepted.stream, &sent)).await;
        assert!(both.0 == sent && both.1 == sent);
    });
}

#[test]
fn a_network_that_loses_datagrams_loses_nothing_of_a_link() {
    let (_, (one, first), (two, second)) = members();
    let sent: Vec<u8> = (0..300_000).map(|at| (at % 251) as u8).collect();
    let wire = Wire::to(two.address());
    wire.loses.set(7);
    driven(vec![first, second], async {
        let linked = async {
            let dialing =
                async { one.dial(wire.address(), Some(2), "there", HANDSHAKE).await.unwrap() };
            let ((dialed, _), accepted) = zip(dialing, async { two.accept().await.unwrap() }).await;
            let both = zip(exchange(dialed, &sent), exchange(accepted.stream, &sent)).await;
            assert!(both.0 == sent && both.1 == sent);
        };
        let carried = async { wire.carry().await };
        linked.or(carried).await;
    });
    assert!(wire.passed() > 500, "{}", wire.passed());
}

/// What was written before a stream is let go arrives, and then its end; and then nothing is left.
#[test]
fn the_last_bytes_arrive_and_the_drivers_end() {
    let (_, (one, first), (two, second)) = members();
    let sent = vec![7; 1 << 20];
    let executor = async_executor::LocalExecutor::new();
    let drivers = [executor.spawn(first), executor.spawn(second)];
    block_on(executor.run(async {
        let ((mut dialed, _), mut accepted) = linked(&one, &two).await;
        let writing = async {
            dialed.write_all(&sent).await.unwrap();
            drop(dialed);
        };
        let reading = async {
            let mut all = Vec::new();
            accepted.stream.read_to_end(&mut all).await.unwrap();
            all
        };
        assert!(zip(writing, reading).await.1 == sent);
        drop((accepted, one, two));
        for driver in drivers {
            driver.await.unwrap();
        }
    }));
}

#[test]
fn a_close_that_nobody_confirms_is_waited_for_so_long() {
    let (_, (one, first), (two, second)) = members();
    let executor = async_executor::LocalExecutor::new();
    let stopped = executor.spawn(second);
    executor.spawn(first).detach();
    block_on(executor.run(async {
        let ((mut dialed, _), _accepted) = linked(&one, &two).await;
        stopped.cancel().await;
        dialed.write_all(b"hello?").await.unwrap();
        let begun = Instant::now();
        let error = dialed.close().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(begun.elapsed() >= LINGER);
        // It is not lost: the other end may come back.
        assert!(poll_once(dialed.read(&mut [0])).await.is_none());
    }));
}

/// Cancel safety: nothing is left of a dial that was dropped, wherever it was.
#[test]
fn a_dial_that_is_dropped_is_given_up() {
    let (_, (one, first), (two, second)) = members();
    driven(vec![first, second], async {
        for most in 0.. {
            let mut dialing = Box::pin(one.dial(two.address(), None, "there", HANDSHAKE));
            let mut polls = 0;
            let dialed = future::or(async { Some((&mut dialing).await) }, async {
                while polls < most {
                    polls += 1;
                    future::yield_now().await;
                }
                None
            })
            .await;
            if let Some(dialed) = dialed {
                assert!(most > 0);
                drop(dialed);
                break;
            }
        }
        // And somebody else is let in.
        let dialing = async {
            let (mut stream, _) = one.dial(two.address(), None, "there", HANDSHAKE).await.unwrap();
            stream.read_exact(&mut [0]).await.unwrap();
        };
        let accepting = async {
            let mut all = Vec::new();
            loop {
                // Those who were dropped half of the way are not, or end at once.
                if let Ok(mut accepted) = two.accept().await {
                    let _ = accepted.stream.write_all(b"!").await;
                    let _ = accepted.stream.flush().await;
                    all.push(accepted);
                }
            }
        };
        dialing.or(accepting).await;
    });
}

/// quinn says much, and no secret.
#[test]
fn nothing_of_this_is_logged() {
    let log = Log::default();
    let authority = Authority::new().unwrap();
    let credentials = authority.credentials("guest").unwrap();
    let text = credentials.to_text();
    let key = text.expose().windows(64).find(|part| part.starts_with(b"MC4CAQAwBQYDK2Vw")).unwrap();
    let key = String::from_utf8(key.to_vec()).unwrap();
    tracing::subscriber::with_default(log.clone(), || {
        let (one, first) = bound(&credentials.keys().unwrap());
        let (two, second) = bound(&keys(&authority, 2));
        driven(vec![first, second], async {
            let ((mut dialed, _), mut accepted) = linked(&one, &two).await;
            dialed.write_all(b"between us").await.unwrap();
            dialed.close().await.unwrap();
            accepted.stream.read_exact(&mut [0; 10]).await.unwrap();
            tracing::trace!("{one:?} {dialed:?}");
        });
    });
    let logged = log.0.lock().unwrap().clone();
    assert!(logged.contains("Endpoint {") && logged.len() > 1000, "{logged}");
    assert!(!logged.contains("between us") && !logged.contains(&key[22..]));
    for written in written(&authority.to_secret().expose()[1..]) {
        assert!(!logged.contains(&written));
    }
}

/// Printed, and not asserted.
#[test]
fn how_long_a_handshake_takes() {
    const RUNS: u32 = 50;
    let (_, (one, first), (two, second)) = members();
    driven(vec![first, second], async {
        let begun = Instant::now();
        for _ in 0..RUNS {
            linked(&one, &two).await;
        }
        eprintln!("a QUIC handshake takes {:?}", begun.elapsed() / RUNS);
    });
}
