//! Tables of rows in the heads of tests: each row has a test with its id in its name, or stands in the
//! table with the reason why there is none.
//!
//! Says what is wrong with a table; which rows there are is for the test to say that has it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::build::workspace;
use crate::tidy::Source;

/// A group of rows, and the test with its table.
///
/// Of `L` and `T` every row stands in the table; of all others those that no test has in its name.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// What its rows begin with.
    pub name: &'static str,
    /// The rows go from one to this.
    pub last: u32,
    /// Rows behind that.
    pub others: &'static [u32],
    /// The file with the table.
    pub file: &'static str,
}

/// The tests, and what they share. Read without a process: tests of several processes look after
/// each other's children.
///
/// # Panics
/// Where they cannot be read.
#[must_use]
pub fn sources() -> Vec<Source> {
    sources_in(&["tests/tests", "tests/src"])
}

/// The same, of these folders.
///
/// # Panics
/// Where they cannot be read.
#[must_use]
pub fn sources_in(folders: &[&str]) -> Vec<Source> {
    let root = workspace();
    let mut sources = Vec::new();
    let mut folders: Vec<_> = folders.iter().map(|folder| root.join(folder)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder of tests") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).expect("a file in there");
                let text = fs::read_to_string(&path).expect("a source");
                sources.push(Source::new(name.to_str().expect("a name that is text"), text));
            }
        }
    }
    sources
}

/// Whether every row of a group stands in its table.
fn is_whole(group: &str) -> bool {
    matches!(group, "L" | "T")
}

/// `F-07`, or `L07`.
fn row_id(group: &str, number: u32) -> String {
    let dash = if is_whole(group) { "" } else { "-" };
    format!("{group}{dash}{number:02}")
}

/// The group that a row belongs to, by its id.
fn group_of(id: &str) -> &str {
    id.trim_end_matches(|last: char| last.is_ascii_digit() || last == '-')
}

/// The rows in the head of a source: what each says behind its id.
fn table(source: &Source) -> Vec<(&str, &str)> {
    let rows = source.text.lines().filter_map(|line| {
        let (id, said) = line.strip_prefix("//! | ")?.strip_suffix(" |")?.split_once(" | ")?;
        id.ends_with(|last: char| last.is_ascii_digit()).then_some((id, said))
    });
    rows.collect()
}

/// The names of the tests in a source: its functions, or where it has a `main` of its own its trials.
fn tests(source: &Source) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut is_test = false;
    for line in source.text.lines().map(str::trim) {
        is_test |= line.starts_with("#[test]") || line.starts_with("#[hatchery::test");
        let Some((before, name)) = line.split_once("fn ") else { continue };
        if is_test && (before.is_empty() || before == "async ") {
            names.extend(name.split_once('(').map(|(name, _)| name.to_owned()));
            is_test = false;
        }
    }
    if source.text.contains("libtest_mimic::run") {
        let fits =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_{}".contains(&byte);
        let is_name = |text: &&str| text.contains('_') && text.bytes().all(fits);
        names.extend(source.text.split('"').filter(is_name).map(str::to_owned));
    }
    names
}

/// The ids that a name carries: `f_06_f_07_…`, `can_11_14_…`, `…_l31_…`.
fn carried(groups: &[Group], name: &str) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    let mut group = None;
    for word in name.split('_') {
        let number = |text: &str| (text.len() == 2).then(|| text.parse().ok()).flatten();
        match (group, number(word), word.strip_prefix('l').and_then(number)) {
            (Some(group), Some(number), _) => drop(ids.insert(row_id(group, number))),
            (_, _, Some(number)) => drop(ids.insert(row_id("L", number))),
            _ => {
                let mut names = groups.iter().map(|group| group.name);
                group = names.find(|group| word == group.to_lowercase());
            }
        }
    }
    ids
}

/// The tests that a row names, each with its file.
fn named<'a>(said: &'a str, own: &'a str) -> Vec<(&'a str, &'a str)> {
    let quoted: Vec<_> = said.split('`').skip(1).step_by(2).collect();
    let mut names = Vec::new();
    let mut quoted =
        quoted.into_iter().filter(|text| text.contains('_') || text.ends_with(".rs")).peekable();
    while let Some(name) = quoted.next() {
        names.push((name, quoted.next_if(|file| file.ends_with(".rs")).unwrap_or(own)));
    }
    names
}

/// What is wrong with the tables of these groups, a line for each.
#[must_use]
pub fn complaints(groups: &[Group], sources: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    let files: BTreeMap<_, _> = sources
        .iter()
        .map(|source| (source.path.strip_prefix("tests/tests/").unwrap_or(&source.path), source))
        .collect();
    let all: BTreeSet<_> =
        sources.iter().flat_map(tests).flat_map(|name| carried(groups, &name)).collect();
    for Group { name: group, last, others, file } in groups {
        let Some(source) = files.get(file) else {
            wrong.push(format!("{file} is not there"));
            continue;
        };
        let mut rows: BTreeMap<_, u32> = BTreeMap::new();
        for (id, said) in table(source).into_iter().filter(|(id, _)| group_of(id) == *group) {
            *rows.entry(id.to_owned()).or_default() += 1;
            for (name, file) in named(said, file) {
                let known = files.get(file).map(|source| tests(source)).unwrap_or_default();
                let fits = |known: &&String| match name.strip_suffix('…') {
                    Some(begin) => known.starts_with(begin),
                    None => *known == name,
                };
                let count = known.iter().filter(fits).count();
                if count != 1 {
                    wrong.push(format!("{id}: {count} tests in {file} are called {name}"));
                }
            }
        }
        let known: BTreeSet<_> =
            (1..=*last).chain(others.iter().copied()).map(|number| row_id(group, number)).collect();
        let unknown = rows.keys().filter(|id| !known.contains(*id));
        wrong.extend(unknown.map(|id| format!("{id} in {file} is no row")));
        for id in &known {
            let listed = rows.get(id).copied().unwrap_or(0);
            match (group, listed, all.contains(id)) {
                (_, 1, false) => {}
                (group, 1, true) if is_whole(group) => {}
                (group, 0, true) if !is_whole(group) => {}
                (_, 0, _) => wrong.push(format!("{id} has no row in {file} and no test")),
                (_, 1, _) => wrong.push(format!("{id} has a test, and a row in {file} as well")),
                _ => wrong.push(format!("{id} has {listed} rows in {file}")),
            }
        }
    }
    wrong
}
