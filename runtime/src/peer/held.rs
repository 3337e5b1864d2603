//! A portal's hold on a link with a peer: what was opened through it, and what letting go means.

use std::sync::{Arc, Mutex};

use hatchery_proto::actor::peers::{Gone, Stranger};
use hatchery_proto::{
    ActorId, CancelRequest, Cause, Connection, DialogId, ExitReport, GoodbyeReason, LostCause,
    Misuse, Outcome, Rung,
};

use super::{Peer, TOO_MANY};
use crate::actor::Actor;
use crate::context::{CancelStatus, by_us};
use crate::discovery;
use crate::driver::link::{Link, lock};
use crate::error::{Error, Result};
use crate::wait;

/// Dialogs are forgotten once they have ended, looked for whenever there are twice as many again.
const FEW: usize = 32;

/// One portal's, its clones included.
pub(crate) struct Held {
    actor: Arc<Actor>,
    id: ActorId,
    /// Another one once whoever has dialed this one has let go of it.
    peer: Mutex<Arc<Peer>>,
    opened: Mutex<Vec<(Arc<Link>, DialogId)>>,
}

impl Held {
    /// The portal for which the link was dialed.
    pub(crate) fn dialed(peer: Arc<Peer>) -> Self {
        let (actor, id) = (peer.actor.clone(), peer.id.clone());
        Self { actor, id, peer: Mutex::new(peer), opened: Mutex::default() }
    }

    /// One more, where the link takes any.
    pub(super) fn on(peer: Arc<Peer>) -> Option<Self> {
        let holds = peer.actor.peers().hold(peer.number);
        holds.then(|| Self::dialed(peer))
    }

    pub(crate) fn id(&self) -> &ActorId {
        &self.id
    }

    pub(crate) fn link(&self) -> Arc<Link> {
        self.peer().link.clone()
    }

    pub(crate) fn actor(&self) -> &Arc<Actor> {
        &self.actor
    }

    fn peer(&self) -> Arc<Peer> {
        lock(&self.peer).clone()
    }

    /// Takes another link in place of one that the peer has let go of while it lives on, and says whether
    /// there is one: nothing was sent on the old one that could be sent again (P-R9).
    pub(crate) async fn renew(&self) -> bool {
        let old = self.peer();
        let let_go = lock(&old.heard.state).farewell == Some(GoodbyeReason::LinkOnly);
        if !let_go {
            return false;
        }
        let linked = self.actor.peers().held_link(self.id.uuid);
        let new = match linked {
            Some(peer) => Some(peer),
            None => discovery::dial_again(&self.actor, &self.id).await,
        };
        let Some(new) = new else { return false };
        let old = std::mem::replace(&mut *lock(&self.peer), new);
        self.actor.peers().release(&old);
        true
    }

    pub(crate) fn opened(&self, link: &Arc<Link>, id: DialogId) {
        let mut opened = lock(&self.opened);
        opened.push((link.clone(), id));
        if opened.len() >= FEW && opened.len().is_power_of_two() {
            opened.retain(|(link, id)| is_running(link, *id));
        }
    }

    /// Why a dialog could not be opened.
    pub(crate) fn start_refused(&self, task: &str, misuse: &Misuse) -> Error {
        match misuse {
            Misuse::Closing | Misuse::LinkGone => {
                let heard = self.peer().heard.clone();
                let why = match &lock(&heard.state).farewell {
                    Some(GoodbyeReason::NotAllowed) => {
                        Some("it does not let this actor in as who it says it is (P-R8)")
                    }
                    Some(GoodbyeReason::Protocol(why)) if why == Stranger::TOO_MANY => {
                        Some(TOO_MANY)
                    }
                    _ => None,
                };
                if let Some(why) = why {
                    let id = self.id();
                    return Error::misuse(format!("running `{task}` on actor {id}: {why}"));
                }
                Error::from_outcome(&Outcome::Lost(LostCause::LinkEnded), self.id(), task)
            }
            other => Error::misuse(format!("running `{task}` on actor {}: {other}", self.id())),
        }
    }

    /// Asks the peer's actor to end, and waits for that (P-L2, P-C1).
    pub(crate) async fn cancel_actor(&self) -> Result<CancelStatus> {
        loop {
            let (peer, link) = (self.peer(), self.link());
            lock(&peer.heard.state).late = false;
            let grace = self.actor().settings().grace();
            let request = CancelRequest { by: by_us(Cause::Asked), grace };
            match link.with(|connection, now| connection.cancel_peer(now, request)) {
                Ok(()) => {}
                Err(Misuse::LinkGone | Misuse::Closing) if self.renew().await => continue,
                Err(Misuse::LinkGone | Misuse::Closing) => return Ok(CancelStatus::Gone),
                Err(misuse) => {
                    let id = self.id();
                    return Err(Error::misuse(format!("cancelling actor {id}: {misuse}")));
                }
            }
            let heard = &peer.heard;
            let status = wait::until(&heard.changed, || {
                let acked = link.look(Connection::peer_cancelled) == Some(true);
                let state = lock(&heard.state);
                match &state.farewell {
                    Some(GoodbyeReason::Leaving) => Some(CancelStatus::Done),
                    Some(GoodbyeReason::NotAllowed) => Some(CancelStatus::NotAllowed),
                    _ if state.closed && acked => Some(CancelStatus::Done),
                    _ if state.closed => Some(CancelStatus::Gone),
                    _ if state.late => Some(CancelStatus::TimedOut),
                    _ => None,
                }
            })
            .await;
            // The link has gone before it was heard there, and the actor has not.
            if status == CancelStatus::Gone && self.renew().await {
                continue;
            }
            return Ok(status);
        }
    }

    /// Waits until the last link with the peer is gone.
    pub(crate) async fn ended(&self) -> ExitReport {
        let status = match self.actor().peers().left(self.id().uuid).await {
            Gone::Died(status) => status,
            Gone::Unlinked | Gone::Left | Gone::Lost(_) => None,
        };
        let mut report = ExitReport::new(self.id().clone(), status, Rung::Unasked);
        report.link_lost = true;
        report
    }

    /// Ends what was opened through this portal, on whatever link, and waits for that.
    pub(crate) async fn close(&self) {
        let grace = self.actor().settings().grace();
        let opened = std::mem::take(&mut *lock(&self.opened));
        for (link, id) in &opened {
            let request = CancelRequest { by: by_us(Cause::Asked), grace };
            link.with(|connection, now| {
                if let Some(mut caller) = connection.caller(*id) {
                    caller.cancel(now, request);
                }
            });
        }
        for (link, id) in &opened {
            link.ended().until(|| (!is_running(link, *id)).then_some(())).await;
        }
    }
}

/// Whether this actor still waits for what a dialog comes to.
fn is_running(link: &Link, id: DialogId) -> bool {
    link.look(|connection| connection.under_way().iter().any(|(known, _)| *known == id))
}

impl Drop for Held {
    fn drop(&mut self) {
        self.actor.peers().release(&self.peer());
    }
}
