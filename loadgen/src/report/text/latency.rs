//! The latencies: the distributions side by side, the loader's own lateness, and the shape of the
//! headline latency.

use std::fmt::{self, Write as _};
use std::iter;

use super::{WIDTH, wrap, write_co_located};
use crate::latency::{Latency, PERCENTILES, Percentile};
use crate::record::{LatencyRecord, Record};
use crate::report::loader_mark;
use crate::units::{bound, brief, duration, grouped};

/// Label of a row, value and interval of a column: four columns fit.
const LABEL: usize = 6;
const VALUE: usize = 13;
const INTERVAL: usize = 10;

/// The table, and what is needed to read it.
pub(super) fn write_table(out: &mut String, record: &Record) -> fmt::Result {
    write_co_located(out, record)?;
    let columns = columns(record);
    let names: String = columns.iter().map(|(name, _)| beside(name, "")).collect();
    writeln!(out, "{}", format!("  {:<LABEL$}{names}", "").trim_end())?;
    // The verdict on a percentile is about the headline latency, which is the first column.
    let mut row = |label: &str, field: &str, cell: &dyn Fn(&LatencyRecord, &str) -> String| {
        let marks =
            [loader_mark::before(&record.validity, field)].into_iter().chain(iter::repeat(""));
        let cells: String =
            columns.iter().zip(marks).map(|((_, latency), mark)| cell(latency, mark)).collect();
        writeln!(out, "{}", format!("  {label:<LABEL$}{cells}").trim_end())
    };
    row("n", "", &|latency, _| beside(&grouped(latency.count), ""))?;
    for percentile in PERCENTILES {
        let cell = |latency: &_, mark: &_| percentile_cell(latency, percentile, mark);
        row(percentile.label, percentile.field, &cell)?;
    }
    row("max", "max", &|latency, mark| beside(&extreme(latency, latency.max, mark), ""))?;
    row("mean", "", &|latency, _| beside(&mean(latency), ""))?;
    write_legend(out, record)?;
    write_lateness(out, record)
}

/// The distributions that this kind of loop has.
fn columns(record: &Record) -> Vec<(&'static str, &LatencyRecord)> {
    let latency = &record.latency_ns;
    if record.args.is_open() {
        vec![
            ("response", &latency.response),
            ("service", &latency.service),
            ("lateness", &latency.lateness),
            ("connect", &latency.connect),
        ]
    } else {
        vec![("service", &latency.service), ("connect", &latency.connect)]
    }
}

/// A value, and its confidence interval.
fn beside(value: &str, interval: &str) -> String {
    format!("{value:>VALUE$}{interval:<INTERVAL$}")
}

fn percentile_cell(latency: &LatencyRecord, percentile: Percentile, mark: &str) -> String {
    match latency.at(percentile) {
        None => {
            let missing = format!("n/a (needs n >= {})", percentile.samples_min);
            format!("{missing:>width$}", width = VALUE + INTERVAL)
        }
        Some(ns) => {
            let value = format!("{mark}{}", bounded(latency, ns));
            beside(&value, &half_width(latency, percentile, ns))
        }
    }
}

/// The interval's further end in percent of the value; unknown where that end is.
fn half_width(latency: &LatencyRecord, percentile: Percentile, ns: u64) -> String {
    match latency.ci95_at(percentile) {
        Some([low, high]) if !latency.is_at_least(high) => {
            let further = high.saturating_sub(ns).max(ns.saturating_sub(low));
            let share = 100.0 * further as f64 / ns.max(1) as f64;
            let digits = usize::from(share < 9.95);
            format!(" ±{share:.digits$} %")
        }
        _ => " ±?".to_owned(),
    }
}

/// The value with its unit, and with ">=" if it is a lower bound.
fn bounded(latency: &LatencyRecord, ns: u64) -> String {
    let sign = if latency.is_at_least(ns) { ">= " } else { "" };
    format!("{sign}{}", duration(ns))
}

fn extreme(latency: &LatencyRecord, ns: Option<u64>, mark: &str) -> String {
    ns.map_or_else(|| "n/a".to_owned(), |ns| format!("{mark}{}", bounded(latency, ns)))
}

/// A single unanswered request makes the mean a lower bound.
fn mean(latency: &LatencyRecord) -> String {
    let sign = if latency.censored > 0 { ">= " } else { "" };
    latency.mean.map_or_else(|| "n/a".to_owned(), |ns| format!("{sign}{}", duration(ns)))
}

fn write_legend(out: &mut String, record: &Record) -> fmt::Result {
    let censored = record.latency_ns.headline(record.args.mode).censored;
    let bounds = match censored {
        0 => String::new(),
        _ => format!(
            "; >= at least: {} requests were never answered and count as long as they waited",
            grouped(censored)
        ),
    };
    let of_loader = record.validity.percentiles.keys().any(|f| record.validity.is_of_loader(f));
    let marked = if of_loader { format!("; {}", loader_mark::LEGEND) } else { String::new() };
    let text = format!("± 95 % confidence interval, ±? not known{bounds}{marked}");
    out.write_str(&wrap("  ", &text, WIDTH))
}

/// How far the loader itself was late, and how often it could not send.
fn write_lateness(out: &mut String, record: &Record) -> fmt::Result {
    if !record.args.is_open() {
        return Ok(());
    }
    let latency = &record.latency_ns;
    let late = &latency.loader_late;
    let known = |ns: Option<u64>| ns.map_or_else(|| "n/a".to_owned(), brief);
    let sends = latency.lateness.count.max(1) as f64;
    let mut text = format!(
        "the loader's own lateness: p99 {}, p99.9 {}, max {}; {:.2} % of the requests were blocked",
        known(late.p99),
        known(late.p999),
        known(late.max),
        100.0 * latency.blocked.count as f64 / sends
    );
    if let Some(p99) = latency.blocked.p99.or(latency.blocked.max) {
        text.push_str(&format!(" (p99 {})", brief(p99)));
    }
    if record.counters.backlog_at_window > 0 {
        let waiting = grouped(record.counters.backlog_at_window);
        text.push_str(&format!("; {waiting} requests were waiting when the window opened"));
    }
    out.write_str(&wrap("  ", &text, WIDTH))
}

/// Steps of a histogram within one decade, finest first: the series of preferred numbers R10, R5,
/// the steps of coins, whole decades.
const SCALES: [&[u64]; 4] = [
    &[100, 125, 160, 200, 250, 315, 400, 500, 630, 800],
    &[100, 160, 250, 400, 630],
    &[100, 200, 500],
    &[100],
];

const ROWS_MAX: usize = 14;
const BAR_WIDTH_MAX: u64 = 40;

/// Values from `from_ns` up to, but not including, `to_ns`.
#[derive(Debug, PartialEq, Eq)]
struct HistogramRow {
    from_ns: u64,
    to_ns: u64,
    count: u64,
}

/// A bar chart of the answered requests; nothing if there are none.
pub(super) fn write_histogram(out: &mut String, name: &str, latency: &Latency) -> fmt::Result {
    let rows = finest_fitting(latency);
    let Some(highest) = rows.iter().map(|row| row.count).max() else {
        return Ok(());
    };
    writeln!(out, "\n  {name} of answered requests")?;
    for row in &rows {
        let share = match 100.0 * row.count as f64 / latency.count() as f64 {
            tiny if row.count > 0 && tiny < 0.01 => "< 0.01".to_owned(),
            share => format!("{share:.2}"),
        };
        writeln!(
            out,
            "  {:>8} - {:>8}  {share:>6} %  {}",
            bound(row.from_ns),
            bound(row.to_ns),
            bar(row.count, highest)
        )?;
    }
    Ok(())
}

/// The rows of the finest scale that does not need too many.
fn finest_fitting(latency: &Latency) -> Vec<HistogramRow> {
    let mut scales = SCALES.into_iter().map(|steps| rows(latency, steps));
    let fitting = scales.find(|rows| rows.len() <= ROWS_MAX);
    fitting.unwrap_or_default()
}

/// The distribution in rows of one scale, from the first occupied to the last.
fn rows(latency: &Latency, steps: &[u64]) -> Vec<HistogramRow> {
    // Nothing real is faster than 100 ns, and the histogram ends before 100 s.
    let decades = (0..=9).map(|power| 10_u64.pow(power));
    let edges = decades.flat_map(|decade| steps.iter().map(move |step| step * decade));
    let edges: Vec<u64> = [0].into_iter().chain(edges).collect();
    let mut rows: Vec<HistogramRow> = edges
        .windows(2)
        .map(|pair| HistogramRow { from_ns: pair[0], to_ns: pair[1], count: 0 })
        .collect();
    for (value_ns, count) in latency.buckets() {
        let row = edges.partition_point(|&edge| edge <= value_ns) - 1;
        rows[row].count += count;
    }
    let occupied = |row: &HistogramRow| row.count > 0;
    rows.truncate(rows.iter().rposition(occupied).map_or(0, |last| last + 1));
    rows.drain(..rows.iter().position(occupied).unwrap_or(0));
    rows
}

/// A bar of proportional length; every count above 0 is visible.
fn bar(count: u64, highest: u64) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let length = u128::from(count) * u128::from(BAR_WIDTH_MAX) * 8 / u128::from(highest.max(1));
    let eighths = usize::try_from(length).expect("a bar is short");
    let eighths = eighths.max(usize::from(count > 0));
    format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::tests::latency_of;

    #[test]
    fn rows_hold_every_value_once_on_every_scale() {
        let latency = latency_of((0..40).map(|n| 3_u64.pow(n % 23) * 7));
        for steps in SCALES {
            let rows = rows(&latency, steps);
            assert_eq!(rows.iter().map(|row| row.count).sum::<u64>(), 40);
            assert!(rows[0].count > 0 && rows[rows.len() - 1].count > 0);
        }
    }

    #[test]
    fn a_wide_distribution_gets_a_coarser_scale() {
        let wide = latency_of([150, 1_000_000, 59_000_000_000]);
        assert!(finest_fitting(&wide).len() <= ROWS_MAX);
        assert_eq!(finest_fitting(&latency_of([])), []);
        assert_eq!(finest_fitting(&latency_of([21_000, 24_000])).len(), 1);
    }

    #[test]
    fn bars_are_in_proportion_and_never_vanish() {
        assert_eq!(bar(0, 100), "");
        assert_eq!(bar(1, 1_000_000), "▏");
        assert_eq!(bar(100, 100).chars().count(), 40);
        assert_eq!(bar(50, 100).chars().count(), 20);
    }
}
