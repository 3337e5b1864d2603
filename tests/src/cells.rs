//! Contexts whose streams are opened by both sides, by one or by none, and whose callee returns or
//! blocks: the cells of one table, for tests and for the program that is interrupted in each.

use std::fmt;
use std::future::pending;

use hatchery::{Context, MsgStream, OpenContext, Receives, Result, Sends, Starts};
use serde::{Deserialize, Serialize};

use crate::sign::Last;

/// One cell: who does what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// Whether the callee returns by itself; it waits for ever otherwise.
    pub returns: bool,
    /// Whether it opens its stream.
    pub callee_opens: bool,
    /// Whether the opener opens its.
    pub opener_opens: bool,
}

impl Cell {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..8).map(|bits| Self {
            returns: bits & 1 != 0,
            callee_opens: bits & 2 != 0,
            opener_opens: bits & 4 != 0,
        })
    }

    /// The one that is called so.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|cell| cell.to_string() == name)
    }

    /// What the opener does in its block before it comes to its end: gives the stream to hold.
    ///
    /// # Errors
    /// Those of the stream.
    pub async fn open(self, cx: &mut OpenContext<linked>) -> Result<Option<MsgStream<u64, u64>>> {
        if !self.opener_opens {
            return Ok(None);
        }
        let stream = cx.open_stream()?;
        // Whether anybody is there to take it is the callee's business, and no error to hold up.
        let _ = stream.send(1).await;
        Ok(Some(stream))
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let callee = if self.returns { "returns" } else { "blocks" };
        let streams = match (self.callee_opens, self.opener_opens) {
            (true, true) => "both",
            (true, false) => "callee",
            (false, true) => "opener",
            (false, false) => "none",
        };
        write!(f, "{callee}-{streams}")
    }
}

/// The callee of a cell; raises the sign at `ended` when it has ended.
///
/// # Errors
/// Those of its context.
#[hatchery::context]
pub async fn linked(
    cx: Context<Starts<()>, Sends<u64>, Receives<u64>>,
    cell: Cell,
    ended: String,
) -> Result<u64> {
    let _last = Last(ended);
    let started = cx.started(()).await?;
    let stream = cell.callee_opens.then(|| started.open_stream());
    if let Some(stream) = &stream {
        stream.send(1).await?;
    }
    if cell.returns { Ok(7) } else { pending().await }
}
