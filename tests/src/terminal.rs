//! Programs on a terminal of their own, and a person in front of it who reads and types.
//!
//! Whoever expects a text waits until it is there; nothing waits for a time to pass.

use std::fmt;
use std::io;

use rustix::process::{Signal, ioctl_tiocsctty, setsid};
use rustix::termios::Termios;

use crate::programs::{Finished, Program, Running};

/// Makes the standard input the terminal of a session of this process's own. For the programs of
/// [`Program::on_own_terminal`], first thing behind `hatchery::init`.
///
/// # Panics
///
/// Panics where it is no terminal, or this process leads a group.
pub fn take() {
    setsid().expect("a session of its own");
    ioctl_tiocsctty(io::stdin()).expect("a terminal for the session");
}

/// What a terminal does with what is typed and written, to be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Modes(String);

impl Modes {
    fn of(modes: &Termios) -> Self {
        Self(format!("{modes:?}"))
    }
}

/// A program on a terminal, and how far it was read.
#[derive(Debug)]
pub struct Screen {
    running: Running,
    before: Modes,
    at: usize,
    /// Whose prompt is open.
    prompt: String,
}

impl Screen {
    /// Starts the program.
    pub fn of(program: Program) -> Self {
        let running = program.on_own_terminal().start();
        let before = Modes::of(running.modes_before());
        Self { running, before, at: 0, prompt: String::new() }
    }

    /// The program.
    pub fn running(&mut self) -> &mut Running {
        &mut self.running
    }

    /// Reads on until this text is there; gives what was read.
    ///
    /// # Panics
    ///
    /// Panics where it does not come.
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> String {
        let from = self.at;
        let Some(to) = self.running.wait_for_text(from, text) else {
            let all = String::from_utf8_lossy(self.running.output()).into_owned();
            let rest = String::from_utf8_lossy(&all.as_bytes()[from.min(all.len())..]).into_owned();
            panic!("expected `{text}`, and there was:\n{rest}\n--- behind ---\n{self}");
        };
        self.at = to;
        let read = self.running.output().get(from..to).unwrap_or_default();
        String::from_utf8_lossy(read).into_owned()
    }

    /// Reads on until an actor of this name shows its prompt; gives what was read.
    ///
    /// # Panics
    ///
    /// Panics where it does not come.
    #[track_caller]
    pub fn prompt(&mut self, actor: &str) -> String {
        self.prompt = format!("hatchery({actor})> ");
        let prompt = self.prompt.clone();
        self.expect(&prompt)
    }

    /// Reads on until an actor of this name stands at a prompt because it is `paused`, `crashed`, …
    ///
    /// # Panics
    ///
    /// Panics where another is first, or none.
    #[track_caller]
    pub fn shown(&mut self, what: &str, actor: &str) -> String {
        let read = self.expect("\nhatchery(") + &self.expect(")> ");
        let head = format!("{what}: actor `{actor}` ");
        assert!(read.contains(&head), "expected `{head}`, and there was:\n{read}\n---\n{self}");
        self.prompt = format!("hatchery({actor})> ");
        read
    }

    /// Reads on until anybody stands at a prompt; gives what was read.
    ///
    /// # Panics
    ///
    /// Panics where nobody comes.
    #[track_caller]
    pub fn any(&mut self) -> String {
        let read = self.expect("\nhatchery(");
        let name = self.expect(")> ");
        self.prompt = format!("hatchery({name}");
        read + &name
    }

    /// Who stands at the prompt that is open.
    pub fn actor(&self) -> &str {
        self.prompt.trim_start_matches("hatchery(").trim_end_matches(")> ")
    }

    /// Waits until this text is anywhere in what was written, read or not.
    ///
    /// # Panics
    ///
    /// Panics where it does not come.
    #[track_caller]
    pub fn holds(&mut self, text: &str) {
        assert!(self.running.wait_for_output(text), "expected `{text}` somewhere in:\n{self}");
    }

    /// Types these bytes, and waits for nothing.
    pub fn type_in(&mut self, bytes: &[u8]) {
        self.running.type_in(bytes);
    }

    /// Kills a process of its tree.
    ///
    /// # Panics
    ///
    /// Panics where there is none of that id.
    #[track_caller]
    pub fn kill(&mut self, pid: i32) {
        let tree = self.running.tree();
        let process = tree.iter().find(|process| process.pid == pid);
        process.expect("a process of the tree").signal(Signal::KILL);
    }

    /// Types a line at the prompt that is open, and reads it as it is shown.
    ///
    /// # Panics
    ///
    /// Panics where it is not shown.
    #[track_caller]
    pub fn say(&mut self, line: &str) {
        self.running.type_in(format!("{line}\r").as_bytes());
        let shown = format!("{}{line}\x1b[K", self.prompt);
        self.expect(&shown);
        self.expect("\n");
    }

    /// Says a line that leaves the prompt open; gives what it has shown.
    ///
    /// # Panics
    ///
    /// Panics where the prompt does not come back.
    #[track_caller]
    pub fn ask(&mut self, line: &str) -> String {
        self.say(line);
        let prompt = self.prompt.clone();
        self.expect(&prompt)
    }

    /// Types Ctrl-C three times, each of which brings the prompt back and nothing else.
    ///
    /// # Panics
    ///
    /// Panics where it does not.
    #[track_caller]
    pub fn interrupt(&mut self) {
        for _ in 0..3 {
            self.running.type_in(b"\x03");
            let shown = self.expect("^C\r\n");
            let prompt = format!("\r{}\x1b[K", self.prompt);
            let back = self.expect(&prompt);
            let nothing_else =
                back == prompt && shown.trim_start_matches(['\r', '\x1b']).len() < 24;
            assert!(nothing_else, "{shown:?} {back:?}\n{self}");
        }
    }

    /// Sends a signal to the whole group, as a terminal does.
    pub fn signal(&mut self, signal: Signal) {
        self.running.signal_group(signal);
    }

    /// Whether the terminal is as it was before the program began.
    #[must_use]
    pub fn is_as_before(&self) -> bool {
        Modes::of(&self.running.modes()) == self.before
    }

    /// Waits for the end; what was read last is in [`Finished::stdout`], with all that came before.
    ///
    /// # Panics
    ///
    /// Panics where the terminal is not as it was before.
    #[track_caller]
    pub fn finish(self) -> Finished {
        let Self { running, before, .. } = self;
        let screen = running.screen();
        let finished = running.wait();
        let after = Modes::of(&rustix::termios::tcgetattr(&screen).expect("modes of a terminal"));
        assert_eq!(after, before, "the terminal is not as it was before\n{finished}");
        finished
    }
}

impl fmt::Display for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", String::from_utf8_lossy(self.running.written()))
    }
}
