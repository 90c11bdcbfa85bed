//! The files of a result directory: their names, and the contents of those of a run.

use super::plot::charts;
use super::{csv, hgrm, html, json};
use crate::error::Error;
use crate::latency::{Distribution, Latencies};
use crate::record::Record;

pub(crate) const RECORD: &str = "result.json";
const INTERVALS: &str = "intervals.csv";
const PERCENTILE_PLOT: &str = "plot-percentiles.svg";
const TIME_PLOT: &str = "plot-time.svg";
const PAGE: &str = "index.html";

/// The record of a sweep, its table, and its report for people.
pub(crate) const SWEEP: &str = "sweep.json";
pub(crate) const SWEEP_TABLE: &str = "sweep.csv";
pub(crate) const SWEEP_TEXT: &str = "summary.txt";
pub(crate) const SWEEP_MARKDOWN: &str = "summary.md";
/// The directory of a sweep's runs.
pub(crate) const CELLS: &str = "cells";
/// The record of a search, its table, and its report for people.
pub(crate) const SEARCH: &str = "search.json";
pub(crate) const SEARCH_TABLE: &str = "search.csv";
pub(crate) const SEARCH_TEXT: &str = "search.txt";
/// The record of a comparison in pairs, its table, and its reports.
pub(crate) const AB: &str = "ab.json";
pub(crate) const AB_TABLE: &str = "ab.csv";
pub(crate) const AB_TEXT: &str = "ab.txt";
pub(crate) const AB_MARKDOWN: &str = "ab.md";
pub(crate) const AB_JUNIT: &str = "junit.xml";
/// The directory of its runs.
pub(crate) const PAIRS: &str = "pairs";

/// Every name but those of interval logs and plots.
pub(super) const NAMES: [&str; 20] = [
    RECORD,
    INTERVALS,
    PAGE,
    SWEEP,
    SWEEP_TABLE,
    SWEEP_TEXT,
    SWEEP_MARKDOWN,
    SEARCH,
    SEARCH_TABLE,
    SEARCH_TEXT,
    AB,
    AB_TABLE,
    AB_TEXT,
    AB_MARKDOWN,
    AB_JUNIT,
    "response.us.hgrm",
    "service.us.hgrm",
    "lateness.us.hgrm",
    "connect.us.hgrm",
    "handshake.us.hgrm",
];

/// Those that have a file of percentiles.
const HGRM: [Distribution; 5] = [
    Distribution::Response,
    Distribution::Service,
    Distribution::Lateness,
    Distribution::Connect,
    Distribution::Handshake,
];

/// Name of a run's interval log.
pub(crate) fn log_of(run: u32) -> String {
    format!("run-{run:03}.hlog")
}

/// Whether this is the name of an interval log.
pub(super) fn is_log(name: &str) -> bool {
    is_numbered(name, 3, ".hlog")
}

/// Name of the record of one run of a sweep, or of one pair.
pub(crate) fn run_of(round: u32) -> String {
    format!("run-{round:02}.json")
}

/// Whether this is the name of the record of one run of a sweep, or of one pair.
pub(super) fn is_run(name: &str) -> bool {
    is_numbered(name, 2, ".json")
}

fn is_numbered(name: &str, digits: usize, end: &str) -> bool {
    let number = name.strip_prefix("run-").and_then(|rest| rest.strip_suffix(end));
    number.is_some_and(|n| n.len() >= digits && n.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether this is the name of a plot.
pub(super) fn is_plot(name: &str) -> bool {
    name.starts_with("plot-") && name.ends_with(".svg")
}

/// Everything but the interval logs, the record first.
pub(super) fn of(record: &Record, latencies: &Latencies) -> Result<Vec<(String, String)>, Error> {
    let mut files = vec![(RECORD.to_owned(), json::text(record)?)];
    for distribution in HGRM {
        let latency = latencies.with_bounds(distribution, record.args.mode);
        if latency.count() > 0 {
            files.push((
                format!("{}.us.hgrm", distribution.name()),
                hgrm::text(&latency, &record.validity),
            ));
        }
    }
    for (name, content) in [
        (INTERVALS, csv::text(record)),
        (PERCENTILE_PLOT, percentile_plot(record, latencies)),
        (TIME_PLOT, charts::time(record).svg()),
        (PAGE, page(record, latencies)),
    ] {
        files.push((name.to_owned(), content));
    }
    Ok(files)
}

/// The percentile curves.
pub(super) fn percentile_plot(record: &Record, latencies: &Latencies) -> String {
    let curves = [Distribution::Response, Distribution::Service, Distribution::Lateness];
    let curves = curves.map(|curve| (curve.name(), latencies.with_bounds(curve, record.args.mode)));
    let curves = curves.each_ref().map(|(name, latency)| (*name, latency.as_ref()));
    charts::percentiles(record, &curves).svg()
}

/// The page with everything on it.
pub(super) fn page(record: &Record, latencies: &Latencies) -> String {
    let plots = [percentile_plot(record, latencies), charts::time(record).svg()];
    html::page(record, &plots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_recognized_by_their_names() {
        assert!(is_log(&log_of(1)) && is_log(&log_of(10_000)));
        for other in ["run-.hlog", "run-1.hlog", "run-abc.hlog", "run-001.hgrm", "my-run-001.hlog"]
        {
            assert!(!is_log(other), "{other}");
        }
    }
}
