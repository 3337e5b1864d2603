//! Pools: warm actors that take calls as they become free.
//!
//! Each worker lives in a nursery of its own, inside a task of the pool's, so that its death is the
//! end of a job and not of the pool.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use async_channel::{Receiver, Sender};
use async_executor::Task;
use event_listener::{Event as Signal, listener};
use futures_core::Stream;
use hatchery_proto::Cause;
use hatchery_proto::actor::scopes::ScopeId;

use crate::actor::Actor;
use crate::context::by_us;
use crate::driver::link::lock;
use crate::endpoint::{Call, CallEndpoint, ErrorOf, ValueOf};
use crate::error::{Error, ErrorKind, Result};
use crate::fleet::Fleet;
use crate::inspect::What;
use crate::nursery::{Nursery, open_nursery};
use crate::portal::Portal;
use crate::task::{self, Ended, Scope};
use crate::trace::Trace;
use crate::wait;

/// Workers that die this often in a row without having had a job will not live any better.
const IDLE_DEATHS: usize = 3;

/// Warm actors that take calls as they become free. Cheap to clone; owns nothing.
#[derive(Clone)]
pub struct ActorPool {
    inner: Arc<Inner>,
}

struct Inner {
    size: usize,
    desk: Mutex<Desk>,
    ended: Signal,
    replaced: AtomicUsize,
}

/// Who is free, and who waits: first come, first served.
#[derive(Default)]
struct Desk {
    free: VecDeque<Worker>,
    line: VecDeque<Arc<Place>>,
    closed: bool,
}

impl Desk {
    /// One that is free and has not died meanwhile.
    fn take_free(&mut self) -> Option<Worker> {
        self.free.retain(|worker| worker.portal.serves());
        self.free.pop_front()
    }
}

/// A place in the line: the worker that was given to whoever holds it.
#[derive(Default)]
struct Place {
    worker: Mutex<Option<Worker>>,
    changed: Signal,
}

/// A worker that has nothing to do.
struct Worker {
    portal: Portal,
    /// Jobs that it was given.
    jobs: Arc<AtomicUsize>,
}

/// A worker that is at work: it is free again when this is dropped.
struct Lease<'a> {
    pool: &'a Inner,
    worker: Option<Worker>,
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if let Some(worker) = self.worker.take() {
            self.pool.give(worker);
        }
    }
}

impl Fleet {
    /// Starts all of them at once and runs `body` with a pool of them; cancels them when it has ended
    /// well.
    ///
    /// A worker that dies is replaced by one with the same name. The job that it died of fails with
    /// [`ErrorKind::Died`] and is not tried again: it would take the next worker along.
    ///
    /// # Errors
    /// `body`'s own; that a worker could not be started, or that it dies again and again without
    /// having had a job; `Misuse` where there is no name, or one of them twice.
    ///
    /// # Cancel safety
    /// As [`open_nursery`].
    pub async fn open_pool<F, Fut, T, E>(self, body: F) -> Result<T, E>
    where
        F: FnOnce(ActorPool) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: From<Error> + fmt::Display + 'static,
    {
        let names = self.names().map_err(E::from)?;
        let inner = Arc::new(Inner {
            size: names.len(),
            desk: Mutex::default(),
            ended: Signal::new(),
            replaced: AtomicUsize::new(0),
        });
        open_nursery(async |nursery: Nursery| {
            for name in names {
                let (fleet, inner) = (self.clone(), inner.clone());
                nursery.spawn(async move { inner.keep(&fleet, &name).await });
            }
            let value = body(ActorPool { inner: inner.clone() }).await?;
            inner.close();
            Ok(value)
        })
        .await
    }
}

impl Inner {
    /// Sees to it that there is a worker of this name until the pool ends.
    async fn keep(&self, fleet: &Fleet, name: &str) -> Result<()> {
        let mut idle_deaths = 0;
        loop {
            let (jobs, mut up) = (Arc::new(AtomicUsize::new(0)), false);
            let lived = open_nursery(async |nursery| {
                let portal = fleet.start(&nursery, name).await?;
                up = true;
                let worker = Worker { portal: portal.clone(), jobs: jobs.clone() };
                self.give(worker);
                self.until_closed().await;
                portal.cancel().await
            });
            let Err(error) = lived.await else { return Ok(()) };
            let had_jobs = jobs.load(Ordering::Acquire) > 0;
            idle_deaths = if had_jobs { 0 } else { idle_deaths + 1 };
            let is_death = matches!(error.kind(), ErrorKind::Died(_));
            if !up || !is_death || idle_deaths >= IDLE_DEATHS {
                return Err(error);
            }
            self.replaced.fetch_add(1, Ordering::AcqRel);
            tracing::warn!(
                target: "hatchery::runtime",
                name, %error,
                "a worker has died and is replaced"
            );
        }
    }

    async fn until_closed(&self) {
        wait::until(&self.ended, || lock(&self.desk).closed.then_some(())).await;
    }

    /// Those that wait for a worker wait in vain.
    fn close(&self) {
        let mut desk = lock(&self.desk);
        desk.closed = true;
        desk.line.drain(..).for_each(|place| _ = place.changed.notify(usize::MAX));
        drop(desk);
        self.ended.notify(usize::MAX);
    }

    /// Gives a worker to whoever has waited longest. One that has died is gone.
    fn give(&self, worker: Worker) {
        if !worker.portal.serves() {
            return;
        }
        let mut desk = lock(&self.desk);
        match desk.line.pop_front() {
            Some(place) => {
                *lock(&place.worker) = Some(worker);
                place.changed.notify(usize::MAX);
            }
            None => desk.free.push_back(worker),
        }
    }

    async fn lease(&self) -> Result<Lease<'_>> {
        let waits = {
            let mut desk = lock(&self.desk);
            let at_once = if desk.line.is_empty() { desk.take_free() } else { None };
            match at_once {
                Some(worker) => return Ok(self.lend(worker)),
                None if desk.closed => return Err(closed()),
                None => {
                    let place = Arc::new(Place::default());
                    desk.line.push_back(place.clone());
                    InLine { pool: self, place }
                }
            }
        };
        loop {
            listener!(waits.place.changed => changed);
            let given = lock(&waits.place.worker).take();
            match given {
                Some(worker) if worker.portal.serves() => return Ok(self.lend(worker)),
                // It has died since it was given: whoever was the first in line still is.
                Some(_) => {
                    let mut desk = lock(&self.desk);
                    match desk.take_free() {
                        Some(worker) => return Ok(self.lend(worker)),
                        None => desk.line.push_front(waits.place.clone()),
                    }
                }
                None => {}
            }
            if lock(&self.desk).closed {
                return Err(closed());
            }
            changed.await;
        }
    }

    fn lend(&self, worker: Worker) -> Lease<'_> {
        worker.jobs.fetch_add(1, Ordering::AcqRel);
        Lease { pool: self, worker: Some(worker) }
    }
}

fn closed() -> Error {
    Error::misuse("giving a job to a pool whose block has ended")
}

/// Somebody in the line. Whoever leaves it hands on what was given meanwhile.
struct InLine<'a> {
    pool: &'a Inner,
    place: Arc<Place>,
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        lock(&self.pool.desk).line.retain(|place| !Arc::ptr_eq(place, &self.place));
        let given = lock(&self.place.worker).take();
        if let Some(worker) = given {
            self.pool.give(worker);
        }
    }
}

impl ActorPool {
    /// How many workers there are.
    pub fn size(&self) -> usize {
        self.inner.size
    }

    /// How many workers have died and were replaced.
    pub fn replaced(&self) -> usize {
        self.inner.replaced.load(Ordering::Acquire)
    }

    /// Runs a call in the next worker that is free; waits for one.
    ///
    /// # Errors
    /// As [`Portal::run`]; `Misuse` where the pool's block has ended.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the far task; its worker is free again at once.
    pub async fn run<C: CallEndpoint>(&self, call: Call<C>) -> Result<ValueOf<C>, ErrorOf<C>> {
        let lease = self.inner.lease().await?;
        let Some(worker) = &lease.worker else {
            return Err(Error::misuse("a worker was lent twice").into());
        };
        worker.portal.run(call).await
    }

    /// Runs calls, as many at a time as there are workers, and gives what they come to as they end,
    /// each with its place.
    ///
    /// A call is taken from `calls` only when a worker may be free for it. Dropping the stream cancels
    /// what is under way.
    pub fn as_completed<C, I>(&self, calls: I) -> Jobs<C, I::IntoIter>
    where
        C: CallEndpoint,
        I: IntoIterator<Item = Call<C>>,
    {
        self.jobs(calls.into_iter(), false)
    }

    /// The same in the order of the calls. What ends early is kept, and no call is begun that is more
    /// than twice as many places ahead as there are workers.
    pub fn in_order<C, I>(&self, calls: I) -> Jobs<C, I::IntoIter>
    where
        C: CallEndpoint,
        I: IntoIterator<Item = Call<C>>,
    {
        self.jobs(calls.into_iter(), true)
    }

    fn jobs<C: CallEndpoint, I: Iterator<Item = Call<C>>>(
        &self,
        calls: I,
        ordered: bool,
    ) -> Jobs<C, I> {
        let (sender, receiver) = async_channel::unbounded();
        let at = Actor::running().map(|actor| (actor.current_scope(), actor));
        Jobs {
            pool: self.clone(),
            at,
            trace: Trace::carried(),
            calls,
            ordered,
            sender,
            ended: Box::pin(receiver),
            running: BTreeMap::new(),
            kept: BTreeMap::new(),
            begun: 0,
            given: 0,
        }
    }
}

impl fmt::Debug for ActorPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActorPool").field("size", &self.inner.size).finish_non_exhaustive()
    }
}

/// What a call came to.
type Done<C> = Result<ValueOf<C>, ErrorOf<C>>;

/// What a call came to, with its place among the calls.
type Placed<C> = (usize, Done<C>);

/// Calls that run in a pool, as a stream of what they come to.
#[must_use = "calls are begun when the stream is polled"]
pub struct Jobs<C: CallEndpoint, I> {
    pool: ActorPool,
    /// The scope they belong to, whoever polls.
    at: Option<(ScopeId, Arc<Actor>)>,
    /// And the trace.
    trace: Option<Trace>,
    calls: I,
    ordered: bool,
    sender: Sender<Placed<C>>,
    ended: Pin<Box<Receiver<Placed<C>>>>,
    running: BTreeMap<usize, Task<()>>,
    kept: BTreeMap<usize, Done<C>>,
    begun: usize,
    given: usize,
}

impl<C, I> Jobs<C, I>
where
    C: CallEndpoint,
    I: Iterator<Item = Call<C>>,
{
    /// Begins what may be begun.
    fn fill(&mut self) {
        let Some((scope, actor)) = self.at.clone() else { return };
        let size = self.pool.size();
        while self.running.len() < size && (!self.ordered || self.begun - self.given < 2 * size) {
            let Some(call) = self.calls.next() else { return };
            let (place, pool, results) = (self.begun, self.pool.clone(), self.sender.clone());
            // Here, where it is known on whose behalf.
            let scope = Scope::open(&actor, Some(scope), What::Job);
            let scope = scope.of_trace(self.trace.clone());
            let job = async move {
                let ended = task::run_in(&scope, Box::pin(async move { pool.run(call).await }));
                let done = match ended.await {
                    Ended::Returned(done) => done,
                    Ended::Dropped => {
                        let by = scope.cancelled().unwrap_or_else(|| by_us(Cause::ScopeEnding));
                        Err(Error::cancelled_by(by).into())
                    }
                };
                drop(scope);
                // Nobody asks any more where the stream is gone.
                let _ = results.send((place, done)).await;
            };
            self.running.insert(place, actor.spawn(job));
            self.begun += 1;
        }
    }

    fn next_kept(&mut self) -> Option<Placed<C>> {
        let place = if self.ordered { self.given } else { *self.kept.keys().next()? };
        let done = self.kept.remove(&place)?;
        self.given += 1;
        Some((place, done))
    }
}

impl<C, I> Stream for Jobs<C, I>
where
    C: CallEndpoint,
    I: Iterator<Item = Call<C>> + Unpin,
{
    type Item = Placed<C>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            self.fill();
            if let Some(placed) = self.next_kept() {
                return Poll::Ready(Some(placed));
            }
            if self.running.is_empty() {
                return Poll::Ready(None);
            }
            let ended = self.ended.as_mut().poll_next(cx);
            let Some((place, done)) = std::task::ready!(ended) else { return Poll::Ready(None) };
            self.running.remove(&place);
            self.kept.insert(place, done);
        }
    }
}

// Nothing in it is pinned in place.
impl<C: CallEndpoint, I: Unpin> Unpin for Jobs<C, I> {}

impl<C: CallEndpoint, I> fmt::Debug for Jobs<C, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jobs")
            .field("endpoint", &C::NAME)
            .field("running", &self.running.len())
            .finish_non_exhaustive()
    }
}

/// [`Fleet::open_pool`] with `count` workers, or one for each core where that is `None`.
///
/// ```
/// # use futures_lite::StreamExt as _;
/// # #[hatchery::endpoint]
/// # async fn square(n: u64) -> u64 { n * n }
/// # async fn example() -> hatchery::Result<()> {
/// let squares = hatchery::open_pool(4, async |pool| {
///     let mut squares = Vec::new();
///     let mut jobs = pool.in_order((0..100).map(square));
///     while let Some((_, value)) = jobs.next().await {
///         squares.push(value?);
///     }
///     Ok::<_, hatchery::Error>(squares)
/// })
/// .await?;
/// assert_eq!(squares[9], 81);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As there.
///
/// # Cancel safety
/// As there.
pub async fn open_pool<F, Fut, T, E>(count: impl Into<Option<usize>>, body: F) -> Result<T, E>
where
    F: FnOnce(ActorPool) -> Fut,
    Fut: Future<Output = Result<T, E>>,
    E: From<Error> + fmt::Display + 'static,
{
    count.into().map_or_else(Fleet::per_core, Fleet::of).open_pool(body).await
}
