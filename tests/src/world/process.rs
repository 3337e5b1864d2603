//! Virtual processes: what they are made of, when they run, how they are signalled and how they end.

use std::collections::BTreeMap;

use hatchery_proto::actor::scopes::{ScopeId, ScopeKind, Scopes};
use hatchery_proto::actor::shutdown::{Policy, Shutdown};
use hatchery_proto::{ActorId, DialogId, ExitStatus, Instant, Terminal};

use super::faults::Wish;
use super::rooms::Room;
use super::task::{Res, Task};
use super::{What, World};

/// What a process is doing with itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// Its entry has not run yet.
    Booting(Boot),
    Alive,
    Dead(ExitStatus),
}

/// How its boot comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Boot {
    Well,
    /// It exits with this code.
    Exits(i32),
    /// It never says a word.
    Hangs,
}

/// A signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Stop,
    Continue,
    Terminate,
    Kill,
}

/// A process and the actor in it.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) id: ActorId,
    pub(super) level: u32,
    /// The child that it is to its parent; none for the root.
    pub(super) child: Option<usize>,
    /// Its end of its parent's link.
    pub(super) up: Option<usize>,
    pub(super) life: Life,
    pub(super) stopped: bool,
    /// No signal acts on it.
    pub(super) frozen: bool,
    pub(super) ignores_term: bool,
    pending: Vec<Signal>,
    pub(super) blocked: Instant,
    /// When it looks around next.
    pub(super) wake: Instant,
    pub(super) scopes: Scopes,
    pub(super) top: ScopeId,
    pub(super) shutdown: Shutdown,

    pub(super) flushing: bool,
    pub(super) leaving: bool,
    /// The parent has said `Goodbye`.
    pub(super) heard: bool,
    pub(super) tasks: BTreeMap<u64, Task>,
    pub(super) next: u64,
    pub(super) serving: BTreeMap<(usize, DialogId), ScopeId>,
    pub(super) rooms: BTreeMap<u64, Room>,
    pub(super) children: Vec<usize>,
    pub(super) ends: Vec<usize>,
    /// What is wished for from outside of its tasks.
    pub(super) wishes: Vec<Wish>,
    /// What its main task came to, until its parent is told; in a root, for good.
    pub(super) terminal: Option<Terminal>,
    pub(super) verdict: Option<Res>,
    /// It was ever kept from running, or its links were.
    pub(super) disturbed: bool,
    /// It was ever kept from running itself, so that its clock says nothing.
    pub(super) stalled: bool,
    pub(super) died: Instant,
    /// When it has to be gone, where that is owed.
    pub(super) owed: Option<Instant>,
    /// When it said what its main task came to.
    pub(super) said_last: Option<Instant>,
    /// Its tasks had to be ended by force.
    pub(super) forced: bool,
}

impl Process {
    /// Something keeps it from running.
    pub(super) fn stall(&mut self) {
        self.disturbed = true;
        self.stalled = true;
    }
}

impl World {
    /// Makes a process; gives its number.
    pub(super) fn make_process(&mut self, child: Option<usize>, level: u32, boot: Boot) -> usize {
        let place = self.processes.len();
        let mut scopes = Scopes::new();
        let top = scopes.open(None, ScopeKind::Body);
        let number = u32::try_from(place).unwrap_or(0) + 1;
        let policy = Policy { grace: self.shape.teardown, ..Policy::default() };
        self.processes.push(Process {
            id: ActorId { name: format!("p{place}"), uuid: u128::from(number), pid: number },
            level,
            child,
            up: None,
            life: Life::Booting(boot),
            stopped: false,
            frozen: false,
            ignores_term: false,
            pending: Vec::new(),
            blocked: Instant::default(),
            wake: Instant::FAR_FUTURE,
            scopes,
            top,
            shutdown: Shutdown::new(policy, child.is_some()),

            flushing: false,
            leaving: false,
            heard: false,
            tasks: BTreeMap::new(),
            next: 0,
            serving: BTreeMap::new(),
            rooms: BTreeMap::new(),
            children: Vec::new(),
            ends: Vec::new(),
            wishes: Vec::new(),
            terminal: None,
            verdict: None,
            disturbed: false,
            stalled: false,
            died: Instant::FAR_FUTURE,
            owed: None,
            said_last: None,
            forced: false,
        });
        place
    }

    pub(super) fn is_dead(&self, process: usize) -> bool {
        matches!(self.processes[process].life, Life::Dead(_))
    }

    pub(super) fn parent_of(&self, process: usize) -> Option<usize> {
        self.processes[process].child.map(|child| self.children[child].parent)
    }

    /// A process gets its turn: everything that it can do now is done.
    pub(super) fn look(&mut self, place: usize) {
        let process = &mut self.processes[place];
        if process.wake <= self.now {
            process.wake = Instant::FAR_FUTURE;
        }
        if process.stopped || process.frozen {
            return;
        }
        if process.blocked > self.now {
            let until = process.blocked;
            return self.wake(place, until);
        }
        match process.life {
            Life::Dead(_) | Life::Booting(Boot::Hangs) => return,
            Life::Booting(boot) => self.boot(place, boot),
            Life::Alive => {}
        }
        for round in 0.. {
            if !self.is_running(place) || !self.one_round(place) {
                break;
            }
            if round > 2000 {
                return self.violate("M1", format!("p{place} is busy for ever"));
            }
        }
        if self.is_running(place) {
            self.sleep_until_due(place);
        }
    }

    fn is_running(&self, place: usize) -> bool {
        let process = &self.processes[place];
        process.life == Life::Alive && process.blocked <= self.now && !process.stopped
    }

    /// One round of everything, beginning anywhere.
    fn one_round(&mut self, place: usize) -> bool {
        const PARTS: usize = 8;
        let first = self.dice.below(PARTS);
        let mut moved = false;
        for part in 0..PARTS {
            moved |= match (first + part) % PARTS {
                0 => self.read_links(place),
                1 => self.handle_events(place),
                2 => self.tell_time(place),
                3 => self.supervise_all(place),
                4 => self.grant_wishes(place),
                5 => self.run_tasks(place),
                6 => self.follow_orders(place),
                _ => self.write_links(place),
            };
            if !self.is_running(place) {
                return false;
            }
        }
        moved
    }

    /// A signal arrives.
    pub(super) fn signal(&mut self, place: usize, signal: Signal) {
        let process = &mut self.processes[place];
        if matches!(process.life, Life::Dead(_)) {
            return;
        }
        if process.frozen {
            process.pending.push(signal);
            return;
        }
        match signal {
            Signal::Stop => {
                process.stopped = true;
                process.stall();
                self.note(|_| format!("p{place} is stopped"));
            }
            Signal::Continue => {
                process.stopped = false;
                let waiting = std::mem::take(&mut process.pending);
                self.note(|_| format!("p{place} goes on"));
                for signal in waiting {
                    self.signal(place, signal);
                }
                self.wake(place, self.now);
            }
            Signal::Terminate if process.ignores_term => {
                self.note(|_| format!("p{place} ignores SIGTERM"));
            }
            Signal::Terminate if process.stopped => process.pending.push(signal),
            Signal::Terminate => self.die(place, ExitStatus::Signal { number: 15, core: false }),
            Signal::Kill => self.die(place, ExitStatus::Signal { number: 9, core: false }),
        }
    }

    /// A process ends, whatever it was doing.
    pub(super) fn die(&mut self, place: usize, status: ExitStatus) {
        let process = &mut self.processes[place];
        if matches!(process.life, Life::Dead(_)) {
            return;
        }
        process.life = Life::Dead(status);
        process.died = self.now;
        let ends = std::mem::take(&mut process.ends);
        let (child, children) = (process.child, process.children.clone());
        self.note(|_| format!("p{place} {status}"));
        self.ledger.kills += u64::from(matches!(status, ExitStatus::Signal { .. }));
        self.check_death(place, status);
        for end in ends {
            self.close_socket(end);
        }
        if let Some(child) = child {
            let after = self.dice.micros(0, self.shape.latency);
            self.at(self.now + after, What::Exited(child, status));
        }
        let mut heirs: Vec<usize> =
            children.iter().filter_map(|child| self.children[*child].process).collect();
        heirs.retain(|heir| !self.is_dead(*heir));
        for heir in heirs {
            if self.shape.death_signal && self.processes[heir].life == Life::Alive {
                let after = self.dice.micros(0, self.shape.latency);
                self.at(self.now + after, What::Signal(heir, Signal::Kill));
            }
            if self.shape.watchdog {
                let at = self.now + std::time::Duration::from_secs(1);
                self.at(at, What::Watchdog(heir));
            }
        }
        // What it held is gone with it.
        let process = &mut self.processes[place];
        process.tasks.clear();
        process.rooms.clear();
        process.serving.clear();
        process.scopes = Scopes::new();
    }

    /// The thread that ends a process whose parent is gone, and that only a stopped one outlives.
    pub(super) fn watchdog(&mut self, place: usize) {
        let process = &self.processes[place];
        if matches!(process.life, Life::Booting(_)) {
            // It looks for its parent first thing.
            return;
        }
        if process.stopped {
            // Its thread is stopped too.
            let at = self.now + std::time::Duration::from_millis(100);
            return self.at(at, What::Watchdog(place));
        }
        self.signal(place, Signal::Kill);
    }

    /// Lets a frozen process be signalled again.
    pub(super) fn unfreeze(&mut self, place: usize) {
        let process = &mut self.processes[place];
        if std::mem::take(&mut process.frozen) {
            let waiting = std::mem::take(&mut process.pending);
            self.note(|_| format!("p{place} thaws"));
            for signal in waiting {
                self.signal(place, signal);
            }
            self.wake(place, self.now);
        }
    }
}
