//! Calls, contexts and streams with the actor that opens them: the same answers as from another
//! process, and no wire.
//!
//! A call is a task below whoever makes it; what talks goes over a link with both ends in here.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use hatchery_proto::{
    ActorId, Config, Connection, Kind, Limits, LinkKind, Misuse, Outcome, Refusal, Role, Terminal,
};

use crate::actor::{Actor, Caller, OwnLink};
use crate::context::{self, First, OpenContext, failure, returned};
use crate::dialog::Dialog;
use crate::driver::clock;
use crate::driver::link::{Handler, Link, lock};
use crate::endpoint::{
    self, Call, CallEndpoint, ContextEndpoint, Endpoint, ErrorOf, StreamEndpoint, ValueOf,
};
use crate::error::{Error, Result};
use crate::inspect::What;
use crate::passing;
use crate::portal;
use crate::serving::{self, Serving};
use crate::source::{self, Source};
use crate::task::Scope;
use crate::trace::Trace;

/// A portal to the running actor itself.
///
/// What it runs is a task of this actor with a scope of its own: a panic is an error, an error is a
/// report with its place, a timeout around it is its deadline, and every value is encoded and decoded,
/// or fails, as it would be on its way to another process. Windows and limits are those of any link.
/// The actor does not end before these tasks have, and neither a descriptor nor a thread is taken for
/// them. Nothing is asked about what is [exposed](crate::ActorBuilder::expose),
/// since the code is at hand anyway.
#[derive(Clone)]
pub struct LocalPortal {
    actor: Arc<Actor>,
}

impl LocalPortal {
    /// The portal of the actor that the running code belongs to.
    ///
    /// # Errors
    /// `Misuse` where no actor runs in this process, or not any more.
    pub fn new() -> Result<Self> {
        let actor = Actor::running().ok_or_else(|| {
            Error::misuse("a portal to the running actor, and none runs; open a root actor first")
        })?;
        Ok(Self { actor })
    }

    /// The actor's identity.
    pub fn id(&self) -> ActorId {
        self.actor.id().clone()
    }

    /// Runs a call in this actor and returns its result.
    ///
    /// # Errors
    /// As [`Portal::run`](crate::Portal::run): what the endpoint failed with, typed where it declares
    /// an error type; that it panicked or was cancelled.
    ///
    /// # Cancel safety
    /// Dropping the future drops the task. In a task that is cancelled the call is a scope like any
    /// other and ends first (P-C2).
    pub async fn run<E: CallEndpoint>(&self, call: Call<E>) -> Result<ValueOf<E>, ErrorOf<E>> {
        self.check_runs()?;
        let args = call.encode()?;
        let prepare = || endpoint::prepare_call::<E>(args.to_vec(), None);
        let job = passing::within(args.passed(), prepare);
        drop(args);
        let job = job.map_err(|why| {
            let refused = Outcome::Refused(Refusal::BadArguments, why);
            failure::<E>(&refused, self.actor.id())
        })?;
        let (terminal, passed) = {
            let scope = Scope::open(&self.actor, Some(self.actor.current_scope()), What::Local);
            let scope = scope.of_task(Some(E::NAME), || self.id().to_string(), Trace::carried());
            serving::run(&scope, job, E::NAME).await
        };
        let outcome = match terminal {
            Terminal::Return(bytes) => {
                return returned::<E>(&bytes, &passed);
            }
            Terminal::Failed { report, payload } => Outcome::Failed { report, payload },
            Terminal::Cancelled(by) => Outcome::Cancelled(by),
        };
        Err(failure::<E>(&outcome, self.actor.id()))
    }

    /// Opens a context in this actor, as [`Portal::open_context`](crate::Portal::open_context) does in
    /// another.
    ///
    /// # Errors
    /// As there; `Lost` where the actor has ended.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn open_context<E: ContextEndpoint>(
        &self,
        call: Call<E>,
    ) -> Result<(OpenContext<E>, First<E>), ErrorOf<E>> {
        OpenContext::start(self.open(call, Kind::Context).await?).await
    }

    /// Opens a context in this actor, runs `body` with it, and joins its task, as
    /// [`Portal::with_context`](crate::Portal::with_context) does with another.
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

    /// Opens a one-way stream from a producer in this actor, as
    /// [`Portal::open_stream_from`](crate::Portal::open_stream_from) does from another.
    ///
    /// # Errors
    /// As there; `Lost` where the actor has ended.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn open_stream_from<E: StreamEndpoint>(
        &self,
        call: Call<E>,
    ) -> Result<Source<E>, ErrorOf<E>> {
        Ok(Source::over(self.open(call, Kind::Stream).await?))
    }

    /// Opens a one-way stream from a producer in this actor and runs `body` with it, as
    /// [`Portal::with_stream_from`](crate::Portal::with_stream_from) does with another.
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

    fn check_runs(&self) -> Result<()> {
        match Actor::running().is_some_and(|now| Arc::ptr_eq(&now, &self.actor)) {
            true => Ok(()),
            false => Err(Error::gone(self.actor.id())),
        }
    }

    async fn open<E: Endpoint>(&self, call: Call<E>, kind: Kind) -> Result<Arc<Dialog>> {
        let args = call.encode()?;
        let link = self.link()?;
        let wish = portal::wish_of::<E>(kind);
        let opened = portal::open_on(&link, &self.actor, self.id(), &wish, &args).await;
        opened.map_err(|misuse| match misuse {
            Misuse::Closing | Misuse::LinkGone => Error::gone(self.actor.id()),
            other => Error::misuse(format!(
                "running `{}` in actor {} itself: {other}",
                E::NAME,
                self.id()
            )),
        })
    }

    /// The asking end of the actor's link with itself, which is there from its first use on.
    fn link(&self) -> Result<Arc<Link>> {
        self.check_runs()?;
        let mut own = lock(self.actor.own_link());
        let ends = match &*own {
            OwnLink::Open([asks, _]) => return Ok(asks.clone()),
            OwnLink::Over => return Err(Error::gone(self.actor.id())),
            OwnLink::Unused => [Role::Even, Role::Odd].map(|role| self.end(role)),
        };
        let ends = Link::pair(ends, &self.actor.executor());
        let [asks, _] = &ends;
        let asks = asks.clone();
        *own = OwnLink::Open(ends);
        Ok(asks)
    }

    fn end(&self, role: Role) -> (Connection, Box<dyn Handler>) {
        // Whoever could find the other end gone is gone with it.
        let limits = Limits { liveness: None, ..self.actor.settings().limits.clone() };
        let config = Config { kind: LinkKind::Peer, role, me: self.id(), limits };
        let serving = Serving::new(self.actor.clone(), Caller::Own, Box::new(|_, _| {}));
        (Connection::new(config, clock::now()).speaking(endpoint::codecs()), serving)
    }
}

impl fmt::Debug for LocalPortal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalPortal").field("actor", self.actor.id()).finish()
    }
}
