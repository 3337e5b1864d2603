//! An actor on its way into a nursery: its settings, its start, and what undoes a start that nobody
//! waits for any more.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hatchery_proto::nursery::ladder::Policy;
use hatchery_proto::nursery::{MemberId, MemberKind};
use hatchery_proto::{ActorId, Address};

use super::{Inner, Member, Nursery};
use crate::codec::{Postcard, encode};
use crate::driver::entry;
use crate::driver::handover::told_argument;
use crate::driver::launcher::{Launch, Launcher};
use crate::driver::link::lock;
use crate::driver::process::{Given, Program, SpawnRequest, Stderr, Stdin};
use crate::endpoint::{Call, CallEndpoint, Endpoint};
use crate::error::{Error, Result};
use crate::portal::Portal;
use crate::spec::{MainTask, Spec};
use crate::supervisor::{self, Birth, Child};
use crate::task;
use crate::trace::Trace;

/// An actor that has not been started yet, from [`Nursery::actor`].
#[must_use = "an actor is started by `start` or `run`"]
pub struct ActorBuilder {
    nursery: Nursery,
    name: String,
    program: Program,
    args: Vec<OsString>,
    env: Vec<(OsString, Option<OsString>)>,
    folder: Option<PathBuf>,
    stdin: Stdin,
    stderr: Stderr,
    launcher: Option<Box<dyn Launcher>>,
    connect: Duration,
    spec: Spec,
}

impl ActorBuilder {
    pub(super) fn new(nursery: Nursery, name: &str) -> Self {
        let spec = Spec::of_child(&nursery.inner.actor);
        Self {
            nursery,
            name: name.to_owned(),
            program: Program::Own,
            args: Vec::new(),
            env: Vec::new(),
            folder: None,
            stdin: Stdin::Null,
            stderr: Stderr::Inherit,
            launcher: None,
            connect: Policy::default().connect,
            spec,
        }
    }

    /// Narrows what the parent may call in it: named endpoints only. Again: one more.
    ///
    /// By default the parent may call every endpoint of the program.
    pub fn expose<E: Endpoint>(mut self) -> Self {
        self.spec.exposed.add(E::NAME);
        self
    }

    /// Has it listen at an address, beside any other: peers may connect to it there. Again: one more.
    ///
    /// By default it listens nowhere, or, where the tree has a [registry](crate::Options::registry), at a
    /// Unix socket in a directory that is this user's alone.
    pub fn listen(mut self, address: Address) -> Self {
        self.spec.places.listen.push(address);
        self
    }

    /// A log filter of its own, and of what is below it; see [`Options::log`](crate::Options::log).
    /// `HATCHERY_LOG` wins over it, also where [`env`](Self::env) sets that for this actor.
    pub fn log(mut self, filter: impl Into<String>) -> Self {
        self.spec.log = Some(filter.into());
        self
    }

    /// Debug mode of its own, for it and what is below it; see [`Options::debug`](crate::Options::debug).
    /// The terminal is the root's to give: below an actor that was not started in debug mode itself,
    /// nobody gets it.
    pub fn debug(mut self, on: bool) -> Self {
        self.spec.debug = on;
        self
    }

    /// Gives it this process's standard input. By default it has none.
    pub fn inherit_stdin(mut self) -> Self {
        self.stdin = Stdin::Inherit;
        self
    }

    /// What becomes of what it writes to its standard error, once it is up; the last words of one that
    /// does not come up are in the error either way. By default it goes where this process's goes.
    ///
    /// What goes through this process is taken while the thread that runs this actor is not blocked; a
    /// child that writes more than a pipe holds waits for that. All that the child has written is passed
    /// on before its end is told; a line that it was in the middle of is ended, and one of more than 64
    /// KiB is cut into several. Programs that it has started and leaves behind have nobody any more then
    /// who reads what they write there.
    pub fn stderr(mut self, stderr: Stderr) -> Self {
        self.stderr = stderr;
        self
    }

    /// Runs another executable, which must go through [`init`](crate::init) too.
    pub fn program(mut self, path: impl Into<PathBuf>) -> Self {
        self.program = Program::Path(path.into());
        self
    }

    /// Adds an argument to its command line. The library does not read them.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Sets a variable of its environment, which is this process's otherwise. What it starts inherits
    /// it. The library's own variables (`HATCHERY_ACTOR`, `HATCHERY_TREE`, `HATCHERY_NAME`,
    /// `HATCHERY_LIMITS`) cannot be set.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), Some(value.into())));
        self
    }

    /// Takes a variable out of its environment.
    pub fn env_remove(mut self, name: impl Into<OsString>) -> Self {
        self.env.push((name.into(), None));
        self
    }

    /// Its working directory; this process's otherwise. One that cannot be entered fails the start.
    pub fn current_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Has its process started by this launcher, in place of [`Direct`](crate::Direct). One that reaches
    /// it through a command line cannot give it this process's standard input.
    ///
    /// ```no_run
    /// # async fn example(nursery: &hatchery::Nursery) -> hatchery::Result<()> {
    /// use hatchery::CommandLine;
    ///
    /// let ssh = CommandLine::new("ssh").args(["-T", "-o", "BatchMode=yes", "build.example.org"]);
    /// let worker = nursery
    ///     .actor("worker")
    ///     .launcher(ssh.through_a_shell())
    ///     .program("/usr/local/bin/worker")
    ///     .start()
    ///     .await?;
    /// # drop(worker);
    /// # Ok(())
    /// # }
    /// ```
    pub fn launcher(mut self, launcher: impl Launcher + 'static) -> Self {
        self.launcher = Some(Box::new(launcher));
        self
    }

    /// How long it may take from being a process to being up; 10 s where nothing is said. One that
    /// takes longer is ended, and its start fails.
    pub fn start_within(mut self, limit: Duration) -> Self {
        self.connect = limit;
        self
    }

    /// Starts it as a daemon; see [`Nursery::start_actor`].
    ///
    /// # Errors
    /// As there.
    pub async fn start(self) -> Result<Portal> {
        self.launch(None).await
    }

    /// Starts it with one call to run; see [`Nursery::run_in_actor`].
    ///
    /// # Errors
    /// As there.
    pub async fn run<E: CallEndpoint>(mut self, call: Call<E>) -> Result<Portal> {
        self.spec.main = Some(MainTask {
            endpoint: E::NAME.to_owned(),
            schema: E::SCHEMA,
            args: call.encode()?.alone("the main task of an actor")?.to_vec(),
        });
        self.launch(Some(E::NAME)).await
    }

    async fn launch(self, main: Option<&'static str>) -> Result<Portal> {
        let inner = self.nursery.inner.clone();
        if self.program == Program::Own && !entry::entry_was_called() {
            return Err(Error::misuse(format!(
                "starting actor `{}`: this program would run its `main` again, since that did not \
                 begin with `hatchery::init()`; call it first thing in `main`, or use \
                 `#[hatchery::main]` (in tests: `#[hatchery::test]`)",
                self.name
            )));
        }
        check_name(&self.name, inner.actor.settings().limits.max_name)?;
        // A process is waited for by it, whatever this thread waits with.
        task::start_reactor()?;
        let spec = encode::<Postcard, _>(&self.spec, "the specification of actor", &self.name)?;
        let given = self.given(&inner)?;
        let mut request = SpawnRequest {
            stdin: self.stdin,
            stderr: self.stderr,
            given,
            ..SpawnRequest::plain(&self.name, inner.actor.tree())
        };
        if request.given.is_none() {
            request = SpawnRequest {
                program: self.program,
                args: self.args,
                env: self.env,
                folder: self.folder,
                ..request
            };
        }
        let birth = Arc::new(Birth {
            main,
            debug: self.spec.debug,
            trace: Trace::carried(),
            spec: spec.to_vec(),
        });
        let plain = request.is_plain();
        let waited = plain.then(|| inner.take_waiting(&request.name, &birth, self.connect));
        let child = match waited.flatten() {
            Some(child) => child,
            None => inner.start(request, birth, self.connect)?,
        };
        // A nursery that was cancelled meanwhile has not seen this member.
        if lock(&inner.state).core.is_cancelled() {
            let (by, budget) = inner.orders();
            child.cancel(by, budget);
        }
        let mut ended_if_dropped = EndIfDropped(Some(child.clone()));
        let up = child.up().await;
        ended_if_dropped.0 = None;
        // Now that it is not in the way of this one.
        inner.refill(plain && up.is_ok());
        up.map(|()| Portal::to_child(child))
    }

    /// What its launcher makes of it, where it has one.
    fn given(&self, inner: &Inner) -> Result<Option<Given>> {
        let Some(launcher) = &self.launcher else { return Ok(None) };
        let actor = Launch {
            name: &self.name,
            program: &self.program,
            args: &self.args,
            env: &self.env,
            folder: self.folder.as_deref(),
            last: told_argument(&inner.actor.settings().limits),
        };
        let given = launcher.launch(&actor).map(Given::from).map_err(|error| {
            let id = ActorId { name: self.name.clone(), uuid: 0, pid: 0 };
            let message = format!("starting actor `{}`: its launcher: {error}", self.name);
            Error::spawn(&id, message, None)
        })?;
        if given.piped && matches!(self.stdin, Stdin::Inherit) {
            return Err(Error::misuse(format!(
                "starting actor `{}`: it cannot have this process's standard input, since its \
                 launcher's standard input and output are its link",
                self.name
            )));
        }
        Ok(Some(given))
    }
}

impl Inner {
    /// Starts a process to be an actor.
    fn start(
        self: &Arc<Self>,
        request: SpawnRequest,
        birth: Arc<Birth>,
        connect: Duration,
    ) -> Result<Arc<Child>> {
        let kind = MemberKind::Actor { daemon: birth.main.is_none() };
        let id = self.add(kind, &format!("actor `{}`", request.name))?;
        let child = Child::new(&self.actor, &request.name, Some(birth), connect);
        lock(&self.state).members.insert(id, Member::Actor(child.clone()));
        self.attend(id, child.clone(), request);
        Ok(child)
    }

    /// Has a task of its own see to a child, whose end is then that of a member.
    pub(super) fn attend(self: &Arc<Self>, id: MemberId, child: Arc<Child>, request: SpawnRequest) {
        let busy = self.actor.busy_with_child();
        let inner = self.clone();
        let attend = async move {
            supervisor::supervise(child.clone(), request).await;
            let end = child.ended().await;
            inner.waiting_ended(id, &end);
            inner.member_ended(id, child.failure(&end), child.was_asked());
            // A start that was given up has left its place empty.
            inner.refill(false);
            drop(busy);
        };
        self.actor.spawn(attend).detach();
    }
}

impl fmt::Debug for ActorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActorBuilder").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Ends a child whose start nobody waits for any more.
struct EndIfDropped(Option<Arc<Child>>);

impl Drop for EndIfDropped {
    fn drop(&mut self) {
        if let Some(child) = self.0.take() {
            child.cancel_asked();
        }
    }
}

/// What is cut on its way to others would be another name there.
fn check_name(name: &str, max: usize) -> Result<()> {
    let why = match name.len() {
        0 => "its name is empty; give it one".to_owned(),
        size if size > max => {
            format!("its name of {size} bytes is over the limit of {max}; shorten it")
        }
        _ => return Ok(()),
    };
    let begin: String = name.chars().take(32).collect();
    Err(Error::misuse(format!("starting actor `{begin}`: {why}")))
}
