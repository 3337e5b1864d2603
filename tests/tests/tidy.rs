//! The sources keep the rules about themselves, and each rule finds what breaks it.

use hatchery_tests::build::workspace;
use hatchery_tests::tidy::{self, Finding, Source};

#[test]
fn the_sources_are_tidy() {
    let sources = tidy::sources(&workspace());
    assert!(sources.iter().any(|source| source.path == "tests/src/tidy.rs"));
    let found = tidy::check(&sources);
    let lines: Vec<_> = found.iter().map(Finding::to_string).collect();
    assert!(found.is_empty(), "{} findings\n{}", found.len(), lines.join("\n"));
}

/// The lines that a rule finds fault with.
fn lines(rule: tidy::Rule, path: &str, text: &str) -> Vec<usize> {
    rule(&Source::new(path, text)).into_iter().map(|finding| finding.line).collect()
}

#[test]
fn a_room_of_the_core_that_imports_upwards_is_found() {
    let text =
        "//! Head.\nuse crate::dialog::Life;\nuse crate::wire::Header;\nuse crate::id::ActorId;\n";
    assert_eq!(lines(tidy::core_rooms, "proto/src/wire/frame.rs", text), [2]);
    assert_eq!(lines(tidy::core_rooms, "proto/src/dialog/mod.rs", text), []);
    assert_eq!(lines(tidy::core_rooms, "proto/src/lib.rs", text), []);
}

#[test]
fn rooms_of_the_core_that_stand_beside_each_other_meet_only_in_the_actor() {
    let text = "//! Head.\nuse crate::nursery::Ladder;\nuse crate::connection::Connection;\n";
    assert_eq!(lines(tidy::core_rooms, "proto/src/connection/mod.rs", text), [2]);
    assert_eq!(lines(tidy::core_rooms, "proto/src/nursery/ladder.rs", text), [3]);
    assert_eq!(lines(tidy::core_rooms, "proto/src/registrar.rs", text), [2, 3]);
    assert_eq!(lines(tidy::core_rooms, "proto/src/tty.rs", text), [2, 3]);
    assert_eq!(lines(tidy::core_rooms, "proto/src/actor/mod.rs", text), []);
    assert_eq!(lines(tidy::core_rooms, "proto/src/time.rs", text), [2, 3]);
}

#[test]
fn every_way_to_write_an_import_is_seen() {
    let path = "proto/src/wire/frame.rs";
    for text in [
        "//! Head.\nuse crate::{id, dialog};",
        "//! Head.\nuse crate::{id::ActorId, dialog::{Life, Half}};",
        "//! Head.\nuse super::super::dialog::Life;",
        "//! Head.\nfn f(life: crate::dialog::Life) {}",
        "//! Head.\nfn f() { assert!(crate::dialog::is_live()); }",
        "//! Head.\nmod tests { use super::super::super::dialog::Life; }",
        "//! Head.\nuse crate::*;",
    ] {
        assert_eq!(lines(tidy::core_rooms, path, text), [2], "{text}");
    }
    for text in [
        "//! Head, which may speak of crate::dialog.",
        "//! Head.\nmod tests { use super::*; use super::super::Header; }",
        "//! Head.\nuse super::Header; pub(crate) fn f() {}",
    ] {
        assert_eq!(lines(tidy::core_rooms, path, text), [], "{text}");
    }
}

#[test]
fn a_room_of_the_core_that_no_table_lists_is_found() {
    assert_eq!(lines(tidy::core_rooms, "proto/src/attic.rs", "//! Head.\n"), [1]);
}

#[test]
fn a_driver_that_knows_its_users_is_found() {
    let text =
        "//! Head.\nuse crate::portal::Portal;\nuse super::clock;\nuse crate::driver::link;\n";
    assert_eq!(lines(tidy::library_rooms, "runtime/src/driver/link.rs", text), [2]);
    assert_eq!(lines(tidy::library_rooms, "runtime/src/nursery.rs", text), []);
}

#[test]
fn a_call_to_the_system_outside_the_driver_is_found() {
    let text = "//! Head.\nuse std::{fmt, fs};\nfn f() { rustix::process::getpid(); }\n\
                use std::process::{Command, ExitCode};\nuse std::os::unix::net::UnixStream;\n\
                use std::os::fd::OwnedFd;\nuse ::std::process::Termination;\n";
    let rule = tidy::system_calls_in_the_driver;
    assert_eq!(lines(rule, "runtime/src/portal.rs", text), [2, 3, 4, 5]);
    assert_eq!(lines(rule, "runtime/src/driver/process.rs", text), []);
    assert_eq!(lines(rule, "tests/src/leaks.rs", text), []);
}

#[test]
fn a_clock_or_a_thread_in_the_core_is_found() {
    let text = "//! Head.\nuse std::time::Instant;\nuse core::time::Duration;\n\
                fn f() { std::thread::yield_now(); }\nuse std::collections::{BTreeMap, HashMap};\n";
    assert_eq!(lines(tidy::core_is_pure, "proto/src/time.rs", text), [2, 4, 5]);
    assert_eq!(lines(tidy::core_is_pure, "runtime/src/driver/clock.rs", text), []);
}

#[test]
fn unchecked_code_is_found() {
    let word = concat!("un", "safe");
    let text = format!("//! Head.\n// {word}\nfn f() {{ {word} {{}} }}\n#![forbid({word}_code)]\n");
    assert_eq!(lines(tidy::no_unchecked_code, "proto/src/id.rs", &text), [2, 3]);
    assert_eq!(lines(tidy::no_unchecked_code, "runtime/src/portal.rs", &text), [3]);
    assert_eq!(lines(tidy::no_unchecked_code, tidy::HOOK, &text), []);
    assert_eq!(lines(tidy::no_unchecked_code, tidy::HOOK, &format!("{text}{text}")), [3, 7]);
}

#[test]
fn unfinished_code_is_found() {
    let names = [concat!("to", "do"), concat!("unimple", "mented"), concat!("d", "bg")];
    for name in names {
        let text = format!("//! Head.\nfn f() {{\n    {name}!(1);\n}}\n// {name}!()\n");
        assert_eq!(lines(tidy::nothing_unfinished, "fuzz/src/lib.rs", &text), [3]);
    }
    let name = concat!("ig", "nore");
    for attribute in [format!("#[{name}]"), format!("#[{name} = \"slow\"]")] {
        let text = format!("//! Head.\n#[test]\n{attribute}\nfn f() {{}}\n");
        assert_eq!(lines(tidy::nothing_unfinished, "tests/tests/a.rs", &text), [3]);
    }
}

#[test]
fn long_files_and_functions_are_found() {
    let file = |lines: usize| format!("//! Head.\n{}", "\n".repeat(lines - 1));
    for (path, most) in [("proto/src/id.rs", 400), ("runtime/src/id.rs", 500), ("tests/a.rs", 700)]
    {
        assert_eq!(lines(tidy::sizes, path, &file(most)), []);
        assert_eq!(lines(tidy::sizes, path, &file(most + 1)), [1]);
    }
    let function = |lines: usize| {
        format!(
            "//! Head.\nimpl A {{\n  fn f() where A: B {{\n{}  }}\n}}\n",
            "x;\n".repeat(lines - 2)
        )
    };
    for (path, most) in [("proto/src/id.rs", 60), ("runtime/src/id.rs", 80)] {
        assert_eq!(lines(tidy::sizes, path, &function(most)), []);
        assert_eq!(lines(tidy::sizes, path, &function(most + 1)), [3]);
    }
    let declared =
        format!("//! Head.\ntrait A {{\nfn f();\nconst A: B = {{\n{}}};}}", "1;\n".repeat(90));
    assert_eq!(lines(tidy::sizes, "proto/src/id.rs", &declared), []);
}

#[test]
fn a_file_without_a_head_is_found() {
    assert_eq!(lines(tidy::heads, "proto/src/id.rs", "use core::fmt;\n"), [1]);
    assert_eq!(lines(tidy::heads, "proto/src/id.rs", "//! Names.\n"), []);
    assert_eq!(lines(tidy::heads, "README.md", "# Title\n"), []);
}

#[test]
fn a_path_of_a_machine_is_found() {
    for name in ["work", "home", "root"] {
        let text = format!("see /{name}/me/a\n\"/{name}\"\na-{name}/b and the/{name}shop\n");
        assert_eq!(lines(tidy::no_machine_paths, "README.md", &text), [1, 2]);
    }
    assert_eq!(lines(tidy::no_machine_paths, "README.md", "/tmp/a /dev/shm/b /proc/self\n"), []);
}

#[test]
fn what_is_missing_is_found() {
    let found =
        tidy::required(&[Source::new("README.md", "# Title\n"), Source::new("CHANGELOG.md", "")]);
    assert!(!found.iter().any(|finding| finding.path == "README.md"));
    assert!(found.iter().any(|finding| finding.path == "CHANGELOG.md"));
}

#[test]
fn a_source_that_does_not_parse_is_found() {
    assert_eq!(lines(tidy::sizes, "proto/src/id.rs", "//! Head.\nfn f( {\n"), [1]);
}

#[test]
fn an_event_without_a_target_or_with_one_that_nobody_knows_is_found() {
    let text = "//! Head.
fn f() {
    tracing::info!(\"said\");
    tracing::warn!(target: \"hatchery::cancel\", \"said\");
    tracing::debug!(target: \"hatchery::other\", x, \"said\");
    if tracing::enabled!(Level::TRACE) {}
    tracing::debug_span!(target: \"hatchery::runtime\", \"task\");
}
";
    assert_eq!(lines(tidy::targets, "runtime/src/room.rs", text), [3, 5, 6]);
    assert_eq!(lines(tidy::targets, "runtime/src/driver/tests.rs", text), []);
    assert_eq!(lines(tidy::targets, "tests/src/room.rs", text), []);
}

#[test]
fn every_target_is_in_the_documentation() {
    let sources = tidy::sources(&workspace());
    let docs =
        sources.iter().find(|source| source.path == "runtime/src/lib.rs").expect("it is there");
    let unsaid: Vec<_> = tidy::TARGETS
        .iter()
        .filter(|target| !docs.text.contains(&format!("//! - `{target}`")))
        .collect();
    assert!(unsaid.is_empty(), "{unsaid:?}");
}
