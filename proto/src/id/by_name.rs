//! Actors by name, of which several may have one, in the order in which they came. Decides nothing.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use core::ops::Bound;

/// An index of uuids by name. Each stands under a number that only rises.
#[derive(Clone, Debug, Default)]
pub(crate) struct ByName(BTreeMap<String, BTreeMap<u64, u128>>);

impl ByName {
    pub(crate) fn insert(&mut self, name: &str, number: u64, uuid: u128) {
        match self.0.get_mut(name) {
            Some(numbers) => drop(numbers.insert(number, uuid)),
            None => drop(self.0.insert(name.to_owned(), BTreeMap::from([(number, uuid)]))),
        }
    }

    pub(crate) fn remove(&mut self, name: &str, number: u64) {
        let Some(numbers) = self.0.get_mut(name) else { return };
        numbers.remove(&number);
        if numbers.is_empty() {
            self.0.remove(name);
        }
    }

    /// Those of one name, the last that came first.
    pub(crate) fn newest(&self, name: &str) -> impl Iterator<Item = u128> {
        self.0.get(name).into_iter().flat_map(|numbers| numbers.values().rev().copied())
    }

    /// Those whose names begin with `prefix`, by name and then the first that came first; only what
    /// is behind `after`.
    pub(crate) fn behind<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<(&'a str, u64)>,
    ) -> impl Iterator<Item = (&'a str, u64, u128)> {
        let from = after.map_or(prefix, |(name, _)| name.max(prefix));
        let names = self.0.range::<str, _>((Bound::Included(from), Bound::Unbounded));
        let names = names.take_while(move |(name, _)| name.starts_with(prefix));
        names.flat_map(move |(name, numbers)| {
            let number = match after {
                Some((last, number)) if last == name => Bound::Excluded(number),
                _ => Bound::Unbounded,
            };
            let numbers = numbers.range((number, Bound::Unbounded));
            numbers.map(move |(number, uuid)| (name.as_str(), *number, *uuid))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn index() -> ByName {
        let mut index = ByName::default();
        for (number, name) in ["b", "a", "ab", "a", "b"].into_iter().enumerate() {
            index.insert(name, number as u64, number as u128);
        }
        index
    }

    #[test]
    fn p_r3_the_newest_of_a_name_is_first() {
        let index = index();
        assert_eq!(index.newest("a").collect::<Vec<_>>(), [3, 1]);
        assert_eq!(index.newest("").count(), 0);
    }

    #[test]
    fn p_r3_a_list_goes_on_behind_any_place() {
        let index = index();
        let from = |prefix, after| -> Vec<u128> {
            index.behind(prefix, after).map(|(_, _, uuid)| uuid).collect()
        };
        assert_eq!(from("", None), [1, 3, 2, 0, 4]);
        assert_eq!(from("a", None), [1, 3, 2]);
        assert_eq!(from("", Some(("a", 1))), [3, 2, 0, 4]);
        assert_eq!(from("", Some(("a", u64::MAX))), [2, 0, 4]);
        assert_eq!(from("", Some(("aa", 0))), [2, 0, 4], "one that is gone");
        assert_eq!(from("a", Some(("b", 0))), [], "behind all of them");
        assert_eq!(from("b", Some(("a", 9))), [0, 4], "before all of them");
    }

    #[test]
    fn what_is_removed_leaves_nothing() {
        let mut index = index();
        index.remove("a", 77);
        index.remove("c", 0);
        assert_eq!(index.newest("a").count(), 2);
        for (number, name) in ["b", "a", "ab", "a", "b"].into_iter().enumerate() {
            index.remove(name, number as u64);
        }
        assert!(index.0.is_empty());
    }
}
