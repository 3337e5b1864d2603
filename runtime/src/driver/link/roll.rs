//! The links of this process, and what can be seen of each, for whoever looks into one that hangs.
//! Waits for nobody longer than it is told to: what hangs may hold a lock. Changes nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};

use hatchery_proto::actor::scopes::ScopeId;
use hatchery_proto::connection::DialogLook;
use hatchery_proto::{ActorId, DialogId, LinkKind, Standing};

use super::dialogs::Named;
use super::{Link, lock};
use crate::driver::patience::Patience;

/// By where they are in memory, which is no other's while they are there.
static LINKS: Mutex<BTreeMap<usize, Weak<Link>>> = Mutex::new(BTreeMap::new());

fn place(link: *const Link) -> usize {
    link.addr()
}

pub(super) fn enter(link: &Arc<Link>) {
    lock(&LINKS).insert(place(Arc::as_ptr(link)), Arc::downgrade(link));
}

impl Drop for Link {
    fn drop(&mut self) {
        lock(&LINKS).remove(&place(self));
    }
}

/// Every link of this process; nothing where one is being opened or dropped all the while.
pub(crate) fn links(patience: Patience) -> Option<Vec<Arc<Link>>> {
    // Those that are let go of here are dropped when nobody holds the lock any more.
    let links = patience.lock(&LINKS)?.values().filter_map(Weak::upgrade).collect();
    Some(links)
}

/// A line for each link that is open: the last frames, oldest first.
#[cfg(feature = "test-support")]
pub(crate) fn last_steps() -> Vec<String> {
    let at_once = Patience::AT_ONCE;
    let Some(links) = links(at_once) else { return vec!["a link is being opened".to_owned()] };
    let line = |link: Arc<Link>| match link.core(at_once) {
        Some(core) => {
            let peer = core.peer.map_or("a peer unknown".to_owned(), |peer| peer.to_string());
            format!("link to {peer}: {}", core.steps.join(", "))
        }
        None => "a link that is in use".to_owned(),
    };
    links.into_iter().map(line).collect()
}

/// What a peer has asked for and is served now: in which scope, and by what endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServedTask {
    pub(crate) dialog: DialogId,
    pub(crate) scope: ScopeId,
    pub(crate) endpoint: &'static str,
}

/// What the core of a link has to show.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) kind: LinkKind,
    pub(crate) peer: Option<ActorId>,
    pub(crate) standing: Standing,
    /// Bytes that are held for the peer.
    pub(crate) held: usize,
    pub(crate) dialogs: Vec<DialogLook>,
    /// The last frames, oldest first.
    pub(crate) steps: Vec<String>,
}

impl Link {
    /// What its core has to show; nothing where somebody is at it all the while.
    pub(crate) fn core(&self, patience: Patience) -> Option<Core> {
        let connection = patience.lock(&self.connection)?;
        Some(Core {
            kind: connection.kind(),
            peer: connection.peer().cloned(),
            standing: connection.standing(),
            held: connection.held(),
            dialogs: connection.dialogs().collect(),
            steps: connection.recent().map(ToString::to_string).collect(),
        })
    }

    /// What the dialogs are called that somebody here waits for, and which scope has opened each.
    pub(crate) fn named(&self, patience: Patience) -> Option<Vec<(DialogId, Named)>> {
        let dialogs = patience.lock(&self.dialogs)?;
        Some(dialogs.named())
    }

    /// What is served on it.
    pub(crate) fn served(&self, patience: Patience) -> Option<Vec<ServedTask>> {
        self.handler.serves(patience)
    }
}
