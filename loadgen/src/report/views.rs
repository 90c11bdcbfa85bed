//! The views of a stored result.

use std::fs;
use std::path::Path;

use clap::ValueEnum;

use super::plot::charts;
use super::text::{self, Style};
use super::{StoredResult, csv, files, hgrm, hlog, json};
use crate::atomic_file;
use crate::error::Error;
use crate::latency::{Distribution, Latencies};
use crate::report::directory::Directory;

/// A way to show a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum View {
    /// The report as on the terminal
    Text,
    /// The record, as JSON
    Json,
    /// The intervals of a run, the runs of a sweep or the probes of a search, as CSV
    Csv,
    /// The percentiles as HdrHistogram text, in microseconds
    Hgrm,
    /// The interval log of all runs
    Hlog,
    /// The plot of the percentiles, as SVG
    SvgPercentiles,
    /// The plot of the latency over time, as SVG
    SvgTime,
    /// The page with everything on it, as HTML
    Html,
    /// Every file of the directory, written again
    All,
}

/// One view as text. The result of [`View::All`] is a directory: see [`rewrite`].
pub(crate) fn view(result: &StoredResult, view: View, style: Style) -> Result<String, Error> {
    let record = &result.record;
    Ok(match view {
        View::Text => {
            // A record alone has all numbers but the shape of the distribution.
            let known = result.has_logs().then(|| result.latencies()).transpose()?;
            let latencies = known.unwrap_or_else(Latencies::new);
            text::render(record, &latencies, style)
        }
        View::Json | View::All => json::text(record)?,
        View::Csv => csv::text(record),
        View::Hgrm => {
            let latencies = result.latencies()?;
            let mode = record.args.mode;
            let headline = latencies.with_bounds(Distribution::headline(mode), mode);
            hgrm::text(&headline, &record.validity)
        }
        View::Hlog => hlog::joined(&result.logs()?).map_err(Error::WriteResults)?,
        View::SvgPercentiles => files::percentile_plot(record, &result.latencies()?),
        View::SvgTime => charts::time(record).svg(),
        View::Html => files::page(record, &result.latencies()?),
    })
}

/// Writes every file of a result again, into its own directory or another. Results in another
/// directory are replaced only with `force`.
pub(crate) fn rewrite(result: &StoredResult, out: &Path, force: bool) -> Result<(), Error> {
    let files = files::of(&result.record, &result.latencies()?)?;
    if is_same(out, &result.path) {
        return Directory::continued(out)?.write_all(&files);
    }
    let mut directory = Directory::open(out, force)?;
    let mut logs = Vec::new();
    for run in &result.record.runs {
        let name = files::log_of(run.number);
        let path = result.path.join(&name);
        let log = fs::read_to_string(&path);
        logs.push((name, log.map_err(atomic_file::failure("read the interval log", &path))?));
    }
    directory.begin()?;
    directory.write_all(&[files, logs].concat())
}

/// Whether two paths lead to the same directory.
pub(crate) fn is_same(a: &Path, b: &Path) -> bool {
    let real = |path: &Path| {
        let path = if path == Path::new("") { Path::new(".") } else { path };
        fs::canonicalize(path).ok()
    };
    real(a).is_some() && real(a) == real(b)
}
