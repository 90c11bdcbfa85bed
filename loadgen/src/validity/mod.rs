//! The verdict on a measurement, with its reasons, and the check of its objectives.
//!
//! ```text
//! percentiles  how much of each percentile may be the loader's own delay
//! rules/       one function per rule: it returns at most one finding about a run
//! objective    the check of service-level objectives
//! worst        which of several runs shows a finding most
//! ```
//!
//! Codes of findings are stable; scripts may rely on them.

mod objective;
mod percentiles;
mod rules;
mod worst;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) use self::percentiles::of_headline as loader_parts;
use crate::environment::Environment;
use crate::latency::Latencies;
use crate::record::{
    ArgsRecord, Code, IntervalRecord, LatencyRecord, LoaderPart, Reason, RunRecord, TextValue,
    Validity, Verdict,
};
use crate::schedule::RateProfile;
use crate::units::{counted, numbers};

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
/// once, with the text of the run where it is worst. All samples count together. [`loader_parts`]
/// judges the percentiles.
pub(crate) fn judge_all(runs: &[RunRecord], args: &ArgsRecord) -> Validity {
    let mut findings: Vec<Repeated<'_>> = Vec::new();
    for run in runs {
        for reason in run.validity.reasons.iter().chain(&run.validity.labels) {
            match findings.iter_mut().find(|known| known.worst.code == reason.code) {
                None => findings.push(Repeated::new(run, reason)),
                Some(known) => known.add(run, reason),
            }
        }
    }
    findings.retain(|finding| finding.worst.code != Code::FewSamples);
    let all = findings.into_iter().map(|finding| finding.in_runs(runs.len()));
    let few_samples = rules::few_samples_of_all(runs, args).filter(|_| !runs.is_empty());
    conclude(all.chain(few_samples).collect())
}

/// A finding about one run or several.
struct Repeated<'a> {
    worst: &'a Reason,
    extent: Option<f64>,
    run: u32,
    runs: BTreeSet<u64>,
    /// Whether all runs have the same text.
    is_uniform: bool,
}

impl<'a> Repeated<'a> {
    fn new(run: &RunRecord, reason: &'a Reason) -> Self {
        Self {
            worst: reason,
            extent: worst::extent(&reason.code, run),
            run: run.number,
            runs: [run.number.into()].into(),
            is_uniform: true,
        }
    }

    fn add(&mut self, run: &RunRecord, reason: &'a Reason) {
        let other = Self::new(run, reason);
        self.runs.insert(run.number.into());
        self.is_uniform &= reason.text == self.worst.text;
        if (reason.level, other.extent) > (self.worst.level, self.extent) {
            (self.worst, self.extent, self.run) = (reason, other.extent, run.number);
        }
    }

    /// The finding with the runs that it is about, of `all` runs, and the run of its numbers.
    fn in_runs(self, all: usize) -> Reason {
        let count = self.runs.len();
        let which = match count {
            1 => format!("run {}", numbers(&self.runs)),
            _ if count == all => format!("all {}", counted(all as u64, "run")),
            _ => format!("runs {}", numbers(&self.runs)),
        };
        let of_one = match self.extent {
            _ if count == 1 || self.is_uniform => String::new(),
            Some(_) => format!(", worst in run {}", self.run),
            None => format!(", first in run {}", self.run),
        };
        let is_of_all = count == all && (all == 1 || self.is_uniform);
        let prefix = if is_of_all { String::new() } else { format!("{which}{of_one}: ") };
        Reason { text: format!("{prefix}{}", self.worst.text), ..self.worst.clone() }
    }
}

/// The verdict is the worst level. Errors come first, because they explain much else, and then the
/// gravest reasons.
fn conclude(findings: Vec<Reason>) -> Validity {
    let worst = findings.iter().map(|finding| finding.level).max().unwrap_or(Verdict::Valid);
    let (mut labels, mut reasons): (Vec<_>, Vec<_>) =
        findings.into_iter().partition(|finding| finding.level == Verdict::Valid);
    let place = |reason: &Reason| (reason.code != Code::Errors, Reverse(reason.level));
    reasons.sort_by_key(place);
    labels.sort_by_key(place);
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

    /// Whether each request had a time of its own, and there was no rate to change.
    fn is_timed(&self) -> bool {
        self.args.arrival.as_deref() == Some("timed")
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
    fn failed_requests_come_before_the_lateness_that_they_cause() {
        let invalid = Reason::invalid(Code::LoaderLate, String::new());
        let errors = Reason::suspect(Code::Errors, String::new());
        let validity = conclude(vec![invalid.clone(), errors.clone()]);
        assert_eq!((validity.verdict, validity.reasons), (Verdict::Invalid, vec![errors, invalid]));
    }

    fn late(level: fn(Code, String) -> Reason, text: &str) -> Reason {
        level(Code::LoaderLate, text.to_owned())
    }

    fn judge_all_of(runs: &[RunRecord]) -> Validity {
        judge_all(runs, &sample::open().record.args)
    }

    #[test]
    fn several_runs_are_as_bad_as_the_worst_and_say_which_they_were() {
        let everywhere = || Reason::label(Code::CoLocated, "shared".to_owned());
        let runs = [
            judged(1, vec![everywhere()]),
            judged(2, vec![late(Reason::suspect, "a little"), everywhere()]),
            judged(3, vec![late(Reason::invalid, "very"), everywhere()]),
        ];
        let validity = judge_all_of(&runs);
        assert_eq!(validity.verdict, Verdict::Invalid);
        let texts: Vec<&str> = validity.reasons.iter().map(|reason| &*reason.text).collect();
        assert_eq!(texts, ["runs 2, 3, worst in run 3: very"]);
        assert_eq!(validity.labels, [everywhere()]);
        assert_eq!(judge_all_of(&[]), Validity::valid());
    }

    #[test]
    fn a_finding_in_all_runs_has_the_numbers_of_the_run_where_it_is_worst() {
        let run = |number: u32, late_ns: u64| {
            let text = format!("p99 {late_ns}");
            let mut run = judged(number, vec![late(Reason::suspect, &text)]);
            run.latency_ns.loader_late.p99 = Some(late_ns);
            run
        };
        let validity = judge_all_of(&[run(1, 60), run(2, 90), run(3, 70)]);
        assert_eq!(validity.reasons[0].text, "all 3 runs, worst in run 2: p99 90");
        let validity = judge_all_of(&[run(1, 60)]);
        assert_eq!(validity.reasons[0].text, "p99 60");
    }

    #[test]
    fn a_code_of_several_meanings_has_the_text_of_the_first_run() {
        let unsteady = |number: u32, text: &str| {
            judged(number, vec![Reason::suspect(Code::NotSteady, text.to_owned())])
        };
        let runs = [unsteady(1, "grows"), unsteady(2, "uneven"), judged(3, vec![])];
        let text = "runs 1, 2, first in run 1: grows";
        assert_eq!(judge_all_of(&runs).reasons[0].text, text);
    }

    #[test]
    fn too_few_samples_are_counted_over_all_runs_as_they_were() {
        let run = |number: u32, count: u64| {
            let few = Reason::label(Code::FewSamples, format!("{count} requests"));
            let mut run = judged(number, vec![few]);
            run.latency_ns.response.count = count;
            run
        };
        let labels = judge_all_of(&[run(1, 1_000), run(2, 2_000)]).labels;
        assert_eq!(labels.len(), 1);
        let said = "3,000 requests are too few for p99.9, p99.99; measure longer";
        assert!(labels[0].text.starts_with(said), "{}", labels[0].text);
        assert_eq!(judge_all_of(&[run(1, 40_000), run(2, 2_000)]).labels, []);
    }
}
