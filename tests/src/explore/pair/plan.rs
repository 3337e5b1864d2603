//! What a world of two peers is made of: its talks, and what may go wrong in it.

use hatchery_proto::Kind;
use hatchery_proto::Limits;
use hatchery_proto::wire::Tag;

/// A world of two peers.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What it is called.
    pub name: &'static str,
    /// The dialogs that are opened.
    pub talks: Vec<TalkPlan>,
    /// Frames that each way of the link holds.
    pub capacity: usize,
    /// The largest frame of both ends.
    pub max_frame: u32,
    /// The window of both ends.
    pub window: u32,
    /// Dialogs that each end takes.
    pub max_dialogs: u32,
    /// The greeting is part of it.
    pub greeting: bool,
    /// How often an opener may ask to cancel.
    pub cancels: u8,
    /// Openers may drop their handle at any time.
    pub drops: bool,
    /// Readers may say that they read no more.
    pub done: bool,
    /// A sender may stop before it has sent all.
    pub early_stop: bool,
    /// A callee may fail or refuse.
    pub fails: bool,
    /// A callee may end because somebody else cancelled it.
    pub others: bool,
    /// The link may end anywhere.
    pub cuts: bool,
    /// Deadlines may come.
    pub timers: bool,
    /// Either end may say `Goodbye`.
    pub goodbye: bool,
    /// Whatever an end has to say it writes at once.
    pub prompt: bool,
    /// What two ends do apart from each other is tried in one order only.
    pub reduced: bool,
    /// A frame may overtake those of other dialogs, so that it does not matter which was written
    /// first; and of an end that has closed each dialog is looked at alone.
    pub apart: bool,
    /// Something that is made wrong on purpose, to see that it is found.
    pub fault: Option<Fault>,
}

/// One dialog.
#[derive(Clone, Debug)]
pub struct TalkPlan {
    /// Which end opens it.
    pub opener: usize,
    /// Its kind.
    pub kind: Kind,
    /// Bytes of its arguments.
    pub args: usize,
    /// Bytes of the first value.
    pub first: usize,
    /// Bytes of the values that its opener sends,
    pub up: Vec<usize>,
    /// and of those that its callee does.
    pub down: Vec<usize>,
    /// Bytes of its result.
    pub result: usize,
}

/// What is wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The link loses frames of this kind.
    Drops(Tag),
    /// The link carries frames of this kind twice.
    Doubles(Tag),
    /// The link lets frames of this kind overtake.
    Hurries(Tag),
    /// The checker expects one value less than there are.
    Miscounts,
}

impl TalkPlan {
    /// A context with these values each way.
    #[must_use]
    pub fn context(opener: usize, up: &[usize], down: &[usize]) -> Self {
        let (up, down) = (up.to_vec(), down.to_vec());
        Self { opener, kind: Kind::Context, args: 1, first: 1, up, down, result: 1 }
    }
}

impl Plan {
    /// Talks over a link where nothing goes wrong.
    #[must_use]
    pub fn of(name: &'static str, talks: Vec<TalkPlan>) -> Self {
        Self {
            name,
            talks,
            capacity: usize::MAX,
            max_frame: 2048,
            window: Limits::FLOOR,
            max_dialogs: 8,
            greeting: false,
            cancels: 0,
            drops: false,
            done: false,
            early_stop: false,
            fails: false,
            others: false,
            cuts: false,
            timers: false,
            goodbye: false,
            prompt: false,
            reduced: true,
            apart: false,
            fault: None,
        }
    }
}
