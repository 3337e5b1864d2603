//! Signals that reach a single actor: what it does, and what its nursery is told.

use std::future::pending;
use std::time::{Duration, Instant};

use hatchery::{Cause, Error, ErrorKind, ExitStatus, Result, on_exit, open_nursery, shield};
use hatchery_tests::procfs::Process;
use hatchery_tests::programs::Signal;
use hatchery_tests::sign::{Sign, raise};
use hatchery_tests::worker::{alive, with_worker};

/// Ten times what an end that waits for nothing may take.
const SOON: Duration = Duration::from_secs(3);

/// Takes its time to clean up once it is cancelled, and has an exit hook leave a note.
#[hatchery::endpoint]
async fn cleans_up(up: String, hook: String) -> Result<()> {
    on_exit(move || raise(&hook, ""));
    raise(&up, "");
    let waits = hatchery::cancel_scope(async |_scope| pending::<Result<()>>().await);
    let ended = waits.await;
    shield(async_io::Timer::after(Duration::from_millis(20))).await;
    ended.map(drop)
}

/// Never comes back to its executor; has an exit hook leave a note.
#[hatchery::endpoint]
async fn hears_nothing(up: String, hook: String) -> Result<()> {
    on_exit(move || raise(&hook, ""));
    raise(&up, "");
    loop {
        std::thread::park();
    }
}

#[hatchery::test]
async fn sig_10_a_sigterm_to_one_actor_ends_it_in_its_order_and_its_nursery_is_told() -> Result<()>
{
    let (up, hook) = (Sign::new("up"), Sign::new("hook"));
    let since = Instant::now();
    let ended = open_nursery(async |nursery| {
        nursery.start_actor("sibling").await?;
        let worker = nursery.run_in_actor("worker", cleans_up(up.path(), hook.path())).await?;
        up.raised().await;
        let process = Process::of(worker.id().pid.cast_signed()).expect("it lives");
        process.signal(Signal::TERM);
        pending::<Result<()>>().await
    });
    let error = ended.await.unwrap_err();
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    let ErrorKind::Cancelled(by) = error.kind() else { panic!("{error:?}") };
    assert_eq!(
        (by.canceller.name.as_str(), &by.cause),
        ("worker", &Cause::Signal(15)),
        "{error:?}"
    );
    assert!(hook.is_raised());
    Ok(())
}

#[hatchery::test]
async fn can_12_the_hooks_of_an_actor_that_hears_nothing_run_at_its_sigterm() -> Result<()> {
    let (up, hook) = (Sign::new("up"), Sign::new("hook"));
    let since = Instant::now();
    let ended = open_nursery(async |nursery| {
        nursery.run_in_actor("worker", hears_nothing(up.path(), hook.path())).await?;
        up.raised().await;
        Err::<(), _>(Error::message("enough"))
    });
    let error = ended.await.unwrap_err();
    assert!(error.to_string().contains("enough"), "{error:?}");
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    assert!(hook.is_raised());
    Ok(())
}

#[hatchery::test]
async fn a_deaf_actor_that_gets_a_sigterm_dies_of_it() -> Result<()> {
    let (up, hook) = (Sign::new("up"), Sign::new("hook"));
    let ended = open_nursery(async |nursery| {
        let worker = nursery.run_in_actor("worker", hears_nothing(up.path(), hook.path())).await?;
        up.raised().await;
        let process = Process::of(worker.id().pid.cast_signed()).expect("it lives");
        process.signal(Signal::TERM);
        pending::<Result<()>>().await
    });
    let error = ended.await.unwrap_err();
    let exit = error.exit().unwrap_or_else(|| panic!("{error:?}"));
    assert_eq!(exit.status, Some(ExitStatus::Signal { number: 15, core: false }), "{error:?}");
    assert!(hook.is_raised());
    Ok(())
}

#[hatchery::test]
async fn sig_04_a_hangup_or_an_interrupt_of_one_actor_is_its_roots_matter() -> Result<()> {
    with_worker(async |worker| {
        let process = Process::of(worker.id().pid.cast_signed()).expect("it lives");
        for signal in [Signal::INT, Signal::HUP, Signal::INT] {
            process.signal(signal);
            assert!(worker.run(alive()).await?);
        }
        Ok(())
    })
    .await
}
