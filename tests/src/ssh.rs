//! An ssh daemon with keys of its own, for trees whose actors it starts, by the program `launched`; and
//! looks at what is left of those.
#![allow(clippy::print_stdout, reason = "a test that could not be made is said")]

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::build::{self, Kind};
use crate::procfs::{self, Process, wait_for_any_exit};
use crate::programs::{Program, Running, Signal};

/// What the promise of one second comes to on a machine that is busy with other tests.
const SECOND: Duration = Duration::from_secs(10);

const SSHD: &str = "/usr/sbin/sshd";

/// Where a daemon is, and who asks it.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// Its address, where that is not this machine's own.
    pub address: Option<String>,
    /// The network namespaces of the daemon and of those who ask it, where they have some.
    pub namespaces: Option<[String; 2]>,
}

impl Place {
    fn address(&self) -> &str {
        self.address.as_deref().unwrap_or("127.0.0.1")
    }

    /// A program in one of the namespaces.
    fn program(&self, which: usize, path: &Path) -> Program {
        match self.namespaces.as_ref().and_then(|both| both.get(which)) {
            Some(name) => Program::at("ip").args(["netns", "exec", name]).arg(path),
            None => Program::at(path),
        }
    }
}

/// A daemon, its keys and its folder, until it is dropped.
#[derive(Debug)]
pub struct Daemon {
    folder: PathBuf,
    place: Place,
    port: u16,
    running: Option<Running>,
}

impl Daemon {
    /// Nothing where there is no `sshd`, and there need not be.
    ///
    /// # Panics
    /// Where it does not start.
    #[must_use]
    pub fn start(place: Place) -> Option<Self> {
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
        let mut daemon = Self { folder, place, port: 0, running: None };
        // Another may take the port between the two.
        for _ in 0..5 {
            daemon.port = free_port();
            fs::write(daemon.folder.join("config"), daemon.config()).expect("its configuration");
            let program = daemon.place.program(0, Path::new(SSHD)).args(["-D", "-e", "-f"]);
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
        let (port, folder, address) = (self.port, self.folder.display(), self.place.address());
        format!(
            "Port {port}\nListenAddress {address}\nHostKey {folder}/host\n\
             AuthorizedKeysFile {folder}/user.pub\nPidFile none\nUsePAM no\nStrictModes no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n\
             ClientAliveInterval 1\nClientAliveCountMax 2\n"
        )
    }

    /// The program `launched`, whose far actor this daemon starts.
    pub fn launched(&self, what: &str) -> Program {
        self.launched_at(self.port, what)
    }

    /// The same through another port.
    pub fn launched_at(&self, port: u16, what: &str) -> Program {
        let ssh = ["ssh", "-T", "-F", "none", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR"];
        let trusting = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"];
        let launched = build::built(Kind::Bin, "launched");
        let program = self.place.program(1, &launched).arg(what).args(ssh).args(trusting);
        let program = program.arg("-i").arg(self.folder.join("user"));
        program.args(["-p", &port.to_string(), self.place.address()]).env("QUOTED", "1")
    }

    /// All of the daemon's processes, those of its sessions with them.
    ///
    /// # Panics
    /// Once it was ended.
    #[must_use]
    pub fn processes(&self) -> Vec<Process> {
        let running = self.running.as_ref().expect("it runs").process().clone();
        let mut all = procfs::descendants(running.pid, &Process::all());
        all.push(running);
        all
    }

    /// Whether it runs.
    #[must_use]
    pub fn lives(&self) -> bool {
        let process = self.running.as_ref().map(Running::process);
        process.and_then(|one| Process::of(one.pid)).is_some_and(|one| !one.is_zombie())
    }

    /// Ends it, and looks that none of its sessions is left.
    ///
    /// # Panics
    /// Where one is.
    #[track_caller]
    pub fn assert_idle(mut self) {
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

/// A port that nobody has, for now.
///
/// # Panics
/// Where there is none.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("its number").port()
}

/// Far's process, and that below it, once they are said to be ready.
///
/// # Panics
/// Where that is not said.
pub fn ready(root: &mut Running) -> [Process; 2] {
    assert!(root.wait_for_output("ready "), "{}", String::from_utf8_lossy(root.output()));
    let out = String::from_utf8_lossy(root.output()).into_owned();
    let line = out.lines().find_map(|line| line.strip_prefix("ready ")).expect("two numbers");
    let pids: Vec<i32> = line.split(' ').map(|pid| pid.parse().expect("a number")).collect();
    [pids[0], pids[1]].map(|pid| Process::of(pid).expect("it lives"))
}

/// Waits for the end of processes, wherever they were started.
///
/// # Panics
/// Where that takes too long.
#[track_caller]
pub fn assert_gone(processes: &[Process]) {
    procfs::assert_gone(processes, SECOND);
}
