//! Resources that many tasks share: opened with the first user of a key, closed with the last.
//!
//! Each resource is a task of the nursery that the block is; who waits for whom is decided here.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex};

use event_listener::Event as Signal;
use futures_lite::FutureExt;
use hatchery_proto::Cause;

use crate::actor::Actor;
use crate::context::by_us;
use crate::driver::clock;
use crate::driver::link::lock;
use crate::error::{self, Error, Result};
use crate::gather::{Board, Held};
use crate::inspect::What;
use crate::nursery::{Nursery, open_nursery};
use crate::task::{self, Ended, Scope};
use crate::wait;

/// Runs `body` with a cache of resources: each is opened once for each key, however many tasks use it
/// at a time, and closed when the last of them is done with it. At the end of the block all of them are
/// closed.
///
/// ```
/// # async fn example() -> hatchery::Result<()> {
/// use hatchery::{Cache, Held, Result, open_cache};
///
/// let length = open_cache(async |cache: Cache<&str, String>| {
///     let open = async |held: Held<String>| {
///         held.up("opened".to_owned()).await; // until nobody uses it any more
///         Ok(()) // closed here
///     };
///     cache.with("key", open, async |shared: String| Ok::<_, hatchery::Error>(shared.len())).await
/// });
/// assert_eq!(length.await?, 6);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// `body`'s own.
///
/// # Cancel safety
/// As [`open_nursery`].
pub async fn open_cache<K, V, F, Fut, T, E>(body: F) -> Result<T, E>
where
    K: Ord + Clone + Send + 'static,
    V: Clone + Send + 'static,
    F: FnOnce(Cache<K, V>) -> Fut,
    Fut: Future<Output = Result<T, E>>,
    E: From<Error> + fmt::Display + 'static,
{
    open_nursery(async |nursery: Nursery| body(Cache { nursery, entries: Arc::default() }).await)
        .await
}

/// The resources of one block, from [`open_cache`]. Cheap to clone, for as many tasks as there are.
pub struct Cache<K, V> {
    nursery: Nursery,
    entries: Arc<Entries<K, V>>,
}

type Entries<K, V> = Mutex<BTreeMap<K, Arc<Entry<V>>>>;

impl<K, V> Clone for Cache<K, V> {
    fn clone(&self) -> Self {
        Self { nursery: self.nursery.clone(), entries: self.entries.clone() }
    }
}

impl<K, V> fmt::Debug for Cache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("entries", &lock(&self.entries).len()).finish_non_exhaustive()
    }
}

/// One resource, from its opening to its end. A key's next one is another.
struct Entry<V> {
    board: Arc<Board<V>>,
    /// Changed under the lock of the entries.
    state: Mutex<State>,
    changed: Signal,
}

#[derive(Default)]
struct State {
    users: usize,
    closing: bool,
    /// What it came to.
    ended: Option<Result<()>>,
}

impl<V> Entry<V> {
    async fn ended(&self) -> Result<()> {
        wait::until(&self.changed, || lock(&self.state).ended.clone()).await
    }
}

impl<K, V> Cache<K, V>
where
    K: Ord + Clone + Send + 'static,
    V: Clone + Send + 'static,
{
    /// Runs `body` with the resource of `key`, which `open` opens where nobody uses it yet.
    ///
    /// `open` is a resource as [`gather`](crate::gather) has it. Whoever is last waits until it has
    /// closed; whoever comes meanwhile waits for that, and opens it anew. It is a task of the cache's
    /// block and not of who happened to be first, whose cancel therefore leaves it to the others.
    ///
    /// # Errors
    /// `body`'s own. What the resource failed with: where it did not open, for all who wait for it;
    /// where it ended while it was in use, for all its users; where it failed to close, for the last of
    /// them, also where that one was cancelled. `Misuse` where the cache's block has ended.
    ///
    /// # Cancel safety
    /// In a task that is cancelled, `body` is dropped, and the last user waits for the resource's end
    /// within this scope's share of the grace (P-C2). Dropping the future from outside leaves the
    /// resource without waiting.
    pub async fn with<O, Opens, B, Body, R, E>(&self, key: K, open: O, body: B) -> Result<R, E>
    where
        O: FnOnce(Held<V>) -> Opens,
        Opens: Future<Output = Result<()>> + Send + 'static,
        B: FnOnce(V) -> Body,
        Body: Future<Output = Result<R, E>>,
        E: From<Error> + fmt::Display + 'static,
    {
        let actor = Actor::running().ok_or_else(|| {
            E::from(Error::misuse("using a cache whose block has ended, with its actor"))
        })?;
        let user = self.enter(key, open).await;
        let entry = user.entry.clone();
        let up = async { Ok(entry.board.first().await) };
        let not_up = async { Err(entry.ended().await.err().unwrap_or_else(closed)) };
        let value = up.or(not_up).await?;
        let scope = Scope::open(&actor, Some(actor.current_scope()), What::Cached);
        scope.set_holding(true);
        let ended = task::run_in(&scope, Box::pin(body(value))).await;
        // Asked now: what follows has what is left of it.
        let until = scope.cancelled().map(|_| clock::now() + scope.share());
        let closed = if user.leave() {
            let late = async {
                clock::due(until).await;
                Ok(())
            };
            entry.ended().or(late).await
        } else {
            // One that has ended already has failed all of them.
            lock(&entry.state).ended.clone().unwrap_or(Ok(()))
        };
        match (ended, closed) {
            (Ended::Returned(Err(error)), Ok(())) => Err(error),
            (Ended::Returned(Err(error)), Err(closing)) => {
                let echo = error::of_block(&error).cancelled().is_some();
                if echo {
                    Err(E::from(closing))
                } else {
                    Err(error::in_company(error, vec![closing]))
                }
            }
            (_, Err(closing)) => Err(E::from(closing)),
            (Ended::Returned(Ok(value)), Ok(())) if scope.cancelled().is_none() => Ok(value),
            (Ended::Returned(Ok(_)) | Ended::Dropped, Ok(())) => {
                let by = scope.cancelled().unwrap_or_else(|| by_us(Cause::ScopeEnding));
                Err(E::from(Error::cancelled_by(by)))
            }
        }
    }

    /// Becomes a user of the key's resource, or opens one.
    async fn enter<O, Opens>(&self, key: K, open: O) -> User<K, V>
    where
        O: FnOnce(Held<V>) -> Opens,
        Opens: Future<Output = Result<()>> + Send + 'static,
    {
        loop {
            let closing = {
                let mut entries = lock(&self.entries);
                match entries.get(&key) {
                    None => {
                        let entry = Arc::new(Entry {
                            board: Board::of(1),
                            state: Mutex::new(State { users: 1, ..State::default() }),
                            changed: Signal::new(),
                        });
                        entries.insert(key.clone(), entry.clone());
                        drop(entries);
                        self.open(&key, &entry, open);
                        return User { cache: self.clone(), entry, left: false };
                    }
                    Some(entry) => {
                        let mut state = lock(&entry.state);
                        if !state.closing && state.ended.is_none() {
                            state.users += 1;
                            let entry = entry.clone();
                            return User { cache: self.clone(), entry, left: false };
                        }
                        entry.clone()
                    }
                }
            };
            let _ = closing.ended().await;
        }
    }

    /// Begins the resource's life, which is over however it ends.
    fn open<O, Opens>(&self, key: &K, entry: &Arc<Entry<V>>, open: O)
    where
        O: FnOnce(Held<V>) -> Opens,
        Opens: Future<Output = Result<()>> + Send + 'static,
    {
        let (entries, key, life) = (self.entries.clone(), key.clone(), entry.clone());
        let opens = Box::pin(open(Held::place(&entry.board, 0)));
        let life = Life { entries, key, entry: life, ended: None };
        let spawned = self.nursery.try_spawn(async move {
            let board = life.entry.board.clone();
            let ended = board.see_through(0, opens).await;
            life.end(ended);
        });
        if let Err(error) = spawned {
            lock(&entry.state).ended = Some(Err(error));
        }
    }
}

/// The resource's task. Dropped before its end, it was cancelled.
struct Life<K: Ord, V> {
    entries: Arc<Entries<K, V>>,
    key: K,
    entry: Arc<Entry<V>>,
    ended: Option<Result<()>>,
}

impl<K: Ord, V> Life<K, V> {
    fn end(mut self, ended: Result<()>) {
        self.ended = Some(ended);
    }
}

impl<K: Ord, V> Drop for Life<K, V> {
    fn drop(&mut self) {
        let mut entries = lock(&self.entries);
        entries.remove(&self.key);
        let cancelled = || Err(Error::cancelled_by(by_us(Cause::ScopeEnding)));
        lock(&self.entry.state).ended = Some(self.ended.take().unwrap_or_else(cancelled));
        drop(entries);
        self.entry.changed.notify(usize::MAX);
    }
}

/// One who uses a resource, until it leaves.
struct User<K, V> {
    cache: Cache<K, V>,
    entry: Arc<Entry<V>>,
    left: bool,
}

impl<K, V> User<K, V> {
    /// Says whether it was the last.
    fn leave(mut self) -> bool {
        self.count_out()
    }

    fn count_out(&mut self) -> bool {
        if std::mem::replace(&mut self.left, true) {
            return false;
        }
        let last = {
            let _entries = lock(&self.cache.entries);
            let mut state = lock(&self.entry.state);
            state.users = state.users.saturating_sub(1);
            state.closing |= state.users == 0;
            state.users == 0
        };
        if last {
            self.entry.board.leave();
        }
        last
    }
}

impl<K, V> Drop for User<K, V> {
    fn drop(&mut self) {
        self.count_out();
    }
}

fn closed() -> Error {
    Error::misuse("a shared resource ended before it was up")
}
