//! Hostile bytes against the core: what the fuzz targets do with an input, and what the tests that
//! replay the corpora do with the same. Names nothing but the core, postcard and the simulator's
//! `world`, so that the targets can include these two folders alone.
//!
//! No input may make the core panic, stall, grow beyond its limits or leave a dialog without its one
//! outcome (P-A1 to P-A7, P-D4, P-L4). What is checked holds for every input whatever. The registrar,
//! the table of links and the terminal's lock stand beside naive models of them.

mod bodies;
mod deframer;
mod greeting;
mod one;
mod peers;
mod registrar;
mod reports;
mod tty;
mod two;
mod worlds;

pub use bodies::bodies_against;
pub use deframer::deframer_against;
pub use greeting::greeting_against;
pub use one::connection_against;
pub use peers::peers_against;
pub use registrar::registrar_against;
pub use reports::reports_against;
pub use tty::tty_against;
pub use two::pair_against;
pub use worlds::world_against;

use std::time::Duration;

use hatchery_proto::{
    ActorId, CancelRequest, Cancelled, Cause, Config, Connection, Event, Instant, Limits, LinkKind,
    Role, Violation,
};

/// What a target does with an input.
pub type Target = fn(&[u8]);

/// Every target, by the name of its file.
pub const TARGETS: [(&str, Target); 10] = [
    ("bodies", bodies_against),
    ("connection", connection_against),
    ("deframer", deframer_against),
    ("greeting", greeting_against),
    ("pair", pair_against),
    ("peers", peers_against),
    ("registrar", registrar_against),
    ("reports", reports_against),
    ("tty", tty_against),
    ("world", world_against),
];

/// An input, read as instructions.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    /// A number below `end`.
    fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end.max(1)
    }

    fn bytes(&mut self, length: usize) -> &'a [u8] {
        let (head, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        head
    }
}

/// `bytes` in pieces of these sizes, and what is then left.
fn pieces(mut bytes: &[u8], sizes: impl Iterator<Item = usize>) -> Vec<&[u8]> {
    let mut found = Vec::new();
    for size in sizes {
        let (piece, rest) = bytes.split_at(size.min(bytes.len()));
        found.push(piece);
        bytes = rest;
    }
    found.push(bytes);
    found
}

/// When every input begins.
const BEGIN: Instant = Instant::from_micros(1);

fn end_of(kind: LinkKind, role: Role, limits: Limits) -> Connection {
    let me = match role {
        Role::Even => actor(2),
        Role::Odd => actor(1),
    };
    Connection::new(Config { kind, role, me, limits }, BEGIN)
}

fn actor(number: u32) -> ActorId {
    ActorId { name: format!("actor {number}"), uuid: number.into(), pid: number }
}

/// Two peers' ends that have greeted each other.
fn greeted(limits: &Limits) -> (Connection, Connection) {
    let mut even = end_of(LinkKind::Peer, Role::Even, limits.clone());
    let mut odd = end_of(LinkKind::Peer, Role::Odd, limits.clone());
    exchange(&mut even, &mut odd);
    while even.poll_event().is_some() || odd.poll_event().is_some() {}
    (even, odd)
}

/// Carries everything both ways, until nothing moves.
fn exchange(a: &mut Connection, b: &mut Connection) {
    loop {
        let (forth, back) = (all_of(a), all_of(b));
        if forth.is_empty() && back.is_empty() {
            return;
        }
        b.handle_input(BEGIN, &forth);
        a.handle_input(BEGIN, &back);
    }
}

fn all_of(connection: &mut Connection) -> Vec<u8> {
    let mut out = Vec::new();
    while connection.poll_transmit(BEGIN, &mut out, usize::MAX) > 0 {}
    out
}

/// A machine as it prints itself, but for the numbers of what it hands out and counts: two are
/// alike where neither holds what the other does not.
pub(crate) fn bare(machine: &impl std::fmt::Debug) -> String {
    let text = format!("{machine:?}");
    ["next: ", "dropped: ", "strangers: "].into_iter().fold(text, |text, word| {
        let mut parts = text.split(word);
        let mut left = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            left.push_str(word);
            left.push_str(part.trim_start_matches(|digit: char| digit.is_ascii_digit()));
        }
        left
    })
}

/// How the peer broke the protocol, if it did.
fn broken(connection: &mut Connection) -> Option<Violation> {
    let events = std::iter::from_fn(|| connection.poll_event());
    events.filter_map(|event| if let Event::Broken(how) = event { Some(how) } else { None }).last()
}

fn request(seed: u8) -> CancelRequest {
    let by = Cancelled { canceller: actor(seed.into()), cause: Cause::Asked };
    CancelRequest { by, grace: Duration::from_millis(u64::from(seed) * 8) }
}

/// So small that short inputs reach every one of them.
fn small_limits() -> Limits {
    Limits {
        max_frame: Limits::FLOOR,
        max_message: 2048,
        window: Limits::FLOOR,
        max_dialogs: 4,
        max_refusals: 2,
        misbehaviour_budget: 8,
        ..Limits::default()
    }
}

/// Has a core hear of these bytes as from a driver that reads them to where it has room for them.
pub fn read(core: &mut Connection, now: Instant, bytes: &[u8]) {
    let place = core.place();
    let (there, behind) = bytes.split_at(place.len().min(bytes.len()));
    place[..there.len()].copy_from_slice(there);
    core.handle_placed(there.len());
    core.handle_input(now, behind);
}
