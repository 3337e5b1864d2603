//! Bytes in: the greeting, the link's own messages, and the dialogs that the peer opens. A frame is
//! judged whole before anything changes (P-A1).

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::{Connection, Event, GoodbyeReason, LinkKind, Phase};
use crate::dialog::{Incoming, Kind, Side, cost_of};
use crate::error::Violation;
use crate::id::DialogId;
use crate::limits::Limits;
use crate::report::Refusal;
use crate::time::Instant;
use crate::wire::body::{self, Start};
use crate::wire::deframer::Deframer;
use crate::wire::hello::Hello;
use crate::wire::{CONTINUED, Frame, Tag};

pub(super) type Judged = Result<(), Violation>;

/// A ping this long after the last is free (P-A4).
const PING_PERIOD: Duration = Duration::from_secs(1);

impl Connection {
    /// Bytes have arrived, in any split.
    pub fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        if self.phase == Phase::Closed || self.eof {
            return;
        }
        self.heard = now;
        self.pinged = None;
        if self.phase == Phase::Greeting {
            self.keep_first(bytes);
        }
        let mut input = bytes;
        while self.phase != Phase::Closed {
            if self.placing.is_none() && self.takes_values(&mut input) {
                continue;
            }
            // Nearly every frame is whole where it arrived.
            let judged = match self.whole(&mut input) {
                Ok(Some(frame)) => self.frame(now, &frame),
                Ok(None) if input.is_empty() && self.placing.is_none() => break,
                Ok(None) => match self.parts(now, &mut input) {
                    Ok(false) => break,
                    judged => judged.map(drop),
                },
                Err(violation) => Err(violation),
            };
            if let Err(violation) = judged {
                self.broken(violation);
            }
        }
        if self.has_unclaimed() {
            self.descriptors_heard();
        }
        self.settle();
        self.arm_drain(now);
    }

    /// The next frame, where it stands whole in `input`.
    fn whole<'i>(&self, input: &mut &'i [u8]) -> Result<Option<Frame<'i>>, Violation> {
        if self.placing.is_some() { Ok(None) } else { self.deframer.next_whole(input) }
    }

    /// A frame that comes in parts: `false` where more of it is to come.
    fn parts(&mut self, now: Instant, input: &mut &[u8]) -> Result<bool, Violation> {
        if self.placing.is_some() {
            return self.placed(now, input);
        }
        if self.places(input) {
            return Ok(true);
        }
        let mut deframer = core::mem::replace(&mut self.deframer, Deframer::new(0));
        let judged = match deframer.next(input) {
            Ok(None) => Ok(false),
            Ok(Some(frame)) => self.frame(now, &frame).map(|()| true),
            Err(violation) => Err(violation),
        };
        self.deframer = deframer;
        if self.phase == Phase::Open {
            self.deframer.set_max(self.announced.max_frame);
        }
        judged
    }

    pub(super) fn frame(&mut self, now: Instant, frame: &Frame<'_>) -> Judged {
        if frame.descriptors > 0 {
            return self.frame_passing(now, frame);
        }
        self.judge(now, frame)
    }

    #[inline]
    pub(super) fn judge(&mut self, now: Instant, frame: &Frame<'_>) -> Judged {
        self.recorder.received(frame);
        let name = frame.tag.map_or("frame", Tag::name);
        if self.phase == Phase::Greeting && frame.tag != Some(Tag::Hello) {
            return Err(Violation::new(name, "P-L1", self.state(), "`Hello` comes first"));
        }
        let Some(tag) = frame.tag else { return self.charge_frame(frame.size, name) };
        let of_link = matches!(tag, Tag::Hello | Tag::Ping | Tag::Pong | Tag::Goodbye);
        if of_link && !frame.dialog.is_actor() {
            return Err(self.violation(tag, "P-F4", "it belongs to no dialog"));
        }
        let empty = matches!(tag, Tag::Ping | Tag::Pong | Tag::Stop | Tag::CancelAck);
        if empty && !frame.body.is_empty() {
            return Err(self.violation(tag, "P-F4", "bytes trail behind it"));
        }
        match tag {
            Tag::Hello if self.phase == Phase::Greeting => self.greeted(frame.body),
            Tag::Hello => Err(self.violation(tag, "P-L1", "it is the second")),
            Tag::Start => self.on_start(frame),
            Tag::Ping => self.on_ping(now),
            Tag::Pong => match self.pongs_due.checked_sub(1) {
                Some(left) => {
                    self.pongs_due = left;
                    Ok(())
                }
                None => self.charge_frame(0, name),
            },
            Tag::Goodbye => self.on_goodbye(frame.body),
            _ => self.on_dialog(now, tag, frame),
        }
    }

    fn greeted(&mut self, content: &[u8]) -> Judged {
        let hello = Hello::parse(content)?;
        if hello.role == self.config.role {
            return Err(self.violation(Tag::Hello, "P-L1", "both ends claim the same role"));
        }
        if hello.announced.max_frame < Limits::FLOOR {
            return Err(self.violation(Tag::Hello, "P-F2", "its frames are below the floor"));
        }
        let ours = self.announced;
        self.announced.max_frame = ours.max_frame.min(hello.announced.max_frame);
        self.announced.max_message = ours.max_message.min(hello.announced.max_message);
        self.announced.max_dialogs = hello.announced.max_dialogs;
        self.config.limits.max_frame = self.announced.max_frame;
        self.config.limits.max_message = self.announced.max_message;
        self.peer_is_of(hello.tree);
        self.peer_takes_descriptors(hello.descriptors);
        self.peer = Some(hello.id);
        self.name_peer();
        self.phase = Phase::Open;
        self.forget_first();
        self.deframer.set_max(self.announced.max_frame);
        self.handshake = None;
        self.events.push_back(Event::Up);
        self.refuse_oversized();
        Ok(())
    }

    fn on_ping(&mut self, now: Instant) -> Judged {
        self.out.pong = true;
        if now.since(self.ping_heard) < PING_PERIOD {
            return self.charge_frame(0, "Ping");
        }
        self.ping_heard = now;
        Ok(())
    }

    fn on_goodbye(&mut self, content: &[u8]) -> Judged {
        let reason: GoodbyeReason = body::take(content, "Goodbye")?;
        let accused = match &reason {
            GoodbyeReason::Protocol(why) => Some(why.clone()),
            _ => None,
        };
        if core::mem::replace(&mut self.goodbye_received, true) && accused.is_none() {
            return Err(self.violation(Tag::Goodbye, "P-L3", "it is the second"));
        }
        self.drain = None;
        self.events.push_back(Event::Goodbye(reason));
        if let Some(why) = accused {
            self.accused(why);
        } else if self.config.kind == LinkKind::Parent {
            // At once, so that the child can close first and lose nothing (P-L3).
            self.say_goodbye(GoodbyeReason::LinkOnly);
        }
        Ok(())
    }

    pub(super) fn violation(
        &self,
        tag: Tag,
        rule: &'static str,
        detail: impl Into<String>,
    ) -> Violation {
        Violation::new(tag.name(), rule, self.state(), detail)
    }

    /// Charges a frame that is not free.
    pub(super) fn charge_frame(&mut self, size: usize, message: &'static str) -> Judged {
        self.charge(cost_of(size, 1), message)
    }

    /// Whether a dialog of this number would be one that we open.
    pub(super) fn is_ours(&self, id: DialogId) -> bool {
        if id.is_actor() {
            self.config.kind == LinkKind::Parent
        } else {
            id.opener() == self.config.role
        }
    }

    /// Whether the peer has opened a dialog of this number at any time.
    pub(super) fn was_opened(&self, id: DialogId) -> bool {
        self.highest.is_some_and(|highest| id.number() <= highest)
    }

    fn on_start(&mut self, frame: &Frame<'_>) -> Judged {
        let id = frame.dialog;
        if self.is_ours(id) || (id.is_actor() && self.config.kind == LinkKind::Peer) {
            return Err(self.violation(Tag::Start, "P-D1", "its number is not the peer's to open"));
        }
        if frame.flags & CONTINUED != 0 {
            return self.on_start_continued(frame);
        }
        let (start, args) = self.judge_start(frame)?;
        let beyond = self.theirs >= self.config.limits.max_dialogs;
        if beyond {
            if self.refusals >= self.config.limits.max_refusals {
                return Err(self.violation(Tag::Start, "P-W5", "too many refusals wait"));
            }
            self.charge_frame(args.len(), Tag::Start.name())?;
        }
        self.highest = Some(id.number());
        if id.is_actor() {
            self.take_name(start.endpoint);
        }
        let name = self.out.spare.filled(start.endpoint.as_bytes());
        let spare = &mut self.out.spare;
        let arrived = self.out.arrived.filled(incoming(&start, name), spare);
        let window = self.config.limits.window;
        if let Some(dialog) = self.dialogs.insert(id, Side::Callee, start.kind, window, spare) {
            dialog.balance = i64::from(start.credit);
            dialog.ceiling = dialog.balance;
            dialog.refused = beyond;
            dialog.start = Some(arrived);
        }
        // Past `max_dialogs` there is no slot, only a bounded number of refusals (P-W5).
        let slots = if beyond { &mut self.refusals } else { &mut self.theirs };
        *slots = slots.saturating_add(1);
        let refusal = if beyond {
            let max = self.config.limits.max_dialogs;
            Some((Refusal::TooManyDialogs, format!("{max} dialogs are open")))
        } else if self.refuses || (self.actor_over && !id.is_actor()) {
            Some((Refusal::ShuttingDown, "the actor is ending".to_owned()))
        } else if start.codec != body::POSTCARD && !self.codecs.contains(&start.codec) {
            Some((Refusal::BadArguments, format!("codec {} is unknown", start.codec)))
        } else {
            None
        };
        match refusal {
            Some((refusal, text)) => self.refuse(id, refusal, text),
            // What crosses a `Goodbye` is served, and the answer to it comes behind (P-L3).
            None => self.drain = None,
        }
        self.on_args(id, frame.flags, args)
    }

    fn judge_start<'a>(&self, frame: &Frame<'a>) -> Result<(Start<'a>, &'a [u8]), Violation> {
        let id = frame.dialog;
        let refuse = |rule, what: &str| Err(self.violation(Tag::Start, rule, what));
        if self.was_opened(id) {
            return refuse("P-D1", "its number was used before");
        }
        if self.goodbye_received {
            return refuse("P-L3", "its sender has said `Goodbye`");
        }
        if self.config.kind == LinkKind::Child && !id.is_actor() {
            let whole = match self.dialogs.get(&DialogId::ACTOR) {
                Some(actor) => actor.arrived || actor.finished,
                None => self.was_opened(DialogId::ACTOR),
            };
            if !whole {
                return refuse("P-L2", "dialog 0 comes first");
            }
        }
        let (start, args) = Start::take_first(frame.body)?;
        if id.is_actor() != (start.kind == Kind::Actor) {
            return refuse("P-L2", "its kind does not fit its number");
        }
        if start.endpoint.len() > self.config.limits.max_name {
            return refuse("P-F4", "its endpoint's name is too long");
        }
        if start.credit < Limits::FLOOR {
            return refuse("P-W1", "its window is below the floor");
        }
        Ok((start, args))
    }

    fn on_start_continued(&mut self, frame: &Frame<'_>) -> Judged {
        let id = frame.dialog;
        if self.dialogs.contains(id) {
            return self.on_args(id, frame.flags, frame.body);
        }
        if self.was_opened(id) {
            return self.charge_frame(frame.size, Tag::Start.name());
        }
        Err(self.violation(Tag::Start, "P-D5", "it continues what never began"))
    }

    fn on_args(&mut self, id: DialogId, flags: u8, payload: &[u8]) -> Judged {
        let begun = self.dialogs.get(&id).is_some_and(|dialog| dialog.arrived);
        if begun {
            return Err(self.violation(Tag::Start, "P-F3", "its arguments were whole before"));
        }
        let whole = self.assemble(id, Tag::Start, flags, payload)?;
        let Some((args, cost)) = whole else { return Ok(()) };
        let passed = self.passing.whole.take();
        let Some(dialog) = self.dialogs.get_mut(&id) else { return Ok(()) };
        dialog.arrived = true;
        // They are out of the window until the task takes them (P-W1).
        dialog.allowance = dialog.allowance.saturating_sub(i64::try_from(cost).unwrap_or(i64::MAX));
        if dialog.finished {
            return Ok(());
        }
        if let Some(start) = &mut dialog.start {
            start.incoming.args = args;
            dialog.passed = passed;
            start.cost = if start.incoming.kind == Kind::Call { 0 } else { cost };
        }
        self.events.push_back(Event::Incoming(id));
        Ok(())
    }
}

fn incoming(start: &Start<'_>, name: Vec<u8>) -> Incoming {
    Incoming {
        endpoint: String::from_utf8(name).unwrap_or_default(),
        kind: start.kind,
        schema: start.schema,
        codec: start.codec,
        args: Vec::new(),
        deadline: start.deadline,
        trace: start.trace.map(<[u8]>::to_vec),
    }
}
