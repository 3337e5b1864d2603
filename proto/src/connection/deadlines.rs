//! When the clock matters: greeting, hold-back, drain, liveness, unanswered cancels. Time comes in
//! and one next deadline comes out.

use super::{Connection, Event, Phase, Why};
use crate::dialog::tables::Cancel;
use crate::error::Violation;
use crate::id::DialogId;
use crate::report::{LostCause, Outcome};
use crate::time::Instant;

impl Connection {
    /// When [`handle_timeout`](Self::handle_timeout) wants to be called, and why. A pure function of
    /// the state.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, Why)> {
        if self.phase == Phase::Closed {
            return None;
        }
        let liveness = match (self.config.limits.liveness, self.phase) {
            (Some((period, patience)), Phase::Open) => Some(match self.pinged {
                Some(at) => at + patience,
                None => self.heard + period,
            }),
            _ => None,
        };
        let wait = self.waits.first().map(|(at, id)| (*at, Why::CancelWait(*id)));
        [
            self.handshake.map(|at| (at, Why::Handshake)),
            self.hold.map(|at| (at, Why::HoldBack)),
            self.drain.map(|at| (at, Why::Drain)),
            liveness.map(|at| (at, Why::Liveness)),
            wait,
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
                Why::Liveness => self.liveness_due(now),
                Why::CancelWait(id) => {
                    self.waits.remove(&(at, id));
                    self.unresponsive(id);
                }
            }
        }
    }

    /// The wait for a cancel has ended, its slot has not (P-C1).
    fn unresponsive(&mut self, id: DialogId) {
        if let Some(dialog) = self.dialogs.get_mut(&id)
            && dialog.outcome.is_none()
        {
            dialog.outcome = Some(Outcome::Lost(LostCause::Unresponsive));
            self.events.push_back(Event::Finished(id));
        }
    }

    fn liveness_due(&mut self, now: Instant) {
        if self.pinged.is_some() {
            self.finalize(LostCause::LinkEnded);
        } else {
            self.pinged = Some(now);
            self.out.ping = true;
        }
    }

    /// A dialog that a cancel is pending on may still be waited for.
    pub(super) fn cancel_wait(&mut self, id: DialogId, at: Instant) {
        self.waits.retain(|(_, known)| *known != id);
        if self.dialogs.get(&id).is_some_and(|dialog| dialog.cancel != Cancel::Settled) {
            self.waits.insert((at, id));
        }
    }
}
