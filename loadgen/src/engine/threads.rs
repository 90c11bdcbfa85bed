//! One run from start to end: its threads, the starting signal, their results, the record.

use std::panic;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::address::{self, Address};
use super::collector::{Collector, Observer};
use super::pacing::{self, Pacer};
use super::plan::{Plan, Share, shares};
use super::preload;
use super::progress::Progress;
use super::recorder::Recorded;
use super::reporter::{Reporter, ThreadMessage};
use super::sockets::Sockets;
use super::worker::{Finished, Worker};
use crate::clock::{Clock, nanoseconds, seconds};
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::latency::{Batches, Latencies, Samples};
use crate::options::Options;
use crate::record::{
    ArrivalRecord, IntervalRecord, LatenciesRecord, RateRecord, RunRecord, StatusesRecord,
    ThreadRecord, Validity,
};
use crate::schedule::Window;
use crate::server::Server;

/// Time between two updates of the live line.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);

/// The result of a run.
#[derive(Debug)]
pub(crate) struct RunOutcome {
    pub(crate) record: RunRecord,
    pub(crate) latencies: Latencies,
    pub(crate) batches: Batches,
}

/// Loads the server as planned and returns the result, still without a verdict.
pub(crate) fn run(
    options: &Options,
    interrupt: &Interrupt,
    number: u32,
    mut server: Option<&mut Server>,
    observer: &mut dyn Observer,
) -> Result<RunOutcome, Error> {
    let plan = Plan::new(options, interrupt);
    let (target, timeout) = (options.target.clone(), options.timeout);
    let resolved = interrupt.or(move || address::resolve(&target, timeout));
    let address = resolved.ok_or(Error::Interrupted)??;
    let mut progress = Progress::new(&options.output, number, options.runs);
    progress.show_preload(options.traffic.key_value.as_ref());
    let preloaded = preload::preload(&plan, &address);
    progress.clear();
    let preloaded = preloaded?;
    let result = thread::scope(|scope| {
        let threads = Threads::spawn(scope, &plan, address)?;
        threads.run(&plan, number, server.as_deref_mut(), observer, &mut progress)
    });
    progress.clear();
    let mut outcome = conclude(&plan, number, result?, server)?;
    if let Some(key_value) = &mut outcome.record.key_value {
        key_value.preloaded = preloaded;
    }
    Ok(outcome)
}

/// The results of all threads together.
struct ThreadResults {
    window: Window,
    started_unix_s: f64,
    finished: Vec<Finished>,
    intervals: Vec<IntervalRecord>,
    latencies: Latencies,
}

/// The starting signal, with the channels for intervals and for emptied histograms.
struct Start {
    window: Window,
    reporter: Reporter,
}

type Handle<'scope> = ScopedJoinHandle<'scope, Result<Option<Finished>, Error>>;

/// The loading threads, as their starter holds them.
struct Threads<'scope> {
    handles: Vec<Handle<'scope>>,
    /// One starting signal per thread.
    starters: Vec<Sender<Start>>,
    clock: Clock,
    sender: Sender<ThreadMessage>,
    messages: Receiver<ThreadMessage>,
}

impl<'scope> Threads<'scope> {
    /// Starts all threads, which begin to connect.
    fn spawn<'env: 'scope>(
        scope: &'scope thread::Scope<'scope, 'env>,
        plan: &'scope Plan<'env>,
        address: Address,
    ) -> Result<Self, Error> {
        let (sender, messages) = mpsc::channel();
        let clock = Clock::start();
        let mut threads =
            Self { handles: Vec::new(), starters: Vec::new(), clock, sender, messages };
        for share in shares(plan.options.connections, plan.options.threads) {
            let (starter, start) = mpsc::channel();
            let sender = threads.sender.clone();
            let address = address.clone();
            let spawned = thread::Builder::new()
                .name(format!("load-{}", share.thread))
                .spawn_scoped(scope, move || work(plan, share, address, clock, &sender, &start));
            let handle = spawned.map_err(|error| {
                plan.abandoned.store(true, Ordering::Relaxed);
                Error::Start(error)
            })?;
            threads.handles.push(handle);
            threads.starters.push(starter);
        }
        Ok(threads)
    }

    /// Waits for the connections, gives the starting signal, collects the results.
    fn run(
        mut self,
        plan: &Plan<'_>,
        number: u32,
        mut server: Option<&mut Server>,
        observer: &mut dyn Observer,
        progress: &mut Progress,
    ) -> Result<ThreadResults, Error> {
        if !self.everyone_connected(plan, progress) {
            plan.abandoned.store(true, Ordering::Relaxed);
            // Without the signal the threads end, those that failed with their error.
            self.starters.clear();
            return Err(self.join().err().unwrap_or(Error::Interrupted));
        }
        if let Some(server) = &mut server {
            server.begin();
        }
        let options = plan.options;
        let started_unix_s = unix_s();
        let window = Window::new(self.clock.now_ns(), options.warmup, options.duration);
        let histogram_senders = self.start(plan, window);
        // The threads load already: an observer that writes files cannot delay the start.
        let collected = observer.run_begins(number, started_unix_s).and_then(|()| {
            let expected = expected_intervals(options);
            let collector = Collector::new(
                options.load.mode(),
                window,
                expected,
                histogram_senders,
                observer,
                server,
            );
            self.collect(plan, window, collector, progress)
        });
        if collected.is_err() {
            plan.abandoned.store(true, Ordering::Relaxed);
        }
        let finished = self.join()?;
        let (intervals, latencies) = collected?;
        Ok(ThreadResults { window, started_unix_s, finished, intervals, latencies })
    }

    fn start(&mut self, plan: &Plan<'_>, window: Window) -> Vec<Sender<Box<Latencies>>> {
        let interval_ns = nanoseconds(plan.options.interval);
        let mut histogram_senders = Vec::new();
        for (thread, starter) in self.starters.drain(..).enumerate() {
            let (histogram_sender, empty_histograms) = mpsc::channel();
            // The thread fills one set while the collector has the other. Allocating the second
            // set here delays no request.
            let _ = histogram_sender.send(Box::new(Latencies::new()));
            let sender = self.sender.clone();
            let reporter = Reporter::new(thread, sender, empty_histograms, window, interval_ns);
            histogram_senders.push(histogram_sender);
            // Sending fails if the thread has ended. Joining it returns the error.
            let _ = starter.send(Start { window, reporter });
        }
        histogram_senders
    }

    fn collect(
        &mut self,
        plan: &Plan<'_>,
        window: Window,
        mut collector: Collector<'_>,
        progress: &mut Progress,
    ) -> Result<(Vec<IntervalRecord>, Latencies), Error> {
        // The channel closes when the threads' own ends of it are gone.
        self.sender = mpsc::channel().0;
        loop {
            match self.messages.recv_timeout(PROGRESS_INTERVAL) {
                Ok(ThreadMessage::Interval(report)) => collector.take(*report)?,
                Ok(ThreadMessage::Connected | ThreadMessage::ConnectFailed) => {}
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(collector.finish()),
            }
            progress.show_load(
                &plan.shared_progress,
                &window,
                collector.headline(),
                self.clock.now_ns(),
            );
        }
    }

    fn everyone_connected(&self, plan: &Plan<'_>, progress: &mut Progress) -> bool {
        let mut connecting = self.handles.len();
        while connecting > 0 {
            match self.messages.recv_timeout(PROGRESS_INTERVAL) {
                Ok(ThreadMessage::Connected) => connecting -= 1,
                Ok(ThreadMessage::ConnectFailed | ThreadMessage::Interval(_))
                | Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => {
                    progress.show_connecting(&plan.shared_progress, plan.options.connections);
                }
            }
        }
        true
    }

    fn join(self) -> Result<Vec<Finished>, Error> {
        let mut finished = Vec::with_capacity(self.handles.len());
        for handle in self.handles {
            let left = handle.join().unwrap_or_else(|cause| panic::resume_unwind(cause));
            finished.extend(left?);
        }
        Ok(finished)
    }
}

/// One loading thread: connects, waits for the starting signal, loads the server. `None` if no
/// signal came.
fn work(
    plan: &Plan<'_>,
    share: Share,
    address: Address,
    clock: Clock,
    sender: &Sender<ThreadMessage>,
    start: &Receiver<Start>,
) -> Result<Option<Finished>, Error> {
    let prepared = prepare(plan, share, address, clock);
    // Sending fails only when the starter has given up; then no starting signal comes either.
    let message =
        if prepared.is_ok() { ThreadMessage::Connected } else { ThreadMessage::ConnectFailed };
    let _ = sender.send(message);
    let worker = prepared?;
    let Ok(Start { window, mut reporter }) = start.recv() else {
        return Ok(None);
    };
    worker.load(window, &mut reporter).map(Some)
}

fn prepare<'a, 'run>(
    plan: &'a Plan<'run>,
    share: Share,
    address: Address,
    clock: Clock,
) -> Result<Worker<'a, 'run, Sockets>, Error> {
    let options = plan.options;
    if let Some(cpu) = options.pins.as_ref().map(|pins| pins.of(share.thread)) {
        pacing::pin(cpu).map_err(|source| Error::Pin { cpu, source })?;
    }
    let pacer = Pacer::new(options.pacing);
    let sockets = Sockets::new(address, options.sources.clone(), clock, pacer);
    let mut worker = Worker::new(plan, share, sockets.map_err(Error::Poll)?);
    worker.connect_all()?;
    Ok(worker)
}

/// How many intervals there are at most.
fn expected_intervals(options: &Options) -> usize {
    let longest = options.warmup + options.duration + options.drain;
    // The first and the last one may be shorter.
    let intervals = longest.as_nanos() / options.interval.as_nanos().max(1) + 2;
    usize::try_from(intervals).unwrap_or(usize::MAX)
}

fn unix_s() -> f64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    since_1970.map_or(0.0, |time| time.as_secs_f64())
}

/// Puts the results together, and checks that every request is accounted for.
fn conclude(
    plan: &Plan<'_>,
    number: u32,
    results: ThreadResults,
    server: Option<&mut Server>,
) -> Result<RunOutcome, Error> {
    let ThreadResults { window, started_unix_s, finished, intervals, latencies } = results;
    let options = plan.options;
    let threads = finished.iter().map(thread_record).collect();
    let stops = finished.iter().map(|thread| thread.stopped_ns);
    let stopped_ns = stops.max().unwrap_or(window.start_ns);
    let mut all = Recorded::default();
    finished.into_iter().for_each(|thread| all.merge(thread.recorded));
    if !all.counters.conserved() {
        return Err(Error::NotConserved(format!("{:?}", all.counters)));
    }
    let measured_ns = stopped_ns.min(window.end_ns).saturating_sub(window.measure_from_ns);
    let interrupted = plan.interrupt.is_requested();
    let ended_early = !interrupted && stopped_ns < window.end_ns;
    let mode = options.load.mode();
    let batches = all.batches.take().unwrap_or_else(|| Batches::new(window));
    let runs = std::slice::from_ref(&batches);
    let samples = Samples { mode, latencies: &latencies, runs };
    let record = RunRecord {
        number,
        seeds: vec![options.seed],
        started_unix_s,
        validity: Validity::valid(),
        rate: RateRecord::new(&all.counters, mode, seconds(measured_ns)),
        latency_ns: LatenciesRecord::new(&samples),
        statuses: StatusesRecord::new(all.statuses, &latencies),
        tls: options.tls.is_some().then_some(all.tls),
        key_value: options
            .traffic
            .key_value
            .as_ref()
            .map(|spec| all.key_value.into_record(spec.command_names())),
        threads,
        arrivals: options.load.open().map(|_| ArrivalRecord::from_gaps(&all.gaps)),
        outstanding_mean: all.outstanding_ns as f64 / measured_ns.max(1) as f64,
        outstanding_by_service: all.served_ns as f64 / measured_ns.max(1) as f64,
        intervals,
        server: server.map(|server| server.record(all.counters.completed)),
        server_metrics: None,
        steal_share: None,
        first_mismatch: all.first_mismatch,
        first_unexpected_reply: all.first_unexpected_reply,
        first_changed_body: all.first_changed_body,
        first_other_error: all.first_error,
        ended_early_s: ended_early.then(|| seconds(stopped_ns - window.start_ns)),
        interrupted,
        counters: all.counters,
    };
    Ok(RunOutcome { record, latencies, batches })
}

fn thread_record(finished: &Finished) -> ThreadRecord {
    ThreadRecord {
        connections: finished.connections,
        completed: finished.recorded.counters.completed,
        cpu_s: seconds(finished.usage.cpu_ns),
        wall_s: seconds(finished.wall_ns),
        cpu_share: finished.usage.cpu_ns as f64 / finished.wall_ns.max(1) as f64,
        involuntary_switches: finished.usage.involuntary_switches,
        major_faults: finished.usage.major_faults,
        stalls: finished.recorded.stalls.count,
        stalled_s: seconds(finished.recorded.stalls.sum_ns),
        longest_stall_s: seconds(finished.recorded.stalls.longest_ns),
        run_delay_s: finished.usage.run_delay_ns.map(seconds),
    }
}
