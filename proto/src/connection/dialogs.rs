//! The dialogs of a link, by their numbers: found at once where the same is asked for again, as it is
//! over and over. Nothing about any of them is decided here.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::dialog::{Dialog, Kind, Side};
use crate::id::DialogId;

/// So many that have ended are kept for the next ones, so that calls which follow each other
/// allocate none.
const SPARE: usize = 32;

/// In the order of their numbers. Both ends count upwards, so that the next is nearly always the
/// last, and what ends soon stands near it.
#[derive(Clone, Debug, Default)]
pub(super) struct Dialogs {
    /// Boxed: what is moved for one that comes or goes between others is small.
    all: VecDeque<(DialogId, Box<Dialog>)>,
    /// Where the last one was that was found.
    recent: usize,
    #[expect(clippy::vec_box, reason = "it is the boxes that are kept")]
    spare: Vec<Box<Dialog>>,
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
        let ahead = near.map_or(0, |near| id.number().wrapping_sub(near.number()) / 2);
        let guess = self.recent.saturating_add(usize::try_from(ahead).unwrap_or(0));
        match self.all.get(guess) {
            Some((known, _)) if *known == id => Ok(guess),
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
    ) -> Option<&mut Dialog> {
        let place = match self.all.back() {
            Some((last, _)) if *last >= id => self.find(id).err()?,
            _ => self.all.len(),
        };
        let dialog = match self.spare.pop() {
            Some(mut spare) => {
                spare.renew(side, kind, window);
                spare
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
    pub(super) fn remove(&mut self, id: DialogId) {
        let gone = match self.find(id) {
            // Those that were opened first end first, mostly.
            Ok(0) => self.all.pop_front(),
            Ok(place) => self.all.remove(place),
            Err(_) => None,
        };
        let Some((_, mut dialog)) = gone else { return };
        if self.spare.len() < SPARE {
            dialog.let_go();
            self.spare.push(dialog);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (DialogId, &Dialog)> {
        self.all.iter().map(|(id, dialog)| (*id, &**dialog))
    }
}
