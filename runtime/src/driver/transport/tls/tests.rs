//! Two ends in one thread, over a pipe in memory that can be recorded, cut and changed.

mod bytes;
mod files;
mod members;
mod refused;
pub(in crate::driver::transport) mod secrets;
mod strangers;
pub(in crate::driver::transport) mod wire;

use futures_lite::future::{block_on, zip};
use hatchery_proto::ActorId;

use super::*;
use wire::{Pipe, pipe};

pub(in crate::driver::transport) fn actor(uuid: u128, name: &str) -> ActorId {
    ActorId { name: name.to_owned(), uuid, pid: 0 }
}

/// Keys of an actor of this tree, named after its number.
pub(in crate::driver::transport) fn keys(authority: &Authority, uuid: u128) -> Keys {
    authority.issue(&actor(uuid, &format!("actor{uuid}"))).unwrap()
}

type Ended = Result<(Secured<Pipe>, Proven), TlsError>;

/// One handshake, what dialed first.
fn shake(dialing: &Keys, accepting: &Keys, expected: Option<u128>) -> (Ended, Ended) {
    let (ours, theirs) = pipe();
    block_on(zip(
        dialing.dial(ours, expected, "tcp:there:1"),
        accepting.accept(theirs, "tcp:here:1"),
    ))
}

/// Two streams that are secured, with what each knows of the other.
fn secured() -> ((Secured<Pipe>, Proven), (Secured<Pipe>, Proven)) {
    let authority = Authority::new().unwrap();
    let (dialed, accepted) = shake(&keys(&authority, 1), &keys(&authority, 2), None);
    (dialed.unwrap(), accepted.unwrap())
}
