//! A call that was made and is not answered yet: a dialog of which nothing is wanted but its outcome.

use std::sync::Arc;

use event_listener::Event as Signal;
use hatchery_proto::{Cancelled, Cause, DialogId, Outcome};

use super::lost;
use crate::driver::link::{Link, Name};
use crate::task;
use crate::wait;

/// Such a call. Dropping it before its outcome was there cancels the far task.
pub(crate) struct Asked {
    link: Arc<Link>,
    id: DialogId,
    signal: Arc<Signal>,
    /// It has been let go of.
    over: bool,
}

impl Asked {
    pub(crate) fn new(link: Arc<Link>, id: DialogId, name: Name) -> Self {
        let signal = link.signal(id, name, task::current_scope());
        Self { link, id, signal, over: false }
    }

    /// Waits for what it comes to.
    pub(crate) async fn outcome(&mut self) -> Outcome {
        let Self { link, id, signal, over } = self;
        wait::until(signal, || {
            link.draw(|connection| {
                let outcome = connection.take_outcome(*id);
                *over = connection.caller(*id).is_none();
                outcome.or_else(|| over.then(lost))
            })
        })
        .await
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
        }
        self.link.forget_call(self.id, &self.signal);
    }
}
