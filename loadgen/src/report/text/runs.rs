//! The table of the runs, whose differences the merged numbers hide.

use std::fmt::{self, Write as _};

use super::{Columns, Style};
use crate::record::{LatencyRecord, Record, RunRecord, Verdict};
use crate::report::loader_mark;
use crate::stats;
use crate::units::{duration, grouped, rate};

/// A row for each run, the median and the range; nothing for a single run.
pub(super) fn write_runs(out: &mut String, record: &Record, style: Style) -> fmt::Result {
    if record.runs.len() < 2 {
        return Ok(());
    }
    writeln!(out)?;
    let mut columns = Columns::default();
    columns.row(
        ["run", "requests/s", "p50", "p99", "p99.9", "max", "lost", "verdict"].map(String::from),
    );
    for run in &record.runs {
        columns.row(row(run, record));
    }
    columns.row(summary("median", record, &|values| stats::median(values)));
    columns.row(summary("lowest", record, &|values| stats::range(values).map(|(low, _)| low)));
    columns.row(summary("highest", record, &|values| stats::range(values).map(|(_, high)| high)));
    let verdicts = [Verdict::Invalid, Verdict::Suspect, Verdict::Valid];
    for line in columns.lines() {
        let judged = verdicts.into_iter().find_map(|level| {
            let rest = line.strip_suffix(&level.to_string())?;
            Some(format!("{rest}{}", style.judged(level, level)))
        });
        writeln!(out, "{}", judged.unwrap_or_else(|| line.clone()))?;
    }
    Ok(())
}

/// What the table shows of a run's latency: the name in the record, and the value.
type LatencyField = (&'static str, fn(&LatencyRecord) -> Option<u64>);
const COLUMNS: [LatencyField; 4] = [
    ("p50", |latency| latency.p50),
    ("p99", |latency| latency.p99),
    ("p999", |latency| latency.p999),
    ("max", |latency| latency.max),
];

fn row(run: &RunRecord, record: &Record) -> Vec<String> {
    let latency = run.latency_ns.headline(record.args.mode);
    let cell = |(field, statistic): &LatencyField| {
        let mark = loader_mark::before(&run.validity, field);
        match statistic(latency) {
            Some(ns) if latency.is_at_least(field) => format!("{mark}>= {}", duration(ns)),
            Some(ns) => format!("{mark}{}", duration(ns)),
            None => "n/a".to_owned(),
        }
    };
    let lost = run.counters.scheduled.saturating_sub(run.counters.completed);
    let mut cells = vec![run.number.to_string(), rate(run.rate.achieved_per_s)];
    cells.extend(COLUMNS.iter().map(cell));
    cells.extend([grouped(lost), run.validity.verdict.to_string()]);
    cells
}

/// One number per column; unknown if a run has none.
fn summary(label: &str, record: &Record, of: &dyn Fn(&[f64]) -> Option<f64>) -> Vec<String> {
    let rates: Vec<f64> = record.runs.iter().map(|run| run.rate.achieved_per_s).collect();
    let mut cells = vec![label.to_owned(), of(&rates).map_or_else(|| "n/a".to_owned(), rate)];
    cells.extend(COLUMNS.iter().map(|(_, statistic)| {
        let values = record
            .runs
            .iter()
            .map(|run| statistic(run.latency_ns.headline(record.args.mode)).map(|ns| ns as f64));
        let known: Option<Vec<f64>> = values.collect();
        let value = known.as_deref().and_then(of);
        value.map_or_else(|| "n/a".to_owned(), |ns| duration(ns.round() as u64))
    }));
    cells
}
