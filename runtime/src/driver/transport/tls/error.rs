//! What was wrong with a handshake, in words for whoever is on this side of it. The other side is told no
//! more than TLS tells it.

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};

use futures_rustls::rustls::{self, AlertDescription, CertificateError, PeerIncompatible};

use super::certificate::uuid_of;
use super::guarded::{Guarded, MOST};

/// Which end of the handshake this was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It was dialed.
    Accepting,
    /// It dialed.
    Dialing,
}

/// Why a stream was not secured.
#[derive(Debug)]
pub(crate) struct TlsError {
    end: End,
    at: String,
    fault: Fault,
}

/// What was wrong.
#[derive(Debug)]
#[non_exhaustive]
pub(crate) enum Fault {
    /// The other end's certificate is none of this tree's.
    WrongAuthority,
    /// The other end does not take ours.
    Refused,
    /// The other end showed no certificate, or one that names no actor.
    NoCertificate,
    /// The other end is of this tree, and another actor.
    WrongActor {
        /// Who it should have been.
        expected: u128,
        /// Who it is, where its certificate could be read.
        found: Option<u128>,
    },
    /// The other end is this actor itself.
    Reflection,
    /// The certificate is not valid yet, or not any more: none of a tree's is ever so.
    Date,
    /// The other end speaks no TLS.
    NoTls(Stranger),
    /// The other end does not speak this version of TLS, or not as members do.
    Version,
    /// The other end speaks TLS, and another protocol inside.
    Protocol,
    /// The other end has as many handshakes under way as it takes.
    Busy,
    /// The other end has not answered, or not gone on.
    Silent,
    /// The other end went away during the handshake.
    Closed,
    /// The other end sent more than a handshake takes.
    TooLong,
    /// The other end broke TLS's rules, or what it sent was changed on its way.
    Broken(String),
    /// The stream failed.
    Stream(io::Error),
}

/// What speaks no TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stranger {
    /// A link without TLS.
    Plain,
    /// An HTTP client or server.
    Http,
    /// Something else.
    Unknown,
}

impl TlsError {
    pub(crate) fn new(end: End, at: &str, fault: Fault) -> Self {
        Self { end, at: at.to_owned(), fault }
    }

    /// What this error means after these first bytes.
    pub(super) fn of<S>(end: End, at: &str, error: io::Error, stream: &Guarded<S>) -> Self {
        let fault = if stream.is_too_long {
            Fault::TooLong
        } else {
            match error.get_ref().and_then(|inner| inner.downcast_ref()) {
                Some(rustls::Error::InvalidMessage(_)) if !begins_as_tls(stream.first()) => {
                    Fault::NoTls(Stranger::of(stream.first()))
                }
                Some(inner) => Fault::of_tls(inner),
                None => Fault::of_stream(error),
            }
        };
        Self::new(end, at, fault)
    }

    /// What was wrong.
    #[cfg(any(test, feature = "quic"))]
    pub(crate) fn fault(&self) -> &Fault {
        &self.fault
    }
}

impl Fault {
    /// What an error of rustls means.
    pub(crate) fn of_tls(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(error) => Self::of_certificate(error),
            rustls::Error::NoCertificatesPresented => Self::NoCertificate,
            rustls::Error::NoApplicationProtocol => Self::Protocol,
            rustls::Error::PeerIncompatible(PeerIncompatible::NoSignatureSchemesInCommon) => {
                // Its certificate has another kind of key than a tree's have.
                Self::WrongAuthority
            }
            rustls::Error::PeerIncompatible(_) => Self::Version,
            rustls::Error::AlertReceived(alert) => Self::of_alert(*alert),
            other => Self::Broken(other.to_string()),
        }
    }

    fn of_certificate(error: &CertificateError) -> Self {
        use CertificateError as E;
        match error {
            E::NotValidForNameContext { expected, presented } => {
                let expected = uuid_of(&expected.to_str());
                // As in `DnsName("…")`.
                let mut names = presented.iter().flat_map(|name| name.split('"'));
                match expected {
                    Some(expected) => Self::WrongActor { expected, found: names.find_map(uuid_of) },
                    None => Self::NoCertificate,
                }
            }
            E::Expired
            | E::ExpiredContext { .. }
            | E::NotValidYet
            | E::NotValidYetContext { .. } => Self::Date,
            E::UnknownIssuer
            | E::BadSignature
            | E::UnsupportedSignatureAlgorithmContext { .. }
            | E::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => Self::WrongAuthority,
            other => Self::Broken(other.to_string()),
        }
    }

    /// What the other end's last word means.
    pub(crate) fn of_alert(alert: AlertDescription) -> Self {
        use AlertDescription as A;
        match alert {
            A::UnknownCA
            | A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateUnknown
            | A::CertificateRequired
            | A::AccessDenied
            | A::DecryptError => Self::Refused,
            A::ProtocolVersion | A::HandshakeFailure | A::InsufficientSecurity => Self::Version,
            A::NoApplicationProtocol => Self::Protocol,
            A::CloseNotify | A::UserCanceled => Self::Closed,
            other => Self::Broken(format!("its alert is {other:?}")),
        }
    }

    fn of_stream(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::NotConnected => Self::Closed,
            _ => Self::Stream(error),
        }
    }
}

/// Whether it may be a record of a handshake or an alert, the only ones that may come first.
fn begins_as_tls(first: &[u8]) -> bool {
    matches!(first, [0x15 | 0x16, 0x03, ..])
}

impl Stranger {
    fn of(first: &[u8]) -> Self {
        const METHODS: [&[u8]; 9] = [
            b"GET ",
            b"HEAD ",
            b"POST ",
            b"PUT ",
            b"OPTIONS ",
            b"CONNECT ",
            b"DELETE ",
            b"PRI ",
            b"HTTP/",
        ];
        if first.windows(4).any(|four| four == hatchery_proto::wire::hello::MAGIC) {
            Self::Plain
        } else if METHODS.iter().any(|method| first.starts_with(method)) {
            Self::Http
        } else {
            Self::Unknown
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongAuthority => f.write_str(
                "its certificate is none of this tree's authority: it is of another tree, or needs \
                 credentials that this tree's root has made",
            ),
            Self::Refused => f.write_str(
                "it does not take this actor's certificate: it is of another tree, or the credentials \
                 in use here are not those of its tree",
            ),
            Self::NoCertificate => f.write_str(
                "it did not prove that it is an actor of this tree: it needs credentials that this \
                 tree's root has made",
            ),
            Self::WrongActor { expected, found } => {
                write!(f, "the actor with the uuid {expected:032x} was expected, and it is ")?;
                match found {
                    Some(found) => write!(f, "the one with {found:032x}")?,
                    None => f.write_str("another of this tree")?,
                }
                f.write_str(": the address is out of date, look the actor up again")
            }
            Self::Reflection => f.write_str(
                "it is this actor itself: the address is its own, or somebody sends back what it says",
            ),
            Self::Date => f.write_str(
                "its certificate is out of date, which none of this library's ever is: it was made by \
                 another program, have the tree's root make it",
            ),
            Self::NoTls(Stranger::Plain) => f.write_str(
                "it speaks the protocol of links without TLS: write the address with the same scheme \
                 at both ends (`tls+unix:`, `tcp:`)",
            ),
            Self::NoTls(Stranger::Http) => f.write_str(
                "it speaks HTTP and no TLS: this is no address of a web server, nor for a browser",
            ),
            Self::NoTls(Stranger::Unknown) => f.write_str(
                "what it sends is no TLS: something else listens or dials there, check the address",
            ),
            Self::Version => f.write_str(
                "it has no TLS 1.3 as the actors of a tree speak it: it is no actor, or of another \
                 version of this library",
            ),
            Self::Protocol => f.write_str(
                "it is of this tree and does not speak `hatchery/1`: build both with the same version \
                 of this library",
            ),
            Self::Busy => f.write_str("it has too many handshakes under way: dial again later"),
            Self::Silent => f.write_str(
                "it did not answer in time: nobody is there, or something between lets no UDP through",
            ),
            Self::Closed => f.write_str(
                "it went away before both had proven who they are: see its log for the reason",
            ),
            Self::TooLong => write!(
                f,
                "it sent more than {MOST} bytes without proving who it is: it is no actor of this tree",
            ),
            Self::Broken(what) => write!(
                f,
                "{what}: it is no actor of this tree, or something between changes what is sent",
            ),
            Self::Stream(error) => write!(f, "{error}"),
        }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { end, at, fault } = self;
        match end {
            End::Accepting => write!(f, "who dialed {at} was not let in: {fault}"),
            End::Dialing => write!(f, "no secure link to {at}: {fault}"),
        }
    }
}

impl Error for TlsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.fault {
            Fault::Stream(error) => Some(error),
            _ => None,
        }
    }
}
