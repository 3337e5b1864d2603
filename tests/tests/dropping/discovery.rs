//! The cases of what finds actors and lets go of them. Each leaves who was found as it was, and no link.

use super::*;
use hatchery::{
    Change, Options, connect, find_actor, get_registry, query_actor, unregister, wait_for_actor,
    with_actor,
};
use hatchery_tests::dropping::MOST_POLLS;
use hatchery_tests::spot::Spot;

/// Runs `body` in a registrar with one actor, which exposes what it is asked below.
fn with_known(body: impl AsyncFnOnce(&Portal) -> Result<()>) -> Result<()> {
    let spot = Spot::new("dropping");
    let options = Options::new().registry(spot.address("registrar"));
    hatchery::run_with(
        options,
        open_nursery(async |nursery: Nursery| {
            let worker = nursery.actor("worker").expose::<double>().expose::<held>();
            let worker = worker.expose::<double_late>().expose::<asks>().start().await?;
            body(&worker).await?;
            is_at_rest(&worker).await?;
            worker.cancel().await
        }),
    )
}

/// A link of its own to the worker.
async fn dialed() -> Result<Portal> {
    let known = query_actor("worker").await?;
    connect(&known[0].addresses[0]).await
}

pub(super) fn connects() -> Result<()> {
    with_known(async |_| {
        let known = query_actor("worker").await?;
        let address = &known[0].addresses[0];
        at_every_await(async |polls| {
            let portal = poll_times(connect(address), polls).await.done().transpose()?;
            if let Some(portal) = &portal {
                assert_eq!(portal.run(double(4)).await?, 8);
            }
            Ok::<_, hatchery::Error>(portal.is_some())
        })
        .await
        .map(drop)
    })
}

pub(super) fn closes() -> Result<()> {
    with_known(async |worker| {
        at_every_await(async |polls| {
            let portal = dialed().await?;
            let asked = portal.clone();
            let mut runs = Box::pin(asked.run(double_late(3)));
            assert!(futures_lite::future::poll_once(&mut runs).await.is_none());
            let closed = poll_times(portal.close(), polls).await.done();
            drop(runs);
            is_at_rest(worker).await?;
            Ok::<_, hatchery::Error>(closed.is_some())
        })
        .await
        .map(drop)
    })
}

#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
pub(super) enum Looks {
    Once,
    Waits,
    InBlock,
}

/// Looks for a sibling, whom it knows by the registrar alone; says whether it was found by then.
async fn look_once(looks: Looks, polls: usize) -> Result<bool> {
    let found = match looks {
        Looks::Waits => {
            poll_times(wait_for_actor("other"), polls).await.done().transpose()?.map(Some)
        }
        Looks::Once => poll_times(find_actor("other"), polls).await.done().transpose()?,
        Looks::InBlock => {
            let asks = with_actor("other", async |other: Portal| {
                assert_eq!(other.run(double_late(4)).await?, 8);
                Ok::<_, hatchery::Error>(())
            });
            return Ok(poll_times(asks, polls).await.done().transpose()?.is_some());
        }
    };
    let Some(found) = found else { return Ok(false) };
    let other = found.ok_or_else(|| hatchery::Error::message("nobody"))?;
    assert_eq!(other.run(double(4)).await?, 8);
    other.close().await;
    Ok(true)
}

/// What `at_every_await` does, where the compiler has to see that it may move between threads.
#[hatchery::endpoint]
pub(super) async fn looks(how: Looks) -> Result<()> {
    for polls in 0..MOST_POLLS {
        if look_once(how, polls).await? {
            assert!(polls > 0);
            return Ok(());
        }
    }
    panic!("it has not ended")
}

fn finds(how: Looks) -> Result<()> {
    let spot = Spot::new("dropping");
    let options = Options::new().registry(spot.address("registrar"));
    hatchery::run_with(
        options,
        open_nursery(async |nursery: Nursery| {
            let worker = nursery.start_actor("worker").await?;
            let other = nursery.actor("other").expose::<double>().expose::<double_late>();
            let other = other.expose::<held>().start().await?;
            worker.run(looks(how)).await?;
            is_at_rest(&other).await?;
            other.cancel().await?;
            worker.cancel().await
        }),
    )
}

pub(super) fn finds_actor() -> Result<()> {
    finds(Looks::Once)
}

pub(super) fn waits_for_actor() -> Result<()> {
    finds(Looks::Waits)
}

pub(super) fn visits() -> Result<()> {
    finds(Looks::InBlock)
}

/// Asks its registrar, which is another actor; says whether it had an answer by then.
async fn ask_once(what: Asked, polls: usize) -> Result<bool> {
    let registry = get_registry()?.remove(0);
    Ok(match what {
        Asked::Query => {
            let found = poll_times(query_actor("worker"), polls).await.done().transpose()?;
            found.is_some_and(|found| found.len() == 1)
        }
        Asked::RegistryQuery => {
            let found = poll_times(registry.query("worker"), polls).await.done().transpose()?;
            found.is_some_and(|found| found.len() == 1)
        }
        Asked::List => {
            let found = poll_times(registry.list(), polls).await.done().transpose()?;
            found.is_some_and(|found| found.len() == 2)
        }
        Asked::Watch => poll_times(registry.watch(None), polls).await.done().transpose()?.is_some(),
        Asked::Unregister => poll_times(unregister(), polls).await.done().transpose()?.is_some(),
    })
}

/// As [`looks`].
#[hatchery::endpoint]
async fn asks(what: Asked) -> Result<()> {
    for polls in 0..MOST_POLLS {
        if ask_once(what, polls).await? {
            assert!(polls > 0);
            return Ok(());
        }
    }
    panic!("it has not ended")
}

#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
enum Asked {
    Query,
    RegistryQuery,
    List,
    Watch,
    Unregister,
}

fn asked(what: Asked) -> Result<()> {
    with_known(async |worker| worker.run(asks(what)).await)
}

pub(super) fn queries() -> Result<()> {
    asked(Asked::Query)
}

pub(super) fn registry_queries() -> Result<()> {
    asked(Asked::RegistryQuery)
}

pub(super) fn lists() -> Result<()> {
    asked(Asked::List)
}

pub(super) fn watches() -> Result<()> {
    asked(Asked::Watch)
}

pub(super) fn unregisters() -> Result<()> {
    asked(Asked::Unregister)
}

/// Hears of what it has started itself, how ever often it was dropped before.
pub(super) fn watching() -> Result<()> {
    let spot = Spot::new("dropping");
    let options = Options::new().registry(spot.address("registrar"));
    hatchery::run_with(
        options,
        open_nursery(async |nursery: Nursery| {
            let mut watching = get_registry()?.remove(0).watch(None).await?;
            for polls in 0..2 {
                assert!(poll_times(watching.recv(), polls).await.done().is_none());
            }
            let worker = nursery.start_actor("worker").await?;
            let came = watching.recv().await?;
            assert!(matches!(came, Change::Came(one) if one.id == worker.id()));
            worker.cancel().await
        }),
    )
}
