//! The log: one line per event, on standard error or in a file. A thread of its own writes it.

mod format;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use evshard::server::stats::ProcessStats;
use log::{LevelFilter, Log, Metadata, Record};

use super::output_queue::OutputQueue;
pub(crate) use format::LogFormat;
pub(crate) use writer::LogError;
use writer::Writer;

#[derive(Debug)]
struct Logger {
    format: LogFormat,
    queue: Arc<OutputQueue>,
}

/// The file of the log, as its owner renames or removes it.
#[derive(Clone, Debug)]
pub(crate) struct LogFile(Arc<OutputQueue>);

impl LogFile {
    /// Opens the file again, and logs it. If that fails, the open file stays in use.
    pub(crate) fn reopen(&self) {
        self.0.reopen();
    }
}

/// Starts to log this severity and above, to the file or else to standard error. Call it once.
pub(crate) fn start(
    format: LogFormat,
    level: LevelFilter,
    file: Option<PathBuf>,
) -> Result<Option<LogFile>, LogError> {
    let has_file = file.is_some();
    let mut writer = Writer::open(format, file)?;
    let queue = OutputQueue::start("log", move |batch| writer.write(batch))?;
    let log_file = has_file.then(|| LogFile(queue.clone()));
    // The logger lives as long as the program.
    log::set_logger(Box::leak(Box::new(Logger { format, queue }))).expect("it is the first one");
    log::set_max_level(level);
    Ok(log_file)
}

impl Log for Logger {
    /// The log crate checks the level before it calls the logger.
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        if !self.queue.put(self.format.line(record, SystemTime::now())) {
            ProcessStats::count_dropped_log_line();
        }
    }

    /// Waits for the reader, but only for a second.
    fn flush(&self) {
        self.queue.flush();
    }
}
