//! A measured against itself: how often a comparison on this machine gives a false alarm, and how
//! often it finds a difference that is there.
//!
//! Consecutive pairs are taken as comparisons in the order in which they were measured, so that
//! whatever changes over time on this machine is in them. Nothing is drawn at random.

use serde::Serialize;

use super::ab_plan::PlanText;
use super::pair::Pair;
use crate::comparison::{ComparedMetric, LEVEL, METRICS};
use crate::stats::{self, AnytimeTest};

/// Differences whose detection is reported.
pub(super) const DIFFERENCES: [f64; 3] = [0.03, 0.05, 0.10];

/// What pairs of A against itself show.
#[derive(Debug, Clone, Serialize)]
pub(super) struct NullRecord {
    /// Most pairs of a comparison.
    pub(super) pairs: u32,
    /// Comparisons that begin with each pair, and how many of them were false alarms: a deciding
    /// metric was found to differ after any of their pairs.
    pub(super) comparisons: usize,
    pub(super) false_alarms: usize,
    /// The same of comparisons that share no pair.
    pub(super) separate_comparisons: usize,
    pub(super) separate_false_alarms: usize,
    /// Whether all pairs together, as one comparison, show a difference.
    pub(super) differs: bool,
    pub(super) metrics: Vec<NullMetric>,
}

/// One metric that decides.
#[derive(Debug, Clone, Serialize)]
pub(super) struct NullMetric {
    pub(super) metric: String,
    /// Standard deviation of the difference of a pair, in logarithms.
    pub(super) deviation: f64,
    pub(super) false_alarms: usize,
    pub(super) power: Vec<Power>,
}

/// How often a difference was found that was added to each pair.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Power {
    /// A share: 0.03 is 3 % more in B.
    pub(super) difference: f64,
    /// In how many of the comparisons.
    pub(super) found: usize,
    /// After how many pairs, the median of those; null if there are none.
    pub(super) pairs: Option<f64>,
}

impl NullRecord {
    /// Of these pairs, which all count. `differs` is the result of all of them together.
    pub(super) fn of(plan: &PlanText, pairs: &[&Pair], differs: bool) -> Self {
        let is_deciding = plan.deciding();
        let deciding = METRICS.iter().filter(|metric| is_deciding(metric));
        let measured: Vec<(&ComparedMetric, Vec<f64>)> = deciding
            .filter_map(|metric| {
                let differences = pairs.iter().map(|pair| pair.difference(metric.name));
                Some((metric, differences.collect::<Option<Vec<f64>>>()?))
            })
            .filter(|(_, differences)| !differences.is_empty())
            .collect();
        // The first step of Holm's correction: a false alarm in any metric is one in this step.
        let level = LEVEL / plan.metrics.len() as f64;
        let length = (plan.pairs as usize).min(pairs.len());
        let alarms: Vec<Vec<Option<usize>>> = measured
            .iter()
            .map(|(_, differences)| decisions(differences, length, level, 0.0))
            .collect();
        let count = alarms.first().map_or(0, Vec::len);
        let is_alarm = |&at: &usize| alarms.iter().any(|of_metric| of_metric[at].is_some());
        let metrics =
            measured.iter().zip(&alarms).map(|((metric, differences), alarms)| NullMetric {
                metric: metric.name.to_owned(),
                deviation: stats::deviation(differences).unwrap_or_default(),
                false_alarms: alarms.iter().flatten().count(),
                power: power(differences, length, level),
            });
        Self {
            pairs: length as u32,
            comparisons: count,
            false_alarms: (0..count).filter(is_alarm).count(),
            separate_comparisons: (0..count).step_by(length.max(1)).count(),
            separate_false_alarms: (0..count).step_by(length.max(1)).filter(is_alarm).count(),
            differs,
            metrics: metrics.collect(),
        }
    }
}

/// After how many pairs each comparison of `length` consecutive pairs finds a difference at
/// `level`, if it does, with `shift` added to each pair.
fn decisions(differences: &[f64], length: usize, level: f64, shift: f64) -> Vec<Option<usize>> {
    let comparisons = differences.windows(length.max(1));
    let decision = |differences: &[f64]| {
        let mut test = AnytimeTest::default();
        let is_found = |difference: &f64| {
            test.add(difference + shift);
            test.p() <= level
        };
        differences.iter().position(is_found).map(|at| at + 1)
    };
    comparisons.map(decision).collect()
}

fn power(differences: &[f64], length: usize, level: f64) -> Vec<Power> {
    let of = |difference: f64| {
        let decisions = decisions(differences, length, level, difference.ln_1p());
        let found: Vec<f64> = decisions.into_iter().flatten().map(|pairs| pairs as f64).collect();
        Power { difference, found: found.len(), pairs: stats::median(&found) }
    };
    DIFFERENCES.map(of).into()
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::ab_plan::tests::plan;
    use super::super::pair::tests::pair;
    use super::*;
    use crate::schedule::random;

    /// Pairs of A against itself: 3 % of noise, in one pair of ten five times as much.
    pub(in crate::commands::ab) fn null_pairs(count: u32, seed: u64) -> Vec<Pair> {
        let mut state = seed;
        let mut noise = || -> f64 {
            let mut uniform = || random::unit(random::split_mix(&mut state));
            let normal = (0..12).map(|_| uniform()).sum::<f64>() - 6.0;
            0.03 * normal * if uniform() < 0.1 { 5.0 } else { 1.0 }
        };
        let noisy = |number| {
            let mut pair = pair(number, 1.0);
            pair.b.values.values_mut().for_each(|value| value.value *= noise().exp());
            pair
        };
        (1..=count).map(noisy).collect()
    }

    fn record(pairs: &[Pair], flags: &str) -> NullRecord {
        let plan = plan(&format!("--null --a old {flags}")).unwrap().text;
        NullRecord::of(&plan, &pairs.iter().collect::<Vec<_>>(), false)
    }

    #[test]
    fn false_alarms_of_whole_comparisons_are_5_in_100_at_most_in_all_metrics_together() {
        let record = record(&null_pairs(4_000, 5), "--pairs 40");
        assert_eq!((record.comparisons, record.separate_comparisons), (3_961, 100));
        assert!(record.false_alarms * 100 <= record.comparisons * 5, "{record:?}");
        assert!(record.false_alarms > 0, "a test that never alarms shows nothing");
    }

    #[test]
    fn larger_differences_are_found_more_often_and_after_fewer_pairs() {
        let record = record(&null_pairs(600, 5), "--pairs 40");
        for metric in &record.metrics {
            let [three, five, ten] = &metric.power[..] else { panic!("{metric:?}") };
            assert!(three.found < five.found && five.found <= ten.found, "{metric:?}");
            assert!(five.pairs > ten.pairs, "{metric:?}");
            assert!(ten.found * 100 >= record.comparisons * 99, "{metric:?}");
            assert!((0.03..0.07).contains(&metric.deviation), "{metric:?}");
        }
    }

    #[test]
    fn sides_that_differ_are_false_alarms_in_every_comparison() {
        let pairs: Vec<Pair> = (1..=50).map(|number| pair(number, 1.2)).collect();
        let record = record(&pairs, "--pairs 20 --null=50");
        assert_eq!((record.comparisons, record.false_alarms), (31, 31));
        assert_eq!((record.separate_comparisons, record.separate_false_alarms), (2, 2));
    }

    #[test]
    fn fewer_pairs_than_a_comparison_may_have_are_one_comparison() {
        let all = record(&null_pairs(10, 1), "");
        assert_eq!((all.pairs, all.comparisons), (10, 1));
        let none = record(&[], "");
        assert_eq!((none.comparisons, none.metrics.len()), (0, 0));
    }
}
