//! What a thread that looks for a while hears meanwhile, and that it sleeps in the end. No test waits
//! for a time to be over: what does not come makes it hang.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Waker};
use std::thread;
use std::time::{Duration, Instant};

use futures_lite::future::poll_once;
use rustix::io::Errno;

use super::source::Parked;
use super::spin::Spin;
use super::{ASLEEP, Parker, Room, block_on, due};

/// No test takes that long.
const HOURS: Duration = Duration::from_secs(3600);

/// A parker, and a look that goes on for as long as anybody cares.
fn spinning() -> (Arc<Parker>, Spin) {
    let mut spin = Spin::default();
    spin.begin(HOURS);
    (Arc::new(Parker::new().expect("room for an epoll instance")), spin)
}

fn was_rung(parker: &Parker) -> bool {
    rustix::io::read(&parker.bell, &mut [0; 8]) != Err(Errno::AGAIN)
}

#[test]
fn whoever_wakes_a_thread_that_looks_has_not_to_ring() {
    let (parker, mut spin) = spinning();
    let mut room = Room::default();
    // Looks by itself, so that it does so once it is awake to whoever wakes it.
    assert!(spin.goes_on());
    let waker = Waker::from(parker.clone());
    let other = thread::spawn(move || waker.wake());
    parker.sleep(&mut room, &mut spin);
    other.join().expect("it does not panic");
    assert!(!was_rung(&parker));
    assert!(spin.goes_on(), "it looks on behind what is done then");
}

#[test]
fn a_link_is_heard_while_a_thread_looks() {
    let (parker, mut spin) = spinning();
    let (here, mut there) = UnixStream::pair().expect("a pair");
    let parked = Parked::new(here, parker.clone()).expect("it can be waited for");
    let waker = Waker::from(parker.clone());
    let cx = Context::from_waker(&waker);
    assert!(parked.source.poll_readable(&cx).is_pending());
    let other = thread::spawn(move || {
        there.write_all(b"x").expect("there is room");
        // Kept open: an end would be heard as well.
        there
    });
    parker.sleep(&mut Room::default(), &mut spin);
    assert!(parked.source.poll_readable(&cx).is_ready());
    assert!(parker.stirred.load(Ordering::Relaxed), "more may come");
    let mut byte = [0];
    (&parked.io).read_exact(&mut byte).expect("it is there");
    drop(other.join().expect("it does not panic"));
}

#[test]
fn what_has_come_and_was_read_is_not_told_again() {
    let parker = Arc::new(Parker::new().expect("room for an epoll instance"));
    let (here, mut there) = UnixStream::pair().expect("a pair");
    let parked = Parked::new(here, parker.clone()).expect("it can be waited for");
    let cx = Context::from_waker(Waker::noop());
    for _ in 0..2 {
        there.write_all(b"x").expect("there is room");
        parker.look(&mut Room::default());
        assert!(parked.source.poll_readable(&cx).is_ready());
        // By whoever waits, in a way of its own.
        let mut bytes = [0; 2];
        assert_eq!((&parked.io).read(&mut bytes).expect("it is there"), 1);
        assert!(parked.source.poll_readable(&cx).is_pending());
    }
    // The end is told for as long as anybody asks.
    drop(there);
    parker.look(&mut Room::default());
    assert!(parked.source.poll_readable(&cx).is_ready());
    assert!(parked.source.poll_readable(&cx).is_ready());
}

#[test]
fn a_deadline_is_seen_while_a_thread_looks() {
    block_on(async {
        let parker = super::here().expect("this thread has one");
        let mut spin = Spin::default();
        spin.begin(HOURS);
        let mut due = due(Instant::now() + Duration::from_millis(2));
        let mut over = Box::pin(due.comes());
        // With the waker of this thread, which its deadline wakes.
        while poll_once(&mut over).await.is_none() {
            parker.sleep(&mut Room::default(), &mut spin);
        }
        assert!(spin.goes_on());
    });
}

#[test]
fn a_thread_sleeps_once_it_has_looked_for_as_long_as_it_may() {
    let parker = Arc::new(Parker::new().expect("room for an epoll instance"));
    let mut spin = Spin::default();
    spin.begin(Duration::from_millis(1));
    let waking = parker.clone();
    let other = thread::spawn(move || {
        while waking.state.load(Ordering::SeqCst) != ASLEEP {
            thread::yield_now();
        }
        Waker::from(waking).wake();
    });
    parker.sleep(&mut Room::default(), &mut spin);
    other.join().expect("it does not panic");
    assert!(!spin.goes_on(), "it looks no more before it has begun anew");
}

#[test]
fn a_look_ends_with_its_bound() {
    let mut spin = Spin::default();
    assert!(!spin.goes_on());
    spin.begin(Duration::from_millis(1));
    let began = Instant::now();
    while spin.goes_on() {}
    assert!(began.elapsed() >= Duration::from_millis(1));
}
