//! What users can rely on in contexts, streams, calls, errors and values: the rows that no test has in
//! its name, and why.
//!
//! | row | shown by, or why there is nothing to show |
//! | --- | --- |
//! | ERR-08 | an interrupt is the root's alone: `sig_04_an_interrupt_…` in `trees.rs` |
//! | MSG-07 | nothing but the core writes on a link: no value of another kind can be given to it |
//! | PUB-01 | a source is any async function of the type that is asked for: nothing is declared |
//! | PUB-02 | topics and what feeds them are arguments: their types are checked |
//! | TRI-02 | an error is one error: there are no groups of one (CAN-05) |
//! | TRI-03 | `ctx_22_an_error_of_the_far_…` in `contexts.rs` |
//! | TRI-06 | there is no such runtime below to patch |
//! | TRI-10 | of actors alone: `spn_11_what_a_failing_start_…` in `misuse.rs` |
//! | CLU-01 | SPN-22: `spn_22_a_cluster_…` in `fleets.rs` |

use hatchery_tests::rows::{Group, complaints, sources};

const fn of(name: &'static str, last: u32) -> Group {
    Group { name, last, others: &[], file: "behaviours.rs" }
}

const GROUPS: &[Group] = &[
    of("CTX", 40),
    of("STR", 31),
    of("RPC", 14),
    of("ERR", 11),
    of("MSG", 10),
    of("BRD", 6),
    of("PUB", 10),
    of("TRI", 10),
    of("CLU", 2),
    of("AIO", 7),
];

#[test]
fn every_behaviour_of_linked_tasks_is_accounted_for() {
    let wrong = complaints(GROUPS, &sources());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
