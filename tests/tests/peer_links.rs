//! Links between peers at their edges: let go of, taken over, cut, refused; and registrars that come late.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::time::Duration;

use futures_lite::future;
use hatchery::{
    Address, CancelStatus, Change, Error, Nursery, Options, Portal, Result, connect, find_actor,
    get_registry, local_address, open_nursery, query_actor, unregister, wait_for_actor,
};
use hatchery_proto::{
    ActorId, CancelRequest, Cancelled, Cause, Config, Connection, Instant, Limits, LinkKind, Role,
};
use hatchery_tests::sign::{Last, Sign, raise, raised, soon};
use hatchery_tests::worker::alive;

fn with_registrar(name: &str) -> Options {
    // Whoever runs the same test beside this one has another.
    let name = format!("{name}-{}", std::process::id());
    Options::new().registry(local_address(&name).unwrap())
}

async fn itself() -> Result<ActorId> {
    let all = get_registry()?.remove(0).list().await?;
    let own = all.into_iter().find(|one| one.id.pid == std::process::id());
    own.map(|one| one.id).ok_or_else(|| Error::message("not registered"))
}

#[hatchery::endpoint]
async fn forever() {
    future::pending().await
}

/// Ends behind the sign, cancelled or not.
#[hatchery::endpoint]
async fn lingers(until: String) {
    hatchery::shield(async { raised(&until).await }).await;
    future::pending().await
}

/// Raises the sign as it ends.
#[hatchery::endpoint]
async fn ends_first(ended: String) {
    let _last = Last(ended);
    future::pending().await
}

#[hatchery::endpoint]
async fn cannot_reach(registrar: Address, who: u128, at: Address) -> Result<()> {
    let registrar = connect(&registrar).await?;
    registrar.call_named::<()>("hatchery::registrar::unreachable", (who, at)).await
}

#[hatchery::endpoint]
async fn looks_for(name: String) -> Result<bool> {
    Ok(find_actor(&name).await?.is_some())
}

/// P-R4: a liar evicts nobody whom the registrar itself can reach, itself among them.
#[hatchery::test(options = with_registrar("links-self"))]
async fn p_r4_a_registrar_does_not_evict_itself() -> Result<()> {
    let own = itself().await?;
    open_nursery(async |nursery: Nursery| {
        let one = nursery.actor("one").expose::<cannot_reach>().start().await?;
        let registry = get_registry()?.remove(0);
        let mut watching = registry.watch(None).await?;
        let at = registry.address().clone();
        one.run(cannot_reach(at.clone(), own.uuid, at)).await?;
        // Of itself it hears nothing, so that there is nothing to be waited for (P-R4); what follows is
        // told behind it.
        let two = nursery.start_actor("two").await?;
        let told = soon(watching.recv()).await?;
        assert!(matches!(&told, Change::Came(came) if came.id == two.id()), "{told:?}");
        two.cancel().await?;
        one.cancel().await
    })
    .await
}

/// An actor that lives, and whose link with the registrar does, is known again.
#[hatchery::test(options = with_registrar("links-evicted"))]
async fn p_r4_who_was_evicted_and_lives_comes_back() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let one = nursery.actor("one").expose::<alive>().start().await?;
        let other = nursery.actor("other").expose::<looks_for>().start().await?;
        let known = query_actor("one").await?.remove(0);
        let Address::Unix { path, .. } = &known.addresses[0] else { panic!("no file") };
        let away = format!("{path}.away");
        let mut watching = get_registry()?.remove(0).watch(Some("one")).await?;
        std::fs::rename(path, &away).unwrap();
        assert!(!other.run(looks_for("one".into())).await?);
        soon(async { while !matches!(watching.recv().await, Ok(Change::Went(_))) {} }).await;
        std::fs::rename(&away, path).unwrap();
        assert!(connect(&known.addresses[0]).await?.run(alive()).await?, "it can be reached");
        soon(async { while !matches!(watching.recv().await, Ok(Change::Came(_))) {} }).await;
        one.cancel().await?;
        other.cancel().await
    })
    .await
}

#[hatchery::endpoint]
async fn closes_two(name: String, at_once: bool) -> Result<()> {
    let mut portals = Vec::new();
    for _ in 0..2 {
        portals.push(find_actor(&name).await?.ok_or_else(|| Error::message("nobody"))?);
    }
    let clones = portals.clone();
    let ended = Sign::new("ended");
    let mut first = Box::pin(clones[0].run(lingers(ended.path())));
    let mut second = Box::pin(clones[1].run(ends_first(ended.path())));
    assert!(future::poll_once(&mut first).await.is_none());
    assert!(future::poll_once(&mut second).await.is_none());
    // They are under way over there.
    assert!(portals[0].run(alive()).await?);
    let [one, two] = portals.try_into().map_err(|_| Error::message("two"))?;
    // At once, the second has ended before the first may, and wakes who waits for that one as well.
    soon(async {
        if at_once {
            future::zip(one.close(), two.close()).await;
        } else {
            ended.raise();
            one.close().await;
            two.close().await;
        }
    })
    .await;
    Ok(())
}

/// Two portals on one link are closed at once, each with a call of its own.
#[hatchery::test(options = with_registrar("links-close"))]
async fn p_c1_two_portals_on_one_link_close_at_once() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let one = nursery.actor("one").expose::<closes_two>().start().await?;
        let two = nursery.actor("two").expose::<ends_first>().expose::<alive>();
        let two = two.expose::<lingers>().start().await?;
        one.run(closes_two("two".into(), false)).await?;
        one.run(closes_two("two".into(), true)).await?;
        one.cancel().await?;
        two.cancel().await
    })
    .await
}

static KEPT: Mutex<Option<Portal>> = Mutex::new(None);

#[hatchery::endpoint]
async fn keeps(name: String) -> Result<bool> {
    let kept = find_actor(&name).await?.ok_or_else(|| Error::message("nobody"))?;
    let runs = kept.run(alive()).await?;
    *KEPT.lock().unwrap() = Some(kept);
    Ok(runs)
}

#[hatchery::endpoint]
async fn uses_kept() -> Result<String> {
    let kept = KEPT.lock().unwrap().clone().ok_or_else(|| Error::message("nothing"))?;
    Ok(match kept.run(alive()).await {
        Ok(_) => "alive".to_owned(),
        Err(error) => format!("{error}"),
    })
}

#[hatchery::endpoint]
async fn cancels_kept() -> Result<String> {
    let kept = KEPT.lock().unwrap().clone().ok_or_else(|| Error::message("nothing"))?;
    Ok(match kept.cancel_actor().await {
        Ok(CancelStatus::Gone) => "gone".to_owned(),
        other => format!("{other:?}"),
    })
}

#[hatchery::endpoint]
async fn visits(name: String, own: String) -> Result<bool> {
    let other = find_actor(&name).await?.ok_or_else(|| Error::message("nobody"))?;
    let kept = other.run(keeps(own)).await?;
    other.close().await;
    Ok(kept)
}

async fn visited(nursery: &Nursery) -> Result<[Portal; 2]> {
    let one = nursery.actor("one").expose::<visits>().expose::<alive>().start().await?;
    let two = nursery.actor("two").expose::<keeps>().expose::<uses_kept>();
    let two = two.expose::<cancels_kept>().expose::<alive>().start().await?;
    assert!(one.run(visits("two".into(), "one".into())).await?);
    Ok([one, two])
}

/// Who was found over a link that it has dialed itself is still found when it lets go of that.
#[hatchery::test(options = with_registrar("links-kept"))]
async fn p_r9_a_portal_outlives_the_link_that_the_other_end_lets_go() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let [one, two] = visited(&nursery).await?;
        assert!(one.run(alive()).await?);
        assert_eq!(two.run(uses_kept()).await?, "alive");
        one.cancel().await?;
        two.cancel().await
    })
    .await
}

/// A peer whose link was let go of is reached by another, and ends.
#[hatchery::test(options = with_registrar("links-gone"))]
async fn p_l2_an_actor_whose_link_has_gone_is_asked_on_another() -> Result<()> {
    let ended = open_nursery(async |nursery: Nursery| {
        let [_one, two] = visited(&nursery).await?;
        assert_eq!(two.run(cancels_kept()).await?, "Ok(Done)");
        Ok::<_, Error>(())
    });
    // Its parent did not ask for that (P-C4).
    let error = ended.await.unwrap_err();
    let hatchery::ErrorKind::Cancelled(by) = error.kind() else { panic!("{error}") };
    assert_eq!(by.canceller.name, "two");
    Ok(())
}

fn at_free_quic_port() -> Options {
    let port = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    Options::new().registry(format!("quic:127.0.0.1:{port}").parse().unwrap())
}

/// Where nobody listens, a root becomes the registrar.
#[hatchery::test(options = at_free_quic_port())]
async fn disc_01_a_root_becomes_the_registrar_over_quic() -> Result<()> {
    assert_eq!(get_registry()?.remove(0).list().await?.len(), 1);
    Ok(())
}

#[hatchery::endpoint]
async fn dials_two_and_lets_one_go(name: String, own: String, closes: bool) -> Result<String> {
    let at = query_actor(&name).await?.remove(0).addresses.remove(0);
    let first = connect(&at).await?;
    assert!(first.run(begins(own.clone())).await?);
    let second = connect(&at).await?;
    assert!(second.run(begins(own)).await?);
    first.close().await;
    // The first portal over there takes the second link, and is closed.
    second.run(closes_the_first(closes)).await
}

static HELD: Mutex<Vec<(Portal, smol::Task<String>)>> = Mutex::new(Vec::new());

/// Finds an actor by the link that it has dialed last, and has it run something for ever.
#[hatchery::endpoint]
async fn begins(name: String) -> Result<bool> {
    let found = find_actor(&name).await?.ok_or_else(|| Error::message("nobody"))?;
    let asks = found.clone();
    let mut runs = Box::pin(async move { format!("{:?}", asks.run(forever()).await) });
    assert!(future::poll_once(&mut runs).await.is_none());
    let lives = found.run(alive()).await?;
    HELD.lock().unwrap().push((found, smol::spawn(runs)));
    Ok(lives)
}

#[hatchery::endpoint]
async fn closes_the_first(closes: bool) -> Result<String> {
    let mut held = std::mem::take(&mut *HELD.lock().unwrap());
    let (second, mut its_run) = held.pop().ok_or_else(|| Error::message("none"))?;
    let (first, _run) = held.pop().ok_or_else(|| Error::message("none"))?;
    assert!(first.run(alive()).await?, "it has another link");
    if closes {
        first.close().await;
    }
    // What was cancelled before these were asked has ended before they are answered.
    for _ in 0..3 {
        assert!(second.run(alive()).await?);
    }
    let ended = future::poll_once(&mut its_run).await;
    Ok(ended.unwrap_or_else(|| "runs on".to_owned()))
}

/// What was opened through one portal is not ended with another.
#[hatchery::test(options = with_registrar("links-others"))]
async fn p_r9_a_portal_with_a_new_link_ends_nothing_of_others() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let one = nursery.actor("one").expose::<dials_two_and_lets_one_go>();
        let one = one.expose::<alive>().expose::<forever>().start().await?;
        let two = nursery.actor("two").expose::<begins>().expose::<closes_the_first>();
        let two = two.start().await?;
        for closes in [false, true] {
            let asked = dials_two_and_lets_one_go("two".into(), "one".into(), closes);
            assert_eq!(one.run(asked).await?, "runs on", "closes: {closes}");
        }
        one.cancel().await?;
        two.cancel().await
    })
    .await
}

#[hatchery::endpoint]
async fn starts_one() -> Result<()> {
    open_nursery(async |nursery: Nursery| nursery.start_actor("below").await?.cancel().await).await
}

/// A registrar that is away for a moment keeps nobody from starting actors.
#[hatchery::test(options = with_registrar("links-away"))]
async fn f_45_actors_start_while_their_registrar_is_away() -> Result<()> {
    let Address::Unix { path, .. } = get_registry()?.remove(0).address().clone() else {
        return Err(Error::message("no file"));
    };
    open_nursery(async |nursery: Nursery| {
        let one = nursery.actor("one").expose::<starts_one>().start().await?;
        one.run(starts_one()).await?;
        let away = format!("{path}.away");
        std::fs::rename(&path, &away).unwrap();
        let started = one.run(starts_one()).await;
        std::fs::rename(&away, &path).unwrap();
        started?;
        one.cancel().await
    })
    .await
}

#[hatchery::endpoint]
async fn hides_and_connects(address: Address, hidden: String, waits: String) -> Result<()> {
    unregister().await?;
    raise(&hidden, "");
    raised(&waits).await;
    let other = connect(&address).await?;
    assert!(other.run(alive()).await?);
    HELD.lock().unwrap().push((other, smol::spawn(async { String::new() })));
    Ok(())
}

#[hatchery::endpoint]
async fn waits_for(name: String, hidden: String, waits: String) -> Result<()> {
    raised(&hidden).await;
    let mut met = Box::pin(wait_for_actor(&name));
    assert!(future::poll_once(&mut met).await.is_none(), "nobody is known yet");
    raise(&waits, "");
    soon(met).await.map(drop)
}

/// It waits "until an actor of this name is linked or registered".
#[hatchery::test(options = with_registrar("links-waits"))]
async fn disc_06_who_is_linked_is_met() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let one = nursery.actor("one").expose::<hides_and_connects>().start().await?;
        let two = nursery.actor("two").expose::<waits_for>().expose::<alive>().start().await?;
        let at = query_actor("two").await?.remove(0).addresses.remove(0);
        let (hidden, waits) = (Sign::new("hidden"), Sign::new("waits"));
        let hides = one.run(hides_and_connects(at, hidden.path(), waits.path()));
        let meets = two.run(waits_for("one".into(), hidden.path(), waits.path()));
        let (hides, meets) = future::zip(hides, meets).await;
        hides?;
        meets?;
        one.cancel().await?;
        two.cancel().await
    })
    .await
}

/// Connects more often than one actor may, and says what that came to; then again and again, one
/// portal after the other.
#[hatchery::endpoint]
async fn connects_too_often(address: Address) -> Result<String> {
    let mut portals = Vec::new();
    let told = loop {
        let reached = match connect(&address).await {
            Ok(portal) => portal.run(alive()).await.map(|_| portal),
            Err(error) => Err(error),
        };
        match reached {
            Ok(portal) => portals.push(portal),
            Err(error) => break format!("{} portals, then: {error}", portals.len()),
        }
        assert!(portals.len() < 100, "nothing bounds them");
    };
    for portal in &portals {
        assert!(portal.run(alive()).await?);
    }
    while let Some(portal) = portals.pop() {
        portal.close().await;
    }
    Ok(told)
}

/// Connects and lets go, one portal after the other.
#[hatchery::endpoint]
async fn connects_and_lets_go(address: Address) -> Result<()> {
    for _ in 0..200 {
        let portal = connect(&address).await?;
        assert!(portal.run(alive()).await?);
        portal.close().await;
    }
    Ok(())
}

#[hatchery::test(options = with_registrar("links-many"))]
async fn p_r12_an_actor_has_so_many_links_with_another_and_is_told() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let serves = nursery.actor("serves").expose::<alive>().start().await?;
        let [known] = query_actor("serves").await?.try_into().expect("one");
        let many = nursery.actor("many").expose::<connects_too_often>().start().await?;
        let often = nursery.actor("often").expose::<connects_and_lets_go>().start().await?;
        let address = known.addresses[0].clone();
        let told = many.run(connects_too_often(address.clone())).await?;
        assert!(told.starts_with("32 portals, then: "), "{told}");
        assert!(told.contains("(P-R12)") && told.contains("close portals"), "{told}");
        often.run(connects_and_lets_go(address)).await?;
        assert!(serves.run(alive()).await?);
        many.cancel().await?;
        often.cancel().await?;
        serves.cancel().await
    })
    .await
}

fn end(role: Role, me: ActorId, tree: u128) -> Connection {
    let config = Config { kind: LinkKind::Peer, role, me, limits: Limits::default() };
    Connection::new(config, Instant::from_micros(1)).of_tree(tree)
}

/// What is said behind a greeting that is turned away is not heard.
#[hatchery::test(options = with_registrar("links-refused"))]
async fn p_r8_who_is_turned_away_ends_nobody() -> Result<()> {
    let own = itself().await?;
    let Address::Unix { path, .. } = get_registry()?.remove(0).address().clone() else {
        return Err(Error::message("no file"));
    };
    let now = Instant::from_micros(1);
    // It is another process than it says.
    let liar = ActorId { name: "liar".into(), uuid: 5, pid: 1 };
    let mut says = end(Role::Even, liar.clone(), own.uuid);
    let mut hears = end(Role::Odd, own.clone(), own.uuid);
    let (mut greeting, mut all) = (Vec::new(), Vec::new());
    let _ = hears.poll_transmit(now, &mut greeting, 4096);
    says.handle_input(now, &greeting);
    let by = Cancelled { canceller: liar, cause: Cause::Asked };
    says.cancel_peer(now, CancelRequest { by, grace: Duration::from_secs(1) }).unwrap();
    let _ = says.poll_transmit(now, &mut all, 4096);
    let told = smol::unblock(move || {
        let mut socket = UnixStream::connect(path).unwrap();
        socket.write_all(&all).unwrap();
        let mut told = Vec::new();
        let _ = socket.read_to_end(&mut told);
        told
    });
    assert!(!told.await.is_empty());
    // It was turned away, and its link has ended: what it has asked for was heard, or never will be. A
    // tree that was asked to end starts nobody any more.
    open_nursery(async |nursery: Nursery| {
        let worker = nursery.start_actor("worker").await?;
        assert!(worker.run(alive()).await?);
        worker.cancel().await
    })
    .await
}
