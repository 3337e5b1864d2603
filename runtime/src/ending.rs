//! The end of this actor, in the order that the core gives (P-C7): its steps are carried out here,
//! and it is told what came of them. What comes next, and how long it may take, is not decided here.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use event_listener::{Event as Signal, listener};
use futures_lite::{FutureExt, future};
use hatchery_proto::actor::shutdown::{Policy, Shutdown, ShutdownStep, Stage};
use hatchery_proto::{Cancelled, Cause};

use crate::actor::Actor;
use crate::driver::clock;
use crate::driver::link::lock;
use crate::driver::patience::Patience;
use crate::driver::readiness;
use crate::error::Error;
use crate::hooks;
use crate::wait;

/// Where this actor's end stands.
pub(crate) struct Ending {
    has_parent: bool,
    /// Made at first use: a child's bounds are among the settings that its parent sends.
    machine: OnceLock<Mutex<Shutdown>>,
    /// The machine's deadline may have changed.
    turned: Signal,
    /// Children are being ended by force.
    forced: AtomicBool,
}

/// What an actor still has to say when its tasks are gone.
pub(crate) trait LastWords {
    /// Exit hooks have failed: their errors are part of the outcome.
    fn hooks_failed(&mut self, failures: Vec<Error>);

    /// Sends the outcome, and waits until it is written.
    async fn tell(&mut self);

    /// Says goodbye, and waits until the parent has answered or is gone.
    async fn part(&mut self);
}

impl Ending {
    pub(crate) fn new(has_parent: bool) -> Self {
        Self {
            has_parent,
            machine: OnceLock::new(),
            turned: Signal::new(),
            forced: AtomicBool::new(false),
        }
    }
}

impl Actor {
    /// Asks everything in this actor to end within `grace`, innermost scopes first (P-C7).
    pub(crate) fn cancel(&self, by: Cancelled, grace: Duration) {
        tracing::debug!(
            target: "hatchery::cancel",
            actor = %self.id(), %by, ?grace,
            "the actor is cancelled"
        );
        self.shutdown().cancel(clock::now(), by, grace);
        self.follow();
        self.ending.turned.notify(usize::MAX);
    }

    /// The same because it wants so itself, with all the grace there is.
    pub(crate) fn cancel_itself(&self) {
        let by = Cancelled { canceller: self.id().clone(), cause: Cause::Asked };
        self.cancel(by, self.settings().grace());
    }

    /// Who asked the actor to end, if anyone has; not its own end.
    pub(crate) fn asked(&self) -> Option<Cancelled> {
        self.shutdown().asked().cloned()
    }

    /// Ends once somebody has asked the actor to end.
    pub(crate) async fn until_asked(&self) {
        wait::until(&self.ending.turned, || self.asked()).await;
    }

    /// Why the actor takes no new work, if it is ending.
    pub(crate) fn refuses(&self) -> Option<Cancelled> {
        let shutdown = self.shutdown();
        shutdown.refuses().then(|| shutdown.asked().cloned().unwrap_or_else(|| self.itself()))
    }

    /// Ends everything that is left in this actor, its last words included, and waits for it: what
    /// the actor does when its main task has ended, by itself or not.
    pub(crate) async fn end(&self, last: &mut impl LastWords) {
        self.shutdown().handle_main_ended(clock::now());
        self.follow();
        self.ending.turned.notify(usize::MAX);
        let forced = async {
            self.forced().await;
            self.childless().await;
        };
        self.idle().or(forced).await;
        self.shutdown().handle_tasks_ended(clock::now());
        loop {
            let step = self.shutdown().poll_step();
            self.show(step.as_ref());
            match step {
                Some(ShutdownStep::Deregister) => {
                    self.deregister().or(self.late()).await;
                    self.shutdown().handle_deregistered(clock::now());
                }
                Some(ShutdownStep::RunHooks) => {
                    let failures = hooks::run();
                    for error in &failures {
                        self.shutdown().handle_hook_failed(error.report().id);
                    }
                    last.hooks_failed(failures);
                    self.shutdown().handle_hooks_ended(clock::now());
                }
                Some(ShutdownStep::Flush) => {
                    last.tell().or(self.late()).await;
                    self.shutdown().handle_flushed(clock::now());
                }
                Some(ShutdownStep::Goodbye) => {
                    let peers = async {
                        self.peers().part().await;
                        self.shutdown().handle_peers_gone(clock::now());
                    };
                    let parent = async {
                        last.part().await;
                        self.shutdown().handle_parent_gone(clock::now());
                    };
                    let both = async {
                        future::zip(peers, parent).await;
                    };
                    both.or(self.late()).await;
                    self.shutdown().handle_peers_gone(clock::now());
                    self.shutdown().handle_parent_gone(clock::now());
                }
                // Nothing is left to be refused, cancelled or ended.
                Some(
                    ShutdownStep::Refuse | ShutdownStep::CancelTasks { .. } | ShutdownStep::Force,
                ) => {}
                Some(ShutdownStep::Exit) | None => return,
            }
        }
    }

    /// Takes the steps that need no waiting for: those of an actor whose tasks still run.
    fn follow(&self) {
        loop {
            let step = {
                let mut shutdown = self.shutdown();
                let busy = shutdown.stage() <= Stage::Cancelling;
                if busy { shutdown.poll_step() } else { None }
            };
            self.show(step.as_ref());
            match step {
                // Whoever is asked for a task looks at the machine.
                Some(ShutdownStep::Refuse) => {
                    self.discovery().close();
                    self.peers().refuse();
                    self.shutdown().handle_refused(clock::now());
                }
                Some(ShutdownStep::CancelTasks { grace }) => {
                    let by = self.asked().unwrap_or_else(|| self.itself());
                    self.scopes(|scopes| scopes.cancel(self.top(), clock::now(), by, grace));
                }
                Some(ShutdownStep::Force) => {
                    tracing::error!(
                        target: "hatchery::runtime",
                        actor = %self.id(),
                        "tasks outlast the grace: one is blocked, or a block's future is not \
                         polled any more; children are ended by force"
                    );
                    self.ending.forced.store(true, Ordering::Release);
                    self.force_children();
                }
                _ => return,
            }
        }
    }

    fn show(&self, step: Option<&ShutdownStep>) {
        if let Some(step) = step {
            tracing::debug!(
                target: "hatchery::runtime",
                actor = %self.id(), ?step,
                "a step of the shutdown order"
            );
        }
    }

    /// Ends when the actor's tasks have had their time and more, and what they hold is being ended by
    /// force (P-C7).
    pub(crate) async fn forced(&self) {
        while !self.ending.forced.load(Ordering::Acquire) {
            listener!(self.ending.turned => turned);
            let due = {
                let mut shutdown = self.shutdown();
                shutdown.handle_timeout(clock::now());
                let busy = shutdown.stage() <= Stage::Cancelling;
                if busy { shutdown.poll_timeout() } else { None }
            };
            self.follow();
            if !self.ending.forced.load(Ordering::Acquire) {
                readiness::due(due.map(|(at, _)| at)).or(turned).await;
            }
        }
    }

    /// Ends when the stage has had its time.
    async fn late(&self) {
        let stage = self.shutdown().stage();
        loop {
            listener!(self.ending.turned => turned);
            let due = {
                let mut shutdown = self.shutdown();
                shutdown.handle_timeout(clock::now());
                if shutdown.stage() != stage {
                    return;
                }
                shutdown.poll_timeout()
            };
            readiness::due(due.map(|(at, _)| at)).or(turned).await;
        }
    }

    /// Has the end's clock stand while anybody has the terminal here or below, or waits for it (P-T2).
    pub(crate) fn follow_terminal(&self) {
        {
            let (mut shutdown, now) = (self.shutdown(), clock::now());
            match self.terminal.is_busy() {
                true => shutdown.hold(now),
                false => shutdown.resume(now),
            }
        }
        self.ending.turned.notify(usize::MAX);
    }

    /// How far its end is and who has asked for it, in words, where it is ending; `None` where that
    /// cannot be told in time.
    pub(crate) fn ending_by(&self, patience: Patience) -> Option<Option<String>> {
        let Some(machine) = self.ending.machine.get() else { return Some(None) };
        let machine = patience.lock(machine)?;
        let stage = match machine.stage() {
            Stage::Running => return Some(None),
            Stage::Refusing => "ends, and shuts out what is new",
            Stage::Cancelling => "ends, and waits for its tasks and children",
            Stage::Deregistering => "ends, and takes its name back",
            Stage::Hooks => "ends, and runs its exit hooks",
            Stage::Draining => "ends, and says its last words",
            Stage::Goodbye => "ends, and waits for its peers to leave",
            Stage::Gone => "has ended",
        };
        let by = machine.asked().map(|by| format!(", {by}")).unwrap_or_default();
        Some(Some(format!("{stage}{by}")))
    }

    fn itself(&self) -> Cancelled {
        Cancelled { canceller: self.id().clone(), cause: Cause::ScopeEnding }
    }

    fn shutdown(&self) -> MutexGuard<'_, Shutdown> {
        lock(self.ending.machine.get_or_init(|| {
            let policy = Policy { grace: self.settings().grace(), ..Policy::default() };
            Mutex::new(Shutdown::new(policy, self.ending.has_parent))
        }))
    }
}
