//! Where a world's chances come from: bytes that a fuzzer chose, as far as they last, then one
//! seed, and nothing else. Nothing is decided here.

use std::time::Duration;

/// A stream of chances that its bytes and its seed determine.
#[derive(Debug)]
pub(super) struct Dice {
    bytes: std::vec::IntoIter<u8>,
    rest: fastrand::Rng,
}

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self { bytes: Vec::new().into_iter(), rest: fastrand::Rng::with_seed(seed) }
    }

    /// The first byte says how it goes on after the last, so that all of it is the fuzzer's choice.
    pub(super) fn of_bytes(bytes: &[u8]) -> Self {
        let (seed, bytes) = bytes.split_first().unwrap_or((&0, &[]));
        let rest = fastrand::Rng::with_seed(u64::from(*seed));
        Self { bytes: Vec::from(bytes).into_iter(), rest }
    }

    /// A number below `end` from the bytes, while there are any. No more are taken than it needs,
    /// so that a change of one byte changes one throw.
    fn chosen(&mut self, end: u64) -> Option<u64> {
        let first = u64::from(self.bytes.next()?);
        let more = (end.saturating_sub(1).checked_ilog2().unwrap_or(0) / 8) as usize;
        let number = self.bytes.by_ref().take(more);
        let number = number.fold(first, |sum, byte| sum << 8 | u64::from(byte));
        Some(number % end.max(1))
    }

    /// A number below `end`; 0 where there is none.
    pub(super) fn below(&mut self, end: usize) -> usize {
        match self.chosen(end as u64) {
            Some(chosen) => chosen as usize,
            None if end == 0 => 0,
            None => self.rest.usize(..end),
        }
    }

    /// True in one of `of` throws.
    pub(super) fn one_in(&mut self, of: u32) -> bool {
        self.low(of.max(1)) == 0
    }

    /// A number from `low` to `high`, both included.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        if high <= low {
            return low;
        }
        match self.chosen((high - low).saturating_add(1)) {
            Some(chosen) => low + chosen,
            None => self.rest.u64(low..=high),
        }
    }

    fn low(&mut self, end: u32) -> u32 {
        match self.chosen(u64::from(end)) {
            Some(chosen) => chosen as u32,
            None => self.rest.u32(..end),
        }
    }

    /// A time from `low` to `high` microseconds.
    pub(super) fn micros(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_micros(self.between(low, high))
    }

    /// A time from `low` to `high` milliseconds, to the microsecond.
    pub(super) fn millis(&mut self, low: u64, high: u64) -> Duration {
        self.micros(low * 1000, high * 1000)
    }

    /// One of these.
    pub(super) fn pick<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        let place = self.below(of.len());
        of.get(place).copied()
    }

    /// A place in the list, as likely as its weight.
    pub(super) fn weighed(&mut self, weights: &[u32]) -> usize {
        let sum: u32 = weights.iter().sum();
        let mut left = self.low(sum.max(1));
        for (place, weight) in weights.iter().enumerate() {
            match left.checked_sub(*weight) {
                Some(rest) => left = rest,
                None => return place,
            }
        }
        0
    }
}
