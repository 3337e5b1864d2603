//! Publish and subscribe: consumers that come, change their minds, are slow, leave and die, and one
//! source for all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_lite::{FutureExt as _, StreamExt as _, future};
use hatchery::{
    Capacity, Context, Error, ErrorKind, MsgStream, Nursery, OpenContext, Overrun, Portal,
    Published, Publisher, Receives, Result, Sends, Starts, Subscription, open_nursery,
};
use hatchery_tests::sign;
use hatchery_tests::worker::with_worker;

/// Far beyond what anything here takes.
const LONG: Duration = Duration::from_secs(10);

type Topic = String;

/// What a publisher's context looks like from its own side.
type Serves = Context<Starts<()>, Sends<Published<Topic, u64>>, Receives<BTreeSet<Topic>>>;

/// Two publishers of one actor, of one type and without a name.
static NEWS: Publisher<Topic, u64> = Publisher::new();
static OTHER: Publisher<Topic, u64> = Publisher::new();
/// Fed by its consumers' own contexts.
static FED: Publisher<Topic, u64> = Publisher::new();

/// How often the producer of `FED` was begun.
static BEGUN: AtomicU64 = AtomicU64::new(0);

#[hatchery::context]
async fn news(cx: Serves) -> Result<()> {
    NEWS.serve(cx.started(()).await?.open_stream()).await
}

#[hatchery::context]
async fn other(cx: Serves) -> Result<()> {
    OTHER.serve(cx.started(()).await?.open_stream()).await
}

/// Publishes how often it was begun, under every topic that is wanted; fails where that is `fail`.
#[hatchery::context]
async fn fed(cx: Serves) -> Result<()> {
    let produce = || async {
        let number = BEGUN.fetch_add(1, Ordering::SeqCst) + 1;
        loop {
            for topic in FED.topics() {
                if topic == "fail" {
                    return Err(Error::message("the source has failed"));
                }
                if topic == "end" {
                    return Ok(());
                }
                FED.publish(&topic, &number)?;
            }
            async_io::Timer::after(Duration::from_millis(1)).await;
        }
    };
    FED.serve_fed(cx.started(()).await?.open_stream(), produce).await
}

/// Publishes in `NEWS`; says how many got it.
#[hatchery::endpoint]
async fn publish(topic: Topic, value: u64) -> Result<usize> {
    NEWS.publish(&topic, &value)
}

#[hatchery::endpoint]
async fn publish_other(topic: Topic, value: u64) -> Result<usize> {
    OTHER.publish(&topic, &value)
}

#[hatchery::endpoint]
async fn close() {
    NEWS.close();
}

/// Ends once exactly these topics of `NEWS` are wanted, each by so many.
#[hatchery::endpoint]
async fn until_wanted(topics: Vec<(Topic, usize)>) {
    until(&NEWS, &topics).await;
}

#[hatchery::endpoint]
async fn until_other_wanted(topics: Vec<(Topic, usize)>) {
    until(&OTHER, &topics).await;
}

/// Ends once nobody is there for `NEWS`, or for `FED`.
#[hatchery::endpoint]
async fn until_left() {
    sign::until("nobody is there", || NEWS.consumers() + FED.consumers() == 0).await;
}

/// Ends once nothing is wanted of `FED`.
#[hatchery::endpoint]
async fn until_unwanted() {
    until(&FED, &[]).await;
}

#[hatchery::endpoint]
async fn begun() -> u64 {
    BEGUN.load(Ordering::SeqCst)
}

async fn until<K: Ord + Clone, V>(publisher: &Publisher<K, V>, topics: &[(K, usize)]) {
    let wanted = || {
        let each = topics.iter().all(|(topic, count)| publisher.wanting(topic) == *count);
        each && publisher.topics().len() == topics.len()
    };
    sign::until("so many are wanted", wanted).await;
}

/// Topics, and how many want each.
fn by(topics: &[(&str, usize)]) -> Vec<(Topic, usize)> {
    topics.iter().map(|(topic, count)| ((*topic).to_owned(), *count)).collect()
}

fn set(topics: &[&str]) -> BTreeSet<Topic> {
    topics.iter().map(|topic| (*topic).to_owned()).collect()
}

type Consumer = (OpenContext<news>, Subscription<Topic, u64>);

async fn consumer(worker: &Portal, topics: &[&str]) -> Result<Consumer> {
    let (mut cx, ()) = worker.open_context(news()).await?;
    let subscription = Subscription::over(cx.open_stream()?);
    subscription.want(set(topics)).await?;
    Ok((cx, subscription))
}

/// The next value, by a time that nothing here takes.
async fn next(consumer: &mut Subscription<Topic, u64>) -> Result<Option<(Topic, u64)>> {
    hatchery::timeout(LONG, consumer.recv()).await
}

fn value(topic: &str, value: u64) -> Option<(Topic, u64)> {
    Some((topic.to_owned(), value))
}

#[hatchery::test]
async fn pub_03_each_gets_the_values_of_its_topics_and_nobody_others() -> Result<()> {
    with_worker(async |worker| {
        let (_a, mut both) = consumer(worker, &["even", "odd"]).await?;
        let (_b, mut even) = consumer(worker, &["even"]).await?;
        worker.run(until_wanted(by(&[("even", 2), ("odd", 1)]))).await?;
        assert_eq!(worker.run(publish("none".into(), 0)).await?, 0, "dropped, nobody wants it");
        assert_eq!(worker.run(publish("odd".into(), 1)).await?, 1);
        assert_eq!(worker.run(publish("even".into(), 2)).await?, 2);
        assert_eq!(worker.run(publish("odd".into(), 3)).await?, 1);
        assert_eq!(worker.run(publish("even".into(), 4)).await?, 2);
        for n in 1..=4 {
            let topic = if n % 2 == 0 { "even" } else { "odd" };
            assert_eq!(next(&mut both).await?, value(topic, n));
        }
        for n in [2, 4] {
            assert_eq!(next(&mut even).await?, value("even", n));
        }
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn pub_06_a_new_set_of_topics_replaces_the_old_one() -> Result<()> {
    with_worker(async |worker| {
        let (cx, mut one) = consumer(worker, &["a", "b"]).await?;
        worker.run(until_wanted(by(&[("a", 1), ("b", 1)]))).await?;
        one.want(set(&["b", "c"])).await?;
        worker.run(until_wanted(by(&[("b", 1), ("c", 1)]))).await?;
        assert_eq!(worker.run(publish("a".into(), 1)).await?, 0);
        assert_eq!(worker.run(publish("c".into(), 2)).await?, 1);
        assert_eq!(next(&mut one).await?, value("c", 2));
        one.want(set(&[])).await?;
        worker.run(until_wanted(by(&[]))).await?;
        assert_eq!(worker.run(publish("b".into(), 3)).await?, 0);
        one.leave().await?;
        cx.result().await?;
        worker.run(until_left()).await?;
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn pub_05_a_topic_goes_with_the_last_who_wants_it() -> Result<()> {
    with_worker(async |worker| {
        let (a, first) = consumer(worker, &["x", "y"]).await?;
        let (b, second) = consumer(worker, &["y"]).await?;
        worker.run(until_wanted(by(&[("x", 1), ("y", 2)]))).await?;
        first.leave().await?;
        a.result().await?;
        worker.run(until_wanted(by(&[("y", 1)]))).await?;
        // Dropped without a word, and with it the context: it is cancelled, and so it leaves.
        drop((second, b));
        worker.run(until_left()).await?;
        assert_eq!(worker.run(publish("y".into(), 1)).await?, 0);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn pub_08_l_30_two_publishers_without_a_name_have_nothing_in_common() -> Result<()> {
    with_worker(async |worker| {
        let (_a, mut here) = consumer(worker, &["t"]).await?;
        let (mut b, ()) = worker.open_context(other()).await?;
        let mut there = Subscription::over(b.open_stream()?);
        there.want(set(&["t"])).await?;
        worker.run(until_wanted(by(&[("t", 1)]))).await?;
        worker.run(until_other_wanted(by(&[("t", 1)]))).await?;
        assert_eq!(worker.run(publish("t".into(), 1)).await?, 1);
        assert_eq!(worker.run(publish_other("t".into(), 2)).await?, 1);
        assert_eq!(next(&mut here).await?, value("t", 1));
        assert_eq!(next(&mut there).await?, value("t", 2));
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn pub_09_consumers_come_and_go_from_several_tasks_of_one_actor() -> Result<()> {
    with_worker(async |worker| {
        let (_kept, mut kept) = consumer(worker, &["all"]).await?;
        for n in 0..4 {
            let (cx, mut one) = consumer(worker, &["all", "one"]).await?;
            worker.run(until_wanted(by(&[("all", 2), ("one", 1)]))).await?;
            assert_eq!(worker.run(publish("all".into(), n)).await?, 2);
            if n == 2 {
                // One of them leaves before it has read.
                drop(one);
                assert!(cx.result().await.is_ok());
            } else {
                assert_eq!(next(&mut one).await?, value("all", n));
                one.leave().await?;
                cx.result().await?;
            }
            worker.run(until_wanted(by(&[("all", 1)]))).await?;
        }
        for n in 0..4 {
            assert_eq!(next(&mut kept).await?, value("all", n));
        }
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn pub_10_closing_gives_each_what_is_left_and_then_the_end() -> Result<()> {
    with_worker(async |worker| {
        let (a, one) = consumer(worker, &["t"]).await?;
        let (b, mut two) = consumer(worker, &["u"]).await?;
        worker.run(until_wanted(by(&[("t", 1), ("u", 1)]))).await?;
        for n in 0..3 {
            worker.run(publish("t".into(), n)).await?;
        }
        worker.run(close()).await?;
        let had: Vec<_> = one.map(|it| it.unwrap().1).collect().await;
        assert_eq!(had, [0, 1, 2]);
        assert_eq!(next(&mut two).await?, None);
        a.result().await?;
        b.result().await
    })
    .await
}

async fn fed_consumer(
    worker: &Portal,
    topic: &str,
) -> Result<(OpenContext<fed>, Subscription<Topic, u64>)> {
    let (mut cx, ()) = worker.open_context(fed()).await?;
    let subscription = Subscription::over(cx.open_stream()?);
    subscription.want(set(&[topic])).await?;
    Ok((cx, subscription))
}

#[hatchery::test]
async fn pub_04_one_source_feeds_all_and_the_next_takes_over_with_a_new_one() -> Result<()> {
    with_worker(async |worker| {
        let (a, mut first) = fed_consumer(worker, "a").await?;
        assert_eq!(next(&mut first).await?, value("a", 1));
        let (_b, mut second) = fed_consumer(worker, "b").await?;
        let (_c, mut third) = fed_consumer(worker, "c").await?;
        assert_eq!(next(&mut second).await?, value("b", 1), "the same source");
        assert_eq!(next(&mut third).await?, value("c", 1), "the same source");
        assert_eq!(worker.run(begun()).await?, 1);
        // With the one whose context feeds, the source goes; the next begins anew.
        first.leave().await?;
        a.result().await?;
        for (consumer, topic) in [(&mut second, "b"), (&mut third, "c")] {
            let number = loop {
                let (had, number) = next(consumer).await?.unwrap();
                assert_eq!(had, topic);
                if number > 1 {
                    break number;
                }
            };
            assert_eq!(number, 2);
        }
        assert_eq!(worker.run(begun()).await?, 2);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn pub_05_the_feeder_stops_with_the_last_topic_and_starts_with_the_next_first() -> Result<()>
{
    with_worker(async |worker| {
        assert_eq!(worker.run(begun()).await?, 0, "nobody wants anything");
        let (_a, mut one) = fed_consumer(worker, "a").await?;
        assert_eq!(next(&mut one).await?, value("a", 1));
        one.want(set(&[])).await?;
        worker.run(until_unwanted()).await?;
        assert_eq!(worker.run(begun()).await?, 1);
        one.want(set(&["z"])).await?;
        while next(&mut one).await? != value("z", 2) {}
        // And with the consumer whose turn it is.
        one.leave().await?;
        worker.run(until_left()).await?;
        let (_b, mut two) = fed_consumer(worker, "b").await?;
        assert_eq!(next(&mut two).await?, value("b", 3));
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn pub_07_a_source_that_fails_ends_one_consumer_and_the_next_feeds_on() -> Result<()> {
    with_worker(async |worker| {
        let (a, mut first) = fed_consumer(worker, "a").await?;
        assert_eq!(next(&mut first).await?, value("a", 1));
        let (b, mut second) = fed_consumer(worker, "b").await?;
        assert_eq!(next(&mut second).await?, value("b", 1));
        first.want(set(&["fail"])).await?;
        let error = a.result().await.unwrap_err();
        assert_eq!(error.report().message, "the source has failed");
        loop {
            let (topic, number) = next(&mut second).await?.unwrap();
            assert_eq!(topic, "b");
            if number == 2 {
                break;
            }
        }
        // One that ends, ends them all.
        second.want(set(&["end"])).await?;
        while next(&mut second).await?.is_some() {}
        drop(first);
        b.result().await
    })
    .await
}

// The publisher in the root, its consumers in actors of their own: contexts that the root opens.

/// What a consumer's context looks like from its own side.
type Consumes<V> = Context<Starts<()>, Sends<BTreeSet<u8>>, Receives<Published<u8, V>>>;

/// Wants one set of topics after the other, each until it has had a hundred values of each topic.
#[hatchery::context]
async fn consumes(cx: Consumes<u64>, sets: Vec<BTreeSet<u8>>) -> Result<u64> {
    let mut subscription = Subscription::over(cx.started(()).await?.open_stream());
    let (mut last, mut had) = (BTreeMap::new(), 0);
    let mut before = BTreeSet::new();
    for topics in sets {
        subscription.want(topics.clone()).await?;
        let mut counts: BTreeMap<u8, u64> = topics.iter().map(|topic| (*topic, 0)).collect();
        while counts.values().any(|count| *count < 100) {
            let (topic, value) = match subscription.recv().await {
                Ok(Some(published)) => published,
                Ok(None) => return Err(Error::message("it ended")),
                Err(error) if matches!(error.kind(), ErrorKind::Lagged(_)) => continue,
                Err(error) => return Err(error),
            };
            if topics.contains(&topic) {
                *counts.entry(topic).or_default() += 1;
            } else if !before.contains(&topic) {
                return Err(Error::message(format!("nobody asked for {topic}")));
            }
            if last.insert(topic, value).is_some_and(|last| last >= value) {
                return Err(Error::message(format!("{value} of {topic} is out of order")));
            }
            had += 1;
        }
        before = topics;
    }
    Ok(had)
}

/// Takes one value, and no more for as long as it lives.
#[hatchery::context]
async fn stalls(cx: Consumes<Vec<u8>>) -> Result<()> {
    let mut subscription = Subscription::over(cx.started(()).await?.open_stream());
    subscription.want([7]).await?;
    // A value, or how many it has missed.
    let _ = subscription.recv().await;
    future::pending().await
}

/// Reads what it wants; says how much of it came and how much was missed.
#[hatchery::context]
async fn reads(cx: Consumes<Vec<u8>>) -> Result<(Vec<u8>, u64)> {
    let mut subscription = Subscription::over(cx.started(()).await?.open_stream());
    subscription.want([7]).await?;
    let (mut had, mut missed) = (Vec::new(), 0);
    loop {
        match subscription.recv().await {
            Ok(Some((_, value))) => had.push(value[0]),
            Ok(None) => return Ok((had, missed)),
            Err(error) => match error.kind() {
                ErrorKind::Lagged(count) => missed += count,
                _ => return Err(error),
            },
        }
    }
}

type Stream<V> = MsgStream<Published<u8, V>, BTreeSet<u8>>;

#[hatchery::test]
async fn pub_10_str_19_consumers_in_several_actors_change_their_topics_as_they_like() -> Result<()>
{
    let publisher: Arc<Publisher<u8, u64>> = Arc::default();
    open_nursery(async |nursery: Nursery| {
        let feeder = publisher.clone();
        nursery.spawn(async move {
            let produce = || async {
                for value in 0.. {
                    for topic in 0..8 {
                        feeder.publish(&topic, &value)?;
                    }
                    future::yield_now().await;
                }
                Ok(())
            };
            feeder.feed(produce).await
        });
        let mut workers = Vec::new();
        for n in 0..3_u8 {
            let worker = nursery.start_actor(&format!("worker {n}")).await?;
            let sets = [[n, n + 1], [n + 2, n + 3], [n, n + 5]].map(BTreeSet::from).to_vec();
            let (mut cx, ()) = worker.open_context(consumes(sets)).await?;
            let stream: Stream<u64> = cx.open_stream()?;
            let publisher = publisher.clone();
            nursery.spawn(async move { publisher.serve(stream).await });
            workers.push((worker, cx));
        }
        for (worker, cx) in workers {
            assert!(cx.result().await? >= 600);
            worker.cancel().await?;
        }
        assert_eq!((publisher.topics(), publisher.consumers()), (BTreeSet::new(), 0));
        publisher.close();
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn pub_07_a_consumer_that_dies_leaves_its_topics_and_the_others_go_on() -> Result<()> {
    let publisher: Arc<Publisher<u8, Vec<u8>>> = Arc::default();
    with_worker(async |worker| {
        let (mut cx, ()) = worker.open_context(reads()).await?;
        let stream: Stream<Vec<u8>> = cx.open_stream()?;
        let serving = Box::pin(publisher.serve(stream));
        let killed = async {
            open_nursery(async |nursery: Nursery| {
                let mortal = nursery.start_actor("mortal").await?;
                let (mut cx, ()) = mortal.open_context(stalls()).await?;
                let stream: Stream<Vec<u8>> = cx.open_stream()?;
                let mut serving = Box::pin(publisher.serve(stream));
                let dies = async {
                    until(&publisher, &[(7, 2)]).await;
                    assert_eq!(publisher.publish(&7, &vec![1])?, 2);
                    let _ = mortal.kill().await;
                    future::pending().await
                };
                let error = serving.as_mut().or(dies).await.unwrap_err();
                assert!(matches!(error.kind(), ErrorKind::Died(_)), "{error:?}");
                Ok::<_, Error>(())
            })
            .await?;
            assert_eq!(publisher.consumers(), 1);
            assert_eq!(publisher.publish(&7, &vec![2])?, 1);
            publisher.close();
            Ok::<_, Error>(())
        };
        let (served, killed) = future::zip(serving, killed).await;
        killed?;
        served?;
        assert_eq!(cx.result().await?, (vec![1, 2], 0));
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn pub_07_pub_10_a_consumer_that_lags_holds_up_nobody_and_is_told() -> Result<()> {
    let publisher: Publisher<u8, Vec<u8>> = Publisher::new();
    with_worker(async |worker| {
        let (mut slow, ()) = worker.open_context(reads()).await?;
        let (mut stuck, ()) = worker.open_context(stalls()).await?;
        let items = Overrun::DropOldest(Capacity { items: 4, bytes: usize::MAX });
        let mut serving = Box::pin(publisher.serve_with(slow.open_stream()?, items));
        let mut stalling = Box::pin(publisher.serve_with(stuck.open_stream()?, items));
        let publishing = async {
            until(&publisher, &[(7, 2)]).await;
            // Nothing is sent before all is published: of forty four stay, each a window and more.
            for n in 0..40 {
                assert_eq!(publisher.publish(&7, &vec![n; 300 * 1024])?, 2);
            }
            publisher.close();
            Ok::<_, Error>(())
        };
        let all = async {
            let (published, served) = future::zip(publishing, serving.as_mut()).await;
            published?;
            served
        };
        // There is no end to it: two of its four will never be taken.
        let stuck_for_ever = async {
            stalling.as_mut().await?;
            Err(Error::message("the stuck one has ended"))
        };
        all.or(stuck_for_ever).await?;
        assert_eq!(slow.result().await?, (vec![36, 37, 38, 39], 36));
        assert_eq!(publisher.consumers(), 1);
        drop(stalling);
        assert_eq!(publisher.consumers(), 0);
        let _ = stuck.cancel().await;
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn pub_10_a_slow_consumer_gets_the_latest_or_is_ended_or_is_told() -> Result<()> {
    let fail = Overrun::Fail(Capacity { items: 4, bytes: usize::MAX });
    with_worker(async |worker| {
        for (overrun, had, missed) in [
            (Overrun::LatestOnly, vec![99], 0),
            (fail, vec![0, 1, 2, 3], 0),
            (Overrun::Wait, (36..100).collect(), 36),
        ] {
            let publisher: Publisher<u8, Vec<u8>> = Publisher::new();
            let (mut cx, ()) = worker.open_context(reads()).await?;
            let serving = publisher.serve_with(cx.open_stream()?, overrun);
            let publishing = async {
                until(&publisher, &[(7, 1)]).await;
                for n in 0..100 {
                    assert_eq!(publisher.publish(&7, &vec![n])?, 1);
                }
                publisher.close();
                Ok::<_, Error>(())
            };
            let (served, published) = future::zip(serving, publishing).await;
            published?;
            let failed = served.err().map(|error| error.kind().clone());
            assert_eq!(failed, (overrun == fail).then_some(ErrorKind::Overrun));
            assert_eq!(cx.result().await?, (had, missed), "{overrun:?}");
        }
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn pub_10_a_publisher_without_keys_has_one_topic() -> Result<()> {
    let publisher: Publisher<(), u64> = Publisher::new();
    with_worker(async |worker| {
        let (mut cx, ()) = worker.open_context(sums()).await?;
        let serving = publisher.serve(cx.open_stream()?);
        let publishing = async {
            publisher.wanted().await;
            for n in 1..=4 {
                assert_eq!(publisher.publish(&(), &n)?, 1);
            }
            publisher.close();
            Ok::<_, Error>(())
        };
        let (served, published) = future::zip(serving, publishing).await;
        served?;
        published?;
        assert_eq!(cx.result().await?, 10);
        Ok(())
    })
    .await
}

type ConsumesAll = Context<Starts<()>, Sends<BTreeSet<()>>, Receives<Published<(), u64>>>;

/// Adds up what comes under the one topic that there is.
#[hatchery::context]
async fn sums(cx: ConsumesAll) -> Result<u64> {
    let mut subscription = Subscription::over(cx.started(()).await?.open_stream());
    subscription.want([()]).await?;
    let mut sum = 0;
    while let Some(((), value)) = subscription.recv().await? {
        sum += value;
    }
    Ok(sum)
}
