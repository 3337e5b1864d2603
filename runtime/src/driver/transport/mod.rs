//! Ways between processes that are no inherited pair: where they listen, how they are reached, and what
//! a link reads from and writes to. Decides nothing about who may say what: whom a stream belongs to is
//! told, and judged elsewhere; only another user is turned away here.

pub(crate) mod carrier;
pub(crate) mod dial;
pub(crate) mod door;
pub(crate) mod duplex;
mod listened;
pub(crate) mod listener;
pub(crate) mod origin;
mod passing;
pub(crate) mod place;
mod plain;
pub(crate) mod proofs;
#[cfg(feature = "quic")]
pub(crate) mod quic;
#[cfg(test)]
mod tests;
#[cfg(feature = "tls")]
pub(crate) mod tls;
pub(crate) mod trouble;
