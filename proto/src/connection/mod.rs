//! Everything about one link: the greeting, its dialogs, what waits to be written, and its end.
//!
//! Facts come in by `handle_*`, wishes by methods and role views, what follows is polled out. Any
//! order of calls is legal; a call that changes nothing is not an error.

mod close;
mod outbox;
mod receive;
mod views;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::dialog::tables::{Cancel, Life};
use crate::dialog::{Dialog, Incoming, Kind, Outgoing, Side};
use crate::error::{Misuse, Violation};
use crate::id::{ActorId, DialogId, Role};
use crate::limits::Limits;
use crate::report::{Cancelled, ExitReport, LostCause, Outcome, Report};
use crate::time::Instant;
use crate::wire::body;
use crate::wire::deframer::Deframer;
use crate::wire::hello::{Announced, MAX_HELLO};
use crate::wire::{Tag, hello};

pub use views::{Callee, Caller};

/// What kind of link it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// This is the parent's end of a child's link.
    Parent,
    /// This is the child's end of its parent's link.
    Child,
    /// A link between any two actors.
    Peer,
}

/// How a connection is to be.
#[derive(Clone, Debug)]
pub struct Config {
    /// What kind of link it is.
    pub kind: LinkKind,
    /// Which end this is.
    pub role: Role,
    /// Who we are.
    pub me: ActorId,
    /// Our bounds.
    pub limits: Limits,
}

/// A call to be opened.
#[derive(Clone, Copy, Debug)]
pub struct StartWish<'a> {
    /// The endpoint's name.
    pub endpoint: &'a str,
    /// How it is opened.
    pub kind: Kind,
    /// The hash of its signature.
    pub schema: u64,
    /// What is left of the opener's deadline (P-C8).
    pub deadline: Option<Duration>,
    /// Trace context, passed on as it is.
    pub trace: Option<&'a [u8]>,
}

/// What has happened, in short. Payloads are taken through the role views.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The greeting is done.
    Up,
    /// The peer asks for a task, with whole arguments.
    Incoming(DialogId),
    /// The opener's task is scheduled.
    Accepted(DialogId),
    /// The first value is in.
    Started(DialogId),
    /// A receive has an answer.
    Readable(DialogId),
    /// A send has an answer.
    Writable(DialogId),
    /// The opener asks the callee's task to end, again perhaps with less grace.
    CancelAsked(DialogId),
    /// The callee has heard it.
    CancelAcked(DialogId),
    /// At the opener: the outcome is in. At the callee: the link took the dialog with it.
    Finished(DialogId),
    /// The callee's terminal has been written; the dialog is free.
    Flushed(DialogId),
    /// The peer opens no more dialogs.
    Goodbye(GoodbyeReason),
    /// The peer broke the protocol.
    Broken(Violation),
    /// Nothing more will be read or written.
    Closed,
}

/// Why a side says `Goodbye`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum GoodbyeReason {
    /// The actor is ending.
    Leaving,
    /// Only this link is.
    LinkOnly,
    /// The peer may not do what it asked for.
    NotAllowed,
    /// The peer broke the protocol.
    Protocol(String),
}

/// Why a deadline was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// The greeting takes too long (P-L1).
    Handshake,
    /// Outcomes wait for an exit status, or the exit for the link's end (P-L4).
    HoldBack,
    /// The answer to our `Goodbye` does not come (P-L3).
    Drain,
    /// A `Ping` is due, or its answer (P-L5).
    Liveness,
    /// A cancel is not answered (P-C1).
    CancelWait(DialogId),
}

/// What a receive came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Recv {
    /// A value was put into the buffer.
    Value,
    /// Nothing yet: wait for `Readable`.
    Empty,
    /// The direction ended gracefully.
    End,
    /// The dialog ended otherwise: see its outcome.
    Ended,
}

/// How a callee ends its dialog.
#[derive(Debug)]
pub enum Terminal {
    /// With its result.
    Return(Vec<u8>),
    /// With an error, and its typed form where there is one.
    Failed {
        /// The report.
        report: alloc::boxed::Box<Report>,
        /// The typed error's bytes, or none.
        payload: Vec<u8>,
    },
    /// Because it was cancelled.
    Cancelled(Cancelled),
}

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
        let ours = self.dialogs.iter().filter(|(_, dialog)| {
            dialog.side == Side::Opener && dialog.outcome.is_none()
        });
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
        let wish = StartWish {
            endpoint: "",
            kind: Kind::Actor,
            schema: 0,
            deadline: None,
            trace: None,
        };
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

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called, and why. A pure function of
    /// the state.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, Why)> {
        if self.phase == Phase::Closed {
            return None;
        }
        let liveness = match (self.config.limits.liveness, self.phase) {
            (Some((period, patience)), Phase::Open) => Some(match self.pinged {
                Some(at) => at + patience,
                None => self.heard + period,
            }),
            _ => None,
        };
        let wait = self.waits.first().map(|(at, id)| (*at, Why::CancelWait(*id)));
        [
            self.handshake.map(|at| (at, Why::Handshake)),
            self.hold.map(|at| (at, Why::HoldBack)),
            self.drain.map(|at| (at, Why::Drain)),
            liveness.map(|at| (at, Why::Liveness)),
            wait,
        ]
        .into_iter()
        .flatten()
        .min_by_key(|(at, _)| *at)
    }

    /// The time is `now`. Spurious calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, why)) = self.poll_timeout() {
            if at > now {
                return;
            }
            match why {
                Why::Handshake => {
                    self.handshake = None;
                    let patience = self.config.limits.handshake_timeout;
                    self.broken(Violation::new(
                        "Hello",
                        "P-L1",
                        "greeting",
                        alloc::format!("it did not come within {patience:?}"),
                    ));
                }
                Why::HoldBack => self.hold_ended(),
                Why::Drain => self.finalize(LostCause::Closed),
                Why::Liveness => self.liveness_due(now),
                Why::CancelWait(id) => {
                    self.waits.remove(&(at, id));
                    self.unresponsive(id);
                }
            }
        }
    }

    /// The wait for a cancel has ended, its slot has not (P-C1).
    fn unresponsive(&mut self, id: DialogId) {
        if let Some(dialog) = self.dialogs.get_mut(&id) {
            if dialog.outcome.is_none() {
                dialog.outcome = Some(Outcome::Lost(LostCause::Unresponsive));
                self.events.push_back(Event::Finished(id));
            }
        }
    }

    fn liveness_due(&mut self, now: Instant) {
        if self.pinged.is_some() {
            self.finalize(LostCause::LinkEnded);
        } else {
            self.pinged = Some(now);
            self.out.ping = true;
        }
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

    /// A dialog that a cancel is pending on may still be waited for.
    fn cancel_wait(&mut self, id: DialogId, at: Instant) {
        self.waits.retain(|(_, known)| *known != id);
        if self.dialogs.get(&id).is_some_and(|dialog| dialog.cancel != Cancel::Settled) {
            self.waits.insert((at, id));
        }
    }
}

/// Whether a dialog's arguments are credited when its task takes them (P-W1).
const fn credits_args(start: &Incoming) -> bool {
    matches!(start.kind, Kind::Context | Kind::Stream)
}
