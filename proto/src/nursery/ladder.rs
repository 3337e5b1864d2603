//! One child from its start to its end: asked first, then forced, within a budget, always over.
//!
//! Facts and deadlines come in; what is to be done is polled out, each step once. No state is ever
//! left upwards (P-T1).

mod looks;

use core::time::Duration;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::budget::{self, Budget};
pub use super::rungs::{End, Fact, State, Why};
use crate::report::{ExitStatus, Rung};
use crate::time::{Clock, Instant};

/// The number of the signal that asks a process to end, on every system there is.
const SIGTERM: i32 = 15;

/// The time that a child has where nobody asks for its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// From there being a process to its being up.
    pub connect: Duration,
    /// From its last word to its exit.
    pub leave: Duration,
    /// For its teardown after its link was lost.
    pub teardown: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            leave: Duration::from_secs(3),
            teardown: budget::DEFAULT,
        }
    }
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// Take the request to start it back; if that is too late it goes on being awaited.
    Withdraw,
    /// Send `Cancel(0)`.
    Ask {
        /// What the child has for it.
        grace: Duration,
    },
    /// Send SIGTERM, to its process group where it leads one.
    Terminate,
    /// Send SIGKILL.
    Kill,
    /// Say that it cannot be ended, and go on watching it. The teardown is over.
    Unkillable,
    /// It is over.
    Done(End),
}

/// One child's life and teardown.
///
/// - Looks: [`state`](Self::state), [`rung`](Self::rung), [`rung_of`](Self::rung_of),
///   [`rungs`](Self::rungs), [`is_silent`](Self::is_silent), [`is_held`](Self::is_held).
/// - Facts: `handle_*`, [`hold`](Self::hold), [`resume`](Self::resume). Any order is legal; what says
///   nothing new does nothing.
/// - Wishes: [`begin_within`](Self::begin_within), [`cancel`](Self::cancel).
/// - Out: [`poll_step`](Self::poll_step), [`poll_timeout`](Self::poll_timeout).
#[derive(Clone, Debug)]
pub struct Ladder {
    policy: Policy,
    /// What every time below is told by.
    clock: Clock,
    state: State,
    rung: Rung,
    /// When each rung was come to.
    climbed: Vec<(Rung, Instant)>,
    spawned: bool,
    up: bool,
    link_lost: bool,
    /// The rung on which it closed its link, and was sent SIGTERM for that.
    closed_on: Option<Rung>,
    /// Somebody asked for the end.
    asked: bool,
    acked: bool,
    /// It is ended by force because it was asked for when nothing ran in it yet.
    taken_back: bool,
    status: Option<ExitStatus>,
    /// When it has to be up.
    connect: Instant,
    /// When the request has to be answered, SIGTERM and SIGKILL come, and all is over. They only
    /// ever move forward, but for the time that SIGKILL is owed.
    ack: Instant,
    terminate: Instant,
    kill: Instant,
    over: Instant,
    /// Until when the kernel is owed the time to end it.
    owed: Instant,
    steps: VecDeque<Step>,
}

impl Ladder {
    /// A child that is being started.
    #[must_use]
    pub fn new(now: Instant, policy: Policy) -> Self {
        Self {
            clock: Clock::default(),
            state: State::default(),
            rung: Rung::Unasked,
            climbed: Vec::new(),
            spawned: false,
            up: false,
            link_lost: false,
            closed_on: None,
            asked: false,
            acked: false,
            taken_back: false,
            status: None,
            connect: now + policy.connect,
            ack: Instant::FAR_FUTURE,
            terminate: Instant::FAR_FUTURE,
            kill: Instant::FAR_FUTURE,
            over: Instant::FAR_FUTURE,
            owed: now,
            steps: VecDeque::new(),
            policy,
        }
    }

    /// There is a process.
    pub fn handle_spawned(&mut self, now: Instant) {
        if !self.spawned && self.state == State::Unkillable {
            // The teardown ended while the start was stuck, and now there is something to end.
            self.spawned = true;
            self.steps.push_back(Step::Kill);
        }
        self.take(self.clock.at(now), Fact::Spawned);
    }

    /// There is no process and there will be none.
    pub fn handle_spawn_failed(&mut self, now: Instant) {
        self.take(self.clock.at(now), Fact::SpawnFailed);
    }

    /// The greeting is done, and the child is to wait: from here on it has all the time (P-L7).
    pub fn handle_greeted(&mut self, now: Instant) {
        self.take(self.clock.at(now), Fact::Greeted);
    }

    /// The first byte of `Start(0)` is on its way: from here on the child is asked first.
    pub fn handle_start_written(&mut self, now: Instant) {
        self.take(self.clock.at(now), Fact::Written);
    }

    /// The child is up.
    pub fn handle_up(&mut self, now: Instant) {
        self.up |= !self.state.is_over();
        self.take(self.clock.at(now), Fact::Up);
    }

    /// The child has heard the request.
    pub fn handle_ack(&mut self, _now: Instant) {
        self.acked |= self.asked;
    }

    /// The child's last word: the terminal of dialog 0. Like `Goodbye`, it counts as the ack.
    pub fn handle_terminal(&mut self, now: Instant) {
        self.take(self.clock.at(now), Fact::Left);
    }

    /// The child's `Goodbye`.
    pub fn handle_goodbye(&mut self, now: Instant) {
        self.take(self.clock.at(now), Fact::Left);
    }

    /// The link has ended.
    pub fn handle_eof(&mut self, now: Instant) {
        // Whatever held the terminal over it holds it no more (P-T2).
        self.clock.resume(now);
        let now = self.clock.at(now);
        if self.state.after(Fact::Eof) == Some(State::Terminating) {
            self.closed_on = Some(self.rung);
            if !self.asked {
                // It may be ending itself, and what is below it (P-T4).
                self.link_lost = true;
                let budget = Budget::of(Budget::after_loss(self.policy.teardown));
                self.hasten(now, &budget);
            }
        }
        self.take(now, Fact::Eof);
    }

    /// The process has ended and been waited for.
    pub fn handle_exit(&mut self, now: Instant, status: ExitStatus) {
        if self.state.after(Fact::Exited).is_some() {
            self.status = Some(status);
            self.rung = self.rung_of(status);
        }
        // What was to be done to the process and nobody did: its number may be another's now.
        self.steps.retain(|step| matches!(step, Step::Unkillable | Step::Done(_)));
        // Told before the start was, it leaves nothing to be ended either.
        self.spawned |= self.state == State::Unkillable;
        self.take(self.clock.at(now), Fact::Exited);
    }

    /// The child is to end within `rest`. Again: the time may get shorter (P-C1).
    pub fn cancel(&mut self, now: Instant, rest: Duration) {
        if self.state.is_over() {
            return;
        }
        let now = self.clock.at(now);
        let before = self.terminate;
        self.hasten(now, &Budget::of(rest));
        let first = !core::mem::replace(&mut self.asked, true);
        // What was due before its clock stood is not due now; force is where it is asked for.
        let rush = self.kill <= now && (!self.clock.stands() || rest < budget::LOWEST);
        let fact = if rush { Fact::Rush } else { Fact::Cancel };
        self.take(now, fact);
        // A few milliseconds less are no reason to ask again.
        if self.state == State::Cancelling && (first || self.terminate + budget::LOWEST < before) {
            self.ask(now);
        }
        if self.state == State::Leaving {
            self.climb(now, Rung::Asked);
        }
        if !self.clock.stands() {
            self.pass(now);
        }
    }

    /// It is to be something now, and has `connect` for being up, however long it has waited.
    pub fn begin_within(&mut self, now: Instant, connect: Duration) {
        self.policy.connect = connect;
        self.connect = self.clock.at(now) + connect;
    }

    /// What is to be done now, each once.
    #[must_use]
    pub fn poll_step(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called, and why. A pure function of
    /// the state.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, Why)> {
        self.next().and_then(|(at, why)| Some((self.clock.due(at)?, why)))
    }

    /// The time is `now`. Spurious calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        if !self.clock.stands() {
            self.pass(self.clock.at(now));
        }
    }

    /// The next deadline by its clock.
    fn next(&self) -> Option<(Instant, Why)> {
        Some(match self.state {
            State::Spawning | State::Waiting | State::Running => return None,
            State::Unkillable | State::Reaped => return None,
            State::Connecting | State::Starting => (self.connect, Why::Connect),
            State::Leaving => (self.terminate, Why::Leave),
            State::Cancelling if !self.acked && self.ack < self.terminate => (self.ack, Why::Ack),
            State::Cancelling => (self.terminate, Why::Terminate),
            State::Terminating => (self.kill, Why::Kill),
            State::Killing | State::Withdrawing => (self.over, Why::Over),
        })
    }

    /// It is `now` by its clock.
    fn pass(&mut self, now: Instant) {
        // Each round is one rung down, so there are few.
        while let Some((at, why)) = self.next() {
            if at > now {
                return;
            }
            let fact = match why {
                Why::Over => Fact::Over,
                _ => Fact::Late,
            };
            if !self.take(now, fact) {
                return;
            }
        }
    }

    /// The one place where the state changes, and where entering one does what the table says.
    fn take(&mut self, now: Instant, fact: Fact) -> bool {
        let before = self.state;
        if !self.state.step(fact) {
            return false;
        }
        self.spawned |= fact.proves_a_process();
        if before == State::Spawning {
            self.connect = now + self.policy.connect;
        }
        match self.state {
            State::Withdrawing => self.steps.push_back(Step::Withdraw),
            State::Leaving => self.leave(now),
            State::Terminating => self.terminate(now),
            State::Killing => {
                self.taken_back |= self.asked && before.is_unbegun();
                self.kill(now);
            }
            State::Unkillable => {
                self.climb(now, Rung::Unkillable);
                self.steps.push_back(Step::Unkillable);
                self.done();
            }
            State::Reaped => {
                // There is nothing left to do anything to.
                self.steps.clear();
                self.done();
            }
            _ => {}
        }
        true
    }

    /// Brings every deadline forward that `budget` has earlier.
    fn hasten(&mut self, now: Instant, budget: &Budget) {
        self.ack = self.ack.min(now + budget.ack);
        self.terminate = self.terminate.min(now + budget.terminate);
        self.kill = self.kill.min(now + budget.kill);
        self.over = self.over.min(now + budget.over).max(self.owed);
    }

    /// Asks the child, or again with less time; one that nobody took yet is taken back.
    fn ask(&mut self, now: Instant) {
        self.climb(now, Rung::Asked);
        self.steps.retain(|step| !matches!(step, Step::Ask { .. }));
        self.steps.push_back(Step::Ask { grace: self.terminate.since(now) });
    }

    /// It has what is left of its grace, or the time for those that nobody asked.
    fn leave(&mut self, now: Instant) {
        if !self.asked {
            let d = Budget::step(self.policy.teardown);
            self.hasten(now, &Budget::unasked(self.policy.leave, d));
        }
    }

    fn terminate(&mut self, now: Instant) {
        self.climb(now, Rung::Terminated);
        self.steps.push_back(Step::Terminate);
    }

    /// The kernel is owed its time, however late SIGKILL is sent and however little the budget is:
    /// a machine under load may take longer over an end than the last rung.
    fn kill(&mut self, now: Instant) {
        self.climb(now, Rung::Killed);
        self.steps.push_back(Step::Kill);
        self.owed = now + budget::REAP;
        self.over = match self.over {
            Instant::FAR_FUTURE => self.owed,
            over => over.max(self.owed),
        };
    }

    fn climb(&mut self, now: Instant, rung: Rung) {
        if rung > self.rung {
            self.rung = rung;
            self.climbed.push((rung, now));
        }
    }

    fn done(&mut self) {
        self.steps.push_back(Step::Done(End {
            status: self.status,
            rung: self.rung,
            link_lost: self.link_lost,
            spawned: self.spawned,
            up: self.up,
        }));
    }
}
