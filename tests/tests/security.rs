//! What is promised of security, and what bad input comes to: each with the tests that hold it.
//!
//! | row | what is promised, and shown by |
//! | --- | --- |
//! | SEC-01 | a child's link is inherited, and nobody else holds a copy: `f_50_no_link_gets_into_the_hands_of_a_sibling` in `driver.rs` |
//! | SEC-02 | a Unix socket is for its user: the place is made and never taken over, and whoever connects is looked at: `another_user_is_kept_out` in `strangers.rs`, `another_user_is_turned_away_and_others_come_in` in `transports.rs`, `the_mask_of_a_process_changes_no_mode` in `transports.rs`, `f_31_a_place_that_is_not_private_is_refused_untouched` in `runtime/src/driver/transport/tests/places.rs`; which process it is, by the system's word: `f_15_nobody_is_let_in_as_somebody_else` in `strangers.rs` |
//! | SEC-03 | no socket is abstract: `arguments_and_environments_hold_no_secret_and_no_socket_is_abstract` in `exposure.rs` |
//! | SEC-04 | nobody listens on a network, loopback included, without proofs of both ends: `tcp_without_keys_is_refused` in `runtime/src/driver/transport/tests/sockets.rs`, `a_stranger_is_not_let_in_over_tcp` in `networks.rs`; replayed: `a_session_that_was_recorded_cannot_be_played_again` in `runtime/src/driver/transport/tls/tests/refused.rs`; reflected: `an_actor_that_meets_itself_says_so` in `runtime/src/driver/transport/tls/tests/refused.rs` |
//! | SEC-05 | secrets stand in no argument and no environment: `arguments_and_environments_hold_no_secret_and_no_socket_is_abstract` in `exposure.rs`; in no log and no text: `no_secret_is_shown_or_logged_or_told_to_others` in `runtime/src/driver/transport/tls/tests/secrets.rs`; they are wiped: `what_is_wiped_is_zero` in `runtime/src/driver/transport/tls/secret.rs` |
//! | SEC-06 | only what is exposed is called: `rpc_02_what_is_not_exposed_is_refused_by_name_and_the_actor_lives_on` in `misuse.rs`; of a parent too: `rpc_06_what_a_parent_does_not_expose_is_refused` in `parents.rs`; nobody of another tree ends an actor: `p_l2_a_peer_of_another_tree_is_not_asked_and_one_that_asks_is_told_so` in `link_peers.rs` |
//! | SEC-07 | before a greeting nothing else is decoded, and what follows one that is turned away is not heard: `p_a6_greetings_are_judged_before_anything_else` in `link_hostile.rs`, `p_r8_who_is_turned_away_ends_nobody` in `peer_links.rs` |
//! | SEC-08 | what may be said and held is bounded: a greeting `p_a6_a_greeting_that_is_too_long_ends_at_once` in `strangers.rs`, its time `p_a6_who_says_nothing_is_gone_after_a_while_and_told_a_code` in `strangers.rs`, those about to greet `p_r10_a_crowd_of_strangers_is_bounded_and_goes` in `strangers.rs`, links of one peer `p_r12_one_actor_has_so_many_links_and_no_more` in `strangers.rs`, dialogs `p_a2_dialogs_past_the_limit_are_refused_and_a_flood_of_them_ends_the_link` in `link_hostile.rs`, what is cheap to say `p_a4_floods_are_closed` in `link_hostile.rs`, names `names_have_255_bytes_and_no_more` in `exposure.rs`, what is asked of a registrar `p_r1_who_watches_or_waits_too_much_is_refused_by_name_and_nobody_else` in `discovery.rs` |
//! | SEC-09 | who breaks the protocol loses its link, a child its part of the tree, and nobody else anything: `p_a7_a_child_that_breaks_the_protocol_is_torn_down_and_nobody_else` in `python_peer.rs`; nothing panics: `p_a5_garbage_never_panics_and_ends_every_dialog_once` in `link_hostile.rs` |
//! | SEC-10 | who is not let in is told a code only: `f_15_nobody_is_let_in_as_somebody_else` in `strangers.rs`, `p_a6_who_says_nothing_is_gone_after_a_while_and_told_a_code` in `strangers.rs`, `p_r8_p_a7_a_stranger_is_told_by_a_text_of_its_own` in `peers.rs`, `a_stranger_is_not_let_in_over_tcp` in `networks.rs` |
//! | SEC-11 | a prompt is for the tree's own actors in debug mode, which is off unless asked for: `dbg_01_nobody_asks_but_a_child_over_its_own_link` in `terminal_lock.rs`, `dbg_13_the_terminal_is_for_actors_in_debug_mode_whose_parents_say_so` in `terminal_lock.rs`, `dbg_13_dbg_p12_only_an_actor_in_debug_mode_asks` in `debugger_children.rs` |
//! | SEC-12 | files are reached below an open directory, and only those are removed that were made here: `a_file_that_another_has_put_in_its_place_is_not_removed` in `runtime/src/driver/transport/tests/sockets.rs`, `f_31_what_is_no_socket_of_this_kind_is_left_alone` in `runtime/src/driver/transport/tests/sockets.rs`, `ipc_14_what_the_killed_have_left_is_swept_and_nothing_else` in `runtime/src/driver/transport/tests/places.rs` |
//! | SEC-13 | no line is unchecked: `unchecked_code_is_found` in `tidy.rs`, `the_sources_are_tidy` in `tidy.rs` |
//! | SEC-14 | what is depended on: the list of what is denied, and the versions that are locked |
//! | BAD-01 | the wrong key: `the_same_name_of_another_authority_is_no_help` in `runtime/src/driver/transport/tls/tests/refused.rs`, `a_program_comes_in_with_credentials_alone` in `networks.rs` |
//! | BAD-02 | the wrong certificate: `another_actor_than_expected_is_refused` in `runtime/src/driver/transport/tls/tests/refused.rs`, `what_is_out_of_date_is_refused` in `runtime/src/driver/transport/tls/tests/refused.rs`, `who_shows_no_certificate_is_refused` in `runtime/src/driver/transport/tls/tests/refused.rs` |
//! | BAD-03 | the wrong user: `another_user_is_kept_out` in `strangers.rs`, `another_user_is_turned_away_and_others_come_in` in `transports.rs` |
//! | BAD-04 | a stranger's guess at an identity: `f_15_nobody_is_let_in_as_somebody_else` in `strangers.rs`, `p_r8_nobody_takes_the_place_of_a_peer_that_has_proven_more` in `peers.rs` |
//! | BAD-05 | a second connection for one child: `p_r8_nobody_takes_the_place_of_a_child_or_the_parent` in `peers.rs`, `p_r8_a_child_keeps_its_identity_until_it_has_ended` in `peers.rs` |
//! | BAD-06 | garbage: `ipc_08_garbage_ends_its_own_link_and_no_other` in `meeting.rs`, `garbage_ends_a_link_and_nothing_else` in `runtime/src/driver/transport/tests/links.rs`, `what_is_no_tls_is_told_apart` in `runtime/src/driver/transport/tls/tests/strangers.rs` |
//! | BAD-07 | TLS at a door without it: `a_plain_link_takes_no_tls` in `runtime/src/driver/transport/tls/tests/strangers.rs`, `ipc_08_garbage_ends_its_own_link_and_no_other` in `meeting.rs` |
//! | BAD-08 | a path over the system's limit: `f_31_a_path_over_the_limit_is_reached_below_its_directory` in `runtime/src/driver/transport/tests/sockets.rs`, `f_31_without_proc_short_paths_still_work` in `transports.rs` |
//! | BAD-09 | a directory of another user, or open to others: `f_31_a_foreign_directory_is_refused_untouched` in `transports.rs`, `f_31_a_place_that_is_not_private_is_refused_untouched` in `runtime/src/driver/transport/tests/places.rs`, `f_31_a_place_that_others_may_replace_is_refused` in `runtime/src/driver/transport/tests/places.rs` |
//! | BAD-10 | a symbolic link in its place: `f_31_a_place_that_is_not_private_is_refused_untouched` in `runtime/src/driver/transport/tests/places.rs` |
//! | BAD-11 | a disk that is full, or may only be read: `f_31_full_and_read_only_disks_are_said_so` in `transports.rs` |
//! | BAD-12 | a port in use: `a_port_is_found_and_is_in_use_then` in `runtime/src/driver/transport/tests/sockets.rs`; an address that is no one's here: `an_address_that_nobody_can_listen_at_fails_the_start` in `networks.rs` |

use hatchery_tests::rows::{Group, complaints, sources_in};
use hatchery_tests::tidy::Source;

const fn of(name: &'static str, last: u32) -> Group {
    Group { name, last, others: &[], file: "security.rs" }
}

const GROUPS: &[Group] = &[of("SEC", 14), of("BAD", 12)];

fn all() -> Vec<Source> {
    sources_in(&["tests/tests", "runtime/src"])
}

#[test]
fn every_promise_of_security_names_tests_that_are_there() {
    let wrong = complaints(GROUPS, &all());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_test_that_is_not_there_is_found() {
    let mut sources = all();
    let own = |source: &&mut Source| source.path == "tests/tests/security.rs";
    let table = sources.iter_mut().find(own).expect("this table");
    let renamed = table.text.replace("`tcp_without_keys_is_refused`", "`tcp_without_keys_is_fine`");
    *table = Source::new("tests/tests/security.rs", renamed);
    let wrong = complaints(GROUPS, &sources);
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert!(wrong[0].contains("SEC-04: 0 tests"), "{wrong:?}");
}
