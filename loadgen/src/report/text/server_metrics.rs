//! What the server said of itself: the times that it measured beside the loader's own lateness, or
//! the counters that grew.

use std::fmt;

use super::WIDTH;
use super::layout::{Columns, wrap};
use crate::latency::P99;
use crate::record::{Record, ServerMetricsRecord, ServerTiming};
use crate::units::{brief, counted, grouped};

/// evshard's timings: the name in the record, and what the report calls it.
const TIMINGS: [(&str, &str); 3] = [
    ("handoff", "server: handoff of a new connection"),
    ("loop_lag", "server: loop lag before a callback"),
    ("callback", "server: callback"),
];

/// What the report calls the loader's own lateness.
const LOADER_LATE: &str = "loader: late by itself";

/// Share of p99 from which a time may be what makes it.
const TAIL_SHARE_MIN: f64 = 0.1;

/// Most counters that the report shows.
const COUNTERS_SHOWN: usize = 6;

/// Counters that are worth more than others: those of Prometheus's client libraries.
const PREFERRED: &str = "process_cpu_seconds_total";

/// The section; nothing without `--server-admin`.
pub(super) fn write_server_metrics(out: &mut String, record: &Record) -> fmt::Result {
    use fmt::Write as _;
    let Some(metrics) = &record.server_metrics else { return Ok(()) };
    let failures = match &metrics.first_failure {
        Some(failure) => format!("; {} failed, the first: {failure}", metrics.failed_reads),
        None => String::new(),
    };
    let (reads, address) = (counted(metrics.reads, "read"), &metrics.address);
    let restarted = if metrics.restarted { "; counters went back: it was restarted" } else { "" };
    let title = format!("the server's metrics at {address}: {reads}{failures}{restarted}");
    writeln!(out)?;
    out.write_str(&wrap("  ", &title, WIDTH))?;
    if !metrics.timings.is_empty() {
        let mut columns = Columns::default();
        columns.row(["", "count", "p50", "p99", "p99.9"].map(str::to_owned));
        rows(record, metrics).into_iter().for_each(|row| columns.row(row));
        for line in columns.lines() {
            writeln!(out, "  {line}")?;
        }
    }
    if let Some(text) = conclusion(record, metrics) {
        out.write_str(&wrap("  ", &text, WIDTH))?;
    }
    Ok(())
}

/// The times of the server, and the loader's own lateness: name, count, p50, p99, p99.9.
pub(crate) fn rows(record: &Record, metrics: &ServerMetricsRecord) -> Vec<[String; 5]> {
    let at_most = |ns: Option<u64>| ns.map_or("n/a".to_owned(), |ns| format!("<= {}", brief(ns)));
    let known = |(field, name): (&str, &str)| {
        let timing = metrics.timings.get(field)?;
        let ServerTiming { count, p50_at_most_ns, p99_at_most_ns, p999_at_most_ns, .. } = timing;
        let [p50, p99, p999] =
            [p50_at_most_ns, p99_at_most_ns, p999_at_most_ns].map(|ns| at_most(*ns));
        Some([name.to_owned(), grouped(*count), p50, p99, p999])
    };
    let mut rows: Vec<[String; 5]> = TIMINGS.into_iter().filter_map(known).collect();
    let late = &record.latency_ns.loader_late;
    if !rows.is_empty() && record.args.is_open() {
        let exact = |ns: Option<u64>| ns.map_or("n/a".to_owned(), brief);
        let [p50, p99, p999] = [late.p50, late.p99, late.p999].map(exact);
        rows.push([LOADER_LATE.to_owned(), grouped(late.count), p50, p99, p999]);
    }
    rows
}

/// Where the tail may lie, or what else grew; nothing if nothing was read twice.
pub(crate) fn conclusion(record: &Record, metrics: &ServerMetricsRecord) -> Option<String> {
    if metrics.intervals.is_empty() {
        return None;
    }
    if metrics.timings.is_empty() {
        return Some(counters(metrics));
    }
    let mut parts = Vec::new();
    if let Some(p99_ns) = record.latency_ns.headline(record.args.mode).at(P99) {
        parts.push(tail(record, metrics, p99_ns));
    }
    if let Some(cpu_s) = metrics.counter(PREFERRED).filter(|_| metrics.wall_s > 0.0) {
        let away = metrics.counter("evshard_shard_switches_involuntary_total").unwrap_or(0.0);
        parts.push(format!(
            "The server used {:.2} processors; the kernel took a processor from its shards {}.",
            cpu_s / metrics.wall_s,
            counted(away as u64, "time")
        ));
    }
    let steal = record.runs.iter().filter_map(|run| run.steal_share).reduce(f64::max);
    if let Some(share) = steal.filter(|share| *share > 0.0) {
        parts.push(format!("The hypervisor took {:.1} % of this machine's time.", 100.0 * share));
    }
    Some(parts.join(" "))
}

/// Which time may make p99. The times are of callbacks and not of requests, so they only bound it.
fn tail(record: &Record, metrics: &ServerMetricsRecord, p99_ns: u64) -> String {
    let of_server = TIMINGS.into_iter().filter_map(|(field, name)| {
        Some((name, metrics.timings.get(field)?.p99_at_most_ns?, "at most "))
    });
    let late = record.latency_ns.loader_late.p99.filter(|_| record.args.is_open());
    let late = late.map(|ns| (LOADER_LATE, ns, ""));
    let largest = of_server.chain(late).max_by_key(|(_, ns, _)| *ns);
    let whole = brief(p99_ns);
    match largest.filter(|(_, ns, _)| *ns as f64 >= TAIL_SHARE_MIN * p99_ns as f64) {
        Some((name, ns, bound)) => format!(
            "p99 is {whole}; of these times, '{name}' has the largest p99, {bound}{}: look there \
             first.",
            brief(ns)
        ),
        None => format!(
            "p99 is {whole}; none of these times reaches a tenth of it at its own p99: look at the \
             network, at the sockets' queues, and at the time in which the server had no processor."
        ),
    }
}

fn counters(metrics: &ServerMetricsRecord) -> String {
    let count = metrics.counters.len() as u64 + metrics.counters_left_out;
    let mut largest: Vec<(&String, &f64)> = metrics.counters.iter().collect();
    let is_preferred = |series: &str| series == PREFERRED;
    largest.sort_by(|(a, more), (b, less)| {
        is_preferred(b).cmp(&is_preferred(a)).then(less.total_cmp(more))
    });
    largest.truncate(COUNTERS_SHOWN);
    let shown: Vec<String> =
        largest.iter().map(|(series, growth)| format!("{series} +{growth}")).collect();
    let more = if count as usize > shown.len() { ", ..." } else { "" };
    format!("{} grew: {}{more}", counted(count, "counter"), shown.join(", "))
}
