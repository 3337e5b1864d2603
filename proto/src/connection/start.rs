//! A `Start` and its arguments, and how any fragmented message becomes whole (P-D1, P-F3, P-W5).

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::receive::{Judged, frame_cost};
use super::{Connection, Event, LinkKind, credits_args};
use crate::dialog::{Dialog, Incoming, Kind, Partial, Side};
use crate::error::Violation;
use crate::id::DialogId;
use crate::limits::Limits;
use crate::report::Refusal;
use crate::wire::body::Start;
use crate::wire::{CONTINUED, Frame, MORE, Tag};

impl Connection {
    pub(super) fn on_start(&mut self, frame: &Frame<'_>) -> Judged {
        let id = frame.dialog;
        if self.is_ours(id) || (id.is_actor() && self.config.kind == LinkKind::Peer) {
            return Err(self.violation(Tag::Start, "P-D1", "its number is not the peer's to open"));
        }
        if frame.flags & CONTINUED != 0 {
            return self.on_start_continued(frame);
        }
        if self.highest.is_some_and(|highest| id.number() <= highest) {
            return Err(self.violation(Tag::Start, "P-D1", "its number was used before"));
        }
        if self.config.kind == LinkKind::Child && self.highest.is_none() && !id.is_actor() {
            return Err(self.violation(Tag::Start, "P-L2", "dialog 0 comes first"));
        }
        let (start, args) = postcard::take_from_bytes::<Start<'_>>(frame.body)
            .map_err(|error| self.violation(Tag::Start, "P-F4", format!("{error}")))?;
        if id.is_actor() != (start.kind == Kind::Actor) {
            return Err(self.violation(Tag::Start, "P-L2", "its kind does not fit its number"));
        }
        if start.endpoint.len() > self.config.limits.max_name {
            return Err(self.violation(Tag::Start, "P-F4", "its endpoint's name is too long"));
        }
        self.highest = Some(id.number());
        let mut dialog = Dialog::new(Side::Callee, start.kind, self.config.limits.window);
        dialog.balance = i64::from(start.credit);
        dialog.ceiling = i64::from(start.credit);
        dialog.start = Some((
            Incoming {
                endpoint: start.endpoint.to_owned(),
                kind: start.kind,
                schema: start.schema,
                args: Vec::new(),
                deadline: start.deadline,
                trace: start.trace.map(<[u8]>::to_vec),
            },
            0,
        ));
        self.dialogs.insert(id, dialog);
        if self.theirs >= self.config.limits.max_dialogs {
            return self.refuse_beyond(id);
        }
        self.theirs = self.theirs.saturating_add(1);
        if self.goodbye_sent {
            self.refuse(id, Refusal::ShuttingDown, "the actor is ending".to_string());
            return Ok(());
        }
        self.on_args(id, frame.flags, args)
    }

    /// Past `max_dialogs` there is no slot, only a bounded number of refusals (P-W5).
    fn refuse_beyond(&mut self, id: DialogId) -> Judged {
        self.refusals = self.refusals.saturating_add(1);
        if self.refusals > self.config.limits.max_refusals {
            return Err(self.violation(Tag::Start, "P-W5", "too many refusals wait to be read"));
        }
        if let Some(dialog) = self.dialogs.get_mut(&id) {
            dialog.refused = true;
        }
        let max = self.config.limits.max_dialogs;
        self.refuse(id, Refusal::TooManyDialogs, format!("{max} dialogs are open"));
        self.charge(u64::from(Limits::FRAME_COST), Tag::Start.name())
    }

    fn on_start_continued(&mut self, frame: &Frame<'_>) -> Judged {
        let id = frame.dialog;
        match self.dialogs.get(&id) {
            Some(dialog) if dialog.finished => {
                self.charge(frame_cost(frame.body), Tag::Start.name())
            }
            Some(_) => self.on_args(id, frame.flags, frame.body),
            None if self.highest.is_some_and(|highest| id.number() <= highest) => {
                self.charge(frame_cost(frame.body), Tag::Start.name())
            }
            None => Err(self.violation(Tag::Start, "P-D5", "it continues what never began")),
        }
    }

    fn on_args(&mut self, id: DialogId, flags: u8, payload: &[u8]) -> Judged {
        let whole = self.assemble(id, Tag::Start, flags, payload)?;
        let Some((args, cost)) = whole else { return Ok(()) };
        if let Some(dialog) = self.dialogs.get_mut(&id)
            && let Some((incoming, charged)) = &mut dialog.start
        {
            incoming.args = args;
            *charged = if credits_args(incoming) { cost } else { 0 };
            dialog.arrived = true;
            // The arguments' cost is out of the window until the task takes them (P-W1).
            dialog.allowance =
                dialog.allowance.saturating_sub(i64::try_from(cost).unwrap_or(i64::MAX));
        }
        self.events.push_back(Event::Incoming(id));
        Ok(())
    }

    /// Adds a fragment to its message; gives the message once it is whole (P-F3).
    pub(super) fn assemble(
        &mut self,
        id: DialogId,
        tag: Tag,
        flags: u8,
        payload: &[u8],
    ) -> Result<Option<(Vec<u8>, u64)>, Violation> {
        let max = usize::try_from(self.config.limits.max_message).unwrap_or(usize::MAX);
        let state = self.state();
        let refuse = |rule, what: &str| Err(Violation::new(tag.name(), rule, state, what));
        if flags & MORE != 0 && payload.len() < 256 {
            // Cheap to send, not cheap to take: never free (P-A4).
            self.charge(u64::from(Limits::FRAME_COST), tag.name())?;
        }
        let Some(dialog) = self.dialogs.get_mut(&id) else { return Ok(None) };
        let continued = flags & CONTINUED != 0;
        let mut partial = match (dialog.partial.take(), continued) {
            (None, false) => Partial { tag, bytes: Vec::new(), cost: 0 },
            (Some(partial), true) if partial.tag == tag => partial,
            (None, true) => return refuse("P-F3", "it continues a message that never began"),
            (Some(_), _) => return refuse("P-F3", "it breaks into a message that is not whole"),
        };
        if partial.bytes.len().saturating_add(payload.len()) > max {
            return refuse("P-F3", "the message is over `max_message`");
        }
        partial.bytes.extend_from_slice(payload);
        partial.cost = partial.cost.saturating_add(frame_cost(payload));
        if flags & MORE == 0 {
            return Ok(Some((partial.bytes, partial.cost)));
        }
        dialog.partial = Some(partial);
        Ok(None)
    }
}
