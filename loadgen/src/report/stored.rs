//! Reads a result directory.

use std::fs;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::files;
use super::hlog::Log;
use crate::error::Error;
use crate::latency::{Distribution, Latencies};
use crate::record::{LatenciesRecord, Record, RunRecord, SCHEMA};
use crate::units::counted;

/// A stored result. Its interval logs are optional, and read only on request.
#[derive(Debug)]
pub(crate) struct StoredResult {
    /// The directory.
    pub(crate) path: PathBuf,
    pub(crate) record: Record,
}

impl StoredResult {
    /// Reads the record of a result directory, or a record by its file name.
    pub(crate) fn read(source: &Path) -> Result<Self, Error> {
        let file = match source.is_dir() {
            true => source.join(files::RECORD),
            false => source.to_owned(),
        };
        let record = read_record(&file, SCHEMA, "a measurement")?;
        let path = file.parent().unwrap_or(Path::new("")).to_owned();
        Ok(Self { path, record })
    }

    /// Whether any interval log is there.
    pub(crate) fn has_logs(&self) -> bool {
        self.record.runs.iter().any(|run| self.path.join(files::log_of(run.number)).exists())
    }

    /// The interval logs, one for each run.
    pub(crate) fn logs(&self) -> Result<Vec<Log>, Error> {
        (0..self.record.runs.len()).map(|index| self.log(index)).collect()
    }

    /// The interval log of the run at this index of the record.
    pub(crate) fn log(&self, index: usize) -> Result<Log, Error> {
        Log::read(&self.path.join(files::log_of(self.record.runs[index].number)))
    }

    /// The distributions of each run, as exact as when they were measured.
    ///
    /// A log that does not hold as many samples as the record is another measurement's: an error.
    pub(crate) fn latencies_of_runs(&self) -> Result<Vec<Latencies>, Error> {
        let exact = |(log, run): (&Log, &RunRecord)| {
            let mut latencies = log.latencies()?;
            refine(&mut latencies, &run.latency_ns).map_err(|complaint| Error::BadResult {
                path: self.path.join(files::log_of(run.number)),
                complaint,
            })?;
            Ok(latencies)
        };
        self.logs()?.iter().zip(&self.record.runs).map(exact).collect()
    }

    /// The distributions of all runs together, as exact as when they were measured.
    pub(crate) fn latencies(&self) -> Result<Latencies, Error> {
        let mut all = Latencies::new();
        self.latencies_of_runs()?.iter().for_each(|latencies| all.merge(latencies));
        // Means of runs are rounded; the record has the mean of all.
        let refined = refine(&mut all, &self.record.latency_ns);
        refined.map_err(|complaint| Error::BadResult { path: self.path.clone(), complaint })?;
        Ok(all)
    }
}

/// Reads a record of the format `schema` from its file. `what` is what such a record is one of.
pub(crate) fn read_record<T: DeserializeOwned>(
    file: &Path,
    schema: &str,
    what: &str,
) -> Result<T, Error> {
    let bad = |complaint: String| Error::BadResult { path: file.to_owned(), complaint };
    let text = fs::read_to_string(file).map_err(|error| {
        bad(format!(
            "{error}; name a directory that {what} was written to (--out), or the JSON file in \
             it, which is there when {what} has come to its end"
        ))
    })?;
    let no_record = |error: String| bad(format!("this is no record of {what}: {error}"));
    let value: Value = serde_json::from_str(&text).map_err(|error| no_record(error.to_string()))?;
    match value.get("schema").and_then(Value::as_str) {
        Some(found) if found != schema => {
            Err(bad(format!("its format is {found}, and this program reads {schema}")))
        }
        // From the text: an error names the line.
        _ => serde_json::from_str(&text).map_err(|error| no_record(error.to_string())),
    }
}

/// Replaces values that are rounded to buckets by the exact ones of the record.
fn refine(latencies: &mut Latencies, record: &LatenciesRecord) -> Result<(), String> {
    for distribution in Distribution::ALL {
        // The record has them only as lower bounds of the headline latency.
        if distribution == Distribution::Unanswered {
            continue;
        }
        let (name, known) = (distribution.name(), record.of(distribution));
        let count = known.count.saturating_sub(known.censored);
        let latency = &mut latencies[distribution];
        if latency.count() != count {
            return Err(format!(
                "{} of {name}, and {} has {count}; they are not of one measurement",
                counted(latency.count(), "sample"),
                files::RECORD
            ));
        }
        // With unanswered requests the record describes more than this one distribution.
        let exact = (known.censored == 0).then_some(known.min.zip(known.max).zip(known.mean));
        if let Some(((min, max), mean)) = exact.flatten() {
            latency.refine(min, max, mean);
        }
    }
    Ok(())
}
