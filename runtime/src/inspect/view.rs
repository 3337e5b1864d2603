//! The live tree as a value: what is shown of each actor, and how it is printed. Asks nobody.

use std::fmt;

use hatchery_proto::ActorId;
use serde::{Deserialize, Serialize};

use super::links::Shown;

/// The actors of a tree as they were when they were asked: see [`tree`](crate::tree).
///
/// Printed, it is a line for each actor, indented by how deep it is.
#[derive(Clone, Debug, Default)]
pub struct TreeView {
    pub(super) actors: Vec<TreeActor>,
}

/// One actor of a [`TreeView`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TreeActor {
    pub(super) depth: u32,
    pub(super) id: ActorId,
    pub(super) answered: bool,
    pub(super) state: String,
    pub(super) runs: Vec<String>,
    pub(super) waits_for: Vec<String>,
}

impl TreeView {
    /// Every actor that is known of, each ahead of those below it.
    pub fn actors(&self) -> &[TreeActor] {
        &self.actors
    }
}

impl TreeActor {
    /// How many actors are above it.
    pub fn depth(&self) -> u32 {
        self.depth
    }

    /// Who it is. Of one that has not answered there may be no more than a name and a process.
    pub fn id(&self) -> &ActorId {
        &self.id
    }

    /// Whether it has answered; what is told of one that has not is what its parent and the system know.
    pub fn answered(&self) -> bool {
        self.answered
    }

    /// Where it stands, in words: for people.
    pub fn state(&self) -> &str {
        &self.state
    }

    /// What it runs for others, in words: at most eight of them, and how many more there are.
    pub fn runs(&self) -> &[String] {
        &self.runs
    }

    /// What it has asked of others and waits for, in words, as many.
    pub fn waits_for(&self) -> &[String] {
        &self.waits_for
    }
}

impl fmt::Display for TreeView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.actors.iter().try_for_each(|actor| writeln!(f, "{actor}"))
    }
}

impl fmt::Display for TreeActor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let indent = 2 * usize::try_from(self.depth).unwrap_or(usize::MAX).min(40);
        write!(f, "{:indent$}{}", "", Shown(&self.id))?;
        if self.id.uuid != 0 {
            write!(f, " {:08x}", self.id.uuid >> 96)?;
        }
        write!(f, ": {}", Shown(&self.state))?;
        for (what, all) in [("runs", &self.runs), ("waits for", &self.waits_for)] {
            if !all.is_empty() {
                write!(f, "; {what} {}", Shown(all.join(", ")))?;
            }
        }
        Ok(())
    }
}
