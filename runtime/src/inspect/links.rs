//! The links of this actor as one look finds them.

use std::collections::BTreeMap;
use std::fmt;

use hatchery_proto::connection::DialogLook;
use hatchery_proto::dialog::tables::{Cancel, Life};
use hatchery_proto::{DialogId, LinkKind};

use crate::actor::Actor;
use crate::driver::link::Named;
use crate::driver::link::roll::{self, Core, ServedTask};
use crate::driver::patience::Patience;

/// A link, and what could be seen of it in time.
pub(super) struct LinkLook {
    pub(super) core: Option<Core>,
    named: Option<BTreeMap<DialogId, Named>>,
    served: Option<Vec<ServedTask>>,
}

/// All links; `Err` says why not.
pub(super) type Links = Result<Vec<LinkLook>, &'static str>;

/// All links of this process.
pub(super) fn all(patience: Patience) -> Links {
    let links = roll::links(patience).ok_or("a thread holds the list of links")?;
    let look = |link: &std::sync::Arc<crate::driver::link::Link>| LinkLook {
        core: link.core(patience),
        named: link.named(patience).map(|named| named.into_iter().collect()),
        served: link.served(patience),
    };
    Ok(links.iter().map(look).collect())
}

impl LinkLook {
    /// Whom it leads to.
    pub(super) fn peer(&self) -> String {
        let Some(core) = &self.core else { return "somebody".to_owned() };
        let me = Actor::running_by(Patience::AT_ONCE).flatten();
        match (&core.peer, core.kind) {
            (None, LinkKind::Parent) => "a child that has not greeted".to_owned(),
            (None, LinkKind::Child) => "the parent, which has not greeted".to_owned(),
            (None, LinkKind::Peer) => "a peer that has not greeted".to_owned(),
            (Some(peer), LinkKind::Parent) => format!("the child {}", Shown(peer)),
            (Some(peer), LinkKind::Child) => format!("the parent {}", Shown(peer)),
            (Some(peer), LinkKind::Peer) if me.is_some_and(|me| me.id() == peer) => {
                "this actor itself".to_owned()
            }
            (Some(peer), LinkKind::Peer) => format!("the peer {}", Shown(peer)),
        }
    }

    /// What could not be seen, as a line each.
    pub(super) fn missing(&self) -> impl Iterator<Item = &'static str> {
        let core = self.core.is_none().then_some("its state: a thread is in it");
        let named = self.named.is_none().then_some("the names of its dialogs: a thread is at them");
        let served = self.served.is_none().then_some("what is served: a thread is at it");
        [core, named, served].into_iter().flatten()
    }

    /// What a dialog is called.
    pub(super) fn name(&self, id: DialogId) -> Option<String> {
        let named = self.named.as_ref().and_then(|named| named.get(&id));
        let served = || self.served().iter().find(|task| task.dialog == id);
        match named {
            Some(named) => Some(named.name.to_string()),
            None => served().map(|task| task.endpoint.to_owned()),
        }
    }

    pub(super) fn named(&self) -> impl Iterator<Item = (DialogId, &Named)> {
        self.named.iter().flatten().map(|(id, named)| (*id, named))
    }

    pub(super) fn served(&self) -> &[ServedTask] {
        self.served.as_deref().unwrap_or_default()
    }

    pub(super) fn dialog(&self, id: DialogId) -> Option<&DialogLook> {
        self.core.as_ref()?.dialogs.iter().find(|dialog| dialog.id == id)
    }
}

/// Where a dialog stands.
pub(super) fn phase(dialog: &DialogLook) -> &'static str {
    match (dialog.life, dialog.cancel, dialog.opened_here) {
        (Life::Done, ..) => "over",
        (_, Cancel::Asked, true) => "asked to end, not yet heard",
        (_, Cancel::Asked, false) => "asked to end",
        (_, Cancel::Acked, _) => "being cancelled",
        (Life::Opening, ..) => "asked for",
        (Life::Accepted, ..) => "running",
        (Life::Live, ..) => "started",
    }
}

/// A name or an actor that somebody else has said: without what a terminal would take for an order.
pub(super) struct Shown<T>(pub(super) T);

impl<T: fmt::Display> fmt::Display for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        for one in self.0.to_string().chars() {
            match one.is_control() {
                true => write!(f, "{}", one.escape_default())?,
                false => f.write_char(one)?,
            }
        }
        Ok(())
    }
}
