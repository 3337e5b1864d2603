//! The curves as a picture: for each what a message costs, and below it what is held, both scales in
//! powers of ten; a dashed line is what the page promises.

use std::io;
use std::path::Path;

use svg::Document;
use svg::node::element::{Circle, Group, Polyline};

use super::{Curve, Panel, Point};
use crate::drawing::{FAINT, INK, MET, MISSED, stroke, text};

const WIDE: f64 = 250.0;
const HIGH: f64 = 170.0;
/// Room for numbers to the left of a panel, and for words above it.
const LEFT: f64 = 46.0;
const ABOVE: f64 = 54.0;
const PAPER: &str = "white";
/// One for each series of a panel.
const COLOURS: [&str; 3] = [MET, MISSED, INK];

/// Writes it.
pub(super) fn save(found: &[(&Curve, Vec<Point>)], path: &Path) -> io::Result<()> {
    let (wide, high) = (found.len() as f64 * (WIDE + LEFT) + 20.0, 2.0 * (HIGH + ABOVE) + 40.0);
    let paper = svg::node::element::Rectangle::new().set("width", "100%").set("height", "100%");
    let mut picture = Document::new()
        .set("viewBox", (0, 0, wide, high))
        .set("font-family", "system-ui, sans-serif")
        .set("font-size", 11)
        .add(paper.set("fill", PAPER));
    for (index, (curve, points)) in found.iter().enumerate() {
        let left = LEFT + index as f64 * (WIDE + LEFT);
        for (row, panel) in [Panel::Cost, Panel::Memory].into_iter().enumerate() {
            let top = ABOVE + row as f64 * (HIGH + ABOVE);
            let title = if row == 0 { curve.what } else { "" };
            picture = picture.add(text(left, top - 36.0, title).set("font-size", 13)).add(drawn(
                curve,
                points,
                panel,
                (left, top),
            ));
        }
    }
    svg::save(path, &picture)
}

/// A scale of powers of ten.
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let (mut low, mut high) = (f64::MAX, f64::MIN);
        for value in values.filter(|value| *value > 0.0) {
            (low, high) = (low.min(value.log10().floor()), high.max(value.log10().ceil()));
        }
        if low > high {
            Self { low: 0.0, high: 1.0 }
        } else {
            Self { low, high: high.max(low + 1.0) }
        }
    }

    /// Where a value is between nought and one.
    fn share(&self, value: f64) -> f64 {
        let log = value.max(10_f64.powf(self.low)).log10();
        (log - self.low) / (self.high - self.low)
    }

    fn powers(&self) -> impl Iterator<Item = f64> {
        (self.low as i32..=self.high as i32).map(|power| 10_f64.powi(power))
    }
}

fn drawn(curve: &Curve, points: &[Point], panel: Panel, (left, top): (f64, f64)) -> Group {
    let series: Vec<_> =
        curve.columns.iter().enumerate().filter(|(_, column)| column.panel == panel).collect();
    let of_series = |index: usize| points.iter().filter_map(move |p| p.values.get(index).copied());
    let across = Scale::of(points.iter().map(|point| point.n.into()));
    let promised = series.iter().filter_map(|(_, column)| column.promise);
    let up = Scale::of(series.iter().flat_map(|(index, _)| of_series(*index)).chain(promised));
    let x = |n: u32| left + across.share(n.into()) * WIDE;
    let y = |value: f64| top + HIGH - up.share(value) * HIGH;
    let mut group = Group::new();
    for n in across.powers() {
        let at = left + across.share(n) * WIDE;
        let label = text(at, top + HIGH + 14.0, &short(n)).set("text-anchor", "middle");
        group = group.add(stroke(at, (top, top + HIGH), FAINT, 1.0)).add(label);
    }
    for value in up.powers() {
        let label = text(left - 5.0, y(value) + 4.0, &short(value)).set("text-anchor", "end");
        group = group.add(level(left, y(value), FAINT)).add(label);
    }
    for (place, (index, column)) in series.iter().enumerate() {
        let colour = COLOURS[place % COLOURS.len()];
        let line: Vec<String> = points
            .iter()
            .filter_map(|p| Some(format!("{:.1},{:.1}", x(p.n), y(*p.values.get(*index)?))))
            .collect();
        let name = text(left + 2.0, top - 20.0 + 13.0 * place as f64, column.name);
        let line = Polyline::new().set("points", line.join(" ")).set("fill", "none");
        group = group
            .add(name.set("fill", colour))
            .add(line.set("stroke", colour).set("stroke-width", 2));
        for point in points {
            let Some(value) = point.values.get(*index) else { continue };
            let dot = Circle::new().set("cx", x(point.n)).set("cy", y(*value)).set("r", 3);
            group = group.add(dot.set("fill", colour));
        }
        if let Some(most) = column.promise {
            let promise = level(left, y(most), colour).set("stroke-dasharray", "4 3");
            group = group.add(promise);
        }
    }
    group
}

/// A power of ten.
fn short(value: f64) -> String {
    match value {
        1e6.. => format!("{}M", value / 1e6),
        1e3.. => format!("{}k", value / 1e3),
        _ => format!("{value}"),
    }
}

fn level(left: f64, y: f64, colour: &str) -> svg::node::element::Line {
    let line = svg::node::element::Line::new().set("x1", left).set("x2", left + WIDE);
    line.set("y1", y).set("y2", y).set("stroke", colour).set("stroke-width", 1)
}
