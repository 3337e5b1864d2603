//! Programs that are interrupted while a context is open in them, or work on another executor is under
//! way. Apart from the tests that are roots themselves.

use hatchery_tests::cells::Cell;
use hatchery_tests::programs::{Program, Signal};
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
