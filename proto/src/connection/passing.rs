//! Descriptors that go with a message (P-F6): who may pass them, which message those are of that have
//! arrived, and how many are kept. What they are is never looked at.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::vec::Vec;

use super::outbox::{Outbox, message};
use super::receive::Judged;
use super::{Connection, LinkKind, Phase, StartWish};
use crate::dialog::Dialog;
use crate::dialog::tables::Life;
use crate::error::{Misuse, NotPassed, SendError, Violation};
use crate::id::DialogId;
use crate::limits::Limits;
use crate::passed::{Held, Missing, Passed};
use crate::time::Instant;
use crate::wire::{Frame, Tag};

/// What a link knows of descriptors.
#[derive(Clone, Debug, Default)]
pub(super) struct Passing {
    /// This side takes them with a message, and how many the peer does.
    ours: bool,
    theirs: u8,
    /// Those that have come with bytes, and are of no frame yet: those of a read, each.
    arrived: VecDeque<Passed>,
    /// Those of the frame that is being judged, and how many it says they are,
    pub(super) claimed: Passed,
    pub(super) named: u8,
    /// and of the message that it has made whole.
    pub(super) whole: Passed,
    held: Held,
}

impl Passing {
    /// Nothing more will be heard: those of no frame are let go.
    pub(super) fn forget(&mut self) {
        self.arrived.clear();
    }
}

impl Connection {
    /// The same for a link that descriptors can be passed on: says so in the greeting. To be said before
    /// anything is written; again: nothing.
    #[must_use]
    pub fn passing(mut self) -> Self {
        if core::mem::replace(&mut self.passing.ours, true) {
            return self;
        }
        let hello = self.hello();
        self.out = Outbox::greeting(&hello);
        self
    }

    // Looks.

    /// Whether descriptors may arrive, so that bytes have to be read in a way that takes them: until the
    /// greeting is done, wherever this side has said that it takes them.
    #[must_use]
    pub fn expects_descriptors(&self) -> bool {
        self.passing.ours && (self.phase == Phase::Greeting || self.passing.theirs > 0)
    }

    /// How many this side announces to take with a message.
    pub(super) const fn takes_descriptors(&self) -> u8 {
        if self.passing.ours { Limits::DESCRIPTORS } else { 0 }
    }

    /// The descriptors of what this dialog has returned, for as long as that is held (P-D9).
    #[must_use]
    pub fn outcome_passed(&self, id: DialogId) -> Passed {
        self.dialogs.get(&id).map_or(Passed::NONE, |dialog| dialog.passed_end.clone())
    }

    // Facts.

    /// These descriptors have come with one of the bytes that [`handle_input`](Self::handle_input) is
    /// given next, as the system hands them over: the ones of one write. Where the system had no room
    /// for them, [`Passed::missing`].
    pub fn handle_descriptors(&mut self, passed: Passed) {
        if self.phase != Phase::Closed && !self.eof && !passed.is_none() {
            self.passing.arrived.push_back(passed);
        }
    }

    // Wishes.

    /// As [`start`](Self::start), with descriptors that go with the arguments.
    ///
    /// # Errors
    /// As there; `NotPassed` where the link, or the peer as far as that is known, takes none, or not so
    /// many; `ActorNotStarted` at a parent whose child is not up, which reads in its own way till then.
    pub fn start_passing(
        &mut self,
        now: Instant,
        wish: StartWish<'_>,
        args: &[u8],
        passed: Passed,
    ) -> Result<DialogId, Misuse> {
        if passed.is_none() {
            return self.start(now, wish, args);
        }
        self.may_pass(&passed)?;
        let up = |actor: &Dialog| actor.life == Life::Live;
        let parent = self.config.kind == LinkKind::Parent;
        if parent && !self.dialogs.get(&DialogId::ACTOR).is_some_and(up) {
            return Err(Misuse::ActorNotStarted);
        }
        let id = self.start(now, wish, args)?;
        let queued = self.dialogs.get_mut(&id).and_then(|dialog| dialog.queue.back_mut());
        if let Some(start) = queued {
            start.carry(passed);
        }
        Ok(id)
    }

    pub(super) fn send_passing(
        &mut self,
        id: DialogId,
        value: &mut Vec<u8>,
        passed: &Passed,
    ) -> Result<(), SendError> {
        if passed.is_none() {
            return self.send_from(id, value);
        }
        self.may_pass(passed)?;
        let Some(dialog) = self.dialogs.get_mut(&id) else { return Err(SendError::Ended) };
        super::values::spend(dialog, &self.announced, value.len())?;
        dialog.pay(passed);
        if !self.out.mute {
            let next = self.out.spare.empty_for(value.len());
            let mut value = message(Tag::Yield, core::mem::replace(value, next));
            value.carry(passed.clone());
            self.out.queue(id, dialog, value);
        }
        Ok(())
    }

    pub(super) fn may_pass(&self, passed: &Passed) -> Result<(), NotPassed> {
        let count = passed.handles().len();
        let max = match (self.passing.ours, self.phase) {
            (false, _) => return Err(NotPassed::Here),
            (true, Phase::Greeting) => Limits::DESCRIPTORS,
            (true, _) => self.passing.theirs.min(Limits::DESCRIPTORS),
        };
        match usize::from(max) {
            0 => Err(NotPassed::There),
            max if count > max => Err(NotPassed::TooMany { count, max }),
            _ => Ok(()),
        }
    }

    // Out.

    /// The descriptors that go with what was last appended by [`poll_transmit`](Self::poll_transmit),
    /// and the byte that they have to leave with: first to last, each once.
    #[must_use]
    pub fn poll_descriptors(&mut self) -> Option<(usize, Passed)> {
        self.out.passing.pop_front()
    }

    // What the peer says.

    /// It takes so many.
    pub(super) const fn peer_takes_descriptors(&mut self, count: u8) {
        self.passing.theirs = if self.passing.ours { count } else { 0 };
    }

    /// A frame that says that descriptors go with it.
    #[cold]
    pub(super) fn frame_passing(&mut self, now: Instant, frame: &Frame<'_>) -> Judged {
        // To an end that takes none the flag is not known, whenever it comes.
        if !self.expects_descriptors() {
            let name = frame.tag.map_or("frame", Tag::name);
            return Err(Violation::new(name, "P-F4", "any", "its flags are malformed"));
        }
        if self.phase == Phase::Open {
            self.passing.claimed = self.claim(frame)?;
            self.passing.named = frame.descriptors;
        }
        let judged = self.judge(now, frame);
        // Those of a message that nobody wants go with it.
        (self.passing.claimed, self.passing.named) = (Passed::NONE, 0);
        judged
    }

    fn claim(&mut self, frame: &Frame<'_>) -> Result<Passed, Violation> {
        let name = frame.tag.map_or("frame", Tag::name);
        let named = usize::from(frame.descriptors);
        let refuse = |rule, what| Err(Violation::new(name, rule, "open", what));
        if named > usize::from(Limits::DESCRIPTORS) {
            let max = Limits::DESCRIPTORS;
            return refuse("P-F6", format!("it carries {named} descriptors and may carry {max}"));
        }
        let Some(passed) = self.passing.arrived.pop_front() else {
            return refuse("P-F6", format!("it carries {named} descriptors and none has come"));
        };
        let came = passed.handles().len();
        if passed.why_missing().is_none() && came != named {
            return refuse("P-F6", format!("it carries {named} descriptors and {came} have come"));
        }
        let keeps = self.passing.held.holds(&passed, Limits::DESCRIPTORS_HELD);
        Ok(if keeps { passed } else { Passed::missing(Missing::Unread) })
    }

    /// The bytes that descriptors have come with were heard: they are of a frame, or of the one of which
    /// a part has come.
    pub(super) fn descriptors_heard(&mut self) {
        let most = usize::from(self.deframer.held() > 0);
        let left = self.passing.arrived.len();
        let many = self
            .passing
            .arrived
            .iter()
            .any(|passed| passed.handles().len() > usize::from(Limits::DESCRIPTORS));
        if left > most || many {
            let state = self.state();
            let what = "descriptors have come that no frame carries";
            self.broken(Violation::new("frame", "P-F6", state, what));
        }
    }

    /// Whether some have come that no frame has claimed.
    pub(super) fn has_unclaimed(&self) -> bool {
        !self.passing.arrived.is_empty()
    }
}
