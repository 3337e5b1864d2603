//! Small values that arrive one behind the other, as those of a busy stream do, taken together: what the
//! frames would do one by one, judged by the same rules.

use super::{Connection, Event, Phase};
use crate::dialog::cost_of;
use crate::dialog::inbox::SMALL;
use crate::dialog::run::{MOST, first};
use crate::dialog::step::Act;
use crate::id::DialogId;
use crate::wire::{PREFIX, Tag, take_varint};

impl Connection {
    /// Takes the values of one dialog that stand whole at the front, for a reader that has all the room
    /// there is; says whether there was any. It takes none, and changes nothing, where any rule says
    /// something else of it: then each frame is looked at for itself.
    pub(super) fn takes_values(&mut self, input: &mut &[u8]) -> bool {
        let bytes = *input;
        let Some((id, header)) = value_of(bytes) else { return false };
        if self.phase != Phase::Open || self.deframer.held() > 0 {
            return false;
        }
        let max = self.max_message().min(self.chunk()).min(SMALL);
        let Some(dialog) = self.dialogs.get_mut(&id) else { return false };
        let usual = dialog.partial.is_none()
            && dialog.keeps()
            && dialog.inbox.takes_small()
            && dialog.permits(dialog.side.other(), Act::Yield).is_ok();
        if !usual {
            return false;
        }
        let head = bytes.get(PREFIX..header).unwrap_or_default();
        let (mut end, mut len, mut all) = (0_usize, 0_usize, 0_usize);
        let mut allowance = dialog.allowance;
        while end < MOST
            && allowance > 0
            && let Some(rest) = bytes.get(end..)
            && let Some((value, frame)) = first(rest, header)
            && value.len() <= max
            && rest.get(PREFIX..header).is_some_and(|other| other.iter().eq(head))
        {
            self.recorder.took(Some(Tag::Yield), id, value.len());
            allowance -= i64::try_from(cost_of(value.len(), 1)).unwrap_or(i64::MAX);
            (end, len, all) = (end + frame, len + 1, all + value.len());
        }
        let (Some((frames, rest)), true) = (bytes.split_at_checked(end), len > 0) else {
            return false;
        };
        dialog.allowance = allowance;
        if dialog.inbox.is_empty() {
            self.events.push_back(Event::Readable(id));
        }
        let spare = &mut self.out.spare;
        dialog.inbox.push_frames(frames, len, all, header, |room| spare.empty_for(room));
        *input = rest;
        true
    }
}

/// The dialog of a value that begins here and stands in one frame, and where in it the value begins.
#[inline]
fn value_of(bytes: &[u8]) -> Option<(DialogId, usize)> {
    let (&kind, rest) = bytes.get(PREFIX..)?.split_first()?;
    if kind != Tag::Yield as u8 {
        return None;
    }
    let (number, rest) = take_varint(rest)?;
    let (&flags, value) = rest.split_first()?;
    (flags == 0).then_some((DialogId::new(number), bytes.len() - value.len()))
}
