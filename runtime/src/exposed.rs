//! Who may call what in an actor. Decides that and does nothing.

use hatchery_proto::LinkId;
use serde::{Deserialize, Serialize};

/// Which endpoints may be called.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) enum Exposed {
    /// Nothing was said: the parent may call every one that is linked in, others none.
    #[default]
    Unsaid,
    /// Those with these names.
    Only(Vec<String>),
}

impl Exposed {
    pub(crate) fn add(&mut self, name: &str) {
        match self {
            Self::Unsaid => *self = Self::Only(vec![name.to_owned()]),
            Self::Only(names) => names.push(name.to_owned()),
        }
    }

    pub(crate) fn allows(&self, name: &str, caller: Caller) -> bool {
        match self {
            _ if caller == Caller::Own => true,
            Self::Unsaid => caller == Caller::Parent,
            Self::Only(names) => names.iter().any(|allowed| allowed == name),
        }
    }
}

/// Who is at the other end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    Parent,
    /// A child, over the link that it has inherited, by its number here.
    Child(LinkId),
    Other,
    /// The actor itself, which has the code at hand anyway.
    Own,
}
