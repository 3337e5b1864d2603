//! Getting to an actor by its address: a connection, a greeting, a portal; or why there is none.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hatchery_proto::actor::peers::Origin;
use hatchery_proto::{ActorId, Address};

use crate::actor::Actor;
use crate::driver::transport::door::{self, NoWay};
use crate::driver::transport::trouble::{TransportError, Trouble};
use crate::error::Error;
use crate::peer::{Held, NoLink, Peer};
use crate::portal::Portal;

/// How long a connection may take to come to be; the greeting has a limit of its own (P-L1).
const CONNECT: Duration = Duration::from_secs(5);

/// Why an actor was not reached.
#[derive(Debug)]
pub(crate) enum NotReached {
    Way(NoWay),
    Link(NoLink),
}

impl Actor {
    /// Connects to an address, where `expected` has to be whoever answers, if it is said.
    ///
    /// Dropping the future leaves nothing.
    pub(crate) async fn reach(
        self: &Arc<Self>,
        address: &Address,
        expected: Option<u128>,
    ) -> Result<Portal, NotReached> {
        let peer = self.dial(address, expected).await?;
        Ok(Portal::to_peer(Held::dialed(peer)))
    }

    /// The same, for whoever holds the link from then on.
    pub(crate) async fn dial(
        self: &Arc<Self>,
        address: &Address,
        expected: Option<u128>,
    ) -> Result<Arc<Peer>, NotReached> {
        let executor = self.executor();
        let arrival = door::knock(address, expected, self.proofs(), &executor, CONNECT).await;
        let arrival = arrival.map_err(NotReached::Way)?;
        let number = self.peers().dials();
        let met = self.greet(arrival, number, Origin::Dialed, expected).await;
        met.map_err(NotReached::Link)
    }
}

impl NotReached {
    /// Whether nobody is there at all.
    pub(crate) fn is_nobody(&self) -> bool {
        matches!(self, Self::Way(NoWay::Transport(error)) if matches!(error.trouble(), Trouble::Nobody(_)))
    }

    /// Whether the address itself is the trouble, whoever is there.
    pub(crate) fn is_hopeless(&self) -> bool {
        use Trouble::{NoHost, TooLong, Unproven, Unsupported};
        let Self::Way(NoWay::Transport(error)) = self else { return false };
        matches!(error.trouble(), TooLong(_) | Unproven | Unsupported(_) | NoHost(_))
    }

    /// As the error of what was attempted by whom.
    pub(crate) fn of(self, what: &str, by: &ActorId) -> Error {
        match self {
            Self::Way(NoWay::Transport(error)) => failed(what, by, error),
            other => {
                Error::os(format!("{what} from actor {by}"), io::Error::other(other.to_string()))
            }
        }
    }
}

/// What the system's refusal is to users.
pub(crate) fn failed(what: &str, by: &ActorId, error: TransportError) -> Error {
    Error::os(format!("{what} from actor {by}"), io::Error::other(error))
}

impl fmt::Display for NotReached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Way(error) => error.fmt(f),
            Self::Link(why) => why.fmt(f),
        }
    }
}
