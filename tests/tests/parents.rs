//! What an actor opens with its parent: calls, contexts and streams the other way, as far as the
//! parent lets it.

use std::future::pending;

use futures_lite::{Stream, StreamExt as _, stream};
use hatchery::{
    CallError, Context, Error, ErrorKind, Nursery, Options, ParentPortal, Receives, Refusal,
    Result, Sends, Starts, open_nursery,
};
use hatchery_tests::worker::{HELD, Held, alive};
use std::sync::atomic::Ordering;

fn exposes() -> Options {
    Options::new()
        .expose::<squared>()
        .expose::<fails>()
        .expose::<doubles>()
        .expose::<counts>()
        .expose::<waits>()
}

#[hatchery::endpoint]
async fn squared(n: u64) -> u64 {
    n * n
}

#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Refused(u8);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the parent will not")
    }
}

impl std::error::Error for Refused {}

#[hatchery::endpoint]
async fn fails(why: u8) -> Result<(), Refused> {
    Err(Refused(why))
}

#[hatchery::context]
async fn doubles(cx: Context<Starts<u64>, Sends<u64>, Receives<u64>>) -> Result<u64> {
    let mut stream = cx.started(7).await?.open_stream();
    let mut count = 0;
    while let Some(n) = stream.recv().await? {
        stream.send(2 * n).await?;
        count += 1;
    }
    Ok(count)
}

#[hatchery::endpoint]
fn counts(below: u64) -> impl Stream<Item = u64> {
    stream::iter(0..below)
}

/// Never ends by itself.
#[hatchery::context]
async fn waits(cx: Context<Starts<()>>) -> Result<()> {
    let _held = Held::new();
    let _started = cx.started(()).await?;
    pending().await
}

/// Everything that can be asked of a parent.
#[hatchery::endpoint]
async fn asks_back(parent_name: String) -> Result<u64> {
    let parent = ParentPortal::new()?;
    assert_eq!(parent.id().name, parent_name);
    assert_eq!(parent.run(squared(4)).await?, 16);
    let refused = parent.run(fails(3)).await.unwrap_err();
    let CallError::Endpoint { error, .. } = refused else { panic!("{refused:?}") };
    assert_eq!(error, Refused(3));
    let items: Vec<_> = parent.open_stream_from(counts(5)).await?.collect().await;
    assert!(items.into_iter().map(Result::unwrap).eq(0..5));
    parent
        .with_context(doubles(), async |mut cx, first| {
            assert_eq!(first, 7);
            let mut stream = cx.open_stream()?;
            for n in 0..3 {
                stream.send(n).await?;
                assert_eq!(stream.recv().await?, Some(2 * n));
            }
            stream.close().await?;
            cx.result().await
        })
        .await
}

#[hatchery::test(options = exposes())]
async fn rpc_06_a_child_calls_its_parent_and_talks_with_it() -> Result<()> {
    let own = ParentPortal::new().unwrap_err();
    assert_eq!(*own.kind(), ErrorKind::Misuse, "a root has none: {own:?}");
    let name = hatchery::LocalPortal::new()?.id().name;
    open_nursery(async |nursery: Nursery| {
        let workers = [nursery.start_actor("one").await?, nursery.start_actor("two").await?];
        for worker in &workers {
            assert_eq!(worker.run(asks_back(name.clone())).await?, 3);
        }
        for worker in workers {
            worker.cancel().await?;
        }
        Ok::<_, Error>(())
    })
    .await
}

/// Asks for what its parent does not expose.
#[hatchery::endpoint]
async fn asks_for_too_much() -> Result<String> {
    let refused = ParentPortal::new()?.run(alive()).await.unwrap_err();
    assert_eq!(*refused.kind(), ErrorKind::Refused(Refusal::NotExposed), "{refused:?}");
    Ok(refused.to_string())
}

#[hatchery::test(options = exposes())]
async fn rpc_06_what_a_parent_does_not_expose_is_refused() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let worker = nursery.start_actor("worker").await?;
        let text = worker.run(asks_for_too_much()).await?;
        assert!(text.contains("not exposed"), "{text}");
        worker.cancel().await
    })
    .await
}

/// Has its own child ask it.
#[hatchery::endpoint]
async fn is_asked() -> Result<u64> {
    open_nursery(async |nursery: Nursery| {
        let own = hatchery::LocalPortal::new()?.id().name;
        let leaf = nursery.start_actor("leaf").await?;
        let count = leaf.run(asks_back(own)).await?;
        leaf.cancel().await?;
        Ok(count)
    })
    .await
}

#[hatchery::test]
async fn rpc_06_every_level_may_ask_the_one_above_it() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let middle = nursery.actor("middle").expose::<is_asked>().expose::<squared>();
        let middle = middle.expose::<fails>().expose::<doubles>().expose::<counts>();
        let middle = middle.start().await?;
        assert_eq!(middle.run(is_asked()).await?, 3);
        middle.cancel().await
    })
    .await
}

/// Opens a context with its parent, says that it is open, and waits.
#[hatchery::context]
async fn holds_on(cx: Context<Starts<()>>) -> Result<()> {
    let parent = ParentPortal::new()?;
    parent
        .with_context(waits(), async |_open, ()| {
            let _started = cx.started(()).await?;
            pending().await
        })
        .await
}

#[hatchery::test(options = exposes())]
async fn rpc_06_what_a_child_has_opened_ends_with_it_however_that_goes() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        // Cancelled as a task, as an actor, and killed.
        for how in 0..3 {
            let worker = nursery.start_actor("worker").await?;
            let (cx, ()) = worker.open_context(holds_on()).await?;
            assert_eq!(HELD.load(Ordering::Acquire), 1);
            match how {
                0 => drop(cx.cancel().await),
                1 => drop(worker.cancel().await?),
                _ => drop(worker.kill().await),
            }
            while HELD.load(Ordering::Acquire) > 0 {
                futures_lite::future::yield_now().await;
            }
            worker.cancel().await?;
        }
        Ok::<_, Error>(())
    })
    .await
}

#[hatchery::test(options = exposes())]
async fn rpc_06_a_parent_that_ends_holds_no_child_up_that_has_opened_something_there() -> Result<()>
{
    let ended = open_nursery(async |nursery: Nursery| {
        let worker = nursery.start_actor("worker").await?;
        let (_cx, ()) = worker.open_context(holds_on()).await?;
        Err::<(), _>(Error::message("enough"))
    });
    assert!(ended.await.unwrap_err().to_string().contains("enough"));
    Ok(())
}
