//! Serving a link: the tasks that its peer opens in this actor, from `Start` to terminal.

use std::future::poll_fn;
use std::mem;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};

use hatchery_proto::actor::scopes::ScopeId;
use hatchery_proto::{
    ActorId, CancelRequest, Cancelled, Cause, Code, DialogId, Event, Incoming, Instant, Kind,
    Passed, Refusal, StartWish, Terminal,
};

use crate::actor::{Actor, Busy, Caller, Exposed};
use crate::context::by_us;
use crate::current::Within;
use crate::debug::lock::{self as terminal_lock, Request};
use crate::debug::{self, Crash};
use crate::dialog::{Dialog, Side};
use crate::driver::clock;
use crate::driver::link::roll::ServedTask;
use crate::driver::link::{Handler, Leaves, Link, Numbered, lock};
use crate::driver::patience::Patience;
use crate::endpoint::{self, Ending, Failed, Job, Known, Part};
use crate::error::Error;
use crate::inspect;
use crate::inspect::What;
use crate::passing;
use crate::task::{self, Ended, Scope};
use crate::trace::Trace;

/// What a link's owner wants to know besides the peer's tasks.
pub(crate) type Watch = Box<dyn Fn(&Arc<Link>, &Event) + Send + Sync>;

/// What a peer has asked for and runs: in which scope, and by what name.
type Tasks = Numbered<DialogId, (ScopeId, &'static str)>;

/// The handler of every link: runs what the peer asks for, and tells the owner of the rest.
pub(crate) struct Serving {
    actor: Arc<Actor>,
    caller: Caller,
    tasks: Arc<Mutex<Tasks>>,
    watch: Watch,
    on_eof: Box<dyn Fn() + Send + Sync>,
}

impl Serving {
    pub(crate) fn new(actor: Arc<Actor>, caller: Caller, watch: Watch) -> Box<Self> {
        Box::new(Self { actor, caller, tasks: Arc::default(), watch, on_eof: Box::new(|| {}) })
    }

    /// Has the owner told when nothing more will be read.
    pub(crate) fn on_eof(mut self: Box<Self>, tell: Box<dyn Fn() + Send + Sync>) -> Box<Self> {
        self.on_eof = tell;
        self
    }

    fn incoming(&self, link: &Arc<Link>, id: DialogId) {
        let taken = link.draw(|connection| {
            let mut callee = connection.callee(id)?;
            callee.take_start().map(|incoming| (incoming, callee.take_passed()))
        });
        let Some((mut incoming, passed)) = taken else { return };
        match passing::within(&passed, || self.prepare(link, id, &mut incoming)) {
            Ok((entry, job)) => {
                self.serve(link, id, entry, &mut incoming, job);
            }
            Err((refusal, message)) => {
                tracing::debug!(
                    target: "hatchery::runtime",
                    endpoint = incoming.endpoint, ?refusal,
                    "refused a call"
                );
                link.tell(|connection| {
                    if let Some(callee) = connection.callee(id) {
                        callee.refuse(refusal, message);
                    }
                });
            }
        }
    }

    fn prepare(
        &self,
        link: &Arc<Link>,
        id: DialogId,
        incoming: &mut Incoming,
    ) -> Result<(&'static Known, Job), (Refusal, String)> {
        // Nobody is asked to end while something below has it or waits for it: so those may come that
        // are brought to it by being asked (P-T2). None does once the children have ended.
        let part = Part::of(&incoming.endpoint);
        let terminal = part == Part::Terminal;
        if let Some(by) = self.actor.refuses().filter(|_| !terminal) {
            let message = format!("the actor is ending ({by}) and takes no new work (P-C7)");
            return Err((Refusal::ShuttingDown, message));
        }
        if part == Part::Registrar && self.actor.discovery().book().is_none() {
            let message = "this actor is no registrar".to_owned();
            return Err((Refusal::Unknown, message));
        }
        let exposed = &self.actor.settings().exposed;
        let request = match terminal {
            true => self.request(id, &incoming.endpoint)?,
            false => None,
        };
        let prepared = prepare(exposed, self.caller, incoming, |entry| {
            Dialog::new(link.clone(), id, Side::Callee, entry.shared_name(), peer_of(link))
        });
        match (prepared, request) {
            // It goes with its task, however that ends.
            (Ok((entry, mut job)), Some(request)) => {
                let held = async move {
                    let _request = request;
                    poll_fn(|cx| job.poll(cx)).await
                };
                Ok((entry, Job::once(held)))
            }
            (prepared, _) => prepared,
        }
    }

    /// A child asks for the terminal, or for something that goes with it.
    fn request(&self, id: DialogId, name: &str) -> Result<Option<Request>, (Refusal, String)> {
        let child = match self.caller {
            Caller::Child(child) => Some(child),
            Caller::Parent | Caller::Other | Caller::Own => None,
        };
        let request = terminal_lock::may_ask(&self.actor, child).and_then(|child| {
            let asks = debug::asks_for_it(name);
            asks.then(|| Request::of_child(&self.actor, child, id.number())).transpose()
        });
        request.map_err(|message| (Refusal::NotExposed, message))
    }

    /// Runs the task to its end and sends its terminal, and that only when it is gone (P-C2).
    fn serve(
        &self,
        link: &Arc<Link>,
        id: DialogId,
        entry: &'static Known,
        incoming: &mut Incoming,
        job: Job,
    ) {
        let actor = &self.actor;
        let trace = Trace::received(incoming.trace.as_deref());
        // What is asked for below is no task of this actor's: it ends with whoever asks, and not before.
        let around = (entry.part() != Part::Terminal).then(|| actor.top());
        let scope = Scope::open(actor, around, What::Served);
        let scope = scope.of_task(Some(entry.name), || peer_of(link).to_string(), trace);
        let within = entry.is_told().then(|| {
            Within::task_of(entry.shared_name(), link.number(), peer_of(link), actor, scope.id())
        });
        let scope = scope.of_context(within);
        lock(&self.tasks).get_or_insert_with(id, || (scope.id(), entry.name));
        // A report of this process's death says what was begun: it is told before the task runs, but
        // for one that is over as soon as that could be read.
        let leaves = if entry.is_quick() { Leaves::Later } else { Leaves::Promptly };
        let goes_on = link.say(leaves, 0, |connection| {
            connection.recycle(mem::take(&mut incoming.endpoint).into_bytes());
            let mut callee = connection.callee(id).ok_or(())?;
            callee.accept();
            if callee.cancel_request().is_none() { Ok(()) } else { Err(()) }
        });
        // One that came before the scope was known, or with the end of the link.
        if goes_on.is_err() {
            self.apply_cancel(link, id);
        }
        let busy = actor.busy();
        let tasks = self.tasks.clone();
        let link = link.clone();
        if let Some(left) = incoming.deadline {
            let grace = actor.settings().grace();
            scope.bound(clock::now() + left, by_us(Cause::Deadline), grace);
        }
        let mut served = Served {
            scope: Some(scope),
            job: Some(job),
            crash: None,
            known: entry,
            began: None,
            link,
            id,
            tasks,
            _busy: busy,
        };
        // Where others run the actor too, they are to be able to read on while this blocks.
        if goes_on.is_ok() && entry.is_quick() && actor.runners().is_one() {
            // Who polls it next wakes it.
            let cx = &mut Context::from_waker(Waker::noop());
            if served.poll(cx).is_ready() {
                return;
            }
        }
        actor.spawn(poll_fn(move |cx| served.poll(cx))).detach();
    }

    fn apply_cancel(&self, link: &Arc<Link>, id: DialogId) {
        let Some((scope, _)) = lock(&self.tasks).get(id).copied() else { return };
        let request = link.tell(|connection| {
            connection.callee(id).map(|callee| callee.cancel_request().cloned())
        });
        let request = match request {
            Some(Some(request)) => request,
            Some(None) => return,
            // The link is gone and took the dialog with it (P-L4).
            None => {
                CancelRequest { by: by_us(Cause::LinkLost), grace: self.actor.settings().grace() }
            }
        };
        self.actor.scopes(|scopes| scopes.cancel(scope, clock::now(), request.by, request.grace));
    }

    fn link_lost(&self, id: DialogId) {
        let Some((scope, _)) = lock(&self.tasks).get(id).copied() else { return };
        let by = Cancelled { canceller: self.actor.id().clone(), cause: Cause::LinkLost };
        let grace = self.actor.settings().grace();
        self.actor.scopes(|scopes| scopes.cancel(scope, clock::now(), by, grace));
    }
}

/// A task that a peer has asked for, until its terminal is said, and that only when it is gone (P-C2).
struct Served {
    scope: Option<Scope>,
    job: Option<Job>,
    /// What it has come to, and what has to end before that is said. No result: nothing goes with it.
    crash: Option<Box<(Terminal, Option<Crash>)>>,
    known: &'static Known,
    began: Option<Instant>,
    link: Arc<Link>,
    id: DialogId,
    tasks: Arc<Mutex<Tasks>>,
    _busy: Busy,
}

impl Served {
    /// As a future's.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(scope) = &mut self.scope else { return Poll::Ready(()) };
        let began = *self.began.get_or_insert_with(clock::now);
        if let Some(crash) = &mut self.crash {
            ready!(task::poll_in(scope, &mut crash.1, task::poll, || (), cx));
        }
        let (terminal, passed) = match self.crash.take() {
            Some(crash) => (crash.0, Passed::NONE),
            None => {
                let ended = ready!(task::poll_in(scope, &mut self.job, Job::poll, || (), cx));
                let by = match ended {
                    // Nothing more is run in it.
                    Ended::Returned(Ok(Ok(_))) => scope.close(),
                    _ => scope.cancelled(),
                };
                let (terminal, passed) = terminal(ended, by, self.known.name);
                if let Terminal::Failed { report, .. } = &terminal
                    && let Some(crash) = debug::crashed(scope.actor(), report, self.known.name)
                {
                    self.crash = Some(Box::new((terminal, Some(crash))));
                    return self.poll(cx);
                }
                (terminal, passed)
            }
        };
        task_ended(scope, &terminal);
        self.known.took(clock::now().since(began));
        lock(&self.tasks).remove(self.id);
        self.scope = None;
        // An error ends more than its own task, where others are still at it.
        let returned = matches!(terminal, Terminal::Return(_));
        let leaves = if returned { Leaves::Soon } else { Leaves::Now };
        let size = if let Terminal::Return(value) = &terminal { value.len() } else { 0 };
        let _ = self.link.say(leaves, size, |connection| {
            connection
                .callee(self.id)
                .map(|callee| callee.finish_passing(terminal, passed))
                .ok_or(())
        });
        if self.known.kind != Kind::Call {
            self.link.forget(self.id);
        }
        Poll::Ready(())
    }
}

impl Handler for Serving {
    fn handle(&self, link: &Arc<Link>, event: Event) {
        (self.watch)(link, &event);
        match event {
            Event::Incoming(id) if !id.is_actor() => self.incoming(link, id),
            Event::CancelAsked(id) if !id.is_actor() => self.apply_cancel(link, id),
            Event::Finished(id) => self.link_lost(id),
            Event::Broken(violation) => {
                let recent = link.look(|connection| {
                    connection.recent().map(ToString::to_string).collect::<Vec<_>>().join(", ")
                });
                tracing::warn!(
                    target: "hatchery::transport",
                    %violation, recent,
                    "a peer broke the protocol; its link ends"
                );
            }
            _ => {}
        }
    }

    fn handle_eof(&self, _link: &Arc<Link>) {
        (self.on_eof)();
    }

    fn serves(&self, patience: Patience) -> Option<Vec<ServedTask>> {
        let tasks = patience.lock(&self.tasks)?;
        let served = |(dialog, (scope, endpoint)): (DialogId, &(ScopeId, &'static str))| {
            ServedTask { dialog, scope: *scope, endpoint }
        };
        Some(tasks.iter().map(served).collect())
    }
}

fn peer_of(link: &Link) -> ActorId {
    link.look(|connection| connection.peer().cloned()).unwrap_or_default()
}

/// Finds the endpoint and decodes the arguments, or says why the call is refused (P-D2).
pub(crate) fn prepare(
    exposed: &Exposed,
    caller: Caller,
    incoming: &mut Incoming,
    dialog: impl FnOnce(&'static Known) -> Arc<Dialog>,
) -> Result<(&'static Known, Job), (Refusal, String)> {
    let name = incoming.endpoint.as_str();
    let entry = endpoint::find(name)?;
    let allowed = match entry.part() {
        Part::Program => exposed.allows(name, caller),
        Part::Tree => inspect::allows(name, caller),
        // Whoever was let in may ask; these two look for themselves.
        Part::Registrar | Part::Terminal => true,
    };
    if !allowed {
        let message = "it is not exposed to this actor; name it in `.expose()` where the actor \
                       is started"
            .to_owned();
        return Err((Refusal::NotExposed, message));
    }
    if entry.kind != incoming.kind {
        let message = format!("it is a {:?}, and was opened as a {:?}", entry.kind, incoming.kind);
        return Err((Refusal::WrongKind, message));
    }
    if ![entry.schema, StartWish::UNKNOWN_SCHEMA].contains(&incoming.schema) {
        let message = "the two programs were built from different signatures of it; build both \
                       from the same source"
            .to_owned();
        return Err((Refusal::SchemaMismatch, message));
    }
    if entry.codec != incoming.codec {
        let message = format!(
            "it speaks codec {}, and was called in codec {} (0 is postcard); call it in its own",
            entry.codec, incoming.codec
        );
        return Err((Refusal::SchemaMismatch, message));
    }
    let dialog = (entry.kind != Kind::Call).then(|| dialog(entry));
    let job = entry.prepare(mem::take(&mut incoming.args), dialog);
    job.map(|job| (entry, job)).map_err(|message| (Refusal::BadArguments, message))
}

/// Runs a task in its scope and says what its dialog is to end with.
pub(crate) async fn run(scope: &Scope, job: Job, name: &str) -> (Terminal, Passed) {
    let mut job = Some(job);
    let ended = poll_fn(|cx| task::poll_in(scope, &mut job, Job::poll, || (), cx)).await;
    let (terminal, passed) = terminal(ended, scope.cancelled(), name);
    if let Terminal::Failed { report, .. } = &terminal
        && let Some(crash) = debug::crashed(scope.actor(), report, name)
    {
        let _ = task::run_in(scope, crash).await;
    }
    task_ended(scope, &terminal);
    (terminal, passed)
}

/// What a task has come to whose result nothing can go with.
pub(crate) fn alone((terminal, passed): (Terminal, Passed), name: &str) -> Terminal {
    if passed.is_none() {
        return terminal;
    }
    let error = Error::misuse("the main task of an actor cannot return descriptors (P-F6)");
    Failed::from_error(&error, name).into_terminal()
}

/// Tells how a task has ended.
fn task_ended(scope: &Scope, terminal: &Terminal) {
    let Some(endpoint) = scope.task() else { return };
    let how = match terminal {
        Terminal::Return(_) => "returned",
        Terminal::Cancelled(_) => "cancelled",
        _ => "failed",
    };
    scope.in_span(|| {
        tracing::debug!(target: "hatchery::runtime", endpoint, how, "a task has ended");
    });
}

/// What a task's end is on the wire (P-C2): an error is never hidden by a cancel, a value that was
/// returned after the cancel was applied is.
fn terminal(
    ended: Ended<Result<Ending, Error>>,
    cancelled: Option<Cancelled>,
    name: &str,
) -> (Terminal, Passed) {
    let failed = match (ended, cancelled) {
        (Ended::Returned(Ok(Ok((bytes, passed)))), None) => {
            return (Terminal::Return(bytes), passed);
        }
        (Ended::Returned(Ok(Ok(_))), Some(by)) => return (Terminal::Cancelled(by), Passed::NONE),
        (Ended::Dropped, by) => {
            let by = by.unwrap_or_else(|| Cancelled {
                canceller: ActorId::default(),
                cause: Cause::ScopeEnding,
            });
            return (Terminal::Cancelled(by), Passed::NONE);
        }
        (Ended::Returned(Ok(Err(failed))), Some(by)) => {
            // The echo of the cancel itself, passed on by a scope inside the task.
            if failed.report.code == Code::Cancelled {
                return (Terminal::Cancelled(by), Passed::NONE);
            }
            failed
        }
        (Ended::Returned(Ok(Err(failed))), None) => failed,
        (Ended::Returned(Err(panic)), _) => Failed::from_error(&panic, name),
    };
    (failed.into_terminal(), Passed::NONE)
}
