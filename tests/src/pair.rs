//! Two ends of a link in one thread, with a clock that only the test moves.
//!
//! Bytes are carried whole, one at a time, or in any pieces a test asks for; nothing here decides
//! what is right.

use std::time::Duration;

use hatchery_proto::{
    ActorId, CancelRequest, Cancelled, Cause, Config, Connection, DialogId, Event, Instant, Kind,
    Limits, LinkKind, Outcome, Recv, Role, StartWish, Terminal,
};

use crate::hostile::read;

/// More rounds than any honest exchange of these tests takes.
const ROUNDS: usize = 10_000;

/// One end, and what it has told so far.
#[derive(Debug)]
pub struct End {
    /// The core.
    pub core: Connection,
    /// Every event, in order.
    pub events: Vec<Event>,
}

impl End {
    fn new(config: Config, now: Instant) -> Self {
        Self { core: Connection::new(config, now), events: Vec::new() }
    }

    /// Takes what the core has to tell.
    pub fn look(&mut self) {
        self.events.extend(std::iter::from_fn(|| self.core.poll_event()));
    }

    /// Whether the event was told, in which case it is forgotten up to and with it.
    pub fn saw(&mut self, event: &Event) -> bool {
        self.look();
        let found = self.events.iter().position(|known| known == event);
        if let Some(place) = found {
            self.events.remove(place);
        }
        found.is_some()
    }

    /// How often the event was told.
    pub fn count(&mut self, event: &Event) -> usize {
        self.look();
        self.events.iter().filter(|known| *known == event).count()
    }

    /// The next dialog that the peer asks for.
    ///
    /// # Panics
    /// Panics where there is none.
    pub fn incoming(&mut self) -> DialogId {
        self.look();
        let place = self.events.iter().position(|event| matches!(event, Event::Incoming(_)));
        match self.events.remove(place.expect("a dialog was asked for")) {
            Event::Incoming(id) => id,
            _ => unreachable!(),
        }
    }

    /// How the peer broke the protocol: the rule.
    pub fn broken(&mut self) -> Option<&'static str> {
        self.look();
        self.events.iter().find_map(|event| match event {
            Event::Broken(violation) => Some(violation.rule),
            _ => None,
        })
    }

    /// All that waits to be written.
    pub fn bytes(&mut self, now: Instant) -> Vec<u8> {
        let mut out = Vec::new();
        while self.core.poll_transmit(now, &mut out, usize::MAX) > 0 {}
        out
    }
}

/// How bytes are carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// As they come.
    Whole,
    /// In pieces of this many bytes.
    Pieces(usize),
    /// The same, read to where the core has room for a large payload.
    Placed(usize),
}

/// Two ends and the bytes between them.
#[derive(Debug)]
pub struct Pair {
    /// The even end: the parent, where there is one.
    pub a: End,
    /// The odd end: the child, where there is one.
    pub b: End,
    /// What time it is for both.
    pub now: Instant,
    /// How bytes are carried.
    pub split: Split,
    /// How much one `poll_transmit` is asked for.
    pub budget: usize,
}

impl Pair {
    /// A parent and its child, each with these limits, not greeted yet.
    #[must_use]
    pub fn family(limits: &Limits) -> Self {
        Self::of(LinkKind::Parent, LinkKind::Child, limits, limits)
    }

    /// Two peers, not greeted yet.
    #[must_use]
    pub fn peers(a: &Limits, b: &Limits) -> Self {
        Self::of(LinkKind::Peer, LinkKind::Peer, a, b)
    }

    /// Two peers with default limits that have greeted each other.
    #[must_use]
    pub fn up() -> Self {
        Self::up_with(&Limits::default())
    }

    /// The same with these limits at both ends.
    #[must_use]
    pub fn up_with(limits: &Limits) -> Self {
        let mut pair = Self::peers(limits, limits);
        pair.settle();
        pair
    }

    fn of(a_kind: LinkKind, b_kind: LinkKind, a: &Limits, b: &Limits) -> Self {
        let now = Instant::from_micros(1_000);
        let end = |kind, role, number: u32, limits: &Limits| {
            let config = Config { kind, role, me: actor(number), limits: limits.clone() };
            End::new(config, now)
        };
        Self {
            a: end(a_kind, Role::Even, 1, a),
            b: end(b_kind, Role::Odd, 2, b),
            now,
            split: Split::Whole,
            budget: usize::MAX,
        }
    }

    /// The same over a link that descriptors can be passed on (P-F6). To be said before anything moves.
    #[must_use]
    pub fn passing(mut self) -> Self {
        self.a.core = self.a.core.passing();
        self.b.core = self.b.core.passing();
        self
    }

    /// Carries what one call of each end gives; says whether anything moved.
    pub fn step(&mut self) -> bool {
        let forth = carry(&mut self.a, &mut self.b, self.now, self.split, self.budget);
        let back = carry(&mut self.b, &mut self.a, self.now, self.split, self.budget);
        forth || back
    }

    /// Carries from the even end to the odd one only, until nothing is left.
    pub fn forth(&mut self) {
        while carry(&mut self.a, &mut self.b, self.now, self.split, self.budget) {}
    }

    /// Carries from the odd end to the even one only, until nothing is left.
    pub fn back(&mut self) {
        while carry(&mut self.b, &mut self.a, self.now, self.split, self.budget) {}
    }

    /// Steps until nothing moves.
    ///
    /// # Panics
    /// Panics where that takes more rounds than any honest exchange.
    pub fn settle(&mut self) {
        self.drive_bounded(ROUNDS);
    }

    /// Steps until nothing moves, at most `rounds` times.
    ///
    /// # Panics
    /// Panics where something still moves then.
    pub fn drive_bounded(&mut self, rounds: usize) {
        for _ in 0..rounds {
            if !self.step() {
                return;
            }
        }
        panic!("still moving after {rounds} rounds: {:?} {:?}", self.a.core, self.b.core);
    }

    /// Lets time pass, and both ends know of it.
    pub fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        for end in [&mut self.a, &mut self.b] {
            end.core.handle_timeout(self.now);
            end.look();
            if let Some((next, why)) = end.core.poll_timeout() {
                let moves = next > self.now || end.core.wants_transmit();
                assert!(moves, "{why:?} is due and stays so");
            }
        }
    }

    /// Opens a dialog at the even end.
    ///
    /// # Panics
    /// Panics where it is refused.
    pub fn start(&mut self, kind: Kind, args: &[u8]) -> DialogId {
        self.a.core.start(self.now, wish(kind), args).expect("a dialog")
    }

    /// Opens a dialog, and has it accepted at the other end.
    pub fn open(&mut self, kind: Kind, args: &[u8]) -> DialogId {
        let id = self.start(kind, args);
        self.settle();
        assert_eq!(self.b.incoming(), id);
        let mut callee = self.b.core.callee(id).expect("the callee");
        let start = callee.take_start().expect("what was asked for");
        assert_eq!((start.kind, &start.args[..]), (kind, args));
        callee.accept();
        self.settle();
        id
    }

    /// Opens a context and starts it.
    pub fn context(&mut self) -> DialogId {
        let id = self.open(Kind::Context, b"args");
        self.b.core.callee(id).expect("the callee").started(b"first").expect("the first start");
        self.settle();
        let mut caller = self.a.core.caller(id).expect("the caller");
        assert_eq!(caller.take_started().as_deref(), Some(&b"first"[..]));
        self.settle();
        id
    }

    /// Opens dialog 0 of a family and has the child up.
    pub fn actor_up(&mut self) {
        self.settle();
        self.a.core.start_actor(self.now, b"spec").expect("dialog 0");
        self.settle();
        assert_eq!(self.b.incoming(), DialogId::ACTOR);
        let mut callee = self.b.core.callee(DialogId::ACTOR).expect("dialog 0");
        let spec = callee.take_start().expect("the specification");
        assert_eq!(spec.args, b"spec");
        callee.accept();
        callee.started(b"").expect("up");
        self.settle();
        assert!(self.a.core.caller(DialogId::ACTOR).expect("dialog 0").started());
    }

    /// What a dialog of the even end has come to.
    pub fn outcome(&mut self, id: DialogId) -> Option<Outcome> {
        self.a.core.caller(id).and_then(|caller| caller.outcome().cloned())
    }

    /// Ends a dialog at the odd end.
    ///
    /// # Panics
    /// Panics where it serves no such dialog.
    pub fn finish(&mut self, id: DialogId, terminal: Terminal) {
        self.b.core.callee(id).expect("the callee").finish(terminal);
    }

    /// Everything that the opener has received of a dialog, and how it ended.
    pub fn received_at_a(&mut self, id: DialogId) -> (Vec<Vec<u8>>, Recv) {
        let mut caller = self.a.core.caller(id).expect("the caller");
        drain(|out| caller.recv(out))
    }

    /// The same at the callee.
    pub fn received_at_b(&mut self, id: DialogId) -> (Vec<Vec<u8>>, Recv) {
        let mut callee = self.b.core.callee(id).expect("the callee");
        drain(|out| callee.recv(out))
    }
}

fn drain(mut recv: impl FnMut(&mut Vec<u8>) -> Recv) -> (Vec<Vec<u8>>, Recv) {
    let (mut values, mut value) = (Vec::new(), Vec::new());
    loop {
        match recv(&mut value) {
            Recv::Value => values.push(value.clone()),
            end => return (values, end),
        }
    }
}

fn carry(from: &mut End, to: &mut End, now: Instant, split: Split, budget: usize) -> bool {
    let mut bytes = Vec::new();
    let count = from.core.poll_transmit(now, &mut bytes, budget);
    assert_eq!(count, bytes.len(), "`poll_transmit` says what it appended");
    let size = match split {
        Split::Whole => bytes.len(),
        Split::Pieces(size) | Split::Placed(size) => size,
    };
    let mut passing = std::iter::from_fn(|| from.core.poll_descriptors()).peekable();
    let (mut begin, mut rest) = (0, &bytes[..]);
    while !rest.is_empty() {
        let mut end = begin + size.min(rest.len());
        // As a socket hands them over: with the byte that they left with, and no others in one read.
        if let Some((_, passed)) = passing.next_if(|(at, _)| (begin..end).contains(at)) {
            to.core.handle_descriptors(passed);
            end = passing.peek().map_or(end, |(next, _)| end.min(*next));
        }
        let (piece, behind) = rest.split_at(end - begin);
        match split {
            Split::Placed(_) => read(&mut to.core, now, piece),
            Split::Whole | Split::Pieces(_) => to.core.handle_input(now, piece),
        }
        (begin, rest) = (end, behind);
    }
    assert!(passing.next().is_none(), "descriptors without a byte");
    drop(passing);
    from.look();
    to.look();
    count > 0
}

/// Limits so small that short messages reach them.
#[must_use]
pub fn small_limits() -> Limits {
    Limits { max_frame: 1024, window: 1024, max_message: 64 * 1024, ..Limits::default() }
}

/// An actor that is told from others by this number.
#[must_use]
pub fn actor(number: u32) -> ActorId {
    ActorId { name: format!("actor {number}"), uuid: number.into(), pid: number }
}

/// A wish for an endpoint of this kind.
#[must_use]
pub fn wish(kind: Kind) -> StartWish<'static> {
    StartWish {
        endpoint: "tests::endpoint",
        kind,
        schema: 7,
        codec: 0,
        deadline: None,
        trace: None,
    }
}

/// Somebody's request to cancel.
#[must_use]
pub fn cancel_by(number: u32, grace: Duration) -> CancelRequest {
    CancelRequest { by: asked_by(number), grace }
}

/// Who asked, in so many words.
#[must_use]
pub fn asked_by(number: u32) -> Cancelled {
    Cancelled { canceller: actor(number), cause: Cause::Asked }
}
