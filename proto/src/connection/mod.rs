//! Everything about one link: the greeting, its dialogs, what waits to be written, and its end.
//!
//! Facts come in by `handle_*`, wishes by methods and role views, what follows is polled out. Any
//! order of calls is legal; a call that changes nothing is not an error.

mod close;
mod deadlines;
mod outbox;
mod receive;
mod start;
mod surface;
mod terminal;
mod views;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::ToString;
use alloc::vec::Vec;

use crate::dialog::tables::Life;
use crate::dialog::{Dialog, Incoming, Kind, Outgoing, Side};
use crate::error::{Misuse, Violation};
use crate::id::{ActorId, DialogId, Role};
use crate::limits::Limits;
use crate::report::ExitReport;
use crate::time::Instant;
use crate::wire::body;
use crate::wire::deframer::Deframer;
use crate::wire::hello::{Announced, MAX_HELLO};
use crate::wire::{Tag, hello};

pub use surface::{Config, Event, GoodbyeReason, LinkKind, Recv, StartWish, Terminal, Why};
pub use views::{Callee, Caller};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Greeting,
    Open,
    /// Broken or ended: what is left may be written, nothing is read.
    Closed,
}

/// One link's protocol, without its bytes' way or its clock.
///
/// - Looks: [`peer`](Self::peer), [`limits`](Self::limits), [`is_closed`](Self::is_closed), …
/// - Facts: [`handle_input`](Self::handle_input), [`handle_eof`](Self::handle_eof),
///   [`handle_exit`](Self::handle_exit), [`handle_timeout`](Self::handle_timeout), …
/// - Wishes: [`start`](Self::start), [`caller`](Self::caller), [`callee`](Self::callee),
///   [`goodbye`](Self::goodbye).
/// - Out: [`poll_transmit`](Self::poll_transmit), [`poll_event`](Self::poll_event),
///   [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct Connection {
    config: Config,
    phase: Phase,
    peer: Option<ActorId>,
    announced: Announced,
    deframer: Deframer,
    dialogs: BTreeMap<DialogId, Dialog>,
    /// Dialogs without an outcome that we opened, and that the peer did.
    ours: u32,
    theirs: u32,
    next: u64,
    highest: Option<u64>,
    out: outbox::Outbox,
    events: VecDeque<Event>,
    goodbye_sent: bool,
    goodbye_received: bool,
    eof: bool,
    exit: Option<ExitReport>,
    handshake: Option<Instant>,
    hold: Option<Instant>,
    drain: Option<Instant>,
    waits: BTreeSet<(Instant, DialogId)>,
    heard: Instant,
    pinged: Option<Instant>,
    /// What the peer may still cost us beyond what it is free to (P-A4).
    budget: u64,
    refusals: u32,
}

impl Connection {
    /// A connection that is about to greet its peer.
    #[must_use]
    pub fn new(config: Config, now: Instant) -> Self {
        let limits = &config.limits;
        let hello = hello::Hello {
            versions: hello::VERSIONS,
            id: config.me.clone(),
            role: config.role,
            announced: Announced::of(limits),
        };
        let first = match config.role {
            Role::Even => 2,
            Role::Odd => 1,
        };
        Self {
            phase: Phase::Greeting,
            peer: None,
            announced: Announced::of(limits),
            deframer: Deframer::new(MAX_HELLO),
            dialogs: BTreeMap::new(),
            ours: 0,
            theirs: 0,
            next: first,
            highest: None,
            out: outbox::Outbox::greeting(&hello),
            events: VecDeque::new(),
            goodbye_sent: false,
            goodbye_received: false,
            eof: false,
            exit: None,
            handshake: Some(now + limits.handshake_timeout),
            hold: None,
            drain: None,
            waits: BTreeSet::new(),
            heard: now,
            pinged: None,
            budget: u64::from(limits.misbehaviour_budget) * u64::from(Limits::FRAME_COST),
            refusals: 0,
            config,
        }
    }

    // Looks.

    /// Who is at the other end, once it has said so.
    #[must_use]
    pub const fn peer(&self) -> Option<&ActorId> {
        self.peer.as_ref()
    }

    /// The bounds in force: after the greeting, the smaller of both sides' where both apply.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.config.limits
    }

    /// Whether the link has ended: nothing more will be read, and every dialog has its outcome.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// Whether [`poll_transmit`](Self::poll_transmit) has something to give.
    #[must_use]
    pub fn wants_transmit(&self) -> bool {
        self.out.wants(self.phase == Phase::Open)
    }

    /// Dialogs that are open, either way.
    #[must_use]
    pub fn live_dialogs(&self) -> usize {
        self.dialogs.values().filter(|dialog| dialog.life != Life::Done).count()
    }

    /// What we have asked the peer for and still wait for.
    #[must_use]
    pub fn under_way(&self) -> Vec<(DialogId, &'static str)> {
        let ours = self
            .dialogs
            .iter()
            .filter(|(_, dialog)| dialog.side == Side::Opener && dialog.outcome.is_none());
        ours.map(|(id, dialog)| (*id, dialog.phase())).collect()
    }

    // Wishes.

    /// Asks the peer to run an endpoint.
    ///
    /// # Errors
    /// `TooManyDialogs`, `TooLarge`, `NameTooLong`, `Closing`, `LinkGone`; nothing has changed then.
    pub fn start(
        &mut self,
        _now: Instant,
        wish: StartWish<'_>,
        args: &[u8],
    ) -> Result<DialogId, Misuse> {
        self.may_open()?;
        let max = self.announced.max_dialogs;
        if self.ours >= max {
            return Err(Misuse::TooManyDialogs { max });
        }
        self.fits(wish.endpoint, args.len())?;
        let id = DialogId::new(self.next);
        self.next = self.next.saturating_add(2);
        self.open(id, wish, args);
        Ok(id)
    }

    /// Opens dialog 0: the child's life (P-L2).
    ///
    /// # Errors
    /// `ActorOpened` where this is not the parent's end, or it was opened before; else as
    /// [`start`](Self::start).
    pub fn start_actor(&mut self, _now: Instant, spec: &[u8]) -> Result<(), Misuse> {
        if self.config.kind != LinkKind::Parent || self.dialogs.contains_key(&DialogId::ACTOR) {
            return Err(Misuse::ActorOpened);
        }
        self.may_open()?;
        self.fits("", spec.len())?;
        let wish =
            StartWish { endpoint: "", kind: Kind::Actor, schema: 0, deadline: None, trace: None };
        self.open(DialogId::ACTOR, wish, spec);
        Ok(())
    }

    /// A dialog that we opened, until its handle was released.
    pub fn caller(&mut self, id: DialogId) -> Option<Caller<'_>> {
        let known = self.dialogs.get(&id)?;
        (known.side == Side::Opener && !known.released).then(|| Caller::new(self, id))
    }

    /// A dialog that the peer opened, until its terminal was given.
    pub fn callee(&mut self, id: DialogId) -> Option<Callee<'_>> {
        let known = self.dialogs.get(&id)?;
        (known.side == Side::Callee && !known.finished).then(|| Callee::new(self, id))
    }

    fn may_open(&self) -> Result<(), Misuse> {
        if self.phase == Phase::Closed || self.eof {
            return Err(Misuse::LinkGone);
        }
        if self.goodbye_sent || self.goodbye_received {
            return Err(Misuse::Closing);
        }
        Ok(())
    }

    fn fits(&self, endpoint: &str, size: usize) -> Result<(), Misuse> {
        let max = self.max_message();
        if size > max {
            return Err(Misuse::TooLarge { size, max });
        }
        let max = self.config.limits.max_name;
        if endpoint.len() > max { Err(Misuse::NameTooLong { max }) } else { Ok(()) }
    }

    fn open(&mut self, id: DialogId, wish: StartWish<'_>, args: &[u8]) {
        let window = self.config.limits.window;
        let mut dialog = Dialog::new(Side::Opener, wish.kind, window);
        let mut head = Vec::new();
        body::put(
            &mut head,
            &body::Start {
                endpoint: wish.endpoint,
                kind: wish.kind,
                schema: wish.schema,
                codec: 0,
                credit: window,
                deadline: wish.deadline,
                trace: wish.trace,
            },
        );
        dialog.queue.push_back(Outgoing {
            tag: Tag::Start,
            head,
            payload: args.to_vec(),
            written: 0,
            begun: false,
        });
        self.out.start(id);
        self.dialogs.insert(id, dialog);
        self.ours = self.ours.saturating_add(1);
    }

    fn max_message(&self) -> usize {
        usize::try_from(self.announced.max_message).unwrap_or(usize::MAX)
    }

    /// The most payload in one frame.
    fn chunk(&self) -> usize {
        let room = self.announced.max_frame.saturating_sub(Limits::HEADER_ROOM);
        usize::try_from(room).unwrap_or(usize::MAX).max(1)
    }

    // Out.

    /// What has happened since the last call.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The peer cost us something it is not free to (P-A4).
    fn charge(&mut self, cost: u64, message: &'static str) -> Result<(), Violation> {
        match self.budget.checked_sub(cost) {
            Some(left) => {
                self.budget = left;
                Ok(())
            }
            None => Err(Violation::new(
                message,
                "P-A4",
                self.state(),
                "its budget for late, repeated and provoked frames is spent".to_string(),
            )),
        }
    }

    const fn state(&self) -> &'static str {
        match self.phase {
            Phase::Greeting => "greeting",
            Phase::Open => "open",
            Phase::Closed => "closed",
        }
    }
}

/// Whether a dialog's arguments are credited when its task takes them (P-W1).
const fn credits_args(start: &Incoming) -> bool {
    matches!(start.kind, Kind::Context | Kind::Stream)
}
