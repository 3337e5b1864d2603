//! What tasks do: any of the things that programs do, at random, until they have done enough. From
//! when all is healed they do nothing new and come to their ends.

use hatchery_proto::actor::scopes::ScopeKind;
use hatchery_proto::nursery::MemberKind;
use hatchery_proto::{Cause, Code, DialogId, Kind, Recv, SendError};

use super::World;
use super::rooms::Member;
use super::shape::Fault;
use super::task::{Block, Ended, Frame, Role, Step, Task, Wait};

/// What a body may do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Sleep,
    Call,
    Context,
    Nursery,
    Shield,
    Block,
    Fail,
    Daemon,
    OneShot,
    Task,
    CancelMembers,
    CancelChild,
    Send,
    Recv,
    Stop,
    StopReading,
    CancelDialog,
    Start,
    End,
}

impl World {
    /// The innermost body goes on, if what it waits for has come.
    pub(super) fn step_body(&mut self, place: usize, task: &mut Task) -> Step {
        let Some(top) = task.frames.last() else { return Step::Over };
        let wait = top.wait.clone();
        match wait {
            Wait::Nothing => {
                let op = self.choose(place, task);
                self.perform(place, task, op);
                return Step::Moved;
            }
            Wait::Until(at) if at <= self.now => {}
            Wait::Until(_) | Wait::Forever | Wait::Inner => return Step::Waits,
            Wait::Outcome(end, id) => {
                let Some(outcome) = self.outcome(end, id) else { return Step::Waits };
                let result = self.judge(place, end, id, outcome);
                self.release(end, id);
                go_on(task);
                self.take_result(place, task, result);
                return Step::Moved;
            }
            Wait::First(end, id) => return self.wait_first(place, task, end, id),
            Wait::Up(child) => {
                let child = &self.children[child];
                match &child.over {
                    Some(over) if over.never_up || !child.up => {
                        let report = self.fresh_failure(place, Code::Spawn, "never up");
                        go_on(task);
                        self.take_result(place, task, Err(report));
                        return Step::Moved;
                    }
                    Some(_) => {}
                    None if child.up => {}
                    None => return Step::Waits,
                }
            }
            Wait::Over(child) if self.children[child].over.is_some() => {}
            Wait::Over(_) => return Step::Waits,
            Wait::Recv(end, id) => return self.wait_recv(place, task, end, id),
            Wait::Send(end, id, size) => return self.wait_send(place, task, end, id, size),
        }
        go_on(task);
        Step::Moved
    }

    fn wait_first(&mut self, place: usize, task: &mut Task, end: usize, id: DialogId) -> Step {
        let first = self.ends[end].core.caller(id).and_then(|mut caller| caller.take_started());
        if let Some(first) = first {
            if first.iter().any(|byte| *byte != 3) {
                self.violate("P-F3", format!("the first value of {id} came out otherwise"));
            }
            self.talk(end, id).started = true;
            go_on(task);
            self.open_block(place, task, ScopeKind::Body, |world, scope| {
                world.processes[place].scopes.set_holding(scope, true);
                Block::Context(end, id)
            });
            return Step::Moved;
        }
        let Some(outcome) = self.outcome(end, id) else { return Step::Waits };
        let result = self.judge(place, end, id, outcome);
        self.release(end, id);
        go_on(task);
        self.take_result(place, task, result);
        Step::Moved
    }

    fn wait_recv(&mut self, place: usize, task: &mut Task, end: usize, id: DialogId) -> Step {
        let mut value = std::mem::take(&mut self.buffer);
        let opener = self.talk(end, id).opener;
        let core = &mut self.ends[end].core;
        let got = if opener {
            core.caller(id).map(|mut view| view.recv(&mut value))
        } else {
            core.callee(id).map(|mut view| view.recv(&mut value))
        };
        let step = match got {
            Some(Recv::Value) => {
                self.check_value(end, id, &value);
                go_on(task);
                Step::Moved
            }
            // Who has waited long enough gives up; nothing is lost by that.
            Some(Recv::Empty) if self.winding() => {
                go_on(task);
                Step::Moved
            }
            Some(Recv::Empty) => Step::Waits,
            Some(Recv::End) => {
                self.check_graceful(end, id);
                go_on(task);
                Step::Moved
            }
            Some(Recv::Overrun | Recv::Ended) | None => {
                go_on(task);
                self.stream_ended(place, task, end, id);
                Step::Moved
            }
        };
        self.buffer = value;
        step
    }

    fn wait_send(
        &mut self,
        place: usize,
        task: &mut Task,
        end: usize,
        id: DialogId,
        size: usize,
    ) -> Step {
        let number = self.talk(end, id).sent;
        let opener = self.talk(end, id).opener;
        let mut value = number.to_le_bytes().to_vec();
        value.resize(size.max(4), number as u8);
        let core = &mut self.ends[end].core;
        let sent = if opener {
            core.caller(id).map(|mut view| view.send(&value))
        } else {
            core.callee(id).map(|mut view| view.send(&value))
        };
        match sent {
            Some(Ok(())) => self.check_sent(end, id, value.len()),
            Some(Err(SendError::Full)) if !self.winding() => return Step::Waits,
            Some(Err(SendError::Ended)) | None => {
                go_on(task);
                self.stream_ended(place, task, end, id);
                return Step::Moved;
            }
            Some(Err(_)) => {}
        }
        go_on(task);
        Step::Moved
    }

    /// A stream operation ran into the end of its dialog: the opener sees the outcome, the callee
    /// that its opener is gone.
    fn stream_ended(&mut self, place: usize, task: &mut Task, end: usize, id: DialogId) {
        if self.talk(end, id).opener {
            // The block's end will judge; the body merely ends.
            self.body_ended(place, task, Ended::Returned(Ok(())));
        } else if self.ends[end].core.callee(id).is_none() {
            let report = self.fresh_failure(place, Code::Lost, "the opener is gone");
            self.ledger.hide(&report, "nobody is left to be told");
            self.body_ended(place, task, Ended::Returned(Err(report)));
        }
    }

    pub(super) fn winding(&self) -> bool {
        self.healed
    }

    fn choose(&mut self, place: usize, task: &mut Task) -> Op {
        let depth = task.frames.len();
        let Some(top) = task.frames.last_mut() else { return Op::End };
        let block = top.block;
        if let (Role::Serve { end, id, kind: Kind::Context }, 1) = (task.role, depth)
            && !self.ends[end].talks.get(&id).is_some_and(|talk| talk.started)
        {
            // Now and then one returns without having started.
            let early = self.dice.one_in(self.shape.failing.saturating_mul(4));
            return if early { Op::End } else { Op::Start };
        }
        if top.left == 0 || self.healed {
            let told = std::mem::replace(&mut top.told_members, true);
            // Who waits for daemons for ever has to be sure of being cancelled itself.
            let joins = self.shape.interrupt.is_some() && self.dice.one_in(2);
            return match block {
                Block::Nursery(room) if !told && !joins && self.has_actors(place, room) => {
                    Op::CancelMembers
                }
                _ => Op::End,
            };
        }
        top.left -= 1;
        if self.dice.one_in(self.shape.failing) {
            return Op::Fail;
        }
        if self.dice.one_in(self.shape.cancelling) {
            match block {
                Block::Nursery(_) if self.dice.one_in(2) => return Op::CancelChild,
                Block::Nursery(_) => return Op::CancelMembers,
                Block::Context(..) => return Op::CancelDialog,
                _ => {}
            }
        }
        self.choose_work(place, task, depth, block)
    }

    fn choose_work(&mut self, place: usize, task: &Task, depth: usize, block: Block) -> Op {
        let nest = depth < 5;
        let level = self.processes[place].level;
        let children = level < self.shape.depth
            && self.processes.len() < self.shape.processes
            && self.living_children(place) < self.shape.fan_out;
        let weight = |on: bool, weight: u32| if on { weight } else { 0 };
        let nursery = matches!(block, Block::Nursery(_));
        let streaming = self.stream_of(task).is_some();
        const OPS: [Op; 13] = [
            Op::Sleep,
            Op::Call,
            Op::Context,
            Op::Nursery,
            Op::Shield,
            Op::Block,
            Op::Daemon,
            Op::OneShot,
            Op::Task,
            Op::Send,
            Op::Recv,
            Op::Stop,
            Op::StopReading,
        ];
        let weights = [
            4,
            6,
            weight(nest, 6),
            weight(nest, if depth == 1 { 12 } else { 2 }),
            weight(nest && self.shape.shields, 2),
            weight(self.shape.has(Fault::Block), 1),
            weight(nursery && children, 12),
            weight(nursery && children, 6),
            weight(nursery, 4),
            weight(streaming, 16),
            weight(streaming, 14),
            weight(streaming, 1),
            weight(streaming, 1),
        ];
        OPS[self.dice.weighed(&weights)]
    }

    fn living_children(&self, place: usize) -> usize {
        let children = self.processes[place].children.iter();
        children.filter(|child| self.children[**child].over.is_none()).count()
    }

    fn has_actors(&mut self, place: usize, room: u64) -> bool {
        self.room_mut(place, room).is_some_and(|room| {
            room.members.values().any(|member| matches!(member, Member::Actor(_)))
        })
    }

    /// The stream that the innermost body holds.
    fn stream_of(&self, task: &Task) -> Option<(usize, DialogId)> {
        match (task.frames.last()?.block, task.role) {
            (Block::Context(end, id), _) => Some((end, id)),
            (Block::Task, Role::Serve { end, id, kind: Kind::Context }) => Some((end, id)),
            _ => None,
        }
    }

    fn perform(&mut self, place: usize, task: &mut Task, op: Op) {
        self.note(|_| format!("p{place} {:?}: {op:?}", task.frames.last().map(|top| top.scope)));
        match op {
            Op::Sleep => {
                let until = self.now + self.dice.millis(0, 300);
                wait(task, Wait::Until(until));
            }
            Op::Call | Op::Context => self.open_something(place, task, op),
            Op::Nursery => self.open_block(place, task, ScopeKind::Body, |world, scope| {
                Block::Nursery(world.open_room(place, scope))
            }),
            Op::Shield => self.open_block(place, task, ScopeKind::Shield, |_, _| Block::Shield),
            Op::Block => {
                let process = &mut self.processes[place];
                process.blocked = self.now + self.dice.millis(1, 400);
                process.stall();
                let until = process.blocked;
                self.wake(place, until);
            }
            Op::Fail => {
                let report = self.fresh_failure(place, Code::Error, "as programs do");
                self.body_ended(place, task, Ended::Returned(Err(report)));
            }
            Op::Daemon | Op::OneShot => self.start_child(place, task, op == Op::Daemon),
            Op::Task => self.start_task(place, task),
            Op::CancelMembers => {
                if let Some(Block::Nursery(room)) = task.frames.last().map(|top| top.block) {
                    self.ledger.cancels += 1;
                    if let Some(room) = self.room_mut(place, room) {
                        room.core.cancel_members();
                    }
                    self.pump(place, room);
                }
            }
            Op::CancelChild => {
                let children = self.reachable(place);
                if let Some(child) = self.dice.pick(&children) {
                    let by = self.by(place, Cause::Asked);
                    self.cancel_child(child, by, self.shape.teardown);
                    wait(task, Wait::Over(child));
                }
            }
            Op::End => self.body_ended(place, task, Ended::Returned(Ok(()))),
            _ => self.stream(place, task, op),
        }
    }

    fn stream(&mut self, place: usize, task: &mut Task, op: Op) {
        let Some((end, id)) = self.stream_of(task) else { return };
        let talk = self.talk(end, id);
        let (opener, done, discarded) = (talk.opener, talk.stopped, talk.discarded);
        match op {
            Op::Start => {
                let size = if self.dice.one_in(3) { self.dice.below(self.shape.value) } else { 2 };
                if let Some(mut callee) = self.ends[end].core.callee(id) {
                    let _ = callee.started(&vec![3; size]);
                }
                self.talk(end, id).started = true;
            }
            Op::Send if !done => {
                let size = if self.dice.one_in(3) { self.dice.below(self.shape.value) } else { 4 };
                wait(task, Wait::Send(end, id, size));
            }
            Op::Recv if !discarded => wait(task, Wait::Recv(end, id)),
            Op::Stop => {
                let core = &mut self.ends[end].core;
                let _ = if opener {
                    core.caller(id).map(|mut view| view.stop())
                } else {
                    core.callee(id).map(|mut view| view.stop())
                };
                self.talk(end, id).stopped = true;
            }
            Op::StopReading => {
                let core = &mut self.ends[end].core;
                if opener {
                    let _ = core.caller(id).map(|mut view| view.stop_reading());
                } else {
                    let _ = core.callee(id).map(|mut view| view.stop_reading());
                }
                self.talk(end, id).discarded = true;
            }
            Op::CancelDialog => {
                self.ledger.cancels += 1;
                let by = self.by(place, Cause::Asked);
                let grace = self.dice.millis(0, 2000);
                let grace = if self.shape.calm { self.shape.teardown } else { grace };
                self.cancel_dialog(end, id, by, grace);
            }
            _ => {}
        }
    }

    /// Calls a child, or the parent.
    fn open_something(&mut self, place: usize, task: &mut Task, op: Op) {
        let mut ends: Vec<usize> =
            self.reachable(place).iter().filter_map(|child| self.children[*child].end).collect();
        ends.extend(self.processes[place].up);
        let Some(end) = self.dice.pick(&ends) else { return };
        let kind = if op == Op::Call { Kind::Call } else { Kind::Context };
        let Some(id) = self.open_dialog(end, kind) else { return };
        self.note(|_| format!("p{place} opens {id} of link {}.{} ({kind:?})", end / 2, end % 2));
        let found = if op == Op::Call { Wait::Outcome(end, id) } else { Wait::First(end, id) };
        wait(task, found);
    }

    fn start_child(&mut self, place: usize, task: &mut Task, daemon: bool) {
        let Some(Block::Nursery(room)) = task.frames.last().map(|top| top.block) else { return };
        let kind = MemberKind::Actor { daemon };
        let Some(member) = self.add_member(place, room, kind) else { return };
        let child = self.request_child(place, room, member, daemon);
        if let Some(room) = self.room_mut(place, room) {
            room.members.insert(member, Member::Actor(child));
            if room.core.is_cancelled() {
                let scope = room.scope;
                let (by, budget) = self.orders(place, scope);
                self.cancel_child(child, by, budget);
            }
        }
        wait(task, Wait::Up(child));
    }

    fn start_task(&mut self, place: usize, task: &Task) {
        let Some(Block::Nursery(room)) = task.frames.last().map(|top| top.block) else { return };
        let Some(member) = self.add_member(place, room, MemberKind::Task) else { return };
        let scope = self.processes[place].scopes.open(None, ScopeKind::Body);
        if let Some(room) = self.room_mut(place, room) {
            room.members.insert(member, Member::Task(scope));
        }
        let steps = self.dice.below(self.shape.steps) + 1;
        self.add_task(place, Task::new(Role::Member { room, member }, scope, steps));
    }
}

fn wait(task: &mut Task, wait: Wait) {
    if let Some(Frame { wait: slot, .. }) = task.frames.last_mut() {
        *slot = wait;
    }
}

fn go_on(task: &mut Task) {
    wait(task, Wait::Nothing);
}
