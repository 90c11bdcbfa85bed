//! What the pairs so far show: each metric, both sides as a whole, and whether more are needed.

use serde::Serialize;

use super::ab_plan::PlanText;
use super::pair::{MetricValue, Pair, SideRun};
use crate::comparison::{ComparedMetric, Judgement, LEVEL, METRICS};
use crate::stats::{self, AnytimeTest};

/// What some pairs show.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Judged {
    /// Slower if a deciding metric is, faster if one is and none is slower, the same if all are,
    /// and otherwise undecided.
    pub(super) judgement: Judgement,
    /// Whether more pairs are not needed.
    pub(super) decided: bool,
    pub(super) findings: Vec<Finding>,
    /// Metrics that should decide and are not known in every pair.
    pub(super) unknown: Vec<&'static str>,
}

/// One metric.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Finding {
    pub(super) metric: &'static ComparedMetric,
    /// Medians of the runs: requests per second, a share, nanoseconds, or (server cpu)
    /// microseconds by request.
    pub(super) a: f64,
    pub(super) b: f64,
    /// Whether the value of any run is a lower bound.
    pub(super) a_at_least: bool,
    pub(super) b_at_least: bool,
    /// B by A in pairs, with the interval that is true after every pair: null with fewer than six,
    /// and for a metric that does not decide.
    pub(super) ratio: f64,
    pub(super) ratio_ci95: Option<[f64; 2]>,
    /// The p value of the test that may be looked at after every pair; null for a metric that does
    /// not decide.
    pub(super) p: Option<f64>,
    /// Corrected for the number of metrics that decide.
    pub(super) p_holm: Option<f64>,
    /// With how many pairs 80 of 100 comparisons with this spread show a difference as large as the
    /// tolerance; null if that is decided or takes too many.
    pub(super) pairs_to_decide: Option<u32>,
    pub(super) judgement: Judgement,
}

impl Finding {
    /// Whether it is certain that B is not slower by more than the tolerance.
    fn is_not_slower(&self, delta: f64) -> bool {
        let known = self.ratio_ci95.filter(|_| !self.a_at_least && !self.b_at_least);
        known.is_some_and(|[low, high]| match self.metric.more_is_better {
            true => low >= 1.0 - delta,
            false => high <= 1.0 + delta,
        })
    }
}

/// Judges these pairs, which all count.
pub(super) fn judge(plan: &PlanText, pairs: &[&Pair]) -> Judged {
    let measured = METRICS.iter().filter_map(|metric| Measured::of(metric, pairs));
    let is_deciding = plan.deciding();
    let (deciding, shown): (Vec<Measured>, Vec<Measured>) =
        measured.partition(|measured| is_deciding(measured.metric));
    let is_found = |name: &str| deciding.iter().any(|measured| measured.metric.name == name);
    let unknown: Vec<&'static str> = METRICS
        .iter()
        .filter(|metric| is_deciding(metric) && !is_found(metric.name) && !pairs.is_empty())
        .map(|metric| metric.name)
        .collect();
    let p_values: Vec<f64> =
        deciding.iter().map(|measured| AnytimeTest::of(&measured.differences).p()).collect();
    // A metric that is unknown stays in the correction, as its value may be what is unknown.
    let with_unknown: Vec<f64> =
        p_values.iter().copied().chain(unknown.iter().map(|_| 1.0)).collect();
    let corrected = stats::holm(&with_unknown);
    let level = LEVEL / with_unknown.len() as f64;
    let of_deciding = deciding
        .iter()
        .zip(p_values)
        .zip(corrected)
        .map(|((measured, p), p_holm)| measured.finding(Some((p, p_holm)), level, plan.delta));
    let of_shown = shown.iter().map(|measured| measured.finding(None, level, plan.delta));
    let findings: Vec<Finding> = of_deciding.chain(of_shown).collect();
    let (judgement, decided) = overall(&findings, plan.delta);
    Judged { judgement, decided, findings, unknown }
}

/// The judgement of the metrics that decide, and whether it will not gain from more pairs.
fn overall(findings: &[Finding], delta: f64) -> (Judgement, bool) {
    let deciding: Vec<&Finding> =
        findings.iter().filter(|finding| finding.judgement != Judgement::Shown).collect();
    let any = |wanted: Judgement| deciding.iter().any(|finding| finding.judgement == wanted);
    if any(Judgement::Slower) {
        (Judgement::Slower, true)
    } else if any(Judgement::Faster) {
        let is_fine = |&&finding: &&&Finding| {
            finding.judgement == Judgement::Faster || finding.is_not_slower(delta)
        };
        (Judgement::Faster, deciding.iter().filter(is_fine).count() == deciding.len())
    } else if any(Judgement::Undecided) || deciding.is_empty() {
        (Judgement::Undecided, false)
    } else {
        (Judgement::Same, true)
    }
}

/// A metric that all pairs know.
struct Measured {
    metric: &'static ComparedMetric,
    a: Vec<MetricValue>,
    b: Vec<MetricValue>,
    /// B by A in each pair, as logarithms.
    differences: Vec<f64>,
}

impl Measured {
    fn of(metric: &'static ComparedMetric, pairs: &[&Pair]) -> Option<Self> {
        let values = |of: fn(&Pair) -> &SideRun| -> Option<Vec<MetricValue>> {
            pairs.iter().map(|pair| of(pair).values.get(metric.name).copied()).collect()
        };
        let (a, b) = (values(|pair| &pair.a)?, values(|pair| &pair.b)?);
        let differences = pairs.iter().map(|pair| pair.difference(metric.name));
        let differences: Vec<f64> = differences.collect::<Option<_>>()?;
        (!differences.is_empty()).then_some(Self { metric, a, b, differences })
    }

    /// `p` has the p value of a metric that decides, and its corrected value.
    fn finding(&self, p: Option<(f64, f64)>, level: f64, delta: f64) -> Finding {
        let median = |values: &[MetricValue]| {
            let values: Vec<f64> = values.iter().map(|value| value.value).collect();
            stats::median(&values).unwrap_or_default()
        };
        let is_bound = |values: &[MetricValue]| values.iter().any(|value| value.at_least);
        let interval = stats::anytime_interval(&self.differences).filter(|_| p.is_some());
        let mut finding = Finding {
            metric: self.metric,
            a: median(&self.a),
            b: median(&self.b),
            a_at_least: is_bound(&self.a),
            b_at_least: is_bound(&self.b),
            ratio: stats::shift_of_pairs(&self.differences).unwrap_or_default().exp(),
            ratio_ci95: interval.map(|interval| interval.map(f64::exp)),
            p: p.map(|(p, _)| p),
            p_holm: p.map(|(_, p_holm)| p_holm),
            pairs_to_decide: None,
            judgement: Judgement::Shown,
        };
        if let Some((_, p_holm)) = p {
            finding.judgement = judgement(&finding, p_holm, delta);
            if finding.judgement == Judgement::Undecided {
                finding.pairs_to_decide =
                    stats::pairs_to_find(delta.ln_1p(), &self.differences, level);
            }
        }
        finding
    }
}

/// The judgement of a metric that decides. The true value of a lower bound is larger, so a lower
/// bound supports only the judgement that its side is larger.
fn judgement(finding: &Finding, p_holm: f64, delta: f64) -> Judgement {
    let Some([low, high]) = finding.ratio_ci95 else { return Judgement::Undecided };
    let (larger, smaller) = match finding.metric.more_is_better {
        true => (Judgement::Faster, Judgement::Slower),
        false => (Judgement::Slower, Judgement::Faster),
    };
    let is_exact = !finding.a_at_least && !finding.b_at_least;
    if is_exact && low >= 1.0 - delta && high <= 1.0 + delta {
        Judgement::Same
    } else if p_holm <= LEVEL && low > 1.0 && !finding.a_at_least {
        larger
    } else if p_holm <= LEVEL && high < 1.0 && !finding.b_at_least {
        smaller
    } else {
        Judgement::Undecided
    }
}

#[cfg(test)]
mod tests {
    use super::super::ab_plan::tests::plan;
    use super::super::pair::tests::pair;
    use super::*;
    use crate::schedule::random;

    fn text() -> PlanText {
        plan("--a old --b new").unwrap().text
    }

    fn judged(pairs: &[Pair]) -> Judged {
        judge(&text(), &pairs.iter().collect::<Vec<_>>())
    }

    /// Pairs of this ratio, each a little off.
    fn pairs(count: u32, ratio: f64) -> Vec<Pair> {
        (1..=count).map(|n| pair(n, ratio * (1.0 + 0.001 * f64::from(n % 5) - 0.002))).collect()
    }

    fn change(pairs: &mut [Pair], change: impl Fn(&mut Pair)) {
        pairs.iter_mut().for_each(change);
    }

    #[test]
    fn a_clear_difference_is_decided_after_eight_pairs_of_three_metrics() {
        assert!(!judged(&pairs(7, 1.5)).decided);
        let slower = judged(&pairs(8, 1.5));
        assert_eq!((slower.judgement, slower.decided), (Judgement::Slower, true));
        let faster = judged(&pairs(8, 0.5));
        assert_eq!((faster.judgement, faster.decided), (Judgement::Faster, true));
        assert!((faster.findings[0].ratio - 0.5).abs() < 0.01, "{faster:?}");
    }

    #[test]
    fn equal_sides_are_the_same_once_all_intervals_lie_within_the_tolerance() {
        let judged = judged(&pairs(12, 1.0));
        assert_eq!((judged.judgement, judged.decided), (Judgement::Same, true));
    }

    #[test]
    fn nothing_is_decided_without_pairs_or_with_few() {
        for count in [0, 1, 5] {
            let judged = judged(&pairs(count, 3.0));
            assert_eq!((judged.judgement, judged.decided), (Judgement::Undecided, false));
        }
    }

    #[test]
    fn faster_in_one_metric_goes_on_until_no_other_can_be_slower() {
        let mut mixed = pairs(12, 0.5);
        // The median differs to both sides by a tenth.
        change(&mut mixed, |pair| {
            let factor = if pair.number % 2 == 0 { 1.1 } else { 0.91 };
            let value = pair.a.values["p50"].value * factor;
            pair.b.values.get_mut("p50").unwrap().value = value;
        });
        let judged = judged(&mixed);
        assert_eq!((judged.judgement, judged.decided), (Judgement::Faster, false));
        let p50 = judged.findings.iter().find(|found| found.metric.name == "p50").unwrap();
        assert!(p50.pairs_to_decide.unwrap() > 12, "{p50:?}");
    }

    #[test]
    fn a_metric_that_does_not_decide_is_shown() {
        let mut pairs = pairs(12, 1.0);
        change(&mut pairs, |pair| {
            for (side, value) in [(&mut pair.a, 1.0), (&mut pair.b, 9.0)] {
                side.values.insert("max".to_owned(), MetricValue { value, at_least: false });
            }
        });
        let judged = judged(&pairs);
        assert_eq!(judged.judgement, Judgement::Same);
        let max = judged.findings.last().unwrap();
        assert_eq!((max.metric.name, max.judgement, max.p), ("max", Judgement::Shown, None));
    }

    #[test]
    fn a_metric_that_one_run_does_not_know_is_named_and_does_not_decide() {
        let mut pairs = pairs(12, 1.5);
        pairs[3].b.values.remove("server cpu");
        let judged = judged(&pairs);
        assert_eq!(judged.unknown, ["server cpu"]);
        assert_eq!(judged.findings.len(), 2);
    }

    #[test]
    fn a_lower_bound_shows_that_its_side_is_slower_and_nothing_else() {
        let bounded = |ratio: f64, of: fn(&mut Pair) -> &mut SideRun| {
            let mut pairs = pairs(12, ratio);
            change(&mut pairs, |pair| {
                of(pair).values.values_mut().for_each(|value| value.at_least = true);
            });
            judged(&pairs).judgement
        };
        assert_eq!(bounded(1.5, |pair| &mut pair.b), Judgement::Slower);
        assert_eq!(bounded(1.5, |pair| &mut pair.a), Judgement::Undecided);
        assert_eq!(bounded(0.5, |pair| &mut pair.b), Judgement::Undecided);
        assert_eq!(bounded(1.0, |pair| &mut pair.a), Judgement::Undecided);
    }

    #[test]
    fn a_higher_rate_is_faster() {
        let text = plan("--a old --b new --metric rate").unwrap().text;
        let of = |ratio: f64| {
            let mut pairs = pairs(12, 1.0);
            change(&mut pairs, |pair| {
                for (side, value) in [(&mut pair.a, 1.0), (&mut pair.b, ratio)] {
                    side.values.insert("rate".to_owned(), MetricValue { value, at_least: false });
                }
            });
            let judged = judge(&text, &pairs.iter().collect::<Vec<_>>());
            (judged.judgement, judged.decided)
        };
        assert_eq!(of(1.2), (Judgement::Faster, true));
        assert_eq!(of(0.8), (Judgement::Slower, true));
    }

    /// How often B is judged faster, slower and the same in 300 measurements with these effects on
    /// the three metrics, with noise of 3 % that the metrics of a run share in part, and how many
    /// pairs they had in the mean.
    fn outcomes(effects: [f64; 3]) -> ([usize; 3], f64) {
        let (text, mut state) = (text(), 9);
        let mut normal = || -> f64 {
            (0..12).map(|_| random::unit(random::split_mix(&mut state))).sum::<f64>() - 6.0
        };
        let (mut counts, mut pairs_made) = ([0; 3], 0);
        for _ in 0..300 {
            let (mut pairs, mut judgement) = (Vec::new(), Judgement::Undecided);
            for number in 1..=text.pairs {
                let shared = normal();
                let mut pair = pair(number, 1.0);
                let values = pair.b.values.values_mut();
                for (value, effect) in values.zip(effects) {
                    value.value *= (effect + 0.03 * (0.6 * shared + 0.8 * normal())).exp();
                }
                pairs.push(pair);
                let judged = judge(&text, &pairs.iter().collect::<Vec<_>>());
                judgement = judged.judgement;
                if judged.decided {
                    break;
                }
            }
            pairs_made += pairs.len();
            let wanted = [Judgement::Faster, Judgement::Slower, Judgement::Same];
            if let Some(at) = wanted.iter().position(|&wanted| wanted == judgement) {
                counts[at] += 1;
            }
        }
        (counts, pairs_made as f64 / 300.0)
    }

    // Run it with --release: a comparison of 40 pairs looks 40 times at all of them.
    #[test]
    #[ignore = "takes minutes; its figures are in the README"]
    fn the_study_of_false_alarms_and_power() {
        let study = |effect: f64| {
            let (counts, pairs) = outcomes([effect.ln_1p(), 0.0, 0.0]);
            println!("{:+.0} %: {counts:?} of 300, {pairs:.1} pairs", 100.0 * effect);
            counts
        };
        let [faster, slower, same] = study(0.0);
        assert!(faster + slower <= 15 && same > 250, "{faster} {slower} {same}");
        assert!(study(0.03)[1] > 150);
        assert!(study(0.05)[1] > 280);
        assert_eq!(study(0.10)[1], 300);
        assert!(study(-0.05)[0] > 280);
    }
}
