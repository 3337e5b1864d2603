//! The deep run with parts that are made up: it goes on where it was left, writes a row for what is
//! whole, and believes no command that failed.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use hatchery_tests::build::{target, workspace};
use hatchery_tests::deep::{Deep, FAULTS, Figures, Part, Reads, Slice, Standing, judge};
use hatchery_tests::programs::Program;

const PARTS: [&str; 10] = [
    "explorer",
    "fuzz",
    "simulator",
    "sweep",
    "matrix",
    "chaos",
    "faults",
    "teardown",
    "repeat",
    "mutants",
];

/// A folder of the test's own, empty.
fn folder(name: &str) -> PathBuf {
    let folder = target().join("deep-tests").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn deep(folder: &Path) -> Deep {
    Deep {
        root: folder.to_owned(),
        state: folder.join("state"),
        results: folder.join("RESULTS.md"),
        commit: "abc".to_owned(),
        date: "2026-01-02".to_owned(),
    }
}

/// Slices that each run a line of shell.
fn part(lines: &[&str]) -> Part {
    let slice = |(number, line): (usize, &&str)| Slice {
        name: number.to_string(),
        command: ["sh", "-c", line].iter().map(OsString::from).collect(),
        reads: Reads::Line("fake"),
    };
    let slices = lines.iter().enumerate().map(slice).collect();
    Part { name: "fake", about: "made up".to_owned(), slices }
}

fn run(deep: &Deep, part: &Part, most: usize) -> Result<Standing, String> {
    deep.run(part, most, None, &mut |_| {})
}

/// Says so in a file, then its closing line.
const COUNTED: &str = "echo x >> count; echo noise; echo fake: runs=2 violations=0 by=seed";

fn count(folder: &Path) -> usize {
    fs::read_to_string(folder.join("count")).unwrap_or_default().lines().count()
}

fn rows(deep: &Deep) -> Vec<String> {
    let text = fs::read_to_string(&deep.results).unwrap_or_default();
    text.lines().filter(|line| line.starts_with("| 2026")).map(str::to_owned).collect()
}

#[test]
fn a_part_goes_on_where_it_was_left() {
    let folder = folder("resume");
    let deep = deep(&folder);
    let part = part(&[COUNTED, COUNTED, COUNTED]);
    let standing = run(&deep, &part, 2).unwrap();
    assert_eq!(standing.line("fake"), "deep: part=fake slices=2/3 runs=4 violations=0");
    assert_eq!(rows(&deep), [] as [&str; 0]);
    assert_eq!(deep.standing(&part).unwrap().done, 2);

    let mut said = Vec::new();
    let standing = deep.run(&part, usize::MAX, None, &mut |line| said.push(line.to_owned()));
    assert_eq!(standing.unwrap().line("fake"), "deep: part=fake slices=3/3 runs=6 violations=0");
    assert_eq!(said, ["2: fake: runs=2 violations=0 by=seed"]);
    assert_eq!(count(&folder), 3);
    assert_eq!(rows(&deep), ["| 2026-01-02 | abc | fake | 3/3 | 0 | runs=6 violations=0 |"]);
}

#[test]
fn a_whole_part_begins_anew_and_its_rows_follow_each_other() {
    let folder = folder("append");
    let deep = deep(&folder);
    for times in 1..=2 {
        run(&deep, &part(&[COUNTED]), usize::MAX).unwrap();
        assert_eq!(count(&folder), times);
        assert_eq!(rows(&deep).len(), times);
    }
    let text = fs::read_to_string(&deep.results).unwrap();
    assert_eq!(text.matches("| date |").count(), 1, "{text}");
    assert!(text.starts_with("# "), "{text}");
}

#[test]
fn what_is_not_whole_becomes_a_row_when_that_is_asked_for() {
    let deep = deep(&folder("record"));
    let part = part(&[COUNTED, COUNTED]);
    let standing = run(&deep, &part, 1).unwrap();
    deep.record(&part, &standing).unwrap();
    assert_eq!(rows(&deep), ["| 2026-01-02 | abc | fake | 1/2 | 0 | runs=2 violations=0 |"]);
}

#[test]
fn a_failed_slice_ends_the_part_and_keeps_what_was_done() {
    let folder = folder("failure");
    let deep = deep(&folder);
    for (fault, part_of_message) in [
        ("echo the reason; exit 1", "the reason"),
        ("echo fake: runs=1 violations=1", "there are violations"),
        ("echo fakes: runs=1; echo runs=2", "closing line is missing"),
        ("kill -9 $$", "signal"),
    ] {
        let part = part(&[COUNTED, fault, COUNTED]);
        let message = run(&deep, &part, usize::MAX).unwrap_err();
        assert!(message.contains(part_of_message), "{message}");
        assert!(message.starts_with("part fake, slice 1"), "{message}");
        assert_eq!(deep.standing(&part).unwrap().done, 1);
    }
    assert_eq!(count(&folder), 1, "the first slice was done once, the third never");
    assert_eq!(rows(&deep), [] as [&str; 0]);
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let mut part = part(&[COUNTED]);
    part.slices[0].command = vec!["no-such-program".into()];
    let message = run(&deep(&folder("missing")), &part, 1).unwrap_err();
    assert!(message.starts_with("no-such-program"), "{message}");
}

#[test]
fn no_slice_begins_after_the_time_is_over() {
    let folder = folder("time");
    let standing =
        deep(&folder).run(&part(&[COUNTED]), 1, Some(Instant::now()), &mut |_| {}).unwrap();
    assert_eq!((standing.done, standing.of, count(&folder)), (0, 1, 0));
}

#[test]
fn slices_of_another_commit_do_not_count() {
    let folder = folder("commit");
    let mut deep = deep(&folder);
    let part = part(&[COUNTED, COUNTED]);
    run(&deep, &part, 1).unwrap();
    deep.commit = "def".to_owned();
    assert_eq!(deep.standing(&part).unwrap().done, 0);
    run(&deep, &part, 2).unwrap();
    assert_eq!(count(&folder), 3);
}

#[test]
fn a_torn_record_counts_for_nothing_and_harms_no_other() {
    let folder = folder("torn");
    let deep = deep(&folder);
    let part = part(&[COUNTED, COUNTED, COUNTED]);
    run(&deep, &part, 1).unwrap();
    let kept = deep.state.join("fake-abc.done");
    let whole = fs::read_to_string(&kept).unwrap();
    for end in 0..whole.len() - 1 {
        let again = whole.replacen("0\t", "1\t", 1);
        fs::write(&kept, whole.clone() + &again[..end]).unwrap();
        // All but the line's end is a whole record too.
        let done = 1 + usize::from(again[..end].ends_with("done"));
        assert_eq!(deep.standing(&part).unwrap().done, done, "{:?}", &again[..end]);
    }
    run(&deep, &part, usize::MAX).unwrap();
    assert_eq!(count(&folder), 3);
}

#[test]
fn the_figures_of_other_tools_are_read() {
    // `.ci/run fuzz` says each target, and then all.
    let output = "fuzz: target=pair runs=5 crashes=0\nfuzz: pair=5 executions=5 crashes=0\n\nall\n";
    let line = judge(&Reads::Line("fuzz"), Some(0), output).unwrap();
    assert_eq!(line, "fuzz: pair=5 executions=5 crashes=0");
    let output = output.replace("crashes=0", "crashes=1");
    assert!(judge(&Reads::Line("fuzz"), Some(0), &output).is_err());

    let output = "Found 12 mutants\n12 mutants tested in 3m: 1 missed, 9 caught, 2 unviable\n";
    let line = judge(&Reads::Mutants, Some(2), output).unwrap();
    assert_eq!(line, "mutants: mutants=12 missed=1 caught=9 unviable=2");
    assert_eq!(Figures::parse(&line).get("missed"), Some(1));
    assert!(judge(&Reads::Mutants, Some(4), output).is_err());
    assert!(judge(&Reads::Mutants, None, output).is_err());
}

#[test]
fn the_last_closing_line_counts_and_none_of_another_program() {
    let output = "fake: runs=1\nother: runs=2\nfake: runs=3 seconds=1.5\nend\n";
    let line = judge(&Reads::Line("fake"), Some(0), output).unwrap();
    assert_eq!(Figures::parse(&line).to_string(), "runs=3");
}

#[test]
fn every_part_can_be_listed_and_an_unknown_one_is_refused() {
    let finished = Program::bin("deep").arg("--list").run();
    finished.assert_exit(0);
    for part in PARTS {
        assert!(finished.out().lines().any(|line| line.starts_with(part)), "{finished}");
    }
    let targets = fs::read_dir(workspace().join("fuzz/fuzz_targets")).unwrap().count();
    assert!(finished.out().contains(&format!("each of {targets} targets")), "{finished}");
    let finished = Program::bin("deep").args(["--part", "nothing"]).run();
    finished.assert_exit(1);
    assert!(finished.err().contains("nothing"), "{finished}");
    Program::bin("deep").run().assert_exit(2);
}

/// What is committed came from this program.
#[test]
fn the_committed_results_are_a_table_of_known_parts() {
    let text = fs::read_to_string(workspace().join("tests/RESULTS.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| 2"));
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [_date, _commit, part, slices, minutes, figures] = cells[..] else { panic!("{row}") };
        assert!(PARTS.contains(&part), "{row}");
        assert!(slices.contains('/') && minutes.parse::<u64>().is_ok(), "{row}");
        for name in FAULTS {
            assert!(Figures::parse(figures).get(name).is_none_or(|count| count == 0), "{row}");
        }
    }
    assert!(text.contains("| date | commit | part | slices | minutes | figures |"));
}
