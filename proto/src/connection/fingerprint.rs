//! A digest of all that decides what may happen next on a link, so that explorers can tell states
//! apart. Nothing here changes anything.
//!
//! Left out: what only counts (the budgets of P-A4, numbers yet to be given), what never changes
//! (the configuration), and what a value says beyond its size and its first byte. Numbers of dialogs
//! are renamed in the order in which they appear, and of deadlines only the order is kept.

use alloc::vec::Vec;
use core::hash::{Hash, Hasher};
use core::mem::discriminant;

use super::{Connection, Phase};
use crate::dialog::tables::Life;
use crate::dialog::{Control, Dialog, Outgoing, Reading};
use crate::id::{DialogId, Role};
use crate::report::{CancelRequest, Cancelled, Outcome};
use crate::time::Instant;
use crate::wire::Tag;
use crate::wire::deframer::Deframer;

/// New names for dialogs, in the order in which they appear; shared by both ends of a link and by
/// what is on its way between them.
#[derive(Clone, Debug, Default)]
pub struct Names(Vec<DialogId>);

impl Names {
    /// The new name: which end opened it, and how many others were named before.
    pub fn of(&mut self, id: DialogId) -> u64 {
        let place = self.0.iter().position(|known| *known == id).unwrap_or_else(|| {
            self.0.push(id);
            self.0.len().saturating_sub(1)
        });
        let opener = match (id.opener(), id.is_actor()) {
            (_, true) => 2,
            (Role::Even, false) => 0,
            (Role::Odd, false) => 1,
        };
        u64::try_from(place).unwrap_or(u64::MAX).wrapping_mul(4).wrapping_add(opener)
    }
}

impl Connection {
    /// Digests the state.
    pub fn fingerprint(&self, names: &mut Names, state: &mut impl Hasher) {
        (self.phase as u8, self.actor_over).hash(state);
        self.dialogs.len().hash(state);
        for (id, dialog) in self.dialogs.iter() {
            names.of(id).hash(state);
            dialog.fingerprint(state);
        }
        self.out.fingerprint(names, state);
        self.events.len().hash(state);
        for event in &self.events {
            discriminant(event).hash(state);
            event.dialog().map(|id| names.of(id)).hash(state);
        }
        // Nothing is read, opened or awaited on a link that has ended.
        if self.phase == Phase::Closed {
            return;
        }
        (self.peer.is_some(), self.actor_opened, self.eof, self.exit.is_some()).hash(state);
        (self.goodbye_sent, self.refuses, self.goodbye_received, self.pongs_due).hash(state);
        (self.refusals, self.ours, self.theirs).hash(state);
        self.highest.map(|id| names.of(DialogId::new(id))).hash(state);
        if self.tree().is_some() {
            self.ends.hash(state);
        }
        if self.apart.over > 0 {
            self.apart.over.hash(state);
        }
        self.deframer.fingerprint(state);
        if let Some(place) = &self.placing {
            place.fingerprint(names, state);
        }
        self.deadlines(names, state);
    }

    fn deadlines(&self, names: &mut Names, state: &mut impl Hasher) {
        let one = [(0, self.handshake), (1, self.hold), (2, self.drain), (3, self.pinged)];
        let mut all: Vec<(Instant, u64)> =
            one.into_iter().filter_map(|(why, at)| at.map(|at| (at, why))).collect();
        all.extend(self.waits.iter().map(|(at, id)| (*at, names.of(*id).saturating_add(4))));
        all.sort_unstable();
        let mut last = None;
        for (at, why) in all {
            (last == Some(at), why).hash(state);
            last = Some(at);
        }
    }
}

impl super::outbox::Outbox {
    fn fingerprint(&self, names: &mut Names, state: &mut impl Hasher) {
        (self.hello().len(), self.ping, self.pong, self.mute).hash(state);
        self.goodbye.as_ref().map(discriminant).hash(state);
        for queue in self.queues() {
            queue.len().hash(state);
            queue.iter().for_each(|id| names.of(*id).hash(state));
        }
    }
}

impl Dialog {
    fn fingerprint(&self, state: &mut impl Hasher) {
        (self.side as u8, self.kind as u8, self.life, self.inc, self.released).hash(state);
        (self.reading == Reading::Overrun).hash(state);
        self.inbox.len().hash(state);
        self.inbox.overrun().hash(state);
        for (value, cost) in self.inbox.iter() {
            (brief(value), &cost).hash(state);
        }
        self.first.as_ref().map(|(value, cost)| (brief(value), cost)).hash(state);
        self.outcome.as_ref().map(discriminant).hash(state);
        match &self.outcome {
            Some(Outcome::Returned(value)) => brief(value).hash(state),
            Some(Outcome::Cancelled(by)) => hash_cancelled(by, state),
            Some(Outcome::Refused(refusal, _)) => discriminant(refusal).hash(state),
            Some(Outcome::Lost(cause)) => discriminant(cause).hash(state),
            _ => {}
        }
        // Of one that has ended only what is left to be read can still be told.
        if self.life != Life::Done {
            self.live(state);
        }
    }

    fn live(&self, state: &mut impl Hasher) {
        (self.cancel, self.out).hash(state);
        (self.ack_due, self.cancels, self.balance, self.allowance, self.owed).hash(state);
        (self.ceiling, self.unsent, self.lent).hash(state);
        (self.peer_done, self.reading as u8, self.wants_credit, self.arrived).hash(state);
        (self.args_cost, self.queued, self.finished, self.refused).hash(state);
        let start = self.start.as_ref();
        start.map(|start| (brief(&start.incoming.args), &start.cost)).hash(state);
        let partial = self.partial.as_ref();
        partial.map(|part| (part.tag as u8, brief(&part.bytes), part.size, part.cost)).hash(state);
        self.queue.len().saturating_add(self.values.len).hash(state);
        // Values that share a buffer are told apart like others.
        let mut frames = self.values.rest();
        let mut deframer = Deframer::new(u32::MAX);
        while let Ok(Some(frame)) = deframer.next(&mut frames) {
            let head: &[u8] = &[];
            (Tag::Yield as u8, brief(frame.body), head, 0_usize, false).hash(state);
        }
        self.queue.iter().for_each(|message| message.fingerprint(state));
        hash_request(self.request.as_deref(), state);
        self.control.fingerprint(state);
    }
}

impl Control {
    fn fingerprint(&self, state: &mut impl Hasher) {
        (self.queued, self.ack, self.cancel, self.cancel_ack).hash(state);
        (self.done, self.credit).hash(state);
    }
}

impl Outgoing {
    fn fingerprint(&self, state: &mut impl Hasher) {
        let (own, taken, between) = self.payload.look();
        // As small values are that are kept one behind the other: it is the same state.
        (self.tag as u8, brief(own), &self.head, taken, self.begun).hash(state);
        if between > 0 {
            between.hash(state);
        }
    }
}

/// What of a value is told apart.
fn brief(value: &[u8]) -> (usize, Option<u8>) {
    (value.len(), value.first().copied())
}

fn hash_request(request: Option<&CancelRequest>, state: &mut impl Hasher) {
    request.map(|request| request.grace).hash(state);
    if let Some(request) = request {
        hash_cancelled(&request.by, state);
    }
}

fn hash_cancelled(by: &Cancelled, state: &mut impl Hasher) {
    (by.canceller.uuid, discriminant(&by.cause)).hash(state);
}
