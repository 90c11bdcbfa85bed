//! Whole comparisons of sides whose difference is known.

use super::*;
use crate::environment::Sharing;
use crate::record::tests::sample;
use crate::record::tests::schema::Schema;
use crate::record::{Record, ServerRecord};
use crate::report::text::Style;

/// Runs whose p99 is `p99_us` microseconds by these factors, everything else equal.
fn side(path: &str, p99_us: f64, factors: &[f64]) -> Side {
    let mut record = sample::several(&sample::open_args(), factors.len() as u32).record;
    for (run, factor) in record.runs.iter_mut().zip(factors) {
        run.latency_ns.response.p99 = Some((p99_us * factor * 1_000.0) as u64);
    }
    Side::of(path, vec![record])
}

/// Spread of two percent around one.
const SPREAD: [f64; 8] = [0.99, 1.0, 1.01, 0.995, 1.005, 0.992, 1.008, 1.001];

fn judged(comparison: &Comparison, metric: &str) -> Judgement {
    let finding = comparison.findings.iter().find(|finding| finding.metric.name == metric);
    finding.unwrap().judgement
}

fn change(side: &mut Side, change: impl Fn(&mut Record)) {
    side.records.iter_mut().for_each(change);
}

#[test]
fn a_side_that_is_slower_in_one_metric_is_slower_and_exits_with_2() {
    let comparison = Comparison::of(&side("a", 200.0, &SPREAD), &side("b", 220.0, &SPREAD), 0.03);
    assert_eq!(judged(&comparison, "p99"), Judgement::Slower);
    assert_eq!(judged(&comparison, "p50"), Judgement::Same);
    assert_eq!((comparison.judgement, comparison.exit_code()), (Judgement::Slower, 2));
    let comparison = Comparison::of(&side("a", 220.0, &SPREAD), &side("b", 200.0, &SPREAD), 0.03);
    assert_eq!((comparison.judgement, comparison.exit_code()), (Judgement::Faster, 0));
}

#[test]
fn a_higher_rate_is_faster() {
    let (a, mut b) = (side("a", 200.0, &SPREAD), side("b", 200.0, &SPREAD));
    change(&mut b, |record| {
        record.runs.iter_mut().for_each(|run| run.rate.achieved_per_s *= 1.1);
    });
    assert_eq!(judged(&Comparison::of(&a, &b, 0.03), "rate"), Judgement::Faster);
    assert_eq!(judged(&Comparison::of(&b, &a, 0.03), "rate"), Judgement::Slower);
}

#[test]
fn same_means_that_the_whole_interval_lies_within_the_tolerance() {
    let (a, b) = (side("a", 200.0, &SPREAD), side("b", 202.0, &SPREAD));
    assert_eq!(judged(&Comparison::of(&a, &b, 0.03), "p99"), Judgement::Same);
    assert_eq!(judged(&Comparison::of(&a, &b, 0.005), "p99"), Judgement::Undecided);
}

#[test]
fn a_wide_spread_decides_nothing() {
    let wide = [0.5, 1.7, 0.9, 1.3, 0.7, 1.1, 1.9, 0.6];
    let comparison = Comparison::of(&side("a", 200.0, &wide), &side("b", 220.0, &wide), 0.03);
    assert_eq!(judged(&comparison, "p99"), Judgement::Undecided);
    assert_eq!((comparison.judgement, comparison.exit_code()), (Judgement::Undecided, 0));
}

#[test]
fn an_interval_without_a_significant_rank_test_decides_nothing() {
    // Both medians are sure, but one run in seven of each side speaks against it.
    let (a, b) = ([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 3.0], [1.1, 1.1, 1.1, 1.1, 1.1, 1.1, 0.9]);
    let comparison = Comparison::of(&side("a", 100.0, &a), &side("b", 100.0, &b), 0.03);
    let finding = comparison.findings.iter().find(|found| found.metric.name == "p99").unwrap();
    assert!(finding.ratio_ci95.unwrap()[0] > 1.0 && finding.p_holm > 0.05, "{finding:?}");
    assert_eq!(finding.judgement, Judgement::Undecided);
}

#[test]
fn four_runs_are_not_enough_and_five_are() {
    let of = |runs: usize| {
        let (a, b) = (side("a", 200.0, &SPREAD[..5]), side("b", 400.0, &SPREAD[..runs]));
        Comparison::of(&a, &b, 0.03)
    };
    assert_eq!(of(4).judgement, Judgement::NotEnoughRuns);
    assert_eq!(of(4).exit_code(), 0);
    assert_eq!(judged(&of(5), "p99"), Judgement::Slower);
}

#[test]
fn an_invalid_side_exits_with_3_whatever_the_numbers_say() {
    let (a, mut b) = (side("a", 200.0, &SPREAD), side("b", 400.0, &SPREAD));
    change(&mut b, |record| record.validity.verdict = Verdict::Invalid);
    let comparison = Comparison::of(&a, &b, 0.03);
    assert_eq!(comparison.exit_code(), 3);
    assert!(render(&comparison, Style::PLAIN).starts_with("INVALID: a side is INVALID"));
}

#[test]
fn the_more_metrics_there_are_the_more_each_has_to_show() {
    // Five against five runs apart: p is 2 / 252, and it is the smallest of five.
    let comparison =
        Comparison::of(&side("a", 200.0, &SPREAD[..5]), &side("b", 400.0, &SPREAD[..5]), 0.03);
    let finding = comparison.findings.iter().find(|found| found.metric.name == "p99").unwrap();
    assert!((finding.p - 2.0 / 252.0).abs() < 1e-12);
    assert_eq!(comparison.findings.len(), 5);
    assert!((finding.p_holm - 5.0 * finding.p).abs() < 1e-12);
}

#[test]
fn a_lower_bound_shows_that_its_side_is_slower_and_nothing_else() {
    let bounded = |side: &mut Side| {
        change(side, |record| {
            for run in &mut record.runs {
                run.latency_ns.response.at_most.insert("p99".to_owned(), None);
            }
        });
    };
    let (a, mut b) = (side("a", 200.0, &SPREAD), side("b", 400.0, &SPREAD));
    bounded(&mut b);
    assert_eq!(judged(&Comparison::of(&a, &b, 0.03), "p99"), Judgement::Slower);
    let (mut a, b) = (side("a", 200.0, &SPREAD), side("b", 400.0, &SPREAD));
    bounded(&mut a);
    assert_eq!(judged(&Comparison::of(&a, &b, 0.03), "p99"), Judgement::Undecided);
    let (mut a, b) = (side("a", 200.0, &SPREAD), side("b", 200.0, &SPREAD));
    bounded(&mut a);
    assert_eq!(judged(&Comparison::of(&a, &b, 0.03), "p99"), Judgement::Undecided);
}

#[test]
fn the_server_s_cost_is_compared_if_both_sides_know_it() {
    let (mut a, mut b) = (side("a", 200.0, &SPREAD), side("b", 200.0, &SPREAD));
    let cost = |us: f64| {
        move |record: &mut Record| {
            for (run, factor) in record.runs.iter_mut().zip(SPREAD) {
                let cpu_us_per_request = Some(us * factor);
                run.server = Some(ServerRecord { cpu_us_per_request, ..ServerRecord::default() });
            }
        }
    };
    change(&mut a, cost(10.0));
    assert!(Comparison::of(&a, &b, 0.03).findings.iter().all(|f| f.metric.name != "server cpu"));
    change(&mut b, cost(12.0));
    assert_eq!(judged(&Comparison::of(&a, &b, 0.03), "server cpu"), Judgement::Slower);
}

#[test]
fn a_metric_that_some_run_does_not_know_is_left_out_by_name() {
    let (a, mut b) = (side("a", 200.0, &SPREAD), side("b", 200.0, &SPREAD));
    change(&mut b, |record| record.runs[3].latency_ns.response.p999 = None);
    let comparison = Comparison::of(&a, &b, 0.03);
    assert_eq!(comparison.unknown, ["p99.9"]);
    assert!(render(&comparison, Style::PLAIN).contains("not known in every run: p99.9"));
}

#[test]
fn what_differs_beside_the_numbers_is_texts_field_by_field() {
    let (a, mut b) = (side("a", 200.0, &SPREAD), side("b", 200.0, &SPREAD));
    assert_eq!(Comparison::of(&a, &b, 0.03).differences, []);
    change(&mut b, |record| {
        record.env.kernel = "6.2".to_owned();
        record.env.system.load_average_1m = Some(3.0);
        record.env.started_unix_s = Some(5);
        record.args.connections = 65;
    });
    let differences = Comparison::of(&a, &b, 0.03).differences;
    let texts = |d: &Difference| format!("{} {} {}", d.field, d.a, d.b);
    let texts: Vec<String> = differences.iter().map(texts).collect();
    assert_eq!(texts, ["args.connections 64 65", "env.kernel \"6.1\" \"6.2\""]);
}

#[test]
fn a_side_that_differs_within_itself_is_texts_too() {
    let mut records = side("a", 200.0, &SPREAD).records;
    records.extend(records.clone());
    records[1].args.seed = 2;
    records[1].args.connections = 65;
    let a = Side::of("a", records);
    let differences = Comparison::of(&a, &a, 0.03).differences;
    assert_eq!(differences.len(), 1);
    let difference = (&*differences[0].field, &*differences[0].a);
    assert_eq!(difference, ("args.connections", "64 or 65"), "the same seeds are no difference");
}

#[test]
fn the_comparison_reads_from_top_to_bottom() {
    let (a, mut b) = (side("before/", 200.0, &SPREAD), side("after/", 220.0, &SPREAD));
    change(&mut b, |record| {
        record.env.sharing = Some(Sharing::SharedProcessors);
    });
    let text = render(&Comparison::of(&a, &b, 0.03), Style::PLAIN);
    let expected = "\
SLOWER: B is slower than A in p99
  - differs: env.sharing is null in A and \"shared processors\" in B

  A  before/  8 runs, VALID
  B  after/  8 runs, VALID, CO-LOCATED

                A         B    B/A  95 % interval       p  p (Holm)      B is
  rate   2,000 /s  2,000 /s  1.000  1.000 - 1.000  1.0000    1.0000  the same
  p50      155 µs    155 µs  1.000  1.000 - 1.000  1.0000    1.0000  the same
  p99      200 µs    220 µs  1.100  1.089 - 1.112  0.0002    0.0008    slower
  p99.9    208 µs    208 µs  1.000  1.000 - 1.000  1.0000    1.0000  the same
  max      209 µs    209 µs  1.000  1.000 - 1.000  1.0000    1.0000  the same
  medians of runs; bootstrap interval of their ratio; Mann-Whitney p, corrected for 5 metrics
  (Holm); the same: the interval lies within ±3 %
";
    assert_eq!(text, expected, "\n{text}");
}

#[test]
fn the_json_has_its_schema_and_names() {
    let comparison = Comparison::of(&side("a", 200.0, &SPREAD), &side("b", 220.0, &SPREAD), 0.03);
    let json = serde_json::to_value(&comparison).unwrap();
    assert_eq!(json["schema"], "loadgen-compare/1");
    assert_eq!(json["judgement"], "slower");
    assert_eq!(json["a"]["verdict"], "VALID");
    let p99 = &json["findings"][2];
    assert_eq!((&p99["metric"], &p99["judgement"]), (&"p99".into(), &"slower".into()));
    assert!(p99["ratio"].as_f64().is_some_and(|ratio| (ratio - 1.1).abs() < 0.001));
}

#[test]
fn a_comparison_is_what_its_schema_says() {
    let (a, mut b) = (side("a", 200.0, &SPREAD), side("b", 220.0, &SPREAD));
    change(&mut b, |record| {
        record.args.connections += 1;
        record.runs[0].latency_ns.response.p999 = None;
    });
    let comparison = Comparison::of(&a, &b, 0.03);
    assert!(!comparison.differences.is_empty() && !comparison.unknown.is_empty());
    let schema = Schema::named("compare");
    schema.expect_valid(&comparison);
    schema.expect_same_fields(&comparison, |_| false);
}
