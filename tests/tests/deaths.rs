//! Processes that die, hang or are stopped: one error that says what happened, in time, and nothing
//! is left.

use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use futures_lite::{FutureExt as _, future};
use hatchery::{
    Context, Error, ErrorKind, ExitReport, ExitStatus, Nursery, Options, Receives, Result, Rung,
    Sends, Starts, open_nursery,
};
use hatchery_tests::procfs::{Process, wait_for_readable};
use hatchery_tests::programs::Signal;

/// What the promise of one second comes to on a machine that is busy with other tests.
const SECOND: Duration = Duration::from_secs(10);

#[hatchery::endpoint]
async fn forever() {
    future::pending().await
}

#[hatchery::endpoint]
#[expect(clippy::exit, reason = "what it is for")]
async fn exits(code: i32) {
    std::process::exit(code)
}

/// Panics where no panic can be caught.
#[hatchery::endpoint]
async fn panics_twice() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("the second");
        }
    }
    let _bomb = Bomb;
    panic!("the first");
}

/// Uses this many ticks of a processor, a hundredth of a second each, then ends the process.
#[hatchery::endpoint]
async fn burns(ticks: u64) {
    let used = || {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let times = fields.split(' ').skip(11).take(2);
        times.map(|time| time.parse::<u64>().unwrap()).sum::<u64>()
    };
    while used() < ticks {}
    std::process::abort()
}

#[hatchery::endpoint]
async fn panics() {
    panic!("on purpose")
}

#[hatchery::endpoint]
async fn aborts() {
    std::process::abort()
}

/// Never comes back to its executor once the file is there.
#[hatchery::endpoint]
async fn busy(path: String) -> Result<()> {
    std::fs::write(path, "").map_err(Error::new)?;
    loop {
        std::thread::park();
    }
}

#[hatchery::context]
async fn numbers(cx: Context<Starts<()>, Sends<u64>, Receives<()>>) -> Result<()> {
    let stream = cx.started(()).await?.open_stream();
    let mut n = 0;
    loop {
        stream.send(n).await?;
        n += 1;
    }
}

fn process(pid: u32) -> Process {
    Process::of(pid.cast_signed()).expect("a child that lives")
}

/// What a nursery that fails comes to, and that it does so in time.
async fn failure<F, Fut>(body: F) -> Error
where
    F: FnOnce(Nursery) -> Fut,
    Fut: Future<Output = Result<()>>,
{
    let since = Instant::now();
    let error = open_nursery(body).await.expect_err("the nursery was to fail");
    assert!(since.elapsed() < SECOND, "took {:?}", since.elapsed());
    error
}

fn died(error: &Error) -> &ExitReport {
    let ErrorKind::Died(exit) = error.kind() else { panic!("{error:?}") };
    assert!(error.also().is_empty(), "more than one error: {error:?}");
    exit
}

fn assert_killed(error: &Error, name: &str) {
    let exit = died(error);
    assert_eq!(exit.actor.name, name);
    assert_eq!(exit.status, Some(ExitStatus::Signal { number: 9, core: false }), "{exit:?}");
    assert!(error.to_string().contains(name) && error.to_string().contains('9'), "{error}");
}

#[hatchery::test]
async fn a_child_killed_while_idle_is_one_error_and_ends_its_siblings() -> Result<()> {
    let error = failure(async |nursery| {
        nursery.start_actor("sibling").await?;
        nursery.run_in_actor("sleeper", forever()).await?;
        let victim = nursery.start_actor("victim").await?;
        process(victim.id().pid).kill();
        future::pending().await
    })
    .await;
    assert_killed(&error, "victim");
    Ok(())
}

#[hatchery::test]
async fn f_01_a_call_to_a_child_that_has_just_died_says_how() -> Result<()> {
    for yields in 0..16 {
        let error = failure(async |nursery| {
            let victim = nursery.start_actor("victim").await?;
            let one = process(victim.id().pid);
            let exit = one.pidfd().expect("a child that lives");
            one.kill();
            // Nobody else in this process runs meanwhile, and hears of it only then.
            assert!(wait_for_readable([exit.as_fd()], SECOND));
            for _ in 0..yields {
                future::yield_now().await;
            }
            victim.run(forever()).await
        })
        .await;
        assert_killed(&error, "victim");
    }
    Ok(())
}

#[hatchery::test]
async fn f_14_a_child_that_breaks_off_before_it_is_up_is_not_called_slow() -> Result<()> {
    let error = failure(async |nursery| {
        let deaf = nursery.actor("deaf").program("/bin/sh").arg("-c").arg("exec sleep 60 <&-");
        deaf.start().await.map(drop)
    })
    .await;
    assert_eq!(*error.kind(), ErrorKind::Spawn);
    let said = error.to_string();
    assert!(said.contains("closed its link") && !said.contains("10 s"), "{said}");
    Ok(())
}

#[hatchery::test]
async fn a_child_killed_during_a_call_says_what_was_under_way() -> Result<()> {
    let error = failure(async |nursery| {
        nursery.start_actor("sibling").await?;
        let victim = nursery.start_actor("victim").await?;
        let mut call = Box::pin(victim.run(forever()));
        assert!(future::poll_once(&mut call).await.is_none());
        process(victim.id().pid).kill();
        call.await
    })
    .await;
    assert_killed(&error, "victim");
    assert!(error.to_string().contains("deaths::forever"), "{error}");
    Ok(())
}

#[hatchery::test]
async fn spn_13_a_one_shot_actor_that_is_killed_fails_its_nursery_and_its_result() -> Result<()> {
    let mut kept = None;
    let error = failure(async |nursery| {
        let victim = nursery.run_in_actor("victim", forever()).await?;
        process(victim.id().pid).kill();
        kept = Some(victim);
        future::pending().await
    })
    .await;
    assert_killed(&error, "victim");
    let result = kept.unwrap().result::<forever>().await.unwrap_err();
    assert_killed(&result, "victim");
    assert!(result.to_string().contains("deaths::forever"), "{result}");
    Ok(())
}

#[hatchery::test]
async fn a_child_killed_while_it_streams_ends_the_receive() -> Result<()> {
    let error = failure(async |nursery| {
        let victim = nursery.start_actor("victim").await?;
        victim
            .with_context(numbers(), async |mut cx, ()| {
                let mut stream = cx.open_stream()?;
                let mut count = 0;
                while let Some(n) = stream.recv().await? {
                    assert_eq!(n, count, "values up to the end are in order");
                    count += 1;
                    if count == 1000 {
                        process(victim.id().pid).kill();
                    }
                }
                panic!("a graceful end");
            })
            .await
    })
    .await;
    assert_killed(&error, "victim");
    assert!(error.to_string().contains("deaths::numbers"), "{error}");
    Ok(())
}

#[hatchery::test]
async fn a_child_killed_while_the_body_waits_elsewhere_interrupts_it() -> Result<()> {
    let error = failure(async |nursery| {
        let victim = nursery.start_actor("victim").await?;
        victim
            .with_context(numbers(), async |_cx, ()| {
                process(victim.id().pid).kill();
                future::pending().await
            })
            .await
    })
    .await;
    assert_killed(&error, "victim");
    Ok(())
}

#[hatchery::test]
async fn a_task_that_exits_the_process_is_a_death_with_its_code() -> Result<()> {
    for code in [0, 7] {
        let error = failure(async |nursery| {
            let victim = nursery.start_actor("victim").await?;
            victim.run(exits(code)).await
        })
        .await;
        let exit = died(&error);
        assert_eq!(exit.status, Some(ExitStatus::Code(code)));
        assert!(error.to_string().contains("deaths::exits"), "{error}");
    }
    Ok(())
}

#[hatchery::test]
async fn a_task_that_aborts_is_a_death_by_signal() -> Result<()> {
    let error = failure(async |nursery| {
        let victim = nursery.start_actor("victim").await?;
        victim.run(aborts()).await
    })
    .await;
    let status = died(&error).status;
    assert!(matches!(status, Some(ExitStatus::Signal { number: 6, .. })), "{error:?}");
    Ok(())
}

#[hatchery::test]
async fn f_17_a_panic_that_ends_the_process_is_told_with_its_place() -> Result<()> {
    let error = failure(async |nursery| {
        let victim = nursery.start_actor("victim").await?;
        victim.run(panics_twice()).await
    })
    .await;
    let exit = died(&error);
    for part in ["the first", "the second", file!()] {
        assert!(exit.panics.contains(part), "{part}: {exit:?}");
    }
    assert!(format!("{error:?}").contains("the second"), "{error:?}");
    Ok(())
}

#[hatchery::test]
async fn a_panic_that_became_an_error_is_not_told_again_with_a_later_death() -> Result<()> {
    let error = failure(async |nursery| {
        let victim = nursery.start_actor("victim").await?;
        victim.run(panics()).await.expect_err("a panic");
        victim.run(aborts()).await
    })
    .await;
    assert_eq!(died(&error).panics, "");
    Ok(())
}

#[hatchery::test]
async fn a_death_says_what_was_used_and_what_came_last() -> Result<()> {
    let error = failure(async |nursery| {
        let victim = nursery.start_actor("victim").await?;
        victim.run(burns(20)).await
    })
    .await;
    let exit = died(&error);
    let usage = exit.usage.expect("the system keeps accounts");
    assert!(usage.user + usage.system >= Duration::from_millis(200), "{exit:?}");
    assert!(exit.last_message.starts_with("received StartAck of "), "{exit:?}");
    assert_eq!((exit.asked_by.as_ref(), exit.rungs.as_slice()), (None, [].as_slice()));
    assert!(!exit.out_of_memory);
    Ok(())
}

#[hatchery::test(options = Options::new().teardown(Duration::from_millis(800)))]
async fn p_t1_a_child_that_ignores_its_cancel_is_ended_by_force_and_that_is_said() -> Result<()> {
    let error = failure(async |nursery| {
        let stuck = nursery.start_actor("stuck").await?;
        let path = std::env::temp_dir().join(format!("deaths-busy-{}", stuck.id().pid));
        let mut call = Box::pin(stuck.run(busy(path.to_str().unwrap().to_owned())));
        while !path.exists() {
            assert!(future::poll_once(&mut call).await.is_none());
            future::yield_now().await;
        }
        std::fs::remove_file(path).map_err(Error::new)?;
        stuck.cancel().await?;
        assert!(call.await.is_err());
        Ok(())
    })
    .await;
    let exit = died(&error);
    assert_eq!(exit.actor.name, "stuck");
    assert!(matches!(exit.rung, Rung::Terminated | Rung::Killed), "{exit:?}");
    assert!(error.to_string().contains("by force"), "{error}");
    Ok(())
}

#[hatchery::test(options = Options::new().teardown(Duration::from_millis(800)))]
async fn f_02_p_t1_a_stopped_child_is_ended_by_force_and_that_is_said() -> Result<()> {
    let error = failure(async |nursery| {
        let stopped = nursery.start_actor("stopped").await?;
        process(stopped.id().pid).signal(Signal::STOP);
        stopped.cancel().await
    })
    .await;
    let exit = died(&error);
    assert_eq!((exit.rung, exit.actor.name.as_str()), (Rung::Killed, "stopped"));
    let rungs: Vec<_> = exit.rungs.iter().map(|(rung, _)| *rung).collect();
    assert_eq!(rungs, [Rung::Asked, Rung::Terminated, Rung::Killed]);
    let took: Duration = exit.rungs.iter().map(|(_, took)| *took).sum();
    assert!(took >= Duration::from_millis(150) && took < SECOND, "{exit:?}");
    assert!(exit.asked_by.is_some(), "{exit:?}");
    assert!(error.to_string().contains("by force"), "{error}");
    Ok(())
}

#[hatchery::test(options = Options::new().teardown(Duration::from_millis(800)))]
async fn a_stuck_child_does_not_keep_a_failure_from_being_the_cause() -> Result<()> {
    let error = failure(async |nursery| {
        let stuck = nursery.start_actor("stuck").await?;
        process(stuck.id().pid).signal(Signal::STOP);
        Err(Error::message("the cause"))
    })
    .await;
    assert_eq!(error.report().message, "the cause");
    let also: Vec<_> = error.also().iter().map(|also| also.message.as_str()).collect();
    assert!(matches!(also[..], [also] if also.contains("by force")), "{error:?}");
    Ok(())
}

#[hatchery::test]
async fn a_stopped_child_that_goes_on_is_as_before() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let child = nursery.start_actor("child").await?;
        let stopped = process(child.id().pid);
        stopped.signal(Signal::STOP);
        let mut opening = Box::pin(child.open_context(numbers()));
        assert!(future::poll_once(&mut opening).await.is_none());
        stopped.signal(Signal::CONT);
        let (cx, ()) = opening.await?;
        assert_eq!(cx.cancel().await, hatchery::CancelStatus::Done);
        child.cancel().await
    })
    .await
}

#[hatchery::test]
async fn a_nursery_that_is_dropped_ends_its_children_by_force() -> Result<()> {
    let mut pids = Vec::new();
    {
        let (sender, receiver) = std::sync::mpsc::channel();
        let block = open_nursery(async |nursery: Nursery| {
            let child = nursery.start_actor("child").await?;
            let stopped = nursery.start_actor("stopped").await?;
            process(stopped.id().pid).signal(Signal::STOP);
            sender.send([child.id().pid, stopped.id().pid]).map_err(Error::new)?;
            future::pending::<Result<()>>().await
        });
        let up = async {
            loop {
                match receiver.try_recv() {
                    Ok(both) => {
                        pids.extend(both.map(process));
                        break Ok(());
                    }
                    Err(_) => future::yield_now().await,
                }
            }
        };
        block.or(up).await?;
    }
    let since = Instant::now();
    while pids.iter().any(|one| Process::of(one.pid).is_some_and(|now| now.is(one))) {
        assert!(since.elapsed() < SECOND, "{pids:?}");
        future::yield_now().await;
    }
    Ok(())
}
