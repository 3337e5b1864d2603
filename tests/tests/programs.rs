//! Programs run as processes: output, status, time and tree are what they are said to be.

use std::process::Command;
use std::time::Duration;

use hatchery_tests::programs::{Program, Signal};

fn shell(script: &str) -> Program {
    Program::at("sh").args(["-c", script])
}

#[test]
fn output_input_and_code_are_kept_apart() {
    let finished = shell("cat; echo err >&2; exit 3").input("in\n").run();
    finished.assert_exit(3);
    assert_eq!((finished.out().as_str(), finished.err().as_str()), ("in\n", "err\n"));
}

#[test]
fn more_output_than_a_pipe_holds_is_taken() {
    let finished = shell("head -c 5000000 /dev/zero; head -c 5000000 /dev/zero >&2").run();
    finished.assert_exit(0);
    assert_eq!((finished.stdout.len(), finished.stderr.len()), (5_000_000, 5_000_000));
}

#[test]
fn output_can_be_waited_for_and_a_signal_sent_then() {
    let mut running =
        shell("trap 'echo asked; exit 130' TERM; echo ready; while :; do :; done").start();
    assert!(running.wait_for_output("ready"));
    // Not SIGINT: what runs this may have been started in the background, where that is ignored.
    running.signal(Signal::TERM);
    let finished = running.wait();
    finished.assert_exit(130);
    assert!(finished.out().ends_with("asked\n"), "{finished}");
}

#[test]
fn output_that_never_comes_ends_the_wait_with_the_program() {
    let mut running = shell("echo other").start();
    assert!(!running.wait_for_output("ready"));
    running.wait().assert_exit(0);
}

#[test]
fn a_program_on_a_terminal_sees_one() {
    let script = "test -t 0 && test -t 1 && test -t 2 && stty size";
    let finished = shell(script).on_terminal().run();
    finished.assert_exit(0);
    assert_eq!(finished.out(), "24 80\r\n");
}

#[test]
fn what_a_program_leaves_is_named_and_ended() {
    let finished = shell("sleep 1000 & setsid sleep 1001 & exit 0").run();
    assert_eq!(finished.code(), Some(0));
    let left = finished.left.to_string();
    assert!(left.starts_with("2 left behind\n"), "{left}");
    assert!(left.contains("(sleep 1000)") && left.contains("(sleep 1001)"), "{left}");
}

#[test]
fn a_program_that_takes_too_long_is_killed_with_its_tree() {
    let finished = shell("sleep 1000 & wait").timeout(Duration::from_millis(300)).run();
    assert!(finished.timed_out, "{finished}");
    assert!(finished.left.to_string().contains("(sleep 1000)"), "{finished}");
    assert!(finished.took < Duration::from_secs(10), "{finished}");
}

/// Whether there is a debugger, and it may look at processes that are not below it.
fn can_debug() -> bool {
    let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope");
    let is_free = scope.map_or(true, |scope| scope.trim() == "0");
    is_free && Command::new("gdb").arg("--version").output().is_ok()
}

/// A tree that hangs: its actor blocks its thread, its root waits for it.
#[test]
fn a_tree_that_hangs_is_shown_with_its_stacks_and_its_last_steps_before_it_is_killed() {
    let mut running = Program::bin("stubborn").start();
    assert!(running.wait_for_output("ready"));
    let root = running.process().pid;
    let tree = running.tree();
    let actor = tree.iter().find(|one| one.pid != root).expect("an actor").pid;
    running.expire();
    let finished = running.wait();
    assert!(finished.timed_out, "{finished}");
    let said = finished.to_string();
    let (_, stacks) = said.split_once("--- stacks\n").expect(&said);
    let part = |pid: i32| {
        let (_, part) = stacks.split_once(&format!("process {pid} (")).expect(stacks);
        part.split("\nprocess ").next().unwrap_or_default().to_owned()
    };
    if can_debug() {
        // The actor stands in its endpoint; so many threads of the root wait for events.
        assert!(part(actor).contains("stubborn::blocks"), "{said}");
        assert!(part(root).contains("async_io"), "{said}");
    } else {
        for pid in [root, actor] {
            assert!(part(pid).contains("wchan: ") && part(pid).contains("State:"), "{said}");
        }
    }
    for (pid, peer) in [(root, "`worker`"), (actor, "`root`")] {
        let (_, steps) = said.split_once(&format!("last steps of process {pid}\n")).expect(&said);
        let link = steps.lines().next().unwrap_or_default();
        assert!(link.contains("link to") && link.contains(peer), "{peer}: {said}");
        assert!(link.contains("Started"), "{said}");
    }
}

#[test]
fn a_tree_is_seen_while_it_lives_and_gone_with_its_group() {
    let mut running = shell("sleep 1000 & wait").start();
    assert!(running.wait_for_tree(|tree| tree.iter().any(|one| one.name == "sleep")));
    running.signal_group(Signal::TERM);
    running.wait().assert_killed_by(Signal::TERM);
}
