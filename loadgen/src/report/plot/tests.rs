//! Charts are documents that everything can open, and always the same for the same numbers.

use super::{charts, *};
use crate::latency::Latency;
use crate::latency::tests::latency_of;
use crate::record::tests::extremes;
use crate::record::{IntervalRecord, Record, RunRecord, Validity, Verdict};
use crate::report::markup::tests::expect_well_formed;

fn long_tail(count: u64) -> Latency {
    latency_of((1..=count).map(|n| 40_000 + n * n % 9_973 + 3_000_000 / (count + 1 - n)))
}

fn long_run(number: u32) -> RunRecord {
    let mut run = extremes::full().runs[0].clone();
    let template = run.intervals[1].clone();
    run.number = number;
    run.intervals = (-1..20_i32)
        .map(|second| IntervalRecord {
            start_s: f64::from(second),
            p50_ns: (second >= 0).then_some(50_000),
            p99_ns: (second >= 0)
                .then_some(180_000 + 11_000 * u64::from(second.unsigned_abs() % 5)),
            max_ns: (second >= 0).then_some(if second == 11 { 48_000_000 } else { 900_000 }),
            ..template.clone()
        })
        .collect();
    run
}

fn record(runs: u32) -> Record {
    let mut record = extremes::full();
    record.runs = (1..=runs).map(long_run).collect();
    record
}

fn ranged(x: f64, y: f64) -> Point {
    Point { low: Some(y * 0.93), high: Some(y * 1.05), ..Point::at(x, y) }
}

/// The chart with a SUSPECT and an INVALID point in each line.
fn with_verdicts(chart: &Chart) -> Chart {
    let mut chart = chart.clone();
    let reason = "loader-late: the loader itself sent late: p99 1.20 ms, more than half of the \
                  median response; give it a processor of its own, or more threads";
    chart.verdict = (Verdict::Invalid, format!("INVALID: 3 of 27 runs. First: 50k: {reason}"));
    for line in &mut chart.series {
        line.points[6].verdict = Verdict::Suspect;
        line.points[8].verdict = Verdict::Invalid;
    }
    chart
}

/// A record of three runs, of which the second is INVALID.
fn invalid() -> Record {
    let mut record = record(3);
    let validity = Validity { verdict: Verdict::Invalid, ..record.validity.clone() };
    record.runs[1].validity = validity.clone();
    record.validity = validity;
    record
}

/// A chart of every kind, with its name.
fn all() -> Vec<(&'static str, Chart)> {
    let (response, service) = (long_tail(200_000), long_tail(20_000));
    let curves = [("response", &response), ("service", &service), ("lateness", &service)];
    let workers = [1.0, 2.0, 4.0];
    let throughput = workers.map(|count| Series {
        name: format!("{count} workers"),
        points: (1..=9)
            .map(|step| {
                let load = f64::from(step) / 9.6;
                ranged(load * 60_000.0 * f64::sqrt(count), 60_000.0 / (1.0 - load))
            })
            .collect(),
    });
    let threads = ["peak, closed loop", "largest rate with p99<1ms"].map(|name| Series {
        name: name.to_owned(),
        points: workers.map(|count| ranged(count, 60_000.0 * f64::sqrt(count))).to_vec(),
    });
    let chart = |title: &str, x: Axis, y: Axis, series: &[Series]| Chart {
        title: title.to_owned(),
        verdict: (Verdict::Valid, "VALID".to_owned()),
        caption: "CO-LOCATED: loader and server share processors.\n5 runs each".to_owned(),
        x,
        y,
        series: series.to_vec(),
    };
    let throughput = chart(
        "Latency by throughput",
        Axis::new("requests per second achieved", Unit::PerSecond, Scale::Linear),
        Axis::new("p99 response (logarithmic)", Unit::Nanoseconds, Scale::Log),
        &throughput,
    );
    let threads = chart(
        "Rate by workers",
        Axis::new("workers", Unit::Count, Scale::Category),
        Axis::new("requests per second", Unit::PerSecond, Scale::Linear),
        &threads,
    );
    let doubtful = with_verdicts(&throughput);
    vec![
        ("verdicts", doubtful),
        ("percentiles of an invalid run", charts::percentiles(&invalid(), &curves)),
        ("time of an invalid run", charts::time(&invalid())),
        ("percentiles", charts::percentiles(&record(1), &curves)),
        ("time", charts::time(&record(1))),
        ("time of runs", charts::time(&record(3))),
        ("throughput", throughput),
        ("threads", threads),
        ("empty percentiles", charts::percentiles(&extremes::minimal(), &[])),
        ("empty time", charts::time(&extremes::minimal())),
    ]
}

#[test]
fn every_chart_is_well_formed_and_refers_to_nothing_outside() {
    for (name, chart) in all() {
        let svg = chart.svg();
        expect_well_formed(&svg);
        let links = svg.replace("http://www.w3.org/2000/svg", "");
        assert!(!links.contains("://") && !links.contains("href"), "{name}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{name}:\n{svg}");
    }
}

#[test]
fn a_chart_without_points_says_so_and_has_no_axes() {
    for (name, chart) in all() {
        let svg = chart.svg();
        let is_empty = name.starts_with("empty");
        assert_eq!(svg.contains("No points: nothing was measured"), is_empty, "{name}");
        assert_eq!(svg.contains("class=\"grid\""), !is_empty, "{name}:\n{svg}");
    }
}

#[test]
fn a_short_window_after_long_intervals_of_the_warm_up_is_a_point() {
    let mut record = record(1);
    let run = &mut record.runs[0];
    run.intervals.truncate(3);
    for (interval, (start_s, length_s)) in
        run.intervals.iter_mut().zip([(-2.0, 1.0), (-1.0, 1.0), (0.0, 0.3)])
    {
        (interval.start_s, interval.length_s) = (start_s, length_s);
    }
    let points: Vec<f64> = charts::time(&record).series[0].points.iter().map(|p| p.x).collect();
    assert_eq!(points[0], 0.15);
    assert_eq!(points.len(), 2, "the point and a break: {points:?}");
}

#[test]
fn the_same_numbers_give_the_same_bytes() {
    for ((name, first), (_, second)) in all().into_iter().zip(all()) {
        assert_eq!(first.svg(), second.svg(), "{name}");
    }
}

#[test]
fn names_of_series_cannot_break_the_chart() {
    let mut chart = all().swap_remove(0).1;
    chart.series[0].name = "<script>&\"'".to_owned();
    chart.title = "</svg>".to_owned();
    expect_well_formed(&chart.svg());
    assert!(!chart.svg().contains("<script>"));
}

#[test]
fn no_text_leaves_the_chart_or_meets_another() {
    for (name, chart) in all() {
        let svg = chart.svg();
        let document = roxmltree::Document::parse(&svg).unwrap();
        let number = |node: roxmltree::Node<'_, '_>, name: &str| -> f64 {
            node.attribute(name).unwrap().parse().unwrap()
        };
        let mut boxes: Vec<(f64, f64, f64, String)> = Vec::new();
        for text in document.descendants().filter(|node| node.has_tag_name("text")) {
            let parent = text.parent().unwrap().attribute("transform").unwrap_or("(0 0)");
            let shift: Vec<f64> = parent[parent.find('(').unwrap() + 1..parent.len() - 1]
                .split(' ')
                .map(|word| word.parse().unwrap())
                .collect();
            let words = text.text().unwrap_or_default().to_owned();
            // What a usual font takes, less than what the drawing reserves.
            let size = if text.attribute("class") == Some("title") { 16.0 } else { 13.0 };
            let width = words.chars().count() as f64 * size * 0.55;
            let x = number(text, "x") + shift[0];
            let left = match text.attribute("text-anchor") {
                Some("end") => x - width,
                Some("middle") => x - width / 2.0,
                _ => x,
            };
            assert!(left >= 0.0 && left + width <= 860.0, "{name}: '{words}' is cut off");
            boxes.push((left, left + width, number(text, "y") + shift[1], words));
        }
        for (at, one) in boxes.iter().enumerate() {
            for other in &boxes[at + 1..] {
                let apart = (one.2 - other.2).abs() >= 13.0 || one.1 < other.0 || other.1 < one.0;
                assert!(apart, "{name}: '{}' meets '{}'", one.3, other.3);
            }
        }
    }
}

#[test]
fn a_co_located_measurement_says_so_in_every_chart() {
    for (_, chart) in all().into_iter().take(6) {
        assert!(chart.svg().contains("CO-LOCATED"));
    }
}

/// How many marks of the charts' area have a class: the legend is not counted.
fn marks(chart: &Chart, class: &str) -> usize {
    let svg = chart.svg();
    let area = &svg[svg.find("<g ").unwrap()..];
    area.matches(&format!("{class}\" d=")).count()
}

#[test]
fn points_that_are_not_valid_are_hollow_or_crossed_out_and_the_legend_says_so() {
    let valid = all().into_iter().find(|(name, _)| *name == "throughput").unwrap().1;
    assert!(!valid.svg().contains("hollow:") && !valid.svg().contains("crossed out:"));
    assert_eq!((marks(&valid, "hollow"), marks(&valid, "cross")), (0, 0));
    let chart = with_verdicts(&valid);
    assert_eq!((marks(&chart, "hollow"), marks(&chart, "cross")), (6, 3));
    let svg = chart.svg();
    assert!(svg.contains("hollow: SUSPECT") && svg.contains("crossed out: INVALID"), "{svg}");
    assert!(svg.contains(r#"<text class="invalid""#), "{svg}");
}

#[test]
fn the_charts_of_an_invalid_run_are_crossed_out_and_say_why_below_the_title() {
    let record = invalid();
    let response = long_tail(200_000);
    let percentiles = charts::percentiles(&record, &[("response", &response)]);
    assert!(marks(&percentiles, "cross") > 5);
    let time = charts::time(&record);
    let of = |verdict| {
        let points = time.series[0].points.iter().filter(|point| point.y.is_finite());
        points.filter(|point| point.verdict == verdict).count()
    };
    assert_eq!(2 * of(Verdict::Invalid), of(Verdict::Suspect), "one of three runs is INVALID");
    assert!(marks(&time, "cross") > 0);
    for chart in [percentiles, time] {
        let said = "INVALID: loader-late: late &lt;by&gt; 1 ms &amp; more";
        assert!(chart.svg().contains(said), "{}", chart.svg());
    }
}

#[test]
fn the_one_point_of_a_long_line_that_is_not_valid_is_marked() {
    let mut chart = all().into_iter().find(|(name, _)| *name == "throughput").unwrap().1;
    let point = |n: i32| Point::at(f64::from(n), 1_000.0);
    chart.series.truncate(1);
    chart.series[0].points = (1..200).map(point).collect();
    chart.series[0].points[3].verdict = Verdict::Invalid;
    assert_eq!(marks(&chart, "cross"), 1);
}

#[test]
fn an_interval_that_a_stall_made_long_hides_no_other() {
    let mut record = record(1);
    record.runs[0].intervals[5].length_s = 4.0;
    let known = charts::time(&record).series[0].points.iter().filter(|p| p.y.is_finite()).count();
    // All but that of the warm-up, and the last one, which is short beside the longest.
    assert_eq!(known, record.runs[0].intervals.len() - 2);
}

#[test]
fn a_curve_ends_where_its_samples_do() {
    let few = long_tail(400);
    let chart = charts::percentiles(&extremes::full(), &[("response", &few)]);
    let last = chart.series[0].points.last().unwrap();
    assert!(last.x >= 0.98 && last.x < 0.991, "{}", last.x);
}

#[test]
fn a_chart_can_be_looked_at() {
    // LOADGEN_CHARTS=DIR keeps them.
    let Some(folder) = std::env::var_os("LOADGEN_CHARTS") else { return };
    for (name, chart) in all() {
        let path = std::path::Path::new(&folder).join(format!("{}.svg", name.replace(' ', "-")));
        std::fs::write(path, chart.svg()).unwrap();
    }
}

#[test]
fn a_thinned_line_keeps_its_order_and_its_peak() {
    let height = |n: i32| if n == 6_789 { 50.0 } else { f64::from(n % 7) };
    let points: Vec<Point> = (0..10_000).map(|n| Point::at(f64::from(n), height(n))).collect();
    let thinned = thinned(&points);
    assert!(thinned.len() <= POINTS_MAX && thinned.len() > POINTS_MAX / 2);
    assert!(thinned.windows(2).all(|pair| pair[0].x < pair[1].x));
    assert!(thinned.contains(&Point::at(6_789.0, 50.0)));
}

#[test]
fn a_line_still_breaks_where_it_did() {
    let height = |n: i32| if n == 500 { f64::NAN } else { 1.0 };
    let points: Vec<Point> = (0..1_000).map(|n| Point::at(f64::from(n), height(n))).collect();
    let thinned = thinned(&points);
    let breaks = thinned.iter().position(|point| point.y.is_nan()).unwrap();
    assert!(thinned[breaks - 1].x < 500.0 && thinned[breaks + 1].x > 500.0);
}

#[test]
fn a_short_line_stays_as_it_is() {
    let points: Vec<Point> = (0..300).map(|n| Point::at(f64::from(n), 1.0)).collect();
    assert_eq!(thinned(&points), points);
}
