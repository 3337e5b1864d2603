//! One open dialog as its handles share it: what calls, contexts and streams have in common.
//!
//! Waits and wakes. Which message may be sent when is decided in the core; a refusal of the core
//! becomes an error here.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use event_listener::Event as Signal;
use hatchery_proto::{
    ActorId, CancelRequest, Cancelled, Cause, DialogId, LostCause, Outcome, Overrun, Passed,
};

use crate::actor::Actor;
use crate::codec::Encoded;
use crate::context::{CancelStatus, by_us};
use crate::driver::link::{Link, Name};
use crate::error::{Error, Result};
use crate::task;
use crate::wait;

mod asked;
mod flow;
mod refused;
mod told;

pub(crate) use asked::Asked;
pub(crate) use flow::{Outbound, Received};
use told::Told;

/// Which end of a dialog this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Opener,
    Callee,
}

/// An open dialog.
#[derive(Debug)]
pub(crate) struct Dialog {
    pub(crate) link: Arc<Link>,
    pub(crate) id: DialogId,
    pub(crate) task: Arc<str>,
    pub(crate) peer: ActorId,
    side: Side,
    signal: Arc<Signal>,
    /// Sending halves that are held; with none, nobody will send any more (P-D8).
    senders: AtomicUsize,
    /// Whether a receiving half is held.
    reading: AtomicBool,
    /// Whether the callee has sent its first value.
    started: AtomicBool,
    /// Whether a stream was opened on this side: there is at most one (P-D6).
    opened: AtomicBool,
    /// What the body of the block around this side knows of its end.
    pub(crate) told: Told,
    /// Whether this side asked for a cancel: its own cancel is absorbed (P-C4).
    asked: AtomicBool,
    /// What was received here and could not be decoded, which ends it.
    undecoded: OnceLock<Error>,
    /// Whether a clean end of the block around it cancels it instead of joining it.
    cancels: AtomicBool,
    released: AtomicBool,
}

/// Runs the same lines on the core's view of this dialog, whichever end it is.
macro_rules! role {
    ($dialog:expr, $connection:expr, |$view:ident| $body:expr) => {
        match $dialog.side {
            Side::Opener => $connection.caller($dialog.id).map(|mut $view| {
                let _ = &mut $view;
                $body
            }),
            Side::Callee => $connection.callee($dialog.id).map(|mut $view| {
                let _ = &mut $view;
                $body
            }),
        }
    };
}
use role;

/// The same, with all that follows from it.
macro_rules! view {
    ($dialog:expr, |$view:ident| $body:expr) => {
        $dialog.link.tell(|connection| role!($dialog, connection, |$view| $body))
    };
}

impl Dialog {
    pub(crate) fn new(
        link: Arc<Link>,
        id: DialogId,
        side: Side,
        task: Arc<str>,
        peer: ActorId,
    ) -> Arc<Self> {
        let by = if side == Side::Opener { task::current_scope() } else { None };
        let signal = link.signal(id, Name::Other(task.clone()), by);
        Arc::new(Self {
            link,
            id,
            task,
            peer,
            side,
            signal,
            senders: AtomicUsize::new(0),
            reading: AtomicBool::new(false),
            started: AtomicBool::new(false),
            opened: AtomicBool::new(false),
            told: Told::default(),
            asked: AtomicBool::new(false),
            undecoded: OnceLock::new(),
            cancels: AtomicBool::new(false),
            released: AtomicBool::new(false),
        })
    }

    /// Waits until `ready` finds what it looks for; looks again at every event of the dialog.
    fn wait<T>(&self, ready: impl FnMut() -> Option<T>) -> impl Future<Output = T> {
        wait::until(&self.signal, ready)
    }

    /// The same, counted as an operation that will tell its caller of the dialog's end.
    #[expect(clippy::manual_async_fn, reason = "an `async fn` has room for its arguments twice")]
    pub(crate) fn wait_told<T>(
        &self,
        ready: impl FnMut() -> Option<Result<T>>,
    ) -> impl Future<Output = Result<T>> {
        async move {
            let _waits = self.told.waits();
            let result = self.wait(ready).await;
            if result.is_err() {
                self.told.tell();
            }
            result
        }
    }

    /// This side will send no more. Idempotent.
    pub(crate) fn stop(&self) -> Result<()> {
        match view!(self, |view| view.stop()) {
            Some(Err(misuse)) => Err(self.misused(&misuse)),
            Some(Ok(())) | None => Ok(()),
        }
    }

    /// What becomes of values that arrive faster than they are taken (P-W6).
    pub(crate) fn on_overrun(&self, overrun: Overrun) {
        view!(self, |view| view.on_overrun(overrun));
    }

    /// How many values were dropped for newer ones.
    pub(crate) fn dropped(&self) -> u64 {
        view!(self, |view| view.dropped()).unwrap_or(0)
    }

    fn stop_reading(&self) {
        view!(self, |view| view.stop_reading());
    }

    /// Callee: sends the first value; waits for credit.
    pub(crate) async fn start(&self, first: &Encoded) -> Result<()> {
        let sent = self.link.tell(|connection| {
            let mut view = connection.callee(self.id)?;
            Some(view.started_passing(first, first.passed().clone()))
        });
        match sent {
            Some(Ok(())) => {
                self.started.store(true, Ordering::Release);
                Ok(())
            }
            Some(Err(misuse)) => Err(self.misused(&misuse)),
            None => Err(self.end_error()),
        }
    }

    pub(crate) fn has_started(&self) -> bool {
        self.started.load(Ordering::Acquire)
    }

    /// Opener: waits for the first value.
    pub(crate) async fn first_value(&self) -> Result<(Vec<u8>, Passed)> {
        self.wait_told(|| {
            let first = self.link.tell(|connection| {
                let mut view = connection.caller(self.id)?;
                view.take_started().map(|first| (first, view.take_passed()))
            });
            match first {
                Some(first) => {
                    self.started.store(true, Ordering::Release);
                    Some(Ok(first))
                }
                None => match self.outcome() {
                    Some(_) => Some(Err(self.end_error())),
                    None if self.is_gone() => Some(Err(self.end_error())),
                    None => None,
                },
            }
        })
        .await
    }

    /// Opener: waits for the outcome. With nobody left to send or read, says so first (P-D8).
    pub(crate) async fn finished(&self) -> Outcome {
        let _waits = self.told.waits();
        self.wait(|| {
            self.leave();
            self.outcome().or_else(|| self.is_gone().then(lost))
        })
        .await
    }

    /// A clean leave: whoever holds no half says that it will not send, and discards (P-D8).
    pub(crate) fn leave(&self) {
        if self.has_started() && self.senders.load(Ordering::Acquire) == 0 {
            // Refused where the dialog is being cancelled or has ended: then nobody waits for it.
            let _ = self.stop();
        }
        if !self.reading.load(Ordering::Acquire) {
            view!(self, |view| view.discard());
        }
    }

    /// Opener: the outcome, once there is one.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        match self.side {
            Side::Opener => self.link.tell(|connection| {
                connection.caller(self.id).and_then(|view| view.outcome().cloned())
            }),
            Side::Callee => None,
        }
    }

    /// Opener: what came with what was returned.
    pub(crate) fn outcome_passed(&self) -> Passed {
        self.link.draw(|connection| connection.outcome_passed(self.id))
    }

    /// Looks at the outcome's kind without copying it.
    pub(crate) fn has_failed(&self) -> bool {
        self.link.tell(|connection| {
            connection.caller(self.id).is_none_or(|view| {
                view.outcome().is_some_and(|outcome| !matches!(outcome, Outcome::Returned(_)))
            })
        })
    }

    fn is_gone(&self) -> bool {
        view!(self, |view| view.id()).is_none()
    }

    /// Opener: asks the far task to end within `grace`.
    pub(crate) fn cancel(&self, by: Cancelled, grace: Duration) {
        self.asked.store(true, Ordering::Release);
        self.link.with(|connection, now| {
            if let Some(mut view) = connection.caller(self.id) {
                view.cancel(now, CancelRequest { by, grace });
            }
        });
    }

    /// Opener: the same, because the code here asks for it.
    pub(crate) fn cancel_here(&self) {
        self.cancel(by_us(Cause::Asked), grace());
    }

    /// The same for a task that was itself asked to end within `rest`, and waits no longer (P-C1).
    pub(crate) fn cancel_within(&self, by: Cancelled, rest: Duration) {
        self.asked.store(true, Ordering::Release);
        self.link.with(|connection, now| {
            if let Some(mut view) = connection.caller(self.id) {
                view.cancel_within(now, by, rest);
            }
        });
    }

    /// Opener: asks the far task to end, waits until it has, and says how that came out (P-C1).
    pub(crate) async fn ends(&self) -> CancelStatus {
        self.cancel_here();
        let outcome = self.finished().await;
        if self.is_own_cancel(&outcome) {
            // Which is what was asked for: a body goes on.
            self.told.tell();
        }
        match outcome {
            Outcome::Lost(LostCause::Unresponsive) => CancelStatus::TimedOut,
            Outcome::Lost(_) | Outcome::Died(_) => CancelStatus::Gone,
            _ => CancelStatus::Done,
        }
    }

    /// Whether it ended by this side's own cancel of this very dialog.
    pub(crate) fn is_own_cancel(&self, outcome: &Outcome) -> bool {
        match outcome {
            Outcome::Cancelled(by) => {
                self.cancel_asked() && by.canceller == task::current_actor_id()
            }
            _ => false,
        }
    }

    pub(crate) fn cancel_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }

    /// Opener: whether the cancel was acknowledged.
    pub(crate) fn cancel_acked(&self) -> bool {
        self.link
            .tell(|connection| connection.caller(self.id).is_some_and(|view| view.cancel_acked()))
    }

    pub(crate) fn cancel_on_exit(&self) {
        self.cancels.store(true, Ordering::Release);
    }

    pub(crate) fn cancels_on_exit(&self) -> bool {
        self.cancels.load(Ordering::Acquire)
    }

    /// Whether a half of this side's stream is held.
    pub(crate) fn is_streaming(&self) -> bool {
        self.senders.load(Ordering::Acquire) > 0 || self.reading.load(Ordering::Acquire)
    }

    /// Opener: nobody holds this dialog any more. What still runs over there is cancelled.
    pub(crate) fn release(&self) {
        if self.released.swap(true, Ordering::AcqRel) {
            return;
        }
        let by = Cancelled { canceller: task::current_actor_id(), cause: Cause::Dropped };
        self.link.with(|connection, now| {
            if let Some(view) = connection.caller(self.id) {
                view.release(now, by);
            }
        });
        self.signal.notify(usize::MAX);
        self.link.forget(self.id);
    }

    /// Ends with the next event of this dialog.
    pub(crate) fn signal(&self) -> &Signal {
        &self.signal
    }

    /// Refuses what needs the far task to go on, where this side has asked it to end.
    pub(crate) fn check_not_cancelled(&self) -> Result<()> {
        match self.outcome() {
            _ if !self.cancel_asked() => Ok(()),
            // It was first: what it had sent by then is there to be read.
            Some(Outcome::Returned(_)) => Ok(()),
            Some(_) => Err(self.end_error()),
            None => Err(Error::misuse(format!(
                "opening a stream on `{}` with actor {}, which this side has asked to end",
                self.task, self.peer
            ))),
        }
    }

    /// Ends this dialog for a value that could not be decoded. The far task is told by the cause of its
    /// cancel, or by this task's failure (P-C5, P-C2).
    pub(crate) fn break_off(&self, error: Error) {
        self.told.tell();
        let error = self.undecoded.get_or_init(|| error);
        if self.side == Side::Opener {
            let cause = Cause::OpenerFailed(Box::new(error.to_report(&self.task)));
            self.cancel(by_us(cause), grace());
        }
        // Others may wait for what does not come any more.
        self.signal.notify(usize::MAX);
    }

    /// The value that could not be decoded, if there was one.
    pub(crate) fn check_decoded(&self) -> Result<()> {
        self.undecoded.get().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// Opens this side's stream: once (P-D6).
    pub(crate) fn open_stream(&self) -> Result<()> {
        if self.opened.swap(true, Ordering::AcqRel) {
            return Err(Error::misuse(format!(
                "opening a second stream on `{}` with actor {}: a context has one stream for its \
                 life (P-D6); open another context",
                self.task, self.peer
            )));
        }
        self.senders.fetch_add(1, Ordering::AcqRel);
        self.reading.store(true, Ordering::Release);
        Ok(())
    }

    pub(crate) fn sender_added(&self) {
        self.senders.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn sender_dropped(&self) {
        self.senders.fetch_sub(1, Ordering::AcqRel);
        // Whoever waits for the outcome may now be the one to say that nothing more will be sent.
        self.signal.notify(usize::MAX);
    }

    pub(crate) fn reader_dropped(&self) {
        self.reading.store(false, Ordering::Release);
        let dropped = self.dropped();
        if dropped > 0 {
            let (task, peer) = (&self.task, &self.peer);
            tracing::warn!(
                target: "hatchery::runtime",
                %task, %peer, dropped,
                "a reader was slower than its sender"
            );
        }
        self.stop_reading();
    }
}

impl Drop for Dialog {
    fn drop(&mut self) {
        if self.side == Side::Opener {
            self.release();
        }
    }
}

/// The grace of a cancel that comes from this actor.
fn grace() -> Duration {
    Actor::running().map_or(Duration::from_millis(500), |actor| actor.settings().grace())
}

fn lost() -> Outcome {
    Outcome::Lost(LostCause::LinkEnded)
}
