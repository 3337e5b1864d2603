//! What users can rely on in contexts, streams, calls, errors and values: the rows that no test has in
//! its name, and why.
//!
//! | row | shown by, or why there is nothing to show |
//! | --- | --- |
//! | CTX-27 | comes with `LocalPortal`'s contexts |
//! | CTX-28 | comes with the current context |
//! | STR-11 | comes with the policies of a stream that is full |
//! | STR-12 | comes with the policies of a stream that is full |
//! | STR-18 | comes with one-way streams |
//! | STR-19 | comes with topics |
//! | STR-20 | the rows of BRD |
//! | STR-21 | TRI-09 |
//! | STR-24 | comes with one-way streams |
//! | STR-25 | comes with one-way streams |
//! | STR-26 | comes with one-way streams |
//! | STR-27 | comes with one-way streams |
//! | STR-28 | comes with one-way streams |
//! | STR-29 | comes with one-way streams |
//! | STR-30 | comes with one-way streams |
//! | STR-31 | comes with one-way streams |
//! | RPC-06 | with the registrar: an actor has portals to those below it only |
//! | ERR-08 | an interrupt is the root's alone: `sig_04_an_interrupt_…` in `trees.rs` |
//! | MSG-05 | an endpoint's types are fixed when it is compiled |
//! | MSG-07 | nothing but the core writes on a link: no value of another kind can be given to it |
//! | BRD-01 | comes with fan-out |
//! | BRD-02 | comes with fan-out |
//! | BRD-03 | comes with fan-out |
//! | BRD-04 | comes with fan-out |
//! | BRD-05 | comes with fan-out |
//! | BRD-06 | comes with fan-out |
//! | PUB-01 | comes with topics |
//! | PUB-02 | comes with topics |
//! | PUB-03 | comes with topics |
//! | PUB-04 | comes with topics |
//! | PUB-05 | comes with topics |
//! | PUB-06 | comes with topics |
//! | PUB-07 | comes with topics |
//! | PUB-08 | comes with topics |
//! | PUB-09 | comes with topics |
//! | PUB-10 | comes with topics |
//! | TRI-02 | an error is one error: there are no groups of one (CAN-05) |
//! | TRI-03 | `ctx_22_an_error_of_the_far_…` in `contexts.rs` |
//! | TRI-04 | comes with the helpers of tasks |
//! | TRI-05 | what is spawned into a scope that is over is an error, and none of another's can be entered |
//! | TRI-06 | there is no such runtime below to patch |
//! | TRI-07 | comes with the cache of shared resources |
//! | TRI-08 | comes with the cache of shared resources |
//! | TRI-09 | comes with the cache of shared resources |
//! | TRI-10 | comes with the helpers of tasks |
//! | CLU-01 | SPN-22: `spn_22_a_cluster_…` in `fleets.rs` |
//! | AIO-01 | comes with actors whose tasks run on tokio |
//! | AIO-02 | comes with actors whose tasks run on tokio |
//! | AIO-03 | comes with actors whose tasks run on tokio |
//! | AIO-04 | comes with actors whose tasks run on tokio |
//! | AIO-05 | comes with actors whose tasks run on tokio |
//! | AIO-06 | comes with actors whose tasks run on tokio |
//! | AIO-07 | comes with actors whose tasks run on tokio |

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
