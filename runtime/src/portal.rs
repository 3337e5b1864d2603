//! Portals: handles to actors. A portal asks; it owns nothing, and dropping it ends nothing.

mod starting;

use std::fmt;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

use hatchery_proto::{
    ActorId, Connection, DialogId, ExitReport, Kind, Misuse, Outcome, Passed, StartWish,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::actor::Actor;
use crate::codec::{Codec, Encoded, Postcard, decode, encode};
use crate::context::{self, CancelStatus, First, OpenContext};
use crate::dialog::{Asked, Dialog, Side};
use crate::driver::link::{Link, Name};
use crate::endpoint::{
    Call, CallEndpoint, ContextEndpoint, Endpoint, ErrorOf, StreamEndpoint, ValueOf,
};
use crate::error::{Error, Result};
use crate::peer::Held;
use crate::source::{self, Source};
use crate::supervisor::Child;
pub(crate) use starting::{answer, ask_on, open_on, wish_of};
use starting::{start_now, start_on, wish};

/// A handle to an actor: a child, from the nursery that started it, or any other that was found.
///
/// Cheap to clone. Once the actor is gone, a child with its nursery at the latest, every operation
/// says so.
#[derive(Clone)]
pub struct Portal {
    to: To,
}

/// Whom a portal leads to, and by which link.
#[derive(Clone)]
enum To {
    Child(Arc<Child>),
    Peer(Arc<Held>),
}

impl Portal {
    pub(crate) fn to_child(child: Arc<Child>) -> Self {
        Self { to: To::Child(child) }
    }

    pub(crate) fn to_peer(held: Held) -> Self {
        Self { to: To::Peer(Arc::new(held)) }
    }

    /// Whether the actor can be asked for something, as far as is known.
    pub(crate) fn serves(&self) -> bool {
        self.link().is_ok_and(|link| link.look(Connection::takes_wishes))
    }

    /// The actor's identity.
    pub fn id(&self) -> ActorId {
        match &self.to {
            To::Child(child) => child.id(),
            To::Peer(held) => held.id().clone(),
        }
    }

    fn link(&self) -> Result<Arc<Link>> {
        match &self.to {
            To::Child(child) => child.link(),
            To::Peer(held) => Ok(held.link()),
        }
    }

    /// The actor that holds it.
    fn actor(&self) -> &Arc<Actor> {
        match &self.to {
            To::Child(child) => child.actor(),
            To::Peer(held) => held.actor(),
        }
    }

    async fn start_refused(&self, task: &str, misuse: &Misuse) -> Error {
        match &self.to {
            To::Child(child) => child.start_refused(task, misuse).await,
            To::Peer(held) => held.start_refused(task, misuse),
        }
    }

    /// Notes what [`close`](Self::close) has to end.
    fn opened(&self, link: &Arc<Link>, id: DialogId) {
        if let To::Peer(held) = &self.to {
            held.opened(link, id);
        }
    }

    /// Runs a call in the actor and returns its result.
    ///
    /// Within a [`timeout`](crate::timeout), or a task that has a deadline or a grace itself, the far
    /// task gets what is left of it (P-C8).
    ///
    /// # Errors
    /// What the endpoint failed with, typed where it declares an error type; that it panicked, was
    /// refused or cancelled; that the actor died, with the exit status.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the far task, which ends in the background.
    #[expect(clippy::manual_async_fn, reason = "an `async fn` has room for its arguments twice")]
    pub fn run<E: CallEndpoint>(
        &self,
        call: Call<E>,
    ) -> impl Future<Output = Result<ValueOf<E>, ErrorOf<E>>> + use<'_, E> {
        async move {
            let bytes = call.encode()?;
            drop(call);
            let wish = wish_of::<E>(Kind::Call);
            let mut asked = self.ask(&wish, || Name::Call(E::NAME.into()), bytes).await?;
            answer::<E>(&mut asked, || self.id()).await
        }
    }

    /// Opens a context: starts the callee's task and waits until it has started.
    ///
    /// Returns the opener's handle and the callee's first value.
    ///
    /// # Errors
    /// As for [`run`](Self::run), for a callee that ends before it has started.
    ///
    /// # Cancel safety
    /// Dropping the future, or the handle, cancels the far task, which ends in the background.
    pub async fn open_context<E: ContextEndpoint>(
        &self,
        call: Call<E>,
    ) -> Result<(OpenContext<E>, First<E>), ErrorOf<E>> {
        let dialog = self.open(call, Kind::Context).await?;
        OpenContext::start(dialog).await
    }

    /// Opens a context, runs `body` with it, and joins the far task: the scope form.
    ///
    /// A clean end of `body` waits for the far task, however long, and returns the body's value. If
    /// the far task fails first, `body` is cancelled, unless it was waiting on this context and so
    /// heard of it itself: what is open in it ends, innermost first, and it is dropped at its next
    /// await (P-C2). If `body` fails, the far task is cancelled with that error as the cause and
    /// waited for (P-C5). A cancel from this side is no error (P-C4): of a `body` that goes on, the
    /// value is returned. One that hands on what its stream says of that cancel, or that waits for
    /// something else when another task has asked for it, and so is cancelled, has no value to give: the
    /// block's error is that cancel then, and no failure for the nursery whose task it ends.
    ///
    /// # Errors
    /// The body's own error, or the far task's. What fails in `body` while that one ends it is listed
    /// with it ([`Error::also`]).
    ///
    /// # Cancel safety
    /// In a task that is cancelled, `body` is dropped, then the far task is cancelled and waited
    /// for, at most for this scope's share of the grace (P-C2). Dropping the future from outside
    /// cancels the far task without waiting.
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

    /// Opens a one-way stream: starts the producer's task, and gives what it yields.
    ///
    /// Returns at once: that the producer was refused is the first thing that is received. Dropping
    /// the source cancels the producer and waits for nothing; where its end matters, use
    /// [`with_stream_from`](Self::with_stream_from). Several at once do not mix. A producer that is
    /// opened within a [`timeout`](crate::timeout) gets what is left of that time, and no more though
    /// the source is held longer (P-C8).
    ///
    /// ```
    /// use futures_lite::{Stream, stream};
    /// # use hatchery::prelude::*;
    ///
    /// #[hatchery::endpoint]
    /// fn squares(below: u64) -> impl Stream<Item = u64> {
    ///     stream::iter((0..below).map(|n| n * n))
    /// }
    ///
    /// # fn main() -> hatchery::Result<()> {
    /// # hatchery::init();
    /// # hatchery::run(open_nursery(async |nursery: Nursery| {
    /// # let worker = nursery.start_actor("worker").await?;
    /// let mut source = worker.open_stream_from(squares(3)).await?;
    /// let mut sum = 0;
    /// while let Some(square) = source.recv().await? {
    ///     sum += square;
    /// }
    /// assert_eq!(sum, 5);
    /// # worker.cancel().await
    /// # }))
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Lost` where the actor is gone, `Died` where it died, `Codec` and `Misuse` where the
    /// arguments do not encode or are over `max_message`.
    ///
    /// # Cancel safety
    /// Dropping the future, or the source, cancels the producer, which ends in the background.
    pub async fn open_stream_from<E: StreamEndpoint>(
        &self,
        call: Call<E>,
    ) -> Result<Source<E>, ErrorOf<E>> {
        Ok(Source::over(self.open(call, Kind::Stream).await?))
    }

    /// Opens a one-way stream and runs `body` with it: the scope form.
    ///
    /// When `body` ends, a producer that has not ended is cancelled with it and waited for; that is
    /// no error (P-C4). If `body` fails, its error is the cause of the cancel (P-C5). A producer
    /// that fails does not interrupt `body`, which finds the error behind the items that came before
    /// it; where it ends well without, the error is that of the block.
    ///
    /// # Errors
    /// The body's own error, or the producer's.
    ///
    /// # Cancel safety
    /// As for [`with_context`](Self::with_context).
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

    /// The value of an actor that [`run_in_actor`](crate::Nursery::run_in_actor) started. It may be
    /// asked for again, and after the nursery has ended: the answer stays (P-D9).
    ///
    /// `E` is the endpoint it was started with.
    ///
    /// # Errors
    /// As for [`run`](Self::run); `Misuse` on a daemon, which has no result, where `E` is
    /// another endpoint than the actor's, and on an actor that is no child of this one.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn result<E: CallEndpoint>(&self) -> Result<ValueOf<E>, ErrorOf<E>> {
        let To::Child(child) = &self.to else {
            let id = self.id();
            return Err(Error::misuse(format!(
                "asking actor {id} for its result, which only whoever has started it is told; use \
                 `Portal::run`"
            ))
            .into());
        };
        child.check_main(E::NAME)?;
        let outcome = child.outcome().await;
        match &outcome {
            Outcome::Returned(bytes) => context::returned::<E>(bytes, &Passed::NONE),
            other => Err(context::failure::<E>(other, &child.id())),
        }
    }

    /// Asks the actor to end, and waits for it: of a child until its process has been reaped, of another
    /// actor until it says that it leaves, or its link has ended.
    ///
    /// Everything in it is cancelled, innermost scopes first, its own children before it (P-C7). It
    /// gets the teardown budget of this actor's options. For a child, force is used where that is not
    /// enough, which the nursery then reports; another actor may take longer, and this says so
    /// ([`TimedOut`](CancelStatus::TimedOut)).
    ///
    /// # Errors
    /// `Misuse` on an actor of another tree, or one that is linked over a network, where nobody proves
    /// which tree it is of: it is not this one's to end (P-L2). None for a child.
    ///
    /// # Cancel safety
    /// The request is made when this is first polled; dropping it later stops the waiting only.
    pub async fn cancel_actor(&self) -> Result<CancelStatus> {
        let child = match &self.to {
            To::Child(child) => child,
            To::Peer(held) => return held.cancel_actor().await,
        };
        if child.has_ended() {
            return Ok(CancelStatus::Gone);
        }
        child.cancel_asked();
        let end = child.ended().await;
        Ok(if end.exit.status.is_some() { CancelStatus::Done } else { CancelStatus::TimedOut })
    }

    /// Short for [`cancel_actor`](Self::cancel_actor) where how it came out does not matter.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn cancel(&self) -> Result<()> {
        let _ = self.cancel_actor().await?;
        Ok(())
    }

    /// Waits until the actor has ended, however that comes, and says how it did: of a child, until its
    /// process has; of another actor, until the last link with it is gone, and all that is known then
    /// is that.
    ///
    /// Of every end there is a report, of one that was asked for too; only a child's death that was not
    /// is an error of the nursery, which has the same report ([`Error::exit`]).
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing; the answer stays.
    pub async fn ended(&self) -> ExitReport {
        match &self.to {
            To::Child(child) => child.ended().await.exit.clone(),
            To::Peer(held) => held.ended().await,
        }
    }

    /// Ends the actor by force, and waits until its process has been reaped. Only a child: another
    /// actor's process is not this one's to end, and [`NotAllowed`](CancelStatus::NotAllowed) says so.
    ///
    /// Nothing in it is asked: no clean-up and no exit hook runs there. The actors below it end with
    /// it by their parent-death signal; one that sees its link's end before that may have begun to
    /// clean up. What is awaited of the actor fails with its death. Its end is no failure of its
    /// nursery, since it was asked for.
    ///
    /// # Cancel safety
    /// The process is signalled when this is first polled; dropping it later stops the waiting only.
    pub async fn kill(&self) -> CancelStatus {
        let To::Child(child) = &self.to else { return CancelStatus::NotAllowed };
        if child.has_ended() {
            return CancelStatus::Gone;
        }
        child.kill();
        let end = child.ended().await;
        if end.exit.status.is_some() { CancelStatus::Done } else { CancelStatus::TimedOut }
    }

    /// Ends what was opened through this portal and its clones, and lets go of the link where it was
    /// the last portal on it: the actor lives on. Of a child only the handle goes, since its link is its
    /// life.
    ///
    /// Calls, contexts and streams that were opened through it and still run are cancelled, and their
    /// ends are waited for, each for at most its grace and half a second more (P-C1). Then the link
    /// says `Goodbye` (P-L3). A portal that is dropped instead leaves what it has opened to whoever
    /// holds that; the link goes with the last of its portals then.
    ///
    /// # Cancel safety
    /// What was opened is cancelled when this is first polled; dropping it later waits for nothing.
    pub async fn close(self) {
        if let To::Peer(held) = &self.to {
            held.close().await;
        }
    }

    /// Runs a call of an endpoint that this program does not have, by its name on the wire
    /// ([`Endpoint::NAME`]): for programs that were built apart.
    ///
    /// `args` are its arguments as a tuple. No types are compared: the value that comes back, and the
    /// arguments over there, decode or the call fails.
    ///
    /// # Errors
    /// As for [`run`](Self::run), each as an [`Error`]; `Codec` where the value is of another type.
    ///
    /// # Cancel safety
    /// As for [`run`](Self::run).
    pub async fn call_named<T: DeserializeOwned>(
        &self,
        name: &str,
        args: impl Serialize,
    ) -> Result<T> {
        self.call_named_in::<Postcard, T>(name, args).await
    }

    /// The same for an endpoint that speaks another codec.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn call_named_in<C: Codec, T: DeserializeOwned>(
        &self,
        name: &str,
        args: impl Serialize,
    ) -> Result<T> {
        let args = encode::<C, _>(&args, "the arguments of", name)?;
        let wish = wish(name, StartWish::UNKNOWN_SCHEMA, Kind::Call);
        let wish = StartWish { codec: C::NUMBER, ..wish };
        let mut asked = self.ask(&wish, || Name::Call(name.to_owned().into()), args).await?;
        match asked.outcome().await {
            Outcome::Returned(bytes) => {
                decode::<C, _>(&bytes, asked.passed(), "the result of", name)
            }
            other => Err(Error::from_outcome(&other, &self.id(), name)),
        }
    }

    async fn open<E: Endpoint>(&self, call: Call<E>, kind: Kind) -> Result<Arc<Dialog>> {
        self.open_as(&wish_of::<E>(kind), &call.encode()?).await
    }

    /// Makes a call.
    async fn ask(
        &self,
        wish: &StartWish<'_>,
        name: impl FnOnce() -> Name,
        args: Encoded,
    ) -> Result<Asked> {
        let (link, id) = self.start(wish, &args).await?;
        Ok(Asked::new(link, id, name()))
    }

    async fn open_as(&self, wish: &StartWish<'_>, args: &Encoded) -> Result<Arc<Dialog>> {
        let (link, id) = self.start(wish, args).await?;
        Ok(Dialog::new(link, id, Side::Opener, wish.endpoint.into(), self.id()))
    }

    /// Has a task started. Waiting for that is in a box: what is awaited is moved, and few wait.
    async fn start(&self, wish: &StartWish<'_>, args: &Encoded) -> Result<(Arc<Link>, DialogId)> {
        match self.starts(wish, args) {
            Some(started) => Ok(started),
            None => Box::pin(self.starts_later(wish, args)).await,
        }
    }

    /// Has a task started if that needs no waiting. Says nothing of why it did not.
    fn starts(&self, wish: &StartWish<'_>, args: &Encoded) -> Option<(Arc<Link>, DialogId)> {
        let link = self.link().ok()?;
        let id = start_now(&link, self.actor(), wish, args).ok()?;
        self.opened(&link, id);
        Some((link, id))
    }

    /// The same, however long it takes; on another link where the peer has let go of the one at hand.
    async fn starts_later(
        &self,
        wish: &StartWish<'_>,
        args: &Encoded,
    ) -> Result<(Arc<Link>, DialogId)> {
        loop {
            let link = self.link()?;
            match start_on(&link, self.actor(), wish, args).await {
                Ok(id) => {
                    self.opened(&link, id);
                    return Ok((link, id));
                }
                Err(Misuse::Closing | Misuse::LinkGone) if self.renew().await => {}
                Err(misuse) => return Err(self.start_refused(wish.endpoint, &misuse).await),
            }
        }
    }

    /// In a box of its own: a registrar may be asked, by a portal too.
    fn renew(&self) -> Pin<Box<dyn Future<Output = bool> + Send + '_>> {
        match &self.to {
            To::Child(_) => Box::pin(ready(false)),
            To::Peer(held) => Box::pin(held.renew()),
        }
    }
}

impl fmt::Debug for Portal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Portal").field("actor", &self.id()).finish()
    }
}
