//! What hatchery costs beside what the same work costs without it: `cargo bench -p hatchery`.
//!
//! Every row has its limit measured in the same run, rounds of all contenders interleaved; the table
//! shows medians and ratios to the limit. Nothing is asserted: a timing never decides whether
//! anything passes. `-- --quick` shows that it runs and measures badly, `-- ROW…` runs rows whose
//! name holds one of the words.
//!
//! Every sample is a process of its own, this program run again, on cores that were chosen for it.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what it prints is its result")]

use std::env;
use std::io;
use std::process::ExitCode;

use crate::rows::Plan;

mod blocking;
mod place;
mod rows;
mod smallest;
mod tree;

fn main() -> ExitCode {
    hatchery::init();
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["--sample", row, contender, scale] => rows::sample(row, contender, scale),
        ["--peer", name, cores @ ..] => peer(name, cores),
        _ => rows::run(&Plan::of(&words)),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("limits: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The other end of a measurement that does without hatchery.
fn peer(name: &str, cores: &[&str]) -> io::Result<ExitCode> {
    place::end_with_parent()?;
    if let Some(core) = cores.first().and_then(|core| core.parse().ok()) {
        place::pin_to(core)?;
    }
    let link = place::link_of_peer()?;
    match name {
        "ready" => blocking::ready(link)?,
        "answer" => blocking::answer(link)?,
        "count" => blocking::count(link)?,
        "smol-answer" => smallest::answer(link)?,
        "smol-count" => smallest::count(link)?,
        "smol-idle" => smallest::idle(link)?,
        other => return Err(io::Error::other(format!("no peer is called `{other}`"))),
    }
    Ok(ExitCode::SUCCESS)
}
