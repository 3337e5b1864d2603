//! A child that is started before anybody knows what it is to be (P-L7): told later, and started again
//! where it did not live to hear it.

use std::sync::Arc;
use std::time::Duration;

use hatchery_proto::nursery::ladder::{End, Ladder, Policy};
use hatchery_proto::{ActorId, Misuse};

use super::{Birth, Child, State};
use crate::actor::Actor;
use crate::driver::link::lock;
use crate::driver::process::SpawnRequest;
use crate::trace::Trace;

/// What a child is called that is nothing yet.
pub(crate) const NAME: &str = "waiting";

impl Child {
    /// One that is to wait, and how its process is started.
    pub(crate) fn waiting(actor: &Arc<Actor>) -> (Arc<Self>, SpawnRequest) {
        let child = Self::new(actor, NAME, None, Policy::default().connect);
        (child, SpawnRequest::plain(NAME, actor.tree()))
    }

    /// Waits until it waits itself; says whether it came to that.
    pub(crate) async fn greeted(&self) -> bool {
        let look = |state: &State| (state.greeted || state.end.is_some()).then_some(state.greeted);
        self.wait(look).await
    }

    /// Makes it the actor of that name; says whether it can be one. [`tell`](Self::tell) has it hear.
    pub(crate) fn assign(&self, name: &str, birth: &Arc<Birth>, connect: Duration) -> bool {
        self.fact(|state, now| {
            let can = state.end.is_none() && state.ladder.state().takes_orders();
            if !can || self.birth.set(birth.clone()).is_err() {
                return false;
            }
            state.id.name = name.to_owned();
            state.connect = connect;
            state.waited = true;
            state.ladder.begin_within(now, connect);
            true
        })
    }

    /// Tells it what it is, once that is known and there is a link to say it on; once.
    pub(crate) fn tell(&self) -> Result<(), Misuse> {
        let (birth, link, name) = {
            let mut state = lock(&self.state);
            let (Some(birth), Some(link)) = (self.birth.get(), &state.link) else { return Ok(()) };
            let due = (birth.clone(), link.clone(), state.id.name.clone());
            if std::mem::replace(&mut state.told, true) {
                return Ok(());
            }
            // It is called so already, unless it has waited, or came by a launcher.
            if state.waited || state.launched { due } else { (due.0, due.1, String::new()) }
        };
        let trace = birth.trace.as_ref().map(Trace::as_bytes);
        link.with(|connection, now| connection.start_actor_as(now, &name, &birth.spec, trace))?;
        self.fact(|state, now| {
            if state.greeted {
                state.ladder.handle_start_written(now);
            }
        });
        Ok(())
    }

    /// The same to one that has waited. Where that cannot be it is of no use, and is started again.
    pub(crate) fn tell_or_end(&self) {
        if let Err(misuse) = self.tell() {
            let name = self.id().name;
            tracing::debug!(
                target: "hatchery::runtime",
                actor = name, %misuse,
                "a child that has waited cannot be told"
            );
            self.fact(|state, now| state.ladder.cancel(now, Duration::ZERO));
        }
    }

    /// Whether it ended before it was what it was taken for: no fault of whoever took it.
    pub(super) fn has_waited_in_vain(&self, end: &End) -> bool {
        let state = lock(&self.state);
        let gone = end.status.is_some() || !end.spawned;
        // What it says, it says before anything of the user's runs in it.
        let silent = !state.up && state.outcome.is_none();
        state.waited && gone && silent && state.asked.is_none()
    }

    /// Makes it one that is about to be started, for what it is to be. Nothing where somebody has asked
    /// for its end meanwhile.
    pub(super) fn start_again(&self) -> Option<SpawnRequest> {
        self.fact(|state, now| {
            if state.asked.is_some() {
                return None;
            }
            let name = state.id.name.clone();
            state.ladder = Ladder::new(now, Policy { connect: state.connect, ..Policy::default() });
            state.id = ActorId { name: name.clone(), uuid: 0, pid: 0 };
            state.link = None;
            (state.greeted, state.told, state.waited) = (false, false, false);
            state.broken = None;
            (state.wish, state.deferred, state.asking) = (None, None, None);
            tracing::debug!(
                target: "hatchery::runtime",
                actor = name,
                "the child that was taken had ended: it is started anew"
            );
            Some(SpawnRequest::plain(&name, self.actor.tree()))
        })
    }
}
