//! Deadlines of a link: when the next is due and why, and what follows when it is.

use core::time::Duration;

use super::{Connection, Event, LinkKind, Phase, Why};
use crate::dialog::tables::Cancel;
use crate::error::Violation;
use crate::id::DialogId;
use crate::report::{LostCause, Outcome};
use crate::time::Instant;

/// What a cancelled dialog's user waits beyond the grace (P-C1).
pub(super) const BEYOND_GRACE: Duration = Duration::from_millis(500);
/// How long a peer that is no parent may take to answer a `Goodbye` (P-C7).
const PEER_DRAIN: Duration = Duration::from_secs(3);

impl Connection {
    /// When [`handle_timeout`](Self::handle_timeout) wants to be called, and why. A pure function of
    /// the state.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, Why)> {
        if self.phase == Phase::Closed {
            return None;
        }
        // Not while a debugger has the terminal (P-T2).
        let clock = &self.apart.clock;
        let wait =
            self.waits.first().and_then(|(at, id)| Some((clock.due(*at)?, Why::CancelWait(*id))));
        let peer_wait = self.peer_wait().and_then(|at| clock.due(at));
        [
            self.handshake.map(|at| (at, Why::Handshake)),
            self.hold.map(|at| (at, Why::HoldBack)),
            self.drain.map(|at| (at, Why::Drain)),
            self.silence_due().map(|at| (at, Why::Liveness)),
            wait,
            peer_wait.map(|at| (at, Why::CancelWait(DialogId::ACTOR))),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|(at, _)| *at)
    }

    /// The time is `now`. Spurious calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, why)) = self.poll_timeout() {
            if at > now {
                return;
            }
            match why {
                Why::Handshake => {
                    self.handshake = None;
                    let patience = self.config.limits.handshake_timeout;
                    self.broken(Violation::new(
                        "Hello",
                        "P-L1",
                        "greeting",
                        alloc::format!("it did not come within {patience:?}"),
                    ));
                }
                Why::HoldBack => self.hold_ended(),
                Why::Drain => self.finalize(LostCause::Closed),
                Why::Liveness => self.silence_is_due(now),
                Why::CancelWait(DialogId::ACTOR) => self.peer_is_late(),
                Why::CancelWait(id) => {
                    self.waits.pop_first();
                    self.unresponsive(id);
                }
            }
        }
    }

    /// Something in this actor, or below it, holds or waits for the terminal: nobody is waited for in
    /// vain, and no silence counts, from now on (P-T2). Again: nothing.
    pub fn hold(&mut self, now: Instant) {
        self.apart.clock.hold(now);
    }

    /// Nothing does any more. Where nothing stood: nothing.
    pub fn resume(&mut self, now: Instant) {
        let stood = self.apart.clock.resume(now);
        self.heard = now.min(self.heard + stood);
        self.pinged = self.pinged.map(|at| at + stood);
    }

    /// The wait for a cancel has ended, its slot has not (P-C1).
    fn unresponsive(&mut self, id: DialogId) {
        if let Some(dialog) = self.dialogs.get_mut(&id) {
            dialog.wait = None;
            if dialog.outcome.is_none() {
                dialog.outcome = Some(Outcome::Lost(LostCause::Unresponsive));
                self.events.push_back(Event::Finished(id));
            }
        }
    }

    /// From when all is said and nothing is open, the answer to our `Goodbye` is waited for a
    /// bounded time; a parent waits for its child's end-of-file instead (P-L3).
    pub(super) fn arm_drain(&mut self, now: Instant) {
        let waiting = self.phase == Phase::Open
            && self.goodbye_sent
            && !self.goodbye_received
            && self.out.goodbye.is_none()
            && self.ours == 0
            && self.theirs == 0;
        if waiting && self.drain.is_none() {
            self.drain = match self.config.kind {
                LinkKind::Parent => None,
                LinkKind::Child => Some(now + self.config.limits.hold_back),
                LinkKind::Peer => Some(now + PEER_DRAIN),
            };
        }
    }

    /// Who cancels a dialog waits for its end no longer than until `at`, by the clock that may stand
    /// (P-C1).
    pub(super) fn cancel_wait(&mut self, id: DialogId, at: Instant) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        let pending = dialog.cancel != Cancel::Settled && dialog.outcome.is_none();
        if pending {
            let at = dialog.wait.map_or(at, |known| known.min(at));
            if let Some(known) = dialog.wait.replace(at) {
                self.waits.remove(&(known, id));
            }
            self.waits.insert((at, id));
        }
    }

    pub(super) fn forget_wait(&mut self, id: DialogId) {
        let wait = self.dialogs.get_mut(&id).and_then(|dialog| dialog.wait.take());
        if let Some(at) = wait {
            self.waits.remove(&(at, id));
        }
    }
}
