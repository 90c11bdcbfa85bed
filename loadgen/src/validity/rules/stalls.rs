//! Whether the loader stood still, and which numbers may show that instead of the server.

use super::super::Evidence;
use super::super::percentiles::{self, MAX};
use super::advice::{Remedy, untried};
use super::loader::late_level;
use super::percent;
use crate::clock::nanoseconds;
use crate::latency::{Distribution, P50, P90, P99, PERCENTILES};
use crate::record::{Code, IntervalRecord, LoaderPart, Reason, TextValue, Verdict};
use crate::slo::{Metric, Slo, Statistic};
use crate::units::{brief, counted};

/// Shares of the window that the loader may stand still. In this time it sends nothing: the rate of
/// a closed loop is too low by as much, and as many requests of an open loop are late.
const STALLED_SUSPECT: f64 = 0.01;
const STALLED_INVALID: f64 = 0.05;

/// Part of the longest stall that no wait for a processor explains, if no other program caused it.
const STOPPED: f64 = 0.5;

/// The loader stood still for so long that the rate of a closed loop, the lateness of an open loop,
/// or p99 or a lower percentile may be its own.
pub(super) fn stalled(evidence: &Evidence<'_>) -> Option<Reason> {
    let threads = &evidence.run.threads;
    let stalls: u64 = threads.iter().map(|thread| thread.stalls).sum();
    let stalled_s: f64 = threads.iter().map(|thread| thread.stalled_s).sum();
    let longest_s = threads.iter().map(|thread| thread.longest_stall_s).fold(0.0, f64::max);
    let share = stalled_s / (evidence.run.rate.measured_s * threads.len() as f64);
    let of_sends = match share {
        share if share <= STALLED_SUSPECT => Verdict::Valid,
        _ if evidence.is_open() => late_level(evidence),
        share if share > STALLED_INVALID => Verdict::Invalid,
        _ => Verdict::Suspect,
    };
    let parts = percentiles::of_stalls(evidence.latencies, evidence.args.mode);
    let parts = [P50, P90, P99].map(|percentile| Some((percentile, *parts.get(percentile.field)?)));
    let touched = parts.into_iter().flatten().filter(|(_, part)| part.verdict > Verdict::Valid);
    let level = touched.clone().map(|(_, part)| part.verdict).fold(of_sends, Verdict::max);
    let spoiled = [
        (of_sends > Verdict::Valid).then(|| match evidence.is_open() {
            true => format!("some {} of the requests were sent late", percent(share)),
            false => format!("the rate is up to {} too low", percent(share)),
        }),
        touched
            .map(|(percentile, part)| {
                format!("up to {} of {}", brief(part.at_most_ns), percentile.label)
            })
            .reduce(|all, next| format!("{all}, {next}"))
            .map(|of_percentiles| format!("{of_percentiles} may be its own delay")),
    ];
    let run_delays: Option<Vec<f64>> = threads.iter().map(|thread| thread.run_delay_s).collect();
    let waited_s = run_delays.map(|delays| delays.iter().sum::<f64>());
    let waited = waited_s.map_or_else(String::new, |waited_s| {
        format!(", {} of waiting for a processor in the run", of_seconds(waited_s))
    });
    let processors = untried(evidence, &[Remedy::OwnProcessors]);
    let advice = match unexplained_s(&evidence.run.intervals) {
        Some(unexplained_s) if unexplained_s > STOPPED * longest_s => {
            "it was stopped or suspended, or waited for a disk or for its hypervisor".to_owned()
        }
        Some(_) => format!("end other programs, or use {processors}"),
        None => format!("do not stop it, end other programs, or use {processors}"),
    };
    let text = format!(
        "the loader stood still for {} in all ({}, the longest {}{waited}): {}; {advice}",
        of_seconds(stalled_s),
        counted(stalls, "stall"),
        of_seconds(longest_s),
        spoiled.into_iter().flatten().collect::<Vec<_>>().join(", and ")
    );
    (level > Verdict::Valid).then_some(Reason { code: Code::LoaderStalled, level, text })
}

/// How long the loader stood still in an interval without a wait for a processor, at most. A thread
/// that waits for one is ready to run; one that is stopped is not. Nothing if it is not known.
fn unexplained_s(intervals: &[IntervalRecord]) -> Option<f64> {
    let unexplained_s = |interval: &IntervalRecord| {
        let waited_s = interval.loader_run_delay? * interval.length_s;
        Some((interval.loader_stalled_s - waited_s).max(0.0))
    };
    let all: Option<Vec<f64>> = intervals.iter().map(unexplained_s).collect();
    Some(all?.into_iter().fold(0.0, f64::max))
}

fn of_seconds(seconds: f64) -> String {
    brief(nanoseconds(std::time::Duration::from_secs_f64(seconds)))
}

/// The loader's own delay, by late sends and by stalls, may be a large part of some percentiles. It
/// counts if an objective was missed that could have been met without it.
pub(super) fn delay(evidence: &Evidence<'_>) -> Option<Reason> {
    let named = PERCENTILES.iter().map(|percentile| (percentile.label, percentile.field));
    let parts: Vec<String> = named
        .chain([(MAX, MAX)])
        .filter_map(|(label, field)| {
            let part = evidence.percentiles.get(field)?;
            let value = brief(value_ns(evidence, field)?);
            let of_value = || format!("{label} (up to {} of {value})", brief(part.at_most_ns));
            (part.verdict > Verdict::Valid).then(of_value)
        })
        .collect();
    if parts.is_empty() {
        return None;
    }
    let others = if parts.len() < evidence.percentiles.len() { "; the others are not" } else { "" };
    let text = format!(
        "late sends and stalls of the loader may be a large part of {}{others}; use {}",
        parts.join(", "),
        untried(evidence, &[Remedy::OwnProcessors, Remedy::Pacing])
    );
    let objectives = evidence.args.slo.iter().filter_map(TextValue::value);
    let missed = objectives.filter(|slo| could_have_met(evidence, slo));
    Some(match missed.map(ToString::to_string).reduce(|all, next| format!("{all}, {next}")) {
        Some(missed) => Reason::suspect(
            Code::LoaderDelay,
            format!("{text}; without that, {missed} could have been met"),
        ),
        None => Reason::label(Code::LoaderDelay, text),
    })
}

/// Whether the objective was missed, and the loader's own delay may be why.
fn could_have_met(evidence: &Evidence<'_>, slo: &Slo) -> bool {
    let headline = Distribution::headline(evidence.args.mode);
    let field = match slo.metric() {
        Metric::Time(distribution, statistic) if distribution.unwrap_or(headline) == headline => {
            match statistic {
                Statistic::Percentile(_) => slo.percentile().map(|percentile| percentile.field),
                Statistic::Max => Some(MAX),
                Statistic::Mean => None,
            }
        }
        _ => None,
    };
    let found = field.and_then(|field| {
        let LoaderPart { at_most_ns, .. } = evidence.percentiles.get(field)?;
        Some((value_ns(evidence, field)?, *at_most_ns))
    });
    found.is_some_and(|(value_ns, at_most_ns)| {
        !slo.holds(value_ns as f64) && slo.holds((value_ns - at_most_ns) as f64)
    })
}

/// A percentile of the headline latency, or its maximum, by the field's name.
fn value_ns(evidence: &Evidence<'_>, field: &str) -> Option<u64> {
    let headline = evidence.headline();
    let percentile = PERCENTILES.into_iter().find(|percentile| percentile.field == field);
    percentile.map_or(headline.max, |percentile| headline.at(percentile))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{findings, one};
    use crate::latency::{Distribution, Latencies};
    use crate::measure::Measurement;
    use crate::record::Verdict::{self, Invalid, Suspect, Valid};
    use crate::record::tests::sample;
    use crate::record::{Code, LatenciesRecord, Reason, Record};

    const MS: u64 = 1_000_000;

    /// What is found if the loader stood still for `length_ms`, while `touched` of 40,000 requests
    /// were outstanding.
    fn when_stalled(measurement: Measurement, length_ms: u64, touched: u64) -> Vec<Reason> {
        when_stalled_with(measurement, length_ms, touched, |_| {})
    }

    fn when_stalled_with(
        mut measurement: Measurement,
        length_ms: u64,
        touched: u64,
        change: impl FnOnce(&mut Record),
    ) -> Vec<Reason> {
        let delay = |latencies: &mut Latencies| {
            let mode = measurement.record.args.mode;
            latencies[Distribution::headline(mode)].record_n(length_ms * MS, touched);
            latencies[Distribution::Stalled].record_n(length_ms * MS, touched);
        };
        delay(&mut measurement.latencies);
        let latency_ns = LatenciesRecord::from(&measurement.latencies);
        findings(measurement, |record, run| {
            run.latency_ns = latency_ns;
            run.threads[0].stalls = 1;
            run.threads[0].stalled_s = length_ms as f64 / 1e3;
            run.threads[0].longest_stall_s = length_ms as f64 / 1e3;
            run.intervals[0].loader_stalled_s = length_ms as f64 / 1e3;
            change(record);
        })
    }

    fn levels(findings: &[Reason]) -> Vec<(Code, Verdict)> {
        findings.iter().map(|reason| (reason.code.clone(), reason.level)).collect()
    }

    #[test]
    fn a_closed_loop_that_stands_still_has_too_low_a_rate() {
        // Ten seconds are measured.
        let when = |length_ms: u64| levels(&when_stalled(sample::closed(), length_ms, 0));
        assert_eq!(when(100), []);
        assert_eq!(when(101), one(Code::LoaderStalled, Suspect));
        assert_eq!(when(501), one(Code::LoaderStalled, Invalid));
        let found = when_stalled(sample::closed(), 3_000, 0);
        let begin = "the loader stood still for 3.00 s in all (1 stall, the longest 3.00 s, \
                     100 ms of waiting for a processor in the run): the rate is up to 30 % too \
                     low; it was stopped or suspended";
        assert!(found[0].text.starts_with(begin), "{}", found[0].text);
    }

    #[test]
    fn a_loader_that_waited_for_a_processor_was_not_stopped() {
        let said = |run_delay: Option<f64>| {
            let found = findings(sample::closed(), |_, run| {
                run.threads[0].stalled_s = 0.6;
                run.threads[0].longest_stall_s = 0.4;
                run.intervals[3].loader_stalled_s = 0.6;
                run.intervals[3].loader_run_delay = run_delay;
            });
            found[0].text.rsplit_once(": ").unwrap().1.to_owned()
        };
        let stopped = "; it was stopped or suspended";
        let others = "; end other programs, or use processors of its own (--pin)";
        assert!(said(Some(0.1)).contains(stopped), "{}", said(Some(0.1)));
        assert!(said(Some(0.55)).contains(others), "{}", said(Some(0.55)));
        assert!(said(None).contains("; do not stop it, end other programs"), "{}", said(None));
    }

    #[test]
    fn the_rate_of_an_open_loop_does_not_depend_on_its_stalls() {
        assert_eq!(levels(&when_stalled(sample::open(), 3_000, 0)), []);
    }

    #[test]
    fn a_stall_that_reaches_p99_spoils_it() {
        for measurement in [sample::open(), sample::closed()] {
            let found = when_stalled(measurement, 50, 600);
            assert_eq!(found[0].code, Code::LoaderStalled);
            assert_eq!(found[0].level, Invalid);
            assert!(
                found[0].text.contains(": up to 49.8 ms of p99 may be its own delay;"),
                "{}",
                found[0].text
            );
        }
    }

    #[test]
    fn a_stall_that_reaches_high_percentiles_only_is_a_note_that_names_them() {
        for measurement in [sample::open(), sample::closed()] {
            let found = when_stalled(measurement, 50, 64);
            assert_eq!(levels(&found), one(Code::LoaderDelay, Valid));
            let named = ["p99.9", "p99.99", "max"].map(|label| {
                let named = format!("{label} (up to 49.8 ms of 50.0 ms)");
                found[0].text.contains(&named)
            });
            assert_eq!(named, [true; 3], "{}", found[0].text);
            assert!(found[0].text.contains("; the others are not; use"), "{}", found[0].text);
        }
    }

    #[test]
    fn an_objective_that_only_the_loader_missed_is_suspect() {
        let when = |slo: &str| {
            let found = when_stalled_with(sample::closed(), 50, 64, |record| {
                record.args.slo = vec![slo.to_owned().into()];
            });
            levels(&found)
        };
        assert_eq!(when("p99.9<10ms"), one(Code::LoaderDelay, Suspect));
        assert_eq!(when("max<10ms"), one(Code::LoaderDelay, Suspect));
        assert_eq!(when("p99.9<60ms"), one(Code::LoaderDelay, Valid), "met in any case");
        assert_eq!(when("p99.9<1us"), one(Code::LoaderDelay, Valid), "missed in any case");
        assert_eq!(when("p50<1us"), one(Code::LoaderDelay, Valid), "not touched");
        assert_eq!(when("connect.max<1us"), one(Code::LoaderDelay, Valid), "another latency");
    }
}
