//! Looks at children for whoever shows the tree: none waits for a lock longer than it is told to, and
//! nothing here changes anything.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};

use hatchery_proto::ActorId;
use hatchery_proto::nursery::ladder;

use super::{Child, State};
use crate::driver::link::{Link, lock};
use crate::driver::patience::Patience;

/// The children of an actor that somebody sees to, whatever has become of their nurseries; by where they
/// are in memory.
#[derive(Default)]
pub(crate) struct Brood(Mutex<BTreeMap<usize, Weak<Child>>>);

/// What is known of a child.
pub(crate) struct ChildLook {
    pub(crate) id: ActorId,
    /// The endpoint that is its whole life.
    pub(crate) main: Option<&'static str>,
    /// Where it stands, in words.
    pub(crate) state: &'static str,
    pub(crate) link: Option<Arc<Link>>,
    /// Whether it can be asked for something.
    pub(crate) up: bool,
    /// Whether its process is a launcher's.
    pub(crate) launched: bool,
}

fn place(child: *const Child) -> usize {
    child.addr()
}

impl Brood {
    pub(super) fn enter(&self, child: &Arc<Child>) {
        lock(&self.0).insert(place(Arc::as_ptr(child)), Arc::downgrade(child));
    }

    /// Those that have not ended; nothing where they cannot be told in time.
    pub(crate) fn all(&self, patience: Patience) -> Option<Vec<Arc<Child>>> {
        Some(patience.lock(&self.0)?.values().filter_map(Weak::upgrade).collect())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        lock(&self.actor.brood().0).remove(&place(self));
    }
}

impl Child {
    /// What is known of it; nothing where that cannot be told in time, or it has ended.
    pub(crate) fn look(&self, patience: Patience) -> Option<ChildLook> {
        let state = patience.lock(&self.state)?;
        if state.end.is_some() {
            return None;
        }
        Some(ChildLook {
            id: state.id.clone(),
            main: self.main(),
            state: stands(&state),
            link: state.link.clone(),
            up: state.up,
            launched: state.launched,
        })
    }
}

/// Where a child stands, as its ladder has it.
fn stands(state: &State) -> &'static str {
    match state.ladder.state() {
        ladder::State::Spawning => "its process is being started",
        ladder::State::Withdrawing => "its start is being taken back",
        ladder::State::Connecting => "starting",
        ladder::State::Waiting => "waits to be an actor",
        ladder::State::Starting => "told what it is, not yet up",
        ladder::State::Running if state.wish.is_some() => "up, to be asked to end in its turn",
        ladder::State::Running => "up",
        ladder::State::Leaving => "leaving",
        ladder::State::Cancelling => "asked to end",
        ladder::State::Terminating => "sent SIGTERM",
        ladder::State::Killing => "sent SIGKILL",
        ladder::State::Unkillable => "outlives SIGKILL",
        ladder::State::Reaped => "ended",
    }
}
