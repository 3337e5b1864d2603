//! Programs that were not started by each other: they meet at a registrar, one of them is it, and each
//! may come, go and die.

use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use hatchery::Address;
use hatchery_tests::programs::{Program, Running, Signal, stress};
use hatchery_tests::spot::Spot;

/// A program of this place, whose name the registrar has.
fn program(example: &str, spot: &Spot) -> Program {
    Program::example(example).env("XDG_RUNTIME_DIR", spot.path())
}

fn daemon(spot: &Spot) -> Running {
    let mut daemon = program("daemon", spot).start();
    assert!(daemon.wait_for_output("serving"));
    daemon
}

fn asks(spot: &Spot) {
    let finished = program("client", spot).args(["dictionary", "portal", "cat"]).run();
    finished.assert_exit(0).assert_nothing_left();
    let told = "portal: a handle to an actor, to run things there\ncat: not known\n";
    assert_eq!(finished.out(), told, "{finished}");
    assert_eq!(finished.err(), "", "{finished}");
}

/// Where the examples' registrar is.
fn path(spot: &Spot) -> PathBuf {
    spot.path().join("hatchery").join("dictionary")
}

#[test]
fn disc_05_a_client_finds_a_daemon_which_lives_on() {
    let spot = Spot::new("daemon");
    let daemon = daemon(&spot);
    for _ in 0..3 {
        asks(&spot);
    }
    daemon.signal(Signal::TERM);
    let finished = daemon.wait();
    finished.assert_exit(0).assert_nothing_left();
    assert_eq!(finished.err(), "", "{finished}");
    spot.assert_bare();
}

#[test]
fn disc_01_who_has_to_join_finds_nobody() {
    let spot = Spot::new("nobody");
    let finished = program("client", &spot).run();
    finished.assert_exit(1).assert_nothing_left();
    assert!(finished.err().contains("nobody listens there"), "{finished}");
    spot.assert_bare();
}

/// Of several that start at once exactly one is the registrar, and the others join it.
#[test]
fn disc_01_of_many_that_start_at_once_one_is_the_registrar() {
    let spot = Spot::new("race");
    for _ in 0..5 {
        let mut all: Vec<_> = (0..6).map(|_| program("daemon", &spot).start()).collect();
        for one in &mut all {
            assert!(one.wait_for_output("serving"));
        }
        asks(&spot);
        for one in &all {
            one.signal(Signal::TERM);
        }
        for one in all {
            let finished = one.wait();
            finished.assert_exit(0).assert_nothing_left();
        }
        spot.assert_bare();
    }
}

#[test]
fn disc_01_the_same_while_every_core_is_busy() {
    let _busy = stress(2);
    disc_01_of_many_that_start_at_once_one_is_the_registrar();
}

/// Whoever was killed leaves its file, which is taken over.
#[test]
fn f_45_a_registrar_that_was_killed_is_followed_by_another() {
    let spot = Spot::new("killed");
    let first = daemon(&spot);
    first.signal(Signal::KILL);
    first.wait().assert_killed_by(Signal::KILL);
    assert!(path(&spot).exists(), "nobody was there to take it away");
    let second = daemon(&spot);
    asks(&spot);
    second.signal(Signal::TERM);
    second.wait().assert_exit(0).assert_nothing_left();
    spot.assert_bare();
}

/// One that has joined a registrar is known again when that comes back.
#[test]
fn f_45_who_has_joined_is_known_to_the_next_registrar() {
    let spot = Spot::new("again");
    let first = daemon(&spot);
    let joined = daemon(&spot);
    first.signal(Signal::KILL);
    first.wait().assert_killed_by(Signal::KILL);
    let third = program("client", &spot).args(["dictionary", "portal"]).run();
    third.assert_exit(1).assert_nothing_left();
    let next = Program::bin("registrar").env("XDG_RUNTIME_DIR", spot.path()).start();
    let mut next = next;
    // It says so once somebody is registered there beside itself.
    assert!(next.wait_for_output("dictionary came"));
    asks(&spot);
    for one in [joined, next] {
        one.signal(Signal::TERM);
        one.wait().assert_exit(0).assert_nothing_left();
    }
    spot.assert_bare();
}

/// Somebody else's socket is neither joined nor taken, and is left as it is.
#[test]
fn disc_01_who_is_no_registrar_is_not_taken_for_one() {
    let spot = Spot::new("foreign");
    std::fs::create_dir(spot.path().join("hatchery")).unwrap();
    let private = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o700);
    std::fs::set_permissions(spot.path().join("hatchery"), private).unwrap();
    let listener = UnixListener::bind(path(&spot)).unwrap();
    let silent = std::thread::spawn(move || {
        // One says nothing, the others say what no actor does, or go.
        let (first, _) = listener.accept().unwrap();
        for _ in 0..2 {
            let (mut other, _) = listener.accept().unwrap();
            let _ = std::io::Write::write_all(&mut other, b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
        drop(first);
        listener
    });
    let finished = program("daemon", &spot).timeout(Duration::from_secs(60)).run();
    finished.assert_exit(1).assert_nothing_left();
    assert!(finished.err().contains("does not answer as a registrar does"), "{finished}");
    let listener = silent.join().unwrap();
    let _still_there = UnixStream::connect(path(&spot)).unwrap();
    drop(listener);
    std::fs::remove_file(path(&spot)).unwrap();
    spot.assert_bare();
}

/// Strangers who say anything at all harm nobody.
#[test]
fn ipc_08_garbage_ends_its_own_link_and_no_other() {
    let spot = Spot::new("garbage");
    let daemon = daemon(&spot);
    for said in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01\x02\x00\x01", &[0xff; 600], b""] {
        let mut stranger = UnixStream::connect(path(&spot)).unwrap();
        std::io::Write::write_all(&mut stranger, said).unwrap();
        stranger.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = std::io::Read::read_to_end(&mut stranger, &mut answer);
        // Its own greeting, and a code: nothing of a path, a name of an endpoint or a rule's words.
        assert!(answer.len() < 600, "{answer:?}");
    }
    asks(&spot);
    daemon.signal(Signal::TERM);
    daemon.wait().assert_exit(0).assert_nothing_left();
    spot.assert_bare();
}

#[test]
fn disc_18_the_text_of_an_address_names_the_place() {
    let spot = Spot::new("text");
    let address: Address = format!("unix:{}", path(&spot).display()).parse().unwrap();
    assert_eq!(address, Address::unix(path(&spot).to_str().unwrap()));
    spot.assert_bare();
}
