//! What is done to a process, by itself or by its parent, and the record of it.
//!
//! A record is one line in the run's file, written whole before anything happens: it outlives the
//! process. Nothing here waits for anybody.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, Shutdown, shutdown, sockopt};
use rustix::process::{
    Pid, PidfdFlags, PidfdGetfdFlags, Signal, getpid, getppid, kill_process, nice, pidfd_getfd,
    pidfd_open,
};

use super::{Action, Hit};
use crate::procfs::{self, Process};

/// Names the file that records go to. Inherited by all.
pub const RECORDS: &str = "STRIKE_RECORDS";
/// How long a starved process has to compete.
const HUNGER: Duration = Duration::from_millis(300);

/// Writes one line.
pub fn record(line: &str) {
    static FILE: OnceLock<Option<File>> = OnceLock::new();
    let open = || OpenOptions::new().append(true).open(std::env::var_os(RECORDS)?).ok();
    if let Some(mut file) = FILE.get_or_init(open).as_ref() {
        // One write: lines of several processes do not mix.
        file.write_all(format!("{line}\n").as_bytes()).ok();
    }
}

/// A value that was lost, doubled or moved, or an end that nobody can explain.
pub fn lost(what: &str) {
    record(&format!("lost {}", what.replace('\n', " | ")));
}

/// Writes that a process is hit.
pub fn record_hit(hit: Hit, pid: i32) {
    record(&format!("hit {} {:?} {pid}", hit.phase as usize, hit.action));
}

/// Hits this process. Returns where the action lets it go on.
#[expect(clippy::exit, reason = "it is one of the ways to die")]
pub fn strike_self(hit: Hit) {
    let own = getpid();
    record_hit(hit, own.as_raw_nonzero().get());
    match hit.action {
        Action::Kill => signal(own, Signal::KILL),
        Action::Stop | Action::Pause => signal(own, Signal::STOP),
        Action::Exit(code) => std::process::exit(code.into()),
        Action::Panic => panic!("chaos: a panic at {:?}", hit.phase),
        Action::Term => signal(own, Signal::TERM),
        Action::Int => signal(own, Signal::INT),
        Action::Abort => std::process::abort(),
        Action::Close => close_link(),
        Action::Spin => loop {
            std::thread::park();
        },
        Action::Starve => starve(),
    }
}

/// Hits a child from outside: what only it could do itself comes to SIGKILL.
pub fn strike_other(hit: Hit, pid: u32) {
    let Some(other) = Process::of(pid.cast_signed()) else { return };
    let action = match hit.action {
        Action::Stop | Action::Pause => hit.action,
        Action::Abort => Action::Abort,
        _ => Action::Kill,
    };
    let sent = other.signal(match action {
        Action::Abort => Signal::ABORT,
        Action::Stop | Action::Pause => Signal::STOP,
        _ => Signal::KILL,
    });
    if sent {
        record_hit(Hit { action, ..hit }, other.pid);
    }
}

fn signal(pid: Pid, signal: Signal) {
    kill_process(pid, signal).ok();
}

/// Shuts down every descriptor that leads to the parent.
fn close_link() {
    close_sockets(|_, socket| {
        sockopt::socket_domain(socket) == Ok(AddressFamily::UNIX)
            && sockopt::socket_peercred(socket).is_ok_and(|peer| Some(peer.pid) == getppid())
    });
}

/// Shuts down every socket of this process that is not among `before`.
pub fn close_new_sockets(before: &[(i32, String)]) {
    close_sockets(|target, _| before.iter().all(|(_, known)| known != target));
}

fn close_sockets(is_meant: impl Fn(&str, &OwnedFd) -> bool) {
    let own = pidfd_open(getpid(), PidfdFlags::empty()).expect("a descriptor of this process");
    for (number, target) in procfs::descriptors() {
        if !target.starts_with("socket:") {
            continue;
        }
        let Ok(socket) = pidfd_getfd(&own, number, PidfdGetfdFlags::empty()) else { continue };
        if is_meant(&target, &socket) {
            shutdown(&socket, Shutdown::Both).ok();
        }
    }
}

fn starve() {
    nice(19).ok();
    std::thread::spawn(|| {
        let until = Instant::now() + HUNGER;
        while Instant::now() < until {
            std::hint::spin_loop();
        }
    });
}
