//! Who is of no tree, of another, or not who was meant; what was recorded; and what is against the rules.

use std::sync::Arc;

use futures_lite::future::{poll_once, zip};
use futures_lite::{AsyncReadExt as _, AsyncWriteExt as _};
use futures_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use futures_rustls::rustls::crypto::ring;
use futures_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use futures_rustls::rustls::{
    ClientConfig, DigitallySignedStruct, Error as TlsFailure, SignatureScheme,
};
use quinn_proto::crypto::rustls::QuicClientConfig;
use quinn_proto::{Dir, SendDatagramError};

use super::super::super::tls::{ALPN, Fault};
use super::super::settings::{MOST_STRANGERS, RETRY_FROM};
use super::network::Wire;
use super::*;

#[test]
fn who_is_of_another_tree_is_refused() {
    let (authority, (one, first), (two, second)) = members();
    let other = Authority::new().unwrap();
    let (spy, third) = bound(&keys(&other, 3));
    driven(vec![first, second, third], async {
        let (dialed, accepted) = refused(&spy, &two, None).await;
        assert_eq!(fault(&dialed), "WrongAuthority");
        assert_eq!(fault(&accepted), "Refused");
        assert!(dialed.to_string().starts_with("no secure link to quic:there:1: "), "{dialed}");
        assert!(accepted.to_string().contains(&format!("{}", two.address())), "{accepted}");
        let (dialed, accepted) = refused(&one, &spy, None).await;
        assert_eq!(
            (fault(&dialed).as_str(), fault(&accepted).as_str()),
            ("WrongAuthority", "Refused")
        );
        linked(&one, &two).await;
    });
    drop(authority);
}

#[test]
fn another_actor_than_expected_and_oneself_are_refused() {
    let (_, (one, first), (two, second)) = members();
    driven(vec![first, second], async {
        let (dialed, accepted) = refused(&one, &two, Some(3)).await;
        assert_eq!(fault(&dialed), "WrongActor { expected: 3, found: Some(2) }");
        assert_eq!(fault(&accepted), "Refused");
        let error = one.dial(two.address(), Some(1), "there", HANDSHAKE).await.unwrap_err();
        assert_eq!(fault(&error), "Reflection");
        let dialing =
            async { one.dial(one.address(), None, "there", HANDSHAKE).await.unwrap_err() };
        let (dialed, accepted) = zip(dialing, one.accept()).await;
        assert_eq!(fault(&dialed), "Reflection");
        assert!(accepted.is_err());
    });
}

#[test]
fn another_protocol_inside_is_refused() {
    let authority = Authority::new().unwrap();
    let mut other = keys(&authority, 1);
    other.change_protocols(&[b"h3".to_vec()]);
    let (one, first) = bound(&other);
    let (two, second) = bound(&keys(&authority, 2));
    driven(vec![first, second], async {
        let (dialed, accepted) = refused(&one, &two, None).await;
        assert_eq!((fault(&dialed).as_str(), fault(&accepted).as_str()), ("Protocol", "Protocol"));
    });
}

/// Takes everybody, as one who only wants to get in would.
#[derive(Debug)]
struct Careless;

impl ServerCertVerifier for Careless {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, TlsFailure> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsFailure> {
        Err(TlsFailure::General("TLS 1.2".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsFailure> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

#[test]
fn who_shows_no_certificate_of_the_tree_is_refused() {
    let (_, (one, first), (two, second)) = members();
    let other = keys(&Authority::new().unwrap(), 3);
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(Careless));
    let none = builder.clone().with_no_client_auth();
    let wrong = builder.with_client_cert_resolver(other.client().client_auth_cert_resolver.clone());
    driven(vec![first, second], async {
        for (mut config, seen) in [(none, "NoCertificate"), (wrong, "WrongAuthority")] {
            config.alpn_protocols = vec![ALPN.to_vec()];
            let config = Arc::new(QuicClientConfig::try_from(config).unwrap());
            let mut client = quinn_proto::ClientConfig::new(config);
            one.shared.with(|state, _| {
                std::mem::swap(&mut state.settings.client, &mut client);
            });
            let (dialed, accepted) = refused(&one, &two, None).await;
            assert_eq!((fault(&dialed).as_str(), fault(&accepted).as_str()), ("Refused", seen));
        }
    });
}

#[test]
fn what_is_no_quic_is_not_answered_and_harms_nobody() {
    let (_, (one, first), (two, second)) = members();
    let stranger = UdpSocket::bind(ANY).unwrap();
    stranger.set_nonblocking(true).unwrap();
    driven(vec![first, second], async {
        let mut dice = 3_u64;
        for size in (0..1400).step_by(7) {
            let mut bytes: Vec<u8> = (0..size)
                .map(|_| {
                    dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (dice >> 56) as u8
                })
                .collect();
            if let Some(first) = bytes.first_mut() {
                // Of the long form, which another version of QUIC would answer, every third time.
                *first = if size % 3 == 0 { *first | 0xc0 } else { *first & 0x3f };
            }
            stranger.send_to(&bytes, two.address()).unwrap();
        }
        for text in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"HTCH\x01\0\x01\0"] {
            stranger.send_to(text, two.address()).unwrap();
        }
        linked(&one, &two).await;
    });
    // Nothing but that another version of QUIC is asked for: the RFC's own words.
    let mut answer = [0; 2048];
    while let Ok((count, _)) = stranger.recv_from(&mut answer) {
        assert!(count < 100 && answer[1..5] == [0; 4], "{:?}", &answer[..count]);
    }
}

#[test]
fn a_session_that_was_recorded_cannot_be_played_again() {
    let (authority, (one, first), (two, second)) = members();
    let wire = Wire::to(two.address());
    driven(vec![first, second], async {
        let linked = async {
            let dialing =
                async { one.dial(wire.address(), None, "there", HANDSHAKE).await.unwrap() };
            let ((mut stream, _), mut accepted) =
                zip(dialing, async { two.accept().await.unwrap() }).await;
            stream.write_all(b"pay 100").await.unwrap();
            stream.close().await.unwrap();
            let mut said = Vec::new();
            accepted.stream.read_to_end(&mut said).await.unwrap();
            assert_eq!(said, b"pay 100");
        };
        linked.or(async { wire.carry().await }).await;
    });
    let (fresh, third) = bound(&keys(&authority, 2));
    let (member, fourth) = bound(&keys(&authority, 4));
    let replayer = UdpSocket::bind(ANY).unwrap();
    driven(vec![third, fourth], async {
        assert!(wire.recorded.borrow().len() > 3);
        for datagram in wire.recorded.borrow().iter() {
            replayer.send_to(datagram, fresh.address()).unwrap();
        }
        // Behind it a member comes in, and nobody before.
        let dialing =
            async { member.dial(fresh.address(), Some(2), "there", HANDSHAKE).await.unwrap() };
        let accepting = async {
            let mut heard = 0;
            loop {
                match fresh.accept().await {
                    Ok(accepted) => break (accepted, heard),
                    Err(error) => {
                        assert!(matches!(error.fault(), Fault::Broken(_)), "{error:?}");
                        heard += 1;
                    }
                }
            }
        };
        let (_, (accepted, heard)) = zip(dialing, accepting).await;
        assert_eq!(accepted.peer.uuid, 4);
        let shaking = fresh
            .shared
            .with(|state, _| state.links.values().filter(|link| link.is_shaking()).count());
        assert!(heard + shaking > 0, "it was not even heard");
        assert!(!matches!(poll_once(fresh.accept()).await, Some(Ok(_))));
    });
}

#[test]
fn neither_end_may_change_its_address() {
    let (_, (one, first), (two, second)) = members();
    let wire = Wire::to(two.address());
    driven(vec![first, second], async {
        let test = async {
            let dialing =
                async { one.dial(wire.address(), None, "there", HANDSHAKE).await.unwrap() };
            let ((mut stream, _), mut accepted) =
                zip(dialing, async { two.accept().await.unwrap() }).await;
            stream.write_all(b"here").await.unwrap();
            stream.flush().await.unwrap();
            accepted.stream.read_exact(&mut [0; 4]).await.unwrap();
            wire.move_away();
            let before = wire.passed();
            stream.write_all(b"there").await.unwrap();
            stream.flush().await.unwrap();
            while wire.passed() < before + 2 {
                future::yield_now().await;
            }
            // Behind these another comes in: they have been looked at.
            let direct = async { one.dial(two.address(), None, "there", HANDSHAKE).await.unwrap() };
            let (_, other) = zip(direct, async { two.accept().await.unwrap() }).await;
            assert_eq!(other.from, one.address());
            assert!(poll_once(accepted.stream.read(&mut [0])).await.is_none());
        };
        test.or(async { wire.carry().await }).await;
    });
}

#[test]
fn there_is_one_stream_and_nothing_else() {
    let (_, (one, first), (two, second)) = members();
    driven(vec![first, second], async {
        let (dialed, accepted) = linked(&one, &two).await;
        for endpoint in [&one, &two] {
            endpoint.shared.with(|state, _| {
                let link = state.links.values_mut().next().unwrap();
                for dir in [Dir::Bi, Dir::Uni] {
                    assert_eq!(link.connection.streams().open(dir), None);
                }
                let sent = link.connection.datagrams().send(b"unasked"[..].into(), true);
                assert!(matches!(sent, Err(SendDatagramError::Disabled)), "{sent:?}");
            });
        }
        drop((dialed, accepted));
    });
}

#[test]
fn many_that_say_no_more_than_hello_keep_nobody_out() {
    let (authority, (one, first), (two, second)) = members();
    let (silent, never_driven) = bound(&keys(&authority, 3));
    driven(vec![first, second], async {
        let mut dials = Vec::new();
        for _ in 0..2 * MOST_STRANGERS {
            let mut dialing = Box::pin(silent.dial(two.address(), None, "there", HANDSHAKE));
            assert!(poll_once(&mut dialing).await.is_none());
            dials.push(dialing);
        }
        // By way of a proof that it is where it says.
        linked(&one, &two).await;
        let strangers = two
            .shared
            .with(|state, _| state.links.values().filter(|link| link.is_shaking()).count());
        assert_eq!(strangers, RETRY_FROM);
    });
    drop(never_driven);
}

#[test]
fn whoever_is_not_there_does_not_answer() {
    let (_, (one, first), _) = members();
    let nobody = UdpSocket::bind(ANY).unwrap();
    driven(vec![first], async {
        let mut dialing =
            Box::pin(one.dial(nobody.local_addr().unwrap(), None, "there", HANDSHAKE));
        assert!(poll_once(&mut dialing).await.is_none());
        drop(dialing);
        let error =
            one.dial("[::1]:1".parse().unwrap(), None, "there", HANDSHAKE).await.unwrap_err();
        assert!(matches!(error.fault(), Fault::Stream(_)), "{error}");
        let error =
            one.dial("127.0.0.1:0".parse().unwrap(), None, "there", HANDSHAKE).await.unwrap_err();
        assert!(matches!(error.fault(), Fault::Stream(_)), "{error}");
        // Until the time is up, which the caller may have less of.
        let error =
            one.dial(nobody.local_addr().unwrap(), None, "there", HANDSHAKE).await.unwrap_err();
        assert_eq!(fault(&error), "Silent");
    });
}
