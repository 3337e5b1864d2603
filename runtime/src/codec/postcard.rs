//! Postcard: the codec that every program speaks.

use postcard::ser_flavors::Flavor;
use serde::Serialize;
use serde::de::DeserializeSeed;

use super::handed::{self, HANDED, Parts};
use super::{Codec, CodecError};

/// Values without names, in as few bytes as they need. Both programs have to be built from the same
/// types.
#[derive(Clone, Copy, Debug)]
pub struct Postcard;

impl Codec for Postcard {
    const NUMBER: u8 = 0;
    const NAME: &'static str = "postcard";

    fn encode<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
        postcard::serialize_with_flavor(value, Append(out)).map_err(CodecError::new)
    }

    fn decode<'de, S: DeserializeSeed<'de>>(
        seed: S,
        bytes: &'de [u8],
    ) -> Result<S::Value, CodecError> {
        let mut from = postcard::Deserializer::from_bytes(bytes);
        // Looked at where it is: one that goes through several hands is copied by each.
        let value = seed.deserialize(&mut from);
        match (&value, from.finalize()) {
            (Ok(_), Ok([])) => {}
            (Ok(_), Ok(rest)) => return Err(CodecError::left_over(rest.len())),
            (Err(error), _) => return Err(CodecError::new(error)),
            (_, Err(error)) => return Err(CodecError::new(error)),
        }
        value.map_err(CodecError::new)
    }
}

/// Appends to what is there.
struct Append<'a>(&'a mut Vec<u8>);

impl Flavor for Append<'_> {
    type Output = ();

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// The same, but that large bytes which are offered go to `parts`, with the place that they stand before.
struct AppendApart<'a> {
    out: &'a mut Vec<u8>,
    parts: &'a mut Parts,
}

impl Flavor for AppendApart<'_> {
    type Output = ();

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.out.push(byte);
        Ok(())
    }

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        let offered = if bytes.len() < HANDED { None } else { handed::offered(bytes) };
        match offered {
            None => self.out.extend_from_slice(bytes),
            Some(slice) => self.parts.push((self.out.len(), slice)),
        }
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// As [`Postcard`] encodes a value, but that its large bytes are handed on.
#[inline]
pub(super) fn encode_apart<T: Serialize>(
    value: &T,
    out: &mut Vec<u8>,
    parts: &mut Parts,
) -> Result<(), CodecError> {
    postcard::serialize_with_flavor(value, AppendApart { out, parts }).map_err(CodecError::new)
}
