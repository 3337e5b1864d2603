//! A tree over ssh, through a real daemon on this machine, with keys that are thrown away: it serves, and
//! whatever of it is killed, both sides conclude and nothing is left on either (P-L8).
//!
//! Needs `sshd`, which the tests of a change have installed; where it is not and nobody says that this is
//! such a run (`CI`), each test says so and passes.
#![allow(clippy::print_stdout, reason = "what was not tested is said")]

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use hatchery_tests::procfs::{self, Process, wait_for_any_exit};
use hatchery_tests::programs::{Finished, Program, Running, Signal};

/// What the promise of one second comes to on a machine that is busy with other tests.
const SECOND: Duration = Duration::from_secs(10);

const SSHD: &str = "/usr/sbin/sshd";

/// A daemon, its keys and its folder, until it is dropped.
struct Daemon {
    folder: PathBuf,
    port: u16,
    running: Option<Running>,
}

impl Daemon {
    /// Nothing where there is no `sshd`, and there need not be.
    fn start() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        if !Path::new(SSHD).exists() {
            assert!(std::env::var_os("CI").is_none(), "{SSHD} is missing: install openssh-server");
            println!("{SSHD} is not installed: nothing was tested");
            return None;
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = format!("over-ssh-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        fs::create_dir(&folder).expect("a folder of its own");
        for key in ["host", "user"] {
            let mut makes = Command::new("ssh-keygen");
            makes.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(folder.join(key));
            assert!(makes.status().expect("ssh-keygen").success());
        }
        // A daemon of root's wants one that is empty, and makes none itself. It may be there.
        let _ = fs::create_dir("/run/sshd");
        let mut daemon = Self { folder, port: 0, running: None };
        // Another may take the port between the two.
        for _ in 0..5 {
            daemon.port = free_port();
            fs::write(daemon.folder.join("config"), daemon.config()).expect("its configuration");
            let program = Program::at(SSHD).args(["-D", "-e", "-f"]);
            let mut running = program.arg(daemon.folder.join("config")).start();
            if running.wait_for_output("Server listening on") {
                daemon.running = Some(running);
                return Some(daemon);
            }
            println!("{}", running.wait());
        }
        panic!("sshd does not start");
    }

    fn config(&self) -> String {
        let (port, folder) = (self.port, self.folder.display());
        format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\n\
             AuthorizedKeysFile {folder}/user.pub\nPidFile none\nUsePAM no\nStrictModes no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n"
        )
    }

    /// The program `launched`, whose far actor this daemon starts.
    fn launched(&self, what: &str) -> Program {
        self.launched_at(self.port, what)
    }

    fn launched_at(&self, port: u16, what: &str) -> Program {
        let ssh = ["ssh", "-T", "-F", "none", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR"];
        let trusting = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"];
        let program = Program::bin("launched").arg(what).args(ssh).args(trusting);
        let program = program.arg("-i").arg(self.folder.join("user"));
        program.args(["-p", &port.to_string(), "127.0.0.1"]).env("QUOTED", "1")
    }

    /// All of the daemon's processes, those of its sessions with them.
    fn processes(&self) -> Vec<Process> {
        let running = self.running.as_ref().expect("it runs").process().clone();
        let mut all = procfs::descendants(running.pid, &Process::all());
        all.push(running);
        all
    }

    fn lives(&self) -> bool {
        let process = self.running.as_ref().map(Running::process);
        process.and_then(|one| Process::of(one.pid)).is_some_and(|one| !one.is_zombie())
    }

    /// Ends it, and looks that none of its sessions is left.
    #[track_caller]
    fn assert_idle(mut self) {
        let until = Instant::now() + SECOND;
        let sessions = || {
            let all = self.processes();
            all.split_last().map(|(_, sessions)| sessions.to_vec()).unwrap_or_default()
        };
        while let left = sessions()
            && !left.is_empty()
        {
            assert!(Instant::now() < until, "{left:?} are left");
            wait_for_any_exit(&left, Duration::from_millis(10));
        }
        self.end();
    }

    fn end(&mut self) {
        if let Some(running) = self.running.take() {
            running.signal(Signal::TERM);
            running.wait().assert_nothing_left();
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.end();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("its number").port()
}

/// Far's process, and that below it.
fn ready(root: &mut Running) -> [Process; 2] {
    assert!(root.wait_for_output("ready "), "{}", String::from_utf8_lossy(root.output()));
    let out = String::from_utf8_lossy(root.output()).into_owned();
    let line = out.lines().find_map(|line| line.strip_prefix("ready ")).expect("two numbers");
    let pids: Vec<i32> = line.split(' ').map(|pid| pid.parse().expect("a number")).collect();
    [pids[0], pids[1]].map(|pid| Process::of(pid).expect("it lives"))
}

#[track_caller]
fn assert_gone(processes: &[Process]) {
    let until = Instant::now() + SECOND;
    let lives =
        |one: &&Process| Process::of(one.pid).is_some_and(|now| now.is(one) && !now.is_zombie());
    loop {
        let left: Vec<_> = processes.iter().filter(lives).cloned().collect();
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < until, "{left:?} are left");
        wait_for_any_exit(&left, until.saturating_duration_since(Instant::now()));
    }
}

fn client(root: &Running) -> Process {
    let tree = root.tree();
    tree.iter().find(|one| one.name == "ssh").unwrap_or_else(|| panic!("{tree:?}")).clone()
}

/// Has `strike` happen to a tree that streams; gives what its root says in the end.
#[track_caller]
fn struck(what: &str, strike: impl FnOnce(&Daemon, &Running, &[Process; 2])) -> Option<Finished> {
    let daemon = Daemon::start()?;
    let mut root = daemon.launched(what).start();
    let actors = ready(&mut root);
    strike(&daemon, &root, &actors);
    let finished = root.wait();
    assert!(!finished.timed_out, "{finished}");
    finished.assert_nothing_left();
    assert_gone(&actors);
    if daemon.lives() {
        daemon.assert_idle();
    }
    Some(finished)
}

#[test]
fn p_l8_a_tree_over_ssh_serves_streams_cancels_and_ends() {
    let Some(daemon) = Daemon::start() else { return };
    let finished = daemon.launched("serves").run();
    finished.assert_exit(0).assert_nothing_left();
    assert_eq!(finished.out(), "ok\n", "{finished}");
    daemon.assert_idle();
}

#[test]
fn p_l8_a_root_that_is_asked_to_end_ends_its_actors_over_ssh_in_their_order() {
    let finished = struck("holds", |_, root, _| root.signal_group(Signal::INT));
    let Some(finished) = finished else { return };
    finished.assert_exit(1);
    assert!(finished.out().contains("because Ctrl-C"), "{finished}");
    assert!(!finished.out().contains("by force"), "{finished}");
}

#[test]
fn p_l8_a_client_that_is_killed_is_said_to_be_the_launcher_and_the_far_side_ends() {
    let finished = struck("flows", |_, root, _| assert!(client(root).kill()));
    let Some(finished) = finished else { return };
    assert!(finished.out().contains("ended with its launcher"), "{finished}");
    assert!(finished.out().contains("signal 9 (SIGKILL)"), "{finished}");
}

#[test]
fn p_l8_a_far_actor_that_is_killed_is_told_here_and_what_was_below_it_ends() {
    let finished = struck("flows", |_, _, [far, _]| assert!(far.kill()));
    let Some(finished) = finished else { return };
    assert!(finished.out().contains("ended with its launcher"), "{finished}");
}

#[test]
fn p_l8_a_daemon_that_is_killed_with_its_sessions_ends_both_sides() {
    let finished = struck("flows", |daemon, _, actors| {
        let is_actor = |one: &Process| actors.iter().any(|actor| actor.is(one));
        let all = daemon.processes();
        all.iter().filter(|one| !is_actor(one) && one.name.starts_with("sshd")).for_each(|one| {
            one.kill();
        });
    });
    let Some(finished) = finished else { return };
    assert!(finished.out().contains("its launcher, which exited with code 255"), "{finished}");
}

#[test]
fn p_t4_a_root_that_is_killed_is_followed_by_the_far_side() {
    for what in ["holds", "flows"] {
        let finished = struck(what, |_, root, _| root.signal(Signal::KILL));
        let Some(finished) = finished else { return };
        finished.assert_killed_by(Signal::KILL);
    }
}

#[test]
fn a_host_that_does_not_answer_is_a_clear_error_with_what_ssh_says() {
    let Some(daemon) = Daemon::start() else { return };
    let finished = daemon.launched_at(free_port(), "serves").run();
    finished.assert_exit(1).assert_nothing_left();
    let out = finished.out();
    assert!(out.contains("its launcher, which exited with code 255 before it was up"), "{out}");
    assert!(out.contains("Connection refused"), "{out}");
    daemon.assert_idle();
}
