//! Every phase of the protocol x what may happen to a process there x which side it happens to x
//! what the two have to do with each other, each on real processes (F-01 and its like).
//!
//! `matrix [--pairs] [--slice K/N] [--seed S]` runs the cells, prints which were green, and ends
//! with `matrix: cells=N ran=N red=N`. The same executable is the harness, the roots and the actors.
//! No sleeping for order: a process is hit where it says itself that it is.
#![allow(clippy::print_stdout, reason = "what it prints is its result")]
#![allow(clippy::print_stderr, reason = "so are its complaints")]

mod actors;
mod cells;
mod expect;
mod harness;
mod place;
mod root;
mod table;

use std::process::ExitCode;

use cells::Cell;
use fastrand::Rng;
use lexopt::prelude::*;

const HELP: &str = "\
Usage: matrix [OPTIONS]

Runs the cells phase x action x side x shape, each a small tree of real processes.

  --pairs        only so many that each pair of two properties is met
  --slice K/N    only the K-th of N parts (1/1)
  --seed S       in which order, and which are chosen by --pairs (1)
  --only TEXT    only cells whose name contains this, such as Up/Kill/Child
  --jobs N       how many at a time (4)
  --verbose      a line for each
  --help         this text";

/// What the command line asks for.
#[derive(Debug)]
struct Arguments {
    pairs: bool,
    slice: (usize, usize),
    seed: u64,
    only: String,
    jobs: usize,
    verbose: bool,
}

fn arguments() -> Result<Option<Arguments>, lexopt::Error> {
    let mut found = Arguments {
        pairs: false,
        slice: (1, 1),
        seed: 1,
        only: String::new(),
        jobs: 4,
        verbose: false,
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("pairs") => found.pairs = true,
            Long("slice") => {
                let text = parser.value()?.string()?;
                let parts = text.split_once('/').and_then(|(part, of)| {
                    Some((part.parse().ok()?, of.parse().ok()?))
                        .filter(|(part, of)| (1..=*of).contains(part))
                });
                found.slice = parts.ok_or("a slice is K/N with K from 1 to N")?;
            }
            Long("seed") => found.seed = parser.value()?.parse()?,
            Long("only") => found.only = parser.value()?.string()?,
            Long("jobs") => found.jobs = parser.value()?.parse()?,
            Long("verbose") => found.verbose = true,
            Long("help") | Short('h') => return Ok(None),
            _ => return Err(argument.unexpected()),
        }
    }
    Ok(Some(found))
}

/// The cells that were asked for.
fn chosen(arguments: &Arguments) -> Vec<Cell> {
    let mut rng = Rng::with_seed(arguments.seed);
    let mut cells = match arguments.pairs {
        true => Cell::pairwise(&mut rng),
        false => Cell::possible(),
    };
    rng.shuffle(&mut cells);
    let (part, of) = arguments.slice;
    let mine = cells.into_iter().skip(part - 1).step_by(of);
    mine.filter(|cell| cell.to_string().contains(&arguments.only)).collect()
}

fn main() -> ExitCode {
    hatchery_tests::strike::tell_last_steps_when_asked();
    // In an actor that is hit before it runs any endpoint.
    actors::before_the_entry();
    hatchery::init();
    if let Some(cell) = place::cell() {
        return root::run(cell);
    }
    match arguments() {
        Ok(Some(arguments)) => harness::run(&chosen(&arguments), &arguments),
        Ok(None) => {
            println!("{HELP}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("matrix: {error}\n\n{HELP}");
            ExitCode::from(2)
        }
    }
}
