//! Prompts on a real terminal that trees of processes share, one after the other (DBG, F-24, F-25).

use hatchery_tests::programs::{Program, Signal};
use hatchery_tests::sign::Sign;
use hatchery_tests::terminal::Screen;

fn debugged(which: &str) -> Screen {
    Screen::of(Program::bin("debugged").arg(which))
}

/// Of the actor that is shown.
fn pid_of(shown: &str) -> i32 {
    let (_, behind) = shown.split_once("(pid ").expect("a pid");
    behind.split_once(')').and_then(|(pid, _)| pid.parse().ok()).expect("a number")
}

/// Goes through prompts that are left with `c`, and gives what each has shown.
fn continues(screen: &mut Screen, prompts: &[(&str, &str)]) -> Vec<String> {
    let leave = |(what, actor): &(&str, &str)| {
        let shown = screen.shown(what, actor);
        screen.interrupt();
        screen.say("c");
        shown
    };
    prompts.iter().map(leave).collect()
}

#[test]
fn dbg_08_dbg_p04_a_childs_error_is_shown_there_and_then_in_the_root() {
    for (which, what) in
        [("child-error", "the child's own error"), ("child-panic", "something to be there")]
    {
        let mut screen = debugged(which);
        let shown = screen.shown("crashed", "worker");
        assert!(shown.contains(what) && shown.contains("debugged.rs:"), "{shown}");
        screen.interrupt();
        screen.say("c");
        let shown = screen.shown("crashed", "root");
        assert!(shown.contains(what), "{shown}");
        let report = screen.ask("error");
        assert!(report.contains("actor `worker`"), "{report}");
        screen.interrupt();
        screen.say("c");
        let ended = screen.finish();
        ended.assert_exit(1);
        assert!(ended.out().matches("crashed: ").count() == 2, "{ended}");
    }
}

#[test]
fn dbg_10_dbg_p05_a_childs_pauses_go_on_and_a_quit_is_an_error_in_its_caller() {
    let mut screen = debugged("child-pause");
    for round in 0..2 {
        let shown = screen.shown("paused", "worker");
        assert!(
            shown.contains(&format!("round = {round}\r\n")) && shown.contains("of = 3"),
            "{shown}"
        );
        assert!(shown.contains("debugged::pauses`"), "{shown}");
        screen.interrupt();
        assert!(screen.ask("print of").contains("of = 3\r\n"));
        screen.say("c");
    }
    screen.shown("paused", "worker");
    screen.say("q");
    let shown = screen.shown("crashed", "root");
    assert!(shown.contains("a person quit at the prompt of task `debugged::pauses`"), "{shown}");
    screen.interrupt();
    screen.say("c");
    let ended = screen.finish();
    ended.assert_exit(1);
    assert!(ended.out().contains("hatchery::Quit"), "{ended}");
}

#[test]
fn dbg_p09_an_error_is_shown_in_each_actor_that_it_climbs_through() {
    let mut screen = debugged("climbs");
    for actor in ["level-1", "level-2", "level-3", "root"] {
        let shown = screen.shown("crashed", actor);
        assert!(shown.contains("from the bottom"), "{shown}");
        screen.interrupt();
        screen.say(if actor == "level-2" { "q" } else { "c" });
    }
    let ended = screen.finish();
    ended.assert_exit(1);
    let out = ended.out();
    assert_eq!(out.matches("crashed: ").count(), 4, "{ended}");
    assert!(["level-1", "level-2", "level-3"].iter().all(|name| out.contains(name)), "{ended}");
}

#[test]
fn dbg_01_several_actors_are_served_in_the_order_they_came() {
    let mut screen = debugged("three");
    screen.holds("all three");
    continues(&mut screen, &[("paused", "a"), ("paused", "b"), ("paused", "c")]);
    screen.finish().assert_exit(0);
}

#[test]
fn dbg_p07_one_that_pauses_for_ever_beside_one_that_fails() {
    let mut screen = debugged("one-fails");
    screen.shown("paused", "pauser");
    screen.holds("both");
    screen.interrupt();
    screen.say("c");
    continues(&mut screen, &[("crashed", "failer")]);
    // From here on it is asked to end, in between its prompts.
    loop {
        screen.any();
        let root = screen.actor() == "root";
        screen.interrupt();
        screen.say("c");
        if root {
            break;
        }
    }
    let ended = screen.finish();
    ended.assert_exit(1);
    assert!(ended.out().contains("the child's own error"), "{ended}");
}

#[test]
fn dbg_p06_pauses_errors_and_errors_from_below_are_shown_one_at_a_time() {
    let mut screen = debugged("mixed");
    screen.shown("paused", "pauser");
    screen.holds("all three");
    screen.interrupt();
    screen.say("c");
    continues(&mut screen, &[("crashed", "failer"), ("crashed", "level-1")]);
    let mut seen = Vec::new();
    while seen.last().is_none_or(|last| last != "root") {
        screen.any();
        seen.push(screen.actor().to_owned());
        screen.say("c");
    }
    assert!(seen.iter().any(|one| one == "pauser"), "its turn comes again: {seen:?}");
    let ended = screen.finish();
    ended.assert_exit(1);
    let out = ended.out();
    let crashes = |actor: &str| out.matches(&format!("crashed: actor `{actor}` ")).count();
    for actor in ["failer", "level-1", "root"] {
        assert_eq!(crashes(actor), 1, "{actor} in {ended}");
    }
    // The block around it has failed: it may be asked to end in between two prompts, and come no further.
    assert!(crashes("spawner") <= 1, "{ended}");
    assert!(out.contains("the child's own error") && out.contains("from the bottom"), "{ended}");
}

#[test]
fn dbg_13_dbg_p12_only_an_actor_in_debug_mode_asks() {
    let mut screen = debugged("only-one");
    continues(&mut screen, &[("crashed", "looked-at")]);
    let ended = screen.finish();
    ended.assert_exit(1);
    assert_eq!(ended.out().matches("crashed: ").count(), 1, "{ended}");
    assert!(ended.out().contains("actor `looked-at`"), "{ended}");
}

#[test]
fn dbg_p08_a_root_that_fails_waits_for_the_prompt_of_its_child() {
    let mut screen = debugged("root-fails-beside");
    let shown = screen.shown("paused", "worker");
    assert!(shown.contains("round = 0"), "{shown}");
    screen.interrupt();
    assert!(screen.ask("where").contains("pause!(round, &of)"));
    screen.say("c");
    let shown = screen.shown("crashed", "root");
    assert!(shown.contains("the root fails"), "{shown}");
    screen.interrupt();
    screen.say("c");
    screen.finish().assert_exit(1);
}

#[test]
fn dbg_p10_a_root_nursery_that_is_cancelled_waits_for_the_prompt_of_its_child() {
    let mut screen = debugged("root-cancels-beside");
    screen.shown("paused", "leaf");
    screen.interrupt();
    screen.say("c");
    screen.finish().assert_exit(0);
}

#[test]
fn dbg_11_a_middle_nursery_that_fails_or_is_cancelled_waits_for_the_prompt_below() {
    let mut screen = debugged("middle-fails");
    continues(&mut screen, &[("paused", "leaf"), ("crashed", "worker"), ("crashed", "root")]);
    let ended = screen.finish();
    ended.assert_exit(1);
    assert!(ended.out().contains("the middle fails"), "{ended}");

    let mut screen = debugged("middle-cancelled");
    continues(&mut screen, &[("paused", "leaf")]);
    screen.finish().assert_exit(0);
}

#[test]
fn dbg_p11_a_context_that_is_cancelled_while_it_starts_hangs_nobody() {
    let mut screen = debugged("starting");
    continues(&mut screen, &[("crashed", "root")]);
    let ended = screen.finish();
    ended.assert_exit(1);
    assert!(ended.out().contains("before it has started"), "{ended}");
}

#[test]
fn dbg_16_dbg_p13_an_error_is_shown_by_hand_beside_where_it_leaves_its_task() {
    let mut screen = debugged("post-mortem");
    let prompts = [
        ("post mortem", "worker"),
        ("crashed", "worker"),
        ("post mortem", "root"),
        ("crashed", "root"),
    ];
    for shown in continues(&mut screen, &prompts) {
        assert!(shown.contains("looked at by hand"), "{shown}");
    }
    screen.finish().assert_exit(1);
}

#[test]
fn dbg_06_07_dbg_p14_a_cancelled_task_pauses_in_a_shield_only() {
    let mut screen = debugged("shielded");
    let shown = screen.shown("paused", "worker");
    assert!(shown.contains("inside = \"a shield\""), "{shown}");
    assert!(shown.contains("use `pause_shielded!`"), "no hint: {shown}");
    screen.interrupt();
    screen.say("c");
    screen.finish().assert_exit(0);
}

#[test]
fn dbg_p15_a_link_that_breaks_ends_its_prompt_and_the_next_has_the_terminal() {
    let sign = Sign::new("break");
    let program = Program::bin("debugged").arg("breaks").env("BREAK", sign.path());
    let mut screen = Screen::of(program);
    screen.shown("paused", "worker");
    screen.interrupt();
    sign.raise();
    let shown = screen.shown("crashed", "root");
    assert!(shown.contains("worker"), "{shown}");
    screen.interrupt();
    screen.say("c");
    screen.finish().assert_exit(1);
}

#[test]
fn dbg_09_dbg_p16_a_root_that_was_cancelled_still_shows_its_error() {
    let mut screen = debugged("cancelled-root");
    continues(&mut screen, &[("paused", "root"), ("crashed", "root")]);
    let ended = screen.finish();
    ended.assert_exit(1);
    assert!(ended.out().contains("after the cancel"), "{ended}");
}

#[test]
fn dbg_05_dbg_p17_threads_tasks_and_actors_pause_one_at_a_time() {
    let mut screen = debugged("everywhere");
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(screen.any());
        screen.interrupt();
        screen.say("c");
    }
    for who in ["who = \"a thread\"", "who = \"a task\"", "left = 3", "who = \"the root's thread\""]
    {
        assert!(seen.iter().filter(|shown| shown.contains(who)).count() == 1, "`{who}`: {seen:?}");
    }
    screen.finish().assert_exit(0);
}

#[test]
fn f_24_a_holder_that_is_killed_gives_the_terminal_to_the_next_as_it_was() {
    let mut screen = debugged("two");
    let shown = screen.shown("paused", "a");
    screen.holds("both");
    assert!(!screen.is_as_before(), "keys do not come as they are typed");
    screen.kill(pid_of(&shown));
    // The death fails the block, which asks the other to end once its prompt is left.
    continues(&mut screen, &[("paused", "b"), ("crashed", "root")]);
    let ended = screen.finish();
    ended.assert_exit(1);
    assert!(ended.out().contains("SIGKILL") || ended.out().contains("signal 9"), "{ended}");
}

#[test]
fn dbg_12_sig_08_signals_of_the_keyboard_do_nothing_while_a_prompt_is_open() {
    let mut screen = debugged("child-pause");
    screen.prompt("worker");
    for _ in 0..3 {
        screen.signal(Signal::INT);
    }
    assert!(screen.ask("where").contains("round = 0"));
    screen.say("c");
    for _ in 0..2 {
        screen.prompt("worker");
        screen.say("c");
    }
    screen.finish().assert_exit(0);

    // With no prompt it ends the tree as ever.
    let mut screen = debugged("waits");
    screen.expect("it waits");
    screen.type_in(b"\x03");
    screen.finish().assert_exit(1);
}

#[test]
fn a_person_cancels_an_actor_or_the_whole_tree() {
    for (say, text) in [
        ("cancel", "is cancelled; it ends once the prompt is left"),
        ("cancel root", "the whole tree is cancelled"),
    ] {
        let mut screen = debugged("context");
        screen.shown("paused", "worker");
        screen.say(say);
        screen.expect(text);
        // A cancel is no error that would be shown.
        screen.finish().assert_exit(1);
    }
}

#[test]
fn a_prompt_shows_the_tree_and_what_its_actor_is_doing() {
    let mut screen = debugged("child-pause");
    screen.shown("paused", "worker");
    let tree = screen.ask("tree");
    assert!(tree.contains("root") && tree.contains("worker"), "{tree}");
    let tasks = screen.ask("tasks");
    assert!(tasks.contains("debugged::pauses"), "{tasks}");
    let contexts = screen.ask("contexts");
    assert!(contexts.contains("hatchery::terminal::acquire"), "{contexts}");
    screen.say("q");
    screen.shown("crashed", "root");
    screen.say("c");
    screen.finish().assert_exit(1);
}
