//! The two role views: what an opener may do with its dialog, and what a callee may do with its.
//! Calls that a role must not make do not exist; terminal ones take the view by value.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::clock::BEYOND_GRACE;
use super::outbox::message;
use super::{Connection, Event, Recv, Terminal, Values};
use crate::dialog::step::{Act, Refused};
use crate::dialog::tables::Life;
use crate::dialog::{Dialog, Incoming, Overrun, Side};
use crate::error::{Misuse, SendError};
use crate::id::DialogId;
use crate::passed::Passed;
use crate::report::{CancelRequest, Cancelled, Outcome, Refusal};
use crate::slice::Slice;
use crate::time::{Instant, step};
use crate::wire::Tag;

/// What a dropped handle leaves its task for its end: the default of a root.
const DROP_GRACE: Duration = Duration::from_millis(4600);

/// The opener's view of a dialog.
#[must_use]
#[derive(Debug)]
pub struct Caller<'a> {
    connection: &'a mut Connection,
    id: DialogId,
}

/// The callee's view of a dialog.
#[must_use]
#[derive(Debug)]
pub struct Callee<'a> {
    connection: &'a mut Connection,
    id: DialogId,
}

/// What both roles may do.
macro_rules! both_roles {
    () => {
        /// The dialog's number.
        #[must_use]
        pub const fn id(&self) -> DialogId {
            self.id
        }

        /// Whether a value would be taken now.
        #[must_use]
        pub fn can_send(&self) -> bool {
            let max = self.connection.max_message();
            self.dialog().is_some_and(|dialog| dialog.may_send(0, max).is_ok())
        }

        /// Sends one value: its whole cost is taken off the balance at once (P-W1).
        ///
        /// # Errors
        /// `Full` where there is no credit: `Writable` follows. Else why it will never be taken.
        pub fn send(&mut self, value: &[u8]) -> Result<(), SendError> {
            self.connection.send(self.id, value)
        }

        /// The same with several, in order, as long as there is credit: says how many were sent.
        ///
        /// # Errors
        /// As [`send`](Self::send), of the first.
        pub fn send_run<'v>(
            &mut self,
            values: impl IntoIterator<Item = &'v [u8]>,
        ) -> Result<usize, SendError> {
            self.connection.send_run(self.id, values)
        }

        /// The same with a buffer that may be taken as it is, where it is large. Another, empty, is
        /// left in its place once it was sent.
        ///
        /// # Errors
        /// As [`send`](Self::send); the value is left where it is then.
        #[inline]
        pub fn send_from(&mut self, value: &mut Vec<u8>) -> Result<(), SendError> {
            self.connection.send_from(self.id, value)
        }

        /// The same with bytes that others may hold too: each of `shared` stands before what `own` has
        /// at its place, in order, and is handed on as it is where it is large. They are gone from there
        /// once the value was sent.
        ///
        /// # Errors
        /// As [`send`](Self::send); the value is left where it is then.
        pub fn send_with(
            &mut self,
            own: &[u8],
            shared: &mut Vec<(usize, Slice)>,
        ) -> Result<(), SendError> {
            self.connection.send_with(self.id, own, shared)
        }

        /// The same for one with descriptors (P-F6), each of which costs a part of the window beside.
        ///
        /// # Errors
        /// As there, and `NotPassed` where the link carries none, or not so many.
        pub fn send_passing(
            &mut self,
            value: &mut Vec<u8>,
            passed: &Passed,
        ) -> Result<(), SendError> {
            self.connection.send_passing(self.id, value, passed)
        }

        /// Takes the descriptors that have come with what was taken last (P-F6).
        #[must_use]
        pub fn take_passed(&mut self) -> Passed {
            let dialog = self.connection.dialogs.get_mut(&self.id);
            dialog.map_or(Passed::NONE, Dialog::take_passed)
        }

        /// Ends the own direction gracefully (P-D7). Again: nothing.
        ///
        /// # Errors
        /// `NotStarted`, `WrongKind`.
        pub fn stop(&mut self) -> Result<(), Misuse> {
            self.connection.stop(self.id)
        }

        /// Takes the next value into `out`, which is cleared first.
        pub fn recv(&mut self, out: &mut Vec<u8>) -> Recv {
            self.connection.recv(self.id, out)
        }

        /// Takes the values that are there together into `out`, if there are none left in it: about
        /// 16 KiB of them, and no more than a quarter of the window, or one that is larger. They count
        /// as taken once the next ones are asked for (P-W1), so that what is held here and there stays
        /// within the window.
        pub fn recv_run(&mut self, out: &mut Values) -> Recv {
            self.connection.recv_run(self.id, out)
        }

        /// Takes back what is left of values that were taken together, as if it had not been.
        pub fn unread(&mut self, values: &mut Values) {
            self.connection.unread(self.id, values);
        }

        /// Says what becomes of values that arrive faster than they are taken (P-W6).
        pub fn on_overrun(&mut self, overrun: Overrun) {
            self.connection.on_overrun(self.id, overrun);
        }

        /// How many values were dropped, each for a newer one (P-W6).
        #[must_use]
        pub fn dropped(&self) -> u64 {
            self.dialog().map_or(0, |dialog| dialog.inbox.dropped())
        }

        /// The receiving half is gone: the peer is told to send no more (P-D8).
        pub fn stop_reading(&mut self) {
            self.connection.discard(self.id, true);
        }

        /// Nobody reads: what arrives is dropped and credited at once (P-D8).
        pub fn discard(&mut self) {
            self.connection.discard(self.id, false);
        }

        fn dialog(&self) -> Option<&Dialog> {
            self.connection.dialogs.get(&self.id)
        }
    };
}

impl<'a> Caller<'a> {
    pub(super) fn new(connection: &'a mut Connection, id: DialogId) -> Self {
        Self { connection, id }
    }

    both_roles!();

    /// Where the dialog stands, in words.
    #[must_use]
    pub fn state(&self) -> &'static str {
        self.dialog().map_or("ended", Dialog::phase)
    }

    /// Whether the callee has started.
    #[must_use]
    pub fn started(&self) -> bool {
        self.dialog().is_some_and(|dialog| dialog.life == Life::Live)
    }

    /// Takes the first value, once.
    #[must_use]
    pub fn take_started(&mut self) -> Option<Vec<u8>> {
        let dialog = self.connection.dialogs.get_mut(&self.id)?;
        let (first, cost) = dialog.first.take()?;
        dialog.inbox.passed = dialog.passed.take();
        dialog.control.credit |= dialog.consumed(cost);
        self.connection.queue_control(self.id);
        Some(first)
    }

    /// Asks the callee's task to end, and waits for its end half a second beyond the grace. Again:
    /// the grace may get shorter (P-C1).
    pub fn cancel(&mut self, now: Instant, request: CancelRequest) {
        let wait = request.grace.saturating_add(BEYOND_GRACE);
        self.connection.ask(now, self.id, request, wait);
    }

    /// The same for a task that was itself asked to end within `rest`: the callee has a little less,
    /// and its end is waited for no longer, so that whoever asked this task hears from it in time,
    /// however deep this goes (P-C1).
    pub fn cancel_within(&mut self, now: Instant, by: Cancelled, rest: Duration) {
        let grace = rest.saturating_sub(step(rest));
        self.connection.ask(now, self.id, CancelRequest { by, grace }, rest);
    }

    /// Whether a cancel was asked for.
    #[must_use]
    pub fn cancel_called(&self) -> bool {
        self.dialog().is_some_and(|dialog| dialog.request.is_some())
    }

    /// Whether the callee has said that it heard of it. One that ended first never does.
    #[must_use]
    pub fn cancel_acked(&self) -> bool {
        self.dialog().is_some_and(|dialog| dialog.acked)
    }

    /// What the dialog came to, for as long as it is held (P-D9).
    #[must_use]
    pub fn outcome(&self) -> Option<&Outcome> {
        self.connection.dialogs.get(&self.id).and_then(|dialog| dialog.outcome.as_ref())
    }

    /// The handle is gone: what still runs is cancelled, what arrives is dropped, and the dialog is
    /// freed with its terminal (P-D8).
    pub fn release(self, now: Instant, by: Cancelled) {
        let Some(dialog) = self.connection.dialogs.get_mut(&self.id) else { return };
        dialog.released = true;
        if dialog.life == Life::Done {
            self.connection.remove(self.id);
            return;
        }
        if let Some((_, cost)) = dialog.first.take() {
            dialog.owed = dialog.owed.saturating_add(cost);
            dialog.passed = Passed::NONE;
        }
        let called = dialog.request.is_some();
        self.connection.discard(self.id, false);
        if !called {
            let wait = DROP_GRACE.saturating_add(BEYOND_GRACE);
            self.connection.ask(now, self.id, CancelRequest { by, grace: DROP_GRACE }, wait);
        }
    }
}

impl<'a> Callee<'a> {
    pub(super) fn new(connection: &'a mut Connection, id: DialogId) -> Self {
        Self { connection, id }
    }

    both_roles!();

    /// Takes what was asked for, once.
    #[must_use]
    pub fn take_start(&mut self) -> Option<Incoming> {
        let dialog = self.connection.dialogs.get_mut(&self.id)?;
        if !dialog.arrived {
            return None;
        }
        let arrived = dialog.start.take()?;
        dialog.inbox.passed = dialog.passed.take();
        dialog.control.credit |= dialog.consumed(arrived.cost);
        self.connection.queue_control(self.id);
        let out = &mut self.connection.out;
        Some(out.arrived.emptied(arrived, &mut out.spare))
    }

    /// The task is scheduled: says so with the credit the opener has (P-D2).
    pub fn accept(&mut self) {
        self.connection.accept(self.id);
    }

    /// The task will not run (P-D2).
    pub fn refuse(self, refusal: Refusal, message: String) {
        self.connection.refuse(self.id, refusal, message);
    }

    /// The context is up, with its first value.
    ///
    /// # Errors
    /// `StartedTwice`, `WrongKind`, `TooLarge`, `Ended`.
    pub fn started(&mut self, first: &[u8]) -> Result<(), Misuse> {
        self.connection.started(self.id, first, Passed::NONE)
    }

    /// The same with descriptors that go with it (P-F6).
    ///
    /// # Errors
    /// As there, and `NotPassed` where the link carries none, or not so many.
    pub fn started_passing(&mut self, first: &[u8], passed: Passed) -> Result<(), Misuse> {
        if !passed.is_none() {
            self.connection.may_pass(&passed)?;
        }
        self.connection.started(self.id, first, passed)
    }

    /// What the opener asked, if it wants the task to end.
    #[must_use]
    pub fn cancel_request(&self) -> Option<&CancelRequest> {
        self.connection.dialogs.get(&self.id).and_then(|dialog| dialog.request.as_deref())
    }

    /// The task is gone; this is what it came to (P-D4). A context that never started cannot
    /// return: that is turned into an error (P-D2).
    pub fn finish(self, terminal: Terminal) {
        self.connection.end(self.id, terminal, Passed::NONE);
    }

    /// The same with descriptors that go with what it has returned (P-F6); where the link carries none,
    /// the task has failed with that. Of other ends they are let go.
    pub fn finish_passing(self, terminal: Terminal, passed: Passed) {
        self.connection.end(self.id, terminal, passed);
    }
}

impl Connection {
    /// Says that the task is scheduled, once.
    pub(super) fn accept(&mut self, id: DialogId) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        if dialog.arrived && !dialog.finished && dialog.step(Side::Callee, Act::StartAck).is_ok() {
            dialog.control.ack = true;
            self.queue_control(id);
        }
    }

    fn started(&mut self, id: DialogId, first: &[u8], passed: Passed) -> Result<(), Misuse> {
        let max = self.max_message();
        let size = first.len();
        let cost = self.cost(size);
        if size > max {
            return Err(Misuse::TooLarge { size, max });
        }
        let Some(dialog) = self.dialogs.get(&id) else { return Err(Misuse::Ended) };
        match dialog.permits(Side::Callee, Act::Started) {
            Ok(()) => {}
            Err(Refused::TooEarly) => self.accept(id),
            Err(refused) => return Err(refused.into()),
        }
        let Some(dialog) = self.dialogs.get_mut(&id) else { return Err(Misuse::Ended) };
        dialog.step(Side::Callee, Act::Started)?;
        dialog.balance = dialog.balance.saturating_sub(cost);
        dialog.pay(&passed);
        let mut first = message(Tag::Started, self.out.spare.filled(first));
        if !passed.is_none() {
            first.carry(passed);
        }
        self.queue_data(id, first);
        Ok(())
    }

    /// Asks to cancel; the dialog's own queued values and arguments go in the same step (P-D3).
    fn ask(&mut self, now: Instant, id: DialogId, request: CancelRequest, wait: Duration) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        if dialog.step(Side::Opener, Act::Cancel).is_err() {
            return;
        }
        if core::mem::take(&mut dialog.wants_credit) {
            self.events.push_back(Event::Writable(id));
        }
        if dialog.is_unwritten() {
            self.withdraw(id, Outcome::Cancelled(request.by));
            return;
        }
        dialog.drop_data();
        if !id.is_actor() {
            self.cancel_wait(id, self.apart.clock.at(now) + wait);
        }
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        let grace = request.grace;
        let again = dialog.may_ask_again(grace);
        match &mut dialog.request {
            // The first canceller and cause stay (P-C1).
            Some(known) if known.grace <= grace => return,
            Some(_) if !again => return,
            Some(known) => known.grace = grace,
            None => dialog.request = Some(Box::new(request)),
        }
        dialog.control.cancel = true;
        self.queue_control(id);
    }
}
