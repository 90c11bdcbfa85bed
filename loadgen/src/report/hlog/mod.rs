//! Interval logs (`run-001.hlog`) in HdrHistogram's log format 1.3, read by its Java, JavaScript
//! and C libraries.
//!
//! A log has one line for each distribution and interval, tagged with the distribution's name. Its
//! time begins with the run's first interval, so stamps are never negative, which not every reader
//! would take. `StartTime` and `BaseTime` are both there and equal because readers differ in which
//! of them makes stamps relative. All comments stand before the legend, as the C library fails at
//! one after it.

use std::io;
use std::time::{Duration, UNIX_EPOCH};

mod reader;
mod writer;

pub(crate) use self::reader::Log;
pub(super) use self::writer::LogWriter;

/// The first line; the C library refuses a file without it.
const VERSION_LINE: &str = "#[Histogram log format version 1.3]";

/// The names of the columns. To some readers the header ends here.
const LEGEND: &str =
    r#""StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram""#;

/// The column of maxima is in milliseconds, as the Java library has it.
const MAX_DIVISOR: f64 = 1e6;

/// From here on a year has too many digits to be written.
const YEAR_10000: Duration = Duration::from_secs(253_402_300_800);

/// The lines before the first interval. `base_unix_s` is when the log's time begins, in seconds
/// since 1970.
fn header(base_unix_s: f64) -> io::Result<String> {
    let base = Duration::try_from_secs_f64(base_unix_s).map_err(io::Error::other)?;
    if base >= YEAR_10000 {
        return Err(io::Error::other(format!("{base_unix_s} s after 1970 is no time to begin at")));
    }
    let date = humantime::format_rfc3339_seconds(UNIX_EPOCH + base);
    Ok(format!(
        "{VERSION_LINE}\n\
         #[StartTime: {base_unix_s:.3} (seconds since epoch), {date}]\n\
         #[BaseTime: {base_unix_s:.3} (seconds since epoch)]\n\
         {LEGEND}\n"
    ))
}

/// A time in seconds as a log has it.
pub(crate) fn stamp(seconds: f64) -> String {
    format!("{seconds:.3}")
}

/// Several logs as one. Its time begins with the first log.
pub(crate) fn joined(logs: &[Log]) -> io::Result<String> {
    let base_unix_s = logs.first().map_or(0.0, |log| log.base_unix_s);
    let mut text = header(base_unix_s)?;
    for log in logs {
        let shift_s = log.base_unix_s - base_unix_s;
        text.extend(log.entries.iter().map(|entry| entry.shifted(shift_s)));
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
