//! What a child writes to its standard error before it is up, so that one that never comes up can be
//! quoted. Looks at nothing of it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::process::Stdio;
use std::sync::Mutex;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{MemfdFlags, OFlags};
use rustix::io::Errno;

use super::lock;
use crate::driver::readiness::Ready;

/// How much is kept of what comes through a pipe.
const KEPT: usize = 8 * 1024;

/// What a child writes to its standard error, as far as its parent has it.
#[derive(Debug)]
pub(crate) enum BootStderr {
    /// It is kept in memory; once it is up, the child copies it to the real standard error, and goes
    /// on there.
    Memory(File),
    /// It comes through a pipe for as long as there is a launcher, to be passed on once the actor is
    /// up.
    Piped(Piped),
}

/// What has come through a pipe.
#[derive(Debug)]
pub(crate) struct Piped {
    /// Nonblocking.
    pipe: OwnedFd,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The last of what came.
    kept: Vec<u8>,
    passes_on: bool,
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
    pub(super) fn piped() -> io::Result<(Self, Stdio)> {
        let (pipe, theirs) = io::pipe()?;
        let pipe = OwnedFd::from(pipe);
        rustix::fs::fcntl_setfl(&pipe, OFlags::NONBLOCK)?;
        Ok((Self::Piped(Piped { pipe, state: Mutex::default() }), Stdio::from(theirs)))
    }

    /// Its last bytes, at most `max`; what is no UTF-8 is replaced.
    pub(crate) fn tail(&self, max: usize) -> String {
        let (bytes, is_whole) = match self {
            Self::Memory(file) => read_tail(file, max),
            Self::Piped(piped) => {
                piped.take();
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

    /// Takes what comes until nothing more will, where it comes through a pipe. Cancel safe.
    pub(crate) async fn come(&self) {
        let Self::Piped(piped) = self else { return };
        let Ok(ready) = Ready::new(piped.pipe.as_fd()) else { return };
        while piped.take() {
            if let Err(error) = ready.readable().await {
                return tracing::warn!(
                    target: "hatchery::runtime",
                    %error,
                    "a launcher's standard error cannot be read"
                );
            }
        }
    }

    /// Passes on what has come through a pipe, and what will.
    pub(crate) fn pass_on(&self) {
        let Self::Piped(piped) = self else { return };
        let mut state = lock(&piped.state);
        if !std::mem::replace(&mut state.passes_on, true) {
            say(&state.kept);
        }
    }
}

impl Piped {
    /// Takes what there is; says whether more may come.
    fn take(&self) -> bool {
        let mut buffer = [0; 4096];
        loop {
            match rustix::io::read(&self.pipe, &mut buffer) {
                Ok(0) => return false,
                Ok(count) => {
                    let bytes = buffer.get(..count).unwrap_or_default();
                    let mut state = lock(&self.state);
                    state.kept.extend_from_slice(bytes);
                    let over = state.kept.len().saturating_sub(KEPT);
                    state.kept.drain(..over);
                    if state.passes_on {
                        say(bytes);
                    }
                }
                Err(Errno::INTR) => {}
                Err(error) => return error == Errno::AGAIN,
            }
        }
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
