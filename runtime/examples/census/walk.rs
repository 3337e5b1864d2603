//! What there is to count: the PATHs of the command line, opened up into files.
//!
//! What is taken is what `wc` and `find` users expect:
//! - A PATH may be a file, a directory or a link to either; it is followed. Below a directory
//!   everything counts, hidden or not.
//! - A link met on the way is not followed: what it leads to is counted where it lives. It is
//!   listed only if it leads nowhere, or back to a directory that it lies in.
//! - What can never be counted (a FIFO, a socket, a device, an empty directory, a directory that
//!   cannot be listed) is listed with the reason.
//! - Without a PATH, the files of the checkout: all that git does not ignore, and not `.git`.
//!
//! Directories are listed in the order of their names, so that file N is the same in every run.

use std::fs;
use std::iter;
use std::path::{Path, PathBuf};

use ignore::{DirEntry, WalkBuilder};

use crate::count::{NOT_REGULAR, reason};

/// One thing met by the walk.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A file to count.
    File(PathBuf),
    /// Something that cannot be counted.
    Odd(Odd),
}

/// Something that cannot be counted, and why.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Odd {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Why not.
    pub(crate) reason: String,
    /// Whether it is a PATH of the command line that does not exist.
    pub(crate) missing: bool,
}

impl Found {
    fn odd(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Self::Odd(Odd { path: path.into(), reason: reason.into(), missing: false })
    }
}

/// Walks `paths` one after the other; without any, the checkout around `here`.
pub(crate) fn walk(paths: Vec<PathBuf>, here: PathBuf) -> Box<dyn Iterator<Item = Found> + Send> {
    if paths.is_empty() {
        return Box::new(checkout(&here));
    }
    Box::new(paths.into_iter().flat_map(below))
}

/// The files of the checkout that `here` lies in, or of `here` itself if it lies in none.
fn checkout(here: &Path) -> impl Iterator<Item = Found> + Send + use<> {
    let top = here.ancestors().find(|top| top.join(".git").exists()).unwrap_or(here);
    let top = if top == here { Path::new(".") } else { top };
    let mut builder = WalkBuilder::new(top);
    builder.hidden(false).ignore(false).require_git(false);
    builder.filter_entry(|entry| entry.file_name() != ".git");
    tree(builder)
}

/// All that one PATH stands for.
fn below(path: PathBuf) -> Box<dyn Iterator<Item = Found> + Send> {
    let found = match fs::metadata(&path) {
        Ok(meta) if meta.is_dir() => {
            // The walker takes a lone dash for standard input.
            let top = if path.as_os_str() == "-" { Path::new("./-") } else { &path };
            let mut builder = WalkBuilder::new(top);
            builder.standard_filters(false);
            return Box::new(tree(builder));
        }
        Ok(meta) if meta.is_file() => Found::File(path),
        Ok(_) => Found::odd(path, NOT_REGULAR),
        Err(error) => {
            let missing = error.kind() == std::io::ErrorKind::NotFound;
            Found::Odd(Odd { path, reason: reason(&error), missing })
        }
    };
    Box::new(iter::once(found))
}

fn tree(mut builder: WalkBuilder) -> impl Iterator<Item = Found> + Send {
    builder.follow_links(false).sort_by_file_name(Ord::cmp);
    builder.build().filter_map(|entry| match entry {
        Ok(entry) => look(entry),
        Err(error) => Some(trouble(&error, None)),
    })
}

/// What an entry is to the census; `None` for what needs no word.
fn look(entry: DirEntry) -> Option<Found> {
    let kind = entry.file_type()?;
    let top = entry.depth() == 0;
    let path = short(entry.into_path());
    if kind.is_file() {
        Some(Found::File(path))
    } else if kind.is_dir() || top {
        // A directory that cannot be listed is told of by the walker itself.
        let empty = fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_none());
        empty.then(|| Found::odd(path, "empty directory"))
    } else if kind.is_symlink() {
        dead_end(&path).map(|reason| Found::odd(path, reason))
    } else {
        Some(Found::odd(path, NOT_REGULAR))
    }
}

/// Why a link leads nowhere, if so.
fn dead_end(link: &Path) -> Option<String> {
    let target = match fs::canonicalize(link) {
        Ok(target) => target,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Some("symbolic link to nothing".into());
        }
        Err(error) => return Some(reason(&error)),
    };
    let parent = link.parent().filter(|parent| !parent.as_os_str().is_empty());
    let home = fs::canonicalize(parent.unwrap_or(Path::new("."))).ok()?;
    home.starts_with(target).then(|| "symbolic link loop".into())
}

/// The walker's own complaints, as something met.
fn trouble(error: &ignore::Error, path: Option<&Path>) -> Found {
    match error {
        ignore::Error::WithPath { path, err } => trouble(err, Some(path)),
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => {
            trouble(err, path)
        }
        ignore::Error::Loop { child, .. } => Found::odd(child, "symbolic link loop"),
        other => {
            let path = short(path.unwrap_or(Path::new(".")).to_owned());
            Found::odd(path, other.io_error().map_or_else(|| other.to_string(), reason))
        }
    }
}

/// A path without the `./` that a walk of the current directory puts before it.
fn short(path: PathBuf) -> PathBuf {
    match path.strip_prefix("./") {
        Ok(rest) if !rest.as_os_str().is_empty() => rest.to_owned(),
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::{env, process};

    use super::*;

    /// A directory that is gone when this is dropped.
    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let dir = env::temp_dir().join(format!("census-walk-{name}-{}", process::id()));
            fs::create_dir(&dir).unwrap();
            Self(dir)
        }

        fn file(&self, name: &str, text: &str) -> PathBuf {
            let path = self.0.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            path
        }

        /// What a walk of `paths` in here finds, with this directory cut off.
        fn walk(&self, paths: &[&str]) -> Vec<String> {
            let paths = paths.iter().map(|path| self.0.join(path)).collect();
            let cut = |path: PathBuf| path.strip_prefix(&self.0).unwrap().display().to_string();
            walk(paths, self.0.join("sub"))
                .map(|found| match found {
                    Found::File(path) => cut(path),
                    Found::Odd(odd) => format!(
                        "{}: {}{}",
                        cut(odd.path),
                        odd.reason,
                        if odd.missing { " (missing)" } else { "" }
                    ),
                })
                .collect()
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_path_stands_for_all_files_below_in_the_order_of_names() {
        let dir = Dir::new("files");
        for name in ["b/2", "b/.hidden", "b/.git/kept", "b/10", "a", "c", "b/ignored"] {
            dir.file(name, "");
        }
        dir.file("b/.gitignore", "ignored\n");
        assert_eq!(
            dir.walk(&["b", "a"]),
            ["b/.git/kept", "b/.gitignore", "b/.hidden", "b/10", "b/2", "b/ignored", "a"]
        );
    }

    #[test]
    fn links_are_followed_on_the_command_line_only() {
        let dir = Dir::new("links");
        dir.file("b/file", "");
        symlink("b/file", dir.0.join("to-file")).unwrap();
        symlink("b", dir.0.join("to-dir")).unwrap();
        symlink("file", dir.0.join("b/alias")).unwrap();
        assert_eq!(dir.walk(&["to-file", "to-dir"]), ["to-file", "to-dir/file"]);
    }

    #[test]
    fn links_that_lead_nowhere_are_listed() {
        let dir = Dir::new("loops");
        dir.file("b/c/file", "");
        symlink("y", dir.0.join("b/x")).unwrap();
        symlink("x", dir.0.join("b/y")).unwrap();
        symlink("..", dir.0.join("b/c/up")).unwrap();
        symlink("none", dir.0.join("b/c/dangling")).unwrap();
        assert_eq!(
            dir.walk(&["b", "b/x", "b/c/dangling"]),
            [
                "b/c/dangling: symbolic link to nothing",
                "b/c/file",
                "b/c/up: symbolic link loop",
                "b/x: symbolic link loop",
                "b/y: symbolic link loop",
                "b/x: symbolic link loop",
                "b/c/dangling: no such file or directory (missing)",
            ]
        );
    }

    #[test]
    fn what_cannot_be_counted_is_listed() {
        let dir = Dir::new("odd");
        fs::create_dir_all(dir.0.join("b/empty")).unwrap();
        let _socket = UnixListener::bind(dir.0.join("b/socket")).unwrap();
        assert_eq!(
            dir.walk(&["b", "b/empty", "b/socket", "none"]),
            [
                "b/empty: empty directory",
                "b/socket: not a regular file",
                "b/empty: empty directory",
                "b/socket: not a regular file",
                "none: no such file or directory (missing)",
            ]
        );
    }

    #[test]
    fn without_a_path_it_is_the_checkout_around_here() {
        let dir = Dir::new("checkout");
        for name in [".git/config", "sub/a", "sub/.hidden", "target/x", "sub/x.o", "top"] {
            dir.file(name, "");
        }
        dir.file(".gitignore", "/target\n*.o\n");
        assert_eq!(dir.walk(&[]), [".gitignore", "sub/.hidden", "sub/a", "top"]);
    }
}
