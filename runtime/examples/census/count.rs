//! One file: its lines, words, bytes and hash. Read in chunks, never whole; knows no actors.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// So much is read at once; between two reads a worker can be cancelled.
const CHUNK: usize = 256 * 1024;

/// The reason given for whatever is neither a file nor a directory nor a link.
pub(crate) const NOT_REGULAR: &str = "not a regular file";

/// What is counted in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// Newline bytes, as `wc -l` has it.
    pub(crate) lines: u64,
    /// Runs of bytes other than ASCII white space.
    pub(crate) words: u64,
    /// Bytes.
    pub(crate) bytes: u64,
    /// The SHA-256 of the bytes.
    pub(crate) sha256: [u8; 32],
}

/// Opens what should be a regular file.
///
/// The walk has seen one here, but that was a moment ago. `O_NONBLOCK` means nothing to a regular
/// file and keeps a FIFO that took its place from holding the worker until somebody writes; what
/// was opened is then asked what it is. Links are followed: a PATH on the command line may be one.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other(NOT_REGULAR));
    }
    Ok(file)
}

/// Counts what `reader` has, and lets others run between two chunks.
pub(crate) async fn count(mut reader: impl Read) -> io::Result<Counts> {
    let mut counter = Counter::default();
    let mut chunk = vec![0; CHUNK];
    loop {
        match reader.read(&mut chunk) {
            Ok(0) => return Ok(counter.finish()),
            Ok(n) => counter.add(chunk.get(..n).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        smol::future::yield_now().await;
    }
}

/// Why a file could not be counted, in the words of the report.
pub(crate) fn reason(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "no such file or directory".into(),
        ErrorKind::PermissionDenied => "permission denied".into(),
        _ if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
            "symbolic link loop".into()
        }
        // A socket can be found but not opened.
        _ if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => NOT_REGULAR.into(),
        _ => error.to_string(),
    }
}

/// Counts over chunks as if they were one piece.
#[derive(Debug, Default)]
struct Counter {
    lines: u64,
    words: u64,
    bytes: u64,
    in_word: bool,
    hash: Sha256,
}

impl Counter {
    fn add(&mut self, chunk: &[u8]) {
        self.hash.update(chunk);
        self.bytes += chunk.len() as u64;
        for &byte in chunk {
            let in_word = !is_space(byte);
            self.lines += u64::from(byte == b'\n');
            self.words += u64::from(in_word & !self.in_word);
            self.in_word = in_word;
        }
    }

    fn finish(self) -> Counts {
        let Self { lines, words, bytes, hash, .. } = self;
        Counts { lines, words, bytes, sha256: hash.finalize().into() }
    }
}

/// `isspace` of the C locale, which unlike `u8::is_ascii_whitespace` holds the vertical tab too.
fn is_space(byte: u8) -> bool {
    byte == b' ' || (b'\t'..=b'\r').contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out at most `step` bytes at once, and an interruption before each.
    struct Dripping<'a> {
        left: &'a [u8],
        step: usize,
        interrupt: bool,
    }

    impl Read for Dripping<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.interrupt = !self.interrupt;
            if self.interrupt {
                return Err(ErrorKind::Interrupted.into());
            }
            let n = self.step.min(buf.len());
            self.left.take(n as u64).read(buf).inspect(|&n| self.left = &self.left[n..])
        }
    }

    fn counted(text: &[u8], step: usize) -> (u64, u64, u64) {
        let reader = Dripping { left: text, step, interrupt: false };
        let counts = smol::block_on(count(reader)).unwrap();
        assert_eq!(counts.sha256, <[u8; 32]>::from(Sha256::digest(text)));
        (counts.lines, counts.words, counts.bytes)
    }

    #[test]
    fn counts_do_not_depend_on_where_chunks_end() {
        let texts = [
            (&b""[..], (0, 0, 0)),
            (b"\n", (1, 0, 1)),
            (b"no newline", (0, 2, 10)),
            (b"  two\twords \n", (1, 2, 13)),
            (b"a\x0bb\x0cc\rd e\n\nf", (2, 6, 12)),
            (b"\xff\xfe \x00\xc2\xa0x", (0, 2, 7)), // neither NUL nor U+00A0 parts words
            ("na\u{ef}ve caf\u{e9}\n".as_bytes(), (1, 2, 13)),
        ];
        for (text, expected) in texts {
            for step in 1..=text.len().max(1) {
                assert_eq!(counted(text, step), expected, "{text:?} in steps of {step}");
            }
        }
    }

    #[test]
    fn counts_of_more_than_one_chunk_add_up() {
        let text = b"word and\n".repeat(CHUNK / 4);
        let times = (CHUNK / 4) as u64;
        assert_eq!(counted(&text, usize::MAX), (times, 2 * times, 9 * times));
    }

    #[test]
    fn white_space_is_that_of_the_c_locale() {
        let spaces: Vec<u8> = (0..=255).filter(|&byte| is_space(byte)).collect();
        assert_eq!(spaces, b"\t\n\x0b\x0c\r ");
    }

    #[test]
    fn only_regular_files_open() {
        assert_eq!(open(Path::new("/dev/null")).unwrap_err().to_string(), NOT_REGULAR);
        assert_eq!(open(Path::new("/")).unwrap_err().to_string(), NOT_REGULAR);
        let error = open(Path::new("/no/such/file")).unwrap_err();
        assert_eq!(reason(&error), "no such file or directory");
    }
}
