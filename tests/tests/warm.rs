//! Actors that are started from processes which waited for it (P-L7): they are as any other, and what
//! waits is never in the way.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::future::pending;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::time::Duration;

use async_io::Timer;
use futures_lite::future::yield_now;
use hatchery::{
    Error, ErrorKind, LocalPortal, Nursery, ParentPortal, Portal, Result, Trace, cancel_scope,
    open_nursery, with_trace,
};
use hatchery_tests::procfs::{Process, own_pid, threads_of, wait_for_readable};
use hatchery_tests::programs::Signal;
use hatchery_tests::sign::{Sign, until};
use hatchery_tests::worker::{alive, held, wait_for_cancel};

/// Far beyond what anything here takes.
const LONG: Duration = Duration::from_secs(20);

/// The processes that wait: they are called so, and no actor is here.
fn waiting() -> BTreeSet<u32> {
    let is_one = |process: &Process| {
        process.parent == own_pid() && process.name == "waiting" && !process.is_zombie()
    };
    Process::all().iter().filter(|one| is_one(one)).map(|one| one.pid.cast_unsigned()).collect()
}

fn process(pid: u32) -> Process {
    Process::of(pid.cast_signed()).expect("a process that lives")
}

/// A nursery in which so many processes wait.
async fn warm<T>(
    count: usize,
    body: impl AsyncFnOnce(&Nursery, BTreeSet<u32>) -> Result<T>,
) -> Result<T> {
    open_nursery(async |nursery: Nursery| {
        nursery.warm(count)?;
        nursery.warmed().await?;
        let pids = waiting();
        assert_eq!(pids.len(), count);
        body(&nursery, pids).await
    })
    .await
}

fn was_warm(portal: &Portal, pids: &BTreeSet<u32>) -> bool {
    pids.contains(&portal.id().pid)
}

// ---- taken ----

#[hatchery::test]
async fn p_l7_starts_take_what_waits_and_as_many_wait_again() -> Result<()> {
    warm(2, async |nursery, pids| {
        let workers = [nursery.start_actor("one").await?, nursery.start_actor("two").await?];
        for (worker, name) in workers.iter().zip(["one", "two"]) {
            assert!(was_warm(worker, &pids), "{worker:?} {pids:?}");
            assert_eq!(worker.id().name, name);
            assert!(worker.run(alive()).await?);
        }
        nursery.warmed().await?;
        let next = waiting();
        assert_eq!(next.len(), 2, "{next:?}");
        assert!(next.is_disjoint(&pids), "{next:?} {pids:?}");
        // Of the next start as well.
        let third = nursery.start_actor("three").await?;
        assert!(was_warm(&third, &next));
        nursery.cancel();
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn p_l7_many_starts_at_once_are_all_started_however_few_wait() -> Result<()> {
    warm(2, async |nursery, pids| {
        let (started, starts) = async_channel::unbounded();
        for name in ["a", "b", "c", "d", "e", "f"] {
            let (nursery_of, started) = (nursery.clone(), started.clone());
            let pids = pids.clone();
            nursery.spawn(async move {
                let worker = nursery_of.start_actor(name).await?;
                assert_eq!(worker.run(names()).await?[0], name);
                started.send(was_warm(&worker, &pids)).await.map_err(Error::new)
            });
        }
        let mut warm = 0;
        for _ in 0..6 {
            warm += u32::from(starts.recv().await.map_err(Error::new)?);
        }
        assert_eq!(warm, 2, "each is taken once, and none is forgotten");
        nursery.cancel();
        Ok(())
    })
    .await
}

/// Reports a failure of its own, from this actor.
#[hatchery::endpoint]
async fn fails() -> Result<()> {
    Err(Error::message("as it was told"))
}

#[hatchery::endpoint]
async fn panics() {
    panic!("on purpose")
}

/// What the actor that runs this is called: by itself, by the system, in its environment, and by its
/// parent, which it asks.
#[hatchery::endpoint]
async fn names() -> Result<Vec<String>> {
    let own = LocalPortal::new()?.id().name;
    let known = process(std::process::id()).name;
    let parent = ParentPortal::new()?.id().name.clone();
    Ok(vec![own, known, parent])
}

#[hatchery::test]
async fn p_l7_an_actor_has_the_name_it_was_given_in_itself_in_proc_and_in_what_it_reports()
-> Result<()> {
    warm(3, async |nursery, pids| {
        let worker = nursery.start_actor("wörker").await?;
        assert!(was_warm(&worker, &pids));
        let root = LocalPortal::new()?.id().name;
        assert_eq!(worker.run(names()).await?, ["wörker", "wörker", &root]);
        let error = worker.run(fails()).await.expect_err("it fails");
        assert_eq!(error.report().origin.name, "wörker");
        let hops: Vec<_> = error.report().hops.iter().map(|hop| hop.actor.name.as_str()).collect();
        assert!(hops.contains(&"wörker") && !hops.contains(&"waiting"), "{hops:?}");
        assert!(!format!("{error:?}").contains("waiting"), "{error:?}");
        worker.cancel().await
    })
    .await
}

#[hatchery::test]
async fn p_l7_a_death_is_that_of_the_actor_that_was_started() -> Result<()> {
    let died = warm(1, async |nursery, pids| {
        let victim = nursery.start_actor("victim").await?;
        assert!(was_warm(&victim, &pids));
        process(victim.id().pid).kill();
        pending::<Result<()>>().await
    })
    .await;
    let error = died.expect_err("a member has died");
    assert_eq!(error.exit().expect("a death").actor.name, "victim");
    assert!(error.to_string().contains("victim"), "{error}");
    Ok(())
}

/// Which trace its main task belongs to, and what it panics with.
#[hatchery::endpoint]
async fn trace() -> Option<String> {
    Trace::current().map(|trace| String::from_utf8_lossy(trace.as_bytes()).into_owned())
}

#[hatchery::test]
async fn p_l7_what_an_actor_is_told_at_its_start_reaches_one_that_has_waited() -> Result<()> {
    warm(3, async |nursery, pids| {
        let of = |text: &str| Trace::new(text.as_bytes());
        let traced = async { nursery.run_in_actor("traced", trace()).await };
        let traced = with_trace(of("a trace")?, traced).await?;
        assert!(was_warm(&traced, &pids));
        assert_eq!(traced.result::<trace>().await?.as_deref(), Some("a trace"));
        // One endpoint is exposed, and no other; a panic has a backtrace.
        let narrow = nursery.actor("narrow").expose::<panics>().debug(true).start().await?;
        assert!(was_warm(&narrow, &pids));
        let refused = narrow.run(names()).await.expect_err("it is not exposed");
        assert!(matches!(refused.kind(), ErrorKind::Refused(_)), "{refused:?}");
        let panic = narrow.run(panics()).await.expect_err("it panics");
        assert!(panic.report().backtrace.is_some(), "{panic:?}");
        narrow.cancel().await
    })
    .await
}

#[hatchery::test]
async fn p_l7_an_actor_that_has_waited_starts_others_and_is_cancelled_in_order() -> Result<()> {
    warm(1, async |nursery, pids| {
        let branch = nursery.run_in_actor("branch", grows()).await?;
        assert!(was_warm(&branch, &pids));
        let below = branch.result::<grows>().await?;
        assert_eq!(below, ["leaf", "leaf"]);
        nursery.warmed().await?;
        let waits = nursery.run_in_actor("waits", waits_for_cancel()).await?;
        waits.cancel().await?;
        Ok(())
    })
    .await
}

/// Has an actor started from one that waits, and says what that is called here and there.
#[hatchery::endpoint]
async fn grows() -> Result<Vec<String>> {
    warm(1, async |nursery, pids| {
        let leaf = nursery.start_actor("leaf").await?;
        assert!(was_warm(&leaf, &pids));
        let there = leaf.run(names()).await?.remove(0);
        leaf.cancel().await?;
        Ok(vec![leaf.id().name, there])
    })
    .await
}

#[hatchery::endpoint]
async fn waits_for_cancel() -> Result<()> {
    Err(wait_for_cancel().await)
}

#[hatchery::endpoint]
async fn variable(name: String) -> Option<String> {
    std::env::var(name).ok()
}

#[hatchery::test]
async fn p_l7_what_is_fixed_at_a_processs_start_is_never_taken_from_one_that_waits() -> Result<()> {
    warm(1, async |nursery, pids| {
        let own = std::env::current_exe().map_err(Error::new)?;
        let builders = [
            nursery.actor("env").env("WARM_COLOUR", "green"),
            nursery.actor("removed").env_remove("WARM_COLOUR"),
            nursery.actor("arg").arg("--colour"),
            nursery.actor("folder").current_dir("/"),
            nursery.actor("stdin").inherit_stdin(),
            nursery.actor("program").program(own),
        ];
        for builder in builders {
            let cold = builder.start().await?;
            assert!(!was_warm(&cold, &pids), "{cold:?}");
            let colour = (cold.id().name == "env").then(|| "green".to_owned());
            assert_eq!(cold.run(variable("WARM_COLOUR".into())).await?, colour);
            cold.cancel().await?;
        }
        let unnamed = nursery.start_actor("a\0b").await.expect_err("no process is called so");
        assert_eq!(*unnamed.kind(), ErrorKind::Spawn, "{unnamed:?}");
        assert_eq!(waiting(), pids, "the one that waits still does");
        // What is said to a process may be asked for of one that waits.
        let said = nursery.actor("said").start_within(LONG).start().await?;
        assert!(was_warm(&said, &pids));
        said.cancel().await
    })
    .await
}

// ---- dead ----

#[hatchery::test]
async fn p_l7_a_start_that_takes_one_that_is_dead_or_dying_is_not_lost() -> Result<()> {
    for reaped in [false, true] {
        warm(2, async |nursery, pids| {
            for pid in &pids {
                let one = process(*pid);
                let exit = one.pidfd().expect("it lives");
                one.kill();
                // Nobody else in this process runs meanwhile, and hears of it only then.
                assert!(!reaped || wait_for_readable([exit.as_fd()], LONG));
            }
            let worker = nursery.start_actor("worker").await?;
            assert!(!was_warm(&worker, &pids), "{worker:?}");
            assert_eq!(worker.run(names()).await?[0], "worker");
            let once = nursery.run_in_actor("once", alive()).await?;
            assert!(once.result::<alive>().await?);
            worker.cancel().await
        })
        .await?;
    }
    Ok(())
}

#[hatchery::test]
async fn p_l7_a_start_that_takes_one_that_hears_nothing_is_made_again_after_its_time() -> Result<()>
{
    warm(1, async |nursery, pids| {
        process(*pids.first().expect("one")).signal(Signal::STOP);
        let worker =
            nursery.actor("worker").start_within(Duration::from_millis(300)).start().await?;
        assert!(!was_warm(&worker, &pids));
        assert!(worker.run(alive()).await?);
        worker.cancel().await
    })
    .await
}

/// Says that it has begun, and is no more.
#[hatchery::endpoint]
async fn dies_at_once(begun: String) -> Result<()> {
    let file = OpenOptions::new().append(true).create(true).open(begun);
    file.and_then(|mut file| file.write_all(b".")).map_err(Error::new)?;
    std::process::abort()
}

#[hatchery::test]
async fn p_l7_a_main_task_that_takes_its_process_along_is_not_begun_again() -> Result<()> {
    for round in 0..10 {
        let begun = Sign::new(&format!("begun-{round}"));
        let died = warm(1, async |nursery, pids| {
            let victim = nursery.run_in_actor("victim", dies_at_once(begun.path())).await?;
            assert!(was_warm(&victim, &pids));
            pending::<Result<()>>().await
        })
        .await;
        let error = died.expect_err("a member has died");
        assert_eq!(error.exit().expect("a death").actor.name, "victim", "{error:?}");
        assert_eq!(std::fs::read(begun.path()).map_err(Error::new)?, b".");
    }
    Ok(())
}

#[hatchery::test]
async fn p_l7_a_cancel_of_a_start_that_took_a_dead_one_is_no_reason_for_another() -> Result<()> {
    warm(1, async |nursery, pids| {
        process(*pids.first().expect("one")).kill();
        let start = async { nursery.start_actor("worker").await.map(drop) };
        // Polled once, which is what takes it, and then dropped.
        futures_lite::future::or(async { start.await.map_err(Some) }, async {
            yield_now().await;
            Err(None)
        })
        .await
        .expect_err("it is not up so soon");
        Ok(())
    })
    .await?;
    let left = Process::all().into_iter().filter(|one| one.parent == own_pid());
    assert_eq!(left.map(|one| one.name).collect::<Vec<_>>(), [""; 0]);
    Ok(())
}

#[hatchery::test]
async fn p_l7_one_that_dies_while_it_waits_is_replaced_and_fails_nothing() -> Result<()> {
    warm(2, async |nursery, pids| {
        let killed = *pids.first().expect("two");
        process(killed).kill();
        until("another waits", || {
            let now = waiting();
            now.len() == 2 && !now.contains(&killed)
        })
        .await;
        nursery.warmed().await?;
        let worker = nursery.start_actor("worker").await?;
        assert!(was_warm(&worker, &waiting()) || was_warm(&worker, &pids));
        worker.cancel().await
    })
    .await
}

// ---- the end ----

/// Waits in a block that ends as `end` has it; nothing is there behind it.
async fn gone_after(
    what: &str,
    end: impl AsyncFnOnce(&Nursery) -> Result<()>,
    expected: impl FnOnce(&Result<()>) -> bool,
) {
    let mut known = Vec::new();
    let ended = warm(3, async |nursery, pids| {
        known.extend(pids.iter().map(|pid| process(*pid)));
        end(nursery).await
    })
    .await;
    // At once: they were reaped before the block had ended.
    let left: Vec<_> =
        known.iter().filter(|one| Process::of(one.pid).is_some_and(|now| now.is(one))).collect();
    assert!(left.is_empty() && known.len() == 3, "{what}: {left:?}");
    assert!(expected(&ended), "{what}: {ended:?}");
}

#[hatchery::test]
async fn p_l7_nothing_that_waits_is_left_behind_its_block_however_that_ends() -> Result<()> {
    gone_after("ends well", async |_| Ok(()), Result::is_ok).await;
    gone_after("fails", async |_| Err(Error::message("so")), Result::is_err).await;
    let dies = async |nursery: &Nursery| {
        let victim = nursery.actor("victim").arg("cold").start().await?;
        process(victim.id().pid).kill();
        pending().await
    };
    gone_after("a member dies", dies, Result::is_err).await;
    let cancelled = cancel_scope(async |scope| {
        let cancels = async |_: &Nursery| {
            scope.cancel();
            pending().await
        };
        gone_after("is cancelled", cancels, Result::is_err).await;
        Ok::<_, Error>(())
    });
    cancelled.await?;
    assert_eq!(waiting(), BTreeSet::new());
    Ok(())
}

#[hatchery::test]
async fn p_l7_a_block_may_end_at_any_moment_of_a_start_in_the_background() -> Result<()> {
    for moment in 0..40 {
        for fails in [true, false] {
            let ended: Result<()> = open_nursery(async |nursery: Nursery| {
                nursery.warm(50)?;
                for _ in 0..moment {
                    Timer::after(Duration::from_micros(100)).await;
                }
                if fails { Err(Error::message("as it was told")) } else { Ok(()) }
            })
            .await;
            assert_eq!(ended.is_err(), fails, "{ended:?}");
            let left = Process::all().into_iter().filter(|one| one.parent == own_pid());
            let left: Vec<_> = left.collect();
            assert!(left.is_empty(), "moment {moment}: {left:?}");
        }
    }
    Ok(())
}

#[hatchery::test]
async fn p_l7_a_task_takes_what_waits_when_the_body_has_ended() -> Result<()> {
    let (told, tells) = async_channel::bounded(1);
    warm(1, async |nursery, pids| {
        let of_task = nursery.clone();
        nursery.spawn(async move {
            for _ in 0..10 {
                yield_now().await;
            }
            let worker = of_task.start_actor("worker").await?;
            told.send(was_warm(&worker, &pids)).await.map_err(Error::new)?;
            worker.cancel().await
        });
        Ok(())
    })
    .await?;
    assert!(tells.recv().await.map_err(Error::new)?);
    Ok(())
}

#[hatchery::test]
async fn p_l7_a_nurserys_cancel_concerns_actors_and_fewer_may_be_wanted() -> Result<()> {
    warm(3, async |nursery, pids| {
        let worker = nursery.start_actor("worker").await?;
        nursery.warmed().await?;
        let before = waiting();
        nursery.cancel();
        worker.ended().await;
        assert_eq!(waiting(), before);
        nursery.warm(1)?;
        until("one is left", || waiting().len() == 1).await;
        assert!(waiting().is_subset(&before), "of those that were there: {pids:?}");
        nursery.warmed().await?;
        nursery.warm(0)?;
        nursery.warmed().await?;
        until("none is left", || waiting().is_empty()).await;
        assert!(nursery.start_actor("cold").await?.run(alive()).await?);
        nursery.cancel();
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn p_l7_a_nursery_that_has_ended_keeps_nothing_waiting() -> Result<()> {
    let mut kept = None;
    open_nursery(async |nursery: Nursery| {
        kept = Some(nursery);
        Ok::<_, Error>(())
    })
    .await?;
    let nursery = kept.expect("it was open");
    let errors = [nursery.warm(1).expect_err("over"), nursery.warmed().await.expect_err("over")];
    for error in errors {
        assert_eq!(*error.kind(), ErrorKind::Misuse, "{error:?}");
    }
    assert_eq!(waiting(), BTreeSet::new());
    Ok(())
}

// ---- what it costs ----

/// What a process has to itself, in KiB.
fn private_dirty(pid: u32) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("it lives");
    let line = rollup.lines().find(|line| line.starts_with("Private_Dirty:")).expect("a line");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

#[hatchery::test]
async fn b14_what_waits_has_no_more_threads_and_memory_than_an_idle_actor() -> Result<()> {
    warm(1, async |nursery, pids| {
        let idle = nursery.actor("idle").arg("cold").start().await?;
        assert_eq!(idle.run(held()).await?, 0);
        let pid = *pids.first().expect("one");
        let threads = |pid: u32| {
            let all = threads_of(pid.cast_signed()).into_iter();
            let all = all.filter(move |(id, _)| *id != pid.cast_signed()).map(|(_, name)| name);
            all.collect::<BTreeSet<_>>()
        };
        // A thread takes its name a moment after it was started.
        let no_more = || threads(pid).is_subset(&threads(idle.id().pid));
        until("it has no other threads", no_more).await;
        let (mine, theirs) = (private_dirty(pid), private_dirty(idle.id().pid));
        assert!(mine <= theirs + 64, "{mine} KiB, and an idle actor {theirs}");
        idle.cancel().await
    })
    .await
}
