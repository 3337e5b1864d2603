//! The terminal's lock: who may have it when is decided in the core; here it is asked for, one dialog a
//! hop up the links to the parents, and the clocks stand while anybody has it or waits (P-T2).

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use event_listener::Event as Signal;

use hatchery_proto::tty::{Refused, RequestId, Tty, Via};
use hatchery_proto::{Kind, LinkId, Misuse, StartWish};

use super::{served, station};
use crate::actor::{Actor, Busy};
use crate::context::OpenContext;
use crate::dialog::{Dialog, Side};
use crate::driver::clock;
use crate::driver::link::{Link, lock};
use crate::endpoint::Endpoint;
use crate::error::{Error, Result};
use crate::inspect::What;
use crate::portal;
use crate::supervisor::Child;
use crate::task::Scope;
use crate::wait;

/// Who in this actor, and below it, holds the terminal or waits for it.
pub(crate) struct Terminal {
    core: Mutex<Tty>,
    /// Requests of this actor's own, and children.
    next: AtomicU64,
    below: Mutex<BTreeMap<LinkId, Below>>,
    changed: Signal,
}

/// A child that may ask, and its link.
type Below = (Weak<Child>, Weak<Link>);

impl Terminal {
    pub(crate) fn new(is_root: bool) -> Self {
        Self {
            core: Mutex::new(Tty::new(is_root)),
            next: AtomicU64::new(1),
            below: Mutex::default(),
            changed: Signal::new(),
        }
    }

    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// What a child is called here.
    pub(crate) fn number_child(&self) -> LinkId {
        LinkId::new(self.number())
    }

    /// There is a link to a child: it may ask.
    pub(crate) fn child_linked(&self, number: LinkId, child: &Arc<Child>, link: &Arc<Link>) {
        lock(&self.below).insert(number, (Arc::downgrade(child), Arc::downgrade(link)));
    }

    /// There is none any more.
    pub(crate) fn forget_child(&self, number: LinkId) {
        lock(&self.below).remove(&number);
    }

    fn child_on(&self, link: &Arc<Link>) -> Option<LinkId> {
        let below = lock(&self.below);
        let mut all = below.iter();
        all.find(|(_, (_, one))| one.as_ptr() == Arc::as_ptr(link)).map(|(number, _)| *number)
    }

    fn child(&self, number: LinkId) -> Option<(Arc<Child>, Arc<Link>)> {
        let (child, link) = lock(&self.below).get(&number)?.clone();
        Some((child.upgrade()?, link.upgrade()?))
    }

    /// Whether anybody here or below holds it or waits.
    pub(crate) fn is_busy(&self) -> bool {
        lock(&self.core).is_busy()
    }

    /// Whether anybody in that child or below it does.
    pub(crate) fn is_busy_below(&self, child: LinkId) -> bool {
        lock(&self.core).is_busy_below(child)
    }

    /// Ends once that many do.
    #[cfg(feature = "test-support")]
    pub(crate) async fn wanted_by(&self, count: usize) {
        wait::until(&self.changed, || (lock(&self.core).len() == count).then_some(())).await;
    }

    /// Ends once nobody does. Cancel safe.
    pub(crate) async fn idle(&self) {
        wait::until(&self.changed, || (!self.is_busy()).then_some(())).await;
    }
}

impl Actor {
    /// Tells the core something, and has the clocks stand, or go on, that this is about.
    fn tell_terminal<R>(&self, about: &[Via], tell: impl FnOnce(&mut Tty) -> R) -> R {
        let terminal = &self.terminal;
        let value = {
            let mut core = lock(&terminal.core);
            let value = tell(&mut core);
            while let Some(step) = core.poll_step() {
                tracing::debug!(target: "hatchery::runtime", actor = %self.id(), ?step, "terminal");
            }
            value
        };
        // Each is told what is so when it is told, under a lock of its own: in whatever order that is.
        for via in about {
            if let Via::Child(number) = *via
                && let Some((child, link)) = terminal.child(number)
            {
                child.follow_terminal();
                self.follow_on(&link, || terminal.is_busy_below(number));
            }
        }
        self.scopes(|scopes| match terminal.is_busy() {
            true => scopes.hold(clock::now()),
            false => scopes.resume(clock::now()),
        });
        self.follow_terminal();
        if let Some((link, _)) = self.parent() {
            self.follow_on(&link, || terminal.is_busy());
        }
        self.peers().each(|link| self.follow_on(link, || terminal.is_busy()));
        terminal.changed.notify(usize::MAX);
        value
    }

    fn follow_on(&self, link: &Arc<Link>, stands: impl FnOnce() -> bool) {
        link.with(|connection, now| match stands() {
            true => connection.hold(now),
            false => connection.resume(now),
        });
    }

    /// The link to a child has ended, or its process has: so has what it held.
    pub(crate) fn terminal_lost_below(&self, child: LinkId) {
        if !self.terminal.is_busy_below(child) {
            return;
        }
        self.calm_terminal(|id| id.via == Via::Child(child));
        self.tell_terminal(&[Via::Child(child)], |core| core.handle_child_gone(child));
    }

    /// Puts a root's terminal in order, where one of these has had it until now, and before the next has.
    fn calm_terminal(&self, of: impl Fn(RequestId) -> bool) {
        let has_it = {
            let core = lock(&self.terminal.core);
            core.is_root() && core.requests().any(|(id, granted)| granted && of(id))
        };
        if has_it {
            station::restore();
        }
    }

    /// The link to the parent has ended: so has every hold, and nobody waits in earnest.
    pub(crate) fn terminal_cut(&self) {
        let below: Vec<_> = lock(&self.terminal.below).keys().copied().map(Via::Child).collect();
        self.tell_terminal(&below, Tty::handle_parent_gone);
    }
}

/// A request, from when it is made until it is over. Dropping it takes it back, or gives the terminal
/// back.
pub(crate) struct Request {
    actor: Arc<Actor>,
    id: RequestId,
}

impl Request {
    fn new(actor: &Arc<Actor>, id: RequestId, who: &str) -> Result<Self> {
        let made = actor.tell_terminal(&[id.via], |core| core.request(id));
        made.map_err(|refused| {
            let why = match refused {
                Refused::Double => "it has been asked for under the same number",
                Refused::Cut => {
                    "the link to this actor's parent, which is the way to it, has ended"
                }
            };
            Error::misuse(format!("asking for the terminal for {who}: {why}"))
        })?;
        Ok(Self { actor: actor.clone(), id })
    }

    /// That of a child, which is heard of as soon as it has come: no clock is to run behind it.
    ///
    /// # Errors
    /// Why it cannot be made.
    pub(crate) fn of_child(actor: &Arc<Actor>, child: LinkId, dialog: u64) -> Result<Self, String> {
        let id = RequestId::new(Via::Child(child), dialog);
        Self::new(actor, id, "a child").map_err(|error| error.to_string())
    }
}

/// Whether what is about the terminal may be asked for over a link: the number of the child that it
/// leads to.
///
/// # Errors
/// Why not.
pub(crate) fn may_ask(actor: &Actor, child: Option<LinkId>) -> Result<LinkId, String> {
    let Some(number) = child else {
        return Err("the terminal is for the tree's own actors, each over the link that it has \
                    inherited"
            .to_owned());
    };
    match actor.terminal.child(number) {
        Some((child, _)) if child.is_debugged() => Ok(number),
        _ => Err("this actor was not started in debug mode; see `Options::debug` and \
                  `ActorBuilder::debug`"
            .to_owned()),
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.actor.calm_terminal(|id| id == self.id);
        self.actor.tell_terminal(&[self.id.via], |core| {
            if !core.release(self.id) {
                core.withdraw(self.id);
            }
        });
    }
}

/// The way up to a grant, as long as that lasts.
pub(super) struct Grant {
    /// A root has none.
    up: Option<OpenContext<served::acquire>>,
}

impl Grant {
    /// Ends when the terminal was lost from above.
    pub(super) async fn lost(&self) {
        match &self.up {
            Some(up) => drop(up.result().await),
            None => pending().await,
        }
    }
}

/// Waits for the grant of a request that was made.
async fn granted(actor: &Arc<Actor>, id: RequestId, who: &str) -> Result<Grant> {
    let terminal = &actor.terminal;
    if lock(&terminal.core).is_root() {
        let has = || lock(&terminal.core).is_granted(id).then_some(());
        wait::until(&terminal.changed, has).await;
        // Its modes are to be what they were, whatever becomes of who has it now.
        let _ = station::keep();
        return Ok(Grant { up: None });
    }
    let (up, ()) = OpenContext::start(open(actor, who).await?).await?;
    actor.tell_terminal(&[], |core| core.handle_granted(id));
    Ok(Grant { up: Some(up) })
}

/// Asks the parent. Unlike what a task asks for, this has all the time there is: whatever has less is
/// waited for by nobody's clock.
async fn open(actor: &Actor, who: &str) -> Result<Arc<Dialog>> {
    let Some((link, parent)) = actor.parent() else {
        return Err(Error::misuse(format!(
            "asking for the terminal for {who}: actor {} does not know its parent yet",
            actor.id()
        )));
    };
    let args = served::acquire(who.to_owned()).encode()?;
    let wish = portal::wish_of::<served::acquire>(Kind::Context);
    let started = link.slots().until(|| {
        let start = |core: &mut hatchery_proto::Connection, now| {
            core.start(now, StartWish { deadline: None, trace: None, ..wish }, &args)
        };
        match link.with(start) {
            Err(Misuse::TooManyDialogs { .. }) => None,
            decided => Some(decided),
        }
    });
    let id = started.await.map_err(|misuse| {
        Error::misuse(format!("asking actor {parent} for the terminal for {who}: {misuse}"))
    })?;
    Ok(Dialog::new(link, id, Side::Opener, served::acquire::NAME.into(), parent))
}

/// Passes a child's request on, and waits for its grant. The request itself is whoever's that serves it.
pub(super) async fn pass_on(dialog: &Arc<Dialog>, who: &str) -> Result<Grant> {
    let actor = Actor::running();
    let known = actor.and_then(|actor| {
        let number = actor.terminal.child_on(&dialog.link)?;
        Some((actor, RequestId::new(Via::Child(number), dialog.id.number())))
    });
    match known {
        Some((actor, id)) => granted(&actor, id, who).await,
        None => Err(Error::misuse(format!("passing on {who}'s request for the terminal"))),
    }
}

/// That a task of this actor has the terminal. Dropping it gives it back.
///
/// Meanwhile a cancel does not reach the task, nor what is around it: it has its time once this is gone.
pub(crate) struct Held {
    grant: Grant,
    request: Request,
    _shield: Scope,
    _busy: Busy,
}

impl Held {
    /// Ends when the hold has ended from above: the parent's link is gone.
    pub(crate) async fn lost(&self) {
        self.grant.lost().await;
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").field("request", &self.request.id).finish_non_exhaustive()
    }
}

/// Waits for the terminal, in turn over the whole tree.
///
/// # Errors
/// `Misuse` where debug mode is off here, or the parent is gone; what the actors above say.
///
/// # Cancel safety
/// Dropping the future leaves the queue, or gives back what was granted.
pub(crate) async fn acquire(actor: &Arc<Actor>, task: &str) -> Result<Held> {
    let who = format!("`{task}` in actor {}", actor.id());
    if !actor.settings().debug {
        return Err(Error::misuse(format!(
            "asking for the terminal for {who}: debug mode is off in this actor; see \
             `Options::debug` and `ActorBuilder::debug`"
        )));
    }
    let id = RequestId::new(Via::Own, actor.terminal.number());
    let request = Request::new(actor, id, &who)?;
    let grant = granted(actor, id, &who).await?;
    let shield = Scope::open(actor, Some(actor.current_scope()), What::Shield);
    Ok(Held { grant, request, _shield: shield, _busy: actor.busy() })
}

/// Whether somebody in this actor or below it holds the terminal or waits for it.
pub(crate) fn is_busy(actor: &Arc<Actor>) -> bool {
    actor.terminal.is_busy()
}

/// Ends once nobody does. Cancel safe.
#[cfg(feature = "test-support")]
pub(crate) async fn idle(actor: &Arc<Actor>) {
    actor.terminal.idle().await;
}
