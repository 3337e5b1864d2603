//! Finding actors by name: those that are linked already first, then those that a registrar knows, the
//! newest first, at the nearest of their addresses.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_lite::FutureExt;
use hatchery_proto::registrar::{Backoff, Registered, merge};
use hatchery_proto::{ActorId, Address};

use super::keeping;
use super::registry::Registry;
use crate::actor::Actor;
use crate::driver::{clock, readiness};
use crate::error::{Error, Result};
use crate::peer::Peer;
use crate::portal::Portal;
use crate::wait;

pub(super) fn running(what: &str) -> Result<Arc<Actor>> {
    Actor::running().ok_or_else(|| Error::misuse(format!("{what}, and no actor runs here")))
}

/// Connects to an actor by its address, and gives a portal to it.
///
/// The portal holds a link of its own, which goes with it; see [`Portal::close`]. An actor takes 32
/// links of one other (P-R12): where many tasks use one actor, they share a portal.
///
/// # Errors
/// `Misuse` where no actor runs in this process, `Os` where nobody can be reached there, `Lost` where
/// whoever answers is no actor, or takes this one for a stranger.
///
/// # Cancel safety
/// Dropping the future leaves nothing.
pub async fn connect(address: &Address) -> Result<Portal> {
    let actor = running(&format!("connecting to `{address}`"))?;
    let reached = actor.reach(address, None).await;
    reached.map_err(|error| error.of(&format!("connecting to `{address}`"), actor.id()))
}

/// Finds an actor by its name, and gives a portal to it; nothing where nobody has that name. See
/// [`with_actor`](crate::with_actor) for a portal that goes at the end of a block.
///
/// An actor that is linked already is taken, the newest where there are several; then the registrars
/// are asked in their order. One that is registered and cannot be reached is passed over, and the
/// registrar told. This actor itself is not found.
///
/// # Errors
/// `Misuse` where no actor runs in this process, or where nobody linked has that name and it has no
/// registrar ([`Options::registry`](crate::Options::registry)). Where no registrar could be asked, the
/// last one's error.
///
/// # Cancel safety
/// Dropping the future leaves nothing.
pub async fn find_actor(name: &str) -> Result<Option<Portal>> {
    let actor = running(&format!("looking for actor `{name}`"))?;
    if let Some(portal) = actor.peers().portal_named(name) {
        return Ok(Some(portal));
    }
    let mut failed = None;
    let mut asked = false;
    for registry in registries(&actor, name)? {
        match registry.query(name).await {
            Ok(found) => {
                asked = true;
                if let Some(portal) = first_reached(&actor, &registry, found).await {
                    return Ok(Some(portal));
                }
            }
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        Some(error) if !asked => Err(error),
        _ => Ok(None),
    }
}

/// Waits until an actor of this name is linked or registered and can be reached, and gives a portal to
/// it. Whoever waits for the same name is woken by the same. A registrar that is away, or goes, is
/// asked again once it is back, as long as another is there (P-R14).
///
/// # Errors
/// As [`find_actor`]; once no registrar is there any more, the last one's.
///
/// # Cancel safety
/// Dropping the future leaves nothing: no registrar goes on waiting for it.
pub async fn wait_for_actor(name: &str) -> Result<Portal> {
    let actor = running(&format!("waiting for actor `{name}`"))?;
    let known = registries(&actor, name)?;
    let mut backoff = Backoff::new();
    loop {
        if let Some(portal) = actor.peers().portal_named(name) {
            return Ok(portal);
        }
        let comes = async { Ok(Met::Linked(actor.peers().portal_comes(name).await)) };
        let registered = async { any(&known, name).await.map(|(at, found)| Met::Known(at, found)) };
        let (registry, found) = match comes.or(registered).await? {
            Met::Linked(portal) => return Ok(portal),
            Met::Known(registry, found) => (registry, found),
        };
        if let Some(portal) = first_reached(&actor, registry, found).await {
            return Ok(portal);
        }
        // They are registered, and nobody is where they should be: not yet, or not any more.
        readiness::until(clock::now() + backoff.pause()).await;
    }
}

/// What a wait came to.
enum Met<'a> {
    Linked(Portal),
    Known(&'a Registry, Vec<Registered>),
}

/// The answer of the first registrar that has one; an error once none of them can be asked.
async fn any<'a>(known: &'a [Registry], name: &str) -> Result<(&'a Registry, Vec<Registered>)> {
    let asked = AtomicUsize::new(known.len());
    let mut waiting: Vec<_> =
        known.iter().map(|registry| Box::pin(answer(registry, name, &asked))).collect();
    wait::first(&mut waiting).await.0
}

/// That of one registrar, which is asked again (P-R14) while another of those that are asked is there.
async fn answer<'a>(
    registry: &'a Registry,
    name: &str,
    asked: &AtomicUsize,
) -> Result<(&'a Registry, Vec<Registered>)> {
    let mut backoff = Backoff::new();
    loop {
        let since = clock::now();
        match registry.wait(name).await {
            Ok(found) => return Ok((registry, found)),
            Err(error) if asked.fetch_sub(1, Ordering::Relaxed) == 1 => return Err(error),
            Err(error) => tracing::debug!(
                target: "hatchery::discovery",
                registrar = %registry.address(), name, %error,
                "a wait goes on without a registrar that is away, until it is back"
            ),
        }
        backoff.handle_lost(clock::now().since(since));
        readiness::until(clock::now() + backoff.pause()).await;
        asked.fetch_add(1, Ordering::Relaxed);
    }
}

/// Who is registered under a name, at any registrar of this actor, the newest first; nobody is reached.
/// Of several registrars, what the first knows comes first; whoever more than one knows is there once,
/// with the addresses of all. One that is away is passed over.
///
/// # Errors
/// As [`find_actor`].
///
/// # Cancel safety
/// Dropping the future leaves nothing.
pub async fn query_actor(name: &str) -> Result<Vec<Registered>> {
    let actor = running(&format!("asking for actor `{name}`"))?;
    let (mut all, mut failed, mut asked) = (Vec::new(), None, false);
    for registry in registries(&actor, name)? {
        match registry.query(name).await {
            Ok(found) => {
                asked = true;
                merge(&mut all, found);
            }
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        Some(error) if !asked => Err(error),
        _ => Ok(all),
    }
}

/// Takes the running actor's entry out at every registrar, before its end does: nobody new finds it,
/// and those that are linked it goes on serving. Says whether it was registered anywhere.
///
/// # Errors
/// `Misuse` where no actor runs in this process.
///
/// # Cancel safety
/// The entries go when this is first polled, with what keeps them; dropped before it is done, it has not
/// heard whether each registrar knows yet.
pub async fn unregister() -> Result<bool> {
    let actor = running("taking this actor's name back")?;
    Ok(keeping::unregister(&actor).await)
}

fn registries(actor: &Arc<Actor>, name: &str) -> Result<Vec<Registry>> {
    let known = actor.discovery().known();
    if known.is_empty() {
        return Err(Error::misuse(format!(
            "looking for actor `{name}` from actor {}, which is linked with nobody of that name and \
             knows no registrar; open the root with `Options::registry`",
            actor.id()
        )));
    }
    Ok(known.into_iter().map(Registry::of).collect())
}

/// A new link with an actor that is registered somewhere, where one can be had.
pub(crate) async fn dial_again(actor: &Arc<Actor>, id: &ActorId) -> Option<Arc<Peer>> {
    for registry in actor.discovery().known().into_iter().map(Registry::of) {
        let found = registry.query(&id.name).await.unwrap_or_default();
        for one in found.into_iter().filter(|one| one.id == *id) {
            for address in &one.addresses {
                if let Ok(peer) = actor.dial(address, Some(id.uuid)).await {
                    return Some(peer);
                }
            }
        }
    }
    None
}

/// A portal to the first of them that can be reached; of the others the registrar is told.
async fn first_reached(
    actor: &Arc<Actor>,
    registry: &Registry,
    found: Vec<Registered>,
) -> Option<Portal> {
    for one in found.into_iter().filter(|one| one.id != *actor.id()) {
        if let Some(portal) = actor.peers().portal_to(one.id.uuid) {
            return Some(portal);
        }
        for address in &one.addresses {
            match actor.reach(address, Some(one.id.uuid)).await {
                Ok(portal) => return Some(portal),
                Err(error) => {
                    tracing::debug!(
                        target: "hatchery::discovery",
                        actor = %one.id, %address, %error,
                        "could not be reached"
                    );
                    if let Err(error) = registry.unreachable(one.id.uuid, address).await {
                        tracing::debug!(
                            target: "hatchery::discovery",
                            %error,
                            "a registrar could not be told of it"
                        );
                    }
                }
            }
        }
    }
    None
}
