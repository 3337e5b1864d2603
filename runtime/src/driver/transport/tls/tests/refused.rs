//! Who is of no tree, of another, or not who was meant; and what was recorded, changed or cut.

use std::sync::Arc;

use futures_lite::{AsyncReadExt as _, AsyncWriteExt as _};
use futures_rustls::TlsConnector;
use futures_rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use futures_rustls::rustls::crypto::ring;
use futures_rustls::rustls::{ClientConfig, RootCertStore};

use super::super::certificate::{MEMBER, SEED, of_authority, of_member, pkcs8};
use super::wire::{played, records};
use super::*;

fn faults((dialed, accepted): (Ended, Ended)) -> (String, String) {
    let [dialed, accepted] = [dialed, accepted].map(|ended| {
        let error = ended.map(|_| ()).unwrap_err();
        // What names the place, and what to do.
        let text = error.to_string();
        assert!(text.contains("tcp:there:1") || text.contains("tcp:here:1"), "{text}");
        assert!(text.contains(": it ") || text.contains(": "), "{text}");
        format!("{:?}", error.fault())
    });
    (dialed, accepted)
}

/// Keys that trust one authority, with a certificate of another.
fn mixed(trusted: &Authority, issuer: &Authority, uuid: u128) -> Keys {
    let [trusted, issuer] = [trusted, issuer].map(|one| {
        let secret = one.to_secret();
        Secret::joined(&secret.expose()[1..], &[])
    });
    let key = Secret::random(SEED).unwrap();
    let member = Proven { uuid, name: "spy".to_owned() };
    let leaf = of_member(&issuer, &member, &key).unwrap();
    Keys::new(&of_authority(&trusted).unwrap(), leaf, &key).unwrap()
}

#[test]
fn who_is_of_another_tree_is_refused_by_either_end() {
    let (ours, others) = (Authority::new().unwrap(), Authority::new().unwrap());
    let (one, two) = (keys(&ours, 1), keys(&others, 2));
    let wrong = |dialed: &str, accepted: &str| (dialed.to_owned(), accepted.to_owned());
    assert_eq!(faults(shake(&one, &two, None)), wrong("WrongAuthority", "Refused"));
    assert_eq!(faults(shake(&two, &one, Some(1))), wrong("WrongAuthority", "Refused"));
    // One that takes our certificate and has none of ours.
    let spy = mixed(&ours, &others, 3);
    assert_eq!(faults(shake(&spy, &one, None)), wrong("Refused", "WrongAuthority"));
    assert_eq!(faults(shake(&one, &spy, None)), wrong("WrongAuthority", "Refused"));
    // Nor does it help to claim to be one of ours.
    let spy = mixed(&ours, &others, 7);
    assert_eq!(faults(shake(&one, &spy, Some(7))), wrong("WrongAuthority", "Refused"));
}

#[test]
fn the_same_name_of_another_authority_is_no_help() {
    // With the name of the right authority and another's signature.
    let ours = Authority::new().unwrap();
    let seed = Secret::joined(&ours.to_secret().expose()[1..], &[]);
    let key = Secret::random(SEED).unwrap();
    let member = Proven { uuid: 9, name: "forged".to_owned() };
    let leaf = of_member(&seed, &member, &key).unwrap();
    let mut forged = leaf.to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let forger = Keys::new(&of_authority(&seed).unwrap(), forged.into(), &key).unwrap();
    let (dialed, accepted) = faults(shake(&keys(&ours, 1), &forger, None));
    assert_eq!((dialed.as_str(), accepted.as_str()), ("WrongAuthority", "Refused"));
}

#[test]
fn who_shows_no_certificate_is_refused() {
    let authority = Authority::new().unwrap();
    let seed = Secret::joined(&authority.to_secret().expose()[1..], &[]);
    let two = keys(&authority, 2);
    let mut roots = RootCertStore::empty();
    roots.add(of_authority(&seed).unwrap()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    let (ours, theirs) = pipe();
    let dialing = async {
        let name = ServerName::try_from(MEMBER).unwrap();
        // It learns of it by what it reads.
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, ours).await.unwrap();
        stream.read(&mut [0]).await.unwrap_err().to_string()
    };
    let (told, accepted) = block_on(zip(dialing, two.accept(theirs, "here")));
    assert!(matches!(accepted.unwrap_err().fault(), Fault::NoCertificate));
    assert!(told.contains("CertificateRequired"), "{told}");
}

#[test]
fn another_actor_than_expected_is_refused() {
    let authority = Authority::new().unwrap();
    let (dialed, accepted) = shake(&keys(&authority, 1), &keys(&authority, 2), Some(3));
    let error = dialed.unwrap_err();
    let right = matches!(error.fault(), Fault::WrongActor { expected: 3, found: Some(2) });
    assert!(right, "{error:?}");
    assert!(error.to_string().contains("look the actor up again"), "{error}");
    assert!(matches!(accepted.unwrap_err().fault(), Fault::Refused));
}

#[test]
fn an_actor_that_meets_itself_says_so() {
    let authority = Authority::new().unwrap();
    let one = keys(&authority, 1);
    let same = |fault: &str| (fault.to_owned(), fault.to_owned());
    let (dialed, accepted) = faults(shake(&one, &one, None));
    assert_eq!((dialed, accepted), same("Reflection"));
    let error = block_on(one.dial(pipe().0, Some(1), "there")).unwrap_err();
    assert!(matches!(error.fault(), Fault::Reflection));
    // Sent back as it was, it is no handshake at all.
    let (ours, theirs) = pipe();
    let mirror = async {
        let (mut reading, mut writing) = futures_lite::io::split(theirs);
        let _ = futures_lite::io::copy(&mut reading, &mut writing).await;
    };
    let (dialed, ()) = block_on(zip(one.dial(ours, None, "mirror"), mirror));
    assert!(matches!(dialed.unwrap_err().fault(), Fault::Broken(_)));
}

#[test]
fn what_is_out_of_date_is_refused() {
    use rcgen::{CertificateParams, Issuer, KeyPair, PKCS_ED25519, date_time_ymd};

    let authority = Authority::new().unwrap();
    let seed = Secret::joined(&authority.to_secret().expose()[1..], &[]);
    let pair = |seed: &Secret| {
        let der = pkcs8(seed);
        let der = PrivatePkcs8KeyDer::from(der.expose());
        KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ED25519).unwrap()
    };
    let certificate = of_authority(&seed).unwrap();
    // The authority's name, as its certificate has it.
    let digits: String = rcgen::PublicKeyData::der_bytes(&pair(&seed))[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let mut issuer = CertificateParams::default();
    issuer.distinguished_name = rcgen::DistinguishedName::new();
    issuer.distinguished_name.push(rcgen::DnType::CommonName, format!("hatchery {digits}"));
    let issuer = Issuer::new(issuer, pair(&seed));
    for (from, to) in [(1980, 1990), (2010, 2020)] {
        let key = Secret::random(SEED).unwrap();
        let names = [super::super::certificate::name_of(2), MEMBER.to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, "old");
        (params.not_before, params.not_after) =
            (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
        let leaf = params.signed_by(&pair(&key), &issuer).unwrap();
        let old = Keys::new(&certificate, leaf.der().clone(), &key).unwrap();
        let (dialed, accepted) = faults(shake(&keys(&authority, 1), &old, None));
        assert_eq!((dialed.as_str(), &accepted[..6]), ("Date", "Broken"));
    }
}

#[test]
fn another_protocol_inside_is_refused() {
    let authority = Authority::new().unwrap();
    let (one, two) = (keys(&authority, 1), keys(&authority, 2));
    let mut other = two.clone();
    for protocols in [vec![], vec![b"h2".to_vec()]] {
        other.change_protocols(&protocols);
        let (dialed, accepted) = faults(shake(&other, &one, None));
        assert!(accepted == "Protocol" && (dialed == "Protocol" || dialed == "Closed"), "{dialed}");
        let (dialed, accepted) = faults(shake(&one, &other, None));
        assert_eq!((dialed.as_str(), accepted.as_str()), ("Protocol", "Protocol"));
    }
}

/// The bytes of a whole session each way: the dialer's first.
fn recorded(one: &Keys, two: &Keys) -> [Vec<u8>; 2] {
    let (ours, theirs) = pipe();
    let lanes = [ours.outgoing.clone(), ours.incoming.clone()];
    block_on(async {
        let (dialed, accepted) =
            zip(one.dial(ours, None, "there"), two.accept(theirs, "here")).await;
        let (mut dialed, mut accepted) = (dialed.unwrap().0, accepted.unwrap().0);
        dialed.write_all(b"pay 100").await.unwrap();
        accepted.write_all(b"paid").await.unwrap();
        zip(dialed.close(), accepted.close()).await.0.unwrap();
    });
    lanes.map(|lane| lane.lock().unwrap().recorded.clone())
}

#[test]
fn a_session_that_was_recorded_cannot_be_played_again() {
    let authority = Authority::new().unwrap();
    let (one, two) = (keys(&authority, 1), keys(&authority, 2));
    let [said, answered] = recorded(&one, &two);
    for (is_dialer, bytes) in [(false, &said), (true, &answered)] {
        let (pipe, _) = played(bytes);
        let ended = if is_dialer {
            block_on(one.dial(pipe, None, "there"))
        } else {
            block_on(two.accept(pipe, "here"))
        };
        let error = ended.unwrap_err();
        assert!(matches!(error.fault(), Fault::Broken(_)), "{error:?}");
    }
}

#[test]
fn a_handshake_that_is_cut_anywhere_is_none() {
    let authority = Authority::new().unwrap();
    let (one, two) = (keys(&authority, 1), keys(&authority, 2));
    let lengths = recorded(&one, &two).map(|bytes| records(&bytes));
    let mut cuts = 0;
    for (direction, records) in lengths.iter().enumerate() {
        // Up to the last record of the handshake: behind it are data and the end.
        let handshake = &records[..records.len() - 2];
        let around = handshake.iter().flat_map(|at| [at.saturating_sub(1), *at, at + 1, at + 7]);
        for cut in around.filter(|cut| cut < handshake.last().unwrap()) {
            let (ours, theirs) = pipe();
            let lane = if direction == 0 { &ours.outgoing } else { &ours.incoming };
            lane.lock().unwrap().cut = Some(cut);
            if cut == 0 {
                lane.lock().unwrap().close();
            }
            let (dialed, accepted) =
                block_on(zip(one.dial(ours, None, "there"), two.accept(theirs, "here")));
            // The end that what was cut did not reach.
            let error = if direction == 0 { accepted } else { dialed }.map(|_| ()).unwrap_err();
            assert!(matches!(error.fault(), Fault::Closed), "{cut}: {error:?}");
            cuts += 1;
        }
    }
    assert!(cuts > 20, "{cuts}");
}

#[test]
fn what_is_changed_anywhere_is_refused() {
    let authority = Authority::new().unwrap();
    let (one, two) = (keys(&authority, 1), keys(&authority, 2));
    let [said, answered] = recorded(&one, &two);
    for (direction, bytes) in [said, answered].iter().enumerate() {
        // Each of the first bytes of every record, and some inside.
        let starts = records(bytes);
        let handshake = starts[starts.len() - 3];
        let near = starts.iter().flat_map(|at| *at..at + 12).chain((0..handshake).step_by(53));
        for at in near.filter(|at| *at < handshake) {
            let (ours, theirs) = pipe();
            let lane = if direction == 0 { &ours.outgoing } else { &ours.incoming };
            lane.lock().unwrap().flipped = Some(at);
            let dialing = async {
                let mut stream = one.dial(ours, None, "there").await?.0;
                let mut word = [0; 2];
                Ok::<_, TlsError>(stream.read_exact(&mut word).await.map(|()| word))
            };
            let accepting = async {
                let mut stream = two.accept(theirs, "here").await?.0;
                let _ = stream.write_all(b"ok").await;
                let _ = stream.flush().await;
                Ok::<_, TlsError>(())
            };
            // A record that seems to be longer is waited for, as long as the caller likes: here no
            // longer than anything moves.
            let ended = block_on(futures_lite::future::poll_once(zip(dialing, accepting)));
            let is_in = matches!(ended, Some((Ok(Ok(_)), Ok(()))));
            assert!(!is_in || is_ignored(bytes, at), "direction {direction}, byte {at}");
        }
    }
}

/// The version of the record, which TLS 1.3 says not to look at, in records that carry one.
fn is_ignored(bytes: &[u8], at: usize) -> bool {
    records(bytes).iter().any(|start| at == start + 1 || at == start + 2)
}

#[test]
fn an_end_that_nobody_meant_is_an_error_every_time() {
    let ((mut one, _), (two, _)) = secured();
    drop(two);
    for _ in 0..3 {
        let error = block_on(one.read(&mut [0; 9])).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    }
}

#[test]
fn data_that_is_changed_ends_the_stream() {
    let authority = Authority::new().unwrap();
    let (one, two) = (keys(&authority, 1), keys(&authority, 2));
    let (ours, theirs) = pipe();
    let lane = ours.outgoing.clone();
    block_on(async {
        let (dialed, accepted) =
            zip(one.dial(ours, None, "there"), two.accept(theirs, "here")).await;
        let (mut dialed, mut accepted) = (dialed.unwrap().0, accepted.unwrap().0);
        dialed.write_all(b"one").await.unwrap();
        dialed.flush().await.unwrap();
        let mut word = [0; 3];
        accepted.read_exact(&mut word).await.unwrap();
        {
            let mut lane = lane.lock().unwrap();
            lane.flipped = Some(lane.recorded.len() + 9);
        }
        dialed.write_all(b"two").await.unwrap();
        dialed.write_all(b"three").await.unwrap();
        dialed.flush().await.unwrap();
        for _ in 0..3 {
            let error = accepted.read(&mut word).await.unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
        }
        assert_eq!(&word, b"one");
    });
}

/// The certificate of the authority itself is nobody's.
#[test]
fn an_authority_is_no_actor() {
    let authority = Authority::new().unwrap();
    let seed = Secret::joined(&authority.to_secret().expose()[1..], &[]);
    let certificate = of_authority(&seed).unwrap();
    assert!(Keys::new(&certificate, certificate.clone(), &seed).is_err());
}
