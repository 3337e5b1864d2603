//! Who is to be woken by what happens to a dialog, and what reports call it.
//!
//! Knows no state of a dialog. Keeps room for events, so that a call costs no allocation.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::task::Waker;

use event_listener::Event as Signal;
use hatchery_proto::actor::scopes::ScopeId;
use hatchery_proto::dialog::STARTED;
use hatchery_proto::{Connection, DialogId, Event};

use super::{Link, Numbered, lock};

/// Room is kept for so many events.
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

/// Who waits for something of a dialog.
#[derive(Clone, Debug)]
pub(super) enum Waiting {
    /// The handle of a call, for its end.
    Call(Waker),
    /// Handles of any other, for whatever comes next.
    Any(Arc<Signal>),
}

impl Waiting {
    pub(super) fn wake(self) {
        match self {
            Self::Call(waker) => waker.wake(),
            Self::Any(signal) => {
                signal.notify(usize::MAX);
            }
        }
    }
}

/// The dialogs of a link that somebody waits for.
#[derive(Debug, Default)]
pub(super) struct Dialogs(Numbered<DialogId, (Waiting, Named)>);

impl Dialogs {
    pub(super) fn named(&self) -> Vec<(DialogId, Named)> {
        self.0.iter().map(|(id, (_, named))| (id, named.clone())).collect()
    }

    /// Whom an event is to wake. Of a call that is its end, with which nobody waits any more.
    fn waiting(&mut self, id: DialogId, event: &Event) -> Waits {
        match self.0.get(id) {
            None => Waits::Nobody,
            Some((Waiting::Any(signal), _)) => Waits::For(Waiting::Any(signal.clone())),
            Some((Waiting::Call(_), _)) => match event {
                Event::Finished(_) => {
                    self.0.remove(id).map_or(Waits::Nobody, |(waiting, _)| Waits::For(waiting))
                }
                _ => Waits::ForAnother,
            },
        }
    }
}

/// Who waits for an event.
enum Waits {
    Nobody,
    For(Waiting),
    /// Somebody, for what comes later.
    ForAnother,
}

impl Link {
    /// The signal that fires at every event of this dialog, until [`Link::forget`]. The name is
    /// what reports call it, and `by` who has opened it here.
    pub(crate) fn signal(&self, dialog: DialogId, name: Name, by: Option<ScopeId>) -> Arc<Signal> {
        let signal = Arc::new(Signal::new());
        let any = || (Waiting::Any(signal.clone()), Named { name, by });
        match lock(&self.dialogs).0.get_or_insert_with(dialog, any) {
            (Waiting::Any(known), _) => known.clone(),
            // No dialog is a call and another as well.
            (Waiting::Call(_), _) => signal,
        }
    }

    /// Has the end of a call wake this one, which is to look for it once more then: it may have come
    /// before.
    pub(crate) fn wake_at_end(&self, call: DialogId, named: &Named, waker: &Waker) {
        // A copy, and what it replaces: nobody knows what making or dropping one does.
        let mut waker = waker.clone();
        let mut dialogs = lock(&self.dialogs);
        match dialogs.0.get_mut(call) {
            Some((Waiting::Call(known), _)) => std::mem::swap(known, &mut waker),
            Some((Waiting::Any(_), _)) => {}
            None => {
                dialogs.0.get_or_insert_with(call, || (Waiting::Call(waker), named.clone()));
                return;
            }
        }
        drop(dialogs);
    }

    /// The dialog's handles are gone.
    pub(crate) fn forget(&self, dialog: DialogId) {
        let gone = lock(&self.dialogs).0.remove(dialog);
        // Not under the lock: what is let go of may use the link.
        drop(gone);
    }

    /// Takes back the buffer of something that was received.
    pub(crate) fn recycle(&self, buffer: Vec<u8>) {
        self.draw(|connection| connection.recycle(buffer));
    }

    /// What is under way on this link, in words; `own` is the endpoint that is the child's life.
    pub(crate) fn under_way(&self, own: Option<&str>) -> Vec<String> {
        let phases = self.look(Connection::under_way);
        let dialogs = lock(&self.dialogs);
        let names = &dialogs.0;
        let name = |(id, phase): (DialogId, &'static str)| match (names.get(id), own) {
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
    static ROOM: Cell<Vec<One>> = const { Cell::new(Vec::new()) };
}

type One = (Event, Option<Waiting>);

/// Events on their way from the core to whoever handles them, each with whom it wakes.
#[derive(Debug, Default)]
pub(super) struct News(Vec<One>);

impl News {
    /// Adds an event, unless it is that a call has begun: for that nobody waits.
    pub(super) fn add(&mut self, event: Event, dialogs: &mut Dialogs) {
        let waits = event.dialog().map_or(Waits::Nobody, |id| dialogs.waiting(id, &event));
        let waiting = match waits {
            Waits::ForAnother if matches!(event, Event::Accepted(_)) => return,
            Waits::For(waiting) => Some(waiting),
            Waits::Nobody | Waits::ForAnother => None,
        };
        if self.0.capacity() == 0 {
            self.0 = ROOM.try_with(Cell::take).unwrap_or_default();
        }
        self.0.push((event, waiting));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = One> {
        self.0.drain(..)
    }
}

impl Drop for News {
    fn drop(&mut self) {
        let mut room = std::mem::take(&mut self.0);
        if (1..=SPARE).contains(&room.capacity()) {
            room.clear();
            let _ = ROOM.try_with(|kept| kept.set(room));
        }
    }
}
