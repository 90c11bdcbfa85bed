//! The server's own metrics (`--server-admin`): read before the run, with each interval, and after
//! it.
//!
//! A thread of its own reads them, so that a server that does not answer delays nothing while the
//! load lasts. Before and after the run, a read may take two seconds, and less if the run is
//! interrupted.
//!
//! ```text
//! client   one request, with bounds
//! samples  the text of Prometheus
//! growth   what has grown between two reads
//! ```

mod client;
mod growth;
mod samples;

use std::collections::BTreeMap;
use std::io;
use std::sync::Once;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use self::client::READ_TIME_MAX;
use self::growth::{Buckets, Growth};
use self::samples::Samples;
use crate::console;
use crate::interrupt::Interrupt;
use crate::options::MetricsAddress;
use crate::record::{ServerMetricsInterval, ServerMetricsRecord, ServerTiming};

/// How much longer than a read its answer may take to come from the thread.
const SLACK: Duration = Duration::from_millis(200);

/// How long a read may take after the user has asked to stop.
const INTERRUPTED_MAX: Duration = Duration::from_millis(200);

/// Time between two checks for a signal while a read is awaited.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Whether a failure was printed: a search or a sweep has a reader for each of many runs.
static NAMED: Once = Once::new();

/// The metrics at one moment.
#[derive(Debug)]
struct Reading {
    at: Instant,
    unix_s: f64,
    samples: Samples,
}

/// Reads the metrics of a server.
#[derive(Debug)]
pub(crate) struct MetricsReader {
    requests: Sender<()>,
    readings: Receiver<Result<Reading, String>>,
    /// Whether the thread reads now.
    is_reading: bool,
    latest: Option<Reading>,
    timings: BTreeMap<&'static str, Buckets>,
    record: ServerMetricsRecord,
    interrupt: Interrupt,
}

impl MetricsReader {
    /// Starts the thread and reads the metrics once.
    pub(crate) fn start(address: &MetricsAddress, interrupt: &Interrupt) -> io::Result<Self> {
        let (requests, requested) = mpsc::channel();
        let (sender, readings) = mpsc::channel();
        let of_thread = address.clone();
        thread::Builder::new().name("server-metrics".to_owned()).spawn(move || {
            for () in requested {
                let read = client::get(&of_thread).and_then(|text| {
                    let samples = Samples::parse(&text)?;
                    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
                    let unix_s = since_1970.map_or(0.0, |time| time.as_secs_f64());
                    Ok(Reading { at: Instant::now(), unix_s, samples })
                });
                if sender.send(read).is_err() {
                    return;
                }
            }
        })?;
        let mut reader = Self {
            requests,
            readings,
            is_reading: false,
            latest: None,
            timings: BTreeMap::new(),
            record: ServerMetricsRecord { address: address.to_string(), ..Default::default() },
            interrupt: interrupt.clone(),
        };
        reader.read();
        reader.await_reading();
        Ok(reader)
    }

    /// Has the metrics read, unless the last read goes on. It waits for nothing.
    pub(crate) fn read(&mut self) {
        while let Ok(reading) = self.readings.try_recv() {
            self.take(reading);
        }
        // Sending fails only if the thread has panicked; then there are no further readings.
        if !self.is_reading && self.requests.send(()).is_ok() {
            self.is_reading = true;
        }
    }

    /// Reads the metrics a last time. The growth since the first read.
    pub(crate) fn finish(mut self) -> ServerMetricsRecord {
        if self.is_reading {
            self.await_reading();
        }
        // A server that hangs has had its time.
        if !self.is_reading {
            self.read();
            self.await_reading();
        }
        let Self { mut record, timings, .. } = self;
        for (name, buckets) in timings {
            let bound = |bound_ns: u64| (bound_ns < u64::MAX).then_some(bound_ns);
            let buckets = buckets.into_iter().filter(|(_, count)| *count > 0);
            let buckets = buckets.map(|(bound_ns, count)| (bound(bound_ns), count)).collect();
            record.timings.insert(name.to_owned(), ServerTiming::of_buckets(buckets));
        }
        record.limit_counters();
        record
    }

    fn await_reading(&mut self) {
        let begun = Instant::now();
        let reading = loop {
            let is_interrupted = self.interrupt.is_requested();
            let most = if is_interrupted { INTERRUPTED_MAX } else { READ_TIME_MAX + SLACK };
            match self.readings.recv_timeout(LOOK_AGAIN) {
                Err(RecvTimeoutError::Timeout) if begun.elapsed() < most => {}
                reading => break reading,
            }
        };
        let gone = |_| Err("no answer".to_owned());
        let is_reading = reading.is_err();
        self.take(reading.unwrap_or_else(gone));
        self.is_reading = is_reading;
    }

    fn take(&mut self, reading: Result<Reading, String>) {
        self.is_reading = false;
        match reading {
            Ok(reading) => self.add(reading),
            Err(complaint) => {
                self.record.failed_reads += 1;
                let address = &self.record.address;
                NAMED.call_once(|| {
                    console::say(&format!(
                        "read the server's metrics at {address}: {complaint}; the run goes on. Is \
                         this the address of its metrics? (--server-admin)"
                    ));
                });
                self.record.first_failure.get_or_insert(complaint);
            }
        }
    }

    fn add(&mut self, mut reading: Reading) {
        self.record.reads += 1;
        let Some(before) = self.latest.take() else {
            self.latest = Some(reading);
            return;
        };
        let Growth { counters, timings, cpu_s, restarted } =
            Growth::between(&before.samples, &reading.samples);
        let length_s = (reading.at - before.at).as_secs_f64();
        let p99 = |(name, buckets): (&&'static str, &Buckets)| {
            let buckets = buckets.iter().map(|(bound_ns, count)| (Some(*bound_ns), *count));
            let timing = ServerTiming::of_buckets(buckets.collect());
            let p99_ns = timing.p99_at_most_ns.filter(|bound_ns| *bound_ns < u64::MAX)?;
            Some(((*name).to_owned(), p99_ns))
        };
        self.record.intervals.push(ServerMetricsInterval {
            unix_s: reading.unix_s,
            length_s,
            cpu_s,
            p99_at_most_ns: timings.iter().filter_map(p99).collect(),
        });
        self.record.wall_s += length_s;
        self.record.restarted |= restarted;
        self.record.add_counters(counters);
        for (name, buckets) in timings {
            let all = self.timings.entry(name).or_default();
            for (bound_ns, count) in buckets {
                *all.entry(bound_ns).or_default() += count;
            }
        }
        reading.samples.carry_over(before.samples);
        self.latest = Some(reading);
    }
}

#[cfg(test)]
mod tests;
