//! Why a connection was not let in, or has ended, in the words that TLS has for it too. Decides nothing.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use futures_rustls::rustls::AlertDescription;
use quinn_proto::{ConnectError, ConnectionError, TransportErrorCode};

use super::super::tls::Fault;

/// The codes that stand for TLS's alerts.
const ALERTS: std::ops::Range<u64> = 0x100..0x200;

fn alert(code: TransportErrorCode) -> Option<AlertDescription> {
    let code = u64::from(code);
    ALERTS.contains(&code).then(|| u8::try_from(code & 0xff).ok().map(AlertDescription::from))?
}

/// Why a handshake ended.
pub(super) fn fault(reason: &ConnectionError) -> Fault {
    match reason {
        ConnectionError::VersionMismatch => Fault::Version,
        // What we found, and told by the alert.
        ConnectionError::TransportError(error) => match alert(error.code) {
            Some(AlertDescription::UnknownCA | AlertDescription::DecryptError) => {
                Fault::WrongAuthority
            }
            Some(AlertDescription::CertificateRequired) => Fault::NoCertificate,
            Some(AlertDescription::CertificateExpired) => Fault::Date,
            Some(AlertDescription::NoApplicationProtocol) => Fault::Protocol,
            Some(AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure) => {
                Fault::Version
            }
            _ => Fault::Broken(error.to_string()),
        },
        // What the other end found.
        ConnectionError::ConnectionClosed(close) => match alert(close.error_code) {
            Some(alert) => Fault::of_alert(alert),
            None if close.error_code == TransportErrorCode::CONNECTION_REFUSED => Fault::Busy,
            // What an application says during a handshake is hidden.
            None if close.error_code == TransportErrorCode::APPLICATION_ERROR => Fault::Refused,
            None => Fault::Broken(format!("it ended the handshake: {}", close.error_code)),
        },
        ConnectionError::ApplicationClosed(_) => Fault::Refused,
        ConnectionError::TimedOut => Fault::Silent,
        ConnectionError::Reset
        | ConnectionError::LocallyClosed
        | ConnectionError::CidsExhausted => Fault::Closed,
    }
}

/// Why a dial did not even begin.
pub(super) fn not_begun(error: &ConnectError) -> Fault {
    Fault::Stream(io::Error::new(ErrorKind::InvalidInput, error.to_string()))
}

/// A socket that has no way there.
pub(super) fn unreachable(bound: SocketAddr) -> Fault {
    let what =
        format!("the socket on {bound} is of IPv4, and this address of IPv6: bind one of IPv6");
    Fault::Stream(io::Error::new(ErrorKind::InvalidInput, what))
}

/// How a stream ended that had been open: as a socket's would.
pub(super) fn kind(reason: &ConnectionError) -> ErrorKind {
    match reason {
        ConnectionError::TimedOut => ErrorKind::TimedOut,
        ConnectionError::ConnectionClosed(_)
        | ConnectionError::ApplicationClosed(_)
        | ConnectionError::Reset => ErrorKind::ConnectionReset,
        ConnectionError::VersionMismatch
        | ConnectionError::TransportError(_)
        | ConnectionError::LocallyClosed
        | ConnectionError::CidsExhausted => ErrorKind::ConnectionAborted,
    }
}
