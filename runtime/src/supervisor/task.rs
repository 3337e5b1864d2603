//! The supervisor's task: starts the child, does what the ladder says, hears its last words, and
//! tells everyone who waits how it ended.

use std::ffi::OsString;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use async_executor::Task;
use event_listener::listener;
use futures_lite::FutureExt;
use hatchery_proto::nursery::ladder::{End, Step};
use hatchery_proto::{
    CancelRequest, Cause, Config, Connection, DialogId, Event, ExitReport, ExitStatus, LinkKind,
    Outcome, Role, Rung,
};

use super::unborn::{never_up, said_first};
use super::{Child, ChildEnd, State};
use crate::actor::Caller;
use crate::context::by_us;
use crate::debug;
use crate::driver::handover::{LIMITS_VARIABLE, told_limits};
use crate::driver::link::{Link, Loops, lock};
use crate::driver::process::{
    BootStderr, Piped, Process, Signal as OsSignal, SpawnError, SpawnRequest, Spawned,
};
use crate::driver::procfs;
use crate::driver::readiness::{Alarm, spin};
use crate::driver::spawner::{self, Pending};
use crate::driver::{clock, dump};
use crate::endpoint;
use crate::error::{Error, Result};
use crate::serving::Serving;

/// How much of what a child wrote before it was up goes into the error about its death.
const STDERR_TAIL: usize = 4096;
pub(super) const SIGKILL: i32 = OsSignal::KILL.as_raw();

/// What the supervisor waits for.
enum Fact {
    Spawned(std::result::Result<Box<Spawned>, SpawnError>),
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
    /// How many processes the system had ended for lack of memory when it was started, or a moment
    /// before.
    ended_for_memory: Option<u64>,
    /// What it writes to its standard error that comes this way, and what takes it.
    errors: Option<(Arc<Piped>, Task<()>)>,
}

/// Lets go of the link where a supervisor is dropped with everything else: the link knows its child,
/// and the child its link, so that neither would ever go, nor the socket.
struct LetGo(Arc<Child>);

impl Drop for LetGo {
    fn drop(&mut self) {
        self.0.actor.terminal_lost_below(self.0.number);
        self.0.actor.terminal.forget_child(self.0.number);
        let (link, _asking) = {
            let mut state = lock(&self.0.state);
            (state.link.take(), state.asking.take())
        };
        if let Some(link) = link {
            link.drop_socket();
        }
    }
}

/// Starts the child and sees it to its end. Runs as a task of its own.
pub(crate) async fn supervise(child: Arc<Child>, mut request: SpawnRequest) {
    let _let_go = LetGo(child.clone());
    loop {
        let mut life = attend(&child, request).await;
        if child.has_waited_in_vain(&life.end) {
            // Before it is made anew: nothing of the old link may speak of the new process.
            if let Some(body) = life.body.take() {
                body.loops.stop().await;
            }
            if let Some(again) = child.start_again() {
                request = again;
                continue;
            }
        }
        return conclude(&child, life).await;
    }
}

/// One process's life as a child.
struct Attended {
    end: End,
    body: Option<Body>,
    /// Why there was none.
    refused: Option<Error>,
    last: Option<ExitReport>,
}

async fn attend(child: &Arc<Child>, mut request: SpawnRequest) -> Attended {
    // It greets before it could be told on the link; one that has the usual bounds inherits no others.
    let limits = told_limits(&child.actor.settings().limits).map(OsString::from);
    request.env.push((LIMITS_VARIABLE.into(), limits));
    if let Some((name, value)) = debug::told_child(&child.actor, child.is_debugged()) {
        request.env.push((name, Some(value)));
    }
    // What was said for this child alone comes behind it.
    request.env.splice(0..0, dump::told_children().into_iter().chain(spin::told_children()));
    let started = match start(child, request).await {
        Ok(spawned) => begin(child, spawned),
        Err(NotStarted::Over(end)) => {
            return Attended { end, body: None, refused: None, last: None };
        }
        Err(NotStarted::Refused(error)) => Err(could_not_start(child, &error)),
    };
    match started {
        Ok(body) => {
            child.fact(|state, now| state.ladder.handle_spawned(now));
            let (end, last) = see_through(child, Some(&body)).await;
            Attended { end, body: Some(body), refused: None, last }
        }
        Err(error) => {
            child.fact(|state, now| state.ladder.handle_spawn_failed(now));
            let (end, last) = see_through(child, None).await;
            Attended { end, body: None, refused: Some(error), last }
        }
    }
}

/// Why there is no process.
enum NotStarted {
    /// It is over before there was one.
    Over(End),
    Refused(SpawnError),
}

/// Has the process started, unless that is taken back.
async fn start(
    child: &Arc<Child>,
    request: SpawnRequest,
) -> std::result::Result<Spawned, NotStarted> {
    let mut pending = Some(spawner::spawn(request));
    let mut alarm = Alarm::default();
    loop {
        listener!(child.changed => changed);
        if let Some(end) = run_steps(child, &mut pending, None) {
            return Err(NotStarted::Over(end));
        }
        let spawned = async {
            match &pending {
                Some(pending) => Fact::Spawned(pending.spawned().await.map(Box::new)),
                None => std::future::pending().await,
            }
        };
        match next_fact(child, spawned, &mut alarm, changed).await {
            Fact::Spawned(spawned) => {
                return spawned.map(|spawned| *spawned).map_err(NotStarted::Refused);
            }
            Fact::Time => child.fact(State::handle_timeout),
            Fact::Exited(_) | Fact::Changed => {}
        }
    }
}

/// Does what the ladder says until all is over.
async fn see_through(child: &Arc<Child>, body: Option<&Body>) -> (End, Option<ExitReport>) {
    let mut last = None;
    let mut alarm = Alarm::default();
    // Kept from fact to fact: a process is watched from its start to its end, and set up for it once.
    let mut exited = pin!(async {
        match body {
            Some(body) => body.process.wait().await,
            None => std::future::pending().await,
        }
    });
    let mut watched = true;
    loop {
        listener!(child.changed => changed);
        if let Some(end) = run_steps(child, &mut None, body) {
            return (end, last);
        }
        let exit = async {
            match watched {
                true => Fact::Exited(exited.as_mut().await),
                false => std::future::pending().await,
            }
        };
        match next_fact(child, exit, &mut alarm, changed).await {
            Fact::Spawned(_) | Fact::Changed => {}
            // What has ended already has ended in time, however late that is heard.
            Fact::Time if watched && body.is_some_and(|body| body.process.is_over()) => {
                let exit = exited.as_mut().await;
                watched = false;
                last = hear_exit(child, body, exit).await;
            }
            Fact::Time => child.fact(State::handle_timeout),
            Fact::Exited(exit) => {
                watched = false;
                last = hear_exit(child, body, exit).await;
            }
        }
    }
}

/// Hears the last words of a process that has ended, then tells its ladder.
async fn hear_exit(
    child: &Arc<Child>,
    body: Option<&Body>,
    exit: std::io::Result<ExitStatus>,
) -> Option<ExitReport> {
    let exited = exit.unwrap_or(ExitStatus::Taken);
    let mut last = None;
    if let Some(body) = body {
        let exit = body.autopsy(child, Some(exited));
        last = Some(exit.clone());
        // The link is read to its end, so that a terminal already sent wins (P-L4).
        body.link.with(|connection, now| connection.handle_exit(now, exit));
        body.link.closed().await;
        body.process.end_group();
    }
    child.fact(|state, now| state.ladder.handle_exit(now, exited));
    last
}

/// Does what the ladder says; returns the end when it has come.
fn run_steps(child: &Child, pending: &mut Option<Pending>, body: Option<&Body>) -> Option<End> {
    loop {
        let (step, asked, name) = {
            let mut state = lock(&child.state);
            let step = state.ladder.poll_step()?;
            (step, state.asked.clone(), state.id.name.clone())
        };
        tracing::debug!(target: "hatchery::runtime", actor = name, ?step, "teardown");
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
            (Step::Kill, Some(body)) if child.birth.get().is_none() => {
                // There is no other way to end what waits, and nothing in it to speak of.
                signal(&name, &body.process, OsSignal::KILL);
            }
            // Its link has ended since it has: its exit is the next that is heard.
            (Step::Terminate, Some(body)) if body.process.is_over() => {}
            (Step::Terminate, Some(body)) => force(&name, &body.process, OsSignal::TERM),
            (Step::Kill, Some(body)) => force(&name, &body.process, OsSignal::KILL),
            (Step::Unkillable, _) => {
                tracing::error!(
                    target: "hatchery::runtime",
                    actor = name,
                    "a child outlives SIGKILL; it is still being watched"
                );
            }
            (Step::Ask { .. } | Step::Terminate | Step::Kill, None) => {}
        }
    }
}

fn force(name: &str, process: &Process, by: OsSignal) {
    tracing::info!(
        target: "hatchery::runtime",
        actor = name, pid = process.pid(), signal = ?by,
        "a child has to be ended by force"
    );
    signal(name, process, by);
}

fn signal(name: &str, process: &Process, signal: OsSignal) {
    if let Err(error) = process.signal(signal) {
        tracing::error!(
            target: "hatchery::runtime",
            actor = name, %error,
            "a child could not be signalled"
        );
    }
}

async fn next_fact(
    child: &Child,
    process: impl Future<Output = Fact>,
    alarm: &mut Alarm,
    changed: impl Future<Output = ()>,
) -> Fact {
    let deadline = {
        let state = lock(&child.state);
        let ladder = state.ladder.poll_timeout().map(|(at, _)| at);
        ladder.into_iter().chain(state.latest()).min()
    };
    let changed = async {
        changed.or(child.is_next()).await;
        Fact::Changed
    };
    let time = async {
        alarm.due(deadline).await;
        Fact::Time
    };
    changed.or(process).or(time).await
}

fn could_not_start(child: &Child, error: &SpawnError) -> Error {
    let id = child.id();
    Error::spawn(&id, format!("starting actor `{}`: {error}", id.name), None)
}

/// Opens the link to a process that was just started, and tells it what its life is, if that is known.
fn begin(child: &Arc<Child>, spawned: Spawned) -> Result<Body> {
    let name = child.id().name;
    let mut limits = child.actor.settings().limits.clone();
    let apart = spawned.link.is_apart();
    if apart {
        // The way there may take its time: how long, says the ladder.
        let connect = lock(&child.state).connect.saturating_mul(2);
        limits.handshake_timeout = limits.handshake_timeout.max(connect);
    }
    let me = child.actor.id().clone();
    let config = Config { kind: LinkKind::Parent, role: Role::Even, me, limits };
    let mut connection = Connection::new(config, clock::now()).speaking(endpoint::codecs());
    if apart {
        connection = connection.of_tree(child.actor.tree()).apart();
    }
    child.fact(|state, _| {
        state.id.pid = spawned.process.pid();
        state.launched = apart;
    });
    // Of one apart the process at hand is only what leads to it.
    let pid = if apart { 0 } else { spawned.process.pid() };
    let watched = child.clone();
    let ended = child.clone();
    let serving = Serving::new(
        child.actor.clone(),
        // Of one apart nobody knows whose terminal it would be.
        if apart { Caller::Other } else { Caller::Child(child.number) },
        Box::new(move |link, event| {
            watched.watch(link, event);
            if *event == Event::Started(DialogId::ACTOR) {
                watched.actor.peers().child_up(&watched, pid);
            }
        }),
    )
    .on_eof(Box::new(move || {
        ended.actor.terminal_lost_below(ended.number);
        ended.fact(|state, now| state.ladder.handle_eof(now));
    }));
    let (link, loops) = Link::open(connection, spawned.link, child.actor.as_ref(), serving)
        .map_err(|error| Error::os(format!("opening the link to actor `{name}`"), error))?;
    child.actor.terminal.child_linked(child.number, child, &link);
    child.fact(|state, _| state.link = Some(link.clone()));
    child.tell().map_err(|misuse| Error::misuse(format!("starting actor `{name}`: {misuse}")))?;
    let ended_for_memory = procfs::ended_for_memory_lately();
    let errors = spawned.errors.map(|errors| {
        let hear = hear_errors(child.clone(), errors.clone());
        (errors, child.actor.executor().spawn(hear))
    });
    let (process, stderr) = (spawned.process, spawned.stderr);
    Ok(Body { process, stderr, link, loops, ended_for_memory, errors })
}

/// Takes what comes of a child's standard error, and passes it on once the actor is up.
async fn hear_errors(child: Arc<Child>, errors: Arc<Piped>) {
    let pass_on = async {
        if child.up().await.is_ok() {
            errors.pass_on();
        }
        std::future::pending().await
    };
    errors.come(|| child.id()).or(pass_on).await;
}

impl Body {
    /// Whether the system has ended any process for lack of memory since.
    fn more_ended_for_memory(&self) -> bool {
        let more = self.ended_for_memory.zip(procfs::ended_for_memory());
        more.is_some_and(|(then, now)| now > then)
    }

    /// What there is to say of a process that has ended, or cannot be ended.
    fn autopsy(&self, child: &Child, status: Option<ExitStatus>) -> ExitReport {
        let state = lock(&child.state);
        let rung = status.map_or(Rung::Unkillable, |status| state.ladder.rung_of(status));
        let mut exit = ExitReport::new(state.id.clone(), status, rung);
        exit.rungs = state.ladder.rungs(clock::now());
        // A death closes its link first, and may bring SIGTERM before it is known for one.
        exit.rungs.retain(|(reached, _)| *reached <= rung);
        exit.asked_by = state.asked.as_ref().map(|by| by.canceller.clone());
        let killed = matches!(status, Some(ExitStatus::Signal { number: SIGKILL, .. }));
        exit.out_of_memory = killed && rung < Rung::Killed && self.more_ended_for_memory();
        let note = self.stderr.tail(STDERR_TAIL);
        if state.launched {
            exit.status = status.map(ExitStatus::of_launcher);
        }
        if state.up && !state.launched {
            exit.panics = note.trim_matches(['\0', '\n']).to_owned();
        } else {
            exit.stderr_tail = note;
        }
        drop(state);
        exit.under_way = self.link.under_way(child.main());
        exit.last_message = self.link.look(|connection| {
            let received = connection.recent().rfind(|note| !note.sent);
            received.map(ToString::to_string).unwrap_or_default()
        });
        exit.usage = self.process.usage();
        exit
    }
}

/// Reports the end to everyone who waits for it.
async fn conclude(child: &Arc<Child>, life: Attended) {
    child.actor.peers().child_gone(child, life.end.status);
    if !matches!(life.end.status, Some(ExitStatus::Code(_))) {
        child.actor.sweep_soon();
    }
    let Attended { end, body, refused, last } = life;
    let mut exit = match (last, &body) {
        (Some(exit), _) => exit,
        (None, Some(body)) => body.autopsy(child, end.status),
        (None, None) => ExitReport::new(child.id(), end.status, end.rung),
    };
    exit.rung = end.rung;
    exit.link_lost = end.link_lost;
    let said = body.as_ref().map(|body| body.link.look(said_first)).unwrap_or_default();
    if let Some(body) = body {
        if exit.status.is_none() {
            // Nothing more is known of it, and its link's clock ends here: what was held back for
            // its exit status has to be told now (P-L4).
            body.link.with(|connection, now| connection.handle_exit(now, exit.clone()));
        }
        body.loops.stop().await;
        if let Some((errors, taken)) = body.errors {
            // All that it has written comes before its end is told.
            errors.handle_over();
            taken.await;
        }
        if end.status.is_none() {
            let process = body.process;
            let id = child.id();
            // The root's end waits for no such child (P-T1).
            spawner::watch(async move {
                let status = process.wait().await;
                tracing::warn!(
                    target: "hatchery::runtime",
                    actor = %id, ?status,
                    "a child that outlived SIGKILL has ended"
                );
            });
        }
    }
    let mut state = lock(&child.state);
    let spawn_error = match refused {
        Some(error) => Some(error),
        None => never_up(&state, &exit, &said),
    };
    let outcome = state.outcome.clone().unwrap_or_else(|| Outcome::Died(Box::new(exit.clone())));
    state.end = Some(Arc::new(ChildEnd { exit, outcome, spawn_error }));
    state.link = None;
    drop(state);
    child.changed.notify(usize::MAX);
}
