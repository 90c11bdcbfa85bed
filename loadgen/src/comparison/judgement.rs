//! One metric of both sides: the difference, its confidence, and the conclusion.

use serde::Serialize;

use super::metrics::{ComparedMetric, Values};
use super::schedules::Schedules;
use super::{RUNS_MIN, Side};
use crate::record::Verdict;
use crate::stats::{self, Samples, Shift};

/// Chance of a false alarm over all metrics together.
pub(crate) const LEVEL: f64 = 0.05;

/// Most runs that are suggested. A difference that needs more is too small for this machine.
const RUNS_SUGGESTED_MAX: f64 = 1e6;

/// The judgement about one metric, or about all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Judgement {
    Faster,
    Slower,
    /// Any difference is within the tolerance.
    Same,
    /// The runs do not decide whether there is a difference; more runs may.
    Undecided,
    NotEnoughRuns,
    /// The schedules of the sides cannot be compared.
    NotComparable,
    /// A side is INVALID, so that it shows nothing.
    Invalid,
    /// The metric is shown, and does not decide.
    Shown,
}

impl Judgement {
    /// What a table says of B.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Faster => "faster",
            Self::Slower => "slower",
            Self::Same => "the same",
            Self::Undecided => "undecided",
            Self::NotEnoughRuns => "(not enough runs)",
            Self::NotComparable => "(no verdict)",
            Self::Invalid => "(INVALID)",
            Self::Shown => "(does not decide)",
        }
    }

    /// The first word of a report, and how grave it is.
    pub(crate) fn headline(self) -> (Verdict, &'static str) {
        match self {
            Self::Invalid => (Verdict::Invalid, "INVALID"),
            Self::Slower => (Verdict::Invalid, "SLOWER"),
            Self::Faster => (Verdict::Valid, "FASTER"),
            Self::Same => (Verdict::Valid, "SAME"),
            Self::Undecided => (Verdict::Suspect, "UNDECIDED"),
            Self::NotEnoughRuns => (Verdict::Suspect, "NOT ENOUGH RUNS"),
            Self::NotComparable | Self::Shown => (Verdict::Suspect, "NO VERDICT"),
        }
    }
}

/// One line of a comparison.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Finding {
    pub(super) metric: &'static ComparedMetric,
    /// Medians over the runs: requests per second, a share, nanoseconds, or (server cpu)
    /// microseconds by request.
    pub(super) a: f64,
    pub(super) b: f64,
    /// Whether the value of any run is a lower bound.
    pub(super) a_at_least: bool,
    pub(super) b_at_least: bool,
    /// B by A, with the 95 % interval that belongs to the test; null where a value is zero, or
    /// there are too few runs for an interval.
    pub(super) ratio: Option<f64>,
    pub(super) ratio_ci95: Option<[f64; 2]>,
    /// The p value of the rank test, two-sided.
    pub(super) p: f64,
    /// Corrected for the number of metrics that decide; null for a metric that does not.
    pub(super) p_holm: Option<f64>,
    /// With the spread of these runs, how many a side would show a difference as large as the
    /// tolerance, in 80 of 100 comparisons; null for a metric that does not decide.
    pub(super) runs_to_decide: Option<f64>,
    pub(crate) judgement: Judgement,
}

/// The test and the interval that the runs of two sides allow.
///
/// If both sides have the same schedules, each run of B has a partner in A. The differences within
/// pairs do not contain what the schedules differ by. At half of the capacity, pairs find a small
/// difference less often; `the_study_of_power` in the tests compares both at higher loads. The test
/// is Wilcoxon's of the pairs, but only with as many pairs as reach the corrected level at all,
/// which are eight for five metrics. Below that,
/// and for other schedules, it is the test of Mann and Whitney, which for pairs is careful and not
/// wrong. Student's test would work with fewer pairs, but assumes the shape of their differences.
/// The interval, which shows that sides are the same, is that of the pairs from six on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Test {
    schedules: Schedules,
    /// What the p value is computed from.
    p: Samples,
    /// What the ratio and its interval are computed from.
    interval: Samples,
    /// Fewest pairs that reach the level.
    pairs_min: usize,
}

impl Test {
    /// The test for sides of this many comparable runs, and this many metrics that decide.
    pub(super) fn of(schedules: Schedules, runs: usize, metrics: usize) -> Self {
        let reach = |pairs: usize, tests: usize| stats::smallest_p(pairs) * (tests as f64) < LEVEL;
        let samples = |tests: usize| match schedules {
            Schedules::Same if reach(runs, tests) => Samples::Paired,
            _ => Samples::Independent,
        };
        Self {
            schedules,
            p: samples(metrics),
            interval: samples(1),
            pairs_min: (RUNS_MIN..).find(|&pairs| reach(pairs, metrics)).unwrap_or(RUNS_MIN),
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self.p {
            Samples::Paired => "wilcoxon",
            Samples::Independent => "mann-whitney",
        }
    }

    /// Whether the ratio is that of pairs.
    pub(super) fn is_of_pairs(self) -> bool {
        self.interval == Samples::Paired
    }

    /// The p value.
    fn p(self, a: &[f64], b: &[f64]) -> f64 {
        match self.p {
            Samples::Paired => stats::signed_rank(&differences(a, b)),
            Samples::Independent => stats::mann_whitney(a, b),
        }
    }

    fn shift(self, a: &[f64], b: &[f64]) -> Option<Shift> {
        match self.interval {
            Samples::Paired => Shift::of_pairs(&differences(a, b)),
            Samples::Independent => Shift::between(a, b),
        }
    }

    /// Number of runs a side that would show this difference, all in logarithms.
    fn runs_to_find(self, difference: f64, level: f64, a: &[f64], b: &[f64]) -> Option<f64> {
        let (samples, deviation, least) = if self.schedules == Schedules::Same {
            (Samples::Paired, stats::deviation(&differences(a, b))?, self.pairs_min)
        } else {
            let (a, b) = (stats::deviation(a)?, stats::deviation(b)?);
            (Samples::Independent, f64::midpoint(a * a, b * b).sqrt(), RUNS_MIN)
        };
        let runs = stats::values_to_find(difference, deviation, level, samples);
        Some(runs.max(least as f64)).filter(|&runs| runs <= RUNS_SUGGESTED_MAX)
    }
}

/// The difference of each pair.
fn differences(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| b - a).collect()
}

/// A metric of both sides that waits for the correction of its p value.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) metric: &'static ComparedMetric,
    a: Values,
    b: Values,
    test: Test,
    /// Whether all values are positive, so that they have logarithms and ratios.
    logarithmic: bool,
    /// Whether a side is INVALID.
    is_invalid: bool,
    pub(super) p: f64,
}

impl Measured {
    /// The metric, if all runs of both sides have a value of it.
    pub(super) fn of(
        metric: &'static ComparedMetric,
        a: &Side,
        b: &Side,
        test: Test,
    ) -> Option<Self> {
        let is_invalid = a.is_invalid() || b.is_invalid();
        let merge = test.schedules.are_the_unit();
        let (mut a, mut b) = (metric.values(a, merge)?, metric.values(b, merge)?);
        let logarithmic = a.values.iter().chain(&b.values).all(|&value| value > 0.0);
        if logarithmic {
            a.values.iter_mut().chain(&mut b.values).for_each(|value| *value = value.ln());
        }
        let p = test.p(&a.values, &b.values);
        Some(Self { metric, a, b, test, logarithmic, is_invalid, p })
    }

    /// The finding by the corrected p value and the tolerance. A metric without a corrected value
    /// does not decide. `level` is that of one metric for certain.
    pub(super) fn judged(self, p_holm: Option<f64>, level: f64, delta: f64) -> Finding {
        let (a, b) = (&self.a.values, &self.b.values);
        let ratio = if self.logarithmic { self.test.shift(a, b) } else { None };
        let interval = ratio.map(|found| found.interval.map(f64::exp));
        let runs_to_decide =
            p_holm.and_then(|_| self.test.runs_to_find((1.0 + delta).ln(), level, a, b));
        let median = |values: &[f64]| {
            let median = stats::median(values).unwrap_or(0.0);
            if self.logarithmic { median.exp() } else { median }
        };
        Finding {
            judgement: self.judgement(interval, p_holm, delta),
            metric: self.metric,
            a: median(a),
            b: median(b),
            a_at_least: self.a.at_least,
            b_at_least: self.b.at_least,
            ratio: ratio.map(|found| found.shift.exp()),
            ratio_ci95: interval,
            p: self.p,
            p_holm,
            runs_to_decide: runs_to_decide.filter(|_| self.logarithmic),
        }
    }

    fn judgement(&self, interval: Option<[f64; 2]>, p_holm: Option<f64>, delta: f64) -> Judgement {
        let Some(p_holm) = p_holm else { return Judgement::Shown };
        if self.is_invalid {
            return Judgement::Invalid;
        }
        if self.a.values.len().min(self.b.values.len()) < RUNS_MIN {
            return Judgement::NotEnoughRuns;
        }
        if self.test.schedules == Schedules::NotComparable {
            return Judgement::NotComparable;
        }
        let Some([low, high]) = interval else { return Judgement::Undecided };
        // The true value of a lower bound is larger. So a lower bound supports only the judgement
        // that its side is larger.
        let exact = !self.a.at_least && !self.b.at_least;
        let is_different = p_holm < LEVEL;
        if exact && low >= 1.0 - delta && high <= 1.0 + delta {
            Judgement::Same
        } else if is_different && low > 1.0 && !self.a.at_least {
            if self.metric.more_is_better { Judgement::Faster } else { Judgement::Slower }
        } else if is_different && high < 1.0 && !self.b.at_least {
            if self.metric.more_is_better { Judgement::Slower } else { Judgement::Faster }
        } else {
            Judgement::Undecided
        }
    }
}
