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
            let mark = if number + 1 == at { ">" } else { " " };
            let line = format!("  {mark} {:>4}  {}", number + 1, printable(source));
            let _ = writeln!(text, "{}", line.trim_end());
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
        printable(&if all { whole } else { own_frames(&whole) })
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
    const ENTRIES: &[&str] = &["_start", "__libc_start", "__rust", "rust_begin_unwind", "clone3"];
    let name = name.trim_start_matches(['<', '&']);
    let plain = name.split('<').next().unwrap_or_default();
    // What was inlined has no path in front, but says of what it was made.
    let of_runtime = !plain.contains("::") && CRATES.iter().any(|part| name.contains(part));
    let fetched = |line: &&str| line.contains("/rustc/") || line.contains("/registry/src/");
    plain == "main"
        || of_runtime
        || CRATES.iter().chain(ENTRIES).any(|begin| name.starts_with(begin))
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
                     4: maintenance::run\n";
        let shown = own_frames(whole);
        assert!(shown.contains("app::work") && shown.contains("b.rs:2"), "{shown}");
        assert!(shown.contains("maintenance::run"), "{shown}");
        assert!(!shown.contains("a.rs") && !shown.contains("Pin"), "{shown}");
        assert!(shown.contains("(3 frames of the runtime are hidden"), "{shown}");
    }

    #[test]
    fn what_a_terminal_would_obey_is_not_shown() {
        assert_eq!(printable("a\x1b[2Jb\r\n\tc"), "a\u{fffd}[2Jb\u{fffd}\n\tc");
    }
}
