//! How long: the distributions side by side, and how far the loader itself is in them.

use std::fmt::{self, Write as _};

use super::{WIDTH, wrap, write_co_located};
use crate::latency::{PERCENTILES, Percentile};
use crate::record::{LatencyRecord, Record};
use crate::units::{brief, duration, grouped};

/// Label of a row, value and interval of a column: four columns fit.
const LABEL: usize = 6;
const VALUE: usize = 13;
const INTERVAL: usize = 10;

/// The table, and what is needed to read it.
pub(super) fn write(out: &mut String, record: &Record) -> fmt::Result {
    write_co_located(out, record)?;
    let columns = columns(record);
    let names: String = columns.iter().map(|(name, _)| beside(name, "")).collect();
    writeln!(out, "{}", format!("  {:<LABEL$}{names}", "").trim_end())?;
    let mut row = |label: &str, cell: &dyn Fn(&LatencyRecord) -> String| {
        let cells: String = columns.iter().map(|(_, latency)| cell(latency)).collect();
        writeln!(out, "{}", format!("  {label:<LABEL$}{cells}").trim_end())
    };
    row("n", &|latency| beside(&grouped(latency.count), ""))?;
    for percentile in PERCENTILES {
        row(percentile.label, &|latency| percentile_cell(latency, percentile))?;
    }
    row("max", &|latency| beside(&extreme(latency, latency.max), ""))?;
    row("mean", &|latency| beside(&mean(latency), ""))?;
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

/// A value, and beside it how sure it is.
fn beside(value: &str, interval: &str) -> String {
    format!("{value:>VALUE$}{interval:<INTERVAL$}")
}

fn percentile_cell(latency: &LatencyRecord, percentile: Percentile) -> String {
    match latency.at(percentile) {
        None => {
            let missing = format!("n/a (needs n >= {})", percentile.samples_min);
            format!("{missing:>width$}", width = VALUE + INTERVAL)
        }
        Some(ns) => beside(&bounded(latency, ns), &half_width(latency, percentile, ns)),
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

/// The value with its unit; a lower bound says so.
fn bounded(latency: &LatencyRecord, ns: u64) -> String {
    let sign = if latency.is_at_least(ns) { ">= " } else { "" };
    format!("{sign}{}", duration(ns))
}

fn extreme(latency: &LatencyRecord, ns: Option<u64>) -> String {
    ns.map_or_else(|| "n/a".to_owned(), |ns| bounded(latency, ns))
}

/// One unanswered request makes the mean a lower bound, however short it has waited.
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
    let text = format!("± 95 % confidence interval, ±? not known{bounds}");
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
