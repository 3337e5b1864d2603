//! The actor that this process is: its executor, its scopes, its settings, and the order in which
//! it ends. One at a time; everything that users hold leads back here.

mod looks;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use async_executor::{Executor, Task};
use event_listener::{Event as Signal, listener};
use futures_lite::FutureExt;
use hatchery_proto::actor::scopes::{ScopeId, ScopeKind, Scopes};
use hatchery_proto::{ActorId, Cancelled, Limits};

use crate::debug::lock::Terminal;
use crate::discovery::{Discovery, Places};
use crate::driver::clock;
use crate::driver::link::{Link, Numbered, Runs, lock};
use crate::driver::readiness;
use crate::driver::transport::proofs::Proofs;
use crate::ending::Ending;
use crate::error::{Error, Result};
pub(crate) use crate::exposed::{Caller, Exposed};
use crate::hooks;
use crate::inspect::What;
use crate::options::Containment;
use crate::peer::Table;
use crate::supervisor::{Asking, Brood};
use crate::task::{self, Bell};
use crate::turn::Runners;
use crate::wait;
pub(crate) use looks::{MemberLook, Members, ScopeLook};

/// What an actor was opened with, and what its children inherit.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) limits: Limits,
    pub(crate) log: Option<String>,
    pub(crate) debug: bool,
    /// What the parent allows this actor's children's teardown to take at most.
    pub(crate) teardown: Duration,
    pub(crate) exposed: Exposed,
    pub(crate) places: Places,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            log: None,
            debug: false,
            teardown: Duration::from_millis(4600),
            exposed: Exposed::Unsaid,
            places: Places::default(),
        }
    }
}

impl Settings {
    /// How long a cancelled task elsewhere gets by default.
    pub(crate) fn grace(&self) -> Duration {
        self.teardown
    }
}

/// The open scopes, and what is known of each here.
struct Tree {
    scopes: Scopes,
    bells: Bells,
}

/// The bells of the open scopes, and some for the next.
#[derive(Default)]
struct Bells {
    hung: Numbered<ScopeId, (Arc<Bell>, What)>,
    spare: Vec<Arc<Bell>>,
}

/// So many are kept.
const SPARE_BELLS: usize = 256;

impl Tree {
    fn ring_due(&mut self) {
        while let Some(id) = self.scopes.poll_due() {
            if let Some((bell, _)) = self.bells.hung.get(id) {
                bell.ring();
            }
        }
    }
}

/// The link of an actor with itself.
pub(crate) enum OwnLink {
    Unused,
    /// The end that asks, and the end that serves.
    Open([Arc<Link>; 2]),
    Over,
}

/// The actor that this process is.
pub(crate) struct Actor {
    id: ActorId,
    /// What it is called where it had to wait to be told (P-L7).
    given: OnceLock<ActorId>,
    /// Known at once but in a child that a launcher has started (P-L8).
    tree: OnceLock<u128>,
    /// Known at once in a root; in a child, once its parent has said.
    settings: OnceLock<Settings>,
    /// Gone once the actor is: dropping it drops what it still holds.
    executor: Mutex<Option<Arc<Executor<'static>>>>,
    tree_of_scopes: Mutex<Tree>,
    /// Whether a task tells the scopes the time, which only shields and bounds ask for.
    timed: AtomicBool,
    /// The earliest deadline of a scope has changed.
    rearm: Signal,
    top: ScopeId,
    /// What has to end before the actor does: tasks and nurseries, and children.
    tasks: AtomicUsize,
    /// How many futures on how many threads run the executor.
    runners: Arc<Runners>,
    children: AtomicUsize,
    /// Those of its children that are being asked to end.
    pub(crate) asking: Arc<Asking>,
    idle: Signal,
    /// What is in each nursery, to be ended where nobody polls it.
    nurseries: Mutex<BTreeMap<ScopeId, Arc<dyn Members>>>,
    brood: Brood,
    /// Who has the terminal, for debugging.
    pub(crate) terminal: Terminal,
    /// Of a root.
    containment: OnceLock<Containment>,
    own_link: Mutex<OwnLink>,
    /// The link to the parent and who that is, in a child that knows what it is.
    parent: Mutex<Option<(Arc<Link>, ActorId)>>,
    peers: Table,
    discovery: Discovery,
    /// What it proves itself with towards peers.
    proofs: OnceLock<Proofs>,
    pub(crate) ending: Ending,
}

static RUNNING: Mutex<Option<Arc<Actor>>> = Mutex::new(None);

impl fmt::Debug for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Actor").field("id", self.id()).finish_non_exhaustive()
    }
}

/// Keeps an actor the running one of this process.
pub(crate) struct Reign(Arc<Actor>);

impl Reign {
    pub(crate) fn actor(&self) -> &Arc<Actor> {
        &self.0
    }
}

impl Drop for Reign {
    fn drop(&mut self) {
        // Tasks hold their actor, so the executor has to go before the actor can. Nothing is left
        // in it unless the root's future was dropped, and then this drops it all.
        let executor = lock(&self.0.executor).take();
        drop(executor);
        self.0.runners.end();
        drop(lock(&self.0.parent).take());
        self.0.discovery.forget();
        self.0.peers.forget();
        // It holds the actor as well, and whoever still holds one of its dialogs is to see an end.
        let own = std::mem::replace(&mut *lock(&self.0.own_link), OwnLink::Over);
        if let OwnLink::Open(ends) = own {
            ends.iter().for_each(Link::cut);
        }
        // None are left unless the actor did not come to its end.
        for error in hooks::run() {
            tracing::error!(target: "hatchery::runtime", %error, "an exit hook failed");
        }
        lock(&RUNNING).take();
    }
}

impl Actor {
    /// Makes this process's actor: one at a time.
    pub(crate) fn begin(
        id: ActorId,
        tree: impl Into<Option<u128>>,
        settings: Option<Settings>,
    ) -> Result<Reign> {
        let is_child = settings.is_none();
        let mut scopes = Scopes::new();
        let top = scopes.open(None, ScopeKind::Body);
        let mut running = lock(&RUNNING);
        if let Some(known) = &*running {
            let known = known.id.clone();
            drop(running);
            return Err(Error::misuse(format!(
                "opening the root actor `{}`: this process is actor {known} already, and a process \
                 is one actor; use `open_nursery` in it",
                id.name
            )));
        }
        let actor = Arc::new(Self {
            peers: Table::new(&id),
            id,
            given: OnceLock::new(),
            tree: tree.into().map_or_else(OnceLock::new, OnceLock::from),
            settings: settings.map_or_else(OnceLock::new, OnceLock::from),
            executor: Mutex::new(Some(Arc::new(Executor::new()))),
            tree_of_scopes: Mutex::new(Tree { scopes, bells: Bells::default() }),
            timed: AtomicBool::new(false),
            rearm: Signal::new(),
            top,
            tasks: AtomicUsize::new(0),
            runners: Arc::default(),
            children: AtomicUsize::new(0),
            asking: Arc::default(),
            idle: Signal::new(),
            nurseries: Mutex::new(BTreeMap::new()),
            terminal: Terminal::new(!is_child),
            brood: Brood::default(),
            containment: OnceLock::new(),
            own_link: Mutex::new(OwnLink::Unused),
            parent: Mutex::new(None),
            discovery: Discovery::default(),
            proofs: OnceLock::new(),
            ending: Ending::new(is_child),
        });
        *running = Some(actor.clone());
        Ok(Reign(actor))
    }

    pub(crate) fn containment(&self) -> Option<Containment> {
        self.containment.get().copied()
    }

    pub(crate) fn set_containment(&self, containment: Containment) {
        let _ = self.containment.set(containment);
    }

    pub(crate) fn set_parent(&self, link: Arc<Link>, id: ActorId) {
        *lock(&self.parent) = Some((link, id));
    }

    pub(crate) fn parent(&self) -> Option<(Arc<Link>, ActorId)> {
        lock(&self.parent).clone()
    }

    /// What it proves itself with, which it is given once.
    pub(crate) fn proofs(&self) -> &Proofs {
        self.proofs.get_or_init(Proofs::default)
    }

    pub(crate) fn set_proofs(&self, proofs: Proofs) {
        #[cfg(feature = "tls")]
        proofs.of(self.id());
        let _ = self.proofs.set(proofs);
    }

    /// Its links with others.
    pub(crate) fn peers(&self) -> &Table {
        &self.peers
    }

    /// Where it is found, and whom it asks for others.
    pub(crate) fn discovery(&self) -> &Discovery {
        &self.discovery
    }

    pub(crate) fn own_link(&self) -> &Mutex<OwnLink> {
        &self.own_link
    }

    /// The actor that this process is, while it is one.
    pub(crate) fn running() -> Option<Arc<Self>> {
        lock(&RUNNING).clone()
    }

    pub(crate) fn id(&self) -> &ActorId {
        self.given.get().unwrap_or(&self.id)
    }

    /// Gives it a name of its own, once.
    pub(crate) fn set_name(&self, name: &str) {
        let _ = self.given.set(ActorId { name: name.to_owned(), ..self.id.clone() });
    }

    /// Marks every process of the tree in its environment.
    pub(crate) fn tree(&self) -> u128 {
        *self.tree.get_or_init(|| self.id.uuid)
    }

    /// Makes it of that tree, where it is of none yet.
    pub(crate) fn set_tree(&self, tree: u128) {
        let _ = self.tree.set(tree);
    }

    pub(crate) fn settings(&self) -> &Settings {
        self.settings.get_or_init(Settings::default)
    }

    /// Whether its settings are known.
    pub(crate) fn is_set_up(&self) -> bool {
        self.settings.get().is_some()
    }

    /// A child learns its settings from its parent, once.
    pub(crate) fn set_settings(&self, settings: Settings) {
        let _ = self.settings.set(settings);
    }

    /// What runs this actor's tasks; an idle one once the actor has ended.
    pub(crate) fn executor(&self) -> Arc<Executor<'static>> {
        lock(&self.executor).clone().unwrap_or_default()
    }

    /// Starts a task of this actor. Once the actor has ended, it is dropped unpolled.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Task<T> {
        self.executor().spawn(future)
    }

    /// The scope that everything else in this actor is in.
    pub(crate) fn top(&self) -> ScopeId {
        self.top
    }

    pub(crate) fn open_scope(&self, parent: Option<ScopeId>, what: What) -> (ScopeId, Arc<Bell>) {
        // The bell hangs before the scope can become due: both under one lock.
        let tree = &mut *lock(&self.tree_of_scopes);
        let id = tree.scopes.open(parent, what.kind());
        let bell = tree.bells.spare.pop().unwrap_or_default();
        tree.bells.hung.get_or_insert_with(id, || (bell.clone(), what));
        tree.ring_due();
        (id, bell)
    }

    /// Closes a scope; says who had asked it to end by then, if anyone had.
    pub(crate) fn close_scope(&self, id: ScopeId) -> Option<Cancelled> {
        let tree = &mut *lock(&self.tree_of_scopes);
        let by = tree.scopes.cancelled(id).map(|state| state.by.clone());
        tree.scopes.close(id);
        // Nobody polls the scope any more, and who rings holds this lock.
        let Bells { hung, spare } = &mut tree.bells;
        if let Some((bell, _)) = hung.remove(id)
            && spare.len() < SPARE_BELLS
        {
            bell.reset();
            spare.push(bell);
        }
        tree.ring_due();
        by
    }

    /// Runs `f` on the tree of scopes, then wakes those that became due by it.
    pub(crate) fn scopes<R>(&self, f: impl FnOnce(&mut Scopes) -> R) -> R {
        let tree = &mut *lock(&self.tree_of_scopes);
        let before = tree.scopes.poll_timeout();
        let value = f(&mut tree.scopes);
        tree.ring_due();
        if tree.scopes.poll_timeout() != before {
            self.rearm.notify(usize::MAX);
        }
        value
    }

    /// Looks at the tree of scopes without changing it.
    pub(crate) fn look<R>(&self, f: impl FnOnce(&Scopes) -> R) -> R {
        f(&lock(&self.tree_of_scopes).scopes)
    }

    /// The scope that is being polled on this thread, or the one around all.
    pub(crate) fn current_scope(&self) -> ScopeId {
        task::current_scope().unwrap_or(self.top)
    }

    /// What is left of the time of whatever is running right now, if that is limited (P-C8).
    pub(crate) fn time_left(&self) -> Option<Duration> {
        let scope = self.current_scope();
        self.look(|scopes| match scopes.is_limited(scope) {
            true => scopes.left(scope, clock::now()),
            false => None,
        })
    }

    /// Has the scopes told the time from here on.
    pub(crate) fn keep_time(self: &Arc<Self>) {
        if self.timed.swap(true, Ordering::AcqRel) {
            return;
        }
        let actor = self.clone();
        let keep = async move {
            loop {
                listener!(actor.rearm => rearm);
                let next = actor.scopes(|scopes| {
                    scopes.handle_timeout(clock::now());
                    scopes.poll_timeout()
                });
                readiness::due(next.map(|(at, _)| at)).or(rearm).await;
            }
        };
        self.spawn(keep).detach();
    }

    /// Counts a task or a nursery, which the actor's end has to wait for.
    pub(crate) fn busy(self: &Arc<Self>) -> Busy {
        Busy::new(self, |actor| &actor.tasks)
    }

    /// Who runs the executor.
    pub(crate) fn runners(&self) -> &Arc<Runners> {
        &self.runners
    }

    /// Counts a child, which the actor's end has to wait for whatever becomes of its nursery.
    pub(crate) fn busy_with_child(self: &Arc<Self>) -> Busy {
        Busy::new(self, |actor| &actor.children)
    }

    /// Ends when nothing is counted any more.
    pub(crate) async fn idle(&self) {
        self.idle_but(false).await;
    }

    /// Ends when no child is counted any more.
    pub(crate) async fn childless(&self) {
        self.idle_but(true).await;
    }

    async fn idle_but(&self, for_tasks: bool) {
        wait::until(&self.idle, || {
            let tasks = self.tasks.load(Ordering::Acquire);
            let idle = self.children.load(Ordering::Acquire) == 0 && (for_tasks || tasks == 0);
            idle.then_some(())
        })
        .await;
    }

    /// Notes how a nursery's members are reached, until it has ended.
    pub(crate) fn add_nursery(&self, scope: ScopeId, members: Arc<dyn Members>) {
        lock(&self.nurseries).insert(scope, members);
    }

    pub(crate) fn remove_nursery(&self, scope: ScopeId) {
        lock(&self.nurseries).remove(&scope);
    }

    /// Ends every child by force. Nurseries opened from here on are on their own.
    pub(crate) fn force_children(&self) {
        let nurseries = std::mem::take(&mut *lock(&self.nurseries));
        for members in nurseries.into_values() {
            members.force();
        }
    }
}

/// The loops of its links.
impl Runs for Actor {
    fn run(&self, task: impl Future<Output = ()> + Send + 'static) -> Task<()> {
        self.spawn(task)
    }

    fn run_direct(&self, task: impl Future<Output = ()> + Send + 'static) -> Task<()> {
        self.runners.spawn_direct(task)
    }
}

/// Something that its actor's end waits for.
pub(crate) struct Busy {
    actor: Arc<Actor>,
    counter: fn(&Actor) -> &AtomicUsize,
}

impl Busy {
    fn new(actor: &Arc<Actor>, counter: fn(&Actor) -> &AtomicUsize) -> Self {
        counter(actor).fetch_add(1, Ordering::AcqRel);
        Self { actor: actor.clone(), counter }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if (self.counter)(&self.actor).fetch_sub(1, Ordering::AcqRel) == 1 {
            self.actor.idle.notify(usize::MAX);
        }
    }
}
