//! The nursery's future on executors of all kinds: it is `Send` where its body is, borrows locals,
//! nests, and may be dropped. Each test is the root of a process of its own, on its own executor.

use std::time::Duration;

use futures_lite::{FutureExt as _, future};
use hatchery::{Error, Nursery, Options, Result, open_nursery};

#[hatchery::endpoint]
async fn double(n: u64) -> u64 {
    n * 2
}

/// A child, a call, and the end of both.
async fn doubled(n: u64) -> Result<u64> {
    open_nursery(async move |nursery: Nursery| {
        let worker = nursery.start_actor("worker").await?;
        let value = worker.run(double(n)).await?;
        worker.cancel().await?;
        Ok::<_, Error>(value)
    })
    .await
}

#[hatchery::test]
async fn a_nursery_runs_under_smol_spawn() -> Result<()> {
    assert_eq!(smol::spawn(doubled(4)).await?, 8);
    Ok(())
}

#[hatchery::test]
async fn a_nursery_runs_on_several_threads() -> Result<()> {
    let executor = smol::Executor::new();
    let (stop, stopped) = smol::channel::bounded::<()>(1);
    let values = std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| future::block_on(executor.run(stopped.recv())));
        }
        let tasks: Vec<_> = (0..6).map(|n| executor.spawn(doubled(n))).collect();
        let values: Result<Vec<u64>> = tasks.into_iter().map(smol::block_on).collect();
        drop(stop);
        values
    });
    assert_eq!(values?, [0, 2, 4, 6, 8, 10]);
    Ok(())
}

#[hatchery::test]
async fn nurseries_run_in_sub_tasks_and_nested() -> Result<()> {
    let inner = open_nursery(async |outer: Nursery| {
        let worker = outer.start_actor("outer").await?;
        outer.spawn(async { doubled(1).await.map(drop) });
        let inner = doubled(worker.run(double(10)).await?).await?;
        worker.cancel().await?;
        Ok::<_, Error>(inner)
    })
    .await?;
    assert_eq!(inner, 40);
    Ok(())
}

#[hatchery::test]
async fn a_nursery_borrows_the_locals_around_it() -> Result<()> {
    let numbers = vec![1, 2, 3];
    let mut sums = Vec::new();
    open_nursery(async |nursery: Nursery| {
        let worker = nursery.start_actor("worker").await?;
        for n in &numbers {
            sums.push(worker.run(double(*n)).await?);
        }
        worker.cancel().await
    })
    .await?;
    assert_eq!((numbers, sums), (vec![1, 2, 3], vec![2, 4, 6]));
    Ok(())
}

#[hatchery::test]
async fn a_nursery_runs_on_a_local_executor() -> Result<()> {
    let executor = smol::LocalExecutor::new();
    let task = executor.spawn(async {
        let not_send = std::rc::Rc::new(5);
        doubled(*not_send).await
    });
    assert_eq!(executor.run(task).await?, 10);
    Ok(())
}

#[hatchery::test]
async fn a_nursery_runs_under_any_block_on() -> Result<()> {
    for block_on in [|| smol::block_on(doubled(6)), || future::block_on(doubled(6))] {
        let value = std::thread::spawn(block_on).join().expect("no panic")?;
        assert_eq!(value, 12);
    }
    Ok(())
}

#[hatchery::test]
async fn a_nursery_that_is_dropped_leaves_nothing() -> Result<()> {
    // The check around every test looks for what is left.
    let (up, is_up) = smol::channel::bounded(1);
    let late = async {
        is_up.recv().await.map_err(Error::new)?;
        Err(Error::message("late"))
    };
    let block = open_nursery(async |nursery: Nursery| {
        nursery.start_actor("one").await?;
        nursery.start_actor("other").await?;
        up.send(()).await.map_err(Error::new)?;
        future::pending::<Result<()>>().await
    });
    assert_eq!(block.or(late).await.unwrap_err().report().message, "late");
    assert_eq!(doubled(2).await?, 4);
    Ok(())
}

const SHORT: Duration = Duration::from_millis(400);

/// Polls a nursery until its child is up, then never again.
async fn leak_a_nursery() {
    let (up, is_up) = smol::channel::bounded(1);
    let mut block = Box::pin(open_nursery(async move |nursery: Nursery| {
        nursery.start_actor("leaked").await?;
        up.send(()).await.map_err(Error::new)?;
        future::pending::<Result<()>>().await
    }));
    let until_up = async { is_up.recv().await.map_err(Error::new) };
    let polled = async { (&mut block).await };
    polled.or(until_up).await.expect("a child");
    std::mem::forget(block);
}

#[hatchery::test(options = Options::new().teardown(SHORT))]
async fn f_42_a_nursery_that_was_leaked_ends_with_its_root() {
    leak_a_nursery().await;
}
