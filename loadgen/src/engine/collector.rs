//! Adds up the threads' intervals: each interval of the run, and the whole run.
//!
//! It may run on a processor that a loading thread needs, so it does little: it copies and
//! allocates no histogram, and does not touch empty ones.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::mpsc::Sender;

use super::reporter::IntervalReport;
use crate::clock::seconds;
use crate::error::Error;
use crate::latency::{Latencies, Latency, P50, P99};
use crate::record::{Counters, IntervalRecord};
use crate::schedule::{Mode, Window};
use crate::server::Server;

/// A shorter interval without events is dropped: the remainder of a run that ends with an interval.
const REMAINDER_NS_MAX: u64 = 1_000_000;

/// Most intervals to reserve memory for: half a day of seconds.
const EXPECTED_MAX: usize = 43_200;

/// What the collector knows of one thread.
#[derive(Debug)]
struct Thread {
    /// Its latest counters.
    counters: Counters,
    outstanding: u64,
    backlog: u64,
    /// It has reported all intervals below this one.
    reported: u64,
    spares: Sender<Box<Latencies>>,
}

impl Thread {
    /// Empties histograms and lets the thread use them again.
    fn give_back(&self, mut latencies: Box<Latencies>) {
        latencies.clear();
        // A thread that has ended needs none any more.
        let _ = self.spares.send(latencies);
    }
}

/// An interval that some threads have reported.
#[derive(Debug)]
struct Pending {
    end_ns: u64,
    /// The histograms of the first thread that reported, and of the others added to them.
    latencies: Box<Latencies>,
    /// The thread that they belong to.
    lender: usize,
    /// The largest share of a processor that a thread has used.
    cpu_ns: u64,
}

/// The intervals of a run.
pub(crate) struct Collector<'a> {
    mode: Mode,
    window: Window,
    threads: Vec<Thread>,
    pending: BTreeMap<u64, Pending>,
    observer: &'a mut dyn Observer,
    server: Option<&'a mut Server>,
    server_cpu_s: Option<f64>,
    end_ns: u64,
    counted: Counters,
    records: Vec<IntervalRecord>,
    total: Latencies,
}

impl<'a> Collector<'a> {
    /// A collector for as many threads as there are channels to return histograms.
    ///
    /// It reserves memory for `expected` intervals. Only they grow with the length of a run, by
    /// some 150 bytes each.
    pub(crate) fn new(
        mode: Mode,
        window: Window,
        expected: usize,
        spares: Vec<Sender<Box<Latencies>>>,
        observer: &'a mut dyn Observer,
        server: Option<&'a mut Server>,
    ) -> Self {
        let thread = |spares| Thread {
            counters: Counters::default(),
            outstanding: 0,
            backlog: 0,
            reported: 0,
            spares,
        };
        Self {
            mode,
            window,
            threads: spares.into_iter().map(thread).collect(),
            pending: BTreeMap::new(),
            observer,
            server_cpu_s: server.as_ref().and_then(|server| server.cpu_s()),
            server,
            end_ns: window.start_ns,
            counted: Counters::default(),
            records: Vec::with_capacity(expected.min(EXPECTED_MAX)),
            total: Latencies::new(),
        }
    }

    /// Adds a thread's part, and passes on the intervals that it completes.
    pub(crate) fn take(&mut self, report: IntervalReport) -> Result<(), Error> {
        let IntervalReport { thread: number, index, end_ns, latencies, .. } = report;
        match self.pending.entry(index) {
            Entry::Vacant(place) => {
                let cpu_ns = report.cpu_ns;
                place.insert(Pending { end_ns, latencies, lender: number, cpu_ns });
            }
            Entry::Occupied(mut place) => {
                let pending = place.get_mut();
                pending.latencies.merge(&latencies);
                pending.end_ns = pending.end_ns.max(end_ns);
                pending.cpu_ns = pending.cpu_ns.max(report.cpu_ns);
                self.threads[number].give_back(latencies);
            }
        }
        let thread = &mut self.threads[number];
        thread.counters = report.counters;
        thread.outstanding = report.outstanding;
        thread.backlog = report.backlog;
        // A thread that has ended holds up no interval.
        thread.reported = if report.last { u64::MAX } else { index + 1 };
        self.pass_on_complete()
    }

    fn pass_on_complete(&mut self) -> Result<(), Error> {
        let complete = self.threads.iter().map(|thread| thread.reported).min().unwrap_or(0);
        while let Some(entry) = self.pending.first_entry()
            && *entry.key() < complete
        {
            let pending = entry.remove();
            self.pass_on(pending)?;
        }
        Ok(())
    }

    fn pass_on(&mut self, pending: Pending) -> Result<(), Error> {
        let mut counters = Counters::default();
        self.threads.iter().for_each(|thread| counters.merge(&thread.counters));
        let length_ns = pending.end_ns.saturating_sub(self.end_ns);
        if counters == self.counted && length_ns < REMAINDER_NS_MAX {
            return Ok(());
        }
        let length_s = seconds(length_ns);
        let headline = pending.latencies.headline(self.mode);
        let before = &self.counted;
        let record = IntervalRecord {
            start_s: seconds(self.end_ns) - seconds(self.window.measure_from_ns),
            length_s,
            scheduled: counters.scheduled - before.scheduled,
            sent: counters.sent - before.sent,
            completed: counters.completed - before.completed,
            failed: counters.failed + counters.timed_out - before.failed - before.timed_out,
            outstanding: self.threads.iter().map(|thread| thread.outstanding).sum(),
            backlog: self.threads.iter().map(|thread| thread.backlog).sum(),
            p50_ns: headline.percentile_ns(P50),
            p99_ns: headline.percentile_ns(P99),
            max_ns: headline.max_ns(),
            loader_cpu: pending.cpu_ns as f64 / length_ns.max(1) as f64,
            server_cpu: self.server_cpu(length_s),
        };
        self.total.merge(&pending.latencies);
        self.counted = counters;
        self.end_ns = pending.end_ns;
        let observed = self.observer.interval(&record, &pending.latencies);
        self.records.push(record);
        self.threads[pending.lender].give_back(pending.latencies);
        observed
    }

    /// Processors that the server has used since the last call.
    fn server_cpu(&mut self, length_s: f64) -> Option<f64> {
        let now_s = self.server.as_ref()?.cpu_s()?;
        let before_s = self.server_cpu_s.replace(now_s)?;
        (length_s > 0.0).then(|| (now_s - before_s).max(0.0) / length_s)
    }

    /// The headline latency so far.
    pub(crate) fn headline(&self) -> &Latency {
        self.total.headline(self.mode)
    }

    /// The intervals and their sum.
    pub(crate) fn finish(self) -> (Vec<IntervalRecord>, Latencies) {
        (self.records, self.total)
    }
}

/// Receives runs and their intervals while they last. What it writes then survives a later failure.
pub(crate) trait Observer {
    /// Run number `number` (from 1) has opened its connections and starts at `started_unix_s`.
    fn run_begins(&mut self, number: u32, started_unix_s: f64) -> Result<(), Error>;

    /// An interval has passed: what was measured in it. All intervals together are the run.
    fn interval(&mut self, interval: &IntervalRecord, latencies: &Latencies) -> Result<(), Error>;
}

/// Discards everything.
impl Observer for () {
    fn run_begins(&mut self, _number: u32, _started_unix_s: f64) -> Result<(), Error> {
        Ok(())
    }

    fn interval(&mut self, _: &IntervalRecord, _: &Latencies) -> Result<(), Error> {
        Ok(())
    }
}
