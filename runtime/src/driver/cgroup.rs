//! A control group of a root's own: whatever its actors start is in it, however it detaches itself,
//! and ends with the root.
//!
//! Needs the second version of the file system, mounted, and leave to write below the group that
//! this process is in. A child is put in as soon as it is started and before it is told what it is
//! to be; what it starts is in the same group from the beginning.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_io::{Async, Timer};
use futures_lite::FutureExt;
use rustix::event::epoll;
use rustix::io::Errno;

use super::spawner;

/// How long what was killed may take to be gone before its group is left where it is.
const PATIENCE: Duration = Duration::from_secs(1);

/// The group of the root that this process is, if it has one.
static OWN: Mutex<Option<PathBuf>> = Mutex::new(None);

fn own() -> MutexGuard<'static, Option<PathBuf>> {
    OWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A group, for as long as it is held. Dropping it ends what is in it, in the background.
#[derive(Debug)]
pub(crate) struct Group {
    folder: PathBuf,
    ended: bool,
}

impl Group {
    /// Makes a group below the one that this process is in. Children go there from now on.
    pub(crate) fn start(tree: u128) -> io::Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let above = place(&mounts, &fs::read_to_string("/proc/self/cgroup")?)?;
        let folder = above.join(format!("hatchery-{}-{tree:032x}", std::process::id()));
        let at = |error| named(&folder, error);
        fs::create_dir(&folder).map_err(at)?;
        let group = Self { folder: folder.clone(), ended: false };
        // Older systems have groups that cannot be ended as a whole.
        fs::metadata(folder.join("cgroup.kill")).map_err(|error| named(&folder, error))?;
        *own() = Some(folder);
        Ok(group)
    }

    /// Ends what is left in it, and takes it away. Bounded; dropping the future goes on with it in
    /// the background.
    pub(crate) async fn end(mut self) {
        *own() = None;
        end(&self.folder).await;
        self.ended = true;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        *own() = None;
        let folder = std::mem::take(&mut self.folder);
        spawner::background(async move { end(&folder).await });
    }
}

/// Puts a child that was just started into the group, where there is one.
pub(super) fn take_in(pid: u32) -> io::Result<()> {
    let Some(folder) = own().clone() else { return Ok(()) };
    match fs::write(folder.join("cgroup.procs"), pid.to_string()) {
        // It has ended already.
        Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => Ok(()),
        written => written.map_err(|error| named(&folder, error)),
    }
}

async fn end(folder: &Path) {
    if let Err(error) = empty(folder).await.and_then(|()| remove(folder)) {
        tracing::warn!(
            target: "hatchery::runtime",
            folder = %folder.display(), %error,
            "the group of a root stays"
        );
    }
}

/// Kills what is in the group, and waits until nothing is.
async fn empty(folder: &Path) -> io::Result<()> {
    let events = fs::File::open(folder.join("cgroup.events"))?;
    // Always readable: only the change of its text counts, which is told as something exceptional.
    let watch = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&watch, &events, epoll::EventData::new_u64(0), epoll::EventFlags::PRI)?;
    let watch: Async<OwnedFd> = Async::new(watch)?;
    let mut late = Timer::after(PATIENCE);
    let mut killed = false;
    while is_populated(&events)? {
        if !std::mem::replace(&mut killed, true) {
            tracing::info!(
                target: "hatchery::runtime",
                folder = %folder.display(),
                "what actors left behind is ended"
            );
            fs::write(folder.join("cgroup.kill"), "1")?;
        }
        let changed = async { watch.readable().await };
        let over = async {
            (&mut late).await;
            Err(io::ErrorKind::TimedOut.into())
        };
        changed.or(over).await?;
    }
    Ok(())
}

/// Whether anything is in the group. To have looked is what makes the next change one.
fn is_populated(events: &fs::File) -> io::Result<bool> {
    let mut text = [0; 256];
    let length = events.read_at(&mut text, 0)?;
    let text = text.get(..length).unwrap_or_default();
    Ok(text.split(|byte| *byte == b'\n').any(|line| line == b"populated 1"))
}

/// Takes away the group and those that were made in it.
fn remove(folder: &Path) -> io::Result<()> {
    let mut folders = vec![folder.to_owned()];
    let mut next = 0;
    while let Some(folder) = folders.get(next) {
        let below: Vec<_> = fs::read_dir(folder)?
            .filter_map(|entry| Some(entry.ok()?.path()).filter(|path| path.is_dir()))
            .collect();
        folders.extend(below);
        next += 1;
    }
    folders.iter().rev().try_for_each(fs::remove_dir)
}

/// Where this process is in the file system of groups, by what `/proc` says of mounts and of it.
fn place(mounts: &str, groups: &str) -> io::Result<PathBuf> {
    let none = |what| Err(io::Error::new(io::ErrorKind::Unsupported, what));
    let Some(own) = groups.lines().find_map(|line| line.strip_prefix("0::")) else {
        return none("this process is in no cgroup of version 2");
    };
    let found = mounts.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, folder) = (fields.next()?, fields.next()?);
        let below = Path::new(own).strip_prefix(unescaped(root)).ok()?;
        kind.starts_with("cgroup2 ").then(|| Path::new(&unescaped(folder)).join(below))
    });
    found.map_or_else(|| none("no cgroup2 file system with this process's group is mounted"), Ok)
}

/// A path as the list of mounts has it: blanks and the like in octal digits.
fn unescaped(path: &str) -> String {
    path.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

fn named(folder: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "22 1 0:20 / /proc rw - proc proc rw\n\
        41 31 0:38 / /sys/fs/cgroup/a\\040b rw,relatime shared:4 - cgroup2 cgroup2 rw\n";

    #[test]
    fn the_group_of_this_process_is_found_below_its_mount() {
        let found = place(MOUNTS, "4:memory:/x\n0::/user.slice/one\n").unwrap();
        assert_eq!(found, Path::new("/sys/fs/cgroup/a b/user.slice/one"));
        let part = MOUNTS.replace("0:38 /", "0:38 /user.slice");
        let found = place(&part, "0::/user.slice/one\n").unwrap();
        assert_eq!(found, Path::new("/sys/fs/cgroup/a b/one"));
    }

    #[test]
    fn what_is_not_mounted_is_not_found_and_that_is_said() {
        let elsewhere = MOUNTS.replace("0:38 /", "0:38 /other");
        let refused = [
            place("", "0::/\n"),
            place(&MOUNTS.replace("cgroup2", "cgroup"), "0::/\n"),
            place(&elsewhere, "0::/user.slice\n"),
            place(MOUNTS, "4:memory:/x\n"),
        ];
        for refused in refused {
            let error = refused.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::Unsupported);
            assert!(error.to_string().contains("cgroup"), "{error}");
        }
    }
}
