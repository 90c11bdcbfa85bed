//! How many values meet a limit, and whether that decides about a percentile.

use super::confidence::independent_ranks;

/// The values of a distribution on both sides of a limit. Counts of several measurements are
/// added: their values, and the variances of their numbers. So a long measurement whose values
/// depend on each other counts by its length, however many independent values a short one adds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LimitCounts {
    /// The share of values that must meet the limit.
    quantile: f64,
    count: f64,
    /// Values that meet the limit for certain, and those that may.
    at_least: f64,
    at_most: f64,
    /// The variance of the number of values that meet the limit, in those of one independent value:
    /// if the limit should be met, and if it should not.
    variance_if_met: f64,
    variance_if_missed: f64,
}

impl LimitCounts {
    /// Of these many values, at least so many meet the limit, and at most so many. So many
    /// independent values say as much, if the limit should be met, and if it should not.
    pub(crate) fn new(
        quantile: f64,
        count: u64,
        [at_least, at_most]: [u64; 2],
        [effective_if_met, effective_if_missed]: [f64; 2],
    ) -> Self {
        let count = count as f64;
        let [at_least, at_most] = [at_least, at_most].map(|number| number as f64);
        let [variance_if_met, variance_if_missed] =
            [effective_if_met, effective_if_missed].map(|effective| count * count / effective);
        Self { quantile, count, at_least, at_most, variance_if_met, variance_if_missed }
    }

    /// The number of independent values that say as much as all do.
    fn effective(&self, variance: f64) -> f64 {
        (self.count * self.count / variance).round()
    }

    /// Whether the share of values that meet the limit is at least the quantile, at the 95 % level;
    /// nothing if that cannot be decided.
    pub(crate) fn meets(&self) -> Option<bool> {
        let passed = {
            let effective = self.effective(self.variance_if_met);
            let (_, high) = independent_ranks(effective, self.quantile);
            high.is_some_and(|high| high / effective <= self.at_least / self.count)
        };
        let failed = {
            let effective = self.effective(self.variance_if_missed);
            let (low, _) = independent_ranks(effective, self.quantile);
            low > self.at_most / self.count * effective
        };
        if passed { Some(true) } else { failed.then_some(false) }
    }

    /// How far the share is above the quantile, in standard errors; negative below it.
    pub(crate) fn margin(&self) -> f64 {
        let above = self.at_least / self.count - self.quantile;
        let (above, variance) = match above > 0.0 {
            true => (above, self.variance_if_met),
            false => (self.at_most / self.count - self.quantile, self.variance_if_missed),
        };
        let effective = self.effective(variance).max(1.0);
        above / (self.quantile * (1.0 - self.quantile) / effective).sqrt()
    }

    /// Both measurements together. They are about the same quantile.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            quantile: self.quantile,
            count: self.count + other.count,
            at_least: self.at_least + other.at_least,
            at_most: self.at_most + other.at_most,
            variance_if_met: self.variance_if_met + other.variance_if_met,
            variance_if_missed: self.variance_if_missed + other.variance_if_missed,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Counts of values that are all known: so many meet the limit.
    fn counts(count: u64, met: u64, effective: f64) -> LimitCounts {
        LimitCounts::new(0.99, count, [met; 2], [effective; 2])
    }

    fn sum(all: &[LimitCounts]) -> LimitCounts {
        all[1..].iter().fold(all[0], |sum, one| sum.plus(*one))
    }

    /// The same by theory: a number of values has a variance, and variances add.
    fn naive(measured: &[(u64, u64, u64)]) -> LimitCounts {
        let count: u64 = measured.iter().map(|(count, ..)| count).sum();
        let met = measured.iter().map(|(_, met, _)| met).sum();
        let one = 0.99 * 0.01;
        let variance_of = |&(count, _, effective): &(u64, u64, u64)| {
            let error_of_share = (one / effective as f64).sqrt();
            (count as f64 * error_of_share).powi(2)
        };
        let error_of_share = measured.iter().map(variance_of).sum::<f64>().sqrt() / count as f64;
        counts(count, met, one / error_of_share.powi(2))
    }

    /// Some independent values made a long measurement, whose values depend on each other, seem as
    /// certain as if all of them were independent.
    #[test]
    fn a_few_independent_values_do_not_make_many_dependent_ones_certain() {
        let dependent = counts(100_000, 99_200, 400.0);
        let independent = counts(8_000, 7_936, 8_000.0);
        assert_eq!(dependent.meets(), None);
        let both = dependent.plus(independent);
        assert_eq!(both.meets(), None, "{both:?}");
        assert!(both.effective(both.variance_if_met) < 500.0, "{both:?}");
    }

    #[test]
    fn parts_of_a_measurement_say_together_what_it_says() {
        let (whole, half) = (counts(20_000, 19_850, 8_000.0), counts(10_000, 9_925, 4_000.0));
        assert_eq!(half.plus(half).meets(), whole.meets());
        assert!((half.plus(half).margin() - whole.margin()).abs() < 1e-9);
        assert_eq!(half.meets(), None, "half of it is too short");
        assert_eq!(whole.meets(), Some(true));
    }

    #[test]
    fn values_that_say_nothing_decide_nothing() {
        let nothing = counts(5_000, 5_000, 0.0);
        assert_eq!((nothing.meets(), nothing.plus(counts(5_000, 0, 900.0)).meets()), (None, None));
    }

    /// The numbers of values, of those that meet the limit, and of independent ones.
    fn measured() -> impl Strategy<Value = (u64, u64, u64)> {
        (500..50_000_u64, 0.0..0.03_f64, 0.01..1.0_f64).prop_map(|(count, missed, independent)| {
            let met = (count as f64 * (1.0 - missed)) as u64;
            (count, met, ((count as f64 * independent) as u64).max(1))
        })
    }

    proptest! {
        #[test]
        fn sums_agree_with_a_naive_model_in_any_order(
            measured in prop::collection::vec(measured(), 1..8),
        ) {
            let all_counts: Vec<LimitCounts> =
                measured.iter().map(|&(count, met, n)| counts(count, met, n as f64)).collect();
            let (found, expected) = (sum(&all_counts), naive(&measured));
            let backwards: Vec<LimitCounts> = all_counts.iter().rev().copied().collect();
            prop_assert_eq!(found.meets(), expected.meets());
            prop_assert_eq!(found.meets(), sum(&backwards).meets());
            prop_assert!((found.margin() - expected.margin()).abs() < 1e-6);
        }

        #[test]
        fn more_values_that_meet_the_limit_never_make_it_less_good(
            (count, met, effective) in measured(),
            more in 0..1_000_u64,
        ) {
            let effective = effective as f64;
            let met_more = (met + more).min(count);
            let [fewer, more] = [met, met_more].map(|met| counts(count, met, effective));
            let rank = |limit_counts: LimitCounts| match limit_counts.meets() {
                Some(false) => 0,
                None => 1,
                Some(true) => 2,
            };
            prop_assert!(rank(more) >= rank(fewer));
            prop_assert!(more.margin() >= fewer.margin() - 1e-9);
        }
    }
}
