//! What a thread hears of what it waits for.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::task::{Context, Waker};

use super::source::Parked;
use super::{Parker, Room};

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
