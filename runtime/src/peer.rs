//! Links with actors that are neither this one's parent nor its children, and what users hold of them.
//!
//! Whom a wait wakes, who is let in and when a link is let go of the core decides; here links are
//! opened and driven, and the core is told what became of them.

mod held;
mod table;

use std::fmt;
use std::sync::{Arc, Mutex};

use event_listener::Event as Signal;
use hatchery_proto::actor::peers::{Gone, Origin, Proof, Stranger};
use hatchery_proto::{
    ActorId, Config, Connection, DialogId, Event, GoodbyeReason, LinkId, LinkKind, LostCause, Role,
};

pub(crate) use held::Held;
pub(crate) use table::Table;

use crate::actor::{Actor, Caller};
use crate::driver::clock;
use crate::driver::link::{Link, lock};
use crate::driver::transport::listener::Arrival;
use crate::driver::transport::origin;
use crate::endpoint;
use crate::serving::Serving;
use crate::wait;

/// What is said of a link that is one too many at its other end (P-R12).
const TOO_MANY: &str = "the other end has as many links of this actor as one may have (P-R12); close \
                        portals, or share one";

/// A link with a peer that has greeted, and was let in.
pub(crate) struct Peer {
    actor: Arc<Actor>,
    link: Arc<Link>,
    number: LinkId,
    id: ActorId,
    is_parent: bool,
    heard: Arc<Heard>,
}

/// What a link has told, from its first event on.
#[derive(Default)]
struct Heard {
    state: Mutex<State>,
    changed: Signal,
}

#[derive(Default)]
struct State {
    greeting: Greeting,
    farewell: Option<GoodbyeReason>,
    /// The peer takes longer to end than it was given.
    late: bool,
    closed: bool,
}

#[derive(Default)]
enum Greeting {
    #[default]
    Awaited,
    Done(Arc<Peer>),
    /// It was one.
    Over,
    /// It is none, and why.
    Refused(String),
}

/// Why a peer is turned away, and what of that it is told.
struct TurnedAway {
    why: String,
    told: GoodbyeReason,
}

impl TurnedAway {
    fn because(why: impl Into<String>) -> Self {
        Self { why: why.into(), told: GoodbyeReason::NotAllowed }
    }
}

/// Why there is no link with a peer.
#[derive(Debug)]
pub(crate) enum NoLink {
    /// It could not be driven.
    Os(std::io::Error),
    /// It ended before the peer had greeted; what the peer broke or said, where it did.
    Ended(String),
    /// Whoever answered is not to be talked with.
    Refused(String),
}

impl Peer {
    /// The link of a child with its parent, as one like any other: it is not this end's to end.
    fn inherited(actor: &Arc<Actor>, link: &Arc<Link>, number: LinkId, id: &ActorId) -> Arc<Self> {
        Arc::new(Self {
            actor: actor.clone(),
            link: link.clone(),
            number,
            id: id.clone(),
            is_parent: true,
            heard: Arc::default(),
        })
    }
}

impl fmt::Display for NoLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Os(error) => write!(f, "the link could not be driven: {error}"),
            Self::Ended(why) => f.write_str(why),
            Self::Refused(why) => write!(f, "whoever answered is not to be talked with: {why}"),
        }
    }
}

impl Actor {
    /// Greets over a connection that was just made, and gives the peer once it has greeted, too, and was
    /// let in. `expected` is whom it has to be.
    ///
    /// Dropping the future closes the connection.
    pub(crate) async fn greet(
        self: &Arc<Self>,
        arrival: Arrival,
        number: LinkId,
        origin: Origin,
        expected: Option<u128>,
    ) -> Result<Arc<Peer>, NoLink> {
        // Whoever dials is even (P-L1).
        let role = if origin == Origin::Dialed { Role::Even } else { Role::Odd };
        let limits = self.settings().limits.clone();
        let config = Config { kind: LinkKind::Peer, role, me: self.id().clone(), limits };
        let mut connection =
            Connection::new(config, clock::now()).speaking(endpoint::codecs()).apart();
        // Which tree somebody is of is only claimed: what can be told apart of a network is a member from
        // a stranger, and a guest is a member (P-L2).
        if matches!(arrival.origin, origin::Origin::Process { .. }) {
            connection = connection.of_tree(self.tree());
        }
        let proof = match arrival.origin {
            origin::Origin::Process { pid, .. } => Proof::Process(pid),
            origin::Origin::Network(_) => Proof::User,
            #[cfg(feature = "tls")]
            origin::Origin::Member(uuid) => Proof::Certificate(uuid),
        };
        let heard = Arc::new(Heard::default());
        let hears =
            Hears { heard: heard.clone(), actor: self.clone(), number, origin, proof, expected };
        let watch = Box::new(move |link: &Arc<Link>, event: &Event| hears.hear(link, event));
        let serving = Serving::new(self.clone(), Caller::Other, watch);
        let opened = Link::open(connection, arrival.carrier, self.as_ref(), serving);
        let (link, mut loops) = opened.map_err(|error| {
            self.peers().gone(number, Gone::Unlinked);
            NoLink::Os(error)
        })?;
        self.spawn(async move { loops.ended().await }).detach();
        let mut unmet = Unmet(Some(link));
        let met = wait::until(&heard.changed, || heard.greeting()).await;
        if met.is_ok() {
            unmet.0 = None;
        }
        met
    }
}

/// Closes a link that nobody waits for any more before it has come up.
struct Unmet(Option<Arc<Link>>);

impl Drop for Unmet {
    fn drop(&mut self) {
        if let Some(link) = self.0.take() {
            link.cut();
        }
    }
}

impl Heard {
    /// What the greeting has come to.
    fn greeting(&self) -> Option<Result<Arc<Peer>, NoLink>> {
        let state = lock(&self.state);
        match &state.greeting {
            Greeting::Done(peer) => Some(Ok(peer.clone())),
            Greeting::Refused(why) => Some(Err(NoLink::Refused(why.clone()))),
            Greeting::Awaited | Greeting::Over if state.closed => {
                Some(Err(NoLink::Ended(match &state.farewell {
                    Some(GoodbyeReason::Protocol(why)) if why == Stranger::TOO_MANY => {
                        TOO_MANY.to_owned()
                    }
                    Some(GoodbyeReason::Protocol(why)) => {
                        format!("the other end refused it: {why}")
                    }
                    Some(GoodbyeReason::NotAllowed) => {
                        "the other end lets nobody in as that".to_owned()
                    }
                    _ => "the other end closed it before it had greeted".to_owned(),
                })))
            }
            Greeting::Awaited | Greeting::Over => None,
        }
    }
}

/// Hears what a link has to tell from its first event on.
struct Hears {
    heard: Arc<Heard>,
    actor: Arc<Actor>,
    number: LinkId,
    origin: Origin,
    proof: Proof,
    expected: Option<u128>,
}

impl Hears {
    fn hear(&self, link: &Arc<Link>, event: &Event) {
        let state = &self.heard.state;
        // Nothing is heard of one that was not let in but its end.
        let is_met = matches!(lock(state).greeting, Greeting::Done(_));
        match event {
            Event::Up => self.meet(link),
            Event::CancelAsked(_) if !is_met => return,
            Event::CancelAsked(DialogId::ACTOR) => {
                let asked = link.look(|connection| connection.asked_by_peer().cloned());
                if let Some(request) = asked {
                    self.actor.cancel(request.by, request.grace);
                }
            }
            Event::Broken(violation) => {
                let mut state = lock(state);
                if matches!(state.greeting, Greeting::Awaited) {
                    state.greeting = Greeting::Refused(violation.to_string());
                }
            }
            Event::Goodbye(reason) => {
                lock(state).farewell = Some(reason.clone());
                self.actor.peers().leaving(self.number);
            }
            Event::Finished(DialogId::ACTOR) => lock(state).late = true,
            Event::Closed => {
                let how = {
                    let mut state = lock(state);
                    state.closed = true;
                    // Each holds the other.
                    if matches!(state.greeting, Greeting::Done(_)) {
                        state.greeting = Greeting::Over;
                    }
                    match state.farewell {
                        Some(_) => Gone::Left,
                        None => Gone::Lost(LostCause::LinkEnded),
                    }
                };
                self.actor.peers().gone(self.number, how);
            }
            _ => return,
        }
        self.heard.changed.notify(usize::MAX);
    }

    /// Lets the peer in, or turns it away before anything else of it is looked at.
    fn meet(&self, link: &Arc<Link>) {
        let Some(id) = link.look(|connection| connection.peer().cloned()) else { return };
        let peer = Arc::new(Peer {
            actor: self.actor.clone(),
            link: link.clone(),
            number: self.number,
            id: id.clone(),
            is_parent: false,
            heard: self.heard.clone(),
        });
        let admitted = match self.expected {
            Some(uuid) if uuid != id.uuid => {
                let why = format!("actor {id} answered, which is another than was asked for");
                Err(TurnedAway::because(why))
            }
            _ => self.actor.peers().came(&peer, self.origin, self.proof),
        };
        match admitted {
            Ok(()) => {
                let mut state = lock(&self.heard.state);
                if !state.closed {
                    state.greeting = Greeting::Done(peer);
                    return;
                }
                drop(state);
                // On several threads its end may be told first.
                self.actor.peers().gone(self.number, Gone::Lost(LostCause::LinkEnded));
            }
            Err(TurnedAway { why, told }) => {
                tracing::warn!(
                    target: "hatchery::transport",
                    peer = %id, why,
                    "turned a peer away"
                );
                lock(&self.heard.state).greeting = Greeting::Refused(why);
                link.with(|connection, now| connection.goodbye(now, told));
                link.cut();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use async_executor::Executor;

    use super::*;
    use crate::actor::Settings;

    fn named(name: &str, uuid: u128) -> ActorId {
        ActorId { name: name.into(), uuid, pid: 0 }
    }

    /// Events are told with no lock held, so on two threads the end of a link may be told before its
    /// beginning is.
    #[test]
    fn p_r7_a_link_whose_end_is_told_first_is_not_linked() {
        let reign = Actor::begin(named("me", 1), 1, Some(Settings::default())).unwrap();
        let actor = reign.actor().clone();
        let executor = Executor::new();
        let end = |role, me| {
            let config = Config { kind: LinkKind::Peer, role, me, limits: Default::default() };
            let serving = Serving::new(actor.clone(), Caller::Other, Box::new(|_, _| {}));
            let handler: Box<dyn crate::driver::link::Handler> = serving;
            (Connection::new(config, clock::now()), handler)
        };
        let ends = [end(Role::Even, named("me", 1)), end(Role::Odd, named("other", 7))];
        let [link, _other] = Link::pair(ends, &executor);
        let heard = Arc::new(Heard::default());
        let hears = Hears {
            heard: heard.clone(),
            actor: actor.clone(),
            number: actor.peers().dials(),
            origin: Origin::Dialed,
            proof: Proof::Process(0),
            expected: None,
        };
        hears.hear(&link, &Event::Closed);
        hears.hear(&link, &Event::Up);
        assert!(actor.peers().portal_to(7).is_none(), "a link that is gone is linked");
        let leaks = matches!(lock(&heard.state).greeting, Greeting::Done(_));
        assert!(!leaks, "each holds the other");
    }
}
