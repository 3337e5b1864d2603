//! The bodies of control frames, as postcard structs with borrowed fields.

use core::time::Duration;

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::error::Violation;

/// How a dialog is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// What stands before the arguments in the first frame of a `Start`.
#[derive(Debug, Serialize, Deserialize)]
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
    /// No more will be read.
    pub done: bool,
}

/// Reads a body that must be whole and nothing more.
pub(crate) fn take<'a, T: Deserialize<'a>>(
    body: &'a [u8],
    message: &'static str,
) -> Result<T, Violation> {
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        Ok(_) => Err(Violation::new(message, "P-F4", "any", "bytes trail behind it")),
        Err(error) => Err(Violation::new(message, "P-F4", "any", alloc::format!("{error}"))),
    }
}

/// Appends a body.
pub(crate) fn put<T: Serialize>(out: &mut Vec<u8>, body: &T) {
    // Fails only where a serializer of ours does, and they do not.
    if let Ok(bytes) = postcard::to_allocvec(body) {
        out.extend_from_slice(&bytes);
    }
}
