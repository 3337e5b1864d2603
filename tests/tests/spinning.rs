//! Actors that look for more before they sleep: who does, and that nothing of theirs waits for it.
#![cfg(feature = "own-wait")]

use std::fs;
use std::future::pending;
use std::time::Duration;

use async_io::Timer;
use futures_lite::future;
use hatchery::__private::spin;
use hatchery::{CancelStatus, Error, Nursery, Options, Portal, Result, open_nursery, timeout};
use hatchery_tests::worker::{alive, echo};

/// As much as anybody gets.
const MOST: Duration = Duration::from_millis(1);

fn spinning(bound: Duration) -> Options {
    Options::new().spin(bound)
}

#[hatchery::endpoint]
async fn spins() -> Duration {
    spin()
}

/// What a child of this actor says.
#[hatchery::endpoint]
async fn child_spins() -> Result<Duration> {
    with_child(async |child| child.run(spins()).await).await
}

/// How long the thread of this actor has had a processor.
#[hatchery::endpoint]
async fn had() -> Result<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").map_err(Error::new)?;
    let nanos = text.split_whitespace().next().and_then(|had| had.parse().ok());
    Ok(Duration::from_nanos(nanos.expect("the kernel keeps it")))
}

async fn with_child<T>(body: impl AsyncFnOnce(&Portal) -> Result<T>) -> Result<T> {
    open_nursery(async |nursery: Nursery| {
        let child = nursery.start_actor("child").await?;
        let value = body(&child).await?;
        child.cancel().await?;
        Ok(value)
    })
    .await
}

#[hatchery::test(options = spinning(Duration::from_micros(70)))]
async fn an_actor_looks_for_as_long_as_its_root_was_told() -> Result<()> {
    const TOLD: Duration = Duration::from_micros(70);
    assert_eq!(spin(), TOLD);
    with_child(async |child| {
        assert_eq!(child.run(spins()).await?, TOLD);
        assert_eq!(child.run(child_spins()).await?, TOLD);
        Ok(())
    })
    .await
}

#[hatchery::test(options = spinning(Duration::from_secs(1)))]
async fn no_actor_looks_for_longer_than_a_millisecond() -> Result<()> {
    assert_eq!(spin(), MOST);
    with_child(async |child| {
        assert_eq!(child.run(spins()).await?, MOST);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn an_actor_that_was_not_told_to_look_sleeps_at_once() -> Result<()> {
    assert_eq!(spin(), Duration::ZERO);
    with_child(async |child| {
        assert_eq!(child.run(child_spins()).await?, Duration::ZERO);
        Ok(())
    })
    .await
}

#[hatchery::test(options = spinning(MOST))]
async fn an_actor_with_nothing_to_do_takes_no_processor_behind_its_last_look() -> Result<()> {
    const REST: Duration = Duration::from_millis(400);
    with_child(async |child| {
        for _ in 0..100 {
            assert!(child.run(alive()).await?);
        }
        let (here, there) = (had().await?, child.run(had()).await?);
        // What is measured is this time.
        Timer::after(REST).await;
        let there = child.run(had()).await? - there;
        let here = had().await? - here;
        let most = REST / 10;
        assert!(there < most && here < most, "{there:?} in the child, {here:?} here");
        Ok(())
    })
    .await
}

#[hatchery::test(options = spinning(MOST))]
async fn timers_cancels_and_other_links_go_on_beside_a_link_that_is_never_quiet() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let (busy, other) =
            (nursery.start_actor("busy").await?, nursery.start_actor("other").await?);
        let (mut cx, ()) = busy.open_context(echo()).await?;
        let mut stream = cx.open_stream()?;
        let never_quiet = async {
            for n in 0.. {
                stream.send(n).await?;
                stream.recv().await?;
            }
            Ok::<_, Error>(())
        };
        let beside = async {
            for _ in 0..50 {
                let bounded = timeout(Duration::from_micros(100), pending::<Result<()>>()).await;
                assert!(bounded.is_err());
                assert!(other.run(alive()).await?);
                assert_eq!(busy.run(spins()).await?, MOST);
            }
            let (waits, ()) = other.open_context(echo()).await?;
            assert_eq!(waits.cancel().await, CancelStatus::Done);
            Ok::<_, Error>(())
        };
        future::or(never_quiet, beside).await?;
        drop(stream);
        assert_eq!(cx.cancel().await, CancelStatus::Done);
        nursery.cancel();
        Ok(())
    })
    .await
}
