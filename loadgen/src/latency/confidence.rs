//! The 95 % confidence interval of a percentile, by order statistics.
//!
//! Of `n` independent values the number below the true percentile `p` is binomial, whatever the
//! distribution. So the value of rank `l` is below the true percentile, and that of rank `u` above
//! it, with a known probability; the ranks are looked up in the histogram.
//!
//! Requests that waited in one queue are not independent. The index of dispersion says how many of
//! them count as one: the variance of the number of values beyond the percentile between batches
//! of the run, divided by the binomial variance (batch means; Law and Kelton, "Simulation Modeling
//! and Analysis"). Three things make it too small in a short run, and are corrected:
//!
//! - Batches that depend on each other. Neighbours are joined until they do not.
//! - A high percentile. The values beyond it come in a few groups, and a run without a large group
//!   does not show that there are any. The index at the median is better known. In queues with one
//!   server, the index at p90 is up to 2.5 times, that at p99 up to 4 times as far above 1. With 20
//!   or more effective values beyond the percentile, its own index counts more and more.
//! - A run that is not much longer than the memory of the queue. With `n` values that count as `m`,
//!   the index is increased by 40 / `m` of itself.
//!
//! The three numbers come from simulated queues with Poisson arrivals and a utilisation of 0.5 to
//! 0.9. The tests of the engine repeat that.

use super::batches::{AllBatches, Batch, BatchCounts};
use super::{Batches, Distribution, Latencies, Latency, LimitCounts};
use crate::schedule::Mode;

/// Two-sided 95 % of the normal distribution.
const Z: f64 = 1.959_964;

/// Probability that the true value lies beyond one end.
const TAIL: f64 = 0.025;

/// With fewer values than this beyond the percentile, the normal distribution is too coarse. Then
/// the binomial distribution is summed.
const EXACT_BELOW: f64 = 20.0;

/// Fewest batches from which a variance is estimated.
const BATCHES_MIN: usize = 8;

/// The index at p90 and at p99 by the index at the median, both less 1.
const INDEX_AT_P90: f64 = 2.5;
const INDEX_AT_P99: f64 = 4.0;

/// From this number of effective values beyond a percentile on, the index there is known.
const BEYOND_KNOWN: f64 = 20.0;

/// By how much the index is increased for a run whose requests count as one.
const SHORT_RUN: f64 = 40.0;

/// A limit of as many times the largest value is far from all of them. A queue whose true p99 is
/// the limit stays below a sixth of it throughout in 4 % of runs of 368 requests at a utilisation
/// of 0.95, in 0.1 % of runs of 800, and in none of 4,000 runs at a utilisation of 0.9.
const FAR: u64 = 6;

/// A value comes near a limit of this many times itself.
const NEAR: u64 = 3;

/// The latencies of one or several runs, with their batches. Without batches, how far requests
/// depend on each other is not known, and there is no confidence interval.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Samples<'a> {
    pub(crate) mode: Mode,
    pub(crate) latencies: &'a Latencies,
    pub(crate) runs: &'a [Batches],
}

impl Samples<'_> {
    /// How far the values of a distribution depend on each other; nothing if that is not known.
    pub(crate) fn dependence(&self, distribution: Distribution) -> Option<Dependence<'_>> {
        let runs: Option<Vec<_>> = self.runs.iter().map(|run| run.of(distribution)).collect();
        let runs = runs.filter(|runs| !runs.is_empty())?;
        let count = self.latencies.with_bounds(distribution, self.mode).count();
        Dependence::of(runs, count)
    }
}

impl Samples<'_> {
    /// Whether the share of a distribution's values that `holds` is at least the quantile, at the
    /// 95 % level; nothing if that cannot be decided.
    ///
    /// It compares counts, not values: a percentile that is far from a limit is certain to be on
    /// its side of it long before its own confidence interval is known. How far values depend on
    /// each other is seen in those that come near the limit: a drift of some microseconds far below
    /// it says nothing. Where even the largest value is far below, the values count as independent.
    pub(crate) fn meets(
        &self,
        distribution: Distribution,
        quantile: f64,
        holds: &dyn Fn(u64) -> bool,
    ) -> Option<bool> {
        self.limit_counts(distribution, quantile, holds)?.meets()
    }

    /// The values of a distribution on both sides of a limit, and how many independent ones say as
    /// much; nothing if that is not known.
    pub(crate) fn limit_counts(
        &self,
        distribution: Distribution,
        quantile: f64,
        holds: &dyn Fn(u64) -> bool,
    ) -> Option<LimitCounts> {
        let dependence = self.dependence(distribution)?;
        let good = |latency: &Latency, factor: u64| -> u64 {
            let holds = |value_ns: u64| holds(value_ns.saturating_mul(factor));
            let good = latency.buckets().filter(|&(value_ns, _)| holds(value_ns));
            good.map(|(_, count)| count).sum()
        };
        let all = self.latencies.with_bounds(distribution, self.mode);
        let count = all.count() as f64;
        // A request without a reply may have had any latency from its wait on.
        let (at_least, at_most) = (good(&self.latencies[distribution], 1), good(&all, 1));
        let is_far = self.latencies[distribution].count() == all.count()
            && all.max_ns().is_some_and(|max_ns| holds(max_ns.saturating_mul(FAR)));
        let near = (all.count() - good(&all, NEAR)) as f64 / count;
        let effective_if_met = match is_far {
            true => count,
            false => dependence.effective_count_beyond(near, quantile),
        };
        let at_most_share = at_most as f64 / count;
        let effective_if_missed = dependence.effective_count(at_most_share.min(quantile));
        let effective = [effective_if_met, effective_if_missed];
        Some(LimitCounts::new(quantile, all.count(), [at_least, at_most], effective))
    }
}

/// How far the values of one distribution depend on each other.
#[derive(Debug, Clone)]
pub(crate) struct Dependence<'a> {
    batches: AllBatches<'a>,
    count: f64,
    at_median: Dispersion,
}

/// An estimate of the index of dispersion.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Dispersion {
    /// The index, at least 1.
    index: f64,
    /// The batches that it was estimated from.
    batches: usize,
}

impl<'a> Dependence<'a> {
    /// The dependence of `count` values; nothing if there are too few batches.
    fn of(runs: Vec<&'a BatchCounts>, count: u64) -> Option<Self> {
        let batches = AllBatches::of(runs);
        let at_median = Dispersion::of(batches.beyond(0.5), 0.5)?;
        Some(Self { batches, count: count as f64, at_median })
    }

    /// The effective sample size: the number of independent values that say as much about this
    /// quantile as all values do. It is smaller for few batches, from which the index is uncertain:
    /// Student's t distribution in place of the normal one.
    pub(crate) fn effective_count(&self, quantile: f64) -> f64 {
        let dispersion = self.dispersion(quantile);
        let widening = student_t(dispersion.batches - 1) / Z;
        (self.count / (dispersion.index * widening * widening)).floor()
    }

    /// The effective sample size at a limit that should be above this quantile, if this share of
    /// the values comes near it. If these are too few to know how they depend on each other, it is
    /// that of the quantile.
    fn effective_count_beyond(&self, near: f64, quantile: f64) -> f64 {
        let base = Dispersion::of(self.batches.beyond(near), near);
        let is_known = |base: &Dispersion| {
            (1.0 - quantile..=0.5).contains(&near) && near * self.count >= BEYOND_KNOWN * base.index
        };
        let Some(base) = base.filter(is_known) else { return self.effective_count(quantile) };
        let short = 1.0 + SHORT_RUN * base.index / self.count;
        let growth = growth(quantile) / growth(1.0 - near);
        let index = 1.0 + growth * (base.index * short - 1.0);
        let widening = student_t(base.batches - 1) / Z;
        (self.count / (index * widening * widening)).floor()
    }

    fn dispersion(&self, quantile: f64) -> Dispersion {
        let share = 1.0 - quantile;
        let own = Dispersion::of(self.batches.beyond(share), share);
        let own = own.unwrap_or(self.at_median);
        let short = 1.0 + SHORT_RUN * self.at_median.index / self.count.max(1.0);
        let own_index = own.index * short;
        let doubt = (BEYOND_KNOWN * own_index / (self.count * share)).min(1.0);
        let by_median = 1.0 + doubt * growth(quantile) * (self.at_median.index * short - 1.0);
        Dispersion {
            index: own_index.max(by_median),
            batches: own.batches.min(self.at_median.batches),
        }
    }
}

impl Dispersion {
    /// Estimated from batches of which this share of all values is beyond a level; nothing for too
    /// few batches.
    fn of(mut batches: Vec<Batch>, share: f64) -> Option<Self> {
        if batches.len() < BATCHES_MIN {
            return None;
        }
        loop {
            let excess: Vec<f64> =
                batches.iter().map(|batch| batch.beyond - share * batch.count).collect();
            let squares: f64 = excess.iter().map(|excess| excess * excess).sum();
            let products: f64 = excess.windows(2).map(|pair| pair[0] * pair[1]).sum();
            let number = batches.len() as f64;
            let is_independent = products <= squares / number.sqrt();
            if is_independent || batches.len() / 2 < BATCHES_MIN {
                let count: f64 = batches.iter().map(|batch| batch.count).sum();
                let variance = squares * number / (number - 1.0);
                let by_chance = count * share * (1.0 - share);
                let index = if by_chance > 0.0 { (variance / by_chance).max(1.0) } else { 1.0 };
                return Some(Self { index, batches: batches.len() });
            }
            batches = batches.chunks(2).map(joined).collect();
        }
    }
}

fn joined(batches: &[Batch]) -> Batch {
    Batch {
        count: batches.iter().map(|batch| batch.count).sum(),
        beyond: batches.iter().map(|batch| batch.beyond).sum(),
    }
}

/// How much larger the index less 1 is at a quantile than at the median. It grows with the number
/// of nines.
fn growth(quantile: f64) -> f64 {
    let nines = -(1.0 - quantile).log10();
    let median = -0.5_f64.log10();
    if nines <= median {
        1.0
    } else if nines <= 1.0 {
        1.0 + (INDEX_AT_P90 - 1.0) * (nines - median) / (1.0 - median)
    } else {
        (INDEX_AT_P90 + (INDEX_AT_P99 - INDEX_AT_P90) * (nines - 1.0)).min(INDEX_AT_P99)
    }
}

/// Two-sided 95 % of Student's t distribution, by its expansion around the normal one (Abramowitz
/// and Stegun, 26.7.5). From seven degrees of freedom on it is exact to one part in a thousand.
fn student_t(degrees: usize) -> f64 {
    let n = degrees as f64;
    let z2 = Z * Z;
    let first = (z2 + 1.0) / 4.0;
    let second = ((5.0 * z2 + 16.0) * z2 + 3.0) / 96.0;
    let third = (((3.0 * z2 + 19.0) * z2 + 17.0) * z2 - 15.0) / 384.0;
    Z * (1.0 + first / n + second / (n * n) + third / (n * n * n))
}

/// Ranks of `count` ordered values between which a quantile lies with 95 %, if they say as much
/// about it as `effective` independent ones. Nothing if these are too few for the upper end.
pub(crate) fn ranks(count: u64, effective: f64, quantile: f64) -> Option<[f64; 2]> {
    let (low, high) = independent_ranks(effective, quantile);
    let high = high.filter(|&high| high <= effective)?;
    let scale = count as f64 / effective;
    Some([(low.max(1.0) * scale).floor(), (high * scale).ceil()])
}

impl Latency {
    /// The value of a rank, which is from 1 to the count, rounded up to the end of its bucket.
    pub(crate) fn at_rank(&self, rank: f64) -> u64 {
        let count = self.count() as f64;
        // The middle of the rank, so that rounding does not reach the neighbouring rank.
        let middle = (rank.clamp(1.0, count) - 0.5) / count;
        self.histogram.value_at_quantile(middle).min(self.max_ns)
    }

    /// The value of a rank, rounded down to the beginning of its bucket.
    pub(crate) fn lowest_at_rank(&self, rank: f64) -> u64 {
        self.histogram.lowest_equivalent(self.at_rank(rank)).max(self.min_ns)
    }
}

/// Ranks `l <= u` of `n` ordered and independent values: the quantile `p` lies above that of rank
/// `l` with 97.5 %, and below that of rank `u` likewise. Where `l` is below 1, no value is low
/// enough.
pub(super) fn independent_ranks(n: f64, p: f64) -> (f64, Option<f64>) {
    let beyond = n * (1.0 - p);
    if beyond < EXACT_BELOW {
        return exact_ranks(n, p);
    }
    let half = Z * (beyond * p).sqrt();
    ((n * p - half).floor(), Some((n * p + half).ceil() + 1.0))
}

/// The ranks by the number of values beyond the quantile, which is binomial with a small mean.
fn exact_ranks(n: f64, p: f64) -> (f64, Option<f64>) {
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
    (n - beyond + 1.0, high)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::latency::tests::latency_of;
    use crate::latency::{P50, P90, P99, PERCENTILES};
    use crate::schedule::{Window, random};

    /// The ranks if all of `n` values are independent.
    fn independent(n: f64, quantile: f64) -> Option<[f64; 2]> {
        ranks(n as u64, n, quantile)
    }

    #[test]
    fn an_interval_exists_from_exactly_the_number_of_samples_that_a_percentile_needs() {
        for percentile in PERCENTILES {
            let enough = percentile.samples_min as f64;
            assert_eq!(independent(enough - 1.0, percentile.quantile), None, "{percentile:?}");
            let [_, high] = independent(enough, percentile.quantile).unwrap();
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
            assert_eq!(independent(n, 0.5), Some([low, high]), "{n}");
        }
    }

    #[test]
    fn many_samples_have_the_ranks_of_the_normal_distribution() {
        // 9,990 +- 1.96 * sqrt(9.99) of 10,000 leaves fewer than 20 beyond: counted out.
        assert_eq!(independent(10_000.0, 0.999), Some([9_983.0, 9_997.0]));
        assert_eq!(independent(100_000.0, 0.999), Some([99_880.0, 99_921.0]));
        assert_eq!(independent(1_000_000.0, 0.999), Some([998_938.0, 999_063.0]));
    }

    #[test]
    fn values_that_depend_on_each_other_widen_the_interval() {
        let width = |effective: f64| {
            let [low, high] = ranks(100_000, effective, 0.9).unwrap();
            high - low
        };
        assert!((width(25_000.0) / width(100_000.0) - 2.0).abs() < 0.05);
        assert_eq!(ranks(100_000, 2_000.0, 0.999), None, "100,000 are then as good as 2,000");
    }

    #[test]
    fn a_rank_is_looked_up_in_the_histogram_and_rounded_outwards() {
        let latency = latency_of(1..=1_000);
        assert_eq!((latency.lowest_at_rank(469.0), latency.at_rank(532.0)), (469, 532));
        let equal = latency_of([70_123; 400]);
        assert_eq!((equal.lowest_at_rank(3.0), equal.at_rank(390.0)), (70_123, 70_123));
    }

    #[test]
    fn student_s_distribution_is_that_of_the_published_table() {
        for (degrees, t) in [(7, 2.365), (15, 2.131), (31, 2.040), (63, 1.998), (639, 1.964)] {
            assert!((student_t(degrees) / t - 1.0).abs() < 1e-3, "{degrees}: {t}");
        }
    }

    fn of_shares(shares: impl IntoIterator<Item = f64>) -> Vec<Batch> {
        let batch = |share| Batch { count: 100.0, beyond: 100.0 * share };
        shares.into_iter().map(batch).collect()
    }

    #[test]
    fn dispersion_is_the_variance_of_batches_by_the_binomial_one() {
        // Eight batches with an excess of 4 of 100, whose binomial variance is 9.
        let alternating = of_shares([0.06, 0.14].into_iter().cycle().take(8));
        let known = Dispersion::of(alternating, 0.1).unwrap();
        assert!((known.index - 8.0 / 7.0 * 16.0 / 9.0).abs() < 1e-9, "{known:?}");
        assert_eq!(known.batches, 8);
        let alike = of_shares([0.1; 8]);
        assert_eq!(Dispersion::of(alike, 0.1), Some(Dispersion { index: 1.0, batches: 8 }));
        assert_eq!(Dispersion::of(of_shares([0.1; 7]), 0.1), None, "too few batches");
    }

    #[test]
    fn batches_that_depend_on_their_neighbours_are_joined() {
        // Eight batches high, eight low, and again.
        let waves = of_shares((0..64).map(|n| if n / 8 % 2 == 0 { 0.06 } else { 0.14 }));
        let known = Dispersion::of(waves, 0.1).unwrap();
        assert_eq!(known.batches, 16);
        assert!(known.index > 6.0, "four times that of single batches: {known:?}");
    }

    /// One run of independent values, evenly spread over the window.
    fn even_run(count: u64, value_ns: impl Fn(u64) -> u64) -> (Latencies, Batches) {
        let mut latencies = Latencies::new();
        let window = Window::new(0, Duration::ZERO, Duration::from_nanos(count));
        let mut batches = Batches::new(window);
        for n in 0..count {
            latencies[Distribution::Service].record(value_ns(n));
            batches.record(Distribution::Service, n, value_ns(n));
        }
        (latencies, batches)
    }

    #[test]
    fn the_true_percentile_of_independent_values_lies_inside_as_often_as_promised() {
        for (percentile, count) in [(P50, 320), (P90, 960), (P99, 4_000)] {
            let true_ns = percentile.quantile * 1e9;
            let contains = |run: u64| {
                let value = |n| (random::unit(random::at(run, n)) * 1e9) as u64;
                let (latencies, batches) = even_run(count, value);
                let runs = std::slice::from_ref(&batches);
                let samples = Samples { mode: Mode::Closed, latencies: &latencies, runs };
                let dependence = samples.dependence(Distribution::Service).unwrap();
                let effective = dependence.effective_count(percentile.quantile);
                let [low, high] = ranks(count, effective, percentile.quantile)?;
                let service = &latencies[Distribution::Service];
                let (low_ns, high_ns) = (service.lowest_at_rank(low), service.at_rank(high));
                Some((low_ns as f64) <= true_ns && true_ns <= high_ns as f64)
            };
            let intervals: Vec<bool> = (0..200).filter_map(contains).collect();
            let often = intervals.iter().filter(|&&contains| contains).count();
            let label = percentile.label;
            assert!(intervals.len() >= 190, "{label}: {} intervals", intervals.len());
            assert!(often as f64 >= 0.93 * intervals.len() as f64, "{label}: {often}");
        }
    }

    #[test]
    fn a_median_that_wavers_says_little_about_a_tail_that_is_known() {
        // 55 or 45 of 100 values of a batch are above the median; one in 50 is slow throughout.
        let value = |n: u64| {
            let above = if (n / 1_000).is_multiple_of(2) { 55 } else { 45 };
            if n.is_multiple_of(50) { 9_000 } else { 1_000 + 1_000 * u64::from(n % 100 < above) }
        };
        let (latencies, batches) = even_run(64_000, value);
        let runs = std::slice::from_ref(&batches);
        let samples = Samples { mode: Mode::Closed, latencies: &latencies, runs };
        let dependence = samples.dependence(Distribution::Service).unwrap();
        let (median, tail) = (dependence.effective_count(0.5), dependence.effective_count(0.98));
        assert!(median < 10_000.0 && tail > 30_000.0, "{median} {tail}");
    }

    #[test]
    fn an_objective_is_decided_by_the_number_of_values_on_both_sides_of_its_limit() {
        let value = |n| (random::unit(random::at(7, n)) * 1e9) as u64;
        let (mut latencies, batches) = even_run(2_000, value);
        let runs = std::slice::from_ref(&batches);
        let meets = |latencies: &Latencies, quantile: f64, limit: f64| {
            let samples = Samples { mode: Mode::Closed, latencies, runs };
            samples.meets(Distribution::Service, quantile, &|ns| (ns as f64) < limit * 1e9)
        };
        assert_eq!(meets(&latencies, 0.9, 0.95), Some(true));
        assert_eq!(meets(&latencies, 0.9, 0.9), None);
        assert_eq!(meets(&latencies, 0.9, 0.85), Some(false));
        // p99.99 has too few samples to be known, and yet it is certainly not below the median.
        assert_eq!(meets(&latencies, 0.9999, 0.5), Some(false));
        assert_eq!(meets(&latencies, 0.9999, 2.0), None);
        // A tenth of the requests was never answered: nothing beyond p91 can be met.
        (0..220).for_each(|_| latencies[Distribution::Unanswered].record(1));
        assert_eq!(meets(&latencies, 0.5, 0.7), Some(true));
        assert_eq!(meets(&latencies, 0.95, 2.0), None);
    }

    /// Whether p99 of 16,000 such values is decided to be below the limit.
    fn p99_is_below(limit_ns: u64, value_ns: impl Fn(u64) -> u64) -> Option<bool> {
        let (latencies, batches) = even_run(16_000, value_ns);
        let runs = std::slice::from_ref(&batches);
        let samples = Samples { mode: Mode::Closed, latencies: &latencies, runs };
        samples.meets(Distribution::Service, 0.99, &|ns| ns < limit_ns)
    }

    /// The values drift, by 50 us each quarter of the run.
    fn drifting(n: u64) -> u64 {
        1_000_000 + n / 4_000 * 50_000
    }

    #[test]
    fn a_small_drift_does_not_leave_a_limit_that_is_far_away_undecided() {
        assert_eq!(p99_is_below(100_000_000, drifting), Some(true));
        assert_eq!(p99_is_below(1_300_000, drifting), None, "it may drift further");
    }

    #[test]
    fn a_limit_is_decided_by_the_values_that_come_near_it() {
        // The median drifts; one value in 33 comes near the limit, throughout.
        let value = |n: u64| if n.is_multiple_of(33) { 40_000_000 } else { drifting(n) };
        assert_eq!(p99_is_below(100_000_000, value), Some(true));
        assert_eq!(p99_is_below(39_000_000, value), Some(false), "3 % are beyond it");
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
            match independent(n as f64, p) {
                None => prop_assert!(tail_high(n) > TAIL - 1e-9),
                Some([low, high]) => {
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
