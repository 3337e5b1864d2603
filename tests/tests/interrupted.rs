//! Programs that are interrupted while a context is open in them, or work on another executor is under
//! way, or values are published; or whose time is over then. Apart from the tests that are roots
//! themselves.

use hatchery_tests::cells::Cell;
use hatchery_tests::programs::{Finished, Program, Signal};
use hatchery_tests::sign::Sign;

#[test]
fn str_14_sig_01_an_interrupt_in_every_cell_of_who_opens_a_stream() {
    for cell in Cell::all() {
        let ended = Sign::new("interrupted");
        let mut running = Program::bin("linked").arg(cell.to_string()).arg(ended.path()).start();
        assert!(running.wait_for_output("ready"), "Ctrl-C, {cell}");
        running.signal(Signal::INT);
        let finished = running.wait();
        assert_eq!(finished.code(), Some(130), "Ctrl-C, {cell}: {finished}");
        finished.assert_nothing_left();
        assert!(ended.is_raised(), "Ctrl-C, {cell}: the callee was ended by force: {finished}");
    }
}

/// A root and an actor, both with work on a tokio of their own: to the root alone, as a service manager
/// sends it, and to all, as a terminal does.
#[test]
fn aio_07_an_interrupt_never_abandons_what_runs_over_there() {
    for threads in ["1", "2"] {
        for to_all in [false, true] {
            let mut running = Program::example("guest").arg(threads).start();
            assert!(running.wait_for_output("ready"), "{threads}, {to_all}");
            match to_all {
                true => running.signal_group(Signal::INT),
                false => running.signal(Signal::INT),
            }
            let finished = running.wait();
            finished.assert_exit(130);
            let out = finished.out();
            for who in ["actor", "root"] {
                // Its own end first, then what its actor does last.
                let cleaned_up = format!("{who} has cleaned up on tokio\n");
                let hook = format!("hook of {who}: true\n");
                let places = [&cleaned_up, &hook].map(|line| {
                    assert_eq!(out.matches(line.as_str()).count(), 1, "{line} {finished}");
                    out.find(line.as_str())
                });
                assert!(places[0] < places[1], "{finished}");
            }
            assert!(!finished.err().contains("by force"), "{finished}");
        }
    }
}

/// Who consumes in `newsroom`.
const CONSUMERS: [&str; 3] = ["consumer 0", "consumer 1", "consumer 2"];

/// Each left its task, then its actor, in order and unforced; those below before the one above.
#[track_caller]
fn assert_unwound(finished: &Finished) {
    let out = finished.out();
    let place = |line: String| {
        assert_eq!(out.matches(line.as_str()).count(), 1, "{line}: {finished}");
        out.find(line.as_str())
    };
    for who in CONSUMERS {
        let left = place(format!("{who} has left\n"));
        let over = place(format!("hook of {who}\n"));
        assert!(left < over && over < place("publisher has left\n".into()), "{who}: {finished}");
    }
    place("hook of publisher\n".into());
    assert!(!finished.err().contains("by force"), "{finished}");
}

#[test]
fn str_19_pub_10_an_interrupt_unwinds_a_publisher_and_its_consumers() {
    for to_all in [false, true] {
        let mut running = Program::bin("newsroom").start();
        for who in CONSUMERS {
            assert!(running.wait_for_output(&format!("{who} flows")), "{who}");
        }
        match to_all {
            true => running.signal_group(Signal::INT),
            false => running.signal(Signal::INT),
        }
        let finished = running.wait();
        finished.assert_exit(130);
        assert_unwound(&finished);
    }
}

#[test]
fn str_19_pub_10_a_timeout_unwinds_a_publisher_and_its_consumers() {
    let mut limit = 100;
    loop {
        let finished = Program::bin("newsroom").arg(limit.to_string()).run();
        finished.assert_exit(1);
        assert!(finished.err().contains("deadline"), "{finished}");
        if CONSUMERS.iter().all(|who| finished.out().contains(&format!("{who} flows"))) {
            return assert_unwound(&finished);
        }
        // It fell into the beginning.
        limit *= 2;
        assert!(limit < 30_000, "it never flows: {finished}");
    }
}
