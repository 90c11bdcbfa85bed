//! The result directory of a measurement.
//!
//! An interval log grows while its run lasts, so whatever ends the loader leaves it readable. All
//! other files are written at the end, each in one step, `result.json` last: where it is, the
//! result is whole.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::files;
use super::hlog::LogWriter;
use crate::atomic_file::{self, UNFINISHED};
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
    /// Checks that the directory can be made and written to. Refuses a directory that contains
    /// anything but an earlier result. Changes nothing.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let failed =
            |operation| move |source| Error::File { operation, path: path.to_owned(), source };
        let operation = if path.exists() {
            let entries = fs::read_dir(path).map_err(failed("list the result directory"))?;
            for entry in entries.flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let file = entry.file_type().is_ok_and(|kind| kind.is_file());
                if !file || !is_ours(&name) {
                    return Err(Error::ForeignDirectory { path: path.to_owned(), found: name });
                }
            }
            "write into the result directory"
        } else {
            "make the result directory"
        };
        atomic_file::check_folder(path).map_err(failed(operation))?;
        Ok(Self { path: path.to_owned(), log: None })
    }

    /// Makes the directory, or removes the files of an earlier measurement from it, so that no two
    /// are mixed.
    pub(super) fn clear(&self) -> Result<(), Error> {
        atomic_file::folder(&self.path)?;
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            let path = entry.path();
            if is_ours(&entry.file_name().to_string_lossy()) {
                fs::remove_file(&path).map_err(|source| Error::File {
                    operation: "remove the earlier result",
                    path,
                    source,
                })?;
            }
        }
        Ok(())
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

/// Whether a file of this name is one that we write.
fn is_ours(name: &str) -> bool {
    let name = name.strip_suffix(UNFINISHED).unwrap_or(name);
    files::NAMES.contains(&name) || files::is_log(name)
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
