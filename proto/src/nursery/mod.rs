//! Children and tasks as a set: who is cancelled when, and what the block comes to.
//!
//! Beside it, the [`ladder`] of one child, the [`budget`] of its rungs, how many children may be in
//! [`asking`] at a time, and how many are kept [`waiting`]. None knows a link.

pub mod asking;
pub mod budget;
pub mod ladder;
mod rungs;
mod verdict;
pub mod waiting;

use alloc::collections::BTreeMap;

use crate::table::table;
use verdict::Ends;
pub use verdict::{FailureId, MemberEnd, Verdict};

/// Names a member of a nursery. Never reused in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(u64);

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberKind {
    /// A task of this actor.
    Task,
    /// A child.
    Actor {
        /// It serves until it is cancelled; else one call is its life.
        daemon: bool,
    },
    /// A child that is nothing yet (P-L7): no reason for the block to go on, and its end is none for
    /// anything.
    Waiting,
}

/// The nursery takes no new members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum NurseryStep {
    /// Cancel the body, and say when it has ended.
    DropBody,
    /// Cancel every member that has not ended. Where all is to end it comes when the body has ended
    /// (P-C2), and again when the time gets shorter.
    CancelMembers,
    /// End every child that still waits, and take none of them any more.
    EndWaiting,
    /// Body and members have ended: the verdict is final.
    Done,
}

table! {
    /// A nursery's life.
    pub machine Phase by PhaseStep starts Open {
        Open + BodyEnded => Joining;
        Open + Fail => Cancelling;
        Open + Cancel => Cancelling;
        Joining + Fail => Cancelling;
        Joining + Cancel => Cancelling;
        Joining + Empty => Done;
        Cancelling + Empty => Done;
        Cancelling + BodyEnded => Cancelling;
        Cancelling + Fail => Cancelling;
        Cancelling + Cancel => Cancelling;
    }
    states {
        /// The body runs.
        Open,
        /// The body has ended well; members are waited for (CAN-01).
        Joining,
        /// Everything is being cancelled.
        Cancelling,
        /// Nothing is left.
        Done,
    }
    steps {
        /// The body has ended without a failure.
        BodyEnded,
        /// The body or a member has failed.
        Fail,
        /// Asked from outside.
        Cancel,
        /// Neither body nor members are left.
        Empty,
    }
}

/// The set.
///
/// - Looks: [`is_cancelled`](Self::is_cancelled), [`is_done`](Self::is_done),
///   [`keeps_waiting`](Self::keeps_waiting), [`members`](Self::members), [`verdict`](Self::verdict).
/// - Facts: [`handle_member_ended`](Self::handle_member_ended),
///   [`handle_body_ended`](Self::handle_body_ended). Once each; repeats do nothing.
/// - Wishes: [`add`](Self::add), [`take`](Self::take), [`cancel`](Self::cancel),
///   [`cancel_members`](Self::cancel_members).
/// - Out: [`poll_step`](Self::poll_step).
#[derive(Clone, Debug, Default)]
pub struct Nursery {
    phase: Phase,
    members: BTreeMap<MemberId, MemberKind>,
    next: u64,
    body_ended: bool,
    ends: Ends,
    drop_body: bool,
    /// All is to end, members as soon as the body has.
    cancel_all: bool,
    /// The members are to end, whatever the body does.
    cancel_members: bool,
    /// Nothing more will be started from children that wait.
    none_wait: bool,
    end_waiting: bool,
    done: bool,
}

impl Nursery {
    /// An open nursery without members.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a member in.
    ///
    /// # Errors
    /// [`Closed`] once everything is being cancelled or has ended; for a child that is to wait, once
    /// those have been told to end.
    pub fn add(&mut self, kind: MemberKind) -> Result<MemberId, Closed> {
        let over = matches!(self.phase, Phase::Cancelling | Phase::Done);
        if over || (kind == MemberKind::Waiting && self.none_wait) {
            return Err(Closed);
        }
        let id = MemberId(self.next);
        self.next = self.next.saturating_add(1);
        self.members.insert(id, kind);
        Ok(id)
    }

    /// A child that waits becomes an actor.
    ///
    /// # Errors
    /// [`Closed`] where it does not wait, or was told to end.
    pub fn take(&mut self, id: MemberId, daemon: bool) -> Result<(), Closed> {
        match self.members.get_mut(&id) {
            Some(kind @ MemberKind::Waiting) if !self.none_wait => {
                *kind = MemberKind::Actor { daemon };
                Ok(())
            }
            _ => Err(Closed),
        }
    }

    /// A member has ended. How a child did that was nothing yet says nothing.
    pub fn handle_member_ended(&mut self, id: MemberId, end: MemberEnd) {
        match self.members.remove(&id) {
            None => return,
            Some(MemberKind::Waiting) => {}
            Some(MemberKind::Task | MemberKind::Actor { .. }) => {
                self.ends.member(end);
                if matches!(end, MemberEnd::Failed(_)) {
                    self.fail();
                }
            }
        }
        self.settle();
    }

    /// The body has ended.
    pub fn handle_body_ended(&mut self, end: MemberEnd) {
        if core::mem::replace(&mut self.body_ended, true) {
            return;
        }
        self.drop_body = false;
        self.ends.body(end);
        match end {
            MemberEnd::Fine => {
                let _ = self.phase.step(PhaseStep::BodyEnded);
            }
            MemberEnd::Cancelled => self.cancel(),
            MemberEnd::Failed(_) => self.fail(),
        }
        self.settle();
    }

    /// Everything is to end, from outside. Again: members are to hear of a shorter time.
    pub fn cancel(&mut self) {
        if self.phase.step(PhaseStep::Cancel) {
            self.end_all();
        }
        self.settle();
    }

    /// The members are to end; the body goes on and may start others.
    pub fn cancel_members(&mut self) {
        self.cancel_members = self.phase != Phase::Done;
    }

    /// What is to be done now, each once.
    #[must_use]
    pub fn poll_step(&mut self) -> Option<NurseryStep> {
        if core::mem::take(&mut self.drop_body) {
            return Some(NurseryStep::DropBody);
        }
        // The body first, and whatever is open in it: it may need them to end well (P-C2).
        if core::mem::take(&mut self.end_waiting) {
            return Some(NurseryStep::EndWaiting);
        }
        let all = self.body_ended && core::mem::take(&mut self.cancel_all);
        if core::mem::take(&mut self.cancel_members) || all {
            return Some(NurseryStep::CancelMembers);
        }
        core::mem::take(&mut self.done).then_some(NurseryStep::Done)
    }

    /// Whether everything is being cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.phase == Phase::Cancelling
    }

    /// Whether children may wait in it, and be taken.
    #[must_use]
    pub fn keeps_waiting(&self) -> bool {
        !self.none_wait
    }

    /// Whether neither body nor members are left.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    /// The members that have not ended.
    pub fn members(&self) -> impl Iterator<Item = (MemberId, MemberKind)> + '_ {
        self.members.iter().map(|(id, kind)| (*id, *kind))
    }

    /// What the block comes to so far; final once [`is_done`](Self::is_done).
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.ends.verdict()
    }

    /// One failure cancels all. A further one finds that done.
    fn fail(&mut self) {
        let began = matches!(self.phase, Phase::Open | Phase::Joining);
        if self.phase.step(PhaseStep::Fail) && began {
            self.end_all();
        }
    }

    fn end_all(&mut self) {
        self.drop_body = !self.body_ended;
        self.cancel_all = true;
        self.end_waiting();
    }

    fn end_waiting(&mut self) {
        if !core::mem::replace(&mut self.none_wait, true) {
            self.end_waiting = self.members.values().any(|kind| *kind == MemberKind::Waiting);
        }
    }

    fn settle(&mut self) {
        // Nobody is left that could start something.
        if self.body_ended && self.members.values().all(|kind| *kind == MemberKind::Waiting) {
            self.end_waiting();
        }
        if self.body_ended && self.members.is_empty() && self.phase.step(PhaseStep::Empty) {
            self.cancel_all = false;
            self.cancel_members = false;
            self.end_waiting = false;
            self.done = true;
        }
    }
}
