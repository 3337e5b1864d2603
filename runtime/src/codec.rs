//! Codecs: how values become bytes and back, one kind for each endpoint.
//!
//! Does not know links or dialogs. What is decoded is bounded here, whatever the codec: [`MAX_DEPTH`].

mod encoded;
pub(crate) mod handed;
mod limits;
#[cfg(feature = "messagepack")]
mod messagepack;
mod postcard;

use std::any::TypeId;
use std::fmt;
use std::marker::PhantomData;

use hatchery_proto::Passed;
use serde::Serialize;
use serde::de::{DeserializeOwned, DeserializeSeed};

pub(crate) use self::encoded::{Encoded, in_place, join};
use self::handed::Parts;
pub use self::limits::MAX_DEPTH;
#[cfg(feature = "messagepack")]
pub use self::messagepack::MessagePack;
pub use self::postcard::Postcard;
use crate::error::{Error, Result};
use crate::passing;

/// How the values of an endpoint become bytes and back: its arguments, its first value, what it
/// sends and receives, its result and its typed error.
///
/// [`Postcard`] is the default: small and fast, for programs that are built from the same source. A
/// codec that writes the names of fields, such as `MessagePack` (feature `messagepack`), lets a type
/// gain fields with a default while programs of before are still there. An endpoint says which it
/// speaks: `#[hatchery::endpoint(codec = MessagePack)]`. Two programs that disagree about it refuse
/// each other's calls.
///
/// ```
/// use hatchery::codec::{Codec, CodecError};
/// use serde::{Serialize, de::DeserializeSeed};
///
/// /// Text that people can read.
/// struct Json;
///
/// impl Codec for Json {
///     const NUMBER: u8 = 128;
///     const NAME: &'static str = "json";
///
///     fn encode<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
///         serde_json::to_writer(out, value).map_err(CodecError::new)
///     }
///
///     fn decode<'de, S>(seed: S, bytes: &'de [u8]) -> Result<S::Value, CodecError>
///     where
///         S: DeserializeSeed<'de>,
///     {
///         let mut json = serde_json::Deserializer::from_slice(bytes);
///         let value = seed.deserialize(&mut json).map_err(CodecError::new)?;
///         json.end().map_err(CodecError::new)?;
///         Ok(value)
///     }
/// }
///
/// #[hatchery::endpoint(codec = Json)]
/// async fn double(n: u64) -> u64 {
///     2 * n
/// }
/// ```
pub trait Codec: Send + Sync + 'static {
    /// Names it on the wire, in the `Start` of a call. 0 is [`Postcard`], 1 `MessagePack`; 2 to 127
    /// are kept for codecs of this library, 128 to 255 are free.
    const NUMBER: u8;
    /// Names it in errors, and is part of an endpoint's schema.
    const NAME: &'static str;

    /// Appends the bytes of a value.
    ///
    /// # Errors
    /// Where it has none in this codec. What was appended by then is ignored.
    fn encode<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError>;

    /// Makes a value of all of the bytes. How deep it nests and how many parts it has is bounded by
    /// `seed`, for every codec alike ([`MAX_DEPTH`]). How much room it takes is not: a sequence of
    /// large enums may take several hundred times its bytes, of which there are at most
    /// `max_message` ([`Limits`](crate::Limits)).
    ///
    /// # Errors
    /// Where they are those of no such value, or are more than its bytes.
    fn decode<'de, S: DeserializeSeed<'de>>(
        seed: S,
        bytes: &'de [u8],
    ) -> Result<S::Value, CodecError>;
}

/// Why a value has no bytes, or bytes are no such value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodecError(Box<str>);

impl CodecError {
    /// That, in words.
    pub fn new(what: impl fmt::Display) -> Self {
        Self(what.to_string().into())
    }

    /// The value has ended and its bytes have not.
    pub(crate) fn left_over(count: usize) -> Self {
        Self::new(format_args!("{count} bytes are left over after it"))
    }
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CodecError {}

/// How values of one type become bytes.
pub(crate) type Put<T> = fn(&T, &mut Vec<u8>) -> Result<(), CodecError>;

/// The same, but that large bytes of it are handed on.
pub(crate) type PutApart<T> = fn(&T, &mut Vec<u8>, &mut Parts) -> Result<(), CodecError>;

/// How bytes become values of one type.
pub(crate) type Take<T> = fn(&[u8]) -> Result<T, CodecError>;

/// Appends the bytes of a value to `out`, but for large ones that it shares, where that is left to the codec:
/// those are in `parts` then.
pub(crate) fn put_apart<C: Codec, T: Serialize>(
    value: &T,
    out: &mut Vec<u8>,
    parts: &mut Parts,
) -> Result<(), CodecError> {
    // Whatever another codec appends it may look at again.
    if TypeId::of::<C>() != TypeId::of::<Postcard>() {
        return C::encode(value, out);
    }
    postcard::encode_apart(value, out, parts)
}

/// As [`take`], where these descriptors came with the bytes.
pub(crate) fn take_passing<T>(
    take: Take<T>,
    bytes: &[u8],
    passed: &Passed,
) -> Result<T, CodecError> {
    if passed.is_none() { take(bytes) } else { passing::within(passed, || take(bytes)) }
}

/// Has a value encoded, and gives the descriptors that are in it.
pub(crate) fn put_passing<T>(
    put: Put<T>,
    value: &T,
    buffer: &mut Vec<u8>,
) -> Result<Passed, CodecError> {
    passing::collecting(|| put(value, buffer))
}

/// The same, but that large bytes of it are handed on.
pub(crate) fn put_apart_passing<T>(
    put: PutApart<T>,
    value: &T,
    buffer: &mut Vec<u8>,
    parts: &mut Parts,
) -> Result<Passed, CodecError> {
    passing::collecting(|| put(value, buffer, parts))
}

/// Makes a value of all of the bytes, within the limits.
pub(crate) fn take<C: Codec, T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let budget = limits::Budget::of(bytes);
    match C::decode(limits::Limited::new(PhantomData::<T>, &budget), bytes) {
        Ok(value) => Ok(value),
        Err(error) => Err(in_words(error)),
    }
}

/// Not every codec's error has words of its own.
#[cold]
fn in_words(error: CodecError) -> CodecError {
    match limits::Budget::why() {
        Some(why) if !error.0.contains(&why) => CodecError::new(why),
        _ => error,
    }
}

pub(crate) fn encode<C: Codec, T: Serialize>(value: &T, what: &str, name: &str) -> Result<Encoded> {
    encode_by(C::encode, value, what, name)
}

/// The same in a buffer that is at hand, whatever is in it.
pub(crate) fn encode_into<C: Codec, T: Serialize>(
    value: &T,
    mut buffer: Vec<u8>,
    what: &str,
    name: &str,
) -> Result<(Vec<u8>, Passed)> {
    buffer.clear();
    match put_passing(C::encode, value, &mut buffer) {
        Ok(passed) => Ok((buffer, passed)),
        Err(error) => Err(not_encoded(what, name, &error)),
    }
}

pub(crate) fn encode_by<T>(put: Put<T>, value: &T, what: &str, name: &str) -> Result<Encoded> {
    let mut bytes = Encoded::begin();
    match put_passing(put, value, bytes.buffer()) {
        Ok(passed) => Ok(bytes.carrying(passed)),
        Err(error) => Err(not_encoded(what, name, &error)),
    }
}

/// A value, of which large bytes are handed on.
pub(crate) fn encode_apart<T>(
    put: PutApart<T>,
    value: &T,
    what: &str,
    name: &str,
) -> Result<Encoded> {
    let mut bytes = Encoded::begin();
    let (buffer, parts) = bytes.both();
    match put_apart_passing(put, value, buffer, parts) {
        Ok(passed) => Ok(bytes.carrying(passed)),
        Err(error) => Err(not_encoded(what, name, &error)),
    }
}

pub(crate) fn not_encoded(what: &str, name: &str, error: &CodecError) -> Error {
    Error::codec(format_args!("{what} `{name}` could not be encoded"), error)
}

pub(crate) fn decode<C: Codec, T: DeserializeOwned>(
    bytes: &[u8],
    passed: &Passed,
    what: &str,
    name: &str,
) -> Result<T> {
    take_passing(take::<C, T>, bytes, passed)
        .map_err(|error| Error::codec(format_args!("{what} `{name}` could not be decoded"), &error))
}
