//! Being known: an actor's entry at a registrar, from before its main task until it ends, also where
//! the registrar comes back in between (DISC-03, DISC-04).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hatchery_proto::registrar::Backoff;

use super::registry::{Known, Way};
use super::served;
use crate::actor::Actor;
use crate::context::OpenContext;
use crate::driver::link::lock;
use crate::driver::{clock, readiness};
use crate::error::{Error, Result};
use crate::portal::Portal;
use crate::wait;
use async_executor::Task;

type Entry = OpenContext<served::register>;

/// Registers, and gives what keeps that up; nothing where this actor is the registrar itself. Where the
/// registrar is away just now, a child comes up all the same, and is known once that is back.
pub(super) async fn register(
    actor: &Arc<Actor>,
    known: &Arc<Known>,
    is_root: bool,
) -> Result<Option<Task<()>>> {
    let entered = async {
        match known.way().await? {
            Way::Own(book) => {
                book.register_itself(&actor.discovery().addresses())?;
                Ok(None)
            }
            Way::Portal(portal) => enter(actor, &portal).await.map(Some),
        }
    };
    let entry = match entered.await {
        Ok(None) => return Ok(None),
        Ok(entry) => entry,
        Err(error) if is_root => return Err(error),
        Err(error) => {
            tracing::warn!(
                target: "hatchery::discovery",
                actor = %actor.id(), %error,
                "a registrar does not answer yet"
            );
            None
        }
    };
    Ok(Some(actor.spawn(keep(actor.clone(), known.clone(), entry))))
}

async fn enter(actor: &Arc<Actor>, portal: &Portal) -> Result<Entry> {
    let addresses = actor.discovery().addresses();
    let (entry, _registrar) = portal.open_context(served::register(addresses)).await?;
    Ok(entry)
}

/// Registers again whenever the registrar was lost.
async fn keep(actor: Arc<Actor>, known: Arc<Known>, mut entry: Option<Entry>) {
    let mut backoff = Backoff::new();
    loop {
        if let Some(entry) = entry.take() {
            let since = clock::now();
            let lost = entry.result().await;
            if actor.discovery().hides.load(Ordering::Acquire) {
                return;
            }
            backoff.handle_lost(clock::now().since(since));
            tracing::warn!(
                target: "hatchery::discovery",
                actor = %actor.id(), registrar = %known.address(), ?lost,
                "an entry was lost; its registrar is asked again until it is back"
            );
        }
        entry = loop {
            readiness::until(clock::now() + backoff.pause()).await;
            let entered = async {
                match known.way().await? {
                    Way::Portal(portal) => enter(&actor, &portal).await.map(Some),
                    Way::Own(_) => Ok(None),
                }
            };
            match entered.await {
                Ok(Some(entry)) => break Some(entry),
                Ok(None) => return,
                Err(error) => tracing::debug!(
                    target: "hatchery::discovery",
                    %error,
                    "a registrar that was lost is not back yet"
                ),
            }
        };
    }
}

/// Takes the entries back, at every registrar at once; says whether there was any.
pub(super) async fn unregister(actor: &Actor) -> bool {
    actor.discovery().hides.store(true, Ordering::Release);
    let kept = std::mem::take(&mut lock(&actor.discovery().state).kept);
    let known = actor.discovery().known();
    let mut all: Vec<_> = known.iter().map(|known| Box::pin(unregister_at(known))).collect();
    let mut any = false;
    // Each goes on while the others wait.
    while !all.is_empty() {
        let (was, place) = wait::first(&mut all).await;
        any |= was;
        drop(all.swap_remove(place));
    }
    // Only now: what kept an entry cancels it when it goes.
    for task in kept {
        task.cancel().await;
    }
    any
}

/// Whether a registrar had an entry of this actor, and has none now.
async fn unregister_at(known: &Known) -> bool {
    let was = async {
        match known.way().await? {
            Way::Own(book) => Ok(book.unregister(book.own(), book.id())),
            Way::Portal(portal) => {
                let (context, was) = portal.open_context(served::unregister()).await?;
                context.result().await?;
                Ok(was)
            }
        }
    };
    was.await.unwrap_or_else(|error: Error| {
        tracing::debug!(
            target: "hatchery::discovery",
            %error,
            "a registrar could not be told of an end; it sees the link's"
        );
        false
    })
}
