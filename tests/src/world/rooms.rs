//! Nurseries: what the core's set says is done to the members, and their ends are told to it.

use std::collections::BTreeMap;

use hatchery_proto::actor::scopes::ScopeId;
use hatchery_proto::nursery::{FailureId, MemberEnd, MemberId, MemberKind, Nursery, NurseryStep};
use hatchery_proto::{Also, Cancelled, Cause, Report};

use super::task::{Ended, Res, is_echo};
use super::{Planted, World};

/// An open nursery.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) core: Nursery,
    pub(super) scope: ScopeId,
    pub(super) members: BTreeMap<MemberId, Member>,
    errors: BTreeMap<FailureId, Box<Report>>,
    pub(super) dones: u32,
}

/// A member.
#[derive(Clone, Copy, Debug)]
pub(super) enum Member {
    Task(ScopeId),
    Actor(usize),
}

impl World {
    pub(super) fn open_room(&mut self, place: usize, scope: ScopeId) -> u64 {
        let process = &mut self.processes[place];
        let id = process.next;
        process.next += 1;
        let room = Room {
            core: Nursery::new(),
            scope,
            members: BTreeMap::new(),
            errors: BTreeMap::new(),
            dones: 0,
        };
        process.rooms.insert(id, room);
        id
    }

    /// Takes a member in, unless the nursery is closed.
    pub(super) fn add_member(
        &mut self,
        place: usize,
        id: u64,
        kind: MemberKind,
    ) -> Option<MemberId> {
        let process = &mut self.processes[place];
        let room = process.rooms.get_mut(&id)?;
        let member = room.core.add(kind).ok()?;
        process.scopes.set_holding(room.scope, true);
        Some(member)
    }

    pub(super) fn room_mut(&mut self, place: usize, id: u64) -> Option<&mut Room> {
        self.processes[place].rooms.get_mut(&id)
    }

    /// Keeps a failure for the verdict; gives what the core is told.
    pub(super) fn put_error(&mut self, place: usize, id: u64, report: Box<Report>) -> MemberEnd {
        let key = report.id;
        match self.processes[place].rooms.get_mut(&id) {
            Some(room) => {
                room.errors.insert(key, report);
            }
            None => self.ledger.hide(&report, "its nursery was gone"),
        }
        MemberEnd::Failed(key)
    }

    pub(super) fn member_ended(&mut self, place: usize, id: u64, member: MemberId, end: MemberEnd) {
        let swallow = self.options.planted == Some(Planted::SwallowedFailure);
        let end = if swallow && end != MemberEnd::Cancelled { MemberEnd::Fine } else { end };
        self.note(|_| format!("p{place} nursery {id}: {member:?} ended: {end:?}"));
        let Some(room) = self.room_mut(place, id) else { return };
        room.core.handle_member_ended(member, end);
        room.members.remove(&member);
        self.pump(place, id);
    }

    pub(super) fn body_of_room_ended(&mut self, place: usize, id: u64, ended: &Ended) {
        let Some(scope) = self.room_mut(place, id).map(|room| room.scope) else { return };
        let cancelled = self.processes[place].scopes.cancelled(scope).is_some();
        let end = match ended {
            Ended::Dropped => MemberEnd::Cancelled,
            Ended::Returned(Ok(())) => MemberEnd::Fine,
            Ended::Returned(Err(report)) => {
                let echo = cancelled && is_echo(report);
                let kept = self.put_error(place, id, report.clone());
                if echo { MemberEnd::Cancelled } else { kept }
            }
        };
        if let Some(room) = self.room_mut(place, id) {
            room.core.handle_body_ended(end);
            if cancelled {
                room.core.cancel();
            }
        }
        self.pump(place, id);
    }

    /// Does what the core says.
    pub(super) fn pump(&mut self, place: usize, id: u64) {
        while let Some(room) = self.room_mut(place, id) {
            let scope = room.scope;
            match room.core.poll_step() {
                None => return,
                Some(NurseryStep::DropBody) => {
                    let by = self.by(place, Cause::SiblingFailed);
                    let (now, grace) = (self.now, self.shape.teardown);
                    self.processes[place].scopes.cancel(scope, now, by, grace);
                }
                Some(NurseryStep::CancelMembers) => self.cancel_members(place, id),
                // None waits in these worlds.
                Some(NurseryStep::EndWaiting) => {
                    self.violate("nursery", format!("nursery {id} of p{place} ends what waits"));
                }
                Some(NurseryStep::Done) => {
                    room.dones += 1;
                    let (dones, left) = (room.dones, room.members.len());
                    if dones != 1 || left > 0 {
                        self.violate(
                            "nursery",
                            format!("nursery {id} of p{place} is done {dones} times, {left} left"),
                        );
                    }
                }
            }
        }
    }

    /// Why the members are to end, and how long they may take.
    pub(super) fn orders(&self, place: usize, scope: ScopeId) -> (Cancelled, std::time::Duration) {
        let scopes = &self.processes[place].scopes;
        match scopes.cancelled(scope) {
            Some(state) => (state.by.clone(), scopes.share(scope, self.now)),
            None => (self.by(place, Cause::ScopeEnding), self.shape.teardown),
        }
    }

    pub(super) fn cancel_members(&mut self, place: usize, id: u64) {
        let Some(room) = self.room_mut(place, id) else { return };
        let scope = room.scope;
        let members: Vec<Member> = room.members.values().copied().collect();
        let (by, budget) = self.orders(place, scope);
        let now = self.now;
        for member in members {
            match member {
                Member::Task(scope) => {
                    self.processes[place].scopes.cancel(scope, now, by.clone(), budget);
                }
                Member::Actor(child) => self.cancel_child(child, by.clone(), budget),
            }
        }
    }

    /// What the block comes to, once it is done.
    pub(super) fn verdict(&mut self, place: usize, id: u64, result: Option<Res>) -> Res {
        let Some(mut room) = self.processes[place].rooms.remove(&id) else { return Ok(()) };
        let verdict = room.core.verdict();
        let cancelled =
            self.processes[place].scopes.cancelled(room.scope).map(|state| state.by.clone());
        let cause = verdict.cause.and_then(|key| room.errors.remove(&key));
        let mut also = Vec::new();
        for key in &verdict.also {
            if let Some(other) = room.errors.remove(key) {
                also.push(short(&other));
                also.extend(other.also.iter().cloned());
            }
        }
        let mut end = match (result, cause) {
            (_, Some(cause)) => Err(cause),
            (Some(Err(own)), None) => Err(own),
            (Some(Ok(())), None) => match cancelled {
                None => Ok(()),
                Some(by) => Err(self.cancelled_report(place, &by)),
            },
            (None, None) => {
                let by = cancelled.unwrap_or_else(|| self.by(place, Cause::ScopeEnding));
                Err(self.cancelled_report(place, &by))
            }
        };
        if let Err(report) = &mut end {
            report.also.extend(also);
        }
        end
    }
}

/// A failure in the list of another's.
fn short(report: &Report) -> Also {
    Also {
        origin: report.origin.clone(),
        type_name: report.type_name.clone(),
        message: report.message.clone(),
    }
}
