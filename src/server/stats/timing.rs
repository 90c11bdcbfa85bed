//! A histogram of times: HDR, two significant digits, a nanosecond to a minute.

use hdrhistogram::Histogram;
use serde::{Serialize, Serializer};

/// The highest recorded time: a minute in nanoseconds. Longer times count as this.
pub(super) const HIGHEST_NS: u64 = 60_000_000_000;
/// Two digits are a precision of one percent, and limit a histogram to some thirty kilobytes.
const DIGITS: u8 = 2;

/// Times recorded by one thread. Serialized as its [`Percentiles`].
#[derive(Clone, Debug, PartialEq)]
pub struct Timing(Histogram<u64>);

/// The summary of a histogram, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// How many times were recorded.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// The median.
    pub p50: u64,
    /// 90 of a hundred are below.
    pub p90: u64,
    /// 99 of a hundred are below.
    pub p99: u64,
    /// 999 of a thousand are below.
    pub p999: u64,
    /// The longest.
    pub max: u64,
}

impl Default for Timing {
    fn default() -> Self {
        let times = Histogram::new_with_bounds(1, HIGHEST_NS, DIGITS);
        Self(times.expect("bounds that the crate allows"))
    }
}

impl Timing {
    /// Records a time.
    pub fn record(&mut self, nanoseconds: u64) {
        self.record_many(nanoseconds, 1);
    }

    /// Records a time with this count.
    pub(super) fn record_many(&mut self, nanoseconds: u64, count: u64) {
        self.0.saturating_record_n(nanoseconds.min(HIGHEST_NS), count);
    }

    /// Adds the times of another histogram.
    pub fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all have the same bounds");
    }

    /// How many times were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// Their sum in nanoseconds, within a percent. It never decreases.
    #[must_use]
    pub fn sum_ns(&self) -> u128 {
        let of = |(time, count)| u128::from(self.0.median_equivalent(time)) * u128::from(count);
        self.counts().map(of).sum()
    }

    /// The times that were recorded, in rising order, and how often each: nanoseconds rounded
    /// down to two significant digits.
    pub fn counts(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter_recorded().map(|step| {
            let time = self.0.lowest_equivalent(step.value_iterated_to());
            (time, step.count_since_last_iteration())
        })
    }

    /// For each bound, in rising order: how many times were at most that long, within a percent of
    /// the bound.
    #[must_use]
    pub fn at_most<const N: usize>(&self, bounds_ns: [u64; N]) -> [u64; N] {
        let mut counts = self.counts().peekable();
        let mut sum = 0;
        bounds_ns.map(|bound| {
            while let Some((_, count)) = counts.next_if(|&(time, _)| time <= bound) {
                sum += count;
            }
            sum
        })
    }

    /// The percentiles of what was recorded.
    #[must_use]
    pub fn percentiles(&self) -> Percentiles {
        let at = |quantile| self.0.value_at_quantile(quantile);
        Percentiles {
            count: self.0.len(),
            mean: self.0.mean(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: self.0.max(),
        }
    }
}

impl Serialize for Timing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.percentiles().serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn timing(times: &[u64]) -> Timing {
        let mut timing = Timing::default();
        times.iter().for_each(|&time| timing.record(time));
        timing
    }

    #[test]
    fn a_time_beyond_the_longest_counts_as_the_longest() {
        let found = timing(&[u64::MAX]).percentiles();
        assert_eq!(found.count, 1);
        assert!(found.max.abs_diff(HIGHEST_NS) < HIGHEST_NS / 100, "{found:?}");
    }

    #[test]
    fn a_time_exactly_at_a_bound_is_within_it() {
        for bound in [1_000, 2_000, 5_000, 1_000_000, 10_000_000_000] {
            assert_eq!(timing(&[bound]).at_most([bound - bound / 50, bound]), [0, 1], "{bound}");
        }
    }

    proptest! {
        #[test]
        fn counts_agree_with_a_sorted_list(times in prop::collection::vec(1..HIGHEST_NS, 0..50)) {
            let timing = timing(&times);
            prop_assert_eq!(timing.count(), times.len() as u64);
            prop_assert_eq!(timing.counts().map(|(_, count)| count).sum::<u64>(), timing.count());
            let bounds = [1_000, 1_000_000, 1_000_000_000, 60_000_000_000];
            for (bound, found) in bounds.into_iter().zip(timing.at_most(bounds)) {
                let within = |bound: u64| times.iter().filter(|&&t| t <= bound).count() as u64;
                prop_assert!(found >= within(bound) && found <= within(bound + bound / 50));
            }
            let sum = times.iter().map(|&time| u128::from(time)).sum::<u128>();
            prop_assert!(timing.sum_ns().abs_diff(sum) <= sum / 50 + times.len() as u128);
        }
    }
}
