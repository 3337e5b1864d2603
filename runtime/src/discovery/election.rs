//! How a root comes to its registrar: it asks at the address, and where nobody listens, it becomes the
//! one that does (DISC-01). Whoever binds the address first is it. What is done next, and when, the core
//! says (P-R13).

use std::sync::Arc;

use futures_lite::FutureExt;
use hatchery_proto::registrar::{Election, Found, NoRegistrar, Step};
use hatchery_proto::{ActorId, Address};

use super::registry::Known;
use super::{Book, Registrar, listening, served};
use crate::actor::Actor;
use crate::driver::transport::door::Door;
use crate::driver::transport::trouble::Trouble;
use crate::driver::{clock, readiness};
use crate::error::{Error, Result};
use crate::portal::Portal;
use crate::reach::failed;

/// What is at an address.
enum Answer {
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
    let mut election = Election::new(*terms);
    let (mut taken, mut other) = (false, String::new());
    loop {
        let answer = match std::mem::take(&mut taken) {
            true => None,
            false => Some(ask(actor, address).await?),
        };
        let found = match &answer {
            Some(Answer::Registrar(..)) => Found::Registrar,
            Some(Answer::Nobody) => Found::Nobody,
            Some(Answer::Other(why)) => {
                other.clone_from(why);
                Found::Other
            }
            None => Found::Taken,
        };
        match (election.handle(found), answer) {
            (Step::Join, Some(Answer::Registrar(portal, id))) => {
                tracing::debug!(
                    target: "hatchery::discovery",
                    actor = %actor.id(), registrar = %id, %address,
                    "joins a registrar"
                );
                return Ok(Known::joined(actor, address, portal, &id));
            }
            (Step::Fail(NoRegistrar::Exists), Some(Answer::Registrar(_, id))) => {
                return refused(&format!("actor {id} is it already; end that, or join it"));
            }
            (Step::Fail(NoRegistrar::Nobody), _) => {
                return refused("nobody listens there; start what is to be the registrar first");
            }
            (Step::Become, _) => {
                match Door::open(address, actor.proofs(), &actor.executor()).await {
                    Ok(door) => return Ok(become_it(actor, door)),
                    Err(error) if matches!(error.trouble(), Trouble::InUse) => {
                        (taken, other) = (true, error.to_string());
                    }
                    Err(error) => {
                        return Err(failed("becoming the registrar", actor.id(), error));
                    }
                }
            }
            (Step::Ask(pause), _) => readiness::until(clock::now() + pause).await,
            (Step::Fail(_) | Step::Join, _) => {
                return refused(&format!(
                    "somebody listens there who does not answer as a registrar does ({other}); \
                     choose another address, or end that"
                ));
            }
        }
    }
}

fn become_it(actor: &Arc<Actor>, door: Door) -> Known {
    let address = door.address().clone();
    let book = actor.discovery().book.get_or_init(|| Arc::new(Book::new(actor.id().clone())));
    tracing::debug!(target: "hatchery::discovery", actor = %actor.id(), %address, "is a registrar");
    // It knows before it is asked.
    let known = Known::own(actor, &address, book);
    listening::accept_on(actor, door);
    known
}

async fn ask(actor: &Arc<Actor>, address: &Address) -> Result<Answer> {
    let asked = async {
        let portal = match actor.reach(address, None).await {
            Ok(portal) => portal,
            Err(error) if error.is_nobody() => return Ok(Answer::Nobody),
            Err(error) if error.is_hopeless() => {
                return Err(error.of(&format!("asking for a registrar at `{address}`"), actor.id()));
            }
            // Nothing tells that nobody is there but that the place is free.
            Err(_) if matches!(address, Address::Quic { .. }) => return Ok(Answer::Nobody),
            Err(error) => return Ok(Answer::Other(error.to_string())),
        };
        Ok(match portal.run(served::who()).await {
            Ok(id) => Answer::Registrar(portal, id),
            Err(error) => Answer::Other(error.to_string()),
        })
    };
    let late = async {
        readiness::until(clock::now() + Election::PATIENCE).await;
        Ok(match address {
            // Nothing tells that nobody is there but that the place is free.
            Address::Quic { .. } => Answer::Nobody,
            _ => Answer::Other(format!("it said nothing for {:?}", Election::PATIENCE)),
        })
    };
    asked.or(late).await
}
