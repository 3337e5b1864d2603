//! One-way streams between two actors: what a producer is, how long it lives, and how it ends.

use std::convert::Infallible;
use std::fmt;
use std::fs;
use std::future::{Future, pending};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_lite::{Stream, StreamExt as _, future, stream};
use hatchery::{
    Call, CallError, CancelStatus, Cause, Context, Error, ErrorKind, Never, Nursery, Portal,
    Receives, Result, Sends, Starts, StreamEndpoint, open_nursery, shield, timeout,
};
use hatchery_tests::worker::{Held, held, with_mortal, with_worker};
use serde::{Deserialize, Serialize};

#[path = "sources/kinds.rs"]
mod kinds;

/// Far beyond what anything here takes.
const LONG: Duration = Duration::from_secs(10);

/// Everything that comes, to the end.
async fn all<E: StreamEndpoint>(worker: &Portal, call: Call<E>) -> Result<Vec<E::Item>> {
    let mut source = worker.open_stream_from(call).await.map_err(Into::into)?;
    let mut items = Vec::new();
    while let Some(item) = source.recv().await.map_err(Into::into)? {
        items.push(item);
    }
    // The end stays.
    assert!(matches!(source.recv().await, Ok(None)));
    assert!(source.next().await.is_none());
    assert!(matches!(source.recv().await, Ok(None)));
    Ok(items)
}

// How many producers live in this process, and what they have yielded.

static YIELDED: AtomicU64 = AtomicU64::new(0);

#[hatchery::endpoint]
async fn yielded() -> u64 {
    YIELDED.load(Ordering::Acquire)
}

/// No producer is left, soon.
async fn none_held(worker: &Portal) -> Result<()> {
    let begin = Instant::now();
    while worker.run(held()).await? != 0 {
        assert!(begin.elapsed() < LONG, "a producer lives on");
    }
    Ok(())
}

/// Numbers from `first` on, without end.
#[hatchery::endpoint]
fn endless(first: u64) -> impl Stream<Item = u64> {
    let held = Held::new();
    stream::iter(first..).inspect(move |_| {
        let _ = &held;
        YIELDED.fetch_add(1, Ordering::AcqRel);
    })
}

/// Some numbers, then nothing for ever.
#[hatchery::endpoint]
fn stalls(below: u64) -> impl Stream<Item = u64> {
    let held = Held::new();
    stream::iter(0..below).chain(stream::pending()).inspect(move |_| _ = &held)
}

#[hatchery::test]
async fn str_25_a_consumer_that_leaves_early_cancels_its_producer() -> Result<()> {
    with_worker(async |worker| {
        // With a block around it, the producer is gone when that has ended, which is no error.
        let last = worker
            .with_stream_from(endless(5), async |mut source| {
                assert_eq!(worker.run(held()).await?, 1);
                source.recv().await
            })
            .await?;
        assert_eq!((last, worker.run(held()).await?), (Some(5), 0));

        // Asked to end, likewise; what was not received is dropped, and the end stays.
        let mut source = worker.open_stream_from(endless(0)).await?;
        assert_eq!(source.next().await.transpose()?, Some(0));
        assert_eq!(source.cancel().await, CancelStatus::Done);
        assert_eq!(worker.run(held()).await?, 0);
        assert_eq!((source.recv().await?, source.recv().await?), (None, None));
        assert!(source.next().await.is_none());

        // Dropped, it is cancelled in the background.
        let mut source = worker.open_stream_from(endless(0)).await?;
        assert_eq!(source.recv().await?, Some(0));
        drop(source);
        none_held(worker).await
    })
    .await
}

#[hatchery::test]
async fn str_25_one_that_has_heard_the_end_has_nothing_to_cancel() -> Result<()> {
    with_worker(async |worker| {
        let whole = worker
            .with_stream_from(kinds::plain(3), async |source| source.try_collect().await)
            .await;
        let whole: Vec<u64> = whole?;
        assert_eq!(whole, [0, 1, 2]);
        let mut source = worker.open_stream_from(kinds::plain(0)).await?;
        assert_eq!(source.recv().await?, None);
        assert_eq!(source.cancel().await, CancelStatus::Done);
        Ok(())
    })
    .await
}

/// What a function does that is given a stream instead of being one.
#[hatchery::context]
async fn given_a_stream(
    cx: Context<Starts<()>, Sends<u64>, Receives<Never>>,
    below: u64,
) -> Result<()> {
    let _held = Held::new();
    let stream = cx.started(()).await?.open_stream();
    for n in 0..below {
        stream.send(n).await?;
    }
    Ok(())
}

#[hatchery::test]
async fn str_26_a_context_that_only_sends_is_a_one_way_stream_too() -> Result<()> {
    with_worker(async |worker| {
        let numbers = async |below, wanted: usize| {
            worker
                .with_context(given_a_stream(below), async |mut cx, ()| {
                    cx.cancel_on_exit();
                    let (_, received) = cx.open_stream()?.split();
                    received.take(wanted).try_collect::<u64, Error, Vec<_>>().await
                })
                .await
        };
        assert_eq!(numbers(3, 9).await?, [0, 1, 2]);
        assert_eq!(numbers(u64::MAX, 3).await?, [0, 1, 2]);
        assert_eq!(worker.run(held()).await?, 0);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn str_27_an_endless_producer_ends_with_its_consumers_deadline() -> Result<()> {
    const TIME: Duration = Duration::from_millis(100);
    with_worker(async |worker| {
        let begin = Instant::now();
        let consumed =
            worker.with_stream_from(endless(0), async |mut source| -> Result<Infallible> {
                loop {
                    assert!(source.recv().await?.is_some());
                }
            });
        let ended = timeout(TIME, consumed).await.unwrap_err();
        assert_eq!(ended.cancelled().map(|by| &by.cause), Some(&Cause::Deadline), "{ended:?}");
        assert_eq!(worker.run(held()).await?, 0, "it has waited for the producer");

        // Also one of which nothing comes, and one that is held without a block.
        let silent = worker.with_stream_from(stalls(0), async |mut source| source.recv().await);
        let ended = timeout(TIME, silent).await.unwrap_err();
        assert_eq!(ended.cancelled().map(|by| &by.cause), Some(&Cause::Deadline), "{ended:?}");
        assert_eq!(worker.run(held()).await?, 0);
        let mut source = worker.open_stream_from(stalls(0)).await?;
        assert!(timeout(TIME, source.recv()).await.is_err());
        drop(source);
        none_held(worker).await?;
        assert!(begin.elapsed() < 30 * TIME, "{:?}", begin.elapsed());
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn str_29_several_streams_through_one_portal_do_not_mix() -> Result<()> {
    const COUNT: u64 = 500;
    with_worker(async |worker| {
        let mut sources = Vec::new();
        for first in 0..8 {
            sources.push((first * 1_000_000, worker.open_stream_from(endless(first * 1_000_000))));
        }
        let mut open = Vec::new();
        for (first, opening) in sources {
            open.push((first, opening.await?));
        }
        for n in 0..COUNT {
            for (first, source) in &mut open {
                assert_eq!(source.recv().await?, Some(*first + n));
            }
        }
        assert_eq!(worker.run(held()).await?, 8);
        // One that leaves leaves the others alone.
        let (_, mut gone) = open.swap_remove(3);
        assert_eq!(gone.cancel().await, CancelStatus::Done);
        for (first, source) in &mut open {
            assert_eq!(source.recv().await?, Some(*first + COUNT));
        }
        drop(open);
        none_held(worker).await
    })
    .await
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Dry {
    after: u64,
}

impl fmt::Display for Dry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dry after {}", self.after)
    }
}

impl std::error::Error for Dry {}

/// Fails where it has yielded so many; nothing behind that is sent.
fn until_dry<E>(
    after: u64,
    dry: impl FnOnce() -> E,
) -> impl Stream<Item = std::result::Result<u64, E>> {
    let held = Held::new();
    stream::iter(0..after).map(Ok).chain(stream::once(Err(dry()))).inspect(move |_| _ = &held)
}

#[hatchery::endpoint]
fn runs_dry(after: u64) -> impl Stream<Item = std::result::Result<u64, Dry>> {
    until_dry(after, move || Dry { after }).chain(stream::repeat_with(|| unreachable!()))
}

/// The same with an error that has no type, behind an alias.
type Fallible = stream::Boxed<Result<u64>>;

#[hatchery::endpoint]
fn runs_dry_in_words(after: u64) -> Fallible {
    until_dry(after, move || Error::message(format!("dry after {after}"))).boxed()
}

#[hatchery::endpoint]
fn panics(after: u64) -> impl Stream<Item = u64> {
    stream::iter(0..).inspect(move |n| assert!(*n < after, "dry after {after}"))
}

#[hatchery::test]
async fn str_30_a_producers_error_comes_after_its_items_and_stays() -> Result<()> {
    const AFTER: u64 = 100;
    with_worker(async |worker| {
        let mut source = worker.open_stream_from(runs_dry(AFTER)).await.map_err(Error::from)?;
        for n in 0..AFTER {
            assert_eq!(source.recv().await.map_err(Error::from)?, Some(n));
        }
        for _ in 0..2 {
            let Err(CallError::Endpoint { error, .. }) = source.recv().await else {
                panic!("it is typed")
            };
            assert_eq!(error, Dry { after: AFTER });
        }
        drop(source);

        let mut source = worker.open_stream_from(runs_dry_in_words(AFTER)).await?;
        let items: Vec<_> = (&mut source).collect().await;
        assert_eq!(items.iter().filter_map(|item| item.as_ref().ok()).count() as u64, AFTER);
        let error = items.last().and_then(|last| last.as_ref().err()).expect("an error");
        assert_eq!(
            (error.kind(), error.report().message.as_str()),
            (&ErrorKind::Failed, "dry after 100")
        );
        assert!(source.next().await.is_none(), "an error ends it");
        assert!(source.recv().await.is_err(), "and stays what it ended with");

        let error = all(worker, panics(3)).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.report().message.as_str()),
            (&ErrorKind::Panicked, "dry after 3")
        );
        assert_eq!(worker.run(held()).await?, 0);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn str_30_a_block_gets_the_items_first_and_is_told_where_it_did_not_look() -> Result<()> {
    with_worker(async |worker| {
        let mut got = Vec::new();
        let ended: Result<()> = worker
            .with_stream_from(runs_dry_in_words(5), async |mut source| {
                // The producer has failed long before this looks.
                none_held(worker).await?;
                while let Some(n) = source.recv().await? {
                    got.push(n);
                }
                Ok(())
            })
            .await;
        assert_eq!(ended.unwrap_err().report().message, "dry after 5");
        assert_eq!(got, [0, 1, 2, 3, 4]);

        let ended: Result<()> = worker
            .with_stream_from(runs_dry_in_words(5), async |_source| none_held(worker).await)
            .await;
        assert_eq!(ended.unwrap_err().report().message, "dry after 5");

        // The body's own error stays, and cancels the producer.
        let ended: Result<()> = worker
            .with_stream_from(endless(0), async |_source| Err(Error::message("the body's")))
            .await;
        assert_eq!(ended.unwrap_err().report().message, "the body's");
        assert_eq!(worker.run(held()).await?, 0);
        Ok(())
    })
    .await
}

/// A stream of what `work` sends, which is polled with it; fails as that does.
fn made_by<T, F>(work: impl FnOnce(smol::channel::Sender<T>) -> F) -> impl Stream<Item = Result<T>>
where
    F: Future<Output = Result<()>> + Send,
    T: Send,
{
    let (sender, receiver) = smol::channel::bounded(1);
    let work = stream::once_future(work(sender)).filter_map(|ended| ended.err().map(Err));
    stream::or(work, receiver.map(Ok))
}

/// Writes its mark when it is dropped, where it is then.
struct Marks(PathBuf);

impl Drop for Marks {
    fn drop(&mut self) {
        let _ = fs::write(&self.0, b"");
    }
}

/// Yields from within a nursery that has an actor, and within a clean-up that takes its time.
#[hatchery::endpoint]
fn cleans_up(folder: PathBuf, weight: usize) -> impl Stream<Item = Result<Vec<u8>>> {
    let held = Held::new();
    made_by(async move |out| {
        let _dropped = Marks(folder.join("dropped"));
        let _held = held;
        let inner = open_nursery(async |nursery: Nursery| {
            let below = nursery.start_actor("below").await?;
            below
                .with_stream_from(kinds::plain(u64::MAX), async |mut numbers| {
                    while numbers.recv().await?.is_some() {
                        out.send(vec![7; weight]).await.map_err(Error::new)?;
                    }
                    Ok(())
                })
                .await
        })
        .await;
        shield(async {
            for _ in 0..100 {
                future::yield_now().await;
            }
            fs::write(folder.join("awaited"), b"").map_err(Error::new)
        })
        .await?;
        inner
    })
}

/// A folder of this process alone, which is gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn take(&self) -> Vec<bool> {
        let taken = |name| fs::remove_file(self.0.join(name)).is_ok();
        ["awaited", "dropped"].map(taken).to_vec()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[hatchery::test]
async fn str_31_a_producers_clean_up_is_done_before_its_end_is_told() -> Result<()> {
    let folder = Folder::new("str-31");
    let begin = Instant::now();
    with_worker(async |worker| {
        // Light items: it is on its way. Heavy ones: it waits for the window within its nursery.
        for weight in [1, 50_000] {
            let mut source = worker.open_stream_from(cleans_up(folder.0.clone(), weight)).await?;
            assert_eq!(source.recv().await?.map(|item| item.len()), Some(weight));
            assert_eq!(folder.take(), [false, false]);
            assert_eq!(source.cancel().await, CancelStatus::Done);
            assert_eq!(folder.take(), [true, true], "{weight}");
            assert_eq!(worker.run(held()).await?, 0);

            let ended = worker.with_stream_from(
                cleans_up(folder.0.clone(), weight),
                async |mut source| -> Result<()> {
                    assert!(source.recv().await?.is_some());
                    pending().await
                },
            );
            let ended = timeout(Duration::from_millis(300), ended).await.unwrap_err();
            assert_eq!(ended.cancelled().map(|by| &by.cause), Some(&Cause::Deadline), "{ended:?}");
            assert_eq!(folder.take(), [true, true], "{weight}");
        }
        Ok(())
    })
    .await?;
    // Well within one grace of 4.6 s, of which there would have been four.
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    Ok(())
}

#[hatchery::test]
async fn str_31_a_producer_that_waits_for_room_cleans_up_though_nobody_reads() -> Result<()> {
    let folder = Folder::new("str-31-unread");
    with_mortal(async |worker| {
        let mut source = worker.open_stream_from(cleans_up(folder.0.clone(), 50_000)).await?;
        assert!(source.recv().await?.is_some());
        let begin = Instant::now();
        assert_eq!(worker.cancel_actor().await?, CancelStatus::Done);
        // Without a look at what is open within it, it would be dropped by force after 4.6 s.
        assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
        assert_eq!(folder.take(), [true, true]);
        Ok(())
    })
    .await
}

/// Yields heavy items, and counts them.
#[hatchery::endpoint]
fn heavy(count: u64) -> impl Stream<Item = Vec<u8>> {
    YIELDED.store(0, Ordering::Release);
    stream::iter(0..count).map(|_| {
        YIELDED.fetch_add(1, Ordering::AcqRel);
        vec![7; 50_000]
    })
}

#[hatchery::test]
async fn str_24_a_producer_waits_for_its_consumer() -> Result<()> {
    const COUNT: u64 = 200;
    let window = u64::from(hatchery::Limits::default().window) / 50_000 + 2;
    with_worker(async |worker| {
        let mut source = worker.open_stream_from(heavy(COUNT)).await?;
        for received in 0..COUNT {
            let ahead = worker.run(yielded()).await?.saturating_sub(received);
            assert!(ahead <= window, "{ahead} items ahead of the consumer, at most {window}");
            assert!(source.recv().await?.is_some());
        }
        assert_eq!(source.recv().await?, None);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn str_24_a_source_tells_of_the_death_of_its_actor_and_of_who_cancelled_it() -> Result<()> {
    with_mortal(async |worker| {
        let mut source = worker.open_stream_from(stalls(2)).await?;
        assert_eq!((source.recv().await?, source.recv().await?), (Some(0), Some(1)));
        let (next, _) = future::zip(source.recv(), worker.kill()).await;
        assert!(matches!(next.unwrap_err().kind(), ErrorKind::Died(_)));
        let next = source.recv().await.unwrap_err();
        assert!(matches!(next.kind(), ErrorKind::Died(_)), "{next}");
        Ok(())
    })
    .await?;
    with_mortal(async |worker| {
        let ended = worker
            .with_stream_from(stalls(1), async |mut source| {
                assert_eq!(source.recv().await?, Some(0));
                let (next, _) = future::zip(source.recv(), worker.cancel_actor()).await;
                next
            })
            .await;
        let by = ended.unwrap_err();
        assert_eq!(
            by.cancelled().map(|by| &by.canceller),
            Some(&hatchery::LocalPortal::new()?.id()),
            "{by:?}"
        );
        Ok(())
    })
    .await
}
