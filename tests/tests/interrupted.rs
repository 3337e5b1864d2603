//! Programs that are interrupted while a context is open in them. Apart from the tests that are roots
//! themselves.

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
