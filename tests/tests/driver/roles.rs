//! What this program does when a test, or a root that a test started, runs it: `ROLE` says which
//! child it is, `ROOT` which root.
#![allow(
    clippy::exit,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a program run as child: what it prints and how it ends is what the tests look at"
)]

use std::os::unix::net::UnixStream;

use rustix::process::{
    Pid, Resource, Rlimit, WaitOptions, getpid, getrlimit, kill_process, setrlimit, waitpid,
};

use super::driver::watch;
use super::*;

/// Plays the part that this process was started for; `None` where it is the test program itself.
pub(crate) fn play() -> Option<ExitCode> {
    delay_entry();
    match entry::take_entry() {
        Entry::Child(child, link) => play_child(child, &link),
        Entry::Orphan => {
            note("orphan", own_pid());
            return Some(ExitCode::from(77));
        }
        Entry::Failed(error) => {
            eprintln!("failed: {error}");
            return Some(ExitCode::from(78));
        }
        Entry::NotAChild => play_root(&std::env::var("ROOT").ok()?),
    }
    Some(ExitCode::SUCCESS)
}

/// The fault of F-10: a child that comes late to its entry, before which nothing ties it to its
/// parent. This sleep is what is injected; nothing waits for it or is ordered by it.
fn delay_entry() {
    let delay = std::env::var("DELAY_ENTRY").ok().and_then(|millis| millis.parse().ok());
    if let Some(delay) = delay.filter(|_| entry::marked_as_child()) {
        thread::sleep(Duration::from_millis(delay).min(Duration::from_secs(1)));
    }
}

fn play_child(mut child: ChildEntry, mut link: &Way) {
    assert!(entry::entry_was_called() && !entry::marked_as_child());
    let Some(tie @ Tie::Parent(parent)) = child.tie.take() else { panic!("{child:?}") };
    let parent = i32::try_from(parent).unwrap();
    assert_eq!((child.tree, child.name.as_str()), (Some(tree_of(parent)), "worker"));
    link.set_nonblocking(false).unwrap();
    match std::env::var("ROLE").unwrap_or_default().as_str() {
        "hello" => {
            link.write_all(b"!").unwrap();
            let _ = link.read(&mut [0]);
        }
        "echo" => {
            while link.read(&mut [0]).is_ok_and(|read| read > 0) {
                link.write_all(b"!").unwrap();
            }
        }
        "stdin" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).unwrap();
            link.write_all(text.as_bytes()).unwrap();
        }
        "stderr" => {
            eprintln!("early");
            link.write_all(b"!").unwrap();
            link.read_exact(&mut [0]).unwrap();
            child.switch_stderr().unwrap();
            eprintln!("late");
            link.write_all(b"!").unwrap();
        }
        "boot" => {
            eprint!("{}the end", "x".repeat(100_000));
            std::process::exit(3);
        }
        "signals" => {
            for signal in [Signal::INT, Signal::PIPE] {
                kill_process(getpid(), signal).unwrap();
            }
            link.write_all(b"!").unwrap();
            let _ = link.read(&mut [0]);
        }
        "plain" => {
            // A program that this child starts inherits the marker and is no child for that.
            let plain = sub_root("entry").stdin(Stdio::inherit()).output().unwrap();
            link.write_all(&plain.stdout).unwrap();
        }
        "tree" => {
            note("up", own_pid());
            let mut inner = block_on(start("hello"));
            recv(&mut inner.link);
            note("up", pid_of(&inner));
            link.write_all(b"!").unwrap();
            let _ = link.read(&mut [0]);
        }
        "watched" => {
            rustix::process::set_parent_process_death_signal(None).unwrap();
            watch::Listening::begin().unwrap().start(tie, Nobody).unwrap();
            note("up", own_pid());
            link.write_all(b"!").unwrap();
            park()
        }
        "deaf" => {
            note("up", own_pid());
            // Whoever started it may not want it any more.
            let _ = link.write_all(b"!");
            park()
        }
        other => panic!("no role {other}"),
    }
}

/// No actor is in it.
struct Nobody;

impl watch::Ward for Nobody {
    fn is_ending(&self) -> bool {
        false
    }
    fn probe(&self, _hearing: watch::Hearing) {}
    fn cancel_itself(&self) {}
    fn rush(&self) {}
    fn run_hooks(&self) {}
}

fn park() -> ! {
    loop {
        thread::park();
    }
}

fn play_root(role: &str) {
    match role {
        // It came here since its entry said so.
        "entry" => print!("no child"),
        "plain" => plain(),
        "stdin" => stdin(),
        "stderr" => {
            let mut child = block_on(start("stderr"));
            recv(&mut child.link);
            assert_eq!(child.stderr.tail(100), "early\n");
            eprintln!("between");
            (&child.link).write_all(b"!").unwrap();
            recv(&mut child.link);
        }
        "signals" => {
            let mut signals = signal::Signals::install().unwrap();
            for sent in [Signal::INT, Signal::TERM, Signal::HUP] {
                kill_process(getpid(), sent).unwrap();
                print!("{} ", block_on(signals.next()));
            }
        }
        // Killed from outside: some children busy, one stopped, some deep.
        "killed" => {
            let mut all = Vec::new();
            for role in ["tree", "deaf", "tree", "deaf", "watched"] {
                let mut child = block_on(start(role));
                recv(&mut child.link);
                all.push(child);
            }
            all[1].process.signal(Signal::STOP).unwrap();
            println!("ready");
            park()
        }
        "between" => {
            let _child = block_on(start("deaf"));
            println!("ready");
            park()
        }
        "starved" => starved(),
        "reused" => reused(),
        "injected" => injected(),
        other => panic!("no root {other}"),
    }
}

/// A child with this root's standard input gets its bytes, and another one the same descriptor.
fn stdin() {
    let inherit = |role| SpawnRequest { stdin: Stdin::Inherit, ..request(role) };
    let mut child = block_on(spawner::spawn(inherit("hello")).spawned()).unwrap();
    recv(&mut child.link);
    let theirs = procfs::descriptors_of(pid_of(&child));
    assert!(theirs[0].1.starts_with("pipe:"), "{theirs:?}");
    assert_eq!(theirs[0], procfs::descriptors()[0]);
    drop(child);
    print!("{}", told_by(block_on(spawner::spawn(inherit("stdin")).spawned()).unwrap()));
}

/// The worst case of a plain program: its standard input is a socket that its parent's parent made.
fn plain() {
    let (_ours, theirs) = UnixStream::pair().unwrap();
    rustix::stdio::dup2_stdin(theirs).unwrap();
    let asked = SpawnRequest { stdin: Stdin::Inherit, ..request("plain") };
    print!("{}", told_by(block_on(spawner::spawn(asked).spawned()).unwrap()));
}

/// What a child says until it ends.
fn told_by(child: Spawned) -> String {
    child.link.set_nonblocking(false).unwrap();
    let mut text = String::new();
    (&child.link).read_to_string(&mut text).unwrap();
    assert_eq!(block_on(child.process.wait()).unwrap(), ExitStatus::Code(0));
    text
}

/// Starts children under every limit of descriptors from none left to plenty.
fn starved() {
    drop(block_on(start("hello")));
    block_on(spawner::settled());
    let baseline = procfs::descriptors();
    let used = baseline.len() as u64;
    let before = getrlimit(Resource::Nofile);
    let (mut failed, mut fine) = (0, 0);
    for limit in used..used + 40 {
        setrlimit(Resource::Nofile, Rlimit { current: Some(limit), ..before }).unwrap();
        match block_on(spawner::spawn(request("hello")).spawned()) {
            Ok(child) => {
                fine += 1;
                drop(child.link);
                let _ = block_on(child.process.wait());
            }
            Err(SpawnError::Os { source, step, .. }) => {
                failed += 1;
                assert_eq!(source.raw_os_error(), Some(24), "{step}: {source}");
            }
            Err(error) => panic!("{error}"),
        }
    }
    setrlimit(Resource::Nofile, before).unwrap();
    assert_clean(&baseline);
    println!("failed {failed} fine {fine}");
}

/// In a container of its own: a child's id belongs to a stranger when the child is signalled.
fn reused() {
    let mut child = block_on(start("deaf"));
    recv(&mut child.link);
    let pid = pid_of(&child);
    Process::of(pid).unwrap().kill();
    procfs::wait_for_any_exit(&[Process::of(pid).unwrap()], Duration::from_secs(10));
    // As code that waits for any child would; if the library was first, that is as good.
    let _ = waitpid(Pid::from_raw(pid), WaitOptions::empty());
    std::fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).unwrap();
    let piped = || Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut stranger = piped().unwrap();
    assert_eq!(stranger.id(), u32::try_from(pid).unwrap(), "it was to get the same id");
    let mut answers = |after: &str| {
        stranger.stdin.as_mut().unwrap().write_all(b"?").unwrap();
        let answered = stranger.stdout.as_mut().unwrap().read_exact(&mut [0]);
        assert!(answered.is_ok(), "no stranger after {after}");
    };
    for signal in [Signal::TERM, Signal::KILL] {
        child.process.signal(signal).unwrap();
        answers("a signal");
    }
    assert!(block_on(child.process.wait()).is_err(), "that was the stranger's status");
    answers("the wait");
    drop(child);
    block_on(spawner::settled());
    answers("the drop");
    print!("the stranger lives");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

/// Starts children while system calls are made to fail from outside.
fn injected() {
    // The reactor keeps its descriptors for the life of the process: they belong to the baseline. A
    // timer that is due already would not start it.
    block_on(async_io::Timer::after(Duration::from_millis(1)));
    let baseline = procfs::descriptors();
    let starts = (0..20).map(|_| block_on(spawner::spawn(request("deaf")).spawned()));
    let failed = starts.filter(Result::is_err).count();
    block_on(spawner::settled());
    let left = children_of(own_pid());
    println!("failed {failed} left {left:?} new {:?}", new_descriptors(&baseline));
}
