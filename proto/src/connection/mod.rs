//! Everything about one link: the greeting, its dialogs, what waits to be written, and its end.
//!
//! Facts come in by `handle_*`, wishes by methods and role views, what follows is polled out. Any
//! order of calls is legal; a call that changes nothing is not an error.

mod apart;
mod assemble;
mod audit;
mod birth;
mod bulk;
mod clock;
mod close;
mod config;
mod dialogs;
mod ends;
mod fingerprint;
mod finish;
mod gather;
mod looks;
mod messages;
mod outbox;
mod passing;
mod place;
mod receive;
mod recorder;
mod spare;
mod taken;
mod transmit;
mod values;
mod views;

use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

use crate::dialog::tables::Life;
use crate::dialog::{Kind, Side, cost};
use crate::error::{Misuse, Violation};
use crate::id::{ActorId, DialogId, Role};
use crate::limits::Limits;
use crate::report::ExitReport;
use crate::time::Instant;
use crate::wire::deframer::Deframer;
use crate::wire::hello::{Announced, Hello, MAX_HELLO, VERSIONS};
use crate::wire::{Tag, body};
use dialogs::Dialogs;
use outbox::{Outbox, message};

pub use audit::{Ledger, Stance, Standing};
pub use config::{Config, Event, GoodbyeReason, LinkKind, Recv, StartWish, Terminal, Why};
pub use fingerprint::Names;
pub use gather::Gather;
pub use looks::DialogLook;
pub use recorder::Note;
pub use taken::Values;
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
#[derive(Clone, Debug)]
pub struct Connection {
    config: Config,
    phase: Phase,
    peer: Option<ActorId>,
    /// What we call a child that has greeted by another name, or is about to (P-L7).
    given: Option<String>,
    /// Both sides' frames and messages, and the dialogs that the peer takes.
    announced: Announced,
    deframer: Deframer,
    /// A large payload of which more is to come.
    placing: Option<Box<place::Place>>,
    dialogs: Dialogs,
    /// Slots in use: of dialogs that we opened, and that the peer did. One is free when this side
    /// has finished it, whatever the peer has cancelled (P-A2).
    ours: u32,
    theirs: u32,
    next: u64,
    highest: Option<u64>,
    /// Dialog 0 was opened here and not taken back (P-L2).
    actor_opened: bool,
    /// The task of dialog 0 is over here: nothing is served any more.
    actor_over: bool,
    /// Dialog 0 of a link between peers.
    ends: ends::Ends,
    out: Outbox,
    events: VecDeque<Event>,
    goodbye_sent: bool,
    /// It was one that nothing is begun behind.
    refuses: bool,
    goodbye_received: bool,
    eof: bool,
    exit: Option<ExitReport>,
    handshake: Option<Instant>,
    hold: Option<Instant>,
    drain: Option<Instant>,
    waits: BTreeSet<(Instant, DialogId)>,
    heard: Instant,
    pinged: Option<Instant>,
    apart: apart::Apart,
    /// The last of the peer's pings that was free.
    ping_heard: Instant,
    pongs_due: u32,
    /// What the peer may still cost us beyond what it is free to (P-A4).
    budget: u64,
    refusals: u32,
    recorder: recorder::Recorder,
    codecs: &'static [u8],
    passing: passing::Passing,
}

impl Connection {
    /// A connection that is about to greet its peer.
    #[must_use]
    pub fn new(mut config: Config, now: Instant) -> Self {
        let limits = &mut config.limits;
        limits.max_frame = limits.max_frame.max(Limits::FLOOR);
        limits.window = limits.window.max(Limits::FLOOR);
        limits.max_message = limits.max_message.min(Limits::MESSAGE_CEILING);
        let announced = Announced::of(limits);
        let hello = greeting(&config, announced, None, 0);
        Self {
            phase: Phase::Greeting,
            peer: None,
            given: None,
            announced,
            deframer: Deframer::new(MAX_HELLO),
            placing: None,
            dialogs: Dialogs::default(),
            ours: 0,
            theirs: 0,
            next: match config.role {
                Role::Even => 2,
                Role::Odd => 1,
            },
            highest: None,
            actor_opened: false,
            actor_over: false,
            ends: ends::Ends::default(),
            out: Outbox::greeting(&hello),
            events: VecDeque::new(),
            goodbye_sent: false,
            refuses: false,
            goodbye_received: false,
            eof: false,
            exit: None,
            handshake: Some(now + config.limits.handshake_timeout),
            hold: None,
            drain: None,
            waits: BTreeSet::new(),
            heard: now,
            pinged: None,
            apart: apart::Apart::default(),
            ping_heard: now,
            pongs_due: 0,
            budget: config.limits.budget(),
            refusals: 0,
            recorder: recorder::Recorder::default(),
            codecs: &[],
            passing: passing::Passing::default(),
            config,
        }
    }

    /// The same for a program that speaks these codecs as well as postcard: a `Start` in any other is
    /// refused (P-D2).
    #[must_use]
    pub fn speaking(self, codecs: &'static [u8]) -> Self {
        Self { codecs, ..self }
    }

    fn hello(&self) -> Hello {
        greeting(&self.config, self.announced, self.tree(), self.takes_descriptors())
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

    /// Whether a dialog may be asked for: nothing has ended the link, and neither side has said
    /// `Goodbye`.
    #[must_use]
    pub fn takes_wishes(&self) -> bool {
        self.may_open().is_ok()
    }

    /// Whether the task of dialog 0 is over at this end, or was cancelled before it began (P-L2).
    #[must_use]
    pub const fn actor_is_over(&self) -> bool {
        self.actor_over
    }

    /// Dialogs that are open, either way.
    #[must_use]
    pub fn live_dialogs(&self) -> usize {
        self.dialogs.iter().filter(|(_, dialog)| dialog.life != Life::Done).count()
    }

    /// What we have asked the peer for and still wait for.
    #[must_use]
    pub fn under_way(&self) -> Vec<(DialogId, &'static str)> {
        let ours = self
            .dialogs
            .iter()
            .filter(|(_, dialog)| dialog.side == Side::Opener && dialog.outcome.is_none());
        ours.map(|(id, dialog)| (id, dialog.phase())).collect()
    }

    // Wishes.

    /// Asks the peer to run an endpoint.
    ///
    /// # Errors
    /// `TooManyDialogs`, `TooLarge`, `NameTooLong`, `Closing`, `LinkGone`, `WrongKind`, and
    /// `ActorNotStarted` at a parent that has not said what its child is to be; nothing has changed
    /// then.
    pub fn start(
        &mut self,
        _now: Instant,
        wish: StartWish<'_>,
        args: &[u8],
    ) -> Result<DialogId, Misuse> {
        self.may_open()?;
        if wish.kind == Kind::Actor {
            return Err(Misuse::WrongKind);
        }
        if self.config.kind == LinkKind::Parent && !self.actor_opened {
            return Err(Misuse::ActorNotStarted);
        }
        let max = self.announced.max_dialogs;
        if self.ours >= max {
            return Err(Misuse::TooManyDialogs { max });
        }
        let head = self.head(&wish, args.len())?;
        let id = DialogId::new(self.next);
        self.next = self.next.saturating_add(2);
        self.open(id, wish.kind, head, args);
        Ok(id)
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

    /// What stands before the arguments in the first frame of a `Start`.
    fn head(&mut self, wish: &StartWish<'_>, size: usize) -> Result<Vec<u8>, Misuse> {
        let max = self.max_message();
        if size > max {
            return Err(Misuse::TooLarge { size, max });
        }
        let max = self.config.limits.max_name;
        if wish.endpoint.len() > max {
            return Err(Misuse::NameTooLong { max });
        }
        let mut head = self.out.spare.empty_for(wish.endpoint.len().saturating_add(64));
        let start = body::Start {
            endpoint: wish.endpoint,
            kind: wish.kind,
            schema: wish.schema,
            codec: wish.codec,
            credit: self.config.limits.window,
            deadline: wish.deadline,
            trace: wish.trace,
        };
        start.put(&mut head);
        // It stands in one frame, however small the peer's frames may be.
        let max = usize::try_from(Limits::FLOOR - Limits::HEADER_ROOM).unwrap_or(usize::MAX);
        let size = head.len();
        if size > max { Err(Misuse::TooLarge { size, max }) } else { Ok(head) }
    }

    fn open(&mut self, id: DialogId, kind: Kind, head: Vec<u8>, args: &[u8]) {
        let mut start = message(Tag::Start, self.out.spare.filled(args));
        start.head = head;
        let window = self.config.limits.window;
        let spare = &mut self.out.spare;
        if let Some(dialog) = self.dialogs.insert(id, Side::Opener, kind, window, spare) {
            dialog.queue.push_back(start);
        }
        self.out.start(id);
        self.ours = self.ours.saturating_add(1);
    }

    fn max_message(&self) -> usize {
        self.announced.message()
    }

    /// The most payload in one frame.
    fn chunk(&self) -> usize {
        self.announced.chunk()
    }

    fn cost(&self, size: usize) -> i64 {
        i64::try_from(cost(size, self.chunk())).unwrap_or(i64::MAX)
    }

    // Out.

    /// What has happened since the last call.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Whether an event is due that says that there is room for a value again. Writing makes some, and
    /// whoever waits for it may wait for nothing else: a driver looks here once it has written.
    #[must_use]
    pub fn has_made_room(&self) -> bool {
        self.events.iter().any(|event| matches!(event, Event::Writable(_)))
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
                "its budget for late, repeated and provoked frames is spent",
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

fn greeting(config: &Config, announced: Announced, tree: Option<u128>, descriptors: u8) -> Hello {
    let mut id = config.me.clone();
    // The greeting has room for no more (P-A6).
    finish::cut(&mut id.name, config.limits.max_name.min(255));
    Hello { versions: VERSIONS, id, role: config.role, announced, tree, descriptors }
}
