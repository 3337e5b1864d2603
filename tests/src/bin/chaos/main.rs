//! Real trees under fire: grows random trees of actors, hits their processes at random protocol
//! steps, and looks after each tree for what was left behind and what was lost.
//!
//! `chaos --seconds N --seed S` runs trees until the time is over (`--kills N`: until that many
//! processes were killed; fewer are a failure). `chaos plan --first N` prints what tree N of the seed
//! is to be. The same executable is the supervisor of all this, the roots and the actors. No sleeping
//! for order: an actor is hit where it says itself that it is.
#![allow(clippy::print_stdout, reason = "what it prints is its result")]
#![allow(clippy::print_stderr, reason = "so are its complaints")]

mod actors;
mod harness;
mod plan;
mod root;

use std::process::ExitCode;
use std::time::Duration;

use hatchery_tests::strike;
use lexopt::prelude::*;

/// What the command line asks for.
#[derive(Debug)]
struct Arguments {
    command: String,
    seconds: u64,
    kills: u64,
    seed: u64,
    jobs: u64,
    bound: Duration,
    first: u64,
    step: u64,
}

fn arguments() -> Result<Arguments, lexopt::Error> {
    let mut found = Arguments {
        command: "run".to_owned(),
        seconds: 60,
        kills: u64::MAX,
        seed: 1,
        jobs: 6,
        bound: Duration::from_secs(20),
        first: 0,
        step: 1,
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("seconds") => found.seconds = parser.value()?.parse()?,
            Long("kills") => found.kills = parser.value()?.parse()?,
            Long("seed") => found.seed = parser.value()?.parse()?,
            Long("jobs") => found.jobs = parser.value()?.parse()?,
            Long("bound") => found.bound = Duration::from_secs(parser.value()?.parse()?),
            Long("first") => found.first = parser.value()?.parse()?,
            Long("step") => found.step = parser.value()?.parse()?,
            Value(command) => found.command = command.string()?,
            _ => return Err(argument.unexpected()),
        }
    }
    Ok(found)
}

fn main() -> ExitCode {
    strike::tell_last_steps_when_asked();
    // An actor may be told to be hit before it is one.
    strike::before_the_entry(strike::strike_self);
    hatchery::init();
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("chaos: {error}");
            return ExitCode::from(2);
        }
    };
    match arguments.command.as_str() {
        "run" => harness::run(&arguments),
        "roots" => root::run(&arguments),
        "plan" => {
            println!("{:#?}", plan::Tree::new(arguments.seed, arguments.first));
            ExitCode::SUCCESS
        }
        other => {
            eprintln!("chaos: there is no `{other}`; there are run and plan");
            ExitCode::from(2)
        }
    }
}
