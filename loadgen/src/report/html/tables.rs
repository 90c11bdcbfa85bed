//! The tables of the page: latencies, runs, threads, the server, and any record as a list.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;

use super::table_of;
use crate::latency::{PERCENTILES, Percentile};
use crate::record::{LatencyRecord, Record, ServerRecord, Validity};
use crate::report::markup::escape;
use crate::report::{loader_mark, text};
use crate::units::{brief, grouped, interval, percent, rate, size};

/// A table under construction. A second line of a cell is set smaller.
#[derive(Debug)]
pub(super) struct Table {
    text: String,
    rows: usize,
}

impl Table {
    /// A table with these columns, and above it what its reader must know.
    pub(super) fn new<const N: usize>(head: [&str; N], caption: Option<&str>) -> Self {
        let caption = caption.map(|text| format!("<caption>{}</caption>\n", escape(text)));
        let head: String = head.iter().map(|name| format!("<th>{}</th>", escape(name))).collect();
        let caption = caption.unwrap_or_default();
        let text = format!("<table>\n{caption}<thead><tr>{head}</tr></thead>\n<tbody>\n");
        Self { text, rows: 0 }
    }

    /// Adds a row.
    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows += 1;
        self.text += "<tr>";
        for cell in cells {
            let (first, rest) = cell.split_once('\n').unwrap_or((&cell, ""));
            let small = match rest {
                "" => String::new(),
                rest => format!("<small>{}</small>", escape(rest)),
            };
            let _ = write!(self.text, "<td>{}{small}</td>", escape(first));
        }
        self.text += "</tr>\n";
    }

    /// The table; nothing without rows.
    pub(super) fn end(self) -> String {
        if self.rows == 0 { String::new() } else { self.text + "</tbody>\n</table>\n" }
    }
}

/// Names and values in two columns; nothing without any.
pub(super) fn list(pairs: impl IntoIterator<Item = (String, String)>) -> String {
    let mut list = String::new();
    for (name, value) in pairs {
        let _ = writeln!(list, "<dt>{}</dt><dd>{}</dd>", escape(&name), escape(&value));
    }
    if list.is_empty() { list } else { format!("<dl>\n{list}</dl>\n") }
}

/// All fields of a record as names and values.
pub(super) fn fields(record: &impl Serialize) -> String {
    let mut pairs = Vec::new();
    collect(&mut pairs, "", &serde_json::to_value(record).unwrap_or_default());
    list(pairs)
}

fn collect(pairs: &mut Vec<(String, String)>, name: &str, value: &Value) {
    let text = match value {
        Value::Object(fields) => {
            for (inner, value) in fields {
                let dot = if name.is_empty() { "" } else { "." };
                collect(pairs, &format!("{name}{dot}{inner}"), value);
            }
            return;
        }
        Value::Null => "not known, or none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
            .collect::<Vec<_>>()
            .join(", "),
        other => other.to_string(),
    };
    pairs.push((name.to_owned(), text));
}

/// A row for every distribution that has samples: its percentiles with their intervals.
pub(super) fn latencies(record: &Record) -> String {
    let latencies = &record.latency_ns;
    let head = ["", "n", "p50", "p90", "p99", "p99.9", "p99.99", "max", "mean"];
    let mut table = table_of(record, head);
    let headline = latencies.headline(record.args.mode);
    for (name, latency) in [
        ("response\nfrom the intended time", &latencies.response),
        ("service\nfrom the actual send", &latencies.service),
        ("lateness\nof the send", &latencies.lateness),
        ("loader late\nits own part of it", &latencies.loader_late),
        ("blocked\nconnection not free", &latencies.blocked),
        ("stalled\nthe loader stood still", &latencies.stalled),
        ("connect", &latencies.connect),
        ("handshake\nof TLS, after the connect", &latencies.handshake),
    ] {
        if latency.count > 0 {
            let judged = std::ptr::eq(latency, headline).then_some(&record.validity);
            table.row(latency_row(name, latency, judged));
        }
    }
    for (class, latency) in &record.statuses.latency_ns {
        let name = format!("{}\nreplies of this status", class.replace('_', " "));
        table.row(latency_row(&name, latency, None));
    }
    let table = table.end();
    if table.is_empty() {
        return table;
    }
    format!(
        "{table}<p><small>Below a percentile: its 95 % confidence interval; none where too few \
         requests were independent of each other. ?: its upper end is not known. n/a: too few \
         samples. &gt;=: a lower bound, as some requests got no right reply. {}.</small></p>\n",
        loader_mark::LEGEND
    )
}

/// A row; `judged` is the verdict on its percentiles, if there is one.
fn latency_row(name: &str, latency: &LatencyRecord, judged: Option<&Validity>) -> [String; 9] {
    let mark = |field: &str| judged.map_or("", |validity| loader_mark::before(validity, field));
    let [p50, p90, p99, p999, p9999] = PERCENTILES
        .map(|percentile| format!("{}{}", mark(percentile.field), cell(latency, percentile)));
    let max = latency.max.map_or_else(unknown, |ns| bounded(latency, "max", ns));
    let max = format!("{}{max}", mark("max"));
    let mean = latency.mean.map_or_else(unknown, |ns| bounded(latency, "mean", ns));
    [name.to_owned(), count(latency), p50, p90, p99, p999, p9999, max, mean]
}

fn unknown() -> String {
    "n/a".to_owned()
}

fn count(latency: &LatencyRecord) -> String {
    match latency.censored {
        0 => grouped(latency.count),
        censored => {
            format!("{}\n{} without a right reply", grouped(latency.count), grouped(censored))
        }
    }
}

fn cell(latency: &LatencyRecord, percentile: Percentile) -> String {
    let Some(ns) = latency.at(percentile) else {
        return format!("n/a\nneeds n >= {}", grouped(percentile.samples_min));
    };
    let value = bounded(latency, percentile.field, ns);
    match latency.ci95_at(percentile) {
        Some(ends) => format!("{value}\n{}", interval(ends)),
        None => format!("{value}\nno interval"),
    }
}

fn bounded(latency: &LatencyRecord, field: &str, ns: u64) -> String {
    let sign = if latency.is_at_least(field) { ">= " } else { "" };
    format!("{sign}{}", brief(ns))
}

/// A row for every run: how far runs of one plan lie apart.
pub(super) fn runs(record: &Record) -> String {
    let head = [
        "run",
        "verdict",
        "requests/s",
        "p50",
        "p99",
        "p99.9",
        "max",
        "errors",
        "loader CPU",
        "outstanding",
    ];
    let mut table = table_of(record, head);
    for run in &record.runs {
        let latency = run.latency_ns.headline(record.args.mode);
        let of = |field: &str, ns: Option<u64>| {
            let mark = loader_mark::before(&run.validity, field);
            ns.map_or_else(unknown, |ns| format!("{mark}{}", brief(ns)))
        };
        let counters = &run.counters;
        let errors = counters.failed_requests() + counters.censored;
        let busiest = run.threads.iter().map(|thread| thread.cpu_share).fold(0.0, f64::max);
        table.row([
            run.number.to_string(),
            run.validity.verdict.to_string(),
            rate(run.rate.achieved_per_s),
            of("p50", latency.p50),
            of("p99", latency.p99),
            of("p999", latency.p999),
            of("max", latency.max),
            grouped(errors + counters.connect_failures),
            percent(busiest),
            format!("{:.1}", run.outstanding_mean),
        ]);
    }
    table.end()
}

/// The TLS handshakes; nothing in plain text.
pub(super) fn tls(record: &Record) -> String {
    let (Some(args), Some(tls)) = (&record.args.tls, &record.tls) else { return String::new() };
    let verified = match args.verified {
        true => "verified",
        false => "NOT verified (--tls-insecure)",
    };
    let facts = [
        ("server", args.server_name.clone()),
        ("its certificate", verified.to_owned()),
        ("full handshakes", grouped(tls.full_handshakes)),
        ("resumed handshakes", grouped(tls.resumed_handshakes)),
    ];
    let mut agreed = table_of(record, ["version", "cipher suite", "ALPN", "handshakes"]);
    for negotiated in &tls.negotiated {
        agreed.row([
            negotiated.version.clone(),
            negotiated.cipher_suite.clone(),
            negotiated.alpn.clone().unwrap_or_else(|| "none".to_owned()),
            grouped(negotiated.handshakes),
        ]);
    }
    let mut failures = table_of(record, ["failed handshakes", "cause", "first"]);
    for failed in &tls.failures {
        let cause = failed.cause.text().to_owned();
        failures.row([grouped(failed.handshakes), cause, failed.first.clone()]);
    }
    list(facts.map(|(name, value)| (name.to_owned(), value))) + &agreed.end() + &failures.end()
}

/// Commands with keys, what reads found, and the errors by kind; nothing for other protocols.
pub(super) fn commands(record: &Record) -> String {
    let Some(found) = &record.key_value else { return String::new() };
    let rate = found.hit_rate.map_or_else(|| "n/a".to_owned(), |rate| format!("{rate:.4}"));
    let wrong = found.wrong_values;
    let counts = found.commands.iter().map(|(name, count)| (name.clone(), grouped(*count)));
    let reads = [
        ("keys written before the load", grouped(found.preloaded)),
        ("hit rate", rate),
        ("hits", grouped(found.hits)),
        ("verified hits", grouped(found.verified_hits)),
        ("misses", grouped(found.misses)),
        ("misses of written keys", grouped(found.misses_of_written)),
        ("foreign values", grouped(wrong.foreign)),
        ("old values", grouped(wrong.old)),
        ("torn values", grouped(wrong.torn)),
    ];
    let facts = counts.chain(reads.map(|(name, value)| (name.to_owned(), value)));
    let mut errors = table_of(record, ["errors", "kind", "first"]);
    for error in &found.errors {
        let words = error.words.clone().unwrap_or_default();
        errors.row([grouped(error.count), error.kind.clone(), words]);
    }
    list(facts) + &errors.end()
}

/// A row for every thread of the loader.
pub(super) fn loader_threads(record: &Record) -> String {
    let head = [
        "run, thread",
        "connections",
        "completed",
        "CPU",
        "waited for CPU",
        "stalled",
        "longest stall",
        "switched away",
        "major faults",
    ];
    let mut table = table_of(record, head);
    for run in &record.runs {
        for (number, thread) in run.threads.iter().enumerate() {
            table.row([
                format!("{}, {number}", run.number),
                grouped(thread.connections as u64),
                grouped(thread.completed),
                percent(thread.cpu_share),
                thread.run_delay_s.map_or_else(unknown, |delay_s| format!("{delay_s:.3} s")),
                format!("{:.3} s in {}", thread.stalled_s, grouped(thread.stalls)),
                format!("{:.3} s", thread.longest_stall_s),
                grouped(thread.involuntary_switches),
                grouped(thread.major_faults),
            ]);
        }
    }
    table.end()
}

/// The server process and a row for every thread of it.
pub(super) fn server(record: &Record) -> String {
    let Some(server) = &record.server else { return String::new() };
    let known = |value: Option<String>| value.unwrap_or_else(|| "not known".to_owned());
    let process = list(facts(server).map(|(name, value)| (name.to_owned(), known(value))));
    let head = ["thread", "id", "CPU s", "waited", "switched away"];
    let mut threads = table_of(record, head);
    for thread in &server.threads {
        threads.row([
            thread.name.clone(),
            thread.tid.to_string(),
            format!("{:.3}", thread.cpu_s),
            grouped(thread.voluntary_switches),
            grouped(thread.involuntary_switches),
        ]);
    }
    process + &threads.end()
}

/// The times that the server measured beside the loader's own lateness, what follows from them, and
/// the counters that grew.
pub(super) fn server_metrics(record: &Record) -> String {
    let Some(metrics) = &record.server_metrics else { return String::new() };
    let failures = match &metrics.first_failure {
        Some(failure) => format!("{}, the first: {failure}", metrics.failed_reads),
        None => "0".to_owned(),
    };
    let facts = [
        ("address".to_owned(), metrics.address.clone()),
        ("reads".to_owned(), metrics.reads.to_string()),
        ("failed reads".to_owned(), failures),
    ];
    let mut timings = table_of(record, ["time", "count", "p50", "p99", "p99.9"]);
    text::rows(record, metrics).into_iter().for_each(|row| timings.row(row));
    let conclusion = text::conclusion(record, metrics);
    let conclusion = conclusion.map(|text| format!("<p>{}</p>\n", escape(&text)));
    let growth = |(name, growth): (&String, &f64)| (name.clone(), format!("{growth}"));
    let counters = list(metrics.counters.iter().map(growth));
    let counters = format!("<details><summary>Counters</summary>\n{counters}</details>\n");
    list(facts) + &timings.end() + &conclusion.unwrap_or_default() + &counters
}

fn facts(server: &ServerRecord) -> [(&'static str, Option<String>); 9] {
    let cpu = |per_request: f64| format!("{per_request:.2} µs");
    let used = server.cpu_s / server.wall_s;
    [
        ("command", Some(server.command.clone())),
        ("process", Some(server.pid.to_string())),
        ("CPU per request", server.cpu_us_per_request.map(cpu)),
        ("processors used", used.is_finite().then(|| format!("{used:.2}"))),
        ("resident memory", server.rss_bytes.map(size)),
        ("proportional memory", server.pss_bytes.map(size)),
        ("waited", Some(grouped(server.voluntary_switches))),
        ("switched away", Some(grouped(server.involuntary_switches))),
        ("processors allowed", server.cpus_allowed.clone()),
    ]
}
