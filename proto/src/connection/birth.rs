//! Dialog 0 of a parent link: how a child is told what it is, and what it is called (P-L2, P-L7).

use alloc::borrow::ToOwned;

use super::{Connection, LinkKind, StartWish, finish};
use crate::dialog::Kind;
use crate::error::Misuse;
use crate::id::DialogId;
use crate::time::Instant;
use crate::wire::body;

impl Connection {
    /// Opens dialog 0: the child's life (P-L2).
    ///
    /// # Errors
    /// `ActorOpened` where this is not the parent's end, or it was opened before; else as
    /// [`start`](Self::start).
    pub fn start_actor(&mut self, now: Instant, spec: &[u8]) -> Result<(), Misuse> {
        self.start_actor_as(now, "", spec, None)
    }

    /// [`start_actor`](Self::start_actor) with the name that the child has from here on, where it is
    /// not to keep that of its greeting (P-L7), and a trace context for its main task.
    ///
    /// # Errors
    /// As there; `TooLarge` where the trace does not fit.
    pub fn start_actor_as(
        &mut self,
        _now: Instant,
        name: &str,
        spec: &[u8],
        trace: Option<&[u8]>,
    ) -> Result<(), Misuse> {
        if self.config.kind != LinkKind::Parent || self.actor_opened {
            return Err(Misuse::ActorOpened);
        }
        self.may_open()?;
        let (kind, codec) = (Kind::Actor, body::POSTCARD);
        let mut given = name.to_owned();
        finish::cut(&mut given, self.config.limits.max_name.min(255));
        let wish = StartWish { endpoint: &given, kind, schema: 0, codec, deadline: None, trace };
        let head = self.head(&wish, spec.len())?;
        self.actor_opened = true;
        self.given = Some(given).filter(|given| !given.is_empty());
        self.name_peer();
        self.open(DialogId::ACTOR, kind, head, spec);
        Ok(())
    }

    /// A child has the name that we gave it, whatever it has greeted with.
    pub(super) fn name_peer(&mut self) {
        if let (Some(peer), Some(given)) = (&mut self.peer, &self.given) {
            peer.name.clone_from(given);
        }
    }

    /// The name that `Start(0)` gives this end; nothing where that of its greeting is its own.
    pub(super) fn take_name(&mut self, name: &str) {
        if !name.is_empty() {
            name.clone_into(&mut self.config.me.name);
        }
    }
}
