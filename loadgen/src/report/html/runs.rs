//! The tables of runs, of the loader's threads, and of the server's.

use super::html_table::list;
use super::table_of;
use crate::record::{Record, ServerRecord};
use crate::units::{brief, grouped, percent, rate, size};

/// A row for every run: how far runs of one plan lie apart.
pub(super) fn runs(record: &Record) -> String {
    let head = [
        "run",
        "verdict",
        "rate /s",
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
        let of = |ns: Option<u64>| ns.map_or_else(|| "n/a".to_owned(), brief);
        let counters = &run.counters;
        let errors = counters.failed + counters.timed_out + counters.censored;
        let busiest = run.threads.iter().map(|thread| thread.cpu_share).fold(0.0, f64::max);
        table.row([
            run.number.to_string(),
            run.validity.verdict.to_string(),
            rate(run.rate.achieved_per_s),
            of(latency.p50),
            of(latency.p99),
            of(latency.p999),
            of(latency.max),
            grouped(errors + counters.connect_failures),
            percent(busiest),
            format!("{:.1}", run.outstanding_mean),
        ]);
    }
    table.end()
}

/// A row for every thread of the loader.
pub(super) fn loader_threads(record: &Record) -> String {
    let head = ["run, thread", "connections", "completed", "CPU", "switched away", "major faults"];
    let mut table = table_of(record, head);
    for run in &record.runs {
        for (number, thread) in run.threads.iter().enumerate() {
            table.row([
                format!("{}, {number}", run.number),
                grouped(thread.connections as u64),
                grouped(thread.completed),
                percent(thread.cpu_share),
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
