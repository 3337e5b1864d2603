//! Runs a part of the tests at its full figures, in slices that are kept when they are done, and
//! appends what came of it to `tests/RESULTS.md`.
//!
//! `cargo run --release -p hatchery-tests --bin deep -- --part NAME`
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what it prints is its result")]

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use hatchery_tests::build::{target, workspace};
use hatchery_tests::deep::{Deep, FULL, Part, Reads, Slice};
use lexopt::prelude::*;

const HELP: &str = "\
Usage: deep [OPTIONS] --part NAME

Runs what is left of a part, prints the closing line of each slice, and appends a row to
tests/RESULTS.md when the part is whole. What is done is kept in the target folder, for this commit.

  --part NAME          explorer, fuzz, simulator, sweep, matrix, chaos, faults, teardown, repeat
                       or mutants; may be given more than once
  --slices N           at most N of each part
  --minutes N          begin no slice after N minutes
  --record             append a row also for a part that is not whole
  --list               show the parts, how far they have come, and their commands
  --help               this text";

/// Executions of all targets together, and of each at least.
const FUZZ: (u64, u64) = (100_000_000, 10_000_000);
/// Executions of each target in a slice: a few minutes.
const FUZZ_SLICE: u64 = 1_000_000;
/// Runs of the simulator, and in a slice.
const SIMULATOR: (u64, u64) = (1_000_000, 50_000);
/// How many slices all calls, errors and numbers of the sweep are cut into.
const SWEEP: u64 = 12;
/// Kills, and in a slice.
const CHAOS: (u64, u64) = (20_000, 1_000);
/// How many slices all cells of the matrix are cut into.
const MATRIX: u64 = 4;
/// Tests of faults, and the file of each.
const FAULTS: [(&str, &str); 3] = [("driver", "f_10_"), ("faults", "f_16_"), ("driver", "f_50_")];
/// Runs of each measure of ends.
const TEARDOWN: u64 = 100;
/// Runs of each example, and in a slice.
const REPEAT: (u64, u64) = (2_000, 100);
/// The rooms whose mutants count, how many slices each is cut into, and the tests that judge them:
/// of one process, and quick.
const MUTANTS: [(&str, u64, &[&str]); 4] = [
    ("dialog", 1, LINKS),
    ("wire", 1, LINKS),
    ("nursery", 2, &["ladder", "ladder_chain", "ladder_orders", "nursery_verdict"]),
    ("connection", 6, LINKS),
];
/// What judges a link: every one of its rooms shows in the others' tests, too.
const LINKS: &[&str] = &[
    "bad_input",
    "fingerprint",
    "golden",
    "link",
    "link_bounds",
    "link_edges",
    "link_end",
    "link_hostile",
    "link_limits",
    "link_lines",
    "link_looks",
    "memory",
    "rules",
    "wire",
];

#[derive(Debug, Default)]
struct Options {
    parts: Vec<String>,
    slices: Option<usize>,
    minutes: Option<u64>,
    record: bool,
    list: bool,
}

fn main() -> ExitCode {
    let done = match parse(lexopt::Parser::from_env()) {
        Ok(Some(options)) => run(&options),
        Ok(None) => {
            println!("{HELP}");
            Ok(())
        }
        Err(error) => {
            eprintln!("deep: {error}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("deep: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut parser: lexopt::Parser) -> Result<Option<Options>, lexopt::Error> {
    let mut options = Options::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("part") => options.parts.push(parser.value()?.string()?),
            Long("slices") => options.slices = Some(parser.value()?.parse()?),
            Long("minutes") => options.minutes = Some(parser.value()?.parse()?),
            Long("record") => options.record = true,
            Long("list") => options.list = true,
            Long("help") | Short('h') => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }
    if options.parts.is_empty() && !options.list {
        return Err("no part was named".into());
    }
    Ok(Some(options))
}

fn run(options: &Options) -> Result<(), String> {
    let root = workspace();
    let deep = Deep {
        state: target().join("deep"),
        results: root.join("tests/RESULTS.md"),
        commit: commit(&root)?,
        date: says(&root, "date", &["-u", "+%F"])?,
        root,
    };
    let parts = parts(&deep)?;
    if options.list {
        return list(&deep, &parts);
    }
    let until = options.minutes.map(|minutes| Instant::now() + Duration::from_secs(60 * minutes));
    for name in &options.parts {
        let part = parts.iter().find(|part| part.name == name);
        let part = part.ok_or_else(|| format!("there is no part `{name}`; see --list"))?;
        let most = options.slices.unwrap_or(usize::MAX);
        let standing = deep.run(part, most, until, &mut |line| println!("{line}"))?;
        if options.record && !standing.is_whole() {
            deep.record(part, &standing)?;
        }
        println!("{}", standing.line(part.name));
    }
    Ok(())
}

fn list(deep: &Deep, parts: &[Part]) -> Result<(), String> {
    for part in parts {
        println!("{}: {}", part.name, part.about);
        println!("  {}", deep.standing(part)?.line(part.name));
        for slice in &part.slices {
            let words: Vec<_> = slice.command.iter().map(|word| word.to_string_lossy()).collect();
            println!("  {}: {}", slice.name, words.join(" "));
        }
    }
    Ok(())
}

/// The commit, with a mark where the sources are not its.
fn commit(root: &Path) -> Result<String, String> {
    let commit = says(root, "git", &["rev-parse", "--short=10", "HEAD"])?;
    let status = ["status", "--porcelain", "--", ".", ":(exclude)tests/RESULTS.md"];
    let changed = !says(root, "git", &status)?.is_empty();
    Ok(if changed { commit + "+" } else { commit })
}

/// What a program says.
fn says(root: &Path, program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).current_dir(root).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Every part at its full figures.
fn parts(deep: &Deep) -> Result<Vec<Part>, String> {
    let known = [explorer(), fuzz(deep)?, simulator(), sweep(), matrix(), chaos(), faults()];
    Ok(known.into_iter().chain([teardown(), repeat(), mutants(deep)]).collect())
}

fn cargo(words: &[&str]) -> Vec<OsString> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    [cargo].into_iter().chain(words.iter().map(OsString::from)).collect()
}

/// A program of the tests, built as it is for a release.
fn program(name: &str, words: &[&str]) -> Vec<OsString> {
    let run = ["run", "--release", "--quiet", "-p", "hatchery-tests", "--bin", name, "--"];
    cargo(&[&run, words].concat())
}

fn explorer() -> Part {
    let command = program("explore", &["deep"]);
    Part {
        name: "explorer",
        about: "every interleaving, until memory or time ends".to_owned(),
        slices: vec![Slice { name: "deep".to_owned(), command, reads: Reads::Line("explore") }],
    }
}

/// Each slice from a seed of its own.
fn fuzz(deep: &Deep) -> Result<Part, String> {
    let targets = targets(&deep.root.join("fuzz/fuzz_targets"))?;
    let (all, least) = FUZZ;
    let each = all.div_ceil(targets as u64).max(least);
    let slice = |at: u64| {
        let (runs, seed) = (format!("FUZZ_RUNS={FUZZ_SLICE}"), format!("FUZZ_SEED={at}"));
        let command = ["env", &runs, &seed, ".ci/run", "fuzz"].map(OsString::from).into();
        Slice { name: format!("seed-{at}"), command, reads: Reads::Line("fuzz") }
    };
    let about = format!("{each} executions of each of {targets} targets");
    let slices = (1..=each.div_ceil(FUZZ_SLICE)).map(slice).collect();
    Ok(Part { name: "fuzz", about, slices })
}

fn targets(folder: &Path) -> Result<usize, String> {
    let failed = |error| format!("{}: {error}", folder.display());
    let names = fs::read_dir(folder).map_err(failed)?.collect::<Result<Vec<_>, _>>();
    Ok(names.map_err(failed)?.len().max(1))
}

fn simulator() -> Part {
    let (all, share) = SIMULATOR;
    let slice = |seed: u64| {
        let words = ["--runs", &share.to_string(), "--seed", &seed.to_string()];
        let command = program("simulate", &words);
        Slice { name: format!("seed-{seed}"), command, reads: Reads::Line("simulate") }
    };
    // Should a run's seed be the first one plus its number, no two slices share any.
    let slices = (0..all / share).map(|at| slice(1 + at * share)).collect();
    Part { name: "simulator", about: format!("{all} runs of whole trees"), slices }
}

fn matrix() -> Part {
    let slice = |at: u64| {
        let name = format!("{at}-of-{MATRIX}");
        let command = program("matrix", &["--slice", &format!("{at}/{MATRIX}")]);
        Slice { name, command, reads: Reads::Line("matrix") }
    };
    let about = "every phase x action x side x shape on real processes".to_owned();
    Part { name: "matrix", about, slices: (1..=MATRIX).map(slice).collect() }
}

fn sweep() -> Part {
    let slice = |at: u64| {
        let name = format!("{at}-of-{SWEEP}");
        let command = program("sweep", &["--slice", &format!("{at}/{SWEEP}")]);
        Slice { name, command, reads: Reads::Line("sweep") }
    };
    let about = "the n-th of each system call fails, until none is left".to_owned();
    Part { name: "sweep", about, slices: (1..=SWEEP).map(slice).collect() }
}

/// Each slice from a seed of its own, and as long as it takes.
fn chaos() -> Part {
    let (all, share) = CHAOS;
    let slice = |seed: u64| {
        let (kills, seed) = (share.to_string(), seed.to_string());
        let words = ["--kills", &kills, "--seconds", "3600", "--seed", &seed];
        let command = program("chaos", &words);
        Slice { name: format!("seed-{seed}"), command, reads: Reads::Line("chaos") }
    };
    let about = format!("{all} kills in random trees");
    Part { name: "chaos", about, slices: (1..=all / share).map(slice).collect() }
}

/// Tests that otherwise do less than the design says; what they have done they say themselves.
fn faults() -> Part {
    let slice = |(test, name): &(&str, &str)| {
        let mut command: Vec<OsString> = vec!["env".into(), format!("{FULL}=1").into()];
        command.extend(cargo(&["test", "--release", "--quiet", "-p", "hatchery-tests", "--test"]));
        command.extend([test, "--", "--nocapture", name].map(OsString::from));
        Slice { name: (*name).to_owned(), command, reads: Reads::Line("faults") }
    };
    let about = "faults whose figures are small in every other run".to_owned();
    Part { name: "faults", about, slices: FAULTS.iter().map(slice).collect() }
}

fn teardown() -> Part {
    let command = program("teardown", &["--runs", &TEARDOWN.to_string()]);
    let about = format!("{TEARDOWN} ends of each kind of tree, measured");
    let slices = vec![Slice { name: "all".to_owned(), command, reads: Reads::Line("teardown") }];
    Part { name: "teardown", about, slices }
}

fn repeat() -> Part {
    let (all, share) = REPEAT;
    let examples = target().join("release/examples");
    let examples = examples.display();
    let commands = [
        ("hello", format!("-- {examples}/hello")),
        ("census", format!("--expect 1 -- {examples}/census --crash 3 proto runtime tests")),
    ];
    let mut slices = Vec::new();
    for at in 1..=all / share {
        for (name, words) in &commands {
            let script = format!(
                "cargo build --quiet --release --workspace --examples --bin repeat && \
                 exec {} --runs {share} --timeout 60 {words}",
                target().join("release/repeat").display()
            );
            let command = ["sh", "-c", &script].iter().map(OsString::from).collect();
            slices.push(Slice {
                name: format!("{name}-{at}"),
                command,
                reads: Reads::Line("repeat"),
            });
        }
    }
    let about = format!("{all} runs of each of two examples, looked after");
    Part { name: "repeat", about, slices }
}

/// Each mutant is built and judged in a copy, all in one target folder.
fn mutants(deep: &Deep) -> Part {
    let target = format!("CARGO_TARGET_DIR={}", deep.state.join("mutants").display());
    let mut tests: Vec<_> = MUTANTS.iter().flat_map(|(_, _, tests)| *tests).collect();
    tests.sort();
    tests.dedup();
    let mut command = cargo(&["test", "-p", "hatchery-tests"]);
    command.extend(tests.iter().map(|test| format!("--test={test}").into()));
    // Against tests that fail anyway, every mutant would count as caught.
    let reads = Reads::Line("test result");
    let mut slices = vec![Slice { name: "unchanged".to_owned(), command, reads }];
    for (room, count, tests) in MUTANTS {
        for at in 0..count {
            let found = deep.state.join(format!("mutants-{room}-{at}"));
            let mut command: Vec<OsString> = ["env", &target, "CARGO_PROFILE_DEV_DEBUG=false"]
                .iter()
                .map(OsString::from)
                .collect();
            command.extend(cargo(&[
                "mutants",
                "--no-shuffle",
                "--colors=never",
                "--baseline=skip",
            ]));
            command.extend(["--timeout=30", "--test-package=hatchery-tests"].map(OsString::from));
            command.extend(tests.iter().map(|test| format!("--cargo-arg=--test={test}").into()));
            command.push(format!("--file=proto/src/{room}/**").into());
            command.push(format!("--shard={at}/{count}").into());
            command.extend(["--output".into(), found.into()]);
            slices.push(Slice { name: format!("{room}-{at}"), command, reads: Reads::Mutants });
        }
    }
    Part { name: "mutants", about: "every mutant of the core's rooms".to_owned(), slices }
}
