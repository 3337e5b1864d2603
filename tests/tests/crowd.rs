//! Many children at once, on so little of a machine that each has to wait for the others: what takes
//! its time because of that is no fault of theirs (F-16).
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use hatchery::{Error, Nursery, Options, Result, open_cluster, open_nursery};
use hatchery_tests::procfs::Process;
use rustix::process::{Resource, Signal, getrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Keeps this thread, and whatever it starts from now on, on one core.
fn on_one_core() {
    let all = sched_getaffinity(None).expect("the cores of this process");
    let first = (0..CpuSet::MAX_CPU).find(|&core| all.is_set(core)).expect("a core");
    let mut one = CpuSet::new();
    one.set(first);
    sched_setaffinity(None, &one).expect("a core of its own");
}

// The time is enough on any machine; how long a child may be silent does not grow with it.
#[hatchery::test(options = Options::new().teardown(Duration::from_secs(100)))]
async fn f_16_a_crowd_that_ends_at_once_on_one_core_is_not_ended_by_force() -> Result<()> {
    on_one_core();
    // Fewer where there is no room for as many descriptors.
    let room = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX) / 4;
    let count = usize::try_from(room.min(1000)).expect("a small number");
    open_cluster(count, async move |cluster| {
        assert_eq!(cluster.len(), count);
        Ok::<_, Error>(())
    })
    .await
}

// More than have a turn at a time, and none of them answers.
#[hatchery::test(options = Options::new().teardown(Duration::from_secs(1)))]
async fn p_t1_stopped_children_that_wait_for_their_turn_are_ended_in_time() -> Result<()> {
    let (mut stopped, mut began) = (Vec::new(), None);
    let ended = open_nursery(async |nursery: Nursery| {
        for number in 0..100 {
            let child = nursery.start_actor(&format!("stopped-{number}")).await?;
            let process = Process::of(child.id().pid.cast_signed()).expect("it lives");
            assert!(process.signal(Signal::STOP));
            stopped.push(process);
        }
        began = Some(Instant::now());
        nursery.cancel();
        Ok::<_, Error>(())
    })
    .await;
    let took = began.expect("all were started").elapsed();
    let error = ended.expect_err("they have to be ended by force");
    assert_eq!(error.also().len(), stopped.len() - 1, "{error}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    let is_left = |process: &&Process| Process::of(process.pid).is_some_and(|now| now.is(process));
    let left: Vec<_> = stopped.iter().filter(is_left).collect();
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}
