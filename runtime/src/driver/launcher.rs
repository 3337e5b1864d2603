//! How an actor's process is started, where that is not by this library itself: what a launcher is
//! given, and what it gives. Starts nothing: that is the spawner's.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::handover;
use super::process::{Given, Program};

/// How an actor's process is started: see [`ActorBuilder::launcher`](crate::ActorBuilder::launcher).
///
/// A launcher makes a command and starts nothing; the command is started by the same thread as every
/// child, is waited for like every child, and ends with the nursery like every child. [`Direct`] is what
/// is used where no other is named, and [`CommandLine`] reaches an actor through another program.
///
/// ```
/// use std::io;
///
/// use hatchery::{Launch, Launched, Launcher};
///
/// /// Starts actors within a container, of which the command line must hand on standard input.
/// #[derive(Debug)]
/// struct Container(String);
///
/// impl Launcher for Container {
///     fn launch(&self, actor: &Launch<'_>) -> io::Result<Launched> {
///         let mut command = std::process::Command::new("docker");
///         command.args(["exec", "-i", &self.0]).args(actor.words()?);
///         Ok(Launched::Piped(command))
///     }
/// }
/// ```
pub trait Launcher: Send + Sync {
    /// Makes the command that starts an actor. Called once for each actor, on the task that starts it,
    /// so it must not block for long.
    ///
    /// # Errors
    /// What keeps it from doing so; the start fails with it.
    fn launch(&self, actor: &Launch<'_>) -> io::Result<Launched>;
}

/// The command that a [`Launcher`] has made. Its standard streams are set by whoever starts it, and it
/// leads a process group of its own until it is an actor.
#[derive(Debug)]
#[non_exhaustive]
pub enum Launched {
    /// The process of this command is the actor itself, or becomes it by `exec`: it inherits its end of
    /// the link, as its standard input, and dies with its parent. It must be the program of
    /// [`Launch::program`], or whatever executes it without a process in between, such as `nice`.
    Inherited(Command),
    /// The actor is reached through the standard input and output of this command's process, wherever
    /// it runs. Its program must be run with [`Launch::words`], the last of which has it be an actor.
    ///
    /// The process leads a group for as long as it lives, so that what a terminal sends does not reach
    /// it, and all of the group is signalled where the actor does not end when it is asked to. The end
    /// of either stream is the end of the actor: it ends itself within a second (P-T4).
    Piped(Command),
}

/// The actor that a [`Launcher`] is to start.
#[derive(Debug)]
pub struct Launch<'a> {
    pub(crate) name: &'a str,
    pub(crate) program: &'a Program,
    pub(crate) args: &'a [OsString],
    pub(crate) env: &'a [(OsString, Option<OsString>)],
    pub(crate) folder: Option<&'a Path>,
    /// The last argument of one that is reached through a launcher.
    pub(crate) last: String,
}

impl Launch<'_> {
    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name
    }

    /// The executable: the one that was asked for, else that of this process, by its path. On another
    /// machine it has to stand at the same place.
    ///
    /// # Errors
    /// Fails where the path of this process's executable is not known.
    pub fn program(&self) -> io::Result<PathBuf> {
        match self.program {
            Program::Path(path) => Ok(path.clone()),
            Program::Own => std::env::current_exe(),
        }
    }

    /// Its arguments, without the program and without the one that has it be an actor.
    pub fn args(&self) -> impl Iterator<Item = &OsStr> {
        self.args.iter().map(OsString::as_os_str)
    }

    /// Variables of its environment that were set, or are to be removed, in order.
    pub fn env(&self) -> impl Iterator<Item = (&OsStr, Option<&OsStr>)> {
        self.env.iter().map(|(name, value)| (name.as_os_str(), value.as_deref()))
    }

    /// Its working directory, where one was asked for.
    #[must_use]
    pub fn current_dir(&self) -> Option<&Path> {
        self.folder
    }

    /// What has to be run where it is reached through standard input and output: the program, its
    /// arguments, and behind them the one by which [`init`](crate::init) knows that it is an actor.
    ///
    /// # Errors
    /// As [`program`](Self::program).
    pub fn words(&self) -> io::Result<Vec<OsString>> {
        let mut words = vec![self.program()?.into_os_string()];
        words.extend(self.args.iter().cloned());
        words.push(self.last.clone().into());
        Ok(words)
    }

    fn apply_surroundings(&self, command: &mut Command) {
        handover::surround(command, self.env, self.folder);
    }
}

/// The launcher that is used where no other is named: a child process of the same program, or of the one
/// that was asked for, over a pair of sockets that it inherits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Direct;

impl Launcher for Direct {
    fn launch(&self, actor: &Launch<'_>) -> io::Result<Launched> {
        let mut command = Command::new(actor.program.path()?);
        command.arg0(format!("hatchery: {}", actor.name)).args(actor.args);
        actor.apply_surroundings(&mut command);
        Ok(Launched::Inherited(command))
    }
}

/// A launcher that is any command line whose standard input and output reach the program that stands at
/// its end, such as `ssh`.
///
/// ```
/// use hatchery::CommandLine;
///
/// let remote = CommandLine::new("ssh")
///     .args(["-T", "-o", "BatchMode=yes", "build.example.org"])
///     .through_a_shell();
/// # drop(remote);
/// ```
///
/// The actor's environment and folder are those of the command line's process; whether they reach the
/// actor is its matter, and `ssh` takes over neither. What both write to standard error is quoted where
/// the actor does not come up, and goes to this process's standard error once it is up; what the actor
/// prints goes there too, since its standard output is the link.
///
/// What stands between the two may hold data. Where an actor's thread is blocked and that is full, the
/// end of a parent that was killed is seen behind it only once the thread reads again; otherwise within
/// a second.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a launcher is for `ActorBuilder::launcher`"]
pub struct CommandLine {
    words: Vec<OsString>,
    is_quoting: bool,
}

impl CommandLine {
    /// One that begins with this program.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self { words: vec![program.into()], is_quoting: false }
    }

    /// Adds an argument, ahead of the actor's program.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.words.push(arg.into());
        self
    }

    /// Adds arguments, ahead of the actor's program.
    pub fn args<I: Into<OsString>>(mut self, args: impl IntoIterator<Item = I>) -> Self {
        self.words.extend(args.into_iter().map(Into::into));
        self
    }

    /// Has the actor's program and arguments quoted for a shell, into one word each: for what hands
    /// them to one, as `ssh` does.
    pub fn through_a_shell(mut self) -> Self {
        self.is_quoting = true;
        self
    }
}

impl Launcher for CommandLine {
    fn launch(&self, actor: &Launch<'_>) -> io::Result<Launched> {
        let words = actor.words()?;
        let (program, rest) = self.words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut command = Command::new(program);
        command.args(rest);
        match self.is_quoting {
            true => command.args(words.iter().map(|word| quoted(word))),
            false => command.args(words),
        };
        actor.apply_surroundings(&mut command);
        Ok(Launched::Piped(command))
    }
}

impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.words.iter().map(|word| word.to_string_lossy()).collect();
        f.write_str(&words.join(" "))
    }
}

/// A word as a shell takes it for one, whatever is in it.
fn quoted(word: &OsStr) -> OsString {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-=:,@%+".contains(byte);
    if !word.is_empty() && word.as_bytes().iter().all(is_plain) {
        return word.to_owned();
    }
    let mut quoted = vec![b'\''];
    for &byte in word.as_bytes() {
        match byte {
            b'\'' => quoted.extend_from_slice(b"'\\''"),
            byte => quoted.push(byte),
        }
    }
    quoted.push(b'\'');
    OsString::from_vec(quoted)
}

impl From<Launched> for Given {
    fn from(launched: Launched) -> Self {
        match launched {
            Launched::Inherited(command) => Self { command, piped: false },
            Launched::Piped(command) => Self { command, piped: true },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch<'a>(program: &'a Program, args: &'a [OsString]) -> Launch<'a> {
        Launch { name: "x", program, args, env: &[], folder: None, last: "--last".into() }
    }

    fn line(launched: Launched) -> Vec<String> {
        let (Launched::Inherited(command) | Launched::Piped(command)) = launched;
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        words.map(|word| word.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_command_line_ends_with_the_program_its_arguments_and_the_last() {
        let program = Program::Path("/bin/x y".into());
        let args = [OsString::from("a'b"), "c".into(), "".into()];
        let ssh = CommandLine::new("ssh").args(["-T", "host"]);
        let plain = line(ssh.launch(&launch(&program, &args)).unwrap());
        assert_eq!(plain, ["ssh", "-T", "host", "/bin/x y", "a'b", "c", "", "--last"]);
        let quoted = line(ssh.through_a_shell().launch(&launch(&program, &args)).unwrap());
        assert_eq!(quoted[3..], ["'/bin/x y'", "'a'\\''b'", "c", "''", "--last"]);
    }

    #[test]
    fn what_runs_elsewhere_is_named_by_its_path_and_what_runs_here_may_be_the_image() {
        let words = launch(&Program::Own, &[]).words().unwrap();
        assert_eq!(words[0], std::env::current_exe().unwrap());
        let own = line(Direct.launch(&launch(&Program::Own, &[])).unwrap());
        assert_eq!(own, ["/proc/self/exe"]);
    }
}
