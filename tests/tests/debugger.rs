//! Prompts on a real terminal, one after the other, of a root alone (DBG).
//!
//! The rows of the debugger's behaviours that no test has in its name:
//!
//! | row | shown by, or why there is nothing to show |
//! | --- | --- |
//! | DBG-04 | nobody has it whose link has ended: `f_24_a_holder_that_is_killed_…` in `debugger_children.rs` |
//! | DBG-14 | what it says are warnings, which a filter has to leave out to hide |
//! | DBG-15 | nothing of the language is replaced |

use hatchery_tests::programs::Program;
use hatchery_tests::rows::{Group, complaints, sources};
use hatchery_tests::sign::Sign;
use hatchery_tests::terminal::Screen;

fn debugged(which: &str) -> Screen {
    Screen::of(Program::bin("debugged").arg(which))
}

#[test]
fn every_behaviour_of_the_debugger_is_accounted_for() {
    let group = Group { name: "DBG", last: 16, others: &[], file: "debugger.rs" };
    let wrong = complaints(&[group], &sources());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
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
    for what in ["debugged.rs:", "pause!(count", "count = 7", "name = \"seven\"", "name.len() = 5"]
    {
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
    assert!(frames.contains("debugged::main"), "{frames}");
    assert!(!frames.contains("hatchery::driver"), "{frames}");
    assert!(screen.ask("bt all").contains("hatchery::"));
    screen.say("c");
    screen.finish().assert_exit(101);
}

#[test]
fn a_prompt_helps_completes_and_remembers() {
    let history = std::env::temp_dir().join(format!("history-{}", std::process::id()));
    let program = || Program::bin("debugged").arg("root-pause").env("HATCHERY_HISTORY", &history);
    let mut screen = Screen::of(program());
    screen.shown("paused", "root");
    let help = screen.ask("help");
    assert!(
        ["where", "backtrace", "continue", "detach"].iter().all(|name| help.contains(name)),
        "{help}"
    );
    assert!(screen.ask("nonsense").contains("is no command"));
    assert!(screen.ask("print").contains("name = \"seven\""));
    assert!(screen.ask("print nothing").contains("no value `nothing`"));
    assert!(screen.ask("error").contains("there is no error here"));
    assert!(screen.ask("backtrace").contains("src/bin/debugged.rs"));
    assert!(screen.ask("log error,hatchery=off").contains("logs by `error,hatchery=off`"));
    assert!(screen.ask("log hatchery=nonsense").contains("cannot be understood"));
    screen.type_in(b"pr\tco\t\r");
    screen.expect("print count \x1b[K");
    screen.expect("count = 7");
    screen.prompt("root");
    screen.say("c");
    screen.finish().assert_exit(0);

    let mut screen = Screen::of(program());
    screen.shown("paused", "root");
    screen.type_in(b"\x1b[A\x1b[A\r");
    screen.expect("print count \x1b[K");
    screen.expect("count = 7");
    screen.prompt("root");
    // The end of input leaves the prompt as well.
    screen.type_in(b"\x04");
    screen.finish().assert_exit(0);
    std::fs::remove_file(&history).expect("a history that was kept");
}

#[test]
fn a_pause_that_is_dropped_ends_its_prompt_and_the_next_has_the_terminal() {
    let sign = Sign::new("break");
    let program = Program::bin("debugged").arg("dropped").env("BREAK", sign.path());
    let mut screen = Screen::of(program);
    screen.shown("paused", "root");
    screen.type_in(b"half a li");
    screen.expect("half a li\x1b[K");
    sign.raise();
    let shown = screen.shown("paused", "root");
    assert!(shown.contains("again = \"again\""), "{shown}");
    screen.interrupt();
    screen.say("c");
    screen.finish().assert_exit(0);
}

#[test]
fn an_actor_that_is_let_go_asks_no_more() {
    let mut screen = debugged("child-pause");
    screen.shown("paused", "worker");
    screen.say("detach");
    screen.expect("asks no more");
    let ended = screen.finish();
    ended.assert_exit(0);
    assert_eq!(ended.out().matches("paused: ").count(), 1, "{ended}");
}

#[test]
fn an_error_that_is_not_worth_it_opens_no_prompt() {
    let ended = debugged("not-worth-it").finish();
    ended.assert_exit(1);
    assert!(!ended.out().contains("crashed: "), "{ended}");
}

#[test]
fn without_a_terminal_it_says_so_once_and_goes_on() {
    for (which, code) in [("root-pause", 0), ("child-pause", 0), ("child-error", 1)] {
        let ended = Program::bin("debugged").arg(which).env("NO_TERMINAL", "1").run();
        ended.assert_exit(code);
        assert_eq!(ended.err().matches("no prompt can be shown").count(), 1, "{ended}");
        assert!(!ended.out().contains("hatchery("), "{ended}");
    }
}

#[test]
fn a_debugger_of_native_code_has_the_terminal_meanwhile() {
    let mut screen = debugged("root-pause");
    screen.shown("paused", "root");
    screen.say("gdb");
    screen.expect("(gdb) ");
    screen.type_in(b"set confirm off\nquit\n");
    screen.expect("gdb has ended");
    screen.prompt("root");
    screen.interrupt();
    screen.say("c");
    screen.finish().assert_exit(0);

    let program = Program::bin("debugged").arg("root-pause").env("PATH", "/nowhere");
    let mut screen = Screen::of(program);
    screen.shown("paused", "root");
    assert!(screen.ask("lldb").contains("lldb could not be started"));
    screen.say("c");
    screen.finish().assert_exit(0);
}
