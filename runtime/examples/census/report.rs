//! What the user gets to see: tables or one JSON object, from a finished tally.
//!
//! Names are bytes. Where text is needed, what is not UTF-8 becomes `\xHH` and a backslash `\\`,
//! so that two names never look the same and each can be told back. On a terminal control
//! characters are escaped too (`\n`, `\x1b`); JSON has its own way with those.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{Cell, CellAlignment, Table};
use serde::Serialize;

use crate::tally::Tally;

/// The tables: totals, slowest files, and what failed.
pub(crate) fn tables(tally: &Tally) -> String {
    let mut text = String::new();
    let mut totals = table(&["files", "lines", "words", "bytes"]);
    totals.add_row([tally.files, tally.lines, tally.words, tally.bytes].map(right));
    let _ = writeln!(text, "{totals}");
    if !tally.slowest.is_empty() {
        let mut slowest = table(&["slowest files", "lines", "words", "bytes", "ms"]);
        for slow in &tally.slowest {
            let counts = &slow.counts;
            let mut row = vec![Cell::new(printable(&slow.path))];
            row.extend([counts.lines, counts.words, counts.bytes].map(right));
            row.push(right(format!("{:.1}", slow.took.as_secs_f64() * 1e3)));
            slowest.add_row(row);
        }
        let _ = writeln!(text, "{slowest}");
    }
    for (path, reason) in &tally.failed {
        let _ = writeln!(text, "failed: {}: {reason}", printable(path));
    }
    text
}

/// The one JSON object.
pub(crate) fn json(tally: &Tally) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Object<'a> {
        files: u64,
        lines: u64,
        words: u64,
        bytes: u64,
        sha256: BTreeMap<Cow<'a, str>, String>,
        failed: BTreeMap<Cow<'a, str>, &'a str>,
    }
    let hashes = tally.hashes.iter().flatten();
    let mut text = serde_json::to_string(&Object {
        files: tally.files,
        lines: tally.lines,
        words: tally.words,
        bytes: tally.bytes,
        sha256: hashes.map(|(path, hash)| (escape(path), hex(hash))).collect(),
        failed: tally.failed.iter().map(|(path, why)| (escape(path), why.as_str())).collect(),
    })?;
    text.push('\n');
    Ok(text)
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    let cells = header.iter().enumerate().map(|(column, title)| {
        let numbers = column > 0 || header.len() == 4;
        let align = if numbers { CellAlignment::Right } else { CellAlignment::Left };
        Cell::new(title).set_alignment(align)
    });
    table.load_style(UTF8_BORDERS_ONLY).set_header(cells);
    table
}

fn right(value: impl ToString) -> Cell {
    Cell::new(value).set_alignment(CellAlignment::Right)
}

fn hex(hash: &[u8]) -> String {
    hash.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A name as text: `\` doubled, bytes that are not UTF-8 as `\xHH`.
fn escape(name: &[u8]) -> Cow<'_, str> {
    match str::from_utf8(name) {
        Ok(text) if !text.contains('\\') => Cow::Borrowed(text),
        _ => Cow::Owned(name.utf8_chunks().fold(String::new(), |mut text, chunk| {
            text.push_str(&chunk.valid().replace('\\', r"\\"));
            for byte in chunk.invalid() {
                let _ = write!(text, r"\x{byte:02x}");
            }
            text
        })),
    }
}

/// A name as text that leaves a terminal and its lines alone.
fn printable(name: &[u8]) -> String {
    escape(name).chars().fold(String::new(), |mut text, c| {
        match c {
            '\n' => text.push_str(r"\n"),
            '\t' => text.push_str(r"\t"),
            '\r' => text.push_str(r"\r"),
            c if c.is_control() => {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    let _ = write!(text, r"\x{byte:02x}");
                }
            }
            c => text.push(c),
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::count::Counts;
    use crate::worker::Done;

    fn tally() -> Tally {
        let mut tally = Tally::new(true);
        let counts = Counts { lines: 1, words: 2, bytes: 30, sha256: [0xab; 32] };
        let took = Duration::from_micros(1500);
        tally.add(Done { path: b"a b".into(), counts: Ok(counts), took });
        let counts = Err("permission denied".into());
        tally.add(Done { path: b"\xff\n".into(), counts, took });
        tally
    }

    #[test]
    fn names_are_told_apart_whatever_their_bytes() {
        for (name, text) in [
            (b"plain name".as_slice(), "plain name"),
            (b"\xff", r"\xff"),
            (br"\xff", r"\\xff"),
            (b"caf\xc3\xa9 \xc3", "caf\u{e9} \\xc3"),
            (b"two\nlines", "two\nlines"),
        ] {
            assert_eq!(escape(name), text);
        }
        assert_eq!(printable(b"a\nb\t\x1b[0m\\n"), r"a\nb\t\x1b[0m\\n");
    }

    #[test]
    fn the_json_object_is_one_line_in_the_promised_order() {
        let hash = "ab".repeat(32);
        assert_eq!(
            json(&tally()).unwrap(),
            format!(r#"{{"files":1,"lines":1,"words":2,"bytes":30,"sha256":{{"a b":"{hash}"}},"#)
                + r#""failed":{"\\xff\n":"permission denied"}}"#
                + "\n"
        );
    }

    #[test]
    fn the_tables_show_totals_slowest_and_failures() {
        assert_eq!(
            tables(&tally()),
            "\
┌───────────────────────────────┐
│ files   lines   words   bytes │
╞═══════════════════════════════╡
│     1       1       2      30 │
└───────────────────────────────┘
┌─────────────────────────────────────────────┐
│ slowest files   lines   words   bytes    ms │
╞═════════════════════════════════════════════╡
│ a b                 1       2      30   1.5 │
└─────────────────────────────────────────────┘
failed: \\xff\\n: permission denied
"
        );
    }
}
