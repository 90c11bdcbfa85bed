//! Interval logs (`run-001.hlog`) in HdrHistogram's log format 1.3, read by its Java, JavaScript
//! and C libraries.
//!
//! A log has one line for each distribution and interval, tagged with the distribution's name, and
//! one for each class of replies that have a status. Its
//! time begins with the run's first interval, so stamps are never negative, which not every reader
//! would take. `StartTime` and `BaseTime` are both there and equal because readers differ in which
//! of them makes stamps relative. All comments stand before the legend, as the C library fails at
//! one after it.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::serialization::interval_log::{
    IntervalLogHistogram, IntervalLogIterator, LogEntry,
};
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2DeflateSerializer};

use crate::error::Error;
use crate::latency::{Latencies, Latency};

/// The first line; the C library refuses a file without it.
const VERSION_LINE: &str = "#[Histogram log format version 1.3]";

/// The names of the columns. To some readers the header ends here.
const LEGEND: &str =
    r#""StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram""#;

/// The column of maxima is in milliseconds, as the Java library has it.
const MAX_DIVISOR: f64 = 1e6;

/// First time whose year has too many digits for the format.
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

/// Joins several logs. The time of the result begins with the first log.
pub(crate) fn joined(logs: &[Log]) -> io::Result<String> {
    let base_unix_s = logs.first().map_or(0.0, |log| log.base_unix_s);
    let mut text = header(base_unix_s)?;
    for log in logs {
        let shift_s = log.base_unix_s - base_unix_s;
        text.extend(log.lines.iter().map(|line| line.shifted(shift_s)));
    }
    Ok(text)
}

/// The writer of a log.
#[derive(Debug)]
pub(super) struct LogWriter<W> {
    out: W,
}

impl<W: Write> LogWriter<W> {
    /// Writes the header. `base_unix_s` is when the log's time begins, in seconds since 1970.
    pub(super) fn begin(mut out: W, base_unix_s: f64) -> io::Result<Self> {
        out.write_all(header(base_unix_s)?.as_bytes())?;
        Ok(Self { out })
    }

    /// Where the log goes.
    pub(super) fn output(&mut self) -> &mut W {
        &mut self.out
    }

    /// Writes a line for every distribution that is not empty. An interval is one write, so every
    /// line is complete even if the loader dies.
    pub(super) fn interval(
        &mut self,
        start_s: f64,
        length_s: f64,
        latencies: &Latencies,
    ) -> io::Result<()> {
        let mut lines = String::new();
        for (name, latency) in latencies.recorded() {
            lines += &line(name, start_s, length_s, latency)?;
        }
        self.out.write_all(lines.as_bytes())?;
        self.out.flush()
    }
}

fn line(tag: &str, start_s: f64, length_s: f64, latency: &Latency) -> io::Result<String> {
    let max = latency.max_ns().unwrap_or(0) as f64 / MAX_DIVISOR;
    let histogram = encoded(latency)?;
    let (start, length) = (stamp(start_s), stamp(length_s));
    Ok(format!("Tag={tag},{start},{length},{max:.3},{histogram}\n"))
}

/// A histogram in its compressed form of version 2, as text.
pub(super) fn encoded(latency: &Latency) -> io::Result<String> {
    let mut bytes = Vec::new();
    // Of the two forms of V2 this is the one that every reader takes.
    V2DeflateSerializer::new()
        .serialize(latency.histogram(), &mut bytes)
        .map_err(io::Error::other)?;
    Ok(BASE64.encode(&bytes))
}

/// How far the column of maxima may be off, in nanoseconds: it is rounded to microseconds.
const MAX_ROUNDING_NS: f64 = 500.5;

/// An interval log. Histograms stay encoded until a caller adds them; decoded, those of a long run
/// would not fit into memory.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    /// When its time begins, in seconds since 1970.
    pub(crate) base_unix_s: f64,
    pub(crate) lines: Vec<LogLine>,
}

/// One line of a log: a distribution in an interval.
#[derive(Debug)]
pub(crate) struct LogLine {
    /// Number of its line, from 1.
    number: usize,
    /// Name of the distribution.
    pub(crate) tag: String,
    /// Seconds from the log's beginning to the interval's.
    pub(crate) start_s: f64,
    pub(crate) length_s: f64,
    max_ns: f64,
    encoded: String,
}

impl Log {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path).map_err(|source| Error::File {
            operation: "read the interval log",
            path: path.to_owned(),
            source,
        })?;
        Self::parse(path, &text)
    }

    /// Reads the text of a file; `path` is for complaints.
    fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let damage = |line: usize, complaint: &str| Error::BadResult {
            path: path.to_owned(),
            complaint: format!("line {line}: {complaint}"),
        };
        if text.lines().next() != Some(VERSION_LINE) {
            return Err(damage(1, "this is no interval log of format 1.3"));
        }
        let mut base_unix_s = None;
        let mut lines = Vec::new();
        for (number, line) in (1..).zip(text.split_inclusive('\n')) {
            for entry in IntervalLogIterator::new(line.as_bytes()) {
                match entry {
                    Ok(LogEntry::StartTime(_)) => {}
                    Ok(LogEntry::BaseTime(time)) => base_unix_s = Some(time.as_secs_f64()),
                    Ok(LogEntry::Interval(interval)) => lines.push(LogLine::new(number, &interval)),
                    Err(_) if !line.ends_with('\n') => {
                        return Err(damage(
                            number,
                            "the last line is cut off; without it the rest can be read",
                        ));
                    }
                    Err(_) => return Err(damage(number, "this is no line of an interval log")),
                }
            }
        }
        let base_unix_s = base_unix_s.ok_or_else(|| damage(1, "no BaseTime in the header"))?;
        Ok(Self { path: path.to_owned(), base_unix_s, lines })
    }

    /// The distributions of the whole run: all intervals added.
    pub(crate) fn latencies(&self) -> Result<Latencies, Error> {
        let mut latencies = Latencies::new();
        for line in &self.lines {
            self.add(line, &mut latencies)?;
        }
        Ok(latencies)
    }

    /// Adds what `line`, one of this log's, holds to the distribution that it names.
    pub(crate) fn add(&self, line: &LogLine, latencies: &mut Latencies) -> Result<(), Error> {
        let added = line.decode().and_then(|latency| {
            let tag = &line.tag;
            let known = latencies.by_name(tag);
            known.ok_or_else(|| format!("unknown distribution '{tag}'"))?.merge(&latency);
            Ok(())
        });
        added.map_err(|complaint| Error::BadResult {
            path: self.path.clone(),
            complaint: format!("line {}: {complaint}", line.number),
        })
    }
}

impl LogLine {
    fn new(number: usize, interval: &IntervalLogHistogram<'_>) -> Self {
        Self {
            number,
            tag: interval.tag().map_or_else(String::new, |tag| tag.to_string()),
            start_s: interval.start_timestamp().as_secs_f64(),
            length_s: interval.duration().as_secs_f64(),
            max_ns: interval.max() * MAX_DIVISOR,
            encoded: interval.encoded_histogram().to_owned(),
        }
    }

    /// Its histogram, or what is wrong with it. The compressed form's checksum lies behind what
    /// the library reads; the maximum in the line's own column is a check that is reached.
    fn decode(&self) -> Result<Latency, String> {
        let bytes = BASE64.decode(&self.encoded).map_err(|error| format!("base64: {error}"))?;
        let histogram = Deserializer::new()
            .deserialize::<u64, _>(&mut bytes.as_slice())
            .map_err(|error| format!("histogram: {error}"))?;
        let (top, bounds) = (histogram.max() as f64, (histogram.low(), histogram.high()));
        let bottom = histogram.lowest_equivalent(histogram.max()) as f64;
        // Values beyond the range are in its last bucket; their maximum is exact all the same.
        let unbounded = histogram.max() >= bounds.1;
        let latency = Latency::from_histogram(histogram).ok_or_else(|| {
            format!("a histogram from {} to {} is none of loadgen's", bounds.0, bounds.1)
        })?;
        let reaches = self.max_ns >= bottom - MAX_ROUNDING_NS;
        if reaches && (unbounded || self.max_ns <= top + MAX_ROUNDING_NS) {
            Ok(latency)
        } else {
            Err("the histogram's maximum is not the one beside it; the file is damaged".to_owned())
        }
    }

    /// The line as it stands in a log whose time begins `shift_s` earlier.
    fn shifted(&self, shift_s: f64) -> String {
        let Self { tag, start_s, length_s, max_ns, encoded, .. } = self;
        let (start, length) = (stamp(start_s + shift_s), stamp(*length_s));
        let max = max_ns / MAX_DIVISOR;
        format!("Tag={tag},{start},{length},{max:.3},{encoded}\n")
    }
}

#[cfg(test)]
mod tests;
