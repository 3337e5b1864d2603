//! What goes wrong where something listens or is reached: what was attempted, where, what it was, and
//! what to do about it. Holds no path that was not given, and nothing that a peer has said.

use std::fmt;
use std::io;
use std::time::Duration;

use rustix::io::Errno;

use super::carrier::described;

/// That something could not be listened on, or be reached.
#[derive(Debug)]
pub(crate) struct TransportError {
    attempt: &'static str,
    place: String,
    trouble: Trouble,
}

/// What the matter is.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Somebody listens there already.
    InUse,
    /// There is something else, which was left as it is.
    Occupied(rustix::fs::FileType),
    /// What is there belongs to another user.
    OwnedBy(u32),
    /// A directory that has to be private is not: its mode.
    TooOpen(u32),
    /// A directory above one that has to be private may be changed by others.
    Shared(u32),
    /// Somebody has held the directory's lock all the time.
    Locked,
    /// A path is too long for a socket, and cannot be shortened by `/proc`: its length.
    TooLong(usize),
    /// Both ends have to prove who they are, and there is nothing to do so with.
    Unproven,
    /// This is no way to listen or to connect here.
    Unsupported(&'static str),
    /// Nobody listens.
    Nobody(io::Error),
    /// Whoever listens is another user.
    Stranger(u32),
    /// Who listens cannot be told.
    Unknown,
    /// It took too long.
    Late(Duration),
    /// A host has no address.
    NoHost(io::Error),
    /// Something else the system says.
    System(io::Error),
}

impl Trouble {
    /// As the trouble of an attempt.
    pub(crate) fn at(self, attempt: &'static str, place: impl fmt::Display) -> TransportError {
        TransportError { attempt, place: place.to_string(), trouble: self }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl From<Errno> for Trouble {
    fn from(error: Errno) -> Self {
        Self::System(error.into())
    }
}

impl TransportError {
    /// What the matter is.
    pub(crate) fn trouble(&self) -> &Trouble {
        &self.trouble
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { attempt, place, trouble } = self;
        write!(f, "{attempt} {place}: {trouble}")
    }
}

impl std::error::Error for TransportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.trouble {
            Trouble::Nobody(error) | Trouble::NoHost(error) | Trouble::System(error) => Some(error),
            _ => None,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse => write!(f, "the address is in use: choose another, or end who listens"),
            Self::Occupied(kind) => {
                let what = described(*kind);
                write!(f, "{what} is there, which was left as it is: remove it, or choose another")
            }
            Self::OwnedBy(user) => {
                write!(f, "it belongs to user {user} and was left as it is: choose another place")
            }
            Self::TooOpen(mode) => {
                write!(f, "its mode is {mode:04o}, and others may come in: `chmod 700` it")
            }
            Self::Shared(mode) => write!(
                f,
                "others may replace what is in it (mode {mode:04o}): `chmod` it, or set \
                 XDG_RUNTIME_DIR to a directory that is this user's alone"
            ),
            Self::Locked => {
                write!(f, "another process holds the lock of its directory, and does not let go")
            }
            Self::TooLong(length) => write!(
                f,
                "the path has {length} bytes, of which a socket takes 107, or some 80 of its name \
                 alone where /proc is mounted: choose a shorter one"
            ),
            Self::Unproven => write!(
                f,
                "it is refused without mutual authentication, since anybody may come in there: \
                 give the tree keys (feature `tls`)"
            ),
            Self::Unsupported(why) => f.write_str(why),
            Self::Nobody(error) => write!(f, "nobody listens there ({error})"),
            Self::Stranger(user) => {
                write!(f, "whoever listens there is user {user}, and is not spoken to")
            }
            Self::Unknown => f.write_str(
                "who listens there cannot be told: it is in a pid namespace that is not seen from here",
            ),
            Self::Late(within) => write!(f, "it took longer than {within:?}"),
            Self::NoHost(error) => write!(f, "the host has no address ({error})"),
            Self::System(error) => {
                let hint = match Errno::from_io_error(error) {
                    Some(Errno::NOSPC | Errno::DQUOT) => ": make room there, or choose another",
                    Some(Errno::ROFS) => ": choose a place that can be written to",
                    Some(Errno::ACCESS | Errno::PERM) => ": choose one that this user may use",
                    Some(Errno::NOENT) => ": make its directory first",
                    Some(Errno::MFILE | Errno::NFILE) => ": raise the limit of open files",
                    _ => "",
                };
                write!(f, "{error}{hint}")
            }
        }
    }
}
