//! `proto/PORTING.md` shows the program that it speaks of, all of it, as it is.

use std::collections::BTreeSet;
use std::fs;

use hatchery_tests::build::workspace;

/// The lines of each block of code, from the number of the first.
fn blocks(page: &str) -> Vec<(usize, Vec<&str>)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, Vec<&str>)> = None;
    for (line, number) in page.lines().zip(1..) {
        match &mut open {
            None if line == "```rust" => open = Some((number + 1, Vec::new())),
            None => {}
            Some(_) if line == "```" => found.extend(open.take()),
            Some((_, lines)) => lines.push(line),
        }
    }
    assert!(open.is_none(), "the last block is not closed");
    found
}

/// Without the indentation that all lines share.
fn flush<'a>(lines: &[&'a str]) -> Vec<&'a str> {
    let depth = |line: &&str| line.len() - line.trim_start().len();
    let least = lines.iter().filter(|line| !line.is_empty()).map(depth).min().unwrap_or(0);
    lines.iter().map(|line| line.get(least..).unwrap_or_default()).collect()
}

#[test]
fn the_page_is_in_step_with_the_program() {
    let read = |path| fs::read_to_string(workspace().join(path)).unwrap();
    let page = read("proto/PORTING.md");
    let program = read("tests/ports/blocking/src/main.rs");
    let lines: Vec<_> = program.lines().collect();
    let mut shown = BTreeSet::new();
    for (number, block) in blocks(&page) {
        let block = flush(&block);
        let place = lines.windows(block.len()).position(|window| flush(window) == block);
        let place = place.unwrap_or_else(|| {
            panic!("proto/PORTING.md:{number}: not in the program:\n{}", block.join("\n"))
        });
        shown.extend(place..place + block.len());
    }
    let code = (lines.iter().position(|line| line.starts_with("struct ")).unwrap())..lines.len();
    let missing: Vec<_> = code
        .filter(|at| !shown.contains(at) && !matches!(lines[*at], "" | "}"))
        .map(|at| format!("{}: {}", at + 1, lines[at]))
        .collect();
    assert!(missing.is_empty(), "not shown in proto/PORTING.md:\n{}", missing.join("\n"));
}

#[test]
fn a_block_is_found_wherever_it_is_indented() {
    assert_eq!(blocks("a\n```rust\nb\n\nc\n```\n"), [(3, vec!["b", "", "c"])]);
    assert_eq!(flush(&["    a", "", "      b"]), ["a", "", "  b"]);
}
