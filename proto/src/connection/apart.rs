//! Links whose end the system may not tell: across machines, or through a launcher's process (P-L8).
//! Whether their peer is still there is asked, and how silence is counted is decided here (P-L5).

use alloc::vec::Vec;
use core::time::Duration;

use super::{Connection, LinkKind, Phase};
use crate::limits::Limits;
use crate::report::LostCause;
use crate::time::{Clock, Instant};

/// In so many parts is the patience counted on a link apart.
const PARTS: u32 = 8;
/// How much is kept of what came before a greeting.
const MOST_FIRST: usize = 256;

/// What a link knows that is apart, and one that is not needs not.
#[derive(Clone, Debug, Default)]
pub(super) struct Apart {
    on: bool,
    /// Parts of the patience that went by in silence.
    pub(super) over: u32,
    first: Vec<u8>,
    /// What waits for a peer, and its silence, are told by.
    pub(super) clock: Clock,
}

impl Connection {
    /// The same for a link whose end the system may not tell: it pings, whatever kind of link it is,
    /// and where no other period and patience are set, with [`Limits::LIVENESS`] (P-L5).
    #[must_use]
    pub fn apart(mut self) -> Self {
        self.apart.on = true;
        self.config.limits.liveness.get_or_insert(Limits::LIVENESS);
        self
    }

    /// What came first on a link apart whose peer has not greeted, or wrongly, at most 256 bytes: what
    /// a launcher, or a program that is no actor, has written there.
    #[must_use]
    pub fn first_bytes(&self) -> &[u8] {
        &self.apart.first
    }

    /// Whether a parent has nothing more to say on a link apart, though it reads on: then it shows an
    /// end, since what stands between may wait for one before it ends itself (P-L8).
    #[must_use]
    pub fn has_said_all(&self) -> bool {
        let agreed = self.goodbye_sent && self.goodbye_received;
        let is_parent = self.apart.on && self.config.kind == LinkKind::Parent;
        is_parent && agreed && self.ours == 0 && self.theirs == 0 && !self.wants_transmit()
    }

    /// Keeps the beginning, until a greeting was found to be one.
    pub(super) fn keep_first(&mut self, bytes: &[u8]) {
        if self.apart.on {
            let room = MOST_FIRST.saturating_sub(self.apart.first.len());
            let kept = bytes.get(..room).unwrap_or(bytes);
            self.apart.first.extend_from_slice(kept);
        }
    }

    /// It was a greeting.
    pub(super) fn forget_first(&mut self) {
        self.apart.first = Vec::new();
    }

    /// When silence is to be broken, or the next part of the patience with it is over.
    pub(super) fn silence_due(&self) -> Option<Instant> {
        let heeded = self.config.kind == LinkKind::Peer || self.apart.on;
        if self.phase != Phase::Open || !heeded || self.apart.clock.stands() {
            return None;
        }
        let (period, patience) = self.config.limits.liveness?;
        Some(match self.pinged {
            None => self.heard + period,
            Some(at) => at + self.share_of(patience, self.apart.over.saturating_add(1)),
        })
    }

    /// So many parts of the patience.
    fn share_of(&self, patience: Duration, parts: u32) -> Duration {
        let all = self.patience_parts();
        if parts >= all {
            return patience;
        }
        patience.checked_mul(parts).and_then(|share| share.checked_div(all)).unwrap_or(patience)
    }

    /// On a link that is not apart the patience is over when its end is seen to be.
    const fn patience_parts(&self) -> u32 {
        if self.apart.on { PARTS } else { 1 }
    }

    /// A ping is due, or a part of the patience is over. The time by which that is seen too late is
    /// none in which the peer was listened to: where this side was stopped, or had no processor, it has
    /// not been silent then.
    pub(super) fn silence_is_due(&mut self, now: Instant) {
        let (Some(due), Some(at)) = (self.silence_due(), self.pinged) else {
            self.pinged = Some(now);
            self.apart.over = 0;
            self.out.ping = true;
            return;
        };
        self.apart.over = self.apart.over.saturating_add(1);
        if self.apart.over >= self.patience_parts() {
            return self.finalize(LostCause::LinkEnded);
        }
        self.pinged = Some(at + now.since(due));
    }
}
