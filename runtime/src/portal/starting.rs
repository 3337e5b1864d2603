//! What is said to have a task started by the peer of a link, whoever holds that.

use std::sync::Arc;

use hatchery_proto::{ActorId, DialogId, Kind, Misuse, Outcome, StartWish};

use crate::actor::Actor;
use crate::codec::{Codec as _, Encoded, Postcard};
use crate::context;
use crate::dialog::{Asked, Dialog, Side};
use crate::driver::clock;
use crate::driver::link::{Leaves, Link, Name};
use crate::endpoint::{Endpoint, ErrorOf, ValueOf};
use crate::trace::Trace;

/// Makes a call on a link, as [`start_on`] does.
pub(crate) async fn ask_on(
    link: &Arc<Link>,
    actor: &Actor,
    wish: &StartWish<'_>,
    name: Name,
    args: Encoded,
) -> Result<Asked, Misuse> {
    let id = start_on(link, actor, wish, &args).await?;
    Ok(Asked::new(link.clone(), id, name))
}

/// Waits for what a call comes to.
pub(crate) async fn answer<E: Endpoint>(
    asked: &mut Asked,
    peer: impl FnOnce() -> ActorId,
) -> Result<ValueOf<E>, ErrorOf<E>> {
    match asked.outcome().await {
        Outcome::Returned(bytes) => {
            let value = context::returned::<E>(&bytes, asked.passed());
            asked.recycle(bytes);
            value
        }
        other => Err(context::failure::<E>(&other, &peer())),
    }
}

/// Opens a dialog on a link, as [`start_on`] does.
pub(crate) async fn open_on(
    link: &Arc<Link>,
    actor: &Actor,
    peer: ActorId,
    wish: &StartWish<'_>,
    args: &Encoded,
) -> Result<Arc<Dialog>, Misuse> {
    let id = start_on(link, actor, wish, args).await?;
    Ok(Dialog::new(link.clone(), id, Side::Opener, wish.endpoint.into(), peer))
}

/// Has a task started by the peer of a link, with what is left of the time of whoever asks, and its
/// trace; waits for a free slot where the peer has as many as it takes (P-W5).
pub(super) async fn start_on(
    link: &Arc<Link>,
    actor: &Actor,
    wish: &StartWish<'_>,
    args: &Encoded,
) -> Result<DialogId, Misuse> {
    let started = link.slots().until(|| match start_now(link, actor, wish, args) {
        Err(Misuse::TooManyDialogs { .. }) => None,
        decided => Some(decided),
    });
    started.await
}

/// The same where it need not wait.
pub(super) fn start_now(
    link: &Arc<Link>,
    actor: &Actor,
    wish: &StartWish<'_>,
    args: &Encoded,
) -> Result<DialogId, Misuse> {
    let deadline = actor.time_left();
    let trace = Trace::carried();
    // Whoever opens a stream goes on with something else; the others wait for an answer.
    let leaves = if wish.kind == Kind::Stream { Leaves::Now } else { Leaves::Soon };
    link.say(leaves, args.len(), |connection| {
        let trace = trace.as_ref().map(Trace::as_bytes);
        let wish = StartWish { deadline, trace, ..*wish };
        connection.start_passing(clock::lately(), wish, args, args.passed().clone())
    })
}

/// The wish to open an endpoint of this program.
pub(crate) fn wish_of<E: Endpoint>(kind: Kind) -> StartWish<'static> {
    StartWish { codec: E::Codec::NUMBER, ..wish(E::NAME, E::SCHEMA, kind) }
}

/// The wish to open an endpoint in postcard.
pub(super) fn wish(endpoint: &str, schema: u64, kind: Kind) -> StartWish<'_> {
    StartWish { endpoint, kind, schema, codec: Postcard::NUMBER, deadline: None, trace: None }
}
