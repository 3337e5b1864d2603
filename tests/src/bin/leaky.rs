//! Leaves one thing behind, checks itself as a whole process, and prints what the checker found:
//! `leaky KIND FOLDER`. The subject of the checker's own test; the harness cleans up after it.
#![allow(clippy::print_stdout, reason = "what it prints is its result")]

use std::fs::{self, File};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use hatchery_tests::leaks::Baseline;
use hatchery_tests::procfs::{self, Process};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let kind = arguments.next().unwrap_or_default();
    let path = Path::new(&arguments.next().unwrap_or_default()).join("hatchery-left");
    let folder = path.parent().unwrap_or(&path);
    let baseline = Baseline::process_wide().only_in(folder);
    let (stop, stopped) = mpsc::channel::<()>();
    let mut thread = None;
    let mut kept = None;
    match kind.as_str() {
        "nothing" => end_well(&path),
        "child" => drop(sleep().spawn()),
        "zombie" => zombie(),
        "orphan" => drop(Command::new("sh").args(["-c", "sleep 1000 & exit 0"]).status()),
        "descriptor" => kept = File::open("/dev/zero").ok(),
        "thread" => {
            let body = move || stopped.recv().unwrap_or_default();
            thread = thread::Builder::new().name("left".into()).spawn(body).ok();
        }
        "socket" => drop(UnixListener::bind(&path)),
        "file" => drop(fs::write(&path, "left")),
        other => {
            println!("no such kind: {other:?}");
            return ExitCode::from(2);
        }
    }
    let checked = baseline.check(Duration::from_millis(300));
    drop((stop, kept));
    thread.map(thread::JoinHandle::join);
    match checked {
        Ok(()) => ExitCode::SUCCESS,
        Err(leaks) => {
            println!("{leaks}");
            ExitCode::FAILURE
        }
    }
}

fn sleep() -> Command {
    let mut command = Command::new("sleep");
    command.arg("1000");
    command
}

#[expect(clippy::zombie_processes, reason = "that is what it is for")]
fn zombie() {
    let child = Command::new("true").spawn().expect("a child");
    let process = Process::of(child.id().cast_signed()).expect("a child that nobody waited for");
    procfs::wait_for_any_exit(&[process], Duration::from_secs(10));
}

/// One of each, all of them gone again before the check.
fn end_well(path: &Path) {
    let listener = UnixListener::bind(path).expect("a socket");
    drop(listener);
    fs::remove_file(path).expect("the socket's file");
    thread::spawn(|| ()).join().expect("a thread");
    Command::new("sh").args(["-c", "true & wait"]).status().expect("a child");
}
