//! What repeats exactly, and how much of it there may be: `--counts`.
//!
//! A count above its pin fails; one far below says that its pin is to be tightened. Callgrind is
//! driven directly, and not through a harness such as gungraun: what is pinned is what one more time
//! costs, the difference between two runs, which such a harness does not hold to a number, and its
//! runner of the same version would have to be built first.

use std::env;
use std::io;
use std::process::{Command, ExitCode};

use crate::bars::{OURS, Scale};
use crate::measure::{Plan, sample_in_process};
use crate::shown::{self, shown};
use crate::{counted, page};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// By callgrind.
    Instructions,
    /// By the allocator, of all ends.
    Allocations,
}

/// One count.
struct Pin {
    /// The row that does the work, and who of it.
    row: &'static str,
    contender: &'static str,
    work: &'static str,
    unit: Unit,
    /// How often it is done: a whole number of the runs of `core-run`.
    times: u32,
    /// What it came to when it was looked at last.
    count: f64,
    /// The share by which it may be more.
    allowed: f64,
}

/// The compiler whose instructions are pinned: another one makes other code.
const COMPILER: &str = "1.95.";

/// How much more than its pin a count may be: what differs between two machines, and what an
/// unrelated change does to the order of code.
const ALLOWED: f64 = 0.02;
/// The same where a piece is so small that whether the compiler inlines a part of it is a tenth.
const ALLOWED_SMALL: f64 = 0.10;
/// The same of all instructions by another compiler.
const ALLOWED_ELSEWHERE: f64 = 0.15;
/// Of a count so small that it has no hundredth.
const LEAST: f64 = 0.1;
/// Two processes do not always meet in the same order, and wait a little more or less often: of so
/// many runs that count in both, the least counts.
const RUNS: u32 = 3;
/// A count that is so much less than its pin shows that the pin holds nothing any more.
const LOOSE: f64 = 0.10;

#[rustfmt::skip]
const PINS: &[Pin] = &[
    core("core-loop", "value of 16 B: sent, carried, delivered", 1633.0),
    core("core-run", "value of 16 B, 64 carried at a time", 395.0),
    core("core-call", "call of 32 B each way, both ends", 7682.0),
    core("core-calls", "the same, 64 at once", 7375.0),
    core("core-start", "call that is refused, both ends", 6840.0),
    core("core-credit", "value sent, its credit received", 1191.0),
    small("core-late", "hostile: a value for what is over", 451.0),
    core("core-broken", "hostile: greeted, then broken, a new link each", 11269.0),
    small("wire-frame", "frame of 32 B written and cut off", 274.0),
    small("wire-bodies", "bodies of Start and Credit, encoded and decoded", 907.0),
    allocations("core-loop-allocations", OURS, "value of 16 B, the core alone", 0.0),
    allocations("core-call-allocations", OURS, "call of 32 B, the core alone", 2.0),
    allocations("allocations-call", "hatchery, 32 B", "call of 32 B, both ends", 2.0),
    allocations("allocations-call", OURS, "call of 4 KiB, both ends", 2.0),
    allocations("allocations-item", "hatchery, 32 B", "stream item of 32 B, both ends", 0.02),
    allocations("allocations-item", OURS, "stream item of 4 KiB, both ends", 0.17),
];

/// System calls of both ends are shown and not held to anything: being traced, the ends do not
/// always meet in the same order. Row, who of it, what it is, how often.
const SYSTEM_CALLS: &[(&str, &str, &str, u32)] = &[
    ("round-trip", "hatchery, call", "call of 32 B, one at a time", 1_000),
    ("round-trip", "hatchery, stream", "value of 32 B to and fro on a stream", 1_000),
    ("round-trip", "smol", "the same by the smallest smol program", 1_000),
    ("round-trip", "block", "the same by blocking programs", 1_000),
    ("calls-64", OURS, "call, 64 in flight", 4_000),
];

const fn core(row: &'static str, work: &'static str, count: f64) -> Pin {
    Pin {
        row,
        contender: OURS,
        work,
        unit: Unit::Instructions,
        times: 1_920,
        count,
        allowed: ALLOWED,
    }
}

const fn small(row: &'static str, work: &'static str, count: f64) -> Pin {
    Pin { allowed: ALLOWED_SMALL, ..core(row, work, count) }
}

const fn allocations(
    row: &'static str,
    contender: &'static str,
    work: &'static str,
    count: f64,
) -> Pin {
    Pin { row, contender, work, unit: Unit::Allocations, times: 4_000, count, allowed: ALLOWED }
}

/// What a count means.
#[derive(Clone, Debug, PartialEq)]
enum Verdict {
    Holds,
    Loose(String),
    Above(String),
}

impl Pin {
    fn name(&self) -> &'static str {
        match self.unit {
            Unit::Instructions => "instructions",
            Unit::Allocations => "allocations",
        }
    }

    fn count(&self) -> io::Result<f64> {
        let scale = Scale { times: self.times, other_core: None };
        match self.unit {
            Unit::Instructions => counted::instructions(scale, self.row, self.contender),
            Unit::Allocations => (0..RUNS).try_fold(f64::INFINITY, |least, _| {
                let count = sample_in_process(self.row, self.contender, self.times)?;
                Ok(least.min(count.map_err(io::Error::other)?))
            }),
        }
    }

    fn judge(&self, count: f64, allowed: f64) -> Verdict {
        let (of, pinned) = (self.name(), shown(self.count));
        let told = || format!("{}: {} {of}, pinned {pinned}", self.named(), shown(count));
        if count > self.count * (1.0 + allowed) + LEAST {
            let hundredths = allowed * 100.0;
            Verdict::Above(format!("{} + {hundredths} %", told()))
        } else if count < self.count * (1.0 - LOOSE) - LEAST {
            Verdict::Loose(format!("{}: tighten it", told()))
        } else {
            Verdict::Holds
        }
    }

    fn named(&self) -> String {
        match self.contender {
            OURS => self.row.to_owned(),
            other => format!("{} ({other})", self.row),
        }
    }
}

/// Whether this is the compiler that the pins are from.
fn is_known_compiler() -> io::Result<bool> {
    let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let told = Command::new(compiler).arg("--version").output()?;
    Ok(String::from_utf8_lossy(&told.stdout).starts_with(&format!("rustc {COMPILER}")))
}

/// Counts, shows the table, and says what is above its pin.
pub(crate) fn run(plan: &Plan) -> io::Result<ExitCode> {
    let known = is_known_compiler()?;
    if !known {
        let hundredths = ALLOWED_ELSEWHERE * 100.0;
        eprintln!("counts: pinned by rustc {COMPILER}*, not by this one: + {hundredths} % here");
    }
    let mut table = shown::empty(&["work", "row", "what", "count", "pinned", "change"], &[3, 4, 5]);
    let (mut above, mut loose) = (Vec::new(), Vec::new());
    for pin in PINS {
        eprintln!("counts: {}", pin.named());
        let count = pin.count()?;
        let change = match (count, pin.count) {
            (count, pinned) if count == pinned => "none".to_owned(),
            (count, 0.0) => format!("{count:+.2}"),
            (count, pinned) => format!("{:+.1} %", (count / pinned - 1.0) * 100.0),
        };
        table.add_row([
            pin.work,
            &pin.named(),
            pin.name(),
            &shown(count),
            &shown(pin.count),
            &change,
        ]);
        let holds = cfg!(target_arch = "x86_64") || pin.unit != Unit::Instructions;
        let allowed = match pin.unit {
            Unit::Instructions if !known => ALLOWED_ELSEWHERE,
            _ => pin.allowed,
        };
        match pin.judge(count, allowed) {
            Verdict::Above(told) if holds => above.push(told),
            Verdict::Loose(told) if holds => loose.push(told),
            _ => {}
        }
    }
    for (row, contender, work, times) in SYSTEM_CALLS {
        eprintln!("counts: system calls, {row}, {contender}");
        let scale = Scale { times: *times, other_core: None };
        let count = shown(counted::system_calls(scale, row, contender)?);
        table.add_row([work, *row, "system calls", &count, "-", "-"]);
    }
    println!("{table}");
    if let Some(path) = &plan.page {
        page::write(path, "counts", table, "System calls are shown and not pinned.")?;
    }
    loose.iter().for_each(|told| println!("{told}"));
    above.iter().for_each(|told| println!("{told}"));
    if above.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("Find what costs it, or write in the commit what it buys and pin it in pins.rs.");
    Ok(ExitCode::FAILURE)
}
