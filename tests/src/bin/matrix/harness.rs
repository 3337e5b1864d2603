//! Whoever starts the roots of cells, adopts and reaps what outlives them, and looks at the clock.
//!
//! It is the nearest subreaper of every tree, so that nothing a dead root leaves can hide from it.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitCode, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use hatchery_tests::procfs::{self, Process};
use hatchery_tests::strike::{Action, RECORDS, STEPS, ask_for_last_steps, make_pipe, show};
use rustix::fs::OFlags;
use rustix::process::set_child_subreaper;

use crate::Arguments;
use crate::cells::{Cell, Side};
use crate::expect::Expect;
use crate::place::{self, CELL};
use crate::root::FILES;
use crate::table;

/// How long to wait between two looks at what the kernel has no event for.
const LOOK: Duration = Duration::from_millis(5);
/// How long what a dead root leaves may live (O).
const ORPHANS: Duration = Duration::from_secs(1);
/// How many times its bound a cell gets before it is called red: the machine may be busy.
const PATIENCE: u32 = 10;

impl Cell {
    /// How long it may take from its begin to its root's end: 250 ms, or for a link that is lost
    /// the 1.2 s that a child has for ending itself (P-T4), and 250 ms more.
    fn bound(self) -> Duration {
        match self.action {
            Action::Close => Duration::from_millis(1450),
            _ => Duration::from_millis(500),
        }
    }
}

/// Runs the cells and says what came of them.
pub(crate) fn run(cells: &[Cell], arguments: &Arguments) -> ExitCode {
    set_child_subreaper(Some(rustix::process::getpid())).expect("a subreaper");
    let folder = std::env::temp_dir().join(format!("matrix-{}", procfs::own_pid()));
    fs::create_dir_all(&folder).expect("a private folder");
    let (next, ran) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let (late, since) = (AtomicUsize::new(0), Instant::now());
    let work = || {
        while let Some(cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (verdict, took) = Room::new(*cell, &folder).run();
            let say = |what: &str| println!("{cell} {what} in {} ms", took.as_millis());
            match &verdict {
                Ok(said) if arguments.verbose => say(said),
                Ok(_) => {}
                Err(why) => say(&format!("RED: {why}")),
            }
            late.fetch_add(usize::from(took > cell.bound()), Ordering::Relaxed);
            ran.lock().unwrap_or_else(PoisonError::into_inner).insert(*cell, verdict.is_ok());
        }
    };
    thread::scope(|scope| (0..arguments.jobs.max(1)).for_each(|_| drop(scope.spawn(work))));
    let ran = ran.into_inner().unwrap_or_else(PoisonError::into_inner);
    fs::remove_dir(&folder).ok();
    let red = ran.values().filter(|green| !**green).count();
    table::print(&ran);
    println!("{:.1} s, over their bounds: {}", since.elapsed().as_secs_f64(), late.into_inner());
    println!("matrix: cells={} ran={} red={red}", cells.len(), ran.len());
    ExitCode::from(u8::from(red > 0 || ran.len() != cells.len() || ran.is_empty()))
}

/// Where one cell runs.
struct Room {
    cell: Cell,
    folder: PathBuf,
    /// Open as long as the cell runs.
    _pipes: [File; 2],
}

/// What a root has said so far.
#[derive(Default)]
struct Heard {
    text: String,
    begun: Option<Instant>,
    hit: bool,
    /// Its output has ended.
    over: bool,
    /// What hangs was ended.
    ended: bool,
}

impl Heard {
    fn line(&self, word: &str) -> Option<&str> {
        self.text.lines().find_map(|line| line.strip_prefix(word))
    }
}

impl Room {
    fn new(cell: Cell, folder: &Path) -> Self {
        let folder = folder.join(cell.to_string().replace('/', "-"));
        fs::create_dir_all(folder.join("files")).expect("a folder for the cell");
        let pipe = |path: PathBuf| {
            make_pipe(&path);
            OpenOptions::new().read(true).write(true).open(path).expect("a pipe")
        };
        let pipes = [pipe(place::news(&folder)), pipe(place::gate(&folder))];
        make_pipe(&folder.join("steps"));
        Self { cell, folder, _pipes: pipes }
    }

    /// Runs it; gives what its root said, or why it is red, and how long it took.
    fn run(self) -> (Result<String, String>, Duration) {
        let mut root = self.start();
        let own = Process::of(root.id().cast_signed()).expect("a child that is not reaped");
        let mut output = root.stdout.take().expect("its output");
        let flags = rustix::fs::fcntl_getfl(&output).expect("flags");
        rustix::fs::fcntl_setfl(&output, flags | OFlags::NONBLOCK).expect("flags");
        let mut heard = Heard::default();
        let mut hung = None;
        let since = Instant::now();
        let exit = own.pidfd().expect("a child that is not reaped");
        // Not until the end of its output: an actor may hold that open.
        let status = loop {
            let status = root.try_wait().expect("a child's status");
            self.follow(&mut output, &mut heard);
            if let Some(status) = status {
                break status;
            }
            let begun = heard.begun.unwrap_or(since);
            if hung.is_none() && begun.elapsed() > self.cell.bound() * PATIENCE {
                hung = Some(self.dump(&own));
                own.kill();
            }
            if heard.hit && !heard.ended {
                heard.ended = self.end_what_hangs(&own);
            }
            let awaited = if heard.over {
                [exit.as_fd()].to_vec()
            } else {
                vec![exit.as_fd(), output.as_fd()]
            };
            procfs::wait_for_readable(awaited, LOOK);
        };
        let took = heard.begun.unwrap_or(since).elapsed();
        let verdict = self.verdict(&heard, status).and_then(|said| self.bury(&own).map(|()| said));
        let verdict = match hung {
            Some(dump) => Err(format!("hangs; {verdict:?}\n{dump}")),
            None => verdict,
        };
        let errors = fs::read_to_string(self.folder.join("errors")).unwrap_or_default();
        fs::remove_dir_all(&self.folder).ok();
        (verdict.map_err(|why| format!("{why}\n--- stderr\n{errors}")), took)
    }

    fn start(&self) -> Child {
        let number = Cell::all().position(|cell| cell == self.cell).expect("a cell of the matrix");
        let errors = File::create(self.folder.join("errors")).expect("a file for errors");
        Command::new(std::env::current_exe().expect("the path of this program"))
            .env(CELL, number.to_string())
            .env(RECORDS, place::news(&self.folder))
            .env(STEPS, self.folder.join("steps"))
            .env(FILES, self.folder.join("files"))
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .expect("a root's process")
    }

    /// Reads what the root has said.
    fn follow(&self, output: &mut ChildStdout, heard: &mut Heard) {
        heard.over = match output.read_to_string(&mut heard.text) {
            Ok(_) => true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(error) => panic!("the output of a root: {error}"),
        };
        if heard.begun.is_none() && heard.line("begin").is_some() {
            heard.begun = Some(Instant::now());
        }
        heard.hit |= heard.line("hit").is_some();
    }

    /// A parent that is stopped, or never yields, is no failure until somebody ends it.
    fn end_what_hangs(&self, root: &Process) -> bool {
        let now = Process::of(root.pid).map_or('X', |now| now.state);
        match self.cell.action {
            Action::Stop if now != 'T' => false,
            Action::Stop | Action::Spin => root.kill(),
            _ => true,
        }
    }

    fn verdict(&self, heard: &Heard, status: ExitStatus) -> Result<String, String> {
        if self.cell.side == Side::Parent && !heard.hit {
            return Err(format!("the parent was not hit: {status}, {:?}", heard.text));
        }
        if let Expect::Gone(expected) = self.cell.expected() {
            let came = match (status.code(), status.signal()) {
                (Some(code), _) => hatchery::ExitStatus::Code(code),
                (_, number) => {
                    hatchery::ExitStatus::Signal { number: number.unwrap_or(0), core: false }
                }
            };
            let said = || Ok(format!("its process {came}"));
            return if came == expected {
                said()
            } else {
                Err(format!("the parent {came}: {:?}", heard.text))
            };
        }
        match (heard.line("green "), heard.line("red ")) {
            (Some(said), None) => Ok(said.to_owned()),
            (_, Some(why)) => Err(why.to_owned()),
            (None, None) => Err(format!("the root said nothing: {status}, {:?}", heard.text)),
        }
    }

    /// Sees that what the root leaves is gone in time (O), and reaps it.
    fn bury(&self, root: &Process) -> Result<(), String> {
        // One that has not come to the library yet finds its parent gone when it does (F-10).
        place::release(&self.folder);
        let since = Instant::now();
        let left = loop {
            let left = procfs::members_of_session(root.pid);
            if left.is_empty() || since.elapsed() > ORPHANS * PATIENCE {
                break left;
            }
            procfs::wait_for_any_exit(&left, LOOK);
            procfs::reap_session(root.pid);
        };
        let told: Vec<String> = left.iter().map(show).collect();
        procfs::kill(&left);
        procfs::wait_for_any_exit(&left, ORPHANS);
        procfs::reap_session(root.pid);
        if told.is_empty() { Ok(()) } else { Err(format!("orphans: {}", told.join("\n"))) }
    }

    /// What its processes are doing. What their links did last goes where they complain.
    fn dump(&self, root: &Process) -> String {
        ask_for_last_steps(&self.folder.join("steps"));
        let members = procfs::members_of_session(root.pid);
        members.iter().map(show).collect::<Vec<_>>().join("\n")
    }
}
