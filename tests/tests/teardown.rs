//! Ends of whole trees are measured, and few runs of each measure leave nothing behind.
//!
//! What other systems of this kind wait for, and how long (T01 to T21); here by another bound, or by
//! none. Rows as in `history.rs`, which checks them.
//!
//! | row | shown by, or why there is nothing to show |
//! | --- | --- |
//! | T01 | half of the budget or more, not half a second: `p_t1_a_budget_leaves_…` in `ladder.rs` |
//! | T02 | `p_c1_a_task_that_does_not_hear_…` in `cancelling.rs` |
//! | T03 | `f_02_p_t1_a_stopped_child_…` in `deaths.rs` |
//! | T04 | one budget for all, however deep: `p_t1_any_budget_is_kept_…` in `ladder_chain.rs` |
//! | T05 | none: `p_t1_a_running_child_has_no_clock` in `ladder.rs` |
//! | T06 | not unbounded: `p_t1_sigkill_has_250_ms_…` in `ladder.rs` |
//! | T07 | none: `spn_08_09_a_start_…` in `supervision.rs` |
//! | T08 | with the registrar |
//! | T09 | `p_c7_other_peers_are_waited_for_…` in `shutdown.rs` |
//! | T10 | what a dead child sent is read: `p_l4_without_an_exit_…` in `link_end.rs` |
//! | T11 | the child closes, and waits: `p_l3_the_parents_answer_…` in `shutdown.rs` |
//! | T12 | `p_l1_no_greeting_in_time_…` in `link.rs` |
//! | T13 | the user's: `p_c8_a_far_task_…` in `bounds.rs`; a start has 10 s, see L74 |
//! | T14 | with the registrar |
//! | T15 | no polls: `dbg_p08_…` in `debugger_children.rs` |
//! | T16 | there is one way to start a process (SPN-21), with the ladder for its end |
//! | T17 | a window: `p_w1_streams_run_for_ever_…` in `link.rs` |
//! | T18 | no queue drops anything: `p_w1_a_fast_sender_…` in `streams.rs` |
//! | T19 | no count: `l_66_…` in `history.rs` |
//! | T20 | none are: `p_f4_every_vector_…` in `golden.rs` |
//! | T21 | the tree is killed at once: `a_program_that_takes_too_long_…` in `programs.rs` |

use std::time::Duration;

use hatchery_tests::leaks::exclusive;
use hatchery_tests::programs::Program;

#[test]
fn f_08_a_few_ends_of_each_kind_are_in_time_and_leave_nothing() {
    let _one = exclusive();
    let program = Program::bin("teardown").args(["--quick", "--runs", "3"]);
    let finished = program.timeout(Duration::from_secs(120)).run();
    finished.assert_exit(0);
    let out = finished.out();
    for part in ["killed members=21", "cancelled healthy depth=1", "cancelled stopped depth=3"] {
        assert!(out.contains(part), "{finished}");
    }
    let last = out.lines().next_back().unwrap_or_default();
    assert!(last.ends_with("slow=0 left=0 failures=0"), "{finished}");
}

#[test]
fn an_unknown_option_is_an_error_of_its_own() {
    Program::bin("teardown").arg("--fast").run().assert_exit(2);
}
