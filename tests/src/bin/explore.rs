//! Explores the core to its closure: `explore ci`, or `explore deep --minutes N --states N` for
//! larger worlds until memory or time ends it.
#![allow(clippy::print_stdout)]

use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, fs};

use hatchery_tests::build::workspace;
use hatchery_tests::explore::hostile::Table;
use hatchery_tests::explore::search::{Bounds, Explored};
use hatchery_tests::explore::table::{self, Row, Sum};
use lexopt::ValueExt as _;
use mimalloc::MiMalloc;

/// Half of the time would go into the system's allocator: every state is a copy.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let mut args = lexopt::Parser::from_env();
    let (mut deep, mut minutes, mut states) = (false, 30, 30_000_000);
    while let Some(arg) = args.next().expect("arguments") {
        match arg {
            lexopt::Arg::Value(value) => deep = value == "deep",
            lexopt::Arg::Long("minutes") => minutes = number(&mut args),
            lexopt::Arg::Long("states") => states = number(&mut args),
            _ => panic!("explore ci | explore deep [--minutes N] [--states N]"),
        }
    }
    let mut bounds = Bounds::default();
    if deep {
        bounds.states = usize::try_from(states).expect("a number of states");
        bounds.until = Some(Instant::now() + Duration::from_secs(60 * minutes));
    }
    let mut sum = Sum::default();
    let mut fine = true;
    let rows = table::ci();
    for row in &rows {
        let explored = tell(row, bounds, &mut sum);
        if let Some(changed) = row.changed(&explored) {
            println!("{changed}");
            fine = false;
        }
    }
    fine &= results_are_known(&table::results(&rows));
    if deep {
        for row in table::deep() {
            if bounds.until.is_some_and(|until| Instant::now() < until) {
                let explored = tell(&row, bounds, &mut sum);
                // Of the largest nobody knows yet how large they are.
                if let Some(changed) = row.changed(&explored).filter(|_| row.counts != (0, 0)) {
                    println!("{changed}");
                    fine = false;
                }
            }
        }
    }
    println!("{sum}");
    if fine && sum.is_fine() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether each message of a hostile peer comes to what `tests/golden` says.
fn results_are_known(table: &Table) -> bool {
    let path = workspace().join("tests/golden/hostile-v1.txt");
    let text = table.to_string();
    if env::var_os("REWRITE").is_some() {
        fs::write(&path, &text).expect("the table is written");
    }
    let known = Table::read(&fs::read_to_string(&path).unwrap_or_default()).results();
    let found = table.results();
    println!("{} results of messages, {} known", found.len(), known.len());
    for result in found.difference(&known).take(20) {
        println!("not in the table: {result}");
    }
    for result in known.difference(&found).take(20) {
        println!("in the table only: {result}");
    }
    if found != known {
        println!("The table of results has changed: see its head, and give the reason.");
    }
    found == known
}

fn number(args: &mut lexopt::Parser) -> u64 {
    args.value().expect("a number").parse().expect("a number")
}

fn tell(row: &Row, bounds: Bounds, sum: &mut Sum) -> Explored {
    let begun = Instant::now();
    let explored = row.explore(bounds);
    sum.add(&explored);
    println!(
        "{:44} states={} transitions={} depth={}{} in {:.1} s",
        row.name,
        explored.states,
        explored.transitions,
        explored.depth,
        if explored.whole { "" } else { ", not whole," },
        begun.elapsed().as_secs_f64()
    );
    if let Some(example) = &explored.counterexample {
        println!("{}", example.transcript);
    }
    explored
}
