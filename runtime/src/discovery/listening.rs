//! Where this actor can be reached: one task for each address takes whoever comes, and has it greet.
//! Whether it is let in is decided where it has said who it is.

use std::sync::Arc;

use hatchery_proto::Address;
use hatchery_proto::actor::peers::Origin;

use crate::actor::Actor;
use crate::driver::link::lock;
use crate::driver::transport::door::Door;
use crate::driver::transport::listener::Listener;
use crate::driver::transport::place::{self, Place};
use crate::error::{Error, Result};
use crate::peer::NoLink;
use crate::reach::failed;

/// An address of a Unix socket with this name in a directory that is this user's alone:
/// `$XDG_RUNTIME_DIR/hatchery`, or `/tmp/hatchery-UID`. It is made by whoever listens there first, who
/// refuses one that others may come into, and goes with the last socket in it. For programs that are to meet
/// on one machine.
///
/// # Errors
/// `Misuse` where the name could be no file's.
pub fn local_address(name: &str) -> Result<Address> {
    let attempt = format!("naming a place of this user's `{}`", name.escape_debug());
    if name.is_empty() || name.contains(['/', '\0']) || name == "." || name == ".." {
        return Err(Error::misuse(format!("{attempt}: it is no name of a file")));
    }
    Ok(place::address(&Place::own().path().join(name)))
}

/// Listens at an address from here on.
pub(super) async fn listen(actor: &Arc<Actor>, address: &Address) -> Result<()> {
    let door = Door::open(address, actor.proofs(), &actor.executor()).await;
    let door = door.map_err(|error| failed("listening", actor.id(), error))?;
    accept_on(actor, door);
    Ok(())
}

/// Listens where nobody else does, and only this user may: known by whoever is told.
pub(super) async fn listen_somewhere(actor: &Arc<Actor>) -> Result<()> {
    let listener = Listener::private(&Place::own()).await;
    let listener = listener.map_err(|error| failed("listening", actor.id(), error))?;
    accept_on(actor, Door::plain(listener));
    Ok(())
}

/// Takes whoever comes, until the actor listens no more.
pub(super) fn accept_on(actor: &Arc<Actor>, door: Door) {
    let address = door.address().clone();
    tracing::debug!(target: "hatchery::transport", actor = %actor.id(), %address, "listens");
    let accepting = actor.clone();
    let task = actor.spawn(async move {
        loop {
            let coming = match door.accept().await {
                Ok(coming) => coming,
                Err(error) => {
                    tracing::error!(
                        target: "hatchery::transport",
                        %error,
                        "nobody can come in here any more"
                    );
                    return;
                }
            };
            // One for whom there is no room is told nothing (P-R10).
            let Some(number) = accepting.peers().arrives() else { continue };
            let actor = accepting.clone();
            let greeted = async move {
                let patience = actor.settings().limits.handshake_timeout;
                let met = match coming.proven(patience).await {
                    Ok(arrival) => actor.greet(arrival, number, Origin::Accepted, None).await,
                    Err(why) => {
                        actor.peers().unmet(number);
                        Err(NoLink::Refused(why.to_string()))
                    }
                };
                if let Err(why) = met {
                    tracing::debug!(
                        target: "hatchery::transport",
                        %why,
                        "somebody who connected is no peer"
                    );
                }
            };
            accepting.spawn(greeted).detach();
        }
    });
    let mut state = lock(&actor.discovery().state);
    state.addresses.push(address);
    state.listening.push(task);
}

/// Removes the sockets that nobody listens at any more from this user's private directory, and that where
/// it is empty then.
pub(super) fn sweep() {
    if let Err(error) = Place::own().sweep() {
        tracing::debug!(
            target: "hatchery::discovery",
            %error,
            "what killed processes have left was not looked for"
        );
    }
}
