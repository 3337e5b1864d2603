//! Errors by blame: ours ([`Misuse`], [`SendError`]) and the peer's ([`Violation`]).

use alloc::string::String;
use core::fmt;

/// A wish that a rule forbids. Nothing was sent and nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misuse {
    /// `started` was called before (P-D6).
    StartedTwice,
    /// Streaming before `Started` (P-D6).
    NotStarted,
    /// The dialog is of a kind without this operation (P-D2).
    WrongKind,
    /// The dialog has ended (P-D4).
    Ended,
    /// A message over `max_message` (P-F3).
    TooLarge {
        /// Its size.
        size: usize,
        /// The largest allowed.
        max: usize,
    },
    /// As many dialogs are open as the peer takes (P-W5).
    TooManyDialogs {
        /// That many.
        max: u32,
    },
    /// A `Goodbye` was sent or received (P-L3).
    Closing,
    /// The link has ended (P-L4).
    LinkGone,
    /// Dialog 0 was opened before, or is not this end's to open (P-L2).
    ActorOpened,
    /// The peer is not of this actor's tree, and its actor not to be ended from here (P-L2).
    NotGranted,
    /// A child serves nothing before its parent has opened dialog 0 (P-L2).
    ActorNotStarted,
    /// A name over `max_name`.
    NameTooLong {
        /// The longest allowed.
        max: usize,
    },
    /// Descriptors that the link does not carry (P-F6).
    NotPassed(NotPassed),
}

impl Misuse {
    /// The rule that forbids it.
    #[must_use]
    pub const fn rule(&self) -> &'static str {
        match self {
            Self::StartedTwice | Self::NotStarted => "P-D6",
            Self::WrongKind => "P-D2",
            Self::Ended => "P-D4",
            Self::TooLarge { .. } | Self::NameTooLong { .. } => "P-F3",
            Self::TooManyDialogs { .. } => "P-W5",
            Self::Closing => "P-L3",
            Self::LinkGone => "P-L4",
            Self::ActorOpened | Self::ActorNotStarted | Self::NotGranted => "P-L2",
            Self::NotPassed(_) => "P-F6",
        }
    }
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StartedTwice => f.write_str("`started` was called before")?,
            Self::NotStarted => f.write_str("the context has not started")?,
            Self::WrongKind => f.write_str("the dialog is of a kind that does not do this")?,
            Self::Ended => f.write_str("the dialog has ended")?,
            Self::TooLarge { size, max } => {
                write!(f, "a message of {size} bytes is over the limit of {max}")?;
            }
            Self::TooManyDialogs { max } => write!(f, "{max} dialogs are open, the most allowed")?,
            Self::Closing => f.write_str("the link is closing")?,
            Self::LinkGone => f.write_str("the link has ended")?,
            Self::ActorOpened => f.write_str("dialog 0 cannot be opened (again) here")?,
            Self::NotGranted => f.write_str("the peer is of another tree")?,
            Self::ActorNotStarted => f.write_str("the child's dialog 0 was not opened yet")?,
            Self::NameTooLong { max } => write!(f, "a name is longer than {max} bytes")?,
            Self::NotPassed(why) => write!(f, "{why}")?,
        }
        write!(f, " ({})", self.rule())
    }
}

/// Why descriptors are not passed with a message (P-F6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotPassed {
    /// The link is of a kind that carries none.
    Here,
    /// The peer takes none.
    There,
    /// There are more than a message may carry.
    TooMany {
        /// So many.
        count: usize,
        /// The most allowed.
        max: usize,
    },
}

impl fmt::Display for NotPassed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here => f.write_str(
                "this link carries no descriptors: they are passed over Unix sockets alone",
            ),
            Self::There => f.write_str(
                "the peer takes no descriptors: its program was built without the feature \
                 `descriptors`, or with another library",
            ),
            Self::TooMany { count, max } => {
                write!(f, "a message with {count} descriptors is over the limit of {max}")
            }
        }
    }
}

impl From<NotPassed> for Misuse {
    fn from(why: NotPassed) -> Self {
        Self::NotPassed(why)
    }
}

impl From<NotPassed> for SendError {
    fn from(why: NotPassed) -> Self {
        Self::NotPassed(why)
    }
}

/// Why a value was not taken for sending.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// No credit: wait for `Writable` (P-W1).
    Full,
    /// The context has not started (P-D6).
    NotStarted,
    /// This side has stopped its direction (P-D6).
    Stopped,
    /// The peer reads no more (P-D8).
    ReceiverGone,
    /// More was sent than the peer keeps for its reader (P-W6).
    Overrun,
    /// This side has asked to cancel and sends no more (P-D3).
    Cancelling,
    /// The dialog has ended; see its outcome.
    Ended,
    /// Over `max_message` (P-F3).
    TooLarge {
        /// Its size.
        size: usize,
        /// The largest allowed.
        max: usize,
    },
    /// With descriptors that the link does not carry (P-F6).
    NotPassed(NotPassed),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("there is no credit left (P-W1)"),
            Self::NotStarted => f.write_str("the context has not started (P-D6)"),
            Self::Stopped => f.write_str("this direction was closed (P-D6)"),
            Self::ReceiverGone => f.write_str("the peer reads no more (P-D8)"),
            Self::Overrun => f.write_str("more was sent than the peer keeps unread (P-W6)"),
            Self::Cancelling => f.write_str("a cancel was asked for (P-D3)"),
            Self::Ended => f.write_str("the dialog has ended (P-D7)"),
            Self::TooLarge { size, max } => {
                write!(f, "a message of {size} bytes is over the limit of {max} (P-F3)")
            }
            Self::NotPassed(why) => write!(f, "{why} (P-F6)"),
        }
    }
}

/// How a peer broke the protocol (P-L6, P-A1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The message that did.
    pub message: &'static str,
    /// The rule.
    pub rule: &'static str,
    /// The state it was received in.
    pub state: &'static str,
    /// What was wrong.
    pub detail: String,
}

impl Violation {
    pub(crate) fn new(
        message: &'static str,
        rule: &'static str,
        state: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self { message, rule, state, detail: detail.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in state {}: {} ({})", self.message, self.state, self.detail, self.rule)
    }
}

impl core::error::Error for Misuse {}
impl core::error::Error for NotPassed {}
impl core::error::Error for SendError {}
impl core::error::Error for Violation {}
