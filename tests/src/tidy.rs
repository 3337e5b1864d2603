//! Rules about the sources themselves: who may know whom, where the system may be called, how long
//! files and functions may be, what may not be written anywhere.
//!
//! Each rule is a function from one source to findings, so that it can be shown to find something;
//! the tables at the top are the only place where rooms, bounds and exceptions are listed.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use proc_macro2::{TokenStream, TokenTree};

mod tokens;

use tokens::{each_stream, functions, is_attribute, line_of, paths};

/// What a room of a crate may know of its own crate, beside itself.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// The module's name.
    pub name: &'static str,
    /// The modules that it may name.
    pub knows: &'static [&'static str],
}

/// What every room of the core may know. These know only each other.
pub const PROTO_GROUND: &[&str] =
    &["time", "id", "address", "limits", "error", "passed", "report", "slice", "table"];

/// The rooms of the core, from the bottom up.
pub const PROTO_ROOMS: &[Room] = &[
    Room { name: "wire", knows: &[] },
    Room { name: "dialog", knows: &["wire"] },
    Room { name: "connection", knows: &["wire", "dialog"] },
    Room { name: "nursery", knows: &["wire", "dialog"] },
    Room { name: "registrar", knows: &["wire", "dialog"] },
    Room { name: "tty", knows: &["wire", "dialog"] },
    Room { name: "actor", knows: &["wire", "dialog", "connection", "nursery", "registrar", "tty"] },
];

/// The room of the library that touches the system. It knows no other; all others may know it.
pub const DRIVER: &str = "driver";

/// What the core may not name: it has no clock, no files, no threads, and nothing unordered.
pub const PROTO_NEVER: &[&str] = &[
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::os",
    "std::process",
    "std::thread",
    "std::time",
    "std::collections::HashMap",
    "std::collections::HashSet",
];

/// What only the driver may name.
pub const DRIVER_ONLY: &[&str] = &[
    "async_process",
    "async_signal",
    "rustix",
    "signal_hook",
    "std::fs",
    "std::net",
    "std::os::unix",
    "std::process",
];

/// What is below a path of [`DRIVER_ONLY`] and calls nothing: types that signatures need.
pub const HARMLESS: &[&str] = &["std::process::ExitCode", "std::process::Termination"];

/// The one file of the library that may hold an attribute with the word, for the hook that runs
/// before `main` under the feature `test-support`: one line.
pub const HOOK: &str = "runtime/src/testing.rs";

/// Bounds of lines: of a file, and of a function from its `fn` to its closing brace.
const BOUNDS: &[(&str, usize, Option<usize>)] = &[
    ("proto/src/", 400, Some(60)),
    ("runtime/src/", 500, Some(80)),
    ("runtime/macros/src/", 500, Some(80)),
    ("", 700, None),
];

/// The targets of the library's events and spans, each filtered alone; listed in its documentation.
pub const TARGETS: &[&str] = &[
    "hatchery::transport",
    "hatchery::runtime",
    "hatchery::cancel",
    "hatchery::discovery",
    "hatchery::debugger",
    "hatchery::stderr",
];

/// Macros for what is not written yet, or not for good.
const UNFINISHED: &[&str] = &["todo", "unimplemented", "dbg"];

/// The attribute of a test that does not run.
const SWITCHED_OFF: &str = "ignore";

/// Files that must be there and say something.
const REQUIRED: &[&str] =
    &["README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE", "Cargo.toml"];

/// One file of the repository.
#[derive(Clone, Debug)]
pub struct Source {
    /// Where it is, from the root of the repository, with `/`.
    pub path: String,
    /// What it says.
    pub text: String,
}

impl Source {
    /// A source from its parts.
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self { path: path.into(), text: text.into() }
    }

    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    fn is_core(&self) -> bool {
        self.is_rust() && self.path.starts_with("proto/src/")
    }

    fn is_library(&self) -> bool {
        self.is_rust() && self.path.starts_with("runtime/src/")
    }

    fn is_driver(&self) -> bool {
        self.path.starts_with("runtime/src/driver/") || self.path == "runtime/src/driver.rs"
    }

    /// Its module's path within its crate: `["wire", "header"]`; empty for `lib.rs`.
    fn module(&self) -> Vec<String> {
        let inner = self.path.split_once("src/").map_or("", |(_, inner)| inner);
        let inner = inner.trim_end_matches(".rs").trim_end_matches("/mod");
        let names = inner.split('/').filter(|name| !matches!(*name, "lib" | "main" | "mod" | ""));
        names.map(str::to_owned).collect()
    }

    fn tokens(&self) -> Result<TokenStream, Finding> {
        self.text.parse().map_err(|error| self.finding(1, "sources parse", format!("{error}")))
    }

    fn finding(&self, line: usize, rule: &'static str, what: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line, rule, what: what.into() }
    }
}

/// A place where a rule is broken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
    /// The rule.
    pub rule: &'static str,
    /// What breaks it.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { path, line, rule, what } = self;
        write!(f, "{path}:{line}: {rule}: {what}")
    }
}

/// A rule: what it finds in one source.
pub type Rule = fn(&Source) -> Vec<Finding>;

/// Every rule about single sources.
pub const RULES: &[Rule] = &[
    core_rooms,
    core_is_pure,
    library_rooms,
    system_calls_in_the_driver,
    no_unchecked_code,
    nothing_unfinished,
    targets,
    sizes,
    heads,
    no_machine_paths,
];

/// All findings of all rules in these sources, in order.
pub fn check(sources: &[Source]) -> Vec<Finding> {
    let mut found: Vec<_> =
        sources.iter().flat_map(|source| RULES.iter().flat_map(move |rule| rule(source))).collect();
    found.extend(required(sources));
    found.sort();
    found.dedup();
    found
}

/// The text files of the repository at `root`: tracked, or new and not ignored.
///
/// # Panics
///
/// Panics where `root` is no checkout.
pub fn sources(root: &Path) -> Vec<Source> {
    let mut git = Command::new("git");
    git.current_dir(root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let listed = git.output().expect("git runs");
    assert!(listed.status.success(), "{} is no checkout", root.display());
    let paths = String::from_utf8_lossy(&listed.stdout).into_owned();
    let mut found: Vec<_> = paths
        .split('\0')
        .filter(|path| !path.is_empty())
        // A file that was removed but is still in the index, or that is no text, says nothing.
        .filter_map(|path| Some(Source::new(path, read(&root.join(path))?)))
        .collect();
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

fn read(path: &PathBuf) -> Option<String> {
    fs::symlink_metadata(path).ok()?.is_file().then(|| fs::read_to_string(path).ok())?
}

/// Rooms of the core import downwards only.
pub fn core_rooms(source: &Source) -> Vec<Finding> {
    const RULE: &str = "rooms of the core import downwards";
    let module = source.module();
    let Some(own) = module.first().filter(|_| source.is_core()) else { return Vec::new() };
    let is_ground = PROTO_GROUND.contains(&own.as_str());
    let known: &[&str] = match PROTO_ROOMS.iter().find(|room| room.name == own) {
        Some(room) => room.knows,
        None if is_ground => &[],
        None => return vec![source.finding(1, RULE, format!("`{own}` is in no table of rooms"))],
    };
    own_paths(source, &module, |to| {
        let allowed = to == own || PROTO_GROUND.contains(&to) || known.contains(&to);
        (!allowed).then(|| (RULE, format!("`{own}` may not know `{to}`")))
    })
}

/// The driver knows none of the rooms that users hold.
pub fn library_rooms(source: &Source) -> Vec<Finding> {
    const RULE: &str = "the driver knows no room above it";
    if !source.is_library() || !source.is_driver() {
        return Vec::new();
    }
    own_paths(source, &source.module(), |to| {
        (to != DRIVER).then(|| (RULE, format!("`{DRIVER}` may not know `{to}`")))
    })
}

/// The core has no clock, no input, no output and no threads.
pub fn core_is_pure(source: &Source) -> Vec<Finding> {
    if !source.is_core() {
        return Vec::new();
    }
    forbidden(source, PROTO_NEVER, "the core is pure")
}

/// Only the driver calls the system.
pub fn system_calls_in_the_driver(source: &Source) -> Vec<Finding> {
    if !source.is_library() || source.is_driver() {
        return Vec::new();
    }
    forbidden(source, DRIVER_ONLY, "only the driver calls the system")
}

/// No code that the compiler does not check, in the core not even the word.
pub fn no_unchecked_code(source: &Source) -> Vec<Finding> {
    const RULE: &str = "every line is checked by the compiler";
    let word = concat!("un", "safe");
    if source.is_core() {
        let lines = source.text.lines().zip(1..).filter(|(line, _)| holds_word(line, word));
        return lines.map(|(_, line)| source.finding(line, RULE, word)).collect();
    }
    if !source.is_library() {
        return Vec::new();
    }
    let found = words(source, RULE, |name| name == word);
    if source.path == HOOK && found.len() <= 1 { Vec::new() } else { found }
}

/// Nothing is left for later, and no test is switched off.
pub fn nothing_unfinished(source: &Source) -> Vec<Finding> {
    const RULE: &str = "nothing is unfinished";
    if !source.is_rust() {
        return Vec::new();
    }
    let tokens = match source.tokens() {
        Ok(tokens) => tokens,
        Err(finding) => return vec![finding],
    };
    let is_mark = |tree: &TokenTree, mark: char| matches!(tree, TokenTree::Punct(found) if found.as_char() == mark);
    let mut found = Vec::new();
    each_stream(&tokens, &mut |trees| {
        for pair in trees.windows(2) {
            let unfinished = match pair {
                [TokenTree::Ident(name), mark] => {
                    is_mark(mark, '!') && UNFINISHED.iter().any(|macro_| name == macro_)
                }
                [mark, TokenTree::Group(group)] => {
                    is_mark(mark, '#') && is_attribute(group, SWITCHED_OFF)
                }
                _ => false,
            };
            if unfinished {
                let what = pair.iter().map(TokenTree::to_string).collect::<String>();
                found.push(source.finding(line_of(&pair[0]), RULE, what));
            }
        }
    });
    found
}

/// Every event of the library has one of the targets, so that none is missed by who filters by them.
pub fn targets(source: &Source) -> Vec<Finding> {
    const RULE: &str = "every event has a target";
    if !source.is_library() || source.path.contains("/tests") {
        return Vec::new();
    }
    let tokens = match source.tokens() {
        Ok(tokens) => tokens,
        Err(finding) => return vec![finding],
    };
    let is = |tree: &TokenTree, text: &str| tree.to_string() == text;
    let mut found = Vec::new();
    each_stream(&tokens, &mut |trees| {
        for six in trees.windows(6) {
            let [tracing, one, two, name, mark, TokenTree::Group(given)] = six else { continue };
            if !is(tracing, "tracing") || !is(one, ":") || !is(two, ":") || !is(mark, "!") {
                continue;
            }
            let given: Vec<_> = given.stream().into_iter().take(3).collect();
            let fine = matches!(&given[..], [word, colon, target] if is(word, "target") && is(colon, ":")
                && TARGETS.iter().any(|known| target.to_string() == format!("{known:?}")));
            if !fine {
                found.push(source.finding(line_of(name), RULE, name.to_string()));
            }
        }
    });
    found
}

/// No file and no function is too long to be held in the head.
pub fn sizes(source: &Source) -> Vec<Finding> {
    if !source.is_rust() {
        return Vec::new();
    }
    let Some((_, file, function)) =
        BOUNDS.iter().find(|(folder, _, _)| source.path.starts_with(folder))
    else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let lines = source.text.lines().count();
    if lines > *file {
        let what = format!("{lines} lines, at most {file}");
        found.push(source.finding(1, "files are short", what));
    }
    let tokens = match source.tokens() {
        Ok(tokens) => tokens,
        Err(finding) => return vec![finding],
    };
    for (name, first, last) in functions(&tokens) {
        let lines = last - first + 1;
        if function.is_some_and(|most| lines > most) {
            let what = format!("`{name}` has {lines} lines, at most {}", function.unwrap_or(0));
            found.push(source.finding(first, "functions are short", what));
        }
    }
    found
}

/// Every source begins by saying what lives in it.
pub fn heads(source: &Source) -> Vec<Finding> {
    let fine = !source.is_rust() || source.text.starts_with("//! ");
    let what = "begins without a `//!` head";
    if fine { Vec::new() } else { vec![source.finding(1, "every file has a head", what)] }
}

/// No path of the machine that it was written on.
pub fn no_machine_paths(source: &Source) -> Vec<Finding> {
    const FOLDERS: [&str; 4] =
        [concat!("/", "work"), concat!("/", "home"), concat!("/", "root"), concat!("/", "farm")];
    // Names of other packages' sources may look like anything.
    if source.path.ends_with(".lock") {
        return Vec::new();
    }
    let names = |line: &str| {
        FOLDERS.iter().copied().find(|folder| {
            line.match_indices(folder).any(|(at, _)| is_machine_path(line, at, folder.len()))
        })
    };
    let lines = source.text.lines().zip(1..);
    let rule = "no path of a machine";
    lines.filter_map(|(line, at)| Some(source.finding(at, rule, names(line)?))).collect()
}

/// What must be there.
pub fn required(sources: &[Source]) -> Vec<Finding> {
    let says_something = |path: &&str| {
        sources.iter().any(|source| source.path == **path && !source.text.trim().is_empty())
    };
    let missing = REQUIRED.iter().filter(|path| !says_something(path));
    missing
        .map(|path| Source::new(*path, "").finding(1, "what must be there is there", "is missing"))
        .collect()
}

/// Whether the folder at `at` stands alone or has something below it, and is the start of a path.
fn is_machine_path(line: &str, at: usize, length: usize) -> bool {
    let after = &line[at + length..];
    let is_name = |next: char| next.is_alphanumeric() || matches!(next, '_' | '-' | '.');
    // A folder below it counts wherever it stands: that is what a search over the checkout finds.
    if let Some(below) = after.strip_prefix('/') {
        return below.starts_with(|next: char| next.is_ascii_lowercase());
    }
    let begins =
        !line[..at].ends_with(|last: char| is_name(last) || matches!(last, '/' | '}' | ')'));
    begins && !after.starts_with(is_name)
}

fn holds_word(line: &str, word: &str) -> bool {
    let is_part = |one: char| one.is_alphanumeric() || one == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(is_part) && !line[at + word.len()..].starts_with(is_part)
    })
}

fn forbidden(source: &Source, never: &[&str], rule: &'static str) -> Vec<Finding> {
    let tokens = match source.tokens() {
        Ok(tokens) => tokens,
        Err(finding) => return vec![finding],
    };
    let is_below = |path: &str, above: &str| {
        path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    let mut found = Vec::new();
    for (line, names) in paths(&tokens) {
        let path = names.join("::");
        let path = path.strip_prefix("core::").map_or(path.clone(), |rest| format!("std::{rest}"));
        // `core::time` is a plain value, unlike the clock of `std::time`.
        let is_value = names[0] == "core" && is_below(&path, "std::time");
        let is_harmless = HARMLESS.iter().any(|harmless| is_below(&path, harmless));
        if !is_value && !is_harmless && never.iter().any(|above| is_below(&path, above)) {
            found.push(source.finding(line, rule, names.join("::")));
        }
    }
    found
}

fn words(source: &Source, rule: &'static str, wanted: impl Fn(&str) -> bool) -> Vec<Finding> {
    let tokens = match source.tokens() {
        Ok(tokens) => tokens,
        Err(finding) => return vec![finding],
    };
    let mut found = Vec::new();
    each_stream(&tokens, &mut |trees| {
        for tree in trees {
            if let TokenTree::Ident(name) = tree
                && wanted(&name.to_string())
            {
                found.push(source.finding(line_of(tree), rule, name.to_string()));
            }
        }
    });
    found
}

/// Judges the first name of each path into the source's own crate.
fn own_paths(
    source: &Source,
    module: &[String],
    judge: impl Fn(&str) -> Option<(&'static str, String)>,
) -> Vec<Finding> {
    let tokens = match source.tokens() {
        Ok(tokens) => tokens,
        Err(finding) => return vec![finding],
    };
    let mut found = Vec::new();
    for (line, path) in paths(&tokens) {
        let (climbs, rest) = match path[0].as_str() {
            "crate" => (module.len(), &path[1..]),
            "super" => {
                let climbs = path.iter().take_while(|name| *name == "super").count();
                (climbs, &path[climbs..])
            }
            _ => continue,
        };
        let inside = &module[..module.len().saturating_sub(climbs)];
        let Some(to) = inside.first().or(rest.first()) else { continue };
        if let Some((rule, what)) = judge(to) {
            found.push(source.finding(line, rule, what));
        }
    }
    found.dedup();
    found
}
