//! Children that are kept waiting in a nursery, so that an actor is started by telling one of them what
//! it is.
//!
//! How many, and when another is started, is the core's business; here is which they are.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use hatchery_proto::Instant;
use hatchery_proto::nursery::waiting::Waiting;
use hatchery_proto::nursery::{MemberId, MemberKind};

use super::{Inner, Member, Nursery};
use crate::driver::link::lock;
use crate::driver::{clock, entry};
use crate::error::{Error, Result};
use crate::supervisor::{Birth, Child, ChildEnd};
use crate::wait;

/// Those that wait, oldest first, and those that are about to.
#[derive(Default)]
pub(super) struct Queue {
    core: Waiting,
    places: VecDeque<Place>,
    /// What the last one has died of that was started in vain.
    error: Option<Error>,
}

struct Place {
    id: MemberId,
    child: Arc<Child>,
    greeted: Option<Instant>,
}

impl Queue {
    fn leave(&mut self, id: MemberId) -> Option<Place> {
        let at = self.places.iter().position(|place| place.id == id)?;
        self.places.remove(at)
    }

    /// Takes those out that are not wanted any more.
    fn surplus(&mut self) -> Vec<Arc<Child>> {
        let mut out = Vec::new();
        while self.core.surplus() > 0
            && let Some(place) = self.places.pop_back()
        {
            self.core.handle_gone(place.greeted.is_some());
            out.push(place.child);
        }
        out
    }

    /// The one that has waited longest, or will be the first to.
    fn first(&mut self) -> Option<Place> {
        let ready = self.places.iter().position(|place| place.greeted.is_some());
        let place = self.places.remove(ready.unwrap_or(0))?;
        self.core.handle_gone(place.greeted.is_some());
        Some(place)
    }
}

impl Inner {
    /// Makes a child that waits the actor of that name; nothing where there is none.
    pub(super) fn take_waiting(
        &self,
        name: &str,
        birth: &Arc<Birth>,
        connect: Duration,
    ) -> Option<Arc<Child>> {
        if self.is_cancelled() {
            return None;
        }
        let child = {
            let mut state = lock(&self.state);
            loop {
                let Place { id, child, .. } = state.waiting.first()?;
                state.core.take(id, birth.main.is_none()).ok()?;
                state.members.insert(id, Member::Actor(child.clone()));
                // One that is dying ends as an actor that never was.
                if child.assign(name, birth, connect) {
                    break child;
                }
            }
        };
        child.tell_or_end();
        Some(child)
    }

    /// Whether a cancel from around has come.
    fn is_cancelled(&self) -> bool {
        self.actor.scopes(|scopes| scopes.cancelled(self.scope).is_some())
    }

    /// Starts another child where one is wanted; `lived` is that an actor has come up meanwhile.
    pub(super) fn refill(self: &Arc<Self>, lived: bool) {
        if !lock(&self.state).waiting.core.is_used() || self.is_cancelled() {
            return;
        }
        let (id, child, request) = {
            let mut state = lock(&self.state);
            if lived {
                state.waiting.core.handle_lived();
            }
            if !state.waiting.core.wants_another(clock::now()) {
                return;
            }
            let Ok(id) = state.core.add(MemberKind::Waiting) else { return };
            let (child, request) = Child::waiting(&self.actor);
            state.waiting.core.handle_begun();
            state.waiting.places.push_back(Place { id, child: child.clone(), greeted: None });
            state.members.insert(id, Member::Waiting(child.clone()));
            (id, child, request)
        };
        self.actor.scopes(|scopes| scopes.set_holding(self.scope, true));
        self.attend(id, child.clone(), request);
        let inner = self.clone();
        let greeted = async move {
            if child.greeted().await {
                inner.waits(id);
            }
        };
        self.actor.spawn(greeted).detach();
    }

    /// One waits now, unless it was taken before.
    fn waits(self: &Arc<Self>, id: MemberId) {
        {
            let waiting = &mut lock(&self.state).waiting;
            let place = waiting.places.iter_mut().find(|place| place.id == id);
            let Some(place) = place.filter(|place| place.greeted.is_none()) else { return };
            place.greeted = Some(clock::now());
            waiting.core.handle_greeted();
        }
        self.changed.notify(usize::MAX);
        self.refill(false);
    }

    /// A child has ended: one that has waited in vain is replaced.
    pub(super) fn waiting_ended(self: &Arc<Self>, id: MemberId, end: &ChildEnd) {
        let resume = {
            let waiting = &mut lock(&self.state).waiting;
            let Some(place) = waiting.leave(id) else { return };
            waiting.core.handle_died(clock::now(), place.greeted);
            let given_up = waiting.core.has_given_up();
            tracing::warn!(
                target: "hatchery::runtime",
                exit = %end.exit, given_up,
                "a child has died that was to wait"
            );
            waiting.error.clone_from(&end.spawn_error);
            waiting.core.poll_timeout()
        };
        self.changed.notify(usize::MAX);
        let Some(resume) = resume else { return };
        let inner = Arc::downgrade(self);
        let pause = async move {
            clock::due(Some(resume)).await;
            // Whatever has become of the block meanwhile.
            if let Some(inner) = inner.upgrade() {
                inner.refill(false);
            }
        };
        self.actor.spawn(pause).detach();
    }

    /// Ends the children that wait: the block does, and takes none of them any more.
    pub(super) fn end_waiting(&self) {
        let children: Vec<_> = {
            let mut state = lock(&self.state);
            state.waiting = Queue::default();
            let waiting = state.members.values().filter_map(|member| match member {
                Member::Waiting(child) => Some(child.clone()),
                _ => None,
            });
            waiting.collect()
        };
        self.end(&children);
    }

    fn end(&self, children: &[Arc<Child>]) {
        let (by, budget) = self.orders();
        for child in children {
            // Nothing runs in it that could be asked: it is ended at once.
            child.cancel(by.clone(), budget);
        }
    }

    /// Whether children may wait in this block, or why not.
    fn keeps_waiting(&self) -> Result<()> {
        let by = self.actor.scopes(|scopes| scopes.cancelled(self.scope).map(|s| s.by.clone()));
        match by {
            Some(by) => Err(Error::cancelled_by(by)),
            None if lock(&self.state).core.keeps_waiting() => Ok(()),
            None => Err(Error::misuse(
                "keeping children waiting: their nursery has ended or is being cancelled",
            )),
        }
    }
}

impl Nursery {
    /// Keeps so many processes of this program waiting, from which actors are started in a fraction of
    /// the time: one is up, and only has to be told what it is. Returns at once; the processes are
    /// started in the background, one after another. None by default; 0 ends those that wait.
    ///
    /// A start takes one that waits where it asks for nothing that is fixed when a process is started:
    /// no [`program`](crate::ActorBuilder::program), [`arg`](crate::ActorBuilder::arg),
    /// [`env`](crate::ActorBuilder::env), [`current_dir`](crate::ActorBuilder::current_dir) or
    /// [`inherit_stdin`](crate::ActorBuilder::inherit_stdin). Any other, and any for which none waits, starts
    /// a process as if this had not been called; and so does one whose process has died of waiting.
    /// What was taken is replaced once the start is over.
    ///
    /// Such an actor differs from others in this: what a process inherits (environment, working
    /// directory, standard output and error, limits of the system) is what this process had when that
    /// one was started, and its argument 0 and `HATCHERY_NAME` say `waiting`. Its name, in reports, logs
    /// and as the name of its process, is the one that it is given.
    ///
    /// A process that waits costs what an idle actor does. It is no actor of this nursery yet: neither
    /// [`cancel`](Self::cancel) nor its own death concerns anybody. It is ended by force, since nothing
    /// runs in it, when the block ends, and reaped before the block has. One that dies is replaced, after
    /// pauses of 50 ms and twice as long each time; after six deaths in a row none is any more, until an
    /// actor has come up or this is called again.
    ///
    /// # Errors
    /// `Misuse` where the nursery has ended or is being cancelled, or this program's `main` did not go
    /// through [`init`](crate::init); `Cancelled` where the block was cancelled from around.
    pub fn warm(&self, count: usize) -> Result<()> {
        if !entry::entry_was_called() {
            return Err(Error::misuse(
                "keeping children waiting: this program would run its `main` again, since that did \
                 not begin with `hatchery::init()`; call it first thing in `main`, or use \
                 `#[hatchery::main]` (in tests: `#[hatchery::test]`)",
            ));
        }
        self.inner.keeps_waiting()?;
        let surplus = {
            let waiting = &mut lock(&self.inner.state).waiting;
            waiting.core.want(count);
            waiting.error = None;
            waiting.surplus()
        };
        self.inner.end(&surplus);
        self.inner.changed.notify(usize::MAX);
        self.inner.refill(false);
        Ok(())
    }

    /// Waits until as many processes wait as [`warm`](Self::warm) has asked for; at once where none are.
    ///
    /// # Errors
    /// `Spawn`, with how the last of them has died, where none is started any more; else as
    /// [`warm`](Self::warm) once the block ends.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn warmed(&self) -> Result<()> {
        let inner = &self.inner;
        wait::until(&inner.changed, || {
            if let Err(error) = inner.keeps_waiting() {
                return Some(Err(error));
            }
            let waiting = &lock(&inner.state).waiting;
            if waiting.core.is_full() {
                return Some(Ok(()));
            }
            let error = waiting.error.clone().filter(|_| waiting.core.has_given_up());
            error.map(Err)
        })
        .await
    }
}
