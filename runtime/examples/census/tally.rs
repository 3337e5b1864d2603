//! The sum of what the workers found. Plain data: who counted what does not matter here.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use crate::count::Counts;
use crate::walk::Odd;
use crate::worker::Done;

/// So many of the slowest files are kept.
const SLOWEST: usize = 10;

/// The census so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Files counted.
    pub(crate) files: u64,
    /// Newline bytes.
    pub(crate) lines: u64,
    /// Runs of bytes other than ASCII white space.
    pub(crate) words: u64,
    /// Bytes.
    pub(crate) bytes: u64,
    /// The files that took longest, slowest first.
    pub(crate) slowest: Vec<Slow>,
    /// What could not be counted, and why.
    pub(crate) failed: BTreeMap<Vec<u8>, String>,
    /// The hash of each file, if they are wanted: they grow with the number of files.
    pub(crate) hashes: Option<BTreeMap<Vec<u8>, [u8; 32]>>,
    /// Whether a PATH of the command line does not exist.
    pub(crate) missing: bool,
}

/// A file that took long.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Slow {
    /// Its path.
    pub(crate) path: Vec<u8>,
    /// What was counted in it.
    pub(crate) counts: Counts,
    /// How long it took.
    pub(crate) took: Duration,
}

impl Tally {
    /// Nothing counted yet; `hashes` says whether to keep them.
    pub(crate) fn new(hashes: bool) -> Self {
        Self { hashes: hashes.then(BTreeMap::new), ..Self::default() }
    }

    /// Adds what a worker made of a file.
    pub(crate) fn add(&mut self, done: Done) {
        let Done { path, counts, took } = done;
        let counts = match counts {
            Ok(counts) => counts,
            Err(reason) => {
                self.failed.insert(path, reason);
                return;
            }
        };
        self.files += 1;
        self.lines += counts.lines;
        self.words += counts.words;
        self.bytes += counts.bytes;
        if let Some(hashes) = &mut self.hashes {
            hashes.insert(path.clone(), counts.sha256);
        }
        let rank = self.slowest.partition_point(|slow| slow.took >= took);
        if rank < SLOWEST {
            self.slowest.truncate(SLOWEST - 1);
            self.slowest.insert(rank, Slow { path, counts, took });
        }
    }

    /// Adds what the walk found and no worker can count.
    pub(crate) fn add_odd(&mut self, odd: Odd) {
        self.missing |= odd.missing;
        self.failed.insert(odd.path.into_os_string().into_vec(), odd.reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(path: &str, millis: u64) -> Done {
        let counts = Counts { lines: 1, words: 2, bytes: 3, sha256: [7; 32] };
        Done { path: path.into(), counts: Ok(counts), took: Duration::from_millis(millis) }
    }

    #[test]
    fn totals_add_up_and_failures_do_not_count() {
        let mut tally = Tally::new(true);
        tally.add(done("a", 1));
        tally.add(done("b", 1));
        tally.add(Done { counts: Err("permission denied".into()), ..done("c", 1) });
        let Tally { files, lines, words, bytes, .. } = tally;
        assert_eq!((files, lines, words, bytes), (2, 2, 4, 6));
        assert_eq!(tally.hashes.unwrap().len(), 2);
        assert_eq!(tally.failed[b"c".as_slice()], "permission denied");
    }

    #[test]
    fn hashes_are_kept_only_if_wanted() {
        let mut tally = Tally::new(false);
        tally.add(done("a", 1));
        assert_eq!(tally.hashes, None);
    }

    #[test]
    fn the_slowest_files_are_few_and_in_order() {
        let mut tally = Tally::new(false);
        for millis in [5, 1, 9, 3, 7, 2, 8, 4, 6, 0, 11, 10, 9] {
            tally.add(done("f", millis));
        }
        let millis: Vec<_> = tally.slowest.iter().map(|slow| slow.took.as_millis()).collect();
        assert_eq!(millis, [11, 10, 9, 9, 8, 7, 6, 5, 4, 3]);
    }

    #[test]
    fn only_a_path_of_the_command_line_can_be_missing() {
        let mut tally = Tally::new(false);
        let odd = |missing| Odd { path: "x".into(), reason: "gone".into(), missing };
        tally.add_odd(odd(false));
        assert!(!tally.missing);
        tally.add_odd(odd(true));
        tally.add_odd(odd(false));
        assert!(tally.missing);
    }
}
