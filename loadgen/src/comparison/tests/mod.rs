//! Whole comparisons of sides whose difference is known.

mod study;

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
fn a_higher_rate_of_a_closed_loop_is_faster() {
    let closed = |path: &str| {
        let mut record = sample::several(&sample::closed().record.args, SPREAD.len() as u32).record;
        record.runs.iter_mut().zip(SPREAD).for_each(|(run, factor)| {
            run.rate.achieved_per_s *= factor;
        });
        Side::of(path, vec![record])
    };
    let (a, mut b) = (closed("a"), closed("b"));
    change(&mut b, |record| {
        record.runs.iter_mut().for_each(|run| run.rate.achieved_per_s *= 1.1);
    });
    assert_eq!(judged(&Comparison::of(&a, &b, 0.03), "rate"), Judgement::Faster);
    assert_eq!(judged(&Comparison::of(&b, &a, 0.03), "rate"), Judgement::Slower);
}

#[test]
fn a_schedule_with_more_requests_is_not_faster_but_one_of_which_less_was_achieved_is_slower() {
    let (a, mut b) = (side("a", 200.0, &SPREAD), side("b", 200.0, &SPREAD));
    let scaled = |side: &mut Side, offered: f64, achieved: f64| {
        change(side, |record| {
            for run in &mut record.runs {
                run.rate.offered_per_s = run.rate.offered_per_s.map(|rate| rate * offered);
                run.rate.achieved_per_s *= achieved;
            }
        });
    };
    scaled(&mut b, 1.048, 1.048);
    let comparison = Comparison::of(&a, &b, 0.03);
    assert_eq!(judged(&comparison, "achieved"), Judgement::Same);
    assert!(comparison.findings.iter().all(|finding| finding.metric.name != "rate"));
    scaled(&mut b, 1.0, 0.9);
    assert_eq!(judged(&Comparison::of(&a, &b, 0.03), "achieved"), Judgement::Slower);
}

#[test]
fn a_maximum_that_differs_does_not_decide() {
    let (a, mut b) = (side("a", 200.0, &SPREAD), side("b", 200.0, &SPREAD));
    change(&mut b, |record| {
        record.runs.iter_mut().for_each(|run| run.latency_ns.response.max = Some(90_000_000));
    });
    let comparison = Comparison::of(&a, &b, 0.03);
    assert_eq!(
        (comparison.judgement, judged(&comparison, "max")),
        (Judgement::Same, Judgement::Shown)
    );
    let finding = comparison.findings.iter().find(|found| found.metric.name == "max").unwrap();
    assert_eq!((finding.p_holm, finding.runs_to_decide), (None, None));
    assert!(finding.ratio.unwrap() > 100.0, "it is shown");
}

#[test]
fn same_means_that_the_whole_interval_lies_within_the_tolerance() {
    let (a, mut b) = (side("a", 200.0, &SPREAD), side("b", 202.0, &SPREAD));
    seed(&mut b, &[11, 12, 13, 14, 15, 16, 17, 18]);
    assert_eq!(judged(&Comparison::of(&a, &b, 0.03), "p99"), Judgement::Same);
    assert_eq!(judged(&Comparison::of(&a, &b, 0.005), "p99"), Judgement::Undecided);
}

#[test]
fn a_wide_spread_decides_nothing() {
    let wide = [0.5, 1.7, 0.9, 1.3, 0.7, 1.1, 1.9, 0.6];
    let mut b = side("b", 220.0, &wide);
    seed(&mut b, &[11, 12, 13, 14, 15, 16, 17, 18]);
    let comparison = Comparison::of(&side("a", 200.0, &wide), &b, 0.03);
    assert_eq!(judged(&comparison, "p99"), Judgement::Undecided);
    assert_eq!((comparison.judgement, comparison.exit_code()), (Judgement::Undecided, 0));
}

#[test]
fn undecided_says_how_many_runs_would_decide() {
    let wide = [0.9, 1.1, 0.95, 1.05, 0.97, 1.02, 1.08, 0.93];
    let others = [1.05, 0.96, 1.04, 0.92, 1.09, 0.9, 1.0, 1.1];
    let comparison = Comparison::of(&side("a", 200.0, &wide), &side("b", 200.0, &others), 0.03);
    assert_eq!(judged(&comparison, "p99"), Judgement::Undecided);
    let finding = comparison.findings.iter().find(|found| found.metric.name == "p99").unwrap();
    let runs = finding.runs_to_decide.unwrap();
    // Pairs deviate by 0.125 in logarithms; 1.05 * ((2.50 + 0.84) * 0.125 / 0.0296)^2 at 5 % / 4.
    assert!((150.0..270.0).contains(&runs), "{runs}");
    let text = render(&comparison, Style::PLAIN);
    assert!(text.contains("show a difference of 3 %"), "{text}");
    assert!(text.contains(&format!("(80 % power): p99 {runs}\n")), "{text}");
}

#[test]
fn six_pairs_show_that_sides_are_the_same_and_eight_that_they_differ() {
    // Runs differ by a factor of two from each other.
    let wide = [0.5, 1.7, 0.9, 1.3, 0.7, 1.1, 1.9, 0.6];
    let judged_by = |runs: usize, p99_us: f64| {
        let (a, b) = (side("a", 200.0, &wide[..runs]), side("b", p99_us, &wide[..runs]));
        let comparison = Comparison::of(&a, &b, 0.03);
        (comparison.test, judged(&comparison, "p99"))
    };
    assert_eq!(judged_by(5, 201.0), ("mann-whitney", Judgement::Undecided));
    assert_eq!(judged_by(6, 201.0), ("mann-whitney", Judgement::Same));
    assert_eq!(judged_by(6, 220.0), ("mann-whitney", Judgement::Undecided));
    assert_eq!(judged_by(8, 220.0), ("wilcoxon", Judgement::Slower));
}

#[test]
fn pairs_of_runs_show_a_difference_that_the_schedules_would_hide() {
    // Runs differ by a factor of two from each other, and sides by 10 % within each schedule.
    let wide = [0.5, 1.7, 0.9, 1.3, 0.7, 1.1, 1.9, 0.6];
    let (a, b) = (side("a", 200.0, &wide), side("b", 220.0, &wide));
    let comparison = Comparison::of(&a, &b, 0.03);
    assert!(comparison.paired);
    assert_eq!(judged(&comparison, "p99"), Judgement::Slower);
    // The order of the runs does not matter.
    let mut turned = b.clone();
    change(&mut turned, |record| record.runs.reverse());
    assert_eq!(judged(&Comparison::of(&a, &turned, 0.03), "p99"), Judgement::Slower);
    let mut others = b;
    seed(&mut others, &[11, 12, 13, 14, 15, 16, 17, 18]);
    let comparison = Comparison::of(&a, &others, 0.03);
    assert_eq!((comparison.paired, judged(&comparison, "p99")), (false, Judgement::Undecided));
}

/// Sets the seeds of all runs.
fn seed(side: &mut Side, seeds: &[u64]) {
    change(side, |record| {
        record.runs.iter_mut().zip(seeds).for_each(|(run, &seed)| run.seeds = vec![seed]);
    });
}

#[test]
fn two_sides_of_one_schedule_each_have_no_verdict_unless_it_is_the_same() {
    let (mut a, mut b) = (side("a", 200.0, &SPREAD), side("b", 400.0, &SPREAD));
    seed(&mut a, &[1; 8]);
    seed(&mut b, &[2; 8]);
    let comparison = Comparison::of(&a, &b, 0.03);
    assert_eq!((comparison.judgement, comparison.exit_code()), (Judgement::NotComparable, 0));
    let text = render(&comparison, Style::PLAIN);
    assert!(text.starts_with("NO VERDICT: A has the schedules of seed 1, and B those of seed 2; "));
    seed(&mut b, &[1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(Comparison::of(&a, &b, 0.03).judgement, Judgement::NotComparable);
    seed(&mut b, &[1; 8]);
    let comparison = Comparison::of(&a, &b, 0.03);
    assert_eq!((comparison.judgement, comparison.paired), (Judgement::Slower, false));
    let text = render(&comparison, Style::PLAIN).replace("\n  ", " ");
    assert!(text.contains("all runs have one seed: the verdict holds for this schedule only"));
}

#[test]
fn records_without_seeds_of_runs_have_the_plan_s_seed_in_each() {
    let old = |path: &str, p99_us: f64, seed: u64| {
        let mut side = side(path, p99_us, &SPREAD);
        change(&mut side, |record| {
            record.args.seed = seed;
            record.runs.iter_mut().for_each(|run| run.seeds.clear());
        });
        side
    };
    let comparison = Comparison::of(&old("a", 200.0, 1), &old("b", 200.0, 1), 0.03);
    assert_eq!((comparison.schedules, comparison.judgement), (Schedules::One, Judgement::Same));
    let comparison = Comparison::of(&old("a", 200.0, 1), &old("b", 200.0, 2), 0.03);
    assert_eq!(comparison.judgement, Judgement::NotComparable);
}

#[test]
fn runs_of_one_seed_count_once_where_schedules_are_compared() {
    let (mut a, mut b) = (side("a", 200.0, &SPREAD), side("b", 400.0, &SPREAD));
    seed(&mut a, &[1, 1, 2, 2, 3, 3, 4, 4]);
    seed(&mut b, &[11, 12, 13, 14, 15, 16, 17, 18]);
    let comparison = Comparison::of(&a, &b, 0.03);
    assert_eq!(comparison.schedules, Schedules::Different);
    assert_eq!(comparison.judgement, Judgement::NotEnoughRuns, "A has four schedules");
    seed(&mut a, &[1, 1, 2, 2, 3, 3, 4, 5]);
    let comparison = Comparison::of(&a, &b, 0.03);
    assert_eq!(comparison.judgement, Judgement::Slower);
    let difference = comparison.differences.iter().find(|found| found.field == "runs.seeds");
    let difference = difference.map(|found| (&*found.a, &*found.b));
    assert_eq!(difference, Some(("seeds 1 to 5", "seeds 11 to 18")));
}

#[test]
fn a_seed_that_chooses_nothing_does_not_matter() {
    let closed = |path: &str, seeds: u64| {
        let mut record = sample::several(&sample::closed().record.args, 8).record;
        record.runs.iter_mut().for_each(|run| run.seeds = vec![seeds]);
        Side::of(path, vec![record])
    };
    let comparison = Comparison::of(&closed("a", 1), &closed("b", 2), 0.03);
    assert_eq!((comparison.schedules, comparison.judgement), (Schedules::Fixed, Judgement::Same));
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
fn with_an_invalid_side_nothing_is_concluded_whatever_the_numbers_say() {
    let (a, mut b) = (side("a", 200.0, &SPREAD), side("b", 400.0, &SPREAD));
    change(&mut b, |record| record.validity.verdict = Verdict::Invalid);
    let comparison = Comparison::of(&a, &b, 0.03);
    assert_eq!(comparison.exit_code(), 3);
    assert_eq!(judged(&comparison, "p99"), Judgement::Invalid);
    let text = render(&comparison, Style::PLAIN);
    let headline = "INVALID: B is INVALID and shows nothing; 'loadgen report b' says why\n";
    assert!(text.starts_with(headline) && !text.contains("slower"), "{text}");
}

#[test]
fn the_more_metrics_there_are_the_more_each_has_to_show() {
    // Five against five runs apart: p is 2 / 252, and it is the smallest of four that decide.
    let comparison =
        Comparison::of(&side("a", 200.0, &SPREAD[..5]), &side("b", 400.0, &SPREAD[..5]), 0.03);
    let finding = comparison.findings.iter().find(|found| found.metric.name == "p99").unwrap();
    assert!((finding.p - 2.0 / 252.0).abs() < 1e-12);
    let deciding = comparison.findings.iter().filter(|found| found.p_holm.is_some());
    let names: Vec<&str> = deciding.map(|found| found.metric.name).collect();
    assert_eq!(names, ["achieved", "p50", "p90", "p99"]);
    assert!((finding.p_holm.unwrap() - 4.0 * finding.p).abs() < 1e-12);
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
    assert!(render(&comparison, Style::PLAIN).replace("\n  ", " ").contains("in every run: p99.9"));
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
    records[1].runs.iter_mut().for_each(|run| run.seeds[0] += 1);
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

                   A         B    B/A  95 % interval       p  p (Holm)               B is
  achieved  100.00 %  100.00 %  1.000  1.000 - 1.000  1.0000    1.0000           the same
  p50         155 µs    155 µs  1.000  1.000 - 1.000  1.0000    1.0000           the same
  p90         195 µs    195 µs  1.000  1.000 - 1.000  1.0000    1.0000           the same
  p99         200 µs    220 µs  1.100  1.100 - 1.100  0.0078    0.0312             slower
  p99.9       208 µs    208 µs  1.000  1.000 - 1.000  1.0000            (does not decide)
  max         209 µs    209 µs  1.000  1.000 - 1.000  1.0000            (does not decide)
  A, B: medians of runs; B/A: of pairs of runs with the same seed (Hodges-Lehmann), with its
  interval; p: of Wilcoxon's test of the pairs, corrected for 4 metrics (Holm); the same: the
  interval lies within ±3 %; shown, as few requests of a run make it: p99.9, max
";
    assert_eq!(text, expected, "\n{text}");
}

#[test]
fn the_json_has_its_schema_and_names() {
    let comparison = Comparison::of(&side("a", 200.0, &SPREAD), &side("b", 220.0, &SPREAD), 0.03);
    let json = serde_json::to_value(&comparison).unwrap();
    assert_eq!(json["schema"], "loadgen-compare/2");
    assert_eq!(json["judgement"], "slower");
    assert_eq!(json["a"]["verdict"], "VALID");
    let p99 = &json["findings"][3];
    assert_eq!((&json["schedules"], &json["paired"]), (&"same".into(), &true.into()));
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
    schema.expect_same_fields(&comparison, |_| true);
}
