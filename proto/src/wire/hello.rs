//! The greeting: magic and version range in a layout frozen for ever, then tagged fields whose
//! unknown tags are skipped (P-L1).

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::error::Violation;
use crate::id::{ActorId, Role};
use crate::limits::Limits;
use crate::wire::body;

/// The first bytes of every greeting.
pub const MAGIC: [u8; 4] = *b"HTCH";
/// The versions of the protocol that this crate speaks, lowest and highest.
pub const VERSIONS: (u16, u16) = (1, 1);
/// The largest greeting.
pub const MAX_HELLO: u32 = 512;

const ID: u8 = 1;
const ROLE: u8 = 2;
const LIMITS: u8 = 3;
const TREE: u8 = 4;
const DESCRIPTORS: u8 = 5;

/// What each side says first.
#[derive(Clone, Debug)]
pub struct Hello {
    /// Lowest and highest version.
    pub versions: (u16, u16),
    /// Who is speaking.
    pub id: ActorId,
    /// Which end it is.
    pub role: Role,
    /// What it can take.
    pub announced: Announced,
    /// Which tree it is of, where it says so.
    pub tree: Option<u128>,
    /// How many descriptors it takes with a message; 0 where it takes none (P-F6).
    pub descriptors: u8,
}

/// The limits that a peer has to know.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Announced {
    /// Largest frame.
    pub max_frame: u32,
    /// Largest message.
    pub max_message: u32,
    /// Dialogs that may be open.
    pub max_dialogs: u32,
}

impl Announced {
    /// The most payload in one message.
    pub(crate) fn message(&self) -> usize {
        usize::try_from(self.max_message).unwrap_or(usize::MAX)
    }

    /// The most payload in one frame.
    pub(crate) fn chunk(&self) -> usize {
        let room = self.max_frame.saturating_sub(Limits::HEADER_ROOM);
        usize::try_from(room).unwrap_or(usize::MAX).max(1)
    }

    /// Those of these limits.
    #[must_use]
    pub fn of(limits: &Limits) -> Self {
        Self {
            max_frame: limits.max_frame.max(Limits::FLOOR),
            max_message: limits.max_message.min(Limits::MESSAGE_CEILING),
            max_dialogs: limits.max_dialogs,
        }
    }
}

impl Hello {
    /// Appends the body.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&self.versions.0.to_le_bytes());
        out.extend_from_slice(&self.versions.1.to_le_bytes());
        put_field(out, ID, &postcard::to_allocvec(&self.id).unwrap_or_default());
        put_field(
            out,
            ROLE,
            &[match self.role {
                Role::Even => 0,
                Role::Odd => 1,
            }],
        );
        put_field(out, LIMITS, &postcard::to_allocvec(&self.announced).unwrap_or_default());
        if let Some(tree) = self.tree {
            put_field(out, TREE, &tree.to_le_bytes());
        }
        if self.descriptors > 0 {
            put_field(out, DESCRIPTORS, &[self.descriptors]);
        }
    }

    /// Reads a body.
    pub fn parse(content: &[u8]) -> Result<Self, Violation> {
        let malformed = |what| Violation::new("Hello", "P-L1", "greeting", what);
        let (magic, rest) =
            content.split_first_chunk::<4>().ok_or_else(|| malformed("it is cut short"))?;
        if *magic != MAGIC {
            return Err(malformed("its magic is another protocol's"));
        }
        let (low, rest) =
            rest.split_first_chunk::<2>().ok_or_else(|| malformed("it is cut short"))?;
        let (high, mut rest) =
            rest.split_first_chunk::<2>().ok_or_else(|| malformed("it is cut short"))?;
        let versions = (u16::from_le_bytes(*low), u16::from_le_bytes(*high));
        // Before the fields, which another version may have laid out otherwise.
        settle(versions)?;
        let (mut id, mut role, mut announced, mut tree) = (None, None, None, None);
        let mut descriptors = 0;
        while let Some((&tag, after)) = rest.split_first() {
            let (len, after) =
                after.split_first_chunk::<2>().ok_or_else(|| malformed("a field is cut short"))?;
            let (field, after) = after
                .split_at_checked(usize::from(u16::from_le_bytes(*len)))
                .ok_or_else(|| malformed("a field is cut short"))?;
            rest = after;
            match tag {
                ID => id = Some(body::take(field, "Hello")?),
                ROLE => {
                    role = match field {
                        [0] => Some(Role::Even),
                        [1] => Some(Role::Odd),
                        _ => None,
                    };
                }
                LIMITS => announced = Some(body::take(field, "Hello")?),
                TREE => {
                    let of = <[u8; 16]>::try_from(field);
                    let of = of.map_err(|_| malformed("its tree is no number of 16 bytes"))?;
                    tree = Some(u128::from_le_bytes(of));
                }
                DESCRIPTORS => {
                    let [count] = <[u8; 1]>::try_from(field)
                        .map_err(|_| malformed("its descriptors are no number of one byte"))?;
                    descriptors = count;
                }
                _ => {}
            }
        }
        Ok(Self {
            versions,
            id: id.ok_or_else(|| malformed("it does not say who is speaking"))?,
            role: role.ok_or_else(|| malformed("it does not say which end is speaking"))?,
            announced: announced.ok_or_else(|| malformed("it announces no limits"))?,
            tree,
            descriptors,
        })
    }
}

/// The highest version that both speak.
fn settle((their_low, their_high): (u16, u16)) -> Result<u16, Violation> {
    let (low, high) = VERSIONS;
    let common = high.min(their_high);
    if common >= low.max(their_low) {
        return Ok(common);
    }
    let detail = alloc::format!(
        "no version in common: we speak {low} to {high}, the peer {their_low} to {their_high}"
    );
    Err(Violation::new("Hello", "P-L1", "greeting", detail))
}

fn put_field(out: &mut Vec<u8>, tag: u8, field: &[u8]) {
    out.push(tag);
    let len = u16::try_from(field.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(field.get(..usize::from(len)).unwrap_or(field));
}
