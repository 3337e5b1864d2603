//! The way into a child: from descriptor 0 being the link to a process that is tied to its parent, or
//! from descriptors 0 and 1 being a launcher's to a process that is tied to its link (P-L8).
//! What the child does then is decided elsewhere.

use std::ffi::CString;
use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hatchery_proto::Limits;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType};
use rustix::process::{Pid, Signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGPIPE};

use super::handover::{self, LIMITS_VARIABLE, MARKER_VARIABLE, Marker, NAME_VARIABLE};
use super::process::duplicate;
use super::procfs;
use super::way::Way;

/// How long the standard streams may take; they were sent before the process was started.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether somebody has been through [`take_entry`].
static ENTERED: AtomicBool = AtomicBool::new(false);

/// What this process is.
#[derive(Debug)]
pub(crate) enum Entry {
    /// Not started by this library, or this was asked before.
    NotAChild,
    /// A child whose parent is gone already. It ought to end.
    Orphan,
    /// A child that could not take its place. It ought to end; its parent reads its stderr.
    Failed(io::Error),
    /// A child, and its end of the link, nonblocking.
    Child(ChildEntry, Way),
}

/// What a child has of its parent.
#[derive(Debug)]
pub(crate) struct ChildEntry {
    /// What it does not outlive, until something watches it.
    pub(crate) tie: Option<Tie>,
    pub(crate) launched: bool,
    /// The tree it belongs to, where it is told so before its link tells it.
    pub(crate) tree: Option<u128>,
    /// What its parent calls it.
    pub(crate) name: String,
    /// Its bounds for the link.
    pub(crate) limits: Limits,
    /// The real standard error; descriptor 2 is the boot one until
    /// [`switch_stderr`](Self::switch_stderr).
    pub(crate) stderr: OwnedFd,
}

/// What a child does not outlive.
#[derive(Debug)]
pub(crate) enum Tie {
    /// The process that started it.
    Parent(u32),
    /// What it reads its link from.
    Link(OwnedFd),
}

/// What one is called that a launcher has started, until it is told on its link.
const LAUNCHED: &str = "launched";

/// Says what this process is, and if it is a child, ties it to its parent.
///
/// To be called first thing, on the main thread: the tie belongs to the calling thread. The first
/// call has the answer, later ones say [`Entry::NotAChild`].
pub(crate) fn take_entry() -> Entry {
    if ENTERED.swap(true, Ordering::AcqRel) {
        return Entry::NotAChild;
    }
    match own_marker().and_then(|marker| marker.map(ChildEntry::take).transpose()) {
        Ok(Some(Some((child, link)))) => Entry::Child(child, link),
        Ok(Some(None)) => Entry::Orphan,
        Ok(None) => match own_argument().map(ChildEntry::take_launched) {
            None => Entry::NotAChild,
            Some(Ok((child, link))) => Entry::Child(child, link),
            Some(Err(error)) => Entry::Failed(error),
        },
        Err(error) => Entry::Failed(error),
    }
}

/// Whether [`take_entry`] was called in this process.
pub(crate) fn entry_was_called() -> bool {
    ENTERED.load(Ordering::Acquire)
}

/// Whether this process was started as a child and has not been through [`take_entry`].
pub(crate) fn marked_as_child() -> bool {
    !entry_was_called() && (own_argument().is_some() || !matches!(own_marker(), Ok(None)))
}

/// The bounds in the argument by which a launcher's program is to be an actor, where it is the last.
fn own_argument() -> Option<Limits> {
    let last = std::env::args_os().skip(1).last()?;
    handover::heard_argument(&last)
}

/// The marker, if it speaks of this process: a plain program that a child starts inherits it too,
/// but has another descriptor 0.
///
/// A process that cannot find out is not taken for a plain one: it would run its `main` as a root,
/// and start children that do the same.
fn own_marker() -> io::Result<Option<Marker>> {
    let marker = std::env::var(MARKER_VARIABLE).ok().and_then(|marker| marker.parse().ok());
    match marker.map(speaks_of_us) {
        None => Ok(None),
        Some(Ok(marker)) => Ok(marker),
        Some(Err(Errno::NOTSOCK | Errno::BADF)) => Ok(None),
        Some(Err(error)) => Err(error.into()),
    }
}

fn speaks_of_us(marker: Marker) -> rustix::io::Result<Option<Marker>> {
    let link = rustix::stdio::stdin();
    let is_link = rustix::net::sockopt::socket_domain(link)? == AddressFamily::UNIX
        && rustix::net::sockopt::socket_type(link)? == SocketType::STREAM
        && handover::inode(link)? == marker.socket
        && number(rustix::net::sockopt::socket_peercred(link)?.pid) == marker.parent;
    Ok(is_link.then_some(marker))
}

fn number(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().unsigned_abs()
}

impl ChildEntry {
    /// `None` where the parent is gone.
    fn take(marker: Marker) -> io::Result<Option<(Self, Way)>> {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // A parent that died before that was armed sends nothing any more.
        if !is_parent(marker.parent) {
            return Ok(None);
        }
        // Before it hears what its group does.
        ignore_signals()?;
        join_group_of(marker.parent);
        let link = UnixStream::from(duplicate(io::stdin())?);
        link.set_nonblocking(true)?;
        let (stdin, stderr) = match handover::take(&link, PATIENCE) {
            Ok(streams) => streams,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        };
        rustix::stdio::dup2_stdin(stdin)?;
        // Descriptors that came by message may have landed on a number below 3.
        let stderr = if is_standard(&stderr) { duplicate(&stderr)? } else { stderr };
        let name = std::env::var(NAME_VARIABLE).unwrap_or_default();
        set_process_name(&name);
        let limits = std::env::var(LIMITS_VARIABLE).unwrap_or_default();
        let limits = handover::heard_limits(&limits);
        let Marker { parent, tree, .. } = marker;
        let (tie, tree) = (Some(Tie::Parent(parent)), Some(tree));
        let entry = Self { tie, launched: false, tree, name, limits, stderr };
        Ok(Some((entry, Way::Pair(link))))
    }

    /// Makes the standard input and output the link, and keeps everybody else from writing there.
    fn take_launched(limits: Limits) -> io::Result<(Self, Way)> {
        let (read, write) = (launched(io::stdin(), "input")?, launched(io::stdout(), "output")?);
        let link = Way::Pipes { read, write };
        link.set_nonblocking(true)?;
        ignore_signals()?;
        let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        rustix::stdio::dup2_stdin(&null)?;
        // What a program prints goes beside what it complains of.
        let stderr = match duplicate(io::stderr()) {
            Err(Errno::BADF) => duplicate(&null)?,
            stderr => stderr?,
        };
        rustix::stdio::dup2_stdout(&stderr)?;
        set_process_name(LAUNCHED);
        // Where it is read from again is not what shows the end of what is written.
        let tie = Some(Tie::Link(duplicate(link.reads())?));
        let name = LAUNCHED.to_owned();
        Ok((Self { tie, launched: true, tree: None, name, limits, stderr }, link))
    }

    /// Whether it is told what it is only once it has greeted.
    pub(crate) fn is_launched(&self) -> bool {
        self.launched
    }

    /// Says why it ends that was not told what it is, where a person may have started it by hand; a
    /// parent reads that where there is one.
    pub(crate) fn mourn(&self, greeted: bool) {
        if self.launched && !greeted {
            let why =
                "no actor has greeted it on its standard input: leave that out to run it by hand";
            let argument = handover::ARGUMENT;
            complain(&format!("this program was started as an actor, by `{argument}`, and {why}"));
        }
    }

    /// Makes the real standard error descriptor 2, after what was written to the boot one so far.
    ///
    /// To be called once the child is up. A program that the child started before goes on writing
    /// to the boot one.
    pub(crate) fn switch_stderr(&self) -> io::Result<()> {
        let boot = File::from(duplicate(io::stderr())?);
        // Only a memory file of ours can be read back and has seals.
        let ours = rustix::fs::fcntl_get_seals(&boot).is_ok();
        let written = if ours { self.copy_stderr(&boot, 0) } else { 0 };
        rustix::stdio::dup2_stderr(&self.stderr)?;
        if ours {
            // What another thread wrote meanwhile.
            self.copy_stderr(&boot, written);
            // Its parent still holds it.
            boot.set_len(0)?;
            let _ = NOTES.set(boot);
        }
        Ok(())
    }

    /// The same; where that cannot be done it stays what it was.
    pub(crate) fn settle_stderr(&self) {
        if let Err(error) = self.switch_stderr() {
            tracing::warn!(
                target: "hatchery::runtime",
                %error,
                "the actor's standard error stays where it is"
            );
        }
    }

    /// Copies from an offset on; returns where it ended. What cannot be written is given up.
    fn copy_stderr(&self, boot: &File, mut offset: u64) -> u64 {
        let mut buffer = [0; 4096];
        loop {
            let read = match boot.read_at(&mut buffer, offset) {
                Ok(0) => return offset,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return offset,
            };
            offset += read as u64;
            self.write_stderr(buffer.get(..read).unwrap_or_default());
        }
    }

    fn write_stderr(&self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match rustix::io::write(&self.stderr, bytes) {
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if self.stderr_is_writable() => {}
                Err(_) => return,
            }
        }
    }

    /// Waits a little for a standard error that was made nonblocking by somebody else.
    fn stderr_is_writable(&self) -> bool {
        let patience = Timespec { tv_sec: 1, tv_nsec: 0 };
        let mut polled = [PollFd::new(&self.stderr, PollFlags::OUT)];
        matches!(rustix::event::poll(&mut polled, Some(&patience)), Ok(1..))
    }
}

/// A standard stream that a launcher's end of a link has to be: moved away, so that nobody inherits it.
fn launched(stream: impl AsFd + IsTerminal, which: &str) -> io::Result<OwnedFd> {
    let why = |what: &dyn fmt::Display| {
        let why = format!(
            "`{}` is the argument by which a launcher has a program be an actor, whose standard input \
             and output are pipes or sockets to the actor that starts it; standard {which} {what}",
            handover::ARGUMENT
        );
        io::Error::new(io::ErrorKind::InvalidInput, why)
    };
    if stream.is_terminal() {
        return Err(why(&"is a terminal: leave the argument out to run the program by hand"));
    }
    let kind = rustix::fs::fstat(&stream).map_err(|error| why(&format_args!("fails: {error}")))?;
    match FileType::from_raw_mode(kind.st_mode) {
        FileType::Fifo | FileType::Socket => Ok(duplicate(stream)?),
        _ => Err(why(&"is neither")),
    }
}

/// Where this process leaves what its parent should know of its death.
static NOTES: OnceLock<File> = OnceLock::new();

/// Leaves word of a panic that may be the end of this process. Nothing where it is no child.
pub(crate) fn leave_note(panic: &dyn fmt::Display) {
    const ROOM: usize = 4096;
    let Some(notes) = NOTES.get() else { return };
    let text = format!("{panic}\n");
    // A panic in a destructor comes behind the one that it belongs to. Nobody is left to tell where
    // this fails too.
    let taken = notes.metadata().map_or(0, |notes| notes.len());
    let room = usize::try_from(taken).map_or(0, |taken| ROOM.saturating_sub(taken));
    let text = text.as_bytes();
    let _ = notes.write_all_at(text.get(..room).unwrap_or(text), taken);
}

/// Takes that word back: the panic became an error.
pub(crate) fn take_back_note() {
    if let Some(notes) = NOTES.get() {
        let _ = notes.set_len(0);
    }
}

/// Whether this process is a child of that one now.
pub(super) fn is_parent(pid: u32) -> bool {
    rustix::process::getppid().map(number) == Some(pid)
}

/// Makes this process part of its parent's group, as a child is that nobody moves: what a terminal
/// stops or ends is the whole tree. Where that group cannot be told, or is of another session, it
/// stays in its own, which costs nothing else.
fn join_group_of(parent: u32) {
    // The system call gives 0 for a group outside of this container, which `rustix` has no type for.
    let group = procfs::stat(parent).and_then(|parent| Pid::from_raw(parent.group));
    if group.is_some() {
        let _ = rustix::process::setpgid(None, group);
    }
}

fn is_standard(descriptor: &OwnedFd) -> bool {
    use std::os::fd::AsRawFd;
    descriptor.as_fd().as_raw_fd() < 3
}

/// Names the main thread, and by that the process; the kernel keeps 15 bytes. On any other thread it
/// names that one.
pub(crate) fn set_process_name(name: &str) {
    let end = (0..=name.len().min(15)).rev().find(|&end| name.is_char_boundary(end)).unwrap_or(0);
    if let Ok(name) = CString::new(name.get(..end).unwrap_or_default()) {
        let _ = rustix::thread::set_name(&name);
    }
}

/// The terminal's Ctrl-C and its hanging up are the root's matter, and a closed link an error, not a
/// signal: `main` has not been reached yet, where `std` sees to SIGPIPE. Handlers, not `SIG_IGN`,
/// since that would be inherited by the programs that the child starts. SIGTERM is the watch's.
fn ignore_signals() -> io::Result<()> {
    for signal in [SIGHUP, SIGINT, SIGPIPE] {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
    }
    Ok(())
}

/// Writes one line to standard error, which is the parent's to read until the actor is up.
pub(crate) fn complain(line: &str) {
    use std::io::Write as _;
    // Nobody is left to tell where this fails too.
    let _ = writeln!(io::stderr(), "{line}");
}

/// Ends the process. The documented child entry is the one place that may.
#[expect(clippy::exit, reason = "a child's `main` must not go on behind the entry")]
pub(crate) fn exit(code: i32) -> ! {
    std::process::exit(code)
}
