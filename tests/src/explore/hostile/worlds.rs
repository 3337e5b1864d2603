//! Which hostile worlds are explored: each as small as shows its part of the states, so that all of
//! them together take less than a minute.

use hatchery_proto::{Kind, LinkKind};

use super::Plan;

/// Every world, with its states and transitions.
#[must_use]
pub fn all() -> Vec<(Plan, (usize, usize))> {
    vec![
        (greeting(), (0, 0)),
        (serving("hostile, a call is served", Kind::Call), (0, 0)),
        (serving("hostile, a stream is served", Kind::Stream), (0, 0)),
        (serving("hostile, a context is served", Kind::Context), (0, 0)),
        (asking("hostile, a call is made", Kind::Call), (0, 0)),
        (asking("hostile, a stream is asked for", Kind::Stream), (0, 0)),
        (asking("hostile, a context is opened", Kind::Context), (0, 0)),
        (slots(), (0, 0)),
        (parent(), (0, 0)),
        (child(), (0, 0)),
        (leaving(), (0, 0)),
    ]
}

/// From the first byte on; the link's own messages, and signs of life.
#[must_use]
pub fn greeting() -> Plan {
    let mut plan = Plan::of("hostile, the greeting", LinkKind::Peer);
    plan.greeting = true;
    plan.opens = vec![Kind::Call];
    plan.charges = 3;
    plan.drops = true;
    plan.liveness = Some(3);
    plan
}

/// A dialog of the peer.
fn serving(name: &'static str, kind: Kind) -> Plan {
    let mut plan = Plan::of(name, LinkKind::Peer);
    plan.serves = vec![kind];
    plan.starts = 1;
    plan.moves = 2;
    plan.streams = true;
    plan
}

/// A dialog of the application.
fn asking(name: &'static str, kind: Kind) -> Plan {
    let mut plan = Plan::of(name, LinkKind::Peer);
    plan.opens = vec![kind];
    plan.moves = 2;
    plan.streams = true;
    plan.cancels = 2;
    plan.drops = true;
    plan
}

/// More dialogs than are taken, both ways.
fn slots() -> Plan {
    let mut plan = Plan::of("hostile, slots and budgets", LinkKind::Peer);
    plan.serves = vec![Kind::Call];
    plan.starts = 3;
    plan.opens = vec![Kind::Call];
    plan.charges = 3;
    plan
}

/// A parent and a hostile child.
fn parent() -> Plan {
    let mut plan = Plan::of("hostile, a child", LinkKind::Parent);
    plan.opens = vec![Kind::Actor, Kind::Call];
    plan.serves = vec![Kind::Call];
    plan.starts = 1;
    plan
}

/// A child and a hostile parent.
fn child() -> Plan {
    let mut plan = Plan::of("hostile, a parent", LinkKind::Child);
    plan.opens = vec![Kind::Call];
    plan.serves = vec![Kind::Actor, Kind::Call];
    plan.starts = 2;
    plan
}

/// Either side takes its leave.
fn leaving() -> Plan {
    let mut plan = Plan::of("hostile, goodbye", LinkKind::Peer);
    plan.opens = vec![Kind::Call];
    plan.serves = vec![Kind::Call];
    plan.starts = 1;
    plan.goodbye = true;
    plan.drops = true;
    plan
}
