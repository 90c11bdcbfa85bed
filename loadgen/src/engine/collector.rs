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
use crate::options::Options;
use crate::record::{Counters, IntervalRecord};
use crate::schedule::{Mode, Window};
use crate::server::Server;

/// Longest last interval that is dropped if it has no events. Such an interval remains when the
/// run ends with a full one.
const REMAINDER_NS_MAX: u64 = 1_000_000;

/// Maximum number of intervals to reserve memory for: half a day of seconds.
const EXPECTED_MAX: usize = 43_200;

/// What a thread counted up to the end of an interval.
#[derive(Debug, Default)]
struct Counted {
    counters: Counters,
    outstanding: u64,
    backlog: u64,
}

/// One thread, as far as its intervals have been passed on.
#[derive(Debug)]
struct Thread {
    counted: Counted,
    /// The thread has reported all intervals below this one.
    reported: u64,
    /// Sends emptied histograms back to the thread.
    empty_histograms: Sender<Box<Latencies>>,
}

impl Thread {
    /// Empties histograms and sends them back to the thread.
    fn return_histograms(&self, mut latencies: Box<Latencies>) {
        latencies.clear();
        // A thread that has ended needs no more histograms.
        let _ = self.empty_histograms.send(latencies);
    }
}

/// An interval that some threads have reported.
#[derive(Debug)]
struct Pending {
    end_ns: u64,
    /// The histograms of the first thread that reported, and of the others added to them.
    latencies: Box<Latencies>,
    /// Number of the first thread, which gets the histograms back.
    owner: usize,
    /// The counts of each thread that reported, by its number. A thread that is ahead of the others
    /// does not change the counts of an earlier interval.
    counted: Vec<(usize, Counted)>,
    /// The largest processor time of a thread in the interval.
    cpu_ns: u64,
    /// The longest that a thread stood still, and waited for a processor.
    stalled_ns: u64,
    run_delay_ns: Option<u64>,
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
    /// A collector for one thread per sender.
    ///
    /// It reserves memory for the intervals of the plan. Each takes some 180 bytes. Nothing else
    /// grows with the length of a run.
    pub(crate) fn new(
        options: &Options,
        window: Window,
        histogram_senders: Vec<Sender<Box<Latencies>>>,
        observer: &'a mut dyn Observer,
        server: Option<&'a mut Server>,
    ) -> Self {
        let thread = |empty_histograms| Thread {
            counted: Counted::default(),
            reported: 0,
            empty_histograms,
        };
        Self {
            mode: options.load.mode(),
            window,
            threads: histogram_senders.into_iter().map(thread).collect(),
            pending: BTreeMap::new(),
            observer,
            server_cpu_s: server.as_ref().and_then(|server| server.cpu_s()),
            server,
            end_ns: window.start_ns,
            counted: Counters::default(),
            records: Vec::with_capacity(expected_intervals(options).min(EXPECTED_MAX)),
            total: Latencies::new(),
        }
    }

    /// Adds a thread's part of an interval. Passes complete intervals to the observer.
    pub(crate) fn take(&mut self, report: IntervalReport) -> Result<(), Error> {
        let IntervalReport { thread: number, index, end_ns, latencies, .. } = report;
        let IntervalReport { counters, outstanding, backlog, .. } = report;
        let counted = (number, Counted { counters, outstanding, backlog });
        match self.pending.entry(index) {
            Entry::Vacant(place) => {
                place.insert(Pending {
                    end_ns,
                    latencies,
                    owner: number,
                    counted: vec![counted],
                    cpu_ns: report.cpu_ns,
                    stalled_ns: report.stalled_ns,
                    run_delay_ns: report.run_delay_ns,
                });
            }
            Entry::Occupied(mut place) => {
                let pending = place.get_mut();
                pending.latencies.merge(&latencies);
                pending.counted.push(counted);
                pending.end_ns = pending.end_ns.max(end_ns);
                pending.cpu_ns = pending.cpu_ns.max(report.cpu_ns);
                pending.stalled_ns = pending.stalled_ns.max(report.stalled_ns);
                pending.run_delay_ns = pending.run_delay_ns.max(report.run_delay_ns);
                self.threads[number].return_histograms(latencies);
            }
        }
        let thread = &mut self.threads[number];
        // No interval waits for a thread that has ended.
        thread.reported = if report.last { u64::MAX } else { index + 1 };
        self.pass_on_complete()
    }

    /// Waits no longer for a thread, which was lost. Its last report may come later.
    pub(crate) fn lose(&mut self, thread: usize) -> Result<(), Error> {
        self.threads[thread].reported = u64::MAX;
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
        for (thread, counted) in pending.counted {
            self.threads[thread].counted = counted;
        }
        let counted = || self.threads.iter().map(|thread| &thread.counted);
        let mut counters = Counters::default();
        counted().for_each(|thread| counters.merge(&thread.counters));
        let length_ns = pending.end_ns.saturating_sub(self.end_ns);
        if counters == self.counted && length_ns < REMAINDER_NS_MAX {
            return Ok(());
        }
        let length_s = seconds(length_ns);
        let headline = pending.latencies.headline(self.mode);
        let growth = counters.since(&self.counted);
        let record = IntervalRecord {
            start_s: seconds(self.end_ns) - seconds(self.window.measure_from_ns),
            length_s,
            scheduled: growth.scheduled,
            sent: growth.sent,
            completed: growth.completed,
            failed: growth.failed_requests(),
            outstanding: counted().map(|thread| thread.outstanding).sum(),
            backlog: counted().map(|thread| thread.backlog).sum(),
            p50_ns: headline.percentile_ns(P50),
            p99_ns: headline.percentile_ns(P99),
            max_ns: headline.max_ns(),
            loader_cpu: pending.cpu_ns as f64 / length_ns.max(1) as f64,
            loader_stalled_s: seconds(pending.stalled_ns),
            loader_run_delay: pending
                .run_delay_ns
                .map(|delay_ns| delay_ns as f64 / length_ns.max(1) as f64),
            server_cpu: self.server_cpu(length_s),
        };
        self.total.merge(&pending.latencies);
        self.counted = counters;
        self.end_ns = pending.end_ns;
        let latencies = &pending.latencies;
        let interval = Interval { record: &record, growth: &growth, latencies };
        let observed = self.observer.interval(&interval);
        self.records.push(record);
        self.threads[pending.owner].return_histograms(pending.latencies);
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

/// How many intervals there are at most.
fn expected_intervals(options: &Options) -> usize {
    let longest = options.warmup + options.duration + options.drain;
    // The first and the last one may be shorter.
    let intervals = longest.as_nanos() / options.interval.as_nanos().max(1) + 2;
    usize::try_from(intervals).unwrap_or(usize::MAX)
}

/// An interval of a run that has ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Interval<'a> {
    pub(crate) record: &'a IntervalRecord,
    /// By how much each counter of the run has grown in it.
    pub(crate) growth: &'a Counters,
    pub(crate) latencies: &'a Latencies,
}

/// Receives runs and their intervals during the run. What it writes survives a later failure.
pub(crate) trait Observer {
    /// Run number `number` (from 1) has opened its connections and starts at `started_unix_s`.
    fn run_begins(&mut self, number: u32, started_unix_s: f64) -> Result<(), Error>;

    /// The measurements of an interval that has ended. The sum of all intervals is the run.
    fn interval(&mut self, interval: &Interval<'_>) -> Result<(), Error>;
}

/// Discards everything.
impl Observer for () {
    fn run_begins(&mut self, _number: u32, _started_unix_s: f64) -> Result<(), Error> {
        Ok(())
    }

    fn interval(&mut self, _interval: &Interval<'_>) -> Result<(), Error> {
        Ok(())
    }
}
