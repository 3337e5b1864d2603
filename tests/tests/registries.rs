//! A tree with two registrars: everybody is known to both, is met once, and is found through either
//! while the other is away.

use hatchery_tests::programs::{Program, Running, Signal};
use hatchery_tests::sign::Sign;
use hatchery_tests::spot::Spot;

const PLACES: [&str; 2] = ["first", "second"];

fn registrar(spot: &Spot, place: &str) -> Running {
    let registrar = Program::bin("registrar").arg(place);
    said(registrar.env("XDG_RUNTIME_DIR", spot.path()).start(), "serving\n")
}

fn tree(spot: &Spot, looks_at: &str) -> Program {
    let tree = Program::bin("registries").arg(looks_at).args(PLACES);
    tree.env("XDG_RUNTIME_DIR", spot.path())
}

/// The program once it has said so.
fn said(mut program: Running, text: &str) -> Running {
    if program.wait_for_output(text) {
        return program;
    }
    program.expire();
    panic!("it has not said {text:?}: {}", program.wait())
}

fn assert_ok(tree: Program) -> String {
    let finished = tree.run();
    finished.assert_exit(0).assert_nothing_left();
    assert_eq!(finished.err(), "", "{finished}");
    let out = finished.out();
    assert!(out.ends_with("ok\n"), "{finished}");
    out
}

fn end(registrar: Running) {
    registrar.signal(Signal::TERM);
    registrar.wait().assert_exit(0).assert_nothing_left();
}

/// Wherever they are: programs of their own, or the root is one of them, or both.
#[test]
fn disc_03_disc_04_everybody_is_known_to_every_registrar_until_its_end() {
    for elsewhere in [&PLACES[..], &PLACES[..1], &PLACES[1..], &[]] {
        let spot = Spot::new("known");
        let registrars: Vec<_> = elsewhere.iter().map(|place| registrar(&spot, place)).collect();
        let out = assert_ok(tree(&spot, "known"));
        let root = out.split_whitespace().next().unwrap();
        for one in registrars {
            end(said(one, &format!("{root} went\n")));
        }
        spot.assert_bare();
    }
}

#[test]
fn disc_05_who_is_known_to_both_registrars_is_met_once_at_all_its_addresses() {
    let spot = Spot::new("once");
    let registrars = PLACES.map(|place| registrar(&spot, place));
    assert_ok(tree(&spot, "once"));
    registrars.into_iter().for_each(end);
    spot.assert_bare();
}

#[test]
fn f_45_everybody_is_found_through_one_registrar_while_the_other_is_away() {
    let spot = Spot::new("away");
    let [first, second] = PLACES.map(|place| registrar(&spot, place));
    let (gone, back) = (Sign::new("gone"), Sign::new("back"));
    let tree = tree(&spot, "away").args([gone.path(), back.path()]).start();
    let tree = said(tree, "up\n");
    first.signal(Signal::KILL);
    first.wait().assert_killed_by(Signal::KILL);
    gone.raise();
    let tree = said(tree, "found\n");
    let mut first = registrar(&spot, PLACES[0]);
    for name in ["several", "asks", "answers", "late"] {
        first = said(first, &format!("{name} came\n"));
    }
    second.signal(Signal::KILL);
    second.wait().assert_killed_by(Signal::KILL);
    back.raise();
    said(tree, "ok\n").wait().assert_exit(0).assert_nothing_left();
    end(first);
    // What was killed has left its file.
    std::fs::remove_file(spot.path().join("hatchery").join(PLACES[1])).unwrap();
    spot.assert_bare();
}

/// Somebody waits for a name at both, of which one is away when the wait begins, or goes while it lasts,
/// and comes back with the actor that was waited for.
#[test]
fn p_r14_who_waits_for_a_name_asks_a_registrar_again_that_was_away() {
    for goes_first in [true, false] {
        let spot = Spot::new("waits");
        let [first, second] = PLACES.map(|place| registrar(&spot, place));
        let away = |first: Running| {
            first.signal(Signal::KILL);
            first.wait().assert_killed_by(Signal::KILL);
        };
        let up = Sign::new("up");
        let waits = tree(&spot, "waits").arg(up.path()).start();
        let waits = said(waits, "up\n");
        let waits = if goes_first {
            away(first);
            up.raise();
            said(waits, "waiting\n")
        } else {
            up.raise();
            let waits = said(waits, "waiting\n");
            away(first);
            waits
        };
        let first = registrar(&spot, PLACES[0]);
        let end_of_it = Sign::new("end");
        let single = Program::bin("registries").args(["single", PLACES[0], &end_of_it.path()]);
        let single = said(single.env("XDG_RUNTIME_DIR", spot.path()).start(), "single is up\n");
        let waits = said(waits, "met single\n");
        end_of_it.raise();
        for tree in [waits, single] {
            said(tree, "ok\n").wait().assert_exit(0).assert_nothing_left();
        }
        [first, second].into_iter().for_each(end);
        spot.assert_bare();
    }
}
