//! Makes each system call of a small program fail, the first time, the second, …, and ends with one
//! line: `sweep: runs=N calls=N untouched=N failures=0`.
//!
//! `cargo run --release -p hatchery-tests --bin sweep -- [OPTIONS]`
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what it prints is its result")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use hatchery_tests::build::{self, Kind};
use hatchery_tests::procfs;
use hatchery_tests::sweep::{CALLS, EXCEPTIONS, Exception, Fault, Outcome, Side, Sweep, can_trace};
use lexopt::prelude::*;

const HELP: &str = "\
Usage: sweep [OPTIONS]

Runs a program that uses the whole library, again and again, and makes the n-th occurrence of one
system call fail each time, in its root and in a child. A run fails if it does not end in time, ends
otherwise than well or with a typed error, panics, or leaves something behind. Needs `strace`.

  --slice N/M      only the N-th of M parts of the runs (1/1)
  --calls A,B      only these system calls
  --errors A,B     only these errors
  --side SIDE      only `root` or only `child`
  --nth N          only the N-th occurrence
  --jobs N         how many runs at a time (one for each core)
  --verbose        a line for each run
  --help           this text";

#[derive(Debug)]
struct Options {
    slice: (usize, usize),
    calls: Option<BTreeSet<String>>,
    errors: Option<BTreeSet<String>>,
    side: Option<Side>,
    nth: Option<u32>,
    jobs: usize,
    verbose: bool,
}

fn main() -> ExitCode {
    match parse(lexopt::Parser::from_env()) {
        Ok(Some(options)) => match sweep(&options) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("sweep: {error}");
                ExitCode::from(2)
            }
        },
        Ok(None) => {
            println!("{HELP}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("sweep: {error}\n\n{HELP}");
            ExitCode::from(2)
        }
    }
}

fn parse(mut parser: lexopt::Parser) -> Result<Option<Options>, lexopt::Error> {
    let mut options = Options {
        slice: (1, 1),
        calls: None,
        errors: None,
        side: None,
        nth: None,
        jobs: thread::available_parallelism().map_or(1, usize::from),
        verbose: false,
    };
    let list = |value: String| Some(value.split(',').map(str::to_owned).collect());
    while let Some(argument) = parser.next()? {
        match argument {
            Long("slice") => {
                let value = parser.value()?.string()?;
                let (part, parts) = value.split_once('/').ok_or("a slice is like 1/8")?;
                match (part.parse(), parts.parse()) {
                    (Ok(part), Ok(parts)) if (1..=parts).contains(&part) => {
                        options.slice = (part, parts);
                    }
                    _ => return Err("a slice is like 1/8".into()),
                }
            }
            Long("calls") => options.calls = list(parser.value()?.string()?),
            Long("errors") => options.errors = list(parser.value()?.string()?),
            Long("side") => {
                options.side = Some(match parser.value()?.string()?.as_str() {
                    "root" => Side::Root,
                    "child" => Side::Child,
                    _ => return Err("a side is `root` or `child`".into()),
                });
            }
            Long("nth") => options.nth = Some(parser.value()?.parse()?),
            Long("jobs") => options.jobs = parser.value()?.parse::<usize>()?.max(1),
            Long("verbose") => options.verbose = true,
            Long("help") | Short('h') => return Ok(None),
            _ => return Err(argument.unexpected()),
        }
    }
    Ok(Some(options))
}

/// A row of runs: one fault, for one n, or for all from `from` on until one passes untouched.
#[derive(Clone, Copy, Debug)]
struct Row {
    fault: Fault,
    to_the_end: bool,
}

#[derive(Debug, Default)]
struct Tally {
    runs: usize,
    injected: usize,
    untouched: usize,
    failures: usize,
    impossible: usize,
    excepted: BTreeMap<String, usize>,
}

/// Whether no run failed.
fn sweep(options: &Options) -> Result<bool, String> {
    can_trace()?;
    let folder = Folder::new()?;
    let sweep = Sweep::new(build::built(Kind::Bin, "swept"), &folder.0);
    let rows = rows(options, &sweep)?;
    let begin = Instant::now();
    let next = AtomicUsize::new(0);
    let number = AtomicUsize::new(0);
    let tally = Mutex::new(Tally::default());
    thread::scope(|scope| {
        for _ in 0..options.jobs {
            scope.spawn(|| {
                while let Some(row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
                    run_row(options, &sweep, *row, &number, &tally);
                }
            });
        }
    });
    let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    let calls: BTreeSet<_> =
        rows.iter().map(|row| (row.fault.side, row.fault.call, row.fault.error)).collect();
    for exception in EXCEPTIONS {
        let key = name_of(exception);
        let times = tally.excepted.get(&key).copied().unwrap_or(0);
        println!("excepted {times} times: {key}: {}", exception.reason);
    }
    let Tally { runs, injected, untouched, failures, .. } = tally;
    if tally.impossible > 0 {
        println!("{} runs met a call that the kernel never fails so", tally.impossible);
    }
    println!("{injected} calls failed, in {:.0?}", begin.elapsed());
    println!("sweep: runs={runs} calls={} untouched={untouched} failures={failures}", calls.len());
    Ok(failures == 0)
}

fn rows(options: &Options, sweep: &Sweep) -> Result<Vec<Row>, String> {
    let is_wanted = |wanted: &Option<BTreeSet<String>>, one: &str| {
        wanted.as_ref().is_none_or(|wanted| wanted.contains(one))
    };
    let mut rows = Vec::new();
    for side in [Side::Root, Side::Child] {
        if options.side.is_some_and(|wanted| wanted != side) {
            continue;
        }
        let census = sweep.census(side)?;
        let not_made =
            CALLS.iter().map(|(call, _)| *call).filter(|call| !census.contains_key(*call));
        println!("the {side} does not make: {}", not_made.collect::<Vec<_>>().join(", "));
        for (call, errors) in CALLS.iter().filter(|(call, _)| is_wanted(&options.calls, call)) {
            let Some(numbers) = census.get(*call) else { continue };
            let last = numbers.last().copied().unwrap_or(0);
            for error in errors.iter().filter(|error| is_wanted(&options.errors, error)) {
                let fault = |nth| Fault { side, call, error, nth };
                match options.nth {
                    Some(nth) => rows.push(Row { fault: fault(nth), to_the_end: false }),
                    None => {
                        let each = numbers.iter().map(|nth| (fault(*nth), false));
                        let all = each.chain([(fault(last + 1), true)]);
                        rows.extend(all.map(|(fault, to_the_end)| Row { fault, to_the_end }));
                    }
                }
            }
        }
    }
    let (part, parts) = options.slice;
    Ok(rows.into_iter().skip(part - 1).step_by(parts).collect())
}

fn run_row(options: &Options, sweep: &Sweep, row: Row, number: &AtomicUsize, tally: &Mutex<Tally>) {
    let mut fault = row.fault;
    loop {
        let begin = Instant::now();
        let outcome = sweep.try_fault(fault, number.fetch_add(1, Ordering::Relaxed));
        let untouched = outcome.injected == 0;
        note(options, fault, &outcome, begin.elapsed(), tally);
        let goes_on = row.to_the_end && !untouched;
        if !goes_on {
            return;
        }
        fault.nth += 1;
    }
}

fn note(options: &Options, fault: Fault, outcome: &Outcome, took: Duration, tally: &Mutex<Tally>) {
    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
    tally.runs += 1;
    tally.injected += outcome.injected;
    tally.untouched += usize::from(outcome.injected == 0);
    if options.verbose {
        println!("{fault}: {} times, {took:.1?}: {}", outcome.injected, outcome.said.trim());
    }
    let Some(verdict) = &outcome.verdict else { return };
    if !outcome.possible {
        tally.impossible += 1;
        return;
    }
    let is_such = |exception: &&Exception| {
        exception.call == fault.call
            && (exception.error.is_empty() || exception.error == fault.error)
            && exception.side.is_none_or(|side| side == fault.side)
            && verdict.starts_with(exception.verdict)
            && outcome.injected > 0
    };
    match EXCEPTIONS.iter().find(is_such) {
        Some(exception) => *tally.excepted.entry(name_of(exception)).or_default() += 1,
        None => {
            tally.failures += 1;
            eprintln!("FAILED {fault}, injected {} times: {verdict}", outcome.injected);
        }
    }
}

fn name_of(exception: &Exception) -> String {
    let Exception { side, call, error, verdict, .. } = exception;
    let side = side.map_or_else(|| "both".to_owned(), |side| side.to_string());
    format!("{side} {call}:{} {verdict}", if error.is_empty() { "any" } else { error })
}

/// Where the traces go, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("sweep-{}", procfs::own_pid()));
        fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
