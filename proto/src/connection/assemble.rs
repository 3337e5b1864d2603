//! Messages that come in one frame or in several, put together (P-F3). What they say is not looked at, and
//! nothing follows from them here.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::Connection;
use super::place::Place;
use crate::dialog::{Partial, cost_of};
use crate::error::Violation;
use crate::id::DialogId;
use crate::passed::Passed;
use crate::wire::{CONTINUED, MORE, Tag};

/// A fragment below this is never free: it is cheap to send and not cheap to take (P-A4).
const SMALL_FRAGMENT: usize = 256;

impl Connection {
    /// Adds a fragment to its message; gives the message once it is whole (P-F3).
    pub(super) fn assemble(
        &mut self,
        id: DialogId,
        tag: Tag,
        flags: u8,
        payload: &[u8],
    ) -> Result<Option<(Vec<u8>, u64)>, Violation> {
        let (more, continued) = (flags & MORE != 0, flags & CONTINUED != 0);
        // It stands where it belongs, or is put there.
        let placed = self.placing.take();
        let size = placed.as_ref().map_or(payload.len(), |place| place.size());
        // The first frame of a `Start` has to share its room.
        if more && size < SMALL_FRAGMENT && (continued || tag != Tag::Start) {
            self.charge_frame(0, tag.name())?;
        }
        let max = self.max_message();
        let state = self.state();
        let refuse = |rule, what: &str| Err(Violation::new(tag.name(), rule, state, what));
        let Some(dialog) = self.dialogs.get_mut(&id) else { return Ok(None) };
        // Of what nobody will read only the size is kept (P-D8).
        let wanted = dialog.wants(tag);
        if flags == 0 && dialog.partial.is_none() && size <= max {
            let kept = if wanted { payload } else { &[] };
            let bytes = match placed {
                Some(place) => place.into_bytes(wanted),
                None => self.out.spare.filled(kept),
            };
            return Ok(Some((bytes, cost_of(size, 1))));
        }
        let mut partial = match (dialog.partial.take(), continued) {
            (None, false) => Partial {
                tag,
                bytes: self.out.spare.empty_for(payload.len()),
                size: 0,
                cost: dialog.cost_of_descriptors(tag, self.passing.named),
                passed: self.passing.claimed.take(),
            },
            (Some(partial), true) if partial.tag == tag => partial,
            (None, true) => return refuse("P-F3", "it continues a message that never began"),
            (Some(_), _) => return refuse("P-F3", "it breaks into a message that is not whole"),
        };
        partial.size = partial.size.saturating_add(size);
        if partial.size > max {
            return refuse("P-F3", "the message is over `max_message`");
        }
        add(&mut partial, placed, payload, wanted);
        partial.cost = partial.cost.saturating_add(cost_of(size, 1));
        if !more {
            dialog.last = partial.bytes.len();
            self.passing.whole = partial.passed;
            return Ok(Some((partial.bytes, partial.cost)));
        }
        dialog.partial = Some(partial);
        Ok(None)
    }
}

/// Puts what a fragment has brought behind what was there, where somebody will read it.
fn add(partial: &mut Partial, placed: Option<Box<Place>>, payload: &[u8], wanted: bool) {
    match placed {
        Some(place) => partial.bytes = place.into_bytes(wanted),
        None if wanted => partial.bytes.extend_from_slice(payload),
        None => {}
    }
    if !wanted {
        partial.passed = Passed::NONE;
    }
}
