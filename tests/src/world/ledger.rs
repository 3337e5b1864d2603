//! What must hold in every world, whatever befalls it, and the books that it takes to see that.
//!
//! Bounds are the rules' own, with nothing on top. What is not held to them:
//! - A process that was stopped, blocked or frozen owes no time: all bounds assume one that runs.
//!   One whose links were touched owes no answers, and what it knew may be lost.
//! - Nobody but a calm world's is held to ending without force: elsewhere P-T1 allows it.
//! - A root has 250 ms beyond its grace (P-C7), an opener of a dead process the hold-back (P-L4).
//! - A report that was cut names not all that it tells of (P-F3): nothing is looked for in it.

use std::time::Duration;

use hatchery_proto::nursery::budget::{Budget, REAP};
use hatchery_proto::nursery::ladder::End as Ending;
use hatchery_proto::{
    Cancelled, Code, DialogId, ExitStatus, Limits, LostCause, Outcome, Report, Rung,
};

use super::World;
use super::link::BATCH;
use super::process::{Boot, Life};
use super::shape::FAULTS;

/// What a new process takes at most until it reads.
const BOOT: Duration = Duration::from_millis(3);

/// The books.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) cancels: u64,
    pub(super) kills: u64,
    pub(super) faults: [u64; FAULTS.len()],
    pub(super) violations: Vec<String>,
    failures: Vec<Failure>,
}

/// One failure on its way to the root.
#[derive(Debug)]
struct Failure {
    /// The process that knows of it.
    at: usize,
    /// On its way with a terminal.
    sent: Option<(usize, DialogId)>,
    /// Why nobody else need hear of it.
    hidden: Option<&'static str>,
}

impl Ledger {
    /// Somebody had a reason not to hand a failure on.
    pub(super) fn hide(&mut self, report: &Report, why: &'static str) {
        for number in numbers(report) {
            if let Some(failure) = self.failures.get_mut(number) {
                failure.hidden.get_or_insert(why);
            }
        }
    }

    /// A failure leaves its process as a terminal.
    pub(super) fn sent(&mut self, report: &Report, end: usize, id: DialogId) {
        for number in numbers(report) {
            if let Some(failure) = self.failures.get_mut(number) {
                failure.sent = Some((end, id));
            }
        }
    }
}

/// The failures that a report tells of.
fn numbers(report: &Report) -> Vec<usize> {
    let number = |text: &str| text.strip_prefix('f')?.split(' ').next()?.parse::<usize>().ok();
    let also = report.also.iter().filter_map(|also| number(&also.message));
    number(&report.message).into_iter().chain(also).collect()
}

impl World {
    /// A failure arises.
    pub(super) fn fresh_failure(&mut self, place: usize, code: Code, what: &str) -> Box<Report> {
        let number = self.ledger.failures.len();
        // A cancel is no failure until somebody takes it for one.
        let hidden = (code == Code::Cancelled).then_some("a cancel");
        self.ledger.failures.push(Failure { at: place, sent: None, hidden });
        let origin = self.processes[place].id.clone();
        let id = (origin.uuid, u64::try_from(number).unwrap_or(0) + 1);
        self.note(|_| format!("p{place}: failure f{number}: {what}"));
        Box::new(Report::new(id, code, origin, format!("f{number} {what}")))
    }

    pub(super) fn cancelled_report(&mut self, place: usize, by: &Cancelled) -> Box<Report> {
        let mut report = self.fresh_failure(place, Code::Cancelled, &by.canceller.name);
        report.canceller = Some(by.canceller.clone());
        report
    }

    /// A failure has come from another process. One that the core made has no name yet.
    pub(super) fn arrived(&mut self, place: usize, report: Box<Report>) -> Box<Report> {
        let numbers = numbers(&report);
        if numbers.is_empty() {
            return self.fresh_failure(place, report.code, &report.message);
        }
        if report.truncated {
            self.ledger.hide(&report, "its report was cut");
        }
        for number in numbers {
            if let Some(failure) = self.ledger.failures.get_mut(number) {
                failure.at = place;
                failure.sent = None;
            }
        }
        report
    }

    /// A cancel was asked for.
    pub(super) fn ask_noted(&mut self, end: usize, id: DialogId) {
        let within = self.answer_time(end, id);
        self.talk(end, id).asked = Some((self.now, within));
    }

    /// In what time a cancel has to be answered: at once (P-C1), so that this link carries nothing
    /// ahead of it but what both ends have encoded already, and control frames (P-W4).
    fn answer_time(&self, end: usize, id: DialogId) -> Duration {
        const CONTROL: usize = 300;
        let core = &self.ends[end].core;
        let far = &self.ends[end ^ 1].core;
        let frame = self.frame();
        let mut ahead =
            2 * (BATCH + frame) + CONTROL * (core.known_dialogs() + far.known_dialogs());
        // Where the arguments were not whole an `Error` answers, which is data: in turn with others.
        if !core.ledger(id).is_some_and(|books| books.accepted) {
            ahead += frame * far.known_dialogs();
        }
        // Each time that a buffer is full, what is in it has to arrive.
        let trips = u32::try_from(ahead / self.shape.room).unwrap_or(u32::MAX).saturating_add(4);
        let boot = if id.is_actor() { BOOT } else { Duration::ZERO };
        self.latency() * trips + boot
    }

    /// A cancel was answered, by an ack or by the end.
    pub(super) fn cancel_answered(&mut self, end: usize, id: DialogId) {
        let Some((asked, within)) = self.talk(end, id).asked.take() else { return };
        let took = self.now.since(asked);
        // Where the far process is gone, the link's end answers, once its exit is known (P-L4).
        let gone = self.is_dead(self.ends[end ^ 1].process);
        let hold = if gone { self.shape.limits.hold_back } else { Duration::ZERO };
        if took > within + hold && !self.may_be_silent(end) {
            let rest = format!("{took:?} and not in {within:?}");
            self.violate("P-C1", format!("a cancel of {id} was answered after {rest}"));
        }
    }

    /// A dialog has its outcome: who cancelled it has waited for its time and no more (P-C1).
    pub(super) fn check_wait(&mut self, end: usize, id: DialogId) {
        let late = self.talk(end, id).until.is_some_and(|until| self.now > until);
        if late && !self.processes[self.ends[end].process].stalled {
            self.violate("P-C1", format!("{id} was waited for beyond its time"));
        }
        // Where nothing is wrong, whoever is asked is done in the time that it was given, and its word
        // is here in the time that its opener has kept, unless the link is slower than that.
        let given_up = self.outcome(end, id) == Some(Outcome::Lost(LostCause::Unresponsive));
        let kept = Budget::step(self.talk(end, id).given);
        if given_up && self.shape.calm && kept > self.answer_time(end, id) {
            self.violate("P-C1", format!("{id} was given up in a calm world"));
        }
    }

    /// Whether something kept the processes of a link, or the link, from going on.
    pub(super) fn may_be_silent(&self, end: usize) -> bool {
        [end, end ^ 1].into_iter().any(|end| {
            let process = &self.processes[self.ends[end].process];
            process.disturbed || matches!(process.life, Life::Booting(boot) if boot != Boot::Well)
        })
    }

    fn frame(&self) -> usize {
        self.shape.limits.max_frame as usize + 4
    }

    /// What an end holds for its peer, whatever that has sent (P-F5): for each dialog that takes
    /// room the window, a frame, and a message, two where the peer answers. No message here is
    /// larger than this world's largest value. The constant is the frame that is not whole.
    pub(super) fn check_memory(&mut self, place: usize) {
        let (value, limits) = (self.shape.value.max(8), &self.shape.limits);
        let (window, slots) = (limits.window as usize, limits.max_dialogs + limits.max_refusals);
        let (frame, slots) = (self.frame(), slots as usize);
        let end = &mut self.ends[place];
        let core = &end.core;
        end.opened.retain(|id| core.ledger(*id).is_some());
        let opened = end.opened.len();
        let served = core.known_dialogs().saturating_sub(opened);
        let bound =
            frame + opened * (window + 2 * value + frame) + served * (window + value + frame);
        let held = core.held();
        if held > bound || served > slots {
            let dialogs = format!("{opened} dialogs opened, {served} served");
            self.violate("P-F5", format!("link end {place} holds {held} bytes: {dialogs}"));
        }
    }

    pub(super) fn check_value(&mut self, end: usize, id: DialogId, value: &[u8]) {
        let talk = self.talk(end, id);
        let number = value.first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes));
        let expected = talk.got;
        talk.got += 1;
        talk.got_bytes += value.len() as u64 + u64::from(Limits::FRAME_COST);
        let whole = value.iter().skip(4).all(|byte| *byte == expected as u8);
        if number != Some(expected) || !whole {
            self.violate("P-D7", format!("{id}: value {number:?} came instead of {expected}"));
        }
    }

    /// A graceful end comes after everything that was sent.
    pub(super) fn check_graceful(&mut self, end: usize, id: DialogId) {
        let sent = self.talk(end ^ 1, id).sent;
        let talk = self.talk(end, id);
        let (got, discarded) = (talk.got, talk.discarded);
        if got != sent && !discarded {
            self.violate("P-D7", format!("{id} ended gracefully after {got} of {sent} values"));
        }
    }

    /// What is under way never passes the window by more than one message (P-W1), each counted as
    /// one frame at least.
    pub(super) fn check_sent(&mut self, end: usize, id: DialogId, size: usize) {
        let got = {
            let far = self.talk(end ^ 1, id);
            if far.discarded { None } else { Some(far.got_bytes) }
        };
        let window = u64::from(self.shape.limits.window);
        let cost = size as u64 + u64::from(Limits::FRAME_COST);
        let talk = self.talk(end, id);
        talk.sent += 1;
        talk.sent_bytes += cost;
        let under_way = talk.sent_bytes.saturating_sub(got.unwrap_or(talk.sent_bytes));
        // It began while the balance was above 0.
        if under_way >= window + cost {
            self.violate("P-W1", format!("{id}: {under_way} bytes are under way"));
        }
        // No value is queued behind a whole window, whatever the peer takes (P-F5); a first value
        // always is, and each frame has a little on top.
        let largest = self.shape.value.max(8) as i64;
        let cost = largest + i64::from(Limits::FRAME_COST) * (largest / 512 + 1);
        let unsent = self.ends[end].core.ledger(id).map_or(0, |books| books.unsent);
        if unsent >= i64::from(self.shape.limits.window) + 2 * cost {
            self.violate("P-F5", format!("{id}: {unsent} bytes wait to be written"));
        }
    }

    /// A child's teardown is over.
    pub(super) fn check_over(&mut self, place: usize, end: &Ending) {
        let child = &self.children[place];
        if child.overs != 1 {
            return self.violate("P-T1", format!("child {place} was over {} times", child.overs));
        }
        // The whole of its budget, and from SIGKILL on at least 250 ms (P-T1).
        let killed = child.killed.map(|at| at + REAP);
        let until = child.deadline.map(|at| killed.map_or(at, |killed| at.max(killed)));
        let late = until.is_some_and(|at| self.now > at);
        if late && !self.processes[child.parent].stalled {
            let by = until.map(|at| self.now.since(at));
            self.violate("D", format!("the teardown of child {place} took {by:?} too long"));
        }
        let child = &self.children[place];
        let disturbed = self.processes[child.parent].disturbed;
        let gone = child.process.is_none_or(|process| self.is_dead(process));
        if !gone && end.rung != Rung::Unkillable {
            self.violate("P-T1", format!("child {place} is over and its process lives"));
        }
        if !disturbed {
            self.check_unkillable(place, end);
        }
    }

    /// One that is called unkillable lives, or has died a moment ago.
    fn check_unkillable(&mut self, place: usize, end: &Ending) {
        let Some(process) = self.children[place].process else { return };
        let died = self.processes[process].died;
        if end.rung == Rung::Unkillable && self.now > died + self.latency() {
            self.violate("P-T1", format!("p{process} is called unkillable and was dead"));
        }
    }

    /// How long bytes and news are under way at most.
    fn latency(&self) -> Duration {
        Duration::from_micros(self.shape.latency)
    }

    /// A process has ended: what it knew is gone, and it may have had to be gone earlier.
    pub(super) fn check_death(&mut self, place: usize, _status: ExitStatus) {
        let process = &self.processes[place];
        // A root that cannot end its tasks forces its children 250 ms after its grace (P-C7), and
        // who is killed is waited for 250 ms (P-T1). An orphan has its second and no more.
        let beyond = match (place, process.forced) {
            (0, true) => 500,
            (0, false) => 250,
            _ => 0,
        };
        let beyond = Duration::from_millis(beyond);
        let late = process.owed.is_some_and(|at| self.now > at + beyond);
        if late && !process.stalled {
            let by = process.owed.map(|at| self.now.since(at));
            let rule = if place == 0 { "D" } else { "P-T4" };
            self.violate(rule, format!("p{place} outlived its time by {by:?}"));
        }
        if place > 0 || !self.processes[place].shutdown.refuses() {
            for failure in &mut self.ledger.failures {
                if failure.at == place && failure.sent.is_none() {
                    failure.hidden.get_or_insert("its process died");
                }
            }
        }
    }

    /// A process ends in good order: its tasks, its children and its dialogs have.
    pub(super) fn check_exit(&mut self, place: usize) {
        let process = &self.processes[place];
        if !process.tasks.is_empty() || !process.rooms.is_empty() || process.scopes.len() > 1 {
            let (tasks, scopes) = (process.tasks.len(), process.scopes.len());
            self.violate("P-C7", format!("p{place} exits with {tasks} tasks, {scopes} scopes"));
        }
        for child in self.processes[place].children.clone() {
            if self.children[child].over.is_none() {
                self.violate("P-C7", format!("p{place} exits before its child {child}"));
            }
        }
        if place == 0 {
            self.check_tree_gone();
            self.check_causes();
        }
    }

    /// With the root nothing is left, but for what cannot be killed, what is below that, and what
    /// lost its parent a moment ago.
    fn check_tree_gone(&mut self) {
        for place in 1..self.processes.len() {
            let mut excused = self.is_dead(place);
            let mut above = Some(place);
            while let Some(process) = above.filter(|_| !excused) {
                let child = self.processes[process].child;
                let over = child.and_then(|child| self.children[child].over.as_ref());
                excused = over.is_some_and(|over| over.exit.rung >= Rung::Terminated)
                    || over.is_some_and(|over| over.exit.rung == Rung::Unkillable);
                above = self.parent_of(process);
                excused |= above.is_some_and(|above| {
                    matches!(self.processes[above].life, Life::Dead(ExitStatus::Signal { .. }))
                });
            }
            if !excused {
                self.violate("O", format!("p{place} outlives the root"));
            }
        }
    }

    /// No failure is lost: who did not reach the root has been hidden by somebody with a reason.
    fn check_causes(&mut self) {
        let told = match &self.processes[0].verdict {
            Some(Err(report)) => numbers(report),
            _ => Vec::new(),
        };
        let cut = matches!(&self.processes[0].verdict, Some(Err(report)) if report.truncated);
        for number in 0..self.ledger.failures.len() {
            let failure = &self.ledger.failures[number];
            if failure.hidden.is_some() || told.contains(&number) || cut {
                continue;
            }
            let (at, sent) = (failure.at, failure.sent);
            // It outlives the root for a moment, having lost its parent.
            if !self.is_dead(at) && self.is_cut_off(at) && at > 0 {
                continue;
            }
            if let Some((end, id)) = sent
                && self.was_lost(end, id)
            {
                continue;
            }
            self.violate("E", format!("failure f{number} of p{at} was lost ({sent:?})"));
        }
    }

    /// Whether a terminal had a reason not to arrive: nobody held its dialog any more, or one of the
    /// processes or the link did not get to its end in good order.
    fn was_lost(&mut self, end: usize, id: DialogId) -> bool {
        let released = self.talk(end ^ 1, id).released;
        let hurt = [end, end ^ 1].into_iter().any(|end| self.is_cut_off(self.ends[end].process));
        released || hurt
    }

    /// Whether a process, or one above it, did not run or end in good order: then what it knows
    /// need not reach the root.
    fn is_cut_off(&self, place: usize) -> bool {
        let mut above = Some(place);
        while let Some(process) = above {
            let known = &self.processes[process];
            if known.disturbed || matches!(known.life, Life::Dead(ExitStatus::Signal { .. })) {
                return true;
            }
            above = self.parent_of(process);
        }
        false
    }

    /// At the end of the world.
    pub(super) fn check_end(&mut self) {
        for place in 0..self.processes.len() {
            if !self.is_dead(place) {
                let process = &self.processes[place];
                let what = format!(
                    "p{place} never ended: {:?}, {:?}, {} tasks, {} children, stopped: {}",
                    process.life,
                    process.shutdown.stage(),
                    process.tasks.len(),
                    process.children.len(),
                    process.stopped
                );
                // One that was never heard of by its dead parent has nobody to be ended by.
                if process.life == Life::Booting(Boot::Hangs)
                    && self.parent_of(place).is_some_and(|parent| self.is_dead(parent))
                {
                    continue;
                }
                let orphan = place > 0 && process.owed.is_some();
                let rule = if orphan { "P-T4" } else { "P-T1" };
                let task = format!("{:?}", process.tasks);
                self.note(|_| task);
                self.violate(rule, what);
            }
        }
        for place in 0..self.children.len() {
            let child = &self.children[place];
            if child.over.is_none() && !died_hard(self.processes[child.parent].life) {
                self.violate("P-T1", format!("child {place} never was over"));
            }
        }
        for end in 0..self.ends.len() {
            if !died_hard(self.processes[self.ends[end].process].life) {
                self.check_dialogs(end);
            }
        }
    }

    /// Each dialog ended once, on this side.
    fn check_dialogs(&mut self, end: usize) {
        // A child does not wait for what it has let go; whoever reaped it has nothing left.
        let live = self.ends[end].core.live_dialogs();
        if live > 0 && self.ends[end].child.is_some() {
            self.violate("N", format!("link end {end} holds {live} dialogs"));
        }
        let mut found = Vec::new();
        for (id, talk) in &self.ends[end].talks {
            let fine = match (talk.opener, talk.released) {
                (true, true) => talk.ends <= 1,
                (true, false) => talk.ends == 1,
                // The task's end was handed over, or the link took it; or it was refused.
                (false, _) => talk.finished || talk.ends == 1 || talk.flushed == 1,
            };
            if !fine || talk.flushed > 1 {
                found.push(format!("{id} of link end {end} ended wrongly: {talk:?}"));
            }
        }
        for what in found {
            self.violate("P-D4", what);
        }
    }

    /// Whether an end has nothing left to be written, in the core or before the socket.
    pub(super) fn is_flushed(&self, end: usize) -> bool {
        let core = &self.ends[end].core;
        core.is_closed() || (!core.wants_transmit() && self.ends[end].is_written())
    }
}

/// Ended by a signal, so that nothing can be expected of it.
fn died_hard(life: Life) -> bool {
    !matches!(life, Life::Dead(ExitStatus::Code(_)))
}
