//! What each message comes to in each state: one result, whatever else is the case (P-A1).
//!
//! States are told apart by what decides about a message of that kind: how its dialog stands, or how
//! the link does. Two results for one message in one such state are a finding.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::{self, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hatchery_proto::dialog::tables::{Cancel, Half, Life};
use hatchery_proto::wire::Tag;
use hatchery_proto::wire::body::Done;
use hatchery_proto::{Kind, Stance};

use super::alphabet::{Message, Target};

/// What a message came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Verdict {
    /// It did what it says.
    Taken,
    /// It cost the peer something that it is not free to; beyond its budget the link ends (P-A4).
    Charged,
    /// A `Start` that is answered with a refusal.
    Refused,
    /// The link has ended in peace.
    Ended,
    /// The peer broke the protocol.
    Closed { rule: &'static str, message: &'static str },
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken => f.write_str("taken"),
            Self::Charged => f.write_str("charged"),
            Self::Refused => f.write_str("refused"),
            Self::Ended => f.write_str("the end"),
            Self::Closed { rule, message } => write!(f, "closed by {rule} of {message}"),
        }
    }
}

/// What of a state is told apart, each with its words.
macro_rules! facts {
    ($($name:ident $words:literal,)*) => {
        #[derive(Clone, Copy, Debug)]
        #[repr(u8)]
        pub(super) enum Fact { $($name,)* }

        impl Fact {
            const WORDS: &'static [&'static str] = &[$($words,)*];
        }
    };
}

facts! {
    Greeting "greeting",
    ToPeer "on a link between peers",
    ToChild "on a child's link",
    ToParent "on a parent's link",
    Zero "dialog 0",
    EndedOwn "an ended dialog of the core",
    EndedTheirs "an ended dialog of the peer",
    Skipped "a number that the peer passed over",
    Fresh "a number that the peer may open",
    Last "the last number of all",
    FreshOwn "a number that the core may open",
    Own "a dialog of the core",
    Theirs "a dialog of the peer",
    Call "call",
    Stream "stream",
    Context "context",
    Actor "actor",
    Opening "asked for",
    Accepted "accepted",
    Live "started",
    Cancelled "cancelled",
    Short "within 2 s",
    Stopped "stopped",
    Ceased "ceased",
    StartBegun "Start begun",
    StartedBegun "Started begun",
    YieldBegun "Yield begun",
    ReturnBegun "Return begun",
    Spent "credit spent",
    NoDebt "nothing to give back",
    SmallDebt "little to give back",
    Window "a window to give back",
    LargeDebt "more than a window to give back",
    DoneSaid "done said",
    AckDue "ack due",
    Unwritten "unwritten",
    Sending "sending",
    NotWhole "arguments not whole",
    Finished "finished",
    Leaving "goodbye said",
    Left "goodbye heard",
    Idle "idle",
    Writing "writing",
    Deaf "the peer reads no more",
    NoSlot "no slot free",
    NoRefusal "no refusal free",
    PongDue "pinged",
    PingFree "not pinged by the peer of late",
    ActorOpened "actor opened",
    ActorWhole "actor known",
    ActorOver "actor over",
    Beyond "a frame beyond the largest",
}

/// A set of facts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Facts(u64);

impl Facts {
    pub(super) const fn of(facts: &[Fact]) -> Self {
        let (mut bits, mut at) = (0, 0);
        while at < facts.len() {
            bits |= 1 << facts[at] as u8;
            at += 1;
        }
        Self(bits)
    }

    pub(super) fn put(&mut self, is: bool, fact: Fact) {
        self.0 |= u64::from(is) << fact as u8;
    }

    const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn has(self, fact: Fact) -> bool {
        self.0 & 1 << fact as u8 != 0
    }

    /// What decides about messages of this kind.
    pub(super) fn that_decide(self, tag: Option<Tag>) -> Self {
        const BODIES: Facts =
            Facts::of(&[Fact::StartBegun, Fact::StartedBegun, Fact::YieldBegun, Fact::ReturnBegun]);
        const KINDS: Facts = Facts::of(&[Fact::Call, Fact::Stream, Fact::Context, Fact::Actor]);
        const LIVES: Facts = Facts::of(&[Fact::Opening, Fact::Accepted, Fact::Live]);
        const LINKS: Facts = Facts::of(&[Fact::ToPeer, Fact::ToChild, Fact::ToParent]);
        const HALVES: Facts = Facts::of(&[Fact::Cancelled, Fact::Stopped, Fact::Ceased]);
        let of_tag = match tag {
            Some(Tag::Start) => LINKS.and(BODIES).and(Self::of(&[
                Fact::Leaving,
                Fact::Left,
                Fact::NoSlot,
                Fact::NoRefusal,
                Fact::ActorOpened,
                Fact::ActorWhole,
                Fact::ActorOver,
                Fact::NotWhole,
            ])),
            Some(Tag::StartAck) => KINDS.and(LIVES).and(Self::of(&[Fact::Sending])),
            Some(Tag::Started) => KINDS.and(LIVES).and(BODIES).and(Self::of(&[Fact::Spent])),
            Some(Tag::Yield) => {
                KINDS.and(LIVES).and(BODIES).and(HALVES).and(Self::of(&[Fact::Spent]))
            }
            Some(Tag::Stop) => KINDS.and(LIVES).and(BODIES).and(HALVES),
            Some(Tag::Return) => KINDS.and(LIVES).and(BODIES),
            Some(Tag::Error) => LIVES.and(BODIES).and(Self::of(&[Fact::Cancelled])),
            Some(Tag::Cancel) => Self::of(&[Fact::Cancelled, Fact::Short]),
            Some(Tag::CancelAck) => Self::of(&[Fact::AckDue]),
            Some(Tag::Credit) => Self::of(&[
                Fact::NoDebt,
                Fact::SmallDebt,
                Fact::Window,
                Fact::LargeDebt,
                Fact::DoneSaid,
            ]),
            Some(Tag::Ping) => Self::of(&[Fact::PingFree]),
            Some(Tag::Pong) => Self::of(&[Fact::PongDue]),
            Some(Tag::Goodbye) => LINKS.and(Self::of(&[
                Fact::Leaving,
                Fact::Left,
                Fact::Idle,
                Fact::Writing,
                Fact::Deaf,
            ])),
            Some(Tag::Hello) | None => Self::default(),
        };
        let mut always = Facts::of(&[
            Fact::Greeting,
            Fact::EndedOwn,
            Fact::EndedTheirs,
            Fact::Skipped,
            Fact::Fresh,
            Fact::Last,
            Fact::FreshOwn,
            Fact::Zero,
            Fact::Own,
            Fact::Theirs,
            Fact::Unwritten,
        ]);
        let link = matches!(tag, None | Some(Tag::Hello | Tag::Ping | Tag::Pong | Tag::Goodbye));
        if self.has(Fact::Zero) && !link {
            always = always.and(LINKS).and(Self::of(&[Fact::ActorOpened]));
        }
        if self.has(Fact::Greeting) {
            // A greeting belongs to no dialog; what else comes first is refused unread.
            let numbered = tag == Some(Tag::Hello) && self.has(Fact::Fresh);
            let fresh = if numbered { Fact::Fresh } else { Fact::Greeting };
            return Self::of(&[Fact::Greeting, fresh]);
        }
        Self(self.0 & always.and(of_tag).0)
    }

    /// How a live dialog stands.
    pub(super) fn stand(&mut self, at: &Stance) {
        self.put(at.opened_here, Fact::Own);
        self.put(!at.opened_here, Fact::Theirs);
        let kind = match at.kind {
            Kind::Call => Fact::Call,
            Kind::Stream => Fact::Stream,
            Kind::Context => Fact::Context,
            Kind::Actor => Fact::Actor,
        };
        self.put(true, kind);
        self.put(at.life == Life::Opening, Fact::Opening);
        self.put(at.life == Life::Accepted, Fact::Accepted);
        self.put(at.life == Life::Live, Fact::Live);
        self.put(at.cancel != Cancel::Idle, Fact::Cancelled);
        self.put(at.grace.is_some_and(|grace| grace.as_secs() <= 2), Fact::Short);
        self.put(at.inward == Half::Stopped, Fact::Stopped);
        self.put(at.inward == Half::Closed, Fact::Ceased);
        let begun = match at.partial {
            Some("Start") => Some(Fact::StartBegun),
            Some("Started") => Some(Fact::StartedBegun),
            Some("Yield") => Some(Fact::YieldBegun),
            Some("Return") => Some(Fact::ReturnBegun),
            _ => None,
        };
        if let Some(begun) = begun {
            self.put(true, begun);
        }
        self.put(at.spent, Fact::Spent);
        let debt = match at.debt {
            ..=0 => Fact::NoDebt,
            1..1024 => Fact::SmallDebt,
            1024 => Fact::Window,
            _ => Fact::LargeDebt,
        };
        self.put(true, debt);
        self.put(at.peer_done != Done::No, Fact::DoneSaid);
        self.put(at.ack_due, Fact::AckDue);
        self.put(at.unwritten, Fact::Unwritten);
        self.put(at.sending, Fact::Sending);
        self.put(!at.arrived && !at.opened_here, Fact::NotWhole);
        self.put(at.finished, Fact::Finished);
    }

    /// To what a message goes that is for no live dialog.
    pub(super) fn to(&mut self, target: Target) {
        let fact = match target {
            Target::EndedOwn => Fact::EndedOwn,
            Target::EndedTheirs => Fact::EndedTheirs,
            Target::Skipped => Fact::Skipped,
            Target::Fresh => Fact::Fresh,
            Target::Last => Fact::Last,
            Target::FreshOwn => Fact::FreshOwn,
            _ => return,
        };
        self.put(true, fact);
    }
}

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = Fact::WORDS.iter().zip(0..).filter(|(_, bit)| self.0 >> bit & 1 == 1);
        let words: Vec<_> = known.map(|(words, _)| *words).collect();
        f.write_str(if words.is_empty() { "any" } else { "" })?;
        f.write_str(&words.join(", "))
    }
}

/// All results of a world.
#[derive(Debug, Default)]
pub(super) struct Book(Mutex<HashMap<(Facts, u16), Verdict>>);

impl Book {
    fn open(&self) -> MutexGuard<'_, HashMap<(Facts, u16), Verdict>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a result down.
    ///
    /// # Errors
    /// The other result that the same message had in the same state.
    pub(super) fn note(&self, facts: Facts, message: u16, verdict: Verdict) -> Result<(), Verdict> {
        let known = *self.open().entry((facts, message)).or_insert(verdict);
        if known == verdict { Ok(()) } else { Err(known) }
    }

    /// What each message comes to.
    pub(super) fn table(&self, alphabet: &[Message]) -> Table {
        let mut table = Table::default();
        for ((facts, number), verdict) in &*self.open() {
            let (tag, words) = alphabet[usize::from(*number)].name();
            table.put(tag, &facts.to_string(), &verdict.to_string(), words);
        }
        table
    }
}

type Rows = BTreeMap<String, BTreeSet<String>>;

/// What each message comes to: by its kind, the state, and the result.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Table(BTreeMap<String, BTreeMap<String, Rows>>);

impl Table {
    fn put(&mut self, tag: &str, state: &str, verdict: &str, words: &str) {
        let rows = self.0.entry(tag.into()).or_default().entry(state.into()).or_default();
        rows.entry(verdict.into()).or_default().insert(words.into());
    }

    /// Adds the results of another world.
    pub fn merge(&mut self, other: Self) {
        for (tag, states) in other.0 {
            for (state, rows) in states {
                let known = self.0.entry(tag.clone()).or_default().entry(state).or_default();
                for (verdict, messages) in rows {
                    known.entry(verdict).or_default().extend(messages);
                }
            }
        }
    }

    /// Every result, on a line of its own.
    #[must_use]
    pub fn results(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for (tag, states) in &self.0 {
            for (state, rows) in states {
                for (verdict, messages) in rows {
                    let lines =
                        messages.iter().map(|it| format!("{tag}, {it} | {state} | {verdict}"));
                    found.extend(lines);
                }
            }
        }
        found
    }

    /// Reads what was written.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let (mut table, mut tag, mut states) = (Self::default(), "", Vec::new());
        let mut told = false;
        for line in text.lines() {
            if let Some(next) = line.strip_prefix("# ") {
                tag = next;
            } else if let Some(state) = line.strip_prefix("- ") {
                if std::mem::take(&mut told) {
                    states.clear();
                }
                states.push(state);
            } else if let Some((verdict, messages)) =
                line.strip_prefix("  ").and_then(|line| line.split_once(": "))
            {
                told = true;
                for words in messages.split("; ") {
                    states.iter().for_each(|state| table.put(tag, state, verdict, words));
                }
            }
        }
        table
    }
}

const HEAD: &str = "What each message of a peer comes to in each state, where it may say anything.\n\
    Written by `REWRITE=1 cargo run --release -p hatchery-tests --bin explore -- ci`.\n\
    A state is told by what decides about messages of that kind, and by nothing else.\n";

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HEAD)?;
        for (tag, states) in &self.0 {
            writeln!(f, "\n# {tag}")?;
            // States in which everything comes to the same are told together.
            let mut same: BTreeMap<String, Vec<&str>> = BTreeMap::new();
            for (state, rows) in states {
                let mut text = String::new();
                for (verdict, messages) in rows {
                    let words: Vec<&str> = messages.iter().map(String::as_str).collect();
                    let _ = writeln!(text, "  {verdict}: {}", words.join("; "));
                }
                same.entry(text).or_default().push(state);
            }
            let mut sections: Vec<_> = same.into_iter().map(|(text, at)| (at, text)).collect();
            sections.sort_unstable();
            for (states, text) in sections {
                write!(f, "- {}\n{text}", states.join("\n- "))?;
            }
        }
        Ok(())
    }
}
