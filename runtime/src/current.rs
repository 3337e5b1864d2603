//! The context that the running code is part of, from anywhere below it.
//!
//! What is told here is told by the scopes, which hand it on to what is opened in them; nothing is
//! decided here.

use std::fmt;
use std::sync::Arc;

use hatchery_proto::ActorId;

use crate::dialog::Dialog;
use crate::task;

/// What can be known of a context by what runs in it, however far below: in the far task and in the
/// opener's [`with_context`](crate::Portal::with_context) block, in the nurseries and tasks of both,
/// and in what these call.
///
/// For what has to know on whose behalf it works, such as logs, quotas and checks of who asks. It owns
/// nothing and holds nothing open.
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
    is_callee: bool,
}

impl Within {
    /// That of the opener's block.
    pub(crate) fn block_of(dialog: &Dialog) -> Arc<Self> {
        let (endpoint, peer) = (dialog.task.clone(), dialog.peer.clone());
        Arc::new(Self { endpoint, peer, is_callee: false })
    }

    /// That of the far task.
    pub(crate) fn task_of(endpoint: &str, opener: ActorId) -> Arc<Self> {
        Arc::new(Self { endpoint: endpoint.into(), peer: opener, is_callee: true })
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
        self.0.is_callee
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
