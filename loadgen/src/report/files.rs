//! The files of a result directory: their names and contents.

use std::io;

use super::plot::charts;
use super::{csv, hgrm, html, json};
use crate::latency::{Distribution, Latencies};
use crate::record::Record;

pub(crate) const RECORD: &str = "result.json";
const INTERVALS: &str = "intervals.csv";
const PERCENTILE_PLOT: &str = "plot-percentiles.svg";
const TIME_PLOT: &str = "plot-time.svg";
const PAGE: &str = "index.html";

/// Every name but those of the interval logs.
pub(crate) const NAMES: [&str; 9] = [
    RECORD,
    INTERVALS,
    PERCENTILE_PLOT,
    TIME_PLOT,
    PAGE,
    "response.us.hgrm",
    "service.us.hgrm",
    "lateness.us.hgrm",
    "connect.us.hgrm",
];

/// Those that have a file of percentiles.
const HGRM: [Distribution; 4] =
    [Distribution::Response, Distribution::Service, Distribution::Lateness, Distribution::Connect];

/// Name of a run's interval log.
pub(crate) fn log_of(run: u32) -> String {
    format!("run-{run:03}.hlog")
}

/// Whether this is the name of an interval log.
pub(crate) fn is_log(name: &str) -> bool {
    let number = name.strip_prefix("run-").and_then(|rest| rest.strip_suffix(".hlog"));
    number.is_some_and(|n| n.len() >= 3 && n.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Everything but the interval logs, the record last.
pub(super) fn of(record: &Record, latencies: &Latencies) -> io::Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for distribution in HGRM {
        let latency = latencies.with_bounds(distribution, record.args.mode);
        if latency.count() > 0 {
            files.push((format!("{}.us.hgrm", distribution.name()), hgrm::text(&latency)));
        }
    }
    for (name, content) in [
        (INTERVALS, csv::text(record)),
        (PERCENTILE_PLOT, percentile_plot(record, latencies)),
        (TIME_PLOT, charts::time(record).svg()),
        (PAGE, page(record, latencies)),
        (RECORD, json::text(record)?),
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
