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
fn paused_without_a_terminal() {
    prints("paused", "be 2\nnot 1\nor 1\nto 2\n");
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

#[test]
fn clu_02_primes_are_those_of_a_plain_loop_in_their_order() {
    let is_prime = |n: u64| n > 1 && (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d));
    for (from, count) in [(0_u64, 1000_u64), (112_272_535_095_000, 100)] {
        let primes = (from..from + count).filter(|n| is_prime(*n));
        let expected: String = primes.map(|n| format!("{n}\n")).collect();
        let arguments = [from.to_string(), count.to_string()];
        let finished = Program::example("primes").args(arguments).run();
        finished.assert_exit(0).assert_nothing_left();
        assert_eq!(finished.out(), expected, "{finished}");
        assert_eq!(finished.err(), "", "{finished}");
    }
}

/// The same tree in programs of all kinds.
#[test]
fn embedding() {
    for kind in ["smol", "async_std", "tokio", "tokio_threads"] {
        prints(&format!("embed_{kind}"), "25\n");
    }
    prints("embed_block_on", "25\n169\n");
    prints("embed_threads", "[25, 169, 289, 625]\n");
}

#[test]
fn aio_01_on_tokio_an_actor_lives_there() {
    prints("on_tokio", "slept 5 ms\ntick 0\ntick 1\ntick 2\ncancelled: true\n");
}

#[test]
fn aio_01_aio_02_tokio_actor() {
    prints("tokio_actor", "slept 5 ms on tokio\nworker: that is no sleep\ncancelled: true\n");
}
