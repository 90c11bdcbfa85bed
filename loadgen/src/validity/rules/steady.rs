//! Whether a longer run would have the same result, and whether there are enough samples.
//!
//! The rules on steadiness use the intervals of the measured window, if there are enough of them
//! and the load was constant. The rule on samples uses the counts of the whole window.

use super::super::Evidence;
use super::percent;
use crate::latency::{PERCENTILES, Percentile};
use crate::record::{ArgsRecord, Code, IntervalRecord, Reason, RunRecord, TextValue};
use crate::slo::Slo;
use crate::stats::{self, FittedLine};
use crate::units::{brief, counted, grouped};

/// Fewer intervals than this show no trend.
const INTERVALS_MIN: usize = 5;

/// Intervals in each half that the rank test needs for its level.
const HALF_MIN: usize = 5;

/// Share of the requests by which the queue may grow, and how well it must fit a line: one pause of
/// the server is no trend.
const GROWTH_SUSPECT: f64 = 0.01;
const GROWTH_CORRELATION: f64 = 0.8;

/// Least correlation of the number of replies with time.
const PACE_CORRELATION_MIN: f64 = 0.99;

/// Largest factor between the p99 of both halves, and the level of the test.
const P99_FACTOR: f64 = 1.5;
const P99_CHANCE: f64 = 0.01;

/// The intervals, if there are enough and the load was constant.
fn steady_load<'a>(evidence: &Evidence<'a>) -> Option<Vec<&'a IntervalRecord>> {
    let intervals = evidence.window();
    (evidence.is_flat() && intervals.len() >= INTERVALS_MIN).then_some(intervals)
}

/// The queue grows: more requests come than the server can answer, so every percentile depends on
/// the length of the run.
pub(super) fn growing_backlog(evidence: &Evidence<'_>) -> Option<Reason> {
    let intervals = steady_load(evidence).filter(|_| evidence.is_open())?;
    let waiting = |interval: &&IntervalRecord| {
        let end_s = interval.start_s + interval.length_s;
        (end_s, (interval.outstanding + interval.backlog) as f64)
    };
    let line = FittedLine::through(&intervals.iter().map(waiting).collect::<Vec<_>>())?;
    let offered_per_s = evidence.run.rate.offered_per_s?;
    let why = match evidence.cause() {
        Some(cause) if !cause.is_slowness() => cause.text(evidence.run),
        _ => "the rate exceeds the capacity, and percentiles depend on the length of the run; \
              lower --rate"
            .to_owned(),
    };
    let growing = line.slope > GROWTH_SUSPECT * offered_per_s;
    (growing && line.correlation > GROWTH_CORRELATION).then(|| {
        let text = format!(
            "not steady: the queue grows by {:.0} requests a second, {} of the offered rate; {why}",
            line.slope,
            percent(line.slope / offered_per_s)
        );
        Reason::suspect(Code::NotSteady, text)
    })
}

/// The rate of replies was not constant.
pub(super) fn uneven_replies(evidence: &Evidence<'_>) -> Option<Reason> {
    let intervals = steady_load(evidence)?;
    let mut sum = 0;
    let so_far = |interval: &&IntervalRecord| {
        sum += interval.completed;
        (interval.start_s + interval.length_s, sum as f64)
    };
    let line = FittedLine::through(&intervals.iter().map(so_far).collect::<Vec<_>>())?;
    let advice = match evidence.cause() {
        Some(cause) if !cause.is_slowness() => cause.text(evidence.run),
        _ => "look at the intervals, and measure longer or with a longer --warmup".to_owned(),
    };
    (line.correlation < PACE_CORRELATION_MIN).then(|| {
        let text = format!(
            "not steady: the replies came unevenly (correlation with time {:.3}); {advice}",
            line.correlation
        );
        Reason::suspect(Code::NotSteady, text)
    })
}

/// The tail changed from the first half to the second.
pub(super) fn changing_latency(evidence: &Evidence<'_>) -> Option<Reason> {
    let intervals = steady_load(evidence)?;
    let p99s: Vec<f64> =
        intervals.iter().filter_map(|interval| interval.p99_ns).map(|ns| ns as f64).collect();
    let (first, second) = p99s.split_at(p99s.len() / 2);
    if first.len() < HALF_MIN {
        return None;
    }
    let (before, after) = (stats::median(first)?, stats::median(second)?);
    let factor = before.max(after) / before.min(after).max(1.0);
    (factor > P99_FACTOR && stats::mann_whitney(first, second) < P99_CHANCE).then(|| {
        let text = format!(
            "not steady: the p99 of an interval is {} in the first half and {} in the second; use \
             a longer --warmup or --duration",
            brief(before as u64),
            brief(after as u64)
        );
        Reason::suspect(Code::NotSteady, text)
    })
}

/// A percentile of the report, or one that an objective is about, has too little support.
///
/// All runs of a plan count together; each is judged as if the others had as many samples.
pub(super) fn few_samples(evidence: &Evidence<'_>) -> Option<Reason> {
    let (count, runs) = (evidence.headline().count, u64::from(evidence.args.runs.max(1)));
    let mut reason = few_samples_among(count * runs, evidence.args)?;
    if runs > 1 {
        reason.text = format!("{runs} runs with as many as this one: {}", reason.text);
    }
    Some(reason)
}

/// The same of all samples of some runs.
pub(in crate::validity) fn few_samples_of_all(
    runs: &[RunRecord],
    args: &ArgsRecord,
) -> Option<Reason> {
    let counts = runs.iter().map(|run| run.latency_ns.headline(args.mode).count);
    few_samples_among(counts.sum(), args)
}

fn few_samples_among(count: u64, args: &ArgsRecord) -> Option<Reason> {
    let unknown = |percentile: &Percentile| percentile.samples_min > count;
    let objectives = args.slo.iter().filter_map(TextValue::value);
    let needed = objectives.filter_map(Slo::percentile);
    if let Some(percentile) = needed.filter(unknown).max_by_key(|percentile| percentile.samples_min)
    {
        let text = format!(
            "an objective asks for {}, which needs {} requests, and there are {}; measure longer",
            percentile.label,
            grouped(percentile.samples_min),
            grouped(count)
        );
        return Some(Reason::suspect(Code::FewSamples, text));
    }
    let missing: Vec<&str> =
        PERCENTILES.iter().filter(|p| unknown(p)).map(|percentile| percentile.label).collect();
    (!missing.is_empty()).then(|| {
        let text = format!(
            "{} are too few for {}; measure longer to know more",
            counted(count, "request"),
            missing.join(", ")
        );
        Reason::label(Code::FewSamples, text)
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{codes, findings, one};
    use crate::record::Verdict::{Suspect, Valid};
    use crate::record::tests::sample;
    use crate::record::{Code, IntervalRecord, Reason, RunRecord};

    fn each(run: &mut RunRecord, change: impl Fn(u64, &mut IntervalRecord)) {
        (0..).zip(&mut run.intervals).for_each(|(number, interval)| change(number, interval));
    }

    #[test]
    fn a_queue_may_grow_by_one_request_in_a_hundred() {
        // 2,000 requests a second are offered.
        let when = |growth: u64| {
            codes(sample::open(), |_, run| each(run, |n, interval| interval.backlog = n * growth))
        };
        assert_eq!(when(20), []);
        assert_eq!(when(21), one(Code::NotSteady, Suspect));
    }

    #[test]
    fn a_pause_is_no_trend() {
        // Late enough that the line through all intervals rises by more than 1 %.
        let found = codes(sample::open(), |_, run| run.intervals[17].backlog = 4_000);
        assert_eq!(found, []);
    }

    #[test]
    fn a_ramp_need_not_be_steady() {
        let found = codes(sample::open(), |record, run| {
            record.args.rate = Some("1k..3k".to_owned().into());
            each(run, |n, interval| interval.backlog = n * 1_000);
        });
        assert_eq!(found, []);
    }

    #[test]
    fn replies_that_stop_half_way_are_uneven() {
        let found = codes(sample::closed(), |_, run| {
            each(run, |n, interval| interval.completed = if n < 4 { 20_000 } else { 0 });
        });
        assert_eq!(found, one(Code::NotSteady, Suspect));
    }

    #[test]
    fn a_tail_that_changes_by_half_is_not_steady() {
        let when = |percent: u64| {
            codes(sample::closed(), |_, run| {
                each(run, |n, interval| {
                    let p99_ns = if n < 5 { 100_000 } else { percent * 1_000 };
                    interval.p99_ns = Some(p99_ns + n);
                });
            })
        };
        assert_eq!(when(149), []);
        assert_eq!(when(151), one(Code::NotSteady, Suspect));
        assert_eq!(when(68), []);
        assert_eq!(when(66), one(Code::NotSteady, Suspect));
    }

    #[test]
    fn a_tail_that_goes_up_and_down_is_no_change() {
        let found = codes(sample::closed(), |_, run| {
            each(run, |n, interval| {
                let is_long = [3, 4, 5, 6, 7].contains(&n);
                interval.p99_ns = Some(if is_long { 300_000 } else { 100_000 });
            });
        });
        assert_eq!(found, [], "medians differ by three, ranks do not");
    }

    #[test]
    fn few_intervals_show_no_trend() {
        let found = codes(sample::open(), |_, run| {
            each(run, |n, interval| interval.backlog = n * 1_000);
            run.intervals.truncate(4);
        });
        assert_eq!(found, []);
    }

    fn with_samples(count: u64, runs: u32, slo: &str) -> Vec<Reason> {
        findings(sample::open(), |record, run| {
            run.latency_ns.response.count = count;
            record.args.runs = runs;
            record.args.slo = vec![slo.to_owned().into()];
        })
    }

    #[test]
    fn an_objective_without_support_is_suspect() {
        assert_eq!(with_samples(36_887, 1, "p99.99<1ms"), []);
        let found = with_samples(36_886, 1, "p99.99<1ms");
        assert_eq!((&found[0].code, found[0].level), (&Code::FewSamples, Suspect));
        assert_eq!(with_samples(18_444, 2, "p99.99<1ms"), [], "both runs count");
    }

    #[test]
    fn a_row_of_the_report_without_support_is_a_label() {
        let found = with_samples(3_688, 1, "p99.9<1ms");
        assert_eq!((&found[0].code, found[0].level), (&Code::FewSamples, Valid));
        assert!(found[0].text.contains("too few for p99.99;"), "{}", found[0].text);
        let found = codes(sample::open(), |_, run| run.latency_ns.response.count = 36_886);
        assert_eq!(found, one(Code::FewSamples, Valid));
    }
}
