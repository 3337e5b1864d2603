//! What is done to a process, by itself or by its parent, and the record of it.
//!
//! A record is one line in the run's file, written whole before anything happens: it outlives the
//! process. Nothing here waits for anybody.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use hatchery_tests::procfs::{self, Process};
use rustix::net::{AddressFamily, Shutdown, shutdown, sockopt};
use rustix::process::{
    Pid, PidfdFlags, PidfdGetfdFlags, Signal, getpid, getppid, kill_process, nice, pidfd_getfd,
    pidfd_open,
};

use crate::plan::{Action, Hit, Phase};

/// Names the file that records go to. Inherited by all.
pub(crate) const RECORDS: &str = "CHAOS_RECORDS";
/// Introduces a hit on the command line of an actor, for steps before it runs anything of ours.
const OPTION: &str = "--be-hit";

/// How long a starved process has to compete.
const HUNGER: Duration = Duration::from_millis(300);

/// Writes one line.
pub(crate) fn record(line: &str) {
    static FILE: OnceLock<Option<File>> = OnceLock::new();
    let open = || OpenOptions::new().append(true).open(std::env::var_os(RECORDS)?).ok();
    if let Some(mut file) = FILE.get_or_init(open).as_ref() {
        // One write: lines of several processes do not mix.
        file.write_all(format!("{line}\n").as_bytes()).ok();
    }
}

/// A value that was lost, doubled or moved, or an end that nobody can explain.
pub(crate) fn lost(what: &str) {
    record(&format!("lost {}", what.replace('\n', " | ")));
}

fn record_hit(hit: Hit, pid: i32) {
    record(&format!("hit {} {:?} {pid}", hit.phase as usize, hit.action));
}

/// Hits this process. Returns where the action lets it go on.
#[expect(clippy::exit, reason = "it is one of the ways to die")]
pub(crate) fn strike_self(hit: Hit) {
    let own = getpid();
    record_hit(hit, own.as_raw_nonzero().get());
    match hit.action {
        Action::Kill => signal(own, Signal::KILL),
        Action::Stop | Action::Pause => signal(own, Signal::STOP),
        Action::Exit => std::process::exit(7),
        Action::Panic => panic!("chaos: a panic at {:?}", hit.phase),
        Action::Abort => std::process::abort(),
        Action::Close => close_link(),
        Action::Spin => loop {
            std::thread::sleep(Duration::from_secs(1));
        },
        Action::Starve => starve(),
    }
}

/// Hits a child from outside: what only it could do itself comes to SIGKILL.
pub(crate) fn strike_other(hit: Hit, pid: u32) {
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
    let own = pidfd_open(getpid(), PidfdFlags::empty()).expect("a descriptor of this process");
    for (number, target) in procfs::descriptors() {
        if !target.starts_with("socket:") {
            continue;
        }
        let Ok(socket) = pidfd_getfd(&own, number, PidfdGetfdFlags::empty()) else { continue };
        let is_link = sockopt::socket_domain(&socket) == Ok(AddressFamily::UNIX)
            && sockopt::socket_peercred(&socket).is_ok_and(|peer| Some(peer.pid) == getppid());
        if is_link {
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

/// The argument by which an actor is hit before it is up.
pub(crate) fn argument(hit: Hit) -> String {
    let bytes = postcard::to_allocvec(&hit).expect("a hit encodes");
    bytes.iter().fold(OPTION.to_owned(), |text, byte| format!("{text},{byte}"))
}

/// In an actor that was told so: is hit right now, as a process that has said nothing yet, or when it
/// has been told what it is to be and has not said that it is up.
pub(crate) fn before_the_entry() {
    let hit = std::env::args().find_map(|argument| {
        let numbers = argument.strip_prefix(OPTION)?.strip_prefix(',')?.split(',');
        let bytes: Vec<u8> = numbers.filter_map(|number| number.parse().ok()).collect();
        postcard::from_bytes::<Hit>(&bytes).ok()
    });
    match hit {
        Some(hit) if hit.phase == Phase::Spawned => strike_self(hit),
        Some(hit) => tracing::subscriber::set_global_default(AtSettings(hit)).unwrap_or(()),
        None => {}
    }
}

/// Hears that the actor's settings were applied: with a filter of its own, that is an event.
struct AtSettings(Hit);

impl tracing::Subscriber for AtSettings {
    fn enabled(&self, about: &tracing::Metadata<'_>) -> bool {
        about.target() == "hatchery::log"
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        strike_self(self.0);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}
