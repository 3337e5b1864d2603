//! Two conforming peers over a link with a queue each way, and users who do everything that users
//! may do, in every order.
//!
//! The cores are the real ones. Time stands still: a deadline may come at any moment, but deadlines
//! of one end come in their order.

mod check;
mod link;
mod plan;
mod users;

use std::hash::{Hash, Hasher};

use hatchery_proto::{
    ActorId, Cancelled, Cause, Config, Connection, Event, GoodbyeReason, Instant, Limits, LinkKind,
    Names, Role,
};

use super::search::{Finding, Model};
use link::Link;
pub use plan::{Fault, Plan, TalkPlan};
use users::Talk;

/// The clock, which stands still.
const NOW: Instant = Instant::from_micros(1_000_000);

/// One thing that may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// An end writes what it gives at once.
    Transmit(u8),
    /// An end reads the next frame, or the end of the link.
    Deliver(u8),
    /// What an end writes from now on is lost, and the other reads the end behind what is there.
    Cut(u8),
    /// The same, and what is on its way is lost too.
    Lose(u8),
    /// An end's next deadline comes.
    Timer(u8),
    /// An end says `Goodbye`.
    Goodbye(u8),
    /// The opener of a talk does something.
    Opener(u8, Wish),
    /// Its callee does.
    Callee(u8, Wish),
}

/// What a user does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// The opener opens.
    Open,
    /// The callee takes what is asked for and says that it is scheduled.
    Accept,
    /// The callee says that the task will not run.
    Refuse,
    /// The callee starts; the opener takes the first value.
    Started,
    /// The next value.
    Send,
    /// The end of the own direction.
    Stop,
    /// Takes a value, where there is one.
    Recv,
    /// Will read no more.
    StopReading,
    /// The opener asks to cancel.
    Cancel,
    /// The opener's handle goes.
    Release,
    /// The callee ends with its result,
    Return,
    /// with an error,
    Fail,
    /// or cancelled: by its opener, or by somebody else.
    Cancelled,
}

/// One end of the link.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) core: Connection,
    said_goodbye: bool,
    /// A deadline has come here.
    late: bool,
}

/// All there is.
#[derive(Clone, Debug)]
pub struct World {
    pub(crate) ends: [End; 2],
    /// From this end to the other.
    pub(crate) links: [Link; 2],
    pub(crate) talks: Vec<Talk>,
    /// The link was cut somewhere, on purpose.
    broken: bool,
}

impl World {
    fn end(&mut self, end: u8) -> &mut End {
        &mut self.ends[usize::from(end)]
    }

    /// Whether nothing is on its way and nothing waits to be.
    pub(crate) fn is_quiet(&self) -> bool {
        self.links.iter().all(|link| link.queue.is_empty() && !link.cut)
            && self.ends.iter().all(|end| !end.core.wants_transmit())
    }
}

impl Plan {
    fn limits(&self) -> Limits {
        Limits {
            max_frame: self.max_frame,
            max_message: 1100,
            window: Limits::FLOOR,
            max_dialogs: self.max_dialogs,
            ..Limits::default()
        }
    }

    fn may_happen(&self, world: &World, end: u8, out: &mut Vec<Action>) {
        let (this, link) = (&world.ends[usize::from(end)], &world.links[usize::from(end)]);
        let inward = &world.links[usize::from(1 - end)];
        if !inward.queue.is_empty() || (inward.cut && !this.core.is_closed()) {
            out.push(Action::Deliver(end));
        }
        if this.core.wants_transmit() && (link.queue.len() < self.capacity || link.cut) {
            out.push(Action::Transmit(end));
        }
        if self.timers && this.core.poll_timeout().is_some() {
            out.push(Action::Timer(end));
        }
        if self.goodbye && !this.said_goodbye && !this.core.is_closed() {
            out.push(Action::Goodbye(end));
        }
        if self.cuts && !link.cut {
            out.push(Action::Cut(end));
            if !link.queue.is_empty() {
                out.push(Action::Lose(end));
            }
        }
    }

    /// Writes what the core gives at once, at most a dialog's control frames.
    fn transmit(&self, world: &mut World, end: u8, notes: &mut Notes<'_>) {
        let mut bytes = Vec::new();
        let this = &mut world.ends[usize::from(end)];
        let written = this.core.poll_transmit(NOW, &mut bytes, 1);
        assert_eq!(written, bytes.len(), "`poll_transmit` says what it appended");
        let link = &mut world.links[usize::from(end)];
        if link.cut {
            this.core.handle_write_closed();
            notes.say(|| "the link is gone".into());
            return;
        }
        link.write(&bytes, self.fault, notes);
    }

    fn deliver(&self, world: &mut World, end: u8, notes: &mut Notes<'_>) {
        let link = &mut world.links[usize::from(1 - end)];
        let this = &mut world.ends[usize::from(end)];
        match link.queue.pop_front() {
            Some(packet) => {
                notes.say(|| packet.words());
                this.core.handle_input(NOW, &packet.bytes);
            }
            None => {
                notes.say(|| "end-of-file".into());
                this.core.handle_eof(NOW);
            }
        }
    }

    /// Takes what the cores tell, until they tell no more, and closes what has ended.
    fn settle(&self, world: &mut World, notes: &mut Notes<'_>) -> Result<(), Finding> {
        for end in 0..2 {
            while let Some(event) = world.ends[end].core.poll_event() {
                notes.say(|| format!("{} is told: {event:?}", name(end)));
                self.told(world, end, &event)?;
            }
            let closed = world.ends[end].core.is_closed();
            if closed {
                world.links[1 - end].queue.clear();
                world.links[end].cut |= !world.ends[end].core.wants_transmit();
            }
        }
        Ok(())
    }

    fn told(&self, world: &mut World, end: usize, event: &Event) -> Result<(), Finding> {
        match event {
            // The greeting that did not come in time is nobody's fault here.
            Event::Broken(_) if world.ends.iter().any(|end| end.late) && self.greeting => {}
            Event::Broken(violation) => {
                return broken(format!("{} finds fault with its peer: {violation}", name(end)));
            }
            Event::Incoming(id) => {
                let talk = world.talks.iter_mut().find(|talk| talk.id == Some(*id));
                talk.expect("somebody opened it").callee.told += 1;
            }
            _ => {
                for talk in &mut world.talks {
                    talk.hear(end, event)?;
                }
            }
        }
        Ok(())
    }
}

/// A property does not hold.
pub(crate) fn broken<T>(what: impl Into<String>) -> Result<T, Finding> {
    Err(Finding::Violation(what.into()))
}

/// What an end is called in a transcript.
pub(crate) const fn name(end: usize) -> &'static str {
    if end == 0 { "a" } else { "b" }
}

/// An actor that is told from others by this number; without a name, which would be cloned with
/// every state.
pub(crate) fn who(number: u32) -> ActorId {
    ActorId { name: String::new(), uuid: number.into(), pid: number }
}

/// Who asked, in so many words.
pub(crate) fn asked_by(number: u32) -> Cancelled {
    Cancelled { canceller: who(number), cause: Cause::Asked }
}

/// What a reader of the transcript should know.
pub(crate) struct Notes<'a>(Option<&'a mut Vec<String>>);

impl Notes<'_> {
    pub(crate) fn say(&mut self, what: impl FnOnce() -> String) {
        if let Some(notes) = &mut self.0 {
            notes.push(what());
        }
    }
}

impl Model for Plan {
    type State = World;
    type Action = Action;

    fn start(&self) -> World {
        let end = |role, number| {
            let config =
                Config { kind: LinkKind::Peer, role, me: who(number), limits: self.limits() };
            End { core: Connection::new(config, NOW), said_goodbye: false, late: false }
        };
        let mut world = World {
            ends: [end(Role::Even, 1), end(Role::Odd, 2)],
            links: Default::default(),
            talks: (0..).zip(&self.talks).map(Talk::new).collect(),
            broken: false,
        };
        let mut quiet = Notes(None);
        while !self.greeting && !world.is_quiet() || world.links.iter().any(|l| !l.queue.is_empty())
        {
            for end in 0..2 {
                self.transmit(&mut world, end, &mut quiet);
            }
            for end in 0..2 {
                self.deliver(&mut world, end, &mut quiet);
            }
            self.settle(&mut world, &mut quiet).expect("an honest greeting");
        }
        world
    }

    fn actions(&self, world: &World, out: &mut Vec<Action>) {
        for end in 0..2 {
            self.may_happen(world, end, out);
        }
        for (place, talk) in world.talks.iter().enumerate() {
            let place = u8::try_from(place).expect("few talks");
            talk.opener_may(self, |wish| out.push(Action::Opener(place, wish)));
            talk.callee_may(self, |wish| out.push(Action::Callee(place, wish)));
        }
    }

    fn step(
        &self,
        world: &mut World,
        action: Action,
        notes: Option<&mut Vec<String>>,
    ) -> Result<(), Finding> {
        let notes = &mut Notes(notes);
        match action {
            Action::Transmit(end) => self.transmit(world, end, notes),
            Action::Deliver(end) => self.deliver(world, end, notes),
            Action::Cut(end) | Action::Lose(end) => {
                world.broken = true;
                let link = &mut world.links[usize::from(end)];
                link.cut = true;
                if matches!(action, Action::Lose(_)) {
                    link.queue.clear();
                }
            }
            Action::Timer(end) => {
                let this = world.end(end);
                let due = this.core.poll_timeout();
                notes.say(|| format!("{due:?}"));
                this.late = true;
                this.core.handle_timeout(due.map_or(NOW, |(at, _)| at));
            }
            Action::Goodbye(end) => {
                let this = world.end(end);
                this.said_goodbye = true;
                this.core.goodbye(NOW, GoodbyeReason::LinkOnly);
            }
            Action::Opener(talk, wish) => self.opener_does(world, talk, wish, notes)?,
            Action::Callee(talk, wish) => self.callee_does(world, talk, wish, notes)?,
        }
        self.settle(world, notes)?;
        self.check(world)
    }

    fn fingerprint(&self, world: &World, state: &mut impl Hasher) {
        let mut names = Names::default();
        for end in &world.ends {
            end.core.fingerprint(&mut names, state);
            (end.said_goodbye, end.late).hash(state);
        }
        for link in &world.links {
            link.fingerprint(&mut names, state);
        }
        for talk in &world.talks {
            talk.fingerprint(&mut names, state);
        }
        world.broken.hash(state);
    }

    fn is_over(&self, world: &World) -> bool {
        let empty = |end: &End| {
            let done = end.core.is_closed() || !world.ends.iter().any(|end| end.said_goodbye);
            end.core.known_dialogs() == 0 && !end.core.wants_transmit() && done
        };
        world.talks.iter().all(Talk::is_over) && world.ends.iter().all(empty)
    }

    fn willing(&self, world: &World) -> Option<Action> {
        for end in 0..2 {
            let mut may = Vec::new();
            self.may_happen(world, end, &mut may);
            let moves = |action: &Action| {
                matches!(action, Action::Deliver(_) | Action::Transmit(_))
                    || (matches!(action, Action::Timer(_)) && world.is_quiet())
            };
            if let Some(action) = may.into_iter().find(moves) {
                return Some(action);
            }
        }
        let talks = || world.talks.iter().zip(0..);
        let wished = talks().find_map(|(talk, place)| {
            let opener = talk.opener_wants(self).map(|wish| Action::Opener(place, wish));
            opener.or_else(|| talk.callee_wants(self).map(|wish| Action::Callee(place, wish)))
        });
        wished.or_else(|| {
            let parting = world.ends.iter().any(|end| end.said_goodbye);
            let left = |end: &u8| !world.ends[usize::from(*end)].said_goodbye;
            (0..2).find(left).filter(|_| parting && self.goodbye).map(Action::Goodbye)
        })
    }

    fn words(&self, action: Action) -> String {
        let end = |end: u8| name(end.into());
        let opener = |talk: u8| self.talks[usize::from(talk)].opener;
        match action {
            Action::Transmit(from) => format!("{} writes", end(from)),
            Action::Deliver(to) => format!("{} reads", end(to)),
            Action::Cut(from) => format!("the link from {} ends", end(from)),
            Action::Lose(from) => {
                format!("the link from {} ends, what is in it is lost", end(from))
            }
            Action::Timer(at) => format!("a deadline comes at {}", end(at)),
            Action::Goodbye(from) => format!("{} says goodbye", end(from)),
            Action::Opener(talk, wish) => {
                format!("{}, opener of talk {talk}: {wish:?}", name(opener(talk)))
            }
            Action::Callee(talk, wish) => {
                format!("{}, callee of talk {talk}: {wish:?}", name(1 - opener(talk)))
            }
        }
    }
}
