//! One child as its parent keeps it: its process, its link, and the ladder that ends it.
//!
//! The supervisor is a task of its own that outlives whoever waits for it: facts go to the core's
//! ladder, and what the ladder says is done.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use event_listener::{Event as Signal, listener};
use futures_lite::FutureExt;
use hatchery_proto::nursery::ladder::{End, Ladder, Policy, Step};
use hatchery_proto::{
    ActorId, CancelRequest, Cancelled, Cause, Config, Connection, DialogId, Event, ExitReport,
    ExitStatus, Instant, LinkKind, LostCause, Misuse, Outcome, Role, Rung,
};

use crate::actor::{Actor, Caller};
use crate::context::by_us;
use crate::driver::clock;
use crate::driver::link::{Link, Loops, lock};
use crate::driver::process::{BootStderr, Process, Signal as OsSignal, SpawnError, SpawnRequest};
use crate::driver::spawner::{self, Pending};
use crate::error::{Error, Result};
use crate::serving::Serving;

/// How much of what a child wrote before it was up goes into the error about its death.
const STDERR_TAIL: usize = 4096;

/// A child, as its parent's handles share it.
pub(crate) struct Child {
    actor: Arc<Actor>,
    /// The endpoint that is its whole life; a daemon has none.
    main: Option<&'static str>,
    state: Mutex<State>,
    changed: Signal,
}

struct State {
    ladder: Ladder,
    id: ActorId,
    link: Option<Arc<Link>>,
    up: bool,
    outcome: Option<Outcome>,
    end: Option<Arc<ChildEnd>>,
    /// Who asked it to end first, and why.
    asked: Option<Cancelled>,
}

/// How a child came to its end.
#[derive(Debug)]
pub(crate) struct ChildEnd {
    pub(crate) exit: ExitReport,
    pub(crate) outcome: Outcome,
    /// Why there never was an actor to talk to.
    pub(crate) spawn_error: Option<Error>,
}

impl Child {
    pub(crate) fn new(actor: &Arc<Actor>, name: &str, main: Option<&'static str>) -> Arc<Self> {
        let id = ActorId { name: name.to_owned(), uuid: 0, pid: 0 };
        Arc::new(Self {
            actor: actor.clone(),
            main,
            state: Mutex::new(State {
                ladder: Ladder::new(clock::now(), Policy::default()),
                id,
                link: None,
                up: false,
                outcome: None,
                end: None,
                asked: None,
            }),
            changed: Signal::new(),
        })
    }

    pub(crate) fn id(&self) -> ActorId {
        lock(&self.state).id.clone()
    }

    /// The way to the actor, while there is one.
    pub(crate) fn link(&self) -> Result<Arc<Link>> {
        let state = lock(&self.state);
        match (&state.link, &state.end) {
            (Some(link), None) => Ok(link.clone()),
            (_, Some(end)) => Err(self.gone(end)),
            (None, None) => Err(Error::gone(&state.id)),
        }
    }

    fn gone(&self, end: &ChildEnd) -> Error {
        match &end.outcome {
            Outcome::Died(exit) => Error::died((**exit).clone()),
            _ => Error::gone(&end.exit.actor),
        }
    }

    /// Why a dialog could not be opened.
    pub(crate) fn start_refused(&self, task: &str, misuse: &Misuse) -> Error {
        let state = lock(&self.state);
        match &state.end {
            Some(end) => self.gone(end),
            None => match misuse {
                Misuse::Closing | Misuse::LinkGone => {
                    Error::from_outcome(&Outcome::Lost(LostCause::LinkEnded), &state.id, task)
                }
                other => Error::misuse(format!("running `{task}` on actor {}: {other}", state.id)),
            },
        }
    }

    /// Whether `result::<E>()` makes sense for this child.
    pub(crate) fn check_main(&self, endpoint: &str) -> Result<()> {
        match self.main {
            Some(main) if main == endpoint => Ok(()),
            Some(main) => Err(Error::misuse(format!(
                "asking actor {} for the result of `{endpoint}`: it runs `{main}`",
                self.id()
            ))),
            None => Err(Error::misuse(format!(
                "asking actor {} for its result: it is a daemon (`start_actor`) and has no \
                 result; use `run_in_actor`, or `Portal::run`",
                self.id()
            ))),
        }
    }

    /// Tells the ladder something, then has the supervisor look.
    fn fact<R>(&self, tell: impl FnOnce(&mut State, Instant) -> R) -> R {
        let value = tell(&mut lock(&self.state), clock::now());
        self.changed.notify(usize::MAX);
        value
    }

    /// Asks the child to end within `budget`, by force where it must be (P-T1).
    pub(crate) fn cancel(&self, by: Cancelled, budget: Duration) {
        self.fact(|state, now| {
            state.asked.get_or_insert(by);
            state.ladder.cancel(now, budget);
        });
    }

    /// Asks the child to end because its portal's holder wants so.
    pub(crate) fn cancel_asked(&self) {
        self.cancel(by_us(Cause::Asked), self.actor.settings().teardown);
    }

    /// Nobody will wait for it any more: no time for asking.
    pub(crate) fn abandon(&self) {
        self.cancel(by_us(Cause::Dropped), Duration::ZERO);
    }

    async fn wait<T>(&self, mut ready: impl FnMut(&State) -> Option<T>) -> T {
        loop {
            listener!(self.changed => changed);
            if let Some(value) = ready(&lock(&self.state)) {
                return value;
            }
            changed.await;
        }
    }

    /// Waits until the child is up, or says why it never will be.
    pub(crate) async fn up(&self) -> Result<()> {
        self.wait(|state| match &state.end {
            Some(end) => Some(match &end.spawn_error {
                Some(error) => Err(error.clone()),
                None if state.up => Ok(()),
                None => Err(self.gone(end)),
            }),
            None => state.up.then_some(Ok(())),
        })
        .await
    }

    /// Waits for what the child's life came to.
    pub(crate) async fn outcome(&self) -> Outcome {
        self.wait(|state| {
            state.outcome.clone().or_else(|| state.end.as_ref().map(|end| end.outcome.clone()))
        })
        .await
    }

    /// Waits until the child has been reaped, or cannot be.
    pub(crate) async fn ended(&self) -> Arc<ChildEnd> {
        self.wait(|state| state.end.clone()).await
    }

    pub(crate) fn was_asked(&self) -> bool {
        lock(&self.state).asked.is_some()
    }

    pub(crate) fn has_ended(&self) -> bool {
        lock(&self.state).end.is_some()
    }

    /// What the end of this child is to its nursery: nothing, or a failure.
    ///
    /// An end that was asked for and came without force is fine. A start that failed was told to
    /// whoever started it.
    pub(crate) fn failure(&self, end: &ChildEnd) -> Option<Error> {
        if end.spawn_error.is_some() {
            return None;
        }
        let asked = lock(&self.state).asked.is_some();
        let forced = matches!(end.exit.rung, Rung::Terminated | Rung::Killed | Rung::Unkillable);
        let task = self.main.unwrap_or("the actor");
        match &end.outcome {
            Outcome::Failed { .. } | Outcome::Refused(..) => {
                Some(Error::from_outcome(&end.outcome, &end.exit.actor, task))
            }
            _ if forced => Some(Error::died(end.exit.clone())),
            Outcome::Returned(_) => None,
            Outcome::Cancelled(_) if asked => None,
            Outcome::Died(_) | Outcome::Lost(_) if asked && end.exit.rung == Rung::Asked => {
                let fine = end.exit.status.is_some_and(ExitStatus::success);
                (!fine).then(|| Error::died(end.exit.clone()))
            }
            other => Some(Error::from_outcome(other, &end.exit.actor, task)),
        }
    }

    /// What the link of this child has to tell the ladder.
    fn watch(&self, link: &Arc<Link>, event: &Event) {
        match event {
            Event::Up => {
                let peer = link.look(|connection| connection.peer().cloned());
                self.fact(|state, now| {
                    if let Some(peer) = peer {
                        state.id = ActorId { name: state.id.name.clone(), ..peer };
                    }
                    // `Start(0)` leaves right behind `Hello`: from now on the child may be running
                    // something that wants to be asked.
                    state.ladder.handle_start_written(now);
                });
            }
            Event::Started(DialogId::ACTOR) => self.fact(|state, now| {
                state.up = true;
                state.ladder.handle_up(now);
            }),
            Event::CancelAcked(DialogId::ACTOR) => {
                self.fact(|state, now| state.ladder.handle_ack(now));
            }
            Event::Finished(DialogId::ACTOR) => {
                let outcome = link.with(|connection, _| {
                    connection.caller(DialogId::ACTOR).and_then(|caller| caller.outcome().cloned())
                });
                self.fact(|state, now| {
                    let spoken = !matches!(outcome, None | Some(Outcome::Lost(_) | Outcome::Died(_)));
                    if state.outcome.is_none() && spoken {
                        state.outcome = outcome;
                    }
                    if spoken {
                        state.ladder.handle_terminal(now);
                    }
                });
            }
            Event::Goodbye(_) => self.fact(|state, now| state.ladder.handle_goodbye(now)),
            Event::Broken(_) => self.fact(|state, now| state.ladder.handle_eof(now)),
            _ => {}
        }
    }
}

/// What the supervisor waits for.
enum Fact {
    Spawned(std::result::Result<Box<crate::driver::process::Spawned>, SpawnError>),
    Exited(std::io::Result<ExitStatus>),
    Time,
    Changed,
}

/// The operating system's side of a child, held by its supervisor alone.
struct Body {
    process: Process,
    stderr: BootStderr,
    link: Arc<Link>,
    loops: Loops,
}

/// Starts the child and sees it to its end. Runs as a task of its own.
pub(crate) async fn supervise(child: Arc<Child>, request: SpawnRequest, spec: Vec<u8>) {
    let mut pending = Some(spawner::spawn(request));
    let mut body: Option<Body> = None;
    let mut refused: Option<Error> = None;
    let mut status: Option<ExitStatus> = None;
    let end = loop {
        listener!(child.changed => changed);
        if let Some(end) = run_steps(&child, &mut pending, body.as_ref()) {
            break end;
        }
        let deadline = lock(&child.state).ladder.poll_timeout().map(|(at, _)| at);
        match next_fact(pending.as_ref(), body.as_ref(), status, deadline, changed).await {
            Fact::Changed => {}
            Fact::Time => child.fact(|state, now| state.ladder.handle_timeout(now)),
            Fact::Spawned(spawned) => {
                pending = None;
                match spawned.map_err(|error| could_not_start(&child, &error)).and_then(
                    |spawned| begin(&child, *spawned, &spec),
                ) {
                    Ok(begun) => {
                        child.fact(|state, now| state.ladder.handle_spawned(now));
                        body = Some(begun);
                    }
                    Err(error) => {
                        refused = Some(error);
                        child.fact(|state, now| state.ladder.handle_spawn_failed(now));
                    }
                }
            }
            Fact::Exited(exited) => {
                let exited = exited.unwrap_or(ExitStatus::Code(-1));
                status = Some(exited);
                if let Some(body) = &body {
                    hear_last_words(&child, body, exited).await;
                }
                child.fact(|state, now| state.ladder.handle_exit(now, exited));
            }
        }
    };
    conclude(&child, &end, body, refused).await;
}

/// Does what the ladder says; returns the end when it has come.
fn run_steps(child: &Child, pending: &mut Option<Pending>, body: Option<&Body>) -> Option<End> {
    loop {
        let (step, asked, name) = {
            let mut state = lock(&child.state);
            let step = state.ladder.poll_step()?;
            (step, state.asked.clone(), state.id.name.clone())
        };
        tracing::debug!(actor = name, ?step, "teardown");
        match (step, body) {
            (Step::Done(end), _) => return Some(end),
            (Step::Withdraw, _) => {
                if pending.as_ref().is_some_and(Pending::withdraw) {
                    *pending = None;
                    child.fact(|state, now| state.ladder.handle_spawn_failed(now));
                }
            }
            (Step::Ask { grace }, Some(body)) => {
                let by = asked.unwrap_or_else(|| by_us(Cause::Asked));
                body.link.with(|connection, now| {
                    if let Some(mut caller) = connection.caller(DialogId::ACTOR) {
                        caller.cancel(now, CancelRequest { by, grace });
                    }
                });
            }
            (Step::Terminate, Some(body)) => signal(&name, &body.process, OsSignal::TERM),
            (Step::Kill, Some(body)) => signal(&name, &body.process, OsSignal::KILL),
            (Step::Unkillable, _) => {
                tracing::error!(actor = name, "a child outlives SIGKILL; it is still being watched");
            }
            (Step::Ask { .. } | Step::Terminate | Step::Kill, None) => {}
        }
    }
}

fn signal(name: &str, process: &Process, signal: OsSignal) {
    tracing::info!(actor = name, pid = process.pid(), ?signal, "a child has to be ended by force");
    if let Err(error) = process.signal(signal) {
        tracing::error!(actor = name, %error, "a child could not be signalled");
    }
}

async fn next_fact(
    pending: Option<&Pending>,
    body: Option<&Body>,
    status: Option<ExitStatus>,
    deadline: Option<Instant>,
    changed: impl Future<Output = ()>,
) -> Fact {
    let changed = pin!(changed);
    let changed = async {
        changed.await;
        Fact::Changed
    };
    let time = async {
        match deadline {
            Some(at) => clock::until(at).await,
            None => std::future::pending().await,
        };
        Fact::Time
    };
    let process = async {
        match (pending, body, status) {
            (Some(pending), ..) => Fact::Spawned(pending.spawned().await.map(Box::new)),
            (None, Some(body), None) => Fact::Exited(body.process.wait().await),
            _ => std::future::pending().await,
        }
    };
    changed.or(process).or(time).await
}

fn could_not_start(child: &Child, error: &SpawnError) -> Error {
    let id = child.id();
    Error::spawn(&id, format!("starting actor `{}`: {error}", id.name), None)
}

/// Opens the link to a process that was just started, and tells it what its life is.
fn begin(
    child: &Arc<Child>,
    spawned: crate::driver::process::Spawned,
    spec: &[u8],
) -> Result<Body> {
    let name = child.id().name;
    let config = Config {
        kind: LinkKind::Parent,
        role: Role::Even,
        me: child.actor.id().clone(),
        limits: child.actor.settings().limits.clone(),
    };
    let mut connection = Connection::new(config, clock::now());
    connection
        .start_actor(clock::now(), spec)
        .map_err(|misuse| Error::misuse(format!("starting actor `{name}`: {misuse}")))?;
    child.fact(|state, _| state.id.pid = spawned.process.pid());
    let watched = child.clone();
    let ended = child.clone();
    let serving = Serving::new(
        child.actor.clone(),
        Caller::Other,
        Box::new(move |link, event| watched.watch(link, event)),
    )
    .on_eof(Box::new(move || ended.fact(|state, now| state.ladder.handle_eof(now))));
    let (link, loops) = Link::open(connection, spawned.link, &child.actor.executor(), serving)
        .map_err(|error| Error::os(format!("opening the link to actor `{name}`"), error))?;
    child.fact(|state, _| state.link = Some(link.clone()));
    Ok(Body { process: spawned.process, stderr: spawned.stderr, link, loops })
}

/// After the exit the link is read to its end, so that a terminal already sent wins (P-L4).
async fn hear_last_words(child: &Child, body: &Body, status: ExitStatus) {
    let exit = ExitReport {
        actor: child.id(),
        status: Some(status),
        rung: lock(&child.state).ladder.rung(),
        link_lost: false,
        under_way: body.link.under_way(),
        stderr_tail: String::new(),
    };
    body.link.with(|connection, now| connection.handle_exit(now, exit));
    body.link.closed().await;
}

/// Reports the end to everyone who waits for it.
async fn conclude(child: &Arc<Child>, end: &End, body: Option<Body>, refused: Option<Error>) {
    let mut stderr_tail = String::new();
    let mut under_way = Vec::new();
    if let Some(body) = body {
        under_way = body.link.under_way();
        if !lock(&child.state).up {
            stderr_tail = body.stderr.tail(STDERR_TAIL);
        }
        body.loops.stop().await;
        if end.status.is_none() {
            let process = body.process;
            let id = child.id();
            spawner::background(async move {
                let status = process.wait().await;
                tracing::warn!(actor = %id, ?status, "a child that outlived SIGKILL has ended");
            });
        }
    }
    let mut state = lock(&child.state);
    let exit = ExitReport {
        actor: state.id.clone(),
        status: end.status,
        rung: end.rung,
        link_lost: end.link_lost,
        under_way,
        stderr_tail,
    };
    let spawn_error = match refused {
        Some(error) => Some(error),
        None if !state.up && state.outcome.is_none() => Some(never_up(&state, &exit)),
        None => None,
    };
    let outcome =
        state.outcome.clone().unwrap_or_else(|| Outcome::Died(Box::new(exit.clone())));
    state.end = Some(Arc::new(ChildEnd { exit, outcome, spawn_error }));
    state.link = None;
    drop(state);
    child.changed.notify(usize::MAX);
}

/// The error of a child that ended, or was ended, before it was up.
fn never_up(state: &State, exit: &ExitReport) -> Error {
    let how = match (&state.asked, exit.status) {
        (Some(by), _) => format!("it was {by} before it was up"),
        (None, Some(status)) if exit.rung == Rung::Unasked => format!(
            "its process {status} before it was up; does its `main` begin with \
             `hatchery::init()` or `#[hatchery::main]`?"
        ),
        (None, _) => "it was not up within 10 s and had to be ended; does its `main` begin with \
                      `hatchery::init()` or `#[hatchery::main]`?"
            .to_owned(),
    };
    Error::spawn(
        &state.id,
        format!("starting actor `{}`: {how}", state.id.name),
        Some(exit.clone()),
    )
}
