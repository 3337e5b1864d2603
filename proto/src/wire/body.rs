//! The bodies of control frames, as postcard structs with borrowed fields.

use core::time::Duration;

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::error::Violation;

/// How a dialog is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// One result.
    Call,
    /// A one-way stream, then a result.
    Stream,
    /// A first value, a stream each way, a result.
    Context,
    /// Dialog 0: an actor's life (P-L2).
    Actor,
}

/// Payloads are encoded with postcard.
pub const POSTCARD: u8 = 0;

/// What stands before the arguments in the first frame of a `Start`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Start<'a> {
    /// The endpoint's name.
    #[serde(borrow)]
    pub endpoint: &'a str,
    /// How it is opened.
    pub kind: Kind,
    /// The hash of its signature.
    pub schema: u64,
    /// How payloads are encoded: 0 is postcard.
    pub codec: u8,
    /// What the callee may send before it gets credit.
    pub credit: u32,
    /// What is left of the opener's deadline.
    pub deadline: Option<Duration>,
    /// Trace context, not looked into.
    #[serde(borrow)]
    pub trace: Option<&'a [u8]>,
}

/// The body of a `StartAck`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct StartAck {
    /// What the endpoint is.
    pub kind: Kind,
    /// What the opener may send before it gets credit.
    pub credit: u32,
}

/// The body of a `Credit`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Credit {
    /// This much was consumed.
    pub bytes: u32,
    /// Whether more will be read.
    pub done: Done,
}

/// Whether a receiver reads no more values, and why.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Done {
    /// It does.
    #[default]
    No,
    /// Nobody is there to read (P-D8).
    Gone,
    /// More came than it keeps (P-W6).
    Overrun,
}

/// Reads a body that must be whole and nothing more, as short as it can be (P-F4).
pub(crate) fn take<'a, T: Serialize + Deserialize<'a>>(
    body: &'a [u8],
    message: &'static str,
) -> Result<T, Violation> {
    match take_first(body, message)? {
        (value, []) => Ok(value),
        _ => Err(Violation::new(message, "P-F4", "any", "bytes trail behind it")),
    }
}

/// The same, with a payload behind it.
pub(crate) fn take_first<'a, T: Serialize + Deserialize<'a>>(
    body: &'a [u8],
    message: &'static str,
) -> Result<(T, &'a [u8]), Violation> {
    let refuse = |what: String| Violation::new(message, "P-F4", "any", what);
    let (value, rest) =
        postcard::take_from_bytes::<T>(body).map_err(|error| refuse(alloc::format!("{error}")))?;
    // What has a second encoding, as a longer varint has, reads as the same value and is refused all
    // the same.
    let taken = body.len().checked_sub(rest.len()).and_then(|size| body.get(..size));
    let same = Same(taken.unwrap_or_default());
    if postcard::serialize_with_flavor(&value, same) != Ok(true) {
        return Err(refuse("it is encoded otherwise than it has to be".into()));
    }
    Ok((value, rest))
}

/// Compares what is serialized with bytes, and keeps none of it.
struct Same<'a>(&'a [u8]);

impl postcard::ser_flavors::Flavor for Same<'_> {
    /// Whether all of the bytes came.
    type Output = bool;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        match self.0.split_first() {
            Some((expected, rest)) if *expected == byte => {
                self.0 = rest;
                Ok(())
            }
            _ => Err(postcard::Error::SerializeBufferFull),
        }
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0 = self.0.strip_prefix(bytes).ok_or(postcard::Error::SerializeBufferFull)?;
        Ok(())
    }

    fn finalize(self) -> postcard::Result<bool> {
        Ok(self.0.is_empty())
    }
}

/// Appends a body.
pub(crate) fn put<T: Serialize>(out: &mut Vec<u8>, body: &T) {
    // Fails only where a serializer of ours does, and they do not.
    let _ = postcard::serialize_with_flavor(body, Append(out));
}

/// Appends what is serialized to what is there.
struct Append<'a>(&'a mut Vec<u8>);

impl postcard::ser_flavors::Flavor for Append<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}
