//! How a process ended, and what that says about it.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::ActorId;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitStatus {
    /// It exited with this code.
    Code(i32),
    /// This signal ended it.
    Signal {
        /// The signal's number.
        number: i32,
        /// Whether it dumped core.
        core: bool,
    },
    /// It ended, and other code of its parent's process was told how: nothing is known but that.
    Taken,
    /// A launcher's process exited with this code, be it the actor's or its own; how the actor ended is
    /// not known.
    LauncherCode(i32),
    /// This signal ended the process of a launcher; how the actor ended is not known.
    LauncherSignal(i32),
}

impl ExitStatus {
    /// Whether the process exited with code 0.
    pub const fn success(self) -> bool {
        matches!(self, Self::Code(0) | Self::LauncherCode(0))
    }

    /// The same of a process that is a launcher's, and the actor's perhaps not.
    #[must_use]
    pub const fn of_launcher(self) -> Self {
        match self {
            Self::Code(code) => Self::LauncherCode(code),
            Self::Signal { number, .. } => Self::LauncherSignal(number),
            other => other,
        }
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::LauncherCode(code) => {
                write!(f, "ended with its launcher, which exited with code {code}")
            }
            Self::LauncherSignal(number) => {
                f.write_str("ended with its launcher, which ")?;
                write!(f, "{}", Self::Signal { number: *number, core: false })
            }
            Self::Signal { number, core } => {
                write!(f, "was ended by signal {number}")?;
                if let Some(name) = signal_name(*number) {
                    write!(f, " ({name})")?;
                }
                if *core { f.write_str(", core dumped") } else { Ok(()) }
            }
            Self::Taken => f.write_str(
                "ended, and other code of its parent's process took its exit status (by a \
                 `waitpid` for any child, or by ignoring SIGCHLD)",
            ),
        }
    }
}

/// The usual name of a signal that ends processes; numbers as on Linux.
pub(super) const fn signal_name(number: i32) -> Option<&'static str> {
    Some(match number {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        _ => return None,
    })
}

/// Which rung of the teardown ladder a child's end was reached on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Rung {
    /// It ended by itself, unasked.
    Unasked,
    /// It ended after it was asked to.
    Asked,
    /// SIGTERM was needed.
    Terminated,
    /// SIGKILL was needed.
    Killed,
    /// It outlived SIGKILL within the budget and is still being watched.
    Unkillable,
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unasked => "unasked",
            Self::Asked => "asked",
            Self::Terminated => "told by SIGTERM",
            Self::Killed => "killed",
            Self::Unkillable => "unkillable",
        })
    }
}

/// What a process has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Time on a processor in its own code.
    pub user: Duration,
    /// Time on a processor in the system's.
    pub system: Duration,
}

/// How an actor's process came to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ExitReport {
    /// The actor.
    pub actor: ActorId,
    /// How the process ended; `None` while it cannot be killed.
    pub status: Option<ExitStatus>,
    /// Which rung of the ladder ended it.
    pub rung: Rung,
    /// The rungs of its teardown, in order, and how long each took.
    pub rungs: Vec<(Rung, Duration)>,
    /// Who asked it to end first, where anyone did before it ended.
    pub asked_by: Option<ActorId>,
    /// Whether its link had broken before anyone asked it to end.
    pub link_lost: bool,
    /// What it was doing for us, in short.
    pub under_way: Vec<String>,
    /// The last frame that came from it, in words; empty if none did.
    pub last_message: String,
    /// The panics in it that did not become errors, with their places, oldest first.
    pub panics: String,
    /// The end of what it wrote to its standard error before it was up; of one that a launcher has
    /// started, of what the two wrote there at any time.
    pub stderr_tail: String,
    /// The system says that processes were ended for lack of memory while it ran, and this one was
    /// ended by SIGKILL, which nobody here has sent.
    pub out_of_memory: bool,
    /// What it has used, where the system tells.
    pub usage: Option<Usage>,
}

impl ExitReport {
    /// A report of which nothing more is known.
    #[must_use]
    pub const fn new(actor: ActorId, status: Option<ExitStatus>, rung: Rung) -> Self {
        Self {
            actor,
            status,
            rung,
            rungs: Vec::new(),
            asked_by: None,
            link_lost: false,
            under_way: Vec::new(),
            last_message: String::new(),
            panics: String::new(),
            stderr_tail: String::new(),
            out_of_memory: false,
            usage: None,
        }
    }
}

impl fmt::Display for ExitReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "actor {} ", self.actor)?;
        match (&self.status, self.rung) {
            (None, Rung::Unkillable) => {
                f.write_str("did not end even after SIGKILL and is still being watched")?
            }
            (None, _) => f.write_str("is gone, as far as links can tell")?,
            (Some(status), Rung::Unasked) if self.link_lost => {
                write!(f, "closed its link, then {status}")?;
            }
            (Some(status), Rung::Unasked) => write!(f, "{status}")?,
            (Some(status), Rung::Asked) => write!(f, "{status} after it was asked to end")?,
            (Some(status), Rung::Terminated | Rung::Killed | Rung::Unkillable) => {
                write!(f, "had to be ended by force and {status}")?;
            }
        }
        if self.out_of_memory {
            f.write_str(", probably for lack of memory")?;
        }
        if !self.under_way.is_empty() {
            write!(f, "; under way: {}", self.under_way.join(", "))?;
        }
        Ok(())
    }
}
