//! The deep run: parts made of slices, each slice a command with a closing line of figures. What is
//! done is kept, so that a part goes on where it was left; a part that is whole becomes a row of
//! `tests/RESULTS.md`. Nothing here knows what a command does.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Figures that have to be zero, whatever the exit code says.
pub const FAULTS: [&str; 16] = [
    "crashes",
    "deadlocks",
    "failures",
    "fds",
    "hangs",
    "left",
    "lost",
    "orphans",
    "over",
    "red",
    "slow",
    "sockets",
    "threads",
    "unanswered",
    "violations",
    "zombies",
];

/// Set where tests that repeat themselves are to do so as often as the design says.
pub const FULL: &str = "HATCHERY_TESTS_FULL";

/// How often a test does what it does: few times, or as the design says where [`FULL`] is set.
pub fn figure(few: usize, full: usize) -> usize {
    if std::env::var_os(FULL).is_some() { full } else { few }
}

/// How much of a failed slice's output is shown, from its end.
const TAIL: usize = 4000;

/// What stands before the rows.
const HEADER: &str = "\
# What deep runs found

Appended by `cargo run --release -p hatchery-tests --bin deep -- --part NAME`, one row for a part that
was run at its full figures, or as far as `slices` says. A row is never edited; `+` behind a commit
means that the sources were changed since.

| date | commit | part | slices | minutes | figures |
| --- | --- | --- | --- | --- | --- |
";

/// Something that is run at its full figures.
#[derive(Clone, Debug)]
pub struct Part {
    /// What it is asked for by.
    pub name: &'static str,
    /// What it runs.
    pub about: String,
    /// In this order.
    pub slices: Vec<Slice>,
}

/// A command that does a share of a part.
#[derive(Clone, Debug)]
pub struct Slice {
    /// Unique in its part: what is done is known by it.
    pub name: String,
    /// The program and its arguments, run at the root of the workspace.
    pub command: Vec<OsString>,
    /// Where its figures are.
    pub reads: Reads,
}

/// How the figures of a slice are found in its output.
#[derive(Clone, Debug)]
pub enum Reads {
    /// In the last line that begins with this name: `name: runs=5 violations=0`.
    Line(&'static str),
    /// In what cargo-mutants says last. Mutants that were missed are a figure, no failure.
    Mutants,
}

/// Named numbers, in the order in which they came up first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures(Vec<(String, u64)>);

impl Figures {
    /// Reads `name=number` words, and leaves out every other word.
    pub fn parse(line: &str) -> Self {
        let mut figures = Self::default();
        for (name, value) in line.split_whitespace().filter_map(|word| word.split_once('=')) {
            if let Ok(value) = value.parse() {
                figures.add(name, value);
            }
        }
        figures
    }

    fn add(&mut self, name: &str, value: u64) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            // The deepest of all slices; everything else adds up.
            Some((name, most)) if name == "depth" => *most = value.max(*most),
            Some((_, sum)) => *sum += value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    fn add_all(&mut self, other: &Self) {
        other.0.iter().for_each(|(name, value)| self.add(name, *value));
    }

    /// The number of this name.
    pub fn get(&self, name: &str) -> Option<u64> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        f.write_str(&words.join(" "))
    }
}

/// How far a part has come.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// Slices that are done, and how many there are.
    pub done: usize,
    /// See there.
    pub of: usize,
    /// Their sums.
    pub figures: Figures,
    /// What they took.
    pub took: Duration,
}

impl Standing {
    /// Whether every slice is done.
    pub fn is_whole(&self) -> bool {
        self.done == self.of
    }

    /// The closing line.
    pub fn line(&self, part: &str) -> String {
        let Self { done, of, figures, .. } = self;
        format!("deep: part={part} slices={done}/{of} {figures}")
    }
}

/// Where a run keeps what is done and writes what came of it, and what it is a run of.
#[derive(Clone, Debug)]
pub struct Deep {
    /// Where commands run.
    pub root: PathBuf,
    /// Where what is done is kept.
    pub state: PathBuf,
    /// The file of rows.
    pub results: PathBuf,
    /// What the sources are. Slices of another commit do not count.
    pub commit: String,
    /// Today.
    pub date: String,
}

impl Deep {
    /// Does what is left of a part, at most so many slices, none begun after `until`. Each slice's
    /// closing line goes to `say`. A whole part becomes a row, and begins anew the next time.
    ///
    /// # Errors
    ///
    /// Says which slice failed and how. What was done before stays done.
    pub fn run(
        &self,
        part: &Part,
        most: usize,
        until: Option<Instant>,
        say: &mut dyn FnMut(&str),
    ) -> Result<Standing, String> {
        fs::create_dir_all(&self.state).map_err(|error| self.failed(&self.state, &error))?;
        let mut done = self.done(part)?;
        let open = part.slices.iter().filter(|slice| !done.iter().any(|it| it.name == slice.name));
        let open: Vec<_> = open.take(most).collect();
        for slice in open {
            if until.is_some_and(|until| Instant::now() >= until) {
                break;
            }
            let began = Instant::now();
            let line = self.slice(part, slice)?;
            let record = Record { name: slice.name.clone(), took: began.elapsed(), line };
            say(&format!("{}: {}", record.name, record.line));
            self.keep(part, &record)?;
            done.push(record);
        }
        let standing = standing(part, &done);
        if standing.is_whole() {
            self.record(part, &standing)?;
            let kept = self.kept(part);
            fs::remove_file(&kept).map_err(|error| self.failed(&kept, &error))?;
        }
        Ok(standing)
    }

    /// How far a part has come.
    ///
    /// # Errors
    ///
    /// Says what cannot be read.
    pub fn standing(&self, part: &Part) -> Result<Standing, String> {
        Ok(standing(part, &self.done(part)?))
    }

    /// Appends a row.
    ///
    /// # Errors
    ///
    /// Says what cannot be written.
    pub fn record(&self, part: &Part, standing: &Standing) -> Result<(), String> {
        let Standing { done, of, figures, took } = standing;
        let minutes = took.as_secs() / 60;
        let (date, commit, name) = (&self.date, &self.commit, part.name);
        let row = format!("| {date} | {commit} | {name} | {done}/{of} | {minutes} | {figures} |\n");
        let before = match fs::read_to_string(&self.results) {
            Ok(before) => before,
            Err(error) if error.kind() == io::ErrorKind::NotFound => HEADER.to_owned(),
            Err(error) => return Err(self.failed(&self.results, &error)),
        };
        fs::write(&self.results, before + &row).map_err(|error| self.failed(&self.results, &error))
    }

    /// Runs one slice; gives its closing line.
    fn slice(&self, part: &Part, slice: &Slice) -> Result<String, String> {
        let log = self.state.join(format!("{}.log", part.name));
        let failed = |error| self.failed(&log, &error);
        let output = File::create(&log).map_err(failed)?;
        let errors = output.try_clone().map_err(failed)?;
        let (program, arguments) = slice.command.split_first().ok_or("a slice is no command")?;
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&self.root).stdin(Stdio::null());
        let status = command.stdout(output).stderr(errors).status();
        let status = status.map_err(|error| format!("{}: {error}", program.display()))?;
        let text = String::from_utf8_lossy(&fs::read(&log).map_err(failed)?).into_owned();
        judge(&slice.reads, status.code(), &text).map_err(|fault| {
            let from = text.len().saturating_sub(TAIL);
            let from = (from..=text.len()).find(|at| text.is_char_boundary(*at));
            let tail = from.and_then(|from| text.get(from..)).unwrap_or_default();
            format!("part {}, slice {}: {fault} ({status})\n{tail}", part.name, slice.name)
        })
    }

    fn kept(&self, part: &Part) -> PathBuf {
        self.state.join(format!("{}-{}.done", part.name, self.commit))
    }

    fn keep(&self, part: &Part, record: &Record) -> Result<(), String> {
        let path = self.kept(part);
        let failed = |error| self.failed(&path, &error);
        // A line that a crash has torn is ended, so that it is read as none.
        let torn = fs::read(&path).is_ok_and(|bytes| bytes.last().is_some_and(|it| *it != b'\n'));
        let mut file = OpenOptions::new().create(true).append(true).open(&path).map_err(failed)?;
        let Record { name, took, line } = record;
        let mark = if torn { "\n" } else { "" };
        let text = format!("{mark}{name}\t{}\t{line}\tdone\n", took.as_millis());
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
    }

    fn done(&self, part: &Part) -> Result<Vec<Record>, String> {
        let path = self.kept(part);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(self.failed(&path, &error)),
        };
        let is_known = |one: &Record| part.slices.iter().any(|slice| slice.name == one.name);
        Ok(text.lines().filter_map(Record::parse).filter(is_known).collect())
    }

    fn failed(&self, path: &Path, error: &io::Error) -> String {
        format!("{}: {error}", path.display())
    }
}

/// A slice that is done.
#[derive(Clone, Debug)]
struct Record {
    name: String,
    took: Duration,
    line: String,
}

impl Record {
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<_> = text.split('\t').collect();
        let [name, took, line, "done"] = fields[..] else { return None };
        let took = Duration::from_millis(took.parse().ok()?);
        Some(Self { name: name.to_owned(), took, line: line.to_owned() })
    }
}

fn standing(part: &Part, done: &[Record]) -> Standing {
    let mut standing = Standing { of: part.slices.len(), ..Standing::default() };
    for slice in &part.slices {
        if let Some(record) = done.iter().find(|record| record.name == slice.name) {
            standing.done += 1;
            standing.took += record.took;
            standing.figures.add_all(&Figures::parse(&record.line));
        }
    }
    standing
}

/// The closing line of an output, or what is wrong with it.
///
/// # Errors
///
/// Where the exit code, the figures, or their absence say that it has failed.
pub fn judge(reads: &Reads, code: Option<i32>, output: &str) -> Result<String, String> {
    let is_fine = match reads {
        // 2: mutants were missed, 3: one took too long.
        Reads::Mutants => matches!(code, Some(0 | 2 | 3)),
        _ => code == Some(0),
    };
    if !is_fine {
        return Err("it failed".to_owned());
    }
    let mut lines = output.lines().rev().map(str::trim);
    let line = match reads {
        Reads::Line(name) => {
            lines.find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(": ")))
        }
        .map(str::to_owned),
        Reads::Mutants => lines.find_map(mutants),
    };
    let line = line.ok_or("its closing line is missing")?;
    let figures = Figures::parse(&line);
    match FAULTS.iter().find(|name| figures.get(name).is_some_and(|count| count > 0)) {
        Some(name) => Err(format!("there are {name}: {line}")),
        None => Ok(line),
    }
}

/// `12 mutants tested in 3m: 1 missed, 9 caught, 2 unviable` as figures.
fn mutants(line: &str) -> Option<String> {
    let (tested, found) = line.split_once(": ")?;
    let (count, _) = tested.split_once(" mutants tested")?;
    let mut figures = vec![format!("mutants: mutants={}", count.parse::<u64>().ok()?)];
    for one in found.split(", ") {
        let (count, name) = one.split_once(' ')?;
        figures.push(format!("{name}={}", count.parse::<u64>().ok()?));
    }
    Some(figures.join(" "))
}
