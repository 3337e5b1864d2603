//! Blocks around an actor that was found: however one ends, what was opened in it has ended and its
//! link is let go of, and the actor that was visited lives on, with everybody else's portals to it.

use std::future::pending;
use std::sync::Mutex;

use futures_lite::FutureExt as _;
use hatchery::{
    CancelStatus, Context, Error, ErrorKind, Nursery, OpenContext, Options, Portal, Receives,
    Result, Sends, Starts, find_actor, local_address, open_nursery, with_actor,
};
use hatchery_tests::sign::{Sign, raise, raised, soon};
use hatchery_tests::worker::{alive, echo, waits};
use serde::{Deserialize, Serialize};

fn with_registrar(name: &str) -> Options {
    // Whoever runs the same test beside this one has another.
    let name = format!("{name}-{}", std::process::id());
    Options::new().registry(local_address(&name).unwrap())
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum How {
    Returns,
    Fails,
    Panics,
    Waits,
}

/// In the host: its end of the link with its visitor.
static MET: Mutex<Option<Portal>> = Mutex::new(None);

/// Whether it is linked with an actor, which it remembers.
#[hatchery::endpoint]
async fn meets(name: String) -> Result<bool> {
    let met = find_actor(&name).await?;
    let is_there = met.is_some();
    *MET.lock().unwrap() = met;
    Ok(is_there)
}

/// Waits until no link with that one is left.
#[hatchery::endpoint]
async fn parts() -> Result<()> {
    let met = MET.lock().unwrap().take().ok_or_else(|| Error::message("it has met nobody"))?;
    let _ = met.ended().await;
    Ok(())
}

/// In the visitor: what was opened in a block outlives it here, so that nothing but the end of the block
/// can end it.
static KEPT: Mutex<Vec<OpenContext<waits>>> = Mutex::new(Vec::new());

/// Is ended by the block that it was opened in, and says so by the sign.
async fn in_block(how: How, begun: &str, ended: String) -> Result<Option<u64>> {
    with_actor("host", async |host: Portal| {
        assert!(host.run(meets("visitor".into())).await?, "a visitor is linked");
        let (context, ()) = host.open_context(waits(ended)).await?;
        KEPT.lock().unwrap().push(context);
        raise(begun, "");
        match how {
            How::Returns => Ok(7),
            How::Fails => Err(Error::message("it fails on purpose")),
            How::Panics => panic!("it panics on purpose"),
            How::Waits => pending().await,
        }
    })
    .await
}

#[hatchery::endpoint]
async fn visits(how: How, begun: String, ended: String) -> Result<Option<u64>> {
    in_block(how, &begun, ended).await
}

/// Is dropped from outside.
#[hatchery::endpoint]
async fn leaves(begun: String, ended: String) -> Result<()> {
    let block = async { in_block(How::Waits, &begun, ended).await.map(drop) };
    let leaves = async {
        raised(&begun).await;
        Ok(())
    };
    block.or(leaves).await
}

/// Is cancelled in its block.
#[hatchery::context]
async fn stays(
    cx: Context<Starts<()>, Sends<u64>, Receives<u64>>,
    begun: String,
    ended: String,
) -> Result<Option<u64>> {
    let _started = cx.started(()).await?;
    in_block(How::Waits, &begun, ended).await
}

#[hatchery::endpoint]
async fn visits_nobody() -> Result<bool> {
    let visited = with_actor("nobody", async |_: Portal| -> Result<()> { panic!("nobody") });
    Ok(visited.await?.is_none())
}

/// Has a portal of its own while it visits.
#[hatchery::endpoint]
async fn visits_beside() -> Result<u64> {
    let other = find_actor("host").await?.ok_or_else(|| Error::message("no host"))?;
    let (mut talk, ()) = other.open_context(echo()).await?;
    let mut stream = talk.open_stream()?;
    let visited = with_actor("host", async |host: Portal| {
        assert!(host.run(alive()).await?);
        stream.send(1).await?;
        stream.recv().await
    });
    assert_eq!(visited.await?, Some(Some(1)));
    // Neither what was opened through it has ended, nor the link.
    stream.send(2).await?;
    assert_eq!(stream.recv().await?, Some(2));
    stream.close().await?;
    let count = talk.result().await?;
    assert!(other.run(alive()).await?);
    other.close().await;
    Ok(count)
}

/// Runs `body` with a visitor and a host; the link between them is gone by then, and both live.
async fn with_both(body: impl AsyncFnOnce(&Portal) -> Result<()>) -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let host = nursery.actor("host").expose::<meets>().expose::<waits>().expose::<alive>();
        let host = host.expose::<echo>().expose::<parts>().start().await?;
        let visitor = nursery.start_actor("visitor").await?;
        body(&visitor).await?;
        soon(host.run(parts())).await?;
        assert!(host.run(alive()).await? && visitor.run(alive()).await?);
        visitor.cancel().await?;
        host.cancel().await
    })
    .await
}

#[hatchery::test(options = with_registrar("visits-returns"))]
async fn disc_05_a_block_that_returns_has_ended_what_was_opened_in_it() -> Result<()> {
    with_both(async |visitor| {
        let (begun, ended) = (Sign::new("begun"), Sign::new("ended"));
        let visited = visitor.run(visits(How::Returns, begun.path(), ended.path())).await?;
        assert_eq!(visited, Some(7));
        assert!(ended.is_raised(), "it is waited for");
        assert!(visitor.run(visits_nobody()).await?);
        Ok(())
    })
    .await
}

#[hatchery::test(options = with_registrar("visits-fails"))]
async fn disc_05_a_block_that_fails_has_ended_what_was_opened_in_it() -> Result<()> {
    with_both(async |visitor| {
        let (begun, ended) = (Sign::new("begun"), Sign::new("ended"));
        let visited = visitor.run(visits(How::Fails, begun.path(), ended.path())).await;
        let error = visited.unwrap_err();
        assert_eq!(error.report().message, "it fails on purpose");
        assert!(ended.is_raised(), "it is waited for");
        Ok(())
    })
    .await
}

/// Nobody waits behind a panic: all that is sure is that it was asked to end.
#[hatchery::test(options = with_registrar("visits-panics"))]
async fn disc_05_a_block_that_panics_ends_what_was_opened_in_it() -> Result<()> {
    with_both(async |visitor| {
        let (begun, ended) = (Sign::new("begun"), Sign::new("ended"));
        let visited = visitor.run(visits(How::Panics, begun.path(), ended.path())).await;
        let error = visited.unwrap_err();
        assert_eq!((error.kind(), &*error.report().message), (&ErrorKind::Panicked, PANIC));
        ended.raised().await;
        Ok(())
    })
    .await
}

const PANIC: &str = "it panics on purpose";

#[hatchery::test(options = with_registrar("visits-drops"))]
async fn disc_05_a_block_that_is_dropped_ends_what_was_opened_in_it() -> Result<()> {
    with_both(async |visitor| {
        let (begun, ended) = (Sign::new("begun"), Sign::new("ended"));
        visitor.run(leaves(begun.path(), ended.path())).await?;
        ended.raised().await;
        Ok(())
    })
    .await
}

#[hatchery::test(options = with_registrar("visits-cancels"))]
async fn p_c2_a_block_that_is_cancelled_has_ended_what_was_opened_in_it() -> Result<()> {
    with_both(async |visitor| {
        let (begun, ended) = (Sign::new("begun"), Sign::new("ended"));
        let (stay, ()) = visitor.open_context(stays(begun.path(), ended.path())).await?;
        begun.raised().await;
        assert_eq!(stay.cancel().await, CancelStatus::Done);
        assert!(ended.is_raised(), "it is waited for");
        Ok(())
    })
    .await
}

#[hatchery::test(options = with_registrar("visits-beside"))]
async fn disc_05_a_second_portal_to_the_same_actor_outlives_the_block() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let host = nursery.actor("host").expose::<alive>().expose::<echo>().start().await?;
        let visitor = nursery.start_actor("visitor").await?;
        assert_eq!(visitor.run(visits_beside()).await?, 2);
        visitor.cancel().await?;
        host.cancel().await
    })
    .await
}
