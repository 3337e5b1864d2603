//! Text with bytes in it (RFC 7468), as other programs read it too. Keeps no copy that is not wiped, which
//! the readers at hand do; knows not what the bytes are.

use super::secret::Secret;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// How many characters stand in a line.
const LINE: usize = 64;

/// How much room [`put`] takes.
pub(super) fn size(label: &str, bytes: &[u8]) -> usize {
    let digits = bytes.len().div_ceil(3) * 4;
    let frame = BEGIN.len() + END.len() + 2 * (label.len() + DASHES.len() + 1);
    digits + digits.div_ceil(LINE) + frame
}

/// Appends one section.
pub(super) fn put(text: &mut Vec<u8>, label: &str, bytes: &[u8]) {
    let mut line = |parts: [&str; 3]| {
        for part in parts {
            text.extend_from_slice(part.as_bytes());
        }
        text.push(b'\n');
    };
    line([BEGIN, label, DASHES]);
    for bytes in bytes.chunks(LINE / 4 * 3) {
        for three in bytes.chunks(3) {
            text.extend_from_slice(&digits(three));
        }
        text.push(b'\n');
    }
    for part in [END, label, DASHES, "\n"] {
        text.extend_from_slice(part.as_bytes());
    }
}

/// Up to three bytes as four digits.
fn digits(three: &[u8]) -> [u8; 4] {
    let number =
        (0..3).fold(0, |number, at| number << 8 | u32::from(three.get(at).copied().unwrap_or(0)));
    let mut digits = [b'='; 4];
    for (at, digit) in digits.iter_mut().enumerate().take(three.len() + 1) {
        let value = number >> (18 - 6 * at) & 0x3f;
        *digit =
            usize::try_from(value).ok().and_then(|at| ALPHABET.get(at)).copied().unwrap_or(b'=');
    }
    digits
}

/// The sections of a text, with their labels. What stands outside of them is skipped.
///
/// # Errors
///
/// What is wrong, and in which line; no line is quoted.
pub(super) fn sections(text: &str) -> Result<Vec<(&str, Secret)>, String> {
    let mut found = Vec::new();
    let mut open: Option<(&str, Vec<u8>)> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_end();
        let label =
            |begin| line.strip_prefix(begin).and_then(|line: &str| line.strip_suffix(DASHES));
        match (label(BEGIN), label(END), &mut open) {
            (Some(label), _, None) => {
                // No section is larger than the text.
                open = Some((label, Vec::with_capacity(text.len())));
            }
            (_, Some(label), Some((begun, _))) if *begun == label => {
                if let Some((label, bytes)) = open.take() {
                    found.push((label, Secret::new(bytes)));
                }
            }
            (None, None, Some((_, bytes))) => {
                if !take(line.as_bytes(), bytes) {
                    drop(open.take().map(|(_, bytes)| Secret::new(bytes)));
                    return Err(format!("line {number} is no base64"));
                }
            }
            (None, None, None) => {}
            _ => return Err(format!("line {number} is not where it belongs")),
        }
    }
    match open.take() {
        None => Ok(found),
        Some((_, bytes)) => {
            drop(Secret::new(bytes));
            Err("it is cut short".to_owned())
        }
    }
}

/// Appends what a line says, if it is a line of digits.
fn take(line: &[u8], bytes: &mut Vec<u8>) -> bool {
    if !line.len().is_multiple_of(4) {
        return false;
    }
    for (left, four) in (1..=line.len() / 4).rev().zip(line.chunks(4)) {
        let padding = four.iter().rev().take_while(|digit| **digit == b'=').count();
        if padding > 2 || (padding > 0 && left > 1) {
            return false;
        }
        let mut number = 0;
        for digit in four {
            let value = match digit {
                b'A'..=b'Z' => digit - b'A',
                b'a'..=b'z' => digit - b'a' + 26,
                b'0'..=b'9' => digit - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                b'=' => 0,
                _ => return false,
            };
            number = number << 6 | u32::from(value);
        }
        // `=` elsewhere than at the end reads as zero: what is written again has to be the same.
        let [_, three @ ..] = number.to_be_bytes();
        let three = three.get(..3 - padding).unwrap_or_default();
        if digits(three) != *four {
            return false;
        }
        bytes.extend_from_slice(three);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_found() {
        for len in 0..200_u8 {
            let bytes: Vec<u8> = (0..len).map(|at| at.wrapping_mul(37)).collect();
            let mut text = Vec::with_capacity(size("A B", &bytes) + size("C", b"xyz"));
            let room = text.capacity();
            put(&mut text, "A B", &bytes);
            put(&mut text, "C", b"xyz");
            assert_eq!((text.capacity(), text.len()), (room, room));
            let text = String::from_utf8(text).unwrap();
            let text = format!("first\n{}last", text.replace('\n', "\r\n"));
            let found = sections(&text).unwrap();
            let found: Vec<_> = found.iter().map(|(label, one)| (*label, one.expose())).collect();
            assert_eq!(found, [("A B", bytes.as_slice()), ("C", b"xyz")]);
        }
    }

    #[test]
    fn what_is_wrong_is_said_and_not_quoted() {
        for (inside, why) in [
            ("AAA", "line 2 is no base64"),
            ("AAAA\n\nA===", "line 4 is no base64"),
            ("AA=A", "line 2 is no base64"),
            ("AA==AAAA", "line 2 is no base64"),
            // Bits that say nothing.
            ("AB==", "line 2 is no base64"),
            ("\u{fc}AA", "line 2 is no base64"),
            ("-----BEGIN A-----", "line 2 is not where it belongs"),
            ("-----END B-----", "line 2 is not where it belongs"),
        ] {
            let text = format!("-----BEGIN A-----\n{inside}\n-----END A-----\n");
            assert_eq!(sections(&text).unwrap_err(), why);
        }
        assert_eq!(sections("-----BEGIN A-----\nAAAA").unwrap_err(), "it is cut short");
        assert_eq!(sections("-----END A-----").unwrap_err(), "line 1 is not where it belongs");
        assert!(sections("").unwrap().is_empty());
    }
}
