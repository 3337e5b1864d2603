//! Contexts and one-way streams of an actor with itself: the same bodies are run with another process
//! and with the own one, and what costs nothing there is looked at.

use std::fmt;
use std::future::{Future, pending};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_lite::{Stream, StreamExt as _, future, stream};
use hatchery::{
    ActorId, Call, CancelStatus, Cause, Context, ContextEndpoint, ContextState, Error, ErrorKind,
    ErrorOf, Limits, LocalPortal, Nursery, OpenContext, Options, Portal, Receives, Refusal, Result,
    Sends, Source, Starts, StreamEndpoint, Trace, open_nursery, timeout, with_trace,
};
use hatchery_tests::procfs;
use hatchery_tests::worker::{Held, held};

/// Far beyond what anything here takes.
const LONG: Duration = Duration::from_secs(10);

/// Where a task is opened.
enum Place {
    Here(LocalPortal),
    There(Portal),
}

type Opened<E, First> = Result<(OpenContext<E>, First), ErrorOf<E>>;

impl Place {
    fn id(&self) -> ActorId {
        match self {
            Self::Here(portal) => portal.id(),
            Self::There(portal) => portal.id(),
        }
    }

    async fn open<E, First>(&self, call: Call<E>) -> Opened<E, First>
    where
        E: ContextEndpoint,
        E::Context: hatchery::ContextArgument<First = First>,
    {
        match self {
            Self::Here(portal) => portal.open_context(call).await,
            Self::There(portal) => portal.open_context(call).await,
        }
    }

    async fn with<E, First, F, Fut, T>(&self, call: Call<E>, body: F) -> Result<T>
    where
        E: ContextEndpoint,
        E::Context: hatchery::ContextArgument<First = First>,
        F: FnOnce(OpenContext<E>, First) -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        match self {
            Self::Here(portal) => portal.with_context(call, body).await,
            Self::There(portal) => portal.with_context(call, body).await,
        }
    }

    async fn source<E: StreamEndpoint>(&self, call: Call<E>) -> Result<Source<E>, ErrorOf<E>> {
        match self {
            Self::Here(portal) => portal.open_stream_from(call).await,
            Self::There(portal) => portal.open_stream_from(call).await,
        }
    }

    async fn with_source<E, F, Fut, T>(&self, call: Call<E>, body: F) -> Result<T>
    where
        E: StreamEndpoint,
        F: FnOnce(Source<E>) -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        match self {
            Self::Here(portal) => portal.with_stream_from(call, body).await,
            Self::There(portal) => portal.with_stream_from(call, body).await,
        }
    }

    async fn held(&self) -> Result<usize> {
        match self {
            Self::Here(portal) => portal.run(held()).await,
            Self::There(portal) => portal.run(held()).await,
        }
    }

    /// What was opened there has ended.
    async fn is_at_rest(&self) -> Result<()> {
        let begin = Instant::now();
        while self.held().await? > 0 {
            assert!(begin.elapsed() < LONG, "{} tasks are left", self.held().await?);
            future::yield_now().await;
        }
        Ok(())
    }
}

/// Runs `body` with another process, then with this one.
async fn at_both(body: impl AsyncFn(&Place) -> Result<()>) -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let worker = nursery.start_actor("worker").await?;
        for place in [Place::There(worker.clone()), Place::Here(LocalPortal::new()?)] {
            body(&place).await?;
            place.is_at_rest().await?;
        }
        worker.cancel().await
    })
    .await
}

type Talk = Context<Starts<u32>, Sends<u64>, Receives<u64>>;

/// Starts with its process, sends each value back, returns how many came.
#[hatchery::context]
async fn echo(cx: Talk) -> Result<u64> {
    let _held = Held::new();
    let mut stream = cx.started(std::process::id()).await?.open_stream();
    let mut count = 0;
    while let Some(value) = stream.recv().await? {
        stream.send(value).await?;
        count += 1;
    }
    Ok(count)
}

/// Waits to be asked to end.
#[hatchery::context]
async fn waits(cx: Talk) -> Result<u64> {
    let _held = Held::new();
    let _stream = cx.started(std::process::id()).await?.open_stream();
    pending().await
}

#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Short(u32);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "short by {}", self.0)
    }
}

impl std::error::Error for Short {}

/// Fails in one way or another once it has been sent a number: before it starts with 0.
#[hatchery::context]
async fn fails(cx: Talk, how: u64) -> Result<u64> {
    let _held = Held::new();
    if how == 0 {
        return Err(Error::message("never up"));
    }
    let mut stream = cx.started(1).await?.open_stream();
    stream.recv().await?;
    match how {
        1 => Err(Error::message("the cause")),
        _ => panic!("the panic"),
    }
}

#[hatchery::test]
async fn ctx_27_a_context_with_the_actor_itself_talks_as_one_with_another_does() -> Result<()> {
    at_both(async |place| {
        let (mut cx, pid) = place.open(echo()).await?;
        assert_eq!((pid, cx.peer()), (place.id().pid, &place.id()));
        assert_eq!(cx.state(), ContextState::Running);
        let mut stream = cx.open_stream()?;
        for n in 0..100 {
            stream.send(n).await?;
            assert_eq!(stream.recv().await?, Some(n));
        }
        assert!(cx.open_stream().is_err(), "one for its life");
        stream.close().await?;
        assert_eq!(stream.recv().await?, None);
        assert_eq!((cx.result().await?, cx.result().await?), (100, 100));
        assert_eq!(cx.state(), ContextState::Returned);
        // The block waits for the task, and many at once do not mix.
        let count = place.with(echo(), async |mut cx, _| {
            let mut stream = cx.open_stream()?;
            let (mut other, _) = place.open(echo()).await?;
            let mut beside = other.open_stream()?;
            for n in 0..10 {
                beside.send(2 * n).await?;
                stream.send(n).await?;
                assert_eq!(stream.recv().await?, Some(n));
                assert_eq!(beside.recv().await?, Some(2 * n));
            }
            beside.close().await?;
            stream.close().await?;
            assert_eq!(other.result().await?, 10);
            cx.result().await
        });
        assert_eq!(count.await?, 10);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn ctx_27_errors_of_either_side_reach_the_other() -> Result<()> {
    at_both(async |place| {
        let error = place.open(fails(0)).await.map(drop).unwrap_err();
        assert!(error.to_string().contains("never up"), "{error}");
        assert_eq!(error.origin(), &place.id());
        for (how, text) in [(1, "the cause"), (2, "the panic")] {
            let block: Result<()> = place
                .with(fails(how), async |mut cx, _| {
                    cx.open_stream()?.send(1).await?;
                    pending().await
                })
                .await;
            let error = block.unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
            assert_eq!(*error.kind() == ErrorKind::Panicked, how == 2, "{error:?}");
        }
        // The body's own, of which the task is told.
        let block: Result<()> = place
            .with(waits(), async |mut cx, _| {
                let _stream = cx.open_stream()?;
                Err(Error::message("of the body"))
            })
            .await;
        assert!(block.unwrap_err().to_string().contains("of the body"));
        assert_eq!(place.held().await?, 0, "the block has waited for the task");
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn ctx_27_a_cancel_a_drop_and_a_timeout_end_the_task() -> Result<()> {
    at_both(async |place| {
        let (cx, _) = place.open(waits()).await?;
        assert_eq!(cx.cancel().await, CancelStatus::Done);
        assert_eq!(cx.state(), ContextState::Cancelled);
        let error = cx.result().await.unwrap_err();
        let by = error.cancelled().expect("a cancel");
        assert_eq!(by.canceller, LocalPortal::new()?.id(), "{by:?}");

        place
            .with(waits(), async |cx, _| {
                cx.cancel_on_exit();
                Ok(())
            })
            .await?;

        drop(place.open(waits()).await?);
        place.is_at_rest().await?;

        let bounded = timeout(Duration::from_millis(20), place.with(waits(), |_, _| pending()));
        let ended: Result<()> = bounded.await;
        let error = ended.unwrap_err();
        assert_eq!(error.cancelled().map(|by| &by.cause), Some(&Cause::Deadline), "{error:?}");
        place.is_at_rest().await
    })
    .await
}

/// Starts with its trace.
#[hatchery::context]
async fn says_its_trace(
    cx: Context<Starts<Option<Vec<u8>>>, Sends<u64>, Receives<u64>>,
) -> Result<()> {
    cx.started(Trace::current().map(|trace| trace.as_bytes().to_vec())).await.map(drop)
}

#[hatchery::test]
async fn p_c8_ctx_27_the_time_and_the_trace_of_a_task_go_along() -> Result<()> {
    at_both(async |place| {
        // The opening is within the bound; the task has what is left of it, and no more.
        let (cx, _) = timeout(Duration::from_millis(100), place.open(waits())).await?;
        let error = cx.result().await.unwrap_err();
        assert_eq!(error.cancelled().map(|by| &by.cause), Some(&Cause::Deadline), "{error:?}");

        let traced =
            with_trace(Trace::new("of the opener")?, async { place.open(says_its_trace()).await });
        let (_cx, trace) = traced.await?;
        assert_eq!(trace.as_deref(), Some(&b"of the opener"[..]));
        Ok(())
    })
    .await
}

/// Yields numbers; fails after them where it is told to.
#[hatchery::endpoint]
fn numbers(below: u64, fails: bool) -> impl Stream<Item = Result<u64, Short>> {
    let held = Held::new();
    let end = stream::iter(fails.then_some(Err(Short(3))));
    stream::iter(0..below).map(Ok).chain(end).map(move |item| {
        let _ = &held;
        item
    })
}

#[hatchery::test]
async fn str_24_an_actor_streams_from_itself_as_from_another() -> Result<()> {
    at_both(async |place| {
        let mut source = place.source(numbers(5000, false)).await?;
        assert_eq!(source.peer(), &place.id());
        for n in 0..5000 {
            assert_eq!(source.recv().await.unwrap(), Some(n));
        }
        assert_eq!(source.recv().await.unwrap(), None);
        drop(source);

        let source = place.source(numbers(3, true)).await?;
        let items: Vec<_> = source.collect().await;
        assert_eq!(items.len(), 4, "the error stands behind the items");
        assert!(items[3].as_ref().unwrap_err().to_string().contains("short by 3"));

        let first = place
            .with_source(numbers(u64::MAX, false), async |mut source| {
                source.recv().await.map_err(Error::from)
            })
            .await?;
        assert_eq!(first, Some(0));
        assert_eq!(place.held().await?, 0, "the block has waited for its producer");
        drop(place.source(numbers(u64::MAX, false)).await?);
        place.is_at_rest().await
    })
    .await
}

/// How many values have been taken of this one.
static SENT: AtomicU64 = AtomicU64::new(0);

#[hatchery::context]
async fn floods(cx: Context<Starts<()>, Sends<Vec<u8>>, Receives<()>>) -> Result<()> {
    let _held = Held::new();
    let stream = cx.started(()).await?.open_stream();
    for n in 0..1000 {
        stream.send(vec![7; 1000]).await?;
        SENT.store(n + 1, Ordering::Release);
    }
    Ok(())
}

#[hatchery::endpoint]
async fn sent() -> u64 {
    SENT.load(Ordering::Acquire)
}

#[hatchery::test]
async fn p_w1_ctx_27_a_sender_to_its_own_actor_waits_for_the_reader_too() -> Result<()> {
    let here = LocalPortal::new()?;
    let (mut cx, ()) = here.open_context(floods()).await?;
    let mut stream = cx.open_stream()?;
    let window = u64::from(Limits::default().window) / 1016;
    let (mut last, mut same) = (0, 0);
    // Everything that runs is run in turn: so often the same is where it stays.
    while same < 100 {
        future::yield_now().await;
        let now = sent().await;
        same = if now == last && now > 0 { same + 1 } else { 0 };
        last = now;
    }
    assert!((window..=window + 1).contains(&last), "{last} of {window}");
    for _ in 0..1000 {
        assert_eq!(stream.recv().await?.map(|value| value.len()), Some(1000));
    }
    assert_eq!(stream.recv().await?, None);
    cx.result().await
}

/// Decodes only where it is true.
#[derive(Debug, serde::Serialize)]
struct Odd(bool);

impl<'de> serde::Deserialize<'de> for Odd {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match bool::deserialize(from)? {
            true => Ok(Self(true)),
            false => Err(serde::de::Error::custom("not true")),
        }
    }
}

#[hatchery::context]
async fn starts_with_none(cx: Context<Starts<Odd>>) -> Result<()> {
    let _held = Held::new();
    cx.started(Odd(false)).await?;
    pending().await
}

#[hatchery::test]
async fn ctx_27_values_are_encoded_and_decoded_on_their_way_to_oneself() -> Result<()> {
    at_both(async |place| {
        let error = place.open(starts_with_none()).await.map(drop).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Codec, "{error:?}");
        // As an argument it is refused, and nothing runs.
        let called = match place {
            Place::Here(portal) => portal.run(takes_odd(Odd(false))).await,
            Place::There(portal) => portal.run(takes_odd(Odd(false))).await,
        };
        let refused = called.unwrap_err();
        assert_eq!(*refused.kind(), ErrorKind::Refused(Refusal::BadArguments), "{refused:?}");
        assert!(refused.to_string().contains("not true"), "{refused}");
        place.is_at_rest().await
    })
    .await
}

#[hatchery::endpoint]
async fn takes_odd(odd: Odd) -> bool {
    odd.0
}

fn few() -> Options {
    Options::new().limits(Limits { max_dialogs: 2, ..Limits::default() })
}

#[hatchery::test(options = few())]
async fn p_w5_ctx_27_more_contexts_with_oneself_than_a_link_takes_wait_for_a_place() -> Result<()> {
    let here = LocalPortal::new()?;
    let (first, _) = here.open_context(echo()).await?;
    let (second, _) = here.open_context(echo()).await?;
    let mut third = Box::pin(here.open_context(echo()));
    assert!(future::poll_once(&mut third).await.is_none());
    // Of another kind than calls, which are tasks of their caller.
    assert_eq!(here.run(held()).await?, 2);
    assert_eq!(first.result().await?, 0);
    let (third, _) = third.await?;
    assert_eq!((second.result().await?, third.result().await?), (0, 0));
    Ok(())
}

#[hatchery::test]
async fn ctx_27_oneself_takes_no_descriptor_and_no_thread() -> Result<()> {
    // Those of tests that wait for their turn have names of their own, which a thread that is started
    // without one takes from whoever starts it.
    let own = std::fs::read_to_string("/proc/thread-self/comm").map_err(Error::new)?;
    let is_ours =
        |name: &str| [own.trim_end(), "async-io"].contains(&name) || name.starts_with("hatchery");
    let threads = || procfs::threads().into_iter().filter(|(_, name)| is_ours(name)).count();
    let count = || (procfs::descriptors().len(), threads());
    let here = LocalPortal::new()?;
    // What is started once and kept.
    timeout(Duration::from_millis(1), pending::<Result<()>>()).await.unwrap_err();
    let before = count();
    let mut open = Vec::new();
    for _ in 0..100 {
        let (mut cx, _) = here.open_context(echo()).await?;
        let mut stream = cx.open_stream()?;
        stream.send(7).await?;
        assert_eq!(stream.recv().await?, Some(7));
        open.push((cx, stream));
    }
    let _source = here.open_stream_from(numbers(9, false)).await?;
    assert_eq!(count(), before);
    Ok(())
}

/// Opens a context with its own actor, and leaves it open.
#[hatchery::endpoint]
async fn talks_to_itself(value: u64) -> Result<u64> {
    let here = LocalPortal::new()?;
    let (mut left, _) = here.open_context(waits()).await?;
    let _stream = left.open_stream()?;
    here.with_context(echo(), async |mut cx, pid| {
        assert_eq!(pid, std::process::id());
        let mut stream = cx.open_stream()?;
        stream.send(value).await?;
        let back = stream.recv().await?;
        stream.close().await?;
        back.ok_or_else(|| Error::message("nothing came back"))
    })
    .await
}

#[hatchery::test]
async fn ctx_27_any_actor_may_and_its_end_is_theirs() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let worker = nursery.start_actor("worker").await?;
        assert_eq!(worker.run(talks_to_itself(7)).await?, 7);
        let main = nursery.run_in_actor("main", talks_to_itself(9)).await?;
        assert_eq!(main.result::<talks_to_itself>().await?, 9);
        assert_eq!(main.ended().await.rung, hatchery::Rung::Unasked);
        let begin = Instant::now();
        let (_, source) = future::zip(async { worker.cancel().await }, async {
            worker.run(talks_for_ever()).await
        })
        .await;
        assert!(source.is_err());
        assert!(begin.elapsed() < LONG);
        Ok(())
    })
    .await
}

#[hatchery::endpoint]
async fn talks_for_ever() -> Result<()> {
    LocalPortal::new()?.with_context(waits(), |_, _| pending()).await
}

fn hasty() -> Options {
    Options::new()
        .limits(Limits { handshake_timeout: Duration::from_millis(1), ..Limits::default() })
}

#[hatchery::test(options = hasty())]
async fn p_l1_ctx_27_whoever_opens_may_be_long_in_letting_others_run() -> Result<()> {
    let mut source = LocalPortal::new()?.open_stream_from(numbers(3, false)).await?;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(5) {}
    assert_eq!(source.recv().await.unwrap(), Some(0));
    Ok(())
}
