//! Which hostile worlds are explored: each as small as shows its part of the states, so that all of
//! them together take less than a minute.

use hatchery_proto::{Kind, LinkKind};

use super::Plan;

/// Every world, with its states and transitions.
#[must_use]
pub fn all() -> Vec<(Plan, (usize, usize))> {
    vec![
        (greeting(), (528, 241_843)),
        (liveness(), (2_795, 939_324)),
        (serving("hostile, a call is served", Kind::Call), (1_473, 836_243)),
        (serving("hostile, a stream is served", Kind::Stream), (876, 498_203)),
        (asking("hostile, a call is made", Kind::Call), (1_050, 508_622)),
        (asking("hostile, a context is opened", Kind::Context), (3_273, 1_600_375)),
        (slots(), (877, 577_000)),
        (parent(), (3_079, 1_915_456)),
        (child(), (8_540, 5_759_741)),
        (leaving(), (1_107, 519_887)),
        (both_ways(), (7_486, 4_271_613)),
        (reading(), (4_392, 2_171_152)),
        (in_fragments("hostile, fragments are served", true), (777, 441_514)),
        (in_fragments("hostile, fragments are sent", false), (3_388, 1_665_626)),
        (dying(), (3_932, 1_277_617)),
    ]
}

/// So small that it is explored in every run of the tests: a stream that is served, and ends.
#[must_use]
pub fn small() -> Plan {
    let mut plan = serving("hostile, small", Kind::Stream);
    plan.simple = true;
    plan.sends = false;
    plan.moves = 0;
    plan
}

/// From the first byte on.
#[must_use]
pub fn greeting() -> Plan {
    let mut plan = Plan::of("hostile, the greeting", LinkKind::Peer);
    plan.greeting = true;
    plan.opens = vec![Kind::Call];
    plan
}

/// A silent peer is asked for a sign of life.
#[must_use]
pub fn liveness() -> Plan {
    let mut plan = Plan::of("hostile, signs of life", LinkKind::Peer);
    plan.liveness = Some(3);
    plan.charges = 3;
    plan.goodbye = true;
    plan.deafens = true;
    plan.parts = true;
    plan
}

/// A dialog of the peer.
fn serving(name: &'static str, kind: Kind) -> Plan {
    let mut plan = Plan::of(name, LinkKind::Peer);
    plan.serves = vec![kind];
    plan.starts = 1;
    plan.moves = 1;
    plan.charges = u8::from(kind == Kind::Call);
    (plan.sends, plan.reads) = (true, kind == Kind::Stream);
    plan.simple = kind != Kind::Call;
    plan.writes_all = true;
    plan
}

/// A dialog of the application.
fn asking(name: &'static str, kind: Kind) -> Plan {
    let mut plan = Plan::of(name, LinkKind::Peer);
    plan.opens = vec![kind];
    plan.moves = u8::from(kind != Kind::Context);
    plan.charges = 0;
    (plan.sends, plan.reads) = (kind == Kind::Context, kind == Kind::Stream);
    plan.writes_all = kind != Kind::Call;
    plan.cancels = if kind == Kind::Call { 2 } else { 1 };
    plan.drops = kind == Kind::Call;
    plan
}

/// More dialogs than are taken.
fn slots() -> Plan {
    let mut plan = Plan::of("hostile, slots and budgets", LinkKind::Peer);
    plan.serves = vec![Kind::Call];
    plan.starts = 3;
    plan.charges = 0;
    plan.simple = true;
    plan.writes_all = true;
    plan.slots = 1;
    plan
}

/// A parent and a hostile child.
fn parent() -> Plan {
    let mut plan = Plan::of("hostile, a child", LinkKind::Parent);
    plan.opens = vec![Kind::Actor];
    plan.serves = vec![Kind::Call];
    plan.starts = 1;
    plan.charges = 0;
    plan.simple = true;
    plan.writes_all = true;
    plan.parts = true;
    plan
}

/// A child and a hostile parent.
fn child() -> Plan {
    let mut plan = Plan::of("hostile, a parent", LinkKind::Child);
    plan.serves = vec![Kind::Actor, Kind::Call];
    plan.starts = 2;
    plan.charges = 0;
    plan.simple = true;
    plan.writes_all = true;
    plan.parts = true;
    plan
}

/// Either side takes its leave.
fn leaving() -> Plan {
    let mut plan = Plan::of("hostile, goodbye", LinkKind::Peer);
    plan.opens = vec![Kind::Call];
    plan.goodbye = true;
    plan.deafens = true;
    plan.charges = 0;
    plan.parts = true;
    plan
}

/// A context of the peer, with values each way.
fn both_ways() -> Plan {
    let mut plan = serving("hostile, a context is served, values each way", Kind::Context);
    (plan.sends, plan.reads) = (true, true);
    (plan.ceases, plan.begins) = (false, false);
    plan
}

/// A stream of the application's, which the peer fills and ends as it likes.
fn reading() -> Plan {
    let mut plan = asking("hostile, a stream is read", Kind::Stream);
    plan.moves = 1;
    plan
}

/// Messages of two frames each from the application: a context of the peer, or one of its own.
fn in_fragments(name: &'static str, served: bool) -> Plan {
    let mut plan = if served { serving(name, Kind::Context) } else { asking(name, Kind::Context) };
    (plan.sends, plan.reads) = (true, false);
    plan.moves = 0;
    plan.writes_all = false;
    plan.fragments = true;
    plan.max_frame = 1024;
    plan
}

/// A child whose process ends, which its link may outlive.
fn dying() -> Plan {
    let mut plan = Plan::of("hostile, a child that dies", LinkKind::Parent);
    plan.opens = vec![Kind::Actor, Kind::Call];
    plan.charges = 0;
    plan.writes_all = true;
    plan.exits = true;
    plan
}
