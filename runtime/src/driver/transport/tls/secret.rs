//! Bytes that nobody else may see: wiped when they are let go, shown nowhere, and sent only by whoever
//! says so. Knows not what they are for.

use std::fmt;
use std::io;

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use zeroize::Zeroizing;

/// Secret bytes.
///
/// They are wiped on drop, all that was ever allocated for them here. They have no `Display` and no `Clone`
/// of their own, and `Debug` says only that there are some.
pub(crate) struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
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

#[cfg(test)]
mod tests {
    use zeroize::Zeroize as _;

    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret::new(b"swordfish".to_vec());
        assert_eq!(format!("{secret:?} {secret:#?}"), "Secret(..) Secret(..)");
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
