//! The specification, the code and the tests agree: every rule is cited by the code and proven by a
//! test with its id in the name, and the tables, bounds and bytes on the page are the real ones.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::fs;

use hatchery_proto::Limits;
use hatchery_proto::actor::peers;
use hatchery_proto::actor::shutdown::Stage;
use hatchery_proto::dialog::tables::{Cancel, Half, Life};
use hatchery_proto::nursery::budget;
use hatchery_proto::nursery::ladder::{Policy, State};
use hatchery_proto::registrar;
use hatchery_tests::build::workspace;
use hatchery_tests::tidy::{self, Source};

/// Rules whose code or proof comes with a later part, and with which.
const LATER: &[(&str, &str)] = &[];

/// The groups of rules.
const GROUPS: &str = "FLDCWATR";

fn page() -> String {
    fs::read_to_string(workspace().join("proto/SPEC.md")).expect("the specification")
}

/// The rules that the page states, each with its text.
fn rules(page: &str) -> BTreeMap<String, String> {
    let mut rules = BTreeMap::new();
    for item in page.split("\n- **").skip(1) {
        let Some((id, text)) = item.split_once("** ") else { continue };
        if cited(id).len() == 1 {
            let before = rules.insert(id.to_owned(), text.to_owned());
            assert!(before.is_none(), "{id} is stated twice");
        }
    }
    rules
}

/// The ids in a text: `P-` and a group and a number.
fn cited(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices("P-") {
        let rest = &text[at + 2..];
        let Some(group) = rest.chars().next().filter(|group| GROUPS.contains(*group)) else {
            continue;
        };
        let number: String = rest[1..].chars().take_while(char::is_ascii_digit).collect();
        if !number.is_empty() {
            found.insert(format!("P-{group}{number}"));
        }
    }
    found
}

/// The names of the tests in a source.
fn tests(source: &Source) -> Vec<String> {
    let mut names = Vec::new();
    let mut is_test = false;
    for line in source.text.lines().map(str::trim) {
        let attribute = line.starts_with("#[test]") || line.starts_with("#[hatchery::test");
        is_test |= attribute;
        let Some((before, name)) = line.split_once("fn ") else { continue };
        if is_test && (before.is_empty() || before == "async ") {
            names.extend(name.split_once('(').map(|(name, _)| name.to_owned()));
            is_test = false;
        }
    }
    names
}

/// The ids that a test's name carries: `p_f1_…`, and more behind the first.
fn carried(name: &str) -> BTreeSet<String> {
    let words: Vec<_> = name.split('_').collect();
    let ids = words.windows(2).filter(|pair| pair[0] == "p").map(|pair| pair[1].to_uppercase());
    ids.flat_map(|id| cited(&format!("P-{id}"))).collect()
}

#[derive(Default)]
struct Evidence {
    /// Which files of the core and the library cite a rule.
    code: BTreeMap<String, BTreeSet<String>>,
    /// Which tests carry it in their name.
    tests: BTreeMap<String, BTreeSet<String>>,
    /// What any source cites at all.
    anywhere: BTreeMap<String, BTreeSet<String>>,
}

impl Evidence {
    fn of(sources: &[Source]) -> Self {
        let mut evidence = Self::default();
        let is_source = |path: &str| path.ends_with(".rs") || path.ends_with(".py");
        for source in sources.iter().filter(|source| is_source(&source.path)) {
            let own = |id: String, map: &mut BTreeMap<String, BTreeSet<String>>, by: &str| {
                map.entry(id).or_default().insert(by.to_owned());
            };
            let is_code =
                ["proto/src/", "runtime/src/"].iter().any(|room| source.path.starts_with(room));
            for id in cited(&source.text) {
                if is_code {
                    own(id.clone(), &mut evidence.code, &source.path);
                }
                own(id, &mut evidence.anywhere, &source.path);
            }
            for name in tests(source) {
                for id in carried(&name) {
                    own(id.clone(), &mut evidence.tests, &name);
                    own(id, &mut evidence.anywhere, &source.path);
                }
            }
        }
        evidence
    }

    /// What is wrong, a line for each.
    fn complaints(&self, rules: &BTreeMap<String, String>, later: &[(&str, &str)]) -> Vec<String> {
        let mut wrong = Vec::new();
        for id in rules.keys() {
            let waits = later.iter().any(|(known, _)| known == id);
            let (code, tests) = (self.code.contains_key(id), self.tests.contains_key(id));
            match (waits, code && tests) {
                (true, true) => wrong.push(format!("{id} waits for nothing any more")),
                (false, false) if !code => wrong.push(format!("{id} is cited by no code")),
                (false, false) => wrong.push(format!("{id} is in no test's name")),
                _ => {}
            }
        }
        for (id, by) in &self.anywhere {
            if !rules.contains_key(id) {
                wrong.push(format!("{id} is no rule, and cited in {by:?}"));
            }
        }
        let unknown = later.iter().filter(|(id, _)| !rules.contains_key(*id));
        wrong.extend(unknown.map(|(id, _)| format!("{id} is no rule, and put off")));
        wrong
    }
}

#[test]
fn every_rule_is_cited_by_code_and_proven_by_a_test_of_its_name() {
    let rules = rules(&page());
    let mut groups: BTreeMap<char, BTreeSet<u32>> = BTreeMap::new();
    for id in rules.keys() {
        let number = id[3..].parse().expect("a number");
        groups.entry(id.as_bytes()[2].into()).or_default().insert(number);
    }
    for (group, numbers) in &groups {
        assert!(numbers.iter().copied().eq(1..=numbers.len() as u32), "{group} has gaps");
    }
    assert_eq!(groups.len(), GROUPS.len());
    let evidence = Evidence::of(&tidy::sources(&workspace()));
    for id in rules.keys() {
        let of = |map: &BTreeMap<String, BTreeSet<String>>| map.get(id).map_or(0, BTreeSet::len);
        let first = evidence.tests.get(id).and_then(|tests| tests.first());
        let first = first.map_or("(later)", String::as_str);
        println!("{id}: files {}, tests {}, as {first}", of(&evidence.code), of(&evidence.tests));
    }
    let wrong = evidence.complaints(&rules, LATER);
    assert!(wrong.is_empty(), "{} complaints\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn what_is_missing_on_any_side_is_found() {
    let rules = rules("x\n- **P-F1** (a) one\n- **P-F2** (b) two\n- **P-F3** (c) three\n");
    assert_eq!(rules.len(), 3);
    let sources = [
        Source::new("proto/src/a.rs", concat!("//! Of P-F1 and P-F2, P", "-L77, XP-Q1.\n")),
        Source::new(
            "tests/tests/a.rs",
            "#[test]\nfn p_f1_a() {}\nfn p_f2_helper() {}\n#[test]\n#[should_panic]\nfn b_p_f3() {}",
        ),
    ];
    let evidence = Evidence::of(&sources);
    let found = evidence.complaints(&rules, &[("P-F1", "x"), ("P-D1", "y")]);
    let expected = [
        "P-F1 waits for nothing any more",
        "P-F2 is in no test's name",
        "P-F3 is cited by no code",
        concat!("P", "-L77 is no rule, and cited in {\"proto/src/a.rs\"}"),
        "P-D1 is no rule, and put off",
    ];
    assert_eq!(found, expected);
}

/// A table as the page shows it: a line for each state that something moves.
fn shown<S: Debug + PartialEq, T: Debug>(rows: &[(S, T, S)]) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut last = None;
    for (from, on, to) in rows {
        if last == Some(from) {
            let line = lines.last_mut().expect("a line");
            line.push_str(&format!(", {on:?} → {to:?}"));
        } else {
            lines.push(format!("{from:?}: {on:?} → {to:?}"));
        }
        last = Some(from);
    }
    lines.join("\n")
}

#[test]
fn the_tables_on_the_page_are_the_codes() {
    let page = page();
    let tables = [
        shown(Life::ROWS),
        shown(Half::ROWS),
        shown(Cancel::ROWS),
        shown(State::ROWS),
        shown(Stage::ROWS),
        shown(hatchery_proto::nursery::Phase::ROWS),
    ];
    for table in tables {
        assert!(page.contains(&format!("```text\n{table}\n```\n")), "the page lacks\n{table}");
    }
}

#[test]
fn the_bounds_on_the_page_are_the_codes() {
    let (page, limits) = (page(), Limits::default());
    let rows = [
        format!("| `max_frame` | {} bytes |", limits.max_frame),
        format!("| `max_message` | {} bytes |", limits.max_message),
        format!("| `max_dialogs` | {} |", limits.max_dialogs),
        format!("| `window` | {} bytes |", limits.window),
        format!("| `max_refusals` | {} |", limits.max_refusals),
        format!("| `max_name` | {} bytes |", limits.max_name),
        format!("| `misbehaviour_budget` | {} |", limits.misbehaviour_budget),
        format!("| descriptors of a message | {} |", Limits::DESCRIPTORS),
        format!("| descriptors that nobody has taken | {} |", Limits::DESCRIPTORS_HELD),
        format!("| `handshake_timeout` | {} ms |", limits.handshake_timeout.as_millis()),
        format!("| `hold_back` | {} ms |", limits.hold_back.as_millis()),
        format!("| orphan | {} ms |", budget::ORPHAN.as_millis()),
        {
            let Policy { connect, leave, teardown } = Policy::default();
            let [connect, leave, teardown] =
                [connect, leave, teardown].map(|time| time.as_millis());
            format!("| connect, leave, teardown of a child | {connect}, {leave}, {teardown} ms |")
        },
    ];
    for row in rows.into_iter().chain(bounds_of_names_and_peers()) {
        assert!(page.contains(&row), "the page lacks `{row}`");
    }
    let (period, patience) = (Limits::LIVENESS.0.as_millis(), Limits::LIVENESS.1.as_millis());
    let row = format!("| liveness of a link apart | {period}, {patience} ms |");
    assert!(page.contains(&row), "the page lacks `{row}`");
    assert!(limits.liveness.is_none() && page.contains("| liveness | off |"));
}

fn bounds_of_names_and_peers() -> Vec<String> {
    let registrar = registrar::Bounds::default();
    let peers = peers::Bounds::default();
    assert_eq!(registrar.name, Limits::default().max_name);
    let (waiters, watches) = (registrar.waiters, registrar.watches);
    vec![
        format!("| `addresses` | {} |", registrar.addresses),
        format!("| `entries` | {} |", registrar.entries),
        format!("| `entries_per_link` | {} |", registrar.entries_per_link),
        format!("| `answer` | {} |", registrar.answer),
        format!("| `waiters`, `waiters_per_link` | {waiters}, {} |", registrar.waiters_per_link),
        format!("| `watches`, `watches_per_link` | {watches}, {} |", registrar.watches_per_link),
        format!("| `changes` | {} |", registrar.changes),
        format!("| `checks` | {} |", registrar.checks),
        format!("have not greeted, {} are kept.", peers.greeting),
        format!("chance of {} in 100", u32::from(peers.drop_rate) * 100 / 65_536),
        format!("rises evenly to certainty at {}.", peers.most_greeting),
        format!("Of links that one peer has dialed, {} are kept", peers.links),
        format!("The last {} deaths are remembered.", peers.dead),
    ]
}

/// Hex without blanks, or nothing where it is none.
fn digits(line: &str) -> Option<String> {
    let digits: String = line.split_whitespace().collect();
    let is_hex = digits.len() > 11 && digits.chars().all(|digit| digit.is_ascii_hexdigit());
    is_hex.then_some(digits)
}

#[test]
fn the_bytes_on_the_page_are_the_frozen_ones() {
    let folder = workspace().join("tests/golden");
    let mut frozen = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        frozen.extend(text.lines().filter_map(digits));
    }
    let shown: Vec<_> = page().lines().filter_map(digits).collect();
    assert!(shown.len() >= 15, "{} examples", shown.len());
    for frame in shown {
        assert!(frozen.contains(&frame), "{frame} is no golden vector");
    }
}
