//! The states of one child's teardown and the facts that move it, as one table, and what is told of
//! it. Nothing here acts.

use crate::report::{ExitStatus, Rung};
use crate::table::table;

table! {
    /// The states of the ladder, as the teardown table of the protocol has them.
    ///
    /// What the link or the reaper says of a process proves that there is one: told before
    /// `Spawned`, it counts for that too.
    pub machine State by Fact starts Spawning {
        Spawning + Spawned => Connecting;
        Spawning + SpawnFailed => Reaped;
        Spawning + Greeted => Waiting;
        Spawning + Written => Starting;
        Spawning + Up => Running;
        Spawning + Left => Leaving;
        Spawning + Eof => Terminating;
        Spawning + Cancel => Withdrawing;
        Spawning + Rush => Withdrawing;
        Spawning + Exited => Reaped;
        Withdrawing + Spawned => Killing;
        Withdrawing + SpawnFailed => Reaped;
        Withdrawing + Greeted => Killing;
        Withdrawing + Written => Killing;
        Withdrawing + Up => Killing;
        Withdrawing + Left => Killing;
        Withdrawing + Eof => Killing;
        Withdrawing + Exited => Reaped;
        Withdrawing + Over => Unkillable;
        Connecting + Greeted => Waiting;
        Connecting + Written => Starting;
        Connecting + Up => Running;
        Connecting + Left => Leaving;
        Connecting + Eof => Terminating;
        Connecting + Late => Killing;
        Connecting + Cancel => Killing;
        Connecting + Rush => Killing;
        Connecting + Exited => Reaped;
        Waiting + Written => Starting;
        Waiting + Up => Running;
        Waiting + Left => Leaving;
        Waiting + Eof => Terminating;
        Waiting + Cancel => Killing;
        Waiting + Rush => Killing;
        Waiting + Exited => Reaped;
        Starting + Up => Running;
        Starting + Left => Leaving;
        Starting + Eof => Terminating;
        Starting + Late => Killing;
        Starting + Cancel => Cancelling;
        Starting + Rush => Killing;
        Starting + Exited => Reaped;
        Running + Left => Leaving;
        Running + Eof => Terminating;
        Running + Cancel => Cancelling;
        Running + Rush => Killing;
        Running + Exited => Reaped;
        Leaving + Late => Terminating;
        Leaving + Rush => Killing;
        Leaving + Exited => Reaped;
        Cancelling + Left => Leaving;
        Cancelling + Eof => Terminating;
        Cancelling + Late => Terminating;
        Cancelling + Rush => Killing;
        Cancelling + Exited => Reaped;
        Terminating + Late => Killing;
        Terminating + Rush => Killing;
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
        /// It has greeted, and is left to wait for that (P-L7).
        Waiting,
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
        /// The greeting is done, and nobody has said yet what it is to be.
        Greeted,
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
        /// The same, and there is no time for asking.
        Rush,
        /// A rung's time has ended.
        Late,
        /// The whole budget has.
        Over,
    }
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
    /// There was a process: neither did its start fail nor was it taken back, or is it stuck.
    pub spawned: bool,
    /// It had been up.
    pub up: bool,
}

/// Why a deadline was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It has to be up.
    Connect,
    /// It has said its last word and has to be gone.
    Leave,
    /// It has to answer the request.
    Ack,
    /// Its grace ends: SIGTERM.
    Terminate,
    /// SIGTERM was not enough: SIGKILL.
    Kill,
    /// The teardown has to be over.
    Over,
}

impl State {
    /// Whether nothing more will come of it.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Unkillable | Self::Reaped)
    }

    /// Whether it can still be told what it is to be, and be it.
    #[must_use]
    pub const fn takes_orders(self) -> bool {
        matches!(self, Self::Spawning | Self::Connecting | Self::Waiting)
    }

    /// Whether something runs in it that a cancel asks first, and that was not asked before.
    #[must_use]
    pub const fn can_be_asked(self) -> bool {
        matches!(self, Self::Starting | Self::Running)
    }

    /// Whether nothing can run in it yet.
    pub(super) const fn is_unbegun(self) -> bool {
        matches!(self, Self::Spawning | Self::Withdrawing | Self::Connecting | Self::Waiting)
    }
}

impl Fact {
    /// Whether there must have been a process for it to come about.
    pub(super) const fn proves_a_process(self) -> bool {
        matches!(
            self,
            Self::Spawned
                | Self::Greeted
                | Self::Written
                | Self::Up
                | Self::Left
                | Self::Eof
                | Self::Exited
        )
    }
}
