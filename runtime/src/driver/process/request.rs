//! What is asked for of a child that is to be started. Nothing is done here.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::Stderr;

/// What a child runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// The image that this process runs.
    Own,
    /// Another executable.
    Path(PathBuf),
}

impl Program {
    /// What to execute.
    pub(crate) fn path(&self) -> io::Result<PathBuf> {
        /// The running image even when its file was replaced or deleted.
        const IMAGE: &str = "/proc/self/exe";
        match self {
            Self::Path(path) => Ok(path.clone()),
            Self::Own if Path::new(IMAGE).exists() => Ok(IMAGE.into()),
            Self::Own => std::env::current_exe(),
        }
    }

    /// What to call it in messages.
    pub(crate) fn shown(&self) -> PathBuf {
        match self {
            Self::Path(path) => path.clone(),
            Self::Own => std::env::current_exe().unwrap_or_else(|_| "this program".into()),
        }
    }
}

/// What the child gets as its standard input once it is up.
#[derive(Debug)]
pub(crate) enum Stdin {
    /// Nothing: `/dev/null`.
    Null,
    /// What this process has.
    Inherit,
}

/// A child to start.
#[derive(Debug)]
pub(crate) struct SpawnRequest {
    /// What it runs.
    pub(crate) program: Program,
    /// The actor's name: its argument 0, its process name, and `HATCHERY_NAME`.
    pub(crate) name: String,
    /// The tree it belongs to.
    pub(crate) tree: u128,
    /// Its arguments after argument 0.
    pub(crate) args: Vec<OsString>,
    /// Additions to the inherited environment, and what is taken out of it, in order.
    pub(crate) env: Vec<(OsString, Option<OsString>)>,
    /// Its working directory, where it is not this process's.
    pub(crate) folder: Option<PathBuf>,
    /// Its standard input.
    pub(crate) stdin: Stdin,
    /// What becomes of its standard error once it is up.
    pub(crate) stderr: Stderr,
    /// What a launcher has made of all that, where there is one.
    pub(crate) given: Option<Given>,
}

/// A command that a launcher has made, in place of program, arguments and folder.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) command: std::process::Command,
    /// The link goes through its standard input and output, and not through an inherited pair.
    pub(crate) piped: bool,
}

impl Given {
    /// What to call it in messages.
    fn shown(&self) -> PathBuf {
        self.command.get_program().into()
    }
}

impl SpawnRequest {
    /// One that asks for nothing of its own.
    pub(crate) fn plain(name: &str, tree: u128) -> Self {
        Self {
            program: Program::Own,
            name: name.to_owned(),
            tree,
            args: Vec::new(),
            env: Vec::new(),
            folder: None,
            stdin: Stdin::Null,
            stderr: Stderr::Inherit,
            given: None,
        }
    }

    /// Whether all that it asks for can be said to a process that runs already. A name that no process
    /// can have is for the system to refuse.
    pub(crate) fn is_plain(&self) -> bool {
        let streams = matches!(self.stdin, Stdin::Null) && self.stderr == Stderr::Inherit;
        let own = self.program == Program::Own && streams;
        let unset = self.args.is_empty() && self.env.is_empty() && self.folder.is_none();
        own && unset && self.given.is_none() && !self.name.contains('\0')
    }

    /// What to call in messages what is started.
    pub(crate) fn shown(&self) -> PathBuf {
        self.given.as_ref().map_or_else(|| self.program.shown(), Given::shown)
    }
}
