//! How far hatchery is from its limits: `cargo bench -p hatchery --bench limits`.
//!
//! Every bar of the design that is a time, a rate, an amount of memory or a count is a row of one
//! table, beside the limit that was measured in the same run, rounds of all contenders interleaved,
//! medians of them. Nothing is asserted: a timing never decides whether anything passes.
//!
//! - `-- --quick`: the whole table in under a minute, badly measured.
//! - `-- WORD…`: only bars with this id (`B6`), or work whose key holds the word (`calls`).
//! - `-- --json FILE`, `--svg FILE`: the table for machines, and as a picture. Without `--json` it is
//!   `tmp/limits.json` in the target folder; a picture is drawn where one is asked for.
//! - `-- --links`: what finding and linking actors costs; with `--features quic` over networks too.
//!
//! With `--features parker` it is measured with that, and says so.
//!
//! Every sample is a process of its own, this program run again, on cores that were chosen for it,
//! with processes at both ends of whatever it measures. Programs that count are `strace` (B4) and
//! `valgrind` (B18); where one is not installed, its row is empty.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what it prints is its result")]

use std::env;
use std::io;
use std::process::ExitCode;

mod bars;
mod blocking;
mod coalesced;
mod control;
mod counted;
mod drawing;
mod frame;
mod links;
mod measure;
mod page;
mod pins;
mod place;
mod scale;
mod shown;
mod smallest;
mod starts;
mod tree;

use measure::What;

fn main() -> ExitCode {
    counted::begin_if_told();
    hatchery::init();
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["--sample", row, contender, scale] => measure::sample(row, contender, scale),
        ["--curve", curve, n] => scale::sample(curve, n),
        ["--link", row] => links::sample(row),
        ["--peer", name, cores @ ..] => peer(name, cores),
        _ => measure::Plan::read().and_then(|plan| match plan.what {
            What::Limits => measure::run(&plan),
            What::Counts => pins::run(&plan),
            What::Scale => scale::run(&plan),
            What::Links => links::run(&plan),
        }),
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
        "ready" => starts::ready(link)?,
        "accept" => links::accept(link)?,
        "answer" => blocking::answer(link)?,
        "answer-spinning" => blocking::answer_spinning(link)?,
        "count" => blocking::count(link)?,
        "take" => blocking::take(link)?,
        "answer-all" => coalesced::answer_all(link)?,
        "count-16" => coalesced::count::<16>(link)?,
        "count-64" => coalesced::count::<64>(link)?,
        "count-1024" => coalesced::count::<1024>(link)?,
        "acknowledge" => control::acknowledge(link)?,
        "smol-answer" => smallest::answer(link)?,
        "smol-count" => smallest::count(link)?,
        "smol-idle" => smallest::idle(link)?,
        other => return Err(io::Error::other(format!("no peer is called `{other}`"))),
    }
    Ok(ExitCode::SUCCESS)
}
