//! How a uuid is written: 16 bytes' worth of a number on a link; in a format that people read, 32
//! hex digits, since few of those have numbers that large.

use core::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

/// How many hex digits there are.
const DIGITS: usize = 32;

pub(crate) fn serialize<S: Serializer>(uuid: &u128, serializer: S) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() {
        serializer.collect_str(&format_args!("{uuid:032x}"))
    } else {
        uuid.serialize(serializer)
    }
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
    if deserializer.is_human_readable() {
        deserializer.deserialize_str(Digits)
    } else {
        u128::deserialize(deserializer)
    }
}

struct Digits;

impl Visitor<'_> for Digits {
    type Value = u128;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a uuid as {DIGITS} hex digits")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<u128, E> {
        let is_hex = text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let uuid = is_hex.then(|| u128::from_str_radix(text, 16).ok()).flatten();
        uuid.ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

/// The id of a report: the uuid of the actor it arose in, and its number there.
pub(crate) mod numbered {
    use super::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(serde::Serialize, serde::Deserialize)]
    struct Uuid(#[serde(with = "super")] u128);

    pub(crate) fn serialize<S: Serializer>(
        (uuid, number): &(u128, u64),
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        (Uuid(*uuid), number).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<(u128, u64), D::Error> {
        let (Uuid(uuid), number) = Deserialize::deserialize(deserializer)?;
        Ok((uuid, number))
    }
}
