//! Of every end there is a report: of one that was asked for, of each death of many, and of a start
//! that took too long.

use std::time::{Duration, Instant};

use futures_lite::future;
use hatchery::{Containment, ErrorKind, ExitStatus, Result, Rung, containment, open_nursery};
use hatchery_tests::procfs::Process;
use hatchery_tests::worker::with_mortal;

#[hatchery::test]
async fn an_end_that_was_asked_for_has_a_report_too() -> Result<()> {
    with_mortal(async |worker| {
        worker.cancel().await?;
        let exit = worker.ended().await;
        assert_eq!((exit.status, exit.rung), (Some(ExitStatus::Code(0)), Rung::Asked), "{exit:?}");
        assert_eq!(exit, worker.ended().await, "it stays");
        assert_eq!(exit.actor, worker.id());
        Ok(())
    })
    .await?;
    with_mortal(async |worker| {
        let _ = worker.kill().await;
        let exit = worker.ended().await;
        assert_eq!(exit.status, Some(ExitStatus::Signal { number: 9, core: false }), "{exit:?}");
        assert_eq!(exit.rung, Rung::Killed, "{exit:?}");
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn err_07_each_of_several_deaths_is_kept_whole() -> Result<()> {
    let ended = open_nursery(async |nursery| {
        let victims = [nursery.start_actor("one").await?, nursery.start_actor("two").await?];
        let processes = victims
            .map(|victim| Process::of(victim.id().pid.cast_signed()).expect("a child that lives"));
        // Neither has gone before the other is hit.
        for process in &processes {
            process.signal(hatchery_tests::programs::Signal::STOP);
        }
        for process in &processes {
            process.kill();
        }
        future::pending::<Result<()>>().await
    });
    let error = ended.await.unwrap_err();
    let ErrorKind::Died(first) = error.kind() else { panic!("{error:?}") };
    let other = |name: &str| error.others().iter().find(|other| other.origin().name == name);
    let second = if first.actor.name == "one" { "two" } else { "one" };
    let second = other(second).unwrap_or_else(|| panic!("{error:?}"));
    let exit = second.exit().unwrap_or_else(|| panic!("{error:?}"));
    assert_eq!(exit.status, Some(ExitStatus::Signal { number: 9, core: false }), "{exit:?}");
    assert_eq!(error.also().len(), error.others().len(), "{error:?}");
    Ok(())
}

#[hatchery::test]
async fn spn_11_a_start_that_takes_too_long_is_ended_and_says_how_long_it_had() -> Result<()> {
    let since = Instant::now();
    let ended: Result<()> = open_nursery(async |nursery| {
        let limit = Duration::from_millis(50);
        let late = nursery.actor("late").program("/bin/sleep").arg("1000").start_within(limit);
        late.start().await.map(drop)
    })
    .await;
    let error = ended.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Spawn), "{error:?}");
    assert!(error.to_string().contains("not up within 50ms"), "{error}");
    assert!(since.elapsed() < Duration::from_secs(3), "{:?}", since.elapsed());
    Ok(())
}

#[hatchery::endpoint]
async fn says_its_containment() -> Result<String> {
    containment().map(|known| format!("{known:?}"))
}

#[hatchery::test]
async fn the_active_containment_can_be_asked_for_in_the_root_only() -> Result<()> {
    assert_eq!(containment()?, Containment::KernelChain);
    with_mortal(async |worker| {
        let refused = worker.run(says_its_containment()).await.unwrap_err();
        assert!(matches!(refused.kind(), ErrorKind::Misuse), "{refused:?}");
        Ok(())
    })
    .await
}
