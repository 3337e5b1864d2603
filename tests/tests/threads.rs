//! Which threads a process has for its actors: those that the library's documentation names, once
//! each, and no other when a root has ended.

use std::collections::BTreeMap;

use hatchery_tests::programs::Program;

/// What the documentation says of threads.
fn documented() -> &'static str {
    let head = include_str!("../../runtime/src/lib.rs");
    let (_, section) = head.split_once("//! # Threads\n").expect("a section about threads");
    section.split("//! # ").next().unwrap_or_default()
}

/// Which threads there are, by name.
type Threads = BTreeMap<String, u32>;

/// What `threads` prints, by when it says so.
fn told(out: &str) -> BTreeMap<String, Threads> {
    let threads = |all: &str| -> Threads {
        all.split(' ')
            .map(|one| {
                let (name, id) = one.rsplit_once('#').expect("a name and an id");
                (name.to_owned(), id.parse().expect("an id"))
            })
            .collect()
    };
    let line = |line: &str| {
        let (when, all) = line.split_once(": ").expect("when, and which");
        let found = threads(all);
        assert_eq!(found.len(), all.split(' ').count(), "two of one name: {line}");
        (when.to_owned(), found)
    };
    out.lines().map(line).collect()
}

#[test]
fn spn_19_20_a_root_that_has_ended_leaves_no_thread_but_those_the_docs_name() {
    let finished = Program::bin("threads").run();
    finished.assert_exit(0);
    let told = told(&finished.out());
    let names = |when: &str| -> Vec<&str> { told[when].keys().map(String::as_str).collect() };
    // The kernel keeps 15 bytes of a name.
    let (reactor, spawner, watch) = ("async-io", "hatchery-spawne", "hatchery-watch");
    assert_eq!(names("before"), ["threads"], "{finished}");
    assert_eq!(names("first root"), [reactor, "threads"], "{finished}");
    assert_eq!(names("first root with actors"), [reactor, spawner, "threads"], "{finished}");
    assert_eq!(names("after first"), [reactor, spawner, "threads"], "{finished}");
    // The second one has those of the first.
    for when in ["second root", "second root with actors", "after second"] {
        assert_eq!(told[when], told["after first"], "{when}: {finished}");
    }
    for turn in ["first", "second"] {
        let (actor, parent) = (format!("{turn} actor"), format!("{turn} parent"));
        // With a wait of its own, an actor does without the reactor until it has a child.
        let reactors: &[&str] = if hatchery::__private::PARKER { &[] } else { &[reactor] };
        assert_eq!(names(&actor), [reactors, &[watch, "worker"]].concat(), "{finished}");
        assert_eq!(names(&parent), [reactor, spawner, watch, "worker"], "{finished}");
    }
    for name in [reactor, spawner, watch] {
        assert!(documented().contains(&format!("- `{name}")), "the docs do not name {name}");
    }
}
