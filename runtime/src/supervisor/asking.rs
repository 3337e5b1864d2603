//! Being asked to end in turns: a child that is asked has but so long for its answer, so that no more
//! are asked at a time than can answer in it. How many that are is the core's number.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use event_listener::Event as Signal;
use hatchery_proto::Instant;
use hatchery_proto::nursery::{asking, budget};

use super::{Child, State};
use crate::actor::Actor;
use crate::driver::link::lock;
use crate::wait;

/// Those of one actor's children that are being asked.
#[derive(Default)]
pub(crate) struct Asking {
    core: Mutex<asking::Asking>,
    freed: Signal,
}

/// That one of them is. Dropping it lets the next be asked.
pub(super) struct Ask(Arc<Asking>);

impl Asking {
    fn begin(self: &Arc<Self>) -> Option<Ask> {
        lock(&self.core).begin().then(|| Ask(self.clone()))
    }

    /// Waits for one. Cancel safe.
    async fn next(self: &Arc<Self>) -> Ask {
        wait::until(&self.freed, || self.begin()).await
    }
}

impl Drop for Ask {
    fn drop(&mut self) {
        lock(&self.0.core).handle_over();
        self.0.freed.notify(1);
    }
}

/// A child that is to end, and may not be asked yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    /// When its end has to be over.
    over: Instant,
    /// When it is asked whether it may or not.
    latest: Instant,
}

impl Wish {
    fn new(now: Instant, rest: Duration) -> Self {
        Self { over: now + rest, latest: now + asking::Asking::patience(rest) }
    }

    /// Both, or the earlier of each.
    fn and(self, other: Option<Self>) -> Self {
        let Some(other) = other else { return self };
        Self { over: self.over.min(other.over), latest: self.latest.min(other.latest) }
    }
}

impl State {
    /// Has the child asked to end within `rest`, or notes that it is to be once it may: not while anybody
    /// here or below has the terminal or waits for it, and then it has that time from there on (P-T2).
    pub(super) fn end_within(&mut self, actor: &Actor, now: Instant, rest: Duration) {
        let asks = self.ladder.state().can_be_asked() && rest >= budget::LOWEST;
        if asks && actor.terminal.is_busy() {
            self.deferred = Some(self.deferred.map_or(rest, |known| known.min(rest)));
            return;
        }
        let rest = self.deferred.take().map_or(rest, |known| known.min(rest));
        if asks && self.asking.is_none() {
            self.asking = actor.asking.begin();
            if self.asking.is_none() {
                self.wish = Some(Wish::new(now, rest).and(self.wish));
                return;
            }
        }
        let rest = self.wish.take().map_or(rest, |wish| rest.min(wish.over.since(now)));
        self.ladder.cancel(now, rest);
    }

    /// When the child is asked whether it may be or not.
    pub(super) fn latest(&self) -> Option<Instant> {
        self.wish.map(|wish| wish.latest)
    }

    /// Has it asked now, where it waits for that.
    fn ask(&mut self, now: Instant, asking: Option<Ask>) {
        let Some(wish) = self.wish.take() else { return };
        self.asking = asking.or(self.asking.take());
        self.ladder.cancel(now, wish.over.since(now));
    }

    /// The time is `now`.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.latest().is_some_and(|latest| latest <= now) {
            self.ask(now, None);
        }
        self.ladder.handle_timeout(now);
    }

    /// Lets the next be asked behind a child that has answered, or is beyond that. One that need not be
    /// more has its time from here on.
    pub(super) fn settle_asking(&mut self, now: Instant) {
        if !self.ladder.state().can_be_asked() {
            if let Some(rest) = self.deferred.take() {
                self.ladder.cancel(now, rest);
            }
            self.ask(now, None);
        }
        if !self.ladder.is_silent() {
            self.asking = None;
        }
    }
}

impl Child {
    /// Has its ladder's clock stand while anything in it, or below it, has the terminal or waits for it
    /// (P-T2).
    pub(crate) fn follow_terminal(&self) {
        self.fact(|state, now| match self.actor.terminal.is_busy_below(self.number) {
            true => state.ladder.hold(now),
            false => state.ladder.resume(now),
        });
    }

    /// Ends once this child has been asked, or is in the queue for that, where it waits for either.
    pub(super) async fn is_next(&self) {
        let (deferred, wished) = {
            let state = lock(&self.state);
            (state.deferred, state.wish.is_some())
        };
        if deferred.is_some() {
            self.actor.terminal.idle().await;
            // Looked at again for each: what the last one was asked may have brought it to the terminal.
            return self.fact(|state, now| {
                if let Some(rest) = state.deferred {
                    state.end_within(&self.actor, now, rest);
                }
            });
        }
        if !wished {
            return std::future::pending().await;
        }
        let asking = self.actor.asking.next().await;
        self.fact(|state, now| state.ask(now, Some(asking)));
    }
}
