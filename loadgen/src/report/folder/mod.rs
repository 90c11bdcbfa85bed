//! The result directory of a measurement.
//!
//! Earlier results stay until [`ResultFolder::begin`]. From then on an interval log grows while its
//! run lasts, so whatever ends the loader leaves it readable. All other files are written at the
//! end, each in one step, `result.json` first: a disk that becomes full costs plots before numbers.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use super::files;
use super::hlog::LogWriter;
use crate::atomic_file;
use crate::console;
use crate::error::Error;
use crate::latency::Latencies;
use crate::measure::Measurement;
use crate::record::IntervalRecord;
use crate::report::directory::Directory;

/// A result directory that grows during a measurement.
#[derive(Debug)]
pub(crate) struct ResultFolder {
    directory: Directory,
    has_begun: bool,
    /// The log of the run that lasts, and those before it that are still in memory.
    logs: Vec<RunLog>,
    /// The first error of a log. The measurement goes on, and the error is reported at its end.
    failure: Option<Error>,
}

/// The interval log of a run.
#[derive(Debug)]
struct RunLog {
    name: String,
    writer: LogWriter<LogOutput>,
    /// When the first interval began, as the intervals count time.
    origin_s: Option<f64>,
}

/// Memory until earlier results have made way, then the file. Memory grows no faster than that for
/// the intervals of the record.
#[derive(Debug)]
enum LogOutput {
    Memory(Vec<u8>),
    File(File),
}

impl Write for LogOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Memory(memory) => memory.write(bytes),
            Self::File(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl RunLog {
    fn begin(number: u32, started_unix_s: f64) -> io::Result<Self> {
        let writer = LogWriter::begin(LogOutput::Memory(Vec::new()), started_unix_s)?;
        Ok(Self { name: files::log_of(number), writer, origin_s: None })
    }

    /// Moves the log from memory into its file.
    fn store(&mut self, folder: &Path) -> io::Result<()> {
        if let LogOutput::Memory(memory) = self.writer.output() {
            let mut file = File::create(folder.join(&self.name))?;
            file.write_all(memory)?;
            *self.writer.output() = LogOutput::File(file);
        }
        Ok(())
    }

    fn interval(&mut self, interval: &IntervalRecord, latencies: &Latencies) -> io::Result<()> {
        let origin_s = *self.origin_s.get_or_insert(interval.start_s);
        self.writer.interval(interval.start_s - origin_s, interval.length_s, latencies)
    }
}

impl ResultFolder {
    /// Checks the directory, as [`Directory::open`] does.
    pub(crate) fn open(path: &Path, force: bool) -> Result<Self, Error> {
        let directory = Directory::open(path, force)?;
        Ok(Self { directory, has_begun: false, logs: Vec::new(), failure: None })
    }

    /// The directory, if it has results that [`Self::begin`] would remove.
    pub(crate) fn earlier(&self) -> Option<&Path> {
        if self.has_begun { None } else { self.directory.earlier() }
    }

    /// Makes the directory, or removes all files of earlier results from it, so that no two are
    /// mixed. An error is reported by [`Self::finish`].
    pub(crate) fn begin(&mut self) {
        if !self.has_begun {
            let begun = self.directory.begin();
            self.has_begun = begun.is_ok();
            self.note(begun);
            self.store_logs();
        }
    }

    /// Begins the log of a run. Errors of a log never end a measurement: [`Self::finish`] reports
    /// them.
    pub(crate) fn run_begins(&mut self, number: u32, started_unix_s: f64) {
        match RunLog::begin(number, started_unix_s) {
            Ok(log) => self.logs.push(log),
            Err(error) => self.note(Err(Error::WriteResults(error))),
        }
        self.store_logs();
    }

    /// Adds an interval to the log of the run.
    pub(crate) fn interval(&mut self, interval: &IntervalRecord, latencies: &Latencies) {
        if let Some(log) = self.logs.last_mut() {
            let path = self.directory.path().join(&log.name);
            let written = log.interval(interval, latencies);
            self.note(written.map_err(atomic_file::failure("write", &path)));
        }
    }

    /// Writes the files that are complete only at the end of the measurement. All files that can be
    /// written are.
    pub(crate) fn finish(&mut self, measurement: &Measurement) -> Result<(), Error> {
        self.begin();
        self.logs.clear();
        let failure = self.failure.take().map_or(Ok(()), Err);
        if !self.has_begun {
            return failure;
        }
        let Measurement { record, latencies, .. } = measurement;
        let files = files::of(record, latencies)?;
        console::first_error([self.directory.write_all(&files), failure])
    }

    /// Stores what is in memory, once there may be files, and leaves only the last log open.
    fn store_logs(&mut self) {
        if !self.has_begun {
            return;
        }
        let path = self.directory.path();
        let stored = self.logs.iter_mut().try_for_each(|log| {
            let file = path.join(&log.name);
            log.store(path).map_err(atomic_file::failure("write", &file))
        });
        self.logs = self.logs.pop().into_iter().collect();
        self.note(stored);
    }

    /// Stores an error for the end, and gives up the logs.
    fn note(&mut self, written: Result<(), Error>) {
        if let Err(error) = written {
            self.logs.clear();
            self.failure.get_or_insert(error);
        }
    }
}

#[cfg(test)]
mod tests;
