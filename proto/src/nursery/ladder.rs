//! One child from its start to its end: asked first, then forced, within a budget, always over.
//!
//! Facts and deadlines come in; what is to be done is polled out, each step once. No state is ever
//! left upwards (P-T1).

use core::time::Duration;

use alloc::collections::VecDeque;

use super::budget::{self, Budget};
use crate::report::{ExitStatus, Rung};
use crate::table::table;
use crate::time::Instant;

table! {
    /// The states of the ladder, as the teardown table of the protocol has them.
    pub machine State by Fact starts Spawning {
        Spawning + Spawned => Connecting;
        Spawning + SpawnFailed => Reaped;
        Spawning + Cancel => Withdrawing;
        Withdrawing + Spawned => Killing;
        Withdrawing + SpawnFailed => Reaped;
        Withdrawing + Over => Unkillable;
        Connecting + Written => Starting;
        Connecting + Up => Running;
        Connecting + Left => Leaving;
        Connecting + Eof => Terminating;
        Connecting + Late => Killing;
        Connecting + Cancel => Killing;
        Connecting + Exited => Reaped;
        Starting + Up => Running;
        Starting + Left => Leaving;
        Starting + Eof => Terminating;
        Starting + Late => Killing;
        Starting + Cancel => Cancelling;
        Starting + Exited => Reaped;
        Running + Left => Leaving;
        Running + Eof => Terminating;
        Running + Cancel => Cancelling;
        Running + Exited => Reaped;
        Leaving + Late => Terminating;
        Leaving + Exited => Reaped;
        Cancelling + Left => Leaving;
        Cancelling + Eof => Terminating;
        Cancelling + Late => Terminating;
        Cancelling + Exited => Reaped;
        Terminating + Late => Killing;
        Terminating + Exited => Reaped;
        Killing + Exited => Reaped;
        Killing + Over => Unkillable;
    }
    states {
        /// The process is being made.
        Spawning,
        /// The same, and it is no longer wanted.
        Withdrawing,
        /// It has not been told yet what it is to be.
        Connecting,
        /// It has been told.
        Starting,
        /// It is up.
        Running,
        /// It has said its last word.
        Leaving,
        /// It was asked to end.
        Cancelling,
        /// It was sent SIGTERM.
        Terminating,
        /// It was sent SIGKILL.
        Killing,
        /// It outlived that. Over, but still watched.
        Unkillable,
        /// It has ended and been waited for, or never was.
        Reaped,
    }
    steps {
        /// There is a process.
        Spawned,
        /// There is none and there will be none.
        SpawnFailed,
        /// The first byte of `Start(0)` is on its way.
        Written,
        /// `Started(0)`.
        Up,
        /// The terminal of dialog 0, or `Goodbye`.
        Left,
        /// The link ended.
        Eof,
        /// The process ended.
        Exited,
        /// Asked to end it.
        Cancel,
        /// A rung's time has ended.
        Late,
        /// The whole budget has.
        Over,
    }
}

/// The time that a child has where nobody asks for its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// From its start to being up.
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
    /// Send SIGTERM.
    Terminate,
    /// Send SIGKILL.
    Kill,
    /// Say that it cannot be ended, and go on watching it. The teardown is over.
    Unkillable,
    /// It is over.
    Done(End),
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The exit status; none where there was no process, or it cannot be ended.
    pub status: Option<ExitStatus>,
    /// Which rung ended it.
    pub rung: Rung,
    /// Its link was lost before anyone asked.
    pub link_lost: bool,
    /// It had been up.
    pub up: bool,
}

/// Why a deadline was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It has to be up.
    Connect,
    /// It has to answer the request.
    Ack,
    /// It has to be gone.
    Rung,
    /// The teardown has to be over.
    Over,
}

/// One child's life and teardown.
#[derive(Debug)]
pub struct Ladder {
    policy: Policy,
    state: State,
    rung: Rung,
    up: bool,
    link_lost: bool,
    /// Somebody asked for the end.
    asked: bool,
    acked: bool,
    status: Option<ExitStatus>,
    /// When the state has to be left, and why.
    late: Option<(Instant, Why)>,
    /// When SIGTERM's time ends, and the whole.
    kill: Option<Instant>,
    over: Option<Instant>,
    steps: VecDeque<Step>,
}

impl Ladder {
    /// A child that is being started.
    #[must_use]
    pub fn new(now: Instant, policy: Policy) -> Self {
        Self {
            state: State::default(),
            rung: Rung::Unasked,
            up: false,
            link_lost: false,
            asked: false,
            acked: false,
            status: None,
            late: Some((now + policy.connect, Why::Connect)),
            kill: None,
            over: None,
            steps: VecDeque::new(),
            policy,
        }
    }

    /// Where it stands.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// Which rung has been reached.
    #[must_use]
    pub const fn rung(&self) -> Rung {
        self.rung
    }

    /// There is a process.
    pub fn handle_spawned(&mut self, now: Instant) {
        if self.state.step(Fact::Spawned) && self.state == State::Killing {
            self.force(now, Rung::Killed, Step::Kill);
        }
    }

    /// There is no process and there will be none.
    pub fn handle_spawn_failed(&mut self, _now: Instant) {
        if self.state.step(Fact::SpawnFailed) {
            self.done();
        }
    }

    /// The first byte of `Start(0)` is on its way: from here on the child is asked first.
    pub fn handle_start_written(&mut self, _now: Instant) {
        let _ = self.state.step(Fact::Written);
    }

    /// The child is up.
    pub fn handle_up(&mut self, _now: Instant) {
        if self.state.step(Fact::Up) {
            self.up = true;
            self.late = None;
        }
    }

    /// The child has heard the request.
    pub fn handle_ack(&mut self, _now: Instant) {
        self.heard();
    }

    /// The child's last word: the terminal of dialog 0.
    pub fn handle_terminal(&mut self, now: Instant) {
        self.left(now);
    }

    /// The child's `Goodbye`.
    pub fn handle_goodbye(&mut self, now: Instant) {
        self.left(now);
    }

    /// The link has ended.
    pub fn handle_eof(&mut self, now: Instant) {
        if !self.state.step(Fact::Eof) {
            return;
        }
        if !self.asked {
            // Nobody asked: it may be ending itself, and what is below it (P-T4).
            self.link_lost = true;
            let rest = Budget::after_loss(self.policy.teardown);
            self.over = Some(now + rest);
            self.kill = Some(now + rest.saturating_sub(Budget::step(rest)));
        }
        self.force(now, Rung::Terminated, Step::Terminate);
    }

    /// The process has ended and been waited for.
    pub fn handle_exit(&mut self, _now: Instant, status: ExitStatus) {
        if self.state.step(Fact::Exited) {
            self.status = Some(status);
            self.done();
        }
    }

    /// The child is to end within `rest`. Again: the time may get shorter (P-C1).
    pub fn cancel(&mut self, now: Instant, rest: Duration) {
        let budget = Budget::of(rest);
        let over = now + budget.over;
        // A few milliseconds less are no reason to ask again.
        let sooner = self.over.is_none_or(|known| over + budget::LOWEST < known);
        if sooner && !matches!(self.state, State::Unkillable | State::Reaped) {
            self.over = Some(over);
            self.kill = Some(now + budget.kill);
        }
        let first = !core::mem::replace(&mut self.asked, true);
        let before = self.state;
        let _ = self.state.step(Fact::Cancel);
        match (before, self.state) {
            (State::Spawning, State::Withdrawing) => {
                self.late = None;
                self.steps.push_back(Step::Withdraw);
            }
            (State::Connecting, State::Killing) => self.force(now, Rung::Killed, Step::Kill),
            (_, State::Cancelling) if first || sooner => self.ask(now, &budget),
            (_, State::Leaving) => {
                let rest = (now + budget.terminate, Why::Rung);
                self.late = Some(self.late.map_or(rest, |known| earlier(known, rest)));
                self.rung = self.rung.max(Rung::Asked);
            }
            (_, State::Terminating) if sooner => self.late = self.kill.map(|at| (at, Why::Rung)),
            (_, State::Killing | State::Withdrawing) if sooner => self.late = None,
            _ => {}
        }
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
        match self.state {
            State::Reaped | State::Unkillable => None,
            State::Killing | State::Withdrawing => self.over.map(|at| (at, Why::Over)),
            _ => self.late,
        }
    }

    /// The time is `now`. Spurious calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, why)) = self.poll_timeout() {
            if at > now {
                return;
            }
            let fact = if why == Why::Over { Fact::Over } else { Fact::Late };
            self.late = None;
            if !self.state.step(fact) {
                return;
            }
            match self.state {
                State::Terminating => self.force(now, Rung::Terminated, Step::Terminate),
                State::Killing => self.force(now, Rung::Killed, Step::Kill),
                State::Unkillable => {
                    self.rung = Rung::Unkillable;
                    self.steps.push_back(Step::Unkillable);
                    self.done();
                }
                _ => {}
            }
        }
    }

    /// Asks the child, or goes straight to force where there is no time for asking.
    fn ask(&mut self, now: Instant, budget: &Budget) {
        if budget.grace.is_zero() {
            self.state = State::Killing;
            self.force(now, Rung::Killed, Step::Kill);
            return;
        }
        self.rung = self.rung.max(Rung::Asked);
        self.steps.push_back(Step::Ask { grace: budget.grace });
        let rung = (now + budget.terminate, Why::Rung);
        self.late =
            Some(if self.acked { rung } else { earlier((now + budget.ack, Why::Ack), rung) });
    }

    /// The request was answered: the child has all of its grace.
    fn heard(&mut self) {
        self.acked = true;
        if self.state == State::Cancelling && self.late.is_some_and(|(_, why)| why == Why::Ack) {
            let step = self.kill.zip(self.over).map(|(kill, over)| over.since(kill));
            // SIGTERM comes as long before SIGKILL as that comes before the end.
            self.late = self.kill.zip(step).map(|(kill, step)| {
                let before = kill
                    .as_micros()
                    .saturating_sub(u64::try_from(step.as_micros()).unwrap_or(u64::MAX));
                (Instant::from_micros(before), Why::Rung)
            });
        }
    }

    fn left(&mut self, now: Instant) {
        self.heard();
        let known = self.late;
        if !self.state.step(Fact::Left) {
            return;
        }
        self.late = match (self.asked, known) {
            (true, Some((at, _))) => Some((at, Why::Rung)),
            _ => Some((now + self.policy.leave, Why::Rung)),
        };
    }

    /// Reaches a rung of force: does it, and says until when it may take.
    fn force(&mut self, now: Instant, rung: Rung, step: Step) {
        self.rung = self.rung.max(rung);
        self.steps.push_back(step);
        let d = Budget::step(self.policy.teardown);
        let over = *self.over.get_or_insert(now + d + d);
        let kill = *self.kill.get_or_insert(now + d);
        self.late = match self.state {
            State::Terminating => Some((kill.min(over), Why::Rung)),
            _ => None,
        };
        if self.state == State::Killing && over <= now {
            // Even an unkillable child gets the time of one rung to be waited for.
            self.over = Some(now + d);
        }
    }

    fn done(&mut self) {
        self.late = None;
        self.over = None;
        self.steps.push_back(Step::Done(End {
            status: self.status,
            rung: self.rung,
            link_lost: self.link_lost,
            up: self.up,
        }));
    }
}

fn earlier(a: (Instant, Why), b: (Instant, Why)) -> (Instant, Why) {
    if b.0 < a.0 { b } else { a }
}
