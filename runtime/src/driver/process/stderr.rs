//! What a child writes to its standard error: kept before it is up, so that one that never comes up can
//! be quoted, and from then on taken by its parent where that was asked for. Looks at nothing of it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_io::Async;
use event_listener::{Event, listener};
use futures_lite::{FutureExt as _, future};
use hatchery_proto::ActorId;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{MemfdFlags, OFlags};
use rustix::io::Errno;

use super::lines::Lines;
use super::{duplicate, lock};
use crate::driver::clock;
use crate::driver::readiness::Ready;

/// How much is kept of what comes through a pipe.
const KEPT: usize = 8 * 1024;
/// So much goes into one write: what a pipe takes as a whole, and at once where it takes anything.
const AT_ONCE: usize = 4096;
/// How long one that takes nothing is waited for, once the child has ended.
const PATIENCE: Duration = Duration::from_secs(1);
/// No more is taken after that, whoever else goes on writing: as much as a pipe can hold.
const LAST: usize = 1024 * 1024;

/// What becomes of what an actor writes to its standard error once it is up, by
/// [`ActorBuilder::stderr`](crate::ActorBuilder::stderr).
///
/// Before it is up, its parent keeps it for the report of a start that fails, and whatever is chosen
/// here has it afterwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stderr {
    /// It goes where its parent's goes, straight; through a launcher by way of its parent.
    #[default]
    Inherit,
    /// Its parent puts each line of it on its own standard error, whole, behind `name[pid]: `.
    Prefixed,
    /// Its parent has each line of it as a `tracing` event: target `hatchery::stderr`, level `INFO`,
    /// fields `actor` and `pid`. What is no UTF-8 is replaced.
    Captured,
}

/// What a child writes to its standard error before it is up, as far as its parent has it.
#[derive(Debug)]
pub(crate) enum BootStderr {
    /// It is kept in memory; once it is up, the child copies it to the real standard error, and goes
    /// on there.
    Memory(File),
    /// It comes through a pipe for as long as there is a launcher, to be passed on once the actor is
    /// up.
    Piped(Arc<Piped>),
}

/// What comes through a pipe.
#[derive(Debug)]
pub(crate) struct Piped {
    /// Nonblocking.
    pipe: OwnedFd,
    manner: Stderr,
    state: Mutex<State>,
    /// The child has ended: others may have the pipe open, and are not waited for.
    is_over: AtomicBool,
    over: Event,
}

#[derive(Debug, Default)]
struct State {
    /// The last of what came.
    kept: Vec<u8>,
    passes_on: bool,
    /// What is to be passed on line by line.
    lines: Lines,
    /// How much has come since the child has ended.
    last: usize,
}

/// What a look at the pipe has brought.
enum Took {
    Some,
    Nothing,
    End,
}

impl BootStderr {
    /// In memory; and what the child is given.
    pub(super) fn in_memory() -> io::Result<(Self, Stdio)> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = File::from(rustix::fs::memfd_create("hatchery-stderr", flags)?);
        let theirs = Stdio::from(file.try_clone()?);
        Ok((Self::Memory(file), theirs))
    }

    /// Through a pipe; and what the launcher is given.
    pub(super) fn piped(manner: Stderr) -> io::Result<(Arc<Piped>, OwnedFd)> {
        Piped::open(manner, false)
    }

    /// Its last bytes, at most `max`; what is no UTF-8 is replaced.
    pub(crate) fn tail(&self, max: usize) -> String {
        let (bytes, is_whole) = match self {
            Self::Memory(file) => read_tail(file, max),
            Self::Piped(piped) => {
                piped.take_all();
                let kept = &lock(&piped.state).kept;
                let from = kept.len().saturating_sub(max);
                (kept.get(from..).unwrap_or_default().to_vec(), from == 0 && kept.len() < KEPT)
            }
        };
        // A character that was cut in half is left out.
        let cut = if is_whole { 0 } else { 3 };
        let inside = bytes.iter().take(cut).take_while(|&&byte| byte & 0xc0 == 0x80).count();
        String::from_utf8_lossy(bytes.get(inside..).unwrap_or_default()).into_owned()
    }
}

impl Piped {
    /// One whose end is to be given to a child that has another place for what it writes before it is up.
    pub(super) fn for_child(manner: Stderr) -> io::Result<(Arc<Self>, OwnedFd)> {
        Self::open(manner, true)
    }

    fn open(manner: Stderr, passes_on: bool) -> io::Result<(Arc<Self>, OwnedFd)> {
        let (pipe, theirs) = io::pipe()?;
        let pipe = OwnedFd::from(pipe);
        rustix::fs::fcntl_setfl(&pipe, OFlags::NONBLOCK)?;
        let piped = Self {
            pipe,
            manner,
            state: Mutex::new(State { passes_on, ..State::default() }),
            is_over: AtomicBool::new(false),
            over: Event::new(),
        };
        Ok((Arc::new(piped), theirs.into()))
    }

    /// Takes what comes until nothing more will, or until nothing more is there once the child has
    /// ended; says who that is where it says so. Cancel safe.
    pub(crate) async fn come(&self, who: impl Fn() -> ActorId) {
        match Ready::new(self.pipe.as_fd()) {
            Ok(ready) => self.come_as(&ready, &who).await,
            Err(error) => cannot_be_read(&error),
        }
        let rest = lock(&self.state).lines.rest();
        if let Some(rest) = rest {
            let mut batch = Vec::new();
            if self.tell(&who(), &rest, &mut batch).await {
                self.write(&batch).await;
            }
        }
    }

    async fn come_as(&self, ready: &Ready<impl std::os::fd::AsFd>, who: &impl Fn() -> ActorId) {
        loop {
            // Asked first: what comes between a look and the end would be lost otherwise.
            let is_over = self.is_over.load(Ordering::Acquire);
            let took = self.take();
            if !self.tell_lines(who).await {
                *lock(&self.state) = State::default();
                return;
            }
            match took {
                // Others of this thread have their turn.
                Took::Some => future::yield_now().await,
                Took::End => return,
                Took::Nothing if is_over => return,
                Took::Nothing => {
                    let over = async {
                        self.until_over().await;
                        Ok(())
                    };
                    if let Err(error) = over.or(ready.readable()).await {
                        return cannot_be_read(&error);
                    }
                }
            }
        }
    }

    /// Passes on what has come, and what will.
    pub(crate) fn pass_on(&self) {
        let mut state = lock(&self.state);
        if !std::mem::replace(&mut state.passes_on, true) {
            let kept = state.kept.clone();
            self.put(&mut state, &kept);
        }
    }

    /// The child has ended.
    pub(crate) fn handle_over(&self) {
        self.is_over.store(true, Ordering::Release);
        self.over.notify(usize::MAX);
    }

    async fn until_over(&self) {
        loop {
            listener!(self.over => over);
            if self.is_over.load(Ordering::Acquire) {
                return;
            }
            over.await;
        }
    }

    fn next_line(&self) -> Option<Vec<u8>> {
        lock(&self.state).lines.next()
    }

    /// Takes what there is, as much of it as a pipe can hold.
    fn take_all(&self) {
        let mut left = LAST;
        while let (1.., Took::Some) = (left, self.take()) {
            left = left.saturating_sub(AT_ONCE);
        }
    }

    /// Takes some of what there is.
    fn take(&self) -> Took {
        let mut buffer = [0; AT_ONCE];
        let read = rustix::io::retry_on_intr(|| rustix::io::read(&self.pipe, &mut buffer));
        let count = match read {
            Ok(0) => return Took::End,
            Ok(count) => count,
            Err(Errno::AGAIN) => return Took::Nothing,
            Err(_) => return Took::End,
        };
        let bytes = buffer.get(..count).unwrap_or_default();
        let mut state = lock(&self.state);
        state.kept.extend_from_slice(bytes);
        let over = state.kept.len().saturating_sub(KEPT);
        state.kept.drain(..over);
        if state.passes_on {
            self.put(&mut state, bytes);
        }
        if self.is_over.load(Ordering::Acquire) {
            state.last += count;
        }
        if state.last > LAST { Took::End } else { Took::Some }
    }

    fn put(&self, state: &mut State, bytes: &[u8]) {
        match self.manner {
            Stderr::Inherit => say(bytes),
            Stderr::Prefixed | Stderr::Captured => state.lines.push(bytes),
        }
    }

    /// Passes on the lines that are there; says whether it could, or is to give up.
    async fn tell_lines(&self, who: &impl Fn() -> ActorId) -> bool {
        let mut batch = Vec::new();
        while let Some(line) = self.next_line() {
            if !self.tell(&who(), &line, &mut batch).await {
                return false;
            }
        }
        self.write(&batch).await
    }

    /// Passes on a line, or puts it behind others that leave with it.
    async fn tell(&self, who: &ActorId, line: &[u8], batch: &mut Vec<u8>) -> bool {
        let ActorId { name, pid, .. } = who;
        if self.manner == Stderr::Captured {
            let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line));
            tracing::info!(target: "hatchery::stderr", actor = name, pid, "{line}");
            return true;
        }
        let line = [format!("{name}[{pid}]: ").as_bytes(), line, b"\n"].concat();
        // Lines that leave in one write are whole, whoever else writes there.
        if batch.len() + line.len() > AT_ONCE {
            let full = std::mem::take(batch);
            if !self.write(&full).await {
                return false;
            }
        }
        batch.extend_from_slice(&line);
        true
    }

    /// Writes lines to this process's standard error as that takes them; says whether it took them.
    async fn write(&self, lines: &[u8]) -> bool {
        if lines.is_empty() {
            return true;
        }
        let told = async {
            let _turn = Turn::begin().await;
            for part in lines.chunks(AT_ONCE) {
                if !has_room() {
                    room().await;
                }
                say(part);
            }
            true
        };
        let late = async {
            self.until_over().await;
            clock::until(clock::now() + PATIENCE).await;
            false
        };
        told.or(late).await
    }
}

fn cannot_be_read(error: &io::Error) {
    tracing::warn!(
        target: "hatchery::runtime",
        %error,
        "what a child writes to its standard error cannot be read"
    );
}

/// That a line is being written to this process's standard error, and no other child's.
struct Turn;

static TAKEN: AtomicBool = AtomicBool::new(false);
static FREED: Event = Event::new();

impl Turn {
    async fn begin() -> Self {
        loop {
            listener!(FREED => freed);
            if !TAKEN.swap(true, Ordering::AcqRel) {
                return Self;
            }
            freed.await;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        TAKEN.store(false, Ordering::Release);
        FREED.notify(1);
    }
}

/// Whether this process's standard error takes something at once, or never will.
fn has_room() -> bool {
    let mut polled = [PollFd::from_borrowed_fd(rustix::stdio::stderr(), PollFlags::OUT)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    !matches!(rustix::event::poll(&mut polled, Some(&now)), Ok(0))
}

/// Waits until it does; where that cannot be waited for, it is written to as it is.
async fn room() {
    let watched = duplicate(io::stderr()).map_err(io::Error::from).and_then(Async::new_nonblocking);
    if let Ok(watched) = watched {
        let _ = watched.writable().await;
    }
}

/// Writes to this process's standard error, as an actor that inherits it does. Nobody is left to tell
/// where this fails.
fn say(mut bytes: &[u8]) {
    const PATIENCE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };
    let stderr = rustix::stdio::stderr();
    while !bytes.is_empty() {
        match rustix::io::write(stderr, bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut room = [PollFd::new(&stderr, PollFlags::OUT)];
                if !matches!(rustix::event::poll(&mut room, Some(&PATIENCE)), Ok(1..)) {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}

/// The last bytes of a file, at most `max`, and whether there are no others.
fn read_tail(file: &File, max: usize) -> (Vec<u8>, bool) {
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let from = length.saturating_sub(max as u64);
    let mut bytes = vec![0; usize::try_from(length - from).unwrap_or(max)];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, from + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    bytes.truncate(filled);
    (bytes, from == 0)
}
