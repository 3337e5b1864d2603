//! The limits of processes: started by `posix_spawn`, as `std` does it, killed and reaped.

use std::env;
use std::fs;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use crate::bars::Scale;
use crate::blocking::until_end;
use crate::place::Peer;

/// The smallest program that says that it is up and ends with its link.
const SOURCE: &str = r#"
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};

fn main() -> std::io::Result<()> {
    let link = std::io::stdin().as_fd().try_clone_to_owned()?;
    let mut link = std::fs::File::from(OwnedFd::from(link));
    link.write_all(&[1])?;
    link.read(&mut [0]).map(drop)
}
"#;

/// A peer that is up and does nothing else.
pub(crate) fn ready(mut link: UnixStream) -> io::Result<()> {
    link.write_all(&[1])?;
    until_end(link.read(&mut [0])).map(drop)
}

/// Where the tiny program is.
fn tiny_path() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("limits-tiny")
}

/// Builds the tiny program, linked to nothing that is looked up at its start.
pub(crate) fn build_tiny() -> io::Result<()> {
    let path = tiny_path();
    if path.exists() {
        return Ok(());
    }
    let source = path.with_extension("rs");
    fs::write(&source, SOURCE)?;
    let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(compiler);
    command.args(["--edition", "2024", "-Copt-level=3", "-Cpanic=abort", "-Cstrip=symbols"]);
    command.args(["-Ctarget-feature=+crt-static", "-Crelocation-model=static", "-o"]);
    let built = command.arg(&path).arg(&source).status()?;
    if built.success() { Ok(()) } else { Err(io::Error::other("the tiny program was not built")) }
}

fn start_tiny() -> io::Result<(Child, UnixStream)> {
    let (link, theirs) = UnixStream::pair()?;
    let child = Command::new(tiny_path()).stdin(OwnedFd::from(theirs)).spawn()?;
    Ok((child, link))
}

/// How long the tiny program takes from being started to its first byte.
pub(crate) fn tiny(scale: Scale) -> io::Result<Duration> {
    let mut took = Duration::ZERO;
    for _ in 0..scale.times {
        let began = Instant::now();
        let (mut child, mut link) = start_tiny()?;
        link.read_exact(&mut [0])?;
        took += began.elapsed();
        drop(link);
        child.wait()?;
    }
    Ok(took / scale.times)
}

/// How long this very program takes.
pub(crate) fn own_image(scale: Scale) -> io::Result<Duration> {
    let mut took = Duration::ZERO;
    for _ in 0..scale.times {
        let began = Instant::now();
        let _peer = Peer::start("ready", scale.other_core)?;
        took += began.elapsed();
    }
    Ok(took / scale.times)
}

/// How long so many tiny programs take, from the first start until the last has been waited for,
/// where all are up before any is asked to end.
pub(crate) fn hundred(scale: Scale) -> io::Result<Duration> {
    let began = Instant::now();
    let mut all = (0..scale.times).map(|_| start_tiny()).collect::<io::Result<Vec<_>>>()?;
    all.iter_mut().try_for_each(|(_, link)| link.read_exact(&mut [0]))?;
    all.iter().try_for_each(|(_, link)| link.shutdown(Shutdown::Both))?;
    all.iter_mut().try_for_each(|(child, _)| child.wait().map(drop))?;
    Ok(began.elapsed())
}

/// How long it takes from killing a process of this program until it has been reaped.
pub(crate) fn kill(scale: Scale) -> io::Result<Duration> {
    let mut took = Duration::ZERO;
    for _ in 0..scale.times {
        let mut peer = Peer::start("ready", scale.other_core)?;
        let pid = pid_of(peer.pid())?;
        let handle = pidfd_open(pid, PidfdFlags::empty())?;
        let began = Instant::now();
        kill_process(pid, Signal::KILL)?;
        poll(&mut [PollFd::new(&handle, PollFlags::IN)], None)?;
        peer.wait()?;
        took += began.elapsed();
    }
    Ok(took / scale.times)
}

pub(crate) fn pid_of(number: u32) -> io::Result<Pid> {
    let pid = i32::try_from(number).ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| io::Error::other(format!("{number} is no process")))
}
