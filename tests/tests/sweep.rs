//! Single faults of the sweep (F-30), each with the bug that it found; the sweep itself is
//! `src/bin/sweep.rs`.

use std::time::Duration;

use hatchery_tests::build::{Kind, built};
use hatchery_tests::procfs;
use hatchery_tests::sweep::{Fault, Outcome, Side, Sweep, can_trace};

/// Makes one run, in which the fault has to happen.
fn meet(side: Side, call: &'static str, error: &'static str, nth: u32) -> Outcome {
    can_trace().unwrap();
    let folder = std::env::temp_dir().join(format!("sweep-{side}-{call}-{}", procfs::own_pid()));
    std::fs::create_dir_all(&folder).unwrap();
    let fault = Fault { side, call, error, nth };
    let outcome = Sweep::new(built(Kind::Bin, "swept"), &folder).try_fault(fault, 1);
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(outcome.injected > 0, "{fault} did not happen: {outcome:?}");
    assert!(outcome.verdict.is_none(), "{fault}: {}", outcome.verdict.unwrap());
    outcome
}

#[test]
fn f_30_a_root_whose_reactor_cannot_start_is_a_typed_error() {
    for (call, error, nth) in [
        ("epoll_create1", "EMFILE", 1),
        ("epoll_ctl", "ENOSPC", 1),
        ("epoll_ctl", "ENOMEM", 2),
        // The first one waits to be asked for last steps.
        ("clone3", "EAGAIN", 2),
    ] {
        let said = meet(Side::Root, call, error, nth).said;
        assert!(said.starts_with("Os: starting the reactor: "), "{call}: {said}");
    }
}

#[test]
fn f_30_an_actor_whose_reactor_cannot_start_says_so_to_its_parent() {
    let faults =
        [("epoll_create1", "EMFILE", 1), ("epoll_ctl", "ENOSPC", 1), ("clone3", "EAGAIN", 3)];
    for (call, error, nth) in faults {
        // One that waits in a way of its own has no thread for that, and the reactor to fall back on.
        let expected = match (hatchery::__private::PARKER, call) {
            (false, _) => "Spawn: starting actor `worker`: ",
            (true, "clone3") => continue,
            // Of each thread the first one fails: also where its own child is to be waited for.
            (true, "epoll_ctl") => "Spawn: starting actor `dropped`: ",
            (true, _) => "fine",
        };
        let said = meet(Side::Child, call, error, nth).said;
        assert!(said.starts_with(expected), "{call}: {said}");
    }
}

#[test]
fn f_30_a_link_that_cannot_be_written_ends_on_both_sides() {
    for side in [Side::Root, Side::Child] {
        for nth in [2, 4] {
            let said = meet(side, "sendto", "ENOMEM", nth).said;
            assert!(!said.starts_with("fine"), "{side}: what was not sent was not missed");
        }
    }
}

#[test]
fn f_30_a_child_that_cannot_look_at_its_link_does_not_run_its_main() {
    for nth in 1..=3 {
        let said = meet(Side::Child, "getsockopt", "ENOMEM", nth).said;
        assert!(said.starts_with("Spawn: starting actor `worker`: "), "{nth}: {said}");
    }
}

/// With a subject that never ends. Its tracer gives way to the debugger.
#[test]
fn f_30_a_run_that_hangs_is_shown_with_its_stacks_and_its_last_steps() {
    can_trace().unwrap();
    let folder = std::env::temp_dir().join(format!("sweep-hang-{}", procfs::own_pid()));
    std::fs::create_dir_all(&folder).unwrap();
    let sweep = Sweep::new(built(Kind::Bin, "stubborn"), &folder).bound(Duration::from_secs(5));
    let fault = Fault { side: Side::Root, call: "getrandom", error: "EINTR", nth: 1000 };
    let verdict = sweep.try_fault(fault, 1).verdict.unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(verdict.starts_with("hang\n"), "{verdict}");
    let (_, stacks) = verdict.split_once("--- stacks\n").expect(&verdict);
    let (stacks, said) = stacks.split_once("--- stdout\n").expect(&verdict);
    // The root and its actor; without a debugger, where the kernel has them wait.
    assert_eq!(stacks.matches("stubborn), state").count(), 1, "{verdict}");
    assert_eq!(stacks.matches("(hatchery: worker), state").count(), 1, "{verdict}");
    let frames = stacks.matches("#0 ").count() + stacks.matches("wchan: ").count();
    assert!(frames >= 2, "{verdict}");
    assert!(!stacks.contains("ptrace_stop"), "{verdict}");
    assert_eq!(said.matches("last steps of process").count(), 2, "{verdict}");
}
