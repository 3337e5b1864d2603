//! Bytes cut into lines, however they come. What is in a line is not looked at.

/// A line is cut where it is longer.
pub(super) const MOST: usize = 64 * 1024;

/// What has come and was not taken yet.
#[derive(Debug, Default)]
pub(super) struct Lines {
    bytes: Vec<u8>,
    /// Where the next line begins.
    begin: usize,
    /// Up to where there is no end of it.
    looked: usize,
}

impl Lines {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.begin);
        self.looked -= self.begin;
        self.begin = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole line, without its end; or so much of one that is too long.
    pub(super) fn next(&mut self) -> Option<Vec<u8>> {
        let rest = self.bytes.get(self.looked..).unwrap_or_default();
        let end = rest.iter().position(|&byte| byte == b'\n').map(|at| self.looked + at);
        let latest = self.begin + MOST;
        let (end, next) = match end {
            Some(end) if end <= latest => (end, end + 1),
            _ if self.bytes.len() > latest => (latest, latest),
            _ => {
                self.looked = self.bytes.len();
                return None;
            }
        };
        let line = self.bytes.get(self.begin..end).unwrap_or_default().to_vec();
        (self.begin, self.looked) = (next, next);
        Some(line)
    }

    /// What is left behind the last whole line, once nothing more will come.
    pub(super) fn rest(&mut self) -> Option<Vec<u8>> {
        let rest = self.bytes.split_off(self.begin.min(self.bytes.len()));
        *self = Self::default();
        (!rest.is_empty()).then_some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of these parts, the rest behind a `|`.
    fn cut(parts: &[&[u8]]) -> Vec<Vec<u8>> {
        let (mut lines, mut all) = (Lines::default(), Vec::new());
        for part in parts {
            lines.push(part);
            all.extend(std::iter::from_fn(|| lines.next()));
        }
        all.extend(lines.rest().map(|rest| [b"|", &rest[..]].concat()));
        assert_eq!(lines.rest(), None);
        all
    }

    #[test]
    fn lines_are_whole_in_any_split() {
        let text = b"one\n\ntwo\xff\x00\nthree";
        let whole = cut(&[text]);
        assert_eq!(whole, [&b"one"[..], b"", b"two\xff\x00", b"|three"]);
        for at in 0..=text.len() {
            let (one, other) = text.split_at(at);
            assert_eq!(cut(&[one, other]), whole, "{at}");
        }
        let bytes: Vec<_> = text.chunks(1).collect();
        assert_eq!(cut(&bytes), whole);
        assert_eq!(cut(&[b"end\n"]), [b"end"]);
        assert!(cut(&[b"", b""]).is_empty());
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_and_nothing_of_it_lost() {
        let exact = vec![b'x'; MOST];
        assert_eq!(cut(&[&exact, b"\n", b"y\n"]), [exact.clone(), b"y".to_vec()]);
        let long = vec![b'x'; 2 * MOST + 7];
        for size in [1000, MOST, 3 * MOST] {
            let parts: Vec<_> = long.chunks(size).chain([&b"\nnext\n"[..]]).collect();
            let lengths: Vec<_> = cut(&parts).iter().map(Vec::len).collect();
            assert_eq!(lengths, [MOST, MOST, 7, 4], "{size}");
        }
        let lengths: Vec<_> = cut(&[&long]).iter().map(Vec::len).collect();
        assert_eq!(lengths, [MOST, MOST, 8]);
    }
}
