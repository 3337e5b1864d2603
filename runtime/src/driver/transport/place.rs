//! Directories that hold sockets, and the files of sockets in them. Touches only what it made itself,
//! by descriptors of directories and never through a symbolic link in the place of one of its own.
//!
//! - A file is made, looked at and removed below the descriptor of its directory, so that nobody who
//!   moves a directory makes us touch another. It is removed only where it is still the one that was
//!   made, by its inode.
//! - A file that nobody listens at is taken over only under the directory's lock, which is held by
//!   whoever makes one too: between the making and the listening it would look the same.
//! - A file whose name is drawn has that name only once it is listened at, and nobody ever listens there
//!   again: one that refuses is dead, and removed without a lock.
//! - The private directory goes with the last file in it. Whoever was about to use it makes it anew.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hatchery_proto::Address;
use rustix::fs::{Access, AtFlags, FileType, FlockOperation, Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::listened::{self, SOCKET, UNBORN};
use super::origin::own_user;
use super::trouble::{TransportError, Trouble};
use crate::driver::{clock, readiness};

/// What a socket's path may have, its closing zero left out.
const PATH: usize = 107;
/// How long others may hold the lock of a directory: they make a file and begin to listen meanwhile.
const PATIENCE: Duration = Duration::from_secs(5);
/// So often a private directory that goes meanwhile is made anew.
const TRIES: usize = 16;
/// Waiting connections; the system takes less where its own bound is lower.
const BACKLOG: i32 = 4096;

const LISTEN: &str = "listening on";
const OPEN: &str = "opening the directory";

/// How a directory is opened.
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The private directory of this user: `$XDG_RUNTIME_DIR/hatchery`, or `/tmp/hatchery-UID`.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    base: PathBuf,
    name: OsString,
}

impl Place {
    /// Where it is. Makes nothing yet.
    pub(crate) fn own() -> Self {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        match runtime.filter(|runtime| is_ours(runtime)) {
            Some(runtime) => Self { base: runtime, name: "hatchery".into() },
            None => Self::temporary(Path::new("/tmp")),
        }
    }

    /// The same in a directory that everybody may write to.
    pub(crate) fn temporary(base: &Path) -> Self {
        Self { base: base.to_owned(), name: format!("hatchery-{}", own_user()).into() }
    }

    /// Its path.
    pub(crate) fn path(&self) -> PathBuf {
        self.base.join(&self.name)
    }

    /// Listens in it, under a name that nobody else has.
    pub(crate) async fn listen(&self) -> Result<(OwnedFd, File), TransportError> {
        let drawn = listened::draw().map_err(|error| self.making(error.into()))?;
        let [unborn, name] = [UNBORN, SOCKET].map(|end| OsString::from(format!("{drawn}{end}")));
        self.listen_as(&unborn, &name).await
    }

    fn making(&self, trouble: Trouble) -> TransportError {
        trouble.at("making a socket in", self.path().display())
    }

    /// Listens in it under this name, which the file has once it is listened at, and another until then.
    async fn listen_as(
        &self,
        first: &OsStr,
        name: &OsStr,
    ) -> Result<(OwnedFd, File), TransportError> {
        let mut last = Trouble::Locked;
        for _ in 0..TRIES {
            let (base, directory) = self.open()?;
            match listen(directory, first, name, self.path()).await {
                Ok((socket, mut file)) => {
                    file.home = Some((base, self.name.clone()));
                    return Ok((socket, file));
                }
                // It went with somebody's last file.
                Err(Trouble::System(error)) if is_absent(&error) => last = error.into(),
                Err(trouble) => return Err(self.making(trouble)),
            }
        }
        Err(self.making(last))
    }

    /// Removes what processes have left in it that were killed: the files of sockets that nobody listens
    /// at. Says how many. Waits for nobody; who listens sees nobody come, as far as the kernel lists it.
    pub(crate) fn sweep(&self) -> Result<usize, TransportError> {
        let at = |trouble: Trouble| trouble.at("sweeping", self.path().display());
        let base = self.open_base()?;
        let Some(directory) = self.open_in(&base)? else { return Ok(0) };
        let swept = self.sweep_open(&directory).map_err(at)?;
        if swept > 0 {
            // Where others use it, it stays. One that is empty may be somebody's who has just made it.
            let _ = rustix::fs::unlinkat(&base, &self.name, AtFlags::REMOVEDIR);
        }
        Ok(swept)
    }

    fn sweep_open(&self, directory: &OwnedFd) -> Result<usize, Trouble> {
        let (mut born, mut unborn) = (Vec::new(), Vec::new());
        for entry in rustix::fs::Dir::read_from(directory)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if let Some(drawn) = listened::drawn(name, SOCKET) {
                born.push((name.to_owned(), drawn));
            } else if listened::drawn(name, UNBORN).is_some() {
                unborn.push(name.to_owned());
            }
        }
        let mut swept = 0;
        // Asked for behind the names: whoever has come since then is not among these.
        let alive = if born.is_empty() { BTreeSet::new() } else { listened::all() };
        for (name, drawn) in born {
            if !alive.contains(&drawn) {
                let short = short(directory.as_fd(), &self.path(), &name)?;
                // One that is in use, or is something else, stays.
                swept += usize::from(free(directory.as_fd(), &name, &short).is_ok());
            }
        }
        // Whoever makes one holds the lock meanwhile. Where somebody does, the next sweep has them.
        if !unborn.is_empty()
            && let Some(_lock) = Lock::at_once(directory.as_fd())?
        {
            let remove = |name| {
                is_own_socket(directory.as_fd(), name) && {
                    rustix::fs::unlinkat(directory, name, AtFlags::empty()).is_ok()
                }
            };
            swept += unborn.iter().filter(|name| remove(name)).count();
        }
        Ok(swept)
    }

    /// Opens it, and what it is in; makes it where it is not there.
    ///
    /// # Errors
    ///
    /// Refuses one that others may come into or replace, one of another user, and whatever is no
    /// directory; none of them is touched.
    pub(crate) fn open(&self) -> Result<(OwnedFd, OwnedFd), TransportError> {
        let base = self.open_base()?;
        for _ in 0..TRIES {
            match rustix::fs::mkdirat(&base, &self.name, Mode::RWXU) {
                // Whatever the process's mask leaves of it.
                Ok(()) => rustix::fs::chmodat(&base, &self.name, Mode::RWXU, AtFlags::empty())
                    .or_else(absent_is_fine)
                    .map_err(|error| self.opening(error.into()))?,
                Err(Errno::EXIST) => {}
                Err(error) => return Err(self.opening(error.into())),
            }
            if let Some(directory) = self.open_in(&base)? {
                return Ok((base, directory));
            }
        }
        Err(self.opening(Errno::NOENT.into()))
    }

    fn opening(&self, trouble: Trouble) -> TransportError {
        trouble.at(OPEN, self.path().display())
    }

    /// Opens what it is in.
    fn open_base(&self) -> Result<OwnedFd, TransportError> {
        let base = rustix::fs::open(&self.base, DIRECTORY, Mode::empty())
            .map_err(|error| Trouble::from(error).at(OPEN, self.base.display()))?;
        let above = rustix::fs::fstat(&base).map_err(|error| self.opening(error.into()))?;
        let trusted = [0, own_user()].contains(&above.st_uid);
        let open = above.st_mode & 0o022 != 0 && above.st_mode & 0o1000 == 0;
        if !trusted {
            return Err(Trouble::OwnedBy(above.st_uid).at("using", self.base.display()));
        }
        if open {
            return Err(Trouble::Shared(above.st_mode & 0o7777).at("using", self.base.display()));
        }
        Ok(base)
    }

    /// Opens it, where it is there.
    fn open_in(&self, base: &OwnedFd) -> Result<Option<OwnedFd>, TransportError> {
        let flags = DIRECTORY | OFlags::NOFOLLOW;
        match rustix::fs::openat(base, &self.name, flags, Mode::empty()) {
            Ok(directory) => {
                let about = rustix::fs::fstat(&directory);
                let about = about.map_err(|error| self.opening(error.into()))?;
                judge(&about).map_err(|trouble| self.opening(trouble))?;
                Ok(Some(directory))
            }
            Err(Errno::NOENT) => Ok(None),
            Err(error) => {
                let about = rustix::fs::statat(base, &self.name, AtFlags::SYMLINK_NOFOLLOW);
                Err(self.opening(match about {
                    Ok(about) if kind(&about) != FileType::Directory => {
                        Trouble::Occupied(kind(&about))
                    }
                    Ok(about) if about.st_uid != own_user() => Trouble::OwnedBy(about.st_uid),
                    _ => error.into(),
                }))
            }
        }
    }
}

/// Whether it is an absolute path of a directory of this user's.
fn is_ours(path: &Path) -> bool {
    let about = rustix::fs::stat(path);
    path.is_absolute()
        && about
            .is_ok_and(|about| kind(&about) == FileType::Directory && about.st_uid == own_user())
}

/// Whether a directory is private to this user.
fn judge(about: &Stat) -> Result<(), Trouble> {
    if about.st_uid != own_user() {
        return Err(Trouble::OwnedBy(about.st_uid));
    }
    let mode = about.st_mode & 0o7777;
    if mode & 0o077 != 0 { Err(Trouble::TooOpen(mode)) } else { Ok(()) }
}

fn kind(about: &Stat) -> FileType {
    FileType::from_raw_mode(about.st_mode)
}

fn is_absent(error: &std::io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::NOENT)
}

fn absent_is_fine(error: Errno) -> rustix::io::Result<()> {
    if error == Errno::NOENT { Ok(()) } else { Err(error) }
}

/// The file of a socket that this process listens at. Dropping it removes it: to be done before the
/// socket is closed, while nobody takes it over.
#[derive(Debug)]
pub(crate) struct File {
    directory: OwnedFd,
    name: OsString,
    path: PathBuf,
    /// Which one it is, whatever has its name by now.
    inode: (u64, u64),
    /// The private directory, by what it is in.
    home: Option<(OwnedFd, OsString)>,
}

impl File {
    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let about = rustix::fs::statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW);
        if about.is_ok_and(|about| inode(&about) == self.inode) {
            let removed = rustix::fs::unlinkat(&self.directory, &self.name, AtFlags::empty());
            if let Err(error) = removed {
                tracing::debug!(
                    target: "hatchery::transport",
                    path = %self.path.display(), %error,
                    "a socket's file stays behind"
                );
            }
        }
        if let Some((base, name)) = &self.home {
            // Where it is not empty, others use it.
            let _ = rustix::fs::unlinkat(base, name, AtFlags::REMOVEDIR);
        }
    }
}

fn inode(about: &Stat) -> (u64, u64) {
    (about.st_dev, about.st_ino)
}

/// Listens at a path that was given, in whatever directory: who comes in is looked at, not who might. The
/// private one is made where it is not there.
///
/// A file that nobody listens at any more is taken over.
pub(crate) async fn listen_at(path: &Path) -> Result<(OwnedFd, File), TransportError> {
    let own = Place::own();
    if let Ok((above, name)) = parts(path)
        && above == own.path()
    {
        return own.listen_as(name, name).await;
    }
    let attempt = async {
        let (above, name) = parts(path)?;
        let directory = rustix::fs::open(above, DIRECTORY, Mode::empty())?;
        listen(directory, name, name, above.to_owned()).await
    };
    attempt.await.map_err(|trouble| trouble.at(LISTEN, address(path)))
}

/// The address of a socket with this path.
pub(crate) fn address(path: &Path) -> Address {
    Address::unix(path.to_string_lossy())
}

fn parts(path: &Path) -> Result<(&Path, &OsStr), Trouble> {
    let parts = path.parent().zip(path.file_name());
    parts.ok_or(Trouble::Occupied(FileType::Directory))
}

async fn listen(
    directory: OwnedFd,
    first: &OsStr,
    name: &OsStr,
    path: PathBuf,
) -> Result<(OwnedFd, File), Trouble> {
    let (socket, inode) = {
        let _lock = Lock::take(directory.as_fd()).await?;
        let made = make(directory.as_fd(), &path, first)?;
        if first != name
            && let Err(error) = rustix::fs::renameat(&directory, first, &directory, name)
        {
            let _ = rustix::fs::unlinkat(&directory, first, AtFlags::empty());
            return Err(error.into());
        }
        made
    };
    let path = path.join(name);
    Ok((socket, File { directory, name: name.to_owned(), path, inode, home: None }))
}

/// Makes the file of a socket and listens at it. To be done under the lock.
fn make(
    directory: BorrowedFd<'_>,
    path: &Path,
    name: &OsStr,
) -> Result<(OwnedFd, (u64, u64)), Trouble> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    let short = short(directory, path, name)?;
    match rustix::net::bind(&socket, &short) {
        Err(Errno::ADDRINUSE) => {
            free(directory, name, &short)?;
            rustix::net::bind(&socket, &short)?;
        }
        bound => bound?,
    }
    let about = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    // Until it is listened at nobody gets in, whatever the process's mask has left.
    let mode = Mode::RUSR | Mode::WUSR;
    let listened = rustix::fs::chmodat(directory, name, mode, AtFlags::empty())
        .and_then(|()| rustix::net::listen(&socket, BACKLOG));
    if let Err(error) = listened {
        let _ = rustix::fs::unlinkat(directory, name, AtFlags::empty());
        return Err(error.into());
    }
    Ok((socket, inode(&about)))
}

/// Whether a name is that of a socket of this user's.
fn is_own_socket(directory: BorrowedFd<'_>, name: &OsStr) -> bool {
    let about = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW);
    about.is_ok_and(|about| kind(&about) == FileType::Socket && about.st_uid == own_user())
}

/// Removes the file of a socket that nobody listens at. To be done under the lock, unless nobody will
/// ever listen at it again.
fn free(directory: BorrowedFd<'_>, name: &OsStr, short: &SocketAddrUnix) -> Result<(), Trouble> {
    let look = || rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW);
    let about = look()?;
    if kind(&about) != FileType::Socket {
        return Err(Trouble::Occupied(kind(&about)));
    }
    if about.st_uid != own_user() {
        return Err(Trouble::OwnedBy(about.st_uid));
    }
    match connect(short) {
        Err(Errno::CONNREFUSED) => {}
        // It is listened at, or is of another kind.
        _ => return Err(Trouble::InUse),
    }
    if inode(&look()?) != inode(&about) {
        return Err(Trouble::InUse);
    }
    Ok(rustix::fs::unlinkat(directory, name, AtFlags::empty())?)
}

/// Connects at once, or not at all: one that waits to be accepted is connected.
pub(super) fn connect(to: &SocketAddrUnix) -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::io::retry_on_intr(|| rustix::net::connect(&socket, to))?;
    Ok(socket)
}

/// A socket's address as the system takes it, with the descriptor that it needs.
pub(super) fn reach(path: &Path) -> Result<(SocketAddrUnix, Option<OwnedFd>), Trouble> {
    if path.as_os_str().len() <= PATH {
        return Ok((SocketAddrUnix::new(path)?, None));
    }
    let (above, name) = parts(path)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(above, flags, Mode::empty())?;
    Ok((short(directory.as_fd(), above, name)?, Some(directory)))
}

/// A name below an open directory, by which no other is meant even where that is moved. Where there is
/// no `/proc`, or the name is too long for that, its path.
fn short(directory: BorrowedFd<'_>, path: &Path, name: &OsStr) -> Result<SocketAddrUnix, Trouble> {
    let below = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
    if rustix::fs::access(&below, Access::EXISTS).is_ok()
        && let Ok(short) = SocketAddrUnix::new(below.join(name))
    {
        return Ok(short);
    }
    let path = path.join(name);
    SocketAddrUnix::new(&path).map_err(|error| match error {
        Errno::NAMETOOLONG => Trouble::TooLong(path.as_os_str().len()),
        error => error.into(),
    })
}

/// The lock of a directory, which goes with the descriptor or when it is dropped.
struct Lock<'a>(BorrowedFd<'a>);

impl<'a> Lock<'a> {
    async fn take(directory: BorrowedFd<'a>) -> Result<Self, Trouble> {
        let (end, mut pause) = (clock::now() + PATIENCE, Duration::from_millis(1));
        loop {
            match Self::at_once(directory)? {
                Some(lock) => return Ok(lock),
                None if clock::now() < end => {
                    // The system tells nobody when a lock is let go but who blocks for it.
                    readiness::until(clock::now() + pause).await;
                    pause = (pause * 2).min(Duration::from_millis(50));
                }
                None => return Err(Trouble::Locked),
            }
        }
    }

    /// The lock, where nobody has it.
    fn at_once(directory: BorrowedFd<'a>) -> Result<Option<Self>, Trouble> {
        let lock = || rustix::fs::flock(directory, FlockOperation::NonBlockingLockExclusive);
        match rustix::io::retry_on_intr(lock) {
            Ok(()) => Ok(Some(Self(directory))),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        let _ = rustix::fs::flock(self.0, FlockOperation::Unlock);
    }
}
