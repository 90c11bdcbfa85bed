//! The latencies: the distributions side by side, the loader's own lateness, and the shape of the
//! headline latency.

use std::fmt::{self, Write as _};

use super::{WIDTH, wrap};
use crate::environment::Sharing;
use crate::latency::{Latency, PERCENTILES, Percentile};
use crate::record::{LatencyRecord, Record, Validity};
use crate::report::loader_mark;
use crate::units::{bound, brief, counted, duration, grouped, interval};

/// Label of a row, value and interval of a column. Four columns fit, two of them with intervals, or
/// five, one of them with intervals.
const LABEL: usize = 6;
const VALUE: usize = 12;
const INTERVAL: usize = 20;

/// What must be read before the numbers if it is so.
const CO_LOCATED: &str = "CO-LOCATED: loader and server share processors: latencies contain both, \
                          and the rate is that of both together; use another machine, or separate \
                          cores (--pin)";

/// The table, and what is needed to read it.
pub(super) fn write_table(out: &mut String, record: &Record) -> fmt::Result {
    if record.env.sharing.is_some_and(Sharing::is_co_located) {
        out.write_str(&wrap("  ", CO_LOCATED, WIDTH))?;
    }
    let columns = columns(record);
    let names: String = columns.iter().map(|column| column.cell(column.name, "")).collect();
    writeln!(out, "{}", format!("  {:<LABEL$}{names}", "").trim_end())?;
    let mut row = |label: &str, cell: &dyn Fn(&Column<'_>) -> String| {
        let cells: String = columns.iter().map(cell).collect();
        writeln!(out, "{}", format!("  {label:<LABEL$}{cells}").trim_end())
    };
    row("n", &|column| column.cell(&grouped(column.latency.count), ""))?;
    let known = |percentile: &Percentile| {
        columns.iter().any(|column| column.latency.at(*percentile).is_some())
    };
    for percentile in PERCENTILES.into_iter().filter(known) {
        row(percentile.label, &|column| column.percentile(percentile))?;
    }
    row("max", &|column| column.value("max", column.latency.max))?;
    row("mean", &|column| column.value("mean", column.latency.mean))?;
    write_legend(out, record)?;
    write_lateness(out, record)
}

/// A distribution in the table.
struct Column<'a> {
    name: &'static str,
    latency: &'a LatencyRecord,
    has_intervals: bool,
    /// The verdict on its values: that of the headline latency, which is the first column.
    judged: Option<&'a Validity>,
}

/// The distributions that this kind of loop has.
fn columns(record: &Record) -> Vec<Column<'_>> {
    let latency = &record.latency_ns;
    let column =
        |name, latency, has_intervals| Column { name, latency, has_intervals, judged: None };
    let (is_open, is_tls) = (record.args.is_open(), record.tls.is_some());
    let service = column("service", &latency.service, !(is_open && is_tls));
    let connect = column("connect", &latency.connect, false);
    let mut columns = if is_open {
        let response = column("response", &latency.response, true);
        let lateness = column("lateness", &latency.lateness, false);
        vec![response, service, lateness, connect]
    } else {
        vec![service, connect]
    };
    columns.extend(is_tls.then(|| column("handshake", &latency.handshake, false)));
    columns[0].judged = Some(&record.validity);
    columns
}

impl Column<'_> {
    /// A value, and its confidence interval.
    fn cell(&self, value: &str, interval: &str) -> String {
        let width = if self.has_intervals { INTERVAL } else { 0 };
        let interval = if self.has_intervals { interval } else { "" };
        format!("{value:>VALUE$} {interval:<width$}")
    }

    fn percentile(&self, percentile: Percentile) -> String {
        let Some(ns) = self.latency.at(percentile) else {
            return self.cell("n/a", "");
        };
        let ends = self.latency.ci95_at(percentile).map(interval).unwrap_or_default();
        self.cell(&self.bounded(percentile.field, ns), &ends)
    }

    /// Whether an interval without an upper end is shown.
    fn has_open_end(&self) -> bool {
        let mut ends = PERCENTILES.iter().filter_map(|at| self.latency.ci95_at(*at));
        self.has_intervals && ends.any(|(_, high_ns)| high_ns.is_none())
    }

    fn value(&self, field: &str, ns: Option<u64>) -> String {
        let text = ns.map_or_else(|| "n/a".to_owned(), |ns| self.bounded(field, ns));
        self.cell(&text, "")
    }

    /// The value with its unit, with ">=" if it is a lower bound, and with a mark if it may be the
    /// loader's.
    fn bounded(&self, field: &str, ns: u64) -> String {
        let mark = self.judged.map_or("", |validity| loader_mark::before(validity, field));
        let sign = if self.latency.is_at_least(field) { ">= " } else { "" };
        format!("{mark}{sign}{}", duration(ns))
    }
}

fn write_legend(out: &mut String, record: &Record) -> fmt::Result {
    let headline = record.latency_ns.headline(record.args.mode);
    let mut text = "[ ] 95 % confidence interval".to_owned();
    let has_open_end = columns(record).iter().any(Column::has_open_end);
    if has_open_end {
        text.push_str(
            ", ? where its upper end is not known: too few independent samples lie above",
        );
    }
    let effective: Vec<String> = PERCENTILES
        .iter()
        .filter(|percentile| headline.at(**percentile).is_some())
        .filter_map(|percentile| {
            let count = headline.effective_n.get(percentile.field)?;
            Some(format!("{} {}", percentile.label, grouped(*count)))
        })
        .collect();
    if !effective.is_empty() {
        text.push_str(&format!("; effective sample size: {}", effective.join(", ")));
    }
    if headline.censored > 0 {
        text.push_str(&format!(
            "; >= at least: the time that {} without a right reply had waited",
            counted(headline.censored, "request")
        ));
    }
    if record.validity.percentiles.keys().any(|field| record.validity.is_of_loader(field)) {
        text.push_str(&format!("; {}", loader_mark::LEGEND));
    }
    out.write_str(&wrap("  ", &text, WIDTH))?;
    let columns = columns(record);
    let missing = |percentile: &Percentile| {
        columns.iter().any(|column| column.latency.at(*percentile).is_none())
    };
    let needs = |percentile: Percentile| {
        format!("{} needs {}", percentile.label, grouped(percentile.samples_min))
    };
    let needed: Vec<String> = PERCENTILES.into_iter().filter(missing).map(needs).collect();
    if needed.is_empty() {
        return Ok(());
    }
    let text = format!("n/a, or no row: too few samples (n); {}", needed.join(", "));
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
        let waiting = counted(record.counters.backlog_at_window, "request");
        text.push_str(&format!("; {waiting} waited when the window opened"));
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
    writeln!(out, "\n  {name} times of answered requests")?;
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
