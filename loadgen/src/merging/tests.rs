//! A merged result has each loader's counts exactly once, and results of different measurements are
//! not merged.

use std::path::Path;

use super::*;
use crate::latency::Distribution;
use crate::latency::tests::{latencies_of, latency_of};
use crate::options::Pacing;
use crate::record::tests::sample;
use crate::record::{Code, LatenciesRecord, Record, TextValue, Verdict};
use crate::report::ResultFolder;
use crate::report::text::Style;

/// A stored result of two runs, each of three intervals with these response times. `change` changes
/// it.
fn stored(path: &Path, base_ns: u64, change: &dyn Fn(&mut Record)) -> StoredResult {
    let mut measurement = sample::several(&sample::open_args(), 2);
    measurement.latencies = Latencies::new();
    measurement.record.args.seed = base_ns;
    for run in &mut measurement.record.runs {
        run.seeds = vec![base_ns + u64::from(run.number - 1)];
    }
    let mut folder = ResultFolder::open(path, false).unwrap();
    for run in &mut measurement.record.runs {
        folder.run_begins(run.number, run.started_unix_s);
        let mut of_run = Latencies::new();
        run.intervals.truncate(3);
        // The first is the warm-up.
        run.intervals.iter_mut().for_each(|interval| interval.start_s -= 1.0);
        for interval in &run.intervals {
            let response = latency_of((0..400).map(|n| base_ns + n * 1_009));
            let latencies = latencies_of([(Distribution::Response, response)]);
            folder.interval(interval, &latencies);
            of_run.merge(&latencies);
        }
        run.latency_ns = LatenciesRecord::from(&of_run);
        measurement.latencies.merge(&of_run);
    }
    measurement.record.latency_ns = LatenciesRecord::from(&measurement.latencies);
    change(&mut measurement.record);
    folder.finish(&measurement).unwrap();
    StoredResult::read(path).unwrap()
}

/// Two results, the second changed by `change`, put together.
fn merged(change: &dyn Fn(&mut Record)) -> Result<Merged, Error> {
    let folder = test_needs::folder();
    Merged::of(vec![
        stored(&folder.path().join("a"), 100_003, &|_| {}),
        stored(&folder.path().join("b"), 900_007, change),
    ])
}

#[track_caller]
fn refusal(change: &dyn Fn(&mut Record)) -> String {
    merged(change).expect_err("these do not belong together").to_string()
}

fn codes(record: &Record) -> Vec<&Code> {
    let validity = &record.validity;
    validity.reasons.iter().chain(&validity.labels).map(|reason| &reason.code).collect()
}

#[test]
fn rates_counters_and_distributions_are_added_and_runs_matched() {
    let merged = merged(&|_| {}).unwrap();
    let Measurement { record, latencies, .. } = &merged.measurement;
    let one = sample::several(&sample::open_args(), 2).record;
    assert_eq!(record.runs.len(), 2);
    assert_eq!(record.counters.sent, 2 * one.counters.sent);
    assert_eq!(record.rate.achieved_per_s, 2.0 * one.rate.achieved_per_s);
    assert_eq!(record.rate.offered_per_s, one.rate.offered_per_s.map(|rate| 2.0 * rate));
    assert_eq!(record.rate.measured_s, one.rate.measured_s);
    assert_eq!(record.runs[1].rate.achieved_per_s, 2.0 * one.runs[1].rate.achieved_per_s);
    assert_eq!(record.args.connections, 2 * one.args.connections);
    assert_eq!(record.args.rate.as_ref().map(TextValue::text), Some("2000 + 2000"));
    assert_eq!(latencies[Distribution::Response].count(), 2 * 2 * 3 * 400);
    let response = &record.latency_ns.response;
    assert_eq!((response.min, response.max), (Some(100_003), Some(900_007 + 399 * 1_009)));
    assert_eq!(record.runs[0].threads.len(), 2);
    assert_eq!(record.validity.verdict, Verdict::Valid);
    assert!(codes(record).contains(&&Code::Merged));
}

#[test]
fn intervals_are_added_too_with_percentiles_of_all_requests_in_them() {
    let merged = merged(&|_| {}).unwrap();
    let interval = &merged.measurement.record.runs[0].intervals[1];
    let one = sample::open().record.runs[0].intervals[1].clone();
    assert_eq!((interval.sent, interval.start_s), (2 * one.sent, 0.0));
    let both = (0..400).flat_map(|n| [100_003 + n * 1_009, 900_007 + n * 1_009]);
    let p99 = latency_of(both).percentile_ns(P99);
    assert!(interval.p99_ns.unwrap().abs_diff(p99.unwrap()) < 2_000);
}

#[test]
fn a_merged_result_is_a_result_like_any_other() {
    let (folder, out) = (test_needs::folder(), test_needs::folder());
    let sources = vec![
        stored(&folder.path().join("a"), 100_003, &|_| {}),
        stored(&folder.path().join("b"), 900_007, &|_| {}),
    ];
    let merged = Merged::of(sources).unwrap();
    let mut results = ResultFolder::open(out.path(), false).unwrap();
    merged.write_logs(&mut results).unwrap();
    results.finish(&merged.measurement).unwrap();
    let read = StoredResult::read(out.path()).unwrap().latencies().unwrap();
    assert!(
        read[Distribution::Response]
            .buckets()
            .eq(merged.measurement.latencies[Distribution::Response].buckets())
    );
}

#[test]
fn another_plan_is_refused_by_the_field_that_differs() {
    let text = refusal(&|record| record.args.protocol = "http".to_owned());
    assert!(text.contains("/b: its plan has protocol \"http\", and that of"), "{text}");
    let text = refusal(&|record| record.args.duration_s = 30.0);
    assert!(text.contains("duration_s"), "{text}");
    let text = refusal(&|record| record.args.slo = vec!["p99<1ms".to_owned().into()]);
    assert!(text.contains("slo"), "{text}");
}

#[test]
fn what_belongs_to_a_loader_may_differ() {
    let merged = merged(&|record| {
        record.args.target = "10.0.0.2:5555".to_owned();
        record.args.connections = 3;
        record.args.threads = 2;
        record.args.rate = Some("1k".to_owned().into());
        record.args.pacing = TextValue::of(Pacing::Spin);
    });
    let args = merged.unwrap().measurement.record.args;
    assert_eq!(args.target, "127.0.0.1:5555 + 10.0.0.2:5555");
    assert_eq!((args.connections, args.threads), (67, 3));
    assert_eq!(args.rate.as_ref().map(TextValue::text), Some("2000 + 1k"));
    assert_eq!(args.pacing.text(), "sleep + spin");
}

#[test]
fn a_missing_run_is_refused() {
    let text = refusal(&|record| drop(record.runs.pop()));
    assert!(text.contains("it has 1 run, and"), "{text}");
}

#[test]
fn loaders_that_did_not_run_together_are_refused_and_doubted() {
    let later = |seconds: f64| {
        move |record: &mut Record| {
            record.runs.iter_mut().for_each(|run| run.started_unix_s += seconds);
        }
    };
    assert!(refusal(&later(25.0)).contains("did not measure at the same time in run 1"));
    let doubted = merged(&later(5.0)).unwrap().measurement.record;
    assert_eq!(doubted.validity.verdict, Verdict::Suspect);
    assert!(codes(&doubted).contains(&&Code::NotSimultaneous));
    let fine = merged(&later(0.5)).unwrap().measurement.record;
    assert!(!codes(&fine).contains(&&Code::NotSimultaneous));
}

/// Two results, the second with these seeds in its two runs. The first has 100,003 and 100,004.
fn with_seeds(seeds: [u64; 2]) -> Record {
    let merged = merged(&|record| {
        record.args.seed = seeds[0];
        record.runs.iter_mut().zip(seeds).for_each(|(run, seed)| run.seeds = vec![seed]);
    });
    merged.unwrap().measurement.record
}

#[test]
fn a_merged_report_has_the_seeds_of_all_loaders() {
    let Measurement { record, latencies, .. } = merged(&|_| {}).unwrap().measurement;
    assert_eq!(record.args.merged_seeds, [100_003, 900_007]);
    let text = crate::report::text::render(&record, &latencies, Style::PLAIN);
    assert!(text.contains("seeds 100003, 100004, 900007, 900008,"), "{text}");
}

#[test]
fn loaders_with_one_seed_are_doubted() {
    let record = with_seeds([100_003, 100_004]);
    assert!(codes(&record).contains(&&Code::SameSeed));
    assert_eq!(record.validity.verdict, Verdict::Suspect);
    assert!(record.validity.reasons[0].text.contains("at the same instants"));
}

#[test]
fn loaders_that_repeat_each_other_s_schedules_in_another_run_are_doubted() {
    let record = with_seeds([100_004, 100_005]);
    assert_eq!(record.validity.verdict, Verdict::Suspect);
    let text = &record.validity.reasons[0].text;
    assert!(text.contains("choose seeds at least 2 (the number of runs) apart"), "{text}");
    assert!(!codes(&with_seeds([100_005, 100_006])).contains(&&Code::SameSeed));
}

#[test]
fn a_merged_run_has_the_seed_of_each_loader_and_an_old_one_that_of_the_plan() {
    let record = with_seeds([7, 8]);
    assert_eq!(
        (&record.runs[0].seeds, &record.runs[1].seeds),
        (&vec![100_003, 7], &vec![100_004, 8])
    );
    let old = merged(&|record| record.runs.iter_mut().for_each(|run| run.seeds.clear()));
    let record = old.unwrap().measurement.record;
    assert_eq!(
        (&record.runs[0].seeds, &record.runs[1].seeds),
        (&vec![100_003, 900_007], &vec![100_004, 900_007])
    );
}

#[test]
fn the_worst_verdict_holds_with_the_result_it_comes_from() {
    let bad = sample_reason();
    let record = merged(&|record| {
        record.runs[1].validity.verdict = Verdict::Invalid;
        record.runs[1].validity.reasons.push(bad.clone());
        record.env.kernel = "5.15".to_owned();
    });
    let record = record.unwrap().measurement.record;
    assert_eq!(record.validity.verdict, Verdict::Invalid);
    assert!(record.validity.reasons[0].text.contains("/b: too late"));
    let label = record.validity.labels.iter().find(|label| label.code == Code::EnvironmentsDiffer);
    assert!(label.unwrap().text.starts_with("kernel; "));
}

fn sample_reason() -> Reason {
    Reason { code: Code::LoaderLate, level: Verdict::Invalid, text: "too late".to_owned() }
}
