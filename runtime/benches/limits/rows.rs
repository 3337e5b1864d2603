//! The rows of the table: what is measured, by whom, in which rounds, and how it is shown.

use std::env;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use smol::Timer;
use smol::future::or;
use smol::process::{Command, Stdio};

use crate::{blocking, place, smallest, tree};

/// Round trips before the clock starts.
pub(crate) const WARM_UP: u32 = 200;

/// How long an idle process is left alone before it is looked at.
pub(crate) const SETTLE: Duration = Duration::from_millis(200);

/// Longer than this no sample takes unless it hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// How much one sample does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// How often.
    pub(crate) times: u32,
    /// Where the peer runs, if not on the core of this process.
    pub(crate) other_core: Option<usize>,
}

/// Who does the work of a row, and how it is called in the table.
struct Contender {
    name: &'static str,
    sample: fn(Scale) -> io::Result<f64>,
}

const fn by(name: &'static str, sample: fn(Scale) -> io::Result<f64>) -> Contender {
    Contender { name, sample }
}

/// One piece of work. The first contender is the limit that the others are compared with.
struct Row {
    name: &'static str,
    unit: &'static str,
    /// Whether a bigger number is better.
    more_is_better: bool,
    across_cores: bool,
    times: u32,
    contenders: &'static [Contender],
}

/// Everything that is measured.
const ROWS: &[Row] = &[
    Row {
        name: "round trip, 32 B, one core (B1, B2)",
        unit: "µs",
        more_is_better: false,
        across_cores: false,
        times: 5_000,
        contenders: ROUND_TRIPS,
    },
    Row {
        name: "round trip, 32 B, across cores (B3)",
        unit: "µs",
        more_is_better: false,
        across_cores: true,
        times: 2_000,
        contenders: ROUND_TRIPS,
    },
    Row {
        name: "stream of 16 B items, one core (B8)",
        unit: "million/s",
        more_is_better: true,
        across_cores: false,
        times: 500_000,
        contenders: &[
            by("blocking socket, 64 KiB at a time", |s| items(s, 16, blocking::copy)),
            by("smol, 64 KiB at a time", |s| items(s, 16, smallest::copy)),
            by("hatchery", |s| Ok(f64::from(s.times) / micros(tree::small_items(s)?))),
        ],
    },
    Row {
        name: "stream of 64 KiB items, one core (B10)",
        unit: "GB/s",
        more_is_better: true,
        across_cores: false,
        times: 4_000,
        contenders: &[
            by("blocking socket", |s| Ok(65.536 * items(s, 65_536, blocking::copy)?)),
            by("smol", |s| Ok(65.536 * items(s, 65_536, smallest::copy)?)),
            by("hatchery", |s| Ok(65.536 * f64::from(s.times) / micros(tree::large_items(s)?))),
        ],
    },
    Row {
        name: "spawn until up (B11)",
        unit: "ms",
        more_is_better: false,
        across_cores: false,
        times: 20,
        contenders: &[
            by("`true` by std, until it has ended", |s| Ok(millis(blocking::run_true(s)?))),
            by("this image by std, until its first byte", |s| Ok(millis(blocking::spawn(s)?))),
            by("the same by async-process", |s| Ok(millis(smallest::spawn(s)?))),
            by("hatchery", |s| Ok(millis(tree::spawn(s)?))),
        ],
    },
    Row {
        name: "idle child: private dirty memory (B14)",
        unit: "KiB",
        more_is_better: false,
        across_cores: false,
        times: 1,
        contenders: &[by("smallest smol program", smallest::memory), by("hatchery", tree::memory)],
    },
    Row {
        name: "idle child: threads (B14)",
        unit: "",
        more_is_better: false,
        across_cores: false,
        times: 1,
        contenders: &[
            by("smallest smol program", smallest::threads),
            by("hatchery", tree::threads),
        ],
    },
];

const ROUND_TRIPS: &[Contender] = &[
    by("blocking socket", |s| Ok(micros(blocking::round_trip(s)?))),
    by("smol", |s| Ok(micros(smallest::round_trip(s)?))),
    by("hatchery, stream", |s| Ok(micros(tree::stream_round_trip(s)?))),
    by("hatchery, call", |s| Ok(micros(tree::call_round_trip(s)?))),
];

fn micros(took: Duration) -> f64 {
    took.as_secs_f64() * 1e6
}

fn millis(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}

/// Millions of items of `size` bytes in a second, where the copy takes no notice of items. It is so
/// fast that it copies more than was asked for, or it would be over before it can be timed.
fn items(scale: Scale, size: u64, copy: fn(Scale, u64) -> io::Result<Duration>) -> io::Result<f64> {
    let bytes = (u64::from(scale.times) * size).max(1 << 28);
    Ok(bytes as f64 / size as f64 / micros(copy(scale, bytes)?))
}

/// What a command line asks for.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    quick: bool,
    words: Vec<&'a str>,
}

impl<'a> Plan<'a> {
    /// Reads it; cargo's own `--bench` and other options are none of ours.
    pub(crate) fn of(words: &[&'a str]) -> Self {
        let wanted = words.iter().copied().filter(|word| !word.starts_with('-'));
        Self { quick: words.contains(&"--quick"), words: wanted.collect() }
    }

    fn wants(&self, row: &Row) -> bool {
        self.words.is_empty() || self.words.iter().any(|word| row.name.contains(word))
    }

    fn rounds(&self) -> usize {
        if self.quick { 2 } else { 7 }
    }

    fn times(&self, row: &Row) -> u32 {
        if self.quick { (row.times / 20).max(1) } else { row.times }
    }
}

/// Measures and prints the table.
pub(crate) fn run(plan: &Plan<'_>) -> io::Result<ExitCode> {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["work", "by", "median", "unit", "lowest", "highest", "times the limit"]);
    for column in [2, 4, 5, 6] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut failed = false;
    for (index, row) in ROWS.iter().enumerate().filter(|(_, row)| plan.wants(row)) {
        if row.across_cores && place::cores().len() < 2 {
            table.add_row([row.name, "needs two cores"]);
            continue;
        }
        eprintln!("limits: {}", row.name);
        failed |= !measure(plan, index, row, &mut table)?;
    }
    println!("{table}");
    println!("medians of {} interleaved rounds; nothing is asserted", plan.rounds());
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Adds a row for each contender, and says whether every sample came to an end.
fn measure(plan: &Plan<'_>, index: usize, row: &Row, table: &mut Table) -> io::Result<bool> {
    let mut found = vec![Vec::new(); row.contenders.len()];
    let mut failed = vec![None; row.contenders.len()];
    for _ in 0..plan.rounds() {
        for contender in 0..row.contenders.len() {
            if failed[contender].is_some() {
                continue;
            }
            match sample_in_process(index, contender, plan.times(row))? {
                Ok(value) => found[contender].push(value),
                Err(reason) => failed[contender] = Some(reason),
            }
        }
    }
    let limit = median(&mut found[0]);
    for (contender, values) in found.iter_mut().enumerate() {
        let name = row.contenders[contender].name;
        let first = if contender == 0 { row.name } else { "" };
        if let Some(reason) = &failed[contender] {
            eprintln!("limits: {}, {name}: {reason}", row.name);
            table.add_row([first, name, "failed"]);
            continue;
        }
        let value = median(values);
        let ratio = if row.more_is_better { limit / value } else { value / limit };
        let (lowest, highest) = (values[0], values[values.len() - 1]);
        table.add_row([
            first.to_owned(),
            name.to_owned(),
            shown(value),
            row.unit.to_owned(),
            shown(lowest),
            shown(highest),
            format!("{ratio:.2}"),
        ]);
    }
    Ok(failed.iter().all(Option::is_none))
}

/// The value in the middle; sorts them.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    match (values.get(values.len().wrapping_sub(1) / 2), values.get(values.len() / 2)) {
        (Some(low), Some(high)) => f64::midpoint(*low, *high),
        _ => f64::NAN,
    }
}

fn shown(value: f64) -> String {
    let digits = match value {
        1000.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    format!("{value:.digits$}")
}

/// One sample, or why there is none.
fn sample_in_process(row: usize, contender: usize, times: u32) -> io::Result<Result<f64, String>> {
    let mut command = Command::new(env::current_exe()?);
    command.arg("--sample").args([row.to_string(), contender.to_string(), times.to_string()]);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = smol::block_on(or(async { Some(command.output().await) }, async {
        Timer::after(PATIENCE).await;
        None
    }));
    let Some(output) = output.transpose()? else { return Ok(Err("no end in time".into())) };
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(match told.trim().parse() {
        Ok(value) if output.status.success() => Ok(value),
        _ => Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim())),
    })
}

/// In a process of its own: takes one sample and prints it.
pub(crate) fn sample(row: &str, contender: &str, times: &str) -> io::Result<ExitCode> {
    let wrong = || io::Error::other("no such sample");
    let row = row.parse().ok().and_then(|row: usize| ROWS.get(row)).ok_or_else(wrong)?;
    let contender: usize = contender.parse().map_err(|_| wrong())?;
    let contender = row.contenders.get(contender).ok_or_else(wrong)?;
    let times = times.parse().map_err(|_| wrong())?;
    place::end_with_parent()?;
    let cores = place::cores();
    if let Some(core) = cores.last() {
        place::pin_to(*core)?;
    }
    let other_core = cores.first().copied().filter(|_| row.across_cores);
    let value = (contender.sample)(Scale { times, other_core })?;
    println!("{value}");
    Ok(ExitCode::SUCCESS)
}
