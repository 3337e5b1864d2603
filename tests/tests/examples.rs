//! Each small example run as a program: what it prints, and that nothing is left. The census has
//! tests of its own.

use hatchery_tests::programs::Program;

#[track_caller]
fn prints(example: &str, text: &str) {
    let finished = Program::example(example).run();
    finished.assert_exit(0);
    assert_eq!(finished.out(), text, "{finished}");
    assert_eq!(finished.err(), "", "{finished}");
}

#[test]
fn hello() {
    prints("hello", "hello from greeter\n");
}

#[test]
fn echo() {
    prints("echo", "hi\none\ntwo\nthree\nechoed 3\n");
}

#[test]
fn nested() {
    prints(
        "nested",
        "\
there is no drawer \"a/b/c\"
  type nested::NoSuchDrawer
  from leaf
  through nested::open_drawer in leaf
  through nested::ask_a_leaf in middle
",
    );
}

#[test]
fn bounded() {
    let finished = Program::example("bounded").run();
    finished.assert_exit(0).assert_nothing_left();
    let lines: Vec<_> = finished.out().lines().map(str::to_owned).collect();
    assert_eq!(lines[0], "the worker has put its tools away", "{finished}");
    assert!(lines[1].contains("deadline"), "{finished}");
    assert_eq!(lines[2..], ["worker is up", "cancelled by its handle: true"], "{finished}");
    assert_eq!(finished.err(), "", "{finished}");
}
