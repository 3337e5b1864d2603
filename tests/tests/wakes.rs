//! How often an actor wakes the executor that it was given: seldom for what it does itself, and always
//! for what comes from elsewhere. Each test polls a root with a waker of its own.

use std::future::poll_fn;
use std::hint::spin_loop;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use futures_lite::future::yield_now;
use hatchery::{Nursery, Options, Result, open_nursery, open_root_actor};
use smol::channel;

/// Ten times what a wait here takes on a busy machine.
const LONG: Duration = Duration::from_secs(10);

/// A process is one actor at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The least of executors, which counts how often it is woken.
struct Counting {
    thread: Thread,
    woken: AtomicBool,
    count: AtomicUsize,
}

impl Counting {
    fn here() -> Arc<Self> {
        let (woken, count) = (AtomicBool::new(false), AtomicUsize::new(0));
        Arc::new(Self { thread: thread::current(), woken, count })
    }

    fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Polls only when woken.
    fn block_on<T>(self: &Arc<Self>, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let waker = Waker::from(self.clone());
        loop {
            if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return value;
            }
            let since = Instant::now();
            while !self.woken.swap(false, Ordering::SeqCst) {
                assert!(since.elapsed() < LONG, "it sleeps, and nobody has woken it");
                thread::park_timeout(LONG);
            }
        }
    }
}

impl Wake for Counting {
    fn wake(self: Arc<Self>) {
        self.count.fetch_add(1, Ordering::SeqCst);
        self.woken.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

/// Has a task of the actor give back each value that it gets, and asks it so often.
async fn asked(times: usize) -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let (there, questions) = channel::bounded(1);
        let (answers, back) = channel::bounded(1);
        nursery.spawn(async move {
            while let Ok(value) = questions.recv().await {
                answers.send(value).await.expect("it is asked from below");
            }
            Result::<()>::Ok(())
        });
        for value in 0..times {
            there.send(value).await.expect("it hears until it is dropped");
            assert_eq!(back.recv().await, Ok(value));
        }
        Ok(())
    })
    .await
}

#[test]
fn an_actor_that_wakes_itself_seldom_wakes_its_executor() -> Result<()> {
    const TIMES: usize = 1_000;
    let _alone = alone();
    let executor = Counting::here();
    executor.block_on(open_root_actor(Options::new(), |_root| asked(TIMES)))?;
    let count = executor.count();
    assert!(count < TIMES / 3, "{TIMES} answers of its own task, {count} wake-ups");
    Ok(())
}

#[test]
fn an_actor_that_wakes_itself_for_ever_lets_others_on_its_thread_go_on() {
    const POLLS: usize = 100;
    let _alone = alone();
    let executor = Counting::here();
    let waker = Waker::from(executor.clone());
    let turns = AtomicUsize::new(0);
    let body = async {
        while turns.fetch_add(1, Ordering::SeqCst) < usize::MAX {
            yield_now().await;
        }
        Result::<()>::Ok(())
    };
    let mut root = pin!(open_root_actor(Options::new(), |_root| body));
    for poll in 1..=POLLS {
        assert!(root.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        assert!(executor.woken.swap(false, Ordering::SeqCst), "it would not be polled again");
        let turns = turns.load(Ordering::SeqCst);
        assert!((poll..=16 * poll).contains(&turns), "{turns} turns in {poll} polls");
    }
}

/// Lets the other thread end, also where this one panics.
struct Last<'a>(&'a AtomicUsize);

impl Drop for Last<'_> {
    fn drop(&mut self) {
        self.0.store(usize::MAX, Ordering::SeqCst);
    }
}

/// Wakes what has registered itself, from another thread, whatever that is doing then.
#[test]
fn a_wake_up_from_another_thread_is_never_lost() -> Result<()> {
    const TIMES: usize = 50_000;
    let _alone = alone();
    let executor = Counting::here();
    let registered: Mutex<Option<Waker>> = Mutex::new(None);
    let (asked, answered) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            for time in 1..=TIMES {
                while asked.load(Ordering::SeqCst) < time {
                    thread::yield_now();
                }
                // In a different place each time, of the poll or of the sleep behind it.
                (0..time * 7 % 499).for_each(|_| spin_loop());
                answered.store(time, Ordering::SeqCst);
                let waker = registered.lock().expect("no panic").take();
                waker.into_iter().for_each(Waker::wake);
            }
        });
        let _last = Last(&asked);
        executor.block_on(open_root_actor(Options::new(), |_root| async {
            for time in 1..=TIMES {
                asked.store(time, Ordering::SeqCst);
                poll_fn(|cx| {
                    *registered.lock().expect("no panic") = Some(cx.waker().clone());
                    match answered.load(Ordering::SeqCst) == time {
                        true => Poll::Ready(()),
                        false => Poll::Pending,
                    }
                })
                .await;
            }
            Result::<()>::Ok(())
        }))
    })
}
