//! One child as its parent keeps it: its process, its link, and the ladder that ends it.
//!
//! The supervisor is a task of its own that outlives whoever waits for it: facts go to the core's
//! ladder, and what the ladder says is done.

mod asking;
mod looks;
mod task;
mod unborn;
mod waiting;

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use event_listener::Event as Signal;
use futures_lite::FutureExt;
use hatchery_proto::nursery::ladder::{Ladder, Policy};
use hatchery_proto::{
    ActorId, Cancelled, Cause, DialogId, Event, ExitReport, ExitStatus, Instant, LinkId, LostCause,
    Misuse, Outcome, Rung, Violation,
};

pub(crate) use asking::Asking;
pub(crate) use looks::{Brood, ChildLook};
pub(crate) use task::supervise;
pub(crate) use waiting::NAME as WAITING;

use crate::actor::Actor;
use crate::context::by_us;
use crate::driver::clock;
use crate::driver::link::{Link, lock};
use crate::error::{Error, Result};
use crate::trace::Trace;
use crate::wait;
use asking::{Ask, Wish};

/// What a child is told that it is (P-L2).
pub(crate) struct Birth {
    /// The endpoint that is its whole life; a daemon has none.
    pub(crate) main: Option<&'static str>,
    /// It is in debug mode, and may have the terminal.
    pub(crate) debug: bool,
    /// That of whoever started it, for its main task.
    pub(crate) trace: Option<Trace>,
    /// Not for any log: a secret may be in it.
    pub(crate) spec: Vec<u8>,
}

/// A child, as its parent's handles share it.
pub(crate) struct Child {
    actor: Arc<Actor>,
    /// What it is called where the terminal goes.
    number: LinkId,
    /// Nothing while it waits to be told (P-L7).
    birth: OnceLock<Arc<Birth>>,
    state: Mutex<State>,
    changed: Signal,
}

struct State {
    ladder: Ladder,
    /// How long it may take to be up.
    connect: Duration,
    id: ActorId,
    link: Option<Arc<Link>>,
    /// The greeting is done.
    greeted: bool,
    /// It was told what it is, or is about to be.
    told: bool,
    /// It was not started for what it is, and is started again where it dies of not being it yet.
    waited: bool,
    /// Its process is a launcher's, and its link apart (P-L8).
    launched: bool,
    up: bool,
    outcome: Option<Outcome>,
    end: Option<Arc<ChildEnd>>,
    /// Who asked it to end first, and why.
    asked: Option<Cancelled>,
    /// It waits to be asked, or is being asked.
    wish: Option<Wish>,
    /// It is to be asked once nobody has the terminal, and has that long then.
    deferred: Option<Duration>,
    asking: Option<Ask>,
    /// Somebody asked for force: that it came to that is no failure then.
    kill_asked: bool,
    /// How it broke the protocol.
    broken: Option<Violation>,
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
    pub(crate) fn new(
        actor: &Arc<Actor>,
        name: &str,
        birth: Option<Arc<Birth>>,
        connect: Duration,
    ) -> Arc<Self> {
        let policy = Policy { connect, ..Policy::default() };
        let id = ActorId { name: name.to_owned(), uuid: 0, pid: 0 };
        let child = Arc::new(Self {
            actor: actor.clone(),
            number: actor.terminal.number_child(),
            birth: birth.map_or_else(OnceLock::new, OnceLock::from),
            state: Mutex::new(State {
                ladder: Ladder::new(clock::now(), policy),
                connect,
                id,
                link: None,
                greeted: false,
                told: false,
                waited: false,
                launched: false,
                up: false,
                outcome: None,
                end: None,
                asked: None,
                wish: None,
                deferred: None,
                asking: None,
                kill_asked: false,
                broken: None,
            }),
            changed: Signal::new(),
        });
        actor.brood().enter(&child);
        child
    }

    /// The actor that started it.
    pub(crate) fn actor(&self) -> &Arc<Actor> {
        &self.actor
    }

    pub(crate) fn id(&self) -> ActorId {
        lock(&self.state).id.clone()
    }

    /// The endpoint that is its whole life.
    fn main(&self) -> Option<&'static str> {
        self.birth.get().and_then(|birth| birth.main)
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

    /// Why a dialog could not be opened. Where the link has ended, the process may be about to: its
    /// end is waited for as long as for the dialogs that were open (P-L4).
    pub(crate) async fn start_refused(&self, task: &str, misuse: &Misuse) -> Error {
        if matches!(misuse, Misuse::Closing | Misuse::LinkGone) {
            let until = clock::now() + self.actor.settings().limits.hold_back;
            async { drop(self.ended().await) }.or(clock::due(Some(until))).await;
        }
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

    /// Whether it was started in debug mode.
    pub(crate) fn is_debugged(&self) -> bool {
        self.birth.get().is_some_and(|birth| birth.debug)
    }

    /// Whether `result::<E>()` makes sense for this child.
    pub(crate) fn check_main(&self, endpoint: &str) -> Result<()> {
        match self.main() {
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
        let value = {
            let (mut state, now) = (lock(&self.state), clock::now());
            let value = tell(&mut state, now);
            state.settle_asking(now);
            value
        };
        self.changed.notify(usize::MAX);
        value
    }

    /// Asks the child to end within `budget`, by force where it must be (P-T1).
    pub(crate) fn cancel(&self, by: Cancelled, budget: Duration) {
        self.fact(|state, now| {
            state.asked.get_or_insert(by);
            state.end_within(&self.actor, now, budget);
        });
    }

    /// Asks the child to end because its portal's holder wants so.
    pub(crate) fn cancel_asked(&self) {
        self.cancel(by_us(Cause::Asked), self.actor.settings().teardown);
    }

    /// Ends the child by force at once, because somebody wants so.
    pub(crate) fn kill(&self) {
        self.fact(|state, _| state.kill_asked = true);
        self.cancel(by_us(Cause::Asked), Duration::ZERO);
    }

    /// Nobody will wait for it any more: no time for asking.
    pub(crate) fn abandon(&self) {
        self.cancel(by_us(Cause::Dropped), Duration::ZERO);
    }

    async fn wait<T>(&self, mut ready: impl FnMut(&State) -> Option<T>) -> T {
        wait::until(&self.changed, || ready(&lock(&self.state))).await
    }

    /// Waits until the child is up, or says why it never will be.
    pub(crate) async fn up(&self) -> Result<()> {
        self.wait(|state| match &state.end {
            Some(end) => Some(match &end.spawn_error {
                Some(error) => Err(error.clone()),
                None if state.up => Ok(()),
                None => Err(self.gone(end)),
            }),
            // On several threads its first words may be heard before its link is put down here.
            None => (state.up && state.link.is_some()).then_some(Ok(())),
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
    /// An end that was asked for and came without force, or by the force that was asked for, is fine.
    /// A start that failed was told to
    /// whoever started it.
    pub(crate) fn failure(&self, end: &ChildEnd) -> Option<Error> {
        if end.spawn_error.is_some() {
            return None;
        }
        let (asked, force_wanted) = {
            let state = lock(&self.state);
            // Where nothing ran yet there was nobody to ask, though it has come further since.
            (state.asked.is_some(), state.kill_asked || state.ladder.was_taken_back())
        };
        let forced = matches!(end.exit.rung, Rung::Terminated | Rung::Killed | Rung::Unkillable);
        let task = self.main().unwrap_or("the actor");
        match &end.outcome {
            Outcome::Failed { .. } | Outcome::Refused(..) => {
                Some(Error::from_outcome(&end.outcome, &end.exit.actor, task))
            }
            _ if forced && force_wanted && end.exit.status.is_some() => None,
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
                    state.greeted = true;
                    if self.birth.get().is_some() {
                        // `Start(0)` leaves right behind `Hello`: from now on the child may be
                        // running something that wants to be asked.
                        state.ladder.handle_start_written(now);
                    } else {
                        state.ladder.handle_greeted(now);
                    }
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
                let outcome = link.tell(|connection| {
                    connection.caller(DialogId::ACTOR).and_then(|caller| caller.outcome().cloned())
                });
                self.fact(|state, now| {
                    let spoken =
                        !matches!(outcome, None | Some(Outcome::Lost(_) | Outcome::Died(_)));
                    if state.outcome.is_none() && spoken {
                        state.outcome = outcome;
                    }
                    if spoken {
                        state.ladder.handle_terminal(now);
                    }
                });
            }
            Event::Goodbye(_) => self.fact(|state, now| state.ladder.handle_goodbye(now)),
            // Torn down, and nothing else is (P-A7).
            Event::Broken(violation) => self.fact(|state, now| {
                state.broken = Some(violation.clone());
                state.ladder.handle_eof(now);
            }),
            _ => {}
        }
    }
}
