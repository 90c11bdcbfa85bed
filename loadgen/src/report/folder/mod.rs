//! The result directory of a measurement.
//!
//! An interval log grows while its run lasts, so whatever ends the loader leaves it readable. All
//! other files are written at the end, each in one step, `result.json` last: where it is, the
//! result is whole.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::hlog::LogWriter;
use super::{existing, files};
use crate::atomic_file;
use crate::engine::Observer;
use crate::error::Error;
use crate::latency::Latencies;
use crate::measure::Measurement;
use crate::record::{IntervalRecord, Record};

/// A result directory, which is made when the first run begins.
#[derive(Debug)]
pub(crate) struct ResultFolder {
    path: PathBuf,
    log: Option<RunLog>,
}

/// The interval log of the run that lasts.
#[derive(Debug)]
struct RunLog {
    path: PathBuf,
    writer: LogWriter<File>,
    /// When the first interval began, as the intervals count time.
    origin_s: Option<f64>,
}

impl ResultFolder {
    /// Creates the directory if it does not exist. Refuses a directory that contains anything but
    /// results, and with results unless they may be replaced (`force`).
    pub(crate) fn open(path: &Path, force: bool) -> Result<Self, Error> {
        existing::check(path, force)?;
        Ok(Self::at(path))
    }

    /// The directory of a result that is written again.
    pub(super) fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), log: None }
    }

    /// Removes the files of an earlier result, so that no two are mixed.
    pub(super) fn clear(&self) -> Result<(), Error> {
        existing::clear(&self.path)
    }

    /// Writes the files that are complete only at the end of the measurement.
    pub(crate) fn finish(&mut self, measurement: &Measurement) -> Result<(), Error> {
        self.log = None;
        self.write(&measurement.record, &measurement.latencies)
    }

    /// Writes everything but the interval logs.
    pub(super) fn write(&self, record: &Record, latencies: &Latencies) -> Result<(), Error> {
        for (name, content) in files::of(record, latencies).map_err(Error::WriteResults)? {
            self.replace(&name, &content)?;
        }
        Ok(())
    }

    /// Replaces the content of a file atomically.
    pub(super) fn replace(&self, name: &str, content: &str) -> Result<(), Error> {
        atomic_file::text(&self.path.join(name), content)
    }
}

impl Observer for ResultFolder {
    fn run_begins(&mut self, number: u32, started_unix_s: f64) -> Result<(), Error> {
        if number == 1 {
            self.clear()?;
        }
        let path = self.path.join(files::log_of(number));
        let begun = File::create(&path).and_then(|file| LogWriter::begin(file, started_unix_s));
        let failed = |source| Error::File { operation: "write", path: path.clone(), source };
        let writer = begun.map_err(failed)?;
        self.log = Some(RunLog { path, writer, origin_s: None });
        Ok(())
    }

    fn interval(&mut self, interval: &IntervalRecord, latencies: &Latencies) -> Result<(), Error> {
        let Some(log) = &mut self.log else { return Ok(()) };
        let origin_s = *log.origin_s.get_or_insert(interval.start_s);
        log.writer.interval(interval.start_s - origin_s, interval.length_s, latencies).map_err(
            |source: io::Error| Error::File { operation: "write", path: log.path.clone(), source },
        )
    }
}

#[cfg(test)]
mod tests;
