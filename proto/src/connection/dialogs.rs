//! The dialogs of a link, by their numbers: found at once where the same is asked for again, as it is
//! over and over. Nothing about any of them is decided here.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::spare::Spare;
use crate::dialog::{Dialog, Kind, Side};
use crate::id::DialogId;

/// In the order of their numbers. Both ends count upwards, so that the next is nearly always the
/// last, and what ends soon stands near it.
#[derive(Clone, Debug, Default)]
pub(super) struct Dialogs {
    /// Boxed: what is moved for one that comes or goes between others is small.
    all: VecDeque<(DialogId, Box<Dialog>)>,
    /// Where the last one was that was found.
    recent: usize,
    /// Those that have ended, for the next ones: calls that follow each other allocate none.
    #[expect(clippy::vec_box, reason = "it is the boxes that are kept")]
    ended: Vec<Box<Dialog>>,
}

impl Dialogs {
    #[inline]
    fn find(&self, id: DialogId) -> Result<usize, usize> {
        match self.all.get(self.recent) {
            Some((near, _)) if *near == id => Ok(self.recent),
            near => self.look(id, near.map(|(near, _)| *near)),
        }
    }

    #[inline(never)]
    fn look(&self, id: DialogId, near: Option<DialogId>) -> Result<usize, usize> {
        // Those of one side are two apart, and what follows each other is seldom of both.
        let near = near.map_or(0, DialogId::number);
        let away = usize::try_from(id.number().abs_diff(near) / 2).unwrap_or(usize::MAX);
        let guess = match id.number() < near {
            true => self.recent.checked_sub(away),
            false => self.recent.checked_add(away),
        };
        match guess.and_then(|guess| Some((guess, self.all.get(guess)?))) {
            Some((guess, (known, _))) if *known == id => Ok(guess),
            _ => self.all.binary_search_by_key(&id, |(known, _)| *known),
        }
    }

    #[inline]
    pub(super) fn get(&self, id: &DialogId) -> Option<&Dialog> {
        let place = self.find(*id).ok()?;
        self.all.get(place).map(|(_, dialog)| &**dialog)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: &DialogId) -> Option<&mut Dialog> {
        let place = self.find(*id).ok()?;
        self.recent = place;
        self.all.get_mut(place).map(|(_, dialog)| &mut **dialog)
    }

    pub(super) fn contains(&self, id: DialogId) -> bool {
        self.find(id).is_ok()
    }

    /// Adds one, whose number is not there.
    pub(super) fn insert(
        &mut self,
        id: DialogId,
        side: Side,
        kind: Kind,
        window: u32,
        spare: &mut Spare,
    ) -> Option<&mut Dialog> {
        let place = match self.all.back() {
            Some((last, _)) if *last >= id => self.find(id).err()?,
            _ => self.all.len(),
        };
        let dialog = match self.ended.pop() {
            Some(mut dialog) => {
                spare.let_go(Dialog::PLACE);
                dialog.renew(side, kind, window);
                dialog
            }
            None => Box::new(Dialog::new(side, kind, window)),
        };
        self.recent = place;
        if place == self.all.len() {
            self.all.push_back((id, dialog));
        } else {
            self.all.insert(place, (id, dialog));
        }
        self.all.get_mut(place).map(|(_, dialog)| &mut **dialog)
    }

    /// Takes one out; what it was is looked at before.
    pub(super) fn remove(&mut self, id: DialogId, spare: &mut Spare) {
        let gone = match self.find(id) {
            // Those that were opened first end first, mostly.
            Ok(0) => self.all.pop_front(),
            Ok(place) => self.all.remove(place),
            Err(_) => None,
        };
        let Some((_, mut dialog)) = gone else { return };
        dialog.let_go();
        if spare.keeps(Dialog::PLACE) {
            self.ended.push(dialog);
        }
    }

    /// None will come any more: what was kept for them is given back.
    pub(super) fn keep_none(&mut self, spare: &mut Spare) {
        let ended = core::mem::take(&mut self.ended);
        spare.let_go(ended.len().saturating_mul(Dialog::PLACE));
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (DialogId, &Dialog)> {
        self.all.iter().map(|(id, dialog)| (*id, &**dialog))
    }
}
