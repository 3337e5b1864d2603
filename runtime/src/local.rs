//! Calls to the actor that makes them: the same answers as over a link, without one.

use std::fmt;
use std::sync::Arc;

use hatchery_proto::actor::scopes::ScopeKind;
use hatchery_proto::{ActorId, Outcome, Terminal};

use crate::actor::Actor;
use crate::context::{failure, returned};
use crate::endpoint::{Call, CallEndpoint, ErrorOf, Job, ValueOf, ending};
use crate::error::{Error, Result};
use crate::serving;
use crate::task::Scope;

/// A portal to the running actor itself.
///
/// What it runs is a task of this actor with a scope of its own: a panic is an error, an error is a
/// report with its place, a timeout around it is its deadline, and a value that does not encode fails
/// as it would over a link. Nothing is asked about what is [exposed](crate::ActorBuilder::expose),
/// since the code is at hand anyway.
#[derive(Clone)]
pub struct LocalPortal {
    actor: Arc<Actor>,
}

impl LocalPortal {
    /// The portal of the actor that the running code belongs to.
    ///
    /// # Errors
    /// `Misuse` where no actor runs in this process, or not any more.
    pub fn new() -> Result<Self> {
        let actor = Actor::running().ok_or_else(|| {
            Error::misuse("a portal to the running actor, and none runs; open a root actor first")
        })?;
        Ok(Self { actor })
    }

    /// The actor's identity.
    pub fn id(&self) -> ActorId {
        self.actor.id().clone()
    }

    /// Runs a call in this actor and returns its result.
    ///
    /// # Errors
    /// As [`Portal::run`](crate::Portal::run): what the endpoint failed with, typed where it declares
    /// an error type; that it panicked or was cancelled.
    ///
    /// # Cancel safety
    /// Dropping the future drops the task. In a task that is cancelled the call is a scope like any
    /// other and ends first (P-C2).
    pub async fn run<E: CallEndpoint>(&self, call: Call<E>) -> Result<ValueOf<E>, ErrorOf<E>> {
        let runs = Actor::running().is_some_and(|now| Arc::ptr_eq(&now, &self.actor));
        if !runs {
            return Err(Error::gone(self.actor.id()).into());
        }
        let terminal = {
            let scope = Scope::open(&self.actor, Some(self.actor.current_scope()), ScopeKind::Body);
            let job: Job = Box::pin(async move { ending::<E>(E::run(call.args).await) });
            serving::run(&scope, job, E::NAME).await
        };
        let outcome = match terminal {
            Terminal::Return(bytes) => {
                return returned::<E>(&bytes);
            }
            Terminal::Failed { report, payload } => Outcome::Failed { report, payload },
            Terminal::Cancelled(by) => Outcome::Cancelled(by),
        };
        Err(failure::<E>(&outcome, self.actor.id()))
    }
}

impl fmt::Debug for LocalPortal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalPortal").field("actor", self.actor.id()).finish()
    }
}
