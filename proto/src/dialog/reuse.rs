//! The place of a dialog that is over, for the next one: with the room that is left in its queues, and
//! nothing else of it.

use alloc::collections::VecDeque;

use super::inbox::Inbox;
use super::run::KEPT;
use super::tables::{Cancel, Half, Life};
use super::{Control, Dialog, Kind, Outgoing, Reading, Side};
use crate::passed::Passed;
use crate::wire::body::Done;

/// Queues of so many take little.
const FEW: usize = 4;

impl Dialog {
    /// What begins it has left. A context may be idle for long from here on, and small values do not come by
    /// the queue that this came by.
    pub(crate) fn has_begun(&mut self) {
        if self.kind == Kind::Context && self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
    }

    /// What its place takes at most, once what it held is let go.
    pub(crate) const PLACE: usize =
        size_of::<Self>() + FEW * (size_of::<Outgoing>() + Inbox::PLACE) + KEPT;

    /// Its place is to be another's: what it held is let go, but for room in queues that calls need.
    pub(crate) fn let_go(&mut self) {
        if self.queue.capacity() > FEW {
            self.queue = VecDeque::new();
        } else if !self.queue.is_empty() {
            self.queue.clear();
        }
        if self.inbox.room() > FEW {
            self.inbox = Inbox::default();
        } else {
            self.inbox.let_go();
        }
        self.values.clear();
        self.partial = None;
        self.first = None;
        self.start = None;
        self.outcome = None;
        self.request = None;
        (self.passed, self.passed_end) = (Passed::NONE, Passed::NONE);
    }

    /// Takes that place, with the room that is left in it.
    pub(crate) fn renew(&mut self, side: Side, kind: Kind, window: u32) {
        // Each as `new` has it, in its place: a dialog is large, and nearly all of it is as it was.
        (self.side, self.kind, self.window, self.allowance) =
            (side, kind, window, i64::from(window));
        (self.life, self.cancel) = (Life::default(), Cancel::default());
        (self.out, self.inc) = (Half::default(), Half::default());
        (self.ack_due, self.acked, self.cancels) = (false, false, 0);
        (self.balance, self.ceiling, self.owed, self.unsent) = (0, 0, 0, 0);
        (self.lent, self.args_cost, self.last) = (0, 0, 0);
        (self.peer_done, self.reading) = (Done::No, Reading::Kept);
        (self.wants_credit, self.queued, self.control) = (false, false, Control::default());
        (self.arrived, self.released, self.finished, self.refused) = (false, false, false, false);
        self.wait = None;
    }
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use alloc::format;
    use alloc::string::String;
    use alloc::sync::Arc;
    use alloc::vec;
    use core::time::Duration;

    use super::super::payload::Payload;
    use super::super::{Arrived, Incoming, Overrun, Partial};
    use super::*;
    use crate::id::ActorId;
    use crate::report::{CancelRequest, Cancelled, Cause, LostCause, Outcome};
    use crate::time::Instant;
    use crate::wire::Tag;

    fn passed() -> Passed {
        Passed::of(vec![Arc::new(())])
    }

    fn incoming() -> Incoming {
        Incoming {
            endpoint: String::from("x"),
            kind: Kind::Call,
            schema: 1,
            codec: 1,
            args: vec![1],
            deadline: None,
            trace: None,
        }
    }

    fn fill(dialog: &mut Dialog) {
        dialog.inbox.push(vec![5], 29, passed());
        dialog.inbox.set_overrun(Overrun::LatestOnly);
        for _ in 0..=FEW {
            let (head, payload) = (vec![6], Payload::default());
            dialog.queue.push_back(Outgoing {
                tag: Tag::Yield,
                head,
                payload,
                begun: true,
                passed: passed(),
            });
        }
    }

    /// One of which nothing is as it is in a new one.
    fn used() -> Dialog {
        let by = Cancelled { canceller: ActorId::default(), cause: Cause::Asked };
        let mut used = Dialog {
            side: Side::Callee,
            kind: Kind::Stream,
            life: Life::Live,
            cancel: Cancel::Acked,
            ack_due: true,
            acked: true,
            cancels: 3,
            out: Half::Stopped,
            inc: Half::Closed,
            balance: -5,
            allowance: 7,
            window: 9,
            owed: 11,
            peer_done: Done::Gone,
            reading: Reading::Overrun,
            wants_credit: true,
            unsent: 13,
            inbox: Inbox::default(),
            lent: 15,
            last: 31,
            partial: Some(Partial {
                tag: Tag::Yield,
                bytes: vec![2],
                size: 1,
                cost: 17,
                passed: passed(),
            }),
            first: Some((vec![3], 19)),
            start: Some(Box::new(Arrived { incoming: incoming(), cost: 21 })),
            arrived: true,
            outcome: Some(Outcome::Lost(LostCause::Closed)),
            request: Some(Box::new(CancelRequest { by, grace: Duration::ZERO })),
            wait: Some(Instant::from_micros(23)),
            values: super::super::run::Framed { bytes: vec![4; 300], written: 1, len: 2 },
            queue: VecDeque::new(),
            queued: true,
            control: Control {
                queued: true,
                ack: true,
                cancel: true,
                cancel_ack: true,
                done: true,
                credit: true,
            },
            args_cost: 25,
            released: true,
            finished: true,
            refused: true,
            ceiling: 27,
            passed: passed(),
            passed_end: passed(),
        };
        fill(&mut used);
        used
    }

    #[test]
    fn nothing_of_a_dialog_is_left_for_the_next_in_its_place() {
        let mut dialog = used();
        for (side, kind) in [(Side::Opener, Kind::Context), (Side::Callee, Kind::Call)] {
            dialog.let_go();
            dialog.renew(side, kind, 4096);
            let new = Dialog::new(side, kind, 4096);
            assert_eq!(format!("{dialog:?}"), format!("{new:?}"));
            assert!(dialog.queue.capacity() <= FEW && dialog.inbox.room() <= FEW);
            assert!(dialog.values.bytes.capacity() <= KEPT);
            dialog = used();
        }
    }
}
