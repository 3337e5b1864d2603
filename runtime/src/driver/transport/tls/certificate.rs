//! The certificates of a tree: how they are made, and what one that was proven says. Checks none: that is
//! rustls's and webpki's.

use std::fmt;
use std::io;
use std::time::Duration;

use futures_rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, UnixTime};
use futures_rustls::rustls::time_provider::TimeProvider;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ED25519, PublicKeyData as _, SanType, SerialNumber,
    date_time_ymd,
};
use webpki::EndEntityCert;
use zeroize::Zeroize as _;

use super::secret::Secret;

/// What every member's certificate is valid for, so that a dialer can take whoever is of the tree. The
/// top-level name is reserved: nobody else's certificates have it.
pub(in crate::driver::transport) const MEMBER: &str = "member.hatchery.invalid";
/// Below it, one name for each actor.
const ACTORS: &str = ".actor.hatchery.invalid";

/// The longest name of an actor, in bytes, whatever the limits.
const MOST_NAME: usize = 255;

/// How many bytes an Ed25519 key is made of.
pub(super) const SEED: usize = 32;
/// What stands before these in PKCS #8 (RFC 8410): always the same.
const PKCS8: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// An actor, as its certificate says: nobody but the tree's authority could have made it say so.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Proven {
    /// Its [`ActorId::uuid`](hatchery_proto::ActorId).
    pub(crate) uuid: u128,
    /// Its name.
    pub(crate) name: String,
}

impl fmt::Display for Proven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` (uuid {:032x})", self.name.escape_debug(), self.uuid)
    }
}

impl fmt::Debug for Proven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Proven {
    /// What a certificate says that was checked.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let certificate = EndEntityCert::try_from(certificate).ok()?;
        let mut actors = certificate.valid_dns_names().filter_map(uuid_of);
        let uuid = actors.next()?;
        if actors.next().is_some() {
            return None;
        }
        Some(Self { uuid, name: common_name(certificate.subject())? })
    }
}

/// The name that only this actor's certificate is valid for.
pub(super) fn name_of(uuid: u128) -> String {
    format!("{uuid:032x}{ACTORS}")
}

/// Whose such a name is.
pub(super) fn uuid_of(name: &str) -> Option<u128> {
    let digits = name.strip_suffix(ACTORS)?;
    // `from_str_radix` alone would take a sign.
    let is_hex = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u128::from_str_radix(digits, 16).ok()).flatten()
}

/// A private key as rustls and other programs read it.
pub(super) fn pkcs8(seed: &Secret) -> Secret {
    Secret::joined(&PKCS8, seed.expose())
}

/// The other way round, for a key as [`pkcs8`] writes it.
pub(super) fn seed(pkcs8: &[u8]) -> Option<Secret> {
    let seed = pkcs8.strip_prefix(&PKCS8)?;
    (seed.len() == SEED).then(|| Secret::joined(seed, &[]))
}

/// A key that can sign, until it is wiped. ring's own form of it, which is as large, is not wiped.
struct Pair(KeyPair);

impl Pair {
    fn of(seed: &Secret) -> io::Result<Self> {
        let der = pkcs8(seed);
        let der = PrivatePkcs8KeyDer::from(der.expose());
        KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ED25519).map(Self).map_err(refused)
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// The certificate of the authority with this key. It follows from the key alone, to the last bit.
pub(super) fn of_authority(seed: &Secret) -> io::Result<CertificateDer<'static>> {
    let pair = Pair::of(seed)?;
    let made = authority(&pair).self_signed(&pair.0).map_err(refused)?;
    Ok(made.der().clone())
}

/// A member's certificate, for the key with this seed.
pub(super) fn of_member(
    authority_seed: &Secret,
    member: &Proven,
    seed: &Secret,
) -> io::Result<CertificateDer<'static>> {
    if member.name.len() > MOST_NAME {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("no certificate for {member}: its name is longer than {MOST_NAME} bytes"),
        ));
    }
    let pair = Pair::of(authority_seed)?;
    let issuer = Issuer::new(authority(&pair), &pair.0);
    let mut params = lasting(&member.name);
    let names = [name_of(member.uuid), MEMBER.to_owned()];
    for name in names {
        params.subject_alt_names.push(SanType::DnsName(name.try_into().map_err(refused)?));
    }
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // It dials and listens. Which it does, the handshake's own signature says, so neither can be taken
    // for the other.
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    let own = Pair::of(seed)?;
    let made = params.signed_by(&own.0, &issuer).map_err(refused)?;
    Ok(made.der().clone())
}

fn authority(pair: &Pair) -> CertificateParams {
    // Authorities have names of their own, so that a certificate of another is told apart from a forged
    // one.
    let key = pair.0.der_bytes();
    let digits: String = key.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let mut params = lasting(&format!("hatchery {digits}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.serial_number = Some(SerialNumber::from(1));
    params
}

/// Valid at any time that can be written: who is of a tree is a matter of the tree's life and not of the
/// clock. Ends at the date that RFC 5280 has for certificates without an end.
fn lasting(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = date_time_ymd(1970, 1, 1);
    params.not_after = date_time_ymd(9999, 12, 31);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// The day that certificates are checked for: always the same, since none of a tree's ever ends.
#[derive(Debug)]
pub(super) struct SomeDay;

impl SomeDay {
    /// In September 2001.
    pub(super) const TIME: UnixTime =
        UnixTime::since_unix_epoch(Duration::from_secs(1_000_000_000));
}

impl TimeProvider for SomeDay {
    fn current_time(&self) -> Option<UnixTime> {
        Some(Self::TIME)
    }
}

fn refused(error: impl fmt::Display) -> io::Error {
    io::Error::other(format!("no certificate could be made: {error}"))
}

/// The common name of a subject that has nothing else, as [`lasting`] makes it.
fn common_name(subject: &[u8]) -> Option<String> {
    const SET: u8 = 0x31;
    const SEQUENCE: u8 = 0x30;
    const OID: u8 = 0x06;
    const UTF8: u8 = 0x0c;
    const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];
    let set = only(element(subject, SET)?)?;
    let pair = only(element(set, SEQUENCE)?)?;
    let (oid, value) = element(pair, OID)?;
    let name = only(element(value, UTF8)?)?;
    (oid == COMMON_NAME).then(|| std::str::from_utf8(name).ok().map(str::to_owned)).flatten()
}

/// The content of the first element, which has this tag, and what is behind it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let (&len, rest) = rest.split_first()?;
    let (len, rest) = match len {
        0..=0x7f => (usize::from(len), rest),
        0x81 => rest.split_first().map(|(&len, rest)| (usize::from(len), rest))?,
        0x82 => rest
            .split_first_chunk()
            .map(|(&len, rest)| (usize::from(u16::from_be_bytes(len)), rest))?,
        _ => return None,
    };
    (first == tag).then(|| rest.split_at_checked(len)).flatten()
}

fn only<'a>((content, rest): (&'a [u8], &[u8])) -> Option<&'a [u8]> {
    rest.is_empty().then_some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_says_who_its_actor_is() {
        let ca = Secret::random(SEED).unwrap();
        let names = ["", "a", "Bär \u{202e}\n", &"x".repeat(127), &"y".repeat(255)];
        for (uuid, name) in [0, 1, u128::MAX, 7 << 77, 5].into_iter().zip(names) {
            let member = Proven { uuid, name: name.to_owned() };
            let key = Secret::random(SEED).unwrap();
            let made = of_member(&ca, &member, &key).unwrap();
            assert_eq!(Proven::of(&made), Some(member));
            // Far below what a peer may send before it has proven anything.
            assert!(made.len() < 1024, "{}", made.len());
        }
        let long = Proven { uuid: 1, name: "z".repeat(256) };
        let error = of_member(&ca, &long, &Secret::random(SEED).unwrap()).unwrap_err().to_string();
        assert!(error.contains("longer than 255 bytes"), "{error}");
        assert_eq!(Proven::of(&of_authority(&ca).unwrap()), None);
    }

    #[test]
    fn names_and_uuids_are_told_apart_from_others() {
        assert_eq!(uuid_of(&name_of(0xabc)), Some(0xabc));
        for name in ["", MEMBER, ACTORS, "abc.actor.hatchery.invalid"] {
            assert_eq!(uuid_of(name), None, "{name}");
        }
        let sign = format!("+{:031x}{ACTORS}", 5);
        assert_eq!(uuid_of(&sign), None);
        assert_eq!(uuid_of(&format!("x.{}", name_of(1))), None);
    }

    #[test]
    fn a_subject_that_is_not_ours_has_no_name() {
        let subject = b"\x31\x0c\x30\x0a\x06\x03\x55\x04\x03\x0c\x03abc";
        assert_eq!(common_name(subject).as_deref(), Some("abc"));
        for end in 0..subject.len() {
            assert_eq!(common_name(&subject[..end]), None);
        }
        for at in 0..subject.len() {
            let mut other = subject.to_vec();
            other[at] ^= 0x80;
            assert_eq!(common_name(&other), None, "{at}");
        }
    }

    #[test]
    fn a_key_reads_back() {
        let key = Secret::random(SEED).unwrap();
        let written = pkcs8(&key);
        assert_eq!(seed(written.expose()).unwrap().expose(), key.expose());
        for other in [&written.expose()[1..], &written.expose()[..47], b""] {
            assert!(seed(other).is_none());
        }
    }
}
