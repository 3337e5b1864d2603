//! Tables on a page: each between two marks, written anew and never by hand.

use std::fs;
use std::io;
use std::path::Path;

use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;

/// Writes a table between `<!-- NAME -->` and `<!-- end of NAME -->`, and a line below it.
pub(crate) fn write(path: &Path, name: &str, mut table: Table, below: &str) -> io::Result<()> {
    let page = fs::read_to_string(path)?;
    let (begin, end) = (format!("<!-- {name} -->"), format!("<!-- end of {name} -->"));
    let parts =
        page.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    let (before, after) = parts.ok_or_else(|| {
        let told = format!("{} has no `{begin}` with `{end}` behind it", path.display());
        io::Error::other(told)
    })?;
    table.load_style(ASCII_MARKDOWN);
    fs::write(path, format!("{before}{begin}\n{table}\n\n{below}\n{end}{after}"))
}
