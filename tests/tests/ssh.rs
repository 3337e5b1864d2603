//! A tree over ssh, through a real daemon on this machine, with keys that are thrown away: it serves, and
//! whatever of it is killed, both sides conclude and nothing is left on either (P-L8).
//!
//! Needs `sshd`, which the tests of a change have installed; where it is not and nobody says that this is
//! such a run (`CI`), each test says so and passes.

use hatchery_tests::procfs::Process;
use hatchery_tests::programs::{Finished, Running, Signal};
use hatchery_tests::ssh::{Daemon, Place, assert_gone, free_port, ready};

fn client(root: &Running) -> Process {
    let tree = root.tree();
    tree.iter().find(|one| one.name == "ssh").unwrap_or_else(|| panic!("{tree:?}")).clone()
}

/// Has `strike` happen to a tree that streams; gives what its root says in the end.
#[track_caller]
fn struck(what: &str, strike: impl FnOnce(&Daemon, &Running, &[Process; 2])) -> Option<Finished> {
    let daemon = Daemon::start(Place::default())?;
    let mut root = daemon.launched(what).start();
    let actors = ready(&mut root);
    strike(&daemon, &root, &actors);
    let finished = root.wait();
    assert!(!finished.timed_out, "{finished}");
    finished.assert_nothing_left();
    assert_gone(&actors);
    if daemon.lives() {
        daemon.assert_idle();
    }
    Some(finished)
}

#[test]
fn p_l8_a_tree_over_ssh_serves_streams_cancels_and_ends() {
    let Some(daemon) = Daemon::start(Place::default()) else { return };
    let finished = daemon.launched("serves").run();
    finished.assert_exit(0).assert_nothing_left();
    assert_eq!(finished.out(), "ok\n", "{finished}");
    daemon.assert_idle();
}

#[test]
fn p_l8_a_root_that_is_asked_to_end_ends_its_actors_over_ssh_in_their_order() {
    let finished = struck("holds", |_, root, _| root.signal_group(Signal::INT));
    let Some(finished) = finished else { return };
    finished.assert_exit(1);
    assert!(finished.out().contains("because Ctrl-C"), "{finished}");
    assert!(!finished.out().contains("by force"), "{finished}");
}

#[test]
fn p_l8_a_client_that_is_killed_is_said_to_be_the_launcher_and_the_far_side_ends() {
    let finished = struck("flows", |_, root, _| assert!(client(root).kill()));
    let Some(finished) = finished else { return };
    assert!(finished.out().contains("ended with its launcher"), "{finished}");
    assert!(finished.out().contains("signal 9 (SIGKILL)"), "{finished}");
}

#[test]
fn p_l8_a_far_actor_that_is_killed_is_told_here_and_what_was_below_it_ends() {
    let finished = struck("flows", |_, _, [far, _]| assert!(far.kill()));
    let Some(finished) = finished else { return };
    assert!(finished.out().contains("ended with its launcher"), "{finished}");
}

#[test]
fn p_l8_a_daemon_that_is_killed_with_its_sessions_ends_both_sides() {
    let finished = struck("flows", |daemon, _, actors| {
        let is_actor = |one: &Process| actors.iter().any(|actor| actor.is(one));
        let all = daemon.processes();
        all.iter().filter(|one| !is_actor(one) && one.name.starts_with("sshd")).for_each(|one| {
            one.kill();
        });
    });
    let Some(finished) = finished else { return };
    assert!(finished.out().contains("its launcher, which exited with code 255"), "{finished}");
}

#[test]
fn p_t4_a_root_that_is_killed_is_followed_by_the_far_side() {
    for what in ["holds", "flows"] {
        let finished = struck(what, |_, root, _| root.signal(Signal::KILL));
        let Some(finished) = finished else { return };
        finished.assert_killed_by(Signal::KILL);
    }
}

#[test]
fn a_host_that_does_not_answer_is_a_clear_error_with_what_ssh_says() {
    let Some(daemon) = Daemon::start(Place::default()) else { return };
    let finished = daemon.launched_at(free_port(), "serves").run();
    finished.assert_exit(1).assert_nothing_left();
    let out = finished.out();
    assert!(out.contains("its launcher, which exited with code 255 before it was up"), "{out}");
    assert!(out.contains("Connection refused"), "{out}");
    daemon.assert_idle();
}
