//! What a program needs to come into another one's tree over a network, as users hold it. What it is made
//! of, and how it is kept from others, is the driver's.

use std::fmt;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use hatchery_proto::ActorId;

use crate::actor::Actor;
use crate::driver::transport::tls;
use crate::error::{Error, Result};

/// What lets one program into the tree of another: a certificate of its own, with its key, made out by
/// that tree. Needs the feature `tls`.
///
/// Whoever has it is the actor that it is made out to, and can let in nobody else: the actors that such a
/// program starts are reached through it. It never stands in arguments, the environment, `Debug` or a log;
/// hand it over by a file that only its owner can read, or by a descriptor.
#[derive(Clone)]
pub struct Credentials(Arc<tls::Credentials>);

impl Credentials {
    /// New ones, for a program whose root is called `name`. Only an actor of the tree that they let into
    /// can issue them, and the tree takes them for as long as it lives.
    ///
    /// # Errors
    /// `Misuse` where no actor runs in this process, or one that has come in by credentials itself; `Os`
    /// where the system has no randomness.
    pub fn issue(name: &str) -> Result<Self> {
        let what = format!("issuing credentials for `{name}`");
        let actor = Actor::running()
            .ok_or_else(|| Error::misuse(format!("{what}, and no actor runs here")))?;
        let made = actor.proofs().credentials(name).map_err(|error| Error::os(&what, error))?;
        let made = made.ok_or_else(|| {
            Error::misuse(format!("{what}: actor {} is in no tree of its own keys", actor.id()))
        })?;
        Ok(Self(Arc::new(made)))
    }

    /// Writes them to a new file that only this user can read. Blocks.
    ///
    /// # Errors
    /// `Os` where there is anything of this name already, and what the system says.
    pub fn write_new(&self, path: impl AsRef<Path>) -> Result<()> {
        self.0
            .write_new(path.as_ref())
            .map_err(|error| Error::os("handing credentials over", error))
    }

    /// Reads them from a file that only this user can read. Blocks.
    ///
    /// # Errors
    /// `Os` where others can read or change it, where it holds something else, and what the system says.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let read = tls::Credentials::read(path.as_ref());
        read.map(Arc::new).map(Self).map_err(|error| Error::os("taking credentials", error))
    }

    /// Reads them from a pipe or a file that was handed over, to its end. Blocks.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_from(descriptor: impl Into<OwnedFd>) -> Result<Self> {
        let read = tls::Credentials::read_from(descriptor.into());
        read.map(Arc::new).map(Self).map_err(|error| Error::os("taking credentials", error))
    }

    /// Who has them: the uuid, and the name that they were issued for.
    pub(crate) fn own(&self) -> ActorId {
        let own = self.0.own();
        ActorId { name: own.name.clone(), uuid: own.uuid, pid: 0 }
    }

    pub(crate) fn kept(&self) -> Arc<tls::Credentials> {
        self.0.clone()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Credentials").field(&self.own()).finish()
    }
}
