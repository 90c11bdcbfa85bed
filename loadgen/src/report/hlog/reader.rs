//! Reading an interval log back.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{
    IntervalLogHistogram, IntervalLogIterator, LogEntry,
};

use super::{MAX_DIVISOR, VERSION_LINE, stamp};
use crate::error::Error;
use crate::latency::{Distribution, Latencies, Latency};

/// How far the column of maxima may be off, in nanoseconds: it is rounded to microseconds.
const MAX_ROUNDING_NS: f64 = 500.5;

/// An interval log. Histograms stay encoded until they are asked for; decoded, those of a long run
/// would not fit into memory.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    /// When its time begins, in seconds since 1970.
    pub(crate) base_unix_s: f64,
    pub(crate) entries: Vec<Entry>,
}

/// One line of a log: a distribution in an interval.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Number of its line, from 1.
    line: usize,
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
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let damage = |line: usize, complaint: &str| Error::BadResult {
            path: path.to_owned(),
            complaint: format!("line {line}: {complaint}"),
        };
        if text.lines().next() != Some(VERSION_LINE) {
            return Err(damage(1, "this is no interval log of format 1.3"));
        }
        let mut base_unix_s = None;
        let mut entries = Vec::new();
        for (number, line) in (1..).zip(text.split_inclusive('\n')) {
            for entry in IntervalLogIterator::new(line.as_bytes()) {
                match entry {
                    Ok(LogEntry::StartTime(_)) => {}
                    Ok(LogEntry::BaseTime(time)) => base_unix_s = Some(time.as_secs_f64()),
                    Ok(LogEntry::Interval(interval)) => entries.push(Entry::new(number, &interval)),
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
        Ok(Self { path: path.to_owned(), base_unix_s, entries })
    }

    /// The distributions of the whole run: all intervals added.
    pub(crate) fn latencies(&self) -> Result<Latencies, Error> {
        let mut latencies = Latencies::new();
        for entry in &self.entries {
            self.add(entry, &mut latencies)?;
        }
        Ok(latencies)
    }

    /// Adds what `entry`, one of this log's, holds to the distribution that it names.
    pub(crate) fn add(&self, entry: &Entry, latencies: &mut Latencies) -> Result<(), Error> {
        let added = entry.decode().and_then(|latency| {
            let tag = &entry.tag;
            let known = Distribution::by_name(tag);
            let known = known.ok_or_else(|| format!("unknown distribution '{tag}'"))?;
            latencies[known].merge(&latency);
            Ok(())
        });
        added.map_err(|complaint| Error::BadResult {
            path: self.path.clone(),
            complaint: format!("line {}: {complaint}", entry.line),
        })
    }
}

impl Entry {
    fn new(line: usize, interval: &IntervalLogHistogram<'_>) -> Self {
        Self {
            line,
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
    pub(crate) fn shifted(&self, shift_s: f64) -> String {
        let Self { tag, start_s, length_s, max_ns, encoded, .. } = self;
        let (start, length) = (stamp(start_s + shift_s), stamp(*length_s));
        let max = max_ns / MAX_DIVISOR;
        format!("Tag={tag},{start},{length},{max:.3},{encoded}\n")
    }
}
