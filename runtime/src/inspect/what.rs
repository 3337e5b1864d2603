//! What a scope of this actor is, for whoever shows it. Nothing is decided by it but what kind of scope
//! the core is told of.

use std::fmt;
use std::panic::Location;

use hatchery_proto::actor::scopes::ScopeKind;

/// What a scope is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    /// Everything in the actor.
    Actor,
    /// The body of a root.
    Root,
    /// The main task of an actor.
    Main,
    /// A task that a peer has asked for; its link knows which.
    Served,
    /// A block of `open_nursery`.
    Nursery,
    /// A task of a nursery, by where it was spawned.
    Task(&'static Location<'static>),
    /// A block with an open context or stream.
    Context,
    /// A block around an actor that was found.
    Visit,
    /// A call of an endpoint in this actor itself.
    Local,
    /// A job of a pool.
    Job,
    /// A block that uses what a cache holds.
    Cached,
    /// What runs on another executor.
    Foreign,
    /// What cancels around it do not reach.
    Shield,
    /// A block of `timeout` or `deadline`.
    Bound,
    /// A block of `cancel_scope`.
    Cancellable,
}

impl What {
    /// As the core has it.
    pub(crate) const fn kind(self) -> ScopeKind {
        match self {
            Self::Shield => ScopeKind::Shield,
            _ => ScopeKind::Body,
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Actor => "the actor",
            Self::Root => "the root's body",
            Self::Main => "the main task",
            Self::Served => "a task for a peer",
            Self::Nursery => "a nursery",
            Self::Task(at) => return write!(f, "a task, spawned at {at}"),
            Self::Context => "a block with a context or stream",
            Self::Visit => "a block around an actor that was found",
            Self::Local => "a call in this actor itself",
            Self::Job => "a job of a pool",
            Self::Cached => "a block that uses a cache",
            Self::Foreign => "a task on another executor",
            Self::Shield => "a shield",
            Self::Bound => "a block with a bound in time",
            Self::Cancellable => "a cancel scope",
        })
    }
}
