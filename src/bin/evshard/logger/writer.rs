//! Writes the lines of the log, and opens its file.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use evshard::server::stats::ProcessStats;
use log::{Level, Record};
use rustix::fd::AsFd;

use super::super::output_queue::{Batch, write_text};
use super::SharedFormat;

/// Why the log cannot start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    #[error("cannot open the log file {}: {source}; choose another --log-file", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Thread(#[from] io::Error),
}

pub(super) struct Writer {
    format: SharedFormat,
    /// `None` for standard error.
    path: Option<PathBuf>,
    output: Box<dyn AsFd + Send>,
    /// Lines that were dropped or could not be written, since the last line that reported some.
    lost: u64,
}

impl Writer {
    /// Opens the file, or takes standard error.
    pub(super) fn open(format: SharedFormat, path: Option<PathBuf>) -> Result<Self, LogError> {
        let output: Box<dyn AsFd + Send> = match &path {
            None => Box::new(io::stderr()),
            Some(path) => match open(path) {
                Ok(file) => Box::new(file),
                Err(source) => return Err(LogError::Open { path: path.clone(), source }),
            },
        };
        Ok(Self { format, path, output, lost: 0 })
    }

    pub(super) fn write(&mut self, batch: Batch) {
        for line in &batch.texts {
            if self.write_line(line).is_err() {
                ProcessStats::count_dropped_log_line();
                self.lost += 1;
            }
        }
        self.lost += batch.dropped;
        if self.lost > 0 && self.report_lost().is_ok() {
            self.lost = 0;
        }
        if batch.reopen {
            self.reopen();
        }
    }

    /// A line is one write up to 4 KiB, so that lines of several processes do not mix.
    fn write_line(&self, line: &str) -> io::Result<()> {
        write_text(&self.output, line, None)
    }

    fn report_lost(&self) -> io::Result<()> {
        let mut record = Record::builder();
        record.level(Level::Warn).target("log");
        let line = self.format.get().line(
            &record.args(format_args!("{} lines were dropped", self.lost)).build(),
            SystemTime::now(),
        );
        self.write_line(&line)
    }

    fn reopen(&mut self) {
        let Some(path) = &self.path else { return };
        let shown = path.display();
        match open(path) {
            Ok(file) => {
                self.output = Box::new(file);
                log::info!(target: "log", path:% = shown; "the log file was opened again");
            }
            Err(error) => log::error!(
                target: "log", path:% = shown, error:%;
                "the log file cannot be opened again; the open one stays in use"
            ),
        }
    }
}

/// Opens a file to append to it. A FIFO without a reader is an error instead of a wait.
fn open(path: &Path) -> io::Result<File> {
    File::options().append(true).create(true).custom_flags(libc::O_NONBLOCK).open(path)
}
