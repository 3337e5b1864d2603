//! Clusters and pools: many actors of one kind, by name or by whoever is free.

use std::future::{pending, poll_fn};
use std::io::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::available_parallelism;
use std::time::Duration;

use futures_lite::{StreamExt as _, future};
use hatchery::{
    ActorPool, Cause, Error, ErrorKind, Fleet, Nursery, Result, open_cluster, open_nursery,
    open_pool, timeout,
};
use hatchery_tests::procfs::Process;
use hatchery_tests::sign::{soon, until};

#[hatchery::endpoint]
async fn who() -> u32 {
    std::process::id()
}

#[hatchery::endpoint]
async fn square(n: u64) -> u64 {
    n * n
}

/// Is done only once the file is there.
#[hatchery::endpoint]
async fn waits_for(path: String, n: u64) -> u64 {
    until("a gate that is open", || std::path::Path::new(&path).exists()).await;
    n
}

#[hatchery::endpoint]
async fn role() -> String {
    std::env::var("ROLE").unwrap_or_default()
}

#[hatchery::endpoint]
async fn aborts() {
    std::process::abort()
}

#[hatchery::endpoint]
async fn fails(n: u64) -> Result<u64> {
    if n.is_multiple_of(2) { Ok(n) } else { Err(Error::message(format!("{n} is odd"))) }
}

#[hatchery::endpoint]
async fn never_ends() {
    pending().await
}

/// A path that names no file, and goes with whatever is there in the end.
struct Gate(String);

impl Gate {
    fn closed(name: &str) -> Self {
        let name = format!("fleets-{name}-{}", std::process::id());
        Self(std::env::temp_dir().join(name).to_str().unwrap().to_owned())
    }

    fn open(&self) {
        std::fs::write(&self.0, "").unwrap();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[hatchery::test]
async fn spn_22_a_cluster_is_a_fleet_by_name_that_ends_with_its_block() -> Result<()> {
    let pids = open_cluster(3, async |cluster| {
        let mut pids = Vec::new();
        for (name, portal) in cluster.iter() {
            assert_eq!(portal.id().name, name);
            pids.push(portal.run(who()).await?);
        }
        let own = hatchery::LocalPortal::new()?.id().name;
        assert!(cluster.get(&format!("{own}.2")).is_some() && cluster.get("nobody").is_none());
        assert_eq!((cluster.len(), cluster.portals().count()), (3, 3));
        Ok::<_, Error>(pids)
    })
    .await?;
    assert_eq!(pids.len(), 3);
    assert!(pids.iter().all(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists()));
    Ok(())
}

#[hatchery::test]
async fn spn_22_a_fleet_has_an_actor_a_core_its_own_names_and_options() -> Result<()> {
    let cores = available_parallelism().map_or(1, usize::from);
    open_cluster(None, async |cluster| {
        assert_eq!(cluster.len(), cores);
        Ok::<_, Error>(())
    })
    .await?;
    let fleet = Fleet::named(["left", "right"]).each(|actor| actor.env("ROLE", "indexer"));
    fleet
        .open_cluster(async |cluster| {
            let left = cluster.get("left").expect("it was named");
            assert_eq!(left.run(role()).await?, "indexer");
            Ok::<_, Error>(())
        })
        .await?;
    for wrong in [Fleet::of(0), Fleet::named(["a", "b", "a"])] {
        let error = wrong.open_cluster(async |_| Ok::<_, Error>(())).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Misuse, "{error}");
    }
    Ok(())
}

#[hatchery::test]
async fn spn_22_a_member_that_dies_fails_the_cluster() -> Result<()> {
    let error = open_cluster(2, async |cluster| {
        let first = cluster.portals().next().expect("there are two");
        let _ = first.run(aborts()).await;
        pending::<Result<()>>().await
    })
    .await
    .expect_err("one has died");
    assert!(matches!(error.kind(), ErrorKind::Died(_)), "{error:?}");
    Ok(())
}

#[hatchery::test]
async fn clu_02_a_pool_gives_results_in_the_order_of_the_calls() -> Result<()> {
    open_pool(3, async |pool| {
        assert_eq!((pool.size(), pool.replaced()), (3, 0));
        let mut jobs = pool.in_order((0..200).map(square));
        let mut next = 0;
        while let Some((place, value)) = jobs.next().await {
            assert_eq!((place as u64, value?), (next, next * next));
            next += 1;
        }
        assert_eq!(next, 200);
        Ok::<_, Error>(())
    })
    .await
}

#[hatchery::test]
async fn clu_02_what_ends_first_is_given_first_unless_order_is_asked_for() -> Result<()> {
    let gate = Gate::closed("first");
    open_pool(2, async |pool| {
        // The first waits until the others are through.
        let calls = |count: u64| {
            let (closed, open) = (gate.0.clone(), "/".to_owned());
            (0..count).map(move |n| waits_for(if n == 0 { &closed } else { &open }.clone(), n))
        };
        let mut jobs = pool.as_completed(calls(6));
        let mut places = Vec::new();
        for _ in 1..6 {
            places.push(jobs.next().await.expect("five of six").0);
        }
        assert_eq!(places, [1, 2, 3, 4, 5]);
        gate.open();
        assert_eq!(jobs.next().await.expect("the sixth").0, 0);
        assert!(jobs.next().await.is_none());
        Ok::<_, Error>(())
    })
    .await
}

#[hatchery::test]
async fn clu_02_calls_are_taken_as_workers_become_free() -> Result<()> {
    let taken = Arc::new(AtomicUsize::new(0));
    let gate = Gate::closed("taken");
    open_pool(2, async |pool| {
        let endless = |taken: Arc<AtomicUsize>, path: String| {
            (0..).map(move |n| {
                taken.fetch_add(1, Ordering::SeqCst);
                waits_for(path.clone(), n)
            })
        };
        let mut jobs = pool.as_completed(endless(taken.clone(), gate.0.clone()));
        assert!(future::poll_once(jobs.next()).await.is_none());
        assert_eq!(taken.load(Ordering::SeqCst), 2);
        drop(jobs);
        // In order, the first holds up how far ahead the others may run.
        taken.store(0, Ordering::SeqCst);
        let (closed, open) = (gate.0.clone(), "/".to_owned());
        let count = taken.clone();
        let calls = (0..).map(move |n| {
            count.fetch_add(1, Ordering::SeqCst);
            waits_for(if n == 0 { &closed } else { &open }.clone(), n)
        });
        let mut jobs = pool.in_order(calls);
        while taken.load(Ordering::SeqCst) < 4 {
            assert!(future::poll_once(jobs.next()).await.is_none());
            pool.run(who()).await?;
        }
        for _ in 0..20 {
            assert!(future::poll_once(jobs.next()).await.is_none());
            pool.run(who()).await?;
        }
        assert_eq!(taken.load(Ordering::SeqCst), 4);
        gate.open();
        assert_eq!(jobs.next().await.expect("the first").0, 0);
        Ok::<_, Error>(())
    })
    .await
}

#[hatchery::test]
async fn clu_02_a_job_that_kills_its_worker_is_told_and_the_worker_replaced() -> Result<()> {
    open_pool(2, async |pool| {
        let before = pids(&pool).await?;
        for deaths in 1..=3 {
            let error = pool.run(aborts()).await.expect_err("it aborts");
            assert!(matches!(error.kind(), ErrorKind::Died(_)), "{error:?}");
            // Both serve again, one of them anew.
            while pool.replaced() < deaths {
                future::yield_now().await;
            }
        }
        let after = pids(&pool).await?;
        assert_eq!((before.len(), after.len()), (2, 2));
        assert_ne!(before, after);
        Ok::<_, Error>(())
    })
    .await
}

/// Notes in the tally that it was tried; ends its process if it is the deadly one.
#[hatchery::endpoint]
async fn tries(tally: String, n: u64, deadly: u64) -> Result<u64> {
    let tally = std::fs::File::options().append(true).create(true).open(tally);
    tally.and_then(|mut tally| tally.write_all(format!("{n} ").as_bytes())).map_err(Error::new)?;
    if n == deadly { std::process::abort() } else { Ok(n) }
}

#[hatchery::test]
async fn clu_02_a_job_that_kills_its_worker_keeps_its_place_and_is_tried_once() -> Result<()> {
    const JOBS: u64 = 20;
    for (deadly, ordered) in [(0, true), (7, true), (0, false), (7, false)] {
        let tally = Gate::closed("tally");
        open_pool(2, async |pool| {
            pids(&pool).await?;
            let calls = (0..JOBS).map(|n| tries(tally.0.clone(), n, deadly));
            let mut jobs = if ordered { pool.in_order(calls) } else { pool.as_completed(calls) };
            let mut places = open_nursery(async |nursery: Nursery| {
                // There are others in the line for its worker.
                for n in 0..6 {
                    let pool = pool.clone();
                    nursery.spawn(async move {
                        assert_eq!(pool.run(square(n)).await?, n * n);
                        Ok::<_, Error>(())
                    });
                }
                let mut places = Vec::new();
                while let Some((place, done)) = jobs.next().await {
                    match done {
                        Ok(value) => assert_eq!(value, place as u64),
                        Err(error) => {
                            assert!(matches!(error.kind(), ErrorKind::Died(_)), "{error:?}");
                            assert_eq!(place as u64, deadly, "{error:?}");
                        }
                    }
                    places.push(place as u64);
                }
                Ok::<_, Error>(places)
            })
            .await?;
            if !ordered {
                places.sort_unstable();
            }
            assert_eq!(places, (0..JOBS).collect::<Vec<_>>());
            let tried = std::fs::read_to_string(&tally.0).map_err(Error::new)?;
            let tried = tried.split_whitespace().map(|n| n.parse::<u64>().expect("a number"));
            let mut tried: Vec<_> = tried.collect();
            tried.sort_unstable();
            assert_eq!(tried, places, "each once");
            until_replaced(&pool, 1).await;
            assert_eq!(pids(&pool).await?.len(), 2);
            assert_eq!(pool.replaced(), 1);
            Ok::<_, Error>(())
        })
        .await?;
    }
    Ok(())
}

async fn until_replaced(pool: &ActorPool, count: usize) {
    let replaced = async {
        while pool.replaced() < count {
            future::yield_now().await;
        }
    };
    soon(replaced).await;
}

#[hatchery::test]
async fn clu_02_a_worker_that_is_killed_while_it_has_nothing_to_do_is_replaced() -> Result<()> {
    open_pool(2, async |pool| {
        let before = pids(&pool).await?;
        assert!(process(before[0]).kill());
        until_replaced(&pool, 1).await;
        let after = pids(&pool).await?;
        assert!(after.contains(&before[1]) && !after.contains(&before[0]), "{before:?} {after:?}");
        assert_eq!(pool.replaced(), 1);
        Ok::<_, Error>(())
    })
    .await
}

fn process(pid: u32) -> Process {
    Process::of(pid.cast_signed()).expect("it lives")
}

/// Somebody who waits for a worker, and sees that one came without taking it: it counts as one that
/// has had no job.
struct InLine {
    run: Pin<Box<dyn Future<Output = Result<u32>> + Send>>,
    called: Arc<Called>,
}

struct Called {
    is: AtomicBool,
    waker: Waker,
}

impl Wake for Called {
    fn wake(self: Arc<Self>) {
        self.is.store(true, Ordering::Release);
        self.waker.wake_by_ref();
    }
}

impl InLine {
    async fn of(pool: &ActorPool) -> Self {
        let pool = pool.clone();
        let mut run = Box::pin(async move { pool.run(who()).await });
        let called = poll_fn(|cx| {
            let called = Called { is: AtomicBool::new(false), waker: cx.waker().clone() };
            Poll::Ready(Arc::new(called))
        })
        .await;
        let waker = Waker::from(called.clone());
        assert!(run.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        assert!(!called.is.load(Ordering::Acquire), "there is a worker already");
        Self { run, called }
    }

    async fn called(&self) {
        let called = poll_fn(|_cx| match self.called.is.load(Ordering::Acquire) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        });
        soon(called).await;
    }
}

#[hatchery::test]
async fn clu_02_whoever_was_given_a_worker_that_has_died_since_gets_the_next() -> Result<()> {
    open_pool(1, async |pool| {
        let first = InLine::of(&pool).await;
        first.called().await;
        let (second, third) = (InLine::of(&pool).await, InLine::of(&pool).await);
        let pid = first.run.await?;
        second.called().await;
        assert!(process(pid).kill());
        until_replaced(&pool, 1).await;
        let (second, third) = soon(future::zip(second.run, third.run)).await;
        let next = second?;
        assert_ne!(next, pid);
        assert_eq!(third?, next);
        Ok::<_, Error>(())
    })
    .await
}

#[hatchery::test]
async fn clu_02_workers_that_die_thrice_in_a_row_without_a_job_end_the_pool() -> Result<()> {
    let role = format!("dies-{}", std::process::id());
    let workers = || {
        let all = Process::all().into_iter();
        all.filter(|one| one.variable("ROLE").as_ref() == Some(&role)).collect::<Vec<_>>()
    };
    let started = AtomicUsize::new(0);
    let fleet = {
        let role = role.clone();
        Fleet::of(1).each(move |actor| actor.env("ROLE", &role))
    };
    let ended = fleet.open_pool(async |pool| {
        let (mut first, mut held) = (InLine::of(&pool).await, Vec::new());
        // One that has had a job makes up for those before it.
        for has_a_job in [false, false, true, false, false, false] {
            first.called().await;
            started.fetch_add(1, Ordering::Relaxed);
            if has_a_job {
                let next = InLine::of(&pool).await;
                first.run.await?;
                next.called().await;
                first = next;
            }
            // Whoever leaves hands on what they were given: not before its end is known.
            held.push(std::mem::replace(&mut first, InLine::of(&pool).await));
            let workers = workers();
            assert_eq!(workers.len(), 1, "{workers:?}");
            assert!(workers[0].kill());
        }
        assert_eq!(pool.replaced(), 5);
        first.run.await
    });
    let error = soon(ended).await.expect_err("it dies again and again");
    assert!(matches!(error.kind(), ErrorKind::Died(_)), "{error:?}");
    assert_eq!(started.load(Ordering::Relaxed), 6);
    assert!(workers().is_empty());
    Ok(())
}

/// The processes that serve: each is asked while the others are busy.
async fn pids(pool: &ActorPool) -> Result<Vec<u32>> {
    let mut pids: Vec<u32> = Vec::new();
    while pids.len() < pool.size() {
        let pid = pool.run(who()).await?;
        if !pids.contains(&pid) {
            pids.push(pid);
        }
    }
    pids.sort_unstable();
    Ok(pids)
}

#[hatchery::test]
async fn clu_02_a_failed_job_is_its_own_and_no_other_one_s() -> Result<()> {
    open_pool(2, async |pool| {
        let mut jobs = pool.in_order((0..10).map(fails));
        while let Some((place, done)) = jobs.next().await {
            match done {
                Ok(value) => assert_eq!(value, place as u64),
                Err(error) => assert!(error.to_string().contains("is odd"), "{error}"),
            }
        }
        assert_eq!(pool.replaced(), 0);
        Ok::<_, Error>(())
    })
    .await
}

#[hatchery::test]
async fn clu_02_a_job_that_is_dropped_is_cancelled_and_its_worker_free() -> Result<()> {
    open_pool(1, async |pool| {
        let ended = timeout(Duration::from_millis(5), pool.run(never_ends())).await;
        let error = ended.expect_err("it never ends");
        assert_eq!(error.cancelled().map(|by| &by.cause), Some(&Cause::Deadline), "{error:?}");
        assert_eq!(pool.run(square(3)).await?, 9);

        let mut jobs = pool.as_completed([never_ends()]);
        assert!(future::poll_once(jobs.next()).await.is_none());
        drop(jobs);
        assert_eq!(pool.run(square(4)).await?, 16);
        Ok::<_, Error>(())
    })
    .await
}

#[hatchery::test]
async fn clu_02_a_pool_whose_block_has_ended_takes_no_jobs() -> Result<()> {
    let pool = open_pool(1, async |pool| Ok::<_, Error>(pool)).await?;
    let error = pool.run(square(2)).await.expect_err("the block has ended");
    assert_eq!(error.kind(), &ErrorKind::Misuse, "{error:?}");
    let error = open_pool(2, async |pool| {
        pool.run(square(2)).await?;
        Err::<(), _>(Error::message("of the block"))
    });
    assert!(error.await.unwrap_err().to_string().contains("of the block"));
    Ok(())
}
