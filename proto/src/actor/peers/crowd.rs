//! How many may be about to greet, and who of more than that is turned away (P-R10). Rolls no dice:
//! the number that decides is handed in.

use alloc::collections::BTreeSet;

use super::Bounds;
use crate::id::LinkId;

/// Of so many that are accepted, [`Crowd::rate`] tells how many are dropped.
const ALL: u32 = 1 << 16;

/// Accepted links that have not come up and are not gone.
#[derive(Clone, Debug, Default)]
pub(super) struct Crowd {
    links: BTreeSet<LinkId>,
    dropped: u64,
}

impl Crowd {
    pub(super) fn len(&self) -> usize {
        self.links.len()
    }

    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Takes a link in, or says that it is to be dropped.
    pub(super) fn take(&mut self, link: LinkId, roll: u16, bounds: &Bounds) -> bool {
        if self.links.contains(&link) {
            return true;
        }
        if u32::from(roll) < rate(self.links.len(), bounds) {
            self.dropped = self.dropped.saturating_add(1);
            return false;
        }
        self.links.insert(link);
        true
    }

    pub(super) fn remove(&mut self, link: LinkId) {
        self.links.remove(&link);
    }
}

/// Where so many are there already, of 65,536 how many are dropped.
fn rate(count: usize, bounds: &Bounds) -> u32 {
    let Bounds { greeting, most_greeting, drop_rate, .. } = *bounds;
    if count >= most_greeting {
        return ALL;
    }
    let Some(over) = count.checked_sub(greeting) else { return 0 };
    let [over, most] = [over, most_greeting.saturating_sub(greeting)]
        .map(|count| u64::try_from(count).unwrap_or(u64::MAX));
    let rest = u64::from(ALL).saturating_sub(drop_rate.into());
    let more = rest.saturating_mul(over).checked_div(most).unwrap_or(rest);
    u32::try_from(more.saturating_add(drop_rate.into())).unwrap_or(ALL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_r10_the_rate_rises_from_its_first_value_to_all() {
        let bounds = Bounds::default();
        assert_eq!(rate(63, &bounds), 0);
        assert_eq!(rate(64, &bounds), 19_661, "three in ten");
        assert_eq!(rate(160, &bounds), 42_598, "halfway");
        assert!(rate(255, &bounds) < ALL);
        assert_eq!(rate(256, &bounds), ALL);
        let rates: alloc::vec::Vec<_> = (0..300).map(|count| rate(count, &bounds)).collect();
        assert!(rates.is_sorted());
    }

    #[test]
    fn p_r10_odd_bounds_drop_and_never_fail() {
        for (greeting, most_greeting) in [(0, 0), (5, 5), (9, 3), (0, 1), (0, usize::MAX)] {
            for drop_rate in [0, 1, u16::MAX] {
                let bounds = Bounds { greeting, most_greeting, drop_rate, links: 1, dead: 0 };
                for count in [0, 1, 3, 5, 9, usize::MAX - 1, usize::MAX] {
                    let rate = rate(count, &bounds);
                    assert!(rate <= ALL);
                    assert!(count < most_greeting || rate == ALL, "{bounds:?} {count}");
                }
            }
        }
    }

    #[test]
    fn p_r10_one_at_the_bound_is_taken_by_a_high_roll_only() {
        let mut crowd = Crowd::default();
        let bounds = Bounds::default();
        for number in 1..=64 {
            assert!(crowd.take(LinkId::new(number), 0, &bounds));
        }
        assert!(!crowd.take(LinkId::new(65), 19_660, &bounds));
        assert!(crowd.take(LinkId::new(66), 19_661, &bounds));
        assert!(crowd.take(LinkId::new(1), 0, &bounds), "it is among them already");
        assert_eq!((crowd.len(), crowd.dropped()), (65, 1));
        crowd.remove(LinkId::new(1));
        crowd.remove(LinkId::new(2));
        assert!(crowd.take(LinkId::new(67), 0, &bounds));
    }
}
