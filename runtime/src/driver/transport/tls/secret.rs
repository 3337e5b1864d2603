//! Bytes that nobody else may see: wiped when they are let go, shown nowhere, and sent only by whoever
//! says so. Knows not what they are for.

use std::fmt;
use std::io;

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use zeroize::Zeroizing;

/// Secret bytes.
///
/// They are wiped on drop, all that was ever allocated for them here. They have no `Display`, no `Clone`
/// and no `Serialize` of their own, and `Debug` says only that there are some.
pub(crate) struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// The most that is taken from a peer: a private key is much smaller.
    pub(crate) const MOST: usize = 1024;

    /// These bytes, which should have been allocated at their full size: what a vector leaves behind
    /// when it grows is not wiped.
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// As many bytes of the kernel's randomness, up to 256.
    pub(crate) fn random(count: usize) -> io::Result<Self> {
        let mut bytes = Zeroizing::new(vec![0; count.min(256)]);
        loop {
            // Up to 256 bytes come whole or not at all.
            match getrandom(bytes.as_mut_slice(), GetRandomFlags::empty()) {
                Ok(_) => return Ok(Self(bytes)),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Two parts after each other.
    pub(super) fn joined(head: &[u8], tail: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(head.len().saturating_add(tail.len()));
        bytes.extend_from_slice(head);
        bytes.extend_from_slice(tail);
        Self::new(bytes)
    }

    /// The bytes, for whoever has to have them.
    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// How a secret is told to a child: `#[serde(with = "told")]` on a field says that this is meant, and goes
/// over the inherited link only, never into arguments, the environment or a log.
///
/// What it was encoded into and decoded from is the caller's to wipe.
pub(crate) mod told {
    use std::fmt;

    use serde::de::{Deserializer, Error, SeqAccess, Visitor};
    use serde::ser::Serializer;

    use super::Secret;

    pub(crate) fn serialize<S: Serializer>(
        secret: &Secret,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(secret.expose())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Secret, D::Error> {
        struct Bytes;
        impl<'de> Visitor<'de> for Bytes {
            type Value = Secret;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a secret of at most {} bytes", Secret::MOST)
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Secret, E> {
                if bytes.len() > Secret::MOST {
                    // Its length is no secret, and the bytes are not quoted.
                    return Err(E::invalid_length(bytes.len(), &self));
                }
                Ok(Secret::new(bytes.to_vec()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut bytes: A) -> Result<Secret, A::Error> {
                let mut room = Vec::with_capacity(Secret::MOST);
                while let Some(byte) = bytes.next_element()? {
                    if room.len() == Secret::MOST {
                        return Err(A::Error::invalid_length(Secret::MOST + 1, &self));
                    }
                    room.push(byte);
                }
                Ok(Secret::new(room))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};
    use zeroize::Zeroize as _;

    use super::*;

    #[derive(Debug, Serialize, Deserialize)]
    struct Spec {
        #[serde(with = "told")]
        secret: Secret,
    }

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret::new(b"swordfish".to_vec());
        let spec = Spec { secret };
        assert_eq!(
            format!("{spec:?} {:#?}", spec.secret),
            "Spec { secret: Secret(..) } Secret(..)"
        );
    }

    #[test]
    fn a_secret_is_told_as_it_is() {
        let secret = Secret::random(33).unwrap();
        let told = postcard::to_allocvec(&Spec { secret: Secret::joined(secret.expose(), b"x") });
        let told = told.unwrap();
        assert_eq!(told.len(), 35);
        let heard: Spec = postcard::from_bytes(&told).unwrap();
        assert_eq!(heard.secret.expose()[..33], *secret.expose());
        // A format that has no bytes has a sequence.
        let text = serde_json::to_string(&heard).unwrap();
        let read: Spec = serde_json::from_str(&text).unwrap();
        assert_eq!(read.secret.expose(), heard.secret.expose());
    }

    #[test]
    fn a_secret_that_is_too_large_is_refused_and_not_quoted() {
        for (size, is_taken) in [(Secret::MOST, true), (Secret::MOST + 1, false)] {
            let spec = Spec { secret: Secret::new(vec![b'q'; size]) };
            let told = postcard::to_allocvec(&spec).unwrap();
            assert_eq!(postcard::from_bytes::<Spec>(&told).is_ok(), is_taken);
            let text = serde_json::to_string(&spec).unwrap();
            let read = serde_json::from_str::<Spec>(&text);
            assert_eq!(read.is_ok(), is_taken);
            if let Err(error) = read {
                assert!(error.to_string().contains("at most 1024 bytes"), "{error}");
                assert!(!error.to_string().contains("qq"), "{error}");
            }
        }
    }

    #[test]
    fn what_is_wiped_is_zero() {
        // What was freed cannot be looked at; that the drop calls this is `Zeroizing`'s.
        let mut secret = Secret::random(64).unwrap();
        assert!(secret.expose().iter().any(|byte| *byte != 0));
        let whole = secret.0.capacity();
        secret.0.as_mut_slice().zeroize();
        assert!(secret.expose().iter().all(|byte| *byte == 0));
        assert_eq!(whole, 64);
        const { assert!(std::mem::needs_drop::<Secret>()) };
    }

    #[test]
    fn no_two_are_alike() {
        assert_ne!(Secret::random(32).unwrap().expose(), Secret::random(32).unwrap().expose());
    }
}
