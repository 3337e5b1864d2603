//! What there is for each of many that are numbered upwards, as dialogs and scopes are: the next goes
//! behind the others, and room is kept for it. Knows nothing of what is numbered.

use std::collections::VecDeque;

use hatchery_proto::DialogId;
use hatchery_proto::actor::scopes::ScopeId;

/// What such a number is.
pub(crate) trait Number: Copy + Ord {
    /// About so many of them are between this and a lower one.
    fn behind(self, lower: Self) -> u64;
}

impl Number for DialogId {
    fn behind(self, lower: Self) -> u64 {
        // Those of one end are two apart, and what follows each other is seldom of both.
        self.number().wrapping_sub(lower.number()) / 2
    }
}

impl Number for ScopeId {
    fn behind(self, lower: Self) -> u64 {
        self.number().wrapping_sub(lower.number())
    }
}

/// So many places may be empty however few are not.
const FEW: usize = 32;

/// In the order of the numbers. What was taken out leaves an empty place, which costs nobody behind it
/// anything, until there are more of those than of others.
#[derive(Debug)]
pub(crate) struct Numbered<N, T> {
    places: VecDeque<(N, Option<T>)>,
    held: usize,
}

impl<N, T> Default for Numbered<N, T> {
    fn default() -> Self {
        Self { places: VecDeque::new(), held: 0 }
    }
}

impl<N: Number, T> Numbered<N, T> {
    fn find(&self, id: N) -> Result<usize, usize> {
        // From the end: in front stands what was there first, and may stay.
        let away = self.places.back().map_or(0, |(last, _)| last.behind(id));
        let away = usize::try_from(away).unwrap_or(usize::MAX);
        let guess = self.places.len().checked_sub(1).and_then(|last| last.checked_sub(away));
        match guess.and_then(|guess| Some((guess, self.places.get(guess)?))) {
            Some((guess, (known, _))) if *known == id => Ok(guess),
            _ => self.places.binary_search_by_key(&id, |(known, _)| *known),
        }
    }

    /// What there is for it.
    pub(crate) fn get(&self, id: N) -> Option<&T> {
        let place = self.find(id).ok()?;
        self.places.get(place)?.1.as_ref()
    }

    /// The same, to be changed.
    pub(crate) fn get_mut(&mut self, id: N) -> Option<&mut T> {
        let place = self.find(id).ok()?;
        self.places.get_mut(place)?.1.as_mut()
    }

    /// What there is for it, or this from now on.
    pub(crate) fn get_or_insert_with(&mut self, id: N, new: impl FnOnce() -> T) -> &mut T {
        let end = self.places.len();
        let place = match self.places.back() {
            Some((last, _)) if *last >= id => self.find(id),
            _ => Err(end),
        };
        let place = place.unwrap_or_else(|place| {
            self.places.insert(place, (id, None));
            place
        });
        let kept = &mut self.places[place].1;
        self.held += usize::from(kept.is_none());
        kept.get_or_insert_with(new)
    }

    /// Takes out what there is for it.
    pub(crate) fn remove(&mut self, id: N) -> Option<T> {
        let place = self.find(id).ok()?;
        let gone = self.places.get_mut(place)?.1.take()?;
        self.held -= 1;
        while self.places.front().is_some_and(|(_, kept)| kept.is_none()) {
            self.places.pop_front();
        }
        if self.places.len() > 2 * self.held + FEW {
            self.places.retain(|(_, kept)| kept.is_some());
        }
        Some(gone)
    }

    /// All of them, in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (N, &T)> {
        self.places.iter().filter_map(|(id, kept)| Some((*id, kept.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn it_is_a_map_however_numbers_come_and_go() {
        let (mut kept, mut expected) = (Numbered::default(), BTreeMap::new());
        // A fixed sequence that repeats no number too soon: near the end, in between, and far back.
        let (mut state, mut highest) = (1_u64, 0);
        for step in 0..20_000_u64 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(step | 1);
            let back = (state >> 33) % if state >> 63 == 0 { 4 } else { 200 };
            let id = DialogId::new(highest + 4 - back.min(highest + 4));
            highest = highest.max(id.number());
            // Now many come, now many go.
            if (state >> 40) % 10 < 3 + 4 * (step / 2_000 % 2) {
                let new = expected.entry(id).or_insert(step);
                assert_eq!(kept.get_or_insert_with(id, || step), new);
            } else {
                assert_eq!(kept.remove(id), expected.remove(&id));
            }
            assert_eq!(kept.get(id), expected.get(&id));
            assert!(kept.places.len() <= 2 * expected.len() + FEW);
        }
        assert!(highest > 1_000);
        let all: Vec<_> = kept.iter().map(|(id, step)| (id, *step)).collect();
        assert_eq!(all, expected.into_iter().collect::<Vec<_>>());
    }
}
