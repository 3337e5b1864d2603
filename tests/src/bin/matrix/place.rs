//! The place of one cell: which it is, and the two pipes by which its processes wait for each other.
//!
//! `news` carries what actors have come to, as lines, to their root. A byte through `gate` lets one
//! go on that waits there. The harness keeps both open, so that nothing is lost between two openings.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::future::{Future, poll_fn};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::task::{Poll, Waker};

use async_io::Async;
use hatchery_tests::strike::RECORDS;
use rustix::fs::OFlags;

use crate::cells::Cell;

/// The number of the cell. Inherited by all.
pub(crate) const CELL: &str = "MATRIX_CELL";

/// The cell that this process is of; none in the harness.
pub(crate) fn cell() -> Option<Cell> {
    static CURRENT: OnceLock<Option<Cell>> = OnceLock::new();
    *CURRENT.get_or_init(|| Cell::numbered(std::env::var(CELL).ok()?.parse().ok()?))
}

/// Where the news go.
pub(crate) fn news(folder: &Path) -> PathBuf {
    folder.join("news")
}

/// Where actors wait.
pub(crate) fn gate(folder: &Path) -> PathBuf {
    folder.join("gate")
}

fn folder() -> PathBuf {
    let news = PathBuf::from(std::env::var_os(RECORDS).expect("the place of a cell"));
    news.parent().expect("a folder").to_owned()
}

/// Lets one go on that waits at the gate.
pub(crate) fn release(folder: &Path) {
    let gate = OpenOptions::new().write(true).open(gate(folder));
    gate.and_then(|mut gate| gate.write_all(b"!")).expect("the gate");
}

/// The same, from one of the cell's own processes.
pub(crate) fn release_own() {
    release(&folder());
}

/// Waits at the gate, with all that this thread does.
pub(crate) fn wait_blocked() {
    let mut byte = [0];
    let gate = File::open(gate(&folder()));
    gate.and_then(|mut gate| gate.read_exact(&mut byte)).expect("the gate");
}

fn open_nonblocking(path: PathBuf) -> Async<File> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).expect("a pipe");
    Async::new_nonblocking(file).expect("a pipe")
}

/// Waits at the gate and lets others run meanwhile.
pub(crate) async fn wait_at_gate() {
    let gate = open_nonblocking(gate(&folder()));
    gate.read_with(|mut gate| gate.read_exact(&mut [0])).await.expect("the gate");
}

/// What the root hears.
pub(crate) struct News {
    pipe: Async<File>,
    heard: RefCell<Heard>,
}

#[derive(Default)]
struct Heard {
    rest: Vec<u8>,
    lines: VecDeque<String>,
    waiting: Option<Waker>,
    hits: usize,
}

impl News {
    pub(crate) fn open() -> Self {
        Self { pipe: open_nonblocking(news(&folder())), heard: RefCell::default() }
    }

    /// Hears everything and calls `each` with it. Never ends.
    pub(crate) async fn listen<T>(&self, mut each: impl FnMut(&str)) -> T {
        loop {
            self.take(&mut each);
            self.pipe.readable().await.expect("news");
        }
    }

    /// Hears what is there.
    pub(crate) fn take(&self, each: &mut impl FnMut(&str)) {
        let mut new = Vec::new();
        match self.pipe.get_ref().read_to_end(&mut new) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            other => panic!("news: {other:?}"),
        }
        let mut heard = self.heard.borrow_mut();
        heard.rest.extend(new);
        let mut fresh = Vec::new();
        while let Some(end) = heard.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = heard.rest.drain(..=end).collect();
            fresh.push(String::from_utf8_lossy(&line[..end]).into_owned());
        }
        heard.hits += fresh.iter().filter(|line| line.starts_with("hit ")).count();
        heard.lines.extend(fresh.iter().cloned());
        let waiting = heard.waiting.take();
        drop(heard);
        waiting.into_iter().for_each(Waker::wake);
        fresh.iter().for_each(|line| each(line));
    }

    /// How often somebody was hit.
    pub(crate) fn hits(&self) -> usize {
        self.take(&mut |_: &str| ());
        self.heard.borrow().hits
    }

    /// Waits until somebody has said this, once, while [`listen`](Self::listen) is polled elsewhere.
    pub(crate) fn until(&self, what: &str) -> impl Future<Output = ()> {
        poll_fn(move |cx| {
            let mut heard = self.heard.borrow_mut();
            match heard.lines.iter().position(|line| line.starts_with(what)) {
                Some(at) => {
                    heard.lines.remove(at);
                    Poll::Ready(())
                }
                None => {
                    heard.waiting = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
    }
}
