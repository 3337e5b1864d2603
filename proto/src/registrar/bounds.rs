//! What a registrar takes, and why it takes no more (P-R1). Nothing is kept here.

use alloc::string::ToString;
use core::fmt;

use crate::address::{Address, NoAddress};

/// The bounds of a registrar.
///
/// Its memory is about `entries x (2 x name + 3 x addresses x Address::MOST)` at most, with
/// `2 x name` for each waiter and `2 x name + 16 x changes` for each watch: some 900 MB if everybody
/// gives the longest texts there are, 30 MB with one usual address each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Longest name, in bytes: that of any actor.
    pub name: usize,
    /// Addresses of one actor: each is tried in turn by who wants to reach it.
    pub addresses: usize,
    /// Entries: more than there can be processes on most systems.
    pub entries: usize,
    /// Entries that one link registers: its own, and those of actors that it speaks for.
    pub entries_per_link: usize,
    /// Entries in one answer: the largest that there can be still are less than one message.
    pub answer: usize,
    /// Waiters, as many as entries.
    pub waiters: usize,
    /// Waiters of one link: one for each dialog that can be at rest there without harm.
    pub waiters_per_link: usize,
    /// Watches: each registration is told to all whom it concerns, at once.
    pub watches: usize,
    /// Watches of one link: one for each name that it uses, or one for all.
    pub watches_per_link: usize,
    /// Changes that wait for a slow watcher: beyond them to list anew is less work (P-R6).
    pub changes: usize,
    /// How often hearsay has one address of a registration checked (P-R4): a liar cannot keep a
    /// registrar busy with it.
    pub checks: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            name: 255,
            addresses: 8,
            entries: 65_536,
            entries_per_link: 64,
            answer: 512,
            waiters: 65_536,
            waiters_per_link: 256,
            watches: 4096,
            watches_per_link: 64,
            changes: 256,
            checks: 4,
        }
    }
}

impl Bounds {
    pub(super) fn name(&self, name: &str) -> Result<(), Refused> {
        if name.is_empty() {
            return Err(Refused::NoName);
        }
        if name.len() > self.name {
            return Err(Refused::NameTooLong { size: name.len(), max: self.name });
        }
        Ok(())
    }

    pub(super) fn addresses(&self, addresses: &[Address]) -> Result<(), Refused> {
        if addresses.is_empty() {
            return Err(Refused::NoAddress);
        }
        if addresses.len() > self.addresses {
            return Err(Refused::TooManyAddresses { count: addresses.len(), max: self.addresses });
        }
        for address in addresses {
            // What was put together by hand need not have a text that others can read.
            let text = address.to_string();
            text.parse::<Address>().map_err(Refused::BadAddress)?;
            if let Address::Tcp { port: 0, .. } | Address::Quic { port: 0, .. } = address {
                return Err(Refused::NoPort);
            }
        }
        Ok(())
    }
}

/// Why a registrar does not do what it was asked to. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// The link is not up, or not any more.
    NotLinked,
    /// A name of no bytes.
    NoName,
    /// A name that is too long.
    NameTooLong {
        /// Its bytes.
        size: usize,
        /// The most allowed.
        max: usize,
    },
    /// An actor without an address cannot be reached.
    NoAddress,
    /// More addresses than one actor may have.
    TooManyAddresses {
        /// That many.
        count: usize,
        /// The most allowed.
        max: usize,
    },
    /// An address that has no text of its own.
    BadAddress(NoAddress),
    /// An address with port 0, at which nobody can be reached.
    NoPort,
    /// The entry is another actor's (P-R2).
    NotYours,
    /// The registrar is full.
    TooManyEntries {
        /// The most allowed.
        max: usize,
    },
    /// The link has registered as many as it may.
    TooManyOfLink {
        /// The most allowed.
        max: usize,
    },
    /// As many wait, in all or over this link, as may.
    TooManyWaiters {
        /// The most allowed.
        max: usize,
    },
    /// As many watch, in all or over this link, as may.
    TooManyWatches {
        /// The most allowed.
        max: usize,
    },
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLinked => f.write_str("the link is not up: connect to the registrar again"),
            Self::NoName => f.write_str("the name is empty: give the actor one"),
            Self::NameTooLong { size, max } => {
                write!(f, "a name of {size} bytes is over the limit of {max}: shorten it")
            }
            Self::NoAddress => {
                f.write_str("an actor that listens nowhere cannot be registered: have it listen")
            }
            Self::TooManyAddresses { count, max } => {
                write!(f, "{count} addresses are over the limit of {max}: register fewer")
            }
            Self::BadAddress(why) => write!(f, "{why}"),
            Self::NoPort => {
                f.write_str("an address has port 0: register the port that was bound instead")
            }
            Self::NotYours => f.write_str("the entry is another actor's: leave it to that one"),
            Self::TooManyEntries { max } => {
                write!(f, "the registrar is full, with {max} actors: raise its bound on entries")
            }
            Self::TooManyOfLink { max } => {
                write!(f, "{max} actors are registered over this link: take some back first")
            }
            Self::TooManyWaiters { max } => {
                write!(f, "{max} waits are open, the most allowed: cancel some first")
            }
            Self::TooManyWatches { max } => {
                write!(f, "{max} watches are open, the most allowed: cancel some, or watch all")
            }
        }
    }
}

impl core::error::Error for Refused {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ActorId;
    use crate::limits::Limits;
    use crate::registrar::{Cursor, Page, Registered};
    use alloc::vec;

    #[test]
    fn p_r1_the_largest_answer_fits_into_a_message() {
        let Bounds { name, addresses, answer, .. } = Bounds::default();
        let id = ActorId { name: "n".repeat(name), uuid: u128::MAX, pid: u32::MAX };
        let path = alloc::format!("/{}", "p".repeat(Address::MOST - "unix:/".len()));
        let addresses = vec![Address::unix(path); addresses];
        assert_eq!(Bounds::default().addresses(&addresses), Ok(()));
        let more = Some(Cursor { name: "n".repeat(name), number: u64::MAX });
        let page = Page { entries: vec![Registered { id, addresses }; answer], more };
        let size = postcard::to_allocvec(&page).unwrap().len();
        assert!(size < Limits::default().max_message as usize * 3 / 4, "{size}");
    }

    #[test]
    fn p_r1_what_cannot_be_reached_by_its_text_is_refused() {
        let bounds = Bounds::default();
        let tcp = |host: &str, port| Address::Tcp { host: host.into(), port };
        assert_eq!(bounds.addresses(&[tcp("a", 1), tcp("::1", 1)]), Ok(()));
        assert_eq!(bounds.addresses(&[]), Err(Refused::NoAddress));
        assert_eq!(bounds.addresses(&[tcp("a", 0)]), Err(Refused::NoPort));
        let quic = Address::Quic { host: "a".into(), port: 0 };
        assert_eq!(bounds.addresses(&[quic]), Err(Refused::NoPort));
        for bad in [tcp("", 1), tcp("a b", 1), tcp(&"a".repeat(512), 1), Address::unix("a")] {
            let refused = bounds.addresses(&[tcp("a", 1), bad.clone()]);
            assert!(matches!(refused, Err(Refused::BadAddress(_))), "{bad:?}");
        }
        let nine = vec![tcp("a", 1); 9];
        let refused = Err(Refused::TooManyAddresses { count: 9, max: 8 });
        assert_eq!((bounds.addresses(&nine), bounds.addresses(&nine[1..])), (refused, Ok(())));
    }
}
