//! Whole programs that are ended from outside, or that cannot begin. Apart from the tests that are
//! roots themselves: those look after each test for children of this process.
//!
//! The rows of SIG that no test has in its name:
//!
//! | row | shown by, or why there is nothing to show |
//! | --- | --- |
//! | SIG-11 | with the dump of a tree |

use std::fs;
use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hatchery_tests::build::{self, Kind};
use hatchery_tests::groups::Hold;
use hatchery_tests::procfs::{Process, descendants, wait_for_any_exit, wait_for_readable};
use hatchery_tests::programs::{Program, Running, Signal};

/// A tree of four: the root, an idle child, and a child with a child.
fn grove() -> (Running, Vec<Process>) {
    let (running, actors) = grove_with(&[]);
    assert_eq!(actors.len(), 3, "all of them live");
    (running, actors)
}

/// The same, grown otherwise; actors that have ended already are left out.
fn grove_with(arguments: &[&str]) -> (Running, Vec<Process>) {
    let mut running = Program::bin("grove").args(arguments).start();
    assert!(running.wait_for_output("ready"));
    let out = String::from_utf8_lossy(running.output()).into_owned();
    let pids = out.lines().next().unwrap_or_default().split(' ');
    let actors = pids.filter_map(|pid| Process::of(pid.parse().unwrap())).collect();
    (running, actors)
}

fn assert_gone(actors: &[Process]) {
    for actor in actors {
        // Whoever inherits what is left of a tree may take its time to wait for it.
        let now = Process::of(actor.pid).filter(|now| now.is(actor) && !now.is_zombie());
        assert!(now.is_none(), "{now:?}");
    }
}

#[test]
fn f_08_the_whole_tree_is_gone_with_its_killed_root() {
    let (running, actors) = grove();
    running.signal(Signal::KILL);
    // Within a second: `wait` gives what is left no more than that.
    let finished = running.wait();
    finished.assert_killed_by(Signal::KILL);
    finished.assert_nothing_left();
    assert_gone(&actors);
}

#[test]
fn stopped_actors_are_gone_with_their_killed_root() {
    let (mut running, actors) = grove();
    for actor in &actors {
        actor.signal(Signal::STOP);
    }
    assert!(running.wait_for_tree(|tree| tree.iter().filter(|one| one.state == 'T').count() == 3));
    running.signal(Signal::KILL);
    let finished = running.wait();
    finished.assert_killed_by(Signal::KILL);
    finished.assert_nothing_left();
    assert_gone(&actors);
}

#[test]
fn sig_03_ctrl_c_ends_the_whole_tree_once_with_130() {
    let (running, actors) = grove();
    running.signal_group(Signal::INT);
    let finished = running.wait();
    finished.assert_exit(130);
    finished.assert_nothing_left();
    assert_gone(&actors);
    assert_eq!(finished.err().matches("Ctrl-C").count(), 1, "{finished}");
}

#[test]
fn sig_01_05_10_can_08_an_interrupt_or_a_term_for_the_root_alone_ends_the_tree_too() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let (running, actors) = grove();
        running.signal(signal);
        running.wait().assert_exit(code).assert_nothing_left();
        assert_gone(&actors);
    }
}

#[test]
fn sig_02_an_interrupt_ends_actors_that_a_task_of_the_root_has_started() {
    let (running, actors) = grove_with(&["in-a-task"]);
    running.signal(Signal::INT);
    running.wait().assert_exit(130).assert_nothing_left();
    assert_gone(&actors);
}

#[test]
fn sig_03_f_21_fifty_interrupts_at_once_are_as_good_as_two() {
    let (running, actors) = grove();
    for _ in 0..50 {
        running.signal_group(Signal::INT);
    }
    running.wait().assert_exit(130).assert_nothing_left();
    assert_gone(&actors);
}

#[test]
fn sig_04_an_interrupt_for_one_actor_alone_changes_nothing() {
    let (mut running, actors) = grove();
    for actor in &actors {
        actor.signal(Signal::INT);
    }
    // Only the root decides (SIG-03); a SIGTERM is for the process that gets it.
    assert!(running.wait_for_tree(|tree| tree.len() == 4 && caught_up(&actors)));
    assert!(actors.iter().all(|one| Process::of(one.pid).is_some_and(|now| now.is(one))));
    running.signal(Signal::INT);
    running.wait().assert_exit(130).assert_nothing_left();
}

/// Whether none of them has a signal that it has not been given yet.
fn caught_up(actors: &[Process]) -> bool {
    let pending = |one: &Process| {
        let status = fs::read_to_string(format!("/proc/{}/status", one.pid));
        let status = status.expect("it lives");
        let none = |name| status.lines().any(|line| line == format!("{name}:\t0000000000000000"));
        !(none("SigPnd") && none("ShdPnd"))
    };
    !actors.iter().any(pending)
}

#[test]
fn sig_06_an_interrupt_ends_a_tree_whose_links_are_broken() {
    let (running, actors) = grove_with(&["broken"]);
    running.signal(Signal::INT);
    let finished = running.wait();
    finished.assert_nothing_left();
    assert_gone(&actors);
}

#[test]
fn str_18_one_interrupt_ends_a_tree_of_streams_that_go_both_ways_and_one() {
    type Strike = fn(&Running);
    let strikes: [Strike; 2] =
        [|root| root.signal(Signal::INT), |root| root.signal_group(Signal::INT)];
    for (number, strike) in strikes.iter().enumerate() {
        let name = format!("str-18-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).unwrap();
        let mut running = Program::bin("streamers").arg(&folder).start();
        assert!(running.wait_for_output("ready"));
        let begin = Instant::now();
        strike(&running);
        let finished = running.wait();
        let took = begin.elapsed();
        finished.assert_exit(130).assert_nothing_left();
        assert_eq!(finished.out(), "6 actors\nready\n", "{finished}");
        // None was ended by force, which would have left no file.
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 6, "{finished}");
        fs::remove_dir_all(&folder).unwrap();
        // 2 s are the rule, under no load.
        assert!(took < Duration::from_secs(20), "{took:?}: {finished}");
        assert!(!finished.err().contains("force"), "{finished}");
    }
}

#[test]
fn sig_07_one_interrupt_ends_an_actor_that_hears_nothing_by_force() {
    let mut running = Program::bin("stubborn").args(["1000"]).start();
    assert!(running.wait_for_output("ready"));
    let begin = Instant::now();
    running.signal(Signal::INT);
    let finished = running.wait();
    finished.assert_exit(130);
    finished.assert_nothing_left();
    assert!(begin.elapsed() < Duration::from_secs(10), "{finished}");
}

#[test]
fn a_killed_branch_takes_its_leaf_along_and_is_reported_by_the_root() {
    let (running, actors) = grove();
    let branch = actors[1].pid;
    actors[1].kill();
    let finished = running.wait();
    finished.assert_exit(1).assert_nothing_left();
    assert_gone(&actors);
    let report = finished.err();
    for part in ["branch", &branch.to_string(), "signal 9", "grove::parent"] {
        assert!(report.contains(part), "{part}: {finished}");
    }
}

#[test]
fn a_root_that_forgot_the_entry_starts_nothing_and_says_what_to_do() {
    let finished = Program::bin("forgetful").run();
    finished.assert_exit(3);
    for part in ["hatchery::init()", "#[hatchery::main]", "`child`"] {
        assert!(finished.out().contains(part), "{finished}");
    }
}

#[test]
fn f_03_a_root_ends_in_time_though_a_child_of_it_cannot_be_killed() {
    let gate = std::env::temp_dir().join(format!("trees-frozen-{}", std::process::id()));
    // Its nursery ends as it should, or is dropped as it is.
    for (end, code) in [("by a signal", 130), ("by a drop", 0)] {
        fs::write(&gate, "").unwrap();
        let hold = Hold::new("f_03-root");
        let mut running = Program::bin("stubborn").arg("1000").arg(&gate).start();
        assert!(running.wait_for_output("ready"));
        let root = running.process().pid;
        let tree = running.tree();
        let actors: Vec<_> = tree.into_iter().filter(|one| one.pid != root).collect();
        let [actor] = &actors[..] else { panic!("{actors:?}") };
        hold.hold(actor);
        let begin = Instant::now();
        if end == "by a drop" {
            fs::remove_file(&gate).unwrap();
        } else {
            running.signal(Signal::INT);
        }
        let finished = running.wait();
        let ended = (finished.code(), finished.timed_out);
        assert_eq!(ended, (Some(code), false), "{end}: {finished}");
        // Its budget, what is given to what it left, and ten times what else an end may take.
        assert!(begin.elapsed() < Duration::from_secs(1 + 1 + 3), "{end}: {finished}");
        let left = finished.left.to_string();
        assert_eq!(left.contains(&actor.pid.to_string()), hold.outlives_sigkill(), "{finished}");
        drop(hold);
        wait_for_any_exit(&actors, Duration::from_secs(10));
        assert_gone(&actors);
    }
}

#[test]
fn f_19_without_procfs_the_error_says_so() {
    let script = r#"mount -t tmpfs none /proc && exec "$@""#;
    let hello = build::built(Kind::Example, "hello");
    let inside = ["--mount", "--map-root-user", "sh", "-c", script, "sh"];
    let finished = Program::at("unshare").args(inside).arg(hello).run();
    finished.assert_exit(1).assert_nothing_left();
    assert!(finished.err().contains("Is /proc mounted?"), "{finished}");
    // Adopting takes it too, where it is asked for.
    let orphans = build::built(Kind::Bin, "orphans");
    let finished = Program::at("unshare").args(inside).arg(orphans).run();
    assert_ne!(finished.code(), Some(0), "{finished}");
    finished.assert_nothing_left();
    assert!(finished.err().contains("becoming a subreaper"), "{finished}");
}

#[test]
fn f_42_a_root_whose_executor_stops_takes_its_tree_along_when_its_process_ends() {
    let running = Program::bin("unpolled").input("").start();
    let finished = running.wait();
    finished.assert_exit(0).assert_nothing_left();
    assert_eq!(finished.out(), "ready\n", "{finished}");
}

/// What a terminal stops or ends is all of them.
#[test]
fn sig_04_actors_that_are_up_are_of_their_roots_group() {
    let (running, actors) = grove();
    let root = running.process().clone();
    assert!(actors.iter().all(|one| one.group == root.group), "{root}, {actors:?}");
    running.signal(Signal::INT);
    running.wait().assert_exit(130).assert_nothing_left();
}

/// The kernel ends it: nobody else is left who could, and it has asked for nothing yet.
#[test]
fn f_10_a_child_that_is_stopped_before_its_entry_goes_with_its_killed_root() {
    // In a session of its own, as under a terminal or a service manager: whoever adopts is elsewhere.
    let session = Program::at("setsid").arg("--wait").arg(build::built(Kind::Bin, "early"));
    let mut running = session.start();
    assert!(running.wait_for_tree(|tree| tree.iter().any(|one| one.state == 'T')));
    let tree = running.tree();
    let child = tree.iter().find(|one| one.state == 'T').unwrap();
    let root = tree.iter().find(|one| one.pid == child.parent).unwrap();
    assert!(child.command_line().contains("early"), "{child}");
    root.signal(Signal::KILL);
    wait_for_any_exit(std::slice::from_ref(child), Duration::from_secs(10));
    assert_gone(std::slice::from_ref(child));
    running.wait().assert_nothing_left();
}

#[test]
fn f_20_a_root_that_inherited_ignored_child_signals_works() {
    let hello = build::built(Kind::Example, "hello");
    let finished = Program::at("env").arg("--ignore-signal=CHLD").arg(hello).run();
    finished.assert_exit(0).assert_nothing_left();
}

#[test]
fn f_22_a_terminal_that_goes_ends_the_whole_tree() {
    let grove = build::built(Kind::Bin, "grove");
    let session = Program::at("setsid").args(["--ctty", "--wait"]).arg(grove).on_terminal();
    let mut running = session.start();
    assert!(running.wait_for_output("ready"));
    let tree = running.tree();
    assert!(tree.len() >= 4, "{tree:?}");
    running.hang_up();
    // As after any SIGHUP.
    running.wait().assert_exit(129).assert_nothing_left();
    assert_gone(&tree);
}

/// Ctrl-C as it is: typed, made a signal by the terminal, and sent to all of the foreground group.
#[test]
fn sig_03_a_ctrl_c_that_is_typed_ends_the_whole_tree_gracefully_and_once() {
    const CTRL_C: u8 = 3;
    let gate = std::env::temp_dir().join(format!("trees-typed-{}", std::process::id()));
    let grove = build::built(Kind::Bin, "grove");
    let session = Program::at("setsid").args(["--ctty", "--wait"]).arg(grove);
    let mut running = session.arg("takes-its-time").arg(&gate).on_terminal().start();
    assert!(running.wait_for_output("waiting"));
    let tree = running.tree();
    assert!(tree.iter().filter(|one| one.name != "setsid").count() == 4, "{tree:?}");
    running.type_in(&[CTRL_C]);
    // The actor cleans up, and has the time for it.
    assert!(running.wait_for_output("ending"));
    std::fs::write(&gate, "").unwrap();
    let finished = running.wait();
    std::fs::remove_file(gate).unwrap();
    finished.assert_exit(130).assert_nothing_left();
    assert_gone(&tree);
    let said = finished.out();
    assert!(said.contains("^C"), "the terminal did not see it: {finished}");
    assert_eq!(said.matches("because Ctrl-C").count(), 1, "{finished}");
    assert!(!said.contains("by force"), "{finished}");
}

/// A grove that a shell becomes once the file is gone, with something done to its descriptors.
fn late_grove(gate: &std::path::Path, how: &str) -> Running {
    let script = format!(r#"echo here; while test -e "$1"; do sleep 0.01; done; exec "$0" {how}"#);
    fs::write(gate, "").unwrap();
    let grove = build::built(Kind::Bin, "grove");
    let mut running = Program::at("sh").args(["-c", &script]).arg(grove).arg(gate).start();
    assert!(running.wait_for_output("here"));
    running
}

#[test]
fn f_22_a_root_whose_output_nobody_reads_fails_and_its_tree_ends() {
    let gate = std::env::temp_dir().join(format!("trees-broken-{}", std::process::id()));
    let mut running = late_grove(&gate, "");
    running.hang_up();
    fs::remove_file(gate).unwrap();
    // It prints when its tree is up, which is a panic in Rust.
    running.wait().assert_exit(101).assert_nothing_left();
}

#[test]
fn f_22_a_tree_needs_no_input_and_no_pipe_signal_ends_it() {
    let gate = std::env::temp_dir().join(format!("trees-closed-{}", std::process::id()));
    let mut running = late_grove(&gate, "<&-");
    fs::remove_file(gate).unwrap();
    assert!(running.wait_for_output("ready"));
    let tree = running.tree();
    assert_eq!(tree.len(), 4, "{tree:?}");
    for one in &tree {
        one.signal(Signal::PIPE);
    }
    assert!(running.wait_for_tree(|now| now.len() == 4 && caught_up(&tree)));
    running.signal(Signal::INT);
    running.wait().assert_exit(130).assert_nothing_left();
    assert_gone(&tree);
}

#[test]
fn f_49_a_root_with_too_few_descriptors_says_so_and_leaves_nothing() {
    let hello = build::built(Kind::Example, "hello");
    for (limit, is_enough) in [(8, false), (16, false), (64, true)] {
        let limit = format!("--nofile={limit}:{limit}");
        let finished = Program::at("prlimit").arg(&limit).arg(&hello).run();
        finished.assert_exit(i32::from(!is_enough)).assert_nothing_left();
        assert_eq!(finished.err().contains("Too many open files"), !is_enough, "{finished}");
    }
}

#[test]
fn f_42_a_root_that_leaked_a_nursery_still_ends_on_an_interrupt() {
    let mut running = Program::bin("leaker").start();
    assert!(running.wait_for_output("ready"));
    running.signal(Signal::INT);
    let finished = running.wait();
    finished.assert_exit(130);
    finished.assert_nothing_left();
}

#[test]
fn f_42_an_actor_that_leaked_a_nursery_is_ended_by_its_parent_and_that_is_said() {
    let finished = Program::bin("leaker").args(["in-a-child"]).run();
    finished.assert_exit(1);
    finished.assert_nothing_left();
    assert!(finished.err().contains("by force"), "{finished}");
}

#[test]
fn f_21_sig_09_a_second_interrupt_leaves_no_time() {
    let mut running = Program::bin("stubborn").start();
    assert!(running.wait_for_output("ready"));
    running.signal(Signal::INT);
    assert!(running.wait_for_output("cancelled"));
    let second = Instant::now();
    running.signal(Signal::INT);
    let finished = running.wait();
    finished.assert_exit(130);
    finished.assert_nothing_left();
    // The first one had left 4.6 s.
    assert!(second.elapsed() < Duration::from_secs(3), "{finished}");
}

#[test]
fn f_05_a_subreaper_ends_and_reaps_what_actors_leave_behind_and_nobody_elses_child() {
    let finished = Program::bin("orphans").run();
    finished.assert_exit(0);
    finished.assert_nothing_left();
    assert_eq!(finished.out(), "Subreaper\nok\n");
}

/// Stops every process of a tree, its root included, and lets all of them go on.
///
/// A real pause is a minute or so. Here it is as long as it takes to see all of them stopped, a few
/// milliseconds: every deadline of the library that runs meanwhile is 500 ms or more.
fn stop_whole(running: &mut Running, count: usize) {
    let tree = running.tree();
    assert_eq!(tree.len(), count, "{tree:?}");
    for one in &tree {
        one.signal(Signal::STOP);
    }
    let are_stopped = |now: &[Process]| now.iter().filter(|one| one.state == 'T').count() == count;
    assert!(running.wait_for_tree(are_stopped));
    // From below: a child that goes on finds a parent that does not yet.
    for one in tree.iter().rev() {
        one.signal(Signal::CONT);
    }
}

#[test]
fn f_23_a_whole_tree_that_was_stopped_goes_on_and_ends_as_if_nothing_was() {
    let (mut running, actors) = grove();
    stop_whole(&mut running, 4);
    assert!(running.wait_for_tree(|now| now.iter().all(|one| one.state != 'T')));
    assert!(actors.iter().all(|one| Process::of(one.pid).is_some_and(|now| now.is(one))));
    running.signal(Signal::INT);
    let finished = running.wait();
    finished.assert_exit(130).assert_nothing_left();
    assert!(!finished.err().contains("by force"), "{finished}");
}

#[test]
fn f_23_a_whole_tree_that_was_stopped_during_a_start_comes_up() {
    let mut running = Program::bin("early").start();
    // The child stops itself before it has come to the library; its start has 10 s.
    assert!(running.wait_for_tree(|tree| tree.iter().any(|one| one.state == 'T')));
    stop_whole(&mut running, 2);
    assert!(running.wait_for_output("up"));
    running.signal(Signal::INT);
    let finished = running.wait();
    finished.assert_nothing_left();
    assert!(finished.code().is_some(), "{finished}");
    assert!(!finished.err().contains("by force"), "{finished}");
}

#[test]
fn f_23_a_whole_tree_that_was_stopped_during_a_teardown_ends_unforced() {
    let gate = std::env::temp_dir().join(format!("trees-ends-{}", std::process::id()));
    let mut running = Program::bin("grove").arg("takes-its-time").arg(&gate).start();
    assert!(running.wait_for_output("waiting"));
    // A teardown has 4.6 s.
    running.signal(Signal::INT);
    assert!(running.wait_for_output("ending"));
    // The others are done: it is waited for.
    assert!(running.wait_for_tree(|tree| tree.len() == 2));
    stop_whole(&mut running, 2);
    std::fs::write(&gate, "").unwrap();
    let finished = running.wait();
    std::fs::remove_file(gate).unwrap();
    finished.assert_exit(130).assert_nothing_left();
    assert!(!finished.err().contains("by force"), "{finished}");
}

/// A grove whose root is the first process of a container; which process that is, out here.
fn contained_grove(how: &[&str]) -> (Running, Process) {
    let grove = build::built(Kind::Bin, "grove");
    let container = ["--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child"];
    let mut running = Program::at("unshare").args(container).arg(grove).args(how).start();
    assert!(running.wait_for_output("ready"));
    let outside = running.process().pid;
    let tree = running.tree();
    let root = tree.into_iter().find(|one| one.parent == outside).expect("a root");
    (running, root)
}

#[test]
fn f_19_f_22_a_first_process_of_a_container_ends_its_tree_on_a_term() {
    let (running, root) = contained_grove(&[]);
    let tree = running.tree();
    assert_eq!(tree.len(), 5, "{tree:?}");
    assert!(root.signal(Signal::TERM));
    let finished = running.wait();
    finished.assert_exit(143).assert_nothing_left();
    assert!(!finished.err().contains("by force"), "{finished}");
    assert_gone(&tree);
}

/// Between two looks at a process.
const LOOK: Duration = Duration::from_millis(10);

#[test]
fn f_19_what_comes_into_a_container_from_outside_is_reaped_but_not_ended_by_its_first_process() {
    let (mut running, root) = contained_grove(&["says-looks"]);
    let script = "sleep 1000 & sleep 1001 & echo here; read go";
    let mut into = Command::new("nsenter");
    into.args(["--user", "--pid", "--preserve-credentials", "--target", &root.pid.to_string()]);
    into.args(["sh", "-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut shell = into.spawn().expect("nsenter, which comes with unshare");
    let mut here = [0; 5];
    shell.stdout.as_mut().expect("a pipe").read_exact(&mut here).expect("the shell");
    let sleeps = |line: &str| {
        // Both have begun, and may not have come to be what they are to be.
        let found = (0..1000).find_map(|_| {
            let mut all = Process::all().into_iter();
            let found = all.find(|one| one.command_line() == line && is_below(one, shell.id()));
            found.or_else(|| {
                wait_for_readable([], LOOK);
                None
            })
        });
        found.expect(line)
    };
    let (stays, passes) = (sleeps("sleep 1000"), sleeps("sleep 1001"));
    // It is reaped if it was seen with another parent: by the look after the one that may have been
    // under way.
    let said = String::from_utf8_lossy(running.output()).into_owned();
    let looks = said.lines().filter(|line| line.starts_with("look ")).count();
    assert!(running.wait_for_output(&format!("look {}\n", looks + 1)));
    drop(shell.stdin.take());
    shell.wait().expect("the shell");
    let now = |one: &Process| Process::of(one.pid).filter(|now| now.is(one));
    passes.kill();
    // Ten seconds at most, a hundred times what it takes.
    let reaped = (0..1000).any(|_| now(&passes).is_none() || wait_for_readable([], LOOK));
    assert!(reaped, "{:?}", now(&passes));
    let left = now(&stays).expect("nobody ends it");
    assert_eq!((left.parent, left.state), (root.pid, 'S'), "{left}");
    // Its container goes, and it with that.
    root.signal(Signal::TERM);
    running.wait().assert_exit(143).assert_nothing_left();
    assert_gone(&[stays]);
}

fn is_below(one: &Process, pid: u32) -> bool {
    descendants(pid.cast_signed(), &Process::all()).iter().any(|other| other.is(one))
}

#[test]
fn f_19_so_does_a_root_that_is_the_first_process_of_a_container() {
    let orphans = build::built(Kind::Bin, "orphans");
    let container = ["--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child"];
    let finished = Program::at("unshare").args(container).arg(orphans).arg("first").run();
    finished.assert_exit(0);
    finished.assert_nothing_left();
    assert_eq!(finished.out(), "Subreaper\nok\n");
}
