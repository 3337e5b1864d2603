//! What an actor writes to its standard error, passed through its parent by choice: each line whole and
//! named, none lost, and nobody held up by it. The program is `logged`.

use std::io::Read as _;
use std::process::{Command, Stdio};

use hatchery_tests::build::{self, Kind};
use hatchery_tests::procfs::Process;
use hatchery_tests::programs::{Finished, Program, Signal};
use hatchery_tests::sign::soon;

const END: &str = "the block has ended";

fn scene(name: &str, variables: &[(&str, &str)]) -> Finished {
    let program = Program::bin("logged").arg(name).env_remove("HATCHERY_LOG");
    let program = variables.iter().fold(program, |program, (name, value)| program.env(name, value));
    program.run()
}

/// What the root says of its actor, `writer[PID]`.
fn writer(finished: &Finished) -> String {
    let out = finished.out();
    let name = out.lines().find(|line| line.starts_with("writer[")).map(ToOwned::to_owned);
    name.unwrap_or_else(|| panic!("{finished}"))
}

/// What it wrote, without the name in front of each line, which all of it has.
fn prefixed(what: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let finished = scene(&format!("prefixed-{what}"), variables);
    finished.assert_exit(0).assert_nothing_left();
    let (err, name) = (finished.err(), format!("{}: ", writer(&finished)));
    let Some(before) = err.strip_suffix(&format!("{END}\n")) else { panic!("{finished}") };
    let line = |line: &str| line.strip_prefix(&name).unwrap_or_else(|| panic!("{line}")).to_owned();
    before.lines().map(line).collect()
}

/// The same of one whose lines are events.
fn captured(what: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let log = [("FILTER", "hatchery::stderr=info")];
    let finished = scene(&format!("captured-{what}"), &[variables, &log].concat());
    finished.assert_exit(0).assert_nothing_left();
    let (err, name) = (finished.err(), writer(&finished));
    let Some(before) = err.strip_suffix(&format!("{END}\n")) else { panic!("{finished}") };
    let pid = name.trim_start_matches("writer[").trim_end_matches(']');
    let fields = format!(" actor=\"writer\" pid={pid}");
    let line = |line: &str| {
        let (head, said) =
            line.split_once("hatchery::stderr: ").unwrap_or_else(|| panic!("{line}"));
        assert!(head.contains(" INFO root["), "{line}");
        said.strip_suffix(&fields).unwrap_or_else(|| panic!("{line}")).to_owned()
    };
    before.lines().map(line).collect()
}

#[test]
fn log_02_what_an_actor_writes_goes_where_its_parents_goes_unless_it_is_told_otherwise() {
    let finished = scene("inherited-lines", &[]);
    finished.assert_exit(0).assert_nothing_left();
    assert_eq!(finished.err(), format!("one\ntwo\n\nfour\n{END}\n"));
}

#[test]
fn each_line_of_an_actor_is_told_with_its_name_by_the_end_of_its_block() {
    assert_eq!(prefixed("lines", &[]), ["one", "two", "", "four"]);
    assert_eq!(captured("lines", &[]), ["one", "two", "", "four"]);
}

#[test]
fn one_that_a_launcher_has_started_is_heard_in_the_same_ways() {
    let launched = [("LAUNCHED", "yes")];
    assert_eq!(prefixed("lines", &launched), ["one", "two", "", "four"]);
    assert_eq!(captured("lines", &launched), ["one", "two", "", "four"]);
    assert_eq!(prefixed("much", &launched).len(), 20_000);
    let finished = scene("inherited-lines", &launched);
    assert_eq!(finished.err(), format!("one\ntwo\n\nfour\n{END}\n"));
}

#[test]
fn bytes_that_are_no_text_go_through_as_they_are_and_into_events_replaced() {
    let raw = prefixed("binary", &[]);
    assert_eq!(raw, ["\u{fffd}\u{fffd}\0one", "two\u{fffd}"], "what a test has read is replaced");
    let events = captured("binary", &[]);
    assert_eq!(events.len(), 2, "{events:?}");
    assert!(events[0].ends_with("one") && events[1] == "two\u{fffd}", "{events:?}");
}

#[test]
fn an_actor_that_writes_more_than_any_pipe_holds_loses_no_line() {
    for lines in [prefixed("much", &[]), captured("much", &[])] {
        assert_eq!(lines.len(), 20_000);
        for (number, line) in lines.iter().enumerate() {
            assert_eq!(*line, format!("line {number}"));
        }
    }
}

#[test]
fn a_line_without_an_end_is_cut_and_nothing_of_it_lost() {
    for lines in [prefixed("long", &[]), captured("long", &[])] {
        let lengths: Vec<_> = lines.iter().map(String::len).collect();
        assert_eq!(lengths, [65_536, 65_536, 65_536, 200_000 - 3 * 65_536]);
        assert!(lines.iter().all(|line| line.bytes().all(|byte| byte == b'x')));
    }
}

#[test]
fn what_an_actor_that_dies_has_written_is_told_up_to_the_middle_of_its_line() {
    assert_eq!(prefixed("middle", &[]), ["whole", "broken off"]);
    assert_eq!(captured("middle", &[]), ["whole", "broken off"]);
}

#[test]
fn a_program_that_an_actor_leaves_behind_with_its_standard_error_holds_nobody_up() {
    let finished = scene("prefixed-left", &[]);
    let out = finished.out();
    let left = out.lines().find_map(|line| line.strip_prefix("left ")?.parse().ok());
    let left: i32 = left.unwrap_or_else(|| panic!("{finished}"));
    if let Some(left) = Process::of(left) {
        left.signal(Signal::KILL);
    }
    // It sleeps for longer than any test may take.
    assert!(finished.code() == Some(0) && !finished.left.is_empty(), "{finished}");
    let name = writer(&finished);
    assert_eq!(finished.err(), format!("{name}: before\n{END}\n"));
}

#[test]
fn a_tree_whose_standard_error_nobody_reads_ends_all_the_same() {
    let path = build::built(Kind::Bin, "logged");
    let mut command = Command::new(path);
    command.args(["prefixed-much"]).env("UNREAD", "yes").env_remove("HATCHERY_LOG");
    let mut root = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut unread = root.stderr.take().unwrap();
    let pid = i32::try_from(root.id()).unwrap();
    // The actor is in the midst of it once there is anything.
    let mut first = [0; 7];
    unread.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"writer[");
    Process::of(pid).unwrap().signal(Signal::INT);
    let ended = smol::unblock(move || root.wait());
    let status = futures_lite::future::block_on(soon(ended)).unwrap();
    assert!(!status.success(), "{status}");
}
