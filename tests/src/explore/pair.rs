//! Two conforming peers over a link with a queue each way, and users who do everything that users
//! may do, in every order.
//!
//! The cores are the real ones. Time stands still: a deadline may come at any moment, but deadlines
//! of one end come in their order.
//!
//! # What is left out, and why nothing is lost
//! - **Order between the ends.** They share nothing but two queues without a bound. Where something
//!   waits to be read at an end, or its link is over, whatever the other end does takes nothing from
//!   it and changes nothing that it does: only its own actions are tried first
//!   ([`Plan::reduced`]). Every run has a run of the same actions, each in the same state of its own
//!   end, among those that are tried; no run goes in a circle, so every run that gets stuck, and
//!   every state in which nothing is on its way, is among them too.
//! - **The link's end.** That an end cannot write shows when it writes; that nothing more comes shows
//!   when it reads. What is lost between the two is what the reader does not read. So the two are
//!   tried where they show, each by its own end alone. An end that has read all it will ever read of
//!   a link that fails has done so before it failed.
//! - **Two ends without a link.** Once one end has closed, nothing passes from the other to it, and
//!   what it has said before is on its way or lost: each end is followed alone ([`Action::Follow`]),
//!   measured against what the users of the other had done by then.
//! - **A look that finds nothing.** It changes nothing in the core. A reader looks only where there is
//!   something; that it would have been told, had it waited, is checked in every state.
//! - **What is over.** Of a user that is done only what the other side is still measured against is
//!   told apart: no action of it, and no check, needs the rest.
//! - **Dialogs apart** ([`Plan::apart`]). Of frames of two dialogs it does not matter which was written
//!   first where each may be read first: that is more than a link does, so nothing is left out, and
//!   what is found wrong would have to be looked at. Of an end that has closed each dialog is looked at
//!   alone, while the users of the others do what is left to them.
//!
//! Whether credit is conserved is a question to both ends at once, and is asked in the states that are
//! tried: a step that breaks the sum breaks it in any order in which both ends still know the dialog.
//! `tests/tests/explore.rs` compares small worlds with the same worlds unreduced and together.

mod check;
pub(crate) mod link;
mod plan;
mod users;

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use hatchery_proto::{
    ActorId, Cancelled, Cause, Config, Connection, Event, GoodbyeReason, Instant, Limits, LinkKind,
    Names, Role, Why,
};

use super::search::{Finding, Model, Pool};
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
    /// It reads the next frame of this talk's dialog.
    DeliverOf(u8, u8),
    /// What an end wants to write cannot be written, nor what it writes later.
    Fail(u8),
    /// An end reads the end of the link, whatever is on its way to it.
    Eof(u8),
    /// Of two ends that have nothing more to do with each other this one is looked at.
    Follow(u8),
    /// Of the dialogs of an end that has closed only this talk's is looked at: the others have ended.
    Alone(u8, u8),
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
    /// Shared with the states in which nothing has happened here since.
    pub(crate) core: Arc<Connection>,
    /// It may have something to tell.
    touched: bool,
    said_goodbye: bool,
    /// A deadline of the link has come here.
    late: bool,
}

impl End {
    pub(crate) fn core(&mut self) -> &mut Connection {
        self.touched = true;
        Arc::make_mut(&mut self.core)
    }
}

/// All there is.
#[derive(Clone, Debug)]
pub struct World {
    pub(crate) ends: [End; 2],
    /// From this end to the other.
    pub(crate) links: [Arc<Link>; 2],
    pub(crate) talks: Vec<Talk>,
    /// The link was cut somewhere, on purpose.
    broken: bool,
    /// The one end that is looked at, where nothing more passes between the two.
    only: Option<u8>,
    /// The one talk that is looked at, where the one end has closed.
    alone: Option<u8>,
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
            window: self.window,
            max_dialogs: self.max_dialogs,
            ..Limits::default()
        }
    }

    /// What the user of this talk at an end knows, as far as it can still use it.
    #[must_use]
    pub fn known(&self, world: &World, talk: usize, end: u8) -> String {
        let (mut known, talk) = (String::new(), &world.talks[talk]);
        let core = &world.ends[usize::from(end)].core;
        let ledger = talk.id.and_then(|id| core.ledger(id));
        let readable = ledger.is_some_and(|ledger| ledger.readable);
        talk.known(usize::from(end), readable, &mut known);
        known
    }

    fn may_happen(&self, world: &World, end: u8, out: &mut Vec<Action>) {
        let (this, link) = (&world.ends[usize::from(end)], &world.links[usize::from(end)]);
        let inward = &world.links[usize::from(1 - end)];
        if self.apart && !inward.queue.is_empty() {
            for (place, talk) in (0..).zip(&world.talks) {
                if talk.id.is_some_and(|id| inward.may_take(id)) {
                    out.push(Action::DeliverOf(end, place));
                }
            }
        } else if !inward.queue.is_empty() || (inward.cut && !this.core.is_closed()) {
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
        // What the other has read by then it has read before.
        let read = !self.reduced || link.queue.is_empty();
        let writes = this.core.wants_transmit() || (self.prompt && !this.core.is_closed());
        if self.cuts && !link.cut && read && writes {
            out.push(Action::Fail(end));
        }
        if self.cuts && !this.core.is_closed() && !(inward.cut && inward.queue.is_empty()) {
            out.push(Action::Eof(end));
        }
    }

    /// Writes what the core gives at once, at most a dialog's control frames.
    fn transmit(&self, world: &mut World, end: u8, notes: &mut Notes<'_>) {
        let mut bytes = Vec::new();
        let this = &mut world.ends[usize::from(end)];
        let written = this.core().poll_transmit(NOW, &mut bytes, 1);
        assert_eq!(written, bytes.len(), "`poll_transmit` says what it appended");
        let link = Arc::make_mut(&mut world.links[usize::from(end)]);
        if link.cut {
            this.core().handle_write_closed();
            notes.say(|| "the link is gone".into());
            return;
        }
        link.write(&bytes, self.fault, notes);
    }

    fn deliver(&self, world: &mut World, end: u8, of: Option<u8>, notes: &mut Notes<'_>) {
        let link = Arc::make_mut(&mut world.links[usize::from(1 - end)]);
        let this = &mut world.ends[usize::from(end)];
        let next = match of.and_then(|place| world.talks[usize::from(place)].id) {
            Some(dialog) => link.take(dialog),
            None => link.queue.pop_front(),
        };
        match next {
            Some(packet) => {
                notes.say(|| packet.words());
                this.core().handle_input(NOW, &packet.bytes);
            }
            None => {
                notes.say(|| "end-of-file".into());
                this.core().handle_eof(NOW);
            }
        }
    }

    /// Takes what the cores tell, until they tell no more, and closes what has ended.
    fn settle(&self, world: &mut World, notes: &mut Notes<'_>) -> Result<(), Finding> {
        for end in 0..2 {
            while world.ends[end].touched {
                let Some(event) = world.ends[end].core().poll_event() else {
                    world.ends[end].touched = false;
                    break;
                };
                notes.say(|| format!("{} is told: {event:?}", name(end)));
                self.told(world, end, &event)?;
            }
            let closed = world.ends[end].core.is_closed();
            if closed {
                Arc::make_mut(&mut world.links[1 - end]).queue.clear();
                let mute = !world.ends[end].core.wants_transmit();
                Arc::make_mut(&mut world.links[end]).cut |= mute;
            }
        }
        Ok(())
    }

    /// Where it happens.
    fn owner(&self, action: Action) -> usize {
        match action {
            Action::Transmit(end)
            | Action::Deliver(end)
            | Action::DeliverOf(end, _)
            | Action::Fail(end)
            | Action::Eof(end)
            | Action::Follow(end)
            | Action::Alone(end, _)
            | Action::Timer(end)
            | Action::Goodbye(end) => end.into(),
            Action::Opener(talk, _) => self.talks[usize::from(talk)].opener,
            Action::Callee(talk, _) => 1 - self.talks[usize::from(talk)].opener,
        }
    }

    /// Whether it happens where everybody wants to come to an end and nothing breaks any more.
    fn is_willing(&self, world: &World, action: Action) -> bool {
        let talk = |place: u8| &world.talks[usize::from(place)];
        match action {
            Action::Transmit(_)
            | Action::Deliver(_)
            | Action::DeliverOf(..)
            | Action::Follow(_)
            | Action::Alone(..) => true,
            Action::Fail(_) | Action::Eof(_) => false,
            Action::Timer(_) => world.is_quiet(),
            Action::Goodbye(_) => world.ends.iter().any(|end| end.said_goodbye),
            Action::Opener(place, wish) => talk(place).opener_wants(self) == Some(wish),
            Action::Callee(place, wish) => talk(place).callee_wants(self) == Some(wish),
        }
    }

    /// The users of every other talk at an end that has closed do what is left to them: nothing of it
    /// can be seen from the one that is looked at.
    fn end_others(
        &self,
        world: &mut World,
        end: u8,
        alone: u8,
        notes: &mut Notes<'_>,
    ) -> Result<(), Finding> {
        let end = usize::from(end);
        for (place, _) in (0..).zip(&self.talks).filter(|(place, _)| *place != alone) {
            loop {
                let talk = &world.talks[usize::from(place)];
                if talk.opener_end == end {
                    let Some(wish) = talk.opener_wants(self) else { break };
                    self.opener_does(world, place, wish, notes)?;
                } else {
                    let Some(wish) = talk.callee_wants(self) else { break };
                    self.callee_does(world, place, wish, notes)?;
                }
                self.settle(world, notes)?;
            }
            if !world.talks[usize::from(place)].is_over(end) {
                return Err(Finding::Deadlock(format!(
                    "talk {place} does not end at {} though its end has closed",
                    name(end)
                )));
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

impl<'a> Notes<'a> {
    pub(crate) const fn to(notes: Option<&'a mut Vec<String>>) -> Self {
        Self(notes)
    }

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
            let core = Arc::new(Connection::new(config, NOW));
            End { core, touched: false, said_goodbye: false, late: false }
        };
        let mut world = World {
            ends: [end(Role::Even, 1), end(Role::Odd, 2)],
            links: Default::default(),
            talks: (0..).zip(&self.talks).map(Talk::new).collect(),
            broken: false,
            only: None,
            alone: None,
        };
        let mut quiet = Notes(None);
        while !self.greeting && !world.is_quiet() || world.links.iter().any(|l| !l.queue.is_empty())
        {
            for end in 0..2 {
                self.transmit(&mut world, end, &mut quiet);
            }
            for end in 0..2 {
                self.deliver(&mut world, end, None, &mut quiet);
            }
            self.settle(&mut world, &mut quiet).expect("an honest greeting");
        }
        world
    }

    fn actions(&self, world: &World, out: &mut Vec<Action>) {
        let gone = |end: &End| end.core.is_closed() && !end.core.wants_transmit();
        if self.reduced && world.only.is_none() && world.ends.iter().any(gone) {
            return out.extend([Action::Follow(0), Action::Follow(1)]);
        }
        if let (true, Some(only), None) = (self.apart, world.only, world.alone)
            && gone(&world.ends[usize::from(only)])
        {
            let talks = u8::try_from(world.talks.len()).expect("few talks");
            return out.extend((0..talks).map(|talk| Action::Alone(only, talk)));
        }
        for end in 0..2 {
            self.may_happen(world, end, out);
        }
        for (place, talk) in world.talks.iter().enumerate() {
            let place = u8::try_from(place).expect("few talks");
            talk.opener_may(self, |wish| out.push(Action::Opener(place, wish)));
            talk.callee_may(self, |wish| out.push(Action::Callee(place, wish)));
        }
        if let Some(only) = world.only {
            out.retain(|action| self.owner(*action) == usize::from(only));
        }
        if let Some(alone) = world.alone {
            out.retain(|action| match action {
                Action::Opener(talk, _) | Action::Callee(talk, _) => *talk == alone,
                _ => true,
            });
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
            Action::Deliver(end) => self.deliver(world, end, None, notes),
            Action::DeliverOf(end, talk) => self.deliver(world, end, Some(talk), notes),
            Action::Fail(end) => {
                world.broken = true;
                Arc::make_mut(&mut world.links[usize::from(end)]).cut = true;
                world.end(end).core().handle_write_closed();
                if self.reduced {
                    world.end(1 - end).core().handle_eof(NOW);
                }
            }
            Action::Eof(end) => {
                world.broken = true;
                world.end(end).core().handle_eof(NOW);
            }
            Action::Timer(end) => {
                let this = world.end(end);
                let due = this.core.poll_timeout();
                notes.say(|| format!("{due:?}"));
                this.core().handle_timeout(due.map_or(NOW, |(at, _)| at));
                match due {
                    Some((_, Why::CancelWait(id))) => {
                        let talk = world.talks.iter_mut().find(|talk| talk.id == Some(id));
                        talk.expect("somebody opened it").opener.late = true;
                    }
                    _ => this.late = true,
                }
            }
            Action::Follow(end) => world.only = Some(end),
            Action::Alone(end, talk) => {
                world.alone = Some(talk);
                self.end_others(world, end, talk, notes)?;
            }
            Action::Goodbye(end) => {
                let this = world.end(end);
                this.said_goodbye = true;
                this.core().goodbye(NOW, GoodbyeReason::Leaving);
            }
            Action::Opener(talk, wish) => self.opener_does(world, talk, wish, notes)?,
            Action::Callee(talk, wish) => self.callee_does(world, talk, wish, notes)?,
        }
        self.settle(world, notes)?;
        for end in (0..2).filter(|_| self.prompt) {
            while world.ends[usize::from(end)].core.wants_transmit() {
                self.transmit(world, end, notes);
            }
        }
        self.settle(world, notes)?;
        for talk in &mut world.talks {
            let Some(id) = talk.id else { continue };
            let opener = talk.opener_end;
            let ledgers = [opener, 1 - opener].map(|end| world.ends[end].core.ledger(id));
            talk.readers(ledgers.each_ref().map(Option::as_ref), self.reduced)?;
        }
        self.check(world)
    }

    fn fingerprint(&self, world: &World, state: &mut impl Hasher) {
        let mut names = Names::default();
        let seen = |end: usize| world.only.is_none_or(|only| usize::from(only) == end);
        for number in (0..2).filter(|end| seen(*end)) {
            let end = &world.ends[number];
            end.core.fingerprint(&mut names, state);
            (end.said_goodbye, end.late).hash(state);
            let link = &world.links[1 - number];
            if self.apart {
                let dialogs = world.talks.iter().filter_map(|talk| talk.id);
                link.fingerprint_apart(dialogs, &mut names, state);
            } else {
                link.fingerprint(&mut names, state);
            }
        }
        for (place, talk) in (0..).zip(&world.talks) {
            if world.alone.is_some_and(|alone| alone != place) {
                continue;
            }
            let sides = [seen(talk.opener_end), seen(1 - talk.opener_end)];
            talk.fingerprint(&mut names, sides, self.reduced, state);
        }
        (world.broken, world.only, world.alone).hash(state);
    }

    /// Few states of one end, and few ways of a link, make many worlds.
    fn share(&self, world: &mut World, pool: &mut Pool) {
        let ids: Vec<_> = world.talks.iter().map(|talk| talk.id).collect();
        // Numbers keep their places, whichever of them is known there.
        let mut names = Names::default();
        ids.iter().flatten().for_each(|id| _ = names.of(*id));
        let ways = world.ends.iter_mut().zip(&mut world.links).enumerate();
        for (number, (end, link)) in ways {
            pool.share(&mut end.core, |core, state| {
                // No digest says which of the two it is.
                (number, &ids).hash(state);
                core.fingerprint(&mut names.clone(), state);
            });
            pool.share(link, |link, state| {
                ids.hash(state);
                link.fingerprint(&mut names.clone(), state);
            });
        }
    }

    fn is_over(&self, world: &World) -> bool {
        let parting = world.ends.iter().any(|end| end.said_goodbye) || world.only.is_some();
        (0..2).filter(|end| world.only.is_none_or(|only| only == *end)).all(|number| {
            let end = &world.ends[usize::from(number)];
            let empty = end.core.known_dialogs() == 0 && !end.core.wants_transmit();
            let closed = end.core.is_closed() || !parting;
            let talks = (0..).zip(&world.talks);
            let mut looked_at =
                talks.filter(|(place, _)| world.alone.is_none_or(|alone| alone == *place));
            empty && closed && looked_at.all(|(_, talk)| talk.is_over(number.into()))
        })
    }

    fn first(&self, world: &World, actions: &mut Vec<Action>) {
        // A frame that overtakes is not the one that waits.
        if !self.reduced || matches!(self.fault, Some(Fault::Hurries(_))) {
            return;
        }
        for end in 0..2 {
            let closed = world.ends[end].core.is_closed();
            let waits = world.ends[end].core.wants_transmit()
                && world.links[end].queue.len() >= self.capacity;
            let ready = (closed || !world.links[1 - end].queue.is_empty()) && !waits;
            let willing = |action: &Action| self.is_willing(world, *action);
            if ready && actions.iter().any(|a| self.owner(*a) == end && willing(a)) {
                actions.retain(|action| self.owner(*action) == end);
                return;
            }
        }
    }

    fn willing(&self, world: &World, among: &[Action]) -> Option<Action> {
        among.iter().copied().find(|action| self.is_willing(world, *action))
    }

    fn words(&self, action: Action) -> String {
        let end = |end: u8| name(end.into());
        let opener = |talk: u8| self.talks[usize::from(talk)].opener;
        match action {
            Action::Transmit(from) => format!("{} writes", end(from)),
            Action::Deliver(to) => format!("{} reads", end(to)),
            Action::Fail(from) => format!("{} cannot write any more", end(from)),
            Action::DeliverOf(to, talk) => format!("{} reads, of talk {talk}", end(to)),
            Action::Alone(at, talk) => {
                format!("(from here on only what happens to talk {talk} at {})", end(at))
            }
            Action::Follow(at) => format!("(from here on only what happens at {})", end(at)),
            Action::Eof(to) => format!("{} reads the end of the link", end(to)),
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
