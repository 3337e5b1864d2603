//! Who is to be woken by what happens to a dialog, and what reports call it.
//!
//! Knows no state of a dialog. Keeps signals for the next calls, and room for events, so that a call
//! costs no allocation of either.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use event_listener::Event as Signal;
use hatchery_proto::actor::scopes::ScopeId;
use hatchery_proto::dialog::STARTED;
use hatchery_proto::{Connection, DialogId, Event};

use super::{Link, lock};

/// So many signals are kept, and room for so many events.
const SPARE: usize = 256;

/// What reports call a dialog.
#[derive(Clone, Debug)]
pub(crate) enum Name {
    /// Of a call, of which only the end is waited for.
    Call(Cow<'static, str>),
    Other(Arc<str>),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Call(name) => name,
            Self::Other(name) => name,
        })
    }
}

/// What is known here of a dialog that somebody waits for.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) name: Name,
    /// The scope that has opened it, of one that was opened in a scope of this actor.
    pub(crate) by: Option<ScopeId>,
}

/// The dialogs of a link that somebody waits for.
#[derive(Debug, Default)]
pub(super) struct Dialogs {
    named: BTreeMap<DialogId, (Arc<Signal>, Named)>,
    spare: Vec<Arc<Signal>>,
}

impl Dialogs {
    pub(super) fn named(&self) -> Vec<(DialogId, Named)> {
        self.named.iter().map(|(id, (_, named))| (*id, named.clone())).collect()
    }
}

impl Link {
    /// The signal that fires at every event of this dialog, until [`Link::forget`]. The name is
    /// what reports call it, and `by` who has opened it here.
    pub(crate) fn signal(&self, dialog: DialogId, name: Name, by: Option<ScopeId>) -> Arc<Signal> {
        let Dialogs { named, spare } = &mut *lock(&self.dialogs);
        let signal = || (spare.pop().unwrap_or_default(), Named { name, by });
        named.entry(dialog).or_insert_with(signal).0.clone()
    }

    /// Wakes whoever waits for something of this dialog. That a call has begun is nothing to wait for.
    pub(super) fn notify(&self, dialog: DialogId, event: &Event) {
        let begun = matches!(event, Event::Accepted(_));
        let signal = match lock(&self.dialogs).named.get(&dialog) {
            Some((_, Named { name: Name::Call(_), .. })) | None if begun => return,
            Some((signal, _)) => signal.clone(),
            None => return,
        };
        signal.notify(usize::MAX);
    }

    /// The dialog's handles are gone.
    pub(crate) fn forget(&self, dialog: DialogId) {
        lock(&self.dialogs).named.remove(&dialog);
    }

    /// The handle of a call is gone, which alone has waited for this signal.
    pub(crate) fn forget_call(&self, dialog: DialogId, signal: &Arc<Signal>) {
        let Dialogs { named, spare } = &mut *lock(&self.dialogs);
        named.remove(&dialog);
        if spare.len() < SPARE {
            spare.push(signal.clone());
        }
    }

    /// Takes back the buffer of something that was received.
    pub(crate) fn recycle(&self, buffer: Vec<u8>) {
        self.draw(|connection| connection.recycle(buffer));
    }

    /// What is under way on this link, in words; `own` is the endpoint that is the child's life.
    pub(crate) fn under_way(&self, own: Option<&str>) -> Vec<String> {
        let phases = self.look(Connection::under_way);
        let dialogs = lock(&self.dialogs);
        let names = &dialogs.named;
        let name = |(id, phase): (DialogId, &'static str)| match (names.get(&id), own) {
            (Some((_, named)), _) => Some(format!("`{}` ({phase})", named.name)),
            (None, Some(name)) if id.is_actor() => Some(format!("`{name}` ({phase})")),
            // A daemon that is up does nothing of its own.
            (None, None) if id.is_actor() && phase == STARTED => None,
            (None, None) if id.is_actor() => Some(format!("the start of the actor ({phase})")),
            (None, _) => Some(format!("{id} ({phase})")),
        };
        phases.into_iter().filter_map(name).collect()
    }
}

thread_local! {
    /// Room for the next events. Empty while some are handled: handling one may bring others.
    static ROOM: Cell<Vec<Event>> = const { Cell::new(Vec::new()) };
}

/// Events on their way from the core to whoever handles them.
#[derive(Debug, Default)]
pub(super) struct Events(Vec<Event>);

impl Events {
    pub(super) fn push(&mut self, event: Event) {
        if self.0.capacity() == 0 {
            self.0 = ROOM.try_with(Cell::take).unwrap_or_default();
        }
        self.0.push(event);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = Event> {
        self.0.drain(..)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let mut room = std::mem::take(&mut self.0);
        if (1..=SPARE).contains(&room.capacity()) {
            room.clear();
            let _ = ROOM.try_with(|kept| kept.set(room));
        }
    }
}
