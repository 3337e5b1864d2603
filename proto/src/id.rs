//! Who is who: actors, dialogs, and the two ends of a link. Names only, no state.

use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};

pub(crate) mod by_name;
pub(crate) mod uuid;

/// The identity of an actor: one process running one runtime.
///
/// Two ids are equal when their `uuid`s are; a name may be used by several actors.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ActorId {
    /// What its parent called it, at most [`Limits::max_name`](crate::Limits) bytes.
    pub name: String,
    /// Unique for ever.
    #[serde(with = "uuid")]
    pub uuid: u128,
    /// Its process id as it sees it itself; 0 where there is none.
    pub pid: u32,
}

impl PartialEq for ActorId {
    fn eq(&self, other: &Self) -> bool {
        self.uuid == other.uuid
    }
}

impl Eq for ActorId {}

impl fmt::Display for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` (pid {})", self.name, self.pid)
    }
}

/// Names a link within one actor. The driver hands it out, and never the same one twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(u64);

impl LinkId {
    /// The actor itself, which asks its own machines without a link.
    pub const OWN: Self = Self(0);

    /// The link with this number; 0 is [`OWN`](Self::OWN).
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link {}", self.0)
    }
}

/// The number of a dialog on its link (P-D1).
///
/// Strictly increasing for each opener and never reused; the lowest bit says which side opened it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DialogId(u64);

impl DialogId {
    /// Dialog 0: the actor itself (P-L2).
    pub const ACTOR: Self = Self(0);

    /// The dialog with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number on the wire.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// Whether this is dialog 0.
    pub const fn is_actor(self) -> bool {
        self.0 == 0
    }

    /// Which end of the link opens dialogs with this number.
    pub const fn opener(self) -> Role {
        if self.0 & 1 == 0 { Role::Even } else { Role::Odd }
    }
}

impl fmt::Display for DialogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dialog {}", self.0)
    }
}

/// Which end of a link an actor is: the parent or the dialing side is even, the other odd (P-L1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// The parent, or the side that dialed.
    Even,
    /// The child, or the side that listened.
    Odd,
}

impl Role {
    /// The other end.
    pub const fn other(self) -> Self {
        match self {
            Self::Even => Self::Odd,
            Self::Odd => Self::Even,
        }
    }
}
