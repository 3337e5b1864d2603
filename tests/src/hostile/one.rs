//! One core against hostile bytes: the peer sends anything, this side does what it may.

use std::collections::BTreeMap;
use std::time::Duration;

use hatchery_proto::{
    ActorId, Config, Connection, DialogId, Event, GoodbyeReason, Instant, Kind, Limits, LinkKind,
    Recv, Refusal, Role, StartWish, Terminal,
};

use super::{Script, request, small_limits};

/// More than any input of the length that fuzzers try may ask for at once.
const MANY: usize = 100_000;

/// A link whose peer sends what the input says, when the input says so, while this side opens,
/// serves, cancels and leaves as the input says.
///
/// # Panics
///
/// Panics where the core breaks its word.
pub fn connection_against(bytes: &[u8]) {
    let mut script = Script(bytes);
    let mut world = World::new(script.byte());
    while !script.0.is_empty() {
        world.step(&mut script);
        world.look();
    }
    world.end();
}

/// One end of a link, and what it owes us.
struct World {
    connection: Connection,
    now: Instant,
    /// Dialogs that we opened, and how often each was said to be finished.
    ours: BTreeMap<DialogId, u32>,
    /// How many we opened, released ones included.
    opened: usize,
    /// Dialogs that the peer opened and that we have not finished.
    theirs: Vec<DialogId>,
    out: Vec<u8>,
}

impl World {
    fn new(seed: u8) -> Self {
        let now = Instant::from_micros(1);
        let (kind, role) = match seed & 3 {
            0 => (LinkKind::Parent, Role::Even),
            1 => (LinkKind::Child, Role::Odd),
            2 => (LinkKind::Peer, Role::Even),
            _ => (LinkKind::Peer, Role::Odd),
        };
        let limits = if seed & 4 == 0 { Limits::default() } else { small_limits() };
        let me = ActorId { name: "me".into(), uuid: 1, pid: 1 };
        let connection = Connection::new(Config { kind, role, me, limits }, now);
        let mut world = Self {
            connection,
            now,
            ours: BTreeMap::new(),
            opened: 0,
            theirs: Vec::new(),
            out: Vec::new(),
        };
        if seed & 8 != 0 {
            world.greet(kind, role);
        }
        world
    }

    /// Gets a real greeting out of the way, and on a child's link the start of the actor.
    fn greet(&mut self, kind: LinkKind, role: Role) {
        let kind = match kind {
            LinkKind::Parent => LinkKind::Child,
            LinkKind::Child => LinkKind::Parent,
            other => other,
        };
        let me = ActorId { name: "peer".into(), uuid: 2, pid: 2 };
        let config = Config { kind, role: role.other(), me, limits: Limits::default() };
        let mut peer = Connection::new(config, self.now);
        let mut frames = Vec::new();
        let greeting = peer.poll_transmit(self.now, &mut frames, usize::MAX);
        assert_eq!(greeting, frames.len());
        self.connection.handle_input(self.now, &frames);
        self.look();
    }

    fn step(&mut self, script: &mut Script<'_>) {
        let now = self.now;
        match script.byte() {
            // A frame with an honest length, so that most inputs get past the deframer.
            0..=99 => {
                let length = usize::from(script.byte());
                let body = script.bytes(length);
                let length = u32::try_from(body.len()).unwrap_or(0).to_le_bytes();
                self.connection.handle_input(now, &length);
                self.connection.handle_input(now, body);
            }
            100..=129 => {
                let length = usize::from(script.byte());
                self.connection.handle_input(now, script.bytes(length));
            }
            130..=149 => {
                let budget = usize::from(script.byte());
                self.out.clear();
                let written = self.connection.poll_transmit(now, &mut self.out, budget);
                assert_eq!(written, self.out.len());
            }
            150..=159 => {
                self.now = now + Duration::from_millis(1 << (script.byte() % 16));
                self.connection.handle_timeout(self.now);
                self.deadline_moves_on();
            }
            160..=179 => self.open(script),
            180..=199 => self.use_ours(script),
            200..=229 => self.serve(script),
            230 => self.connection.handle_eof(now),
            231 => self.connection.handle_write_closed(),
            232 => self.connection.goodbye(now, GoodbyeReason::Leaving),
            _ => {}
        }
    }

    fn open(&mut self, script: &mut Script<'_>) {
        let kind = match script.byte() % 3 {
            0 => Kind::Call,
            1 => Kind::Stream,
            _ => Kind::Context,
        };
        let deadline = script.byte();
        let wish = StartWish {
            endpoint: "endpoint",
            kind,
            schema: 0,
            codec: 0,
            deadline: (deadline & 1 == 1).then(|| Duration::from_millis(deadline.into())),
            trace: None,
        };
        let args = vec![0; usize::from(script.byte()) * 64];
        if let Ok(id) = self.connection.start(self.now, wish, &args) {
            self.opened += 1;
            assert!(self.ours.insert(id, 0).is_none(), "{id} was given twice (P-D1)");
        }
    }

    fn use_ours(&mut self, script: &mut Script<'_>) {
        let (choice, what) = (usize::from(script.byte()), script.byte());
        let Some(id) = self.ours.keys().nth(choice % self.ours.len().max(1)).copied() else {
            return;
        };
        let mut value = Vec::new();
        let now = self.now;
        let Some(mut caller) = self.connection.caller(id) else { return };
        match what % 8 {
            0 => drop(caller.take_started()),
            1 => drop(caller.send(&[what; 100])),
            2 => drop(caller.stop()),
            3 => drop(caller.recv(&mut value)),
            4 => caller.stop_reading(),
            5 => caller.discard(),
            6 => caller.cancel(now, request(what)),
            _ => {
                caller.release(now, request(what).by);
                self.ours.remove(&id);
            }
        }
    }

    fn serve(&mut self, script: &mut Script<'_>) {
        let (choice, what) = (usize::from(script.byte()), script.byte());
        if self.theirs.is_empty() {
            return;
        }
        let place = choice % self.theirs.len();
        let id = self.theirs[place];
        let mut value = Vec::new();
        let Some(mut callee) = self.connection.callee(id) else {
            self.theirs.swap_remove(place);
            return;
        };
        match what % 10 {
            0 => drop(callee.take_start()),
            1 => callee.accept(),
            2 => drop(callee.started(&[what; 10])),
            3 => drop(callee.send(&[what; 100])),
            4 => drop(callee.stop()),
            5 => while let Recv::Value = callee.recv(&mut value) {},
            6 => callee.stop_reading(),
            7 => callee.finish(Terminal::Return(vec![what; usize::from(what) * 256])),
            8 => callee.refuse(Refusal::Unknown, "there is no such endpoint".into()),
            _ => callee.finish(Terminal::Cancelled(request(what).by)),
        }
    }

    /// Takes all notices, and checks what always holds.
    fn look(&mut self) {
        for _ in 0..MANY {
            match self.connection.poll_event() {
                Some(Event::Incoming(id)) => self.theirs.push(id),
                Some(Event::Finished(id)) => {
                    if let Some(times) = self.ours.get_mut(&id) {
                        *times += 1;
                        assert_eq!(*times, 1, "{id} ends once (P-D4)");
                        let caller =
                            self.connection.caller(id).expect("a dialog that was not released");
                        assert!(caller.outcome().is_some(), "{id} says how it ended");
                    }
                }
                Some(_) => {}
                None => {
                    let limits = self.connection.limits();
                    let theirs = limits.max_dialogs as usize + limits.max_refusals as usize;
                    let live = self.connection.live_dialogs();
                    assert!(live <= self.opened + theirs + 1, "slots are bounded (P-W5): {live}");
                    return;
                }
            }
        }
        panic!("notices without end");
    }

    /// After a timeout the next one is later, or there is something to write.
    fn deadline_moves_on(&mut self) {
        if let Some((next, why)) = self.connection.poll_timeout() {
            let moves = next > self.now || self.connection.wants_transmit();
            assert!(moves, "{why:?} is due at {next:?} and stays so at {:?}", self.now);
        }
    }

    /// The peer is gone: within bounded time everything ends, once.
    fn end(&mut self) {
        self.connection.handle_eof(self.now);
        self.connection.handle_write_closed();
        self.look();
        for _ in 0..1000 {
            let Some((next, _)) = self.connection.poll_timeout() else { break };
            self.now = self.now.max(next);
            self.connection.handle_timeout(self.now);
            self.deadline_moves_on();
            self.look();
        }
        assert!(self.connection.is_closed(), "the end of the input closes the link (P-L4)");
        for (id, times) in &self.ours {
            assert_eq!(*times, 1, "{id} ends with its link (P-L4)");
        }
        self.out.clear();
        assert_eq!(
            self.connection.poll_transmit(self.now, &mut self.out, MANY),
            0,
            "a closed link is silent"
        );
    }
}
