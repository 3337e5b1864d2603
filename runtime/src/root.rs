//! Opening and ending the root actor, and the two ways in: `run` and an embedder's own executor.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::pin;
use std::process::{ExitCode, Termination};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use async_executor::Task;
use futures_lite::{FutureExt, future};
use hatchery_proto::{ActorId, Cancelled, Cause};

use crate::actor::{Actor, Reign};
use crate::driver::adopter::{self, Adopter};
use crate::driver::cgroup::Group;
use crate::driver::dump::Hears;
use crate::driver::entry;
use crate::driver::signal::{SIGINT, Signals};
#[cfg(feature = "tls")]
use crate::driver::transport::proofs::Proofs;
use crate::driver::{identity, process, readiness, spawner};
use crate::ending::LastWords;
use crate::error::{self, Error, ErrorKind, Result};
use crate::inspect::{self, What};
use crate::options::{Containment, Options};
use crate::task::{self, Ended, Scope};
use crate::trace::Trace;
use crate::{debug, log};

/// The root actor, as the body of [`open_root_actor`] gets it.
#[derive(Clone, Debug)]
pub struct Root {
    actor: Arc<Actor>,
    containment: Containment,
}

impl Root {
    /// The root's identity.
    pub fn id(&self) -> &ActorId {
        self.actor.id()
    }

    /// How surely everything below this root ends with it.
    pub fn containment(&self) -> Containment {
        self.containment
    }

    /// Cancels the whole tree, the body included, as Ctrl-C would (P-C7). Returns at once.
    pub fn cancel_soon(&self) {
        self.actor.cancel_itself();
    }
}

/// Cancels the actor that this process is, its main task included: in a root the whole tree, as
/// Ctrl-C would (P-C7). Returns at once; may be called from synchronous code and from any thread.
///
/// # Errors
/// `Misuse` where this process is no actor.
pub fn cancel_soon() -> Result<()> {
    let Some(actor) = Actor::running() else {
        return Err(Error::misuse("cancelling this actor: this process is no actor"));
    };
    actor.cancel_itself();
    Ok(())
}

/// How surely everything below the root of this process ends with it: what was asked for by
/// [`Options::containment`], or more where this process is the first of a container. It is logged, too.
///
/// # Errors
/// `Misuse` where this process is no root.
pub fn containment() -> Result<Containment> {
    let actor = Actor::running();
    actor.and_then(|actor| actor.containment()).ok_or_else(|| {
        Error::misuse("asking how this tree is contained: this process is not its root")
    })
}

/// Opens the root actor, runs `body` in it, and ends it: when this returns, every process below it
/// has ended and been reaped.
///
/// Runs on whatever executor polls it; nothing is spawned elsewhere. Raises the soft limit of open
/// descriptors to the hard one, since each actor costs four.
///
/// # Errors
/// The body's own. `Misuse` where this process is an actor already, or where it was started as an
/// actor and its `main` did not go through [`init`](crate::init). `Cancelled` where a signal or
/// [`Root::cancel_soon`] ended the tree.
///
/// # Cancel safety
/// Dropping the future ends the tree by force: every process below is killed and reaped in the
/// background. End the body instead.
pub async fn open_root_actor<F, Fut, T, E>(options: Options, body: F) -> Result<T, E>
where
    F: FnOnce(Root) -> Fut,
    Fut: Future<Output = Result<T, E>>,
    E: From<Error> + 'static,
{
    let Begun { reign, signals, adopter, group, containment, keeper, hears } =
        begin(options).map_err(E::from)?;
    let actor = reign.actor().clone();
    let root = Root { actor: actor.clone(), containment };
    let mut last = Above::default();
    let ended = {
        let lives = pin!(async {
            let ended = live(root, body, &mut last).await;
            if let Some(signals) = signals {
                signals.cancel().await;
            }
            ended
        });
        task::drive(&actor, lives).await
    };
    if let Some(group) = group {
        group.end().await;
    }
    if let Some(adopter) = adopter {
        adopter.stop().await;
    }
    spawner::settled().await;
    actor.discovery().sweep();
    let cancelled = actor.asked();
    drop(reign);
    drop(keeper);
    drop(hears);
    let mut hooks = last.failures.into_iter();
    match ended {
        Ended::Returned(Ok(Ok(value))) => match (hooks.next(), cancelled) {
            (None, None) => Ok(value),
            (None, Some(by)) => Err(E::from(Error::cancelled_by(by))),
            (Some(first), _) => Err(E::from(first.with_others(hooks.collect()))),
        },
        Ended::Returned(Ok(Err(error))) => Err(error::in_company(error, hooks.collect())),
        Ended::Returned(Err(panic)) => {
            // The panic goes on, and has no place for them.
            hooks.for_each(|error| {
                tracing::error!(
                    target: "hatchery::runtime",
                    %error,
                    "an exit hook failed"
                )
            });
            resume_unwind(panic)
        }
        Ended::Dropped => {
            let itself = || Cancelled { canceller: actor.id().clone(), cause: Cause::ScopeEnding };
            let error = Error::cancelled_by(cancelled.unwrap_or_else(itself));
            Err(E::from(error.with_others(hooks.collect())))
        }
    }
}

/// Runs `body` in the actor that this process is; in a root opened for it where it is none yet.
pub(crate) async fn in_actor<F, Fut, T, E>(body: F) -> Result<T, E>
where
    F: FnOnce(Arc<Actor>) -> Fut,
    Fut: Future<Output = Result<T, E>>,
    E: From<Error> + 'static,
{
    match Actor::running() {
        Some(actor) => {
            let body = pin!(body(actor.clone()));
            task::drive(&actor, body).await
        }
        // Out of the way of the others: blocks are nested, and there is one root.
        None => Box::pin(open_root_actor(Options::default(), |root| body(root.actor))).await,
    }
}

/// A root that is about to live.
struct Begun {
    reign: Reign,
    signals: Option<Task<()>>,
    adopter: Option<Adopter>,
    group: Option<Group>,
    containment: Containment,
    keeper: debug::Keeper,
    hears: Option<Hears>,
}

fn begin(mut options: Options) -> Result<Begun> {
    if entry::marked_as_child() {
        return Err(Error::misuse(
            "this process was started as an actor, and its `main` opened a root without going \
             through `hatchery::init()`; call it first thing in `main`, or use `#[hatchery::main]`",
        ));
    }
    task::start_reactor()?;
    let uuid = identity::fresh().map_err(|error| Error::os("naming the root actor", error))?;
    #[cfg(feature = "tls")]
    let uuid = options.credentials.as_ref().map_or(uuid, |given| given.own().uuid);
    let id = ActorId { name: options.name, uuid, pid: identity::pid() };
    log::begin_root(&id.name, &mut options.settings.log)?;
    if let Err(error) = process::raise_descriptor_limit() {
        tracing::debug!(
            target: "hatchery::runtime",
            %error,
            "the limit of open descriptors stays as it is"
        );
    }
    task::set_backtraces(options.settings.debug);
    readiness::spin::set(options.spin);
    let keeper = debug::Keeper::begin(options.settings.debug);
    let reign = Actor::begin(id, uuid, Some(options.settings))?;
    let hears = inspect::hear_in_root(options.dumps)?;
    #[cfg(feature = "tls")]
    reign.actor().set_proofs(match &options.credentials {
        Some(given) => Proofs::given(given.kept()),
        None => Proofs::fresh().map_err(|error| Error::os("making keys for the tree", error))?,
    });
    let signals = match options.signals {
        true => {
            // Of a root that was before.
            INTERRUPTED.store(0, Ordering::Release);
            let signals = Signals::install()
                .map_err(|error| Error::os("installing the signal handlers", error))?;
            Some(reign.actor().spawn(obey(signals, reign.actor().clone())))
        }
        false => None,
    };
    let asked = options.containment == Containment::Subreaper;
    let adopter = match (asked || adopter::is_first()).then(|| Adopter::start(uuid)) {
        Some(Err(error)) if asked => return Err(Error::os("becoming a subreaper", error)),
        Some(Err(error)) => {
            tracing::warn!(
                target: "hatchery::runtime",
                %error,
                "the first process of a container adopts, and cannot reap"
            );
            None
        }
        Some(Ok(adopter)) => Some(adopter),
        None => None,
    };
    let group = match options.containment {
        Containment::Cgroup => Some(
            Group::start(uuid).map_err(|error| Error::os("making a cgroup for the tree", error))?,
        ),
        _ => None,
    };
    let containment = match (&group, &adopter) {
        (Some(_), _) => Containment::Cgroup,
        (None, Some(_)) => Containment::Subreaper,
        (None, None) => Containment::KernelChain,
    };
    reign.actor().set_containment(containment);
    tracing::info!(
        target: "hatchery::runtime",
        actor = %reign.actor().id(), ?containment,
        "a root actor"
    );
    Ok(Begun { reign, signals, adopter, group, containment, keeper, hears })
}

/// There is nobody above a root: what its exit hooks came to is its own error.
#[derive(Default)]
struct Above {
    failures: Vec<Error>,
}

impl LastWords for Above {
    fn hooks_failed(&mut self, failures: Vec<Error>) {
        self.failures = failures;
    }

    async fn tell(&mut self) {}

    async fn part(&mut self) {}
}

type Caught<T> = std::result::Result<T, Box<dyn Any + Send>>;

/// The root's life: the body, then everything that is left, in the order of P-C7.
async fn live<F, Fut, T, E>(root: Root, body: F, last: &mut Above) -> Ended<Caught<Result<T, E>>>
where
    F: FnOnce(Root) -> Fut,
    Fut: Future<Output = Result<T, E>>,
    E: From<Error> + 'static,
{
    let actor = root.actor.clone();
    let scope = Scope::open(&actor, Some(actor.top()), What::Root);
    // What it is part of where it is opened is what its tasks are part of.
    let came = Trace::carried();
    let scope = scope.of_task(Some(BODY), || "nobody".to_owned(), came);
    // A panic waits until the tree has ended; then it goes on.
    let placed = async {
        let places = &actor.settings().places;
        actor.take_place(places, true).await?;
        body(root).await
    };
    let body = Box::pin(AssertUnwindSafe(placed).catch_unwind());
    let stuck = async {
        actor.forced().await;
        Ended::Dropped
    };
    let ended = task::run_in(&scope, body).or(stuck).await;
    drop(scope);
    // Taken out first: what it is in may not be looked at from several threads.
    let failure = failure(&ended);
    if let Some(error) = failure {
        debug::ends_here(&actor, &error, BODY).await;
    }
    actor.end(last).await;
    ended
}

/// What a root's body is called where a task has a name.
const BODY: &str = "main";

/// What the body has failed with, for whoever debugs it.
fn failure<T, E: 'static>(ended: &Ended<Caught<Result<T, E>>>) -> Option<Error> {
    match ended {
        _ if !debug::is_on() => None,
        Ended::Returned(Ok(Err(error))) => Some(error::of_any(error)),
        Ended::Returned(Err(panic)) => Some(task::panic_error(panic.as_ref())),
        Ended::Returned(Ok(Ok(_))) | Ended::Dropped => None,
    }
}

static INTERRUPTED: AtomicI32 = AtomicI32::new(0);

/// Turns signals into cancels: the first is graceful, a further one leaves no time.
async fn obey(mut signals: Signals, actor: Arc<Actor>) {
    loop {
        let number = signals.next().await;
        if number == SIGINT && debug::takes_interrupt(&actor) {
            tracing::debug!(target: "hatchery::debugger", "Ctrl-C is the prompt's");
            continue;
        }
        let by = Cancelled { canceller: actor.id().clone(), cause: Cause::Signal(number) };
        let first = INTERRUPTED.swap(number, Ordering::AcqRel) == 0;
        let grace = if first { actor.settings().grace() } else { Duration::ZERO };
        tracing::info!(target: "hatchery::cancel", number, first, "a signal ends the tree");
        actor.cancel(by, grace);
    }
}

/// Runs `main` in a root actor on this thread and returns its value or its error.
///
/// SIGINT, SIGTERM and SIGHUP end the tree gracefully; a second one leaves no time. The error says
/// which it was ([`Cause::Signal`]); only `#[hatchery::main]` makes it the exit code.
///
/// # Errors
/// As [`open_root_actor`].
pub fn run<T, E>(main: impl Future<Output = Result<T, E>>) -> Result<T, E>
where
    E: From<Error> + 'static,
{
    run_with(Options::default(), main)
}

/// [`run`] with options.
///
/// # Errors
/// As [`open_root_actor`].
pub fn run_with<T, E>(options: Options, main: impl Future<Output = Result<T, E>>) -> Result<T, E>
where
    E: From<Error> + 'static,
{
    // Before anything that would use it, whatever becomes of that.
    task::start_reactor()?;
    debug::on_own_threads();
    let main = Box::pin(main);
    readiness::block_on(open_root_actor(options.signals(true), |_root| main))
}

/// Runs a root that does nothing by itself but serve what it [exposes](Options::expose) to whoever finds
/// it, until a signal, or somebody who may, ends it ([`Portal::cancel_actor`](crate::Portal::cancel_actor)).
/// `ready` is called once it can be found: for who has to be told, such as a supervisor of services.
///
/// # Errors
/// As [`open_root_actor`], but for that end, which is what it is for.
pub fn run_daemon(options: Options, ready: impl FnOnce()) -> Result<()> {
    let serve = async {
        ready();
        future::pending::<Result<()>>().await
    };
    match run_with(options, serve) {
        Err(error)
            if matches!(error.kind(), ErrorKind::Cancelled(_)) && error.others().is_empty() =>
        {
            Ok(())
        }
        ended => ended,
    }
}

/// What `main` may return: nothing, or a `Result` whose error an [`Error`] turns into.
pub trait MainReturn {
    /// The value of a success.
    type Value: Termination;
    /// The error.
    type Error: From<Error> + fmt::Debug + 'static;

    #[doc(hidden)]
    fn into_result(self) -> Result<Self::Value, Self::Error>;
}

impl MainReturn for () {
    type Value = ();
    type Error = Error;

    fn into_result(self) -> Result<()> {
        Ok(self)
    }
}

impl<T: Termination, E: From<Error> + fmt::Debug + 'static> MainReturn for Result<T, E> {
    type Value = T;
    type Error = E;

    fn into_result(self) -> Self {
        self
    }
}

/// What `#[hatchery::main]` expands to: exit code 128 and the signal's number where one ended it.
#[doc(hidden)]
pub fn main<F>(options: Options, main: F) -> ExitCode
where
    F: Future,
    F::Output: MainReturn,
{
    let ended = run_with(options, async move { main.await.into_result() });
    let signal = INTERRUPTED.load(Ordering::Acquire);
    // Prints the error as the standard library does for any `main`.
    let code = Termination::report(ended);
    match u8::try_from(signal) {
        Ok(0) | Err(_) => code,
        Ok(number) => ExitCode::from(128_u8.saturating_add(number)),
    }
}
