//! Calls, contexts and streams with the actor that has started this one, over the link that it has
//! for its life. Nothing here ends that actor: it is not this one's to end.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use hatchery_proto::{ActorId, Kind, LostCause, Misuse, Outcome};

use crate::actor::Actor;
use crate::context::{self, First, OpenContext};
use crate::dialog::Dialog;
use crate::driver::link::{Link, Name};
use crate::endpoint::{
    Call, CallEndpoint, ContextEndpoint, Endpoint, ErrorOf, StreamEndpoint, ValueOf,
};
use crate::error::{Error, Result};
use crate::portal;
use crate::source::{self, Source};

/// A portal to the actor that has started this one.
///
/// What it may run there is what that actor [exposes](crate::Options::expose): nothing unless it
/// says so. A task that is opened through it is a linked one like any other, and its end is waited
/// for by whoever opened it; but the parent outlives this actor, never the other way round, and so
/// there is nothing here that would end it.
///
/// ```
/// use hatchery::{Options, ParentPortal, Result, open_nursery, open_root_actor};
///
/// #[hatchery::endpoint]
/// async fn price(item: String) -> u64 {
///     item.len() as u64
/// }
///
/// /// Asks back while it works.
/// #[hatchery::endpoint]
/// async fn total(items: Vec<String>) -> Result<u64> {
///     let parent = ParentPortal::new()?;
///     let mut sum = 0;
///     for item in items {
///         sum += parent.run(price(item)).await?;
///     }
///     Ok(sum)
/// }
///
/// # fn main() -> Result<()> {
/// # hatchery::init();
/// let options = Options::new().expose::<price>();
/// # hatchery::run_with(options, async {
/// # open_nursery(async |nursery: hatchery::Nursery| {
/// # let worker = nursery.start_actor("worker").await?;
/// let items = vec!["nail".to_owned(), "screw".to_owned()];
/// assert_eq!(worker.run(total(items)).await?, 9);
/// # worker.cancel().await
/// # }).await
/// # })
/// # }
/// ```
#[derive(Clone)]
pub struct ParentPortal {
    actor: Arc<Actor>,
    link: Arc<Link>,
    id: ActorId,
}

impl ParentPortal {
    /// The portal to the parent of the actor that the running code belongs to.
    ///
    /// # Errors
    /// `Misuse` in a root, which has none, and where no actor runs in this process.
    pub fn new() -> Result<Self> {
        let Some(actor) = Actor::running() else {
            return Err(Error::misuse("a portal to this actor's parent, and no actor runs here"));
        };
        match actor.parent() {
            Some((link, id)) => Ok(Self { actor, link, id }),
            None => Err(Error::misuse(format!(
                "a portal to the parent of actor {}, which is a root and has none",
                actor.id()
            ))),
        }
    }

    /// The parent's identity.
    pub fn id(&self) -> &ActorId {
        &self.id
    }

    /// Runs a call in the parent and returns its result, as [`Portal::run`](crate::Portal::run) does
    /// in a child.
    ///
    /// # Errors
    /// As there; `Refused` where the parent does not expose the endpoint, `Lost` where the link to it
    /// has ended.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn run<E: CallEndpoint>(&self, call: Call<E>) -> Result<ValueOf<E>, ErrorOf<E>> {
        let args = call.encode()?;
        drop(call);
        let wish = portal::wish_of::<E>(Kind::Call);
        let asked =
            portal::ask_on(&self.link, &self.actor, &wish, Name::Call(E::NAME.into()), args).await;
        let mut asked = asked.map_err(|misuse| self.refused(&misuse, E::NAME))?;
        portal::answer::<E>(&mut asked, || self.id.clone()).await
    }

    /// Opens a context in the parent, as [`Portal::open_context`](crate::Portal::open_context) does in
    /// a child.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    ///
    /// # Cancel safety
    /// As there.
    pub async fn open_context<E: ContextEndpoint>(
        &self,
        call: Call<E>,
    ) -> Result<(OpenContext<E>, First<E>), ErrorOf<E>> {
        OpenContext::start(self.open(call, Kind::Context).await?).await
    }

    /// Opens a context in the parent, runs `body` with it, and joins its task, as
    /// [`Portal::with_context`](crate::Portal::with_context) does with a child.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn with_context<E, F, Fut, T, X>(&self, call: Call<E>, body: F) -> Result<T, X>
    where
        E: ContextEndpoint,
        F: FnOnce(OpenContext<E>, First<E>) -> Fut,
        Fut: Future<Output = Result<T, X>>,
        X: From<Error> + fmt::Display + 'static,
    {
        let (context, first) =
            self.open_context(call).await.map_err(|error| X::from(error.into()))?;
        context::block::with_context(context, first, body).await
    }

    /// Opens a one-way stream from a producer in the parent, as
    /// [`Portal::open_stream_from`](crate::Portal::open_stream_from) does from a child.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn open_stream_from<E: StreamEndpoint>(
        &self,
        call: Call<E>,
    ) -> Result<Source<E>, ErrorOf<E>> {
        Ok(Source::over(self.open(call, Kind::Stream).await?))
    }

    /// Opens a one-way stream from a producer in the parent and runs `body` with it, as
    /// [`Portal::with_stream_from`](crate::Portal::with_stream_from) does with a child.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn with_stream_from<E, F, Fut, T, X>(&self, call: Call<E>, body: F) -> Result<T, X>
    where
        E: StreamEndpoint,
        F: FnOnce(Source<E>) -> Fut,
        Fut: Future<Output = Result<T, X>>,
        X: From<Error> + fmt::Display + 'static,
    {
        let source = self.open_stream_from(call).await.map_err(|error| X::from(error.into()))?;
        source::with_source(source, body).await
    }

    async fn open<E: Endpoint>(&self, call: Call<E>, kind: Kind) -> Result<Arc<Dialog>> {
        let args = call.encode()?;
        let wish = portal::wish_of::<E>(kind);
        let opened = portal::open_on(&self.link, &self.actor, self.id.clone(), &wish, &args).await;
        opened.map_err(|misuse| self.refused(&misuse, E::NAME))
    }

    fn refused(&self, misuse: &Misuse, task: &str) -> Error {
        match misuse {
            Misuse::Closing | Misuse::LinkGone => {
                let lost = Outcome::Lost(LostCause::LinkEnded);
                Error::from_outcome(&lost, &self.id, task)
            }
            other => Error::misuse(format!("running `{task}` on actor {}: {other}", self.id)),
        }
    }
}

impl fmt::Debug for ParentPortal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParentPortal").field("actor", &self.id).finish()
    }
}
