//! A latency distribution in constant memory: a histogram, exact extremes and the exact mean.
//!
//! Histograms are merged; percentiles are never averaged.

mod batches;
mod confidence;
mod encoding;
mod latencies;
mod limit_counts;
mod reply_class;

use hdrhistogram::Histogram;

pub(crate) use self::batches::Batches;
pub(crate) use self::confidence::{Samples, ranks};
pub(crate) use self::latencies::{Distribution, Latencies};
pub(crate) use self::limit_counts::LimitCounts;
pub(crate) use self::reply_class::ReplyClass;

/// Largest value of the histogram; longer ones are clamped to it and counted.
const HIGHEST_NS: u64 = 60_000_000_000;
const SIGNIFICANT_DIGITS: u8 = 3;

/// A percentile and the number of samples that it needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Percentile {
    pub(crate) label: &'static str,
    /// Its name in the record.
    pub(crate) field: &'static str,
    pub(crate) quantile: f64,
    /// Fewest independent samples for which a two-sided 95 % upper bound exists.
    pub(crate) samples_min: u64,
}

pub(crate) const P50: Percentile = percentile("p50", "p50", 0.5, 6);
pub(crate) const P90: Percentile = percentile("p90", "p90", 0.9, 36);
pub(crate) const P99: Percentile = percentile("p99", "p99", 0.99, 368);
pub(crate) const P999: Percentile = percentile("p99.9", "p999", 0.999, 3_688);
pub(crate) const P9999: Percentile = percentile("p99.99", "p9999", 0.999_9, 36_887);

/// The percentiles that reports show.
pub(crate) const PERCENTILES: [Percentile; 5] = [P50, P90, P99, P999, P9999];

const fn percentile(
    label: &'static str,
    field: &'static str,
    quantile: f64,
    samples_min: u64,
) -> Percentile {
    Percentile { label, field, quantile, samples_min }
}

/// A distribution of latencies in nanoseconds.
#[derive(Debug, Clone)]
pub(crate) struct Latency {
    histogram: Histogram<u64>,
    min_ns: u64,
    max_ns: u64,
    sum_ns: u128,
    saturated: u64,
}

impl Latency {
    /// An empty distribution.
    pub(crate) fn new() -> Self {
        Self {
            histogram: Histogram::new_with_bounds(1, HIGHEST_NS, SIGNIFICANT_DIGITS)
                .expect("the constant bounds are valid"),
            min_ns: u64::MAX,
            max_ns: 0,
            sum_ns: 0,
            saturated: 0,
        }
    }

    /// Adds one value.
    pub(crate) fn record(&mut self, value_ns: u64) {
        self.record_n(value_ns, 1);
    }

    /// Adds a value `count` times.
    pub(crate) fn record_n(&mut self, value_ns: u64, count: u64) {
        if count == 0 {
            return;
        }
        self.saturated += if value_ns > HIGHEST_NS { count } else { 0 };
        self.histogram.saturating_record_n(value_ns, count);
        self.min_ns = self.min_ns.min(value_ns);
        self.max_ns = self.max_ns.max(value_ns);
        self.sum_ns += u128::from(value_ns) * u128::from(count);
    }

    /// Adds all values of `other`.
    pub(crate) fn merge(&mut self, other: &Self) {
        if other.count() == 0 {
            return;
        }
        self.histogram.add(&other.histogram).expect("all histograms have the same bounds");
        self.min_ns = self.min_ns.min(other.min_ns);
        self.max_ns = self.max_ns.max(other.max_ns);
        self.sum_ns += other.sum_ns;
        self.saturated += other.saturated;
    }

    /// Empties it, without freeing its memory.
    pub(crate) fn clear(&mut self) {
        if self.count() > 0 {
            self.histogram.reset();
        }
        (self.min_ns, self.max_ns, self.sum_ns, self.saturated) = (u64::MAX, 0, 0, 0);
    }

    /// How many values there are.
    pub(crate) fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// How many values exceeded the range of the histogram.
    pub(crate) fn saturated(&self) -> u64 {
        self.saturated
    }

    /// The percentile; nothing if there are too few values.
    pub(crate) fn percentile_ns(&self, percentile: Percentile) -> Option<u64> {
        (self.count() >= percentile.samples_min).then(|| self.quantile_ns(percentile.quantile))
    }

    /// The value below which a share of the samples lies, for any number of samples.
    pub(crate) fn quantile_ns(&self, quantile: f64) -> u64 {
        // The histogram returns the upper edge of a bucket, which may exceed the exact maximum.
        self.histogram.value_at_quantile(quantile).min(self.max_ns)
    }

    /// How many values are larger, to the resolution of the histogram.
    pub(crate) fn count_above(&self, value_ns: u64) -> u64 {
        self.count() - self.histogram.count_between(0, value_ns)
    }

    /// How many values are as large or larger, to the resolution of the histogram.
    pub(crate) fn count_from(&self, value_ns: u64) -> u64 {
        self.histogram.count_between(value_ns.min(HIGHEST_NS), u64::MAX)
    }

    /// The exact smallest value.
    pub(crate) fn min_ns(&self) -> Option<u64> {
        (self.count() > 0).then_some(self.min_ns)
    }

    /// The exact largest value, also when it saturated the histogram.
    pub(crate) fn max_ns(&self) -> Option<u64> {
        (self.count() > 0).then_some(self.max_ns)
    }

    /// The exact mean, rounded down.
    pub(crate) fn mean_ns(&self) -> Option<u64> {
        let mean = self.sum_ns.checked_div(u128::from(self.count()))?;
        u64::try_from(mean).ok()
    }

    /// The exact sum.
    pub(crate) fn sum_ns(&self) -> u128 {
        self.sum_ns
    }

    /// The histogram itself, for the formats that hold one.
    pub(crate) fn histogram(&self) -> &Histogram<u64> {
        &self.histogram
    }

    /// The distribution in a stored histogram; nothing if its bounds differ from ours.
    ///
    /// Its minimum, maximum and mean are as exact as the buckets: to one part in a thousand. The
    /// number of saturated values is lost.
    pub(crate) fn from_histogram(histogram: Histogram<u64>) -> Option<Self> {
        let bounds = (histogram.low(), histogram.high(), histogram.sigfig());
        (bounds == (1, HIGHEST_NS, SIGNIFICANT_DIGITS)).then(|| Self {
            min_ns: if histogram.is_empty() { u64::MAX } else { histogram.min() },
            max_ns: histogram.max(),
            sum_ns: (histogram.mean() * histogram.len() as f64) as u128,
            saturated: 0,
            histogram,
        })
    }

    /// Replaces the minimum, maximum and mean of a stored histogram by exact ones.
    pub(crate) fn refine(&mut self, min_ns: u64, max_ns: u64, mean_ns: u64) {
        self.min_ns = min_ns;
        self.max_ns = max_ns;
        self.sum_ns = u128::from(mean_ns) * u128::from(self.count());
    }

    /// The occupied buckets in rising order: (highest value of the bucket, number of values).
    pub(crate) fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        self.histogram
            .iter_recorded()
            .map(|bucket| (bucket.value_iterated_to(), bucket.count_at_value()))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A histogram of these.
    pub(crate) fn latency_of(values: impl IntoIterator<Item = u64>) -> Latency {
        let mut latency = Latency::new();
        values.into_iter().for_each(|value| latency.record(value));
        latency
    }

    /// These distributions, the others empty.
    pub(crate) fn latencies_of<const N: usize>(known: [(Distribution, Latency); N]) -> Latencies {
        let mut latencies = Latencies::new();
        for (distribution, latency) in known {
            latencies[distribution] = latency;
        }
        latencies
    }

    #[test]
    fn a_percentile_without_enough_samples_is_not_given() {
        let almost = latency_of((1..=367).map(|n| n * 1_000));
        assert_eq!(almost.percentile_ns(P99), None);
        let enough = latency_of((1..=368).map(|n| n * 1_000));
        assert!(enough.percentile_ns(P99).is_some());
    }

    #[test]
    fn an_empty_distribution_has_no_numbers_at_all() {
        let empty = Latency::new();
        assert_eq!(empty.percentile_ns(P50), None);
        assert_eq!((empty.min_ns(), empty.max_ns(), empty.mean_ns()), (None, None, None));
    }

    #[test]
    fn values_beyond_the_top_are_clamped_and_counted_but_the_maximum_stays_exact() {
        let latency = latency_of([5, HIGHEST_NS, HIGHEST_NS + 1, 3 * HIGHEST_NS + 7]);
        assert_eq!(latency.saturated(), 2);
        assert_eq!(latency.count(), 4);
        assert_eq!(latency.max_ns(), Some(3 * HIGHEST_NS + 7));
    }

    #[test]
    fn a_value_counts_as_often_as_it_is_recorded_and_never_is_no_value() {
        let mut latency = latency_of([1]);
        latency.record_n(4, 2);
        latency.record_n(9, 0);
        assert_eq!((latency.count(), latency.max_ns(), latency.mean_ns()), (3, Some(4), Some(3)));
    }

    #[test]
    fn values_are_counted_above_a_value_and_from_it_on() {
        let latency = latency_of([1, 1, 5, 7, 2 * HIGHEST_NS]);
        let counts = |value_ns| (latency.count_above(value_ns), latency.count_from(value_ns));
        assert_eq!(counts(0), (5, 5));
        assert_eq!(counts(1), (3, 5));
        assert_eq!(counts(5), (2, 3));
        assert_eq!(counts(8), (1, 1));
        assert_eq!(counts(u64::MAX), (0, 1), "what is clamped is as large as anything");
    }

    #[test]
    fn minimum_maximum_and_mean_are_exact() {
        let latency = latency_of([1_000_003, 2_000_005, 9_000_013]);
        assert_eq!(latency.min_ns(), Some(1_000_003));
        assert_eq!(latency.max_ns(), Some(9_000_013));
        assert_eq!(latency.mean_ns(), Some(4_000_007));
    }

    #[test]
    fn merging_gives_the_distribution_of_all_values_together() {
        let (fast, slow) = ((1..=5_000).map(|n| n * 10), (1..=100).map(|n| n * 1_000_000));
        let mut merged = latency_of(fast.clone());
        merged.merge(&latency_of(slow.clone()));
        let together = latency_of(fast.chain(slow));
        for percentile in [P50, P90, P99, P999] {
            assert_eq!(merged.percentile_ns(percentile), together.percentile_ns(percentile));
        }
        assert_eq!(merged.count(), 5_100);
        assert_eq!(merged.max_ns(), Some(100_000_000));
        assert_eq!(merged.min_ns(), Some(10));
    }

    #[test]
    fn a_stored_histogram_is_as_exact_as_its_buckets_until_it_is_refined() {
        let exact = latency_of([1_000_003, 2_000_005, 9_000_013]);
        let mut stored = Latency::from_histogram(exact.histogram().clone()).unwrap();
        let near = |given: Option<u64>, exact: f64| (given.unwrap() as f64 / exact - 1.0).abs();
        assert!(near(stored.min_ns(), 1_000_003.0) < 1e-3);
        assert!(near(stored.max_ns(), 9_000_013.0) < 1e-3);
        assert!(near(stored.mean_ns(), 4_000_007.0) < 1e-3);
        stored.refine(1_000_003, 9_000_013, 4_000_007);
        assert_eq!(
            (stored.min_ns(), stored.max_ns(), stored.mean_ns()),
            (exact.min_ns(), exact.max_ns(), exact.mean_ns())
        );
    }

    #[test]
    fn an_empty_stored_histogram_has_no_numbers_either() {
        let stored = Latency::from_histogram(Latency::new().histogram().clone()).unwrap();
        assert_eq!((stored.min_ns(), stored.max_ns(), stored.mean_ns()), (None, None, None));
        let mut merged = stored;
        merged.merge(&latency_of([7]));
        assert_eq!(merged.min_ns(), Some(7));
    }

    #[test]
    fn a_histogram_with_other_bounds_is_none_of_ours() {
        let foreign = Histogram::new_with_bounds(1, 1_000_000, 3).unwrap();
        assert!(Latency::from_histogram(foreign).is_none());
    }

    #[test]
    fn percentiles_are_right_to_three_digits() {
        let latency = latency_of(1..=100_000);
        for (percentile, exact) in [(P50, 50_000_f64), (P99, 99_000.0), (P9999, 99_990.0)] {
            let given = latency.percentile_ns(percentile).unwrap() as f64;
            assert!((given / exact - 1.0).abs() < 1.0 / 1_000.0, "{given} for {exact}");
        }
    }
}
