//! The system side of spawning, with real processes: what a child gets, which starts fail and how,
//! and who ends with whom (F-08, F-10, F-11, F-12, F-13, F-50).
//!
//! The spawning layer is private to the library, so its sources are included here. Children enter
//! through it before anything else, hence a `main` of our own: this program is also the children
//! (`ROLE`) and the roots (`ROOT`) that the tests start, see `driver/roles.rs`.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use driver::entry::{self, ChildEntry, Entry, Tie};
use driver::process::{self, Program, Signal, SpawnError, SpawnRequest, Spawned, Stderr, Stdin};
use driver::way::Way;
use driver::{signal, spawner};
use futures_lite::future::{block_on, poll_once};
use hatchery_proto::report::ExitStatus;
use hatchery_tests::deep::figure;
use hatchery_tests::groups::say;
use hatchery_tests::leaks::exclusive;
use hatchery_tests::procfs::{self, Process, own_pid};
use libtest_mimic::{Arguments, Completion, Trial};
use tools::*;

#[path = "../../runtime/src/driver"]
#[allow(
    dead_code,
    unexpected_cfgs,
    unreachable_pub,
    unused_imports,
    reason = "the library's sources, of which this is a part, in another crate"
)]
mod driver {
    pub(crate) mod cgroup;
    pub(crate) mod clock;
    pub(crate) mod entry;
    pub(crate) mod handover;
    pub(crate) mod process;
    pub(crate) mod procfs;
    pub(crate) mod readiness;
    pub(crate) mod signal;
    pub(crate) mod spawner;
    pub(crate) mod watch;
    pub(crate) mod way;
}
#[path = "driver/roles.rs"]
mod roles;
#[path = "driver/tools.rs"]
mod tools;

fn main() -> ExitCode {
    if let Some(code) = roles::play() {
        return code;
    }
    let tests: [(&str, fn()); 19] = [
        ("a_child_has_only_what_it_should", one_child),
        ("a_killed_child_is_reported_with_its_signal", killed_child),
        ("standard_input_is_handed_over", standard_input),
        ("what_a_child_says_before_it_is_up_can_be_quoted", boot_stderr),
        ("stderr_is_switched_and_nothing_is_lost", stderr_switch),
        ("a_request_can_be_withdrawn", withdrawn),
        ("a_requester_that_goes_leaves_nothing", requester_gone),
        ("ctrl_c_and_sigpipe_leave_children_alone", child_signals),
        ("a_plain_program_of_a_child_is_no_child", plain_program),
        ("p_t1_an_exit_that_has_happened_is_seen_at_the_first_look", exit_at_first_look),
        ("a_root_hears_the_signals_that_ask_it_to_end", root_signals),
        ("f_08_a_killed_root_takes_its_tree_along", killed_root),
        ("f_10_a_parent_that_dies_before_the_entry_leaves_no_orphan", parent_gone_before_entry),
        ("f_11_children_outlive_the_thread_that_asked_for_them", asking_thread_ends),
        ("f_12_a_stranger_with_the_id_of_a_dead_child_is_never_signalled", reused_id),
        ("f_13_programs_that_cannot_run_are_typed_errors", programs_that_cannot_run),
        ("f_13_a_name_that_cannot_be_passed_on_is_a_typed_error", name_with_nul),
        ("f_13_few_descriptors_are_an_error_and_no_leak", few_descriptors),
        ("f_50_no_link_gets_into_the_hands_of_a_sibling", many_at_once),
    ];
    let tests = tests.into_iter().map(|(name, test)| trial(name, test));
    let injected = INJECTED.iter().map(|&(call, when)| {
        let name = format!("f_13_{call}_failing_{when}_leaves_no_process");
        Trial::ignorable_test(name, move || Ok(injected(call, when)))
    });
    libtest_mimic::run(&Arguments::from_args(), tests.chain(injected).collect()).exit_code()
}

/// A test, alone in this process, with what the library starts once and keeps already there.
fn trial(name: &str, test: fn()) -> Trial {
    static WARM: Once = Once::new();
    Trial::test(name, move || {
        let _one = exclusive();
        WARM.call_once(|| {
            drop(block_on(start("hello")));
            block_on(spawner::settled());
        });
        test();
        Ok(())
    })
}

// What a child has, and what becomes of it.

/// Or a deadline that is due at that look would come first, and a dead child be called unkillable.
fn exit_at_first_look() {
    let mut child = block_on(start("hello"));
    recv(&mut child.link);
    let process = Process::of(pid_of(&child)).unwrap();
    process.kill();
    procfs::wait_for_any_exit(std::slice::from_ref(&process), Duration::from_secs(10));
    let status = block_on(poll_once(child.process.wait()));
    let killed = ExitStatus::Signal { number: 9, core: false };
    assert_eq!(status.map(Result::unwrap), Some(killed));
    assert!(child.process.usage().is_some(), "its account is read before it is reaped");
}

fn one_child() {
    let baseline = procfs::descriptors();
    let mut child = block_on(start("hello"));
    recv(&mut child.link);
    let pid = pid_of(&child);
    let seen = Process::of(pid).unwrap();
    assert_eq!((seen.name.as_str(), seen.parent), ("worker", own_pid()));
    assert_eq!(seen.command_line(), "hatchery: worker");
    assert_eq!(members(tree_of(own_pid())), [pid]);
    assert_eq!(procfs::threads_of(pid).len(), 1);
    let open = procfs::descriptors_of(pid);
    assert_eq!(open[0], (0, "/dev/null".to_owned()));
    assert!(open[2].1.contains("hatchery-stderr"), "{open:?}");
    // What the environment of the tests passes on is not ours to judge.
    let own = open.iter().filter(|one| one.0 < 3 || !baseline.contains(one));
    assert_eq!(own.count(), 5, "standard streams, the link, the real stderr: {open:?}");
    assert_eq!(links_of(pid, &baseline).len(), 1, "{open:?}");
    drop(child.link);
    assert_eq!(block_on(child.process.wait()).unwrap(), ExitStatus::Code(0));
    assert_eq!(block_on(child.process.wait()).unwrap(), ExitStatus::Code(0));
    child.process.signal(Signal::TERM).unwrap();
    drop((child.process, child.stderr));
    assert_clean(&baseline);
}

fn killed_child() {
    let baseline = procfs::descriptors();
    for round in 0..100 {
        let child = block_on(start("hello"));
        spread(Duration::from_micros(round * 20));
        child.process.signal(Signal::KILL).unwrap();
        let status = block_on(child.process.wait()).unwrap();
        assert_eq!(status, ExitStatus::Signal { number: 9, core: false });
        assert_eq!(block_on(child.process.wait()).unwrap(), status);
        child.process.signal(Signal::KILL).unwrap();
    }
    assert_clean(&baseline);
}

fn standard_input() {
    let mut root = sub_root("stdin").stdin(Stdio::piped()).spawn().unwrap();
    root.stdin.take().unwrap().write_all(b"for the child").unwrap();
    let output = root.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "for the child");
    assert!(output.status.success());
}

fn boot_stderr() {
    let baseline = procfs::descriptors();
    let child = block_on(start("boot"));
    assert_eq!(block_on(child.process.wait()).unwrap(), ExitStatus::Code(3));
    assert_eq!(child.stderr.tail(10), "xxxthe end");
    assert_eq!(child.stderr.tail(1 << 20).len(), 100_007);
    drop(child);
    assert_clean(&baseline);
}

fn stderr_switch() {
    let root = sub_root("stderr").stderr(Stdio::piped()).spawn().unwrap();
    let output = root.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "between\nearly\nlate\n");
    assert!(output.status.success());
}

fn child_signals() {
    let mut child = block_on(start("signals"));
    recv(&mut child.link);
    child.process.signal(Signal::INT).unwrap();
    drop(child.link);
    assert_eq!(block_on(child.process.wait()).unwrap(), ExitStatus::Code(0));
    let child = block_on(start("deaf"));
    child.process.signal(Signal::TERM).unwrap();
    let status = block_on(child.process.wait()).unwrap();
    assert_eq!(status, ExitStatus::Signal { number: 15, core: false });
}

fn plain_program() {
    let output = sub_root("plain").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "no child");
    assert!(output.status.success());
}

fn root_signals() {
    let output = sub_root("signals").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "2 15 1 ");
    assert!(output.status.success());
}

// Requests that nobody waits for any more.

fn withdrawn() {
    let baseline = procfs::descriptors();
    // Nothing is begun while the spawner's thread is kept busy.
    let (held, is_held) = mpsc::channel();
    let (release, is_released) = mpsc::channel::<()>();
    spawner::background(async move {
        held.send(()).unwrap();
        is_released.recv().unwrap();
    });
    is_held.recv().unwrap();
    let row: Vec<_> = (0..50).map(|_| spawner::spawn(request("hello"))).collect();
    assert!(row[49].withdraw() && row[49].withdraw());
    assert!(matches!(block_on(row[49].spawned()), Err(SpawnError::Withdrawn)));
    release.send(()).unwrap();
    let first = block_on(row[0].spawned()).unwrap();
    assert!(!row[0].withdraw(), "it was begun");
    drop(first);
    assert!(matches!(block_on(row[0].spawned()), Err(SpawnError::Withdrawn)));
    drop(row);
    // Whatever was begun has ended when the next one is there.
    drop(block_on(start("hello")));
    assert_clean(&baseline);
}

fn requester_gone() {
    let baseline = procfs::descriptors();
    for round in 0..200 {
        let pending = spawner::spawn(request("deaf"));
        spread(Duration::from_micros(round * 10));
        drop(pending);
    }
    drop(block_on(start("deaf")));
    assert_clean(&baseline);
}

// Who ends with whom.

fn killed_root() {
    for _ in 0..3 {
        let notes = Notes::new("killed-root");
        let mut root = sub_root("killed").env("NOTES", &notes.0).spawn().unwrap();
        ready(&mut root);
        let processes: Vec<_> =
            notes.read().into_iter().map(|(_, pid)| Process::of(pid).unwrap()).collect();
        assert_eq!(processes.len(), 7, "{processes:?}");
        root.kill().unwrap();
        assert_eq!(root.wait().unwrap().signal(), Some(9));
        // The last one has no death signal: it is its own watch that ends it.
        let (killed, watched) = processes.split_at(6);
        assert_gone(killed);
        assert_gone(watched);
    }
}

fn parent_gone_before_entry() {
    let notes = Notes::new("parent-gone");
    // The child enters while its parent is being killed: a bit earlier, a bit later, and for sure.
    let rounds = figure(1, 323);
    for delay in (0..rounds).flat_map(|_| (0..30).chain([300])) {
        let mut root = sub_root("between")
            .env("NOTES", &notes.0)
            .env("DELAY_ENTRY", delay.to_string())
            .spawn()
            .unwrap();
        ready(&mut root);
        let children = children_of(i32::try_from(root.id()).unwrap());
        assert_eq!(children.len(), 1, "{children:?}");
        root.kill().unwrap();
        root.wait().unwrap();
        assert_gone(&children);
    }
    let found_out = notes.read().iter().filter(|(what, _)| what == "orphan").count();
    assert!(found_out > 0, "no child came to its entry after its parent's end");
    say(&format!("faults: f_10_roots={} found_out={found_out} orphans=0", 31 * rounds));
}

fn asking_thread_ends() {
    let asking = || (rustix::thread::gettid().as_raw_nonzero().get(), block_on(start("echo")));
    let (thread, mut child) = thread::spawn(asking).join().unwrap();
    // It has been joined before the kernel is through with it, and the death signal comes in between.
    assert!(eventually(|| procfs::threads().iter().all(|(id, _)| *id != thread)));
    (&child.link).write_all(b"?").unwrap();
    recv(&mut child.link);
    drop(child.link);
    assert_eq!(block_on(child.process.wait()).unwrap(), ExitStatus::Code(0));
}

fn reused_id() {
    let container = ["--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child"];
    let mut root = Command::new("unshare");
    root.args(container).arg(std::env::current_exe().unwrap());
    let output = root.env("ROOT", "reused").stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said, "the stranger lives");
}

// Starts that fail.

fn programs_that_cannot_run() {
    let baseline = procfs::descriptors();
    let text = Notes::new("no-program");
    std::fs::write(&text.0, "not a program").unwrap();
    let garbage = Notes::new("garbage");
    std::fs::write(&garbage.0, b"\x7fELFgarbage").unwrap();
    assert!(Command::new("chmod").arg("+x").arg(&garbage.0).status().unwrap().success());
    for (program, code) in [
        (PathBuf::from("/no/such/program"), 2),
        (PathBuf::from("no-such-program-anywhere"), 2),
        (text.0.clone(), 13),
        (PathBuf::from("/"), 13),
        (garbage.0.clone(), 8),
    ] {
        let asked = SpawnRequest { program: Program::Path(program.clone()), ..request("hello") };
        let error = block_on(spawner::spawn(asked).spawned()).unwrap_err();
        let shown = error.to_string();
        assert!(shown.contains(&program.display().to_string()), "{shown}");
        let SpawnError::Os { source, .. } = error else { panic!("{shown}") };
        assert_eq!(source.raw_os_error(), Some(code), "{shown}");
    }
    // One that runs and knows nothing of us: it ends by itself.
    let asked = SpawnRequest { program: Program::Path("true".into()), ..request("hello") };
    let child = block_on(spawner::spawn(asked).spawned()).unwrap();
    assert_eq!(block_on(child.process.wait()).unwrap(), ExitStatus::Code(0));
    drop(child);
    assert_clean(&baseline);
}

fn name_with_nul() {
    let baseline = procfs::descriptors();
    let asked = SpawnRequest { name: "with\0nul".to_owned(), ..request("hello") };
    let error = block_on(spawner::spawn(asked).spawned()).unwrap_err();
    assert!(error.to_string().contains("nul byte"), "{error}");
    assert_clean(&baseline);
}

fn few_descriptors() {
    let output = sub_root("starved").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    let count = |what: &str| {
        let word = said.split_ascii_whitespace().skip_while(|word| *word != what).nth(1);
        word.and_then(|count| count.parse::<u32>().ok()).unwrap_or(0)
    };
    assert!(count("failed") > 0 && count("fine") > 0, "{said}");
}

/// Which system calls fail, and which of one thread's: from the first on, every so many.
const INJECTED: &[(&str, &str)] = &[
    ("pidfd_open", "3+2"),
    ("pidfd_open", "2+4"),
    ("clone3", "3+2"),
    ("memfd_create", "2+2"),
    ("sendmsg", "2+2"),
    ("socketpair", "1+3"),
    ("fcntl", "9+7"),
];

fn injected(call: &str, when: &str) -> Completion {
    let _one = exclusive();
    let mut strace = Command::new("strace");
    strace.args(["-f", "-o", "/dev/null"]).stdin(Stdio::null());
    match strace.arg("true").output() {
        Err(error) => return Completion::ignored_with(format!("strace cannot be run: {error}")),
        Ok(tried) if !tried.status.success() => {
            let why = String::from_utf8_lossy(&tried.stderr).into_owned();
            return Completion::ignored_with(format!("strace cannot trace here: {}", why.trim()));
        }
        Ok(_) => {}
    }
    let output = Command::new("strace")
        .args(["-f", "-o", "/dev/null", "-e"])
        .arg(format!("inject={call}:error=EMFILE:when={when}"))
        .arg(std::env::current_exe().unwrap())
        .env("ROOT", "injected")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("left [] new []"), "{said}");
    assert!(!said.contains("failed 0 "), "the fault did not reach a start: {said}");
    Completion::Completed
}

// Many at once.

fn many_at_once() {
    process::raise_descriptor_limit().unwrap();
    let baseline = procfs::descriptors();
    let rounds = figure(1, 20);
    for _ in 0..rounds {
        five_hundred_at_once(&baseline);
    }
    assert_clean(&baseline);
    say(&format!("faults: f_50_spawns={} sockets=0", 500 * rounds));
}

fn five_hundred_at_once(baseline: &[(i32, String)]) {
    let busy = AtomicBool::new(true);
    thread::scope(|scope| {
        // Plain programs of the user's, started all the while.
        let plain = scope.spawn(|| {
            let mut count = 0;
            while busy.load(Ordering::Relaxed) {
                let mut child =
                    Command::new("sleep").arg("5").stdin(Stdio::null()).spawn().unwrap();
                let pid = i32::try_from(child.id()).unwrap();
                assert_eq!(links_of(pid, baseline), [] as [String; 0]);
                child.kill().unwrap();
                child.wait().unwrap();
                count += 1;
            }
            count
        });
        let row = || {
            let mut all: Vec<_> = (0..100).map(|_| block_on(start("hello"))).collect();
            all.iter_mut().for_each(|child| recv(&mut child.link));
            let links: Vec<_> =
                all.iter().flat_map(|child| links_of(pid_of(child), baseline)).collect();
            // The other half is dropped with its links open.
            for child in all.into_iter().step_by(2) {
                drop(child.link);
                assert_eq!(block_on(child.process.wait()).unwrap(), ExitStatus::Code(0));
            }
            links
        };
        let rows: Vec<_> = (0..5).map(|_| scope.spawn(row)).collect();
        let links: Vec<_> = rows.into_iter().map(|row| row.join()).collect();
        busy.store(false, Ordering::Relaxed);
        assert!(plain.join().unwrap() > 0);
        let links: Vec<_> = links.into_iter().flat_map(Result::unwrap).collect();
        assert_eq!(links.len(), 500);
        assert_eq!(links.iter().collect::<BTreeSet<_>>().len(), 500);
    });
}
