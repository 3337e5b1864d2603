//! What this actor proves itself with towards others, made of what its root or its parent gave it, and not
//! before it is needed. Without the feature `tls` there is nothing of the kind.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The secret of a tree, as a parent tells its child over the link that this inherits; empty where there
/// is none. Never shown; where the feature `tls` is on, wiped when it is let go.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TreeSecret(#[serde(with = "bytes")] Vec<u8>);

impl fmt::Debug for TreeSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "none" } else { "TreeSecret(..)" })
    }
}

#[cfg(feature = "tls")]
impl Drop for TreeSecret {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}

/// Its bytes on the wire, as those of any buffer.
mod bytes {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        bytes.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        Vec::deserialize(deserializer)
    }
}

#[cfg(feature = "tls")]
pub(crate) use with::Proofs;
#[cfg(not(feature = "tls"))]
pub(crate) use without::Proofs;

#[cfg(not(feature = "tls"))]
mod without {
    use super::TreeSecret;

    /// Nothing.
    #[derive(Default)]
    pub(crate) struct Proofs;

    impl Proofs {
        pub(crate) fn told(_secret: &TreeSecret) -> Self {
            Self
        }

        pub(crate) fn told_to_children(&self) -> TreeSecret {
            TreeSecret::default()
        }
    }
}

#[cfg(feature = "tls")]
mod with {
    use std::io;
    use std::sync::{Arc, OnceLock};

    use hatchery_proto::ActorId;

    use super::super::tls::{Authority, Credentials, Keys};
    use super::TreeSecret;

    /// The authority of the tree, or credentials of another one's, and the keys made of them.
    #[derive(Default)]
    pub(crate) struct Proofs {
        secret: TreeSecret,
        given: Option<Arc<Credentials>>,
        id: OnceLock<ActorId>,
        keys: OnceLock<Arc<Keys>>,
    }

    impl Proofs {
        /// Of the tree that this secret is of.
        pub(crate) fn told(secret: &TreeSecret) -> Self {
            Self { secret: secret.clone(), ..Self::default() }
        }

        /// Of a new tree.
        pub(crate) fn fresh() -> io::Result<Self> {
            let secret = Authority::new()?.to_secret();
            Ok(Self::told(&TreeSecret(secret.expose().to_vec())))
        }

        /// Those that somebody was given to join a tree.
        pub(crate) fn given(credentials: Arc<Credentials>) -> Self {
            Self { given: Some(credentials), ..Self::default() }
        }

        pub(crate) fn told_to_children(&self) -> TreeSecret {
            self.secret.clone()
        }

        /// Whose they are to be, once.
        pub(crate) fn of(&self, id: &ActorId) {
            let _ = self.id.set(id.clone());
        }

        /// The keys of this actor; none where it has nothing to make them of.
        pub(crate) fn keys(&self) -> io::Result<Option<Arc<Keys>>> {
            if let Some(keys) = self.keys.get() {
                return Ok(Some(keys.clone()));
            }
            let made = match (&self.given, self.id.get()) {
                (Some(credentials), _) => credentials.keys()?,
                (None, Some(id)) if !self.secret.0.is_empty() => {
                    Authority::from_secret(&self.secret.0)?.issue(id)?
                }
                _ => return Ok(None),
            };
            Ok(Some(self.keys.get_or_init(|| Arc::new(made)).clone()))
        }

        /// What another program needs to join the tree.
        pub(crate) fn credentials(&self, name: &str) -> io::Result<Option<Credentials>> {
            if self.secret.0.is_empty() {
                return Ok(None);
            }
            Authority::from_secret(&self.secret.0)?.credentials(name).map(Some)
        }
    }
}
