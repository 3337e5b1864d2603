//! Every way to say that an endpoint is a stream, and what is none.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_lite::{FutureExt as _, Stream, StreamExt as _, stream};
use hatchery::{Endpoint, Error, ErrorKind, Nursery, Refusal, Result, open_nursery};
use hatchery_tests::worker::with_worker;
use serde::{Deserialize, Serialize};

use super::all;

type Numbers = stream::Boxed<u64>;
type Perhaps = Numbers;

#[hatchery::endpoint]
pub(super) fn plain(below: u64) -> impl Stream<Item = u64> {
    stream::iter(0..below)
}

#[hatchery::endpoint]
async fn later(below: u64) -> impl Stream<Item = u64> + Send {
    futures_lite::future::yield_now().await;
    stream::iter(0..below)
}

#[hatchery::endpoint]
fn boxed(below: u64) -> Pin<Box<dyn Stream<Item = u64> + Send>> {
    stream::iter(0..below).boxed()
}

#[hatchery::endpoint]
fn named(below: u64) -> stream::Boxed<u64> {
    stream::iter(0..below).boxed()
}

#[hatchery::endpoint]
async fn aliased(below: u64) -> Perhaps {
    stream::iter(0..below).boxed()
}

#[hatchery::endpoint]
fn concrete(below: u64) -> stream::Iter<std::ops::Range<u64>> {
    stream::iter(0..below)
}

/// Names of the user's own that the macro's code has as well.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Told(Probe);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Probe;

#[hatchery::endpoint]
async fn namesake() -> Told {
    Told(Probe)
}

trait Counts: Stream<Item = u64> {}

impl<S: Stream<Item = u64>> Counts for S {}

#[hatchery::endpoint(stream, item = u64)]
#[allow(clippy::let_and_return, reason = "an attribute beside the endpoint's own")]
#[inline(never)]
fn unnamed(below: u64) -> impl Counts {
    let counts = stream::iter(0..below);
    counts
}

#[hatchery::endpoint(stream, item = u64)]
async fn unnamed_later(below: u64) -> Pin<Box<impl Counts>> {
    Box::pin(stream::iter(0..below))
}

/// What another attribute makes of a function: here the words of it are not what they seem.
macro_rules! twice {
    ($(#[$attribute:meta])* $name:ident -> $returns:ty) => {
        $(#[$attribute])*
        fn $name(below: u64) -> $returns {
            stream::iter(0..below)
        }
    };
}

twice!(#[hatchery::endpoint] from_a_macro -> impl Stream<Item = u64>);

#[hatchery::endpoint]
async fn may_open(opens: bool) -> Result<impl Stream<Item = u64>> {
    if opens { Ok(stream::iter(0..3)) } else { Err(Error::message("it stays shut")) }
}

#[hatchery::endpoint]
fn may_open_now(opens: bool) -> std::result::Result<Numbers, Error> {
    if opens { Ok(stream::iter(0..3).boxed()) } else { Err(Error::message("it stays shut")) }
}

#[hatchery::endpoint]
async fn may_open_and_fail(opens: bool) -> Result<impl Stream<Item = Result<u64>> + Send> {
    let fails = stream::once(Err(Error::message("it breaks")));
    if opens { Ok(stream::iter(0..3).map(Ok).chain(fails)) } else { Err(Error::message("shut")) }
}

#[hatchery::endpoint]
fn may_open_by_name(opens: bool) -> std::result::Result<stream::Boxed<Result<u64>>, Error> {
    if opens {
        Ok(stream::iter(0..3).map(Ok).boxed())
    } else {
        Err(Error::message("it stays shut"))
    }
}

#[hatchery::test]
async fn str_30_a_stream_that_cannot_be_opened_ends_with_that_before_any_item() -> Result<()> {
    with_worker(async |worker| {
        assert_eq!(all(worker, may_open(true)).await?, [0, 1, 2]);
        assert_eq!(all(worker, may_open_now(true)).await?, [0, 1, 2]);
        assert_eq!(all(worker, may_open_by_name(true)).await?, [0, 1, 2]);
        let mut breaks = worker.open_stream_from(may_open_and_fail(true)).await?;
        for n in 0..3 {
            assert_eq!(breaks.recv().await?, Some(n));
        }
        assert_eq!(breaks.recv().await.unwrap_err().report().message, "it breaks");
        let shut = [
            all(worker, may_open(false)).await,
            all(worker, may_open_now(false)).await,
            all(worker, may_open_by_name(false)).await,
        ];
        for ended in shut {
            assert_eq!(ended.unwrap_err().report().message, "it stays shut");
        }
        let ended = all(worker, may_open_and_fail(false)).await;
        assert_eq!(ended.unwrap_err().report().message, "shut");
        Ok(())
    })
    .await
}

/// Both a stream and a value.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Countdown(u64);

impl Stream for Countdown {
    type Item = u64;

    fn poll_next(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<u64>> {
        let left = self.0;
        self.0 = left.saturating_sub(1);
        Poll::Ready((left > 0).then_some(left))
    }
}

#[hatchery::endpoint(stream)]
async fn item_by_item(from: u64) -> Countdown {
    Countdown(from)
}

#[hatchery::endpoint(call)]
async fn whole(from: u64) -> Countdown {
    Countdown(from)
}

/// Not spelled `Result`, and one all the same.
type Answer = Result<u64>;

#[hatchery::endpoint]
async fn answer(n: u64) -> Answer {
    Ok(2 * n)
}

#[hatchery::test]
async fn str_24_a_function_that_returns_a_stream_is_one_however_it_says_so() -> Result<()> {
    with_worker(async |worker| {
        let wanted = vec![0, 1, 2];
        assert_eq!(all(worker, plain(3)).await?, wanted);
        assert_eq!(all(worker, later(3)).await?, wanted);
        assert_eq!(all(worker, boxed(3)).await?, wanted);
        assert_eq!(all(worker, named(3)).await?, wanted);
        assert_eq!(all(worker, aliased(3)).await?, wanted);
        assert_eq!(all(worker, concrete(3)).await?, wanted);
        assert_eq!(all(worker, from_a_macro(3)).await?, wanted);
        assert!(all(worker, plain(0)).await?.is_empty());
        Ok(())
    })
    .await
}

#[hatchery::endpoint]
#[tracing::instrument]
async fn call_over(n: u64) -> u64 {
    2 * n
}

#[tracing::instrument]
#[hatchery::endpoint]
async fn call_under(n: u64) -> u64 {
    2 * n
}

#[hatchery::endpoint]
#[tracing::instrument(err)]
async fn failing_over(why: String) -> Result<u64> {
    Err(Error::message(why))
}

#[tracing::instrument(err)]
#[hatchery::endpoint]
async fn failing_under(why: String) -> Result<u64> {
    Err(Error::message(why))
}

#[hatchery::endpoint]
#[tracing::instrument]
fn stream_over(below: u64) -> impl Stream<Item = u64> {
    stream::iter(0..below)
}

#[tracing::instrument]
#[hatchery::endpoint]
fn stream_under(below: u64) -> impl Stream<Item = u64> {
    stream::iter(0..below)
}

#[hatchery::endpoint]
#[tracing::instrument]
async fn later_over(below: u64) -> Numbers {
    futures_lite::future::yield_now().await;
    stream::iter(0..below).boxed()
}

#[tracing::instrument]
#[hatchery::endpoint]
async fn later_under(below: u64) -> Numbers {
    futures_lite::future::yield_now().await;
    stream::iter(0..below).boxed()
}

#[hatchery::test]
async fn str_24_rpc_01_another_crates_attribute_may_stand_above_or_below() -> Result<()> {
    with_worker(async |worker| {
        assert_eq!(worker.run(call_over(3)).await?, 6);
        assert_eq!(worker.run(call_under(3)).await?, 6);
        for failed in [
            worker.run(failing_over("it broke".into())).await,
            worker.run(failing_under("it broke".into())).await,
        ] {
            assert_eq!(failed.unwrap_err().report().message, "it broke");
        }
        let wanted = [0, 1, 2];
        assert_eq!(all(worker, stream_over(3)).await?, wanted);
        assert_eq!(all(worker, stream_under(3)).await?, wanted);
        assert_eq!(all(worker, later_over(3)).await?, wanted);
        assert_eq!(all(worker, later_under(3)).await?, wanted);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn str_24_what_cannot_be_told_is_what_the_attribute_says() -> Result<()> {
    with_worker(async |worker| {
        assert_eq!(all(worker, unnamed(3)).await?, [0, 1, 2]);
        assert_eq!(all(worker, unnamed_later(3)).await?, [0, 1, 2]);
        assert_eq!(all(worker, item_by_item(3)).await?, [3, 2, 1]);
        assert_eq!(worker.run(whole(3)).await?, Countdown(3));
        assert_eq!(worker.run(answer(3)).await?, 6);
        assert_eq!(worker.run(namesake()).await?, Told(Probe));
        Ok(())
    })
    .await
}

/// What a function gives that another attribute has changed, as far as the code behind the
/// attribute is concerned: it takes what is there, not what is written.
#[test]
fn str_24_what_another_attribute_makes_of_a_function_is_taken_by_its_type() {
    use hatchery::__private::kind::{Boxed, Gives, Opens};
    let numbers = || stream::iter(0_u64..3);
    futures_lite::future::block_on(async {
        let opened: [Boxed<u64>; 3] = [
            Opens::open(numbers()).await,
            Opens::open(async { numbers() }).await,
            Opens::open(Box::pin(async { numbers().boxed() })).await,
        ];
        for stream in opened {
            assert_eq!(stream.collect::<Vec<_>>().await, [0, 1, 2]);
        }
        let given: [u64; 3] = [
            Gives::<u64, _>::give(async { 1 }).await,
            Gives::<u64, _>::give(futures_lite::future::ready(1).boxed()).await,
            Gives::<u64, _>::give(1).await,
        ];
        assert_eq!(given, [1, 1, 1]);
    });
}

#[hatchery::test]
async fn rpc_02_a_stream_that_is_not_exposed_is_refused_where_its_first_item_would_be() -> Result<()>
{
    open_nursery(async |nursery: Nursery| {
        let worker = nursery.actor("worker").expose::<plain>().start().await?;
        assert_eq!(all(&worker, plain(2)).await?, [0, 1]);
        let mut source = worker.open_stream_from(boxed(2)).await?;
        for _ in 0..2 {
            let refused = source.recv().await.unwrap_err();
            assert_eq!(refused.kind(), &ErrorKind::Refused(Refusal::NotExposed), "{refused}");
        }
        drop(source);
        let block = worker.with_stream_from(boxed(2), async |mut source| source.recv().await);
        let refused = block.await.unwrap_err();
        assert_eq!(refused.kind(), &ErrorKind::Refused(Refusal::NotExposed), "{refused}");
        worker.cancel().await
    })
    .await
}

#[hatchery::test]
async fn rpc_05_a_stream_that_is_called_by_name_is_refused_and_says_what_it_is() -> Result<()> {
    with_worker(async |worker| {
        let called = worker.call_named::<()>(<plain as Endpoint>::NAME, (3_u64,)).await;
        let refused = called.unwrap_err();
        assert_eq!(refused.kind(), &ErrorKind::Refused(Refusal::WrongKind), "{refused}");
        assert!(refused.to_string().contains("it is a Stream"), "{refused}");
        Ok(())
    })
    .await
}
