//! The report of a sweep for people: a table for a terminal and in Markdown, and charts of
//! latency against throughput and of every number by the first variable.

use super::record::{CellRecord, Spread, Summary, SweepRecord};
use super::row::Row;
use super::sweep_plan::{Setting, Variable, title};
use crate::commands::verdicts::{self, Judged};
use crate::error::Error;
use crate::record::Verdict;
use crate::report::files;
use crate::report::json;
use crate::report::plot::{Axis, Chart, Point, Scale, Series, Unit};
use crate::report::text::{WIDTH, wrap};
use crate::units::{self, counted};

/// The files of a sweep but the records of its runs, `sweep.json` first. The rows are in the order
/// of measurement.
pub(super) fn files(record: &SweepRecord, rows: &[Row]) -> Result<Vec<(String, String)>, Error> {
    let texts = [
        (files::SWEEP, json::text(record)?),
        (files::SWEEP_TABLE, Row::table(&record.plan, rows)),
        (files::SWEEP_TEXT, text(record)),
        (files::SWEEP_MARKDOWN, markdown(record)),
    ];
    let texts = texts.map(|(name, content)| (name.to_owned(), content)).into_iter();
    Ok(texts.chain(charts(record).into_iter().map(|(name, chart)| (name, chart.svg()))).collect())
}

/// The verdict on all runs of these cells, and the first reason.
pub(super) fn verdict<'a>(cells: impl Iterator<Item = &'a CellRecord>) -> (Verdict, String) {
    let judged = |cell: &'a CellRecord| {
        cell.runs.iter().map(|row| Judged {
            name: format!("{}, round {}", title(&cell.settings), row.round),
            verdict: row.verdict,
            reason: row.reason.clone(),
        })
    };
    verdicts::summary("run", &cells.flat_map(judged).collect::<Vec<_>>())
}

const CO_LOCATED: &str = "CO-LOCATED: loader and server share processors; both are slower for it.";

/// As text for a terminal.
pub(super) fn text(record: &SweepRecord) -> String {
    let rows = rows(record);
    let columns = rows.first().map_or(0, Vec::len);
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = heading(record);
    text.push('\n');
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    let reasons = reasons(record);
    if !reasons.is_empty() {
        text.push('\n');
    }
    reasons.iter().for_each(|reason| text.push_str(&wrap("- ", reason, WIDTH)));
    text
}

/// The first reason of each cell that is not VALID, of its worst run.
fn reasons(record: &SweepRecord) -> Vec<String> {
    let reason = |cell: &CellRecord| {
        let worst = cell.summary.verdict();
        let mut runs = cell.runs.iter().filter(|row| row.verdict == worst);
        let reason = runs.next()?.reason.as_ref()?;
        Some(format!("{}: {worst}: {reason}", title(&cell.settings)))
    };
    record.cells.iter().filter_map(reason).collect()
}

/// As a table in Markdown.
pub(super) fn markdown(record: &SweepRecord) -> String {
    let rows = rows(record);
    let mut text = heading(record);
    text.push('\n');
    for (at, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
        if at == 0 {
            text.push_str(&format!("|{}\n", "---|".repeat(row.len())));
        }
    }
    let reasons = reasons(record);
    if !reasons.is_empty() {
        text.push('\n');
    }
    reasons.iter().for_each(|reason| text.push_str(&format!("- {reason}\n")));
    text
}

/// The verdict on the sweep, and the notes that apply to every number.
fn heading(record: &SweepRecord) -> String {
    let count =
        |of: fn(&Summary) -> usize| record.cells.iter().map(|c| of(&c.summary)).sum::<usize>();
    let (runs, invalid) = (count(|s| s.runs), count(|s| s.invalid));
    let (suspect, errors) = (count(|s| s.suspect), count(|s| s.with_errors));
    let mut text = format!(
        "{}: {} VALID, {suspect} SUSPECT, {invalid} INVALID",
        counted(runs as u64, "run"),
        count(|s| s.valid)
    );
    if errors > 0 {
        text.push_str(&format!("; {errors} with failed requests"));
    }
    text.push('\n');
    if !record.complete {
        let all = counted(record.plan.order().count() as u64, "run");
        text.push_str(&format!(
            "NOT COMPLETE: {runs} of {all}; the same command measures the others.\n"
        ));
    }
    if record.co_located {
        text.push_str(CO_LOCATED);
        text.push('\n');
    }
    let latency = "Latency is the response time; in a closed loop, the service time.";
    match record.plan.runs {
        1 => format!("{text}{latency}\n"),
        runs => format!("{text}Median of {runs} runs (lowest..highest). {latency}\n"),
    }
}

/// The table's cells, its head first. Columns without any value are left out.
fn rows(record: &SweepRecord) -> Vec<Vec<String>> {
    let mut head: Vec<String> = record.plan.variables.iter().map(|v| v.name.clone()).collect();
    let numbers =
        ["achieved", "p50", "p99", "p99.9", "server CPU/request", "busiest/mean", "verdicts"];
    head.extend(numbers.map(str::to_owned));
    let has_objectives = !record.plan.args.slo.is_empty();
    if has_objectives {
        head.push("objectives".to_owned());
    }
    let mut rows = vec![head];
    rows.extend(record.cells.iter().map(|cell| row(cell, has_objectives)));
    let is_empty = |at: usize| rows[1..].iter().all(|row| row[at] == NOTHING);
    let kept: Vec<usize> = (0..rows[0].len()).filter(|&at| !is_empty(at)).collect();
    rows.iter().map(|row| kept.iter().map(|&at| row[at].clone()).collect()).collect()
}

const NOTHING: &str = "n/a";

fn row(cell: &CellRecord, has_objectives: bool) -> Vec<String> {
    let summary = &cell.summary;
    let mut row: Vec<String> = cell.settings.iter().map(|s| s.value.clone()).collect();
    let duration = |ns: f64| units::duration(ns.round() as u64).trim_end().to_owned();
    let times = [summary.p50_ns, summary.p99_ns, summary.p999_ns];
    row.push(spread(Some(summary.achieved_per_s), |per_s| units::rate(per_s) + "/s"));
    row.extend(times.map(|time| spread(time, duration)));
    row.push(spread(summary.server_cpu_us_per_request, |us| duration(us * 1e3)));
    row.push(spread(summary.balance, |ratio| format!("{ratio:.2}")));
    row.push(verdicts(summary));
    if has_objectives {
        row.push(match summary.missed {
            Some(0) => "met".to_owned(),
            Some(missed) => format!("MISSED in {missed} of {}", summary.runs),
            None => NOTHING.to_owned(),
        });
    }
    row
}

fn spread(spread: Option<Spread>, show: impl Fn(f64) -> String) -> String {
    let Some(Spread { median, least, most }) = spread else { return NOTHING.to_owned() };
    if least == most {
        return show(median);
    }
    format!("{} ({}..{})", show(median), show(least), show(most))
}

fn verdicts(summary: &Summary) -> String {
    let counts =
        [(summary.valid, "VALID"), (summary.suspect, "SUSPECT"), (summary.invalid, "INVALID")];
    let there = counts.iter().filter(|(count, _)| *count > 0);
    let mut words: Vec<String> = there.map(|(count, word)| format!("{count} {word}")).collect();
    if summary.with_errors > 0 {
        words.push(format!("{} with errors", summary.with_errors));
    }
    words.join(", ")
}

/// A number of a cell, as charts show it.
struct Number {
    /// In the file's name.
    word: &'static str,
    label: &'static str,
    unit: Unit,
    scale: Scale,
    of: fn(&Summary) -> Option<Spread>,
}

const RATE: Number = Number {
    word: "rate",
    label: "achieved rate",
    unit: Unit::PerSecond,
    scale: Scale::Linear,
    of: |summary| Some(summary.achieved_per_s),
};

const TIMES: [Number; 3] = [
    time("p50", "median latency", |summary| summary.p50_ns),
    time("p99", "99th percentile", |summary| summary.p99_ns),
    time("p999", "99.9th percentile", |summary| summary.p999_ns),
];

const CPU: Number = Number {
    word: "cpu",
    label: "server CPU time per request",
    unit: Unit::Nanoseconds,
    scale: Scale::Linear,
    of: |summary| {
        let Spread { median, least, most } = summary.server_cpu_us_per_request?;
        Some(Spread { median: median * 1e3, least: least * 1e3, most: most * 1e3 })
    },
};

const BALANCE: Number = Number {
    word: "balance",
    label: "busiest worker divided by the workers' mean",
    unit: Unit::Count,
    scale: Scale::Linear,
    of: |summary| summary.balance,
};

const fn time(
    word: &'static str,
    label: &'static str,
    of: fn(&Summary) -> Option<Spread>,
) -> Number {
    Number { word, label, unit: Unit::Nanoseconds, scale: Scale::Log, of }
}

/// Every chart with data, and the name of its file.
pub(super) fn charts(record: &SweepRecord) -> Vec<(String, Chart)> {
    let variables = &record.plan.variables;
    let rates = variables.iter().find(|v| v.name == "rate").map_or(0, |v| v.values.len());
    let mut charts = Vec::new();
    if rates > 1 {
        for number in &TIMES {
            let name = format!("plot-throughput-{}.svg", number.word);
            charts.push((name, against_throughput(record, number)));
        }
    }
    if let Some(variable) = variables.iter().find(|v| v.name != "rate" && v.values.len() > 1) {
        for number in [&RATE].into_iter().chain(&TIMES).chain([&CPU, &BALANCE]) {
            let name = format!("plot-{}-by-{}.svg", number.word, variable.name);
            charts.push((name, by_variable(record, variable, number)));
        }
    }
    charts.retain(|(_, chart)| !chart.series.is_empty());
    charts
}

/// One line for every combination of the other variables. Cells in a closed loop have no place:
/// their rate is an answer, not a question, and their latency leaves out the waiting.
fn against_throughput(record: &SweepRecord, number: &Number) -> Chart {
    let is_open = |cell: &&CellRecord| !cell.settings.iter().any(Setting::is_closed_loop);
    let cells = record.cells.iter().filter(is_open);
    Chart {
        title: format!("{} against throughput", number.label),
        verdict: verdict(cells.clone()),
        caption: caption(record),
        x: Axis::new("achieved rate (median)", Unit::PerSecond, Scale::Linear),
        y: Axis::new(number.label, number.unit, number.scale),
        series: lines(cells, "rate", number, |cell| cell.summary.achieved_per_s.median),
    }
}

/// The values of a variable side by side.
fn by_variable(record: &SweepRecord, variable: &Variable, number: &Number) -> Chart {
    let place = |cell: &CellRecord| {
        let setting = cell.settings.iter().find(|setting| setting.name == variable.name);
        let place = setting.and_then(|s| variable.values.iter().position(|v| *v == s.value));
        place.unwrap_or(0) as f64
    };
    let mut x = Axis::new(&variable.name, Unit::Count, Scale::Category);
    x.names.clone_from(&variable.values);
    Chart {
        title: format!("{} by {}", number.label, variable.name),
        verdict: verdict(record.cells.iter()),
        caption: caption(record),
        x,
        y: Axis::new(number.label, number.unit, number.scale),
        series: lines(record.cells.iter(), &variable.name, number, place),
    }
}

/// The cells as lines along the variable `along`, in rising order of `x`.
fn lines<'a>(
    cells: impl Iterator<Item = &'a CellRecord>,
    along: &str,
    number: &Number,
    x: impl Fn(&CellRecord) -> f64,
) -> Vec<Series> {
    let mut series: Vec<Series> = Vec::new();
    for cell in cells {
        let Some(Spread { median, least, most }) = (number.of)(&cell.summary) else { continue };
        let others = cell.settings.iter().filter(|setting| setting.name != along);
        let name = others.map(Setting::text).collect::<Vec<_>>().join(" ");
        // A single line has nothing that distinguishes it.
        let name = if name.is_empty() { number.label.to_owned() } else { name };
        let (low, high, verdict) = (Some(least), Some(most), cell.summary.verdict());
        let point = Point { x: x(cell), y: median, low, high, verdict };
        match series.iter_mut().find(|line| line.name == name) {
            Some(line) => line.points.push(point),
            None => series.push(Series { name, points: vec![point] }),
        }
    }
    for line in &mut series {
        line.points.sort_by(|a, b| a.x.total_cmp(&b.x));
    }
    series
}

fn caption(record: &SweepRecord) -> String {
    let args = &record.plan.args;
    let spread = match record.plan.runs {
        1 => "one run a point".to_owned(),
        runs => format!("median and range of {runs} runs"),
    };
    let shared = match record.co_located {
        true => "CO-LOCATED: loader and server share processors.\n",
        false => "",
    };
    let is_varied = |name: &str| record.plan.variables.iter().any(|other| other.name == name);
    let requests = match (is_varied("protocol"), is_varied("size")) {
        (false, false) => Some(args.requests()),
        (false, true) => Some(format!("{} requests", args.protocol)),
        (true, _) => None,
    };
    let connections = counted(args.connections.into(), "connection");
    let common = [Some(connections).filter(|_| !is_varied("connections")), requests];
    let common: Vec<String> = common.into_iter().flatten().collect();
    format!("{shared}{spread}; {}", common.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::row::tests::row;
    use super::super::sweep_plan::tests::plan;
    use super::*;

    fn record(flags: &str, rows: &[Row]) -> SweepRecord {
        SweepRecord::new(&plan(flags).unwrap().text, None, rows)
    }

    #[test]
    fn every_cell_is_a_row_with_median_and_range() {
        let rows = [row(0, 1, 1_000.0, 5_000), row(0, 2, 3_000.0, 7_000), row(1, 1, 9.0, 1_000)];
        let text = text(&record("--var size=10,20 --runs 2", &rows));
        assert!(
            text.starts_with("3 runs: 3 VALID, 0 SUSPECT, 0 INVALID\nNOT COMPLETE: 3 of 4 runs"),
            "{text}"
        );
        assert!(
            text.contains("10    2,000/s (1,000/s..3,000/s)  6.00 µs (5.00 µs..7.00 µs)"),
            "{text}"
        );
        assert!(text.contains("20    9.00/s"), "{text}");
        assert!(!text.contains("p99.9"), "nothing is known of it: {text}");
    }

    #[test]
    fn missed_objectives_and_shared_processors_are_shown_prominently() {
        let missed = Row { slo_met: Some(false), co_located: true, ..row(0, 1, 1.0, 5) };
        let record = record("--var size=10 --runs 1 --slo p99<1ms", &[missed]);
        for text in [text(&record), markdown(&record)] {
            assert!(text.contains("CO-LOCATED") && text.contains("MISSED in 1 of 1"), "{text}");
        }
    }

    #[test]
    fn markdown_has_a_line_under_its_head() {
        let text = markdown(&record("--var size=10 --runs 1", &[row(0, 1, 1.0, 5)]));
        assert!(
            text.contains("| size | achieved | p99 | verdicts |\n|---|---|---|---|\n| 10 |"),
            "{text}"
        );
    }

    fn charts_of(co_located: bool) -> Vec<(String, Chart)> {
        let plan = plan("--var workers=1,2 --var rate=closed,1k,2k --server-cmd 's {workers}'");
        let rows: Vec<Row> = (0..6)
            .map(|cell| Row { co_located, ..row(cell, 1, 500.0 * cell as f64, 1_000) })
            .collect();
        charts(&SweepRecord::new(&plan.unwrap().text, None, &rows))
    }

    fn named<'a>(charts: &'a [(String, Chart)], name: &str) -> &'a Chart {
        &charts.iter().find(|(found, _)| found == name).unwrap().1
    }

    #[test]
    fn latency_against_throughput_has_a_line_for_each_value_of_the_other_variable() {
        let charts = charts_of(false);
        let chart = named(&charts, "plot-throughput-p99.svg");
        let names: Vec<&str> = chart.series.iter().map(|line| &*line.name).collect();
        assert_eq!(names, ["workers=1", "workers=2"]);
        let xs: Vec<f64> = chart.series[0].points.iter().map(|point| point.x).collect();
        assert_eq!(xs, [500.0, 1_000.0], "the closed loop is left out");
    }

    #[test]
    fn a_comparison_has_a_line_for_each_rate_the_closed_loop_included() {
        let charts = charts_of(false);
        let chart = named(&charts, "plot-rate-by-workers.svg");
        let names: Vec<&str> = chart.series.iter().map(|line| &*line.name).collect();
        assert_eq!(names, ["rate=closed", "rate=1k", "rate=2k"]);
        assert_eq!(chart.x.names, ["1", "2"]);
    }

    /// Six cells of one run, the last of them INVALID.
    fn with_an_invalid_run() -> SweepRecord {
        let plan = plan("--var size=1,2 --var rate=1k,2k,3k --runs 1").unwrap().text;
        let invalid = Row {
            verdict: Verdict::Invalid,
            reason: Some("loader-late: p99 1 ms".to_owned()),
            ..row(5, 1, 2_500.0, 9_000)
        };
        let valid = (0..5).map(|cell| row(cell, 1, 500.0 * (cell + 1) as f64, 1_000));
        SweepRecord::new(&plan, None, &valid.chain([invalid]).collect::<Vec<_>>())
    }

    #[test]
    fn a_point_that_is_not_valid_is_crossed_out_and_the_chart_says_why() {
        for (name, chart) in charts(&with_an_invalid_run()) {
            let said =
                "INVALID: 1 of 6 runs. First: size=2 rate=3k, round 1: loader-late: p99 1 ms";
            assert_eq!(chart.verdict, (Verdict::Invalid, said.to_owned()), "{name}");
            let verdicts = chart.series.iter().flat_map(|line| &line.points);
            let invalid = verdicts.filter(|point| point.verdict == Verdict::Invalid);
            assert_eq!(invalid.count(), 1, "{name}");
        }
        assert!(charts_of(false).iter().all(|(_, chart)| chart.verdict.0 == Verdict::Valid));
    }

    #[test]
    fn the_tables_name_the_reason_of_each_cell_that_is_not_valid() {
        let record = with_an_invalid_run();
        for text in [text(&record), markdown(&record)] {
            assert!(text.contains("- size=2 rate=3k: INVALID: loader-late: p99 1 ms\n"), "{text}");
        }
    }

    #[test]
    fn unknown_numbers_have_no_chart() {
        assert!(charts_of(false).iter().all(|(name, _)| !name.contains("p50")));
    }

    #[test]
    fn a_caption_has_no_default_of_what_is_varied() {
        let caption = |flags: &str| caption(&record(flags, &[]));
        assert_eq!(
            caption("--var workers=1,2 --server-cmd 's {workers}' --runs 1"),
            "one run a point; 64 connections, raw requests of 64 B"
        );
        assert_eq!(
            caption("--var connections=4,16 --runs 5"),
            "median and range of 5 runs; raw requests of 64 B"
        );
    }

    #[test]
    fn every_caption_mentions_shared_processors() {
        assert!(charts_of(true).iter().all(|(_, chart)| chart.caption.contains("CO-LOCATED")));
        assert!(charts_of(false).iter().all(|(_, chart)| !chart.caption.contains("CO-LOCATED")));
    }
}
