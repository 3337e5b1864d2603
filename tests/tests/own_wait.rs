//! What the thread of an actor waits for, by whatever way it waits: links, processes, deadlines and
//! wake-ups from elsewhere, beside what a program waits for itself; also while another thread runs the
//! actor and this one blocks. With the feature `parker` the way is the library's own.

use std::future::{pending, poll_fn};
use std::hint::spin_loop;
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use async_io::{Async, Timer};
use futures_lite::{AsyncReadExt as _, AsyncWriteExt as _, future};
use hatchery::{Error, Nursery, Result, open_nursery, timeout};
use hatchery_tests::sign::soon;
use hatchery_tests::worker::with_worker;

/// What a bound of the library is here.
const SHORT: Duration = Duration::from_millis(20);

#[hatchery::endpoint]
async fn double(n: u64) -> u64 {
    n * 2
}

/// Waits as a program does that uses async-io, and blocks its thread on a future in between.
async fn waits_for_its_own() -> Result<u64> {
    let (here, there) = UnixStream::pair().map_err(Error::new)?;
    let (mut here, mut there) =
        (Async::new(here).map_err(Error::new)?, Async::new(there).map_err(Error::new)?);
    let answer = async {
        let mut byte = [0];
        there.read_exact(&mut byte).await?;
        Timer::after(Duration::from_millis(1)).await;
        there.write_all(&[byte[0] * 2]).await
    };
    let ask = async {
        let mut byte = [0];
        here.write_all(&[21]).await?;
        here.read_exact(&mut byte).await?;
        std::io::Result::Ok(byte[0])
    };
    let (answered, byte) = future::zip(answer, ask).await;
    answered.map_err(Error::new)?;
    smol::block_on(Timer::after(Duration::from_millis(1)));
    byte.map(u64::from).map_err(Error::new)
}

#[hatchery::endpoint]
async fn waits_there() -> Result<u64> {
    waits_for_its_own().await
}

/// A child, calls, a bound that ends a call, and the end of all.
async fn works() -> Result<u64> {
    open_nursery(async |nursery: Nursery| {
        let worker = nursery.start_actor("worker").await?;
        let mut value = 1;
        for _ in 0..10 {
            value = worker.run(double(value)).await?;
        }
        let bounded = timeout(SHORT, pending::<Result<()>>()).await;
        assert!(bounded.is_err());
        worker.cancel().await?;
        Ok::<_, Error>(value)
    })
    .await
}

#[hatchery::test]
async fn an_actor_waits_for_sockets_and_clocks_of_its_program_too() -> Result<()> {
    assert_eq!(waits_for_its_own().await?, 42);
    with_worker(async |worker| {
        for _ in 0..3 {
            assert_eq!(worker.run(waits_there()).await?, 42);
            assert_eq!(worker.run(double(4)).await?, 8);
        }
        Ok(())
    })
    .await?;
    assert_eq!(waits_for_its_own().await?, 42);
    Ok(())
}

/// What has begun on this thread goes on by another one that runs the actor, though this one blocks.
#[hatchery::test]
async fn links_and_deadlines_of_a_thread_that_blocks_are_seen_by_another_that_runs_the_actor()
-> Result<()> {
    with_worker(async |worker| {
        assert_eq!(worker.run(double(1)).await?, 2);
        for _ in 0..3 {
            let (worker, (done, is_done)) = (worker.clone(), smol::channel::bounded(1));
            let other = thread::spawn(move || {
                let worked = smol::block_on(async {
                    let worked = open_nursery(async |_nursery: Nursery| {
                        let mut value = 1;
                        for _ in 0..100 {
                            value = worker.run(double(value % 1000)).await?;
                        }
                        works().await
                    });
                    worked.await
                });
                let _ = done.send_blocking(());
                worked
            });
            // Keeps this thread, which has opened the link and the block around it.
            let worked = future::block_on(soon(is_done.recv()));
            assert!(worked.is_ok(), "nobody has heard the worker");
            assert_eq!(other.join().expect("it does not panic")?, 1024);
        }
        // As before.
        assert_eq!(worker.run(double(2)).await?, 4);
        let bounded = timeout(SHORT, pending::<Result<()>>()).await;
        assert!(bounded.is_err());
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn a_wake_up_of_a_running_actor_is_never_lost() -> Result<()> {
    const TIMES: usize = 20_000;
    /// Who waits, for which time, and which has come.
    static WAITS: Mutex<Option<Waker>> = Mutex::new(None);
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    static CAME: AtomicUsize = AtomicUsize::new(0);
    let other = thread::spawn(|| {
        for time in 1..=TIMES {
            while ASKED.load(Ordering::SeqCst) < time {
                thread::yield_now();
            }
            // In a different place each time, of the poll or of the sleep behind it.
            (0..time * 7 % 997).for_each(|_| spin_loop());
            CAME.store(time, Ordering::SeqCst);
            let waker = WAITS.lock().expect("no panic").take();
            waker.into_iter().for_each(Waker::wake);
        }
    });
    for time in 1..=TIMES {
        ASKED.store(time, Ordering::SeqCst);
        poll_fn(|cx| {
            *WAITS.lock().expect("no panic") = Some(cx.waker().clone());
            if CAME.load(Ordering::SeqCst) == time { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
    other.join().expect("it does not panic");
    Ok(())
}
