//! Prompts on a real terminal, one after the other, of a root alone (DBG).

use hatchery_tests::programs::Program;
use hatchery_tests::terminal::Screen;

fn debugged(which: &str) -> Screen {
    Screen::of(Program::bin("debugged").arg(which))
}

#[test]
fn dbg_p01_an_error_of_the_root_is_shown_before_it_ends() {
    for leave in ["c", "q"] {
        let mut screen = debugged("root-error");
        let shown = screen.shown("crashed", "root");
        assert!(shown.contains("the root's own error"), "{shown}");
        assert!(shown.contains("debugged.rs:"), "{shown}");
        screen.interrupt();
        let report = screen.ask("error");
        assert!(report.contains("Oops"), "{report}");
        screen.say(leave);
        let ended = screen.finish();
        ended.assert_exit(1);
        assert!(ended.out().contains("the root's own error"), "{ended}");
    }
}

#[test]
fn dbg_p02_a_pause_in_the_root_goes_on_or_fails() {
    let mut screen = debugged("root-pause");
    let shown = screen.shown("paused", "root");
    assert!(!shown.contains("rror"), "{shown}");
    for what in [
        "debugged.rs:",
        "hatchery::pause!(count",
        "count = 7",
        "name = \"seven\"",
        "name.len() = 5",
    ] {
        assert!(shown.contains(what), "`{what}` in {shown}");
    }
    assert!(!screen.is_as_before(), "keys do not come as they are typed");
    screen.interrupt();
    screen.say("c");
    screen.expect("went on with seven");
    screen.finish().assert_exit(0);

    let mut screen = debugged("root-pause");
    screen.shown("paused", "root");
    screen.say("q");
    let ended = screen.finish();
    ended.assert_exit(1);
    assert!(ended.out().contains("a person quit at the prompt"), "{ended}");
    assert!(!ended.out().contains("went on with seven"), "{ended}");
}

#[test]
fn dbg_p03_a_pause_in_a_loop_asks_each_time() {
    let mut screen = debugged("root-pauses");
    for round in 0..10 {
        let shown = screen.shown("paused", "root");
        assert!(shown.contains(&format!("round = {round}\r\n")), "{shown}");
        screen.interrupt();
        screen.say("c");
    }
    screen.shown("paused", "root");
    screen.interrupt();
    screen.say("q");
    screen.finish().assert_exit(1);
}

#[test]
fn a_panic_of_the_root_is_shown_with_its_place() {
    let mut screen = debugged("root-panic");
    let shown = screen.shown("crashed", "root");
    assert!(shown.contains("the root's own panic") && shown.contains("debugged.rs:"), "{shown}");
    let frames = screen.ask("backtrace");
    assert!(frames.contains("debugged::root_panic"), "{frames}");
    assert!(!frames.contains("hatchery::driver"), "{frames}");
    assert!(screen.ask("bt all").contains("hatchery::"));
    screen.say("c");
    screen.finish().assert_exit(101);
}
