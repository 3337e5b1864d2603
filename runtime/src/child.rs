//! The life of a process that was started as an actor: dialog 0 from its `Start` to its terminal.
//!
//! Gives the process's exit code; the entry in the driver ends the process with it.

mod parting;

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use event_listener::{Event as Signal, listener};
use futures_lite::FutureExt;
use hatchery_proto::nursery::budget;
use hatchery_proto::{
    ActorId, Cancelled, Cause, Config, Connection, DialogId, Event, Incoming, Kind, LinkKind,
    Refusal, Role,
};

use crate::actor::{Actor, Caller, Exposed, Reign};
use crate::codec::{Codec as _, Postcard};
use crate::driver::clock;
use crate::driver::entry::{self, ChildEntry, Entry, Tie};
use crate::driver::greeting;
use crate::driver::identity;
use crate::driver::link::{Link, Loops, taking_descriptors};
use crate::driver::readiness;
use crate::driver::transport::proofs::Proofs;
use crate::driver::watch::Listening;
use crate::driver::way::Way;
use crate::endpoint::{self, Job};
use crate::error::{Error, Result};
use crate::hooks;
use crate::inspect::{self, What};
use crate::serving::{self, Serving};
use crate::spec::{MainTask, Spec};
use crate::supervisor::WAITING;
use crate::task::{self, Scope};
use crate::trace::Trace;
use crate::ward::OwnActor;
use crate::{debug, dialog, log};
use parting::{Parting, Words};

/// Must come first in the `main` of a program that starts actors: in a process that was started as
/// an actor, it runs that actor and does not return. In any other process it does nothing.
///
/// `#[hatchery::main]` begins with it.
pub fn init() {
    debug::on_own_threads();
    enter(readiness::block_on, Greets::First);
}

/// As [`init`], with every actor of this program run by `host`, which blocks on its life: so its tasks
/// are polled where that has them polled, within a tokio runtime for example, whose timers, sockets and
/// `spawn` they can use then as any code there can.
///
/// In a process that is no actor, `host` is not called. What an endpoint has spawned elsewhere is not
/// this library's: [`foreign`](crate::foreign) links it.
///
/// ```
/// use tokio::runtime::Builder;
///
/// hatchery::init_on(|life| {
///     let tokio = Builder::new_current_thread().enable_all().build();
///     tokio.expect("a runtime for the actor").block_on(life)
/// });
/// ```
pub fn init_on(host: impl FnOnce(ActorLife) -> ActorEnd) {
    enter(host, Greets::OnHost);
}

/// When a child speaks with its parent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Greets {
    /// Before there is anything that it could be run on: its parent has not to wait for that.
    First,
    /// Once it is run, since nobody knows whether it will be, and what blocks where it is.
    OnHost,
}

fn enter(host: impl FnOnce(ActorLife) -> ActorEnd, greets: Greets) {
    match entry::take_entry() {
        Entry::NotAChild => {}
        Entry::Orphan => entry::exit(never_was()),
        Entry::Failed(error) => entry::exit(failed(&error)),
        Entry::Child(entry, link) => entry::exit(run(entry, link, host, greets)),
    }
}

/// What a process that was started as an actor does when its parent is gone before it is one: the
/// exit hooks that it has taken; gives its exit code.
pub(crate) fn never_was() -> i32 {
    for error in hooks::run() {
        entry::complain(&format!("an exit hook failed: {error}"));
    }
    1
}

/// Says why a process that was started as an actor could not become one; gives its exit code.
pub(crate) fn failed(error: &std::io::Error) -> i32 {
    // The parent reads this descriptor when its child does not come up.
    entry::complain(&format!("this process was started as an actor and could not be one: {error}"));
    never_was()
}

/// The whole life of the actor that this process was started as, for an executor of the program's own:
/// see [`init_on`](crate::init_on).
#[must_use = "an actor that is not run does not come up"]
pub struct ActorLife(Pin<Box<dyn Future<Output = ActorEnd>>>);

/// That an actor's life was run to its end.
#[must_use = "`init_on` takes it"]
pub struct ActorEnd(i32);

impl Future for ActorLife {
    type Output = ActorEnd;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<ActorEnd> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for ActorLife {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActorLife").finish_non_exhaustive()
    }
}

impl fmt::Debug for ActorEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActorEnd").finish_non_exhaustive()
    }
}

/// Runs the actor that this process was started as, on `host`; returns the process's exit code.
fn run(
    mut entry: ChildEntry,
    link: Way,
    host: impl FnOnce(ActorLife) -> ActorEnd,
    greets: Greets,
) -> i32 {
    // As long as this process is there.
    let _hears = inspect::hear_if_asked();
    if !entry.is_launched() {
        readiness::spin::hear();
    }
    let mut watch = entry.tie.take().map(|tie| (tie, Listening::begin()));
    task::hook_panics();
    let newborn = Newborn::new(entry, link).and_then(|newborn| match greets {
        Greets::First => newborn.greet(&mut watch),
        Greets::OnHost => Ok(newborn),
    });
    keep_watch(&mut watch);
    let life = async {
        let lived = match newborn {
            Ok(newborn) => newborn.live().await,
            Err(error) => Err(error),
        };
        ActorEnd(lived.unwrap_or_else(|error| {
            let line = format!("the actor could not be started: {error}");
            // Where it was up already, its parent reads this in place of its standard error.
            entry::leave_note(&line);
            entry::complain(&line);
            1
        }))
    };
    host(ActorLife(Box::pin(life))).0
}

/// What hears SIGTERM already, and what else it is to see the end of; nothing once a thread does
/// something about it.
type Watch = Option<(Tie, io::Result<Listening>)>;

/// Has a thread look after this process from here on.
fn keep_watch(watch: &mut Watch) {
    let Some((tie, watch)) = watch.take() else { return };
    if let Err(error) = watch.and_then(|watch| watch.start(tie, OwnActor)) {
        tracing::warn!(
            target: "hatchery::runtime",
            %error,
            "no thread watches the parent; its link still does"
        );
    }
}

/// A process that was started as an actor and does not run as one yet.
struct Newborn {
    reign: Reign,
    entry: ChildEntry,
    way: Way,
    connection: Connection,
    told: Option<Told>,
    up: bool,
}

/// What an actor was told that it is.
struct Told {
    incoming: Incoming,
    /// The endpoint that is its whole life, where it has one, and who its parent is; or why it cannot
    /// be that.
    role: std::result::Result<(ActorId, Option<MainTask>), (Refusal, String)>,
}

impl Newborn {
    fn new(entry: ChildEntry, way: Way) -> Result<Self> {
        let uuid = identity::fresh().map_err(|error| Error::os("naming the actor", error))?;
        let id = ActorId { name: entry.name.clone(), uuid, pid: identity::pid() };
        let reign = Actor::begin(id.clone(), entry.tree, None)?;
        let config =
            Config { kind: LinkKind::Child, role: Role::Odd, me: id, limits: entry.limits.clone() };
        let mut connection = Connection::new(config, clock::now()).speaking(endpoint::codecs());
        if way.is_apart() {
            connection = connection.apart();
        } else {
            // It greets before it has a link.
            connection = taking_descriptors(connection);
        }
        Ok(Self { reign, entry, way, connection, told: None, up: false })
    }

    /// Exchanges the first words with its parent, on this thread and with nothing else in place. A
    /// daemon is up with them, as soon as there is something that it can be run on; what else it has
    /// to say, and to hear, is left to its life.
    fn greet(mut self, watch: &mut Watch) -> Result<Self> {
        let Self { reign, entry, way, connection, told, up } = &mut self;
        if entry.name == WAITING || entry.is_launched() {
            // It is to be told later (P-L7), and ready for that when it greets.
            start_reactor()?;
        }
        let interrupt = watch.as_ref().and_then(|(_, watch)| Some(watch.as_ref().ok()?.heard()));
        let start = greeting::listen(connection, way, interrupt, |connection| {
            connection.callee(DialogId::ACTOR).and_then(|mut callee| callee.take_start())
        });
        let Some(start) = start else { return Ok(self) };
        // Until here the kernel ends it with its parent, and nothing of its program's has run. What it
        // is told now may have some run, and hang.
        keep_watch(watch);
        let heard = told.insert(Told::hear(reign.actor(), start, connection));
        // One that is to be found is so before it is up.
        let at_once = reign.actor().settings().places.is_empty();
        if let (Ok((_, None)), true) = (&heard.role, at_once) {
            start_reactor()?;
            entry.settle_stderr();
            say_up(connection);
            greeting::say(connection, way);
            *up = true;
        }
        Ok(self)
    }

    async fn live(self) -> Result<i32> {
        let Self { reign, entry, way, connection, told, up } = self;
        let actor = reign.actor().clone();
        // Where this thread waits without it, it is started by whoever needs it first.
        if !up && !readiness::is_here() {
            task::start_reactor()?;
        }
        let news = Arc::new(Signal::new());
        let ring = news.clone();
        let serving = Serving::new(
            actor.clone(),
            Caller::Parent,
            Box::new(move |_link, event| {
                if matches!(event, Event::Incoming(id) | Event::CancelAsked(id) if id.is_actor())
                    || matches!(event, Event::Closed | Event::Flushed(DialogId::ACTOR))
                {
                    ring.notify(usize::MAX);
                }
            }),
        );
        let (link, loops) = Link::open(connection, way, actor.as_ref(), serving)
            .map_err(|error| Error::os("opening the link to the parent", error))?;
        // What has happened on it before.
        link.tell(|_| ());
        let parent_pid = if entry.launched { 0 } else { identity::parent() };
        let life = Life { actor: actor.clone(), link, parent_pid, news };
        let code = task::drive(&actor, pin!(life.live(entry, loops, told, up))).await;
        drop(reign);
        Ok(code)
    }
}

/// Starts what an actor that greets first is run on, where that has to be started.
fn start_reactor() -> Result<()> {
    if readiness::HAS_OWN { Ok(()) } else { task::start_reactor() }
}

impl Told {
    /// Takes over the settings that come with it.
    fn hear(actor: &Actor, mut incoming: Incoming, connection: &Connection) -> Self {
        if let Some(tree) = connection.peer_tree() {
            actor.set_tree(tree);
        }
        let given = std::mem::take(&mut incoming.endpoint);
        if !given.is_empty() {
            // It has waited, and now it is somebody (P-L7).
            actor.set_name(&given);
            entry::set_process_name(&given);
        }
        let role = Self::settle(actor, &incoming);
        Self { incoming, role }
    }

    fn settle(
        actor: &Actor,
        incoming: &Incoming,
    ) -> std::result::Result<(ActorId, Option<MainTask>), (Refusal, String)> {
        let spec: Spec = postcard::from_bytes(&incoming.args).map_err(|error| {
            let message = format!("the specification of the actor does not decode: {error}");
            (Refusal::BadArguments, message)
        })?;
        let parent = spec.parent.clone();
        actor.set_proofs(Proofs::told(&spec.secret));
        let (mut settings, main) = spec.into_settings();
        log::begin_child(&actor.id().name, &mut settings.log)
            .map_err(|error| (Refusal::BadArguments, error.to_string()))?;
        task::set_backtraces(settings.debug);
        debug::set_on_in_child(settings.debug);
        actor.set_settings(settings);
        Ok((parent, main))
    }
}

/// Tells the parent that the actor is up.
fn say_up(connection: &mut Connection) {
    if let Some(mut callee) = connection.callee(DialogId::ACTOR) {
        callee.accept();
        if let Err(misuse) = callee.started(&[]) {
            tracing::error!(
                target: "hatchery::runtime",
                %misuse,
                "the actor could not say that it is up"
            );
        }
    }
}

/// The parts of an actor's life.
struct Life {
    actor: Arc<Actor>,
    link: Arc<Link>,
    /// The process that has started this one; 0 where others stand between.
    parent_pid: u32,
    news: Arc<Signal>,
}

impl Life {
    async fn live(&self, entry: ChildEntry, loops: Loops, told: Option<Told>, up: bool) -> i32 {
        let told = match told {
            Some(told) => told,
            None => match self.specification().await {
                Some(incoming) => {
                    self.link.look(|connection| Told::hear(&self.actor, incoming, connection))
                }
                None => {
                    entry.mourn(self.link.look(|connection| connection.peer().is_some()));
                    return 1;
                }
            },
        };
        let Told { incoming, role } = told;
        let parent = role.as_ref().ok().map(|(parent, _)| parent.clone());
        let prepared = async {
            let (parent, main) = role?;
            self.prepare(parent, main).await
        };
        let (main, refused) = match prepared.await {
            Ok(main) => (Some(main), None),
            Err(refused) => (None, Some(refused)),
        };
        let mut parting =
            Parting { link: &self.link, loops, words: refused.map(Words::Refused), code: 1 };
        if let Some((name, main)) = main {
            if !up {
                // From here on its standard error is its own.
                entry.settle_stderr();
                self.link.tell(say_up);
            }
            let trace = Trace::received(incoming.trace.as_deref());
            let caller = || parent.map_or_else(String::new, |parent| parent.to_string());
            let scope = Scope::open(&self.actor, Some(self.actor.top()), What::Main);
            let scope = scope.of_task((!name.is_empty()).then_some(name), caller, trace);
            let ended = serving::run(&scope, main, name).or(self.obey()).await;
            drop(scope);
            parting.words = Some(Words::Ended(serving::alone(ended, name)));
        }
        self.actor.end(&mut parting).or(self.obey()).await;
        parting.code
    }

    /// Waits for the parent to say what this actor is to be; nothing where the parent is gone, or has
    /// taken it back before it was said.
    async fn specification(&self) -> Option<Incoming> {
        loop {
            listener!(self.news => news);
            let start = self.link.tell(|connection| {
                connection.callee(DialogId::ACTOR).and_then(|mut callee| callee.take_start())
            });
            let over = self.link.look(|core| core.is_closed() || core.actor_is_over());
            if start.is_some() || over {
                return start;
            }
            news.await;
        }
    }

    /// Is found before it is up, and before its main task runs; but for an end that was asked for.
    async fn take_place(&self) -> Result<()> {
        let ended = async {
            self.actor.until_asked().await;
            Ok(())
        };
        self.actor.take_place(&self.actor.settings().places, false).or(ended).or(self.obey()).await
    }

    /// Has the actor found, and finds its main task.
    async fn prepare(
        &self,
        parent: ActorId,
        main: Option<MainTask>,
    ) -> std::result::Result<(&'static str, Job), (Refusal, String)> {
        self.actor.peers().parent_up(&self.actor, &self.link, &parent, self.parent_pid);
        self.actor.set_parent(self.link.clone(), parent);
        self.take_place().await.map_err(|error| (Refusal::BadArguments, error.to_string()))?;
        match main {
            // A daemon serves until it is cancelled.
            None => Ok(("", Job::once(std::future::pending()))),
            Some(MainTask { endpoint, schema, args }) => {
                let codec = endpoint::find(&endpoint).map_or(Postcard::NUMBER, |entry| entry.codec);
                let mut call = Incoming {
                    endpoint,
                    kind: Kind::Call,
                    schema,
                    // Its schema tells of it.
                    codec,
                    args,
                    deadline: None,
                    trace: None,
                };
                let prepared =
                    serving::prepare(&Exposed::Unsaid, Caller::Parent, &mut call, |entry| {
                        // Only contexts need one, and a call is none.
                        dialog::Dialog::new(
                            self.link.clone(),
                            DialogId::ACTOR,
                            dialog::Side::Callee,
                            entry.shared_name(),
                            self.actor.id().clone(),
                        )
                    });
                prepared.map(|(entry, job)| (entry.name, job))
            }
        }
    }

    /// Turns what comes over the parent's link into the end of this actor. Never ends by itself.
    async fn obey<T>(&self) -> T {
        loop {
            listener!(self.news => news);
            let asked = self.link.tell(|connection| {
                connection.callee(DialogId::ACTOR).map(|callee| callee.cancel_request().cloned())
            });
            if let Some(Some(request)) = &asked {
                self.actor.cancel(request.by.clone(), request.grace);
            }
            if self.link.look(Connection::is_closed) {
                self.actor.terminal_cut();
                let by =
                    Cancelled { canceller: self.actor.id().clone(), cause: Cause::ParentEnding };
                self.actor.cancel(by, budget::ORPHAN);
                return std::future::pending().await;
            }
            news.await;
        }
    }
}
