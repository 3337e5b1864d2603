//! Who may come in over a network: TLS 1.3 between members of one tree, each of which proves who it is.
//!
//! Mutual by construction: there is no way here to accept or to dial without a certificate of the tree's
//! [`Authority`] at both ends. Takes bytes from any stream; it opens none, and waits for no clock: how long
//! a handshake may take is the caller's to say, who drops the future. What is said over a link once it is
//! secured is no matter of this room.
//!
//! What is bounded before the other end has proven who it is: it may send 16 KiB ([`guarded`]), of which
//! rustls takes no record above 16 KiB and no message above 64 KiB, nor more than 64 KiB of certificates;
//! it is told nothing but TLS's own alert.

mod authority;
mod certificate;
mod credentials;
mod error;
mod guarded;
mod keys;
mod pem;
mod secret;
mod secured;
#[cfg(test)]
pub(super) mod tests;

pub(crate) use authority::Authority;
pub(crate) use certificate::Proven;
pub(crate) use credentials::Credentials;
pub(crate) use error::TlsError;
#[cfg(any(test, feature = "quic"))]
pub(super) use error::{End, Fault};
pub(crate) use keys::Keys;
pub(crate) use secured::Secured;
#[cfg(feature = "quic")]
pub(super) use {certificate::MEMBER, keys::WELCOME};
#[cfg(test)]
pub(super) use {error::Stranger, keys::ALPN, secret::Secret};
