//! What a nursery's block comes to: which failure was the root cause, and what else there was.
//! Failures are names here; their reports stay with whoever has them.

use alloc::vec::Vec;

/// Names a failure: the id of its report. The same failure seen twice has one name.
pub type FailureId = (u128, u64);

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

/// What the block comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The root cause: the body's own failure, or else the first of the members'.
    pub cause: Option<FailureId>,
    /// Whether the body ended with it: by itself, or handing on a member's failure.
    pub by_body: bool,
    /// The other failures, each once, in the order they came in.
    pub also: Vec<FailureId>,
    /// Members that were merely cancelled.
    pub cancelled: usize,
}

impl Verdict {
    /// Whether nothing has failed.
    #[must_use]
    pub const fn is_fine(&self) -> bool {
        self.cause.is_none()
    }
}

/// The ends that have come in so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Ends {
    /// Each failure once, in the order they came in.
    failures: Vec<FailureId>,
    body: Option<FailureId>,
    /// The body's failure was known from a member before the body ended with it.
    echo: bool,
    cancelled: usize,
}

impl Ends {
    pub(super) fn member(&mut self, end: MemberEnd) {
        match end {
            MemberEnd::Fine => {}
            MemberEnd::Cancelled => self.cancelled = self.cancelled.saturating_add(1),
            MemberEnd::Failed(failure) => {
                self.note(failure);
            }
        }
    }

    pub(super) fn body(&mut self, end: MemberEnd) {
        if let MemberEnd::Failed(failure) = end {
            self.echo = !self.note(failure);
            self.body = Some(failure);
        }
    }

    /// The body's own error is the cause, unless it is merely the echo of a member's failure.
    pub(super) fn verdict(&self) -> Verdict {
        let own = self.body.filter(|_| !self.echo);
        let cause = own.or_else(|| self.failures.first().copied());
        Verdict {
            cause,
            by_body: cause.is_some() && cause == self.body,
            also: self.failures.iter().copied().filter(|known| Some(*known) != cause).collect(),
            cancelled: self.cancelled,
        }
    }

    /// Whether the failure was news.
    fn note(&mut self, failure: FailureId) -> bool {
        let news = !self.failures.contains(&failure);
        if news {
            self.failures.push(failure);
        }
        news
    }
}
