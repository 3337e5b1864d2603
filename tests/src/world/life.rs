//! A process's own life: its boot, what it obeys, the order of its end (P-C7), and its clock.

use std::time::Duration;

use hatchery_proto::actor::scopes::ScopeKind;
use hatchery_proto::actor::shutdown::ShutdownStep;
use hatchery_proto::nursery::budget;
use hatchery_proto::{
    Cause, DialogId, Event, ExitStatus, GoodbyeReason, Instant, Refusal, Terminal,
};

use super::process::{Boot, Life};
use super::task::{Role, Task, Wait};
use super::{Planted, World};

impl World {
    pub(super) fn open_root(&mut self) {
        let root = self.make_process(None, 0, Boot::Well);
        let now = self.now;
        self.wake(root, now);
    }

    pub(super) fn boot(&mut self, place: usize, boot: Boot) {
        let orphan = self.parent_of(place).is_some_and(|parent| self.is_dead(parent));
        match boot {
            _ if orphan => return self.die(place, ExitStatus::Code(1)),
            Boot::Exits(code) => return self.die(place, ExitStatus::Code(code)),
            _ => {}
        }
        self.processes[place].life = Life::Alive;
        self.note(|_| format!("p{place} boots"));
        match self.processes[place].up {
            None => self.start_main(place, false),
            Some(up) => {
                // Its clocks begin when it does.
                let end = &self.ends[up];
                debug_assert!(end.events.is_empty(), "nothing was read before");
            }
        }
    }

    fn start_main(&mut self, place: usize, daemon: bool) {
        let process = &mut self.processes[place];
        let scope = process.scopes.open(Some(process.top), ScopeKind::Body);
        let steps = self.dice.below(self.shape.steps) + 2;
        let mut task = Task::new(Role::Main, scope, steps);
        if daemon && let Some(frame) = task.frames.first_mut() {
            frame.wait = Wait::Forever;
        }
        self.add_task(place, task);
    }

    /// What a child's end of its parent's link means for the whole process.
    pub(super) fn watch_parent(&mut self, place: usize, end: usize, event: &Event) {
        match event {
            Event::Incoming(DialogId::ACTOR) => self.told_its_life(place, end),
            Event::CancelAsked(DialogId::ACTOR) => {
                let callee = self.ends[end].core.callee(DialogId::ACTOR);
                let request = callee.and_then(|callee| callee.cancel_request().cloned());
                if let Some(request) = request {
                    let process = &mut self.processes[place];
                    process.shutdown.cancel(self.now, request.by, request.grace);
                    if let Some(child) = process.child {
                        self.cancel_heard(child, request.grace);
                    }
                }
            }
            Event::Goodbye(_) => self.processes[place].heard = true,
            // By agreement: the parent has heard everything.
            Event::Closed if self.processes[place].leaving => {
                let now = self.now;
                self.processes[place].shutdown.handle_parent_gone(now);
            }
            Event::Closed | Event::Finished(DialogId::ACTOR) => self.parent_lost(place),
            _ => {}
        }
    }

    fn parent_lost(&mut self, place: usize) {
        let now = self.now;
        let by = self.by(place, Cause::ParentEnding);
        let process = &mut self.processes[place];
        if !process.leaving {
            process.owed.get_or_insert(now + Duration::from_secs(1));
        }
        if self.options.planted == Some(Planted::DeafChild) {
            return;
        }
        let process = &mut self.processes[place];
        process.shutdown.handle_parent_gone(now);
        process.shutdown.cancel(now, by, budget::ORPHAN);
    }

    fn told_its_life(&mut self, place: usize, end: usize) {
        let Some(mut callee) = self.ends[end].core.callee(DialogId::ACTOR) else { return };
        if callee.take_start().is_none() {
            return;
        }
        self.talk(end, DialogId::ACTOR).opener = false;
        let now = self.now;
        let refuses = self.dice.one_in(self.shape.failing.saturating_mul(8));
        let Some(mut callee) = self.ends[end].core.callee(DialogId::ACTOR) else { return };
        if refuses {
            callee.refuse(Refusal::BadArguments, "no such life".to_owned());
            self.talk(end, DialogId::ACTOR).finished = true;
            self.processes[place].shutdown.handle_main_ended(now);
            return;
        }
        callee.accept();
        let _ = callee.started(&[]);
        let daemon = match self.processes[place].child {
            Some(child) => self.children[child].daemon,
            None => false,
        };
        self.start_main(place, daemon);
    }

    /// Does what the order of the end says.
    pub(super) fn follow_orders(&mut self, place: usize) -> bool {
        let now = self.now;
        let mut moved = false;
        while let Some(step) = self.processes[place].shutdown.poll_step() {
            moved = true;
            self.note(|_| format!("p{place}: {step:?}"));
            match step {
                ShutdownStep::Refuse => self.processes[place].shutdown.handle_refused(now),
                ShutdownStep::CancelTasks { grace } => {
                    let asked = self.processes[place].shutdown.asked().cloned();
                    let by = asked.unwrap_or_else(|| self.by(place, Cause::ScopeEnding));
                    let process = &mut self.processes[place];
                    process.scopes.cancel(process.top, now, by, grace);
                }
                ShutdownStep::Force => {
                    self.processes[place].forced = true;
                    if self.shape.calm {
                        self.violate("D", format!("p{place}: tasks outlast it in a calm world"));
                    }
                    for child in self.processes[place].children.clone() {
                        let by = self.by(place, Cause::Dropped);
                        self.cancel_child(child, by, Duration::ZERO);
                    }
                }
                ShutdownStep::Deregister => {
                    self.processes[place].shutdown.handle_deregistered(now);
                }
                ShutdownStep::RunHooks => self.processes[place].shutdown.handle_hooks_ended(now),
                ShutdownStep::Flush => self.last_words(place),
                ShutdownStep::Goodbye => {
                    let process = &mut self.processes[place];
                    process.leaving = true;
                    process.shutdown.handle_peers_gone(now);
                    match process.up {
                        None => process.shutdown.handle_parent_gone(now),
                        Some(up) => {
                            self.ends[up].core.goodbye(now, GoodbyeReason::Leaving);
                            self.take_events(up);
                            if self.ends[up].core.is_closed() {
                                self.processes[place].shutdown.handle_parent_gone(now);
                            }
                        }
                    }
                }
                ShutdownStep::Exit => {
                    self.exit(place);
                    return false;
                }
            }
        }
        moved | self.answer(place)
    }

    /// The main task's outcome goes to the parent.
    fn last_words(&mut self, place: usize) {
        self.processes[place].flushing = true;
        self.processes[place].said_last = Some(self.now);
        let terminal = self.processes[place].terminal.take();
        let Some(up) = self.processes[place].up else { return };
        if self.ends[up].core.callee(DialogId::ACTOR).is_none() {
            if let Some(Terminal::Failed { report, .. }) = &terminal {
                self.ledger.hide(report, "the parent's link was gone");
            }
            return;
        }
        let terminal = terminal.unwrap_or_else(|| {
            let asked = self.processes[place].shutdown.asked().cloned();
            Terminal::Cancelled(asked.unwrap_or_else(|| self.by(place, Cause::ScopeEnding)))
        });
        self.finish_dialog(place, up, DialogId::ACTOR, terminal);
    }

    /// Facts that the order of the end waits for.
    fn answer(&mut self, place: usize) -> bool {
        let now = self.now;
        let before = self.processes[place].shutdown.stage();
        if before == hatchery_proto::actor::shutdown::Stage::Running {
            return false;
        }
        let idle = self.processes[place].tasks.is_empty()
            && self.processes[place]
                .children
                .iter()
                .all(|child| self.children[*child].over.is_some());
        if idle {
            self.processes[place].shutdown.handle_tasks_ended(now);
        }
        let process = &self.processes[place];
        if let (true, true, Some(up)) = (process.leaving, process.heard, process.up)
            && self.is_flushed(up)
        {
            // What was let go is not waited for (P-L3).
            self.processes[place].shutdown.handle_parent_gone(now);
        }
        if self.processes[place].flushing {
            let written = match self.processes[place].up {
                None => true,
                Some(up) => self.is_flushed(up),
            };
            if written {
                self.processes[place].shutdown.handle_flushed(now);
            }
        }
        self.processes[place].shutdown.stage() != before
    }

    /// The actor's end is over: so is its process.
    fn exit(&mut self, place: usize) {
        let code = match &self.processes[place].verdict {
            Some(Err(_)) => 1,
            _ => 0,
        };
        self.check_exit(place);
        self.die(place, ExitStatus::Code(code));
    }

    /// Tells every machine of a process what time it is, where it asked to be told, and holds it to
    /// its word (M1).
    pub(super) fn tell_time(&mut self, place: usize) -> bool {
        let now = self.now;
        let mut moved = false;
        for at in 0..self.processes[place].ends.len() {
            let Some(end) = self.processes[place].ends.get(at).copied() else { break };
            let core = &mut self.ends[end].core;
            let due = core.poll_timeout().is_some_and(|(at, _)| at <= now);
            if due {
                moved = true;
                core.handle_timeout(now);
                let later = core.poll_timeout().is_none_or(|(at, _)| at > now);
                if !later && !core.wants_transmit() {
                    self.violate("M1", format!("link {end} is due and stays so"));
                }
                self.take_events(end);
            }
        }
        for at in 0..self.processes[place].children.len() {
            let Some(child) = self.processes[place].children.get(at).copied() else { break };
            let ladder = &mut self.children[child].ladder;
            if ladder.poll_timeout().is_some_and(|(at, _)| at <= now) {
                moved = true;
                ladder.handle_timeout(now);
                if ladder.poll_timeout().is_some_and(|(at, _)| at <= now) {
                    self.violate("M1", format!("the ladder of child {child} stays due"));
                }
            }
        }
        let process = &mut self.processes[place];
        if process.scopes.poll_timeout().is_some_and(|(at, _)| at <= now) {
            moved = true;
            process.scopes.handle_timeout(now);
            if process.scopes.poll_timeout().is_some_and(|(at, _)| at <= now) {
                self.violate("M1", format!("the scopes of p{place} stay due"));
            }
        }
        let process = &mut self.processes[place];
        if process.shutdown.poll_timeout().is_some_and(|(at, _)| at <= now) {
            moved = true;
            process.shutdown.handle_timeout(now);
            if process.shutdown.poll_timeout().is_some_and(|(at, _)| at <= now) {
                self.violate("M1", format!("the end of p{place} stays due"));
            }
        }
        self.tell_tasks(place);
        moved
    }

    /// When a process has to look around next.
    pub(super) fn sleep_until_due(&mut self, place: usize) {
        let now = self.now;
        let process = &self.processes[place];
        let mut next: Option<Instant> = None;
        let mut sooner = |at: Option<Instant>| {
            if let Some(at) = at {
                next = Some(next.map_or(at, |known: Instant| known.min(at)));
            }
        };
        sooner(process.scopes.poll_timeout().map(|(at, _)| at));
        sooner(process.shutdown.poll_timeout().map(|(at, _)| at));
        for task in process.tasks.values() {
            sooner(task.deadline);
            for frame in &task.frames {
                if let Wait::Until(at) = frame.wait {
                    sooner(Some(at));
                }
            }
        }
        for child in &process.children {
            if self.children[*child].over.is_none() {
                sooner(self.children[*child].ladder.poll_timeout().map(|(at, _)| at));
            }
        }
        for place in &process.ends {
            let end = &self.ends[*place];
            if end.closed {
                continue;
            }
            sooner(end.core.poll_timeout().map(|(at, _)| at));
            if !end.eof {
                let ready = self.wires[place / 2].ways[1 - place % 2].ready(now);
                let slow = if end.slow { Duration::from_millis(2) } else { Duration::ZERO };
                sooner(ready.map(|at| at.max(now + slow)));
            }
        }
        if let Some(at) = next {
            // Nothing is ever looked at twice at one time for want of something to do.
            let at = at.max(now + Duration::from_micros(1));
            self.wake(place, at);
        }
    }
}
