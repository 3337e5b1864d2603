//! Fleets: many actors of one kind, told apart by name. A cluster hands out their portals; a pool,
//! next door, hands out their time.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::thread::available_parallelism;

use crate::actor::Actor;
use crate::error::{Error, Result};
use crate::gather::{Held, gather};
use crate::nursery::{ActorBuilder, Nursery, open_nursery};
use crate::portal::Portal;

/// What is done to each actor's builder before it is started.
type Each = Arc<dyn Fn(ActorBuilder) -> ActorBuilder + Send + Sync>;

/// Which actors a [cluster](open_cluster) or a [pool](crate::open_pool) is made of.
///
/// ```
/// # async fn example() -> hatchery::Result<()> {
/// let fleet = hatchery::Fleet::of(2).each(|actor| actor.env("ROLE", "indexer"));
/// fleet
///     .open_cluster(async |cluster| {
///         assert_eq!(cluster.len(), 2);
///         Ok::<_, hatchery::Error>(())
///     })
///     .await
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a fleet is started by `open_cluster` or `open_pool`"]
pub struct Fleet {
    names: Names,
    each: Option<Each>,
}

#[derive(Clone, Debug)]
enum Names {
    /// So many, one a core where it is not said, each named after the parent and its number.
    Numbered(Option<usize>),
    Given(Vec<String>),
}

impl Fleet {
    /// A fleet of `count` actors, named `PARENT.0`, `PARENT.1` and so on.
    pub fn of(count: usize) -> Self {
        Self { names: Names::Numbered(Some(count)), each: None }
    }

    /// A fleet with an actor for each core that this process may use.
    pub fn per_core() -> Self {
        Self { names: Names::Numbered(None), each: None }
    }

    /// A fleet with these names, each of which has to be another.
    pub fn named<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        Self { names: Names::Given(names.into_iter().map(Into::into).collect()), each: None }
    }

    /// Has `change` done to every actor before it is started: what it is exposed, its environment, its
    /// program. Replaces what was said before.
    pub fn each(
        mut self,
        change: impl Fn(ActorBuilder) -> ActorBuilder + Send + Sync + 'static,
    ) -> Self {
        self.each = Some(Arc::new(change));
        self
    }

    /// Starts all of them at once and runs `body` with their portals; cancels them when it has ended
    /// well.
    ///
    /// # Errors
    /// `body`'s own; the first failure of a member, which cancels the others; `Misuse` where there is
    /// no name, or one of them twice.
    ///
    /// # Cancel safety
    /// As [`open_nursery`].
    pub async fn open_cluster<F, Fut, T, E>(self, body: F) -> Result<T, E>
    where
        F: FnOnce(Cluster) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: From<Error> + fmt::Display + 'static,
    {
        let names = self.names().map_err(E::from)?;
        let members = names.clone().into_iter().map(|name| {
            let fleet = self.clone();
            async move |held: Held<Portal>| {
                open_nursery(async |nursery| {
                    let portal = fleet.start(&nursery, &name).await?;
                    held.up(portal.clone()).await;
                    portal.cancel().await
                })
                .await
            }
        });
        gather(members, async |portals| {
            let portals = names.into_iter().zip(portals).collect();
            body(Cluster { portals }).await
        })
        .await
    }

    /// The names in their order.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        let names = match &self.names {
            Names::Given(names) => names.clone(),
            Names::Numbered(count) => {
                let parent = Actor::running();
                let parent = parent.map_or_else(|| "root".into(), |actor| actor.id().name.clone());
                let cores = || available_parallelism().map_or(1, usize::from);
                let count = count.unwrap_or_else(cores);
                (0..count).map(|number| format!("{parent}.{number}")).collect()
            }
        };
        let mut sorted: Vec<_> = names.iter().collect();
        sorted.sort_unstable();
        match sorted.windows(2).find(|pair| pair.first() == pair.last()) {
            _ if names.is_empty() => {
                Err(Error::misuse("opening a fleet without actors; it takes at least one"))
            }
            Some(twice) => Err(Error::misuse(format!(
                "opening a fleet in which two actors are called `{}`; give each a name of its own",
                twice.first().map_or("", |name| name.as_str())
            ))),
            None => Ok(names),
        }
    }

    pub(crate) async fn start(&self, nursery: &Nursery, name: &str) -> Result<Portal> {
        let actor = nursery.actor(name);
        match &self.each {
            Some(each) => each(actor).start().await,
            None => actor.start().await,
        }
    }
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fleet").field("names", &self.names).finish_non_exhaustive()
    }
}

/// The portals of a fleet, by name. Cheap enough to clone; owns nothing.
#[derive(Clone, Debug)]
pub struct Cluster {
    portals: Vec<(String, Portal)>,
}

impl Cluster {
    /// The portal of the actor with this name.
    pub fn get(&self, name: &str) -> Option<&Portal> {
        self.iter().find(|(known, _)| *known == name).map(|(_, portal)| portal)
    }

    /// All of them, in the order in which they were named or numbered.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Portal)> {
        self.portals.iter().map(|(name, portal)| (name.as_str(), portal))
    }

    /// Their portals alone, in the same order.
    pub fn portals(&self) -> impl Iterator<Item = &Portal> {
        self.portals.iter().map(|(_, portal)| portal)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.portals.len()
    }

    /// Never: an empty cluster cannot be opened.
    pub fn is_empty(&self) -> bool {
        self.portals.is_empty()
    }
}

/// [`Fleet::open_cluster`] with `count` actors, or one for each core where that is `None`.
///
/// # Errors
/// As there.
///
/// # Cancel safety
/// As there.
pub async fn open_cluster<F, Fut, T, E>(count: impl Into<Option<usize>>, body: F) -> Result<T, E>
where
    F: FnOnce(Cluster) -> Fut,
    Fut: Future<Output = Result<T, E>>,
    E: From<Error> + fmt::Display + 'static,
{
    count.into().map_or_else(Fleet::per_core, Fleet::of).open_cluster(body).await
}
