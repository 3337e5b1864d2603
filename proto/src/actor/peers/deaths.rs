//! Who has died, so that whoever asks a moment later is told (P-R11). Only the last of them are
//! remembered.

use alloc::collections::{BTreeMap, VecDeque};

use crate::report::ExitStatus;

#[derive(Clone, Debug, Default)]
pub(super) struct Deaths {
    dead: BTreeMap<u128, Option<ExitStatus>>,
    /// In the order in which they died.
    order: VecDeque<u128>,
}

impl Deaths {
    /// Whether it has died, and how, where that is known.
    pub(super) fn of(&self, uuid: u128) -> Option<Option<ExitStatus>> {
        self.dead.get(&uuid).copied()
    }

    /// Remembers a death among the last `most`. What is known of one stays.
    pub(super) fn add(&mut self, uuid: u128, status: Option<ExitStatus>, most: usize) {
        if let Some(known) = self.dead.get_mut(&uuid) {
            *known = known.or(status);
            return;
        }
        self.dead.insert(uuid, status);
        self.order.push_back(uuid);
        while self.order.len() > most {
            let Some(first) = self.order.pop_front() else { return };
            self.dead.remove(&first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_r11_the_last_deaths_are_remembered_and_the_first_word_of_each() {
        let mut deaths = Deaths::default();
        deaths.add(1, None, 2);
        deaths.add(1, Some(ExitStatus::Code(3)), 2);
        deaths.add(1, Some(ExitStatus::Code(4)), 2);
        assert_eq!(deaths.of(1), Some(Some(ExitStatus::Code(3))));
        deaths.add(2, None, 2);
        assert_eq!((deaths.of(1).is_some(), deaths.of(2)), (true, Some(None)));
        deaths.add(3, None, 2);
        assert_eq!((deaths.of(1), deaths.order.len(), deaths.dead.len()), (None, 2, 2));
        deaths.add(4, None, 0);
        assert_eq!((deaths.of(4), deaths.order.len(), deaths.dead.len()), (None, 0, 0));
    }
}
