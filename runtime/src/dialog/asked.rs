//! A call that was made and is not answered yet: a dialog of which nothing is wanted but its outcome.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use hatchery_proto::{Cancelled, Cause, DialogId, Outcome, Passed};

use super::lost;
use crate::driver::link::{Link, Name, Named};
use crate::task;

/// Such a call. Dropping it before its outcome was there cancels the far task.
pub(crate) struct Asked {
    link: Arc<Link>,
    id: DialogId,
    named: Named,
    /// Its end wakes whoever waits here.
    heard: bool,
    /// It has been let go of.
    over: bool,
    /// What came with what was returned.
    passed: Passed,
}

impl Asked {
    pub(crate) fn new(link: Arc<Link>, id: DialogId, name: Name) -> Self {
        let named = Named { name, by: task::current_scope() };
        Self { link, id, named, heard: false, over: false, passed: Passed::NONE }
    }

    /// Waits for what it comes to.
    pub(crate) async fn outcome(&mut self) -> Outcome {
        poll_fn(|cx| {
            // Where it was waited for before, this is it, nearly always.
            let outcome = if self.heard { self.look() } else { None };
            let outcome = outcome.or_else(|| {
                self.heard = true;
                self.link.wake_at_end(self.id, &self.named, cx.waker());
                let outcome = self.look();
                if outcome.is_some() {
                    self.link.forget(self.id);
                }
                outcome
            });
            outcome.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    fn look(&mut self) -> Option<Outcome> {
        self.link.draw(|connection| {
            if connection.expects_descriptors() {
                self.passed = connection.outcome_passed(self.id);
            }
            let outcome = connection.take_outcome(self.id);
            // One that somebody has given up on goes on (P-C1).
            self.over = match outcome {
                Some(Outcome::Returned(_)) => true,
                _ => connection.caller(self.id).is_none(),
            };
            outcome.or_else(|| self.over.then(lost))
        })
    }

    /// What came with what was returned.
    pub(crate) fn passed(&self) -> &Passed {
        &self.passed
    }

    /// Gives the buffer of a result back, for what is said or heard next.
    pub(crate) fn recycle(&self, bytes: Vec<u8>) {
        self.link.recycle(bytes);
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if !self.over {
            let by = Cancelled { canceller: task::current_actor_id(), cause: Cause::Dropped };
            self.link.with(|connection, now| {
                if let Some(view) = connection.caller(self.id) {
                    view.release(now, by);
                }
            });
            self.link.forget(self.id);
        }
    }
}
