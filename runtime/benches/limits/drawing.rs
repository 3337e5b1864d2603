//! The table as a picture: a bar for each row, as many times its limit as it takes, on a scale of
//! powers; marks where the two tiers are. What has no limit is a line of words.

use std::io;
use std::path::Path;

use svg::Document;
use svg::node::element::{Group, Line as Stroke, Rectangle, Text};

use crate::shown::{Line, shown};

const WIDTH: f64 = 880.0;
const HEIGHT: f64 = 22.0;
/// Where the scale begins, and where its room ends: values are written to the right of bars.
const LEFT: f64 = 330.0;
const RIGHT: f64 = 760.0;
const TOP: f64 = 66.0;

pub(crate) const MET: &str = "#3b8f4e";
pub(crate) const MISSED: &str = "#c8702a";
pub(crate) const INK: &str = "#24292f";
pub(crate) const FAINT: &str = "#d0d7de";

/// A scale of powers from `low` to `high`.
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    /// One that has room for all ratios and tiers, in whole powers of ten upwards.
    fn of(lines: &[Line]) -> Self {
        let all =
            lines.iter().flat_map(|line| [line.ours, line.t1, line.t2].map(|v| line.times(v)));
        let all = || all.clone().flatten().filter(|times| times.is_finite() && *times > 0.0);
        let high = all().fold(10.0, f64::max).log10().ceil();
        let low = all().fold(0.5, f64::min);
        Self { low, high: 10_f64.powf(high) }
    }

    fn at(&self, times: f64) -> f64 {
        let share = (times.max(self.low) / self.low).ln() / (self.high / self.low).ln();
        LEFT + share * (RIGHT - LEFT)
    }
}

/// Writes it.
pub(crate) fn save(lines: &[Line], path: &Path) -> io::Result<()> {
    let scale = Scale::of(lines);
    let bottom = TOP + HEIGHT * lines.len() as f64;
    let mut picture = Document::new()
        .set("viewBox", (0, 0, WIDTH, bottom + 16.0))
        .set("font-family", "system-ui, sans-serif")
        .set("font-size", 12)
        .add(Rectangle::new().set("width", "100%").set("height", "100%").set("fill", "white"))
        .add(
            text(16.0, 22.0, "Times the limit that was measured in the same run")
                .set("font-size", 15),
        )
        .add(legend());
    for power in 0..=scale.high.log10().round() as i32 {
        let times = 10_f64.powi(power);
        let label = text(scale.at(times), TOP - 6.0, &format!("{times} x"));
        picture = picture
            .add(stroke(scale.at(times), (TOP, bottom), FAINT, 1.0))
            .add(label.set("text-anchor", "middle"));
    }
    for (index, line) in lines.iter().enumerate() {
        picture = picture.add(drawn(line, &scale, TOP + HEIGHT * index as f64));
    }
    svg::save(path, &picture)
}

/// What the colours and marks mean.
fn legend() -> Group {
    let mut group = Group::new();
    let boxes = [(440.0, MET, "T1 met"), (510.0, MISSED, "T1 not met")];
    for (x, colour, words) in boxes {
        let square = Rectangle::new().set("x", x).set("y", 13).set("width", 10).set("height", 10);
        group = group.add(square.set("fill", colour)).add(text(x + 15.0, 22.0, words));
    }
    group
        .add(stroke(606.0, (11.0, 25.0), INK, 2.0))
        .add(text(612.0, 22.0, "T1"))
        .add(stroke(640.0, (11.0, 25.0), INK, 1.0).set("stroke-dasharray", "3 2"))
        .add(text(646.0, 22.0, "T2"))
}

fn drawn(line: &Line, scale: &Scale, top: f64) -> Group {
    let base = top + 15.0;
    let name = format!("{}  {}", line.bar.id, line.bar.work);
    let group = Group::new().add(text(16.0, base, &name));
    let Some(times) = line.times(line.ours) else {
        let (ours, t1, t2) = (line.valued(line.ours), line.valued(line.t1), line.valued(line.t2));
        let words = text(scale.at(1.0), base, &format!("{ours} (T1 {t1}, T2 {t2})"));
        return group.add(words.set("fill", colour(line)));
    };
    let begin = scale.at(1.0).min(scale.at(times));
    let width = (scale.at(times) - scale.at(1.0)).abs().max(1.0);
    let bar = Rectangle::new().set("x", begin).set("y", top + 4.0).set("width", width);
    let value = format!("{} x ({})", shown(times), line.valued(line.ours));
    let mut group = group.add(bar.set("height", HEIGHT - 8.0).set("fill", colour(line)));
    let mut end = scale.at(times).max(scale.at(1.0));
    for (tier, wide, dashes) in [(line.t1, 2.0, "none"), (line.t2, 1.0, "3 2")] {
        let Some(tier) = line.times(tier) else { continue };
        let mark = stroke(scale.at(tier), (top + 1.0, top + HEIGHT - 1.0), INK, wide);
        group = group.add(mark.set("stroke-dasharray", dashes));
        end = end.max(scale.at(tier));
    }
    group.add(text(end + 6.0, base, &value))
}

fn colour(line: &Line) -> &'static str {
    match line.met(line.t1) {
        Some(true) => MET,
        Some(false) => MISSED,
        None => INK,
    }
}

pub(crate) fn text(x: f64, y: f64, words: &str) -> Text {
    Text::new(words).set("x", x).set("y", y).set("fill", INK)
}

pub(crate) fn stroke(x: f64, (from, to): (f64, f64), colour: &str, wide: f64) -> Stroke {
    let line = Stroke::new().set("x1", x).set("x2", x).set("y1", from).set("y2", to);
    line.set("stroke", colour).set("stroke-width", wide)
}
