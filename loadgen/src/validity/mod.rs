//! The verdict on a measurement, with its reasons, and the check of its objectives.
//!
//! ```text
//! percentiles  how much of each percentile may be the loader's own delay
//! rules/       one function per rule: it returns at most one finding about a run
//! objective    the check of service-level objectives
//! ```
//!
//! Codes of findings are stable; scripts may rely on them.

mod objective;
mod percentiles;
mod rules;

use std::collections::BTreeMap;

pub(crate) use self::percentiles::of_headline as loader_parts;
use crate::environment::Environment;
use crate::latency::Latencies;
use crate::record::{
    ArgsRecord, Code, IntervalRecord, LatencyRecord, LoaderPart, Reason, RunRecord, TextValue,
    Validity, Verdict,
};
use crate::schedule::RateProfile;

impl Reason {
    /// A note that does not lower the verdict.
    fn label(code: Code, text: String) -> Self {
        Self { code, level: Verdict::Valid, text }
    }

    /// A fact that may have distorted the measurement.
    fn suspect(code: Code, text: String) -> Self {
        Self { code, level: Verdict::Suspect, text }
    }

    /// A fact that makes the measurement invalid.
    fn invalid(code: Code, text: String) -> Self {
        Self { code, level: Verdict::Invalid, text }
    }
}

/// Judges one run by what it recorded about itself. `latencies` are its distributions.
pub(crate) fn judge(
    run: &RunRecord,
    latencies: &Latencies,
    args: &ArgsRecord,
    env: &Environment,
) -> Validity {
    let percentiles = percentiles::of_headline(latencies, args.mode);
    let evidence = Evidence { run, latencies, percentiles: &percentiles, args, env };
    let findings = rules::ALL.iter().filter_map(|rule| rule(&evidence)).collect();
    Validity { percentiles, ..conclude(findings) }
}

/// Judges several runs of one plan. The verdict is that of the worst run; every finding appears
/// once, with the text of the run where it is worst. [`loader_parts`] judges the percentiles.
pub(crate) fn judge_all(runs: &[RunRecord]) -> Validity {
    let mut findings: Vec<(Reason, Vec<u32>)> = Vec::new();
    for run in runs {
        for reason in run.validity.reasons.iter().chain(&run.validity.labels) {
            match findings.iter_mut().find(|(known, _)| known.code == reason.code) {
                None => findings.push((reason.clone(), vec![run.number])),
                Some((known, numbers)) => {
                    if reason.level > known.level {
                        *known = reason.clone();
                    }
                    numbers.push(run.number);
                }
            }
        }
    }
    let in_runs = |(mut reason, numbers): (Reason, Vec<u32>)| {
        if numbers.len() < runs.len() {
            let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
            let noun = if numbers.len() == 1 { "run" } else { "runs" };
            reason.text = format!("{noun} {}: {}", numbers.join(", "), reason.text);
        }
        reason
    };
    conclude(findings.into_iter().map(in_runs).collect())
}

/// The verdict is the worst level; the gravest reasons come first.
fn conclude(findings: Vec<Reason>) -> Validity {
    let worst = findings.iter().map(|finding| finding.level).max().unwrap_or(Verdict::Valid);
    let (labels, mut reasons): (Vec<_>, Vec<_>) =
        findings.into_iter().partition(|finding| finding.level == Verdict::Valid);
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.level));
    Validity { verdict: worst, reasons, labels, percentiles: BTreeMap::new() }
}

/// Everything recorded about a run.
#[derive(Debug, Clone, Copy)]
struct Evidence<'a> {
    run: &'a RunRecord,
    latencies: &'a Latencies,
    percentiles: &'a BTreeMap<String, LoaderPart>,
    args: &'a ArgsRecord,
    env: &'a Environment,
}

impl<'a> Evidence<'a> {
    /// Whether requests followed a schedule.
    fn is_open(&self) -> bool {
        self.args.is_open()
    }

    /// Whether the intended load was constant: a closed loop, or a flat rate.
    fn is_flat(&self) -> bool {
        let profile = self.args.rate.as_ref().map(TextValue::value);
        matches!(profile, None | Some(Some(RateProfile::Flat(_))))
    }

    /// The headline latency of the run.
    fn headline(&self) -> &'a LatencyRecord {
        self.run.latency_ns.headline(self.args.mode)
    }

    /// The intervals that lie in the measured window.
    fn window(&self) -> Vec<&'a IntervalRecord> {
        let end_s = self.args.duration_s;
        let inside = |interval: &&IntervalRecord| {
            let middle_s = interval.start_s + interval.length_s / 2.0;
            interval.start_s > -interval.length_s / 2.0 && middle_s < end_s
        };
        self.run.intervals.iter().filter(inside).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Measurement;
    use crate::record::tests::sample;

    fn judged(number: u32, findings: Vec<Reason>) -> RunRecord {
        let mut run = sample::open().record.runs.remove(0);
        run.number = number;
        run.validity = conclude(findings);
        run
    }

    #[test]
    fn a_run_without_findings_is_valid() {
        for measurement in [sample::open(), sample::closed()] {
            let Measurement { record, latencies, .. } = measurement;
            let validity = judge(&record.runs[0], &latencies, &record.args, &record.env);
            assert_eq!(
                validity,
                Validity { percentiles: validity.percentiles.clone(), ..Validity::valid() }
            );
            assert!(validity.percentiles.values().all(|part| part.verdict == Verdict::Valid));
        }
    }

    #[test]
    fn the_worst_finding_is_the_verdict_and_labels_do_not_lower_it() {
        let label = Reason::label(Code::CarriedBacklog, String::new());
        let suspect = Reason::suspect(Code::Steal, String::new());
        let invalid = Reason::invalid(Code::LoaderLate, String::new());
        let validity = conclude(vec![label.clone(), suspect.clone(), invalid.clone()]);
        assert_eq!(validity.verdict, Verdict::Invalid);
        assert_eq!((validity.reasons, validity.labels.len()), (vec![invalid, suspect], 1));
        assert_eq!(conclude(vec![label]).verdict, Verdict::Valid);
    }

    #[test]
    fn several_runs_are_as_bad_as_the_worst_and_say_which_they_were() {
        let late = |level: fn(Code, String) -> Reason, text: &str| {
            level(Code::LoaderLate, text.to_owned())
        };
        let everywhere = || Reason::label(Code::CoLocated, "shared".to_owned());
        let runs = [
            judged(1, vec![everywhere()]),
            judged(2, vec![late(Reason::suspect, "a little"), everywhere()]),
            judged(3, vec![late(Reason::invalid, "very"), everywhere()]),
        ];
        let validity = judge_all(&runs);
        assert_eq!(validity.verdict, Verdict::Invalid);
        let texts: Vec<&str> = validity.reasons.iter().map(|reason| &*reason.text).collect();
        assert_eq!(texts, ["runs 2, 3: very"]);
        assert_eq!(validity.labels, [everywhere()]);
        assert_eq!(judge_all(&[]), Validity::valid());
    }
}
