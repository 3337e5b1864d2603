//! A root `several` with two registrars, whose places its second and third argument name. Its first
//! says what is looked at:
//! - `known`: who is known to both, from when on and until when; prints its uuid.
//! - `once`: an actor that both know, at different addresses, is met once.
//! - `away`: prints `up`, waits for the sign that its fourth argument names while the first registrar
//!   goes, looks who is found, and starts one more; prints `found`, and does the same once the sign of
//!   its fifth says that the first is back and the second is away.
//!
//! - `waits`: prints `up`, and once the sign of its fourth argument is there `waiting`, while it waits for
//!   an actor `single`; and then that it has met it.
//! - `single`: is called that, has only the registrar of its second argument, prints `single is up`, and
//!   waits for the sign that its third argument names.
//!
//! Each prints `ok` at its end.
#![allow(clippy::print_stdout, reason = "what it prints is its result")]

use std::env::args;
use std::fs;
use std::pin::pin;

use futures_lite::future;
use hatchery::{
    ActorBuilder, Address, Error, Nursery, Options, Portal, Registry, Result, connect, find_actor,
    get_registry, local_address, open_nursery, query_actor, run_with, wait_for_actor,
};
use hatchery_tests::sign::raised;
use hatchery_tests::worker::alive;

fn argument(place: usize) -> String {
    args().nth(place).expect("an argument")
}

fn places() -> Result<[Address; 2]> {
    Ok([local_address(&argument(2))?, local_address(&argument(3))?])
}

/// Where this actor's registrars are.
#[hatchery::endpoint]
async fn asks_at() -> Result<Vec<Address>> {
    Ok(get_registry()?.iter().map(|registry| registry.address().clone()).collect())
}

/// Finds a sibling, and lets go of it.
#[hatchery::endpoint]
async fn finds(name: String) -> Result<bool> {
    let Some(sibling) = find_actor(&name).await? else { return Ok(false) };
    let answers = sibling.run(alive()).await?;
    sibling.close().await;
    Ok(answers)
}

/// The same, by waiting for it.
#[hatchery::endpoint]
async fn meets(name: String) -> Result<bool> {
    let sibling = wait_for_actor(&name).await?;
    let answers = sibling.run(alive()).await?;
    sibling.close().await;
    Ok(answers)
}

/// Finds a sibling and waits for it, and asks it by each portal; says how many links that has made.
#[hatchery::endpoint]
async fn counts_links(name: String) -> Result<usize> {
    let before = sockets();
    let found = find_actor(&name).await?.ok_or_else(|| Error::message("nobody"))?;
    let met = wait_for_actor(&name).await?;
    let again = find_actor(&name).await?.ok_or_else(|| Error::message("nobody any more"))?;
    for portal in [&found, &met, &again] {
        assert!(portal.run(alive()).await?);
    }
    Ok(sockets() - before)
}

/// How many sockets this process has open: those to its registrars and its parent, and what comes.
fn sockets() -> usize {
    let all = fs::read_dir("/proc/self/fd").expect("a list of files");
    let all = all.filter_map(|one| fs::read_link(one.ok()?.path()).ok());
    all.filter(|one| one.to_string_lossy().starts_with("socket:")).count()
}

/// Says to a registrar that this actor is not at an address.
#[hatchery::endpoint]
async fn is_not_at(registrar: Address, uuid: u128, address: Address) -> Result<()> {
    let registrar = connect(&registrar).await?;
    registrar.call_named::<()>("hatchery::registrar::unreachable", (uuid, address)).await
}

fn exposing(nursery: &Nursery, name: &str) -> ActorBuilder {
    let actor = nursery.actor(name).expose::<alive>().expose::<asks_at>().expose::<finds>();
    actor.expose::<meets>().expose::<counts_links>().expose::<is_not_at>()
}

async fn start(nursery: &Nursery, name: &str) -> Result<Portal> {
    exposing(nursery, name).start().await
}

/// The names at a registrar, in order, without that of a registrar's own program.
async fn names(registry: &Registry) -> Result<Vec<String>> {
    let mut names: Vec<_> = registry.list().await?.into_iter().map(|one| one.id.name).collect();
    names.retain(|name| name != "registrar");
    names.sort();
    Ok(names)
}

async fn known() -> Result<()> {
    let places = places()?;
    assert_eq!(asks_at().await?, places);
    let both = get_registry()?;
    for registry in &both {
        assert_eq!(names(registry).await?, ["several"]);
    }
    open_nursery(async |nursery: Nursery| {
        let one = start(&nursery, "one").await?;
        let two = start(&nursery, "two").await?;
        assert_eq!(two.run(asks_at()).await?, places);
        assert!(two.run(finds("one".into())).await?);
        for registry in &both {
            assert_eq!(names(registry).await?, ["one", "several", "two"]);
            assert_eq!(registry.query("one").await?[0].id, one.id());
        }
        one.cancel().await?;
        // Its entries go before it does.
        for registry in &both {
            assert_eq!(names(registry).await?, ["several", "two"]);
        }
        assert!(!two.run(finds("one".into())).await?);
        two.cancel().await
    })
    .await?;
    for registry in &both {
        assert_eq!(names(registry).await?, ["several"]);
    }
    println!("{:x} was here", both[0].query("several").await?[0].id.uuid);
    Ok(())
}

async fn once() -> Result<()> {
    let at = [local_address("one-way")?, local_address("other-way")?];
    let [first, second] = <[_; 2]>::try_from(get_registry()?).expect("two registrars");
    open_nursery(async |nursery: Nursery| {
        let one = exposing(&nursery, "one").listen(at[0].clone()).listen(at[1].clone());
        let one = one.start().await?;
        let asks = start(&nursery, "asks").await?;
        let uuid = one.id().uuid;
        one.run(is_not_at(first.address().clone(), uuid, at[1].clone())).await?;
        one.run(is_not_at(second.address().clone(), uuid, at[0].clone())).await?;
        assert_eq!(first.query("one").await?[0].addresses, at[..1]);
        assert_eq!(second.query("one").await?[0].addresses, at[1..]);
        let [known] = query_actor("one").await?.try_into().expect("it is listed once");
        assert_eq!((&known.id, &known.addresses[..]), (&one.id(), &at[..]));
        assert_eq!(asks.run(counts_links("one".into())).await?, 1);
        asks.cancel().await?;
        one.cancel().await
    })
    .await
}

/// Everybody is found, by each of the ways; and who is nowhere is not, which is no error.
async fn all_found(asks: &Portal, names: &[&str]) -> Result<()> {
    for &name in names {
        assert!(asks.run(finds(name.into())).await?, "{name}");
        assert!(asks.run(meets(name.into())).await?, "{name}");
        assert_eq!(query_actor(name).await?.len(), 1, "{name}");
    }
    assert!(!asks.run(finds("nobody".into())).await?);
    assert_eq!(query_actor("nobody").await?, []);
    Ok(())
}

async fn away() -> Result<()> {
    let [first, second] = <[_; 2]>::try_from(get_registry()?).expect("two registrars");
    open_nursery(async |nursery: Nursery| {
        let asks = start(&nursery, "asks").await?;
        let answers = start(&nursery, "answers").await?;
        all_found(&asks, &["answers"]).await?;
        println!("up");
        raised(&argument(4)).await;
        assert!(first.list().await.is_err(), "it is still there");
        all_found(&asks, &["answers"]).await?;
        let late = start(&nursery, "late").await?;
        all_found(&asks, &["answers", "late"]).await?;
        println!("found");
        raised(&argument(5)).await;
        assert!(second.list().await.is_err(), "it is still there");
        all_found(&asks, &["answers", "late"]).await?;
        for one in [late, answers, asks] {
            one.cancel().await?;
        }
        // Ended while the second was away.
        assert_eq!(names(&first).await?, ["several"]);
        Ok::<_, Error>(())
    })
    .await
}

async fn waits() -> Result<()> {
    println!("up");
    raised(&argument(4)).await;
    let mut met = pin!(wait_for_actor("single"));
    assert!(future::poll_once(&mut met).await.is_none());
    // The registrar that is there has been asked by then, and the other was found to be away.
    assert!(query_actor("single").await?.is_empty());
    println!("waiting");
    let single = met.await?;
    println!("met {}", single.id().name);
    single.close().await;
    Ok(())
}

async fn single() -> Result<()> {
    println!("single is up");
    raised(&argument(3)).await;
    Ok(())
}

fn main() -> Result<()> {
    hatchery::init();
    let is_single = argument(1) == "single";
    let mut options = Options::new().name(if is_single { "single" } else { "several" });
    let places = if is_single { vec![local_address(&argument(2))?] } else { places()?.to_vec() };
    for place in places {
        options = options.registry(place);
    }
    run_with(options, async {
        match argument(1).as_str() {
            "known" => known().await,
            "once" => once().await,
            "away" => away().await,
            "waits" => waits().await,
            "single" => single().await,
            other => Err(Error::message(format!("no way to look: {other}"))),
        }
    })?;
    println!("ok");
    Ok(())
}
