//! What befalls a world from outside, and that it is healed in the end.

use std::time::Duration;

use hatchery_proto::{Cancelled, Cause, DialogId};

use super::process::{Boot, Life, Signal};
use super::shape::Fault;
use super::{What, World};

/// What is wished for in a process from outside of its tasks, as by another task of it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wish {
    CancelChild(usize, Duration),
    CancelDialog(usize, DialogId, Duration),
    CancelNursery(u64),
    /// The whole actor, root alone.
    End(Duration, i32),
}

impl World {
    pub(super) fn plan_faults(&mut self) {
        let heal = self.shape.heal;
        self.at(self.now + heal, What::Heal);
        for _ in 0..self.shape.blows {
            let micros = u64::try_from(heal.as_micros()).unwrap_or(0);
            let after = self.dice.micros(0, micros.saturating_sub(1));
            self.at(self.now + after, What::Fault);
        }
        if let Some(after) = self.shape.interrupt {
            self.at(self.now + after, What::Interrupt);
            if let Some(more) = self.shape.twice {
                self.at(self.now + after + more, What::Interrupt);
            }
        }
    }

    /// Somebody signals the root: gracefully first, then with no time left.
    pub(super) fn interrupt(&mut self) {
        if self.is_dead(0) {
            return;
        }
        let first = self.processes[0].shutdown.asked().is_none();
        let grace = if first { self.shape.teardown } else { Duration::ZERO };
        self.processes[0].wishes.push(Wish::End(grace, 15));
        self.wake(0, self.now);
    }

    /// One blow of one of the kinds that this world knows.
    pub(super) fn befall(&mut self) {
        let Some(fault) = self.dice.pick(&self.shape.faults) else { return };
        if self.strike(fault) {
            self.met(fault);
        }
    }

    /// A fault has taken effect.
    pub(super) fn met(&mut self, fault: Fault) {
        self.ledger.faults[fault as usize] += 1;
    }

    /// Whether there was somebody to be struck.
    fn strike(&mut self, fault: Fault) -> bool {
        let living: Vec<usize> =
            (0..self.processes.len()).filter(|place| !self.is_dead(*place)).collect();
        let below: Vec<usize> = living.iter().copied().filter(|place| *place > 0).collect();
        match fault {
            Fault::Cancel => return self.cancel_something(&living),
            Fault::Kill => {
                // The root too, now and then.
                let victims = if self.dice.one_in(6) { &living } else { &below };
                let Some(place) = self.dice.pick(victims) else { return false };
                self.note(|_| format!("SIGKILL hits p{place}"));
                self.signal(place, Signal::Kill);
            }
            Fault::Stop => {
                let Some(place) = self.dice.pick(&below) else { return false };
                self.signal(place, Signal::Stop);
                if self.dice.one_in(2) {
                    let after = self.dice.millis(1, 1500);
                    self.at(self.now + after, What::Signal(place, Signal::Continue));
                }
            }
            Fault::Freeze => {
                let Some(place) = self.dice.pick(&below) else { return false };
                self.processes[place].frozen = true;
                self.processes[place].stall();
                self.note(|_| format!("p{place} freezes"));
            }
            Fault::Block => {
                let Some(place) = self.dice.pick(&living) else { return false };
                let until = self.now + self.dice.millis(1, 3000);
                let process = &mut self.processes[place];
                process.blocked = process.blocked.max(until);
                process.stall();
                self.note(|_| format!("p{place} does nothing for a while"));
                self.wake(place, until);
            }
            Fault::IgnoreTerm => {
                let Some(place) = self.dice.pick(&below) else { return false };
                self.processes[place].ignores_term = true;
            }
            Fault::HalfClose
            | Fault::FreezeLink
            | Fault::Swizzle
            | Fault::SlowReader
            | Fault::Leak => return self.hurt_link(fault),
            // They act where children start, and where bytes are written.
            Fault::SpawnFails | Fault::BootFails | Fault::Delay => return false,
        }
        true
    }

    fn hurt_link(&mut self, fault: Fault) -> bool {
        let open: Vec<usize> = (0..self.wires.len())
            .filter(|wire| !self.ends[2 * wire].closed && !self.ends[2 * wire + 1].closed)
            .collect();
        let count = if fault == Fault::Swizzle { open.len() } else { 1 };
        for _ in 0..count {
            let Some(wire) = self.dice.pick(&open) else { return false };
            let side = self.dice.below(2);
            for end in [2 * wire, 2 * wire + 1] {
                let process = self.ends[end].process;
                self.processes[process].disturbed = true;
            }
            self.note(|_| format!("link {wire}: {fault:?} at side {side}"));
            let way = &mut self.wires[wire].ways[side];
            match fault {
                Fault::HalfClose => {
                    way.shut = true;
                    let reader = self.ends[2 * wire + 1 - side].process;
                    self.wake(reader, self.now);
                }
                Fault::Leak => way.leaked = true,
                Fault::SlowReader => self.ends[2 * wire + side].slow = true,
                _ => {
                    way.frozen = true;
                    if fault == Fault::Swizzle || self.dice.one_in(2) {
                        let after = self.dice.millis(1, 1500);
                        self.at(self.now + after, What::Thaw(wire, side));
                    }
                }
            }
        }
        // It takes two links at least to stop and go in another order.
        count > usize::from(fault == Fault::Swizzle)
    }

    pub(super) fn thaw(&mut self, wire: usize, side: usize) {
        let way = &mut self.wires[wire].ways[side];
        way.frozen = false;
        let now = self.now;
        self.wake(self.ends[2 * wire + side].process, now);
        self.wake(self.ends[2 * wire + 1 - side].process, now);
    }

    fn cancel_something(&mut self, living: &[usize]) -> bool {
        let Some(place) = self.dice.pick(living) else { return false };
        let grace = match self.dice.below(3) {
            0 => Duration::ZERO,
            1 => self.dice.millis(0, 200),
            _ => self.dice.millis(200, 4600),
        };
        // In a calm world there is time enough for everyone below to end well.
        let grace = if self.shape.calm { self.shape.teardown } else { grace };
        let children = self.reachable(place);
        let rooms: Vec<u64> = self.processes[place].rooms.keys().copied().collect();
        let mut dialogs = Vec::new();
        for end in &self.processes[place].ends {
            for (id, talk) in &self.ends[*end].talks {
                if talk.opener && !talk.released && talk.ends == 0 && !id.is_actor() {
                    dialogs.push((*end, *id));
                }
            }
        }
        let wish = match self.dice.below(3) {
            0 => self.dice.pick(&children).map(|child| Wish::CancelChild(child, grace)),
            1 => self.dice.pick(&dialogs).map(|(end, id)| Wish::CancelDialog(end, id, grace)),
            _ => self.dice.pick(&rooms).map(Wish::CancelNursery),
        };
        let Some(wish) = wish else { return false };
        self.processes[place].wishes.push(wish);
        self.wake(place, self.now);
        true
    }

    pub(super) fn grant_wishes(&mut self, place: usize) -> bool {
        let wishes = std::mem::take(&mut self.processes[place].wishes);
        let moved = !wishes.is_empty();
        for wish in wishes {
            self.note(|_| format!("p{place}: {wish:?}"));
            let now = self.now;
            match wish {
                Wish::CancelChild(child, budget) => {
                    let by = self.by(place, Cause::Asked);
                    self.cancel_child(child, by, budget);
                }
                Wish::CancelDialog(end, id, grace) => {
                    self.ledger.cancels += 1;
                    let by = self.by(place, Cause::Asked);
                    self.cancel_dialog(end, id, by, grace);
                }
                Wish::CancelNursery(room) => {
                    self.ledger.cancels += 1;
                    if let Some(room) = self.room_mut(place, room) {
                        room.core.cancel_members();
                    }
                    self.pump(place, room);
                }
                Wish::End(grace, number) => {
                    self.ledger.cancels += 1;
                    let canceller = self.processes[place].id.clone();
                    let by = Cancelled { canceller, cause: Cause::Signal(number) };
                    let process = &mut self.processes[place];
                    let owed = now + grace;
                    process.owed = Some(process.owed.map_or(owed, |known| known.min(owed)));
                    process.shutdown.cancel(now, by, grace);
                }
            }
        }
        moved
    }

    /// All that was stopped goes on, and nothing more befalls anyone.
    pub(super) fn heal(&mut self) {
        self.healed = true;
        self.note(|_| "all is healed".to_owned());
        for place in 0..self.processes.len() {
            self.unfreeze(place);
            if self.processes[place].stopped {
                self.signal(place, Signal::Continue);
            }
            let process = &mut self.processes[place];
            process.blocked = process.blocked.min(self.now);
            if process.life == Life::Booting(Boot::Hangs) {
                process.stall();
            }
        }
        for place in 0..self.ends.len() {
            self.ends[place].slow = false;
            self.wires[place / 2].ways[place % 2].leaked = false;
            self.thaw(place / 2, place % 2);
        }
        for place in 0..self.processes.len() {
            self.wake(place, self.now);
        }
    }
}
