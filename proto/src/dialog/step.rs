//! The one judge of what may happen next in a dialog.
//!
//! Our own calls and the peer's frames come here alike; whoever asked turns a refusal into misuse
//! (ours) or a violation (theirs).

use super::tables::{Cancel, CancelStep, Half, HalfStep, Life, LifeStep};
use super::{Dialog, Kind, Side};
use crate::error::{Misuse, SendError};

/// What a side does to a dialog, named after its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    StartAck,
    Started,
    Yield,
    Stop,
    Return,
    /// An `Error` that says that nothing ran.
    Refused,
    /// An `Error` that says that the task was cancelled.
    Cancelled,
    /// Any other `Error`.
    Failed,
    Cancel,
    CancelAck,
}

/// Why it may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    WrongRole,
    WrongKind,
    TooEarly,
    Twice,
    Stopped,
    Cancelling,
    Unasked,
    Ended,
}

impl Refused {
    pub(crate) const fn rule(self) -> &'static str {
        match self {
            Self::WrongRole | Self::WrongKind | Self::TooEarly => "P-D2",
            Self::Twice | Self::Stopped => "P-D6",
            Self::Cancelling => "P-D3",
            Self::Unasked => "P-C1",
            Self::Ended => "P-D4",
        }
    }

    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::WrongRole => "its sender's role does not send it",
            Self::WrongKind => "a dialog of this kind does not know it",
            Self::TooEarly => "it comes too early",
            Self::Twice => "it came before",
            Self::Stopped => "its direction was stopped",
            Self::Cancelling => "its sender has asked to cancel",
            Self::Unasked => "no cancel waits for it",
            Self::Ended => "its dialog has ended",
        }
    }
}

impl From<Refused> for Misuse {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::WrongRole | Refused::WrongKind | Refused::Unasked => Self::WrongKind,
            Refused::TooEarly => Self::NotStarted,
            Refused::Twice => Self::StartedTwice,
            Refused::Stopped | Refused::Cancelling | Refused::Ended => Self::Ended,
        }
    }
}

impl From<Refused> for SendError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::WrongRole | Refused::WrongKind | Refused::TooEarly | Refused::Unasked => {
                Self::NotStarted
            }
            Refused::Twice | Refused::Stopped => Self::Stopped,
            Refused::Cancelling => Self::Cancelling,
            Refused::Ended => Self::Ended,
        }
    }
}

impl Dialog {
    /// Whether `by` may do this now (P-D2, P-D3). Changes nothing.
    #[inline]
    pub(crate) fn permits(&self, by: Side, act: Act) -> Result<(), Refused> {
        if self.life == Life::Done {
            return Err(Refused::Ended);
        }
        let opener = by == Side::Opener;
        let own = match act {
            Act::Yield | Act::Stop => true,
            Act::Cancel => opener,
            _ => !opener,
        };
        if !own {
            return Err(Refused::WrongRole);
        }
        match act {
            Act::Yield | Act::Stop => self.may_stream(by),
            Act::StartAck | Act::Refused => expect(self.life == Life::Opening, Refused::Twice),
            Act::Started => match (self.kind, self.life) {
                (Kind::Call | Kind::Stream, _) => Err(Refused::WrongKind),
                (_, life) if life.after(LifeStep::Started).is_some() => Ok(()),
                (_, Life::Live) => Err(Refused::Twice),
                _ => Err(Refused::TooEarly),
            },
            Act::Return => {
                let ready = match self.kind {
                    Kind::Context | Kind::Actor => Life::Live,
                    Kind::Call | Kind::Stream => Life::Accepted,
                };
                expect(self.life == ready, Refused::TooEarly)
            }
            Act::Failed => expect(self.life != Life::Opening, Refused::TooEarly),
            Act::Cancelled => {
                let asked = self.cancel != Cancel::Idle;
                expect(asked || self.life != Life::Opening, Refused::TooEarly)
            }
            Act::Cancel => Ok(()),
            Act::CancelAck => expect(self.ack_due, Refused::Unasked),
        }
    }

    /// Takes the step if `by` may; nothing changes where it may not.
    pub(crate) fn step(&mut self, by: Side, act: Act) -> Result<(), Refused> {
        self.permits(by, act)?;
        let _ = match act {
            Act::StartAck => self.life.step(LifeStep::Ack),
            Act::Started => self.life.step(LifeStep::Started),
            Act::Yield => self.half(by).step(HalfStep::Yield),
            Act::Stop => self.half(by).step(HalfStep::Stop),
            Act::Cancel => self.cancel.step(CancelStep::Ask),
            Act::CancelAck => {
                (self.ack_due, self.acked) = (false, true);
                self.cancel.step(CancelStep::Ack)
            }
            // A terminal ends the dialog where it is whole: see `end`.
            Act::Return | Act::Refused | Act::Cancelled | Act::Failed => true,
        };
        if act == Act::Cancel {
            // The joint rule: who has asked to cancel says nothing more (P-D3).
            self.half(Side::Opener).close();
            if self.side == Side::Callee {
                self.partial = None;
            }
        }
        Ok(())
    }

    #[inline]
    fn may_stream(&self, by: Side) -> Result<(), Refused> {
        let flowing = match (self.kind, by) {
            (Kind::Context, _) => self.life == Life::Live,
            (Kind::Stream, Side::Callee) => self.life == Life::Accepted,
            _ => return Err(Refused::WrongKind),
        };
        if by == Side::Opener && self.cancel != Cancel::Idle {
            return Err(Refused::Cancelling);
        }
        let half = if by == self.side { self.out } else { self.inc };
        match half {
            Half::Open => expect(flowing, Refused::TooEarly),
            Half::Stopped => Err(Refused::Stopped),
            Half::Closed => Err(Refused::Ended),
        }
    }

    fn half(&mut self, by: Side) -> &mut Half {
        if by == self.side { &mut self.out } else { &mut self.inc }
    }
}

const fn expect(met: bool, refused: Refused) -> Result<(), Refused> {
    if met { Ok(()) } else { Err(refused) }
}

impl Half {
    /// Ends a direction that has not ended gracefully before (P-D7).
    pub(crate) fn close(&mut self) {
        let _ = self.step(HalfStep::Close);
    }
}
