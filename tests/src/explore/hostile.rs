//! One conforming peer against a peer that says anything: every message in every state.
//!
//! The core is the real one, with an application that does everything an application may. The other
//! end is no core: it says every frame of an `alphabet` raw. What leads somewhere new is followed;
//! how many values, charged frames and dialogs of one link are followed is bounded by the plan, so
//! that there is an end: what comes beyond is judged like the rest, and not followed.

mod alphabet;
mod book;
mod check;
mod user;
pub mod worlds;
mod written;

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use hatchery_proto::dialog::tables::Life;
use hatchery_proto::wire::Tag;
use hatchery_proto::{
    Config, Connection, DialogId, Event, ExitReport, ExitStatus, GoodbyeReason, Instant, Kind,
    Limits, LinkKind, Names, Role, Rung,
};

pub use super::pair::Wish;
use super::pair::{Notes, broken, who};
use super::search::{Finding, Model};
use crate::pair::wish;
use alphabet::{MAX_MESSAGE, Message, Target};
pub use book::Table;
use book::{Book, Fact, Facts, Verdict};
use user::User;
use written::Written;

/// When it begins.
const BEGIN: Instant = Instant::from_micros(1_000_000);
/// Refusals beyond them that may wait.
const REFUSALS: u32 = 1;

/// What the hostile peer meets, and how far it is followed.
#[derive(Debug)]
pub struct Plan {
    /// What it is called.
    pub name: &'static str,
    /// The core's end of the link.
    pub kind: LinkKind,
    /// Whether the greeting is part of it.
    pub greeting: bool,
    /// What the application opens, in this order.
    pub opens: Vec<Kind>,
    /// The kinds of the peer's dialogs that are followed.
    pub serves: Vec<Kind>,
    /// The most of them.
    pub starts: u8,
    /// Dialogs that the core takes at once.
    pub slots: u32,
    /// Values, parts of messages and credits of the peer that are followed,
    pub moves: u8,
    /// and frames that are charged.
    pub charges: u8,
    /// Whether the application sends values,
    pub sends: bool,
    /// and whether it takes them.
    pub reads: bool,
    /// Whether it says at times that it wants no more.
    pub ceases: bool,
    /// Whether messages of the peer are followed in their fragments.
    pub begins: bool,
    /// Whether a task does nothing but return.
    pub simple: bool,
    /// Whether all that waits is written at once.
    pub writes_all: bool,
    /// Whether all that it says has two frames.
    pub fragments: bool,
    /// The largest frame.
    pub max_frame: u32,
    /// How often it cancels a dialog.
    pub cancels: u8,
    /// Whether it lets go of handles at any time.
    pub drops: bool,
    /// Whether the peer may stop reading.
    pub deafens: bool,
    /// Whether the application says goodbye,
    pub goodbye: bool,
    /// and whether that of the peer is followed.
    pub parts: bool,
    /// Whether the child's process may end.
    pub exits: bool,
    /// Whether a silent peer is asked for a sign of life, and how many deadlines are followed.
    pub liveness: Option<u8>,
    /// Something that is made wrong on purpose, to see that it is found.
    pub fault: Option<Fault>,
    said: Said,
}

/// All messages, and what each of them came to.
#[derive(Clone, Debug)]
pub struct Said {
    alphabet: Arc<[Message]>,
    book: Arc<Book>,
}

impl Said {
    /// What was found.
    #[must_use]
    pub fn table(&self) -> Table {
        self.book.table(&self.alphabet)
    }
}

/// What is wrong on purpose: a layer around the core that undoes what a check has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// What breaks this rule is passed over, as though it had not come.
    Forgives(&'static str),
    /// Nobody is told what these messages bring about.
    Silences(Tag),
    /// The end of a dialog is told twice.
    TellsTwice,
    /// What breaks this rule is taken for a `Ping`.
    Mistakes(&'static str),
}

/// One thing that may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The peer says the message with this number.
    Say(u16),
    /// The core writes its next frame.
    Write,
    /// Time passes to the next deadline.
    Pass,
    /// The link ends.
    End,
    /// The child's process has ended.
    Exit,
    /// Nothing more can be written.
    Deafen,
    /// The application says goodbye.
    Goodbye,
    /// It opens the next dialog.
    Open,
    /// It does something with a dialog.
    Do(u8, Wish),
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stage {
    Open,
    /// The link has ended, and all that follows was looked at.
    Over,
    /// Judged, and not followed.
    Beyond,
}

/// All there is.
#[derive(Clone, Debug)]
pub struct World {
    core: Connection,
    now: Instant,
    stage: Stage,
    users: Vec<User>,
    /// What the application and the peer have opened, the ended ones included.
    opened: Vec<u64>,
    started: Vec<u64>,
    next: u8,
    moves: u8,
    charges: u8,
    passed: u8,
    eof: bool,
    /// When the child's process ended.
    exited: Option<Instant>,
    deaf: bool,
    written: Written,
    /// The core has written something.
    spoke: bool,
    said_goodbye: bool,
    /// When the peer's last free ping came.
    pinged: Instant,
}

impl Plan {
    /// A link of this kind on which nothing is open yet.
    #[must_use]
    pub fn of(name: &'static str, kind: LinkKind) -> Self {
        Self {
            name,
            kind,
            greeting: false,
            opens: Vec::new(),
            serves: Vec::new(),
            starts: 0,
            slots: 2,
            moves: 0,
            charges: 1,
            sends: false,
            reads: false,
            ceases: true,
            begins: true,
            simple: false,
            writes_all: false,
            fragments: false,
            max_frame: 2048,
            cancels: 1,
            drops: false,
            deafens: false,
            goodbye: false,
            parts: false,
            exits: false,
            liveness: None,
            fault: None,
            said: Said { alphabet: alphabet::all(kind).into(), book: Arc::default() },
        }
    }

    /// What each message comes to: known once it was explored.
    #[must_use]
    pub fn said(&self) -> Said {
        self.said.clone()
    }

    /// How many bytes the messages of this kind have that the application says.
    fn size(&self, tag: Tag) -> usize {
        match tag {
            _ if self.fragments => MAX_MESSAGE,
            Tag::Yield => 1008,
            Tag::Start => 0,
            _ => 1,
        }
    }

    fn payload(&self, tag: Tag) -> &'static [u8] {
        &[9; MAX_MESSAGE][..self.size(tag)]
    }

    fn limits(&self) -> Limits {
        let seconds = std::time::Duration::from_secs;
        Limits {
            max_frame: self.max_frame,
            max_message: u32::try_from(MAX_MESSAGE).expect("small"),
            window: Limits::FLOOR,
            max_dialogs: self.slots,
            max_refusals: REFUSALS,
            misbehaviour_budget: 2,
            liveness: self.liveness.map(|_| (seconds(10), seconds(5))),
            ..Limits::default()
        }
    }

    /// The number that a message carries here, where there is one.
    fn resolve(&self, world: &World, target: Target) -> Option<DialogId> {
        let live = |id: &&u64| {
            let stance = world.core.stance(DialogId::new(**id));
            stance.is_some_and(|stance| stance.life != Life::Done)
        };
        let many = |of: &[u64]| of.iter().filter(live).filter(|id| **id != 0).count();
        let found =
            |of: &[u64], place| of.iter().filter(live).filter(|id| **id != 0).nth(place).copied();
        let ended = |of: &[u64]| of.iter().filter(|id| !live(id) && **id != 0).copied().next_back();
        let highest = world.started.iter().copied().max().unwrap_or(0);
        let mine = if self.kind == LinkKind::Child { 0 } else { 1 };
        let number = match target {
            Target::Zero => Some(0),
            Target::Own => found(&world.opened, 0),
            Target::Own2 if many(&world.opened) > 1 => found(&world.opened, 1),
            Target::Theirs => found(&world.started, 0),
            Target::Theirs2 if many(&world.started) > 1 => found(&world.started, 1),
            Target::EndedOwn => ended(&world.opened),
            Target::EndedTheirs => ended(&world.started),
            Target::Skipped => (highest > 0).then(|| highest - 2),
            Target::Fresh => Some(if highest == 0 { 4 + mine } else { highest + 4 }),
            Target::Last => Some(u64::MAX - 1 + mine),
            Target::FreshOwn => Some(101 - mine),
            Target::Own2 | Target::Theirs2 => None,
        };
        number.map(DialogId::new)
    }

    /// What of the state decides about a message.
    fn facts(&self, world: &World, message: &Message, id: DialogId) -> Facts {
        let (core, standing) = (&world.core, world.core.standing());
        let mut facts = Facts::default();
        facts.put(standing.state == "greeting", Fact::Greeting);
        facts.put(self.kind == LinkKind::Peer, Fact::ToPeer);
        facts.put(self.kind == LinkKind::Parent, Fact::ToChild);
        facts.put(self.kind == LinkKind::Child, Fact::ToParent);
        facts.put(standing.leaving, Fact::Leaving);
        facts.put(standing.left, Fact::Left);
        facts.put(standing.slots >= self.slots, Fact::NoSlot);
        facts.put(standing.refusals >= REFUSALS, Fact::NoRefusal);
        facts.put(standing.pongs_due > 0, Fact::PongDue);
        facts.put(self.ping_is_free(world), Fact::PingFree);
        facts.put(core.live_dialogs() == 0, Fact::Idle);
        facts.put(core.wants_transmit(), Fact::Writing);
        facts.put(world.deaf, Fact::Deaf);
        let actor = core.stance(DialogId::ACTOR).filter(|_| self.kind == LinkKind::Child);
        let opened = world.started.contains(&0);
        facts.put(opened, Fact::ActorOpened);
        let whole = actor.map_or(opened, |actor| actor.arrived || actor.finished);
        facts.put(whole, Fact::ActorWhole);
        facts.put(core.actor_is_over(), Fact::ActorOver);
        if message.bytes(id).len() > 4 + self.max_frame as usize && !facts.has(Fact::Greeting) {
            return Facts::of(&[Fact::Beyond]);
        }
        if let Some(target) = message.target() {
            facts.put(target == Target::Zero, Fact::Zero);
            match core.stance(id).filter(|stance| stance.life != Life::Done) {
                Some(stance) => facts.stand(&stance),
                None => facts.to(target),
            }
        }
        facts.that_decide(message.tag())
    }

    fn ping_is_free(&self, world: &World) -> bool {
        world.now.since(world.pinged).as_secs() >= 1
    }

    fn say(&self, world: &mut World, number: u16, notes: &mut Notes<'_>) -> Result<(), Finding> {
        let message = &self.said.alphabet[usize::from(number)];
        let id = message.target().and_then(|target| self.resolve(world, target));
        let id = id.unwrap_or(DialogId::ACTOR);
        let facts = self.facts(world, message, id);
        let before = world.clone();
        let bytes = message.bytes(id);
        world.core.handle_input(world.now, &bytes);
        if matches!(message, Message::Half) {
            world.core.handle_eof(world.now);
            world.eof = true;
        }
        self.spoil(world, &before, message);
        let events = drain(&mut world.core);
        for event in &events {
            notes.say(|| format!("the core tells: {event:?}"));
        }
        let verdict = check::verdict(world, &before, message, id, &events)?;
        if let Verdict::Closed { rule: "P-A4", .. } = verdict {
            check::afforded(&before, &bytes)?;
        } else if let Err(known) = self.said.book.note(facts, number, verdict) {
            return broken(format!(
                "{message} comes to `{verdict}`, and elsewhere to `{known}`, where both times there \
                 is: {facts} (P-A1)"
            ));
        }
        check::about(message, id, &events)?;
        self.hear(world, &events)?;
        if world.core.is_closed() {
            return check::closed(world, &before, &events, notes);
        }
        if verdict == Verdict::Taken && !world.eof {
            check::bounded(self, world, &before, message)?;
        }
        self.follow(world, message, id, verdict);
        Ok(())
    }

    /// Counts what is followed, and says where that ends.
    fn follow(&self, world: &mut World, message: &Message, id: DialogId, verdict: Verdict) {
        let (follow, opens) = match message {
            Message::Frame(_, shape) => (shape.follow, shape.opens),
            _ => (true, None),
        };
        let opening = verdict != Verdict::Charged || !world.started.contains(&id.number());
        if let Some(kind) = opens.filter(|_| opening && world.core.stance(id).is_some()) {
            world.started.push(id.number());
            let serves = self.serves.contains(&kind);
            let many = world.started.len() > usize::from(self.starts);
            if !serves || many {
                world.stage = Stage::Beyond;
            }
        } else if message.tag() == Some(Tag::Ping) && verdict == Verdict::Taken {
            world.pinged = world.now;
        } else if message.moves() {
            world.moves += 1;
        }
        // A `Start` beyond the slots is counted among the dialogs.
        let opened = opens.is_some() && world.core.stance(id).is_some();
        let charged = verdict == Verdict::Charged && !opened;
        world.charges += u8::from(charged);
        let parts = message.tag() != Some(Tag::Goodbye) || self.parts;
        let begins = !message.begins() || self.begins;
        if !follow || !parts || !begins || world.moves > self.moves || world.charges > self.charges
        {
            world.stage = Stage::Beyond;
        }
    }

    /// Does what is wrong on purpose.
    fn spoil(&self, world: &mut World, before: &World, message: &Message) {
        let Some(fault) = self.fault else { return };
        let mut core = world.core.clone();
        let events = drain(&mut core);
        let breaks = |rule| {
            events.iter().any(|event| matches!(event, Event::Broken(how) if how.rule == rule))
        };
        match fault {
            Fault::Forgives(rule) if breaks(rule) => world.core = before.core.clone(),
            Fault::Mistakes(rule) if breaks(rule) => {
                world.core = before.core.clone();
                world.core.handle_input(world.now, &[2, 0, 0, 0, Tag::Ping as u8, 0]);
            }
            Fault::Silences(tag) if message.tag() == Some(tag) && !core.is_closed() => {
                world.core = core;
            }
            _ => {}
        }
    }

    /// Tells the application.
    fn hear(&self, world: &mut World, events: &[Event]) -> Result<(), Finding> {
        for event in events {
            if let Event::Incoming(id) = event {
                let kind = world.core.stance(*id).map_or(Kind::Call, |stance| stance.kind);
                if world.users.iter().any(|user| user.id() == *id) {
                    return broken(format!("{id} is asked for twice (P-D1)"));
                }
                world.users.push(User::new(*id, kind, false));
            }
            let Some(id) = event.dialog() else { continue };
            let twice =
                self.fault == Some(Fault::TellsTwice) && matches!(event, Event::Finished(_));
            for _ in 0..=u8::from(twice) {
                if let Some(user) = world.users.iter_mut().find(|user| user.id() == id) {
                    user.hear(event)?;
                }
            }
        }
        Ok(())
    }

    /// Takes what the core tells, and looks whether all is well.
    fn settle(&self, world: &mut World, notes: &mut Notes<'_>) -> Result<(), Finding> {
        let before = world.clone();
        let events = drain(&mut world.core);
        for event in &events {
            notes.say(|| format!("the core tells: {event:?}"));
        }
        self.hear(world, &events)?;
        if world.core.is_closed() && world.stage != Stage::Over {
            check::closed(world, &before, &events, notes)?;
        }
        if world.stage != Stage::Over {
            world.users.retain(|user| {
                let lost = !user.ours && user.finished > 0;
                let freed = user.over && world.core.stance(user.id()).is_none();
                !(lost || freed)
            });
            written::settle(world)?;
            check::state(self, world)?;
        }
        Ok(())
    }

    fn open(&self, world: &mut World, notes: &mut Notes<'_>) -> Result<(), Finding> {
        let kind = self.opens[usize::from(world.next)];
        world.next += 1;
        let args = self.payload(Tag::Start);
        let opened = match kind {
            Kind::Actor => world.core.start_actor(world.now, args).map(|()| DialogId::ACTOR),
            _ => world.core.start(world.now, wish(kind), args),
        };
        notes.say(|| format!("{opened:?}"));
        if let Ok(id) = opened {
            world.opened.push(id.number());
            world.users.push(User::new(id, kind, true));
        }
        Ok(())
    }
}

fn drain(core: &mut Connection) -> Vec<Event> {
    std::iter::from_fn(|| core.poll_event()).collect()
}

impl Model for Plan {
    type State = World;
    type Action = Action;

    fn start(&self) -> World {
        let role = if self.kind == LinkKind::Child { Role::Odd } else { Role::Even };
        let config = Config { kind: self.kind, role, me: who(1), limits: self.limits() };
        let mut world = World {
            core: Connection::new(config, BEGIN),
            now: BEGIN,
            stage: Stage::Open,
            users: Vec::new(),
            opened: Vec::new(),
            started: Vec::new(),
            next: 0,
            moves: 0,
            charges: 0,
            passed: 0,
            eof: false,
            exited: None,
            deaf: false,
            written: Written::default(),
            spoke: false,
            said_goodbye: false,
            pinged: BEGIN,
        };
        if !self.greeting {
            let right = |message: &&Message| message.name() == ("Hello", "right");
            let hello = self.said.alphabet.iter().find(right).expect("a greeting");
            world.core.handle_input(BEGIN, &hello.bytes(DialogId::ACTOR));
            let mut said = Vec::new();
            let _ = world.core.poll_transmit(BEGIN, &mut said, usize::MAX);
            drain(&mut world.core);
            world.spoke = true;
        }
        world
    }

    fn actions(&self, world: &World, out: &mut Vec<Action>) {
        if world.stage != Stage::Open {
            return;
        }
        if world.core.wants_transmit() {
            out.push(Action::Write);
        }
        let passes = self.liveness.is_none_or(|most| world.passed < most);
        if world.core.poll_timeout().is_some() && passes {
            out.push(Action::Pass);
        }
        if !world.eof {
            out.push(Action::End);
        }
        if self.exits && world.exited.is_none() {
            out.push(Action::Exit);
        }
        if self.deafens && !world.deaf {
            out.push(Action::Deafen);
        }
        if self.goodbye && !world.said_goodbye {
            out.push(Action::Goodbye);
        }
        if usize::from(world.next) < self.opens.len() {
            out.push(Action::Open);
        }
        for (user, place) in world.users.iter().zip(0..) {
            user.may(self, &mut |wish| out.push(Action::Do(place, wish)));
        }
        if world.eof {
            return;
        }
        for (message, number) in self.said.alphabet.iter().zip(0..) {
            if message.target().is_none_or(|target| self.resolve(world, target).is_some()) {
                out.push(Action::Say(number));
            }
        }
    }

    fn step(
        &self,
        world: &mut World,
        action: Action,
        notes: Option<&mut Vec<String>>,
    ) -> Result<(), Finding> {
        let notes = &mut Notes::to(notes);
        match action {
            Action::Say(number) => self.say(world, number, notes)?,
            Action::Write => {
                let mut bytes = Vec::new();
                let most = if self.writes_all { usize::MAX } else { 1 };
                let _ = world.core.poll_transmit(world.now, &mut bytes, most);
                world.spoke = true;
                check::written(&bytes, notes);
                written::follow(self, world, &bytes)?;
            }
            Action::Pass => {
                let due = world.core.poll_timeout();
                notes.say(|| format!("{due:?}"));
                world.now = due.map_or(world.now, |(at, _)| at.max(world.now));
                world.passed += u8::from(self.liveness.is_some());
                world.core.handle_timeout(world.now);
                check::moves_on(world)?;
            }
            Action::End => {
                world.eof = true;
                world.core.handle_eof(world.now);
            }
            Action::Exit => {
                world.exited = Some(world.now);
                let exit = ExitReport::new(who(2), Some(ExitStatus::Code(1)), Rung::Unasked);
                world.core.handle_exit(world.now, exit);
            }
            Action::Deafen => {
                world.deaf = true;
                world.core.handle_write_closed();
            }
            Action::Goodbye => {
                world.said_goodbye = true;
                world.core.goodbye(world.now, GoodbyeReason::Leaving);
            }
            Action::Open => self.open(world, notes)?,
            Action::Do(place, wish) => {
                let user = &mut world.users[usize::from(place)];
                user.act(self, &mut world.core, world.now, wish)?;
            }
        }
        self.settle(world, notes)
    }

    fn fingerprint(&self, world: &World, state: &mut impl Hasher) {
        world.stage.hash(state);
        if world.stage == Stage::Open {
            digest(world, state);
            world.core.standing().budget.hash(state);
            (world.moves, world.charges, world.passed, world.started.len()).hash(state);
        }
    }

    fn is_over(&self, world: &World) -> bool {
        world.stage != Stage::Open
    }

    fn willing(&self, world: &World, _among: &[Action]) -> Option<Action> {
        if world.stage != Stage::Open {
            return None;
        }
        if world.core.wants_transmit() {
            return Some(Action::Write);
        }
        let mut users = world.users.iter().zip(0..);
        let wish =
            users.find_map(|(user, place)| user.wants(self).map(|wish| Action::Do(place, wish)));
        let waits = world.users.iter().any(|user| user.until.is_some() && user.finished == 0);
        let pass = Some(Action::Pass).filter(|_| waits || world.eof || world.exited.is_some());
        wish.or(pass).or(Some(Action::End))
    }

    fn words(&self, action: Action) -> String {
        match action {
            Action::Say(number) => {
                format!("the peer says: {}", self.said.alphabet[usize::from(number)])
            }
            Action::Write => "the core writes".into(),
            Action::Pass => "time passes to the next deadline".into(),
            Action::End => "the link ends".into(),
            Action::Exit => "the child's process ends".into(),
            Action::Deafen => "nothing more can be written".into(),
            Action::Goodbye => "the application says goodbye".into(),
            Action::Open => "the application opens a dialog".into(),
            Action::Do(place, wish) => {
                format!("the application, with its dialog {place}: {wish:?}")
            }
        }
    }
}

/// Digests all that decides but the peer's budget and what is followed.
fn digest(world: &World, state: &mut impl Hasher) {
    let mut names = Names::default();
    world.core.fingerprint(&mut names, state);
    world.now.hash(state);
    world.written.digest(&mut names, state);
    (world.exited, world.next, world.eof, world.deaf, world.spoke, world.said_goodbye).hash(state);
    (world.now.since(world.pinged).as_secs() >= 1).hash(state);
    for user in &world.users {
        user.digest(&mut names, state);
    }
}
