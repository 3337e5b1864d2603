//! Being asked to end in turns: a child that is asked has but so long for its answer, so that no more
//! are asked at a time than can answer in it. How many that are is the core's number.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use event_listener::Event as Signal;
use hatchery_proto::Instant;
use hatchery_proto::nursery::budget;
use hatchery_proto::nursery::turns;

use super::{Child, State};
use crate::driver::link::lock;
use crate::wait;

/// The turns of one actor's children.
#[derive(Default)]
pub(crate) struct Turns {
    core: Mutex<turns::Turns>,
    freed: Signal,
}

/// One of them. Dropping it gives it to the next.
pub(super) struct Turn(Arc<Turns>);

impl Turns {
    fn take(self: &Arc<Self>) -> Option<Turn> {
        lock(&self.core).take().then(|| Turn(self.clone()))
    }

    /// Waits for one. Cancel safe.
    async fn next(self: &Arc<Self>) -> Turn {
        wait::until(&self.freed, || self.take()).await
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        lock(&self.0.core).handle_over();
        self.0.freed.notify(1);
    }
}

/// A child that is to end, and has no turn yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    /// When its end has to be over.
    over: Instant,
    /// When it is asked without a turn.
    latest: Instant,
}

impl Wish {
    fn new(now: Instant, rest: Duration) -> Self {
        Self { over: now + rest, latest: now + turns::Turns::patience(rest) }
    }

    /// Both, or the earlier of each.
    fn and(self, other: Option<Self>) -> Self {
        let Some(other) = other else { return self };
        Self { over: self.over.min(other.over), latest: self.latest.min(other.latest) }
    }
}

impl State {
    /// Has the child asked to end within `rest`, or notes that it is to be once it has a turn.
    pub(super) fn end_within(&mut self, turns: &Arc<Turns>, now: Instant, rest: Duration) {
        let asks = self.ladder.state().can_be_asked() && rest >= budget::LOWEST;
        if asks && self.turn.is_none() {
            self.turn = turns.take();
            if self.turn.is_none() {
                self.wish = Some(Wish::new(now, rest).and(self.wish));
                return;
            }
        }
        let rest = self.wish.take().map_or(rest, |wish| rest.min(wish.over.since(now)));
        self.ladder.cancel(now, rest);
    }

    /// When the child is asked whether it has a turn or not.
    pub(super) fn latest(&self) -> Option<Instant> {
        self.wish.map(|wish| wish.latest)
    }

    /// Has it asked now, where it waits for that.
    fn ask(&mut self, now: Instant, turn: Option<Turn>) {
        let Some(wish) = self.wish.take() else { return };
        self.turn = turn.or(self.turn.take());
        self.ladder.cancel(now, wish.over.since(now));
    }

    /// The time is `now`.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.latest().is_some_and(|latest| latest <= now) {
            self.ask(now, None);
        }
        self.ladder.handle_timeout(now);
    }

    /// Gives back the turn of a child that has answered, or is beyond that. One that needs none any
    /// more has its time from here on.
    pub(super) fn settle_turn(&mut self, now: Instant) {
        if !self.ladder.state().can_be_asked() {
            self.ask(now, None);
        }
        if !self.ladder.is_silent() {
            self.turn = None;
        }
    }
}

impl Child {
    /// Ends once this child has been asked in its turn, where it waits for that.
    pub(super) async fn turn_comes(&self) {
        if lock(&self.state).wish.is_none() {
            return std::future::pending().await;
        }
        let turn = self.actor.turns.next().await;
        self.fact(|state, now| state.ask(now, Some(turn)));
    }
}
