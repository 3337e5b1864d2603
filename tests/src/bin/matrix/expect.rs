//! What each cell has to come to: one table, and whoever holds what came against it.

use hatchery::{Cause, Error, ErrorKind, ExitStatus, LostCause, Rung};
use hatchery_tests::strike::{Action, Phase};

use crate::actors::FAILURE;
use crate::cells::{Cell, Shape, Side};
use crate::root::NAME;

const SIGINT: i32 = 2;
const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;

/// What a block came to.
#[derive(Debug)]
pub(crate) enum Came {
    Fine,
    Failed(Error),
    /// It unwound, with this.
    Panicked(String),
}

/// What a cell has to come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// Nothing went wrong.
    Fine,
    /// The actor did not come up; its process ended so, or anyhow.
    Spawn(Option<ExitStatus>),
    /// The actor's process died so, and nobody had to force it.
    Died(ExitStatus),
    /// This rung of the ladder ended it, or a later one on a machine that was busy.
    Forced(Rung),
    /// Its link broke first.
    LinkLost,
    /// Its link broke when it had been asked to end: it may be gone before force comes or not.
    Cut,
    /// Its task panicked.
    Relayed,
    /// Its task failed as it was to.
    Failed,
    /// It was done before its SIGTERM was due, or has cancelled itself; or, where it was not heard of
    /// in time, it has died of that signal. Nobody had to force it.
    Told,
    /// This signal to the root has cancelled everything.
    Cancelled(i32),
    /// The parent's own panic goes on when its tree has ended.
    Panic,
    /// The parent's process ends so, and its child with it.
    Gone(ExitStatus),
}

fn by(number: i32) -> ExitStatus {
    ExitStatus::Signal { number, core: false }
}

impl Cell {
    /// The table.
    pub(crate) fn expected(self) -> Expect {
        match self.side {
            Side::Child => self.expected_of_child(),
            Side::Parent => self.expected_of_parent(),
        }
    }

    fn expected_of_child(self) -> Expect {
        use Phase::{Acked, CancelSent, Connected, Failing, ShuttingDown, Spawned};
        let Self { phase, action, shape, .. } = self;
        let is_up = phase > Connected;
        // It was asked to end before it was hit.
        let is_asked = phase == ShuttingDown || (phase, shape) == (CancelSent, Shape::Daemon);
        let died = |status| if is_up { Expect::Died(status) } else { Expect::Spawn(Some(status)) };
        match action {
            Action::Kill => died(by(SIGKILL)),
            Action::Abort => died(by(SIGABRT)),
            Action::Term if phase == Spawned => died(by(SIGTERM)),
            Action::Term => Expect::Told,
            Action::Exit(0) if phase == ShuttingDown => Expect::Fine,
            Action::Exit(code) => died(ExitStatus::Code(code.into())),
            // Nobody waits for a call any more that was dropped.
            Action::Panic if (phase, shape) == (Acked, Shape::Call) => Expect::Fine,
            Action::Panic if is_up => Expect::Relayed,
            // Unwinding closes the link, for which it may be sent SIGTERM.
            Action::Panic if phase == Connected => Expect::Spawn(None),
            Action::Panic => died(ExitStatus::Code(101)),
            Action::Close if is_asked => Expect::Cut,
            Action::Close if is_up => Expect::LinkLost,
            Action::Close => Expect::Spawn(None),
            // The terminal's Ctrl-C is the root's matter, once there is an actor.
            Action::Int if phase == Spawned => died(by(SIGINT)),
            Action::Int if phase == Failing => Expect::Failed,
            Action::Int => Expect::Fine,
            // What has not said a word is not asked.
            Action::Stop | Action::Spin if phase == Spawned => died(by(SIGKILL)),
            Action::Stop if is_up => Expect::Forced(Rung::Killed),
            Action::Spin if is_up => Expect::Forced(Rung::Terminated),
            Action::Stop => died(by(SIGKILL)),
            Action::Spin => died(by(SIGTERM)),
            Action::Pause | Action::Starve => unreachable!("not among the actions"),
        }
    }

    fn expected_of_parent(self) -> Expect {
        use Phase::{CancelSent, Connected, ShuttingDown, StartSent};
        // The child looks at nothing but a signal then. A context's block waits for what does not
        // answer no longer than the root's cancel allows (P-C1), so that the force is told.
        let is_deaf = matches!(self.phase, StartSent | CancelSent | ShuttingDown);
        let cancelled = |number| match is_deaf {
            true => Expect::Forced(Rung::Terminated),
            false => Expect::Cancelled(number),
        };
        match self.action {
            // What hangs is ended by the harness.
            Action::Kill | Action::Stop | Action::Spin => Expect::Gone(by(SIGKILL)),
            Action::Abort => Expect::Gone(by(SIGABRT)),
            Action::Exit(code) => Expect::Gone(ExitStatus::Code(code.into())),
            Action::Panic => Expect::Panic,
            Action::Close if self.phase <= Connected => Expect::Spawn(None),
            Action::Close if self.phase == ShuttingDown => Expect::Cut,
            Action::Close if (self.phase, self.shape) == (CancelSent, Shape::Daemon) => Expect::Cut,
            Action::Close => Expect::LinkLost,
            Action::Term => cancelled(SIGTERM),
            Action::Int => cancelled(SIGINT),
            Action::Pause | Action::Starve => unreachable!("not among the actions"),
        }
    }
}

/// Whether that is what the cell has to come to.
///
/// # Errors
///
/// Says what came instead.
pub(crate) fn judge(cell: Cell, came: &Came) -> Result<(), String> {
    let expected = cell.expected();
    let as_expected = match (expected, came) {
        (Expect::Fine | Expect::Cut | Expect::Told, Came::Fine) => true,
        (Expect::Panic, Came::Panicked(text)) => text.contains("a panic at"),
        (_, Came::Failed(error)) => is(expected, error),
        _ => false,
    };
    match as_expected {
        true => Ok(()),
        false => Err(format!("expected {expected:?}, came {came:?}")),
    }
}

fn is(expected: Expect, error: &Error) -> bool {
    let exit = error.exit().filter(|exit| exit.actor.name == NAME);
    let status = exit.and_then(|exit| exit.status);
    let is_death = matches!(error.kind(), ErrorKind::Died(_));
    match expected {
        Expect::Spawn(how) => {
            *error.kind() == ErrorKind::Spawn
                && error.origin().name == NAME
                && exit.is_some()
                && how.is_none_or(|how| status.is_some_and(|status| alike(status, how)))
        }
        Expect::Died(how) => {
            let forced = exit.is_some_and(|exit| exit.rung > Rung::Terminated);
            is_death && !forced && status.is_some_and(|status| alike(status, how))
        }
        Expect::Forced(rung) => exit.is_some_and(|exit| {
            // Where both signals were late, either may be the one; where it is not reaped in time,
            // its end is seen to by the checks that follow.
            let by_signal = match exit.status {
                Some(ExitStatus::Signal { number, .. }) => matches!(number, SIGTERM | SIGKILL),
                Some(_) => false,
                None => exit.rung == Rung::Unkillable,
            };
            is_death && exit.rung >= rung && exit.asked_by.is_some() && by_signal
        }),
        Expect::Cut => is_death && exit.is_some_and(|exit| exit.asked_by.is_some()),
        Expect::LinkLost => match error.kind() {
            ErrorKind::Died(exit) => exit.actor.name == NAME && exit.link_lost,
            ErrorKind::Lost(cause) => *cause == LostCause::LinkEnded && error.origin().name == NAME,
            _ => false,
        },
        Expect::Relayed => {
            *error.kind() == ErrorKind::Panicked
                && error.origin().name == NAME
                && error.report().message.contains("a panic at")
        }
        Expect::Failed => error.report().message == FAILURE && error.origin().name == NAME,
        Expect::Cancelled(signal) => {
            error.cancelled().is_some_and(|by| by.cause == Cause::Signal(signal))
        }
        Expect::Told => {
            let itself = error
                .cancelled()
                .is_some_and(|by| by.cause == Cause::Signal(SIGTERM) && by.canceller.name == NAME);
            let died = status.is_some_and(|status| alike(status, by(SIGTERM)));
            let forced = exit.is_some_and(|exit| exit.rung >= Rung::Terminated);
            let failed = error.report().message == FAILURE;
            itself || (died && !forced) || (failed && error.origin().name == NAME)
        }
        Expect::Fine | Expect::Panic | Expect::Gone(_) => false,
    }
}

/// Whether both are the same end, whether or not it has left a core.
fn alike(one: ExitStatus, other: ExitStatus) -> bool {
    match (one, other) {
        (ExitStatus::Signal { number, .. }, ExitStatus::Signal { number: same, .. }) => {
            number == same
        }
        _ => one == other,
    }
}

impl Came {
    /// In one line.
    pub(crate) fn in_short(&self) -> String {
        match self {
            Self::Fine => "fine".to_owned(),
            Self::Failed(error) => error.to_string().replace('\n', " | "),
            Self::Panicked(text) => text.clone(),
        }
    }
}
