//! Actors that find each other by name: who is known, to whom, from when on and until when.

use std::collections::BTreeSet;
use std::future::{pending, poll_fn};
use std::pin::pin;
use std::task::Poll;

use hatchery::{
    CancelStatus, Change, Context, Error, ErrorKind, Nursery, Options, Portal, Receives, Result,
    Sends, Starts, Watching, connect, find_actor, get_registry, local_address, open_nursery,
    query_actor, unregister, wait_for_actor,
};
use hatchery_tests::sign::soon;
use hatchery_tests::worker::alive;

fn with_registrar(name: &str) -> Options {
    // Whoever runs the same test beside this one has another.
    let name = format!("{name}-{}", std::process::id());
    Options::new().registry(local_address(&name).unwrap())
}

/// Who is registered, by name.
async fn names() -> Result<Vec<String>> {
    let [registry] = get_registry()?.try_into().map_err(|_| Error::message("one registrar"))?;
    let mut names: Vec<_> = registry.list().await?.into_iter().map(|one| one.id.name).collect();
    names.sort();
    Ok(names)
}

#[hatchery::endpoint]
async fn doubled(n: u64) -> u64 {
    2 * n
}

#[hatchery::context]
async fn echo(cx: Context<Starts<()>, Sends<u64>, Receives<u64>>) -> Result<u64> {
    let mut stream = cx.started(()).await?.open_stream();
    let mut count = 0;
    while let Some(n) = stream.recv().await? {
        stream.send(n).await?;
        count += 1;
    }
    Ok(count)
}

#[hatchery::endpoint]
async fn forever() {
    pending().await
}

/// Asks a sibling for the double, and leaves it as it was.
#[hatchery::endpoint]
async fn asks_sibling(name: String, n: u64) -> Result<Option<u64>> {
    let Some(sibling) = find_actor(&name).await? else { return Ok(None) };
    let answer = sibling.run(doubled(n)).await?;
    sibling.close().await;
    Ok(Some(answer))
}

/// Waits for a sibling, and says who it is.
#[hatchery::endpoint]
async fn meets(name: String) -> Result<String> {
    let sibling = wait_for_actor(&name).await?;
    let met = sibling.id().name;
    assert!(sibling.run(alive()).await?);
    Ok(met)
}

/// Holds a portal to a sibling, and asks it for the double of whatever comes, until nothing more does.
#[hatchery::context]
async fn keeps(cx: Context<Starts<()>, Sends<u64>, Receives<u64>>, name: String) -> Result<()> {
    let sibling = find_actor(&name).await?.ok_or_else(|| Error::message("nobody"))?;
    let mut stream = cx.started(()).await?.open_stream();
    while let Some(n) = stream.recv().await? {
        stream.send(sibling.run(doubled(n)).await?).await?;
    }
    sibling.close().await;
    Ok(())
}

#[hatchery::endpoint]
async fn ends_sibling(name: String) -> Result<String> {
    let sibling = find_actor(&name).await?.ok_or_else(|| Error::message("nobody"))?;
    let status = sibling.cancel_actor().await?;
    let ended = sibling.ended().await;
    Ok(format!("{status:?}, {ended}"))
}

#[hatchery::endpoint]
async fn goes_into_hiding() -> Result<bool> {
    unregister().await
}

/// So many watches of everything at this actor's registrar.
async fn watches(count: usize) -> Result<Vec<Watching>> {
    let registry = get_registry()?.remove(0);
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(registry.watch(None).await?);
    }
    Ok(all)
}

/// The first of the watches that comes to an error, which it says.
async fn refused(all: &mut [Watching]) -> String {
    let mut all: Vec<_> = all.iter_mut().map(|one| Box::pin(one.recv())).collect();
    poll_fn(|cx| {
        for one in &mut all {
            if let Poll::Ready(Err(error)) = one.as_mut().poll(cx) {
                return Poll::Ready(error.to_string());
            }
        }
        Poll::Pending
    })
    .await
}

/// Watches more than it may, says what it was told, and keeps the rest.
#[hatchery::context]
async fn watches_too_much(cx: Context<Starts<String>>) -> Result<()> {
    let mut all = watches(65).await?;
    let _started = cx.started(refused(&mut all).await).await?;
    pending().await
}

/// Waits for more than it may, and says what it was told.
#[hatchery::endpoint]
async fn waits_too_often() -> Result<String> {
    let mut all: Vec<_> = (0..257).map(|_| Box::pin(wait_for_actor("nobody"))).collect();
    let error = poll_fn(|cx| {
        let mut polled = all.iter_mut().map(|one| one.as_mut().poll(cx));
        polled.find(Poll::is_ready).unwrap_or(Poll::Pending)
    });
    Ok(error.await.unwrap_err().to_string())
}

async fn serving(nursery: &Nursery, name: &str) -> Result<Portal> {
    let actor = nursery.actor(name).expose::<doubled>().expose::<alive>();
    let actor = actor.expose::<asks_sibling>().expose::<meets>().expose::<echo>();
    let actor = actor
        .expose::<ends_sibling>()
        .expose::<keeps>()
        .expose::<forever>()
        .expose::<goes_into_hiding>();
    actor.start().await
}

#[hatchery::test(options = with_registrar("known"))]
async fn disc_03_everybody_is_known_from_before_it_is_up_until_its_end() -> Result<()> {
    assert_eq!(
        names().await?,
        ["discovery::disc_03_everybody_is_known_from_before_it_is_up_until_its_end"]
    );
    open_nursery(async |nursery: Nursery| {
        let one = nursery.start_actor("one").await?;
        assert_eq!(names().await?.len(), 2);
        let two = nursery.start_actor("two").await?;
        assert_eq!(names().await?.len(), 3);
        one.cancel().await?;
        // An entry goes before its actor does.
        assert_eq!(query_actor("one").await?, []);
        assert_eq!(query_actor("two").await?.len(), 1);
        two.cancel().await
    })
    .await?;
    assert_eq!(names().await?.len(), 1);
    Ok(())
}

#[hatchery::test(options = with_registrar("kill"))]
async fn disc_08_one_that_is_killed_is_known_no_more() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let one = nursery.start_actor("one").await?;
        let registry = get_registry()?.remove(0);
        let mut watching = registry.watch(Some("one")).await?;
        let uuid = one.id().uuid;
        assert_eq!(one.kill().await, CancelStatus::Done);
        // It may not have been looked at yet.
        let went = async {
            loop {
                if let Change::Went(gone) = watching.recv().await? {
                    return Ok::<_, Error>(gone);
                }
            }
        };
        assert_eq!(soon(went).await?, uuid);
        assert_eq!(query_actor("one").await?, []);
        Ok::<_, Error>(())
    })
    .await
}

#[hatchery::test(options = with_registrar("siblings"))]
async fn disc_05_siblings_find_each_other_and_leave_each_other_as_they_were() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let asks = serving(&nursery, "asks").await?;
        let answers = serving(&nursery, "answers").await?;
        for n in 0..3 {
            assert_eq!(asks.run(asks_sibling("answers".into(), n)).await?, Some(2 * n));
        }
        assert_eq!(asks.run(asks_sibling("nobody".into(), 1)).await?, None);
        assert!(answers.run(alive()).await?);
        answers.cancel().await?;
        assert_eq!(asks.run(asks_sibling("answers".into(), 1)).await?, None);
        asks.cancel().await
    })
    .await
}

#[hatchery::test(options = with_registrar("meet"))]
async fn disc_06_two_wait_for_each_other() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let one = serving(&nursery, "one").await?;
        let (meets_two, meets_too) = (one.run(meets("two".into())), one.run(meets("two".into())));
        let comes = async {
            let two = serving(&nursery, "two").await?;
            let met = two.run(meets("one".into())).await?;
            Ok::<_, Error>((two, met))
        };
        let ((both, also), two) =
            futures_lite::future::zip(futures_lite::future::zip(meets_two, meets_too), comes).await;
        let (two, met) = two?;
        assert_eq!((both?.as_str(), also?.as_str(), met.as_str()), ("two", "two", "one"));
        one.cancel().await?;
        two.cancel().await
    })
    .await
}

/// A portal over a link that its peer has dialed goes on when that has let go of it.
#[hatchery::test(options = with_registrar("renew"))]
async fn p_r9_a_portal_outlives_the_link_that_it_was_lent() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let dials = serving(&nursery, "dials").await?;
        let lends = serving(&nursery, "lends").await?;
        for _ in 0..3 {
            let (mut one, ()) = dials.open_context(keeps("lends".into())).await?;
            let (mut two, ()) = lends.open_context(keeps("dials".into())).await?;
            let (mut asks_one, mut asks_two) = (one.open_stream()?, two.open_stream()?);
            asks_one.send(1).await?;
            assert_eq!(asks_one.recv().await?, Some(2));
            asks_two.send(2).await?;
            assert_eq!(asks_two.recv().await?, Some(4));
            // With this goes the link that both were on.
            asks_one.close().await?;
            one.result().await?;
            for n in 0..10 {
                asks_two.send(n).await?;
                assert_eq!(asks_two.recv().await?, Some(2 * n));
            }
            asks_two.close().await?;
            two.result().await?;
        }
        dials.cancel().await?;
        lends.cancel().await
    })
    .await
}

#[hatchery::test(options = with_registrar("same"))]
async fn disc_07_of_several_with_one_name_the_newest_is_found() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let asks = serving(&nursery, "asks").await?;
        let mut same = Vec::new();
        for _ in 0..4 {
            same.push(serving(&nursery, "same").await?);
        }
        let known = query_actor("same").await?;
        let newest: Vec<_> = same.iter().rev().map(|portal| portal.id()).collect();
        assert_eq!(known.iter().map(|one| one.id.clone()).collect::<Vec<_>>(), newest);
        assert_eq!(asks.run(asks_sibling("same".into(), 1)).await?, Some(2));
        for portal in same.into_iter().rev() {
            assert_eq!(find_actor("same").await?.map(|found| found.id()), Some(portal.id()));
            portal.cancel().await?;
        }
        assert!(find_actor("same").await?.is_none());
        asks.cancel().await
    })
    .await
}

#[hatchery::test(options = with_registrar("hiding"))]
async fn disc_04_one_that_hides_goes_on_serving_who_is_linked() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let hides = serving(&nursery, "hides").await?;
        assert!(hides.run(goes_into_hiding()).await?);
        assert!(!hides.run(goes_into_hiding()).await?);
        assert_eq!(query_actor("hides").await?, []);
        assert_eq!(hides.run(doubled(4)).await?, 8);
        hides.cancel().await
    })
    .await
}

#[hatchery::test(options = with_registrar("peers"))]
async fn can_10_an_actor_of_the_tree_ends_another() -> Result<()> {
    let ended = open_nursery(async |nursery: Nursery| {
        let asks = serving(&nursery, "asks").await?;
        let ends = nursery.run_in_actor("ends", forever()).await?;
        let told = asks.run(ends_sibling("ends".into())).await?;
        assert!(told.starts_with("Done, actor `ends`"), "{told}");
        assert!(told.ends_with("is gone, as far as links can tell"), "{told}");
        let error = ends.result::<forever>().await.unwrap_err();
        let ErrorKind::Cancelled(by) = error.kind() else { panic!("{error}") };
        assert_eq!(by.canceller, asks.id());
        Ok::<_, Error>(())
    });
    // Its parent did not ask for that (P-C4).
    let error = ended.await.unwrap_err();
    let ErrorKind::Cancelled(by) = error.kind() else { panic!("{error}") };
    assert_eq!(by.canceller.name, "asks");
    Ok(())
}

#[hatchery::test(options = with_registrar("by address"))]
async fn ipc_10_an_actor_is_reached_by_its_address_as_often_as_one_likes() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let serves = serving(&nursery, "serves").await?;
        let [known] = query_actor("serves").await?.try_into().unwrap();
        let first = connect(&known.addresses[0]).await?;
        let second = connect(&known.addresses[0]).await?;
        assert_eq!((first.id(), second.id()), (serves.id(), serves.id()));
        let (mut cx, ()) = first.open_context(echo()).await?;
        let mut stream = cx.open_stream()?;
        for n in 0..100 {
            stream.send(n).await?;
            assert_eq!(stream.recv().await?, Some(n));
        }
        // What the one portal has opened ends with it, and nothing of the other's.
        let forever = second.run(forever());
        let mut forever = Box::pin(forever);
        assert!(futures_lite::future::poll_once(&mut forever).await.is_none());
        first.close().await;
        assert!(stream.recv().await.is_err());
        assert_eq!(second.run(doubled(1)).await?, 2);
        drop(forever);
        second.close().await;
        assert_eq!(serves.run(doubled(2)).await?, 4);
        // Its process is not this one's to end.
        let third = connect(&known.addresses[0]).await?;
        assert_eq!(third.kill().await, CancelStatus::NotAllowed);
        serves.cancel().await?;
        soon(third.ended()).await;
        Ok::<_, Error>(())
    })
    .await
}

#[hatchery::test(options = with_registrar("watch"))]
async fn disc_06_a_watch_tells_who_comes_and_goes() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let registry = get_registry()?.remove(0);
        let mut watching = registry.watch(None).await?;
        let mut all = BTreeSet::new();
        let one = nursery.start_actor("one").await?;
        let Change::Came(came) = watching.recv().await? else { panic!("it came") };
        assert_eq!(came.id, one.id());
        all.insert(came.id.uuid);
        one.cancel().await?;
        let Change::Went(went) = watching.recv().await? else { panic!("it went") };
        assert!(all.remove(&went));
        Ok::<_, Error>(())
    })
    .await
}

/// What one asks for over its link is bounded for that link, and costs no other anything.
#[hatchery::test(options = with_registrar("greedy"))]
async fn p_r1_who_watches_or_waits_too_much_is_refused_by_name_and_nobody_else() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let greedy = nursery.actor("greedy").expose::<watches_too_much>();
        let greedy = greedy.expose::<waits_too_often>().start().await?;
        let (cx, told) = greedy.open_context(watches_too_much()).await?;
        assert!(told.contains("64 watches are open"), "{told}");
        let told = greedy.run(waits_too_often()).await?;
        assert!(told.contains("256 waits are open"), "{told}");
        // Neither this actor has less, nor a sibling.
        let mut own = watches(64).await?;
        let error = watches(1).await.unwrap_err().to_string();
        assert!(error.contains("64 watches are open"), "{error}");
        drop(own.pop());
        own.extend(watches(1).await?);
        let asks = serving(&nursery, "asks").await?;
        let meets = pin!(asks.run(meets("late".into())));
        let late = pin!(serving(&nursery, "late"));
        let (met, late) = futures_lite::future::zip(meets, late).await;
        assert_eq!(met?, "late");
        for watch in &mut own {
            assert!(matches!(watch.recv().await?, Change::Came(_)));
        }
        drop(cx);
        late?.cancel().await?;
        asks.cancel().await?;
        greedy.cancel().await
    })
    .await
}

#[hatchery::test]
async fn disc_12_without_a_registrar_only_who_is_linked_is_found() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let one = nursery.start_actor("one").await?;
        let found = find_actor("one").await?.expect("a child is linked");
        assert_eq!(found.id(), one.id());
        let error = find_actor("two").await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Misuse), "{error}");
        assert!(error.to_string().contains("Options::registry"), "{error}");
        assert_eq!(get_registry()?.len(), 0);
        one.cancel().await
    })
    .await
}
