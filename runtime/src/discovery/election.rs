//! How a root comes to its registrar: it asks at the address, and where nobody listens, it becomes the
//! one that does (DISC-01, DISC-02). Whoever binds the address first is it.

use std::sync::Arc;
use std::time::Duration;

use futures_lite::FutureExt;
use hatchery_proto::{ActorId, Address};

use super::registry::Known;
use super::{Book, Registrar, Terms, listening, served};
use crate::actor::Actor;
use crate::driver::transport::door::Door;
use crate::driver::transport::trouble::Trouble;
use crate::driver::{clock, readiness};
use crate::error::{Error, Result};
use crate::portal::Portal;
use crate::reach::failed;

/// How often somebody is asked who does not answer as a registrar does, and how long each time.
const ATTEMPTS: u32 = 3;
const PATIENCE: Duration = Duration::from_secs(1);
/// From one time to the next, once more each time.
const PAUSE: Duration = Duration::from_millis(50);

/// What is at an address.
enum Found {
    Registrar(Portal, ActorId),
    Nobody,
    /// Somebody who is none, or says nothing.
    Other(String),
}

/// The registrar that a root is told of, which it becomes where there is none and it may.
pub(super) async fn come_to(actor: &Arc<Actor>, registrar: &Registrar) -> Result<Known> {
    let Registrar { address, terms, .. } = registrar;
    let refused = |why: &str| {
        let id = actor.id();
        Err(Error::misuse(format!(
            "opening root actor {id} with a registrar at `{address}`: {why}"
        )))
    };
    let mut other = String::new();
    for attempt in 1..=ATTEMPTS {
        match (ask(actor, address).await?, terms) {
            (Found::Registrar(_, id), Terms::Found) => {
                return refused(&format!("actor {id} is it already; end that, or join it"));
            }
            (Found::Registrar(portal, id), _) => {
                tracing::debug!(actor = %actor.id(), registrar = %id, %address, "joins a registrar");
                return Ok(Known::joined(actor, address, portal, &id));
            }
            (Found::Nobody, Terms::Join) => {
                return refused("nobody listens there; start what is to be the registrar first");
            }
            (Found::Nobody, _) => {
                match Door::open(address, actor.proofs(), &actor.executor()).await {
                    Ok(door) => return Ok(become_it(actor, door)),
                    // Somebody was faster, and is about to answer.
                    Err(error) if matches!(error.trouble(), Trouble::InUse) => {
                        other = error.to_string();
                    }
                    Err(error) => return Err(failed("becoming the registrar", actor.id(), error)),
                }
            }
            (Found::Other(why), _) => other = why,
        }
        readiness::until(clock::now() + PAUSE * attempt).await;
    }
    refused(&format!(
        "somebody listens there who does not answer as a registrar does ({other}); choose another \
         address, or end that"
    ))
}

fn become_it(actor: &Arc<Actor>, door: Door) -> Known {
    let address = door.address().clone();
    let book = actor.discovery().book.get_or_init(|| Arc::new(Book::new(actor.id().clone())));
    tracing::debug!(actor = %actor.id(), %address, "is a registrar");
    // It knows before it is asked.
    let known = Known::own(actor, &address, book);
    listening::accept_on(actor, door);
    known
}

async fn ask(actor: &Arc<Actor>, address: &Address) -> Result<Found> {
    let asked = async {
        let portal = match actor.reach(address, None).await {
            Ok(portal) => portal,
            Err(error) if error.is_nobody() => return Ok(Found::Nobody),
            Err(error) if error.is_hopeless() => {
                return Err(error.of(&format!("asking for a registrar at `{address}`"), actor.id()));
            }
            // Nothing tells that nobody is there but that the place is free.
            Err(_) if matches!(address, Address::Quic { .. }) => return Ok(Found::Nobody),
            Err(error) => return Ok(Found::Other(error.to_string())),
        };
        Ok(match portal.run(served::who()).await {
            Ok(id) => Found::Registrar(portal, id),
            Err(error) => Found::Other(error.to_string()),
        })
    };
    let late = async {
        readiness::until(clock::now() + PATIENCE).await;
        Ok(match address {
            // Nothing tells that nobody is there but that the place is free.
            Address::Quic { .. } => Found::Nobody,
            _ => Found::Other(format!("it said nothing for {PATIENCE:?}")),
        })
    };
    asked.or(late).await
}
