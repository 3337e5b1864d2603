//! One end of a link as its process drives it: bytes in and out, events, and the dialogs of both
//! kinds with what is checked about each.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use hatchery_proto::actor::scopes::ScopeKind;
use hatchery_proto::{
    Caller, CancelRequest, Cancelled, Cause, Config, Connection, DialogId, Event, Instant, Kind,
    LinkKind, Outcome, Refusal, Role,
};

use super::shape::Fault;
use super::task::{Role as TaskRole, Task};
use super::wire::Read;
use super::{Planted, World};

/// How much is read or encoded at a time, as the runtime does.
pub(super) const BATCH: usize = 64 * 1024;

/// One end.
#[derive(Debug)]
pub(super) struct End {
    pub(super) core: Connection,
    pub(super) process: usize,
    /// The child that is behind it, at a parent's end.
    pub(super) child: Option<usize>,
    /// Encoded and not yet taken by the socket.
    out: Vec<u8>,
    written: usize,
    mute: bool,
    pub(super) eof: bool,
    pub(super) closed: bool,
    /// It reads slowly, and when it reads next.
    pub(super) slow: bool,
    next_read: Instant,
    pub(super) events: VecDeque<Event>,
    pub(super) talks: BTreeMap<DialogId, Talk>,
    /// What was opened here and may take room still.
    pub(super) opened: Vec<DialogId>,
}

/// What is known of a dialog at one end.
#[derive(Debug, Default)]
pub(super) struct Talk {
    pub(super) opener: bool,
    /// What has to come exactly once: the outcome here, the task's end there.
    pub(super) ends: u32,
    pub(super) flushed: u32,
    pub(super) released: bool,
    pub(super) finished: bool,
    /// Values: how many were sent and received, in bytes too.
    pub(super) sent: u32,
    pub(super) got: u32,
    pub(super) sent_bytes: u64,
    pub(super) got_bytes: u64,
    pub(super) started: bool,
    pub(super) stopped: bool,
    /// Somebody here threw values away.
    pub(super) discarded: bool,
    /// When the first cancel was asked for, and in what time it has to be answered.
    pub(super) asked: Option<(Instant, Duration)>,
    pub(super) asked_by_us: bool,
    /// When whoever cancelled it need wait no more.
    pub(super) until: Option<Instant>,
    /// The time that was left until then when that was said.
    pub(super) given: Duration,
}

impl End {
    pub(super) fn is_written(&self) -> bool {
        self.written == self.out.len()
    }
}

impl World {
    /// Opens one end of a wire; the parent's is opened first.
    pub(super) fn make_end(&mut self, process: usize, child: Option<usize>) -> usize {
        let place = self.ends.len();
        let parent = child.is_some();
        let config = Config {
            kind: if parent { LinkKind::Parent } else { LinkKind::Child },
            role: if parent { Role::Even } else { Role::Odd },
            me: self.processes[process].id.clone(),
            limits: self.shape.limits.clone(),
        };
        self.ends.push(End {
            core: Connection::new(config, self.now),
            process,
            child,
            out: Vec::new(),
            written: 0,
            mute: false,
            eof: false,
            closed: false,
            slow: false,
            next_read: Instant::default(),
            events: VecDeque::new(),
            talks: BTreeMap::new(),
            opened: Vec::new(),
        });
        self.processes[process].ends.push(place);
        place
    }

    /// What an end has opened or taken, for notes.
    pub(super) fn talk(&mut self, end: usize, id: DialogId) -> &mut Talk {
        self.ends[end].talks.entry(id).or_default()
    }

    pub(super) fn read_links(&mut self, place: usize) -> bool {
        let mut moved = false;
        for at in 0..self.processes[place].ends.len() {
            let Some(end) = self.processes[place].ends.get(at).copied() else { break };
            moved |= self.read_link(end);
        }
        moved
    }

    fn read_link(&mut self, place: usize) -> bool {
        let now = self.now;
        let end = &mut self.ends[place];
        if end.eof || end.closed {
            return false;
        }
        let most = if end.slow { 200 } else { BATCH };
        if end.slow && end.next_read > now {
            return false;
        }
        let most = if self.dice.one_in(8) { self.dice.below(most) + 1 } else { most };
        let (wire, side) = (place / 2, place % 2);
        let way = &mut self.wires[wire].ways[1 - side];
        match way.read(now, most) {
            Read::Nothing => false,
            Read::End => {
                self.link_eof(place);
                true
            }
            Read::Bytes(bytes) => {
                let wanted = std::mem::take(&mut way.wanted);
                let end = &mut self.ends[place];
                if end.slow {
                    end.next_read = now + Duration::from_millis(2);
                }
                let lost = self.options.planted == Some(Planted::LostBytes) && self.dice.one_in(50);
                if !lost {
                    crate::hostile::read(&mut end.core, now, &bytes);
                }
                let closed = end.core.is_closed();
                self.take_events(place);
                self.check_memory(place);
                if wanted {
                    self.wake(self.ends[place ^ 1].process, now);
                }
                if closed {
                    self.link_eof(place);
                }
                true
            }
        }
    }

    fn link_eof(&mut self, place: usize) {
        let now = self.now;
        let end = &mut self.ends[place];
        end.eof = true;
        let (process, child) = (end.process, end.child);
        self.note(|_| format!("p{process} reads the end of link {}.{}", place / 2, place % 2));
        if let Some(child) = child {
            let teardown = self.shape.teardown;
            self.children[child].ladder.handle_eof(now);
            self.children[child].link_lost(now, teardown);
        }
        self.ends[place].core.handle_eof(now);
        self.take_events(place);
    }

    pub(super) fn take_events(&mut self, place: usize) {
        let end = &mut self.ends[place];
        while let Some(event) = end.core.poll_event() {
            end.events.push_back(event);
        }
    }

    /// Writes what the cores have to send, as far as the sockets take it.
    pub(super) fn write_links(&mut self, place: usize) -> bool {
        let mut moved = false;
        for at in 0..self.processes[place].ends.len() {
            let Some(end) = self.processes[place].ends.get(at).copied() else { break };
            moved |= self.write_link(end);
        }
        moved
    }

    fn write_link(&mut self, place: usize) -> bool {
        let (now, wire, side) = (self.now, place / 2, place % 2);
        if self.ends[place].closed {
            return false;
        }
        let mut moved = false;
        loop {
            let end = &mut self.ends[place];
            if end.written == end.out.len() {
                end.out.clear();
                end.written = 0;
                let budget = if self.dice.one_in(4) { 1 + self.dice.below(500) } else { BATCH };
                if end.core.poll_transmit(now, &mut end.out, budget) == 0 {
                    break;
                }
            }
            let latency = self.dice.micros(1, self.shape.latency);
            if latency >= Duration::from_millis(1) {
                self.met(Fault::Delay);
            }
            let way = &mut self.wires[wire].ways[side];
            let end = &mut self.ends[place];
            match way.write(now + latency, &end.out[end.written..]) {
                Some(0) => break,
                Some(count) => {
                    moved = true;
                    end.written += count;
                    if let Some(at) = way.ready(now) {
                        self.wake(self.ends[place ^ 1].process, at);
                    }
                }
                None => {
                    end.out.clear();
                    end.written = 0;
                    if std::mem::replace(&mut end.mute, true) {
                        break;
                    }
                    moved = true;
                    end.core.handle_write_closed();
                }
            }
        }
        self.take_events(place);
        let end = &self.ends[place];
        if end.core.is_closed() && end.out.len() == end.written && !end.core.wants_transmit() {
            self.drop_socket(place);
            moved = true;
        }
        moved
    }

    /// This end is done with its socket.
    pub(super) fn drop_socket(&mut self, place: usize) {
        if !self.ends[place].eof {
            self.link_eof(place);
        }
        self.close_socket(place);
    }

    /// The descriptor goes, whatever its process knows of it.
    pub(super) fn close_socket(&mut self, place: usize) {
        if std::mem::replace(&mut self.ends[place].closed, true) {
            return;
        }
        self.wires[place / 2].close(place % 2);
        let after = self.dice.micros(0, self.shape.latency);
        if let Some(other) = self.ends.get(place ^ 1) {
            self.wake(other.process, self.now + after);
        }
    }

    pub(super) fn handle_events(&mut self, place: usize) -> bool {
        let mut moved = false;
        for at in 0..self.processes[place].ends.len() {
            let Some(end) = self.processes[place].ends.get(at).copied() else { break };
            self.take_events(end);
            while let Some(event) = self.ends[end].events.pop_front() {
                moved = true;
                self.handle_event(place, end, event);
                if !matches!(self.processes[place].life, super::process::Life::Alive) {
                    return false;
                }
            }
        }
        moved
    }

    fn handle_event(&mut self, place: usize, end: usize, event: Event) {
        self.note(|_| format!("p{place} link {}.{} says {event:?}", end / 2, end % 2));
        if let Some(child) = self.ends[end].child {
            self.watch_child(child, end, &event);
        } else {
            self.watch_parent(place, end, &event);
        }
        match event {
            Event::Incoming(id) if !id.is_actor() => self.incoming(place, end, id),
            Event::CancelAsked(id) if !id.is_actor() => self.apply_cancel(place, end, id),
            Event::CancelAcked(id) => self.cancel_answered(end, id),
            Event::Finished(id) => self.finished(place, end, id),
            Event::Flushed(id) => self.talk(end, id).flushed += 1,
            // A greeting may be late where something keeps it, or where it never comes.
            Event::Broken(violation)
                if violation.message != "Hello" || !self.may_be_silent(end ^ 1) =>
            {
                self.violate(
                    "P-L6",
                    format!("p{place} was told an honest peer broke: {violation}"),
                );
            }
            _ => {}
        }
    }

    /// The peer's task, or ours, is over as far as the link is concerned.
    fn finished(&mut self, place: usize, end: usize, id: DialogId) {
        let talk = self.talk(end, id);
        talk.ends += 1;
        let (ends, opener) = (talk.ends, talk.opener);
        if ends > 1 {
            let side = end % 2;
            self.violate("P-D4", format!("{id} of link {}.{side} ended {ends} times", end / 2));
        }
        self.cancel_answered(end, id);
        self.check_wait(end, id);
        if !opener && let Some(scope) = self.processes[place].serving.get(&(end, id)).copied() {
            let by = self.by(place, Cause::LinkLost);
            let (now, grace) = (self.now, self.shape.teardown);
            self.processes[place].scopes.cancel(scope, now, by, grace);
        }
    }

    pub(super) fn by(&self, place: usize, cause: Cause) -> Cancelled {
        Cancelled { canceller: self.processes[place].id.clone(), cause }
    }

    /// The peer asks for a task.
    fn incoming(&mut self, place: usize, end: usize, id: DialogId) {
        let taken = self.ends[end].core.callee(id).and_then(|mut callee| callee.take_start());
        let Some(incoming) = taken else { return };
        self.talk(end, id).opener = false;
        let refusal = if self.processes[place].shutdown.refuses() {
            Some(Refusal::ShuttingDown)
        } else if self.dice.one_in(self.shape.failing.saturating_mul(2)) {
            Some(Refusal::Unknown)
        } else {
            None
        };
        let Some(callee) = self.ends[end].core.callee(id) else { return };
        if let Some(refusal) = refusal {
            callee.refuse(refusal, "no".to_owned());
            self.talk(end, id).finished = true;
            return;
        }
        let mut callee = callee;
        callee.accept();
        if !incoming.args.iter().enumerate().all(|(at, byte)| *byte == argument(at)) {
            self.violate("P-F3", format!("the arguments of {id} came out otherwise"));
        }
        let process = &mut self.processes[place];
        let scope = process.scopes.open(Some(process.top), ScopeKind::Body);
        process.serving.insert((end, id), scope);
        let deadline = incoming.deadline.map(|left| self.now + left);
        let role = TaskRole::Serve { end, id, kind: incoming.kind };
        let steps = self.dice.below(self.shape.steps) + 1;
        let mut task = Task::new(role, scope, steps);
        task.deadline = deadline;
        self.add_task(place, task);
        self.apply_cancel(place, end, id);
    }

    fn apply_cancel(&mut self, place: usize, end: usize, id: DialogId) {
        let Some(scope) = self.processes[place].serving.get(&(end, id)).copied() else { return };
        if self.options.planted == Some(Planted::DeafTask) {
            return;
        }
        let request = match self.ends[end].core.callee(id) {
            Some(callee) => match callee.cancel_request() {
                Some(request) => request.clone(),
                None => return,
            },
            None => {
                let by = self.by(place, Cause::LinkLost);
                CancelRequest { by, grace: self.shape.teardown }
            }
        };
        let now = self.now;
        self.processes[place].scopes.cancel(scope, now, request.by, request.grace);
    }

    /// Opens a dialog with the actor at the other end.
    pub(super) fn open_dialog(&mut self, end: usize, kind: Kind) -> Option<DialogId> {
        let size = if self.dice.one_in(3) { self.dice.below(self.shape.value) } else { 8 };
        let args: Vec<u8> = (0..size).map(argument).collect();
        let hurried = !self.shape.calm && self.dice.one_in(6);
        let deadline = hurried.then(|| self.dice.millis(1, 800));
        let wish = hatchery_proto::StartWish {
            endpoint: "world::task",
            kind,
            schema: 7,
            codec: 0,
            deadline,
            trace: None,
        };
        let id = self.ends[end].core.start(self.now, wish, &args).ok()?;
        self.talk(end, id).opener = true;
        self.ends[end].opened.push(id);
        Some(id)
    }

    /// Asks the far task to end within `grace`.
    pub(super) fn cancel_dialog(
        &mut self,
        end: usize,
        id: DialogId,
        by: Cancelled,
        grace: Duration,
    ) {
        let until = self.now + grace + Duration::from_millis(500);
        self.cancel_until(end, id, until, |caller, now| {
            caller.cancel(now, CancelRequest { by, grace });
        });
    }

    /// The same for a task that was itself asked to end within `rest`.
    pub(super) fn cancel_dialog_within(
        &mut self,
        end: usize,
        id: DialogId,
        by: Cancelled,
        rest: Duration,
    ) {
        let until = self.now + rest;
        self.cancel_until(end, id, until, |caller, now| caller.cancel_within(now, by, rest));
    }

    fn cancel_until(
        &mut self,
        end: usize,
        id: DialogId,
        until: Instant,
        ask: impl FnOnce(&mut Caller<'_>, Instant),
    ) {
        let now = self.now;
        let Some(mut caller) = self.ends[end].core.caller(id) else { return };
        if caller.outcome().is_some() {
            return;
        }
        ask(&mut caller, now);
        let talk = self.talk(end, id);
        if talk.until.is_none_or(|known| until < known) {
            talk.until = Some(until);
            talk.given = until.since(now);
        }
        // A repeat that shortens nothing is not sent.
        if !std::mem::replace(&mut self.talk(end, id).asked_by_us, true) {
            self.ask_noted(end, id);
        }
        self.take_events(end);
    }

    /// The handle of a dialog goes away.
    pub(super) fn release(&mut self, end: usize, id: DialogId) {
        let by = self.by(self.ends[end].process, Cause::Dropped);
        let now = self.now;
        if let Some(outcome) = self.outcome(end, id)
            && let Outcome::Failed { report, .. } = outcome
        {
            self.ledger.hide(&report, "its handle was dropped");
        }
        if let Some(caller) = self.ends[end].core.caller(id) {
            caller.release(now, by);
        }
        let talk = self.talk(end, id);
        talk.released = true;
        talk.discarded = true;
        self.take_events(end);
    }

    pub(super) fn outcome(&mut self, end: usize, id: DialogId) -> Option<Outcome> {
        self.ends[end].core.caller(id).and_then(|caller| caller.outcome().cloned())
    }
}

/// What arguments are made of.
const fn argument(at: usize) -> u8 {
    (at % 251) as u8
}
