//! The JSON stream (`--json-stream`): a line for each interval while the run lasts, and a last one
//! with the verdict and the totals.
//!
//! The sum of the counters of all intervals is the result's, and so is the sum of the histograms.
//! Each line says how many lines before it were lost.

mod line_writer;

use std::collections::BTreeMap;

use serde::Serialize;

use self::line_writer::LineWriter;
use super::hlog;
use crate::destination::{Destination, Output};
use crate::engine::Interval;
use crate::error::Error;
use crate::latency::{Latency, P50, P90, P99, P999, P9999};
use crate::measure::Measurement;
use crate::record::{
    Code, Counters, IntervalRecord, LatenciesRecord, RateRecord, Reason, SloRecord, Validity,
    Verdict,
};

/// The line of an interval.
#[derive(Debug, Serialize)]
struct IntervalLine<'a> {
    r#type: &'static str,
    /// Number of the run, from 1.
    run: u32,
    /// End of the interval in seconds since 1970.
    unix_s: f64,
    /// How many lines before this one were lost.
    lost: u64,
    #[serde(flatten)]
    interval: &'a IntervalRecord,
    /// By how much each counter of the run has grown.
    counters: &'a Counters,
    latency_ns: BTreeMap<&'static str, Percentiles>,
    /// As in an interval log: HdrHistogram V2, compressed, in base64.
    histograms: BTreeMap<&'static str, String>,
}

/// The percentiles of one distribution, in nanoseconds; null where there are too few samples.
#[derive(Debug, Serialize)]
struct Percentiles {
    count: u64,
    mean: Option<u64>,
    p50: Option<u64>,
    p90: Option<u64>,
    p99: Option<u64>,
    p999: Option<u64>,
    p9999: Option<u64>,
    max: Option<u64>,
}

impl From<&Latency> for Percentiles {
    fn from(latency: &Latency) -> Self {
        Self {
            count: latency.count(),
            mean: latency.mean_ns(),
            p50: latency.percentile_ns(P50),
            p90: latency.percentile_ns(P90),
            p99: latency.percentile_ns(P99),
            p999: latency.percentile_ns(P999),
            p9999: latency.percentile_ns(P9999),
            max: latency.max_ns(),
        }
    }
}

/// The last line.
#[derive(Debug, Serialize)]
struct ResultLine<'a> {
    r#type: &'static str,
    /// Name and version of the record's format, whose fields these are.
    schema: &'a str,
    lost: u64,
    exit_code: u8,
    interrupted: bool,
    runs: usize,
    validity: &'a Validity,
    slo: &'a [SloRecord],
    rate: &'a RateRecord,
    counters: &'a Counters,
    latency_ns: &'a LatenciesRecord,
}

/// The stream of a measurement.
#[derive(Debug)]
pub(super) struct JsonStream {
    output: Output,
    /// From the first run on.
    writer: Option<LineWriter>,
    run: u32,
    started_unix_s: f64,
    /// When the first interval of the run began, as the intervals count time.
    origin_s: Option<f64>,
}

impl JsonStream {
    /// Checks the destination. Nothing changes before the first run.
    pub(super) fn open(destination: &Destination) -> Result<Self, Error> {
        let output = destination.open()?;
        Ok(Self { output, writer: None, run: 0, started_unix_s: 0.0, origin_s: None })
    }

    /// Where it goes.
    pub(super) fn output(&self) -> &Output {
        &self.output
    }

    /// Opens the stream with the first run.
    pub(super) fn run_begins(&mut self, number: u32, started_unix_s: f64) -> Result<(), Error> {
        if self.writer.is_none() {
            let file = self.output.stream()?;
            self.writer = Some(LineWriter::start(self.output.name(), file).map_err(Error::Start)?);
        }
        (self.run, self.started_unix_s, self.origin_s) = (number, started_unix_s, None);
        Ok(())
    }

    /// Adds the line of an interval. It never waits for the reader.
    pub(super) fn interval(&mut self, interval: &Interval<'_>) -> Result<(), Error> {
        let Interval { record, growth, latencies } = *interval;
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let origin_s = *self.origin_s.get_or_insert(record.start_s);
        let encode = |(name, latency)| Ok((name, hlog::encoded(latency)?));
        let histograms = latencies.recorded().map(encode).collect::<Result<_, _>>();
        let percentiles = |(name, latency)| (name, Percentiles::from(latency));
        let line = IntervalLine {
            r#type: "interval",
            run: self.run,
            unix_s: self.started_unix_s + (record.start_s - origin_s) + record.length_s,
            lost: writer.refused(),
            interval: record,
            counters: growth,
            latency_ns: latencies.recorded().map(percentiles).collect(),
            histograms: histograms.map_err(Error::WriteResults)?,
        };
        writer.push(text(&line)?);
        Ok(())
    }

    /// Adds the last line, and waits for the reader as long as it reads.
    ///
    /// # Errors
    ///
    /// [`Error::StreamLost`] if lines did not reach the reader.
    pub(super) fn finish(&mut self, measurement: &Measurement) -> Result<(), Error> {
        let Some(mut writer) = self.writer.take() else { return Ok(()) };
        let record = &measurement.record;
        let line = ResultLine {
            r#type: "result",
            schema: &record.schema,
            lost: writer.refused(),
            exit_code: measurement.exit_code(),
            interrupted: record.interrupted,
            runs: record.runs.len(),
            validity: &record.validity,
            slo: &record.slo,
            rate: &record.rate,
            counters: &record.counters,
            latency_ns: &record.latency_ns,
        };
        writer.push_last(text(&line)?);
        writer.finish()
    }
}

fn text(line: &impl Serialize) -> Result<String, Error> {
    let mut text =
        serde_json::to_string(line).map_err(|error| Error::WriteResults(error.into()))?;
    text.push('\n');
    Ok(text)
}

/// What the report says of lines that were lost.
pub(super) fn label(lost: &Error) -> Reason {
    Reason { code: Code::StreamLost, level: Verdict::Valid, text: lost.to_string() }
}
