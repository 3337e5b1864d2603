//! Simulates many whole trees of actors, each from a seed of its own, and ends with two lines: how
//! often each kind of fault took effect, and `simulate: runs=N cancels=N kills=N violations=0`.
//!
//! `cargo run --release -p hatchery-tests --bin simulate -- --runs N --seed S`
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what it prints is its result")]

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{io, thread};

use hatchery_tests::world::{self, FAULTS, Options, Run};
use lexopt::prelude::*;

const HELP: &str = "\
Usage: simulate [OPTIONS]

Makes worlds from seeds, lets faults befall them, heals them and sees them to their ends. A run in
which something did not hold is printed with the end of its log; then the exit code is 1. On standard
output how often each kind of fault took effect, and one closing line
`simulate: runs=N cancels=N kills=N violations=N`.

  --runs N      how many (1000)
  --seed S      from which seed (1); run K of it is the same whatever else runs
  --run K       that run alone
  --threads N   on so many threads (all); what is printed does not depend on it
  --log         print the logs
  --help        this text";

/// How much of a failing run's log is printed.
const TAIL: usize = 80;
/// How many failing runs are printed.
const SHOWN: usize = 5;

struct Wanted {
    runs: u64,
    seed: u64,
    run: Option<u64>,
    threads: usize,
    log: bool,
}

fn main() -> ExitCode {
    match parse(lexopt::Parser::from_env()) {
        Ok(Some(wanted)) => simulate(&wanted),
        Ok(None) => {
            println!("{HELP}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("simulate: {error}");
            ExitCode::from(2)
        }
    }
}

fn parse(mut parser: lexopt::Parser) -> Result<Option<Wanted>, lexopt::Error> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut wanted = Wanted { runs: 1000, seed: 1, run: None, threads, log: false };
    while let Some(argument) = parser.next()? {
        match argument {
            Long("runs") => wanted.runs = parser.value()?.parse()?,
            Long("seed") => wanted.seed = parser.value()?.parse()?,
            Long("run") => wanted.run = Some(parser.value()?.parse()?),
            Long("threads") => wanted.threads = parser.value()?.parse()?,
            Long("log") => wanted.log = true,
            Long("help") => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }
    wanted.threads = wanted.threads.max(1);
    Ok(Some(wanted))
}

/// What all runs came to together.
#[derive(Default)]
struct Sum {
    cancels: u64,
    kills: u64,
    faults: [u64; FAULTS.len()],
    violations: u64,
    failing: Vec<u64>,
}

fn simulate(wanted: &Wanted) -> ExitCode {
    let (first, runs) = match wanted.run {
        Some(run) => (run, 1),
        None => (0, wanted.runs),
    };
    let mut sum = Sum::default();
    if wanted.log {
        // In order, so one at a time; nobody wants to read 100,000 of them.
        for run in first..first + runs {
            let ran = one(wanted.seed, run, true);
            println!("run {run}");
            let _ = io::stdout().write_all(ran.log.as_bytes());
            sum.add(run, &ran);
        }
    } else {
        sum = run_all(wanted, first, runs);
    }
    sum.failing.sort_unstable();
    for run in sum.failing.iter().take(SHOWN) {
        show(wanted.seed, *run);
    }
    let faults = FAULTS.iter().zip(sum.faults).map(|(name, times)| format!(" {name}={times}"));
    println!("faults:{}", faults.collect::<String>());
    println!(
        "simulate: runs={runs} cancels={} kills={} violations={}",
        sum.cancels, sum.kills, sum.violations
    );
    if sum.violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn one(seed: u64, run: u64, log: bool) -> Run {
    world::run(world::seed_of(seed, run), Options { log, planted: None })
}

impl Sum {
    fn add(&mut self, run: u64, ran: &Run) {
        self.cancels += ran.cancels;
        self.kills += ran.kills;
        for (sum, times) in self.faults.iter_mut().zip(ran.faults) {
            *sum += times;
        }
        self.violations += ran.violations.len() as u64;
        if !ran.violations.is_empty() {
            self.failing.push(run);
        }
    }
}

fn run_all(wanted: &Wanted, first: u64, runs: u64) -> Sum {
    let next = AtomicU64::new(first);
    let sum = Mutex::new(Sum::default());
    thread::scope(|scope| {
        for _ in 0..wanted.threads {
            scope.spawn(|| {
                loop {
                    let run = next.fetch_add(1, Ordering::Relaxed);
                    if run >= first + runs {
                        return;
                    }
                    let ran = one(wanted.seed, run, false);
                    sum.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).add(run, &ran);
                }
            });
        }
    });
    sum.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Says what a run broke, and how it came to that.
fn show(seed: u64, run: u64) {
    let ran = one(seed, run, true);
    let lines: Vec<&str> = ran.log.lines().collect();
    eprintln!("simulate: run {run} of seed {seed} (--seed {seed} --run {run} --log):");
    for violation in &ran.violations {
        eprintln!("  {violation}");
    }
    for line in lines.iter().skip(lines.len().saturating_sub(TAIL)) {
        eprintln!("    {line}");
    }
}
