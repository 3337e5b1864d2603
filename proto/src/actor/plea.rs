//! What an actor does about a SIGTERM that its own process got: from the ladder of its parent (P-T1),
//! from whoever ends a whole group of processes, or from a user who means this one.
//!
//! Its parent's word goes first, since whoever signals a group signals the root as well, and the end
//! of a tree has an order. An actor that does not hear any more is ended as the signal would have,
//! its exit hooks run before (P-C7). Decides only; who carries it out depends on no executor.

use core::time::Duration;

use crate::time::Instant;

/// How long an actor's executor may take to answer, and its parent to ask it to end.
pub const PATIENCE: Duration = Duration::from_millis(100);
/// How long an actor may take for its end that has no time left: about what the ladder gives it
/// before SIGKILL.
pub const RUSH: Duration = Duration::from_millis(50);

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum PleaStep {
    /// Have the actor's executor answer, by [`Plea::handle_heard`].
    Probe,
    /// Have the actor end itself, with all the grace there is: nobody above it is about to.
    CancelItself,
    /// Leave what is left of its end no time.
    Rush,
    /// Run the exit hooks that have not run, and end the process as the signal does.
    Die,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    /// It was asked whether it hears; whether it was ending before that.
    Probing {
        until: Instant,
        ending: bool,
    },
    /// It hears, and its parent may speak.
    Listening {
        until: Instant,
    },
    /// Its end has no time left.
    Rushing {
        until: Instant,
    },
    Dying,
}

/// The machine of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plea {
    state: State,
    step: Option<PleaStep>,
}

impl Default for Plea {
    fn default() -> Self {
        Self { state: State::Idle, step: None }
    }
}

impl Plea {
    /// One that has heard of no signal.
    pub fn new() -> Self {
        Self::default()
    }

    /// The signal has come; `ending` says whether the actor was asked to end before. One that comes
    /// while another is being seen to asks for more haste.
    pub fn handle_signal(&mut self, now: Instant, ending: bool) {
        let ending = match self.state {
            State::Idle => ending,
            State::Probing { .. } | State::Listening { .. } => true,
            State::Rushing { .. } | State::Dying => return,
        };
        self.state = State::Probing { until: now + PATIENCE, ending };
        self.step = Some(PleaStep::Probe);
    }

    /// The actor's executor has answered.
    pub fn handle_heard(&mut self, now: Instant) {
        match self.state {
            State::Probing { ending: true, .. } => {
                self.state = State::Rushing { until: now + RUSH };
                self.step = Some(PleaStep::Rush);
            }
            State::Probing { until, ending: false } => self.state = State::Listening { until },
            State::Idle | State::Listening { .. } | State::Rushing { .. } | State::Dying => {}
        }
    }

    /// The actor was asked to end, by whomever. It hears, then.
    pub fn handle_asked(&mut self) {
        match self.state {
            State::Probing { ending: false, .. } | State::Listening { .. } => {
                self.state = State::Idle;
                self.step = None;
            }
            State::Idle
            | State::Probing { ending: true, .. }
            | State::Rushing { .. }
            | State::Dying => {}
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|until| now < until) {
            return;
        }
        match self.state {
            State::Listening { .. } => {
                self.state = State::Idle;
                self.step = Some(PleaStep::CancelItself);
            }
            State::Probing { .. } | State::Rushing { .. } => {
                self.state = State::Dying;
                self.step = Some(PleaStep::Die);
            }
            State::Idle | State::Dying => {}
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Probing { until, .. }
            | State::Listening { until }
            | State::Rushing { until } => Some(until),
            State::Idle | State::Dying => None,
        }
    }

    /// The next thing to do.
    pub fn poll_step(&mut self) -> Option<PleaStep> {
        self.step.take()
    }
}
