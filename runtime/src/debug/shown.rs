//! What a prompt shows: where something is, the source around it, the values, the way it came.

use std::backtrace::Backtrace;
use std::fmt::Write as _;

use hatchery_proto::ActorId;

use super::pause::Value;
use crate::driver::terminal;
use crate::error::Error;

/// So many lines of source are shown on each side of the place.
const AROUND: usize = 4;
/// A value longer than this is shown in part, beside its name.
const SHORT: usize = 200;

/// What a person is asked about.
#[derive(Debug)]
pub(crate) struct Occasion {
    pub(crate) what: What,
    pub(crate) actor: ActorId,
    pub(crate) task: String,
    /// File and line.
    pub(crate) place: Option<(String, u32)>,
    pub(crate) values: Vec<Value>,
    pub(crate) error: Option<Error>,
    pub(crate) trace: Option<Backtrace>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Paused,
    Crashed,
    PostMortem,
}

impl Occasion {
    pub(crate) fn prompt(&self) -> String {
        format!("hatchery({})> ", printable(&self.actor.name))
    }

    /// What is shown first.
    pub(crate) fn head(&self) -> String {
        let Self { actor, task, .. } = self;
        let what = match self.what {
            What::Paused => "paused",
            What::Crashed => "crashed",
            What::PostMortem => "post mortem",
        };
        let (name, task) = (printable(&actor.name), printable(task));
        let mut text = format!("\n{what}: actor `{name}` (pid {}), task `{task}`\n", actor.pid);
        if let Some(error) = &self.error {
            let _ = writeln!(text, "  {}", printable(&error.to_string()));
        }
        text.push_str(&self.place());
        for value in &self.values {
            let short: String = value.short.chars().take(SHORT).collect();
            let more = if short.len() < value.short.len() { " …" } else { "" };
            let _ = writeln!(text, "  {} = {}{more}", value.name, printable(&short));
        }
        text
    }

    /// Where it is, with the source around.
    pub(crate) fn place(&self) -> String {
        let Some((file, line)) = &self.place else { return String::new() };
        let mut text = format!("  at {}:{line}\n", printable(file));
        let Some(source) = terminal::source_of(file) else { return text };
        let at = usize::try_from(*line).unwrap_or(usize::MAX);
        let from = at.saturating_sub(AROUND + 1);
        for (number, source) in source.lines().enumerate().skip(from).take(2 * AROUND + 1) {
            let (mark, ink) = if number + 1 == at { (">", BOLD) } else { (" ", PLAIN) };
            let line = format!("  {mark} {:>4}  {}", number + 1, printable(source));
            let _ = writeln!(text, "{}", inked(ink, line.trim_end()));
        }
        text
    }

    /// The values of this name, or all, in full.
    pub(crate) fn values(&self, name: Option<&str>) -> String {
        let wanted = |value: &&Value| name.is_none_or(|name| value.name == name);
        let lines: Vec<_> = self.values.iter().filter(wanted).map(Value::in_full).collect();
        match (lines.is_empty(), name) {
            (false, _) => printable(&lines.concat()),
            (true, Some(name)) => {
                format!("no value `{name}` was named here; `print` shows those that were\n")
            }
            (true, None) => "no values were named here\n".to_owned(),
        }
    }

    /// The whole report.
    pub(crate) fn error(&self) -> String {
        match &self.error {
            Some(error) => printable(&format!("{error:?}\n")),
            None => "there is no error here, only a pause\n".to_owned(),
        }
    }

    /// The way here; without the runtime's own frames unless they are wanted.
    pub(crate) fn backtrace(&self, all: bool) -> String {
        let of_error = || self.error.as_ref().and_then(|error| error.report().backtrace.clone());
        let whole = match &self.trace {
            Some(trace) => trace.to_string(),
            None => match of_error() {
                Some(trace) => trace,
                None => {
                    return "there is no backtrace: an error has only the place that it names; a panic \
                            in this actor has one\n"
                        .to_owned();
                }
            },
        };
        drawn(&if all { whole } else { own_frames(&whole) })
    }
}

/// A backtrace as a terminal shows it: what is called stands out, and below its place is the line of
/// source that stands there, where that can be read.
fn drawn(trace: &str) -> String {
    let mut text = String::new();
    for line in trace.lines().map(printable) {
        let place = line.trim_start().strip_prefix("at ");
        let _ = writeln!(text, "{}", inked(if place.is_some() { DIM } else { BOLD }, &line));
        if let Some(source) = place.and_then(source_at) {
            let _ = writeln!(text, "             > {}", printable(source.trim()));
        }
    }
    text
}

/// The line at a place, as `FILE:LINE:COLUMN` or without the column.
fn source_at(place: &str) -> Option<String> {
    let mut parts = place.rsplitn(3, ':');
    let (last, before) = (parts.next()?, parts.next()?);
    let (file, line) = match (before.parse::<usize>(), parts.next()) {
        (Ok(line), Some(file)) => (file, line),
        (_, file) => match file {
            None => (before, last.parse().ok()?),
            Some(_) => return None,
        },
    };
    let source = terminal::source_of(file.trim_start_matches("./"))?;
    source.lines().nth(line.checked_sub(1)?).map(str::to_owned)
}

/// How a line stands out.
type Ink = &'static str;

const PLAIN: Ink = "";
const BOLD: Ink = "\x1b[1m";
const DIM: Ink = "\x1b[2m";

/// A line that stands out like this, on a terminal that can show it.
fn inked(ink: Ink, line: &str) -> String {
    match ink != PLAIN && terminal::has_colours() {
        true => format!("{ink}{line}\x1b[0m"),
        false => line.to_owned(),
    }
}

/// Frames of programs: those of the standard library, of this one and of what runs tasks are left out, and
/// those of any crate that was fetched.
fn own_frames(whole: &str) -> String {
    let is_number = |number: &str| number.bytes().all(|byte| byte.is_ascii_digit());
    let mut frames: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in whole.lines() {
        match (line.trim_start().split_once(": "), frames.last_mut()) {
            (Some((number, name)), _) if is_number(number) => frames.push((name, vec![line])),
            (_, Some((_, lines))) => lines.push(line),
            (_, None) => {}
        }
    }
    let shown = frames.iter().filter(|(name, lines)| !is_runtime(name, lines));
    let shown: Vec<_> = shown.flat_map(|(_, lines)| lines).copied().collect();
    let count = frames.iter().filter(|(name, lines)| is_runtime(name, lines)).count();
    let mut text = shown.iter().fold(String::new(), |text, line| format!("{text}{line}\n"));
    if count > 0 {
        let _ = writeln!(text, "({count} frames of the runtime are hidden: `backtrace all`)");
    }
    text
}

fn is_runtime(name: &str, lines: &[&str]) -> bool {
    const CRATES: &[&str] = &["std::", "core::", "alloc::", "hatchery::", "hatchery_proto::"];
    // Of which the names alone are known where they were built without their places.
    const BELOW: &[&str] = &["async_executor::", "async_io::", "async_task::", "futures_lite::"];
    const ENTRIES: &[&str] = &["_start", "__libc_start", "__rust", "rust_begin_unwind", "clone3"];
    let name = name.trim_start_matches(['<', '&']);
    let plain = name.split('<').next().unwrap_or_default();
    // What was inlined has no path in front, but says of what it was made.
    let of_runtime = !plain.contains("::") && CRATES.iter().any(|part| name.contains(part));
    let here = file!().trim_end_matches("debug/shown.rs");
    let fetched = |line: &&str| {
        let parts = ["/rustc/", "/registry/src/", here];
        parts.iter().any(|part| line.contains(part))
    };
    plain == "main"
        || of_runtime
        || CRATES.iter().chain(BELOW).chain(ENTRIES).any(|begin| name.starts_with(begin))
        || lines.iter().any(fetched)
}

/// Without what a terminal would take for an order.
pub(super) fn printable(text: &str) -> String {
    let shown =
        |one: char| if one.is_control() && one != '\n' && one != '\t' { '\u{fffd}' } else { one };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_the_runtime_are_hidden_with_their_places() {
        let whole = "   0: hatchery::debug::pause\n             at a.rs:1\n   1: app::work::{{closure}}\n  \
                     at b.rs:2\n   2: <core::pin::Pin<P> as core::future::Future>::poll\n   3: main\n   \
                     4: maintenance::run\n   5: {async_fn#0}\n             at ./runtime/src/turn.rs:1:1\n   6: \
                     async_task::run\n";
        let shown = own_frames(whole);
        assert!(shown.contains("app::work") && shown.contains("b.rs:2"), "{shown}");
        assert!(shown.contains("maintenance::run"), "{shown}");
        assert!(
            !shown.contains("a.rs") && !shown.contains("Pin") && !shown.contains("turn.rs"),
            "{shown}"
        );
        assert!(shown.contains("(5 frames of the runtime are hidden"), "{shown}");
    }

    #[test]
    fn a_place_in_a_backtrace_has_its_line_of_source() {
        let (file, line) = (file!(), line!());
        let here = "let (file, line) = (file!(), line!());";
        for place in [format!("{file}:{line}:13"), format!("./{file}:{line}")] {
            assert_eq!(source_at(&place).as_deref().map(str::trim), Some(here), "{place}");
        }
        for nowhere in ["", ":", "1:2", "nowhere.rs:1:1", "nowhere.rs:x", "/dev/null:1:1"] {
            assert_eq!(source_at(nowhere), None, "{nowhere}");
        }
        let drawn = drawn(&format!("   0: app::work\n             at {file}:{line}:1\n"));
        assert!(drawn.contains("app::work") && drawn.contains(here), "{drawn}");
    }

    #[test]
    fn what_a_terminal_would_obey_is_not_shown() {
        assert_eq!(printable("a\x1b[2Jb\r\n\tc"), "a\u{fffd}[2Jb\u{fffd}\n\tc");
    }
}
