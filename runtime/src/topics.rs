//! Publish and subscribe: values by topic, for consumers that come and go, each over a stream of its
//! own.
//!
//! Nobody waits for a consumer: what it does not take in time is dropped and counted, for it alone.
//! No task of its own: a consumer is served by whoever serves its context, and one of these feeds.

mod subscription;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex};

use event_listener::Event as Signal;
use futures_lite::FutureExt;
use hatchery_proto::{Capacity, Overrun};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::codec::{Postcard, encode};
use crate::driver::link::lock;

use crate::error::{ErrorKind, Result};
use crate::stream::{MsgStream, SendHalf};
use crate::wait;

pub use subscription::Subscription;

/// What a publisher sends to one of its consumers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Published<K, V> {
    /// A value of one of its topics.
    Value(K, V),
    /// So many values of its topics were dropped since it was too slow.
    Lagged(u64),
}

/// The source of values by topic: `K` names a topic, and is `()` where there is but one.
///
/// It is a plain value that serves any number of consumers, from any tasks: a `static`, so that all
/// contexts of an endpoint find the same one, or an `Arc`. Two publishers have nothing in common,
/// whatever they are made of. Each consumer has a context, opened from either side, over whose stream
/// it says what it wants and gets that: a [`Subscription`] at its end, [`serve`](Self::serve) at this
/// one.
///
/// ```
/// use hatchery::prelude::*;
/// use hatchery::{Published, Publisher, Subscription};
/// use std::collections::BTreeSet;
///
/// static PRICES: Publisher<String, u64> = Publisher::new();
///
/// #[hatchery::context]
/// async fn prices(
///     cx: Context<Starts<()>, Sends<Published<String, u64>>, Receives<BTreeSet<String>>>,
/// ) -> hatchery::Result<()> {
///     let stream = cx.started(()).await?.open_stream();
///     let quote = async || {
///         for price in 1.. {
///             PRICES.publish(&"tea".to_owned(), &price)?;
///             futures_lite::future::yield_now().await;
///         }
///         Ok(())
///     };
///     PRICES.serve_fed(stream, quote).await
/// }
///
/// # fn main() -> hatchery::Result<()> {
/// # hatchery::init();
/// # hatchery::run(async {
/// hatchery::open_nursery(async |nursery| {
///     let market = nursery.start_actor("market").await?;
///     let (mut cx, ()) = market.open_context(prices()).await?;
///     let mut tea = Subscription::over(cx.open_stream()?);
///     tea.want(["tea".to_owned()]).await?;
///     assert_eq!(tea.recv().await?, Some(("tea".to_owned(), 1)));
///     drop((tea, cx));
///     market.cancel().await
/// })
/// .await
/// # })
/// # }
/// ```
pub struct Publisher<K, V> {
    state: Mutex<State<K>>,
    /// Topics have come or gone, a feeder has ended, or the publisher is closed.
    changed: Signal,
    values: std::marker::PhantomData<fn(V)>,
}

struct State<K> {
    consumers: BTreeMap<u64, Consumer<K>>,
    /// The next consumer's number.
    next: u64,
    feeding: bool,
    closed: bool,
}

struct Consumer<K> {
    topics: BTreeSet<K>,
    /// Encoded values that were not sent yet, oldest first.
    queue: VecDeque<(K, Arc<[u8]>)>,
    bytes: usize,
    overrun: Overrun,
    /// Dropped, and not told of.
    missed: u64,
    overran: bool,
    /// There is something to send.
    ready: Arc<Signal>,
}

/// What is to be done for one consumer.
enum Next {
    Send(Arc<[u8]>),
    Missed(u64),
    Overran,
    End,
}

impl<K: Ord + Clone> Consumer<K> {
    fn new(overrun: Overrun, ready: Arc<Signal>) -> Self {
        Self {
            topics: BTreeSet::new(),
            queue: VecDeque::new(),
            bytes: 0,
            overrun,
            missed: 0,
            overran: false,
            ready,
        }
    }

    fn push(&mut self, topic: &K, value: Arc<[u8]>) {
        if self.overran {
            return;
        }
        let capacity = match self.overrun {
            Overrun::LatestOnly => {
                // The latest of each topic, of which there are as many as it wants.
                if let Some(place) = self.queue.iter().position(|(known, _)| known == topic) {
                    self.drop_at(place);
                }
                Capacity { items: usize::MAX, bytes: usize::MAX }
            }
            Overrun::Fail(capacity)
            | Overrun::DropOldest(capacity)
            | Overrun::WaitWithin(capacity) => capacity,
            _ => Capacity::default(),
        };
        self.bytes += value.len();
        self.queue.push_back((topic.clone(), value));
        while capacity.is_exceeded(self.queue.len(), self.bytes) {
            if matches!(self.overrun, Overrun::Fail(_)) {
                self.overran = true;
                self.drop_at(self.queue.len() - 1);
            } else {
                self.missed += 1;
                self.drop_at(0);
            }
        }
    }

    /// What waits under a topic that it wants no more is not sent: or whoever asks for ever new ones
    /// and reads nothing would have no end of the latest of each.
    fn want(&mut self, topics: BTreeSet<K>) {
        self.queue.retain(|(topic, _)| topics.contains(topic));
        self.bytes = self.queue.iter().map(|(_, value)| value.len()).sum();
        self.topics = topics;
    }

    fn drop_at(&mut self, place: usize) {
        if let Some((_, value)) = self.queue.remove(place) {
            self.bytes -= value.len();
        }
    }

    fn next(&mut self) -> Option<Next> {
        if self.missed > 0 {
            return Some(Next::Missed(std::mem::take(&mut self.missed)));
        }
        match self.queue.pop_front() {
            Some((_, value)) => {
                self.bytes -= value.len();
                Some(Next::Send(value))
            }
            None => self.overran.then_some(Next::Overran),
        }
    }
}

impl<K, V> Publisher<K, V> {
    /// A publisher without consumers.
    #[must_use]
    pub const fn new() -> Self {
        let state = State { consumers: BTreeMap::new(), next: 0, feeding: false, closed: false };
        Self { state: Mutex::new(state), changed: Signal::new(), values: std::marker::PhantomData }
    }

    async fn until<T>(&self, mut ready: impl FnMut(&mut State<K>) -> Option<T>) -> T {
        wait::until(&self.changed, || ready(&mut lock(&self.state))).await
    }
}

impl<K: Ord + Clone, V> Publisher<K, V> {
    /// The topics that somebody wants now.
    pub fn topics(&self) -> BTreeSet<K> {
        lock(&self.state).topics()
    }

    /// Waits until somebody wants something, and says what.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn wanted(&self) -> BTreeSet<K> {
        self.until(|state| Some(state.topics()).filter(|topics| !topics.is_empty())).await
    }

    /// How many want this topic now.
    pub fn wanting(&self, topic: &K) -> usize {
        let state = lock(&self.state);
        state.consumers.values().filter(|consumer| consumer.topics.contains(topic)).count()
    }

    /// How many consumers are being served.
    pub fn consumers(&self) -> usize {
        lock(&self.state).consumers.len()
    }

    /// Publishes nothing more: each consumer gets what is queued for it, and then the end.
    pub fn close(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        for consumer in state.consumers.values() {
            consumer.ready.notify(usize::MAX);
        }
        drop(state);
        self.changed.notify(usize::MAX);
    }

    /// Runs `producer` while somebody wants something: from the first topic to the last, and anew
    /// with the next first one. Ends with it, and with the publisher.
    ///
    /// One at a time: a second one waits for the first's turn to end, and then begins with its own
    /// `producer`, so that there is one source however many serve.
    ///
    /// # Errors
    /// `producer`'s own.
    ///
    /// # Cancel safety
    /// Dropping the future drops `producer` and gives the turn to the next. With the last topic,
    /// `producer` is dropped at its await.
    pub async fn feed<Fut>(&self, mut producer: impl FnMut() -> Fut) -> Result<()>
    where
        Fut: Future<Output = Result<()>>,
    {
        let begin = |state: &mut State<K>| !std::mem::replace(&mut state.feeding, true);
        self.until(|state| begin(state).then_some(())).await;
        let _turn = Turn(self);
        loop {
            if self.until(|it| (it.closed || it.is_wanted()).then_some(it.closed)).await {
                return Ok(());
            }
            let stopped = async {
                self.until(|it| (!it.is_wanted()).then_some(())).await;
                None
            };
            let fed = async { Some(producer().await) };
            if let Some(ended) = stopped.or(fed).await {
                return ended;
            }
        }
    }
}

impl<K, V> Publisher<K, V>
where
    K: Ord + Clone + Serialize + DeserializeOwned,
    V: Serialize,
{
    /// Gives a value to all who want its topic; says how many these are. Never waits: who is too slow
    /// misses it, or what is older, as it was to be when it was [served](Self::serve_with).
    ///
    /// # Errors
    /// `Codec` where it does not encode; then nobody gets it.
    pub fn publish(&self, topic: &K, value: &V) -> Result<usize> {
        let wants = |one: &Consumer<K>| one.topics.contains(topic);
        if !lock(&self.state).consumers.values().any(wants) {
            return Ok(0);
        }
        let value =
            encode::<Postcard, _>(&Published::Value(topic, value), "a value of", "a publisher")?;
        let value: Arc<[u8]> = value.alone("what a publisher gives")?.into();
        let mut count = 0;
        for consumer in lock(&self.state).consumers.values_mut().filter(|one| wants(one)) {
            consumer.push(topic, value.clone());
            consumer.ready.notify(usize::MAX);
            count += 1;
        }
        Ok(count)
    }

    /// Serves one consumer until it leaves, which it does by the end of its sending half or of its
    /// receiving one, or until the publisher is [closed](Self::close). Of the values that it is too
    /// slow for the oldest are dropped, beyond 64, and it is told how many.
    ///
    /// # Errors
    /// As [`serve_with`](Self::serve_with).
    ///
    /// # Cancel safety
    /// Dropping the future ends the consumer's subscription; the others go on.
    pub async fn serve(&self, stream: MsgStream<Published<K, V>, BTreeSet<K>>) -> Result<()> {
        self.serve_with(stream, Overrun::DropOldest(Capacity::default())).await
    }

    /// [`serve`](Self::serve) with what becomes of values that this consumer is too slow for, beside
    /// those that its link takes in advance: with [`Overrun::LatestOnly`] it gets the latest of each
    /// topic, and [`Overrun::Fail`] ends its subscription. A publisher waits for nobody:
    /// [`Overrun::Wait`] is as for `serve`, and [`Overrun::WaitWithin`] the same with so much kept.
    ///
    /// # Errors
    /// What ended its dialog, where that was not by its leave; `Overrun`; `Codec` where it asks for
    /// something that is no set of topics. It has no topics any more then; the others go on.
    ///
    /// # Cancel safety
    /// As [`serve`](Self::serve).
    pub async fn serve_with(
        &self,
        stream: MsgStream<Published<K, V>, BTreeSet<K>>,
        overrun: Overrun,
    ) -> Result<()> {
        let (sender, mut receiver) = stream.split();
        let (number, ready) = self.join(overrun);
        let _place = Place { publisher: self, number };
        let asked = async {
            while let Some(topics) = receiver.recv().await? {
                self.replace(number, topics);
            }
            Ok(())
        };
        let served = self.send_all(number, &ready, &sender);
        match asked.or(served).await {
            Ok(()) => sender.close().await,
            Err(error) if *error.kind() == ErrorKind::ReceiverGone => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// [`serve`](Self::serve) and, one of all that serve so at a time, [`feed`](Self::feed): with the
    /// consumer whose turn it is goes the producer, and the next one begins anew. A producer that
    /// ends closes the publisher; one that fails ends this consumer's subscription alone.
    ///
    /// # Errors
    /// As both.
    ///
    /// # Cancel safety
    /// As both.
    pub async fn serve_fed<Fut>(
        &self,
        stream: MsgStream<Published<K, V>, BTreeSet<K>>,
        producer: impl FnMut() -> Fut,
    ) -> Result<()>
    where
        Fut: Future<Output = Result<()>>,
    {
        let fed = async {
            self.feed(producer).await?;
            self.close();
            std::future::pending().await
        };
        self.serve(stream).or(fed).await
    }

    fn join(&self, overrun: Overrun) -> (u64, Arc<Signal>) {
        let ready = Arc::new(Signal::new());
        let mut state = lock(&self.state);
        let number = state.next;
        state.next += 1;
        state.consumers.insert(number, Consumer::new(overrun, ready.clone()));
        (number, ready)
    }

    /// From now on this consumer wants these topics, and no others.
    fn replace(&self, number: u64, topics: BTreeSet<K>) {
        if let Some(consumer) = lock(&self.state).consumers.get_mut(&number) {
            consumer.want(topics);
        }
        self.changed.notify(usize::MAX);
    }

    /// Sends what is published to one consumer.
    async fn send_all(
        &self,
        number: u64,
        ready: &Signal,
        sender: &SendHalf<Published<K, V>>,
    ) -> Result<()> {
        loop {
            match wait::until(ready, || lock(&self.state).next_for(number)).await {
                Next::Send(value) => sender.send_encoded(&value).await?,
                Next::Missed(missed) => sender.send(Published::Lagged(missed)).await?,
                Next::Overran => return Err(sender.overran()),
                Next::End => return Ok(()),
            }
        }
    }
}

impl<K: Ord + Clone> State<K> {
    /// Whether something is to be published.
    fn is_wanted(&self) -> bool {
        !self.closed && self.consumers.values().any(|consumer| !consumer.topics.is_empty())
    }

    fn topics(&self) -> BTreeSet<K> {
        self.consumers.values().flat_map(|consumer| consumer.topics.iter().cloned()).collect()
    }

    fn next_for(&mut self, number: u64) -> Option<Next> {
        let next = self.consumers.get_mut(&number)?.next();
        next.or_else(|| self.closed.then_some(Next::End))
    }
}

impl<K, V> Default for Publisher<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V> fmt::Debug for Publisher<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let consumers = lock(&self.state).consumers.len();
        f.debug_struct("Publisher").field("consumers", &consumers).finish_non_exhaustive()
    }
}

/// A consumer, while it is served.
struct Place<'a, K, V> {
    publisher: &'a Publisher<K, V>,
    number: u64,
}

impl<K, V> Drop for Place<'_, K, V> {
    fn drop(&mut self) {
        lock(&self.publisher.state).consumers.remove(&self.number);
        self.publisher.changed.notify(usize::MAX);
    }
}

/// The right to feed.
struct Turn<'a, K, V>(&'a Publisher<K, V>);

impl<K, V> Drop for Turn<'_, K, V> {
    fn drop(&mut self) {
        lock(&self.0.state).feeding = false;
        self.0.changed.notify(usize::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pub_06_a_consumer_that_asks_for_ever_new_topics_holds_the_latest_of_its_last() {
        let mut consumer = Consumer::new(Overrun::LatestOnly, Arc::default());
        for topic in 0..1000_u32 {
            consumer.want([topic, topic + 1].into());
            for value in 0..3_u8 {
                consumer.push(&topic, [value; 8].into());
                consumer.push(&(topic + 1), [value; 8].into());
            }
            assert_eq!((consumer.queue.len(), consumer.bytes), (2, 16));
        }
        assert_eq!(consumer.missed, 0, "the latest is all that it asked for");
    }
}
