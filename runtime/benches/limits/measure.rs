//! How it is measured: every sample in a process of its own, the contenders of a row in turn.

use std::collections::BTreeMap;
use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt};
use smol::Timer;
use smol::future::or;
use smol::process::{Command, Stdio};

use crate::bars::{Bar, Bound, INNER, ROWS, Row, Scale};
use crate::shown::Line;
use crate::{drawing, page, place, shown, starts};

/// Round trips before the clock starts.
pub(crate) const WARM_UP: u32 = 200;

/// How long an idle process is left alone before it is looked at.
pub(crate) const SETTLE: Duration = Duration::from_millis(200);

/// Longer than this no sample takes unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Which of its tables a command line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// All bars beside their limits.
    Limits,
    /// What repeats exactly, beside its pins.
    Counts,
    /// Curves over many contexts, links, actors and messages.
    Scale,
    /// Finding and linking actors beside plain connections.
    Links,
}

/// What a command line asks for.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) what: What,
    pub(crate) quick: bool,
    words: Vec<String>,
    json: Option<PathBuf>,
    pub(crate) svg: Option<PathBuf>,
    /// The page whose table is written anew.
    pub(crate) page: Option<PathBuf>,
}

impl Plan {
    /// Reads it.
    pub(crate) fn read() -> io::Result<Self> {
        let what = What::Limits;
        let mut plan =
            Self { what, quick: false, words: Vec::new(), json: None, svg: None, page: None };
        let mut arguments = Parser::from_env();
        let wrong = |error| io::Error::other(format!("{error}; see the head of its main.rs"));
        while let Some(argument) = arguments.next().map_err(wrong)? {
            match argument {
                // Cargo's own.
                Arg::Long("bench") => {}
                Arg::Long("quick") => plan.quick = true,
                Arg::Long("counts") => plan.what = What::Counts,
                Arg::Long("scale") => plan.what = What::Scale,
                Arg::Long("links") => plan.what = What::Links,
                Arg::Long("page") => plan.page = Some(arguments.value().map_err(wrong)?.into()),
                Arg::Long("json") => plan.json = Some(arguments.value().map_err(wrong)?.into()),
                Arg::Long("svg") => plan.svg = Some(arguments.value().map_err(wrong)?.into()),
                Arg::Value(word) => plan.words.push(word.string().map_err(wrong)?),
                other => return Err(wrong(other.unexpected())),
            }
        }
        Ok(plan)
    }

    /// Whether something of this name is asked for: everything is where nothing is named.
    pub(crate) fn names(&self, fits: impl Fn(&str) -> bool) -> bool {
        self.words.is_empty() || self.words.iter().any(|word| fits(word))
    }

    fn wants(&self, row: &Row) -> bool {
        self.names(|word| row.key.contains(word) || row.bars.iter().any(|bar| bar.id == word))
    }

    /// Where the table for machines goes.
    pub(crate) fn json(&self, name: &str) -> PathBuf {
        let usual = || Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        self.json.clone().unwrap_or_else(usual)
    }

    fn rounds(&self, row: &Row) -> usize {
        if self.quick { row.rounds.min(3) } else { row.rounds }
    }

    fn times(&self, row: &Row) -> u32 {
        if self.quick { (row.times / 10).max(1) } else { row.times }
    }
}

/// What a contender came to, round by round, in the order of size.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    pub(crate) values: Vec<f64>,
    pub(crate) failed: Option<String>,
}

impl Found {
    /// The value in the middle.
    pub(crate) fn median(&self) -> Option<f64> {
        let count = self.values.len();
        let low = self.values.get(count.checked_sub(1)? / 2)?;
        Some(f64::midpoint(*low, *self.values.get(count / 2)?))
    }
}

/// What all contenders of a row came to.
type Results = BTreeMap<&'static str, Found>;

/// The value that so many of a hundred are not above.
pub(crate) fn percentile(mut values: Vec<Duration>, hundredths: usize) -> Duration {
    values.sort_unstable();
    values.get(values.len() * hundredths / 100).or(values.last()).copied().unwrap_or_default()
}

/// Measures, and shows the table in all its forms.
pub(crate) fn run(plan: &Plan) -> io::Result<ExitCode> {
    if let Err(error) = starts::build_tiny() {
        eprintln!("limits: no limit for what starts processes: {error}");
    }
    let (mut lines, mut failed) = (Vec::new(), false);
    for row in ROWS.iter().filter(|row| plan.wants(row)) {
        if row.across_cores && place::cores().len() < 2 {
            eprintln!("limits: {} needs two cores", row.key);
            continue;
        }
        eprintln!("limits: {}", row.key);
        let found = measure(plan, row)?;
        for (name, reason) in found.iter().filter_map(|(name, f)| Some((name, f.failed.as_ref()?)))
        {
            eprintln!("limits: {}, {name}: {reason}", row.key);
            failed |= !reason.contains(MISSING);
        }
        lines.extend(row.bars.iter().map(|bar| line(row, bar, &found)));
    }
    let table = shown::table(&lines);
    println!("{table}");
    println!("{}", shown::summary(&lines, plan));
    shown::save(&lines, plan, &plan.json("limits.json"))?;
    if let Some(path) = &plan.page {
        page::write(path, shown::PLACE, table, &shown::summary(&lines, plan))?;
    }
    if let Some(path) = &plan.svg {
        drawing::save(&lines, path)?;
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// All rounds of a row.
fn measure(plan: &Plan, row: &Row) -> io::Result<Results> {
    let mut results = Results::new();
    for _ in 0..plan.rounds(row) {
        for contender in row.contenders {
            let found = results.entry(contender.name).or_default();
            if found.failed.is_some() {
                continue;
            }
            match sample_in_process(row.key, contender.name, plan.times(row))? {
                Ok(value) => found.values.push(value),
                Err(reason) => found.failed = Some(reason),
            }
        }
    }
    results.values_mut().for_each(|found| found.values.sort_by(f64::total_cmp));
    Ok(results)
}

/// What a bar comes to.
fn line(row: &'static Row, bar: &'static Bar, found: &Results) -> Line {
    let value = |name: &str| found.get(name).and_then(Found::median);
    let bound = |bound: Bound| match bound {
        Bound::Is(value) => Some(value),
        Bound::Times(times, of) if row.more_is_better => Some(value(of)? / times),
        Bound::Times(times, of) => Some(value(of)? * times),
    };
    Line {
        row,
        bar,
        ours: value(bar.ours),
        limit: bar.limit.and_then(value),
        t1: bound(bar.t1),
        t2: bound(bar.t2),
        all: found.clone(),
    }
}

/// What a sample says in which nothing was measured since a program is missing.
const MISSING: &str = "is not installed";

/// One sample, or why there is none.
pub(crate) fn sample_in_process(
    row: &str,
    contender: &str,
    times: u32,
) -> io::Result<Result<f64, String>> {
    let times = times.to_string();
    let told = in_process(&["--sample", row, contender, &times], PATIENCE)?;
    Ok(told.and_then(|told| told.parse().map_err(|_| format!("no number: {told:?}"))))
}

/// What this program says when it is run with these arguments, or why it says nothing.
pub(crate) fn in_process(
    arguments: &[&str],
    patience: Duration,
) -> io::Result<Result<String, String>> {
    let mut command = Command::new(env::current_exe()?);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = smol::block_on(or(async { Some(command.output().await) }, async {
        Timer::after(patience).await;
        None
    }));
    let Some(output) = output.transpose()? else { return Ok(Err("no end in time".into())) };
    let told = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(match output.status.success() {
        true => Ok(told),
        false => {
            Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()))
        }
    })
}

/// In a process of its own: takes one sample and prints it.
pub(crate) fn sample(row: &str, contender: &str, times: &str) -> io::Result<ExitCode> {
    let wrong = || io::Error::other("no such sample");
    let row = ROWS.iter().chain(INNER).find(|known| known.key == row).ok_or_else(wrong)?;
    let contender =
        row.contenders.iter().find(|known| known.name == contender).ok_or_else(wrong)?;
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
