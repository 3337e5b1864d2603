//! How the thread that looks after a child reaches the actor in it. It may block, and is not the
//! actor's own: what is asked of the actor here is safe from any thread.

use std::time::Duration;

use hatchery_proto::{Cancelled, Cause};

use crate::actor::Actor;
use crate::driver::watch::{Hearing, SIGTERM, Ward};
use crate::hooks;

/// The actor that this process is, once it is one.
pub(crate) struct OwnActor;

impl OwnActor {
    /// Ends the running actor, which was not heard of, within `grace`.
    fn cancel(grace: impl FnOnce(&Actor) -> Duration) {
        if let Some(actor) = Actor::running() {
            let cause = Cause::Signal(SIGTERM);
            let grace = grace(&actor);
            actor.cancel(Cancelled { canceller: actor.id().clone(), cause }, grace);
        }
    }
}

impl Ward for OwnActor {
    fn is_ending(&self) -> bool {
        Actor::running().is_some_and(|actor| actor.is_set_up() && actor.asked().is_some())
    }

    fn probe(&self, hearing: Hearing) {
        // One that is not yet up, or no longer there, hears nothing.
        let Some(actor) = Actor::running().filter(|actor| actor.is_set_up()) else { return };
        let asked = actor.clone();
        actor
            .spawn(async move {
                hearing.heard();
                asked.until_asked().await;
                hearing.asked();
            })
            .detach();
    }

    fn cancel_itself(&self) {
        Self::cancel(|actor| actor.settings().grace());
    }

    fn rush(&self) {
        Self::cancel(|_| Duration::ZERO);
    }

    fn run_hooks(&self) {
        for error in hooks::run() {
            tracing::error!(target: "hatchery::runtime", %error, "an exit hook failed");
        }
    }
}
