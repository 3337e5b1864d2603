//! How costs grow: `--scale`. Curves over many contexts, links, actors and messages, each point a
//! tree of its own, both ends looked at; then what the page promises beside what was found.
//!
//! Memory on the heap is what the allocator holds, so that it comes out the same every time. What
//! the kernel holds for a socket or a process is not in it. What a message costs is time of the
//! processor, of all processes that have to do with it: it is the clock's where one core does all and
//! nobody else is about, and it still means something where others are.

use std::fs;
use std::io;
use std::process::{self, ExitCode};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{
    Resource, Rlimit, WaitOptions, getpid, getrlimit, set_child_subreaper, setrlimit, wait,
};
use serde_json::json;

use crate::measure::{Plan, in_process};
use crate::shown::{self, shown};
use crate::{page, place};

mod actors;
mod contexts;
mod hour;
mod links;
mod picture;

/// Longer than this no point takes unless it hangs.
const PATIENCE: Duration = Duration::from_secs(180);

/// Which panel of the picture a number belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Panel {
    Cost,
    Memory,
    /// In the table alone.
    Table,
}

/// One number of every point of a curve.
struct Column {
    name: &'static str,
    panel: Panel,
    /// The most of it that the page promises, at any point.
    promise: Option<f64>,
}

/// One curve.
struct Curve {
    key: &'static str,
    /// What there are `n` of.
    what: &'static str,
    points: &'static [u32],
    columns: &'static [Column],
    /// Whether everything runs on one core.
    one_core: bool,
    sample: fn(u32) -> io::Result<Vec<f64>>,
}

/// Reads the clock, and what processors have done for this process and others.
struct Took {
    began: Instant,
    before: f64,
    others: Vec<u32>,
}

impl Took {
    fn begin(others: Vec<u32>) -> io::Result<Self> {
        let before = place::processor_time(&others)? + own_time()?;
        Ok(Self { began: Instant::now(), before, others })
    }

    /// The processor's time and the clock's for each of so many, in µs.
    fn each(&self, times: u32) -> io::Result<(f64, f64)> {
        let clock = self.began.elapsed().as_secs_f64() * 1e6;
        // To look at the others costs this process something, which is not to be counted.
        let processor = own_time()? + place::processor_time(&self.others)? - self.before;
        Ok((processor / f64::from(times), clock / f64::from(times)))
    }
}

fn own_time() -> io::Result<f64> {
    place::processor_time(&[process::id()])
}

/// What was found at one point.
struct Point {
    n: u32,
    values: Vec<f64>,
}

const fn cost(name: &'static str) -> Column {
    Column { name, panel: Panel::Cost, promise: None }
}

const fn memory(name: &'static str, promise: f64) -> Column {
    Column { name, panel: Panel::Memory, promise: Some(promise) }
}

const fn other(name: &'static str) -> Column {
    Column { name, panel: Panel::Table, promise: None }
}

/// What the page promises of an idle context where it was opened, and where it runs, in bytes. The
/// bar is 2 KiB at either end (B19).
const OPENED: f64 = 2_048.0;
const SERVED: f64 = 4_096.0;
/// Of a link and of everything else that is kept for it, at either end, in KiB of the heap.
const LINK: f64 = 128.0;
/// Of an idle actor, in KiB of memory that is its own.
const ACTOR: f64 = 512.0;
/// Of either end of a stream, however long it has run, in KiB: the window and the spare buffers of
/// its link (`hatchery_proto::limits`), with the rest of its actor.
const STREAM: f64 = 1_536.0;

const CURVES: &[Curve] = &[
    Curve {
        key: "contexts",
        what: "contexts open on one link",
        points: &[1, 10, 100, 1_000, 10_000],
        columns: &[
            cost("round trip, µs of a processor"),
            other("µs on the clock"),
            memory("heap, opener, B a context", OPENED),
            memory("heap, callee, B a context", SERVED),
        ],
        one_core: true,
        sample: contexts::sample,
    },
    Curve {
        key: "links",
        what: "links in one actor",
        points: &[1, 10, 100, 1_000],
        columns: &[
            cost("call, µs of a processor"),
            cost("the same by blocking programs"),
            other("call, µs on the clock"),
            memory("heap here, KiB a link", LINK),
            memory("heap there, KiB", LINK),
            other("descriptors a link"),
        ],
        one_core: true,
        sample: links::sample,
    },
    Curve {
        key: "actors",
        what: "actors under one root, two cores",
        points: &[1, 10, 100, 500],
        columns: &[
            cost("call, µs of a processor"),
            other("µs on the clock"),
            memory("private dirty, KiB an actor", ACTOR),
            memory("root, resident, KiB an actor", LINK),
            other("up, ms an actor"),
            other("gone, ms an actor"),
            other("threads an actor"),
        ],
        one_core: false,
        sample: actors::sample,
    },
    Curve {
        key: "hour",
        what: "messages of 32 B on one stream",
        points: &[1_000, 10_000, 100_000, 1_000_000, 3_600_000],
        columns: &[
            cost("a message, µs of a processor"),
            other("µs on the clock"),
            memory("heap, sender, KiB", STREAM),
            memory("heap, receiver, KiB", STREAM),
            other("in all, s"),
        ],
        one_core: true,
        sample: hour::sample,
    },
];

/// In a process of its own: one point, as JSON.
pub(crate) fn sample(curve: &str, n: &str) -> io::Result<ExitCode> {
    let wrong = || io::Error::other("no such point");
    let curve = CURVES.iter().find(|known| known.key == curve).ok_or_else(wrong)?;
    let n = n.parse().map_err(|_| wrong())?;
    place::end_with_parent()?;
    if let Some(core) = place::cores().last().filter(|_| curve.one_core) {
        place::pin_to(*core)?;
    }
    println!("{}", json!((curve.sample)(n)?));
    Ok(ExitCode::SUCCESS)
}

/// Measures all curves, shows and draws them, and looks whether anything was left behind.
pub(crate) fn run(plan: &Plan) -> io::Result<ExitCode> {
    raise_descriptors();
    // Whatever outlives its sample becomes a child of this process.
    set_child_subreaper(Some(getpid()))?;
    let (mut found, mut failed) = (Vec::new(), false);
    for curve in CURVES.iter().filter(|curve| plan.names(|word| curve.key.contains(word))) {
        let mut points = Vec::new();
        for &n in curve.points {
            eprintln!("scale: {} {}", shown(n.into()), curve.what);
            match point(curve, n)? {
                Ok(values) => points.push(Point { n, values }),
                Err(reason) => {
                    eprintln!("scale: {} {}: {reason}", shown(n.into()), curve.what);
                    failed = true;
                }
            }
            if let Some(told) = left_behind()? {
                eprintln!("scale: {} {}: {told}", shown(n.into()), curve.what);
                failed = true;
            }
        }
        found.push((curve, points));
    }
    for (curve, points) in &found {
        let (table, growth) = (table(curve, points), growth(curve, points));
        println!("{table}\n{growth}\n");
        if let Some(path) = &plan.page {
            page::write(path, curve.key, table, &growth)?;
        }
    }
    let verdicts: Vec<String> =
        found.iter().flat_map(|(curve, points)| broken_promises(curve, points)).collect();
    verdicts.iter().for_each(|told| println!("{told}"));
    if !failed {
        println!("Every point was reached, and no process was left behind.");
    }
    save(plan, &found)?;
    if let Some(path) = &plan.svg {
        picture::save(&found, path)?;
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn point(curve: &Curve, n: u32) -> io::Result<Result<Vec<f64>, String>> {
    let told = in_process(&["--curve", curve.key, &n.to_string()], PATIENCE)?;
    let values = told.and_then(|told| {
        serde_json::from_str::<Vec<f64>>(&told).map_err(|error| format!("{error}: {told}"))
    });
    Ok(values.and_then(|values| match values.len() == curve.columns.len() {
        true => Ok(values),
        false => Err(format!("{values:?} is not what was asked for")),
    }))
}

/// As many descriptors as this process may have; says where even that is few.
fn raise_descriptors() {
    let most = getrlimit(Resource::Nofile).maximum;
    if setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).is_err() {
        eprintln!("scale: the limit of descriptors stays where it is");
    }
    if most.is_some_and(|most| most < 8_192) {
        eprintln!("scale: at most {most:?} descriptors: the largest points may not be reached");
    }
}

/// What became this process's child without having been started by it.
fn left_behind() -> io::Result<Option<String>> {
    match wait(WaitOptions::NOHANG) {
        Err(Errno::CHILD) => Ok(None),
        Err(error) => Err(error.into()),
        Ok(None) => Ok(Some("a process was left behind and runs".to_owned())),
        Ok(Some((pid, status))) => {
            Ok(Some(format!("process {pid} was left behind, and ended with {status:?}")))
        }
    }
}

fn table(curve: &Curve, points: &[Point]) -> comfy_table::Table {
    let names = curve.columns.iter().map(|column| match column.promise {
        Some(most) => format!("{} (at most {})", column.name, shown(most)),
        None => column.name.to_owned(),
    });
    let head: Vec<String> = [curve.what.to_owned()].into_iter().chain(names).collect();
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let mut table = shown::empty(&head, &(0..head.len()).collect::<Vec<_>>());
    for point in points {
        let values = point.values.iter().map(|value| shown(*value));
        table.add_row([point.n.to_string()].into_iter().chain(values).collect::<Vec<_>>());
    }
    table
}

/// How much dearer the last point is than the first.
fn growth(curve: &Curve, points: &[Point]) -> String {
    let ends = points.first().zip(points.last()).and_then(|(first, last)| {
        let grown = last.values.first()? / first.values.first()?;
        Some(format!(
            "From {} to {} {} a message's cost changes by a factor of {}.",
            first.n,
            last.n,
            curve.what,
            shown(grown)
        ))
    });
    ends.unwrap_or_default()
}

fn broken_promises(curve: &Curve, points: &[Point]) -> Vec<String> {
    let mut told = Vec::new();
    for point in points {
        for (column, value) in curve.columns.iter().zip(&point.values) {
            if let Some(most) = column.promise.filter(|most| value > most) {
                let (name, value, most) = (column.name, shown(*value), shown(most));
                let (n, what) = (point.n, curve.what);
                told.push(format!("{n} {what}: {name} is {value}, promised {most}"));
            }
        }
    }
    told
}

fn save(plan: &Plan, found: &[(&Curve, Vec<Point>)]) -> io::Result<()> {
    let curves: Vec<_> = found
        .iter()
        .map(|(curve, points)| {
            let names: Vec<_> = curve.columns.iter().map(|column| column.name).collect();
            let points: Vec<_> =
                points.iter().map(|p| json!({ "n": p.n, "values": p.values })).collect();
            json!({ "curve": curve.key, "what": curve.what, "columns": names, "points": points })
        })
        .collect();
    fs::write(plan.json("scale.json"), format!("{:#}\n", json!({ "curves": curves })))
}
