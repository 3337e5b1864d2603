//! What users can rely on in discovery and in links between peers: the rows that no test of this folder
//! has in its name, and why.
//!
//! | row | shown by, or why there is nothing to show |
//! | --- | --- |
//! | DISC-02 | its attempts and pauses: the core's own tests of P-R13, and `disc_01_who_is_no_registrar_…` in `meeting.rs`; whoever is asked is among the peers only once it was let in |
//! | DISC-11 | a registrar is an actor like any: `can_10_an_actor_of_the_tree_ends_another` in `discovery.rs` |
//! | DISC-13 | a registrar asks its own book: `disc_03_everybody_…` in `discovery.rs` does |
//! | DISC-14 | an actor is told its registrars by its parent: `disc_05_siblings_…` in `discovery.rs` asks from below |
//! | DISC-15 | `p_r9_a_portal_outlives_…` in `discovery.rs` finds who is linked already |
//! | DISC-16 | there is none; what comes in its place: `f_45_who_has_joined_…` in `meeting.rs` |
//! | DISC-17 | port 0, beside the registrar's: `ipc_01_siblings_talk_over_tcp` in `networks.rs` |
//! | DISC-19 | a daemon says when it can be found: `disc_05_a_client_…` in `meeting.rs` waits for that |
//! | IPC-02 | the rows F-31 and F-32 in the tests of sockets beside the listeners |
//! | IPC-03 | `p_a6_who_says_nothing_…` in `strangers.rs` |
//! | IPC-04 | a link's end is one outcome for each dialog: `p_l4_the_end_of_a_link_ends_every_dialog_once` in `link_end.rs` |
//! | IPC-05 | the same: what ended it is told as the cause |
//! | IPC-06 | a test of that name beside the carriers: frames leave whole, whoever drops what |
//! | IPC-07 | a value that does not decode ends its own dialog, a frame that does not its link: the tests of codecs and of hostile peers |
//! | IPC-09 | P-F2, in the tests of hostile peers |
//! | IPC-11 | either end: `f_29_a_link_that_is_taken_down_…` in `two_hosts.rs` |
//! | IPC-12 | the row F-31 in the tests of sockets beside the listeners |
//! | IPC-13 | the same |
//! | IPC-14 | a test of that name there; `f_45_a_registrar_that_was_killed_…` in `meeting.rs` for whoever was killed |
//! | IPC-15 | `f_15_nobody_is_let_in_…` in `strangers.rs` |
//! | IPC-16 | nothing of a payload is ever formatted for a log |

use hatchery_tests::rows::{Group, complaints, sources};

const fn of(name: &'static str, last: u32) -> Group {
    Group { name, last, others: &[], file: "behaviours_links.rs" }
}

const GROUPS: &[Group] = &[of("DISC", 19), of("IPC", 16)];

#[test]
fn every_behaviour_of_links_between_peers_is_accounted_for() {
    let wrong = complaints(GROUPS, &sources());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
