//! Processes that are hit at a step of the protocol: which steps there are, what is done, and the
//! doing of it. Who is to be hit where, and what has to come of it, is up to those who plan it.

use serde::{Deserialize, Serialize};

mod deeds;
mod early;
mod members;

pub use deeds::{RECORDS, close_new_sockets, lost, record, record_hit, strike_other, strike_self};
pub use early::{argument, at_settings, before_the_entry, hit_on_command_line};
pub use members::{
    STEPS, ask_for_last_steps, make_pipe, show, show_all, tell_last_steps_when_asked,
};

/// The steps of the protocol at which a process may be hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Phase {
    /// There is a process, which has not come to the library yet.
    Spawned,
    /// It has been told what it is to be.
    Connected,
    /// It has said that it is up.
    Up,
    /// A dialog was asked for, and it has not read that.
    StartSent,
    /// The dialog's task begins.
    StartReceived,
    /// It has sent its first value.
    Started,
    /// It has sent half of its values.
    StreamingUp,
    /// It has received half of the other side's.
    StreamingDown,
    /// Both.
    StreamingBoth,
    /// It has said that it sends no more.
    StopSent,
    /// Its result is on its way.
    Returning,
    /// Its failure is.
    Failing,
    /// It was asked to end.
    CancelSent,
    /// It has said that it heard that.
    Acked,
    /// Its actor runs its last hooks.
    ShuttingDown,
}

impl Phase {
    /// All that exist. Registering, the sixteenth, comes with a registrar.
    pub const ALL: [Self; 15] = [
        Self::Spawned,
        Self::Connected,
        Self::Up,
        Self::StartSent,
        Self::StartReceived,
        Self::Started,
        Self::StreamingUp,
        Self::StreamingDown,
        Self::StreamingBoth,
        Self::StopSent,
        Self::Returning,
        Self::Failing,
        Self::CancelSent,
        Self::Acked,
        Self::ShuttingDown,
    ];

    /// With registering.
    pub const COUNT: usize = 16;
}

/// What is done to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Action {
    /// SIGKILL.
    Kill,
    /// SIGSTOP, for good.
    Stop,
    /// SIGSTOP, and SIGCONT a little later.
    Pause,
    /// `exit` with this code.
    Exit(u8),
    /// A panic, which the runtime catches where it can.
    Panic,
    /// `abort()`.
    Abort,
    /// Its link is shut down; the process lives on.
    Close,
    /// Its thread is blocked for good.
    Spin,
    /// Lowest priority, and a thread that competes for its processor.
    Starve,
    /// SIGTERM.
    Term,
    /// SIGINT.
    Int,
}

/// One hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hit {
    /// Where.
    pub phase: Phase,
    /// What.
    pub action: Action,
}
