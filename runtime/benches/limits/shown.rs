//! The table, as text and as JSON.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde_json::{Value, json};

use crate::bars::{Bar, Bound, Row};
use crate::measure::{Found, Plan};
use crate::place;

/// What one bar came to; nothing where it could not be measured.
pub(crate) struct Line {
    pub(crate) row: &'static Row,
    pub(crate) bar: &'static Bar,
    pub(crate) ours: Option<f64>,
    pub(crate) limit: Option<f64>,
    /// Where the tiers are, in the unit of the row.
    pub(crate) t1: Option<f64>,
    pub(crate) t2: Option<f64>,
    pub(crate) all: BTreeMap<&'static str, Found>,
}

impl Line {
    /// How many times worse than the limit this is, if it has one.
    pub(crate) fn times(&self, value: Option<f64>) -> Option<f64> {
        let (value, limit) = (value?, self.limit?);
        Some(if self.row.more_is_better { limit / value } else { value / limit })
    }

    /// Whether ours is no worse than this.
    pub(crate) fn met(&self, bound: Option<f64>) -> Option<bool> {
        let (ours, bound) = (self.ours?, bound?);
        Some(if self.row.more_is_better { ours >= bound } else { ours <= bound })
    }

    /// A tier in words: as many times the limit, with its source where that is another contender.
    fn bound(&self, bound: Bound, value: Option<f64>) -> String {
        match (bound, self.times(value)) {
            (Bound::Is(value), _) => self.with_unit(value),
            (Bound::Times(..), None) => "-".to_owned(),
            (Bound::Times(_, of), Some(times)) if self.bar.limit == Some(of) => shown(times),
            (Bound::Times(by, of), Some(times)) => format!("{by} x {of} = {}", shown(times)),
        }
    }

    fn with_unit(&self, value: f64) -> String {
        format!("{} {}", shown(value), self.row.unit).trim_end().to_owned()
    }

    /// A value with its unit.
    pub(crate) fn valued(&self, value: Option<f64>) -> String {
        value.map_or("-".to_owned(), |value| self.with_unit(value))
    }

    fn json(&self) -> Value {
        let contenders: BTreeMap<_, _> = self
            .all
            .iter()
            .map(|(name, found)| (*name, json!({ "rounds": found.values })))
            .collect();
        json!({
            "bar": self.bar.id,
            "work": self.bar.work,
            "key": self.row.key,
            "unit": self.row.unit,
            "ours": self.ours,
            "limit": self.limit,
            "limit_by": self.bar.limit,
            "ratio": self.times(self.ours),
            "t1": self.t1,
            "t2": self.t2,
            "t1_met": self.met(self.t1),
            "t2_met": self.met(self.t2),
            "contenders": contenders,
        })
    }
}

/// A number with as many digits as mean something.
pub(crate) fn shown(value: f64) -> String {
    let digits = match value {
        _ if value.fract() == 0.0 => 0,
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    format!("{value:.digits$}")
}

/// The table.
pub(crate) fn table(lines: &[Line]) -> Table {
    let head = ["bar", "work", "ours", "limit", "by", "times", "T1", "T2", "T1 is", "T2 is"];
    let mut table = empty(&head, &[2, 3, 5, 6, 7]);
    for line in lines {
        table.add_row([
            line.bar.id.to_owned(),
            line.bar.work.to_owned(),
            line.valued(line.ours),
            line.valued(line.limit),
            line.bar.limit.unwrap_or("-").to_owned(),
            line.times(line.ours).map_or("-".to_owned(), shown),
            line.bound(line.bar.t1, line.t1),
            line.bound(line.bar.t2, line.t2),
            verdict(line.met(line.t1)).to_owned(),
            verdict(line.met(line.t2)).to_owned(),
        ]);
    }
    table
}

/// A table of nothing, with numbers in these columns.
pub(crate) fn empty(head: &[&str], numbers: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(head);
    for column in numbers {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// What it comes to.
pub(crate) fn summary(lines: &[Line], plan: &Plan) -> String {
    let met = |tier: fn(&Line) -> Option<f64>| {
        lines.iter().filter(|line| line.met(tier(line)) == Some(true)).count()
    };
    let (t1, t2, all) = (met(|line| line.t1), met(|line| line.t2), lines.len());
    let how = how(plan);
    format!("T1 is met by {t1} of {all} rows, T2 by {t2}; medians, rounds interleaved; {how}")
}

pub(crate) fn verdict(met: Option<bool>) -> &'static str {
    match met {
        Some(true) => "met",
        Some(false) => "not met",
        None => "-",
    }
}

/// Whether hatchery's own threads wait in a way of their own: what the aims count on.
const PARKER: bool = cfg!(all(feature = "parker", target_os = "linux"));
/// Where the table stands on a page.
pub(crate) const PLACE: &str = if PARKER { "limits with parker" } else { "limits" };

/// On what it was measured.
pub(crate) fn how(plan: &Plan) -> String {
    let quick = if plan.quick { ", quickly and badly" } else { "" };
    let parker = if PARKER { ", with the feature parker" } else { "" };
    format!("{} cores{parker}{quick}", place::cores().len())
}

/// Writes it as JSON.
pub(crate) fn save(lines: &[Line], plan: &Plan, path: &Path) -> io::Result<()> {
    let rows: Vec<Value> = lines.iter().map(Line::json).collect();
    let cores = place::cores().len();
    let all = json!({ "quick": plan.quick, "cores": cores, "parker": PARKER, "rows": rows });
    fs::write(path, format!("{all:#}\n"))
}
