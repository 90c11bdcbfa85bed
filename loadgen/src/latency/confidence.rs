//! The 95 % confidence interval of a percentile, by order statistics.
//!
//! Of `n` independent values the number below the true percentile `p` is binomial, whatever the
//! distribution. So the value of rank `l` is below the true percentile, and that of rank `u` above
//! it, with a known probability; the ranks are looked up in the histogram.
//!
//! Requests that waited in one queue are not independent. [`dispersion`] estimates how much more
//! the number of values beyond a percentile varies between intervals than chance explains: a
//! factor. The confidence interval divides the number of values by this factor, which makes it
//! wider.

use super::{Latency, Percentile};

/// Two-sided 95 % of the normal distribution.
const Z: f64 = 1.959_964;

/// Probability that the true value lies beyond one end.
const TAIL: f64 = 0.025;

/// With fewer values than this beyond the percentile, the normal distribution is too coarse. Then
/// the binomial distribution is summed.
const EXACT_BELOW: f64 = 20.0;

/// The values of one interval, counted on both sides of the percentile.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Batch {
    /// Share of the values that lie beyond the percentile of all intervals together.
    pub(crate) beyond: f64,
    /// The number of values.
    pub(crate) count: u64,
}

/// The index of dispersion of the numbers beyond a percentile: their variance between batches,
/// divided by the binomial variance; at least 1. It is 1 for fewer than two batches.
pub(crate) fn dispersion(quantile: f64, batches: &[Batch]) -> f64 {
    let beyond = 1.0 - quantile;
    let squares = batches.iter().map(|batch| {
        let excess = (batch.beyond - beyond) * batch.count as f64;
        excess * excess / (batch.count as f64 * beyond * quantile)
    });
    let degrees = batches.len().saturating_sub(1);
    if degrees == 0 { 1.0 } else { (squares.sum::<f64>() / degrees as f64).max(1.0) }
}

impl Latency {
    /// The 95 % confidence interval of a percentile, rounded outwards to the histogram's buckets.
    ///
    /// Nothing if there are too few values for the upper end. `dispersion` (at least 1) is the
    /// number of values that count as one.
    pub(crate) fn ci95_ns(&self, percentile: Percentile, dispersion: f64) -> Option<[u64; 2]> {
        let independent = (self.count() as f64 / dispersion).floor();
        let (low, high) = ranks(independent, percentile.quantile)?;
        let scale = self.count() as f64 / independent;
        let low_ns = self.at_rank((low * scale).floor());
        let low_ns = self.histogram.lowest_equivalent(low_ns).max(self.min_ns);
        Some([low_ns, self.at_rank((high * scale).ceil()).min(self.max_ns)])
    }

    /// The share of the values that lie beyond `value_ns`. The values in its bucket have no order,
    /// so of the shares that they allow, this is the nearest to the percentile's own share.
    pub(crate) fn share_beyond(&self, value_ns: u64, percentile: Percentile) -> f64 {
        let count = self.count() as f64;
        let bucket = self.histogram.count_at(value_ns) as f64 / count;
        let beyond = 1.0 - self.histogram.quantile_below(value_ns);
        (1.0 - percentile.quantile).clamp(beyond, beyond + bucket)
    }

    /// The value of a rank, which is from 1 to the count.
    fn at_rank(&self, rank: f64) -> u64 {
        let count = self.count() as f64;
        // The middle of the rank, so that rounding does not reach the neighbouring rank.
        self.histogram.value_at_quantile((rank.clamp(1.0, count) - 0.5) / count)
    }
}

/// Ranks `l <= u` of `n` ordered values between which the quantile `p` lies with 95 %.
fn ranks(n: f64, p: f64) -> Option<(f64, f64)> {
    let beyond = n * (1.0 - p);
    let (low, high) = if beyond < EXACT_BELOW {
        exact_ranks(n, p)?
    } else {
        let half = Z * (beyond * p).sqrt();
        ((n * p - half).floor(), (n * p + half).ceil() + 1.0)
    };
    (high <= n).then_some((low.max(1.0), high))
}

/// The ranks by the number of values beyond the quantile, which is binomial with a small mean.
fn exact_ranks(n: f64, p: f64) -> Option<(f64, f64)> {
    let odds = (1.0 - p) / p;
    let (mut probability, mut up_to) = (p.powf(n), 0.0);
    let (mut beyond, mut high) = (0.0, None);
    // The first number that is not far below the mean, then the first that is far above it.
    while 1.0 - up_to > TAIL && beyond <= n {
        up_to += probability;
        if up_to <= TAIL {
            high = Some(n - beyond);
        }
        probability *= odds * (n - beyond) / (beyond + 1.0);
        beyond += 1.0;
    }
    Some((n - beyond + 1.0, high?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::latency::tests::latency_of;
    use crate::latency::{P50, P90, P99, P999, PERCENTILES};
    use crate::schedule::random;

    #[test]
    fn an_interval_exists_from_exactly_the_number_of_samples_that_a_percentile_needs() {
        for percentile in PERCENTILES {
            let enough = percentile.samples_min as f64;
            assert_eq!(ranks(enough - 1.0, percentile.quantile), None, "{}", percentile.label);
            let (_, high) = ranks(enough, percentile.quantile).unwrap();
            assert_eq!(high, enough, "{}", percentile.label);
        }
    }

    #[test]
    fn ranks_of_the_median_are_those_of_the_published_table() {
        // Nonparametric 95 % intervals of the median: ranks for n = 6, 10, 15, 20 and 30.
        for (n, low, high) in [
            (6.0, 1.0, 6.0),
            (10.0, 2.0, 9.0),
            (15.0, 4.0, 12.0),
            (20.0, 6.0, 15.0),
            (30.0, 10.0, 21.0),
        ] {
            assert_eq!(ranks(n, 0.5), Some((low, high)), "{n}");
        }
    }

    #[test]
    fn many_samples_have_the_ranks_of_the_normal_distribution() {
        // 9,990 +- 1.96 * sqrt(9.99) of 10,000 leaves fewer than 20 beyond: counted out.
        assert_eq!(ranks(10_000.0, 0.999), Some((9_983.0, 9_997.0)));
        assert_eq!(ranks(100_000.0, 0.999), Some((99_880.0, 99_921.0)));
        assert_eq!(ranks(1_000_000.0, 0.999), Some((998_938.0, 999_063.0)));
    }

    #[test]
    fn the_interval_is_looked_up_in_the_histogram_and_rounded_outwards() {
        let latency = latency_of(1..=1_000);
        let [low, high] = latency.ci95_ns(P50, 1.0).unwrap();
        // Ranks 469 and 532 of values that are their own ranks, in exact buckets up to 2,048.
        assert_eq!([low, high], [469, 532]);
        assert_eq!(latency_of([70_123; 400]).ci95_ns(P99, 1.0), Some([70_123, 70_123]));
        assert_eq!(latency_of(1..=367).ci95_ns(P99, 1.0), None);
    }

    #[test]
    fn values_that_depend_on_each_other_widen_the_interval() {
        let latency = latency_of((1..=100_000).map(|n| n * 10));
        let width = |dispersion: f64| {
            let [low, high] = latency.ci95_ns(P90, dispersion).unwrap();
            (high - low) as f64
        };
        assert!((width(4.0) / width(1.0) - 2.0).abs() < 0.05, "{} {}", width(4.0), width(1.0));
        assert_eq!(latency.ci95_ns(P999, 50.0), None, "100,000 are then as good as 2,000");
    }

    #[test]
    fn dispersion_is_the_variance_of_batches_by_the_binomial_one() {
        let batches = |shares: [f64; 2]| shares.map(|beyond| Batch { beyond, count: 100 });
        // Twice an excess of 4 of 100, whose binomial variance is 9: 2 * 16 / 9.
        let known = dispersion(0.9, &batches([0.06, 0.14]));
        assert!((known - 32.0 / 9.0).abs() < 1e-9, "{known}");
        assert_eq!(dispersion(0.9, &batches([0.1, 0.1])), 1.0);
        assert_eq!(dispersion(0.9, &batches([0.0, 1.0])[..1]), 1.0);
    }

    #[test]
    fn a_share_inside_a_bucket_is_as_near_to_the_percentile_as_may_be() {
        let latency = latency_of([10; 50].into_iter().chain([20; 40]).chain([30; 10]));
        assert_eq!(latency.share_beyond(10, P50), 0.5);
        assert!((latency.share_beyond(20, P50) - 0.5).abs() < 1e-12);
        assert!((latency.share_beyond(30, P50) - 0.1).abs() < 1e-12);
        assert!((latency.share_beyond(10, P99) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn the_true_percentile_lies_inside_about_as_often_as_promised() {
        for (percentile, count) in [(P50, 60), (P90, 150), (P99, 900), (P90, 900)] {
            let true_ns = percentile.quantile * 1e9;
            let contains = |run: &u64| {
                let value = |n| (random::unit(random::at(*run, n)) * 1e9) as u64;
                let latency = latency_of((0..count).map(value));
                let [low, high] = latency.ci95_ns(percentile, 1.0).unwrap();
                (low as f64) <= true_ns && true_ns <= high as f64
            };
            let often = (0..400).filter(contains).count();
            assert!(often >= 372, "{}: {often} of 400", percentile.label);
        }
    }

    /// P(X <= k) of a binomial distribution, term by term from logarithms.
    fn binomial_up_to(k: u64, n: u64, p: f64) -> f64 {
        let ln_choose = |k: u64| (1..=k).map(|i| ((n - k + i) as f64 / i as f64).ln()).sum::<f64>();
        let term =
            |k: u64| (ln_choose(k) + k as f64 * p.ln() + (n - k) as f64 * (1.0 - p).ln()).exp();
        (0..=k).map(term).sum()
    }

    proptest! {
        #[test]
        fn exact_ranks_are_the_narrowest_that_keep_both_tails(n in 6_u64..400, p in 0.5_f64..0.99) {
            prop_assume!(n as f64 * (1.0 - p) < EXACT_BELOW);
            // Below `low`: at most low - 1 values lie under the quantile.
            let tail_low = |low: u64| if low == 0 { 0.0 } else { binomial_up_to(low - 1, n, p) };
            let tail_high = |high: u64| 1.0 - binomial_up_to(high - 1, n, p);
            match ranks(n as f64, p) {
                None => prop_assert!(tail_high(n) > TAIL - 1e-9),
                Some((low, high)) => {
                    let (low, high) = (low as u64, high as u64);
                    prop_assert!(low == 1 || tail_low(low) <= TAIL + 1e-9);
                    prop_assert!(tail_low(low + 1) > TAIL - 1e-9);
                    prop_assert!(tail_high(high) <= TAIL + 1e-9);
                    prop_assert!(high == 1 || tail_high(high - 1) > TAIL - 1e-9);
                }
            }
        }
    }
}
