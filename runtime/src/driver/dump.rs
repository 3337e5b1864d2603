//! Having this process say what it is doing when it gets SIGUSR1, on a thread of its own that waits for
//! nobody: to standard error and to a file, then its children, then the stacks. What there is to say is
//! told by somebody else.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};
use signal_hook::consts::SIGUSR1;

use super::procfs;
use super::stacks::{self, Threads};

/// The environment variable that has an actor and those below it hear the signal: a folder for their
/// files, or `1` for the system's temporary one.
pub(crate) const DUMP_VARIABLE: &str = "HATCHERY_DUMP";

/// How long standard error may take nothing before no more is written there.
const PATIENCE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// What a pipe takes in one piece.
const PIECE: usize = 4096;

/// Who has something to say of this process.
pub(crate) trait Subject: Send + 'static {
    /// What it is called.
    fn name(&self) -> String;

    /// What it is doing. Waits for no lock for long.
    fn told(&self) -> String;
}

/// What the thread and whoever has started it know.
struct Shared {
    /// Whether the signal does what it does by default.
    unheard: Arc<AtomicBool>,
    folder: Mutex<PathBuf>,
}

static KNOWN: Mutex<Option<Arc<Shared>>> = Mutex::new(None);

/// That the signal is heard. Once it is dropped, that does again what it does by default.
pub(crate) struct Hears(Arc<Shared>);

impl Drop for Hears {
    fn drop(&mut self) {
        self.0.unheard.store(true, Ordering::Release);
    }
}

/// Where files go that the environment asks for; nothing where it asks for none.
pub(crate) fn asked_for() -> Option<PathBuf> {
    match std::env::var_os(DUMP_VARIABLE)? {
        folder if folder.is_empty() || folder == "0" => None,
        folder if folder == "1" => Some(usual_folder()),
        folder => {
            let folder = PathBuf::from(folder);
            Some(std::path::absolute(&folder).unwrap_or(folder))
        }
    }
}

/// Where they go where nothing is said of it.
pub(crate) fn usual_folder() -> PathBuf {
    std::env::temp_dir()
}

/// What a child is to find in its environment, where this process hears the signal.
pub(crate) fn told_children() -> Option<(OsString, Option<OsString>)> {
    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
    let heard = !known.unheard.load(Ordering::Acquire);
    let folder = known.folder.lock().unwrap_or_else(PoisonError::into_inner).clone();
    heard.then(|| (DUMP_VARIABLE.into(), Some(folder.into())))
}

/// Hears the signal from here on.
pub(crate) fn hear(folder: PathBuf, subject: impl Subject) -> io::Result<Hears> {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = &*known {
        *known.folder.lock().unwrap_or_else(PoisonError::into_inner) = folder;
        known.unheard.store(false, Ordering::Release);
        return Ok(Hears(known.clone()));
    }
    let (inbox, outbox) = UnixStream::pair()?;
    outbox.set_nonblocking(true)?;
    let shared = Arc::new(Shared {
        // A signal that comes before there is a thread does what it did.
        unheard: Arc::new(AtomicBool::new(true)),
        folder: Mutex::new(folder),
    });
    signal_hook::flag::register_conditional_default(SIGUSR1, shared.unheard.clone())?;
    signal_hook::low_level::pipe::register(SIGUSR1, outbox)?;
    let writer = Writer { inbox, subject, shared: shared.clone() };
    thread::Builder::new()
        .name("hatchery-dump".to_owned())
        .stack_size(256 * 1024)
        .spawn(|| writer.run())?;
    shared.unheard.store(false, Ordering::Release);
    Ok(Hears(known.insert(shared).clone()))
}

struct Writer<S> {
    inbox: UnixStream,
    subject: S,
    shared: Arc<Shared>,
}

impl<S: Subject> Writer<S> {
    fn run(mut self) {
        // Those that come while it writes are one.
        let mut words = [0; 64];
        loop {
            match self.inbox.read(&mut words) {
                Ok(1..) => self.write(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => return,
            }
        }
    }

    fn write(&self) {
        let threads = Threads::look();
        let (name, pid) = (self.subject.name(), std::process::id());
        let folder = self.shared.folder.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let folder = open_folder(&folder).map_err(|error| (folder, error));
        let mut out = Out::new(&name, pid);
        let file =
            folder.as_ref().map_err(|(path, error)| no_file(path, error)).and_then(|folder| {
                let file = format!("hatchery-{}-{pid}.txt", file_name(&name));
                open_file(folder, &file).map_err(|error| no_file(Path::new(&file), &error))
            });
        match file {
            Ok(file) => out.file = Some(file),
            Err(why) => out.say(&why),
        }
        out.say(&format!("==== dump of actor `{name}` (pid {pid}) at {}\n", now()));
        out.say(&self.subject.told());
        out.say(&format!("---- threads\n{}", threads.told()));
        // Before what may take its time.
        out.say(&format!("---- told to do the same\n{}", hand_on()));
        let stacks = stacks::by_debugger(folder.as_ref().ok());
        out.say(&format!("---- stacks of the threads\n{stacks}"));
        out.say("==== end of the dump\n");
    }
}

fn no_file(path: &Path, error: &io::Error) -> String {
    format!("this stands in no file: `{}`: {error}\n", path.display())
}

/// Where the text goes.
struct Out {
    file: Option<File>,
    prefix: String,
    /// Standard error takes no more.
    is_deaf: bool,
}

impl Out {
    fn new(name: &str, pid: u32) -> Self {
        Self { file: None, prefix: format!("{}[{pid}]: ", name.escape_default()), is_deaf: false }
    }

    fn say(&mut self, text: &str) {
        if let Some(file) = &mut self.file
            && let Err(error) = file.write_all(text.as_bytes())
        {
            self.file = None;
            self.print(&format!("the file takes no more of this: {error}\n"));
        }
        self.print(text);
    }

    /// Lines that those of others do not come in between of.
    fn print(&mut self, text: &str) {
        let mut piece = Vec::new();
        for line in text.lines() {
            let mut line = format!("{}{line}", self.prefix).into_bytes();
            line.truncate(PIECE - 1);
            line.push(b'\n');
            if piece.len() + line.len() > PIECE {
                self.print_piece(&piece);
                piece.clear();
            }
            piece.append(&mut line);
        }
        self.print_piece(&piece);
    }

    /// A reader that does not read is not to hold this up.
    fn print_piece(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.is_deaf {
            let stderr = rustix::stdio::stderr();
            let mut polled = [PollFd::from_borrowed_fd(stderr, PollFlags::OUT)];
            let ready = rustix::event::poll(&mut polled, Some(&PATIENCE));
            let written = match ready {
                Ok(0) => Err(Errno::TIMEDOUT),
                _ => rustix::io::write(stderr, bytes),
            };
            match written {
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(error) => {
                    self.is_deaf = true;
                    let why = format!("(standard error takes no more of this: {error})\n");
                    if let Some(file) = &mut self.file {
                        let _ = file.write_all(why.as_bytes());
                    }
                }
            }
        }
    }
}

fn open_folder(folder: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(folder, flags, Mode::empty())?.into())
}

/// The file to add to: this user's alone, whatever others may have put in its place.
fn open_file(folder: &File, name: &str) -> io::Result<File> {
    // A pipe in its place is not to hold this up.
    let how = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::APPEND | how;
    let file = rustix::fs::openat(folder, name, flags, Mode::RUSR | Mode::WUSR)?;
    let stat = rustix::fs::fstat(&file)?;
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    let is_own = stat.st_uid == rustix::process::geteuid().as_raw() && stat.st_nlink == 1;
    let is_private = stat.st_mode & 0o077 == 0;
    if is_file && is_own && is_private {
        return Ok(file.into());
    }
    let why = "what stands there is no file that this user alone may read";
    Err(io::Error::new(io::ErrorKind::AlreadyExists, why))
}

/// An actor's name as part of a file's: without what a path is made of.
fn file_name(name: &str) -> String {
    let plain = |one: char| one.is_ascii_alphanumeric() || matches!(one, '_' | '-');
    name.chars().map(|one| if plain(one) { one } else { '_' }).take(64).collect()
}

/// Signals the actors that this process has started; says which, and why not the others.
fn hand_on() -> String {
    let children = match procfs::own_children() {
        Ok(children) => children,
        Err(error) => return format!("not known: the list of children: {error}\n"),
    };
    let mut out = String::new();
    for pid in children {
        // What an actor has started else is not this library's to signal.
        let Some(name) = procfs::actor_name(pid) else { continue };
        let told = match pass_on(pid) {
            Ok(()) => "told".to_owned(),
            Err(why) => format!("not told: {why}"),
        };
        out += &format!("`{}` (pid {pid}): {told}\n", name.escape_default());
    }
    if out.is_empty() { "none\n".to_owned() } else { out }
}

/// Signals a child that hears it: any other would end of it.
fn pass_on(pid: u32) -> Result<(), String> {
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or("it is no process")?;
    let process = rustix::process::pidfd_open(raw, PidfdFlags::empty());
    let process = process.map_err(|error| error.to_string())?;
    let is_child = procfs::stat(pid).is_some_and(|stat| stat.parent == std::process::id());
    if !is_child || !procfs::catches(pid, SIGUSR1) {
        return Err("it does not hear the signal, or not yet".to_owned());
    }
    let sent = rustix::process::pidfd_send_signal(process, Signal::USR1);
    sent.map_err(|error| error.to_string())
}

/// The time, by the calendar and of no zone.
fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    at(since)
}

fn at(since: Duration) -> String {
    let (days, rest) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // Years begin in March here, so that the day that not all have comes last.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    let micros = since.subsec_micros();
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calendar_knows_leap_years_and_ends_of_months() {
        for (seconds, said) in [
            (0, "1970-01-01 00:00:00.000000 UTC"),
            (951_782_399, "2000-02-28 23:59:59.000000 UTC"),
            (951_782_400, "2000-02-29 00:00:00.000000 UTC"),
            (1_709_251_199, "2024-02-29 23:59:59.000000 UTC"),
            (1_709_251_200, "2024-03-01 00:00:00.000000 UTC"),
            (1_798_761_599, "2026-12-31 23:59:59.000000 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00.000000 UTC"),
        ] {
            assert_eq!(at(Duration::from_secs(seconds)), said);
        }
    }

    #[test]
    fn a_name_is_no_path() {
        assert_eq!(file_name("../../etc/a b.c\n"), "______etc_a_b_c_");
        assert_eq!(file_name("wörker-1_x"), "w_rker-1_x");
        assert_eq!(file_name(&"a".repeat(500)).len(), 64);
    }
}
