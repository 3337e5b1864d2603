//! Tasks as stacks of open scopes: the innermost body runs, a cancel drops it when the core says
//! that it is due, and what it comes to goes to the body around it (P-C2).

use std::time::Duration;

use hatchery_proto::actor::scopes::{ScopeId, ScopeKind};
use hatchery_proto::nursery::{MemberEnd, MemberId};
use hatchery_proto::{Cancelled, Cause, Code, DialogId, Instant, Kind, Outcome, Report, Terminal};

use super::{Planted, World};

/// What a body comes to.
pub(super) type Res = Result<(), Box<Report>>;

/// How a body came to its end.
#[derive(Clone, Debug)]
pub(super) enum Ended {
    Returned(Res),
    Dropped,
}

/// What a task is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Role {
    /// The actor's own; a daemon's waits for ever.
    Main,
    /// A dialog that a peer opened.
    Serve { end: usize, id: DialogId, kind: Kind },
    /// A member of a nursery.
    Member { room: u64, member: MemberId },
}

/// What a scope in a task is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Block {
    /// The task itself.
    Task,
    Nursery(u64),
    Shield,
    /// The opener's side of a context.
    Context(usize, DialogId),
}

/// What a body waits for.
#[derive(Clone, Debug)]
pub(super) enum Wait {
    Nothing,
    Until(Instant),
    Forever,
    /// The scope that was opened in it.
    Inner,
    Outcome(usize, DialogId),
    First(usize, DialogId),
    Up(usize),
    Over(usize),
    Recv(usize, DialogId),
    Send(usize, DialogId, usize),
}

/// An open scope and its body.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) scope: ScopeId,
    pub(super) block: Block,
    /// What the body may still do.
    pub(super) left: usize,
    pub(super) wait: Wait,
    pub(super) ended: Option<Ended>,
    /// Its members were told to end by its body, at the body's end.
    pub(super) told_members: bool,
    /// A cancel that came while the block was ending was handed on, with this deadline.
    told: Option<Instant>,
}

/// A task.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) role: Role,
    pub(super) frames: Vec<Frame>,
    pub(super) deadline: Option<Instant>,
}

impl Frame {
    pub(super) fn new(scope: ScopeId, block: Block, left: usize) -> Self {
        Self {
            scope,
            block,
            left,
            wait: Wait::Nothing,
            ended: None,
            told_members: false,
            told: None,
        }
    }
}

impl Task {
    pub(super) fn new(role: Role, scope: ScopeId, left: usize) -> Self {
        Self { role, frames: vec![Frame::new(scope, Block::Task, left)], deadline: None }
    }
}

impl World {
    pub(super) fn add_task(&mut self, place: usize, task: Task) {
        let process = &mut self.processes[place];
        let id = process.next;
        process.next += 1;
        process.tasks.insert(id, task);
    }

    pub(super) fn run_tasks(&mut self, place: usize) -> bool {
        // Who became due is asked of the tree itself; the queue is only drained.
        while let Some(scope) = self.processes[place].scopes.poll_due() {
            if !self.processes[place].scopes.due(scope) {
                self.violate("P-C2", format!("p{place}: {scope:?} was told due and is not"));
            }
        }
        let ids: Vec<u64> = self.processes[place].tasks.keys().copied().collect();
        let mut moved = false;
        for id in ids {
            let Some(mut task) = self.processes[place].tasks.remove(&id) else { continue };
            let mut over = false;
            for _ in 0..64 {
                if self.processes[place].blocked > self.now {
                    break;
                }
                match self.step_task(place, &mut task) {
                    Step::Waits => break,
                    Step::Moved => moved = true,
                    Step::Over => {
                        (over, moved) = (true, true);
                        break;
                    }
                }
            }
            if !over {
                self.processes[place].tasks.insert(id, task);
            }
        }
        moved
    }

    fn step_task(&mut self, place: usize, task: &mut Task) -> Step {
        let Some(top) = task.frames.last() else { return Step::Over };
        let (scope, block) = (top.scope, top.block);
        if top.ended.is_none() {
            if self.processes[place].scopes.due(scope) {
                self.drop_body(place, task);
                return Step::Moved;
            }
            if self.watch_context(place, task) {
                return Step::Moved;
            }
            return self.step_body(place, task);
        }
        match block {
            Block::Task => {
                self.task_over(place, task);
                Step::Over
            }
            Block::Shield => {
                let ended = task.frames.last_mut().and_then(|top| top.ended.take());
                let result = match ended {
                    Some(Ended::Returned(result)) => result,
                    _ => Err(self.cancelled_by_scope(place, scope)),
                };
                self.close_block(place, task, result);
                Step::Moved
            }
            Block::Nursery(room) => self.step_nursery(place, task, room),
            Block::Context(end, id) => self.step_context(place, task, end, id),
        }
    }

    fn cancelled_by_scope(&mut self, place: usize, scope: ScopeId) -> Box<Report> {
        let known = self.processes[place].scopes.cancelled(scope).map(|state| state.by.clone());
        let by = known.unwrap_or_else(|| self.by(place, Cause::ScopeEnding));
        self.cancelled_report(place, &by)
    }

    /// A cancel was due: what the body waits for is let go.
    fn drop_body(&mut self, place: usize, task: &mut Task) {
        let Some(top) = task.frames.last_mut() else { return };
        let wait = std::mem::replace(&mut top.wait, Wait::Nothing);
        let scope = top.scope;
        self.note(|_| format!("p{place} {scope:?}: the body is dropped ({wait:?})"));
        self.let_go(place, &wait);
        self.body_ended(place, task, Ended::Dropped);
    }

    /// Nobody waits for this any more.
    fn let_go(&mut self, place: usize, wait: &Wait) {
        match *wait {
            Wait::Outcome(end, id) | Wait::First(end, id) => self.release(end, id),
            Wait::Up(child) => {
                let by = self.by(place, Cause::Asked);
                self.cancel_child(child, by, self.shape.teardown);
            }
            _ => {}
        }
    }

    /// The innermost body has ended: its block begins to.
    pub(super) fn body_ended(&mut self, place: usize, task: &mut Task, ended: Ended) {
        let now = self.now;
        let Some(top) = task.frames.last_mut() else { return };
        let (scope, block) = (top.scope, top.block);
        match block {
            Block::Nursery(room) => self.body_of_room_ended(place, room, &ended),
            Block::Context(end, id) => match &ended {
                Ended::Returned(Ok(())) => self.leave_context(end, id),
                Ended::Returned(Err(report)) => {
                    let by = self.by(place, Cause::OpenerFailed(report.clone()));
                    self.cancel_dialog(end, id, by, self.shape.teardown);
                }
                Ended::Dropped => {
                    let scopes = &self.processes[place].scopes;
                    let known = scopes.cancelled(scope).map(|state| state.by.clone());
                    if let Some(by) = known {
                        let share = scopes.share(scope, now);
                        self.cancel_dialog_within(end, id, by, share);
                    }
                }
            },
            Block::Task | Block::Shield => {}
        }
        if let Some(top) = task.frames.last_mut() {
            top.wait = Wait::Nothing;
            top.ended = Some(ended);
        }
    }

    /// Who holds no half says that it will not send, and discards (P-D8).
    pub(super) fn leave_context(&mut self, end: usize, id: DialogId) {
        if let Some(mut caller) = self.ends[end].core.caller(id) {
            let _ = caller.stop();
            caller.discard();
        }
        let talk = self.talk(end, id);
        talk.stopped = true;
        talk.discarded = true;
    }

    /// A far task that fails ends the block of its opener, unless the body waits on it itself.
    fn watch_context(&mut self, place: usize, task: &mut Task) -> bool {
        let Some(top) = task.frames.last_mut() else { return false };
        let Block::Context(end, id) = top.block else { return false };
        if matches!(top.wait, Wait::Recv(..) | Wait::Send(..)) {
            return false;
        }
        let outcome = self.ends[end].core.caller(id).and_then(|view| view.outcome().cloned());
        if matches!(outcome, None | Some(Outcome::Returned(_))) {
            return false;
        }
        top.ended = Some(Ended::Dropped);
        let wait = std::mem::replace(&mut top.wait, Wait::Nothing);
        self.let_go(place, &wait);
        true
    }

    fn step_nursery(&mut self, place: usize, task: &mut Task, id: u64) -> Step {
        let Some(room) = self.room_mut(place, id) else { return Step::Waits };
        if room.core.is_done() {
            if room.dones != 1 {
                return Step::Waits;
            }
            let ended = task.frames.last_mut().and_then(|top| top.ended.take());
            let result = match ended {
                Some(Ended::Returned(result)) => Some(result),
                _ => None,
            };
            let result = self.verdict(place, id, result);
            self.close_block(place, task, result);
            return Step::Moved;
        }
        let Some(top) = task.frames.last_mut() else { return Step::Waits };
        let scopes = &self.processes[place].scopes;
        let deadline = scopes.cancelled(top.scope).map(|state| state.deadline);
        if !scopes.due(top.scope) || top.told == deadline {
            return Step::Waits;
        }
        let first = top.told.is_none();
        top.told = deadline;
        if first {
            if let Some(room) = self.room_mut(place, id) {
                room.core.cancel();
            }
            self.pump(place, id);
        } else {
            // A repeat with less grace is handed down too.
            self.cancel_members(place, id);
        }
        Step::Moved
    }

    fn step_context(&mut self, place: usize, task: &mut Task, end: usize, id: DialogId) -> Step {
        let now = self.now;
        let Some(top) = task.frames.last_mut() else { return Step::Waits };
        let scope = top.scope;
        if let Some(outcome) = self.outcome(end, id) {
            let ended = task.frames.last_mut().and_then(|top| top.ended.take());
            let by = self.processes[place].scopes.cancelled(scope).map(|state| state.by.clone());
            let result = match (ended, by) {
                (Some(Ended::Returned(Err(own))), _) => {
                    self.hide_outcome(&outcome, "the local error is raised");
                    Err(own)
                }
                (_, Some(by)) => {
                    self.hide_outcome(&outcome, "its opener was cancelled");
                    Err(self.cancelled_report(place, &by))
                }
                (_, None) => self.judge(place, end, id, outcome),
            };
            self.release(end, id);
            self.close_block(place, task, result);
            return Step::Moved;
        }
        let scopes = &self.processes[place].scopes;
        let deadline = scopes.cancelled(scope).map(|state| state.deadline);
        if !scopes.due(scope) || top.told == deadline {
            return Step::Waits;
        }
        top.told = deadline;
        let by = scopes.cancelled(scope).map(|state| state.by.clone());
        let share = scopes.share(scope, now);
        let by = by.unwrap_or_else(|| self.by(place, Cause::ScopeEnding));
        self.cancel_dialog_within(end, id, by, share);
        Step::Moved
    }

    /// What the far task's outcome is to its opener: the one who cancelled it absorbs that (P-C4).
    pub(super) fn judge(
        &mut self,
        place: usize,
        end: usize,
        id: DialogId,
        outcome: Outcome,
    ) -> Res {
        let me = self.processes[place].id.uuid;
        match outcome {
            Outcome::Returned(_) => Ok(()),
            Outcome::Failed { report, .. } => Err(self.arrived(place, report)),
            Outcome::Cancelled(by) => {
                if by.canceller.uuid == me && self.talk(end, id).asked_by_us {
                    return Ok(());
                }
                Err(self.cancelled_report(place, &by))
            }
            Outcome::Refused(refusal, _) => {
                Err(self.fresh_failure(place, Code::Refused, &format!("{refusal:?}")))
            }
            Outcome::Lost(cause) => {
                Err(self.fresh_failure(place, Code::Lost, &format!("{cause:?}")))
            }
            Outcome::Died(_) => Err(self.fresh_failure(place, Code::Died, "it died")),
        }
    }

    fn hide_outcome(&mut self, outcome: &Outcome, why: &'static str) {
        if let Outcome::Failed { report, .. } = outcome {
            self.ledger.hide(report, why);
        }
    }

    /// A block is over: its scope closes, and the body around it goes on with what it came to.
    fn close_block(&mut self, place: usize, task: &mut Task, result: Res) {
        let Some(frame) = task.frames.pop() else { return };
        self.note(|_| format!("p{place} {:?} closes: {}", frame.scope, brief(&result)));
        self.processes[place].scopes.close(frame.scope);
        if let Some(below) = task.frames.last_mut() {
            below.wait = Wait::Nothing;
        }
        self.take_result(place, task, result);
    }

    /// A body gets a result: errors end it, unless it takes them lightly.
    pub(super) fn take_result(&mut self, place: usize, task: &mut Task, result: Res) {
        let Err(report) = result else { return };
        if self.dice.one_in(self.shape.absorbing) {
            self.ledger.hide(&report, "it was taken lightly");
        } else {
            self.body_ended(place, task, Ended::Returned(Err(report)));
        }
    }

    /// The task is gone, and only then is said what it came to.
    fn task_over(&mut self, place: usize, task: &mut Task) {
        let Some(frame) = task.frames.pop() else { return };
        let scope = frame.scope;
        let asked = self.processes[place].scopes.cancelled(scope).map(|state| state.by.clone());
        self.processes[place].scopes.close(scope);
        let ended = frame.ended.unwrap_or(Ended::Dropped);
        match task.role {
            Role::Member { room, member } => {
                let end = match (ended, asked.is_some()) {
                    (Ended::Returned(Err(report)), true) if is_echo(&report) => {
                        MemberEnd::Cancelled
                    }
                    (Ended::Returned(Err(report)), _) => self.put_error(place, room, report),
                    (Ended::Returned(Ok(())), false) => MemberEnd::Fine,
                    _ => MemberEnd::Cancelled,
                };
                self.member_ended(place, room, member, end);
            }
            Role::Serve { end, id, .. } => {
                self.processes[place].serving.remove(&(end, id));
                let terminal = self.terminal(ended, asked);
                self.finish_dialog(place, end, id, terminal);
            }
            Role::Main => {
                self.note(|_| format!("p{place}: the main task has ended"));
                let process = &mut self.processes[place];
                if process.child.is_none() {
                    let verdict = match (ended, &asked) {
                        (Ended::Returned(Ok(())), None) => Some(Ok(())),
                        (Ended::Returned(Err(report)), _) => Some(Err(report)),
                        _ => None,
                    };
                    process.verdict = verdict;
                } else {
                    let terminal = self.terminal(ended, asked);
                    self.processes[place].terminal = Some(terminal);
                }
                let now = self.now;
                self.processes[place].shutdown.handle_main_ended(now);
            }
        }
    }

    /// What a task's end is on the wire (P-C2).
    fn terminal(&mut self, ended: Ended, asked: Option<Cancelled>) -> Terminal {
        match (ended, asked) {
            (Ended::Returned(Ok(())), None) => {
                let size = if self.dice.one_in(4) { self.dice.below(self.shape.value) } else { 4 };
                Terminal::Return(vec![9; size])
            }
            (Ended::Returned(Err(report)), Some(by)) if is_echo(&report) => Terminal::Cancelled(by),
            (Ended::Returned(Err(report)), _) => Terminal::Failed { report, payload: Vec::new() },
            (_, Some(by)) => Terminal::Cancelled(by),
            (Ended::Dropped, None) => Terminal::Cancelled(Cancelled {
                canceller: hatchery_proto::ActorId::default(),
                cause: Cause::ScopeEnding,
            }),
        }
    }

    pub(super) fn finish_dialog(
        &mut self,
        place: usize,
        end: usize,
        id: DialogId,
        terminal: Terminal,
    ) {
        if self.options.planted == Some(Planted::SwallowedTerminal) && self.dice.one_in(20) {
            return;
        }
        if let Terminal::Failed { report, .. } = &terminal {
            let link = self.ends[end].core.callee(id).is_some();
            if link {
                self.ledger.sent(report, end, id);
            } else {
                self.ledger.hide(report, "its link was gone");
            }
        }
        self.note(|_| format!("p{place} finishes {id} of link {}.{}", end / 2, end % 2));
        let talk = self.talk(end, id);
        talk.finished = true;
        talk.discarded = true;
        if let Some(callee) = self.ends[end].core.callee(id) {
            callee.finish(terminal);
        }
        self.take_events(end);
    }

    /// Opens a scope in the innermost body.
    pub(super) fn open_block(
        &mut self,
        place: usize,
        task: &mut Task,
        kind: ScopeKind,
        block: impl FnOnce(&mut Self, ScopeId) -> Block,
    ) {
        let parent = task.frames.last().map(|top| top.scope);
        let scope = self.processes[place].scopes.open(parent, kind);
        let block = block(self, scope);
        if let Some(top) = task.frames.last_mut() {
            top.wait = Wait::Inner;
        }
        self.note(|_| format!("p{place} {scope:?} opens as {block:?}"));
        let left = self.dice.below(self.shape.steps) + 1;
        task.frames.push(Frame::new(scope, block, left));
    }

    /// Deadlines of tasks that serve a dialog (P-C8).
    pub(super) fn tell_tasks(&mut self, place: usize) {
        let now = self.now;
        let by = self.by(place, Cause::Deadline);
        let process = &mut self.processes[place];
        for task in process.tasks.values_mut() {
            if task.deadline.is_some_and(|at| at <= now) {
                task.deadline = None;
                if let Some(bottom) = task.frames.first() {
                    let grace = Duration::from_millis(500);
                    process.scopes.cancel(bottom.scope, now, by.clone(), grace);
                }
            }
        }
    }
}

/// What came of stepping a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Moved,
    Waits,
    Over,
}

/// Whether an error is nothing but a cancel: one that tells of failures too is more.
pub(super) fn is_echo(report: &Report) -> bool {
    report.code == Code::Cancelled && report.also.is_empty()
}

fn brief(result: &Res) -> String {
    match result {
        Ok(()) => "fine".to_owned(),
        Err(report) => format!("{:?} {}", report.code, report.message),
    }
}
