//! The log: one line per event, on standard error or in a file. A thread of its own writes it.

mod format;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::SystemTime;

use evshard::server::stats::ProcessStats;
use log::{LevelFilter, Log, Metadata, Record};

use super::output_queue::OutputQueue;
pub(crate) use format::LogFormat;
pub(crate) use writer::LogError;
use writer::Writer;

#[derive(Debug)]
struct Logger {
    format: SharedFormat,
    queue: Arc<OutputQueue>,
}

/// The format of all lines from now on.
#[derive(Clone, Debug)]
struct SharedFormat(Arc<AtomicBool>);

impl SharedFormat {
    fn new(format: LogFormat) -> Self {
        Self(Arc::new(AtomicBool::new(format == LogFormat::Json)))
    }

    fn set(&self, format: LogFormat) {
        self.0.store(format == LogFormat::Json, Relaxed);
    }

    fn get(&self) -> LogFormat {
        if self.0.load(Relaxed) { LogFormat::Json } else { LogFormat::Text }
    }
}

/// The log of the program, while it is written.
#[derive(Debug)]
pub(crate) struct RunningLog {
    queue: Arc<OutputQueue>,
    format: SharedFormat,
    has_file: bool,
}

impl RunningLog {
    /// Opens the file again, after it was renamed or removed, and logs it. If that fails, the open
    /// file stays in use. Returns whether there is a file.
    pub(crate) fn reopen(&self) -> bool {
        if self.has_file {
            self.queue.reopen();
        }
        self.has_file
    }

    /// Logs in this format, and this severity and above, from the next line on.
    pub(crate) fn change(&self, format: LogFormat, level: LevelFilter) {
        self.format.set(format);
        log::set_max_level(level);
    }
}

/// Starts to log this severity and above, to the file or else to standard error. Call it once.
pub(crate) fn start(
    format: LogFormat,
    level: LevelFilter,
    file: Option<PathBuf>,
) -> Result<RunningLog, LogError> {
    let has_file = file.is_some();
    let format = SharedFormat::new(format);
    let mut writer = Writer::open(format.clone(), file)?;
    let queue = OutputQueue::start("log", move |batch| writer.write(batch))?;
    let running = RunningLog { queue: queue.clone(), format: format.clone(), has_file };
    // The logger lives as long as the program.
    log::set_logger(Box::leak(Box::new(Logger { format, queue }))).expect("it is the first one");
    log::set_max_level(level);
    Ok(running)
}

impl Log for Logger {
    /// The log crate checks the level before it calls the logger.
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        if !self.queue.put(self.format.get().line(record, SystemTime::now())) {
            ProcessStats::count_dropped_log_line();
        }
    }

    /// Waits for the reader, but only for a second.
    fn flush(&self) {
        self.queue.flush();
    }
}
