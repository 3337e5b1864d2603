//! How an actor ends: what comes after what, and how long each may take (P-C7). The same order holds
//! whether it is cancelled or its main task ends by itself.

use core::time::Duration;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::nursery::FailureId;
use crate::nursery::budget::Budget;
use crate::report::Cancelled;
use crate::table::table;
use crate::time::{Clock, Instant};

table! {
    /// Where an actor's end stands.
    pub machine Stage by Turn starts Running {
        Running + End => Refusing;
        Refusing + Refused => Cancelling;
        Cancelling + TasksEnded => Deregistering;
        Deregistering + Deregistered => Hooks;
        Deregistering + Late => Hooks;
        Hooks + HooksEnded => Draining;
        Draining + Flushed => Goodbye;
        Draining + Late => Goodbye;
        Goodbye + Alone => Gone;
        Goodbye + Late => Gone;
    }
    states {
        /// It works.
        Running,
        /// New links and `Start`s are being shut out.
        Refusing,
        /// Its tasks are ending, the main task included, and below them its children.
        Cancelling,
        /// Its name is being taken back.
        Deregistering,
        /// The exit hooks run.
        Hooks,
        /// The last terminals and acks are being written.
        Draining,
        /// It has taken its leave and waits for its peers to.
        Goodbye,
        /// The process may exit.
        Gone,
    }
    steps {
        /// Asked to end, or the main task has ended.
        End,
        /// Nothing new comes in any more.
        Refused,
        /// No task is left.
        TasksEnded,
        /// The registrars have answered.
        Deregistered,
        /// The last exit hook has run.
        HooksEnded,
        /// Nothing is left to be written.
        Flushed,
        /// Every peer has gone.
        Alone,
        /// The stage has had its time.
        Late,
    }
}

/// What is to be done now. Each is answered by a `handle_*` after it was taken, at once where there
/// is nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum ShutdownStep {
    /// Take no new link and refuse every `Start`, never silently; then
    /// [`handle_refused`](Shutdown::handle_refused).
    Refuse,
    /// Cancel every task, the main task included; again where the time gets shorter.
    CancelTasks {
        /// What they have for it.
        grace: Duration,
    },
    /// Tasks have not ended in their time and more: something that they hold is waited for by nobody.
    /// End every child by force; then [`handle_tasks_ended`](Shutdown::handle_tasks_ended).
    Force,
    /// Take the name back at every registrar.
    Deregister,
    /// Run the exit hooks.
    RunHooks,
    /// Write the remaining terminals, dialog 0's included, and acks.
    Flush,
    /// Send `Goodbye` on every link.
    Goodbye,
    /// End the process.
    Exit,
}

/// What a teardown may take beyond its budget.
const SLACK: Duration = Duration::from_millis(250);

/// Why a deadline was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Tasks have to have ended.
    Tasks,
    /// Registrars have to answer.
    Registrars,
    /// The last words have to be written.
    LastWords,
    /// The parent has to answer the `Goodbye`.
    Parent,
    /// The peers have to be gone.
    Peers,
}

/// The bounds of an end, each within what is left of the grace, and at least the `d` of the grace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What tasks get where the main task has ended by itself.
    pub grace: Duration,
    /// For registrars to answer.
    pub registrars: Duration,
    /// For the last words to be written, and then for peers to be gone.
    pub peers: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            grace: Budget::of(crate::nursery::budget::DEFAULT).grace,
            registrars: Duration::from_millis(500),
            peers: Duration::from_secs(3),
        }
    }
}

/// The end of one actor.
///
/// - Looks: [`stage`](Self::stage), [`refuses`](Self::refuses), [`asked`](Self::asked),
///   [`failures`](Self::failures).
/// - Facts: `handle_*`, `hold`, `resume`. Any order is legal: one that answers no step of its stage does nothing,
///   since what it says may be true no more when its stage comes; but the parent is gone for good.
/// - Wish: [`cancel`](Self::cancel).
/// - Out: [`poll_step`](Self::poll_step), [`poll_timeout`](Self::poll_timeout).
#[derive(Clone, Debug)]
pub struct Shutdown {
    policy: Policy,
    /// What every time below is told by.
    clock: Clock,
    stage: Stage,
    asked: Option<Cancelled>,
    /// When the actor has to be gone, and what its last words get even if that has passed: its tasks
    /// may have taken more than they were given. Nothing where nobody asked.
    deadline: Option<(Instant, Duration)>,
    /// The time of the stage, within the deadline.
    until: Instant,
    /// When what tasks hold is ended by force.
    force: Instant,
    /// What the parent has to answer the `Goodbye` in; nothing where there is none, or it has.
    parent: Option<Duration>,
    parent_until: Instant,
    /// Said since the `Goodbye`.
    peers_gone: bool,
    failures: Vec<FailureId>,
    steps: VecDeque<ShutdownStep>,
}

impl Shutdown {
    /// An actor that works; with a link to its parent or, as a root, without one.
    #[must_use]
    pub fn new(policy: Policy, has_parent: bool) -> Self {
        Self {
            policy,
            clock: Clock::default(),
            stage: Stage::default(),
            asked: None,
            deadline: None,
            until: Instant::FAR_FUTURE,
            force: Instant::FAR_FUTURE,
            parent: has_parent.then(|| Budget::step(policy.grace)),
            parent_until: Instant::FAR_FUTURE,
            peers_gone: false,
            failures: Vec::new(),
            steps: VecDeque::new(),
        }
    }

    /// Where it stands.
    #[must_use]
    pub const fn stage(&self) -> Stage {
        self.stage
    }

    /// Whether new links and `Start`s are refused.
    #[must_use]
    pub fn refuses(&self) -> bool {
        self.stage != Stage::Running
    }

    /// Who asked first, and why; nobody where the main task ended by itself.
    #[must_use]
    pub const fn asked(&self) -> Option<&Cancelled> {
        self.asked.as_ref()
    }

    /// The exit hooks' failures: part of the outcome.
    #[must_use]
    pub fn failures(&self) -> &[FailureId] {
        &self.failures
    }

    /// The actor is to end within `grace`. Again: the time may get shorter; who asked first stays.
    pub fn cancel(&mut self, now: Instant, by: Cancelled, grace: Duration) {
        if self.stage == Stage::Gone {
            return;
        }
        let now = self.clock.at(now);
        let deadline = now + grace;
        let sooner = self.deadline.is_none_or(|(known, _)| deadline < known);
        self.asked.get_or_insert(by);
        if sooner {
            let d = Budget::step(grace);
            self.deadline = Some((deadline, d));
            self.until = self.until.min(deadline);
            self.parent = self.parent.map(|known| known.min(d));
            self.parent_until = self.parent_until.min(deadline);
            if self.stage == Stage::Cancelling {
                self.cancel_tasks(now);
            }
        }
        self.take(now, Turn::End);
        self.pass(now);
    }

    /// The main task has ended by itself: so does the actor, in the same order.
    pub fn handle_main_ended(&mut self, now: Instant) {
        self.take(self.clock.at(now), Turn::End);
    }

    /// New links and `Start`s are refused from here on.
    pub fn handle_refused(&mut self, now: Instant) {
        self.take(self.clock.at(now), Turn::Refused);
    }

    /// No task is left, so every nursery has ended and reaped its children.
    pub fn handle_tasks_ended(&mut self, now: Instant) {
        self.take(self.clock.at(now), Turn::TasksEnded);
    }

    /// Every registrar has answered, or there is none.
    pub fn handle_deregistered(&mut self, now: Instant) {
        self.take(self.clock.at(now), Turn::Deregistered);
    }

    /// An exit hook failed.
    pub fn handle_hook_failed(&mut self, failure: FailureId) {
        if !self.failures.contains(&failure) {
            self.failures.push(failure);
        }
    }

    /// The last exit hook has run, or there is none.
    pub fn handle_hooks_ended(&mut self, now: Instant) {
        self.take(self.clock.at(now), Turn::HooksEnded);
    }

    /// Every terminal and every ack is written.
    pub fn handle_flushed(&mut self, now: Instant) {
        self.take(self.clock.at(now), Turn::Flushed);
    }

    /// The parent has answered the `Goodbye`, or is gone.
    pub fn handle_parent_gone(&mut self, now: Instant) {
        self.parent_gone(self.clock.at(now));
    }

    /// No peer other than the parent is linked.
    pub fn handle_peers_gone(&mut self, now: Instant) {
        self.peers_gone |= self.stage == Stage::Goodbye;
        self.look_around(self.clock.at(now));
    }

    /// Something here or below holds or waits for the terminal: no stage loses time (P-T2).
    pub fn hold(&mut self, now: Instant) {
        self.clock.hold(now);
    }

    /// Nothing does any more. Where none stood: nothing.
    pub fn resume(&mut self, now: Instant) {
        self.clock.resume(now);
    }

    /// What is to be done now, each once.
    #[must_use]
    pub fn poll_step(&mut self) -> Option<ShutdownStep> {
        self.steps.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called, and why. A pure function of
    /// the state.
    ///
    /// The grace of their scopes ends tasks; those that outlast it are waited for a little longer, no
    /// matter who does not poll them. Hooks have no deadline: whoever waits for this process has its
    /// ladder for them.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, Why)> {
        self.next().and_then(|(at, why)| Some((self.clock.due(at)?, why)))
    }

    /// The time is `now`. Spurious calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.pass(self.clock.at(now));
    }

    fn next(&self) -> Option<(Instant, Why)> {
        match self.stage {
            Stage::Cancelling if self.force < Instant::FAR_FUTURE => Some((self.force, Why::Tasks)),
            Stage::Deregistering => Some((self.until, Why::Registrars)),
            Stage::Draining => Some((self.until, Why::LastWords)),
            Stage::Goodbye if self.parent_until < self.until => {
                Some((self.parent_until, Why::Parent))
            }
            Stage::Goodbye => Some((self.until, Why::Peers)),
            _ => None,
        }
    }

    /// It is `now` by its clock.
    fn pass(&mut self, now: Instant) {
        // Each round is one stage on, or one party less to wait for.
        while let Some((at, why)) = self.next() {
            if at > now || self.clock.stands() {
                return;
            }
            match why {
                Why::Parent => self.parent_gone(now),
                Why::Tasks => {
                    self.force = Instant::FAR_FUTURE;
                    self.steps.push_back(ShutdownStep::Force);
                }
                _ => self.take(now, Turn::Late),
            }
        }
    }

    /// The one place where the stage changes.
    fn take(&mut self, now: Instant, turn: Turn) {
        if self.stage.step(turn) {
            self.enter(now);
        }
    }

    fn enter(&mut self, now: Instant) {
        // Tasks may have outlasted the grace: what follows is owed its `d` all the same.
        let within = |time: Duration| {
            let until = now + time;
            self.deadline.map_or(until, |(deadline, d)| until.min(deadline.max(now + d)))
        };
        match self.stage {
            Stage::Running => {}
            Stage::Refusing => self.steps.push_back(ShutdownStep::Refuse),
            Stage::Cancelling => self.cancel_tasks(now),
            Stage::Deregistering => {
                self.until = within(self.policy.registrars);
                self.steps.push_back(ShutdownStep::Deregister);
            }
            Stage::Hooks => self.steps.push_back(ShutdownStep::RunHooks),
            Stage::Draining => {
                self.until = within(self.policy.peers);
                self.steps.push_back(ShutdownStep::Flush);
            }
            Stage::Goodbye => {
                self.until = within(self.policy.peers);
                self.parent_until = self.parent.map_or(Instant::FAR_FUTURE, |d| now + d);
                self.steps.push_back(ShutdownStep::Goodbye);
            }
            Stage::Gone => self.steps.push_back(ShutdownStep::Exit),
        }
    }

    /// Tasks have what is left but for `d`, which is for the last words, so that all is said before
    /// whoever waits for this process has to force it.
    fn cancel_tasks(&mut self, now: Instant) {
        let left = self.deadline.map_or(self.policy.grace, |(deadline, _)| deadline.since(now));
        self.force = now + left.saturating_add(SLACK);
        let left = left.saturating_sub(Budget::step(left));
        self.steps.retain(|step| !matches!(step, ShutdownStep::CancelTasks { .. }));
        self.steps.push_back(ShutdownStep::CancelTasks { grace: left });
    }

    fn parent_gone(&mut self, now: Instant) {
        self.parent = None;
        self.parent_until = Instant::FAR_FUTURE;
        self.look_around(now);
    }

    /// Leaves once parent and peers have.
    fn look_around(&mut self, now: Instant) {
        if self.stage == Stage::Goodbye && self.peers_gone && self.parent.is_none() {
            self.take(now, Turn::Alone);
        }
    }
}
