//! What the threads of this process are doing, as the system shows it, and their stacks, as a debugger
//! does where there is one. Decides nothing; asks nothing of the threads, any of which may be stuck.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, MemfdFlags};
use rustix::io::Errno;
use rustix::process::{PTracer, Pid};

use super::handover::MARKER_VARIABLE;
use super::procfs;

/// For so long it is seen how much a thread runs.
const WINDOW: Duration = Duration::from_millis(100);

/// How long a process waits for others to have theirs taken.
const TURN: Duration = Duration::from_secs(30);

/// How much of what the debugger says is kept.
const MOST: u64 = 256 * 1024;

/// Waits until it may be looked at; has the debugger look, which ends in 5 s whatever it is at; and lets
/// it go on, should the debugger have been ended at the moment at which it had it stopped. It knows
/// itself by its own number, which is told by its parent.
const SCRIPT: &str = "\
read -r _ || exit 0
command -v gdb >/dev/null 2>&1 || { echo 'no `gdb` is installed'; exit 9; }
command -v timeout >/dev/null 2>&1 || { echo 'no `timeout` is installed'; exit 9; }
timeout -s KILL 5 gdb -nx -batch -iex 'set debuginfod enabled off' -iex 'set auto-load off' \
-iex 'set print frame-arguments none' -p \"$1\" -ex 'thread apply all backtrace 64' 2>&1 && exit 0
code=$?
kill -s CONT \"$1\"
exit $code
";

/// The threads at a moment, by their numbers: how long each had run by then.
pub(super) struct Threads {
    then: Instant,
    ran: BTreeMap<u32, Option<Duration>>,
}

impl Threads {
    /// The first of two looks.
    pub(super) fn look() -> Self {
        let ran = own_threads().into_iter().map(|id| (id, ran(id))).collect();
        Self { then: Instant::now(), ran }
    }

    /// The second, in words: a thread a line, and where it is in the kernel as far as that may be seen.
    pub(super) fn told(&self) -> String {
        thread::sleep(WINDOW.saturating_sub(self.then.elapsed()));
        let window = self.then.elapsed();
        let mut out = String::new();
        for id in own_threads() {
            let which = format!("self/task/{id}");
            let Some(shown) = procfs::shown(&which) else { continue };
            let name = fs::read_to_string(format!("/proc/{which}/comm")).unwrap_or_default();
            let _ = write!(out, "thread {id} `{}` {shown}", name.trim_end().escape_default());
            let before = self.ran.get(&id).copied().flatten();
            if let Some((now, before)) = ran(id).zip(before) {
                let ran = now.saturating_sub(before);
                let _ = write!(out, "; it ran {ran:.0?} of the last {window:.0?}");
            }
            out.push('\n');
            let stack = fs::read_to_string(format!("/proc/{which}/stack")).unwrap_or_default();
            for frame in stack.lines() {
                let _ = writeln!(out, "    {frame}");
            }
        }
        out
    }
}

fn own_threads() -> Vec<u32> {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten();
    let mut ids: Vec<u32> =
        threads.filter_map(|thread| thread.ok()?.file_name().to_str()?.parse().ok()).collect();
    ids.sort_unstable();
    ids
}

/// How long a thread of this process has run.
fn ran(thread: u32) -> Option<Duration> {
    let line = fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).ok()?;
    line.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

/// The stacks of this process's threads, by a debugger that stops it while it looks: one process at a
/// time of those that have the same folder for this.
///
/// Says why there are none.
pub(super) fn by_debugger(folder: Option<&File>) -> String {
    let _turn = match folder.map(turn) {
        Some(Err(error)) => return format!("not seen: {error}\n"),
        Some(Ok(turn)) => Some(turn),
        None => None,
    };
    debug().unwrap_or_else(|error| format!("not seen: a debugger cannot be started: {error}\n"))
}

/// Waits for its turn, which is over once it is dropped.
fn turn(folder: &File) -> io::Result<File> {
    let until = Instant::now() + TURN;
    // An open file of its own: the lock is that one's.
    let folder = rustix::fs::openat(
        folder,
        ".",
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )?;
    loop {
        match rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(folder.into()),
            Err(Errno::WOULDBLOCK) if Instant::now() < until => {
                thread::sleep(Duration::from_millis(10));
            }
            Err(Errno::WOULDBLOCK) => {
                return Err(io::Error::other(format!(
                    "other processes have had theirs taken for {TURN:?}, one after the other"
                )));
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn debug() -> io::Result<String> {
    // A pipe would be full while whoever reads it is stopped.
    let said = rustix::fs::memfd_create("hatchery-stacks", MemfdFlags::CLOEXEC)?;
    let own = std::process::id().to_string();
    let mut shell = Command::new("/bin/sh")
        .args(["-c", SCRIPT, "sh", &own])
        .env_remove(MARKER_VARIABLE)
        .stdin(Stdio::piped())
        .stdout(Stdio::from(said.as_fd().try_clone_to_owned()?))
        .stderr(Stdio::null())
        .spawn()?;
    let go = shell.stdin.take();
    // Where the system lets a process look into its descendants alone, this one lets its child.
    let child = i32::try_from(shell.id()).ok().and_then(Pid::from_raw);
    let allowed = child.map(|child| rustix::process::set_ptracer(PTracer::ProcessID(child)));
    if let Some(mut go) = go {
        // It has ended where that fails, and says so.
        let _ = go.write_all(b"\n");
    }
    let ended = shell.wait();
    if let Some(Ok(())) = allowed {
        let _ = rustix::process::set_ptracer(PTracer::None);
    }
    let ended = ended?;
    let mut said = File::from(said);
    said.rewind()?;
    let mut bytes = Vec::new();
    said.take(MOST).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(match ended.success() && text.contains("\n#0 ") {
        true => frames(&text),
        false => format!("not seen: the debugger has ended with {ended}, and says:\n{text}\n"),
    })
}

/// What a debugger says of threads and frames, without the rest.
fn frames(text: &str) -> String {
    let wanted = |line: &&str| line.starts_with("Thread ") || line.starts_with('#');
    text.lines().filter(wanted).flat_map(|line| [line, "\n"]).collect()
}
