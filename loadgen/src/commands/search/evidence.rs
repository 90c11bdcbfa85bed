//! What the probes of a rate show together.
//!
//! Probes are added, not counted by how many were good: near the limit, each alone is too short to
//! decide. What a disturbed probe shows counts only if no other is there. One that is INVALID
//! because the loader was late can still show that an objective on the response time is met: the
//! loader's delay makes every response later, never earlier.

use super::strategy::{Lean, Observation, ProbeFinding};
use crate::latency::{Distribution, Latencies, LimitCounts, Samples};
use crate::measure::Measurement;
use crate::record::{Code, Decision, Record, RunRecord, Validity, Verdict};
use crate::slo::{Metric, Slo};

/// What made a probe doubtful, and may not happen again.
const DISTURBANCES: [Code; 6] = [
    Code::LoaderLate,
    Code::LoaderStalled,
    Code::LoaderDelay,
    Code::Preempted,
    Code::MajorFaults,
    Code::Steal,
];

/// What makes a run INVALID, but makes no response earlier.
const DELAYS: [Code; 3] = [Code::LoaderLate, Code::LoaderStalled, Code::LoaderDelay];

/// Standard errors of what is decided by its value.
const CERTAIN: f64 = 4.0;

/// The probes of one group.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    usable: Option<Measurement>,
    /// Probes that were disturbed, but are not INVALID.
    doubtful: Option<Measurement>,
    /// Probes that are INVALID because the loader delayed them.
    delayed: Option<Measurement>,
}

/// What a group shows after a probe.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct GroupFinding {
    pub(super) observed: Observation,
    /// Length of the measurements that it rests on.
    pub(super) evidence_s: f64,
    /// If it is undecided: about how long they would have to be.
    pub(super) needed_s: Option<f64>,
}

impl Evidence {
    /// Adds a probe, and judges all of them by the objectives.
    pub(super) fn add(
        &mut self,
        number: u32,
        measurement: &Measurement,
        objectives: &[Slo],
    ) -> GroupFinding {
        let disturbance = Disturbance::of(&measurement.record.validity);
        match disturbance {
            Disturbance::None => add(&mut self.usable, number, measurement, objectives),
            Disturbance::Doubtful => add(&mut self.doubtful, number, measurement, objectives),
            Disturbance::Delayed => add(&mut self.delayed, number, measurement, objectives),
            Disturbance::Invalid => {}
        }
        let record = self.usable.as_ref().or(self.doubtful.as_ref()).map(|all| &all.record);
        let finding = match record {
            Some(record) => judge(record, objectives),
            None if self.is_good_in_spite_of_delays(objectives) => ProbeFinding::Good,
            None => ProbeFinding::LoaderLimited,
        };
        let record = record.or(self.delayed.as_ref().map(|all| &all.record));
        let record = record.filter(|_| finding != ProbeFinding::LoaderLimited);
        let undecided = record.filter(|_| finding == ProbeFinding::Undecided);
        GroupFinding {
            observed: Observation { finding, disturbed: disturbance != Disturbance::None },
            evidence_s: record.map_or(0.0, |record| record.rate.measured_s),
            needed_s: undecided.and_then(|record| needed_s(record, objectives)),
        }
    }

    /// What the probes show that were not disturbed, and those that were. If not only the response
    /// time is limited, disturbed probes show nothing that could be added.
    pub(super) fn parts(&self, objectives: &[Slo]) -> [Option<Part>; 2] {
        let doubtful = self.doubtful.as_ref().filter(|_| are_of_response(objectives));
        [self.usable.as_ref(), doubtful]
            .map(|all| all.map(|measured| Part::of(measured, objectives)))
    }

    /// Whether the delayed probes meet all objectives, which are on the response time.
    fn is_good_in_spite_of_delays(&self, objectives: &[Slo]) -> bool {
        self.delayed.as_ref().is_some_and(|all| {
            are_of_response(objectives) && judge(&all.record, objectives) == ProbeFinding::Good
        })
    }
}

/// What some probes show, as far as it can be added to what others show.
#[derive(Debug, Clone)]
pub(super) struct Part {
    failed: bool,
    /// For each objective.
    shown: Vec<Shown>,
    measured_s: f64,
    unsteady_s: f64,
}

/// What is known about an objective.
#[derive(Debug, Clone, Copy)]
enum Shown {
    /// A percentile of a response time, for which requests are counted.
    Counted(LimitCounts),
    Decided(Decision),
}

impl Part {
    fn of(measured: &Measurement, objectives: &[Slo]) -> Self {
        let Measurement { record, latencies, batches } = measured;
        let samples = Samples { mode: record.args.mode, latencies, runs: batches };
        let shown = objectives.iter().zip(&record.slo).map(|(slo, checked)| {
            let counted = match (slo.metric(), slo.percentile()) {
                (Metric::Time(distribution, _), Some(percentile)) => samples.limit_counts(
                    distribution.unwrap_or(Distribution::Response),
                    percentile.quantile,
                    &|ns| slo.holds(ns as f64),
                ),
                _ => None,
            };
            counted.map_or(Shown::Decided(checked.decision), Shown::Counted)
        });
        Self {
            failed: is_failed(record, objectives),
            shown: shown.collect(),
            measured_s: record.rate.measured_s,
            unsteady_s: unsteady_s(&record.runs),
        }
    }

    /// One of a steady measurement for one objective.
    #[cfg(test)]
    pub(super) fn counted(limit_counts: LimitCounts, measured_s: f64) -> Self {
        Self {
            failed: false,
            shown: vec![Shown::Counted(limit_counts)],
            measured_s,
            unsteady_s: 0.0,
        }
    }

    /// What it shows alone, as [`judge`] decides it.
    #[cfg(test)]
    pub(super) fn finding(&self) -> ProbeFinding {
        let decision = |shown: &Shown| match shown {
            Shown::Counted(limit_counts) => match limit_counts.meets() {
                Some(true) => Decision::Passed,
                Some(false) => Decision::Failed,
                None => Decision::Undecided,
            },
            Shown::Decided(decision) => *decision,
        };
        let decisions: Vec<Decision> = self.shown.iter().map(decision).collect();
        finding(self.failed, &decisions, !is_steady(self.unsteady_s, self.measured_s))
    }

    /// Whether these meet all objectives for certain, together.
    pub(super) fn are_good(parts: &[&Self]) -> bool {
        let Some((first, others)) = parts.split_first() else { return false };
        let meets = |objective: usize| {
            let sum = others.iter().try_fold(first.shown[objective], |sum, part| {
                match (sum, part.shown[objective]) {
                    (Shown::Counted(sum), Shown::Counted(limit_counts)) => {
                        Some(Shown::Counted(sum.plus(limit_counts)))
                    }
                    (Shown::Decided(one), Shown::Decided(other)) if one == other => Some(sum),
                    _ => None,
                }
            });
            match sum {
                Some(Shown::Counted(limit_counts)) => limit_counts.meets() == Some(true),
                Some(Shown::Decided(decision)) => decision == Decision::Passed,
                None => false,
            }
        };
        let sum = |of: fn(&Self) -> f64| parts.iter().map(|part| of(part)).sum::<f64>();
        !parts.iter().any(|part| part.failed)
            && is_steady(sum(|part| part.unsteady_s), sum(|part| part.measured_s))
            && (0..first.shown.len()).all(meets)
    }

    /// How far its worst objective is from its limit, for plain probes of this length.
    pub(super) fn lean(&self, plain_s: f64) -> Lean {
        let margin = |shown: &Shown| match shown {
            Shown::Counted(limit_counts) => limit_counts.margin(),
            Shown::Decided(Decision::Passed) => CERTAIN,
            Shown::Decided(Decision::Failed) => -CERTAIN,
            Shown::Decided(Decision::Undecided) => 0.0,
        };
        let worst = self.shown.iter().map(margin).fold(f64::INFINITY, f64::min);
        let errors = match is_steady(self.unsteady_s, self.measured_s) {
            _ if self.failed => -CERTAIN,
            true => worst,
            false => worst.min(0.0),
        };
        Lean { errors, length: self.measured_s / plain_s }
    }
}

/// Adds a probe to the measurements of its rate.
fn add(all: &mut Option<Measurement>, number: u32, probe: &Measurement, objectives: &[Slo]) {
    let (mut runs, mut latencies, mut batches) = match all.take() {
        None => (Vec::new(), Latencies::new(), Vec::new()),
        Some(all) => (all.record.runs, all.latencies, all.batches),
    };
    latencies.merge(&probe.latencies);
    batches.extend(probe.batches.iter().cloned());
    let added = probe.record.runs.iter().cloned();
    runs.extend(added.map(|run| RunRecord { number, ..run }));
    let Record { args, env, .. } = probe.record.clone();
    *all = Some(Measurement::of(args, env, runs, latencies, batches, objectives));
}

/// Whether a delay by the loader only makes it harder to meet the objectives.
fn are_of_response(objectives: &[Slo]) -> bool {
    let of_response =
        |slo: &Slo| matches!(slo.metric(), Metric::Time(None | Some(Distribution::Response), _));
    objectives.iter().all(of_response)
}

/// Whether the loader disturbed a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Disturbance {
    None,
    Doubtful,
    /// INVALID only because of the loader's delay.
    Delayed,
    Invalid,
}

impl Disturbance {
    fn of(validity: &Validity) -> Self {
        let mut reasons = validity.reasons.iter();
        // Only a server that never answers makes a run INVALID without the loader's fault.
        let mut invalid = reasons
            .clone()
            .filter(|reason| reason.level == Verdict::Invalid)
            .filter(|reason| reason.code != Code::NothingMeasured)
            .peekable();
        if invalid.peek().is_some() {
            let only_delays = invalid.all(|reason| DELAYS.contains(&reason.code));
            if only_delays { Self::Delayed } else { Self::Invalid }
        } else if reasons.any(|reason| DISTURBANCES.contains(&reason.code)) {
            Self::Doubtful
        } else {
            Self::None
        }
    }
}

/// Judges measurements by the objectives.
///
/// Requests that failed make a rate bad, unless an objective says how many may.
fn judge(record: &Record, objectives: &[Slo]) -> ProbeFinding {
    let decisions: Vec<Decision> = record.slo.iter().map(|slo| slo.decision).collect();
    let steady = is_steady(unsteady_s(&record.runs), record.rate.measured_s);
    finding(is_failed(record, objectives), &decisions, !steady)
}

fn is_failed(record: &Record, objectives: &[Slo]) -> bool {
    let tolerates_errors = objectives.iter().any(|slo| slo.metric() == Metric::Errors);
    record.counters.has_errors() && !tolerates_errors || record.counters.measured == 0
}

fn finding(failed: bool, decisions: &[Decision], depends_on_length: bool) -> ProbeFinding {
    if failed || decisions.contains(&Decision::Failed) {
        ProbeFinding::Bad
    } else if decisions.contains(&Decision::Undecided) || depends_on_length {
        ProbeFinding::Undecided
    } else {
        ProbeFinding::Good
    }
}

/// The measured time that was not steady.
fn unsteady_s(runs: &[RunRecord]) -> f64 {
    let growing = [Code::NotSteady, Code::Overloaded];
    let is_unsteady =
        |run: &&RunRecord| run.validity.reasons.iter().any(|reason| growing.contains(&reason.code));
    runs.iter().filter(is_unsteady).map(|run| run.rate.measured_s).sum()
}

/// Whether less than half of the measured time was not steady. If a queue grows, a run can meet an
/// objective only because it is short. But a short run may also look unsteady by chance.
fn is_steady(unsteady_s: f64, measured_s: f64) -> bool {
    unsteady_s == 0.0 || 2.0 * unsteady_s < measured_s
}

/// About how long a measurement must be to decide all objectives: the width of a confidence
/// interval falls with the square root of the length.
fn needed_s(record: &Record, objectives: &[Slo]) -> Option<f64> {
    let checked = objectives.iter().zip(&record.slo);
    let undecided = checked.filter(|(_, checked)| checked.decision == Decision::Undecided);
    let factors = undecided.filter_map(|(slo, _)| factor_needed(record, slo));
    factors.reduce(f64::max).map(|factor| factor * record.rate.measured_s)
}

/// How many times as long it must be for one objective. Nothing if its metric has no interval, or
/// is exactly at the limit.
fn factor_needed(record: &Record, slo: &Slo) -> Option<f64> {
    let Metric::Time(distribution, _) = slo.metric() else { return None };
    let percentile = slo.percentile()?;
    let headline = Distribution::headline(record.args.mode);
    let latency = record.latency_ns.of(distribution.unwrap_or(headline));
    let samples = latency.count.max(1) as f64;
    let for_samples = percentile.samples_min as f64 / samples;
    let ends = latency.ci95_at(percentile).and_then(|(low, high)| Some((low, high?)));
    let (Some((low, high)), Some(value)) = (ends, latency.at(percentile)) else {
        // Without an interval, twice as long is the least that may give one.
        return Some(for_samples.max(2.0));
    };
    let (value, distance) = (value as f64, (slo.limit() - value as f64).abs());
    let half = if value < slo.limit() { high as f64 - value } else { value - low as f64 };
    (distance > 0.0).then(|| (half / distance).powi(2).max(for_samples).max(1.0))
}

#[cfg(test)]
mod tests {
    use Decision::{Failed, Passed, Undecided};

    use super::*;
    use crate::record::tests::sample;
    use crate::record::{Reason, SloRecord};

    fn because(code: Code, level: Verdict) -> Validity {
        let reason = Reason { code, level, text: String::new() };
        Validity { verdict: level, reasons: vec![reason], ..Validity::valid() }
    }

    fn objective(text: &str) -> Vec<Slo> {
        vec![text.parse().unwrap()]
    }

    /// A probe of 20 s, answered within 100 to 210 µs, with this verdict.
    fn probe(validity: Validity) -> Measurement {
        let mut measurement = sample::open();
        measurement.record.runs[0].validity = validity.clone();
        measurement.record.validity = validity;
        measurement
    }

    #[test]
    fn all_objectives_must_be_met_for_certain() {
        let judged = |decisions: &[Decision]| finding(false, decisions, false);
        assert_eq!(judged(&[Passed, Passed]), ProbeFinding::Good);
        assert_eq!(judged(&[Passed, Undecided]), ProbeFinding::Undecided);
        assert_eq!(judged(&[Undecided, Failed]), ProbeFinding::Bad);
    }

    #[test]
    fn a_run_with_errors_is_bad_whatever_its_latencies() {
        assert_eq!(finding(true, &[Passed], false), ProbeFinding::Bad);
        let mut nothing = probe(because(Code::NothingMeasured, Verdict::Invalid));
        nothing.record.runs[0].counters.measured = 0;
        let found = Evidence::default().add(1, &nothing, &objective("p99<1ms"));
        assert_eq!(found.observed.finding, ProbeFinding::Bad);
    }

    #[test]
    fn an_objective_that_is_met_only_for_now_is_not_met() {
        assert_eq!(finding(false, &[Passed], true), ProbeFinding::Undecided);
        assert_eq!(finding(false, &[Failed], true), ProbeFinding::Bad);
    }

    #[test]
    fn what_a_late_loader_seems_to_show_counts_for_nothing() {
        let late = probe(because(Code::LoaderLate, Verdict::Invalid));
        for text in ["p99<1us", "service.p99<1ms", "rate>=1"] {
            let mut evidence = Evidence::default();
            let found = evidence.add(1, &late, &objective(text));
            let observed = Observation { finding: ProbeFinding::LoaderLimited, disturbed: true };
            assert_eq!((found.observed, found.evidence_s), (observed, 0.0), "{text}");
        }
        let slow = probe(because(Code::BelowRate, Verdict::Invalid));
        let found = Evidence::default().add(1, &slow, &objective("p99<1ms"));
        assert_eq!(found.observed.finding, ProbeFinding::LoaderLimited);
    }

    #[test]
    fn responses_that_a_late_loader_delayed_and_that_are_short_enough_meet_their_objective() {
        let late = probe(because(Code::LoaderLate, Verdict::Invalid));
        let found = Evidence::default().add(1, &late, &objective("p99<1ms"));
        let observed = Observation { finding: ProbeFinding::Good, disturbed: true };
        assert_eq!((found.observed, found.evidence_s), (observed, 20.0));
    }

    #[test]
    fn a_disturbed_probe_counts_until_there_is_one_that_was_not() {
        let mut evidence = Evidence::default();
        let mut slow = probe(because(Code::Preempted, Verdict::Suspect));
        slow.latencies[Distribution::Response].record(2_000_000_000);
        let max = objective("max<1s");
        let found = evidence.add(1, &slow, &max);
        let observed = Observation { finding: ProbeFinding::Bad, disturbed: true };
        assert_eq!((found.observed, found.evidence_s), (observed, 20.0));
        let found = evidence.add(2, &probe(Validity::valid()), &max);
        let observed = Observation { finding: ProbeFinding::Good, disturbed: false };
        assert_eq!((found.observed, found.evidence_s), (observed, 20.0));
        let found = evidence.add(3, &slow, &max);
        let observed = Observation { finding: ProbeFinding::Good, disturbed: true };
        assert_eq!((found.observed, found.evidence_s), (observed, 20.0));
    }

    #[test]
    fn probes_of_a_rate_are_evidence_together() {
        let mut evidence = Evidence::default();
        // 300 requests are too few for a p99, and 600 are enough.
        let mut short = probe(Validity::valid());
        short.latencies = Latencies::new();
        short.record.runs[0].intervals.clear();
        (0..300).for_each(|n| short.latencies[Distribution::Response].record(100_000 + n));
        let found = evidence.add(1, &short, &objective("p99<1ms"));
        assert_eq!(found.observed.finding, ProbeFinding::Undecided);
        assert_eq!(found.needed_s, Some(40.0), "twice as long");
        let found = evidence.add(2, &short, &objective("p99<1ms"));
        assert_eq!((found.observed.finding, found.needed_s), (ProbeFinding::Good, None));
        assert_eq!(found.evidence_s, 40.0);
    }

    #[test]
    fn one_unsteady_probe_among_several_does_not_leave_it_undecided() {
        let mut evidence = Evidence::default();
        let unsteady = probe(because(Code::NotSteady, Verdict::Suspect));
        let slo = objective("p99<1ms");
        let mut add = |probe: &Measurement| evidence.add(1, probe, &slo).observed.finding;
        assert_eq!(add(&unsteady), ProbeFinding::Undecided);
        assert_eq!(add(&probe(Validity::valid())), ProbeFinding::Undecided, "half of the time");
        assert_eq!(add(&probe(Validity::valid())), ProbeFinding::Good);
    }

    #[test]
    fn the_length_that_decides_follows_from_interval_and_distance() {
        let mut record = sample::open().record;
        record.latency_ns.response.p99 = Some(1_000_000);
        record.latency_ns.response.ci95.insert("p99".to_owned(), (900_000, Some(1_200_000)));
        let mut needed = |text: &str, decision| {
            let objective = text.to_owned();
            let found = String::new();
            record.slo = vec![SloRecord { objective, met: None, decision, found }];
            needed_s(&record, &self::objective(text))
        };
        // The upper end is 200 µs away, and should be 100 µs: four times as long.
        assert_eq!(needed("p99<1.1ms", Undecided), Some(80.0));
        assert_eq!(needed("p99<950us", Undecided), Some(80.0));
        assert_eq!(needed("p99<1ms", Undecided), None, "no length decides");
        assert_eq!(needed("p99<2ms", Passed), None, "it is decided");
    }
}
