//! The terminal that a person sits at: its modes, what is typed there and what is shown, and the
//! debugger that it is lent to. What is said on it, and by whom, is decided elsewhere.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::PTracer;
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp,
    tcgetwinsize, tcsetattr,
};

/// What is taken for its width where it does not say.
const WIDTH: usize = 80;

/// The terminal of this process's session.
#[derive(Debug)]
pub(crate) struct Terminal(File);

/// How a terminal treats what is typed and written.
#[derive(Clone, Debug)]
pub(crate) struct Modes(Termios);

impl Terminal {
    /// Opens it. An error where there is none.
    pub(crate) fn open() -> io::Result<Self> {
        // Both flags that matter are set by the standard library or do no harm: a terminal that is
        // opened by this name is the session's own already.
        OpenOptions::new().read(true).write(true).open("/dev/tty").map(Self)
    }

    /// Whether this process may read from it and set its modes: from any other group than the one in
    /// front, either stops the whole group.
    pub(crate) fn is_ours(&self) -> bool {
        tcgetpgrp(&self.0).is_ok_and(|front| front == rustix::process::getpgrp())
    }

    pub(crate) fn modes(&self) -> io::Result<Modes> {
        Ok(Modes(tcgetattr(&self.0)?))
    }

    /// Puts the modes back, where that may be done.
    pub(crate) fn set_modes(&self, modes: &Modes) -> io::Result<()> {
        if self.is_ours() {
            tcsetattr(&self.0, OptionalActions::Now, &modes.0)?;
        }
        Ok(())
    }

    /// Has each key come as it is typed, unseen, and none of them be a signal, until this is dropped.
    /// What is written looks as ever.
    pub(crate) fn take_keys(&self) -> io::Result<Keys<'_>> {
        let before = self.modes()?;
        let mut raw = before.0.clone();
        raw.input_modes &= !(InputModes::ICRNL | InputModes::INLCR | InputModes::IXON);
        raw.local_modes &=
            !(LocalModes::ICANON | LocalModes::ECHO | LocalModes::IEXTEN | LocalModes::ISIG);
        raw.special_codes[SpecialCodeIndex::VMIN] = 1;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        self.set_modes(&Modes(raw))?;
        Ok(Keys { terminal: self, before })
    }

    /// How many columns it has.
    pub(crate) fn width(&self) -> usize {
        match tcgetwinsize(&self.0) {
            Ok(size) if size.ws_col > 0 => size.ws_col.into(),
            _ => WIDTH,
        }
    }

    /// What was typed, once something was; nothing where it is over, or `stopped` was.
    pub(crate) fn hear<'a>(
        &self,
        stopped: &Stopped,
        buffer: &'a mut [u8],
    ) -> io::Result<Option<&'a [u8]>> {
        loop {
            let mut polled = [
                PollFd::new(&self.0, PollFlags::IN),
                PollFd::from_borrowed_fd(stopped.0.as_fd(), PollFlags::IN),
            ];
            match rustix::event::poll(&mut polled, None) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            let [keys, stop] = &polled;
            if !stop.revents().is_empty() {
                return Ok(None);
            }
            if keys.revents().is_empty() {
                continue;
            }
            match (&self.0).read(buffer) {
                Ok(0) => return Ok(None),
                Ok(read) => return Ok(buffer.get(..read)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Shows this.
    pub(crate) fn show(&self, text: &str) -> io::Result<()> {
        (&self.0).write_all(text.as_bytes())
    }

    /// Has another program run on it, to its end, which may look into this process.
    pub(crate) fn lend(&self, program: &str, arguments: &[String]) -> io::Result<String> {
        let end = || self.0.try_clone();
        // Without it a child may not look into its parent where the system guards against that.
        let may = rustix::process::set_ptracer(PTracer::Any);
        let mut command = Command::new(program);
        command.args(arguments).stdin(end()?).stdout(end()?).stderr(end()?);
        let status = command.status();
        if may.is_ok() {
            let _ = rustix::process::set_ptracer(PTracer::None);
        }
        Ok(status?.to_string())
    }
}

/// That keys come as they are typed. Dropped, the modes are what they were before.
#[derive(Debug)]
pub(crate) struct Keys<'a> {
    terminal: &'a Terminal,
    before: Modes,
}

impl Keys<'_> {
    /// Has the modes of before in `f`.
    pub(crate) fn without<R>(&self, f: impl FnOnce() -> R) -> io::Result<R> {
        let taken = self.terminal.modes()?;
        self.terminal.set_modes(&self.before)?;
        let value = f();
        self.terminal.set_modes(&taken)?;
        Ok(value)
    }
}

impl Keys<'_> {
    /// Leaves the modes to somebody else.
    pub(crate) fn leave(self) {
        std::mem::forget(self);
    }
}

impl Drop for Keys<'_> {
    fn drop(&mut self) {
        // A terminal that is gone has no modes.
        let _ = self.terminal.set_modes(&self.before);
    }
}

/// Whether what stands out may be shown so: not where `NO_COLOR` says otherwise, or on one that can not.
pub(crate) fn has_colours() -> bool {
    let said = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    said("NO_COLOR").is_none() && said("TERM").is_some_and(|term| term != "dumb")
}

/// Whether a person sits at the standard input of this process.
pub(crate) fn is_attended() -> bool {
    io::stdin().is_terminal()
}

/// Stops who waits for keys: by being dropped.
#[derive(Debug)]
pub(crate) struct Stop(#[expect(dead_code, reason = "closed when it is dropped")] UnixStream);

/// What is told so.
#[derive(Debug)]
pub(crate) struct Stopped(UnixStream);

/// A pair of them.
pub(crate) fn stop() -> io::Result<(Stop, Stopped)> {
    let (stop, stopped) = UnixStream::pair()?;
    Ok((Stop(stop), Stopped(stopped)))
}

/// The text of a source file, by the name that the compiler knew it by: in this folder or one around
/// it, or around the program.
pub(crate) fn source_of(name: &str) -> Option<String> {
    let name = Path::new(name);
    if name.is_absolute() {
        return std::fs::read_to_string(name).ok();
    }
    let places = [std::env::current_dir().ok(), std::env::current_exe().ok()];
    let places = places.iter().flatten().flat_map(|place| place.ancestors());
    places.map(|place| place.join(name)).find_map(|path| std::fs::read_to_string(path).ok())
}

/// Lines that were typed at prompts, in a file that outlives programs.
#[derive(Debug)]
pub(crate) struct History(PathBuf);

impl History {
    /// Where the person wants it.
    pub(crate) fn wanted() -> Option<Self> {
        std::env::var_os("HATCHERY_HISTORY")
            .filter(|path| !path.is_empty())
            .map(|path| Self(path.into()))
    }

    /// What is in it; nothing where there is none yet.
    pub(crate) fn read(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Adds a line. The file is this user's alone.
    pub(crate) fn add(&self, line: &str) -> io::Result<()> {
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.0)?;
        file.write_all(format!("{line}\n").as_bytes())
    }
}
