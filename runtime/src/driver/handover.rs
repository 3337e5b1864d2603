//! What a parent and the child it starts agree on before the protocol begins: the marker in the
//! environment, and the one byte that carries the child's real standard streams; or, of one that a
//! launcher starts, the last argument (P-L8).
//! Nothing here starts a process or decides who is whose child.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::Command;
use std::str::FromStr;
use std::time::{Duration, Instant};

use hatchery_proto::Limits;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::{Errno, IoSlice, IoSliceMut};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

/// The environment variable with the [`Marker`].
pub(crate) const MARKER_VARIABLE: &str = "HATCHERY_ACTOR";
/// The environment variable with the tree's uuid, for finding what is left of a tree.
pub(crate) const TREE_VARIABLE: &str = "HATCHERY_TREE";
/// The environment variable with the actor's name.
pub(crate) const NAME_VARIABLE: &str = "HATCHERY_NAME";

/// The environment variable with the bounds that a child has for the link to its parent, before that
/// has said anything: [`told_limits`].
pub(crate) const LIMITS_VARIABLE: &str = "HATCHERY_LIMITS";

/// The last argument of a program that is to be an actor on its standard input and output.
pub(crate) const ARGUMENT: &str = "--hatchery-actor";

/// The byte that carries the descriptors, ahead of the first frame.
const BYTE: u8 = b'H';

/// Names one start of one child; a process inherits it from its ancestors, so it says nothing
/// until descriptor 0 was found to be the socket that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marker {
    /// The parent that wrote it.
    pub(crate) parent: u32,
    /// The tree that the child belongs to.
    pub(crate) tree: u128,
    /// The inode of the child's end of the link.
    pub(crate) socket: u64,
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:032x}:{}", self.parent, self.tree, self.socket)
    }
}

impl FromStr for Marker {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (parent, rest) = text.split_once(':').ok_or(())?;
        let (tree, socket) = rest.split_once(':').ok_or(())?;
        Ok(Self {
            parent: parent.parse().map_err(drop)?,
            tree: u128::from_str_radix(tree, 16).map_err(drop)?,
            socket: socket.parse().map_err(drop)?,
        })
    }
}

/// Gives a command its environment, in order, and its folder.
pub(super) fn surround(
    command: &mut Command,
    env: &[(OsString, Option<OsString>)],
    folder: Option<&Path>,
) {
    for (name, value) in env {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    if let Some(folder) = folder {
        command.current_dir(folder);
    }
}

/// These bounds, as the child finds them in its environment; nothing where they are the default ones.
pub(crate) fn told_limits(limits: &Limits) -> Option<String> {
    let four = |of: &Limits| [of.max_frame, of.max_message, of.window, of.max_dialogs];
    let [frame, message, window, dialogs] = four(limits);
    let told = four(limits) != four(&Limits::default());
    told.then(|| format!("{frame}:{message}:{window}:{dialogs}"))
}

/// What [`told_limits`] has told; the default ones where nothing, or nothing of this kind, was.
pub(crate) fn heard_limits(told: &str) -> Limits {
    let numbers: Result<Vec<u32>, _> = told.split(':').map(str::parse).collect();
    match numbers.as_deref() {
        Ok(&[frame, message, window, dialogs]) => limits_of([frame, message, window, dialogs]),
        _ => Limits::default(),
    }
}

fn limits_of([max_frame, max_message, window, max_dialogs]: [u32; 4]) -> Limits {
    Limits { max_frame, max_message, window, max_dialogs, ..Limits::default() }
}

/// The last argument of a program that is to be an actor with these bounds, which greets before it could
/// be told them on its link; period and patience in microseconds.
pub(crate) fn told_argument(limits: &Limits) -> String {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let mut told = told_limits(limits);
    if let Some((period, patience)) = limits.liveness {
        let Limits { max_frame, max_message, window, max_dialogs, .. } = limits;
        let four = format!("{max_frame}:{max_message}:{window}:{max_dialogs}");
        told = Some(format!("{four}:{}:{}", micros(period), micros(patience)));
    }
    told.map_or_else(|| ARGUMENT.to_owned(), |told| format!("{ARGUMENT}={told}"))
}

/// What [`told_argument`] has told; nothing where this is no such argument.
pub(crate) fn heard_argument(argument: &OsStr) -> Option<Limits> {
    let told = argument.to_str()?.strip_prefix(ARGUMENT)?;
    if told.is_empty() {
        return Some(Limits::default());
    }
    let told = told.strip_prefix('=')?;
    let Some((rest, patience)) = told.rsplit_once(':') else { return Some(Limits::default()) };
    let times = rest.rsplit_once(':').and_then(|(four, period)| {
        let micros = |text: &str| text.parse().map(Duration::from_micros).ok();
        let four = (four.split(':').count() == 4).then(|| heard_limits(four))?;
        Some(Limits { liveness: Some((micros(period)?, micros(patience)?)), ..four })
    });
    Some(times.unwrap_or_else(|| heard_limits(told)))
}

/// The inode of a socket: no two sockets that exist at the same time share it.
pub(crate) fn inode(socket: impl AsFd) -> rustix::io::Result<u64> {
    Ok(rustix::fs::fstat(socket)?.st_ino)
}

/// Queues the real standard input and standard error for the other end of the link.
pub(crate) fn give(
    link: impl AsFd,
    stdin: BorrowedFd<'_>,
    stderr: BorrowedFd<'_>,
) -> io::Result<()> {
    let descriptors = [stdin, stderr];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(Errno::NOBUFS.into());
    }
    let bytes = [IoSlice::new(&[BYTE])];
    rustix::io::retry_on_intr(|| {
        rustix::net::sendmsg(&link, &bytes, &mut control, SendFlags::NOSIGNAL)
    })?;
    Ok(())
}

/// Takes the real standard input and standard error from the link, and not one byte more.
///
/// # Errors
///
/// `UnexpectedEof` when the other end is gone, `TimedOut` when nothing came within `patience`.
pub(crate) fn take(link: impl AsFd, patience: Duration) -> io::Result<(OwnedFd, OwnedFd)> {
    wait_readable(link.as_fd(), patience)?;
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::io::retry_on_intr(|| {
        let mut bytes = [IoSliceMut::new(&mut byte)];
        rustix::net::recvmsg(&link, &mut bytes, &mut control, RecvFlags::CMSG_CLOEXEC)
    })?;
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut descriptors = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })
        .flatten();
    match (descriptors.next(), descriptors.next()) {
        (Some(stdin), Some(stderr)) if byte == [BYTE] => Ok((stdin, stderr)),
        // The kernel drops what does not fit into the descriptor table.
        _ if byte == [BYTE] => Err(Errno::MFILE.into()),
        _ => {
            Err(io::Error::new(io::ErrorKind::InvalidData, "the link does not begin as it should"))
        }
    }
}

fn wait_readable(link: BorrowedFd<'_>, patience: Duration) -> io::Result<()> {
    let end = Instant::now() + patience;
    loop {
        let left = Timespec::try_from(end.saturating_duration_since(Instant::now()))
            .map_err(|_| io::Error::from(Errno::INVAL))?;
        match rustix::event::poll(&mut [PollFd::new(&link, PollFlags::IN)], Some(&left)) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(200);

    #[test]
    fn a_marker_reads_back() {
        let marker = Marker { parent: 7, tree: 1 << 100 | 5, socket: u64::MAX };
        assert_eq!(marker.to_string().parse(), Ok(marker));
        for text in ["", "1", "1:2", "x:2:3", "1:g:3", "1:2:", "1:2:3:4", "-1:2:3"] {
            assert!(text.parse::<Marker>().is_err(), "{text}");
        }
    }

    #[test]
    fn limits_that_are_told_are_heard_and_others_are_the_default_ones() {
        let default = Limits::default();
        assert_eq!(told_limits(&default), None);
        let small = Limits { max_frame: 2048, window: 7, ..default.clone() };
        let told = told_limits(&small).unwrap();
        assert_eq!(told, "2048:4194304:7:4096");
        assert_eq!(format!("{:?}", heard_limits(&told)), format!("{small:?}"));
        for text in ["", "1:2:3", "1:2:3:4:5", "1:2:3:x", "1:2:3:-4", "1:2:3:4294967296"] {
            assert_eq!(format!("{:?}", heard_limits(text)), format!("{default:?}"), "{text}");
        }
    }

    #[test]
    fn p_l8_an_argument_that_is_told_is_heard_and_one_of_a_users_is_none() {
        let heard = |told: &str| heard_argument(OsStr::new(told));
        let default = Limits::default();
        assert_eq!(told_argument(&default), "--hatchery-actor");
        assert_eq!(heard("--hatchery-actor"), Some(default.clone()));
        let small = Limits { max_frame: 2048, window: 7, ..default.clone() };
        assert_eq!(told_argument(&small), "--hatchery-actor=2048:4194304:7:4096");
        let period = Duration::from_millis(300);
        let lively = Limits { liveness: Some((period, 2 * period)), ..small.clone() };
        let told = told_argument(&lively);
        assert_eq!(told, "--hatchery-actor=2048:4194304:7:4096:300000:600000");
        let endless = Limits { liveness: Some((Duration::MAX, Duration::MAX)), ..default.clone() };
        let heard_endless = heard(&told_argument(&endless)).unwrap().liveness.unwrap();
        assert_eq!(heard_endless.0, Duration::from_micros(u64::MAX));
        for limits in [default.clone(), small, lively] {
            assert_eq!(heard(&told_argument(&limits)), Some(limits));
        }
        for other in ["", "--hatchery", "--hatchery-actors", "hatchery-actor", "-hatchery-actor"] {
            assert_eq!(heard(other), None, "{other}");
        }
        for odd in ["=", "=1", "=1:2:3", "=1:2:3:4:5", "=1:2:3:4:5:x", "=1:2:3:4:5:6:7", "=:::::"] {
            assert_eq!(heard(&format!("--hatchery-actor{odd}")), Some(default.clone()), "{odd}");
        }
    }

    #[test]
    fn the_streams_arrive_and_the_bytes_after_them_stay() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let (read, write) = io::pipe().unwrap();
        give(&ours, read.as_fd(), write.as_fd()).unwrap();
        ours.write_all(b"frames").unwrap();
        let (stdin, stderr) = take(&theirs, PATIENCE).unwrap();
        assert_eq!(inode(&stdin).unwrap(), inode(&read).unwrap());
        assert_eq!(inode(&stderr).unwrap(), inode(&write).unwrap());
        let flags = rustix::io::fcntl_getfd(&stdin).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        let mut rest = [0; 6];
        theirs.read_exact(&mut rest).unwrap();
        assert_eq!(&rest, b"frames");
    }

    #[test]
    fn silence_and_a_closed_link_are_told_apart() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        assert_eq!(take(&theirs, PATIENCE).unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(ours);
        assert_eq!(take(&theirs, PATIENCE).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_link_that_begins_otherwise_is_refused() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.write_all(b"GET /").unwrap();
        assert_eq!(take(&theirs, PATIENCE).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
