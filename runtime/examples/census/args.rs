//! The command line: what the user asked for, and nothing done about it yet.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread::available_parallelism;

use lexopt::prelude::*;

/// How to call the census.
pub(crate) const USAGE: &str = "\
usage: census [--json] [--crash N] [--workers N] [PATH]...

Counts the lines, words and bytes of every file below the PATHs, and hashes each.
Without a PATH: the files of the checkout around the current directory, less what git ignores.

  --json       one JSON object instead of tables
  --workers N  so many worker processes instead of one per core
  --crash N    make the worker that gets file N panic (files count from 0, in the order of the walk)
  --help       this text

Names are printed with \\\\ for a backslash and \\xHH for a byte that is not UTF-8.
Exit code: 0; 1 if a PATH does not exist or the run failed; 2 for a wrong call; 130 after Ctrl-C.
";

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Args {
    /// What to look at; empty means the checkout's own files.
    pub(crate) paths: Vec<PathBuf>,
    /// One JSON object instead of tables.
    pub(crate) json: bool,
    /// The file whose worker panics.
    pub(crate) crash: Option<u64>,
    /// The number of worker processes.
    pub(crate) workers: NonZeroUsize,
}

/// What a command line comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Do the census.
    Census(Args),
    /// Print [`USAGE`].
    Help,
}

/// Reads a command line without the program's name.
pub(crate) fn parse(line: impl IntoIterator<Item = OsString>) -> Result<Wish, lexopt::Error> {
    let workers = available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let mut args = Args { paths: Vec::new(), json: false, crash: None, workers };
    let mut parser = lexopt::Parser::from_args(line);
    while let Some(arg) = parser.next()? {
        match arg {
            Long("json") => args.json = true,
            Long("crash") => args.crash = Some(parser.value()?.parse()?),
            Long("workers") => args.workers = parser.value()?.parse()?,
            Short('h') | Long("help") => return Ok(Wish::Help),
            Value(path) => args.paths.push(path.into()),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Wish::Census(args))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &[&str]) -> Result<Wish, String> {
        parse(line.iter().map(OsString::from)).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_means_the_checkout_in_tables_with_a_worker_per_core() {
        let Ok(Wish::Census(args)) = parsed(&[]) else { panic!("an empty line is legal") };
        assert_eq!((args.paths.len(), args.json, args.crash), (0, false, None));
        assert_eq!(args.workers, available_parallelism().unwrap());
    }

    #[test]
    fn options_and_paths_mix_and_two_dashes_end_the_options() {
        let line = ["a", "--json", "--crash=7", "--workers", "3", "--", "--json"];
        let Ok(Wish::Census(args)) = parsed(&line) else { panic!("the line is legal") };
        assert_eq!(args.paths, [PathBuf::from("a"), PathBuf::from("--json")]);
        assert_eq!((args.json, args.crash, args.workers.get()), (true, Some(7), 3));
    }

    #[test]
    fn wrong_calls_are_errors_that_name_the_culprit() {
        assert!(parsed(&["--jsno"]).unwrap_err().contains("--jsno"));
        assert!(parsed(&["--crash", "first"]).unwrap_err().contains("first"));
        assert!(parsed(&["--workers", "0"]).is_err());
        assert_eq!(parsed(&["--help", "--jsno"]), Ok(Wish::Help));
    }
}
