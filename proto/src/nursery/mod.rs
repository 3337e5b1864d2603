//! Children and tasks as a set: who is cancelled when, and what the block comes to.
//!
//! Beside it, the [`ladder`] of one child. Neither knows a link.

pub mod budget;
pub mod ladder;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::table::table;

/// Names a failure: the id of its report.
pub type FailureId = (u128, u64);

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
}

/// How a member, or the body, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberEnd {
    /// By itself, well.
    Fine,
    /// With this failure.
    Failed(FailureId),
    /// Because it was cancelled.
    Cancelled,
}

/// The nursery takes no new members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum NurseryStep {
    /// Cancel the body.
    DropBody,
    /// Cancel every member that has not ended; more may not come.
    CancelMembers,
    /// Body and members have ended: the verdict is final.
    Done,
}

/// What the block comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The failure that was first; every other end followed from it.
    pub cause: Option<FailureId>,
    /// Whether that was the body's own.
    pub by_body: bool,
    /// The other failures, in the order they came in.
    pub also: Vec<FailureId>,
    /// Members that were merely cancelled.
    pub cancelled: usize,
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
#[derive(Debug, Default)]
pub struct Nursery {
    phase: Phase,
    members: BTreeMap<MemberId, MemberKind>,
    next: u64,
    body_ended: bool,
    drop_body: bool,
    cancel_members: bool,
    done: bool,
    failures: Vec<FailureId>,
    body_failure: Option<FailureId>,
    cancelled: usize,
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
    /// [`Closed`] once everything is being cancelled or has ended.
    pub fn add(&mut self, kind: MemberKind) -> Result<MemberId, Closed> {
        if matches!(self.phase, Phase::Cancelling | Phase::Done) {
            return Err(Closed);
        }
        let id = MemberId(self.next);
        self.next = self.next.saturating_add(1);
        self.members.insert(id, kind);
        Ok(id)
    }

    /// A member has ended.
    pub fn handle_member_ended(&mut self, id: MemberId, end: MemberEnd) {
        if self.members.remove(&id).is_none() {
            return;
        }
        match end {
            MemberEnd::Fine => {}
            MemberEnd::Cancelled => self.cancelled = self.cancelled.saturating_add(1),
            MemberEnd::Failed(failure) => self.fail(failure),
        }
        self.settle();
    }

    /// The body has ended.
    pub fn handle_body_ended(&mut self, end: MemberEnd) {
        if core::mem::replace(&mut self.body_ended, true) {
            return;
        }
        self.drop_body = false;
        match end {
            MemberEnd::Fine => {
                let _ = self.phase.step(PhaseStep::BodyEnded);
            }
            MemberEnd::Cancelled => {
                let _ = self.phase.step(PhaseStep::BodyEnded);
                self.cancel();
            }
            MemberEnd::Failed(failure) => {
                self.body_failure = Some(failure);
                self.fail(failure);
            }
        }
        self.settle();
    }

    /// Everything is to end, from outside.
    pub fn cancel(&mut self) {
        if self.phase.step(PhaseStep::Cancel) {
            self.drop_body = !self.body_ended;
            self.cancel_members = true;
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
        if core::mem::take(&mut self.cancel_members) {
            return Some(NurseryStep::CancelMembers);
        }
        core::mem::take(&mut self.done).then_some(NurseryStep::Done)
    }

    /// Whether everything is being cancelled, or was.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.phase == Phase::Cancelling
    }

    /// Whether neither body nor members are left.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    /// What the block comes to so far; final once [`is_done`](Self::is_done).
    ///
    /// The first failure is the cause. One that the body merely handed on, because a member's
    /// failure had reached it, counts once and is the member's.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let mut failures = self.failures.iter().copied();
        let cause = failures.next();
        Verdict {
            cause,
            by_body: cause.is_some() && cause == self.body_failure,
            also: failures.collect(),
            cancelled: self.cancelled,
        }
    }

    fn fail(&mut self, failure: FailureId) {
        if !self.failures.contains(&failure) {
            self.failures.push(failure);
        }
        let began = matches!(self.phase, Phase::Open | Phase::Joining);
        if self.phase.step(PhaseStep::Fail) && began {
            self.drop_body = !self.body_ended;
            self.cancel_members = true;
        }
    }

    fn settle(&mut self) {
        if self.body_ended && self.members.is_empty() && self.phase.step(PhaseStep::Empty) {
            self.cancel_members = false;
            self.done = true;
        }
    }
}
