//! The table of percentiles.

use super::table_of;
use crate::latency::{PERCENTILES, Percentile};
use crate::record::{LatencyRecord, Record};
use crate::units::{brief, grouped};

/// A row for every distribution that has samples: its percentiles with their intervals.
pub(super) fn table(record: &Record) -> String {
    let latencies = &record.latency_ns;
    let head = ["", "n", "p50", "p90", "p99", "p99.9", "p99.99", "max", "mean"];
    let mut table = table_of(record, head);
    for (name, latency) in [
        ("response\nfrom the intended time", &latencies.response),
        ("service\nfrom the actual send", &latencies.service),
        ("lateness\nof the send", &latencies.lateness),
        ("loader late\nits own part of it", &latencies.loader_late),
        ("blocked\nconnection not free", &latencies.blocked),
        ("connect", &latencies.connect),
    ] {
        if latency.count > 0 {
            table.row(row(name, latency));
        }
    }
    let table = table.end();
    if table.is_empty() {
        return table;
    }
    format!(
        "{table}<p><small>Below a percentile: its 95 % confidence interval. n/a: too few samples. \
         &gt;=: a lower bound, as some requests were never answered.</small></p>\n"
    )
}

fn row(name: &str, latency: &LatencyRecord) -> [String; 9] {
    let [p50, p90, p99, p999, p9999] = PERCENTILES.map(|percentile| cell(latency, percentile));
    let max = latency.max.map_or_else(unknown, |ns| bounded(latency, ns));
    let at_least = if latency.censored > 0 { ">= " } else { "" };
    let mean = latency.mean.map_or_else(unknown, |ns| format!("{at_least}{}", brief(ns)));
    [name.to_owned(), count(latency), p50, p90, p99, p999, p9999, max, mean]
}

fn unknown() -> String {
    "n/a".to_owned()
}

fn count(latency: &LatencyRecord) -> String {
    match latency.censored {
        0 => grouped(latency.count),
        censored => format!("{}\n{} unanswered", grouped(latency.count), grouped(censored)),
    }
}

fn cell(latency: &LatencyRecord, percentile: Percentile) -> String {
    let Some(ns) = latency.at(percentile) else {
        return format!("n/a\nneeds n >= {}", grouped(percentile.samples_min));
    };
    let value = bounded(latency, ns);
    match latency.ci95_at(percentile) {
        Some([low, high]) => format!("{value}\n{} – {}", brief(low), bounded(latency, high)),
        None => format!("{value}\ninterval not known"),
    }
}

fn bounded(latency: &LatencyRecord, ns: u64) -> String {
    let sign = if latency.is_at_least(ns) { ">= " } else { "" };
    format!("{sign}{}", brief(ns))
}
