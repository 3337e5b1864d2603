//! Many scoped resources as one block: all up before it goes on, all left when it ends.
//!
//! Each resource is a task of one nursery, whose rules decide who ends whom.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex};

use event_listener::Event as Signal;
use futures_lite::FutureExt;

use crate::context::{First, OpenContext};
use crate::driver::link::lock;
use crate::endpoint::{Call, ContextEndpoint};
use crate::error::{Error, Result};
use crate::nursery::{Nursery, open_nursery};
use crate::portal::Portal;
use crate::scope::{CancelScope, cancel_scope};
use crate::wait;

/// The word that a gathered resource owes: [`up`](Self::up).
#[must_use = "a resource that is never up fails the block that gathers it"]
pub struct Held<T> {
    board: Arc<Board<T>>,
    place: usize,
    said: bool,
}

/// What the resources of one block have come to. Each waits for its own silence and for the block's
/// end, and none is woken for another: a thousand of them would wake each other a million times.
pub(crate) struct Board<T> {
    state: Mutex<State<T>>,
    /// One more is up.
    risen: Signal,
    /// The block has ended well.
    ended: Signal,
    /// This one has fallen silent, place by place.
    fallen: Vec<Signal>,
}

struct State<T> {
    values: Vec<Option<T>>,
    missing: usize,
    /// Those that cannot give their word any more.
    silent: BTreeSet<usize>,
    left: bool,
}

impl<T> Held<T> {
    pub(crate) fn place(board: &Arc<Board<T>>, place: usize) -> Self {
        Self { board: board.clone(), place, said: false }
    }

    /// Says that the resource is up, gives its value to the block, and waits until the block has
    /// ended well: what comes after this in the resource is its way out.
    ///
    /// # Cancel safety
    /// The word is given when this is first polled; dropping it later stops the waiting only.
    pub async fn up(mut self, value: T) {
        self.said = true;
        {
            let mut state = lock(&self.board.state);
            if let Some(slot) = state.values.get_mut(self.place) {
                *slot = Some(value);
            }
            state.missing = state.missing.saturating_sub(1);
        }
        self.board.risen.notify(usize::MAX);
        self.board.until(&self.board.ended, |state| state.left.then_some(())).await;
    }
}

impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        if !self.said {
            lock(&self.board.state).silent.insert(self.place);
            if let Some(fallen) = self.board.fallen.get(self.place) {
                fallen.notify(usize::MAX);
            }
        }
    }
}

impl<T> fmt::Debug for Held<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("place", &self.place).finish_non_exhaustive()
    }
}

impl<T> Board<T> {
    /// That of so many resources, none of which is up.
    pub(crate) fn of(missing: usize) -> Arc<Self> {
        let values = (0..missing).map(|_| None).collect();
        let state = State { values, missing, silent: BTreeSet::new(), left: false };
        let fallen = (0..missing).map(|_| Signal::new()).collect();
        Arc::new(Self {
            state: Mutex::new(state),
            risen: Signal::new(),
            ended: Signal::new(),
            fallen,
        })
    }

    async fn until<V>(
        &self,
        changed: &Signal,
        mut ready: impl FnMut(&mut State<T>) -> Option<V>,
    ) -> V {
        wait::until(changed, || ready(&mut lock(&self.state))).await
    }

    /// All values in their order, once all are up.
    async fn all(&self) -> Vec<T> {
        self.until(&self.risen, |state| {
            let all = state.missing == 0;
            all.then(|| state.values.iter_mut().filter_map(Option::take).collect())
        })
        .await
    }

    /// The first value, once it is there; it stays.
    pub(crate) async fn first(&self) -> T
    where
        T: Clone,
    {
        self.until(&self.risen, |state| state.values.first().cloned().flatten()).await
    }

    /// Runs a resource to its end, which must not come before its word. Its own failure comes first:
    /// it is the cause of its silence; and so does a cancel from around. What falls silent without
    /// either is cancelled, so that what is open in it ends in order (P-C2).
    pub(crate) async fn see_through(
        &self,
        place: usize,
        resource: impl Future<Output = Result<()>> + Unpin,
    ) -> Result<()> {
        let ended = cancel_scope(async |scope: CancelScope| {
            let silent = async {
                if let Some(fallen) = self.fallen.get(place) {
                    self.until(fallen, |state| state.silent.contains(&place).then_some(())).await;
                    scope.cancel();
                }
                std::future::pending().await
            };
            resource.or(silent).await
        });
        ended.await?;
        if lock(&self.state).silent.contains(&place) { silent_error() } else { Ok(()) }
    }

    /// The block has ended well, or nobody uses them any more.
    pub(crate) fn leave(&self) {
        lock(&self.state).left = true;
        self.ended.notify(usize::MAX);
    }
}

fn silent_error() -> Result<()> {
    Err(Error::misuse(
        "a gathered resource ended, or dropped its `Held`, before it said that it is up",
    ))
}

/// Opens many scoped resources at once, and runs `body` with their values, in the order given, once
/// all of them are up.
///
/// A resource is an async function of its [`Held`]: it opens, says [`up`](Held::up) with its value,
/// and when that returns the block has ended well and it goes. So all leave at once, each as it would
/// by itself. Where one fails, or `body` does, or a cancel comes, the others are cancelled; the first
/// failure is the cause, the others' own are listed with it ([`Error::also`]).
///
/// ```
/// # async fn example() -> hatchery::Result<()> {
/// let resources = (0..3).map(|number| {
///     async move |held: hatchery::Held<u32>| {
///         held.up(number).await; // opened before, closed after
///         Ok(())
///     }
/// });
/// let sum = hatchery::gather(resources, async |numbers| {
///     Ok::<_, hatchery::Error>(numbers.iter().sum::<u32>())
/// });
/// assert_eq!(sum.await?, 3);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// `body`'s own, a resource's, `Misuse` where there is no resource at all or where one ends before it
/// is up.
///
/// # Cancel safety
/// As [`open_nursery`].
pub async fn gather<T, F, Opens, B, Body, R, E>(
    resources: impl IntoIterator<Item = F>,
    body: B,
) -> Result<R, E>
where
    T: Send + 'static,
    F: FnOnce(Held<T>) -> Opens,
    Opens: Future<Output = Result<()>> + Send + 'static,
    B: FnOnce(Vec<T>) -> Body,
    Body: Future<Output = Result<R, E>>,
    E: From<Error> + fmt::Display + 'static,
{
    let resources: Vec<F> = resources.into_iter().collect();
    let missing = resources.len();
    if missing == 0 {
        let nothing = "gathering no resources at all; give at least one, or skip the block";
        return Err(E::from(Error::misuse(nothing)));
    }
    let board = Board::of(missing);
    open_nursery(async |nursery: Nursery| {
        for (place, resource) in resources.into_iter().enumerate() {
            let opens = Box::pin(resource(Held::place(&board, place)));
            let board = board.clone();
            nursery.spawn(async move { board.see_through(place, opens).await });
        }
        let value = body(board.all().await).await?;
        board.leave();
        Ok(value)
    })
    .await
}

/// [`gather`] for contexts, each on a portal of its own or many on one: opens all of them at once, and
/// runs `body` with the openers' handles and first values. At its end each is joined as by
/// [`Portal::with_context`].
///
/// # Errors
/// As [`gather`]; a far task's failure, or one that could not be opened.
///
/// # Cancel safety
/// As [`open_nursery`].
pub async fn gather_contexts<C, B, Body, R, E>(
    calls: impl IntoIterator<Item = (Portal, Call<C>)>,
    body: B,
) -> Result<R, E>
where
    C: ContextEndpoint,
    B: FnOnce(Vec<(OpenContext<C>, First<C>)>) -> Body,
    Body: Future<Output = Result<R, E>>,
    E: From<Error> + fmt::Display + 'static,
{
    let resources = calls.into_iter().map(|(portal, call)| {
        async move |held: Held<_>| {
            let opened = portal.with_context(call, async |context, first| {
                held.up((context, first)).await;
                Ok::<_, Error>(())
            });
            opened.await
        }
    });
    gather(resources, body).await
}
