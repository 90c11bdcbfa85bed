//! The values of a run, counted apart for each of 64 equal parts of the measured window.
//!
//! Requests that waited in one queue depend on each other. How much more the batches differ than
//! chance explains shows how much. The batches do not depend on `--interval`. A request belongs to
//! the batch of its intended time, whenever it is answered.
//!
//! The levels of the counts are coarser than the histogram's buckets: 64 for each power of two.
//! They decide how wide a confidence interval is, not where it lies.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{Distribution, HIGHEST_NS};
use crate::schedule::Window;

/// Batches of a run. A power of two, so that neighbours can be joined again and again.
pub(super) const BATCHES: usize = 64;

/// Levels for each power of two, as a power of two.
const LEVEL_BITS: u32 = 6;
pub(super) const LEVELS: usize = level(HIGHEST_NS) + 1;

/// The distributions that have batches. Connects have none: most of them happen before the window.
const DISTRIBUTIONS: [Distribution; 3] =
    [Distribution::Response, Distribution::Service, Distribution::Lateness];

/// The values of a batch, counted on both sides of a level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Batch {
    pub(super) count: f64,
    /// The number of values beyond the level.
    pub(super) beyond: f64,
}

/// The batches of a run, for each distribution that has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Batches {
    from_ns: u64,
    batch_ns: u64,
    counts: [BatchCounts; DISTRIBUTIONS.len()],
}

impl Batches {
    /// Empty batches of a window.
    pub(crate) fn new(window: Window) -> Self {
        let length_ns = window.end_ns - window.measure_from_ns;
        Self {
            from_ns: window.measure_from_ns,
            batch_ns: length_ns.div_ceil(BATCHES as u64).max(1),
            counts: Default::default(),
        }
    }

    /// Adds a value of a request that was intended for `intended_ns`, inside the window.
    pub(crate) fn record(&mut self, distribution: Distribution, intended_ns: u64, value_ns: u64) {
        self.record_n(distribution, intended_ns, value_ns, 1);
    }

    /// Adds a value of `number` requests that were intended for `intended_ns`, inside the window.
    pub(crate) fn record_n(
        &mut self,
        distribution: Distribution,
        intended_ns: u64,
        value_ns: u64,
        number: u64,
    ) {
        let Some(index) = DISTRIBUTIONS.iter().position(|&known| known == distribution) else {
            return;
        };
        let batch = intended_ns.saturating_sub(self.from_ns) / self.batch_ns;
        self.counts[index].record((batch as usize).min(BATCHES - 1), value_ns, number);
    }

    /// Adds the values of another thread of the same run.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(ours, theirs)| ours.merge(theirs));
    }

    /// The counts of a distribution.
    pub(super) fn of(&self, distribution: Distribution) -> Option<&BatchCounts> {
        let index = DISTRIBUTIONS.iter().position(|&known| known == distribution)?;
        Some(&self.counts[index])
    }
}

/// The batches of one distribution: a row of levels for each, allocated with the first value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct BatchCounts {
    pub(super) counts: Vec<u32>,
}

impl BatchCounts {
    fn record(&mut self, batch: usize, value_ns: u64, number: u64) {
        if number == 0 {
            return;
        }
        if self.counts.is_empty() {
            self.counts.resize(BATCHES * LEVELS, 0);
        }
        let count = &mut self.counts[batch * LEVELS + level(value_ns.min(HIGHEST_NS))];
        *count = count.saturating_add(u32::try_from(number).unwrap_or(u32::MAX));
    }

    fn merge(&mut self, other: &Self) {
        if self.counts.is_empty() {
            self.counts.clone_from(&other.counts);
            return;
        }
        for (ours, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *ours = ours.saturating_add(*theirs);
        }
    }

    fn rows(&self) -> impl Iterator<Item = &[u32]> {
        self.counts.chunks(LEVELS)
    }
}

/// The batches of all runs, one run after the other.
#[derive(Debug, Clone)]
pub(super) struct AllBatches<'a> {
    runs: Vec<&'a BatchCounts>,
    /// The number of all values at each level.
    of_levels: Vec<u64>,
    /// The levels that have values, which are few of them.
    used: Range<usize>,
}

impl<'a> AllBatches<'a> {
    pub(super) fn of(runs: Vec<&'a BatchCounts>) -> Self {
        let mut of_levels = vec![0_u64; LEVELS];
        for row in runs.iter().flat_map(|counts| counts.rows()) {
            of_levels.iter_mut().zip(row).for_each(|(all, &count)| *all += u64::from(count));
        }
        let has_values = |count: &u64| *count > 0;
        let first = of_levels.iter().position(has_values).unwrap_or(0);
        let last = of_levels.iter().rposition(has_values).unwrap_or(0);
        Self { runs, of_levels, used: first..last + 1 }
    }

    /// The batches, counted on both sides of the level beyond which this share of all values lies.
    ///
    /// The values of one level have no order. A part of them counts as beyond, the same part in
    /// each batch, so that the share is exact.
    pub(super) fn beyond(&self, share: f64) -> Vec<Batch> {
        let of_levels = &self.of_levels[self.used.clone()];
        let wanted = share * of_levels.iter().sum::<u64>() as f64;
        let (mut above, mut split) = (0.0, 0);
        for (level, &count) in of_levels.iter().enumerate().rev() {
            split = level;
            if above + count as f64 >= wanted {
                break;
            }
            above += count as f64;
        }
        let part = ((wanted - above) / of_levels[split].max(1) as f64).clamp(0.0, 1.0);
        let sum = |levels: &[u32]| levels.iter().map(|&count| u64::from(count)).sum::<u64>() as f64;
        let batch = |row: &[u32]| {
            let row = &row[self.used.clone()];
            let beyond = sum(&row[split + 1..]) + part * f64::from(row[split]);
            Batch { count: sum(row), beyond }
        };
        let mut batches: Vec<Batch> =
            self.runs.iter().flat_map(|counts| counts.rows()).map(batch).collect();
        // A run that stopped early has empty batches at its end.
        let used = batches.iter().rposition(|batch| batch.count > 0.0).map_or(0, |last| last + 1);
        batches.truncate(used);
        batches
    }
}

/// The level of a value: exact below 128, then 64 levels for each power of two.
const fn level(value_ns: u64) -> usize {
    let Some(exponent) = value_ns.checked_ilog2() else { return 0 };
    if exponent <= LEVEL_BITS {
        return value_ns as usize;
    }
    let shift = exponent - LEVEL_BITS;
    let per_power = 1 << LEVEL_BITS;
    shift as usize * per_power + (value_ns >> shift) as usize
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    /// Batches of 10 ns each.
    fn batches() -> Batches {
        Batches::new(Window::new(0, Duration::from_nanos(100), Duration::from_nanos(640)))
    }

    fn service(batches: &Batches, share: f64) -> Vec<Batch> {
        AllBatches::of(vec![batches.of(Distribution::Service).unwrap()]).beyond(share)
    }

    #[test]
    fn a_request_belongs_to_the_batch_of_its_intended_time() {
        let mut batches = batches();
        for (intended_ns, value_ns) in [(100, 5), (109, 7), (110, 5), (739, 9)] {
            batches.record(Distribution::Service, intended_ns, value_ns);
        }
        let found = service(&batches, 0.5);
        assert_eq!(found.len(), BATCHES);
        assert_eq!(found[0], Batch { count: 2.0, beyond: 1.0 });
        assert_eq!(found[1], Batch { count: 1.0, beyond: 0.0 });
        assert_eq!(found[63], Batch { count: 1.0, beyond: 1.0 });
    }

    #[test]
    fn no_value_at_all_is_recorded_as_none() {
        let mut batches = batches();
        batches.record_n(Distribution::Service, 100, 5, 0);
        assert_eq!(service(&batches, 0.5), []);
    }

    #[test]
    fn equal_values_are_split_in_the_same_part_everywhere() {
        let mut batches = batches();
        (0..20).for_each(|n| batches.record(Distribution::Service, 100 + n, 1_000));
        let found = service(&batches, 0.1);
        assert_eq!(found, [Batch { count: 10.0, beyond: 1.0 }; 2]);
    }

    #[test]
    fn threads_add_up_and_what_has_no_batches_is_ignored() {
        let (mut one, mut other) = (batches(), batches());
        one.record(Distribution::Connect, 100, 5);
        other.record(Distribution::Lateness, 100, 5);
        one.merge(&other);
        one.merge(&other);
        assert_eq!(one.of(Distribution::Lateness).unwrap().rows().next().unwrap()[5], 2);
        assert!(one.of(Distribution::Connect).is_none());
        assert_eq!(service(&one, 0.5), []);
    }

    proptest! {
        #[test]
        fn levels_rise_with_the_values_and_are_narrower_than_one_part_in_64(
            value in 0..=HIGHEST_NS,
        ) {
            prop_assert!(level(value) < LEVELS);
            prop_assert!(level(value + 1) - level(value) <= 1);
            prop_assert!(level(value + value / 64 + 1) > level(value));
        }
    }
}
