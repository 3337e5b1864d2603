//! MessagePack: values with the names of their fields.

use serde::Serialize;
use serde::de::DeserializeSeed;

use super::{Codec, CodecError};

/// Values with the names of their fields and variants ([MessagePack](https://msgpack.org)), so that a
/// program can read what one with other fields has written: those that it does not know are passed
/// over, and those that are missing take their `#[serde(default)]`.
///
/// Costs more bytes and time than [`Postcard`](super::Postcard).
#[derive(Clone, Copy, Debug)]
pub struct MessagePack;

impl Codec for MessagePack {
    const NUMBER: u8 = 1;
    const NAME: &'static str = "messagepack";

    fn encode<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
        let mut into = rmp_serde::Serializer::new(out).with_struct_map();
        value.serialize(&mut into).map_err(CodecError::new)
    }

    fn decode<'de, S: DeserializeSeed<'de>>(
        seed: S,
        bytes: &'de [u8],
    ) -> Result<S::Value, CodecError> {
        let mut from = rmp_serde::Deserializer::new(bytes);
        let value = seed.deserialize(&mut from).map_err(CodecError::new)?;
        match from.get_ref() {
            [] => Ok(value),
            rest => Err(CodecError::left_over(rest.len())),
        }
    }
}
