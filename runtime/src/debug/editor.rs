//! A line that is being typed: keys in, what is to be shown out. No terminal, no clock, no text of
//! anybody's.

/// What a key has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Nothing yet.
    Nothing,
    /// The line is to be shown anew.
    Redraw,
    /// It is done.
    Line(String),
    /// Ctrl-C: it is given up.
    Interrupt,
    /// Ctrl-D with nothing on the line.
    End,
    /// Tab: what there is before the cursor is to be completed.
    Complete,
    /// Ctrl-L: nothing else is to be on the screen.
    Clear,
}

/// Where the bytes of a key are.
#[derive(Clone, Debug, Default)]
enum Within {
    #[default]
    Nothing,
    /// A character of several bytes.
    Character(Vec<u8>),
    Escape,
    /// Behind `ESC [` or `ESC O`, and what came of it.
    Sequence(Vec<u8>),
}

/// The longest sequence that is listened to.
const LONGEST: usize = 16;

#[derive(Clone, Debug, Default)]
pub(crate) struct Editor {
    text: Vec<char>,
    at: usize,
    within: Within,
    past: Vec<String>,
    /// Which of the past is shown, and what was typed before.
    shown: Option<(usize, Vec<char>)>,
}

impl Editor {
    /// With these lines to go back to, the last one first.
    pub(crate) fn new(past: Vec<String>) -> Self {
        Self { past, ..Self::default() }
    }

    /// The lines to go back to.
    pub(crate) fn into_past(self) -> Vec<String> {
        self.past
    }

    /// What is typed up to the cursor.
    pub(crate) fn before_cursor(&self) -> String {
        self.text.iter().take(self.at).collect()
    }

    /// As if this were typed.
    pub(crate) fn insert(&mut self, text: &str) {
        for character in text.chars().filter(|character| !character.is_control()) {
            self.text.insert(self.at, character);
            self.at += 1;
        }
    }

    /// Takes the next byte that was typed.
    pub(crate) fn feed(&mut self, byte: u8) -> Heard {
        match std::mem::take(&mut self.within) {
            Within::Nothing => self.plain(byte),
            Within::Character(bytes) => self.character(bytes, byte),
            Within::Escape => self.escape(byte),
            Within::Sequence(bytes) => self.sequence(bytes, byte),
        }
    }

    fn plain(&mut self, byte: u8) -> Heard {
        match byte {
            b'\r' | b'\n' => return Heard::Line(self.take()),
            0x03 => {
                self.clear();
                return Heard::Interrupt;
            }
            0x04 if self.text.is_empty() => return Heard::End,
            0x04 => self.delete(),
            b'\t' => return Heard::Complete,
            0x0c => return Heard::Clear,
            0x01 => self.at = 0,
            0x05 => self.at = self.text.len(),
            0x02 => self.left(),
            0x06 => self.right(),
            0x08 | 0x7f => {
                if self.at > 0 {
                    self.left();
                    self.delete();
                }
            }
            0x0b => self.text.truncate(self.at),
            0x15 => {
                self.text.drain(..self.at);
                self.at = 0;
            }
            0x17 => {
                let from = self.word_before();
                self.text.drain(from..self.at);
                self.at = from;
            }
            0x10 => self.back(),
            0x0e => self.forth(),
            0x1b => {
                self.within = Within::Escape;
                return Heard::Nothing;
            }
            0x20..0x7f => self.insert(char::from(byte).encode_utf8(&mut [0; 4])),
            0xc2..=0xf4 => {
                self.within = Within::Character(vec![byte]);
                return Heard::Nothing;
            }
            _ => return Heard::Nothing,
        }
        Heard::Redraw
    }

    fn character(&mut self, mut bytes: Vec<u8>, byte: u8) -> Heard {
        bytes.push(byte);
        match std::str::from_utf8(&bytes) {
            Ok(text) => {
                self.insert(text);
                Heard::Redraw
            }
            Err(error) if error.error_len().is_none() => {
                self.within = Within::Character(bytes);
                Heard::Nothing
            }
            // No character. What has ended it is a key of its own.
            Err(_) if byte.is_ascii() => self.plain(byte),
            Err(_) => Heard::Nothing,
        }
    }

    fn escape(&mut self, byte: u8) -> Heard {
        match byte {
            b'[' | b'O' => {
                self.within = Within::Sequence(Vec::new());
                Heard::Nothing
            }
            b'b' => {
                self.at = self.word_before();
                Heard::Redraw
            }
            b'f' => {
                self.at = self.word_behind();
                Heard::Redraw
            }
            0x1b => {
                self.within = Within::Escape;
                Heard::Nothing
            }
            // Ctrl-C is heard wherever it comes.
            0x03 => self.plain(byte),
            _ => Heard::Nothing,
        }
    }

    fn sequence(&mut self, mut bytes: Vec<u8>, byte: u8) -> Heard {
        if byte == 0x03 {
            return self.plain(byte);
        }
        if !(0x40..=0x7e).contains(&byte) {
            if bytes.len() < LONGEST {
                bytes.push(byte);
                self.within = Within::Sequence(bytes);
            }
            return Heard::Nothing;
        }
        match (byte, bytes.as_slice()) {
            (b'A', _) => self.back(),
            (b'B', _) => self.forth(),
            (b'C', b"1;5") => self.at = self.word_behind(),
            (b'D', b"1;5") => self.at = self.word_before(),
            (b'C', _) => self.right(),
            (b'D', _) => self.left(),
            (b'H', _) | (b'~', b"1" | b"7") => self.at = 0,
            (b'F', _) | (b'~', b"4" | b"8") => self.at = self.text.len(),
            (b'~', b"3") => self.delete(),
            _ => return Heard::Nothing,
        }
        Heard::Redraw
    }

    /// Takes the line, and keeps it to go back to.
    fn take(&mut self) -> String {
        let line: String = self.text.iter().collect();
        self.clear();
        if !line.trim().is_empty() && self.past.last() != Some(&line) {
            self.past.push(line.clone());
        }
        line
    }

    fn clear(&mut self) {
        self.text.clear();
        self.at = 0;
        self.shown = None;
    }

    fn left(&mut self) {
        self.at = self.at.saturating_sub(1);
    }

    fn right(&mut self) {
        self.at = self.text.len().min(self.at + 1);
    }

    fn delete(&mut self) {
        if self.at < self.text.len() {
            self.text.remove(self.at);
        }
    }

    fn word_before(&self) -> usize {
        let is_gap = |at: &usize| self.text.get(at - 1).is_some_and(|one| one.is_whitespace());
        let word = (1..=self.at).rev().find(|at| !is_gap(at)).unwrap_or(0);
        (1..=word).rev().find(is_gap).unwrap_or(0)
    }

    fn word_behind(&self) -> usize {
        let is_gap = |at: &usize| self.text.get(*at).is_some_and(|one| one.is_whitespace());
        let word = (self.at..self.text.len()).find(|at| !is_gap(at)).unwrap_or(self.text.len());
        (word..self.text.len()).find(is_gap).unwrap_or(self.text.len())
    }

    fn back(&mut self) {
        let from = self.shown.as_ref().map_or(self.past.len(), |(shown, _)| *shown);
        let Some(to) = from.checked_sub(1) else { return };
        let typed = match self.shown.take() {
            Some((_, typed)) => typed,
            None => std::mem::take(&mut self.text),
        };
        self.text = self.past.get(to).map(|line| line.chars().collect()).unwrap_or_default();
        self.at = self.text.len();
        self.shown = Some((to, typed));
    }

    fn forth(&mut self) {
        let Some((shown, typed)) = self.shown.take() else { return };
        match self.past.get(shown + 1) {
            Some(line) => {
                self.text = line.chars().collect();
                self.shown = Some((shown + 1, typed));
            }
            None => self.text = typed,
        }
        self.at = self.text.len();
    }

    /// What draws it behind `prompt` on a line of so many columns: of a longer one the part around the
    /// cursor. Each character is taken for one column wide.
    pub(crate) fn drawn(&self, prompt: &str, width: usize) -> String {
        let room = width.saturating_sub(prompt.chars().count() + 1).max(8);
        let from = (self.at + 1).saturating_sub(room);
        let part: String = self.text.iter().skip(from).take(room).collect();
        let column = prompt.chars().count() + (self.at - from);
        format!("\r{prompt}{part}\x1b[K\r\x1b[{column}C")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(editor: &mut Editor, keys: &str) -> Vec<Heard> {
        let heard = keys.bytes().map(|byte| editor.feed(byte));
        heard.filter(|heard| !matches!(heard, Heard::Nothing | Heard::Redraw)).collect()
    }

    fn line(keys: &str) -> String {
        match typed(&mut Editor::default(), &format!("{keys}\r")).as_slice() {
            [Heard::Line(line)] => line.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_line_is_what_was_typed() {
        assert_eq!(line("where"), "where");
        assert_eq!(line("prünt ∀x"), "prünt ∀x");
    }

    #[test]
    fn keys_edit_where_the_cursor_is() {
        assert_eq!(line("wxere\x1b[D\x1b[D\x1b[D\x7fh"), "where");
        assert_eq!(line("here\x01w"), "where");
        assert_eq!(line("wheree\x02\x04"), "where");
        assert_eq!(line("abc\x01\x1b[3~\x05d"), "bcd");
        assert_eq!(line("print one two\x17\x17x"), "print x");
        assert_eq!(line("rubbish\x15where"), "where");
        assert_eq!(line("where and more\x1bb\x1bb\x0b"), "where ");
        assert_eq!(line("ab\x1b[1~c\x1b[4~d"), "cabd");
    }

    #[test]
    fn ctrl_c_gives_the_line_up_wherever_it_comes() {
        let mut editor = Editor::default();
        assert_eq!(
            typed(&mut editor, "whe\x03\x1b\x03\x1b[1\x03"),
            [const { Heard::Interrupt }; 3]
        );
        assert_eq!(typed(&mut editor, "q\r"), [Heard::Line("q".into())]);
    }

    #[test]
    fn the_end_of_input_counts_on_an_empty_line_only() {
        let mut editor = Editor::default();
        assert_eq!(typed(&mut editor, "a\x04"), []);
        assert_eq!(typed(&mut editor, "\x03\x04"), [Heard::Interrupt, Heard::End]);
    }

    #[test]
    fn earlier_lines_come_back_and_what_was_typed_is_kept() {
        let mut editor = Editor::new(vec!["old".into()]);
        typed(&mut editor, "one\r");
        typed(&mut editor, "one\r");
        let keys = "new\x1b[A\x1b[A\x1b[A\r\x10\x10\x0e\r\x10mine";
        let lines = [Heard::Line("old".into()), Heard::Line("old".into())];
        assert_eq!(typed(&mut editor, keys), lines);
        assert_eq!(editor.before_cursor(), "oldmine");
        typed(&mut editor, "\x03kept\x10\x0e");
        assert_eq!(editor.before_cursor(), "kept");
    }

    #[test]
    fn any_bytes_are_borne() {
        let mut editor = Editor::default();
        for seed in 0..2_000_u32 {
            for byte in seed.wrapping_mul(2_654_435_761).to_le_bytes() {
                editor.feed(byte);
                editor.drawn("> ", 10);
            }
        }
    }

    #[test]
    fn a_long_line_shows_the_part_around_its_cursor() {
        let mut editor = Editor::default();
        editor.insert(&"abcdefghij".repeat(4));
        assert_eq!(editor.drawn("> ", 12), "\r> cdefghij\x1b[K\r\x1b[10C");
        editor.feed(0x01);
        assert_eq!(editor.drawn("> ", 12), "\r> abcdefghi\x1b[K\r\x1b[2C");
    }
}
