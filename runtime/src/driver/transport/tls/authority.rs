//! The authority of one tree: whoever has it says who is of the tree. Opens nothing and sends nothing.

use std::fmt;
use std::io;

use futures_rustls::pki_types::CertificateDer;
use hatchery_proto::ActorId;

use super::certificate::{self, Proven, SEED};
use super::credentials::Credentials;
use super::keys::Keys;
use super::secret::Secret;
use crate::driver::identity;

/// What a secret begins with: how it is laid out.
const LAYOUT: u8 = 1;

/// The certificate authority of one tree: 32 random bytes, from which its key and its certificate follow.
///
/// It has no life time: a tree ends when its root does, and its authority is forgotten with it. Hence
/// its certificates hold from 1970 to the end of 9999, and whoever checks them takes one fixed day for
/// today ([`Keys`]): neither a wrong clock nor a tree that lives for years makes a member a stranger.
pub(crate) struct Authority {
    seed: Secret,
    certificate: CertificateDer<'static>,
}

impl Authority {
    /// A fresh one.
    ///
    /// # Errors
    ///
    /// Where the system has no randomness.
    pub(crate) fn new() -> io::Result<Self> {
        Self::of(Secret::random(SEED)?)
    }

    /// The one with this secret.
    ///
    /// # Errors
    ///
    /// Of the kind `InvalidData` where it is no such secret; the bytes are not quoted.
    pub(crate) fn from_secret(secret: &[u8]) -> io::Result<Self> {
        match secret.split_first() {
            Some((&LAYOUT, seed)) if seed.len() == SEED => Self::of(Secret::joined(seed, &[])),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "what was told as the secret of a tree's authority is none: both ends have to be of \
                 the same version of this library",
            )),
        }
    }

    fn of(seed: Secret) -> io::Result<Self> {
        let certificate = certificate::of_authority(&seed)?;
        Ok(Self { seed, certificate })
    }

    /// All that has to be known to issue certificates in its name: 33 bytes.
    pub(crate) fn to_secret(&self) -> Secret {
        Secret::joined(&[LAYOUT], self.seed.expose())
    }

    /// The keys of this actor. A second call makes others, and both hold.
    ///
    /// # Errors
    ///
    /// Where the system has no randomness, and where its name is longer than 255 bytes.
    pub(crate) fn issue(&self, actor: &ActorId) -> io::Result<Keys> {
        let actor = Proven { uuid: actor.uuid, name: actor.name.clone() };
        let key = Secret::random(SEED)?;
        let leaf = certificate::of_member(&self.seed, &actor, &key)?;
        Keys::new(&self.certificate, leaf, &key)
    }

    /// What another program needs to join the tree as an actor with this name and a uuid of its own. It
    /// can prove who it is, and cannot let others in.
    ///
    /// # Errors
    ///
    /// As of [`issue`](Self::issue).
    pub(crate) fn credentials(&self, name: &str) -> io::Result<Credentials> {
        let actor = Proven { uuid: identity::fresh()?, name: name.to_owned() };
        let key = Secret::random(SEED)?;
        let leaf = certificate::of_member(&self.seed, &actor, &key)?;
        Credentials::new(self.certificate.clone(), leaf, key)
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_follows_from_its_secret() {
        let authority = Authority::new().unwrap();
        let secret = authority.to_secret();
        assert_eq!(secret.expose().len(), 33);
        let again = Authority::from_secret(secret.expose()).unwrap();
        assert_eq!(again.certificate, authority.certificate);
        assert_ne!(Authority::new().unwrap().certificate, authority.certificate);
    }

    #[test]
    fn what_is_no_secret_is_refused_and_not_quoted() {
        let secret = Authority::new().unwrap().to_secret();
        let short = secret.expose()[..32].to_vec();
        let long = [secret.expose(), b"!"].concat();
        let other = [&[2], &secret.expose()[1..]].concat();
        for wrong in [vec![], short, long, other] {
            let error = Authority::from_secret(&wrong).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert!(error.to_string().contains("same version"), "{error}");
        }
    }
}
