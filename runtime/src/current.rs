//! The context that the running code is part of, from anywhere below it.
//!
//! What is told here is told by the scopes, which hand it on to what is opened in them; nothing is
//! decided here.

use std::fmt;
use std::sync::{Arc, Weak};

use hatchery_proto::actor::scopes::ScopeId;
use hatchery_proto::{ActorId, Cause, LinkId};

use crate::actor::Actor;
use crate::context::by_us;
use crate::dialog::Dialog;
use crate::driver::clock;
use crate::task;

/// What can be known of a context by what runs in it, however far below: in the far task and in the
/// opener's [`with_context`](crate::Portal::with_context) block, in the nurseries and tasks of both,
/// and in what these call.
///
/// For what has to know on whose behalf it works, such as logs, quotas and checks of who asks, or has
/// to end that. It owns nothing and holds nothing open.
///
/// ```
/// use hatchery::{Context, CurrentContext, Result, Starts};
///
/// fn on_behalf_of() -> Option<String> {
///     let context = CurrentContext::get()?;
///     Some(format!("{} for {}", context.endpoint(), context.peer().name))
/// }
///
/// #[hatchery::context]
/// async fn audited(cx: Context<Starts<Option<String>>>) -> Result<()> {
///     cx.started(on_behalf_of()).await?;
///     Ok(())
/// }
/// assert!(on_behalf_of().is_none(), "not here");
/// ```
#[derive(Clone)]
pub struct CurrentContext(Arc<Within>);

/// Which context a scope is in.
pub(crate) struct Within {
    endpoint: Arc<str>,
    peer: ActorId,
    end: End,
}

/// Which end of the context that is.
enum End {
    /// The opener's block.
    Block(Weak<Dialog>),
    /// The far task, by its scope, and the link that it was asked for over.
    Task(Weak<Actor>, ScopeId, LinkId),
}

impl Within {
    /// That of the opener's block.
    pub(crate) fn block_of(dialog: &Arc<Dialog>) -> Arc<Self> {
        let (endpoint, peer) = (dialog.task.clone(), dialog.peer.clone());
        Arc::new(Self { endpoint, peer, end: End::Block(Arc::downgrade(dialog)) })
    }

    /// That of the far task.
    pub(crate) fn task_of(
        endpoint: Arc<str>,
        link: LinkId,
        opener: ActorId,
        actor: &Arc<Actor>,
        scope: ScopeId,
    ) -> Arc<Self> {
        let end = End::Task(Arc::downgrade(actor), scope, link);
        Arc::new(Self { endpoint, peer: opener, end })
    }

    /// Over which link the running code was asked for, and who is behind that; nothing where it was
    /// not.
    pub(crate) fn asked_over() -> Option<(LinkId, u128)> {
        let within = task::current()?.within?;
        match within.end {
            End::Task(_, _, link) => Some((link, within.peer.uuid)),
            End::Block(_) => None,
        }
    }
}

impl CurrentContext {
    /// That of the running code: the innermost, if there is any.
    pub fn get() -> Option<Self> {
        task::current().and_then(|current| current.within).map(Self)
    }

    /// The context's endpoint, by its name on the wire.
    pub fn endpoint(&self) -> &str {
        &self.0.endpoint
    }

    /// The actor at the other end.
    pub fn peer(&self) -> &ActorId {
        &self.0.peer
    }

    /// Whether the running code is at the far end, the endpoint's; else it is at the opener's.
    pub fn is_callee(&self) -> bool {
        matches!(self.0.end, End::Task(..))
    }

    /// Whether it was cancelled, as far as is known at this end: by this side, or, at the far end, by
    /// anyone.
    pub fn is_cancelled(&self) -> bool {
        match &self.0.end {
            End::Block(dialog) => dialog.upgrade().is_some_and(|dialog| dialog.cancel_asked()),
            End::Task(actor, scope, _) => actor
                .upgrade()
                .is_some_and(|actor| actor.scopes(|scopes| scopes.cancelled(*scope).is_some())),
        }
    }

    /// Cancels the context from this end, and returns at once; again, it does nothing more.
    ///
    /// In the opener's block: as [`OpenContext::cancel`](crate::OpenContext::cancel) without the
    /// waiting. In the far task: that task is cancelled, innermost scopes first, within the grace of
    /// its actor, and ends at its next await that is not shielded. Its opener is told that the task's
    /// own actor has cancelled it, which is an error there (P-C4). Nothing else in that actor ends.
    pub fn cancel(&self) {
        match &self.0.end {
            End::Block(dialog) => {
                if let Some(dialog) = dialog.upgrade() {
                    dialog.cancel_here();
                }
            }
            End::Task(actor, scope, _) => {
                if let Some(actor) = actor.upgrade() {
                    let (by, grace) = (by_us(Cause::Asked), actor.settings().grace());
                    actor.scopes(|scopes| scopes.cancel(*scope, clock::now(), by, grace));
                }
            }
        }
    }
}

impl fmt::Debug for CurrentContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CurrentContext")
            .field("endpoint", &self.endpoint())
            .field("peer", self.peer())
            .field("is_callee", &self.is_callee())
            .finish()
    }
}
